/*
 * sltresult.c - see sltresult.h.
 */
#include "sltresult.h"

#include <md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

/* Values while they wait to be sorted: each a string of its own. */
struct values {
    char **data;
    size_t count, room;
};

static void
add_value(struct values *values, const char *text)
{
    if (values->count == values->room) {
        values->room = 2 * values->room + 64;
        values->data = realloc(values->data, values->room * sizeof(*values->data));
        if (values->data == NULL)
            test_die("out of memory");
    }
    values->data[values->count] = strdup(text);
    if (values->data[values->count++] == NULL)
        test_die("out of memory");
}

static void
forget_values(struct values *values)
{
    for (size_t i = 0; i < values->count; i++)
        free(values->data[i]);
    free(values->data);
}

static void
read_column(sqlite3_stmt *stmt, int column, char type, struct buffer *out)
{
    const unsigned char *text;

    buffer_clear(out);
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        buffer_add(out, "NULL");
    } else if (type == 'I') {
        buffer_add(out, "%lld", (long long)sqlite3_column_int64(stmt, column));
    } else if (type == 'R') {
        buffer_add(out, "%.3f", sqlite3_column_double(stmt, column));
    } else {
        text = sqlite3_column_text(stmt, column);
        for (; text != NULL && *text != '\0'; text++)
            buffer_add(out, "%c", *text < ' ' || *text > '~' ? '@' : *text);
        if (out->used == 0)
            buffer_add(out, "(empty)");
    }
}

static size_t columns_of_row; /* of those that qsort compares */

static int
compare_rows(const void *one, const void *other)
{
    char *const *a = one, *const *b = other;

    for (size_t i = 0; i < columns_of_row; i++) {
        const int order = strcmp(a[i], b[i]);

        if (order != 0)
            return order;
    }
    return 0;
}

static int
read_rows(sqlite3_stmt *stmt, const struct slt_record *record, struct values *values)
{
    const int columns = (int)strlen(record->types);
    struct buffer value = { NULL, 0, 0 };
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        for (int i = 0; i < columns; i++) {
            read_column(stmt, i, record->types[i], &value);
            add_value(values, value.data);
        }
    free(value.data);
    return rc;
}

bool
slt_query(sqlite3 *db, const struct slt_record *record, struct buffer *out, size_t *count)
{
    const int columns = (int)strlen(record->types);
    struct values values = { NULL, 0, 0 };
    sqlite3_stmt *stmt = NULL;
    bool ok = sqlite3_prepare_v2(db, record->sql, -1, &stmt, NULL) == SQLITE_OK;

    buffer_clear(out);
    *count = 0;
    if (ok && sqlite3_column_count(stmt) != columns) {
        buffer_add(out, "%d columns, and %d types", sqlite3_column_count(stmt), columns);
        (void)sqlite3_finalize(stmt);
        return false;
    }
    ok = ok && read_rows(stmt, record, &values) == SQLITE_DONE;
    if (!ok)
        buffer_add(out, "%s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    columns_of_row = record->sort == SLT_ROWSORT ? (size_t)columns : 1;
    if (ok && record->sort != SLT_NOSORT && values.count > 0)
        qsort(values.data, values.count / columns_of_row, columns_of_row * sizeof(*values.data),
              compare_rows);
    for (size_t i = 0; ok && i < values.count; i++)
        buffer_add(out, "%s\n", values.data[i]);
    *count = values.count;
    forget_values(&values);
    return ok;
}

void
slt_summarize(const struct buffer *values, size_t count, size_t threshold, struct buffer *out)
{
    char hash[MD5_DIGEST_STRING_LENGTH];

    buffer_clear(out);
    if (count <= threshold) {
        buffer_bytes(out, values->data, values->used);
        return;
    }
    (void)MD5Data((const uint8_t *)values->data, values->used, hash);
    buffer_add(out, "%zu values hashing to %s\n", count, hash);
}

bool
slt_expected(const struct slt_record *record, const struct buffer *values, size_t count)
{
    const char *expected = record->expected;
    struct buffer summary = { NULL, 0, 0 };
    bool is_hash, same;
    size_t bytes;

    if (expected == NULL) /* what its label says */
        return *record->label != '\0';
    is_hash = strstr(expected, " values hashing to ") != NULL;
    bytes = strlen(expected);
    slt_summarize(values, count, is_hash ? 0 : count, &summary);
    same = summary.used == bytes || summary.used == bytes + 1; /* the file's last line has no end */
    same = same && memcmp(summary.data, expected, bytes) == 0;
    free(summary.data);
    return same;
}
