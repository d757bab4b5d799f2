/*
 * check.c - txkv_check and PRAGMA integrity_check: is what a store holds in order?
 */
#include "check.h"

#include <string.h>

#include "json.h"
#include "relation.h"
#include "rowcodec.h"
#include "shape.h"
#include "sqlerror.h"

enum { PROBLEMS_MAX = 100 };

/* One check. */
struct check {
    struct txkv *store;
    struct txkv_session *session;
    sqlite3_str *problems; /* JSON strings, separated by commas */
    uint64_t problem_count, tables, rows, entries;
    struct txkv_error err; /* why it could not be finished */
};

/* A table of it. */
struct subject {
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number;
    struct tx_shape *shape; /* NULL: key and value */
    struct tx_row row;      /* with a shape: the row that is looked at */
    struct tx_tuple entry;  /* what an entry of it must be */
    uint32_t indexes[TX_INDEXES_MAX];
    uint64_t expected[TX_INDEXES_MAX]; /* entries */
    bool damaged;                      /* it has rows whose entries cannot be told */
};

/* A sentence about a table, and a key of it if there is one. */
static void
add_problem(struct check *check, const char *name, const struct txkv_bytes *key, const char *what)
{
    char *text, words[128] = "";

    if (check->problem_count++ >= PROBLEMS_MAX)
        return;
    if (key != NULL)
        tx_key_describe(key->data, key->bytes, words, sizeof(words));
    text = sqlite3_mprintf("table %s%s%s: %s", name, key == NULL ? "" : ", key ", words, what);
    if (sqlite3_str_length(check->problems) > 0)
        sqlite3_str_appendchar(check->problems, 1, ',');
    if (text != NULL)
        tx_json_string(check->problems, text, strlen(text));
    sqlite3_free(text);
}

/* ---- a walk over all pairs of a store table ---- */

typedef enum txkv_rc visit_pair(struct check *check, struct subject *subject, int index,
                                struct txkv_bytes key, struct txkv_bytes value);

static enum txkv_rc
walk_pairs(struct check *check, struct subject *subject, int index, struct txkv_cursor *cursor,
           visit_pair *visit)
{
    const struct txkv_range all = { .lo_open = false };
    struct tx_tuple last;
    enum txkv_rc rc = txkv_cursor_seek(cursor, &all, &check->err);

    tx_tuple_init(&last);
    while (rc == TXKV_OK) {
        const struct txkv_bytes key = txkv_cursor_key(cursor);
        const size_t both = key.bytes < last.bytes ? key.bytes : last.bytes;
        const int order = both == 0 ? 0 : memcmp(last.data, key.data, both);

        if (key.bytes == 0 || key.bytes > TXKV_KEY_BYTES_MAX) {
            add_problem(check, subject->name, NULL, "a key that is empty or too long");
            rc = TXKV_NOTFOUND;
            break;
        }
        if (order > 0 || (order == 0 && last.bytes >= key.bytes))
            add_problem(check, subject->name, &key, "stands behind a key that is not smaller");
        tx_tuple_clear(&last);
        tx_tuple_append(&last, key.data, key.bytes);
        rc = last.no_memory ? TXKV_NOMEM
                            : visit(check, subject, index, key, txkv_cursor_value(cursor));
        if (rc == TXKV_OK)
            rc = txkv_cursor_next(cursor, &check->err);
    }
    tx_tuple_free(&last);
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

static enum txkv_rc
walk(struct check *check, struct subject *subject, int index, uint32_t number, visit_pair *visit)
{
    struct txkv_cursor *cursor;
    enum txkv_rc rc = txkv_cursor_open(check->session, number, &cursor, &check->err);

    if (rc != TXKV_OK)
        return rc;
    rc = walk_pairs(check, subject, index, cursor, visit);
    txkv_cursor_close(cursor);
    return rc;
}

/* ---- rows ---- */

static enum txkv_rc
check_pair(struct check *check, struct subject *subject, int index, struct txkv_bytes key,
           struct txkv_bytes value)
{
    struct tx_cell cell, unused;

    (void)index;
    check->rows++;
    if (!tx_key_cell(key.data, key.bytes, tx_row_note(value.data, value.bytes), &cell))
        add_problem(check, subject->name, &key, "the key is damaged");
    if (!tx_row_cells(value.data, value.bytes, TX_VALUE_COLUMNS, &unused))
        add_problem(check, subject->name, &key, "the row is damaged");
    return TXKV_OK;
}

/* All columns of a row, those of the key too, and the rowid. TXKV_NOTFOUND: it is damaged. */
static enum txkv_rc
read_row(struct subject *subject, struct txkv_bytes key, struct txkv_bytes value, int64_t *rowid)
{
    const struct tx_shape *shape = subject->shape;
    const int rc = tx_row_read(&subject->row, shape, key, value);

    *rowid = 0;
    if (rc != SQLITE_OK)
        return rc == SQLITE_NOMEM ? TXKV_NOMEM : TXKV_NOTFOUND;
    return tx_shape_has_rowid(shape) && !tx_relation_rowid(key, rowid) ? TXKV_NOTFOUND : TXKV_OK;
}

static bool
is_same(struct txkv_bytes a, struct txkv_bytes b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* The row's key is subject->row.key. */
static enum txkv_rc
check_entry_of_row(struct check *check, struct subject *subject, int index)
{
    const struct txkv_bytes row_key = tx_tuple_bytes(&subject->row.key);
    const bool is_unique = tx_relation_entry(subject->shape, index, subject->row.cells,
                                             &subject->row.key, &subject->entry);
    struct txkv_bytes found;
    enum txkv_rc rc;

    if (subject->entry.no_memory)
        return TXKV_NOMEM;
    subject->expected[index]++;
    rc = txkv_get(check->session, subject->indexes[index], tx_tuple_bytes(&subject->entry), &found,
                  &check->err);
    if (rc == TXKV_NOTFOUND) {
        add_problem(check, subject->name, &row_key, "the row has no entry in one of its indexes");
        return TXKV_OK;
    }
    if (rc == TXKV_OK && is_unique && !is_same(found, row_key))
        add_problem(check, subject->name, &row_key,
                    "another row has the entry of a UNIQUE index that is this one's");
    return rc;
}

static void
check_not_null(struct check *check, const struct subject *subject, struct txkv_bytes key)
{
    const struct tx_shape *shape = subject->shape;

    for (int i = 0; i < shape->column_count; i++)
        if (shape->columns[i].not_null && subject->row.cells[i].type == SQLITE_NULL &&
            shape->columns[i].key_place < 0)
            add_problem(check, subject->name, &key, "a NOT NULL column is NULL");
}

static enum txkv_rc
check_row(struct check *check, struct subject *subject, int index, struct txkv_bytes key,
          struct txkv_bytes value)
{
    const struct tx_shape *shape = subject->shape;
    struct tx_row *row = &subject->row;
    int64_t rowid;
    enum txkv_rc rc = read_row(subject, key, value, &rowid);

    (void)index;
    check->rows++;
    if (rc == TXKV_NOTFOUND) {
        add_problem(check, subject->name, &key, "the row is damaged");
        subject->damaged = true;
        return TXKV_OK;
    }
    if (rc != TXKV_OK)
        return rc;
    if (!tx_relation_key(shape, row->cells, rowid, &row->key) ||
        !is_same(tx_tuple_bytes(&row->key), key)) {
        add_problem(check, subject->name, &key, "the row stands under a key that is not its own");
        subject->damaged = true;
        return row->key.no_memory ? TXKV_NOMEM : TXKV_OK;
    }
    check_not_null(check, subject, key);
    for (int i = 0; i < shape->index_count && rc == TXKV_OK; i++)
        rc = check_entry_of_row(check, subject, i);
    return rc;
}

/* ---- index entries ---- */

/* The row's key that an entry names: its value, or what stands behind the columns. */
static bool
row_key_of(const struct subject *subject, int index, struct txkv_bytes entry,
           struct txkv_bytes value, struct txkv_bytes *out)
{
    const uint8_t *end = entry.data + entry.bytes;
    const uint8_t *p;

    *out = value;
    if (value.bytes > 0)
        return true;
    p = tx_tuple_skip(entry.data, end, subject->shape->indexes[index].count);
    if (p == NULL || p == end)
        return false;
    *out = (struct txkv_bytes){ p, (size_t)(end - p) };
    return true;
}

static enum txkv_rc
check_entry(struct check *check, struct subject *subject, int index, struct txkv_bytes entry,
            struct txkv_bytes value)
{
    struct tx_tuple *key = &subject->row.key;
    struct txkv_bytes named, row;
    int64_t rowid;
    enum txkv_rc rc;

    check->entries++;
    if (!row_key_of(subject, index, entry, value, &named)) {
        add_problem(check, subject->name, NULL, "an entry of an index is damaged");
        return TXKV_OK;
    }
    tx_tuple_clear(key);
    tx_tuple_append(key, named.data, named.bytes);
    if (key->no_memory)
        return TXKV_NOMEM;
    named = tx_tuple_bytes(key);
    rc = txkv_get(check->session, subject->number, named, &row, &check->err);
    if (rc == TXKV_NOTFOUND) {
        add_problem(check, subject->name, &named,
                    "an index has an entry for a row that is not there");
        return TXKV_OK;
    }
    if (rc == TXKV_OK)
        rc = read_row(subject, named, row, &rowid);
    if (rc != TXKV_OK) /* a damaged row has been told about */
        return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
    if (tx_relation_entry(subject->shape, index, subject->row.cells, key, &subject->entry) !=
            (value.bytes > 0) ||
        !is_same(tx_tuple_bytes(&subject->entry), entry))
        add_problem(check, subject->name, &named,
                    "an index has an entry that is not of the row's values");
    return subject->entry.no_memory ? TXKV_NOMEM : TXKV_OK;
}

/* ---- tables ---- */

/* A table whose making was cut off has no rows yet: who opens it next makes its indexes. */
static enum txkv_rc
check_unfinished(struct check *check, const struct subject *subject)
{
    struct txkv_table_size size;
    const enum txkv_rc rc = txkv_table_measure(check->session, subject->number, &size, &check->err);

    if (rc == TXKV_OK && size.rows > 0)
        add_problem(check, subject->name, NULL, "one of its indexes is missing");
    return rc;
}

static enum txkv_rc
check_declared(struct check *check, struct subject *subject)
{
    const int indexes = subject->shape->index_count;
    char *name;
    enum txkv_rc rc = TXKV_OK;

    for (int i = 0; i < indexes && rc == TXKV_OK; i++) {
        name = tx_relation_stored_name(subject->name, i + 1);
        if (name == NULL)
            return TXKV_NOMEM;
        rc = txkv_table(check->store, name, NULL, false, &subject->indexes[i], &check->err);
        sqlite3_free(name);
    }
    if (rc == TXKV_SCHEMA)
        return check_unfinished(check, subject);
    if (rc == TXKV_OK)
        rc = walk(check, subject, 0, subject->number, check_row);
    for (int i = 0; i < indexes && rc == TXKV_OK; i++) {
        const uint64_t before = check->entries;

        rc = walk(check, subject, i, subject->indexes[i], check_entry);
        if (rc == TXKV_OK && !subject->damaged && check->entries - before != subject->expected[i])
            add_problem(check, subject->name, NULL,
                        "an index has not as many entries as the table has rows");
    }
    return rc;
}

static enum txkv_rc
visit_foreign(struct check *check, struct subject *subject, int index, struct txkv_bytes key,
              struct txkv_bytes value)
{
    (void)subject;
    (void)index;
    (void)key;
    (void)value;
    check->rows++;
    return TXKV_OK;
}

/* A table whose shape is no text of this extension belongs to a program of the C API: its keys'
 * order is all that can be told. */
static enum txkv_rc
check_subject(struct check *check, struct subject *subject)
{
    const char *shape = txkv_table_shape(check->store, subject->number);
    char *message = NULL;
    enum txkv_rc rc;

    check->tables++;
    if (shape != NULL && strcmp(shape, TX_KEY_VALUE_SHAPE) == 0)
        return walk(check, subject, 0, subject->number, check_pair);
    if (shape == NULL || tx_shape_parse(shape, &subject->shape, &message) != SQLITE_OK) {
        sqlite3_free(message);
        return walk(check, subject, 0, subject->number, visit_foreign);
    }
    if (strcmp(subject->shape->text, shape) != 0)
        add_problem(check, subject->name, NULL, "its shape is not in the canonical form");
    tx_tuple_init(&subject->entry);
    rc = tx_row_make(&subject->row, subject->shape) ? check_declared(check, subject) : TXKV_NOMEM;
    tx_tuple_free(&subject->entry);
    tx_row_free(&subject->row, subject->shape);
    tx_shape_free(subject->shape);
    return rc;
}

/* An index stands in the catalog behind its table, or is left over. */
static enum txkv_rc
check_index_has_table(struct check *check, const char *name)
{
    const size_t bytes = strcspn(name, "\x01");
    char *table = sqlite3_mprintf("%.*s", (int)bytes, name);
    uint32_t number;
    enum txkv_rc rc;

    if (table == NULL)
        return TXKV_NOMEM;
    rc = txkv_table(check->store, table, NULL, false, &number, &check->err);
    if (rc == TXKV_SCHEMA)
        add_problem(check, table, NULL, "an index of it is there, and the table is not");
    sqlite3_free(table);
    return rc == TXKV_SCHEMA ? TXKV_OK : rc;
}

static enum txkv_rc
check_tables(struct check *check, const char *name, uint32_t number)
{
    struct subject subject = { .number = 0 };
    uint32_t next = 0;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && txkv_table_next(check->store, &next, subject.name)) {
        if (tx_relation_is_index(subject.name)) {
            if (name == NULL && number == 0)
                rc = check_index_has_table(check, subject.name);
            continue;
        }
        if ((name != NULL && strcmp(subject.name, name) != 0) || (number != 0 && next != number))
            continue;
        memset(subject.expected, 0, sizeof(subject.expected));
        subject.number = next;
        subject.shape = NULL;
        subject.damaged = false;
        rc = check_subject(check, &subject);
        if (rc == TXKV_SCHEMA) /* dropped meanwhile */
            rc = TXKV_OK;
    }
    return rc;
}

static enum txkv_rc
check_pages(struct check *check, bool *good)
{
    struct txkv_pages_report report;
    const enum txkv_rc rc = txkv_check_pages(check->store, &report, &check->err);

    *good = rc == TXKV_OK && report.problems == 0;
    if (rc == TXKV_OK && report.problems > 0) {
        add_problem(check, "of the store", NULL, report.first);
        check->problem_count += report.problems - 1;
    }
    return rc;
}

/* One transaction, so that all is of one snapshot; nothing is committed. LMDB believes its pages,
 * so no row is read through damaged ones. */
static enum txkv_rc
run_check(struct check *check, const char *name, uint32_t number)
{
    bool good;
    enum txkv_rc rc = check_pages(check, &good);

    if (rc == TXKV_OK && good)
        rc = txkv_session_open(check->store, &check->session, &check->err);
    if (rc != TXKV_OK || !good)
        return rc;
    rc = txkv_begin(check->session, &check->err);
    if (rc == TXKV_OK)
        rc = check_tables(check, name, number);
    txkv_session_close(check->session);
    if (rc == TXKV_CORRUPT) { /* LMDB's own finding */
        add_problem(check, name == NULL ? "of the store" : name, NULL, check->err.text);
        rc = TXKV_OK;
    }
    if (rc == TXKV_NOMEM)
        check->err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
    return rc;
}

static enum txkv_rc
check_log(struct check *check, struct txkv_recovery_report *log)
{
    enum txkv_rc rc = txkv_verify(check->store, log, &check->err);

    if (rc == TXKV_CORRUPT) {
        add_problem(check, "of the log", NULL, check->err.text);
        rc = TXKV_OK;
    }
    return rc == TXKV_READONLY ? TXKV_OK : rc; /* who may not write has no lock to read it under */
}

static void
append_report(const struct check *check, const struct txkv_recovery_report *log, char *problems,
              sqlite3_str *out)
{
    const char *dir = txkv_dir(check->store);

    sqlite3_str_appendall(out, "{\"store\":");
    tx_json_string(out, dir, strlen(dir));
    tx_json_count(out, "tables", check->tables);
    tx_json_count(out, "rows", check->rows);
    tx_json_count(out, "index_entries", check->entries);
    tx_json_count(out, "log_transactions", log->transactions_replayed);
    tx_json_count(out, "log_bytes", log->bytes_verified);
    tx_json_count(out, "problem_count", check->problem_count);
    sqlite3_str_appendf(out, ",\"problems\":[%s]}", problems == NULL ? "" : problems);
}

int
tx_check_store(struct txkv *store, const char *name, sqlite3_str *out, char **message)
{
    struct check check = { .store = store, .problems = sqlite3_str_new(NULL) };
    struct txkv_recovery_report log = { 0 };
    enum txkv_rc rc = check_log(&check, &log);
    uint32_t number;
    char *problems;

    if (rc == TXKV_OK)
        rc = run_check(&check, name, 0);
    problems = sqlite3_str_finish(check.problems);
    if (rc == TXKV_OK && name != NULL && check.tables == 0 && check.problem_count == 0)
        rc = txkv_table(store, name, NULL, false, &number, &check.err); /* it is not there */
    if (rc == TXKV_OK)
        append_report(&check, &log, problems, out);
    sqlite3_free(problems);
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, "txkv_check", rc, &check.err);
}

int
tx_check_table(struct txkv *store, uint32_t table, char **problem, char **message)
{
    struct check check = { .store = store, .problems = sqlite3_str_new(NULL) };
    enum txkv_rc rc = run_check(&check, NULL, table);

    if (rc == TXKV_OK && check.tables == 0 && check.problem_count++ == 0)
        sqlite3_str_appendall(check.problems, "\"the table was dropped from the store\"");
    *problem = sqlite3_str_finish(check.problems);
    if (rc == TXKV_OK && check.problem_count > 0 && *problem == NULL) {
        check.err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
        rc = TXKV_NOMEM;
    }
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, "txkv_check", rc, &check.err);
}
