/*
 * target.c - the tables that an import writes to.
 */
#include "target.h"

#include <assert.h>
#include <string.h>

#include "init.h"
#include "prepared.h"
#include "sqlerror.h"

#ifdef SQLITE_CORE
#define API NULL
#else
#define API sqlite3_api
#endif

static int
fail_sql(struct tx_targets *targets, int rc)
{
    return tx_sql_refuse(targets->message, rc, "%s: %s", targets->options->who,
                         sqlite3_errmsg(targets->db));
}

static int
open_connection(struct tx_targets *targets)
{
    char *problem = NULL;
    int rc =
        sqlite3_open_v2(":memory:", &targets->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_txkv_init(targets->db, &problem, API);
    if (rc == SQLITE_OK_LOAD_PERMANENTLY)
        rc = SQLITE_OK;
    if (problem != NULL)
        (void)tx_sql_refuse(targets->message, rc, "%s: %s", targets->options->who, problem);
    sqlite3_free(problem);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_extended_result_codes(targets->db, 1);
    return sqlite3_exec(targets->db, "BEGIN", NULL, NULL, NULL);
}

int
tx_targets_open(struct tx_targets *targets, const char *dir)
{
    const struct txkv_options options = { .must_exist = !targets->options->create,
                                          .resolve = tx_prepared_resolve };
    struct txkv_error err;
    const enum txkv_rc rc = txkv_open(dir, &options, &targets->store, &err);

    if (rc == TXKV_CANTOPEN && !targets->options->create)
        return tx_sql_refuse(targets->message, SQLITE_CANTOPEN,
                             "%s: \"%s\" is neither a txkv table of this connection nor a store "
                             "that can be opened: %s; the option create=yes makes one",
                             targets->options->who, dir, err.text);
    return rc == TXKV_OK ? open_connection(targets)
                         : tx_sql_fail(targets->message, targets->options->who, rc, &err);
}

static void
free_target(struct tx_target *target)
{
    (void)sqlite3_finalize(target->insert);
    tx_shape_free(target->shape);
    sqlite3_free(target->name);
    sqlite3_free(target->cells);
    sqlite3_free(target->given);
    sqlite3_free(target);
}

int
tx_targets_close(struct tx_targets *targets, bool commit)
{
    int rc = SQLITE_OK;

    while (targets->first != NULL) {
        struct tx_target *target = targets->first;

        targets->first = target->next;
        free_target(target);
    }
    if (commit)
        rc = sqlite3_exec(targets->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        rc = fail_sql(targets, rc);
    if (targets->db != NULL && !sqlite3_get_autocommit(targets->db))
        (void)sqlite3_exec(targets->db, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_close(targets->db);
    (void)txkv_close(targets->store, NULL);
    return rc;
}

/* ---- a table ---- */

/* The shape of the table that is there, or *found is false. */
static int
read_shape(struct tx_targets *targets, struct tx_target *target, bool *found)
{
    struct txkv_error err;
    const char *text;
    char *problem = NULL;
    uint32_t number;
    const enum txkv_rc rc = txkv_table(targets->store, target->name, NULL, false, &number, &err);
    int sql_rc;

    *found = rc == TXKV_OK;
    if (rc == TXKV_SCHEMA)
        return SQLITE_OK;
    if (rc != TXKV_OK)
        return tx_sql_fail(targets->message, targets->options->who, rc, &err);
    text = txkv_table_shape(targets->store, number);
    if (text != NULL && strcmp(text, TX_KEY_VALUE_SHAPE) == 0)
        text = TX_PAIR_SHAPE;
    sql_rc = text == NULL ? SQLITE_ERROR : tx_shape_parse(text, &target->shape, &problem);
    sqlite3_free(problem);
    if (sql_rc != SQLITE_ERROR)
        return sql_rc;
    return tx_sql_refuse(targets->message, SQLITE_ERROR,
                         "%s: %s has no columns that SQL can show: it belongs to a program that "
                         "uses the store from C",
                         targets->options->who, target->name);
}

/* The table in the connection. Its name there is unlike those of the others in more than the case
 * of letters. */
static int
create(struct tx_targets *targets, const struct tx_target *target, const char *definitions,
       char **sql_name)
{
    const char *comma = definitions == NULL || definitions[0] == '\0' ? "" : ", ";
    int number = 0;
    char *sql;
    int rc;

    *sql_name = sqlite3_mprintf("%s", target->name);
    for (const struct tx_target *t = targets->first; t != NULL && *sql_name != NULL; t = t->next) {
        number++;
        if (sqlite3_stricmp(t->name, target->name) == 0) {
            sqlite3_free(*sql_name);
            *sql_name = sqlite3_mprintf("%s#%d", target->name, number);
        }
    }
    sql = *sql_name == NULL
              ? NULL
              : sqlite3_mprintf("CREATE VIRTUAL TABLE \"%w\" USING txkv(%Q, table=%Q%s%s)",
                                *sql_name, txkv_dir(targets->store), target->name, comma,
                                definitions == NULL ? "" : definitions);
    if (sql == NULL)
        return SQLITE_NOMEM;
    rc = sqlite3_exec(targets->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc == SQLITE_OK ? SQLITE_OK : fail_sql(targets, rc);
}

static int
prepare_insert(struct tx_targets *targets, struct tx_target *target, const char *sql_name)
{
    const struct tx_shape *shape = target->shape;
    sqlite3_str *sql = sqlite3_str_new(targets->db);
    const char *rowid_name = tx_shape_rowid_name(shape);
    char *text;
    int rc;

    assert(shape != NULL);
    target->has_rowid = rowid_name != NULL;
    sqlite3_str_appendf(sql, "INSERT%s INTO \"%w\"(", targets->options->conflict, sql_name);
    for (int i = 0; i < shape->column_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i == 0 ? "" : ", ", shape->columns[i].name);
    if (rowid_name != NULL)
        sqlite3_str_appendf(sql, ", %s", rowid_name);
    sqlite3_str_appendall(sql, ") VALUES(?");
    for (int i = 1; i < shape->column_count + target->has_rowid; i++)
        sqlite3_str_appendall(sql, ", ?");
    sqlite3_str_appendall(sql, ")");
    text = sqlite3_str_finish(sql);
    if (text == NULL)
        return SQLITE_NOMEM;
    rc =
        sqlite3_prepare_v3(targets->db, text, -1, SQLITE_PREPARE_PERSISTENT, &target->insert, NULL);
    sqlite3_free(text);
    return rc == SQLITE_OK ? SQLITE_OK : fail_sql(targets, rc);
}

static void
clear_row(struct tx_target *target)
{
    for (int i = 0; i <= target->shape->column_count; i++) {
        target->cells[i] = (struct tx_cell){ .type = SQLITE_NULL };
        target->given[i] = false;
    }
}

static int
open_target(struct tx_targets *targets, struct tx_target *target, const char *definitions)
{
    char *sql_name = NULL;
    sqlite3_uint64 cells;
    bool found;
    int rc = read_shape(targets, target, &found);

    if (rc == SQLITE_OK && !found && definitions == NULL)
        rc = tx_sql_refuse(targets->message, SQLITE_ERROR,
                           "%s: there is no table \"%s\" in \"%s\": the option columns='...' "
                           "makes one, with columns as in USING txkv(...), none for key and value",
                           targets->options->who, target->name, txkv_dir(targets->store));
    if (rc == SQLITE_OK)
        rc = create(targets, target, definitions, &sql_name);
    if (rc == SQLITE_OK && !found)
        rc = read_shape(targets, target, &found);
    if (rc == SQLITE_OK && target->shape == NULL)
        rc = tx_sql_refuse(targets->message, SQLITE_ERROR,
                           "%s: the table \"%s\" was dropped meanwhile", targets->options->who,
                           target->name);
    if (rc == SQLITE_OK)
        rc = prepare_insert(targets, target, sql_name);
    sqlite3_free(sql_name);
    if (rc != SQLITE_OK)
        return rc;
    cells = (sqlite3_uint64)target->shape->column_count + 1;
    target->cells = sqlite3_malloc64(cells * sizeof(*target->cells));
    target->given = sqlite3_malloc64(cells * sizeof(*target->given));
    if (target->cells == NULL || target->given == NULL)
        return SQLITE_NOMEM;
    clear_row(target);
    return SQLITE_OK;
}

int
tx_targets_find(struct tx_targets *targets, const char *name, const char *definitions,
                struct tx_target **out)
{
    struct tx_target *target = targets->first;
    int rc = SQLITE_OK;

    while (target != NULL && strcmp(target->name, name) != 0)
        target = target->next;
    *out = target;
    if (target != NULL)
        return SQLITE_OK;
    target = sqlite3_malloc(sizeof(*target));
    if (target == NULL)
        return SQLITE_NOMEM;
    *target = (struct tx_target){ .name = sqlite3_mprintf("%s", name) };
    rc = target->name == NULL ? SQLITE_NOMEM : open_target(targets, target, definitions);
    if (rc != SQLITE_OK) {
        free_target(target);
        return rc;
    }
    target->next = targets->first;
    targets->first = target;
    *out = target;
    return SQLITE_OK;
}

/* ---- a row ---- */

int
tx_target_cell(const struct tx_target *target, const char *name, int guess)
{
    const struct tx_shape *shape = target->shape;
    const int count = shape->column_count;

    if (guess >= 0 && guess < count && sqlite3_stricmp(shape->columns[guess].name, name) == 0)
        return guess;
    for (int i = 0; i < count; i++)
        if (sqlite3_stricmp(shape->columns[i].name, name) == 0)
            return i;
    if (target->has_rowid && sqlite3_stricmp(name, tx_shape_rowid_name(shape)) == 0)
        return count;
    return -1;
}

static int
bind(sqlite3_stmt *statement, int place, const struct tx_cell *cell)
{
    const char *bytes = cell->bytes == 0 ? "" : (const char *)cell->data;

    switch (cell->type) {
    case SQLITE_INTEGER:
        return sqlite3_bind_int64(statement, place, cell->integer);
    case SQLITE_FLOAT:
        return sqlite3_bind_double(statement, place, cell->real);
    case SQLITE_TEXT:
        return sqlite3_bind_text64(statement, place, bytes, cell->bytes, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case SQLITE_BLOB:
        return sqlite3_bind_blob64(statement, place, bytes, cell->bytes, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(statement, place);
    }
}

int
tx_target_insert(struct tx_targets *targets, struct tx_target *target, bool *inserted)
{
    const int count = target->shape->column_count + target->has_rowid;
    const sqlite3_int64 before = sqlite3_total_changes64(targets->db);
    int rc = SQLITE_OK;

    for (int i = 0; rc == SQLITE_OK && i < count; i++)
        rc = bind(target->insert, i + 1, &target->cells[i]);
    if (rc == SQLITE_OK)
        (void)sqlite3_step(target->insert);
    if (rc == SQLITE_OK)
        rc = sqlite3_reset(target->insert);
    *inserted = rc == SQLITE_OK && sqlite3_total_changes64(targets->db) != before;
    if (rc == SQLITE_OK)
        clear_row(target);
    return rc;
}
