/*
 * logtable.c - txkv_log(where): the records of a store's log.
 *
 * The log's files are open from the first row to the last one, so that a checkpoint takes none of
 * them away meanwhile. Bounds of lsn are handed down: they only spare work, SQLite compares again.
 */
#include <string.h>

#include "json.h"
#include "sqlerror.h"
#include "tables.h"
#include "where.h"

enum column { LSN, TYPE, TABLES, OPERATIONS, BYTES, DURABLE, CHECKPOINTED, TIME, STORE };

#define DECLARATION                                                                                \
    "CREATE TABLE x(lsn INTEGER, type TEXT, tables TEXT, operations INTEGER, bytes INTEGER, "      \
    "durable INTEGER, checkpointed INTEGER, time TEXT, store HIDDEN)"

/* The plan's bits, in the order of the arguments. */
enum { HAS_STORE = 1, HAS_FROM = 2, HAS_TO = 4 };

struct log_cursor {
    sqlite3_vtab_cursor base;
    char *where;        /* the argument */
    struct txkv *store; /* NULL: it has none open */
    struct txkv_log *log;
    struct txkv_log_record record;
    bool at_row;
};

static int
connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
        char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return tx_listing_connect(db, data, DECLARATION, true, out);
}

/* Take the first usable constraint on lsn with one of the two operators. */
static void
take_bound(sqlite3_index_info *info, int bit, int op, int op_open, int *next)
{
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];

        if (c->iColumn != LSN || !c->usable || (c->op != op && c->op != op_open) ||
            info->aConstraintUsage[i].argvIndex != 0)
            continue;
        info->aConstraintUsage[i].argvIndex = (*next)++;
        info->idxNum |= bit;
        return;
    }
}

static int
best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    const int rc = tx_listing_best_index(info, STORE, 1);
    int next = (info->idxNum & HAS_STORE) != 0 ? 2 : 1;

    (void)vtab;
    if (rc != SQLITE_OK)
        return rc;
    take_bound(info, HAS_FROM, SQLITE_INDEX_CONSTRAINT_GE, SQLITE_INDEX_CONSTRAINT_GT, &next);
    take_bound(info, HAS_TO, SQLITE_INDEX_CONSTRAINT_LE, SQLITE_INDEX_CONSTRAINT_LT, &next);
    if ((info->idxNum & (HAS_FROM | HAS_TO)) == 0)
        take_bound(info, HAS_FROM | HAS_TO, SQLITE_INDEX_CONSTRAINT_EQ, SQLITE_INDEX_CONSTRAINT_EQ,
                   &next);
    for (int bits = info->idxNum & (HAS_FROM | HAS_TO); bits != 0; bits &= bits - 1)
        info->estimatedCost /= 2;
    info->orderByConsumed =
        info->nOrderBy == 1 && info->aOrderBy[0].iColumn == LSN && !info->aOrderBy[0].desc;
    return SQLITE_OK;
}

static int
open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct log_cursor *cursor = sqlite3_malloc(sizeof(*cursor));

    (void)vtab;
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *cursor = (struct log_cursor){ .store = NULL };
    *out = &cursor->base;
    return SQLITE_OK;
}

static void
let_go(struct log_cursor *cursor)
{
    txkv_log_close(cursor->log);
    (void)txkv_close(cursor->store, NULL);
    sqlite3_free(cursor->where);
    *cursor = (struct log_cursor){ .base = cursor->base };
}

static int
close_cursor(sqlite3_vtab_cursor *base)
{
    let_go((struct log_cursor *)base);
    sqlite3_free(base);
    return SQLITE_OK;
}

static int
settle(struct log_cursor *cursor, enum txkv_rc rc, const struct txkv_error *err)
{
    cursor->at_row = rc == TXKV_OK;
    if (rc == TXKV_OK || rc == TXKV_NOTFOUND)
        return SQLITE_OK;
    return tx_sql_fail(&cursor->base.pVtab->zErrMsg, "txkv_log", rc, err);
}

static int
next(sqlite3_vtab_cursor *base)
{
    struct log_cursor *cursor = (struct log_cursor *)base;
    struct txkv_error err;

    return settle(cursor, txkv_log_next(cursor->log, &cursor->record, &err), &err);
}

/* A bound as an LSN: one that is no number bounds nothing. */
static void
read_bound(sqlite3_value *value, bool is_from, bool is_to, uint64_t *from, uint64_t *to)
{
    const int type = sqlite3_value_numeric_type(value);
    sqlite3_int64 lsn;

    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT)
        return;
    lsn = sqlite3_value_int64(value);
    if (is_from && lsn > 0)
        *from = (uint64_t)lsn;
    if (is_to)
        *to = lsn < 0 ? 0 : (uint64_t)lsn + 1;
}

static int
filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count, sqlite3_value **arguments)
{
    struct log_cursor *cursor = (struct log_cursor *)base;
    const struct tx_listing *table = (const struct tx_listing *)base->pVtab;
    const bool both = count == 2 && (plan & HAS_FROM) != 0 && (plan & HAS_TO) != 0;
    uint64_t from = 0, to = UINT64_MAX;
    struct txkv_error err;
    enum txkv_rc rc;
    int sql_rc;

    (void)text;
    let_go(cursor);
    if ((plan & HAS_STORE) != 0 && sqlite3_value_text(arguments[0]) != NULL)
        cursor->where = sqlite3_mprintf("%s", sqlite3_value_text(arguments[0]));
    if (cursor->where == NULL)
        return tx_sql_refuse(&base->pVtab->zErrMsg, SQLITE_ERROR,
                             "txkv_log: give a txkv table or a store's directory: SELECT * FROM "
                             "txkv_log('DIR')");
    if ((plan & HAS_FROM) != 0)
        read_bound(arguments[1], true, both, &from, &to);
    if ((plan & HAS_TO) != 0 && !both)
        read_bound(arguments[count - 1], false, true, &from, &to);
    sql_rc = tx_where_open(table->connection, "txkv_log", cursor->where, &cursor->store,
                           &base->pVtab->zErrMsg);
    if (sql_rc != SQLITE_OK)
        return sql_rc;
    rc = txkv_log_open(cursor->store, from, to, &cursor->log, &err);
    if (rc != TXKV_OK)
        return settle(cursor, rc, &err);
    return next(base);
}

static int
eof(sqlite3_vtab_cursor *base)
{
    return !((struct log_cursor *)base)->at_row;
}

/* ---- the row ---- */

/* The name of a table as SQL knows it, with those of its indexes under it. */
static void
read_name(const struct log_cursor *cursor, size_t i, char name[TXKV_TABLE_NAME_BYTES_MAX + 1])
{
    const uint32_t table = cursor->record.tables[i];

    if (!txkv_table_name(cursor->store, table, name) || name[0] == '\0')
        sqlite3_snprintf(TXKV_TABLE_NAME_BYTES_MAX, name, "#%u", table);
    name[strcspn(name, "\x01")] = '\0';
}

/* Whether one of the tables before number i has that name, too. */
static bool
is_listed(const struct log_cursor *cursor, size_t i, const char *name)
{
    char other[TXKV_TABLE_NAME_BYTES_MAX + 1];

    while (i-- > 0) {
        read_name(cursor, i, other);
        if (strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* Names, with commas between them. */
static int
give_tables(const struct log_cursor *cursor, sqlite3_context *context)
{
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    char *text;
    int rc, bytes;

    for (size_t i = 0; i < cursor->record.table_count; i++) {
        read_name(cursor, i, name);
        if (is_listed(cursor, i, name))
            continue;
        if (sqlite3_str_length(out) > 0)
            sqlite3_str_appendchar(out, 1, ',');
        sqlite3_str_appendall(out, name);
    }
    rc = sqlite3_str_errcode(out);
    bytes = sqlite3_str_length(out);
    text = sqlite3_str_finish(out);
    if (rc == SQLITE_OK)
        sqlite3_result_text(context, text == NULL ? "" : text, bytes,
                            text == NULL ? SQLITE_STATIC : sqlite3_free);
    else
        sqlite3_free(text);
    return rc;
}

static void
give_time(uint64_t ms, sqlite3_context *context)
{
    char text[TX_TIME_TEXT_BYTES];

    tx_time_text(ms, text);
    if (ms != 0)
        sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static int
column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    const struct log_cursor *cursor = (const struct log_cursor *)base;
    const struct txkv_log_record *record = &cursor->record;

    switch (index) {
    case LSN:
        sqlite3_result_int64(context, (sqlite3_int64)record->lsn);
        break;
    case TYPE:
        sqlite3_result_text(context, record->type, -1, SQLITE_STATIC);
        break;
    case TABLES:
        return give_tables(cursor, context);
    case OPERATIONS:
        sqlite3_result_int64(context, (sqlite3_int64)record->operations);
        break;
    case BYTES:
        sqlite3_result_int64(context, (sqlite3_int64)record->bytes);
        break;
    case DURABLE:
        sqlite3_result_int(context, record->durable);
        break;
    case CHECKPOINTED:
        sqlite3_result_int(context, record->checkpointed);
        break;
    case TIME:
        give_time(record->time_ms, context);
        break;
    default:
        sqlite3_result_text(context, cursor->where, -1, SQLITE_TRANSIENT);
        break;
    }
    return SQLITE_OK;
}

static int
rowid_of(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = (sqlite3_int64)((struct log_cursor *)base)->record.lsn;
    return SQLITE_OK;
}

/* No xCreate: the table is there by its module's name, and only so. */
static const sqlite3_module module = {
    .iVersion = 0,
    .xConnect = connect,
    .xBestIndex = best_index,
    .xDisconnect = tx_listing_disconnect,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid_of,
};

int
tx_logtable_register(struct tx_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "txkv_log", &module,
                                    tx_connection_ref(connection), tx_connection_unref);
}
