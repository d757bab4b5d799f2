/*
 * pace.c - how much may wait for a checkpoint.
 */
#include "pace.h"

enum {
    PACE_MIN_BYTES = 1 << 20, /* less makes checkpoints of little but their fixed costs */
    TOLD_MIN_BYTES = PACE_MIN_BYTES / 4, /* a smaller checkpoint tells nothing of the others */
    MEMORY_PART = 64 /* a row of 280 bytes there, at the worst, holds a page of 4096 in memory */
};

/* What the memory allows for: all, unless data.mdb is too large for it. */
static uint64_t
memory_part(const struct tx_core *core)
{
    const uint64_t memory_bytes = tx_tree_scarce_memory(core->tree);

    return memory_bytes == 0 ? UINT64_MAX : tx_max_u64(memory_bytes / MEMORY_PART, PACE_MIN_BYTES);
}

void
tx_pace_start(struct tx_core *core)
{
    tx_store_relaxed_64(&core->pace_bytes, memory_part(core));
}

void
tx_pace_note(struct tx_core *core, uint64_t bytes, uint64_t us)
{
    const uint64_t time_us = tx_load_relaxed_64(&core->limits.stall_timeout_us) / 2;
    const double pace = (double)bytes / (double)tx_max_u64(us, 1) * (double)time_us;
    uint64_t limit = memory_part(core);

    if (bytes < TOLD_MIN_BYTES)
        return;
    if (time_us > 0 && pace < (double)limit)
        limit = tx_max_u64((uint64_t)pace, PACE_MIN_BYTES);
    tx_store_relaxed_64(&core->pace_bytes, limit);
}
