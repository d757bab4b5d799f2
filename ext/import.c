/*
 * import.c - txkv_import: the rows of a file of CSV or JSON lines.
 *
 * Record by record; all of them are one transaction, which an error rolls back.
 */
#include <string.h>

#include "csvline.h"
#include "infile.h"
#include "jsonline.h"
#include "sqlerror.h"
#include "target.h"
#include "where.h"

enum { FIELDS_MAX = TX_COLUMNS_MAX + 1, VALUE_BYTES = 40, ROW_BYTES = 240 };

struct import {
    const struct tx_transfer *options;
    struct tx_targets targets;
    struct tx_infile in;
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];    /* of the one table in the store, or "" */
    char skipped[TXKV_TABLE_NAME_BYTES_MAX + 1]; /* another one that the file has, or "" */
    bool found;                                  /* the file has that one */
    sqlite3_int64 rows;
    char **message;
};

/* ---- errors ---- */

static int
refuse_line(struct import *m, const char *column, const char *problem)
{
    return tx_sql_refuse(m->message, SQLITE_ERROR, "%s: %s, line %llu%s%s: %s", m->options->who,
                         m->options->file, (unsigned long long)m->in.line,
                         column == NULL ? "" : ", column ", column == NULL ? "" : column, problem);
}

/* A text for a message: its beginning, and what cannot be shown as ?. */
static void
append_shown(sqlite3_str *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && i < VALUE_BYTES; i++)
        sqlite3_str_appendchar(out, 1, (unsigned char)text[i] < 0x20 ? '?' : text[i]);
    if (bytes > VALUE_BYTES)
        sqlite3_str_appendall(out, "...");
}

static void
append_cell(sqlite3_str *out, const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        sqlite3_str_appendf(out, "%lld", cell->integer);
        break;
    case SQLITE_FLOAT:
        sqlite3_str_appendf(out, "%!.15g", cell->real);
        break;
    case SQLITE_TEXT:
        sqlite3_str_appendchar(out, 1, '\'');
        append_shown(out, (const char *)cell->data, cell->bytes);
        sqlite3_str_appendchar(out, 1, '\'');
        break;
    case SQLITE_BLOB:
        sqlite3_str_appendf(out, "a blob of %llu bytes", (unsigned long long)cell->bytes);
        break;
    default:
        sqlite3_str_appendall(out, "NULL");
        break;
    }
}

/* What SQLite says of the row, and the row. */
static int
refuse_row(struct import *m, const struct tx_target *target, int code)
{
    const int count = target->shape->column_count;
    sqlite3_str *out = sqlite3_str_new(NULL);
    char *text;

    for (int i = 0; i < count + target->has_rowid; i++) {
        if (!target->given[i])
            continue;
        if (sqlite3_str_length(out) > ROW_BYTES) {
            sqlite3_str_appendall(out, ", ...");
            break;
        }
        sqlite3_str_appendf(out, "%s%s = ", sqlite3_str_length(out) == 0 ? "" : ", ",
                            i == count ? "rowid" : target->shape->columns[i].name);
        append_cell(out, &target->cells[i]);
    }
    text = sqlite3_str_finish(out);
    (void)tx_sql_refuse(m->message, code, "%s: %s, line %llu: %s; the row is %s", m->options->who,
                        m->options->file, (unsigned long long)m->in.line,
                        sqlite3_errmsg(m->targets.db), text == NULL ? "" : text);
    sqlite3_free(text);
    return code;
}

/* Wraps a message about a table into one about the line. */
static int
refuse_table(struct import *m, int code)
{
    char *inner = *m->message;

    if (code == SQLITE_NOMEM || inner == NULL)
        return code;
    *m->message = NULL;
    (void)tx_sql_refuse(m->message, code, "%s (%s, line %llu)", inner, m->options->file,
                        (unsigned long long)m->in.line);
    sqlite3_free(inner);
    return code;
}

static int
insert(struct import *m, struct tx_target *target)
{
    bool inserted;
    const int rc = tx_target_insert(&m->targets, target, &inserted);

    m->rows += inserted;
    return rc == SQLITE_OK ? rc : refuse_row(m, target, rc);
}

/* ---- CSV ---- */

struct csv {
    struct tx_target *target;
    int count;             /* of columns in the header */
    int cells[FIELDS_MAX]; /* which cell of the row each is */
    struct tx_csv_field fields[FIELDS_MAX];
};

static int
read_header(struct import *m, struct csv *csv, char *record, size_t bytes)
{
    const char *problem = NULL;

    csv->count = tx_csv_split(record, bytes, csv->fields, FIELDS_MAX, &problem);
    if (csv->count < 0)
        return refuse_line(m, NULL, problem);
    if (csv->count > FIELDS_MAX)
        return refuse_line(m, NULL, "more columns than a table can have");
    for (int i = 0; i < csv->count; i++) {
        const char *name = csv->fields[i].data;
        const int cell = tx_target_cell(csv->target, name, i);

        if (cell < 0)
            return refuse_line(m, name,
                               "the table has no column of that name; the first line of the file "
                               "names its columns");
        for (int k = 0; k < i; k++)
            if (csv->cells[k] == cell)
                return refuse_line(m, name, "the first line names the column twice");
        csv->cells[i] = cell;
        csv->target->given[cell] = true;
    }
    return SQLITE_OK;
}

static int
import_record(struct import *m, struct csv *csv, char *record, size_t bytes)
{
    struct tx_target *target = csv->target;
    const int columns = target->shape->column_count;
    const char *problem = NULL;
    const int count = tx_csv_split(record, bytes, csv->fields, FIELDS_MAX, &problem);

    if (count < 0)
        return refuse_line(m, NULL, problem);
    if (count != csv->count)
        return tx_sql_refuse(
            m->message, SQLITE_ERROR, "%s: %s, line %llu: %d fields, where the first line has %d",
            m->options->who, m->options->file, (unsigned long long)m->in.line, count, csv->count);
    for (int i = 0; i < count; i++) {
        const int cell = csv->cells[i];

        target->given[cell] = true;
        tx_csv_cell(&csv->fields[i],
                    cell == columns ? TX_AFFINITY_INTEGER : target->shape->columns[cell].affinity,
                    m->options->null_text, &target->cells[cell]);
    }
    return insert(m, target);
}

static int
import_csv(struct import *m)
{
    struct csv *csv = sqlite3_malloc(sizeof(*csv));
    bool is_first = true;
    char *record;
    size_t bytes;
    int rc;

    if (csv == NULL)
        return SQLITE_NOMEM;
    rc = tx_targets_find(&m->targets, m->name, m->options->columns, &csv->target);
    while (rc == SQLITE_OK) {
        rc = tx_infile_next(&m->in, true, &record, &bytes, m->message);
        if (rc == SQLITE_ROW)
            rc = is_first ? read_header(m, csv, record, bytes)
                          : import_record(m, csv, record, bytes);
        is_first = false;
    }
    sqlite3_free(csv);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- JSON lines ---- */

static bool
is_text(const struct tx_cell *cell)
{
    return cell->type == SQLITE_TEXT && cell->bytes > 0 &&
           memchr(cell->data, '\0', cell->bytes) == NULL;
}

/* A name or definitions out of a line, which has a NUL behind them. */
static const char *
text_of(const struct tx_cell *cell)
{
    return (const char *)cell->data;
}

static int
import_row(struct import *m, struct tx_target *target, const struct tx_json_line *line)
{
    const int columns = target->shape->column_count;

    for (int i = 0; i < line->count; i++) {
        const struct tx_json_member *member = &line->members[i];
        const int cell = strlen(member->name) == member->name_bytes
                             ? tx_target_cell(target, member->name, i)
                             : -1;

        if (cell < 0)
            return refuse_line(m, member->name, "the table has no column of that name");
        if (target->given[cell])
            return refuse_line(m, member->name, "the row has the column twice");
        target->given[cell] = true;
        target->cells[cell] = member->cell;
    }
    if (line->rowid.type != SQLITE_NULL) {
        if (!target->has_rowid || target->given[columns] || line->rowid.type != SQLITE_INTEGER)
            return refuse_line(m, "rowid",
                               "a whole number, for a table whose rowid no column shows, and once");
        target->given[columns] = true;
        target->cells[columns] = line->rowid;
    }
    return insert(m, target);
}

/* Which table the line is about; *skip: another one than is asked for. */
static int
choose_table(struct import *m, const struct tx_json_line *line, const char **name, bool *skip)
{
    *skip = false;
    *name = m->name;
    if (m->options->plain)
        return SQLITE_OK;
    if (!is_text(&line->table))
        return refuse_line(m, NULL,
                           "the line says of no table that it is about it: {\"table\":\"t\", ...}; "
                           "the option plain=yes reads lines that are rows themselves");
    *name = text_of(&line->table);
    *skip = m->name[0] != '\0' && strcmp(m->name, *name) != 0;
    if (*skip && m->skipped[0] == '\0')
        (void)sqlite3_snprintf((int)sizeof(m->skipped), m->skipped, "%s", *name);
    m->found = m->found || !*skip;
    return SQLITE_OK;
}

static int
import_line(struct import *m, const struct tx_json_line *line)
{
    const char *definitions = m->options->columns, *name;
    struct tx_target *target;
    bool skip;
    int rc;

    if (line->has_columns) {
        if (line->columns.type != SQLITE_NULL && !is_text(&line->columns))
            return refuse_line(m, "columns", "the table's columns, as a text, or null");
        definitions = line->columns.type == SQLITE_NULL ? "" : text_of(&line->columns);
    }
    rc = choose_table(m, line, &name, &skip);
    if (rc != SQLITE_OK || skip)
        return rc;
    rc = tx_targets_find(&m->targets, name, definitions, &target);
    if (rc != SQLITE_OK)
        return refuse_table(m, rc);
    return line->has_row ? import_row(m, target, line) : SQLITE_OK;
}

static int
import_jsonl(struct import *m)
{
    struct tx_json_line line = { .members = NULL };
    char *record;
    size_t bytes;
    int rc;

    while ((rc = tx_infile_next(&m->in, false, &record, &bytes, m->message)) == SQLITE_ROW) {
        if (bytes == 0)
            continue;
        if (tx_jsonline_read(record, bytes, m->options->plain, &line))
            rc = import_line(m, &line);
        else if (line.no_memory)
            rc = SQLITE_NOMEM;
        else
            rc = tx_sql_refuse(m->message, SQLITE_ERROR, "%s: %s, line %llu, byte %llu%s%s: %s",
                               m->options->who, m->options->file, (unsigned long long)m->in.line,
                               (unsigned long long)line.at + 1,
                               line.where == NULL ? "" : ", column ",
                               line.where == NULL ? "" : line.where, line.problem);
        if (rc != SQLITE_OK)
            break;
    }
    tx_jsonline_free(&line);
    if (rc == SQLITE_DONE && m->skipped[0] != '\0' && !m->found)
        return tx_sql_refuse(m->message, SQLITE_ERROR,
                             "%s: %s has nothing of the table %s: it is about %s", m->options->who,
                             m->options->file, m->name, m->skipped);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- all of it ---- */

/* The store's directory, and the table's name in it, of the first argument. */
static int
resolve(struct import *m, char **dir)
{
    const struct tx_transfer *options = m->options;
    const struct tx_table *table = tx_where_table(options->connection, options->where);

    *dir = sqlite3_mprintf("%s", table == NULL ? options->where : txkv_dir(table->link->store));
    if (*dir == NULL)
        return SQLITE_NOMEM;
    if (options->table != NULL)
        memcpy(m->name, options->table, strlen(options->table) + 1);
    else if (table != NULL &&
             (!txkv_table_name(table->link->store, table->number, m->name) || m->name[0] == '\0'))
        return tx_sql_refuse(m->message, SQLITE_ERROR,
                             "%s: %s: the table was dropped from the store", options->who,
                             table->name);
    if (m->name[0] == '\0' && (options->format == TX_FORMAT_CSV || options->plain))
        return tx_sql_refuse(m->message, SQLITE_ERROR,
                             "%s: a file of this format has the rows of one table: give a txkv "
                             "table, or a directory and the option table=",
                             options->who);
    return SQLITE_OK;
}

int
tx_import(const struct tx_transfer *options, sqlite3_int64 *rows, char **message)
{
    struct import m = { .options = options,
                        .targets = { .options = options, .message = message },
                        .in = { .fd = -1 },
                        .message = message };
    char *dir = NULL;
    int rc, closed;

    if (options->format == TX_FORMAT_SQL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: \"%s\" is a script, and SQL runs it: .read in the shell, "
                             "sqlite3_exec in a program",
                             options->who, options->file);
    rc = resolve(&m, &dir);
    if (rc == SQLITE_OK)
        rc = tx_infile_open(&m.in, options->who, options->file, message);
    if (rc == SQLITE_OK)
        rc = tx_targets_open(&m.targets, dir);
    if (rc == SQLITE_OK)
        rc = options->format == TX_FORMAT_CSV ? import_csv(&m) : import_jsonl(&m);
    closed = tx_targets_close(&m.targets, rc == SQLITE_OK);
    tx_infile_close(&m.in);
    sqlite3_free(dir);
    *rows = m.rows;
    return rc == SQLITE_OK ? closed : rc;
}
