/*
 * pace.h - how much may wait for a checkpoint, by how long checkpoints take here.
 *
 * A commit that finds too much waiting waits itself, and gives up after stall_timeout. Where
 * checkpoints are slow - a slow disk, or rows all over a data.mdb that does not fit into memory,
 * each on a page that has to be read first - overlay_limit bytes may take them longer than that. So
 * no more is let wait than the last one would have moved in half of stall_timeout: writers go as
 * fast as the disk does, and none fails. And as a checkpoint holds the pages that it changes in
 * memory until it commits, one a row at the worst, a store larger than the memory gets a part of
 * that.
 *
 * Threads: any; one checkpoint at a time notes. Layer 6: core.h.
 */
#ifndef TX_PACE_H
#define TX_PACE_H

#include "core.h"

/* Before anything is committed. */
void tx_pace_start(struct tx_core *core);

/* A checkpoint has moved so many bytes (tx_memtable_bytes) in that time. */
void tx_pace_note(struct tx_core *core, uint64_t bytes, uint64_t us);

/* Above so many bytes that wait for a checkpoint commits wait: overlay_limit, or less. */
static inline uint64_t
tx_pace_limit(const struct tx_core *core)
{
    return tx_min_u64(tx_load_relaxed_64(&core->limits.overlay_limit),
                      tx_load_relaxed_64(&core->pace_bytes));
}

/* From so many bytes of log on one is due: checkpoint_bytes, or less, so that it is done before
 * commits wait. The overlay counts memory as well, about as much again. */
static inline uint64_t
tx_pace_checkpoint_bytes(const struct tx_core *core)
{
    return tx_min_u64(tx_load_relaxed_64(&core->limits.checkpoint_bytes),
                      tx_load_relaxed_64(&core->pace_bytes) / 4);
}

#endif /* TX_PACE_H */
