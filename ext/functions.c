/*
 * functions.c - the SQL functions txkv_checkpoint, txkv_recover and txkv_version.
 */
#include "functions.h"

#include "prepared.h"
#include "sqlerror.h"

/* Does the function's work on one store and appends its report, a JSON object. */
struct report {
    const char *function;
    enum txkv_rc (*run)(struct txkv *store, sqlite3_str *out, struct txkv_error *err);
};

/* ---- JSON ---- */

static void
append_string(sqlite3_str *out, const char *text)
{
    sqlite3_str_appendchar(out, 1, '"');
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            sqlite3_str_appendf(out, "\\%c", c);
        else if (c < 0x20)
            sqlite3_str_appendf(out, "\\u%04x", c);
        else
            sqlite3_str_appendchar(out, 1, (char)c);
    }
    sqlite3_str_appendchar(out, 1, '"');
}

static void
append_count(sqlite3_str *out, const char *name, uint64_t count)
{
    sqlite3_str_appendf(out, ",\"%s\":%llu", name, (unsigned long long)count);
}

static void
append_milliseconds(sqlite3_str *out, uint64_t us)
{
    sqlite3_str_appendf(out, ",\"milliseconds\":%llu.%03llu", (unsigned long long)(us / 1000),
                        (unsigned long long)(us % 1000));
}

/* ---- the two reports ---- */

static enum txkv_rc
checkpoint(struct txkv *store, sqlite3_str *out, struct txkv_error *err)
{
    struct txkv_checkpoint_report report;
    const enum txkv_rc rc = txkv_checkpoint(store, &report, err);

    if (rc != TXKV_OK)
        return rc;
    sqlite3_str_appendall(out, "{\"store\":");
    append_string(out, txkv_dir(store));
    append_count(out, "transactions", report.transactions);
    append_count(out, "rows_put", report.rows_put);
    append_count(out, "rows_deleted", report.rows_deleted);
    append_count(out, "bytes", report.bytes);
    append_count(out, "segments_deleted", report.segments_deleted);
    append_count(out, "from_lsn", report.from_lsn);
    append_count(out, "to_lsn", report.to_lsn);
    append_milliseconds(out, report.duration_us);
    sqlite3_str_appendchar(out, 1, '}');
    return TXKV_OK;
}

static enum txkv_rc
recover(struct txkv *store, sqlite3_str *out, struct txkv_error *err)
{
    struct txkv_recovery_report opened, verified;
    const enum txkv_rc rc = txkv_verify(store, &verified, err);

    if (rc != TXKV_OK)
        return rc;
    txkv_recovery(store, &opened);
    sqlite3_str_appendall(out, "{\"store\":");
    append_string(out, txkv_dir(store));
    append_count(out, "transactions_replayed", opened.transactions_replayed);
    append_count(out, "operations_replayed", opened.operations_replayed);
    append_count(out, "bytes_replayed", opened.bytes_replayed);
    append_count(out, "bytes_discarded", opened.bytes_discarded);
    append_count(out, "segments", opened.segments);
    append_count(out, "checkpoint_lsn", opened.checkpoint_lsn);
    append_count(out, "end_lsn", opened.end_lsn);
    sqlite3_str_appendf(out, ",\"salvaged\":%s", opened.salvaged ? "true" : "false");
    append_milliseconds(out, opened.duration_us);
    sqlite3_str_appendf(out, ",\"verified\":{\"transactions\":%llu",
                        (unsigned long long)verified.transactions_replayed);
    append_count(out, "operations", verified.operations_replayed);
    append_count(out, "bytes", verified.bytes_verified);
    append_count(out, "segments", verified.segments);
    append_count(out, "from_lsn", verified.checkpoint_lsn);
    append_count(out, "to_lsn", verified.end_lsn);
    append_milliseconds(out, verified.duration_us);
    sqlite3_str_appendall(out, "}}");
    return TXKV_OK;
}

static const struct report checkpoint_report = { "txkv_checkpoint", checkpoint };
static const struct report recovery_report = { "txkv_recover", recover };

/* ---- calling them ---- */

static void
result_error(sqlite3_context *context, int code, char *message)
{
    if (code == SQLITE_NOMEM || message == NULL) {
        sqlite3_result_error_nomem(context);
    } else {
        sqlite3_result_error(context, message, -1);
        sqlite3_result_error_code(context, code);
    }
    sqlite3_free(message);
}

static int
report_all(struct tx_connection *connection, const struct report *report, sqlite3_str *out,
           char **message)
{
    const bool several = connection->links != NULL && connection->links->next != NULL;
    const char *separator = several ? "[" : "";

    if (connection->links == NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: this connection has no store open: give a directory, or CREATE "
                             "VIRTUAL TABLE ... USING txkv('DIR') first",
                             report->function);
    for (struct tx_link *link = connection->links; link != NULL; link = link->next) {
        struct txkv_error err;
        enum txkv_rc rc;

        sqlite3_str_appendall(out, separator);
        rc = report->run(link->store, out, &err);
        if (rc != TXKV_OK)
            return tx_sql_fail(message, report->function, rc, &err);
        separator = ",";
    }
    if (several)
        sqlite3_str_appendchar(out, 1, ']');
    return SQLITE_OK;
}

/*
 * The txkv table of this name, or NULL. SQLite connects a table when a statement first names it,
 * and so does this.
 */
static struct tx_table *
find_table(struct tx_connection *connection, const char *name)
{
    struct tx_table *table = tx_connection_find(connection, name);
    sqlite3_stmt *statement = NULL;
    char *sql;

    if (table != NULL)
        return table;
    sql = sqlite3_mprintf("SELECT NULL FROM \"%w\"", name);
    if (sql != NULL)
        (void)sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    sqlite3_finalize(statement);
    sqlite3_free(sql);
    return tx_connection_find(connection, name);
}

/* `where` names a table of the connection, or is a store's directory. */
static int
report_one(struct tx_connection *connection, const struct report *report, const char *where,
           const struct txkv_options *options, sqlite3_str *out, char **message)
{
    const struct tx_table *table = find_table(connection, where);
    struct txkv_error err;
    struct txkv *store;
    enum txkv_rc rc;

    if (table != NULL && options->salvage)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: %s is open, and what is open is not damaged: salvage takes the "
                             "directory of a store that cannot be opened",
                             report->function, where);
    if (table != NULL && options->decide == TXKV_UNDECIDED) {
        rc = report->run(table->link->store, out, &err);
    } else {
        rc = txkv_open(table != NULL ? txkv_dir(table->link->store) : where, options, &store, &err);
        if (rc == TXKV_CANTOPEN)
            return tx_sql_refuse(message, SQLITE_CANTOPEN,
                                 "%s: \"%s\" is neither a txkv table of this connection nor a "
                                 "store that can be opened: %s",
                                 report->function, where, err.text);
        if (rc == TXKV_OK) {
            rc = report->run(store, out, &err);
            (void)txkv_close(store, NULL);
        }
    }
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, report->function, rc, &err);
}

/* What the second argument of txkv_recover asks for; false when it is no word of those. */
static bool
parse_how(const char *how, struct txkv_options *options)
{
    if (how == NULL)
        return false;
    options->salvage = sqlite3_stricmp(how, "salvage") == 0;
    if (sqlite3_stricmp(how, "commit") == 0)
        options->decide = TXKV_DECIDED_COMMIT;
    if (sqlite3_stricmp(how, "abort") == 0)
        options->decide = TXKV_DECIDED_ABORT;
    return options->salvage || options->decide != TXKV_UNDECIDED;
}

static int
run_report(sqlite3_context *context, const struct report *report, int argc, sqlite3_value **argv,
           sqlite3_str *out, char **message)
{
    struct tx_connection *connection = sqlite3_user_data(context);
    struct txkv_options options = { .must_exist = true, .resolve = tx_prepared_resolve };
    const char *where;

    if (argc == 0)
        return report_all(connection, report, out, message);
    where = (const char *)sqlite3_value_text(argv[0]);
    if (where == NULL ||
        (argc > 1 && !parse_how((const char *)sqlite3_value_text(argv[1]), &options)))
        return tx_sql_refuse(
            message, SQLITE_ERROR,
            "%s: the argument is a txkv table or a store's directory, as text%s", report->function,
            report->run == recover ? "; the second, if any, is 'salvage', 'commit' or 'abort'"
                                   : "");
    return report_one(connection, report, where, &options, out, message);
}

static void
call_report(sqlite3_context *context, const struct report *report, int argc, sqlite3_value **argv)
{
    sqlite3 *db = sqlite3_context_db_handle(context);
    sqlite3_str *out = sqlite3_str_new(db);
    char *message = NULL;
    int rc = run_report(context, report, argc, argv, out, &message);
    const int bytes = sqlite3_str_length(out);
    char *text;

    if (rc == SQLITE_OK)
        rc = sqlite3_str_errcode(out);
    text = sqlite3_str_finish(out);
    if (rc == SQLITE_OK && text == NULL)
        rc = SQLITE_NOMEM;
    if (rc == SQLITE_OK) {
        sqlite3_result_text(context, text, bytes, sqlite3_free);
    } else {
        sqlite3_free(text);
        result_error(context, rc, message);
    }
}

static void
call_checkpoint(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    call_report(context, &checkpoint_report, argc, argv);
}

static void
call_recover(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    call_report(context, &recovery_report, argc, argv);
}

static void
call_version(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    sqlite3_result_text(context, TXKV_VERSION, -1, SQLITE_STATIC);
}

int
tx_functions_register(struct tx_connection *connection)
{
    static const struct {
        const char *name;
        int arguments;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {
        { "txkv_checkpoint", 0, call_checkpoint }, { "txkv_checkpoint", 1, call_checkpoint },
        { "txkv_recover", 0, call_recover },       { "txkv_recover", 1, call_recover },
        { "txkv_recover", 2, call_recover },       { "txkv_version", 0, call_version },
    };
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(functions) / sizeof(functions[0]); i++)
        rc = sqlite3_create_function_v2(connection->db, functions[i].name, functions[i].arguments,
                                        SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                        tx_connection_ref(connection), functions[i].call, NULL,
                                        NULL, tx_connection_unref);
    return rc;
}
