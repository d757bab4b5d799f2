/*
 * rowwrite.c - xUpdate for a table with declared columns.
 *
 * Everything is checked before anything is written, in SQLite's own order: the rowid, NOT NULL,
 * then PRIMARY KEY and UNIQUE, the last declared first. OR REPLACE removes each row in the way
 * when it is found. What takes several writes stands between two savepoints, so that one that
 * fails half-way leaves nothing.
 */
#include "rowwrite.h"

#include <limits.h>
#include <string.h>

#include "rowcodec.h"
#include "sqlerror.h"

/* What xUpdate's arguments are. */
enum { OLD_KEY = 0, NEW_ROWID = 1, COLUMNS = 2 };

/* Above every savepoint of SQLite's. */
enum { OWN_SAVEPOINT = INT_MAX };

/* Where SQLite looks for a free rowid once the largest is taken. */
enum { ROWID_TRIES = 100 };

/* One call of xUpdate. */
struct write {
    struct tx_table *table;
    struct tx_relation *relation;
    const struct tx_shape *shape;
    struct txkv_session *session;
    int conflict;       /* SQLITE_REPLACE, SQLITE_IGNORE, ... */
    bool has_old;       /* relation->old is the row that is updated */
    bool changes_keys;  /* a column of the primary key or of an index may be another */
    bool rowid_is_free; /* it has just been chosen */
    int64_t rowid;
    struct tx_tuple *key; /* of the new row */
};

static bool
same_tuple(const struct tx_tuple *a, const struct tx_tuple *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static int
fail(struct write *w, enum txkv_rc rc, const struct txkv_error *err)
{
    return tx_table_fail(w->table, rc, err);
}

static int
fail_damaged(struct write *w)
{
    return tx_sql_refuse(&w->table->base.zErrMsg, SQLITE_CORRUPT_VTAB,
                         "%s: a row is damaged: restore the store from a backup", w->table->name);
}

/* "CONSTRAINT constraint failed: t.a, t.b"; an OR IGNORE statement goes on, and nobody reads it. */
static int
refuse_row(struct write *w, int code, const char *constraint, const struct tx_key *columns)
{
    sqlite3_str *text;

    if (w->conflict == SQLITE_IGNORE)
        return code;
    text = sqlite3_str_new(w->table->connection->db);
    sqlite3_str_appendf(text, "%s constraint failed: ", constraint);
    for (int i = 0; i < columns->count; i++)
        sqlite3_str_appendf(text, "%s%s.%s", i == 0 ? "" : ", ", w->table->name,
                            tx_shape_column_name(w->shape, columns->columns[i]));
    sqlite3_free(w->table->base.zErrMsg);
    w->table->base.zErrMsg = sqlite3_str_finish(text);
    return code;
}

static int
refuse_long_key(struct write *w, const char *what)
{
    return tx_sql_refuse(&w->table->base.zErrMsg, SQLITE_TOOBIG,
                         "%s: the row's %s is too long: its columns together take more than %d "
                         "bytes; keep long texts in columns without an index",
                         w->table->name, what, (int)TXKV_KEY_BYTES_MAX);
}

/* What is wrong with a key that is too big, or for which there was no memory; or nothing. */
static int
check_tuple(struct write *w, const struct tx_tuple *tuple, const char *what)
{
    if (tuple->no_memory)
        return SQLITE_NOMEM;
    return tuple->too_big ? refuse_long_key(w, what) : SQLITE_OK;
}

/* ---- rows ---- */

/* Copies the row with row->key out of the store; *found is false when there is none. */
static int
load_row(struct write *w, struct tx_row *row, bool *found)
{
    struct txkv_bytes value;
    struct txkv_error err;
    const enum txkv_rc rc =
        txkv_get(w->session, w->table->number, tx_tuple_bytes(&row->key), &value, &err);
    int sql_rc;

    *found = rc == TXKV_OK;
    if (rc == TXKV_NOTFOUND)
        return SQLITE_OK;
    if (rc != TXKV_OK)
        return fail(w, rc, &err);
    if (value.bytes > row->data_bytes_max) {
        uint8_t *data = sqlite3_realloc64(row->data, value.bytes);

        if (data == NULL)
            return SQLITE_NOMEM;
        row->data = data;
        row->data_bytes_max = value.bytes;
    }
    if (value.bytes > 0) { /* a row always has some, unless it is damaged */
        memcpy(row->data, value.data, value.bytes);
        value.data = row->data;
    }
    sql_rc = tx_row_read(row, w->shape, tx_tuple_bytes(&row->key), value);
    return sql_rc == SQLITE_CORRUPT_VTAB ? fail_damaged(w) : sql_rc;
}

static int
erase(struct write *w, uint32_t number, const struct tx_tuple *key)
{
    struct txkv_error err;
    const enum txkv_rc rc = txkv_delete(w->session, number, tx_tuple_bytes(key), &err);

    return rc == TXKV_OK ? SQLITE_OK : fail(w, rc, &err);
}

/* Removes the row with row->key, if it is there, and its entries. */
static int
remove_row(struct write *w, struct tx_row *row)
{
    bool found = true;
    int rc = SQLITE_OK;

    if (w->shape->index_count > 0)
        rc = load_row(w, row, &found);
    if (rc != SQLITE_OK || !found)
        return rc;
    for (int i = 0; rc == SQLITE_OK && i < w->shape->index_count; i++) {
        struct tx_tuple *entry = &w->relation->old_entry;

        (void)tx_relation_entry(w->shape, i, row->cells, &row->key, entry);
        rc = check_tuple(w, entry, "entry in an index");
        if (rc == SQLITE_OK)
            rc = erase(w, w->relation->index_numbers[i], entry);
    }
    return rc == SQLITE_OK ? erase(w, w->table->number, &row->key) : rc;
}

/* ---- the new row ---- */

/* The largest rowid there is plus 1; beyond the end of int64, one that is free. */
static int
choose_rowid(struct write *w)
{
    const struct txkv_range last = { .descending = true };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    int64_t largest = 0;
    bool good = true;
    enum txkv_rc rc = txkv_cursor_open(w->session, w->table->number, &cursor, &err);

    if (rc != TXKV_OK)
        return fail(w, rc, &err);
    rc = txkv_cursor_seek(cursor, &last, &err);
    if (rc == TXKV_OK)
        good = tx_relation_rowid(txkv_cursor_key(cursor), &largest);
    txkv_cursor_close(cursor);
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND)
        return fail(w, rc, &err);
    if (!good)
        return fail_damaged(w);
    w->rowid_is_free = true;
    w->rowid = largest < INT64_MAX ? largest + 1 : 0;
    for (int i = 0; largest == INT64_MAX && i < ROWID_TRIES; i++) {
        struct txkv_bytes value;

        sqlite3_randomness((int)sizeof(w->rowid), &w->rowid);
        w->rowid = (w->rowid & (INT64_MAX >> 1)) + 1;
        (void)tx_relation_key(w->shape, NULL, w->rowid, w->key);
        rc = txkv_get(w->session, w->table->number, tx_tuple_bytes(w->key), &value, &err);
        if (rc == TXKV_NOTFOUND)
            return SQLITE_OK;
        if (rc != TXKV_OK)
            return fail(w, rc, &err);
    }
    return largest < INT64_MAX ? SQLITE_OK : SQLITE_FULL;
}

static int
refuse_type(struct write *w)
{
    return tx_sql_refuse(&w->table->base.zErrMsg, SQLITE_MISMATCH, "datatype mismatch");
}

/* The new row's rowid, and the column that shows it. */
static int
read_rowid(struct write *w, sqlite3_value **argv)
{
    const bool is_shown = w->shape->row_key == TX_ROW_KEY_ROWID;
    struct tx_cell *shown = is_shown ? &w->relation->cells[w->shape->primary.columns[0]] : NULL;
    struct tx_cell given;
    int rc = SQLITE_OK;

    if (!tx_cell_read(argv[NEW_ROWID], TX_AFFINITY_INTEGER, &given))
        return SQLITE_NOMEM;
    if (is_shown && shown->type != SQLITE_NULL) {
        const bool is_changed =
            !w->has_old || shown->type != SQLITE_INTEGER ||
            shown->integer != w->relation->old.cells[w->shape->primary.columns[0]].integer;

        if (is_changed)
            given = *shown;
    } else if (is_shown && w->has_old) {
        return refuse_type(w); /* SET id = NULL */
    }
    if (given.type == SQLITE_INTEGER)
        w->rowid = given.integer;
    else if (given.type == SQLITE_NULL && !w->has_old)
        rc = choose_rowid(w);
    else
        return refuse_type(w);
    if (is_shown)
        *shown = (struct tx_cell){ .type = SQLITE_INTEGER, .integer = w->rowid };
    return rc;
}

static int
read_columns(struct write *w, sqlite3_value **argv)
{
    for (int i = 0; i < w->shape->column_count; i++) {
        sqlite3_value *value = argv[COLUMNS + i];

        if (w->has_old && sqlite3_value_nochange(value)) {
            w->relation->cells[i] = w->relation->old.cells[i];
            continue;
        }
        if (!tx_cell_read(value, w->shape->columns[i].affinity, &w->relation->cells[i]))
            return SQLITE_NOMEM;
        w->changes_keys = w->changes_keys || w->shape->columns[i].is_indexed;
    }
    return SQLITE_OK;
}

static int
check_not_null(struct write *w)
{
    for (int i = 0; i < w->shape->column_count; i++) {
        const struct tx_key column = { .count = 1, .columns = { i } };

        if (w->shape->columns[i].not_null && w->relation->cells[i].type == SQLITE_NULL)
            return refuse_row(w, SQLITE_CONSTRAINT_NOTNULL, "NOT NULL", &column);
    }
    return SQLITE_OK;
}

static int
read_row(struct write *w, sqlite3_value **argv)
{
    int rc = read_columns(w, argv);

    if (rc == SQLITE_OK && tx_shape_has_rowid(w->shape))
        rc = read_rowid(w, argv);
    if (rc == SQLITE_OK)
        rc = check_not_null(w);
    if (rc == SQLITE_OK && !tx_relation_key(w->shape, w->relation->cells, w->rowid, w->key))
        rc = check_tuple(w, w->key, "PRIMARY KEY");
    return rc;
}

/* ---- PRIMARY KEY and UNIQUE ---- */

static int
check_primary(struct write *w)
{
    static const int codes[] = { [TX_ROW_KEY_HIDDEN_ROWID] = SQLITE_CONSTRAINT_ROWID,
                                 [TX_ROW_KEY_ROWID] = SQLITE_CONSTRAINT_PRIMARYKEY,
                                 [TX_ROW_KEY_COLUMN] = SQLITE_CONSTRAINT_PRIMARYKEY,
                                 [TX_ROW_KEY_COLUMNS] = SQLITE_CONSTRAINT_PRIMARYKEY };
    struct txkv_bytes value;
    struct txkv_error err;
    enum txkv_rc rc;

    if (w->rowid_is_free || (w->has_old && same_tuple(w->key, &w->relation->old.key)))
        return SQLITE_OK;
    if (w->conflict == SQLITE_REPLACE) {
        if (w->shape->index_count == 0)
            return SQLITE_OK; /* the new row is written over it */
        tx_tuple_copy(&w->relation->victim.key, w->key);
        if (w->relation->victim.key.no_memory)
            return SQLITE_NOMEM;
        return remove_row(w, &w->relation->victim);
    }
    rc = txkv_get(w->session, w->table->number, tx_tuple_bytes(w->key), &value, &err);
    if (rc == TXKV_OK)
        return refuse_row(w, codes[w->shape->row_key], "UNIQUE", &w->shape->primary);
    return rc == TXKV_NOTFOUND ? SQLITE_OK : fail(w, rc, &err);
}

static int
check_index(struct write *w, int index)
{
    struct tx_tuple *entry = &w->relation->entry, *old = &w->relation->old_entry;
    struct txkv_bytes value;
    struct txkv_error err;
    enum txkv_rc rc;
    bool has_value = tx_relation_entry(w->shape, index, w->relation->cells, w->key, entry);
    const int bad = check_tuple(w, entry,
                                w->shape->indexes[index].unique ? "entry in a UNIQUE index"
                                                                : "entry in an index");

    if (bad != SQLITE_OK || !has_value)
        return bad;
    if (w->has_old) {
        (void)tx_relation_entry(w->shape, index, w->relation->old.cells, &w->relation->old.key,
                                old);
        if (same_tuple(entry, old))
            return SQLITE_OK;
    }
    rc = txkv_get(w->session, w->relation->index_numbers[index], tx_tuple_bytes(entry), &value,
                  &err);
    if (rc == TXKV_NOTFOUND)
        return SQLITE_OK;
    if (rc != TXKV_OK)
        return fail(w, rc, &err);
    if (value.bytes == 0 || value.bytes > TXKV_KEY_BYTES_MAX)
        return fail_damaged(w); /* it names no row */
    if (w->conflict != SQLITE_REPLACE)
        return refuse_row(w, SQLITE_CONSTRAINT_UNIQUE, "UNIQUE", &w->shape->indexes[index]);
    tx_tuple_clear(&w->relation->victim.key);
    tx_tuple_append(&w->relation->victim.key, value.data, value.bytes);
    if (w->relation->victim.key.no_memory)
        return SQLITE_NOMEM;
    if (value.bytes == 0 || w->relation->victim.key.too_big) /* which is no row's key */
        return fail_damaged(w);
    return remove_row(w, &w->relation->victim);
}

static int
check_all(struct write *w)
{
    const bool primary_first = tx_shape_has_rowid(w->shape);
    int rc = primary_first ? check_primary(w) : SQLITE_OK;

    for (int i = w->shape->index_count; rc == SQLITE_OK && i >= 0; i--) {
        if (i < w->shape->index_count)
            rc = check_index(w, i);
        if (rc == SQLITE_OK && !primary_first && i == w->shape->indexes_before_primary)
            rc = check_primary(w);
    }
    return rc;
}

/* ---- writing ---- */

static int
put(struct write *w, uint32_t number, const struct tx_tuple *key, struct txkv_bytes value)
{
    struct txkv_error err;
    const enum txkv_rc rc = txkv_put(w->session, number, tx_tuple_bytes(key), value, &err);

    return rc == TXKV_OK ? SQLITE_OK : fail(w, rc, &err);
}

/* Replaces the old row's entry by the new row's, where they differ. */
static int
write_entry(struct write *w, int index)
{
    static const uint8_t nothing[1];
    const uint32_t number = w->relation->index_numbers[index];
    struct txkv_bytes value = { nothing, 0 };
    struct tx_tuple *entry = &w->relation->entry, *old = &w->relation->old_entry;
    int rc;

    if (tx_relation_entry(w->shape, index, w->relation->cells, w->key, entry))
        value = tx_tuple_bytes(w->key);
    rc = check_tuple(w, entry, "entry in an index");
    if (w->has_old && rc == SQLITE_OK) {
        const struct tx_row *row = &w->relation->old;

        (void)tx_relation_entry(w->shape, index, row->cells, &row->key, old);
        rc = check_tuple(w, old, "entry in an index");
        if (rc == SQLITE_OK && !same_tuple(entry, old))
            rc = erase(w, number, old);
        else if (value.bytes == 0 || same_tuple(w->key, &row->key))
            return rc;
    }
    return rc == SQLITE_OK ? put(w, number, entry, value) : rc;
}

static int
write_row(struct write *w)
{
    struct tx_cell *stored = w->relation->stored;
    const int count = w->shape->column_count;
    struct txkv_error err;
    enum txkv_rc rc;
    uint8_t *value;

    for (int i = 0; i < count; i++) {
        const struct tx_column *column = &w->shape->columns[i];

        stored[i] = w->relation->cells[i];
        if (column->key_place >= 0 && tx_tuple_restores(&stored[i], column->collation))
            stored[i].type = SQLITE_NULL;
    }
    rc = txkv_put_into(w->session, w->table->number, tx_tuple_bytes(w->key),
                       tx_row_bytes(count, stored), &value, &err);
    if (rc != TXKV_OK)
        return fail(w, rc, &err);
    tx_row_encode(value, TX_KEY_AS_IS, count, stored);
    return SQLITE_OK;
}

static int
check_and_write(struct write *w)
{
    const bool moves = w->has_old && !same_tuple(w->key, &w->relation->old.key);
    int rc = check_all(w);

    for (int i = 0; rc == SQLITE_OK && i < w->shape->index_count; i++)
        rc = write_entry(w, i);
    if (rc == SQLITE_OK && moves)
        rc = erase(w, w->table->number, &w->relation->old.key);
    return rc == SQLITE_OK ? write_row(w) : rc;
}

/* Runs `work`; when it fails, what it has written is undone. */
static int
run_whole(struct write *w, int (*work)(struct write *))
{
    struct txkv_error err;
    enum txkv_rc store_rc = txkv_savepoint(w->session, OWN_SAVEPOINT, &err);
    int rc;

    if (store_rc != TXKV_OK)
        return fail(w, store_rc, &err);
    rc = work(w);
    if (rc != SQLITE_OK &&
        (store_rc = txkv_rollback_to(w->session, OWN_SAVEPOINT, &err)) != TXKV_OK)
        rc = fail(w, store_rc, &err);
    if ((store_rc = txkv_release(w->session, OWN_SAVEPOINT, &err)) != TXKV_OK && rc == SQLITE_OK)
        rc = fail(w, store_rc, &err);
    return rc;
}

/* ---- the three statements ---- */

/* The key of the row that SQLite names, as row->key. */
static int
read_old_key(struct write *w, sqlite3_value *value, struct tx_row *row)
{
    struct tx_cell cell;
    const int column = w->shape->primary.columns[0];

    tx_tuple_clear(&row->key);
    if (!tx_cell_read(value, TX_AFFINITY_BLOB, &cell))
        return SQLITE_NOMEM;
    if (w->shape->row_key == TX_ROW_KEY_COLUMNS)
        tx_tuple_append(&row->key, cell.data, cell.bytes);
    else
        tx_tuple_add_last(&row->key, &cell, tx_shape_collation(w->shape, column));
    return row->key.no_memory ? SQLITE_NOMEM : SQLITE_OK;
}

static int
remove_old(struct write *w)
{
    return remove_row(w, &w->relation->old);
}

static int
delete_row(struct write *w, sqlite3_value **argv)
{
    const int rc = read_old_key(w, argv[OLD_KEY], &w->relation->old);

    if (rc != SQLITE_OK)
        return rc;
    return w->shape->index_count == 0 ? remove_old(w) : run_whole(w, remove_old);
}

static int
update_row(struct write *w, sqlite3_value **argv)
{
    int rc = read_old_key(w, argv[OLD_KEY], &w->relation->old);

    if (rc == SQLITE_OK)
        rc = load_row(w, &w->relation->old, &w->has_old);
    /* A row that an earlier one of the statement has replaced: a native UPDATE passes it by. */
    if (rc != SQLITE_OK || !w->has_old)
        return rc;
    rc = read_row(w, argv);
    if (rc != SQLITE_OK)
        return rc;
    if ((w->shape->index_count == 0 || !w->changes_keys) &&
        same_tuple(w->key, &w->relation->old.key))
        return write_row(w);
    return run_whole(w, check_and_write);
}

static int
insert_row(struct write *w, sqlite3_value **argv)
{
    const int rc = read_row(w, argv);

    if (rc != SQLITE_OK)
        return rc;
    return w->shape->index_count == 0 ? check_and_write(w) : run_whole(w, check_and_write);
}

int
tx_rowwrite_update(struct tx_table *table, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    struct write w = { .table = table,
                       .relation = table->relation,
                       .shape = table->relation->shape,
                       .session = table->link->session,
                       .key = &table->relation->key,
                       .conflict = sqlite3_vtab_on_conflict(table->connection->db) };
    int rc;

    if (argc == 1)
        return delete_row(&w, argv);
    if (sqlite3_value_type(argv[OLD_KEY]) != SQLITE_NULL)
        return update_row(&w, argv);
    rc = insert_row(&w, argv);
    /* SQLite takes this for last_insert_rowid(), which rows without a rowid leave as it is. */
    *rowid = tx_shape_has_rowid(w.shape) && rc == SQLITE_OK
                 ? w.rowid
                 : sqlite3_last_insert_rowid(table->connection->db);
    return rc;
}
