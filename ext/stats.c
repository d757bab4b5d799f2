/*
 * stats.c - txkv_stats: what the connection's stores are doing.
 */
#include "stats.h"

#include <string.h>

#include "tables.h"

enum column { STORE, NAME, VALUE, UNIT, MEANING };

#define DECLARATION "CREATE TABLE x(store TEXT, name TEXT, value NUMERIC, unit TEXT, meaning TEXT)"

/* The statistics of one store, copied, for the store may be closed while the scan goes on. */
struct block {
    struct block *next;
    size_t count; /* of stats; behind them comes what is text */
    struct txkv_stat stats[TXKV_STATS_MAX];
    struct txkv_archive_state archive;
    char dir[];
};

struct stats_cursor {
    sqlite3_vtab_cursor base;
    struct block *blocks; /* those not yet read to the end */
    size_t index;         /* in the first of them */
    sqlite3_int64 rowid;
};

static int
connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
        char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return tx_listing_connect(db, data, DECLARATION, false, out);
}

static int
best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab;
    info->estimatedCost = TXKV_STATS_MAX;
    info->estimatedRows = TXKV_STATS_MAX;
    return SQLITE_OK;
}

static int
open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct stats_cursor *cursor = sqlite3_malloc(sizeof(*cursor));

    (void)vtab;
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *cursor = (struct stats_cursor){ .blocks = NULL };
    *out = &cursor->base;
    return SQLITE_OK;
}

/* Statistics that are no numbers, in the order of text_of. */
static const struct {
    const char *name, *meaning;
} texts[] = {
    { "archive_dir", "where the log's files are kept; NULL: nowhere" },
    { "archive_error", "why files wait to be archived: the newest failure, of whatever process; "
                       "NULL: none" },
};

enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

static const char *
text_of(const struct block *block, size_t i)
{
    return i == 0 ? block->archive.dir : block->archive.error;
}

/* Free blocks until the cursor stands on a row or has none left. */
static void
drop_blocks(struct stats_cursor *cursor, bool all)
{
    while (cursor->blocks != NULL && (all || cursor->index >= cursor->blocks->count + TEXTS)) {
        struct block *block = cursor->blocks;

        cursor->blocks = block->next;
        cursor->index = 0;
        sqlite3_free(block);
    }
}

static int
close_cursor(sqlite3_vtab_cursor *base)
{
    drop_blocks((struct stats_cursor *)base, true);
    sqlite3_free(base);
    return SQLITE_OK;
}

static int
filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count, sqlite3_value **arguments)
{
    struct stats_cursor *cursor = (struct stats_cursor *)base;
    const struct tx_listing *table = (const struct tx_listing *)base->pVtab;
    struct block **end = &cursor->blocks;

    (void)plan;
    (void)text;
    (void)count;
    (void)arguments;
    drop_blocks(cursor, true);
    cursor->index = 0;
    cursor->rowid = 0;
    for (struct tx_link *link = table->connection->links; link != NULL; link = link->next) {
        const char *dir = txkv_dir(link->store);
        const size_t dir_bytes = strlen(dir) + 1;
        struct block *block = sqlite3_malloc64(sizeof(*block) + dir_bytes);

        if (block == NULL)
            return SQLITE_NOMEM;
        block->next = NULL;
        block->count = txkv_stats(link->store, block->stats);
        (void)!txkv_archive_state(link->store, &block->archive, NULL); /* else empty */
        memcpy(block->dir, dir, dir_bytes);
        *end = block;
        end = &block->next;
    }
    drop_blocks(cursor, false);
    return SQLITE_OK;
}

static int
next(sqlite3_vtab_cursor *base)
{
    struct stats_cursor *cursor = (struct stats_cursor *)base;

    cursor->index++;
    cursor->rowid++;
    drop_blocks(cursor, false);
    return SQLITE_OK;
}

static int
eof(sqlite3_vtab_cursor *base)
{
    return ((struct stats_cursor *)base)->blocks == NULL;
}

static int
column_of_text(const struct block *block, size_t i, sqlite3_context *context, int index)
{
    const char *text = text_of(block, i);

    switch (index) {
    case STORE:
        sqlite3_result_text(context, block->dir, -1, SQLITE_TRANSIENT);
        break;
    case NAME:
        sqlite3_result_text(context, texts[i].name, -1, SQLITE_STATIC);
        break;
    case VALUE:
        if (*text != '\0')
            sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
        break;
    case UNIT:
        sqlite3_result_text(context, "text", -1, SQLITE_STATIC);
        break;
    default:
        sqlite3_result_text(context, texts[i].meaning, -1, SQLITE_STATIC);
        break;
    }
    return SQLITE_OK;
}

static int
column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    const struct stats_cursor *cursor = (const struct stats_cursor *)base;
    const struct block *block = cursor->blocks;
    const struct txkv_stat *stat = &block->stats[cursor->index];

    if (cursor->index >= block->count)
        return column_of_text(block, cursor->index - block->count, context, index);
    switch (index) {
    case STORE:
        sqlite3_result_text(context, block->dir, -1, SQLITE_TRANSIENT);
        break;
    case NAME:
        sqlite3_result_text(context, stat->name, -1, SQLITE_STATIC);
        break;
    case VALUE:
        if (stat->integral)
            sqlite3_result_int64(context, (sqlite3_int64)stat->value);
        else
            sqlite3_result_double(context, stat->value);
        break;
    case UNIT:
        sqlite3_result_text(context, stat->unit, -1, SQLITE_STATIC);
        break;
    case MEANING:
        sqlite3_result_text(context, stat->meaning, -1, SQLITE_STATIC);
        break;
    default:
        break;
    }
    return SQLITE_OK;
}

static int
rowid_of(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct stats_cursor *)base)->rowid;
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
tx_stats_table_register(struct tx_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "txkv_stats", &module,
                                    tx_connection_ref(connection), tx_connection_unref);
}
