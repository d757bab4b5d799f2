/*
 * shapetext.c - a shape as text: canonical, and as SQLite is told of it.
 */
#include "shape.h"

#include <string.h>

enum purpose { FOR_STORE, FOR_SQLITE };

/* Names stay bare where any reader takes them for names; keywords are the reader's to know. */
static bool
is_plain(const char *name)
{
    static const char *const words[] = {
        "constraint", "primary",   "unique",        "index",  "check", "foreign", "not",
        "null",       "collate",   "default",       "as",     "on",    "desc",    "asc",
        "references", "generated", "autoincrement", "hidden",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (sqlite3_stricmp(name, words[i]) == 0)
            return false;
    if (*name >= '0' && *name <= '9')
        return false;
    while ((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_' ||
           (*name >= '0' && *name <= '9'))
        name++;
    return *name == '\0';
}

static void
append_name(sqlite3_str *out, const char *name, enum purpose purpose)
{
    if (purpose == FOR_STORE && is_plain(name))
        sqlite3_str_appendall(out, name);
    else
        sqlite3_str_appendf(out, "\"%w\"", name);
}

static void
append_key(sqlite3_str *out, const struct tx_shape *shape, const char *what,
           const struct tx_key *key)
{
    sqlite3_str_appendf(out, ", %s(", what);
    for (int i = 0; i < key->count; i++) {
        if (i > 0)
            sqlite3_str_appendall(out, ", ");
        append_name(out, shape->columns[key->columns[i]].name, FOR_STORE);
    }
    sqlite3_str_appendchar(out, 1, ')');
}

static void
append_columns(sqlite3_str *out, const struct tx_shape *shape, enum purpose purpose)
{
    static const char *const collations[] = { "", " COLLATE NOCASE", " COLLATE RTRIM" };

    for (int i = 0; i < shape->column_count; i++) {
        const struct tx_column *column = &shape->columns[i];
        const bool is_key = column->key_place == 0 && shape->primary.count == 1;

        if (i > 0)
            sqlite3_str_appendall(out, ", ");
        append_name(out, column->name, purpose);
        if (*column->type != '\0')
            sqlite3_str_appendf(out, " %s", column->type);
        if (is_key && (purpose == FOR_SQLITE || shape->row_key == TX_ROW_KEY_ROWID))
            sqlite3_str_appendall(out, " PRIMARY KEY");
        if (column->not_null && (purpose == FOR_SQLITE || column->key_place < 0))
            sqlite3_str_appendall(out, " NOT NULL");
        sqlite3_str_appendall(out, collations[column->collation]);
    }
}

/* The text, or NULL without memory. */
static char *
finish(sqlite3_str *out)
{
    const bool good = sqlite3_str_errcode(out) == SQLITE_OK;
    char *text = sqlite3_str_finish(out);

    if (good)
        return text;
    sqlite3_free(text);
    return NULL;
}

char *
tx_shape_text(const struct tx_shape *shape)
{
    sqlite3_str *out = sqlite3_str_new(NULL);
    const bool names_primary = !tx_shape_has_rowid(shape);

    append_columns(out, shape, FOR_STORE);
    for (int i = 0; i <= shape->index_count; i++) {
        if (names_primary && i == shape->indexes_before_primary)
            append_key(out, shape, "PRIMARY KEY", &shape->primary);
        if (i < shape->index_count)
            append_key(out, shape, shape->indexes[i].unique ? "UNIQUE" : "INDEX",
                       &shape->indexes[i]);
    }
    return finish(out);
}

char *
tx_shape_declaration(const struct tx_shape *shape)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    sqlite3_str_appendall(out, "CREATE TABLE x(");
    append_columns(out, shape, FOR_SQLITE);
    if (shape->row_key == TX_ROW_KEY_COLUMNS)
        sqlite3_str_appendall(out, ", \"" TX_HIDDEN_KEY "\" BLOB HIDDEN PRIMARY KEY");
    sqlite3_str_appendall(out, tx_shape_has_rowid(shape) ? ")" : ") WITHOUT ROWID");
    return finish(out);
}

enum tx_affinity
tx_shape_affinity(const struct tx_shape *shape, int column)
{
    return column == TX_ROWID_COLUMN ? TX_AFFINITY_INTEGER : shape->columns[column].affinity;
}

enum tx_collation
tx_shape_collation(const struct tx_shape *shape, int column)
{
    return column == TX_ROWID_COLUMN ? TX_COLLATION_BINARY : shape->columns[column].collation;
}

const char *
tx_shape_column_name(const struct tx_shape *shape, int column)
{
    return column == TX_ROWID_COLUMN ? "rowid" : shape->columns[column].name;
}

bool
tx_shape_restores(const struct tx_shape *shape, int column)
{
    const enum tx_affinity affinity = tx_shape_affinity(shape, column);

    return tx_affinity_is_numeric(affinity) ||
           (affinity == TX_AFFINITY_TEXT &&
            tx_shape_collation(shape, column) == TX_COLLATION_BINARY);
}

bool
tx_shape_has_rowid(const struct tx_shape *shape)
{
    return shape->row_key == TX_ROW_KEY_ROWID || shape->row_key == TX_ROW_KEY_HIDDEN_ROWID;
}

const char *
tx_shape_rowid_name(const struct tx_shape *shape)
{
    static const char *const names[] = { "rowid", "_rowid_", "oid" };

    if (shape->row_key != TX_ROW_KEY_HIDDEN_ROWID)
        return NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool is_free = true;

        for (int k = 0; k < shape->column_count; k++)
            is_free = is_free && sqlite3_stricmp(shape->columns[k].name, names[i]) != 0;
        if (is_free)
            return names[i];
    }
    return NULL;
}
