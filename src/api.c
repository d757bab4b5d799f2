/*
 * api.c - the public calls that need more of a store than a session has: tables, commits,
 * checkpoints, verification.
 */
#include <string.h>

#include "apply.h"
#include "expire.h"
#include "mem.h"
#include "prepare.h"
#include "store.h"

const char *
txkv_dir(const struct txkv *store)
{
    return store->core.dir;
}

enum txkv_rc
txkv_session_open(struct txkv *store, struct txkv_session **out, struct txkv_error *err)
{
    return tx_session_open(&store->core, out, err);
}

/* ---- tables ---- */

struct make_table {
    struct tx_core *core;
    struct tx_table_def def;
};

/* In the leader's place: append a table's record. *lsn is the record's. */
static enum txkv_rc
append_table(struct tx_core *core, const struct tx_table_def *def, uint64_t *lsn,
             struct txkv_error *err)
{
    const uint32_t body_bytes = tx_table_def_bytes(def);
    const uint32_t bytes = (uint32_t)tx_record_length(body_bytes);
    uint8_t *record = tx_zalloc(bytes);
    struct tx_log_place place;
    enum txkv_rc rc;

    if (record == NULL)
        return tx_fail_nomem(err);
    tx_table_def_encode(record + TX_RECORD_HEADER_BYTES, def);
    tx_record_finish_body(record, TX_RECORD_TABLE, body_bytes, core->store_id);
    rc = tx_log_place(core->log, record, bytes, &place, err);
    if (rc == TXKV_OK) {
        tx_log_finish(core->log, record, &place, false);
        tx_memtable_account(tx_views_current(&core->views)->memtables[0], place.lsn, bytes, 0);
        *lsn = place.lsn;
    }
    tx_free(record);
    return rc;
}

/* In the leader's place, at the log's end: nobody, in no process, makes a table meanwhile. */
static enum txkv_rc
make_table(void *arg, struct txkv_error *err)
{
    struct make_table *make = arg;
    struct tx_core *core = make->core;
    struct tx_catalog *catalog = &core->catalog;
    enum txkv_rc rc = TXKV_OK;
    uint64_t lsn = 0;

    (void)pthread_mutex_lock(&catalog->mutex);
    if (tx_catalog_find(catalog, make->def.name) != NULL)
        goto out;
    make->def.table = catalog->table_max + 1;
    rc = make->def.table <= TX_TREE_TABLES_MAX
             ? tx_catalog_add(catalog, &make->def, TX_LSN_NONE, false, err)
             : tx_fail(err, TXKV_FULL, "store %s has %u tables and takes no more", core->dir,
                       TX_TREE_TABLES_MAX);
    if (rc != TXKV_OK)
        goto out;
    /* What may fail for want of memory is done: a record in the log cannot be taken back. */
    rc = append_table(core, &make->def, &lsn, err);
    if (rc == TXKV_OK)
        catalog->entries->define_lsn = lsn;
    else
        tx_catalog_take_back(catalog);
out:
    (void)pthread_mutex_unlock(&catalog->mutex);
    return rc;
}

/* The table, if it is there and has that shape (NULL: any). TXKV_NOTFOUND when it is not there. */
static enum txkv_rc
find_table(struct tx_core *core, const char *name, const char *shape, uint32_t *table,
           struct txkv_error *err)
{
    const struct tx_catalog_entry *entry;
    enum txkv_rc rc = TXKV_OK;

    (void)pthread_mutex_lock(&core->catalog.mutex);
    entry = tx_catalog_find(&core->catalog, name);
    if (entry == NULL)
        rc = TXKV_NOTFOUND;
    else if (shape != NULL && strcmp(shape, entry->shape) != 0)
        rc = tx_fail(
            err, TXKV_SCHEMA,
            "store %s: table %s exists with another shape: it is %.150s, and %.150s was asked "
            "for; take the stored shape or another name",
            core->dir, name, entry->shape, shape);
    else
        *table = entry->table;
    (void)pthread_mutex_unlock(&core->catalog.mutex);
    return rc;
}

enum txkv_rc
txkv_table(struct txkv *store, const char *name, const char *shape, bool create, uint32_t *table,
           struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct make_table make = { core, { .name = name, .shape = shape == NULL ? "" : shape } };
    struct tx_event done;
    enum txkv_rc rc = tx_check_fork(core, err);

    if (rc != TXKV_OK)
        return rc;
    if (name[0] == '\0' || strlen(name) > TXKV_TABLE_NAME_BYTES_MAX)
        return tx_fail(err, TXKV_MISUSE, "a table's name has 1 to %u bytes",
                       TXKV_TABLE_NAME_BYTES_MAX);
    rc = find_table(core, name, shape, table, err);
    if (rc != TXKV_NOTFOUND)
        return rc;
    /* Another process may have made it. */
    rc = tx_apply_published(core, tx_published_lsn(core), err);
    if (rc == TXKV_OK)
        rc = find_table(core, name, shape, table, err);
    if (rc == TXKV_NOTFOUND && !create)
        return tx_fail(err, TXKV_SCHEMA, "store %s has no table %s", core->dir, name);
    if (rc != TXKV_NOTFOUND)
        return rc;
    rc = tx_refuse_readonly(core, err);
    if (rc != TXKV_OK)
        return rc;
    make.def.name_bytes = (uint32_t)strlen(name);
    make.def.shape_bytes = (uint32_t)strlen(make.def.shape);
    tx_event_init(&done);
    rc = tx_commit_run(&store->commit, &done, make_table, &make, err);
    return rc == TXKV_OK ? find_table(core, name, shape, table, err) : rc;
}

const char *
txkv_table_shape(struct txkv *store, uint32_t table)
{
    struct tx_catalog *catalog = &store->core.catalog;
    const struct tx_catalog_entry *entry;

    if (tx_check_fork(&store->core, NULL) != TXKV_OK)
        return NULL;
    (void)pthread_mutex_lock(&catalog->mutex);
    entry = tx_catalog_by_number(catalog, table);
    (void)pthread_mutex_unlock(&catalog->mutex);
    return entry == NULL ? NULL : entry->shape;
}

uint64_t
txkv_row_estimate(struct txkv_session *session, uint32_t table)
{
    struct tx_txn *txn;
    uint64_t rows = 0;

    if (tx_check_fork(session->core, NULL) != TXKV_OK ||
        tx_catalog_check(&session->core->catalog, table, NULL) != TXKV_OK ||
        tx_txn_current(session, &txn, NULL) != TXKV_OK)
        return 0;
    tx_guard_enter(session);
    tx_txn_ref(txn);
    if (tx_txn_snapshot(txn, NULL) == TXKV_OK) {
        const struct tx_snapshot *snapshot = &txn->snapshot;

        rows = tx_tree_rows(snapshot->read, table);
        for (uint32_t i = 0; i < snapshot->view->count; i++)
            if (tx_snapshot_sees(snapshot, snapshot->view->memtables[i]))
                rows += tx_memtable_table_keys(snapshot->view->memtables[i], table);
    }
    tx_txn_unref(txn);
    tx_guard_leave(session);
    return rows;
}

/* ---- commits and maintenance ---- */

enum txkv_rc
txkv_commit(struct txkv_session *session, enum txkv_sync sync, struct txkv_error *err)
{
    struct txkv *store = TX_CONTAINER(session->core, struct txkv, core);
    enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (session->current->prepared_lsn != 0)
        return tx_fail(err, TXKV_MISUSE,
                       "the transaction is prepared: call txkv_commit_prepared, or roll it back");
    tx_guard_enter(session);
    rc = tx_expire_check_commit(session->current, err);
    if (rc == TXKV_OK)
        rc = tx_commit_transaction(&store->commit, session, sync, err);
    if (rc == TXKV_OK)
        tx_txn_end(session);
    tx_guard_leave(session);
    return rc;
}

static enum txkv_rc
prepare(struct txkv_session *session, struct txkv_bytes note, struct txkv_error *err)
{
    struct tx_core *core = session->core;
    struct txkv *store = TX_CONTAINER(core, struct txkv, core);
    enum txkv_rc rc = tx_prepare_claim(core, err);

    if (rc != TXKV_OK)
        return rc;
    rc = tx_commit_prepare(&store->commit, session, note, err);
    if (rc != TXKV_OK && session->current->prepared_lsn != 0)
        tx_prepare_end(session, false);
    else if (rc != TXKV_OK)
        tx_prepare_unclaim(core);
    return rc;
}

enum txkv_rc
txkv_prepare(struct txkv_session *session, struct txkv_bytes note, struct txkv_error *err)
{
    struct tx_core *core = session->core;
    enum txkv_rc rc = tx_check_fork(core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (session->current->prepared_lsn != 0 || session->current->writes.count == 0)
        return TXKV_OK;
    rc = tx_refuse_readonly(core, err);
    if (rc != TXKV_OK)
        return rc;
    tx_guard_enter(session);
    rc = tx_expire_check_commit(session->current, err);
    if (rc == TXKV_OK)
        rc = prepare(session, note, err);
    tx_guard_leave(session);
    return rc;
}

uint64_t
txkv_store_id(const struct txkv *store)
{
    return store->core.store_id;
}

enum txkv_rc
txkv_checkpoint(struct txkv *store, struct txkv_checkpoint_report *report, struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(&store->core, err);
    return rc == TXKV_OK ? tx_checkpoint_run(&store->checkpoint, TX_LSN_NONE, report, err) : rc;
}

void
txkv_recovery(const struct txkv *store, struct txkv_recovery_report *report)
{
    *report = store->recovery;
}

enum txkv_rc
txkv_verify(struct txkv *store, struct txkv_recovery_report *report, struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(&store->core, err);
    return rc == TXKV_OK ? tx_checkpoint_verify(&store->checkpoint, report, err) : rc;
}
