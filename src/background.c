/*
 * background.c - a store's two threads: the flusher and the checkpointer.
 */
#include "background.h"

#include "expire.h"
#include "os.h"

enum {
    TIDY_PAUSE_US = 1000,
    RETRY_BUSY_US = 20000, /* readers kept LMDB's map from growing; who waits was told to end */
    RETRY_US = 1000000     /* so that a full disk is not asked a thousand times a second */
};

static bool
stopping(const struct tx_background *background)
{
    return tx_load_acquire_32(&background->stopping) != 0;
}

/* Sleep until `deadline` or the stop, whatever else wakes the thread. */
static void
sleep_until(const struct tx_background *background, struct tx_event *wake, uint64_t deadline)
{
    for (;;) {
        const uint32_t seen = tx_event_value(wake);
        const uint64_t now = tx_os_now_us();

        if (now >= deadline || stopping(background))
            return;
        (void)tx_event_wait(wake, seen, 0, deadline - now);
    }
}

/* ---- the flusher ---- */

static bool
flush_due(const struct tx_core *core)
{
    return tx_load_relaxed_64(&core->flush_lsn) > tx_log_durable_lsn(core->log) &&
           !tx_log_stopped(core->log);
}

static bool
prepare_due(const struct tx_background *background)
{
    const struct tx_log *log = background->core->log;

    return tx_log_wants_prepare(log) && !tx_log_stopped(log);
}

static void
flush_once(struct tx_background *background)
{
    struct tx_core *core = background->core;
    const uint64_t now = tx_os_now_us();

    /* The leader makes the segment itself when this fails, so the error is its to report. */
    if (prepare_due(background) && now >= background->prepare_after &&
        tx_log_prepare(core->log, NULL) != TXKV_OK)
        background->prepare_after = now + RETRY_US;
    if (!flush_due(core))
        return;
    sleep_until(background, &core->flusher_wake,
                now + tx_load_relaxed_64(&core->limits.flush_interval_us));
    if (tx_log_sync(core->log, tx_load_relaxed_64(&core->flush_lsn), NULL) != TXKV_OK)
        assert(tx_log_stopped(core->log)); /* every committer is told from now on */
}

static void *
flusher_main(void *arg)
{
    struct tx_background *background = arg;
    struct tx_core *core = background->core;

    while (!stopping(background)) {
        const uint32_t seen = tx_event_value(&core->flusher_wake);

        flush_once(background);
        (void)tx_swap_32(&core->flusher_idle, 1);
        tx_fence_full(); /* [M10] */
        if (!flush_due(core) && !stopping(background))
            (void)tx_event_wait(&core->flusher_wake, seen, 0,
                                prepare_due(background) ? RETRY_US : UINT64_MAX);
        (void)tx_swap_32(&core->flusher_idle, 0);
    }
    return NULL;
}

/* ---- the checkpointer ---- */

static bool
checkpoint_due(const struct tx_core *core)
{
    return tx_waiting_bytes(core) > 0 && !core->readonly && !tx_log_stopped(core->log);
}

static bool
has_request(const struct tx_core *core)
{
    return tx_load_acquire_64(&core->checkpoint_wanted) != 0 ||
           tx_load_acquire_32(&core->tidy_wanted) != 0;
}

/*
 * How long to wait at most for overdue snapshots while no commit wakes the thread: a snapshot that
 * becomes one that pins something only now, or that is taken only now, is seen a timeout from now.
 */
static uint64_t
wait_untold(const struct tx_core *core, uint64_t wait_us)
{
    const uint64_t timeout_us = tx_load_relaxed_64(&core->limits.snapshot_timeout_us);

    return timeout_us == 0 ? UINT64_MAX : tx_min_u64(wait_us, timeout_us);
}

/* Wait for a request, for the stop, or, with data that LMDB lacks, for the interval, and end
 * overdue snapshots meanwhile. True when the interval is over. */
static bool
wait_for_work(struct tx_background *background)
{
    struct tx_core *core = background->core;
    uint64_t dirty_since = 0, dirty_from = 0;

    for (;;) {
        const uint32_t seen = tx_event_value(&core->checkpointer_wake);
        const uint64_t from = tx_checkpoint_lsn(core);
        uint64_t expiry_us = tx_expire_overdue(core), now, deadline;

        if (stopping(background) || has_request(core))
            return false;
        if (!checkpoint_due(core)) {
            dirty_since = 0;
            (void)tx_swap_32(&core->checkpointer_idle, 1);
            tx_fence_full(); /* [M10] */
            if (!checkpoint_due(core) && !stopping(background) && !has_request(core)) {
                expiry_us = tx_expire_overdue(core); /* again, as of now [E2] */
                tx_store_release_32(&core->expiry_armed, expiry_us != UINT64_MAX);
                (void)tx_event_wait(&core->checkpointer_wake, seen, 0, expiry_us);
            }
            (void)tx_swap_32(&core->checkpointer_idle, 0);
            continue;
        }
        now = tx_os_now_us();
        if (dirty_since == 0 || dirty_from != from) {
            dirty_since = now;
            dirty_from = from;
        }
        deadline = dirty_since + tx_load_relaxed_64(&core->limits.checkpoint_interval_us);
        if (now >= deadline)
            return true;
        (void)tx_event_wait(&core->checkpointer_wake, seen, 0,
                            tx_min_u64(deadline - now, wait_untold(core, expiry_us)));
    }
}

/* Whether a checkpoint was asked for; *seen_lsn: the checkpoint LSN at that time. */
static bool
take_request(struct tx_core *core, uint64_t *seen_lsn)
{
    uint64_t wanted;

    do {
        wanted = tx_load_acquire_64(&core->checkpoint_wanted);
        if (wanted == 0)
            return false;
    } while (!tx_cas_64(&core->checkpoint_wanted, wanted, 0));
    *seen_lsn = wanted - 1;
    return true;
}

static void *
checkpointer_main(void *arg)
{
    struct tx_background *background = arg;
    struct tx_core *core = background->core;

    while (!stopping(background)) {
        const bool timed = wait_for_work(background);
        uint64_t seen_lsn = tx_checkpoint_lsn(core);
        enum txkv_rc rc;

        if (stopping(background))
            break;
        if (tx_swap_32(&core->tidy_wanted, 0) != 0) {
            tx_checkpoint_tidy(background->checkpoint);
            if (tx_load_acquire_32(&core->tidy_wanted) != 0)
                sleep_until(background, &core->checkpointer_wake, tx_os_now_us() + TIDY_PAUSE_US);
        }
        if (!take_request(core, &seen_lsn) && !timed)
            continue;
        rc = tx_checkpoint_run(background->checkpoint, seen_lsn, NULL, NULL);
        if (rc != TXKV_OK)
            sleep_until(background, &core->checkpointer_wake,
                        tx_os_now_us() + (rc == TXKV_BUSY ? RETRY_BUSY_US : RETRY_US));
    }
    return NULL;
}

/* ---- start and stop ---- */

enum txkv_rc
tx_background_start(struct tx_background *background, struct tx_core *core,
                    struct tx_checkpoint *checkpoint, struct txkv_error *err)
{
    enum txkv_rc rc;

    *background = (struct tx_background){ .core = core, .checkpoint = checkpoint };
    rc = tx_os_thread(&background->flusher, flusher_main, background, "txkv-flush", err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_os_thread(&background->checkpointer, checkpointer_main, background, "txkv-ckpt", err);
    if (rc != TXKV_OK) {
        tx_store_release_32(&background->stopping, 1);
        tx_event_signal(&core->flusher_wake);
        (void)pthread_join(background->flusher, NULL);
    }
    return rc;
}

void
tx_background_stop(struct tx_background *background)
{
    tx_store_release_32(&background->stopping, 1);
    tx_event_signal(&background->core->flusher_wake);
    tx_event_signal(&background->core->checkpointer_wake);
    (void)pthread_join(background->flusher, NULL);
    (void)pthread_join(background->checkpointer, NULL);
}
