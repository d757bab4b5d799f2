/*
 * pace.c - how much may wait for a checkpoint.
 */
#include "pace.h"

enum {
    LEAST_BYTES = 1 << 20, /* less makes checkpoints of little but their fixed costs */
    LEAST_PART = 16,       /* and so does less than this part of overlay_limit */
    MEMORY_PART = 64, /* a row of 280 bytes there, at the worst, holds a page of 4096 in memory */
    TIME_PART = 4,    /* of stall_timeout */
    TIME_MIN_US = 1000000 /* who waits for less does not mind failing */
};

/* What the memory allows for: all, unless data.mdb is too large for it. */
static uint64_t
memory_part(const struct tx_core *core)
{
    const uint64_t memory_bytes = tx_tree_scarce_memory(core->tree);

    return memory_bytes == 0 ? UINT64_MAX : tx_max_u64(memory_bytes / MEMORY_PART, LEAST_BYTES);
}

static void
set(struct tx_core *core, uint64_t bytes)
{
    bytes = tx_min_u64(bytes, memory_part(core));
    tx_store_relaxed_64(&core->shared->pace_bytes, bytes == UINT64_MAX ? 0 : bytes);
}

void
tx_pace_start(struct tx_core *core)
{
    if (!core->readonly) /* the shared page is not for writing then */
        set(core, tx_pace_bytes(core));
}

void
tx_pace_note(struct tx_core *core, uint64_t bytes, uint64_t us)
{
    const uint64_t time_us = tx_load_relaxed_64(&core->limits.stall_timeout_us) / TIME_PART;
    const uint64_t most = tx_load_relaxed_64(&core->limits.overlay_limit);
    const uint64_t least = tx_max_u64(most / LEAST_PART, LEAST_BYTES);
    uint64_t pace = tx_pace_bytes(core);

    if (time_us < TIME_MIN_US)
        pace = UINT64_MAX;
    else if (us > time_us && bytes >= least / 4) /* a smaller one tells nothing of the others */
        pace = tx_max_u64((uint64_t)((double)bytes / (double)us * (double)time_us), least);
    else if (us < time_us / 2)
        pace = pace < most / 2 ? 2 * pace : UINT64_MAX;
    set(core, pace);
}
