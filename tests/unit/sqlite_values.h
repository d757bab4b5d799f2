/*
 * sqlite_values.h - SQLite values outside of any statement, for tests of what encodes them.
 *
 * Each function returns NULL, or false, when SQLite is out of memory; the caller frees a value with
 * sqlite3_value_free. Included by programs that link the SQLite library.
 */
#ifndef SQLITE_VALUES_H
#define SQLITE_VALUES_H

#ifndef SQLITE_CORE
#define SQLITE_CORE 1
#endif

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../../ext/sqlite.h"

/* A database in memory, and the statement "SELECT ?1", which turns a binding into a value. */
struct values {
    sqlite3 *db;
    sqlite3_stmt *echo;
};

/* `encoding` says what texts are inside this database: "UTF-8" or "UTF-16". */
static inline bool
values_open(struct values *values, const char *encoding)
{
    char sql[40];

    values->echo = NULL;
    sqlite3_snprintf(sizeof(sql), sql, "PRAGMA encoding = '%s'", encoding);
    return sqlite3_open(":memory:", &values->db) == SQLITE_OK &&
           sqlite3_exec(values->db, sql, NULL, NULL, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(values->db, "SELECT ?1", -1, &values->echo, NULL) == SQLITE_OK;
}

static inline void
values_close(struct values *values)
{
    sqlite3_finalize(values->echo);
    sqlite3_close(values->db);
}

/* The first column of the first row of a statement whose parameters are bound. */
static inline sqlite3_value *
value_of_statement(sqlite3_stmt *statement)
{
    sqlite3_value *value = NULL;

    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_value_dup(sqlite3_column_value(statement, 0));
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return value;
}

static inline sqlite3_value *
value_null(struct values *values)
{
    return value_of_statement(values->echo);
}

static inline sqlite3_value *
value_int(struct values *values, int64_t v)
{
    sqlite3_bind_int64(values->echo, 1, v);
    return value_of_statement(values->echo);
}

static inline sqlite3_value *
value_real(struct values *values, double v)
{
    sqlite3_bind_double(values->echo, 1, v);
    return value_of_statement(values->echo);
}

static inline sqlite3_value *
value_text(struct values *values, const char *text, size_t bytes)
{
    sqlite3_bind_text(values->echo, 1, text, (int)bytes, SQLITE_STATIC);
    return value_of_statement(values->echo);
}

static inline sqlite3_value *
value_text16(struct values *values, const void *text, size_t bytes)
{
    sqlite3_bind_text16(values->echo, 1, text, (int)bytes, SQLITE_STATIC);
    return value_of_statement(values->echo);
}

static inline sqlite3_value *
value_blob(struct values *values, const void *blob, size_t bytes)
{
    sqlite3_bind_blob(values->echo, 1, bytes > 0 ? blob : "", (int)bytes, SQLITE_STATIC);
    return value_of_statement(values->echo);
}

/* A random number below `limit`; the sequence is the same in every run. */
static inline size_t
random_below(size_t limit)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 1) % limit;
}

/* Equal in type and in every bit, so -0.0 is not 0.0 and 1 is not 1.0. */
static inline bool
same_value(sqlite3_value *a, sqlite3_value *b)
{
    double real_a, real_b;
    uint64_t bits_a, bits_b;
    int bytes;

    if (sqlite3_value_type(a) != sqlite3_value_type(b))
        return false;
    switch (sqlite3_value_type(a)) {
    case SQLITE_INTEGER:
        return sqlite3_value_int64(a) == sqlite3_value_int64(b);
    case SQLITE_FLOAT:
        real_a = sqlite3_value_double(a);
        real_b = sqlite3_value_double(b);
        memcpy(&bits_a, &real_a, sizeof(bits_a));
        memcpy(&bits_b, &real_b, sizeof(bits_b));
        return bits_a == bits_b;
    case SQLITE_TEXT:
        bytes = sqlite3_value_bytes(a);
        return bytes == sqlite3_value_bytes(b) &&
               memcmp(sqlite3_value_text(a), sqlite3_value_text(b), (size_t)bytes) == 0;
    case SQLITE_BLOB:
        bytes = sqlite3_value_bytes(a);
        return bytes == sqlite3_value_bytes(b) &&
               (bytes == 0 ||
                memcmp(sqlite3_value_blob(a), sqlite3_value_blob(b), (size_t)bytes) == 0);
    default:
        return true; /* NULL */
    }
}

#endif /* SQLITE_VALUES_H */
