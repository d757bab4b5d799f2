/*
 * recover.c - the modes of txkv_recover for stores that are not opened.
 */
#include "recover.h"

#include <string.h>

#include "json.h"
#include "reindex.h"
#include "sqlerror.h"

static void
append_text(sqlite3_str *out, const char *name, const char *text)
{
    sqlite3_str_appendf(out, ",\"%s\":", name);
    tx_json_string(out, text, strlen(text));
}

static void
append_bool(sqlite3_str *out, const char *name, int value)
{
    sqlite3_str_appendf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

int
tx_recover_dry_run(const char *dir, sqlite3_str *out, char **message)
{
    struct txkv_examination e;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_examine(dir, NULL, &e, &err);

    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_recover", rc, &err);
    sqlite3_str_appendall(out, "{\"store\":");
    tx_json_string(out, dir, strlen(dir));
    append_bool(out, "opens", e.opens);
    tx_json_count(out, "problem_count", e.problems);
    append_text(out, "problem", e.first);
    tx_json_count(out, "pages", e.pages.pages);
    tx_json_count(out, "page_problems", e.pages.problems);
    tx_json_count(out, "tables", e.tables);
    tx_json_count(out, "rows", e.rows);
    tx_json_count(out, "checkpoint_lsn", e.checkpoint_lsn);
    tx_json_count(out, "end_lsn", e.end_lsn);
    tx_json_count(out, "segments", e.segments);
    tx_json_count(out, "records", e.records);
    tx_json_count(out, "transactions", e.transactions);
    tx_json_count(out, "operations", e.operations);
    tx_json_count(out, "bytes", e.bytes);
    append_bool(out, "in_doubt", e.in_doubt);
    append_bool(out, "log_damaged", e.log_damaged);
    append_text(out, "break_file", e.break_file);
    tx_json_count(out, "break_offset", e.break_offset);
    tx_json_count(out, "records_behind", e.records_behind);
    tx_json_count(out, "bytes_behind", e.bytes_behind);
    sqlite3_str_appendchar(out, 1, '}');
    return SQLITE_OK;
}

static enum txkv_rc
reindex(const char *dir, struct tx_reindex_report *report, struct txkv_error *err)
{
    const struct txkv_options options = { .must_exist = true };
    struct txkv *store;
    enum txkv_rc rc = txkv_open(dir, &options, &store, err), closed;

    if (rc != TXKV_OK)
        return rc;
    rc = tx_reindex(store, report, err);
    closed = txkv_close(store, rc == TXKV_OK ? err : NULL);
    return rc == TXKV_OK ? closed : rc;
}

int
tx_recover_rescue(const char *dir, sqlite3_str *out, char **message)
{
    struct txkv_rescue_report r;
    struct tx_reindex_report i = { .indexes = 0 };
    struct txkv_error err;
    enum txkv_rc rc = txkv_rescue(dir, NULL, &r, &err);

    if (rc == TXKV_OK)
        rc = reindex(dir, &i, &err);
    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_recover", rc, &err);
    sqlite3_str_appendall(out, "{\"store\":");
    tx_json_string(out, dir, strlen(dir));
    append_text(out, "saved", r.saved);
    tx_json_count(out, "tables", r.tables - i.indexes);
    tx_json_count(out, "tables_unnamed", r.tables_unnamed);
    tx_json_count(out, "rows_of_pages", r.rows_of_pages);
    tx_json_count(out, "page_problems", r.page_problems);
    tx_json_count(out, "records", r.records);
    tx_json_count(out, "transactions", r.transactions);
    tx_json_count(out, "holes", r.holes);
    tx_json_count(out, "undecided", r.undecided);
    tx_json_count(out, "rows_refused", r.rows_refused);
    tx_json_count(out, "bytes_skipped", r.bytes_skipped);
    tx_json_count(out, "files_skipped", r.files_skipped);
    tx_json_count(out, "indexes", i.indexes);
    tx_json_count(out, "damaged_rows", i.damaged_rows);
    tx_json_count(out, "unique_conflicts", i.unique_conflicts);
    tx_json_count(out, "lsn", r.lsn);
    sqlite3_str_appendchar(out, 1, '}');
    return SQLITE_OK;
}
