/*
 * tables.c - the public calls about a store's tables: making, finding, listing, renaming and
 * dropping them.
 *
 * What changes the catalog is a record in the log, appended in the leader's place, and durable when
 * the call returns. What may fail for want of memory is done before it is appended: a record in the
 * log cannot be taken back.
 */
#include <string.h>

#include "apply.h"
#include "expire.h"
#include "mem.h"
#include "order.h"
#include "stamp.h"
#include "store.h"

/* ---- making and finding ---- */

struct make_table {
    struct tx_core *core;
    struct tx_table_def def;
};

/* In the leader's place: append a record about tables, whose body stands behind room for its
 * header. *lsn is the record's. */
static enum txkv_rc
append(struct tx_core *core, enum tx_record_type type, uint8_t *record, uint32_t body_bytes,
       uint64_t *lsn, struct txkv_error *err)
{
    const uint32_t bytes = (uint32_t)tx_record_length(body_bytes);
    struct tx_log_place place;
    bool stamped = false;
    enum txkv_rc rc;

    tx_record_finish_body(record, type, body_bytes, core->store_id);
    rc = tx_stamp(core, &stamped, err);
    if (rc == TXKV_OK)
        rc = tx_log_place(core->log, record, bytes, &place, err);
    if (rc == TXKV_OK) {
        tx_log_finish(core->log, record, &place, false);
        tx_memtable_account(tx_views_current(&core->views)->memtables[0], place.lsn, bytes, 0);
        *lsn = place.lsn;
    }
    return rc;
}

static enum txkv_rc
append_table(struct tx_core *core, const struct tx_table_def *def, uint64_t *lsn,
             struct txkv_error *err)
{
    const uint32_t body_bytes = tx_table_def_bytes(def);
    uint8_t *record = tx_zalloc(tx_record_length(body_bytes));
    enum txkv_rc rc;

    if (record == NULL)
        return tx_fail_nomem(err);
    tx_table_def_encode(record + TX_RECORD_HEADER_BYTES, def);
    rc = append(core, TX_RECORD_TABLE, record, body_bytes, lsn, err);
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
    make->def.table = tx_catalog_new_number(catalog, tx_checkpoint_lsn(core));
    rc = make->def.table != 0
             ? tx_catalog_add(catalog, &make->def, TX_LSN_NONE, err)
             : tx_fail(err, TXKV_FULL,
                       "store %s has %u tables and takes no more: drop some, and checkpoint",
                       core->dir, TX_TREE_TABLES_MAX);
    if (rc != TXKV_OK)
        goto out;
    rc = append_table(core, &make->def, &lsn, err);
    if (rc == TXKV_OK)
        catalog->entries->define_lsn = catalog->entries->name_lsn = lsn;
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

static enum txkv_rc
check_name(const char *name, struct txkv_error *err)
{
    if (name[0] != '\0' && strlen(name) <= TXKV_TABLE_NAME_BYTES_MAX)
        return TXKV_OK;
    return tx_fail(err, TXKV_MISUSE, "a table's name has 1 to %u bytes", TXKV_TABLE_NAME_BYTES_MAX);
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
    rc = check_name(name, err);
    if (rc != TXKV_OK)
        return rc;
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
    if (rc == TXKV_OK)
        rc = find_table(core, name, shape, table, err);
    return rc == TXKV_NOTFOUND ? tx_fail(err, TXKV_SCHEMA, "store %s: table %s was dropped at once",
                                         core->dir, name)
                               : rc;
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

bool
txkv_table_next(struct txkv *store, uint32_t *table, char name[TXKV_TABLE_NAME_BYTES_MAX + 1])
{
    struct tx_core *core = &store->core;
    const struct tx_catalog_entry *next = NULL;

    if (tx_check_fork(core, NULL) != TXKV_OK)
        return false;
    /* Without memory the list lacks what other processes have just made. */
    if (*table == 0)
        (void)!tx_apply_published(core, tx_published_lsn(core), NULL);
    (void)pthread_mutex_lock(&core->catalog.mutex);
    for (const struct tx_catalog_entry *e = core->catalog.entries; e != NULL; e = e->next)
        if (e->drop_lsn == TX_CATALOG_ALIVE && e->table > *table &&
            (next == NULL || e->table < next->table))
            next = e;
    if (next != NULL) {
        *table = next->table;
        memcpy(name, next->name, strlen(next->name) + 1);
    }
    (void)pthread_mutex_unlock(&core->catalog.mutex);
    return next != NULL;
}

bool
txkv_table_name(struct txkv *store, uint32_t table, char name[TXKV_TABLE_NAME_BYTES_MAX + 1])
{
    struct tx_catalog *catalog = &store->core.catalog;
    const struct tx_catalog_entry *entry;

    if (tx_check_fork(&store->core, NULL) != TXKV_OK)
        return false;
    (void)pthread_mutex_lock(&catalog->mutex);
    entry = tx_catalog_by_number(catalog, table);
    if (entry != NULL)
        memcpy(name, entry->name, strlen(entry->name) + 1);
    (void)pthread_mutex_unlock(&catalog->mutex);
    return entry != NULL;
}

/* ---- dropping and renaming ---- */

struct change_tables {
    struct tx_core *core;
    enum tx_record_type type;
    struct tx_table_change *changes;
    uint32_t count;
    uint8_t *record; /* header room and body */
    uint32_t body_bytes;
};

static enum txkv_rc
check_change(const struct change_tables *change, const struct tx_table_change *c,
             struct txkv_error *err)
{
    struct tx_catalog *catalog = &change->core->catalog;
    const struct tx_catalog_entry *entry = tx_catalog_by_number(catalog, c->table), *other;

    if (entry == NULL)
        return tx_fail(err, TXKV_MISUSE, "no table has the number %u: take it from txkv_table",
                       c->table);
    if (entry->drop_lsn != TX_CATALOG_ALIVE)
        return tx_fail(err, TXKV_SCHEMA, "store %s: table %s was dropped already",
                       change->core->dir, entry->name);
    other = c->name == NULL ? NULL : tx_catalog_find(catalog, c->name);
    if (other != NULL && other != entry)
        return tx_fail(err, TXKV_EXISTS,
                       "store %s: table %s cannot be renamed to %s, for there is another table of "
                       "that name; take another one, or drop that table first",
                       change->core->dir, entry->name, c->name);
    return TXKV_OK;
}

/* The entries' new names, in change order, NULL for a drop; or NULL for want of memory. */
static char **
copy_names(const struct change_tables *change)
{
    char **names = tx_zalloc(change->count * sizeof *names);

    for (uint32_t i = 0; names != NULL && i < change->count; i++) {
        if (change->changes[i].name == NULL)
            continue;
        names[i] = tx_strdup(change->changes[i].name);
        if (names[i] != NULL)
            continue;
        while (i-- > 0)
            tx_free(names[i]);
        tx_free(names);
        return NULL;
    }
    return names;
}

/* In the leader's place, at the log's end. */
static enum txkv_rc
change_tables(void *arg, struct txkv_error *err)
{
    struct change_tables *change = arg;
    struct tx_catalog *catalog = &change->core->catalog;
    char **names = copy_names(change);
    enum txkv_rc rc = TXKV_OK;
    uint64_t lsn = 0;

    if (names == NULL)
        return tx_fail_nomem(err);
    (void)pthread_mutex_lock(&catalog->mutex);
    for (uint32_t i = 0; i < change->count && rc == TXKV_OK; i++)
        rc = check_change(change, &change->changes[i], err);
    if (rc == TXKV_OK)
        rc = append(change->core, change->type, change->record, change->body_bytes, &lsn, err);
    for (uint32_t i = 0; i < change->count; i++) {
        const uint32_t table = change->changes[i].table;

        if (rc == TXKV_OK && names[i] == NULL)
            rc = tx_catalog_drop(catalog, table, lsn, err);
        else if (rc == TXKV_OK)
            names[i] = tx_catalog_swap_name(catalog, table, names[i], lsn);
        tx_free(names[i]);
    }
    (void)pthread_mutex_unlock(&catalog->mutex);
    tx_free(names);
    return rc;
}

/* Each table, and each new name, once. */
static enum txkv_rc
check_all(const struct change_tables *change, struct txkv_error *err)
{
    for (uint32_t i = 0; i < change->count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct tx_table_change *a = &change->changes[i], *b = &change->changes[j];

            if (a->table == b->table)
                return tx_fail(err, TXKV_MISUSE, "table %u is given twice", a->table);
            if (a->name != NULL && strcmp(a->name, b->name) == 0)
                return tx_fail(err, TXKV_EXISTS,
                               "store %s: two tables cannot both be renamed to %s",
                               change->core->dir, a->name);
        }
    return TXKV_OK;
}

static enum txkv_rc
run_change(struct txkv *store, struct change_tables *change, struct txkv_error *err)
{
    struct tx_event done;
    enum txkv_rc rc = tx_refuse_readonly(change->core, err);
    uint8_t *p;

    if (rc != TXKV_OK)
        return rc;
    for (uint32_t i = 0; i < change->count; i++)
        change->body_bytes += tx_table_change_bytes(&change->changes[i]);
    change->record = tx_zalloc(tx_record_length(change->body_bytes));
    if (change->record == NULL)
        return tx_fail_nomem(err);
    p = change->record + TX_RECORD_HEADER_BYTES;
    for (uint32_t i = 0; i < change->count; i++)
        p = tx_table_change_encode(p, &change->changes[i]);
    tx_event_init(&done);
    rc = tx_commit_run(&store->commit, &done, change_tables, change, err);
    tx_free(change->record);
    return rc;
}

/* names: NULL, or one for each table. */
static enum txkv_rc
change(struct txkv *store, const uint32_t *tables, const char *const *names, size_t count,
       struct txkv_error *err)
{
    struct change_tables change = { .core = &store->core,
                                    .type = names == NULL ? TX_RECORD_DROPPED : TX_RECORD_RENAMED,
                                    .count = (uint32_t)count };
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (count == 0 || count > TX_TREE_TABLES_MAX)
        return tx_fail(err, TXKV_MISUSE, "1 to %u tables are changed at once, not %zu",
                       TX_TREE_TABLES_MAX, count);
    change.changes = tx_malloc(count * sizeof *change.changes);
    if (change.changes == NULL)
        return tx_fail_nomem(err);
    for (size_t i = 0; i < count && rc == TXKV_OK; i++) {
        change.changes[i] = (struct tx_table_change){ .table = tables[i] };
        if (names == NULL)
            continue;
        rc = check_name(names[i], err);
        change.changes[i].name = names[i];
        change.changes[i].name_bytes = (uint32_t)strlen(names[i]);
    }
    if (rc == TXKV_OK)
        rc = check_all(&change, err);
    if (rc == TXKV_OK)
        rc = run_change(store, &change, err);
    tx_free(change.changes);
    return rc;
}

enum txkv_rc
txkv_table_drop(struct txkv *store, const uint32_t *tables, size_t count, struct txkv_error *err)
{
    return change(store, tables, NULL, count, err);
}

enum txkv_rc
txkv_table_rename(struct txkv *store, const uint32_t *tables, const char *const *names,
                  size_t count, struct txkv_error *err)
{
    return change(store, tables, names, count, err);
}

/* ---- sizes ---- */

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

/* One memtable's part of the table, by key. */
struct part {
    struct tx_node *node;
};

static struct tx_node *
within(struct tx_node *node, uint32_t table)
{
    return node != NULL && node->key.table == table ? node : NULL;
}

/* The smallest key among the parts, or NULL; *newest is what the snapshot sees of it, NULL: nothing
 * that LMDB does not have. All parts that stand on it move on. */
static const struct tx_key *
next_key(const struct tx_snapshot *snapshot, struct part *parts, uint32_t count,
         const struct tx_version **newest)
{
    const struct tx_key *key = NULL;

    *newest = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (parts[i].node != NULL && (key == NULL || tx_key_compare(&parts[i].node->key, key) < 0))
            key = &parts[i].node->key;
    for (uint32_t i = 0; key != NULL && i < count; i++) {
        struct tx_node *node = parts[i].node;

        if (node == NULL || tx_key_compare(&node->key, key) != 0)
            continue;
        if (*newest == NULL)
            *newest = tx_node_visible(node, snapshot->base, snapshot->snap);
        parts[i].node = within(tx_node_next(node), key->table);
    }
    return key;
}

/* What the overlay changes about LMDB's rows and bytes of the table. */
static enum txkv_rc
measure_overlay(struct tx_core *core, const struct tx_snapshot *snapshot, uint32_t table,
                struct txkv_table_size *size, struct txkv_error *err)
{
    const struct tx_key first = { (const uint8_t *)"", 0, table };
    const uint32_t count = snapshot->view->count;
    struct part *parts = tx_malloc(count * sizeof *parts);
    const struct tx_version *newest;
    const struct tx_key *key;
    enum txkv_rc rc = TXKV_OK;

    if (parts == NULL)
        return tx_fail_nomem(err);
    for (uint32_t i = 0; i < count; i++) {
        struct tx_memtable *memtable = snapshot->view->memtables[i];

        parts[i].node =
            tx_snapshot_sees(snapshot, memtable)
                ? within(tx_skiplist_first_ge(tx_order_for_scan(core, memtable), &first), table)
                : NULL;
    }
    while (rc == TXKV_OK && (key = next_key(snapshot, parts, count, &newest)) != NULL) {
        const uint8_t *value;
        uint32_t value_bytes;

        if (newest == NULL)
            continue;
        rc = tx_tree_get(snapshot->read, table, key->data, key->bytes, &value, &value_bytes, err);
        size->rows -= rc == TXKV_OK;
        size->rows += newest->value != NULL;
        size->overlay_bytes += newest->value == NULL ? 0 : key->bytes + newest->value_bytes;
        rc = rc == TXKV_NOTFOUND ? TXKV_OK : rc;
    }
    tx_free(parts);
    return rc;
}

enum txkv_rc
txkv_table_measure(struct txkv_session *session, uint32_t table, struct txkv_table_size *size,
                   struct txkv_error *err)
{
    struct tx_catalog *catalog = &session->core->catalog;
    struct tx_txn *txn = NULL;
    enum txkv_rc rc = tx_check_fork(session->core, err);

    *size = (struct txkv_table_size){ 0 };
    if (rc == TXKV_OK)
        rc = tx_catalog_check(catalog, table, err);
    if (rc == TXKV_OK)
        rc = tx_txn_current(session, &txn, err);
    if (rc != TXKV_OK)
        return rc;
    tx_guard_enter(session);
    tx_txn_ref(txn);
    rc = tx_txn_snapshot(txn, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(catalog, table, txn->snapshot.snap, err);
    if (rc == TXKV_OK) {
        size->rows = tx_tree_rows(txn->snapshot.read, table);
        size->tree_bytes = tx_tree_bytes(txn->snapshot.read, table);
        rc = measure_overlay(session->core, &txn->snapshot, table, size, err);
    }
    tx_txn_unref(txn);
    tx_guard_leave(session);
    return rc;
}
