/*
 * cursor_private.h - what cursor.c and cursor_merge.c share.
 *
 * Layer 5: cursor.h.
 */
#ifndef TX_CURSOR_PRIVATE_H
#define TX_CURSOR_PRIVATE_H

#include "bound.h"
#include "cursor.h"
#include "tree_step.h"

enum place {
    UNPLACED, /* before the first seek, or after one that failed */
    ON_ROW,
    AT_END
};

/* An overlay source: one skip list. */
struct source {
    const struct tx_skiplist *list;
    struct tx_node *node;             /* the row it stands on, or NULL at its end */
    const struct tx_version *version; /* what the cursor sees of it */
    bool own;                         /* the transaction's writes, not a memtable */
};

/* A closed one is kept for the next, as a new one is but for what each seek sets. */
struct txkv_cursor {
    struct txkv_session *session;
    uint32_t table;
    struct tx_txn *txn;                  /* NULL until placed */
    struct txkv_cursor *next, *previous; /* in txn's list */
    enum place place;
    bool descending, point;
    struct tx_key key; /* the row */
    struct txkv_bytes value;
    bool own_value;        /* value.data is in the transaction's record, which may move: */
    uint32_t own_value_at; /* so it is looked up again from here */

    struct tx_tree_cursor *tree;
    struct tx_tree_pair pair; /* the row LMDB stands on; key NULL at its end */
    bool pair_taken;          /* the cursor has been on that row: LMDB is to step first */
    /* The tree's, while the cursor is on a row of its and LMDB alone has rows, in a range: the next
     * step may be taken here. Then pair_taken, and no own_value. Else NULL. */
    struct tx_tree_walk *near;
    uint32_t near_step; /* as tx_tree_walk_step takes it */
    bool has_end;       /* the range ends before the table does */

    struct source *sources; /* newest first */
    uint32_t source_count, source_room;
    /* The overlay's next row, when the last one taken was LMDB's; NULL: it is to be looked for. It
     * stays so until a source moves, which an own write can do at any time. */
    const struct tx_node *ahead;

    /* The range; data points into the bounds, NULL for an open end. */
    struct tx_key lo, hi;
    bool lo_open, hi_open;

    uint8_t *copy; /* of key and value, where the session has a guard */
    size_t copy_room;
    struct tx_bound lo_bound, hi_bound;
};

/* Place the overlay's sources at the start of the range; those that are at their end are left out.
 */
TX_MUST_CHECK enum txkv_rc tx_cursor_seek_sources(struct txkv_cursor *cursor,
                                                  struct txkv_error *err);

/*
 * Take the next key from the sources and LMDB's pair into cursor->key and ->value, and move all of
 * the overlay's that stand on it; LMDB's is marked as taken when it has that key. *deleted is true
 * for a tombstone. False at the end of all.
 */
bool tx_cursor_take_next(struct txkv_cursor *cursor, bool *deleted);

#endif /* TX_CURSOR_PRIVATE_H */
