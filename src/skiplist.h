/*
 * skiplist.h - an ordered map from (table, key) to version chains: one writer, any number of
 * readers, no locks.
 *
 * Order: table number, then key by memcmp, the shorter first.
 *
 * Thread safety: writes by one thread at a time. Reads by any thread at any time, as long as the
 * arena lives.
 *
 * Invariants
 *   1. A node is never removed or moved; its key, table and height never change once it is
 * reachable.
 *   2. next pointers are set before the node is reachable at that level, and are stored with
 * release [M3]; readers load them with acquire. So a reader that sees a node sees its key and its
 * first version.
 *   3. Level 0 holds every node in order. prev (level 0 only) names a node that was the predecessor
 * at some time: a node inserted between since then may be missed by a reader going back. That loses
 * nothing: such a node's versions are newer than any snapshot that was taken before it was
 * published.
 *   4. A version chain is sorted, newest first. `newest` is stored with release [M4]; `older` is
 * set before that.
 *
 * After W. Pugh, "Skip lists: a probabilistic alternative to balanced trees", 1990.
 *
 * Layer 3: mem.h, atomic.h.
 */
#ifndef TX_SKIPLIST_H
#define TX_SKIPLIST_H

#include "atomic.h"
#include "base.h"
#include "mem.h"

#define TX_SKIPLIST_HEIGHT_MAX 20
#define TX_PREFIX_WORDS        2
#define TX_PREFIX_BYTES        (8 * TX_PREFIX_WORDS)

struct tx_version {
    uint64_t lsn;             /* of its transaction's record */
    struct tx_version *older; /* fixed once reachable */
    const uint8_t
        *value; /* NULL for a tombstone; points into a mapped segment or a pending record */
    uint32_t value_bytes;
    uint32_t tag; /* free for the owner of the list */
};

struct tx_key {
    const uint8_t *data;
    uint32_t bytes;
    uint32_t table;
};

/* What an insert far away reads, the key's start and the links, stands together at the end. */
struct tx_node {
    struct tx_version first;          /* storage for the first version */
    struct tx_version *newest;        /* atomic [M4] */
    struct tx_node *prev;             /* atomic, a hint: invariant 3 */
    struct tx_key key;                /* data is owned by whoever inserted */
    uint64_t prefix[TX_PREFIX_WORDS]; /* the key's start, big-endian, zero-filled: decides most
                                         comparisons without touching the key's bytes */
    uint32_t height;
    uint32_t hash;          /* free for the owner: low bits of the key's hash */
    struct tx_node *next[]; /* atomic [M3] */
};

struct tx_skiplist {
    struct tx_arena *arena;
    struct tx_node *head; /* no key; below everything */
    struct tx_node *tail; /* atomic: the last node, for reverse scans */
    uint32_t height;      /* atomic */
    uint32_t random;      /* writer's: state of the height generator */
    uint32_t tallest;     /* writer's: height of the tallest node made, in the list or not yet */
    bool sparse;          /* writer's: nodes made now get fewer levels, and take less memory */
    uint64_t count;       /* atomic: nodes */
    /* Writer's: where the last insert went, for runs in order: the last node of each level that was
     * below its key, or is its node. */
    struct tx_node *finger[TX_SKIPLIST_HEIGHT_MAX];
};

/* <0, 0, >0. */
int tx_key_compare(const struct tx_key *a, const struct tx_key *b);

/* The first bytes of a key as tx_node keeps them. */
void tx_key_prefix(const struct tx_key *key, uint64_t prefix[TX_PREFIX_WORDS]);

/* Whether two nodes, or what looks like one in key and prefix, have the same key. */
bool tx_node_same_key(const struct tx_node *a, const struct tx_node *b);

/* The arena must outlive the list. TXKV_NOMEM. */
TX_MUST_CHECK enum txkv_rc tx_skiplist_init(struct tx_skiplist *list, struct tx_arena *arena,
                                            uint32_t seed);

/*
 * tx_skiplist_insert -- the node for *key, made when there is none (*made is true then). Writer
 * only. A new node is reachable at once: its first version must therefore be given. When the node
 * existed, `first` is not used.
 *
 * key->data is kept, not copied. NULL when out of memory. Cheap for keys that come in ascending
 * order.
 */
struct tx_node *tx_skiplist_insert(struct tx_skiplist *list, const struct tx_key *key,
                                   const struct tx_version *first, bool *made);

/*
 * The two halves of an insert, for an owner that has something to do in between that can fail, and
 * knows that the key is not in the list. A node that was made (NULL when out of memory) is not
 * reachable; linking it cannot fail. Writer only.
 */
struct tx_node *tx_skiplist_make(struct tx_skiplist *list, const struct tx_key *key,
                                 const struct tx_version *first);
void tx_skiplist_link(struct tx_skiplist *list, struct tx_node *node);

/* The same for a node whose key is above that of `below`, a node of the list: no comparison when
 * that is the list's last and was linked last. Writer only. */
void tx_skiplist_link_above(struct tx_skiplist *list, const struct tx_node *below,
                            struct tx_node *node);

/* Make `version` (in memory that lives as long as the list) the node's newest. Writer only. */
void tx_node_push(struct tx_node *node, struct tx_version *version);

/* Readers. NULL when there is none. */
struct tx_node *tx_skiplist_find(const struct tx_skiplist *list, const struct tx_key *key);
struct tx_node *tx_skiplist_first_ge(const struct tx_skiplist *list,
                                     const struct tx_key *key); /* first >= key */
struct tx_node *tx_skiplist_last_le(const struct tx_skiplist *list,
                                    const struct tx_key *key); /* last <= key */
struct tx_node *tx_skiplist_first(const struct tx_skiplist *list);
struct tx_node *tx_node_next(const struct tx_node *node);
struct tx_node *tx_node_prev(const struct tx_skiplist *list, const struct tx_node *node);

static inline struct tx_version *
tx_node_newest(const struct tx_node *node)
{
    return tx_load_acquire_ptr((void *const *)&node->newest); /* [M4] */
}

/* The newest version with base <= lsn < snap, or NULL. */
static inline const struct tx_version *
tx_node_visible(const struct tx_node *node, uint64_t base, uint64_t snap)
{
    const struct tx_version *v = tx_node_newest(node);

    while (v != NULL && v->lsn >= snap)
        v = v->older;
    return v != NULL && v->lsn >= base ? v : NULL;
}

#endif /* TX_SKIPLIST_H */
