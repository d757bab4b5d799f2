/*
 * transfer.c - the SQL functions txkv_export and txkv_import.
 */
#include "transfer.h"

#include <string.h>

#include "sqlerror.h"

static const char spaces[] = " \t\r\n";

enum { EXPORTS = 1, IMPORTS = 2 };

static bool
is_export(const struct tx_transfer *t)
{
    return strcmp(t->who, "txkv_export") == 0;
}

/* ---- the options ---- */

bool
tx_transfer_word(char **at, char **name, char **value)
{
    char *p = *at + strspn(*at, spaces), *to;
    char quote;

    *name = *p == '\0' ? NULL : p;
    p += strcspn(p, "= \t\r\n");
    if (*name == NULL || *p != '=')
        return false;
    *p++ = '\0';
    quote = *p == '\'' || *p == '"' ? *p++ : '\0';
    *value = to = p;
    if (quote == '\0') {
        p += strcspn(p, spaces);
        to = p;
    } else {
        while (*p != '\0' && (*p != quote || p[1] == quote)) {
            p += *p == quote;
            *to++ = *p++;
        }
        if (*p != quote || strchr(" \t\r\n", p[1]) == NULL)
            return false;
        p++;
    }
    *at = p + (*p != '\0');
    *to = '\0';
    return true;
}

/* ---- what an option may be; each takes the value over ---- */

typedef bool take_value(struct tx_transfer *t, const char *value);

static bool
read_yes(const char *value, bool *out)
{
    *out = sqlite3_stricmp(value, "yes") == 0;
    return *out || sqlite3_stricmp(value, "no") == 0;
}

static bool
take_format(struct tx_transfer *t, const char *value)
{
    static const char *const names[] = {
        [TX_FORMAT_SQL] = "sql", [TX_FORMAT_CSV] = "csv", [TX_FORMAT_JSONL] = "jsonl"
    };

    for (int i = TX_FORMAT_SQL; i <= TX_FORMAT_JSONL; i++)
        if (sqlite3_stricmp(value, names[i]) == 0)
            t->format = (enum tx_format)i;
    return t->format != TX_FORMAT_NONE;
}

static bool
take_table(struct tx_transfer *t, const char *value)
{
    t->table = value;
    return *value != '\0' && strlen(value) <= TXKV_TABLE_NAME_BYTES_MAX;
}

static bool
take_null(struct tx_transfer *t, const char *value)
{
    t->null_text = value;
    return strpbrk(value, ",\"\r\n") == NULL;
}

static bool
take_plain(struct tx_transfer *t, const char *value)
{
    return read_yes(value, &t->plain);
}

static bool
take_dir(struct tx_transfer *t, const char *value)
{
    t->dir = value;
    return *value != '\0';
}

static bool
take_overwrite(struct tx_transfer *t, const char *value)
{
    return read_yes(value, &t->overwrite);
}

static bool
take_columns(struct tx_transfer *t, const char *value)
{
    t->columns = value;
    return true;
}

static bool
take_create(struct tx_transfer *t, const char *value)
{
    return read_yes(value, &t->create);
}

static bool
take_conflict(struct tx_transfer *t, const char *value)
{
    static const char *const words[][2] = { { "abort", "" },
                                            { "replace", " OR REPLACE" },
                                            { "ignore", " OR IGNORE" } };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (sqlite3_stricmp(value, words[i][0]) != 0)
            continue;
        t->conflict = words[i][1];
        return true;
    }
    return false;
}

static const struct option {
    const char *name;
    int functions;
    take_value *take;
} options[] = {
    { "format", EXPORTS | IMPORTS, take_format },
    { "table", EXPORTS | IMPORTS, take_table },
    { "null", EXPORTS | IMPORTS, take_null },
    { "plain", EXPORTS | IMPORTS, take_plain },
    { "dir", EXPORTS, take_dir },
    { "overwrite", EXPORTS, take_overwrite },
    { "columns", IMPORTS, take_columns },
    { "create", IMPORTS, take_create },
    { "conflict", IMPORTS, take_conflict },
};

/* The option of that name that the function has, or NULL. */
static const struct option *
find_option(const struct tx_transfer *t, const char *name)
{
    const int function = is_export(t) ? EXPORTS : IMPORTS;

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if ((options[i].functions & function) != 0 && sqlite3_stricmp(name, options[i].name) == 0)
            return &options[i];
    return NULL;
}

static int
read_options(struct tx_transfer *t, const char *text, char **message)
{
    const char *known = is_export(t) ? "format, table, null, plain, dir, overwrite"
                                     : "format, table, null, plain, columns, create, conflict";
    char *at, *name, *value;

    t->words = at = sqlite3_mprintf("%s", text);
    if (at == NULL)
        return SQLITE_NOMEM;
    while (tx_transfer_word(&at, &name, &value)) {
        const struct option *option = find_option(t, name);

        if (option == NULL)
            return tx_sql_refuse(message, SQLITE_ERROR, "%s: no option \"%s\": there are %s",
                                 t->who, name, known);
        if (!option->take(t, value))
            return tx_sql_refuse(message, SQLITE_ERROR,
                                 "%s: the option %s cannot be \"%s\": format is sql, csv or "
                                 "jsonl; plain, overwrite and create are yes or no; conflict is "
                                 "abort, replace or ignore; null has no comma, quote or line end; "
                                 "names are not empty",
                                 t->who, name, value);
    }
    if (name != NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: \"%s\" is no option: write name=value, with spaces between, and "
                             "values that have spaces in quotes",
                             t->who, name);
    return SQLITE_OK;
}

/* The format is the end of the file's name, unless an option says it. */
static int
complete_format(struct tx_transfer *t, char **message)
{
    const char *point = strrchr(t->file, '.');

    if (t->format == TX_FORMAT_NONE && (point == NULL || !take_format(t, point + 1)))
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: what format has \"%s\"? Its name ends with .sql, .csv or .jsonl, "
                             "or the option format= says it",
                             t->who, t->file);
    if (t->plain && t->format != TX_FORMAT_JSONL)
        return tx_sql_refuse(message, SQLITE_ERROR, "%s: plain=yes is for format=jsonl", t->who);
    return SQLITE_OK;
}

typedef int transfer_work(const struct tx_transfer *t, sqlite3_int64 *rows, char **message);

static int
run_with_options(struct tx_transfer *t, const char *text, transfer_work *run, sqlite3_int64 *rows,
                 char **message)
{
    int rc = read_options(t, text, message);

    if (rc == SQLITE_OK)
        rc = complete_format(t, message);
    return rc == SQLITE_OK ? run(t, rows, message) : rc;
}

static void
call(sqlite3_context *context, int argc, sqlite3_value **argv, const char *who, transfer_work *run)
{
    struct tx_transfer t = { .who = who,
                             .connection = sqlite3_user_data(context),
                             .where = (const char *)sqlite3_value_text(argv[0]),
                             .file = (const char *)sqlite3_value_text(argv[1]),
                             .null_text = "",
                             .conflict = "" };
    const char *text = argc > 2 ? (const char *)sqlite3_value_text(argv[2]) : "";
    sqlite3_int64 rows = 0;
    char *message = NULL;
    int rc;

    if (t.where == NULL || t.file == NULL || text == NULL)
        rc = tx_sql_refuse(&message, SQLITE_ERROR,
                           "%s: the first argument is a txkv table or a store's directory, the "
                           "second a file, the third, if any, options, as text",
                           who);
    else
        rc = run_with_options(&t, text, run, &rows, &message);
    if (rc == SQLITE_OK) {
        sqlite3_result_int64(context, rows);
    } else if (rc == SQLITE_NOMEM || message == NULL) {
        sqlite3_result_error_code(context, rc);
    } else {
        sqlite3_result_error(context, message, -1);
        sqlite3_result_error_code(context, rc);
    }
    sqlite3_free(message);
    sqlite3_free(t.words);
}

static void
call_export(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    call(context, argc, argv, "txkv_export", tx_export);
}

static void
call_import(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    call(context, argc, argv, "txkv_import", tx_import);
}

int
tx_transfer_register(struct tx_connection *connection)
{
    int rc = SQLITE_OK;

    for (int arguments = 2; rc == SQLITE_OK && arguments <= 3; arguments++) {
        rc = sqlite3_create_function_v2(
            connection->db, "txkv_export", arguments, SQLITE_UTF8 | SQLITE_DIRECTONLY,
            tx_connection_ref(connection), call_export, NULL, NULL, tx_connection_unref);
        if (rc == SQLITE_OK)
            rc = sqlite3_create_function_v2(
                connection->db, "txkv_import", arguments, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                tx_connection_ref(connection), call_import, NULL, NULL, tx_connection_unref);
    }
    return rc;
}
