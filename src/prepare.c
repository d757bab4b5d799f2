/*
 * prepare.c - transactions that are committed in two steps, together with something else.
 */
#include "prepare.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "apply.h"
#include "commit.h"
#include "expire.h"
#include "os.h"

enum { PAUSE_US_MIN = 50, PAUSE_US_MAX = 1000, NOTE_TEXT_BYTES = 160 };

static uint64_t
stall_timeout(const struct tx_core *core)
{
    return tx_load_relaxed_64(&core->limits.stall_timeout_us);
}

/* Sleep a little, and longer the next time. */
static void
pause_for(uint64_t *us)
{
    const struct timespec time = { 0, (long)*us * 1000 };

    (void)nanosleep(&time, NULL);
    *us = tx_min_u64(2 * *us, PAUSE_US_MAX);
}

/* ---- who owns what is prepared ---- */

/* TXKV_LOCKED, without a message: another has it. */
static enum txkv_rc
try_claim(struct tx_core *core, struct txkv_error *err)
{
    int failed;

    if (!tx_cas_32(&core->hold_claimed, 0, 1))
        return TXKV_LOCKED;
    if (tx_share_claim(core->hold_fd))
        return TXKV_OK;
    failed = errno;
    tx_store_release_32(&core->hold_claimed, 0);
    if (failed == EAGAIN || failed == EACCES)
        return TXKV_LOCKED;
    return tx_fail_errno(err, failed, "store %s: cannot lock txkv.shm", core->dir);
}

void
tx_prepare_unclaim(struct tx_core *core)
{
    tx_share_unclaim(core->hold_fd);
    tx_store_release_32(&core->hold_claimed, 0);
}

static enum txkv_rc
fail_held(const struct tx_core *core, struct txkv_error *err)
{
    return tx_fail(err, TXKV_BUSY,
                   "store %s: process %u is between the two steps of a commit together with a "
                   "native table, and others wait for it; waited stall_timeout_ms=%llu: try again "
                   "when its COMMIT has gone through or has been rolled back, or end it",
                   core->dir, tx_load_acquire_32(&core->shared->hold_pid),
                   (unsigned long long)stall_timeout(core) / 1000);
}

/*
 * With the log taken: is a transaction prepared? Who died while it began or ended one may have left
 * hold_lsn behind: then the record is not in the log, or its decision is.
 */
static bool
is_held(struct tx_core *core)
{
    struct tx_shared *shared = core->shared;

    if (tx_load_acquire_64(&shared->hold_lsn) == 0)
        return false;
    if (shared->hold_end == tx_shared_append_lsn(shared))
        return true;
    tx_store_release_64(&shared->hold_lsn, 0);
    return false;
}

void
tx_prepare_hold(struct tx_core *core, const struct tx_log_place *place, uint32_t body_bytes)
{
    struct tx_shared *shared = core->shared;
    const struct tx_record record = {
        .lsn = place->lsn,
        .length = place->bytes,
        .type = TX_RECORD_PREPARED,
        .body = place->mapped + TX_RECORD_HEADER_BYTES,
        .body_bytes = body_bytes,
    };

    assert(shared->hold_lsn == 0);
    (void)!tx_apply_pend(core, &record, NULL); /* cannot fail: this process has written it */
    core->pending.entered = true;
    shared->hold_end = place->lsn + place->bytes;
    tx_store_release_32(&shared->hold_decision, TX_HOLD_UNDECIDED);
    tx_store_release_32(&shared->hold_pid, tx_os_pid());
    tx_store_release_64(&shared->hold_lsn, place->lsn); /* last: it says that the others count */
}

/* ---- deciding ---- */

/*
 * With the log taken and a transaction held: append its decision. The log has room for it, so what
 * can fail is memory for a transaction of another process, and a log that has stopped.
 */
static enum txkv_rc
append_decision(struct tx_core *core, bool commit, struct txkv_error *err)
{
    struct tx_shared *shared = core->shared;
    const uint64_t lsn = shared->hold_lsn;
    uint8_t record[TX_DECISION_BYTES];
    struct tx_log_place place;
    enum txkv_rc rc;

    if (core->pending.txn.lsn != lsn)
        return tx_fail(
            err, TXKV_CORRUPT,
            "store %s: the transaction prepared at LSN %llu is not in the log; end every "
            "process that has the store open, and open it again",
            core->dir, (unsigned long long)lsn);
    rc = commit ? tx_apply_enter_pending(core, err) : TXKV_OK;
    if (rc != TXKV_OK)
        return rc;
    tx_decision_encode(record, commit, lsn, core->store_id);
    rc = tx_log_place(core->log, record, sizeof record, &place, err);
    if (rc != TXKV_OK)
        return rc;
    tx_log_finish(core->log, record, &place, false);
    tx_memtable_account(tx_views_current(&core->views)->memtables[0], place.lsn, sizeof record,
                        commit);
    tx_apply_end_pending(core, commit);
    tx_store_release_64(&shared->hold_lsn, 0);
    return TXKV_OK;
}

/* The note, as text for a message. */
static void
note_text(struct txkv_bytes note, char text[NOTE_TEXT_BYTES])
{
    size_t used = 0;

    while (used < note.bytes && used + 1 < NOTE_TEXT_BYTES) {
        const uint8_t c = note.data[used];

        text[used++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    text[used] = '\0';
}

enum txkv_rc
tx_prepare_ask(struct tx_core *core, uint64_t lsn, struct txkv_bytes note, bool *commit,
               struct txkv_error *err)
{
    enum txkv_decision decision = (enum txkv_decision)tx_load_acquire_32(&core->decide);
    char text[NOTE_TEXT_BYTES];
    txkv_resolve *resolve;
    void *arg;

    (void)pthread_mutex_lock(&core->overlay_mutex);
    resolve = core->resolve;
    arg = core->resolve_arg;
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    if (decision == TXKV_UNDECIDED && resolve != NULL)
        decision = resolve(arg, core->dir, core->store_id, lsn, note);
    *commit = decision == TXKV_DECIDED_COMMIT;
    if (decision != TXKV_UNDECIDED)
        return TXKV_OK;
    note_text(note, text);
    return tx_fail(
        err, TXKV_INDOUBT,
        "store %s: the transaction at LSN %llu was being committed together with %s, and "
        "that cannot be asked now whether it was: put it back and try again, or decide: "
        "SELECT txkv_recover('%.120s', 'commit'), or 'abort'",
        core->dir, (unsigned long long)lsn, text, core->dir);
}

/*
 * With the log taken, a transaction held, and TX_BYTE_PREPARED got: its owner is dead, or has let
 * go with a decision. Find out what a dead one's would have been, with the log given back
 * meanwhile. TXKV_OK: the log is taken again. Else not.
 */
static enum txkv_rc
decide_for_the_dead(struct tx_core *core, struct txkv_error *err)
{
    struct tx_shared *shared = core->shared;
    const uint64_t lsn = shared->hold_lsn;
    struct txkv_bytes note = core->pending.note;
    uint8_t *copy;
    bool commit;
    enum txkv_rc rc;

    if (tx_load_acquire_32(&shared->hold_decision) != TX_HOLD_UNDECIDED) /* [P3] */
        return TXKV_OK;
    copy = tx_malloc(note.bytes + 1);
    if (copy != NULL && note.bytes > 0)
        memcpy(copy, note.data, note.bytes);
    note.data = copy;
    tx_apply_give_log(core);
    if (copy == NULL)
        return tx_fail_nomem(err);
    rc = tx_prepare_ask(core, lsn, note, &commit, err);
    tx_free(copy);
    if (rc == TXKV_OK)
        rc = tx_apply_take_log(core, stall_timeout(core), err);
    if (rc == TXKV_OK && is_held(core) && shared->hold_lsn == lsn &&
        tx_load_acquire_32(&shared->hold_decision) == TX_HOLD_UNDECIDED)
        tx_store_release_32(&shared->hold_decision, commit ? TX_HOLD_COMMIT : TX_HOLD_ABORT);
    return rc;
}

/* tx_prepare_settle; claimed: this thread has TX_BYTE_PREPARED already. */
static enum txkv_rc
settle(struct tx_core *core, bool claimed, struct txkv_error *err)
{
    const uint64_t until = tx_os_now_us() + stall_timeout(core);
    uint64_t pause_us = PAUSE_US_MIN;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && is_held(core)) {
        const uint32_t decision = tx_load_acquire_32(&core->shared->hold_decision); /* [P3] */
        enum txkv_rc mine;
        uint64_t now;

        if (decision != TX_HOLD_UNDECIDED) {
            rc = append_decision(core, decision == TX_HOLD_COMMIT, err);
            if (rc != TXKV_OK)
                tx_apply_give_log(core);
            continue;
        }
        mine = claimed ? TXKV_OK : try_claim(core, err);
        if (mine == TXKV_OK) {
            rc = decide_for_the_dead(core, err);
            if (!claimed)
                tx_prepare_unclaim(core);
            continue;
        }
        tx_apply_give_log(core);
        if (mine != TXKV_LOCKED)
            return mine;
        now = tx_os_now_us();
        if (now >= until)
            return fail_held(core, err);
        pause_for(&pause_us);
        rc = tx_apply_take_log(core, until - now, err);
    }
    return rc;
}

enum txkv_rc
tx_prepare_settle(struct tx_core *core, struct txkv_error *err)
{
    return settle(core, false, err);
}

/* ---- the two steps ---- */

enum txkv_rc
tx_prepare_claim(struct tx_core *core, struct txkv_error *err)
{
    const uint64_t until = tx_os_now_us() + stall_timeout(core);
    uint64_t pause_us = PAUSE_US_MIN;
    enum txkv_rc rc;

    while ((rc = try_claim(core, err)) != TXKV_OK) {
        if (rc != TXKV_LOCKED)
            return rc;
        if (tx_os_now_us() >= until)
            return fail_held(core, err);
        pause_for(&pause_us);
    }
    tx_store_release_32(&core->shared->hold_pid, tx_os_pid());
    if (tx_load_acquire_64(&core->shared->hold_lsn) == 0)
        return TXKV_OK;
    /* Others take this process for the dead one that left it. */
    rc = tx_apply_take_log(core, stall_timeout(core), err);
    if (rc == TXKV_OK)
        rc = settle(core, true, err);
    if (rc == TXKV_OK)
        tx_apply_give_log(core);
    else
        tx_prepare_unclaim(core);
    return rc;
}

enum txkv_rc
tx_prepare_record(const struct tx_core *core, const struct tx_writeset *writes,
                  struct txkv_bytes note, struct tx_room *record, uint32_t *bytes,
                  struct txkv_error *err)
{
    const uint64_t note_bytes = tx_prepared_bytes(note.bytes);
    const uint64_t ops_bytes = writes->record_used - TX_RECORD_HEADER_BYTES;
    const uint64_t length = tx_record_length(note_bytes + ops_bytes);
    uint8_t *body;
    enum txkv_rc rc;

    tx_room_init(record, writes->record.dir);
    if (note.bytes > UINT32_MAX || length > TX_RECORD_BYTES_MAX)
        return tx_fail(err, TXKV_TOOBIG,
                       "the transaction is larger than 4 GiB; commit it in several parts");
    rc = tx_room_grow(record, length, 0, err);
    if (rc != TXKV_OK)
        return rc;
    body = record->at + TX_RECORD_HEADER_BYTES;
    tx_prepared_encode(body, note);
    memcpy(body + note_bytes, writes->record.at + TX_RECORD_HEADER_BYTES, ops_bytes);
    tx_record_finish_body(record->at, TX_RECORD_PREPARED, (uint32_t)(note_bytes + ops_bytes),
                          core->store_id);
    tx_room_let_go(record, length);
    tx_writeset_let_go(writes);
    *bytes = (uint32_t)length;
    return TXKV_OK;
}

void
tx_prepare_end(struct txkv_session *session, bool commit)
{
    struct tx_core *core = session->core;
    struct tx_shared *shared = core->shared;
    struct tx_txn *txn = session->current;
    const uint64_t lsn = txn->prepared_lsn;
    bool done = false;

    assert(lsn != 0);
    /* From here on anybody may append it. */
    tx_store_release_32(&shared->hold_decision, commit ? TX_HOLD_COMMIT : TX_HOLD_ABORT); /* [P3] */
    if (tx_apply_take_log(core, stall_timeout(core), NULL) == TXKV_OK) {
        done = !is_held(core) || shared->hold_lsn != lsn ||
               append_decision(core, commit, NULL) == TXKV_OK;
        tx_apply_give_log(core);
    }
    if (done) /* all that stands before the decision is as durable as it must be: since prepare */
        tx_raise_64(&shared->published_lsn, txn->prepared_end + TX_DECISION_BYTES); /* [M9] */
    txn->prepared_lsn = txn->prepared_end = 0;
    tx_prepare_unclaim(core);
    if (!commit)
        return;
    session->last_lsn = lsn;
    tx_count(&core->counters.commits, 1);
    tx_count(&core->counters.groups, 1);
    tx_commit_nudge(core, false);
}

/* ---- the public calls that need no more than a session ---- */

uint64_t
txkv_prepared_lsn(const struct txkv_session *session)
{
    return session->current == NULL ? 0 : session->current->prepared_lsn;
}

static bool
may_end(const struct txkv_session *session)
{
    return txkv_in_transaction(session) && tx_check_fork(session->core, NULL) == TXKV_OK;
}

void
txkv_rollback(struct txkv_session *session)
{
    if (!may_end(session))
        return;
    if (txkv_prepared_lsn(session) != 0)
        tx_prepare_end(session, false);
    tx_txn_rollback(session);
}

void
txkv_commit_prepared(struct txkv_session *session)
{
    if (txkv_prepared_lsn(session) == 0) {
        txkv_rollback(session);
    } else if (may_end(session)) {
        tx_guard_enter(session);
        tx_prepare_end(session, true);
        tx_txn_end(session);
        tx_guard_leave(session);
    }
}

enum txkv_rc
txkv_unprepare(struct txkv_session *session, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (txkv_prepared_lsn(session) != 0)
        tx_prepare_end(session, false);
    return TXKV_OK;
}
