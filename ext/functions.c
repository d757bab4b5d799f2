/*
 * functions.c - the SQL functions txkv_checkpoint, txkv_recover, txkv_drop, txkv_check,
 * txkv_backup, txkv_archive, txkv_restore and txkv_version.
 */
#include "functions.h"

#include <string.h>

#include "check.h"
#include "json.h"
#include "prepared.h"
#include "recover.h"
#include "relation.h"
#include "restore.h"
#include "sqlerror.h"
#include "where.h"

/* Does the function's work on one store and appends its report, a JSON object. */
struct report {
    const char *function;
    enum txkv_rc (*run)(struct txkv *store, sqlite3_str *out, struct txkv_error *err);
};

/* ---- JSON ---- */

static void
append_store(sqlite3_str *out, const struct txkv *store)
{
    const char *dir = txkv_dir(store);

    sqlite3_str_appendall(out, "{\"store\":");
    tx_json_string(out, dir, strlen(dir));
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
    append_store(out, store);
    tx_json_count(out, "transactions", report.transactions);
    tx_json_count(out, "rows_put", report.rows_put);
    tx_json_count(out, "rows_deleted", report.rows_deleted);
    tx_json_count(out, "bytes", report.bytes);
    tx_json_count(out, "segments_deleted", report.segments_deleted);
    tx_json_count(out, "segments_archived", report.segments_archived);
    tx_json_count(out, "segments_waiting", report.segments_waiting);
    tx_json_count(out, "from_lsn", report.from_lsn);
    tx_json_count(out, "to_lsn", report.to_lsn);
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
    append_store(out, store);
    tx_json_count(out, "transactions_replayed", opened.transactions_replayed);
    tx_json_count(out, "operations_replayed", opened.operations_replayed);
    tx_json_count(out, "bytes_replayed", opened.bytes_replayed);
    tx_json_count(out, "bytes_discarded", opened.bytes_discarded);
    tx_json_count(out, "segments", opened.segments);
    tx_json_count(out, "checkpoint_lsn", opened.checkpoint_lsn);
    tx_json_count(out, "end_lsn", opened.end_lsn);
    sqlite3_str_appendf(out, ",\"salvaged\":%s", opened.salvaged ? "true" : "false");
    append_milliseconds(out, opened.duration_us);
    sqlite3_str_appendf(out, ",\"verified\":{\"transactions\":%llu",
                        (unsigned long long)verified.transactions_replayed);
    tx_json_count(out, "operations", verified.operations_replayed);
    tx_json_count(out, "bytes", verified.bytes_verified);
    tx_json_count(out, "segments", verified.segments);
    tx_json_count(out, "from_lsn", verified.checkpoint_lsn);
    tx_json_count(out, "to_lsn", verified.end_lsn);
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

/* `where` names a table of the connection, or is a store's directory. */
static int
report_one(struct tx_connection *connection, const struct report *report, const char *where,
           const struct txkv_options *options, sqlite3_str *out, char **message)
{
    const struct tx_table *table = tx_where_table(connection, where);
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

/* A word that is about a store which is not opened. */
static int
recover_closed(struct tx_connection *connection, const char *where, const char *how,
               sqlite3_str *out, char **message)
{
    if (tx_where_table(connection, where) != NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "txkv_recover: %s is open, and what is open is not damaged: %s takes "
                             "the directory of a store that nobody has open",
                             where, how);
    return sqlite3_stricmp(how, "rescue") == 0 ? tx_recover_rescue(where, out, message)
                                               : tx_recover_dry_run(where, out, message);
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
    const char *where, *how;

    if (argc == 0)
        return report_all(connection, report, out, message);
    where = (const char *)sqlite3_value_text(argv[0]);
    how = argc > 1 ? (const char *)sqlite3_value_text(argv[1]) : NULL;
    if (where != NULL && how != NULL &&
        (sqlite3_stricmp(how, "dry-run") == 0 || sqlite3_stricmp(how, "rescue") == 0))
        return recover_closed(connection, where, how, out, message);
    if (where == NULL || (argc > 1 && !parse_how(how, &options)))
        return tx_sql_refuse(
            message, SQLITE_ERROR,
            "%s: the argument is a txkv table or a store's directory, as text%s", report->function,
            report->run == recover ? "; the second, if any, is 'dry-run', 'salvage', 'rescue', "
                                     "'commit' or 'abort'"
                                   : "");
    return report_one(connection, report, where, &options, out, message);
}

/* Give the report, or the error, to SQLite. */
static void
give_result(sqlite3_context *context, int rc, sqlite3_str *out, char *message)
{
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
call_report(sqlite3_context *context, const struct report *report, int argc, sqlite3_value **argv)
{
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    char *message = NULL;
    const int rc = run_report(context, report, argc, argv, out, &message);

    give_result(context, rc, out, message);
}

/* ---- one table of a store ---- */

/* Nothing that a transaction does could be rolled back together with a drop. */
static int
refuse_in_transaction(struct tx_connection *connection, char **message)
{
    bool begun = sqlite3_get_autocommit(connection->db) == 0;

    for (const struct tx_link *link = connection->links; link != NULL; link = link->next)
        begun = begun || link->begun;
    if (!begun)
        return SQLITE_OK;
    return tx_sql_refuse(message, SQLITE_ERROR,
                         "txkv_drop: a table cannot be dropped inside a transaction, or by a "
                         "statement that writes to a txkv table, for it could not be rolled back: "
                         "COMMIT first");
}

/* The table and its indexes, in one record. */
static enum txkv_rc
drop_with_indexes(struct txkv *store, uint32_t table, const char *name, struct txkv_error *err)
{
    char found[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t tables[1 + TX_INDEXES_MAX] = { table };
    uint32_t number = 0;
    size_t count = 1;
    int index;

    while (count <= TX_INDEXES_MAX && txkv_table_next(store, &number, found))
        if (tx_relation_is_index_of(found, name, &index))
            tables[count++] = number;
    return txkv_table_drop(store, tables, count, err);
}

static enum txkv_rc
count_rows(struct txkv *store, uint32_t table, uint64_t *rows, struct txkv_error *err)
{
    struct txkv_session *session;
    struct txkv_table_size size;
    enum txkv_rc rc = txkv_session_open(store, &session, err);

    if (rc != TXKV_OK)
        return rc;
    rc = txkv_table_measure(session, table, &size, err);
    txkv_session_close(session);
    *rows = size.rows;
    return rc;
}

static int
drop_table(struct txkv *store, const char *name, sqlite3_str *out, char **message)
{
    struct txkv_error err;
    uint64_t rows = 0;
    uint32_t table;
    enum txkv_rc rc;
    int sql_rc;

    if (name == NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "txkv_drop: the second argument is the name of a table in the store");
    sql_rc = tx_where_find(store, "txkv_drop", name, &table, message);
    if (sql_rc != SQLITE_OK)
        return sql_rc;
    rc = count_rows(store, table, &rows, &err);
    if (rc == TXKV_OK)
        rc = drop_with_indexes(store, table, name, &err);
    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_drop", rc, &err);
    append_store(out, store);
    sqlite3_str_appendall(out, ",\"table\":");
    tx_json_string(out, name, strlen(name));
    tx_json_count(out, "rows", rows);
    sqlite3_str_appendchar(out, 1, '}');
    return SQLITE_OK;
}

/* Does work on a table (NULL: on all) of a store, or with the function's second argument, and
 * appends its report. */
typedef int table_work(struct txkv *store, const char *name, sqlite3_str *out, char **message);

static int
run_on_table(struct tx_connection *connection, const char *who, table_work *work,
             const char *const arguments[2], sqlite3_str *out, char **message)
{
    const char *where = arguments[0], *name = arguments[1];
    struct txkv *store;
    int rc;

    if (where == NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: the first argument is a txkv table or a store's directory, the "
                             "second the name of a table in the store, as text",
                             who);
    rc = tx_where_open(connection, who, where, &store, message);
    if (rc != SQLITE_OK)
        return rc;
    rc = work(store, name, out, message);
    (void)txkv_close(store, NULL);
    return rc;
}

static int
backup_store(struct txkv *store, const char *target, sqlite3_str *out, char **message)
{
    struct txkv_backup_report report;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_backup(store, target, &report, &err);

    if (rc != TXKV_OK)
        return tx_sql_fail(message, "txkv_backup", rc, &err);
    append_store(out, store);
    sqlite3_str_appendall(out, ",\"target\":");
    tx_json_string(out, target, strlen(target));
    tx_json_count(out, "lsn", report.lsn);
    tx_json_count(out, "tables", report.tables);
    tx_json_count(out, "rows", report.rows);
    tx_json_count(out, "bytes", report.bytes);
    append_milliseconds(out, report.duration_us);
    sqlite3_str_appendchar(out, 1, '}');
    return SQLITE_OK;
}

static int
archive_store(struct txkv *store, const char *name, sqlite3_str *out, char **message)
{
    int rc;

    (void)name;
    append_store(out, store);
    rc = tx_restore_archive(store, out, message);
    sqlite3_str_appendchar(out, 1, '}');
    return rc;
}

static void
call_drop(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_connection *connection = sqlite3_user_data(context);
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    const char *const arguments[] = { (const char *)sqlite3_value_text(argv[0]),
                                      (const char *)sqlite3_value_text(argv[1]) };
    char *message = NULL;
    int rc = refuse_in_transaction(connection, &message);

    (void)argc;
    if (rc == SQLITE_OK)
        rc = run_on_table(connection, "txkv_drop", drop_table, arguments, out, &message);
    give_result(context, rc, out, message);
}

static void
call_backup(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_connection *connection = sqlite3_user_data(context);
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    const char *const arguments[] = { (const char *)sqlite3_value_text(argv[0]),
                                      (const char *)sqlite3_value_text(argv[1]) };
    char *message = NULL;
    int rc;

    (void)argc;
    if (arguments[0] == NULL || arguments[1] == NULL)
        rc = tx_sql_refuse(&message, SQLITE_ERROR,
                           "txkv_backup: the first argument is a txkv table or a store's "
                           "directory, the second the directory to make, as text");
    else
        rc = run_on_table(connection, "txkv_backup", backup_store, arguments, out, &message);
    give_result(context, rc, out, message);
}

static void
call_archive(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_connection *connection = sqlite3_user_data(context);
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    const char *const arguments[] = { (const char *)sqlite3_value_text(argv[0]), NULL };
    char *message = NULL;
    int rc;

    (void)argc;
    if (arguments[0] == NULL)
        rc = tx_sql_refuse(&message, SQLITE_ERROR,
                           "txkv_archive: the argument is a txkv table or a store's directory, as "
                           "text");
    else
        rc = run_on_table(connection, "txkv_archive", archive_store, arguments, out, &message);
    give_result(context, rc, out, message);
}

static void
call_restore(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    sqlite3 *db = sqlite3_context_db_handle(context);
    sqlite3_str *out = sqlite3_str_new(db);
    char *message = NULL;
    const int rc = tx_restore_run(db, argc, argv, out, &message);

    give_result(context, rc, out, message);
}

static void
call_check(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_connection *connection = sqlite3_user_data(context);
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    const char *arguments[2] = { (const char *)sqlite3_value_text(argv[0]), NULL };
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    const struct tx_table *table;
    uint32_t number = 0;
    char *message = NULL;
    int rc;

    if (argc > 1)
        arguments[1] = (const char *)sqlite3_value_text(argv[1]);
    table = argc == 1 && arguments[0] != NULL ? tx_where_table(connection, arguments[0]) : NULL;
    while (table != NULL && arguments[1] == NULL &&
           txkv_table_next(table->link->store, &number, name))
        if (number == table->number)
            arguments[1] = name; /* a table's own name: it alone */
    if (table != NULL && arguments[1] == NULL)
        rc = tx_sql_refuse(&message, SQLITE_ERROR,
                           "txkv_check: %s: the table was dropped from the store; to check all of "
                           "the store give its directory",
                           table->name);
    else
        rc = run_on_table(connection, "txkv_check", tx_check_store, arguments, out, &message);
    give_result(context, rc, out, message);
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
        { "txkv_recover", 2, call_recover },       { "txkv_drop", 2, call_drop },
        { "txkv_check", 1, call_check },           { "txkv_check", 2, call_check },
        { "txkv_backup", 2, call_backup },         { "txkv_archive", 1, call_archive },
        { "txkv_restore", 2, call_restore },       { "txkv_restore", 3, call_restore },
        { "txkv_restore", 4, call_restore },       { "txkv_version", 0, call_version },
    };
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(functions) / sizeof(functions[0]); i++)
        rc = sqlite3_create_function_v2(connection->db, functions[i].name, functions[i].arguments,
                                        SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                        tx_connection_ref(connection), functions[i].call, NULL,
                                        NULL, tx_connection_unref);
    return rc;
}
