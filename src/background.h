/*
 * background.h - a store's two threads: the flusher and the checkpointer.
 *
 * The flusher syncs the log flush_interval after the first commit that waits for it, and makes the
 * next segment ahead of time. The checkpointer runs a checkpoint checkpoint_interval after the
 * first commit that LMDB does not have, when the log has grown past checkpoint_bytes, or when
 * committers stall; frees what readers have let go of; and ends snapshots that are older than
 * snapshot_timeout. They are two because a checkpoint may
 * take longer than flush_interval allows the log to stay unsynced. Both sleep without a deadline
 * while they have nothing to do.
 *
 * Layer 7: checkpoint.h.
 */
#ifndef TX_BACKGROUND_H
#define TX_BACKGROUND_H

#include "checkpoint.h"

struct tx_background {
    struct tx_core *core;
    struct tx_checkpoint *checkpoint;
    uint32_t stopping;      /* atomic */
    uint64_t prepare_after; /* the flusher's: when to try again to make a segment ahead of time */
    pthread_t flusher, checkpointer;
};

TX_MUST_CHECK enum txkv_rc tx_background_start(struct tx_background *background,
                                               struct tx_core *core,
                                               struct tx_checkpoint *checkpoint,
                                               struct txkv_error *err);

/* Wakes and joins both threads; a checkpoint that runs is finished first. */
void tx_background_stop(struct tx_background *background);

#endif /* TX_BACKGROUND_H */
