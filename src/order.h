/*
 * order.h - puts a memtable's keys in order, when somebody asks for the order.
 *
 * Point reads and commits need the hash index alone, and to find a key's place in a large skip list
 * costs more than all the rest of entering it. So the writer leaves new nodes out of the list until
 * a scan looks at the memtable, or a checkpoint writes it; then they are sorted and linked
 * together, which takes a tenth of the time. A memtable that has been scanned, and the one after
 * it, are kept in order node by node, so that scans which come again and again find nothing to do.
 *
 * Threads: any. Order of locks: order_mutex, then overlay_mutex. Layer 5: core.h, keysort.h.
 */
#ifndef TX_ORDER_H
#define TX_ORDER_H

#include "core.h"

/*
 * tx_order_for_scan -- the memtable's list, with every node in it that a snapshot taken before can
 * see; the caller's snapshot keeps the memtable. One load when nothing is missing. Else this
 * thread, or another that was quicker, links what is, once in the memtable's life. Cannot fail.
 */
const struct tx_skiplist *tx_order_for_scan(struct tx_core *core, struct tx_memtable *memtable);

/* The same for a checkpoint, after which nothing is kept in order. */
const struct tx_skiplist *tx_order_frozen(struct tx_core *core, struct tx_memtable *memtable);

#endif /* TX_ORDER_H */
