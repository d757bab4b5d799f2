/*
 * answer.c - see answer.h.
 */
#include "answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

enum { ROWS_MAX = 65536 };

static void
append(struct answer *a, const void *data, size_t bytes)
{
    if (a->used + bytes > a->room) {
        a->room = 2 * (a->used + bytes) + 4096;
        a->text = realloc(a->text, a->room);
        if (a->text == NULL)
            test_die("out of memory");
    }
    if (bytes > 0)
        memcpy(a->text + a->used, data, bytes);
    a->used += bytes;
}

/* Type, length and exact bytes: 1 and 1.0, 0.0 and -0.0, '' and x'' are all different. */
static void
append_column(struct answer *a, sqlite3_stmt *stmt, int i)
{
    const int type = sqlite3_column_type(stmt, i);
    char head[64];
    int64_t integer;
    double real;
    uint64_t bits;

    if (type == SQLITE_INTEGER) {
        integer = sqlite3_column_int64(stmt, i);
        (void)snprintf(head, sizeof head, "i%lld ", (long long)integer);
        append(a, head, strlen(head));
    } else if (type == SQLITE_FLOAT) {
        real = sqlite3_column_double(stmt, i);
        memcpy(&bits, &real, sizeof bits);
        (void)snprintf(head, sizeof head, "r%.17g(%016llx) ", real, (unsigned long long)bits);
        append(a, head, strlen(head));
    } else {
        (void)snprintf(head, sizeof head,
                       "%c%d:", type == SQLITE_NULL ? 'n' : (type == SQLITE_TEXT ? 't' : 'b'),
                       sqlite3_column_bytes(stmt, i));
        append(a, head, strlen(head));
        append(a, sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
        append(a, " ", 1);
    }
}

/* changes() belongs to these. On a txkv table the first SELECT of a transaction sets it to 0. */
static bool
changes_rows(const char *sql)
{
    return strncmp(sql, "INSERT", 6) == 0 || strncmp(sql, "REPLACE", 7) == 0 ||
           strncmp(sql, "UPDATE", 6) == 0 || strncmp(sql, "DELETE", 6) == 0;
}

struct row {
    const char *text;
    size_t bytes;
};

static int
compare_rows(const void *one, const void *other)
{
    const struct row *a = one, *b = other;
    const int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);

    return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Puts the rows, which end at the offsets in `ends`, in the order of their bytes. */
static void
sort_rows(struct answer *a, const size_t *ends, size_t count)
{
    static struct row rows[ROWS_MAX];
    char *copy = malloc(a->used + 1);
    size_t from = 0;

    if (copy == NULL)
        test_die("out of memory");
    memcpy(copy, a->text, a->used);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct row){ copy + from, ends[i] - from };
        from = ends[i];
    }
    qsort(rows, count, sizeof rows[0], compare_rows);
    a->used = 0;
    for (size_t i = 0; i < count; i++)
        append(a, rows[i].text, rows[i].bytes);
    free(copy);
}

void
answer_run(struct answer *a, sqlite3 *db, const char *sql, unsigned flags)
{
    static size_t ends[ROWS_MAX];
    sqlite3_stmt *stmt = NULL;
    char tail[400];
    size_t count = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    a->used = 0;
    a->message[0] = '\0';
    if (rc == SQLITE_OK) {
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(stmt); i++)
                append_column(a, stmt, i);
            append(a, "\n", 1);
            if (count < ROWS_MAX)
                ends[count++] = a->used;
        }
    }
    if (rc != SQLITE_DONE)
        (void)snprintf(a->message, sizeof a->message, "%s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    a->code = rc;
    if ((flags & ANSWER_UNORDERED) != 0 && count > 0 && count < ROWS_MAX)
        sort_rows(a, ends, count);
    (void)snprintf(tail, sizeof tail, "code %d, %d changes, autocommit %d, rowid %lld, %s\n", rc,
                   changes_rows(sql) ? sqlite3_changes(db) : 0, sqlite3_get_autocommit(db),
                   (flags & ANSWER_ROWID) != 0 ? (long long)sqlite3_last_insert_rowid(db) : 0,
                   (flags & ANSWER_MESSAGE) != 0 ? a->message : "");
    append(a, tail, strlen(tail));
    append(a, "", 1);
}

bool
answer_same(const struct answer *a, const struct answer *b)
{
    return a->used == b->used && memcmp(a->text, b->text, a->used) == 0;
}
