/*
 * test_ext_texts.c - texts and blobs that SQLite has got from a table, kept longer than the row,
 * the statement or the transaction that they came from, in databases of every encoding.
 *
 * The expectation is what the same statement makes of a native table with the same rows: texts of
 * every length up to beyond the one from which they are handed over otherwise, with zero bytes and
 * without, and blobs.
 */
#include "../../ext/rowtype.h"
#include "table_fixture.h"

enum {
    LONGEST = 600, /* handed over without being looked at from 512 on */
    ZEROES_EACH = 7,
    SHORT_LIMIT = 100
};

static const char *const encodings[] = { "UTF-8", "UTF-16le", "UTF-16be" };

/* The tables kv and native, with the same rows. */
static sqlite3 *
open_twins(const char *encoding)
{
    char sql[TEXT_BYTES];
    sqlite3 *db;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    (void)snprintf(sql, sizeof sql, "PRAGMA encoding = '%s'", encoding);
    must(db, sql);
    must(db, "CREATE TABLE native(key PRIMARY KEY, value) WITHOUT ROWID;"
             "CREATE TABLE sink(n INTEGER PRIMARY KEY, a, b)");
    assert_int_equal(create_table(db, "kv"), SQLITE_OK);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO native WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
                   "FROM n WHERE i < %d) SELECT substr(printf('%%.*c', i / 8, 'k'), 1, 500) || i, "
                   "substr(printf('%%.*c', i, 'aé'), 1, i / 2) || substr(printf('%%.*c', i, 'z'), "
                   "1, i - i / 2) FROM n",
                   LONGEST);
    must(db, sql);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO native SELECT 'zero' || key, substr(value, 1, length(value) / 2) "
                   "|| char(0) || substr(value, length(value) / 2 + 1) FROM native "
                   "WHERE length(value) %% %d = 0",
                   ZEROES_EACH);
    must(db, sql);
    must(db, "INSERT INTO native SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM native "
             "WHERE length(value) % 11 = 0;"
             "INSERT INTO native VALUES(1, NULL), (-2.5, 7), ('', ''), (x'', x''), (char(0), 0.5);"
             "INSERT INTO kv SELECT key, value FROM native");
    return db;
}

/* All rows of the statement, with the table's name for each @, as one text of hexadecimal digits
 * and types; to be freed. */
static char *
answer(sqlite3 *db, const char *query, const char *table)
{
    sqlite3_str *sql = sqlite3_str_new(NULL), *rows = sqlite3_str_new(NULL);
    sqlite3_stmt *statement;
    char *text;
    int rc;

    for (; *query != '\0'; query++)
        if (*query == '@')
            sqlite3_str_appendall(sql, table);
        else
            sqlite3_str_appendchar(sql, 1, *query);
    text = sqlite3_str_finish(sql);
    statement = prepare(db, text);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const int type = sqlite3_column_type(statement, i);
            const uint8_t *bytes = sqlite3_column_blob(statement, i);
            const int count = sqlite3_column_bytes(statement, i);

            sqlite3_str_appendf(rows, "%d:", type);
            for (int j = 0; j < count; j++)
                sqlite3_str_appendf(rows, "%02x", bytes[j]);
            sqlite3_str_appendchar(rows, 1, i + 1 < sqlite3_column_count(statement) ? ' ' : '\n');
        }
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(statement);
    sqlite3_free(text);
    text = sqlite3_str_finish(rows);
    return text != NULL ? text : sqlite3_mprintf("");
}

/* Statements that keep values in registers, sorters, aggregates, tables and triggers. */
static void
statements_that_keep_texts_see_what_they_see_of_a_native_table(void **state)
{
    static const char *const queries[] = {
        "SELECT key, value, length(value), typeof(value), hex(value), quote(key) FROM @",
        "SELECT max(value), min(value), max(key), min(key) FROM @",
        "SELECT max(length(value)), key, value FROM @",
        "SELECT group_concat(value, '/') FROM (SELECT value FROM @ ORDER BY length(key), key)",
        "SELECT value, key FROM @ ORDER BY value, key DESC",
        "SELECT key, lag(value) OVER w, lead(value, 3) OVER w, first_value(value) OVER w FROM @ "
        "WINDOW w AS (ORDER BY key)",
        "SELECT value FROM @ WHERE length(value) < 40 UNION SELECT key FROM @ ORDER BY 1",
        "SELECT value FROM @ INTERSECT SELECT value FROM @ WHERE key > 'kk' ORDER BY 1",
        "WITH c AS MATERIALIZED (SELECT key, value FROM @) SELECT a.value, b.key FROM c AS a "
        "JOIN c AS b ON b.key = a.key ORDER BY a.key, b.value",
        "SELECT a.value, b.value FROM @ AS a JOIN @ AS b ON a.key = 'k' || b.key",
        "SELECT key, (SELECT max(b.value) FROM @ AS b WHERE b.key < a.key) FROM @ AS a "
        "WHERE length(a.key) < 12",
        "SELECT DISTINCT substr(value, 1, 33), value || value || key FROM @ ORDER BY 1, 2",
        "SELECT CASE WHEN value > lower(value) THEN value ELSE upper(value) END, "
        "coalesce(nullif(value, ''), key), value COLLATE NOCASE = key FROM @",
        "SELECT json_group_array(value) FROM @ WHERE typeof(value) = 'text' AND "
        "instr(value, char(0)) = 0",
        "SELECT substr(key, 1, 3), count(*), max(value), group_concat(key) FROM @ GROUP BY 1",
    };

    (void)state;
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        sqlite3 *db = open_twins(encodings[e]);

        for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
            char *expected = answer(db, queries[i], "native");
            char *got = answer(db, queries[i], "kv");

            assert_true(strlen(expected) > 0);
            if (strcmp(got, expected) != 0)
                fail_msg("%s, %s: differs", encodings[e], queries[i]);
            sqlite3_free(expected);
            sqlite3_free(got);
        }
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        stores++;
    }
}

static void
texts_that_go_into_other_tables_and_triggers_arrive_there(void **state)
{
    sqlite3 *db = open_twins("UTF-8");
    char *from_native, *from_kv;

    (void)state;
    must(db, "CREATE TEMP TRIGGER t AFTER INSERT ON sink WHEN new.n % 2 BEGIN UPDATE sink SET "
             "b = (SELECT max(value) FROM kv WHERE key <= new.a) || new.b WHERE n = new.n; END;"
             "INSERT INTO sink(a, b) SELECT key, value FROM native ORDER BY key");
    from_native = answer(db, "SELECT * FROM sink", "");
    must(db, "DELETE FROM sink; INSERT INTO sink(a, b) SELECT key, value FROM kv ORDER BY key");
    from_kv = answer(db, "SELECT * FROM sink", "");
    assert_string_equal(from_kv, from_native);
    sqlite3_free(from_native);
    sqlite3_free(from_kv);
    must(db, "UPDATE kv SET value = (SELECT value FROM kv AS b WHERE b.key = kv.key) || 'x'");
    assert_string_equal(ask(db, "SELECT count(*) FROM kv JOIN native USING(key) "
                                "WHERE kv.value IS NOT native.value || 'x'"),
                        "0");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* previous(value): what it was given for the row before. */
static void
previous(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    sqlite3_value **kept = sqlite3_user_data(context);

    (void)count;
    if (*kept != NULL)
        sqlite3_result_value(context, *kept);
    sqlite3_value_free(*kept);
    *kept = sqlite3_value_dup(arguments[0]);
}

static void
a_copied_value_outlives_its_statement_and_its_table(void **state)
{
    sqlite3 *db = open_twins("UTF-8");
    sqlite3_stmt *scan = prepare(db, "SELECT value FROM kv ORDER BY key");
    sqlite3_stmt *check = prepare(db, "SELECT value IS ?1 AND typeof(value) = typeof(?1) FROM "
                                      "native ORDER BY key LIMIT 1 OFFSET ?2");
    static sqlite3_value *kept[2 * LONGEST];
    int count = 0;

    (void)state;
    while (sqlite3_step(scan) == SQLITE_ROW) {
        assert_true(count < 2 * LONGEST);
        if (count % 2 == 0 && sqlite3_column_type(scan, 0) == SQLITE_TEXT)
            (void)sqlite3_column_text(scan, 0); /* has a terminator then */
        kept[count++] = sqlite3_value_dup(sqlite3_column_value(scan, 0));
    }
    sqlite3_finalize(scan);
    must(db, "UPDATE kv SET value = 'another'; SELECT txkv_checkpoint(); DROP TABLE kv");
    assert_true(count > LONGEST);
    for (int i = 0; i < count; i++) {
        assert_int_equal(sqlite3_bind_value(check, 1, kept[i]), SQLITE_OK);
        assert_int_equal(sqlite3_bind_int(check, 2, i), SQLITE_OK);
        assert_row(check, "1");
        (void)sqlite3_reset(check);
        sqlite3_value_free(kept[i]);
    }
    sqlite3_finalize(check);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Binds a statement's column to another one before it steps on; and has a function keep values for
 * a row. */
static void
a_value_that_is_bound_or_kept_stays_while_the_scan_goes_on(void **state)
{
    sqlite3 *db = open_twins("UTF-16le");
    sqlite3_stmt *scan = prepare(db, "SELECT key, value FROM kv ORDER BY key");
    sqlite3_stmt *insert = prepare(db, "INSERT INTO sink(a, b) VALUES(?1, ?2)");
    sqlite3_value *kept = NULL;
    char *answers[2];
    int rc;

    (void)state;
    rc = sqlite3_step(scan);
    while (rc == SQLITE_ROW) {
        assert_int_equal(sqlite3_bind_value(insert, 1, sqlite3_column_value(scan, 0)), SQLITE_OK);
        assert_int_equal(sqlite3_bind_value(insert, 2, sqlite3_column_value(scan, 1)), SQLITE_OK);
        rc = sqlite3_step(scan); /* what is bound is of the row before */
        assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
        (void)sqlite3_reset(insert);
    }
    sqlite3_finalize(scan);
    sqlite3_finalize(insert);
    assert_string_equal(ask(db, "SELECT count(*) FROM sink JOIN native ON key IS a AND value IS b"),
                        ask(db, "SELECT count(*) FROM sink"));
    assert_true(ask_number(db, "SELECT count(*) FROM sink") > LONGEST / 2);
    assert_int_equal(
        sqlite3_create_function(db, "previous", 1, SQLITE_UTF8, &kept, previous, NULL, NULL),
        SQLITE_OK);
    for (int i = 0; i < 2; i++) {
        answers[i] =
            answer(db, "SELECT previous(value), key FROM @ ORDER BY key", i == 0 ? "kv" : "native");
        sqlite3_value_free(kept);
        kept = NULL;
    }
    assert_string_equal(answers[0], answers[1]);
    sqlite3_free(answers[0]);
    sqlite3_free(answers[1]);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
a_text_above_the_limit_is_refused_and_a_shorter_one_is_not(void **state)
{
    sqlite3 *db = open_twins("UTF-8");
    sqlite3_stmt *scan = prepare(db, "SELECT value FROM kv WHERE key = ?1");
    const int limit = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, SHORT_LIMIT);

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', printf('%.*c', 100, 'x'))");
    assert_int_equal(sqlite3_limit(db, SQLITE_LIMIT_LENGTH, limit), SHORT_LIMIT);
    must(db, "INSERT INTO kv VALUES('b', printf('%.*c', 101, 'x')), "
             "('c', printf('%.*c', 50, 'x') || char(0) || printf('%.*c', 50, 'x')), "
             "('d', printf('%.*c', 1000, 'x'))");
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, SHORT_LIMIT);
    for (const char *key = "abcda"; *key != '\0'; key++) {
        assert_int_equal(sqlite3_bind_text(scan, 1, key, 1, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_step(scan), *key == 'a' ? SQLITE_ROW : SQLITE_TOOBIG);
        if (*key == 'a')
            assert_int_equal(strlen((const char *)sqlite3_column_text(scan, 0)), SHORT_LIMIT);
        (void)sqlite3_reset(scan);
    }
    sqlite3_finalize(scan);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Goal: a text's type and its row's length agree. Method: rows of one column, of all types of one
 * byte and some of two, with 100 bytes behind them; but one they are not texts of that length. */
static void
a_text_whose_row_has_another_length_is_damaged(void **state)
{
    enum { BYTES_BEHIND = 100, TEXT = TX_ROW_TYPE_TEXT + 2 * BYTES_BEHIND, TYPES = 512 };
    sqlite3 *db = open_db();
    sqlite3_stmt *select = prepare(db, "SELECT value FROM kv WHERE key = 'k'");
    uint8_t row[3 + BYTES_BEHIND];

    (void)state;
    open_store();
    for (unsigned type = 0; type < TYPES; type++) {
        const size_t start = type < 128 ? 2 : 3;
        const bool good = type == TEXT || type == TEXT - 1;

        memset(row, 'x', sizeof row);
        row[0] = 1 << 2; /* one column */
        row[1] = (uint8_t)(start == 2 ? type : type | 0x80);
        if (start == 3)
            row[2] = (uint8_t)(type >> 7);
        OK(txkv_begin(session, &err));
        OK(txkv_put(session, number_of("kv"), (struct txkv_bytes){ (const uint8_t *)" k", 2 },
                    (struct txkv_bytes){ row, start + BYTES_BEHIND }, &err));
        OK(txkv_commit(session, TXKV_SYNC_OFF, &err));
        assert_int_equal(sqlite3_step(select), good ? SQLITE_ROW : SQLITE_CORRUPT);
        if (good)
            assert_int_equal(sqlite3_column_bytes(select, 0), BYTES_BEHIND);
        (void)sqlite3_reset(select);
    }
    sqlite3_finalize(select);
    close_both(db);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(statements_that_keep_texts_see_what_they_see_of_a_native_table,
                               use_new_store),
        cmocka_unit_test_setup(texts_that_go_into_other_tables_and_triggers_arrive_there,
                               use_new_store),
        cmocka_unit_test_setup(a_copied_value_outlives_its_statement_and_its_table, use_new_store),
        cmocka_unit_test_setup(a_value_that_is_bound_or_kept_stays_while_the_scan_goes_on,
                               use_new_store),
        cmocka_unit_test_setup(a_text_whose_row_has_another_length_is_damaged, use_new_store),
        cmocka_unit_test_setup(a_text_above_the_limit_is_refused_and_a_shorter_one_is_not,
                               use_new_store),
    };
    int failed = 1;

    if (fixture_start())
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return failed;
}
