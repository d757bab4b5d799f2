/*
 * export.c - txkv_export: rows as a file of SQL, CSV or JSON lines.
 *
 * All is read in one transaction of a session of its own, so that it is one snapshot of what is
 * committed, and written row by row: the memory does not depend on how many rows there are.
 */
#include <string.h>

#include "literal.h"
#include "relation.h"
#include "rowcodec.h"
#include "sqlerror.h"
#include "transfer.h"
#include "where.h"

/* A table of the export. */
struct subject {
    struct subject *next;
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    char *sql_name; /* in a script: other than that of each table before it */
    uint32_t number;
    bool is_pair; /* key and value */
    struct tx_shape *shape;
    const char *rowid_name; /* of a rowid that no column shows; NULL: there is none, or no name */
};

struct export
{
    const struct tx_transfer *options;
    struct txkv *store;
    struct txkv_session *session;
    struct subject *subjects;
    struct tx_outfile out;
    uint64_t sql_bytes_max; /* of a statement */
    sqlite3_int64 rows;
    char **message;
};

static int
fail(struct export *e, enum txkv_rc rc, const struct txkv_error *err)
{
    return tx_sql_fail(e->message, e->options->who, rc, err);
}

static void
write_name(struct export *e, const char *name)
{
    tx_literal_quoted(&e->out, '"', name, strlen(name));
}

/* ---- which tables ---- */

static void
free_subjects(struct export *e)
{
    while (e->subjects != NULL) {
        struct subject *subject = e->subjects;

        e->subjects = subject->next;
        tx_shape_free(subject->shape);
        sqlite3_free(subject->sql_name);
        sqlite3_free(subject);
    }
}

static int
read_shape(struct export *e, struct subject *subject)
{
    const char *text = txkv_table_shape(e->store, subject->number);
    char *problem = NULL;
    int rc = SQLITE_ERROR;

    subject->is_pair = text != NULL && strcmp(text, TX_KEY_VALUE_SHAPE) == 0;
    if (text != NULL)
        rc = tx_shape_parse(subject->is_pair ? TX_PAIR_SHAPE : text, &subject->shape, &problem);
    sqlite3_free(problem);
    if (rc == SQLITE_ERROR)
        return tx_sql_refuse(e->message, SQLITE_ERROR,
                             "%s: %s has no columns that SQL can show: it belongs to a program "
                             "that uses the store from C. The option table= exports another one "
                             "alone, and txkv_backup copies all",
                             e->options->who, subject->name);
    if (rc == SQLITE_OK)
        subject->rowid_name = tx_shape_rowid_name(subject->shape);
    return rc;
}

/* SQL does not tell names apart by the case of their letters, as the store does. */
static char *
make_sql_name(const struct export *e, const struct subject *subject)
{
    for (const struct subject *s = e->subjects; s != subject; s = s->next)
        if (sqlite3_stricmp(s->name, subject->name) == 0)
            return sqlite3_mprintf("%s#%u", subject->name, subject->number);
    return sqlite3_mprintf("%s", subject->name);
}

static int
add_subject(struct export *e, const char *name, uint32_t number)
{
    struct subject **end = &e->subjects, *subject = sqlite3_malloc(sizeof(*subject));

    if (subject == NULL)
        return SQLITE_NOMEM;
    *subject = (struct subject){ .number = number };
    (void)sqlite3_snprintf((int)sizeof(subject->name), subject->name, "%s", name);
    while (*end != NULL)
        end = &(*end)->next;
    *end = subject;
    subject->sql_name = make_sql_name(e, subject);
    return subject->sql_name == NULL ? SQLITE_NOMEM : read_shape(e, subject);
}

static int
list_subjects(struct export *e, const char *only)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;
    int rc = SQLITE_OK;

    if (only != NULL) {
        rc = tx_where_find(e->store, e->options->who, only, &number, e->message);
        return rc == SQLITE_OK ? add_subject(e, only, number) : rc;
    }
    while (rc == SQLITE_OK && txkv_table_next(e->store, &number, name))
        if (!tx_relation_is_index(name))
            rc = add_subject(e, name, number);
    return rc;
}

static int
check_subjects(const struct export *e)
{
    const bool is_single = e->options->format == TX_FORMAT_CSV || e->options->plain;

    if (is_single && e->subjects != NULL && e->subjects->next != NULL)
        return tx_sql_refuse(e->message, SQLITE_ERROR,
                             "%s: a file of this format has the rows of one table: the option "
                             "table= says which of those in \"%s\"",
                             e->options->who, txkv_dir(e->store));
    if (is_single && e->subjects == NULL)
        return tx_sql_refuse(e->message, SQLITE_ERROR, "%s: there is no table in \"%s\"",
                             e->options->who, txkv_dir(e->store));
    return SQLITE_OK;
}

/* ---- what stands before the rows ---- */

/* What the connection has said of the table, if it has it open. */
static void
write_table_options(struct export *e, const struct subject *subject)
{
    static const char *const syncs[] = {
        [TXKV_SYNC_OFF] = ", sync=off", [TXKV_SYNC_NORMAL] = ", sync=normal", [TXKV_SYNC_FULL] = ""
    };
    const char *dir = txkv_dir(e->store);

    for (const struct tx_table *t = e->options->connection->tables; t != NULL; t = t->next) {
        if (t->number != subject->number || strcmp(txkv_dir(t->link->store), dir) != 0)
            continue;
        tx_outfile_text(&e->out, syncs[t->sync]);
        if (t->isolation == TXKV_SNAPSHOT)
            tx_outfile_text(&e->out, ", isolation=snapshot");
        return;
    }
}

static void
write_create(struct export *e, const struct subject *subject)
{
    const char *dir = e->options->dir != NULL ? e->options->dir : txkv_dir(e->store);

    tx_outfile_text(&e->out, "CREATE VIRTUAL TABLE temp.");
    write_name(e, subject->sql_name);
    tx_outfile_text(&e->out, " USING txkv(");
    tx_literal_quoted(&e->out, '\'', dir, strlen(dir));
    if (strcmp(subject->sql_name, subject->name) != 0) {
        tx_outfile_text(&e->out, ", table=");
        tx_literal_quoted(&e->out, '\'', subject->name, strlen(subject->name));
    }
    if (!subject->is_pair) {
        tx_outfile_text(&e->out, ", ");
        tx_outfile_text(&e->out, subject->shape->text);
    }
    write_table_options(e, subject);
    tx_outfile_text(&e->out, ");\n");
}

static void
write_csv_header(struct export *e, const struct subject *subject)
{
    const struct tx_shape *shape = subject->shape;

    if (subject->rowid_name != NULL) {
        tx_outfile_text(&e->out, subject->rowid_name);
        tx_outfile_text(&e->out, ",");
    }
    for (int i = 0; i < shape->column_count; i++) {
        if (i > 0)
            tx_outfile_text(&e->out, ",");
        write_name(e, shape->columns[i].name);
    }
    tx_outfile_text(&e->out, "\r\n");
}

static struct tx_cell
text_cell(const char *text)
{
    return (struct tx_cell){ .type = SQLITE_TEXT,
                             .data = (const uint8_t *)text,
                             .bytes = strlen(text) };
}

static void
write_json_table(struct export *e, const struct subject *subject)
{
    const struct tx_cell name = text_cell(subject->name);
    struct tx_cell columns = { .type = SQLITE_NULL };

    if (!subject->is_pair)
        columns = text_cell(subject->shape->text);
    tx_outfile_text(&e->out, "{\"table\":");
    tx_literal_json(&e->out, &name);
    tx_outfile_text(&e->out, ",\"columns\":");
    tx_literal_json(&e->out, &columns);
    tx_outfile_text(&e->out, "}\n");
}

static void
write_beginning(struct export *e)
{
    if (e->options->format == TX_FORMAT_CSV)
        write_csv_header(e, e->subjects);
    if (e->options->format == TX_FORMAT_SQL) {
        tx_outfile_text(&e->out, "-- Tables of a txkv store. Load the extension first.\n");
        for (const struct subject *s = e->subjects; s != NULL; s = s->next)
            write_create(e, s);
        tx_outfile_text(&e->out, "BEGIN;\n");
    }
}

/* ---- rows ---- */

/* A statement must be one that SQLite takes. */
static int
check_sql_bytes(struct export *e, const struct subject *subject, const struct tx_cell *cells,
                struct txkv_bytes key)
{
    uint64_t bytes = 0;
    char words[128];

    for (int i = 0; i < subject->shape->column_count; i++)
        bytes += tx_literal_sql_bytes(&cells[i]) + strlen(subject->shape->columns[i].name);
    if (bytes < e->sql_bytes_max)
        return SQLITE_OK;
    tx_key_describe(key.data, key.bytes, words, sizeof(words));
    return tx_sql_refuse(e->message, SQLITE_TOOBIG,
                         "%s: table %s, key %s: as a statement the row would take more bytes than "
                         "SQLite's limit of %llu: take format=jsonl, or txkv_backup",
                         e->options->who, subject->name, words,
                         (unsigned long long)e->sql_bytes_max);
}

static void
write_sql_row(struct export *e, const struct subject *subject, const struct tx_cell *cells,
              int64_t rowid)
{
    const int count = subject->shape->column_count;
    const struct tx_cell number = { .type = SQLITE_INTEGER, .integer = rowid };

    tx_outfile_text(&e->out, "INSERT INTO temp.");
    write_name(e, subject->sql_name);
    if (subject->rowid_name != NULL) {
        tx_outfile_text(&e->out, "(");
        tx_outfile_text(&e->out, subject->rowid_name);
        for (int i = 0; i < count; i++) {
            tx_outfile_text(&e->out, ",");
            write_name(e, subject->shape->columns[i].name);
        }
        tx_outfile_text(&e->out, ")");
    }
    tx_outfile_text(&e->out, " VALUES(");
    if (subject->rowid_name != NULL) {
        tx_literal_sql(&e->out, &number);
        tx_outfile_text(&e->out, ",");
    }
    for (int i = 0; i < count; i++) {
        if (i > 0)
            tx_outfile_text(&e->out, ",");
        tx_literal_sql(&e->out, &cells[i]);
    }
    tx_outfile_text(&e->out, ");\n");
}

static void
write_csv_row(struct export *e, const struct subject *subject, const struct tx_cell *cells,
              int64_t rowid)
{
    const struct tx_cell number = { .type = SQLITE_INTEGER, .integer = rowid };

    if (subject->rowid_name != NULL) {
        tx_literal_csv(&e->out, &number, "");
        tx_outfile_text(&e->out, ",");
    }
    for (int i = 0; i < subject->shape->column_count; i++) {
        if (i > 0)
            tx_outfile_text(&e->out, ",");
        tx_literal_csv(&e->out, &cells[i], e->options->null_text);
    }
    tx_outfile_text(&e->out, "\r\n");
}

static void
write_json_member(struct export *e, const char *name, const struct tx_cell *cell, bool is_first)
{
    const struct tx_cell text = text_cell(name);

    tx_outfile_text(&e->out, is_first ? "" : ",");
    tx_literal_json(&e->out, &text);
    tx_outfile_text(&e->out, ":");
    tx_literal_json(&e->out, cell);
}

static void
write_json_row(struct export *e, const struct subject *subject, const struct tx_cell *cells,
               int64_t rowid)
{
    const struct tx_cell number = { .type = SQLITE_INTEGER, .integer = rowid };
    const struct tx_cell name = text_cell(subject->name);
    const bool plain = e->options->plain;
    bool is_first = true;

    tx_outfile_text(&e->out, "{");
    if (!plain) {
        write_json_member(e, "table", &name, true);
        if (subject->rowid_name != NULL)
            write_json_member(e, "rowid", &number, false);
        tx_outfile_text(&e->out, ",\"row\":{");
    } else if (subject->rowid_name != NULL) {
        write_json_member(e, subject->rowid_name, &number, true);
        is_first = false;
    }
    for (int i = 0; i < subject->shape->column_count; i++) {
        write_json_member(e, subject->shape->columns[i].name, &cells[i], is_first);
        is_first = false;
    }
    tx_outfile_text(&e->out, plain ? "}\n" : "}}\n");
}

/* All columns, in row->cells, and the rowid. */
static bool
read_row(const struct subject *subject, struct tx_row *row, struct txkv_bytes key,
         struct txkv_bytes value, int64_t *rowid, int *rc)
{
    *rowid = 0;
    *rc = SQLITE_OK;
    if (subject->is_pair)
        return tx_key_cell(key.data, key.bytes, tx_row_note(value.data, value.bytes),
                           &row->cells[0]) &&
               tx_row_cells(value.data, value.bytes, TX_VALUE_COLUMNS, &row->cells[1]);
    *rc = tx_row_read(row, subject->shape, key, value);
    return *rc == SQLITE_OK &&
           (!tx_shape_has_rowid(subject->shape) || tx_relation_rowid(key, rowid));
}

static int
write_row(struct export *e, const struct subject *subject, struct tx_row *row,
          struct txkv_bytes key, struct txkv_bytes value)
{
    char words[128];
    int64_t rowid;
    int rc;

    if (!read_row(subject, row, key, value, &rowid, &rc)) {
        if (rc == SQLITE_NOMEM)
            return rc;
        tx_key_describe(key.data, key.bytes, words, sizeof(words));
        return tx_sql_refuse(e->message, SQLITE_CORRUPT_VTAB,
                             "%s: table %s, key %s: the row is damaged: SELECT txkv_check('%s') "
                             "lists what is, and restore the store from a backup",
                             e->options->who, subject->name, words, txkv_dir(e->store));
    }
    e->rows++;
    if (e->options->format == TX_FORMAT_CSV) {
        write_csv_row(e, subject, row->cells, rowid);
    } else if (e->options->format == TX_FORMAT_JSONL) {
        write_json_row(e, subject, row->cells, rowid);
    } else {
        rc = check_sql_bytes(e, subject, row->cells, key);
        if (rc == SQLITE_OK)
            write_sql_row(e, subject, row->cells, rowid);
    }
    return rc;
}

static int
write_rows(struct export *e, const struct subject *subject)
{
    const struct txkv_range all = { .lo_open = false };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    struct tx_row row;
    int rc = SQLITE_OK;
    enum txkv_rc store_rc = txkv_cursor_open(e->session, subject->number, &cursor, &err);

    if (store_rc != TXKV_OK)
        return fail(e, store_rc, &err);
    if (tx_row_make(&row, subject->shape))
        store_rc = txkv_cursor_seek(cursor, &all, &err);
    else
        rc = SQLITE_NOMEM;
    while (rc == SQLITE_OK && store_rc == TXKV_OK && !tx_outfile_failed(&e->out)) {
        rc = write_row(e, subject, &row, txkv_cursor_key(cursor), txkv_cursor_value(cursor));
        if (rc == SQLITE_OK)
            store_rc = txkv_cursor_next(cursor, &err);
    }
    tx_row_free(&row, subject->shape);
    txkv_cursor_close(cursor);
    if (rc == SQLITE_OK && store_rc != TXKV_OK && store_rc != TXKV_NOTFOUND)
        rc = fail(e, store_rc, &err);
    return rc;
}

/* ---- all of it ---- */

static int
write_file(struct export *e)
{
    int rc = tx_outfile_open(&e->out, e->options->who, e->options->file, e->options->overwrite,
                             e->message);

    if (rc != SQLITE_OK)
        return rc;
    write_beginning(e);
    for (const struct subject *s = e->subjects; rc == SQLITE_OK && s != NULL; s = s->next) {
        if (e->options->format == TX_FORMAT_JSONL && !e->options->plain)
            write_json_table(e, s);
        rc = write_rows(e, s);
    }
    if (e->options->format == TX_FORMAT_SQL)
        tx_outfile_text(&e->out, "COMMIT;\n");
    if (rc == SQLITE_OK)
        return tx_outfile_finish(&e->out, e->message);
    tx_outfile_abandon(&e->out);
    return rc;
}

/* The store's name of the table that the first argument is, or NULL. */
static int
name_of_where(struct export *e, char name[TXKV_TABLE_NAME_BYTES_MAX + 1], bool *is_table)
{
    const struct tx_table *table = tx_where_table(e->options->connection, e->options->where);

    *is_table = table != NULL;
    if (table == NULL)
        return SQLITE_OK;
    if (!txkv_table_name(e->store, table->number, name) || name[0] == '\0')
        return tx_sql_refuse(e->message, SQLITE_ERROR,
                             "%s: %s: the table was dropped from the store", e->options->who,
                             table->name);
    return SQLITE_OK;
}

int
tx_export(const struct tx_transfer *options, sqlite3_int64 *rows, char **message)
{
    struct export e = { .options = options, .message = message };
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    struct txkv_error err;
    enum txkv_rc store_rc;
    bool is_table = false;
    int rc = tx_where_open(options->connection, options->who, options->where, &e.store, message);

    if (rc != SQLITE_OK)
        return rc;
    e.sql_bytes_max = (uint64_t)sqlite3_limit(options->connection->db, SQLITE_LIMIT_SQL_LENGTH, -1);
    rc = name_of_where(&e, name, &is_table);
    store_rc = rc != SQLITE_OK ? TXKV_OK : txkv_session_open(e.store, &e.session, &err);
    if (rc == SQLITE_OK && store_rc == TXKV_OK)
        store_rc = txkv_begin(e.session, &err);
    if (store_rc != TXKV_OK)
        rc = fail(&e, store_rc, &err);
    if (rc == SQLITE_OK)
        rc = list_subjects(&e, options->table == NULL && is_table ? name : options->table);
    if (rc == SQLITE_OK)
        rc = check_subjects(&e);
    if (rc == SQLITE_OK)
        rc = write_file(&e);
    *rows = e.rows;
    free_subjects(&e);
    txkv_session_close(e.session);
    (void)txkv_close(e.store, NULL);
    return rc;
}
