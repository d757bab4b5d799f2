/*
 * txn.c - sessions and their transactions.
 */
#include "txn.h"

#include <string.h>

#include "expire.h"
#include "os.h"

/* Not inline, so that the way of calls without a fork is short. */
__attribute__((noinline)) enum txkv_rc
tx_check_fork_fully(const struct tx_core *core, struct txkv_error *err)
{
    if (core->fork_generation == tx_os_fork_generation())
        return TXKV_OK;
    return tx_fail(err, TXKV_FORKED,
                   "store %s was opened before fork(); a child must open its own connection after "
                   "the parent has closed the store",
                   core->dir);
}

/* ---- the life of a transaction ---- */

static void
free_txn(struct tx_txn *txn)
{
    if (txn == NULL)
        return;
    tx_tree_read_free(txn->snapshot.read);
    tx_writeset_free(&txn->writes);
    tx_readset_free(&txn->reads);
    tx_free(txn->savepoints);
    tx_free(txn);
}

enum txkv_rc
tx_txn_current(struct txkv_session *session, struct tx_txn **out, struct txkv_error *err)
{
    struct tx_txn *txn = session->current;

    *out = txn;
    if (txn != NULL)
        return TXKV_OK;
    txn = session->spare;
    session->spare = NULL;
    if (txn == NULL) {
        txn = tx_zalloc(sizeof *txn);
        if (txn == NULL)
            return tx_fail_nomem(err);
        txn->session = session;
        tx_writeset_init(&txn->writes, session->core->readonly ? NULL : session->core->dir);
        tx_readset_init(&txn->reads);
    }
    assert(txn->refs == 0 && !txn->begun && txn->writes.count == 0);
    session->current = txn;
    *out = txn;
    return TXKV_OK;
}

void
tx_txn_drop_snapshot(struct tx_txn *txn)
{
    struct txkv_session *session = txn->session;

    if (!txn->snapshot.open)
        return;
    /* First, since dropping may have the history looked through that this snapshot has kept. */
    if (--session->snapshots == 0)
        tx_store_release_64(&session->oldest_snap, TX_LSN_NONE);
    tx_snapshot_drop(session->core, &txn->snapshot);
}

void
tx_txn_unref(struct tx_txn *txn)
{
    struct txkv_session *session = txn->session;

    assert(txn->refs > 0);
    if (--txn->refs > 0)
        return;
    assert(!txn->begun && txn->cursors == NULL);
    tx_txn_drop_snapshot(txn);
    if (txn->taken_us != 0)
        tx_expire_forget(txn);
    if (session->current == txn)
        session->current = NULL;
    if (session->spare != NULL) {
        free_txn(txn);
        return;
    }
    tx_writeset_reset(&txn->writes);
    tx_readset_reset(&txn->reads);
    txn->savepoint_count = 0;
    txn->incomplete = false;
    session->spare = txn;
}

void
tx_txn_end(struct txkv_session *session)
{
    struct tx_txn *txn = session->current;

    assert(txn != NULL && txn->begun && txn->prepared_lsn == 0);
    txn->begun = false;
    session->current = NULL;
    tx_txn_unref(txn);
}

static enum txkv_rc
take_snapshot(struct tx_txn *txn, struct txkv_error *err)
{
    struct txkv_session *session = txn->session;
    enum txkv_rc rc;

    if (txn->expired_us != 0)
        return tx_expire_check(txn, err);
    /* A lower bound goes first: whoever misses it dropped only what had been published before the
     * snapshot looked at the published LSN. */
    if (session->snapshots == 0)
        tx_store_release_64(&session->oldest_snap, tx_published_lsn(session->core));
    if (txn->begun || txn->cursors != NULL)
        tx_expire_note(txn);
    tx_fence_full(); /* [M15], [E2] */
    rc = tx_snapshot_take(session->core, session->record, session->stripe, &txn->snapshot, err);
    if (rc == TXKV_OK) {
        session->snapshots++;
        return TXKV_OK;
    }
    if (session->snapshots == 0)
        tx_store_release_64(&session->oldest_snap, TX_LSN_NONE);
    if (txn->taken_us != 0)
        tx_expire_forget(txn);
    return rc;
}

enum txkv_rc
tx_txn_snapshot(struct tx_txn *txn, struct txkv_error *err)
{
    return txn->snapshot.open ? TXKV_OK : take_snapshot(txn, err);
}

uint64_t
tx_oldest_snap(struct tx_core *core, uint32_t *open)
{
    uint64_t oldest = TX_LSN_NONE;

    *open = 0;
    (void)pthread_mutex_lock(&core->sessions_mutex);
    for (struct txkv_session *s = core->sessions; s != NULL; s = s->next) {
        const uint64_t snap = tx_load_acquire_64(&s->oldest_snap); /* [M15] */

        oldest = tx_min_u64(oldest, snap);
        *open += snap != TX_LSN_NONE;
    }
    (void)pthread_mutex_unlock(&core->sessions_mutex);
    return oldest;
}

/* ---- reading one key ---- */

enum txkv_rc
tx_txn_get(struct tx_txn *txn, const struct tx_key *key, struct txkv_bytes *value,
           struct txkv_error *err)
{
    const uint64_t hash = tx_key_hash(key);
    const struct tx_write *write = tx_writeset_find(&txn->writes, key, hash);
    enum txkv_rc rc;

    if (write != NULL) {
        const struct tx_op op = tx_write_op(&txn->writes, write);

        if (op.kind == TX_OP_DELETE)
            return TXKV_NOTFOUND;
        *value = (struct txkv_bytes){ op.value, op.value_bytes };
        return TXKV_OK;
    }
    rc = tx_txn_snapshot(txn, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(&txn->session->core->catalog, key->table, txn->snapshot.snap,
                                    err);
    if (rc == TXKV_OK && txn->begun)
        rc = tx_readset_add_point(&txn->reads, key, hash, err);
    if (rc != TXKV_OK)
        return rc;
    return tx_snapshot_get(&txn->snapshot, key, hash, value, err);
}

/* ---- the public calls ---- */

enum txkv_rc
txkv_begin(struct txkv_session *session, struct txkv_error *err)
{
    struct tx_txn *txn = NULL;
    enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc == TXKV_OK)
        rc = tx_txn_current(session, &txn, err);
    if (rc != TXKV_OK)
        return rc;
    if (txn->begun)
        return tx_fail(err, TXKV_MISUSE,
                       "a transaction is open already: commit or roll it back first");
    txn->begun = true;
    txn->drops = tx_load_acquire_32(&session->core->catalog.drops);
    session->begun_us = session->losses > 0 ? tx_os_now_us() : 0;
    tx_txn_ref(txn);
    return TXKV_OK;
}

void
tx_txn_rollback(struct txkv_session *session)
{
    struct tx_txn *txn = session->current;

    tx_writeset_undo(&txn->writes, (struct tx_writeset_mark){ TX_RECORD_HEADER_BYTES, 0 });
    tx_guard_enter(session);
    tx_txn_end(session);
    tx_guard_leave(session);
}

bool
txkv_in_transaction(const struct txkv_session *session)
{
    return session->current != NULL && session->current->begun;
}

void
txkv_set_isolation(struct txkv_session *session, enum txkv_isolation isolation)
{
    session->isolation = isolation;
}

uint64_t
txkv_last_lsn(const struct txkv_session *session)
{
    return session->last_lsn;
}

bool
txkv_conflict(const struct txkv_session *session, uint32_t *table, struct txkv_bytes *key)
{
    *table = session->conflict_table;
    *key = (struct txkv_bytes){ session->conflict_key, session->conflict_key_bytes };
    return key->bytes > 0;
}

static enum txkv_rc
begun_txn(struct txkv_session *session, struct tx_txn **out, struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (session->current->prepared_lsn != 0)
        return tx_fail(err, TXKV_MISUSE,
                       "the transaction is prepared: commit it, roll it back, or unprepare it");
    *out = session->current;
    return TXKV_OK;
}

/* Forget the savepoints numbered n or above. */
static void
forget_savepoints(struct tx_txn *txn, int n)
{
    while (txn->savepoint_count > 0 && txn->savepoints[txn->savepoint_count - 1].number >= n)
        txn->savepoint_count--;
}

enum txkv_rc
txkv_savepoint(struct txkv_session *session, int n, struct txkv_error *err)
{
    struct tx_txn *txn;
    enum txkv_rc rc = begun_txn(session, &txn, err);

    if (rc != TXKV_OK)
        return rc;
    if (txn->savepoint_count == txn->savepoint_room) {
        const uint32_t room = txn->savepoint_room == 0 ? 8 : txn->savepoint_room * 2;
        struct tx_savepoint *savepoints = tx_realloc(txn->savepoints, room * sizeof *savepoints);

        if (savepoints == NULL) {
            txn->incomplete = true;
            return tx_fail_nomem(err);
        }
        txn->savepoints = savepoints;
        txn->savepoint_room = room;
    }
    forget_savepoints(txn, n);
    txn->savepoints[txn->savepoint_count++] =
        (struct tx_savepoint){ n, tx_writeset_mark(&txn->writes) };
    return TXKV_OK;
}

enum txkv_rc
txkv_rollback_to(struct txkv_session *session, int n, struct txkv_error *err)
{
    struct tx_writeset_mark mark = { TX_RECORD_HEADER_BYTES, 0 };
    struct tx_txn *txn;
    enum txkv_rc rc = begun_txn(session, &txn, err);

    if (rc != TXKV_OK)
        return rc;
    if (n < INT32_MAX)
        forget_savepoints(txn, n + 1);
    if (txn->savepoint_count > 0)
        mark = txn->savepoints[txn->savepoint_count - 1].mark;
    tx_writeset_undo(&txn->writes, mark);
    return TXKV_OK;
}

enum txkv_rc
txkv_release(struct txkv_session *session, int n, struct txkv_error *err)
{
    struct tx_txn *txn;
    enum txkv_rc rc = begun_txn(session, &txn, err);

    if (rc == TXKV_OK)
        forget_savepoints(txn, n);
    return rc;
}

static enum txkv_rc
make_key(struct txkv_session *session, uint32_t table, struct txkv_bytes bytes, struct tx_key *key,
         struct txkv_error *err)
{
    const enum txkv_rc rc = tx_catalog_check(&session->core->catalog, table, err);

    if (rc != TXKV_OK)
        return rc;
    if (bytes.bytes == 0 || bytes.data == NULL)
        return tx_fail(err, TXKV_MISUSE, "a key has at least one byte");
    if (bytes.bytes > TXKV_KEY_BYTES_MAX)
        return tx_fail(err, TXKV_TOOBIG, "the key has %zu bytes and the limit is %u", bytes.bytes,
                       TXKV_KEY_BYTES_MAX);
    *key = (struct tx_key){ bytes.data, (uint32_t)bytes.bytes, table };
    return TXKV_OK;
}

/* Outside a transaction the snapshot ends with the call, and with a guard it may end before the
 * next one, so the value is copied. */
static enum txkv_rc
keep_value(struct txkv_session *session, struct txkv_bytes *value, struct txkv_error *err)
{
    if (value->bytes > session->value_room || session->value == NULL) {
        uint8_t *room = tx_realloc(session->value, value->bytes + 64);

        if (room == NULL)
            return tx_fail_nomem(err);
        session->value = room;
        session->value_room = value->bytes + 64;
    }
    memcpy(session->value, value->data, value->bytes);
    value->data = session->value;
    return TXKV_OK;
}

enum txkv_rc
txkv_get(struct txkv_session *session, uint32_t table, struct txkv_bytes key,
         struct txkv_bytes *value, struct txkv_error *err)
{
    struct tx_txn *txn = NULL;
    struct tx_key k;
    enum txkv_rc rc;

    *value = (struct txkv_bytes){ NULL, 0 };
    rc = tx_check_fork(session->core, err);
    if (rc == TXKV_OK)
        rc = make_key(session, table, key, &k, err);
    if (rc == TXKV_OK)
        rc = tx_txn_current(session, &txn, err);
    if (rc != TXKV_OK)
        return rc;
    tx_guard_enter(session);
    tx_txn_ref(txn);
    rc = tx_txn_get(txn, &k, value, err);
    if (rc == TXKV_OK && (!txn->begun || tx_guarded(session)))
        rc = keep_value(session, value, err);
    tx_txn_unref(txn);
    tx_guard_leave(session);
    return rc;
}

enum txkv_rc
txkv_put_into(struct txkv_session *session, uint32_t table, struct txkv_bytes key,
              size_t value_bytes, uint8_t **value, struct txkv_error *err)
{
    struct tx_txn *txn = NULL;
    struct tx_key k;
    enum txkv_rc rc;

    *value = NULL;
    rc = begun_txn(session, &txn, err);
    if (rc == TXKV_OK)
        rc = make_key(session, table, key, &k, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(&session->core->catalog, table, TX_CATALOG_ALIVE, err);
    if (rc != TXKV_OK)
        return rc;
    if (value_bytes > TXKV_VALUE_BYTES_MAX)
        return tx_fail(err, TXKV_TOOBIG, "the value has %zu bytes and the limit is %u", value_bytes,
                       TXKV_VALUE_BYTES_MAX);
    return tx_writeset_add(&txn->writes, TX_OP_PUT, &k, (uint32_t)value_bytes, value, err);
}

enum txkv_rc
txkv_put(struct txkv_session *session, uint32_t table, struct txkv_bytes key,
         struct txkv_bytes value, struct txkv_error *err)
{
    struct tx_txn *txn = session->current;
    uintptr_t at = UINTPTR_MAX;
    uint32_t used = 0;
    uint8_t *into;
    enum txkv_rc rc;

    /* A value that was read from the transaction's own writes moves when their record grows. */
    if (txn != NULL && txn->writes.record.at != NULL) {
        at = (uintptr_t)value.data - (uintptr_t)txn->writes.record.at;
        used = txn->writes.record_used;
    }
    rc = txkv_put_into(session, table, key, value.bytes, &into, err);
    if (rc == TXKV_OK && value.bytes > 0)
        memcpy(into, at < used ? txn->writes.record.at + at : value.data, value.bytes);
    return rc;
}

enum txkv_rc
txkv_delete(struct txkv_session *session, uint32_t table, struct txkv_bytes key,
            struct txkv_error *err)
{
    struct tx_txn *txn = NULL;
    struct tx_key k;
    uint8_t *none;
    enum txkv_rc rc = begun_txn(session, &txn, err);

    if (rc == TXKV_OK)
        rc = make_key(session, table, key, &k, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(&session->core->catalog, table, TX_CATALOG_ALIVE, err);
    if (rc != TXKV_OK)
        return rc;
    return tx_writeset_add(&txn->writes, TX_OP_DELETE, &k, 0, &none, err);
}

/* ---- sessions ---- */

static void
link_session(struct txkv_session *session)
{
    struct tx_core *core = session->core;

    (void)pthread_mutex_lock(&core->sessions_mutex);
    session->stripe = core->session_next_stripe++;
    session->next = core->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    core->sessions = session;
    core->session_count++;
    (void)pthread_mutex_unlock(&core->sessions_mutex);
}

static void
unlink_session(struct txkv_session *session)
{
    struct tx_core *core = session->core;

    (void)pthread_mutex_lock(&core->sessions_mutex);
    if (session->next != NULL)
        session->next->previous = session->previous;
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        core->sessions = session->next;
    core->session_count--;
    (void)pthread_mutex_unlock(&core->sessions_mutex);
}

enum txkv_rc
tx_session_open(struct tx_core *core, struct txkv_session **out, struct txkv_error *err)
{
    struct txkv_session *session;
    enum txkv_rc rc = tx_check_fork(core, err);

    *out = NULL;
    if (rc != TXKV_OK)
        return rc;
    session = tx_aligned_zalloc(sizeof *session);
    if (session == NULL)
        return tx_fail_nomem(err);
    session->core = core;
    session->oldest_snap = TX_LSN_NONE;
    session->since_us = UINT64_MAX;
    tx_event_init(&session->done);
    session->record = tx_epoch_register(&core->views.epoch);
    if (session->record == NULL) {
        tx_free(session);
        return tx_fail_nomem(err);
    }
    link_session(session);
    *out = session;
    return TXKV_OK;
}

void
txkv_session_close(struct txkv_session *session)
{
    if (session == NULL || tx_check_fork(session->core, NULL) != TXKV_OK)
        return;
    txkv_rollback(session);
    assert(session->current == NULL);
    free_txn(session->spare);
    tx_free(session->spare_cursor);
    unlink_session(session);
    tx_epoch_unregister(session->record);
    tx_free(session->value);
    tx_free(session->conflict_key);
    tx_free(session);
}
