/*
 * sltddl.c - see sltddl.h.
 */
#include "sltddl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "buffer.h"

/* ---- words ---- */

static bool
is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *
skip_space(const char *p)
{
    for (;;) {
        if (isspace((unsigned char)*p)) {
            p++;
        } else if (strncmp(p, "--", 2) == 0) {
            p += strcspn(p, "\n");
        } else if (strncmp(p, "/*", 2) == 0) {
            const char *end = strstr(p + 2, "*/");

            p = end == NULL ? p + strlen(p) : end + 2;
        } else {
            return p;
        }
    }
}

/* Behind what stands in quotes at p, where two are one. */
static const char *
skip_quoted(const char *p)
{
    const char end = *p == '[' ? ']' : *p;

    for (p++; *p != '\0'; p++)
        if (*p == end && (end == ']' || *++p != end))
            return end == ']' ? p + 1 : p;
    return p;
}

bool
slt_word(const char **sql, char word[SLT_NAME_BYTES])
{
    const char *p = skip_space(*sql), *from = p;
    int bytes;

    if (*p == '\0')
        return false;
    if (strchr("\"'`[", *p) != NULL) {
        p = skip_quoted(p);
        bytes = (int)(p - from);
        if (*from != '\'' && bytes > 2) { /* a name: without its quotes */
            from++;
            bytes -= 2;
        }
    } else {
        while (is_word_byte(*p))
            p++;
        p += p == from;
        bytes = (int)(p - from);
    }
    (void)snprintf(word, SLT_NAME_BYTES, "%.*s", bytes, from);
    *sql = p;
    return true;
}

bool
slt_mentions(const char *sql, const char *name)
{
    char word[SLT_NAME_BYTES];

    while (slt_word(&sql, word))
        if (strcasecmp(word, name) == 0)
            return true;
    return false;
}

/* Takes the word when it is the next one. */
static bool
accept(const char **sql, const char *expected)
{
    const char *rest = *sql;
    char word[SLT_NAME_BYTES];

    if (!slt_word(&rest, word) || strcasecmp(word, expected) != 0)
        return false;
    *sql = rest;
    return true;
}

/* What stands between parentheses, which come next: a copy, or NULL when they do not. */
static char *
take_parentheses(const char **sql)
{
    const char *p = skip_space(*sql), *from = p + 1;
    int depth = 0;

    if (*p != '(')
        return NULL;
    do {
        if (strchr("\"'`[", *p) != NULL) {
            p = skip_quoted(p);
            continue;
        }
        depth += (*p == '(') - (*p == ')');
        p++;
    } while (*p != '\0' && depth > 0);
    *sql = p;
    return depth > 0 ? NULL : strndup(from, (size_t)(p - from - 1));
}

/* ---- tables ---- */

static struct slt_table *
find_table(const struct slt_schema *schema, const char *name)
{
    for (int i = 0; i < schema->count; i++)
        if (strcasecmp(schema->tables[i]->name, name) == 0)
            return schema->tables[i];
    return NULL;
}

static void
free_table(struct slt_table *table)
{
    for (int i = 0; i < table->index_count; i++)
        free(table->indexes[i].definition);
    free(table->columns);
    free(table);
}

static void
remove_table(struct slt_schema *schema, const char *name)
{
    for (int i = 0; i < schema->count; i++)
        if (strcasecmp(schema->tables[i]->name, name) == 0) {
            free_table(schema->tables[i]);
            schema->tables[i] = schema->tables[--schema->count];
            return;
        }
}

void
slt_schema_free(struct slt_schema *schema)
{
    while (schema->count > 0)
        free_table(schema->tables[--schema->count]);
}

static int
make_table(struct slt_schema *schema, const struct slt_table *table, const char *name)
{
    struct buffer sql = { NULL, 0, 0 };
    int rc;

    buffer_add(&sql,
               "CREATE VIRTUAL TABLE temp.\"%s\" USING txkv('%s', table='%s/%d', sync=off, %s",
               name, schema->dir, table->name, ++schema->made, table->columns);
    for (int i = 0; i < table->index_count; i++)
        buffer_add(&sql, ", %s", table->indexes[i].definition);
    buffer_add(&sql, ")");
    rc = sqlite3_exec(schema->db, sql.data, NULL, NULL, NULL);
    free(sql.data);
    return rc;
}

/* Copies the rows with their rowids, also those that no column shows. */
static int
copy_rows(const struct slt_schema *schema, const struct slt_table *table)
{
    struct buffer columns = { NULL, 0, 0 };
    sqlite3_stmt *info = sql_prepare(schema->db, "SELECT name, pk FROM pragma_table_info(?1)");
    bool has_key = false;
    int rc;

    buffer_clear(&columns);
    (void)sqlite3_bind_text(info, 1, table->name, -1, SQLITE_STATIC);
    while (sqlite3_step(info) == SQLITE_ROW) {
        has_key = has_key || sqlite3_column_int(info, 1) > 0;
        buffer_add(&columns, ", \"%s\"", (const char *)sqlite3_column_text(info, 0));
    }
    (void)sqlite3_finalize(info);
    /* Several columns of a PRIMARY KEY are not shown there; then there is no rowid either. */
    rc = has_key ? SQLITE_ERROR
                 : sql_try(schema->db, "INSERT INTO temp.\"~\"(rowid%s) SELECT rowid%s FROM \"%s\"",
                           columns.data, columns.data, table->name);
    if (rc == SQLITE_ERROR)
        rc = sql_try(schema->db, "INSERT INTO temp.\"~\" SELECT * FROM \"%s\"", table->name);
    free(columns.data);
    return rc;
}

/* The table with the indexes that it has now. */
static enum slt_ddl
make_anew(struct slt_schema *schema, const struct slt_table *table, char *reason)
{
    enum slt_ddl result = SLT_DDL_DONE;

    if (make_table(schema, table, "~") != SQLITE_OK)
        result = SLT_DDL_REFUSED;
    else if (copy_rows(schema, table) != SQLITE_OK)
        result = SLT_DDL_FAILED;
    if (result != SLT_DDL_DONE)
        (void)snprintf(reason, SLT_REASON_BYTES, "%s", sqlite3_errmsg(schema->db));
    if (result == SLT_DDL_DONE) {
        sql_run(schema->db, "DROP TABLE \"%s\"; ALTER TABLE temp.\"~\" RENAME TO \"%s\"",
                table->name, table->name);
    } else if (result == SLT_DDL_FAILED) {
        sql_run(schema->db, "DROP TABLE temp.\"~\"");
    }
    return result;
}

static enum slt_ddl
create_table(struct slt_schema *schema, const char *sql, char *name, char *reason)
{
    struct slt_table *table;

    if (accept(&sql, "IF") && accept(&sql, "NOT") && accept(&sql, "EXISTS")) {
        const char *rest = sql;

        if (slt_word(&rest, name) && find_table(schema, name) != NULL)
            return SLT_DDL_DONE;
    }
    if (!slt_word(&sql, name) || sqlite3_strnicmp(name, "native", 6) == 0)
        return SLT_DDL_OTHER;
    if (find_table(schema, name) != NULL) {
        (void)snprintf(reason, SLT_REASON_BYTES, "there is a table %s", name);
        return SLT_DDL_FAILED;
    }
    table = calloc(1, sizeof(*table));
    if (table == NULL)
        test_die("out of memory");
    (void)snprintf(table->name, sizeof(table->name), "%s", name);
    table->columns = take_parentheses(&sql);
    if (table->columns == NULL || schema->count == SLT_TABLES_MAX)
        (void)snprintf(reason, SLT_REASON_BYTES, "CREATE TABLE AS, or too many tables");
    else if (make_table(schema, table, name) != SQLITE_OK)
        (void)snprintf(reason, SLT_REASON_BYTES, "%s", sqlite3_errmsg(schema->db));
    if (*reason != '\0') {
        free_table(table);
        return SLT_DDL_REFUSED;
    }
    schema->tables[schema->count++] = table;
    return SLT_DDL_DONE;
}

/* "a, b DESC" without the directions; false when it is more than names. */
static bool
plain_columns(const char *columns, struct buffer *out)
{
    char word[SLT_NAME_BYTES];

    while (slt_word(&columns, word)) {
        if (strcasecmp(word, "ASC") == 0 || strcasecmp(word, "DESC") == 0)
            continue;
        if (strcmp(word, ",") == 0)
            buffer_add(out, ", ");
        else if (is_word_byte(word[0]) && strcasecmp(word, "COLLATE") != 0)
            buffer_add(out, "\"%s\"", word);
        else
            return false;
    }
    return true;
}

/* An index left out changes no result; a UNIQUE one does. */
static enum slt_ddl
leave_index_out(bool unique, const char *table, char *name, char *reason)
{
    (void)snprintf(reason, SLT_REASON_BYTES, "an index that is partial or on more than columns");
    if (unique) {
        (void)snprintf(name, SLT_NAME_BYTES, "%s", table);
        return SLT_DDL_REFUSED;
    }
    return SLT_DDL_DONE;
}

static enum slt_ddl
create_index(struct slt_schema *schema, const char *sql, bool unique, char *name, char *reason)
{
    struct buffer definition = { NULL, 0, 0 };
    char table_name[SLT_NAME_BYTES], *columns;
    struct slt_table *table;
    enum slt_ddl result;
    bool plain;

    if (accept(&sql, "IF") && accept(&sql, "NOT"))
        (void)accept(&sql, "EXISTS");
    if (!slt_word(&sql, name) || !accept(&sql, "ON") || !slt_word(&sql, table_name))
        return SLT_DDL_OTHER;
    table = find_table(schema, table_name);
    columns = take_parentheses(&sql);
    if (table == NULL || columns == NULL || table->index_count == SLT_INDEXES_MAX) {
        free(columns);
        return SLT_DDL_OTHER;
    }
    buffer_add(&definition, unique ? "UNIQUE(" : "INDEX(");
    plain = plain_columns(columns, &definition) && !accept(&sql, "WHERE");
    buffer_add(&definition, ")");
    free(columns);
    if (!plain) {
        free(definition.data);
        return leave_index_out(unique, table_name, name, reason);
    }
    table->indexes[table->index_count].definition = definition.data;
    (void)snprintf(table->indexes[table->index_count++].name, SLT_NAME_BYTES, "%s", name);
    result = make_anew(schema, table, reason);
    if (result != SLT_DDL_DONE)
        free(table->indexes[--table->index_count].definition);
    return result == SLT_DDL_REFUSED ? leave_index_out(unique, table_name, name, reason) : result;
}

static enum slt_ddl
drop_index(struct slt_schema *schema, const char *sql, char *name, char *reason)
{
    if (accept(&sql, "IF"))
        (void)accept(&sql, "EXISTS");
    if (!slt_word(&sql, name))
        return SLT_DDL_OTHER;
    for (int i = 0; i < schema->count; i++) {
        struct slt_table *table = schema->tables[i];

        for (int j = 0; j < table->index_count; j++)
            if (strcasecmp(table->indexes[j].name, name) == 0) {
                free(table->indexes[j].definition);
                table->indexes[j] = table->indexes[--table->index_count];
                return make_anew(schema, table, reason);
            }
    }
    sql_run(schema->db, "DROP INDEX IF EXISTS \"%s\"", name); /* a native table's, or left out */
    return SLT_DDL_DONE;
}

enum slt_ddl
slt_define(struct slt_schema *schema, const char *sql, char name[SLT_NAME_BYTES],
           char reason[SLT_REASON_BYTES])
{
    bool unique;

    *name = *reason = '\0';
    if (accept(&sql, "DROP")) {
        if (accept(&sql, "INDEX"))
            return drop_index(schema, sql, name, reason);
        if (accept(&sql, "TABLE")) {
            if (accept(&sql, "IF"))
                (void)accept(&sql, "EXISTS");
            if (slt_word(&sql, name))
                remove_table(schema, name);
        }
        return SLT_DDL_OTHER;
    }
    if (!accept(&sql, "CREATE"))
        return SLT_DDL_OTHER;
    if (!accept(&sql, "TEMP"))
        (void)accept(&sql, "TEMPORARY");
    if (accept(&sql, "TABLE"))
        return create_table(schema, sql, name, reason);
    unique = accept(&sql, "UNIQUE");
    return accept(&sql, "INDEX") ? create_index(schema, sql, unique, name, reason) : SLT_DDL_OTHER;
}
