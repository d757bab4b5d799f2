/*
 * roundtrip.c - random tables through txkv_export and txkv_import: what comes back is the same.
 *
 *   roundtrip [SEEDS [ROWS]]      SEED=n: start at seed n
 *
 * Every seed fills a store with three tables: one of random columns, keys and indexes (shapegen.h),
 * by random statements and then with random values of every type; and two of keys and values whose
 * names differ in the case of letters alone. The values have what text formats stumble over:
 * quotes, line ends, NULs, bytes that are not UTF-8, reals of any bits, integers at the ends.
 *
 * The store goes through each format into a new one: a script, CSV, JSON lines with the tables and
 * plain ones. There every table must have the same definition, the same rows with the same rowids,
 * types and bytes, and txkv_check must find nothing.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "answer.h"
#include "shapegen.h"
#include "text.h"

enum { TABLES = 3, BYTES_MAX = 300 };

static const char *const sql_names[TABLES] = { "t", "kv", "big" }, *const store_names[TABLES] = {
    "t", "kv", "KV"
};

static struct rng rng;
static struct shape shape;
static char base[TEST_PATH_BYTES], from[TEST_PATH_BYTES + 8], to[TEST_PATH_BYTES + 8];
static uint64_t total_rows;

/* ---- the rows of a store ---- */

struct digest {
    char *text;
    size_t bytes, room;
    uint64_t rows;
};

static void
digest_add(struct digest *d, const void *data, size_t bytes)
{
    if (d->bytes + bytes > d->room) {
        d->room = 2 * (d->bytes + bytes) + 4096;
        d->text = realloc(d->text, d->room);
        if (d->text == NULL)
            test_die("out of memory");
    }
    if (bytes > 0)
        memcpy(d->text + d->bytes, data, bytes);
    d->bytes += bytes;
}

/* Type and bytes, also of numbers. */
static void
digest_value(struct digest *d, sqlite3_stmt *statement, int column)
{
    const int type = sqlite3_column_type(statement, column);
    const sqlite3_int64 integer =
        type == SQLITE_INTEGER ? sqlite3_column_int64(statement, column) : 0;
    const double real = type == SQLITE_FLOAT ? sqlite3_column_double(statement, column) : 0;
    const bool has_bytes = type == SQLITE_TEXT || type == SQLITE_BLOB;
    const void *data = has_bytes ? sqlite3_column_blob(statement, column) : NULL;
    const int bytes = has_bytes ? sqlite3_column_bytes(statement, column) : 0;

    digest_add(d, &type, sizeof type);
    digest_add(d, &integer, sizeof integer);
    digest_add(d, &real, sizeof real);
    digest_add(d, &bytes, sizeof bytes);
    digest_add(d, data, (size_t)bytes);
}

static void
digest_query(struct digest *d, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = sql_prepare(db, sql);
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++)
            digest_value(d, statement, i);
        d->rows++;
    }
    if (rc != SQLITE_DONE)
        test_die("%s: %s", sql, sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
}

static void
take_digest(const char *dir, struct digest *d)
{
    sqlite3 *db = sql_open(1);
    char sql[TEST_PATH_BYTES + 200];

    *d = (struct digest){ .rows = 0 };
    (void)snprintf(sql, sizeof sql, "SELECT name, columns FROM txkv_tables('%s') ORDER BY name",
                   dir);
    digest_query(d, db, sql);
    d->rows = 0;
    for (int i = 0; i < TABLES; i++) {
        sql_run(db, "CREATE VIRTUAL TABLE temp.%s USING txkv('%s', table=%s)", sql_names[i], dir,
                store_names[i]);
        (void)snprintf(sql, sizeof sql, "SELECT %s* FROM %s",
                       i == 0 && shape.has_rowid ? "rowid, " : "", sql_names[i]);
        digest_query(d, db, sql);
    }
    if (sqlite3_close(db) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(db));
}

/* ---- filling the first store ---- */

static int
bind_text(sqlite3_stmt *statement, int place)
{
    static const char *const hard[] = { "",
                                        "12",
                                        "1.0",
                                        "NULL",
                                        "x'00'",
                                        "X'61'",
                                        "a,b",
                                        "\"",
                                        "a\"b",
                                        "it's",
                                        "\r\n",
                                        "a\nb",
                                        "\\",
                                        "\\u0000",
                                        "007",
                                        "-0",
                                        "1e5",
                                        "\xff\xfe",
                                        " ",
                                        "null",
                                        "{}",
                                        "\xed\xa0\x80",
                                        "\xc3\xa9",
                                        "9e999",
                                        "\xf0\x9f\x98\x80",
                                        "\x01\x1f\x7f",
                                        "\xef\xbb\xbf" };
    char text[BYTES_MAX];
    const uint32_t bytes = rng_below(&rng, BYTES_MAX);

    if (rng_chance(&rng, 60)) {
        const char *one = hard[rng_below(&rng, sizeof hard / sizeof hard[0])];

        return sqlite3_bind_text(statement, place, one, -1, SQLITE_TRANSIENT);
    }
    for (uint32_t i = 0; i < bytes; i++)
        text[i] =
            rng_chance(&rng, 20) ? (char)rng_next(&rng) : "ab,\"'\\\n\r\0x"[rng_below(&rng, 10)];
    return rng_chance(&rng, 70)
               ? sqlite3_bind_text(statement, place, text, (int)bytes, SQLITE_TRANSIENT)
               : sqlite3_bind_blob(statement, place, text, (int)bytes, SQLITE_TRANSIENT);
}

static double
random_real(void)
{
    const uint64_t bits = rng_next(&rng);
    double real;

    switch (rng_below(&rng, 6)) {
    case 0:
        return (double)(int64_t)rng_below(&rng, 100);
    case 1:
        return -0.0;
    case 2:
        return rng_chance(&rng, 50) ? INFINITY : -INFINITY;
    case 3:
        return (double)rng_below(&rng, 1000000) / 1000;
    default:
        memcpy(&real, &bits, sizeof real); /* a NaN becomes NULL */
        return real;
    }
}

static void
bind_value(sqlite3_stmt *statement, int place)
{
    static const int64_t ends[] = { INT64_MIN, INT64_MAX, 1LL << 53, (1LL << 53) + 1, 0, -1 };
    int rc;

    switch (rng_below(&rng, 8)) {
    case 0:
        rc = sqlite3_bind_null(statement, place);
        break;
    case 1:
        rc = sqlite3_bind_int64(statement, place, ends[rng_below(&rng, 6)]);
        break;
    case 2:
        rc = sqlite3_bind_int64(statement, place, (sqlite3_int64)rng_next(&rng));
        break;
    case 3:
    case 4:
        rc = sqlite3_bind_double(statement, place, random_real());
        break;
    default:
        rc = bind_text(statement, place);
        break;
    }
    if (rc != SQLITE_OK)
        test_die("bind: %d", rc);
}

/* Rows of random values; those that a constraint refuses are left out. */
static void
fill_table(sqlite3 *db, const char *name, int columns, uint64_t rows)
{
    struct text t = { .used = 0 };
    sqlite3_stmt *statement;

    text_add(&t, "INSERT OR IGNORE INTO %s VALUES(?", name);
    for (int i = 1; i < columns; i++)
        text_add(&t, ", ?");
    text_add(&t, ")");
    statement = sql_prepare(db, t.data);
    for (uint64_t i = 0; i < rows; i++) {
        for (int k = 0; k < columns; k++)
            bind_value(statement, k + 1);
        (void)sqlite3_step(statement); /* a wrong type for a rowid fails */
        (void)sqlite3_reset(statement);
    }
    (void)sqlite3_finalize(statement);
}

static void
fill_store(uint64_t rows)
{
    sqlite3 *db = sql_open(1);
    struct text t = { .used = 0 };
    struct answer answer = { .code = 0 };

    shape_definitions(&shape, true, &t);
    sql_run(db,
            "CREATE TABLE u(n); INSERT INTO u VALUES(1), (2), (3), (5), (8);"
            "CREATE VIRTUAL TABLE temp.t USING txkv('%s', sync=off, %s);",
            from, t.data);
    for (int i = 1; i < TABLES; i++)
        sql_run(db, "CREATE VIRTUAL TABLE temp.%s USING txkv('%s', sync=off, table=%s)",
                sql_names[i], from, store_names[i]);
    for (uint64_t i = 0; i < rows; i++) {
        unsigned flags;

        shape_statement(&rng, &shape, &t, &flags);
        answer_run(&answer, db, t.data, flags);
    }
    if (!sqlite3_get_autocommit(db))
        sql_run(db, "COMMIT");
    free(answer.text);
    fill_table(db, "t", shape.columns, rows);
    fill_table(db, "kv", 2, rows);
    if (rng_chance(&rng, 50))
        sql_run(db, "SELECT txkv_checkpoint('t')");
    fill_table(db, "big", 2, rows);
    if (sqlite3_close(db) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(db));
}

/* ---- the formats ---- */

static char *
read_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    long bytes = -1;
    char *text;

    if (in != NULL && fseek(in, 0, SEEK_END) == 0)
        bytes = ftell(in);
    text = bytes < 0 ? NULL : malloc((size_t)bytes + 1);
    if (text == NULL || fseek(in, 0, SEEK_SET) != 0 ||
        fread(text, 1, (size_t)bytes, in) != (size_t)bytes)
        test_die("%s cannot be read", path);
    text[bytes] = '\0';
    (void)fclose(in);
    return text;
}

static void
through_sql(sqlite3 *db)
{
    char path[TEST_PATH_BYTES + 16], *script;
    sqlite3 *other = sql_open(1);
    char *message = NULL;

    (void)snprintf(path, sizeof path, "%s/all.sql", base);
    sql_run(db, "SELECT txkv_export('%s', '%s', 'overwrite=yes dir=''%s''')", from, path, to);
    script = read_file(path);
    if (sqlite3_exec(other, script, NULL, NULL, &message) != SQLITE_OK)
        test_die("the script: %s", message);
    free(script);
    if (sqlite3_close(other) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(other));
}

static void
through_jsonl(sqlite3 *db)
{
    sql_run(db,
            "SELECT txkv_export('%s', '%s/all.jsonl', 'overwrite=yes');"
            "SELECT txkv_import('%s', '%s/all.jsonl', 'create=yes')",
            from, base, to, base);
}

/* Table by table: the definition goes another way than the rows. */
static void
through_tables(sqlite3 *db, const char *format, const char *options)
{
    for (int i = 0; i < TABLES; i++) {
        char sql[1024];
        sqlite3_stmt *statement;

        (void)snprintf(sql, sizeof sql,
                       "SELECT CASE columns WHEN 'key, value' THEN '' ELSE columns END "
                       "FROM txkv_tables('%s') WHERE name = '%s'",
                       from, store_names[i]);
        statement = sql_prepare(db, sql);
        if (sqlite3_step(statement) != SQLITE_ROW)
            test_die("no table %s", store_names[i]);
        sql_run(db,
                "SELECT txkv_export('%s', '%s/%d.%s', 'overwrite=yes table=%s %s');"
                "SELECT txkv_import('%s', '%s/%d.%s', 'create=yes table=%s %s columns=''' || "
                "replace('%s', '''', '''''') || '''')",
                from, base, i, format, store_names[i], options, to, base, i, format, store_names[i],
                options, sqlite3_column_text(statement, 0));
        (void)sqlite3_finalize(statement);
    }
}

static bool
compare(const struct digest *expected, const char *what, uint64_t seed)
{
    struct digest found;
    sqlite3 *db = sql_open(1);
    bool same;

    take_digest(to, &found);
    same = found.text != NULL && expected->text != NULL && found.bytes == expected->bytes &&
           memcmp(found.text, expected->text, found.bytes) == 0;
    if (same) {
        char sql[TEST_PATH_BYTES + 100];
        sqlite3_stmt *statement;

        (void)snprintf(sql, sizeof sql, "SELECT json_extract(txkv_check('%s'), '$.problem_count')",
                       to);
        statement = sql_prepare(db, sql);
        same = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == 0;
        (void)sqlite3_finalize(statement);
    }
    if (!same)
        (void)printf("[FAILED] SEED=%" PRIu64 ": %s brings back %" PRIu64 " rows of %" PRIu64
                     ", or others; see %s\n",
                     seed, what, found.rows, expected->rows, base);
    (void)sqlite3_close(db);
    free(found.text);
    return same;
}

static bool
run_seed(uint64_t seed, uint64_t rows)
{
    static const char *const what[] = { "the script", "jsonl", "csv", "csv with null=NULL",
                                        "plain jsonl" };
    struct digest expected;
    sqlite3 *db;
    bool ok = true;

    test_seed_is(seed);
    rng_seed(&rng, seed);
    shape_random(&rng, &shape);
    test_dir_make_in_memory(base, "roundtrip");
    (void)snprintf(from, sizeof from, "%s/from", base);
    fill_store(rows);
    take_digest(from, &expected);
    total_rows += expected.rows;
    db = sql_open(1);
    for (int i = 0; ok && i < (int)(sizeof what / sizeof what[0]); i++) {
        (void)snprintf(to, sizeof to, "%s/to%d", base, i);
        if (i == 0)
            through_sql(db);
        else if (i == 1)
            through_jsonl(db);
        else
            through_tables(db, i == 4 ? "jsonl" : "csv",
                           i == 4   ? "plain=yes"
                           : i == 3 ? "null=NULL"
                                    : "");
        ok = compare(&expected, what[i], seed);
    }
    (void)sqlite3_close(db);
    free(expected.text);
    if (ok)
        test_dir_remove(base);
    return ok;
}

int
main(int argc, char **argv)
{
    const uint64_t seeds = test_argument(argc, argv, 1, 20);
    const uint64_t rows = test_argument(argc, argv, 2, 60);
    const uint64_t first = test_seed(1);
    uint64_t passed = 0;

    (void)printf("roundtrip: %" PRIu64 " seeds from SEED=%" PRIu64 "\n", seeds, first);
    for (uint64_t i = 0; i < seeds; i++)
        passed += run_seed(first + i, rows);
    (void)printf("%" PRIu64 " rows went through 5 formats\n", total_rows);
    return test_summary(passed, seeds - passed);
}
