/*
 * admit.c - a committer waits while too much waits for a checkpoint.
 */
#include "admit.h"

#include "os.h"
#include "pace.h"

/* A checkpoint waits for this transaction's snapshot to end, and the transaction for the
 * checkpoint. */
static enum txkv_rc
fail_in_the_way(struct tx_core *core, struct txkv_error *err)
{
    return tx_fail(err, TXKV_BUSY,
                   "store %s: LMDB's map must grow before more can be committed, and this "
                   "transaction's snapshot is in the way: roll back and run it again",
                   core->dir);
}

static enum txkv_rc
fail_stalled(struct tx_core *core, struct txkv_error *err)
{
    struct txkv_error why;

    tx_count(&core->counters.stall_timeouts, 1);
    (void)pthread_mutex_lock(&core->failure_mutex);
    why = core->checkpoint_failure;
    (void)pthread_mutex_unlock(&core->failure_mutex);
    return tx_fail(
        err, TXKV_BUSY,
        "store %s: %llu bytes wait for a checkpoint and %llu of overlay_limit=%llu may; waited "
        "stall_timeout_ms=%llu%s%.200s; try again, or raise the limits",
        core->dir, (unsigned long long)tx_load_relaxed_64(&core->overlay_bytes),
        (unsigned long long)tx_pace_limit(core),
        (unsigned long long)tx_load_relaxed_64(&core->limits.overlay_limit),
        (unsigned long long)tx_load_relaxed_64(&core->limits.stall_timeout_us) / 1000,
        why.rc == TXKV_OK ? "" : "; the last checkpoint failed: ",
        why.rc == TXKV_OK ? "" : why.text);
}

enum txkv_rc
tx_admit(struct tx_core *core, const struct tx_txn *txn, struct txkv_error *err)
{
    uint64_t deadline;

    if (tx_load_relaxed_64(&core->overlay_bytes) <= tx_pace_limit(core))
        return TXKV_OK;
    tx_count(&core->counters.stalls, 1);
    deadline = tx_os_now_us() + tx_load_relaxed_64(&core->limits.stall_timeout_us);
    for (;;) {
        const uint32_t seen = tx_event_value(&core->drained);
        const uint64_t now = tx_os_now_us();

        /* A stopped log is not checkpointed: the leader has the answer. */
        if (tx_load_relaxed_64(&core->overlay_bytes) <= tx_pace_limit(core) ||
            tx_log_stopped(core->log))
            return TXKV_OK;
        if (txn->snapshot.open && tx_load_acquire_32(&core->map_must_grow) != 0)
            return fail_in_the_way(core, err);
        if (now >= deadline)
            return fail_stalled(core, err);
        tx_core_want_checkpoint(core);
        (void)tx_event_wait(&core->drained, seen, 0, deadline - now);
    }
}
