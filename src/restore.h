/*
 * restore.h - what the files restore*.c share: the new store that is filled from records.
 *
 * Records are written in batches that are sorted by key as a checkpoint's are. Nobody sees the
 * states in between, so a batch may end inside of a transaction.
 *
 * Threads: one. Layer 7: tree.h, keysort.h.
 */
#ifndef TX_RESTORE_H
#define TX_RESTORE_H

#include "keysort.h"
#include "mem.h"
#include "record.h"
#include "segment.h"
#include "tree.h"

#define TX_REPLAY_SEGMENTS_MAX 8u /* mapped for a batch */

struct tx_replay_operation {
    struct tx_key key;
    const uint8_t *value; /* NULL: deleted */
    uint32_t value_bytes;
};

/* A table, by its slot; the texts are the arena's. */
struct tx_replay_table {
    struct tx_table_def def;
    bool alive;
};

struct tx_replay {
    struct tx_tree *tree; /* the caller's */
    struct tx_arena arena;
    struct tx_replay_table *tables;

    /* What waits to be written, and the segments that it stands in. */
    struct tx_replay_operation *operations;
    struct tx_sort_item *items;
    uint32_t count, room;
    struct tx_segment *segments[TX_REPLAY_SEGMENTS_MAX];
    uint32_t segment_count;

    struct tx_record pending; /* a prepared transaction; lsn 0: none */
    struct tx_segment *pending_segment;
    uint64_t end_lsn; /* of what was taken so far */
    uint64_t ms;      /* the newest time among it */
    struct txkv_restore_report *report;
};

/* For a store as it is. tx_replay_end in every case. */
TX_MUST_CHECK enum txkv_rc tx_replay_begin(struct tx_replay *replay, struct tx_tree *tree,
                                           struct txkv_restore_report *report,
                                           struct txkv_error *err);

/* Take the next record, whose body stands in the segment. TXKV_CORRUPT when it cannot be the next
 * one. */
TX_MUST_CHECK enum txkv_rc tx_replay_take(struct tx_replay *replay, const struct tx_record *record,
                                          struct tx_segment *segment, struct txkv_error *err);

/* That was all: write what waits. A transaction that waits for its decision is left out. */
TX_MUST_CHECK enum txkv_rc tx_replay_finish(struct tx_replay *replay, struct txkv_error *err);

void tx_replay_end(struct tx_replay *replay);

#endif /* TX_RESTORE_H */
