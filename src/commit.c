/*
 * commit.c - makes transactions durable and visible, many per fdatasync.
 */
#include "commit.h"

#include <string.h>

#include "admit.h"
#include "apply.h"
#include "cursor.h"
#include "enter.h"
#include "os.h"
#include "pace.h"
#include "prepare.h"
#include "stamp.h"
#include "validate.h"

enum {
    ROUNDS_MAX = 32, /* then a waiter leads on */
    CALLS_MAX = 4,   /* transactions in a group that is synced and written by calls */
    WAIT_TURNS = 30  /* looks at a group that does not sync, before its waiters sleep */
};

enum outcome {
    WAITING,
    FINISHED,
    MUST_LEAD /* the stack in `inherited` is the receiver's to work off, its own request in it */
};

/* On the stack of the thread that waits for it. The leader owns it from push until it signals
 * `done`. */
struct request {
    ck_stack_entry_t link;
    struct tx_event *done; /* its owner's, or a room; lives longer than the request */
    uint32_t outcome;      /* atomic: enum outcome [M17] */
    enum txkv_rc rc;
    struct txkv_error *err; /* may be NULL */
    struct request *next;   /* in the batch */
    ck_stack_entry_t *inherited;
    /* A transaction to commit, */
    struct txkv_session *session;
    enum txkv_sync sync;
    const uint8_t *record;  /* bytes long */
    uint32_t bytes, ops_at; /* ops_at: its operations stand so far behind where they do in the write
                               set's record */
    bool prepares;          /* it is a prepared record */
    uint64_t lsn;           /* 0 until it is in the log */
    /* or a function to run. */
    enum txkv_rc (*fn)(void *arg, struct txkv_error *err);
    void *arg;
};
CK_STACK_CONTAINER(struct request, link, request_of)

/* Requests of one group that are in the log and the memtable, not yet published. */
struct batch {
    struct request *first, **last;
    uint32_t count;                        /* transactions */
    uint64_t full;                         /* requests that came for a sync */
    bool wants_sync, wants_flush, stamped; /* stamped: the clock has been read for it */
    uint64_t prepared_lsn; /* of the transaction at its end that is only prepared, or 0 */
    uint64_t end_lsn;      /* the log's end with it */
    uint64_t sync_lsn;     /* what must be durable before that is published */
};

void
tx_commit_init(struct tx_commit *commit, struct tx_core *core)
{
    memset(commit, 0, sizeof *commit);
    commit->core = core;
    for (uint32_t i = 0; i < TX_COMMIT_ROOMS; i++)
        tx_event_init(&commit->rooms[i]);
    tx_way_init(&commit->way);
}

static bool
is_room(const struct tx_commit *commit, const struct tx_event *event)
{
    bool is = false;

    for (uint32_t i = 0; i < TX_COMMIT_ROOMS; i++)
        is |= event == &commit->rooms[i];
    return is;
}

static void
finish(struct tx_commit *commit, struct request *request, enum txkv_rc rc)
{
    struct tx_event *done = request->done;

    request->rc = rc;
    tx_store_release_32(&request->outcome, FINISHED); /* [M17] */
    /* In a room the request is its owner's again already: somebody else's signal may wake it. */
    if (is_room(commit, done))
        tx_event_signal_shared_later(done, commit->wakes);
    else
        tx_event_signal_later(done, commit->wakes); /* now it is */
}

/* ---- entering a transaction ---- */

static void
add_to_batch(struct batch *batch, struct request *request)
{
    request->next = NULL;
    *batch->last = request;
    batch->last = &request->next;
}

/* Validate, append, enter. On success the request is in the batch. */
static enum txkv_rc
enter(struct tx_commit *commit, struct request *request, struct batch *batch)
{
    struct tx_core *core = commit->core;
    struct tx_memtable *memtable = tx_views_current(&core->views)->memtables[0];
    const struct tx_txn *txn = request->session->current;
    struct tx_log_place place = { .lsn = 0 };
    enum txkv_rc rc;

    /* Before the check, which would count what a failed sync left unpublished as a conflict. */
    if (tx_log_stopped(core->log))
        return tx_log_fail_stopped(core->log, request->err);
    rc = tx_validate(request->session, request->err);
    if (rc == TXKV_OK)
        rc = tx_stamp(core, &batch->stamped, request->err);
    if (rc == TXKV_OK && request->prepares) /* what must not fail afterwards is the decision */
        rc = tx_log_reserve(core->log, (uint64_t)request->bytes + TX_DECISION_BYTES, request->err);
    if (rc == TXKV_OK)
        rc = tx_log_place(core->log, request->record, request->bytes, &place, request->err);
    if (rc == TXKV_FULL)
        tx_core_want_checkpoint(core); /* it removes what it can of the log */
    if (rc != TXKV_OK)
        return rc;
    rc = tx_memtable_pin_segment(memtable, place.segment);
    if (rc == TXKV_OK)
        rc = tx_enter(memtable, &txn->writes, place.lsn, place.mapped + request->ops_at);
    if (rc == TXKV_OK && request->prepares)
        tx_prepare_hold(core, &place,
                        request->ops_at + txn->writes.record_used - TX_RECORD_HEADER_BYTES);
    /* A void record keeps the bytes: the overlay may have kept keys that point into them. */
    tx_log_finish(core->log, request->record, &place, rc != TXKV_OK);
    tx_memtable_account(memtable, place.lsn, request->bytes, rc == TXKV_OK && !request->prepares);
    if (rc != TXKV_OK)
        return tx_fail_nomem(request->err);
    request->lsn = place.lsn;
    add_to_batch(batch, request);
    if (request->prepares)
        batch->prepared_lsn = place.lsn;
    else
        batch->count++;
    batch->wants_sync |= request->sync == TXKV_SYNC_FULL;
    batch->wants_flush |= request->sync == TXKV_SYNC_NORMAL;
    return TXKV_OK;
}

static void
run_function(struct tx_commit *commit, struct request *request, struct batch *batch)
{
    const struct tx_log *log = commit->core->log;
    const uint64_t before_lsn = tx_log_end_lsn(log);
    const enum txkv_rc rc = request->fn(request->arg, request->err);

    batch->wants_sync |= tx_log_end_lsn(log) > before_lsn;
    if (rc == TXKV_OK)
        add_to_batch(batch, request);
    else
        finish(commit, request, rc);
}

/* ---- the log, for a group ---- */

/* Take the log for this process, with no transaction prepared at its end. Who sleeps, and need not,
 * is woken before others are waited for. */
static enum txkv_rc
take_log(struct tx_commit *commit, struct txkv_error *err)
{
    struct tx_core *core = commit->core;
    enum txkv_rc rc = tx_apply_take_log(core, 0, NULL);

    if (rc != TXKV_OK) {
        tx_event_wake_all(commit->wakes);
        rc = tx_apply_take_log(core, tx_load_relaxed_64(&core->limits.stall_timeout_us), err);
    }
    if (rc == TXKV_OK && tx_load_acquire_64(&core->shared->hold_lsn) != 0) {
        tx_event_wake_all(commit->wakes);
        rc = tx_prepare_settle(core, err);
    }
    return rc;
}

static void
give_log_back(struct tx_core *core, struct batch *batch)
{
    struct tx_shared *shared = core->shared;
    const uint64_t end_lsn = tx_log_end_lsn(core->log);

    if (batch->wants_sync)
        shared->sync_lsn = end_lsn;
    batch->end_lsn = batch->prepared_lsn != 0 ? batch->prepared_lsn : end_lsn;
    batch->sync_lsn = shared->sync_lsn;
    tx_apply_give_log(core);
}

/* ---- publishing a batch ---- */

void
tx_commit_nudge(struct tx_core *core, bool wants_flush)
{
    if (wants_flush || tx_log_wants_prepare(core->log))
        tx_core_nudge(&core->flusher_idle, &core->flusher_wake);
    if (tx_waiting_bytes(core) > tx_pace_checkpoint_bytes(core))
        tx_core_want_checkpoint(core);
    else
        tx_core_nudge(&core->checkpointer_idle, &core->checkpointer_wake);
}

/*
 * Sync, publish, wake. What stands in the log before the batch is published with it, also what a
 * dead process left; and who appends behind it may publish it, when all that had to be durable is.
 */
static void
flush_batch(struct tx_commit *commit, struct batch *batch)
{
    struct tx_core *core = commit->core;
    const bool wants_flush = batch->wants_flush && !batch->wants_sync;
    struct txkv_error err = { TXKV_OK, "" };
    const uint64_t began_us = batch->full > 0 ? tx_os_now_us() : 0;
    enum txkv_rc rc;

    if (tx_log_durable_lsn(core->log) < batch->sync_lsn)
        tx_event_wake_all(commit->wakes);
    rc = tx_log_sync(core->log, batch->sync_lsn, &err);
    tx_gather_note(&commit->gather, batch->full, batch->full > 0 ? tx_os_now_us() - began_us : 0);
    tx_store_release_32(&commit->last_group_synced, batch->wants_sync);
    if (rc == TXKV_OK) {
        if (wants_flush)
            tx_store_relaxed_64(&core->flush_lsn, batch->end_lsn);
        tx_raise_64(&core->shared->published_lsn, batch->end_lsn); /* [M9] visible from here on */
        tx_count(&core->counters.commits, batch->count);
        tx_count(&core->counters.groups, batch->count > 0);
        tx_commit_nudge(core, wants_flush);
    }
    while (batch->first != NULL) {
        struct request *request = batch->first;

        batch->first = request->next;
        if (rc != TXKV_OK && request->err != NULL)
            *request->err = err;
        finish(commit, request, rc);
    }
    /* The next group may be long in coming. */
    if (batch->wants_sync)
        tx_event_wake_all(commit->wakes);
}

static void
fail_all(struct tx_commit *commit, ck_stack_entry_t *stack, enum txkv_rc rc,
         const struct txkv_error *err)
{
    while (stack != NULL) {
        struct request *request = request_of(stack);

        stack = stack->next;
        if (request->err != NULL)
            *request->err = *err;
        finish(commit, request, rc);
    }
}

/* Whether a drained stack is a few transactions that are synced. */
static bool
is_small_synced(ck_stack_entry_t *stack)
{
    bool synced = false;
    uint32_t count = 0;

    for (; stack != NULL && count <= CALLS_MAX; stack = stack->next, count++)
        synced |= request_of(stack)->sync == TXKV_SYNC_FULL;
    return synced && count <= CALLS_MAX;
}

/* Work off a drained stack; or only up to a transaction that was prepared, *prepared, and return
 * the rest. */
static ck_stack_entry_t *
work_off(struct tx_commit *commit, ck_stack_entry_t *stack, bool *prepared)
{
    struct tx_core *core = commit->core;
    struct batch batch = { .last = &batch.first };
    struct txkv_error err;
    enum txkv_rc rc = take_log(commit, &err);

    if (rc != TXKV_OK) {
        fail_all(commit, stack, rc, &err);
        return NULL;
    }
    tx_log_write_by_calls(core->log, is_small_synced(stack));
    while (stack != NULL && batch.prepared_lsn == 0) {
        struct request *request = request_of(stack);

        stack = stack->next;
        if (request->session == NULL) {
            run_function(commit, request, &batch);
            continue;
        }
        batch.full += request->sync == TXKV_SYNC_FULL;
        rc = enter(commit, request, &batch);
        if (rc != TXKV_OK)
            finish(commit, request, rc);
    }
    give_log_back(core, &batch);
    *prepared |= batch.prepared_lsn != 0;
    flush_batch(commit, &batch);
    return stack;
}

/* ---- leading ---- */

static bool
try_lead(struct tx_commit *commit)
{
    return tx_cas_32(&commit->leading, 0, 1); /* [M11] */
}

/* Give the place to the owner of the oldest request, with all that wait. */
static void
hand_on(ck_stack_entry_t *stack)
{
    struct request *heir = request_of(stack);
    struct tx_event *done = heir->done;

    heir->inherited = stack;
    tx_store_release_32(&heir->outcome, MUST_LEAD); /* [M17] */
    tx_event_signal(done);                          /* in a room the others look up, and sleep on */
}

/* All that wait. Those who come from now on are of another group, and sleep in another room. */
static ck_stack_entry_t *
drain(struct tx_commit *commit)
{
    ck_stack_entry_t *stack = tx_mpsc_drain(&commit->submitted);
    const uint32_t next = tx_load_relaxed_32(&commit->room) % TX_COMMIT_ROOMS + 1;

    tx_store_relaxed_32(&commit->room, tx_gather_many(&commit->gather) ? next : 0);
    return stack;
}

/* Both, the first one's requests first. */
static ck_stack_entry_t *
append(ck_stack_entry_t *stack, ck_stack_entry_t *more)
{
    ck_stack_entry_t *last = stack;

    if (stack == NULL)
        return more;
    while (last->next != NULL)
        last = last->next;
    last->next = more;
    return stack;
}

/*
 * Work off the stack until it is empty, or for ROUNDS_MAX rounds, or up to a prepared transaction,
 * or, of few committers, until one's own request is done; and then hand it on. A request pushed
 * after the last drain is not stranded: its owner pushed (a full barrier) before it found `leading`
 * taken; the leader gives `leading` back before it looks at the stack once more, a full fence
 * between. One of the two sees the other.
 */
static void
lead(struct tx_commit *commit, ck_stack_entry_t *stack, const struct request *own)
{
    struct tx_event_wakes wakes = { 0 };
    bool prepared = false;

    commit->wakes = &wakes;
    for (uint32_t round = 0;; round++) {
        const bool few = tx_gather_few(&commit->gather) > 0;
        const bool served = tx_load_relaxed_32(&own->outcome) == FINISHED;

        if (few ? !served : stack == NULL)
            tx_gather_wait(&commit->gather);
        stack = append(stack, drain(commit));
        if (stack == NULL) {
            tx_store_release_32(&commit->leading, 0); /* [M11] */
            tx_fence_full();
            if (tx_mpsc_empty(&commit->submitted) || !try_lead(commit))
                break;
            commit->wakes = &wakes;
            continue;
        }
        if (round >= ROUNDS_MAX || prepared || (few && served)) {
            hand_on(stack);
            break;
        }
        stack = work_off(commit, stack, &prepared);
    }
    /* Now, that the place is another's: who wakes a thread may lose the CPU to it. */
    tx_event_wake_all(&wakes);
}

/*
 * Where the request's owner waits. To wake a thread costs a system call, and whom it wakes may take
 * the CPU before the next one is woken: so many committers sleep on one word, which one call wakes.
 * But not those that may lose, and be told so before their group is synced.
 */
static struct tx_event *
waiting_place(struct tx_commit *commit, const struct request *request)
{
    const uint32_t room = tx_load_relaxed_32(&commit->room);

    if (room == 0 || request->sync != TXKV_SYNC_FULL || request->session == NULL ||
        !tx_readset_empty(&request->session->current->reads))
        return request->done;
    return &commit->rooms[room - 1];
}

/* Push the request and wait until it is finished, leading where nobody else does. */
static enum txkv_rc
submit(struct tx_commit *commit, struct request *request)
{
    struct tx_event *done = waiting_place(commit, request);
    uint32_t seen = tx_event_value(done);

    request->done = done;
    request->outcome = WAITING;
    if (request->sync == TXKV_SYNC_FULL)
        tx_gather_announce(&commit->gather);
    tx_mpsc_push(&commit->submitted, &request->link); /* [M1] */
    if (try_lead(commit))
        lead(commit, NULL, request);
    for (;;) {
        const bool spin = tx_load_acquire_32(&commit->last_group_synced) == 0;
        uint32_t outcome;

        (void)tx_event_wait(done, seen, spin ? WAIT_TURNS : 0, UINT64_MAX); /* [M5] */
        seen = tx_event_value(done); /* before the outcome: what comes after it changes the value */
        outcome = tx_load_acquire_32(&request->outcome); /* [M17] */
        if (outcome == FINISHED)
            return request->rc;
        if (outcome == MUST_LEAD) {
            request->outcome = WAITING;
            lead(commit, request->inherited, request);
        }
    }
}

/* ---- the committer's side ---- */

/* What the leader needs and the committer can compute: the sorted read set, the order of the
 * writes. */
static enum txkv_rc
arrange(struct tx_txn *txn, struct txkv_error *err)
{
    enum txkv_rc rc = tx_cursor_flush_reads(txn, err);

    if (rc != TXKV_OK)
        return rc;
    if (txn->incomplete)
        return tx_fail_nomem(err);
    tx_readset_seal(&txn->reads);
    tx_writeset_prepare(&txn->writes);
    return TXKV_OK;
}

/* And the body's checksum: of the record that the writes stand in, or of one that was prepared. */
static void
finish_body(const struct tx_core *core, struct tx_writeset *set, struct request *request)
{
    const uint32_t body_bytes = set->record_used - TX_RECORD_HEADER_BYTES;

    if (request->prepares)
        return;
    tx_record_finish_body(set->record.at, TX_RECORD_TXN, body_bytes, core->store_id);
    request->record = set->record.at;
    request->bytes = (uint32_t)tx_record_length(body_bytes);
}

static enum txkv_rc
commit_request(struct tx_commit *commit, struct request *request)
{
    struct txkv_session *session = request->session;
    struct txkv_error *err = request->err;
    struct tx_txn *txn = session->current;
    enum txkv_rc rc;

    rc = tx_refuse_readonly(commit->core, err);
    if (rc != TXKV_OK)
        return rc;
    session->conflict_key_bytes = 0;
    tx_way_give(&commit->way, session);
    rc = tx_admit(commit->core, txn, err);
    if (rc == TXKV_OK)
        rc = arrange(txn, err);
    if (rc == TXKV_OK) {
        finish_body(commit->core, &txn->writes, request);
        rc = submit(commit, request);
    }
    if (rc == TXKV_OK) {
        tx_way_end(&commit->way, session);
    } else if (rc == TXKV_CONFLICT) {
        tx_way_lose(session);
        if (session->conflict_key_bytes > 0)
            return tx_validate_message(session, err);
    }
    return rc;
}

enum txkv_rc
tx_commit_transaction(struct tx_commit *commit, struct txkv_session *session, enum txkv_sync sync,
                      struct txkv_error *err)
{
    struct request request = {
        .done = &session->done, .err = err, .session = session, .sync = sync
    };
    enum txkv_rc rc;

    assert(txkv_in_transaction(session));
    if (session->current->writes.count == 0)
        return TXKV_OK;
    rc = commit_request(commit, &request);
    if (rc == TXKV_OK)
        session->last_lsn = request.lsn;
    return rc;
}

enum txkv_rc
tx_commit_prepare(struct tx_commit *commit, struct txkv_session *session, struct txkv_bytes note,
                  struct txkv_error *err)
{
    struct request request = { .done = &session->done,
                               .err = err,
                               .session = session,
                               .sync = TXKV_SYNC_FULL,
                               .prepares = true };
    struct tx_txn *txn = session->current;
    struct tx_room record;
    enum txkv_rc rc;

    assert(txn != NULL && txn->begun && txn->writes.count > 0 && txn->prepared_lsn == 0);
    rc = tx_prepare_record(commit->core, &txn->writes, note, &record, &request.bytes, err);
    if (rc != TXKV_OK)
        return rc;
    request.record = record.at;
    request.ops_at = (uint32_t)tx_prepared_bytes(note.bytes);
    rc = commit_request(commit, &request);
    txn->prepared_lsn = request.lsn;
    txn->prepared_end = request.lsn + request.bytes;
    tx_room_free(&record);
    return rc;
}

enum txkv_rc
tx_commit_run(struct tx_commit *commit, struct tx_event *done,
              enum txkv_rc (*fn)(void *arg, struct txkv_error *err), void *arg,
              struct txkv_error *err)
{
    struct request request = { .done = done, .err = err, .fn = fn, .arg = arg };

    return submit(commit, &request);
}
