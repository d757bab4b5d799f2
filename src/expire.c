/*
 * expire.c - ends snapshots that have been open for too long.
 *
 * A snapshot is overdue when it is older than snapshot_timeout_s and something has been committed
 * since it was taken: before that, it pins nothing that is not current. Ending it gives back the
 * LMDB read transaction and the view's pin, whatever the session is doing; the transaction remains,
 * with its writes and what it knows of its reads, and is told at its next read or commit.
 *
 * Why no thread ever looks at memory that has gone.
 *   1. A snapshot's memory (memtables, the segments behind them, LMDB's pages) is reached through
 *      the fields of its transaction and of the cursors on it, by the session's calls only. The
 *      application sees copies of a watched one: txkv_get's in the session's buffer, a cursor's row
 *      in the cursor's, both as long as txkv.h promises.
 *   2. `guard` is not TX_GUARD_OFF while a watched transaction is alive, whether or not its
 *      snapshot has been ended. Only the session's thread changes it from and to TX_GUARD_OFF, so
 *      that thread's relaxed load is right.
 *   3. A guarded call moves it from IDLE to IN_CALL before it looks, and back after it has looked
 *      for the last time. The checkpointer moves it from IDLE to TAKEN, ends, and moves it back. So
 *      one of the two has it; each move out of IDLE is a compare-and-swap that acquires what the
 *      last move to IDLE has released [E1].
 *   4. A call checks `expired_us` after it has taken the guard and before it follows a pointer into
 *      a snapshot. Who has the guard is the only one to write it.
 *   5. The checkpointer holds the sessions' mutex while it has a guard. A session is unlinked under
 *      that mutex before it is freed; a call that finds the guard taken waits for the mutex.
 *
 * A session that is found in a call is told to look itself: its next call ends what is overdue
 * first, so that a scan that is hardly ever found idle is ended, too.
 *
 * Why the checkpointer may sleep. [E2] A session notes its snapshot, then (a full fence) the
 * snapshot reads the published LSN. The checkpointer reads the published LSN, then (a full fence)
 * looks at the sessions. One of the two sees the other: a snapshot that it has missed holds all
 * that was published, so that there is nothing to end before the next commit. One of this process
 * wakes a checkpointer that sleeps without a deadline [M10]; for those of others it looks again
 * after a timeout while it has seen a watched snapshot, and a session that notes one while it
 * sleeps wakes it.
 */
#include "expire.h"

#include "cursor.h"
#include "os.h"

enum { RETRY_US = 20000 }; /* a session was in a call */

static const uint64_t NEVER = UINT64_MAX;

/* What one look at the sessions goes by. */
struct look {
    uint64_t now_us, timeout_us, published_lsn;
};

static struct look
look_at(const struct tx_core *core)
{
    return (struct look){ .now_us = tx_os_now_us(),
                          .timeout_us = tx_load_relaxed_64(&core->limits.snapshot_timeout_us),
                          .published_lsn = tx_published_lsn(core) };
}

/* A snapshot may be younger than the look. */
static uint64_t
age_us(const struct look *look, uint64_t since_us)
{
    return look->now_us > since_us ? look->now_us - since_us : 0;
}

/* ---- the session's list ---- */

static void
publish_since(struct txkv_session *session)
{
    uint64_t since_us = NEVER;

    for (const struct tx_txn *txn = session->noted; txn != NULL; txn = txn->next_noted)
        if (txn->expired_us == 0)
            since_us = tx_min_u64(since_us, txn->taken_us);
    tx_store_relaxed_64(&session->since_us, since_us);
}

void
tx_expire_note(struct tx_txn *txn)
{
    struct txkv_session *session = txn->session;

    assert(txn->taken_us == 0 && !txn->watched);
    txn->taken_us = tx_os_coarse_us();
    txn->next_noted = session->noted;
    session->noted = txn;
    publish_since(session);
    if (tx_load_relaxed_64(&session->core->limits.snapshot_timeout_us) == 0)
        return;
    txn->watched = true;
    if (session->watched++ == 0)
        tx_store_relaxed_32(&session->guard, TX_GUARD_IN_CALL);
    /* It looks once more after it has said that it is idle: one of the two sees the other. */
    if (tx_load_acquire_32(&session->core->expiry_armed) == 0)
        tx_core_nudge(&session->core->checkpointer_idle,
                      &session->core->checkpointer_wake); /* [M10] */
}

void
tx_expire_forget(struct tx_txn *txn)
{
    struct txkv_session *session = txn->session;
    struct tx_txn **at = &session->noted;

    assert(txn->taken_us != 0);
    while (*at != txn)
        at = &(*at)->next_noted;
    *at = txn->next_noted;
    txn->taken_us = txn->expired_us = 0;
    publish_since(session);
    session->watched -= txn->watched; /* at 0 the call's end takes the guard off */
    txn->watched = false;
}

/* ---- ending ---- */

/* Only with the guard. How long until the session's next one is overdue. */
static uint64_t
end_overdue(struct txkv_session *session, const struct look *look)
{
    uint64_t oldest_snap = TX_LSN_NONE, wait_us = NEVER;
    uint32_t ended = 0;

    for (struct tx_txn *txn = session->noted; txn != NULL; txn = txn->next_noted) {
        const uint64_t age = age_us(look, txn->taken_us);
        const struct tx_snapshot *snapshot = &txn->snapshot;

        if (!snapshot->open)
            continue;
        if (txn->watched && snapshot->snap < look->published_lsn && age >= look->timeout_us) {
            txn->expired_us = age;
            tx_txn_drop_snapshot(txn);
            ended++;
            continue;
        }
        if (txn->watched && snapshot->snap < look->published_lsn)
            wait_us = tx_min_u64(wait_us, look->timeout_us - age);
        oldest_snap = tx_min_u64(oldest_snap, snapshot->snap);
    }
    if (ended > 0) {
        publish_since(session);
        /* Younger ones of the session need less of the history. */
        tx_store_release_64(&session->oldest_snap, oldest_snap);
        tx_count(&session->core->counters.snapshots_expired, ended);
        tx_core_want_tidy(session->core);
    }
    return wait_us;
}

/* Under the sessions' mutex. */
static uint64_t
visit(struct txkv_session *session, const struct look *look)
{
    const uint64_t age = age_us(look, tx_load_relaxed_64(&session->since_us));
    uint64_t wait_us;

    /* The bounds are those of the oldest snapshot: none of the others is overdue before it. */
    if (tx_load_acquire_32(&session->guard) == TX_GUARD_OFF)
        return NEVER;
    /* A commit of another process does not wake this one's checkpointer. */
    if (tx_load_acquire_64(&session->oldest_snap) >= look->published_lsn)
        return look->timeout_us;
    if (age < look->timeout_us)
        return look->timeout_us - age;
    if (!tx_cas_32(&session->guard, TX_GUARD_IDLE, TX_GUARD_TAKEN)) { /* [E1] */
        tx_store_relaxed_32(&session->must_look, 1);
        return RETRY_US;
    }
    wait_us = end_overdue(session, look);
    tx_store_release_32(&session->guard, TX_GUARD_IDLE); /* [E1] */
    return wait_us;
}

uint64_t
tx_expire_overdue(struct tx_core *core)
{
    const struct look look = look_at(core);
    uint64_t wait_us = NEVER;

    if (look.timeout_us == 0)
        return NEVER;
    tx_fence_full(); /* [E2] */
    (void)pthread_mutex_lock(&core->sessions_mutex);
    for (struct txkv_session *s = core->sessions; s != NULL; s = s->next)
        wait_us = tx_min_u64(wait_us, visit(s, &look));
    (void)pthread_mutex_unlock(&core->sessions_mutex);
    return wait_us;
}

/* ---- the session's side ---- */

void
tx_guard_take(struct txkv_session *session)
{
    struct tx_core *core = session->core;

    while (!tx_cas_32(&session->guard, TX_GUARD_IDLE, TX_GUARD_IN_CALL)) { /* [E1] */
        assert(tx_load_relaxed_32(&session->guard) != TX_GUARD_IN_CALL);
        (void)pthread_mutex_lock(&core->sessions_mutex); /* until the checkpointer is done */
        (void)pthread_mutex_unlock(&core->sessions_mutex);
    }
    if (tx_load_relaxed_32(&session->must_look) != 0) {
        const struct look look = look_at(core);

        tx_store_relaxed_32(&session->must_look, 0);
        (void)end_overdue(session, &look);
    }
}

void
tx_guard_give(struct txkv_session *session)
{
    assert(tx_load_relaxed_32(&session->guard) == TX_GUARD_IN_CALL);
    tx_store_release_32(&session->guard,
                        session->watched > 0 ? TX_GUARD_IDLE : TX_GUARD_OFF); /* [E1] */
}

enum txkv_rc
tx_expire_check(const struct tx_txn *txn, struct txkv_error *err)
{
    const struct tx_core *core = txn->session->core;

    if (txn->expired_us == 0)
        return TXKV_OK;
    return tx_fail(
        err, TXKV_EXPIRED,
        "store %s: snapshot_timeout_s=%llu has ended this transaction's snapshot, which was %llu s "
        "old while others had committed; roll back and run the transaction again, or raise "
        "snapshot_timeout_s",
        core->dir,
        (unsigned long long)tx_load_relaxed_64(&core->limits.snapshot_timeout_us) / 1000000,
        (unsigned long long)txn->expired_us / 1000000);
}

enum txkv_rc
tx_expire_check_commit(struct tx_txn *txn, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (txn->expired_us == 0 || txn->writes.count == 0)
        return TXKV_OK;
    rc = tx_cursor_flush_reads(txn, err);
    if (rc != TXKV_OK || tx_readset_empty(&txn->reads))
        return rc;
    return tx_expire_check(txn, err);
}

uint64_t
tx_oldest_since(struct tx_core *core)
{
    uint64_t since_us = NEVER;

    (void)pthread_mutex_lock(&core->sessions_mutex);
    for (struct txkv_session *s = core->sessions; s != NULL; s = s->next)
        since_us = tx_min_u64(since_us, tx_load_relaxed_64(&s->since_us));
    (void)pthread_mutex_unlock(&core->sessions_mutex);
    return since_us;
}
