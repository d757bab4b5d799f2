/*
 * pace.h - how much may wait for a checkpoint, by how long checkpoints take here.
 *
 * A commit that finds too much waiting waits itself, and gives up after stall_timeout. Where
 * checkpoints are slow - a slow disk, or rows all over a data.mdb that does not fit into memory,
 * each on a page that has to be read first - overlay_limit bytes may take them longer than that. So
 * when one has taken more than a quarter of stall_timeout no more is let wait than it would have
 * moved in that time, though not less than a part of overlay_limit; while they take less than half
 * of it that limit is doubled. And as a checkpoint holds the pages that it changes in memory until
 * it commits, one a row at the worst, a store larger than the memory gets a part of that.
 *
 * All processes have one limit, as what waits counts for all of them: the last one to checkpoint
 * says what it is. Threads: any. Layer 6: core.h.
 */
#ifndef TX_PACE_H
#define TX_PACE_H

#include "core.h"

/* A store that has been opened, before anything is committed. */
void tx_pace_start(struct tx_core *core);

/* A checkpoint has moved so many bytes (tx_memtable_bytes) into LMDB in that time. */
void tx_pace_note(struct tx_core *core, uint64_t bytes, uint64_t us);

/* The limit; UINT64_MAX: none but the options. */
static inline uint64_t
tx_pace_bytes(const struct tx_core *core)
{
    const uint64_t bytes = tx_load_relaxed_64(&core->shared->pace_bytes);

    return bytes == 0 ? UINT64_MAX : bytes;
}

/* Above so many bytes that wait for a checkpoint commits wait: overlay_limit, or less. */
static inline uint64_t
tx_pace_limit(const struct tx_core *core)
{
    return tx_min_u64(tx_load_relaxed_64(&core->limits.overlay_limit), tx_pace_bytes(core));
}

/* From so many bytes of log on one is due: checkpoint_bytes, or less, so that it is done before
 * commits wait. The overlay counts memory as well, about as much again. */
static inline uint64_t
tx_pace_checkpoint_bytes(const struct tx_core *core)
{
    return tx_min_u64(tx_load_relaxed_64(&core->limits.checkpoint_bytes), tx_pace_bytes(core) / 4);
}

#endif /* TX_PACE_H */
