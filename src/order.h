/*
 * order.h - puts a memtable's keys in order, when somebody asks for the order.
 *
 * Point reads and commits need the hash index alone, and to find a key's place in a large skip list
 * costs more than all the rest of entering it. So the writer leaves new nodes out of the list until
 * a scan looks at the memtable; then they are sorted and linked together, which takes a tenth of
 * the time. A memtable that has been scanned, and the one after it, are kept in order node by node,
 * so that scans which come again and again find nothing to do; but for the nodes of large
 * transactions, which wait for the next scan there too.
 *
 * Threads: any. Order of locks: order_mutex, then overlay_mutex. Layer 5: core.h, keysort.h.
 */
#ifndef TX_ORDER_H
#define TX_ORDER_H

#include "core.h"

/*
 * tx_order_for_scan -- the memtable's list, with every node in it that a snapshot taken before can
 * see; the caller's snapshot keeps the memtable. One load when nothing is missing. Else this
 * thread, or another that was quicker, links what is. Cannot fail.
 */
const struct tx_skiplist *tx_order_for_scan(struct tx_core *core, struct tx_memtable *memtable);

/*
 * A walk over a frozen memtable in key order, for who walks once and needs no list. Unless its
 * nodes are linked already, or there is no memory, they are sorted and not linked: each would have
 * to be written to.
 */
struct tx_order_walk {
    struct tx_node **nodes; /* in order; NULL: the list is walked */
    size_t nodes_bytes;
    uint32_t count, at;
    struct tx_node *first, *node; /* of the list; where the walk stands */
};

/* The memtable must outlive the walk. Cannot fail. */
void tx_order_walk_begin(struct tx_core *core, struct tx_memtable *memtable,
                         struct tx_order_walk *walk);
void tx_order_walk_end(struct tx_order_walk *walk);

/* To the first node again. */
void tx_order_walk_rewind(struct tx_order_walk *walk);

/* NULL at the end. */
static inline struct tx_node *
tx_order_walk_node(const struct tx_order_walk *walk)
{
    return walk->node;
}

/* To the next one; not at the end. */
void tx_order_walk_step(struct tx_order_walk *walk);

#endif /* TX_ORDER_H */
