/*
 * restore.c - txkv_archive and txkv_restore.
 *
 * A time is whatever SQLite's date functions read, so that the times of txkv_log can be given back;
 * both have milliseconds.
 */
#include "restore.h"

#include <string.h>

#include "json.h"
#include "sqlerror.h"

static const char usage[] =
    "txkv_restore: the arguments are a backup, the directory to make, and if need be 'until "
    "lsn=N' or 'until time=YYYY-MM-DD HH:MM:SS' (UTC), and 'archive=DIR', as text";

static void
append_milliseconds(sqlite3_str *out, uint64_t us)
{
    sqlite3_str_appendf(out, ",\"milliseconds\":%llu.%03llu", (unsigned long long)(us / 1000),
                        (unsigned long long)(us % 1000));
}

static void
append_time(sqlite3_str *out, const char *name, uint64_t ms)
{
    char text[TX_TIME_TEXT_BYTES];

    tx_time_text(ms, text);
    if (ms == 0)
        sqlite3_str_appendf(out, ",\"%s\":null", name);
    else
        sqlite3_str_appendf(out, ",\"%s\":\"%s\"", name, text);
}

int
tx_restore_archive(struct txkv *store, sqlite3_str *out, char **message)
{
    struct txkv_archive_report report;
    struct txkv_archive_state state;
    struct txkv_error err;
    enum txkv_rc rc = txkv_archive(store, &report, &err);

    if (rc == TXKV_OK)
        rc = txkv_archive_state(store, &state, &err);
    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_archive", rc, &err);
    sqlite3_str_appendall(out, ",\"archive_dir\":");
    tx_json_string(out, state.dir, strlen(state.dir));
    tx_json_count(out, "lsn", report.lsn);
    tx_json_count(out, "segments", report.segments);
    tx_json_count(out, "bytes", report.bytes);
    append_milliseconds(out, report.duration_us);
    return SQLITE_OK;
}

/* ---- the arguments of txkv_restore ---- */

/* What is behind a word in text, without the spaces around it; NULL: another word is there. */
static const char *
behind(const char *text, const char *word)
{
    const int bytes = (int)strlen(word);

    while (*text == ' ')
        text++;
    if (sqlite3_strnicmp(text, word, bytes) != 0)
        return NULL;
    text += bytes;
    while (*text == ' ')
        text++;
    return text;
}

/* The value in "name=value". */
static const char *
value_of(const char *text, const char *name)
{
    text = behind(text, name);
    return text == NULL ? NULL : behind(text, "=");
}

static int
read_lsn(const char *text, uint64_t *lsn, char **message)
{
    const char *p = text;

    for (*lsn = 0; *p >= '0' && *p <= '9' && *lsn < UINT64_MAX / 20; p++)
        *lsn = *lsn * 10 + (uint64_t)(*p - '0');
    if (p > text && *p == '\0' && *lsn > 0)
        return SQLITE_OK;
    return tx_sql_refuse(message, SQLITE_ERROR,
                         "txkv_restore: \"%s\" is no LSN: give the number that txkv_log shows",
                         text);
}

static int
read_time(sqlite3 *db, const char *text, uint64_t *ms, char **message)
{
    sqlite3_stmt *statement = NULL;
    double days = 0;
    int rc = sqlite3_prepare_v2(db, "SELECT julianday(?1)", -1, &statement, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_type(statement, 0) == SQLITE_FLOAT)
        days = sqlite3_column_double(statement, 0) - 2440587.5; /* since 1970 */
    sqlite3_finalize(statement);
    if (rc != SQLITE_OK)
        return rc;
    if (days <= 0)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "txkv_restore: \"%s\" is no time that SQLite reads: give YYYY-MM-DD "
                             "HH:MM:SS.SSS, in UTC",
                             text);
    *ms = (uint64_t)(days * 86400000.0 + 0.5);
    return SQLITE_OK;
}

static int
read_option(sqlite3 *db, const char *text, struct txkv_restore_options *options, char **message)
{
    const char *until = behind(text, "until"), *archive = value_of(text, "archive");
    const char *lsn = until == NULL ? NULL : value_of(until, "lsn");
    const char *time = until == NULL ? NULL : value_of(until, "time");

    if (archive != NULL && *archive != '\0' && options->archive_dir == NULL) {
        options->archive_dir = archive;
        return SQLITE_OK;
    }
    if (lsn != NULL && options->until_lsn == 0 && options->until_ms == 0)
        return read_lsn(lsn, &options->until_lsn, message);
    if (time != NULL && options->until_lsn == 0 && options->until_ms == 0)
        return read_time(db, time, &options->until_ms, message);
    return tx_sql_refuse(message, SQLITE_ERROR, "%s", usage);
}

static void
append_report(sqlite3_str *out, const char *backup, const char *target,
              const struct txkv_restore_report *r)
{
    sqlite3_str_appendall(out, "{\"backup\":");
    tx_json_string(out, backup, strlen(backup));
    sqlite3_str_appendall(out, ",\"target\":");
    tx_json_string(out, target, strlen(target));
    tx_json_count(out, "backup_lsn", r->backup_lsn);
    tx_json_count(out, "lsn", r->lsn);
    tx_json_count(out, "last_lsn", r->last_lsn);
    append_time(out, "last_time", r->last_ms);
    tx_json_count(out, "segments", r->segments);
    tx_json_count(out, "transactions", r->transactions);
    tx_json_count(out, "operations", r->operations);
    tx_json_count(out, "bytes", r->bytes);
    tx_json_count(out, "undecided", r->undecided);
    tx_json_count(out, "tables", r->tables);
    tx_json_count(out, "rows", r->rows);
    append_milliseconds(out, r->duration_us);
    sqlite3_str_appendchar(out, 1, '}');
}

int
tx_restore_run(sqlite3 *db, int argc, sqlite3_value **argv, sqlite3_str *out, char **message)
{
    const char *backup = (const char *)sqlite3_value_text(argv[0]);
    const char *target = (const char *)sqlite3_value_text(argv[1]);
    struct txkv_restore_options options = { .archive_dir = NULL };
    struct txkv_restore_report report;
    struct txkv_error err;
    enum txkv_rc rc;

    if (backup == NULL || target == NULL)
        return tx_sql_refuse(message, SQLITE_ERROR, "%s", usage);
    for (int i = 2; i < argc; i++) {
        const char *text = (const char *)sqlite3_value_text(argv[i]);
        const int sql_rc = text == NULL ? tx_sql_refuse(message, SQLITE_ERROR, "%s", usage)
                                        : read_option(db, text, &options, message);

        if (sql_rc != SQLITE_OK)
            return sql_rc;
    }
    rc = txkv_restore(backup, target, &options, &report, &err);
    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_restore", rc, &err);
    append_report(out, backup, target, &report);
    return SQLITE_OK;
}
