/*
 * empty.c - a virtual table that stores nothing: what a point SELECT costs in SQLite itself.
 *
 * SELECT value ... WHERE key = ? gets one row, whatever the key. Its value is constant but for the
 * key in front, so that the read is checked as every other one. No other statement is planned.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct cursor {
    sqlite3_vtab_cursor base;
    bool at_row;
    char value[VALUE_BYTES];
};

static int
vtab_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
             char **error)
{
    (void)aux;
    (void)argc;
    (void)argv;
    (void)error;
    sqlite3_vtab *table = calloc(1, sizeof(*table));
    *out = table;
    return table ? sqlite3_declare_vtab(db, "CREATE TABLE x(key, value)") : SQLITE_NOMEM;
}

static int
vtab_disconnect(sqlite3_vtab *table)
{
    free(table);
    return SQLITE_OK;
}

static int
vtab_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != 0 || !info->aConstraint[i].usable ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedCost = 1;
        info->estimatedRows = 1;
        info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

static int
vtab_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    (void)table;
    struct cursor *c = calloc(1, sizeof(*c));
    if (!c)
        return SQLITE_NOMEM;
    memset(c->value, '.', sizeof(c->value));
    *out = &c->base;
    return SQLITE_OK;
}

static int
vtab_close(sqlite3_vtab_cursor *base)
{
    free(base);
    return SQLITE_OK;
}

static int
vtab_filter(sqlite3_vtab_cursor *base, int plan, const char *plan_text, int argc,
            sqlite3_value **argv)
{
    struct cursor *c = (struct cursor *)base;
    (void)plan;
    (void)plan_text;
    c->at_row = argc == 1 && sqlite3_value_bytes(argv[0]) == KEY_BYTES;
    if (c->at_row)
        memcpy(c->value, sqlite3_value_text(argv[0]), KEY_BYTES);
    return SQLITE_OK;
}

static int
vtab_next(sqlite3_vtab_cursor *base)
{
    ((struct cursor *)base)->at_row = false;
    return SQLITE_OK;
}

static int
vtab_eof(sqlite3_vtab_cursor *base)
{
    return !((struct cursor *)base)->at_row;
}

static int
vtab_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const struct cursor *c = (struct cursor *)base;
    sqlite3_result_text(context, c->value, column == 0 ? KEY_BYTES : VALUE_BYTES, SQLITE_STATIC);
    return SQLITE_OK;
}

static int
vtab_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    (void)base;
    *rowid = 1;
    return SQLITE_OK;
}

int
empty_register(sqlite3 *db)
{
    static const sqlite3_module module = { .xCreate = vtab_connect,
                                           .xConnect = vtab_connect,
                                           .xBestIndex = vtab_best_index,
                                           .xDisconnect = vtab_disconnect,
                                           .xDestroy = vtab_disconnect,
                                           .xOpen = vtab_open,
                                           .xClose = vtab_close,
                                           .xFilter = vtab_filter,
                                           .xNext = vtab_next,
                                           .xEof = vtab_eof,
                                           .xColumn = vtab_column,
                                           .xRowid = vtab_rowid };
    return sqlite3_create_module(db, "empty", &module, NULL);
}
