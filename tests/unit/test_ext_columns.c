/*
 * test_ext_columns.c - declared columns where the sqlite3 shell cannot reach: extended codes,
 * several connections, statements that are left open, memory that runs out.
 */
#include "sql_fixture.h"

#include "../../src/mem.h"

#define USERS ", id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INT, UNIQUE(name), INDEX(age)"

static sqlite3 *
open_users(const char *more)
{
    sqlite3 *db;
    char sql[TEXT_BYTES];

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.t USING txkv('%s/%u'%s%s)", dir,
                   stores, more, USERS);
    must(db, sql);
    return db;
}

static void
errors_have_the_extended_codes_of_a_native_table(void **state)
{
    sqlite3 *db = open_users("");
    char sql[TEXT_BYTES];

    (void)state;
    must(db, "INSERT INTO t VALUES(1, 'a', 1)");
    assert_int_equal(run(db, "INSERT INTO t VALUES(1, 'b', 2)"), SQLITE_CONSTRAINT_PRIMARYKEY);
    assert_int_equal(run(db, "INSERT INTO t VALUES(2, 'a', 2)"), SQLITE_CONSTRAINT_UNIQUE);
    assert_string_equal(sqlite3_errmsg(db), "UNIQUE constraint failed: t.name");
    assert_int_equal(run(db, "INSERT INTO t VALUES(2, NULL, 2)"), SQLITE_CONSTRAINT_NOTNULL);
    assert_int_equal(run(db, "INSERT INTO t VALUES('x', 'b', 2)"), SQLITE_MISMATCH);
    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.h USING txkv('%s/%u', a)", dir,
                   stores);
    must(db, sql);
    must(db, "INSERT INTO h(rowid, a) VALUES(1, 1)");
    assert_int_equal(run(db, "INSERT INTO h(rowid, a) VALUES(1, 2)"), SQLITE_CONSTRAINT_ROWID);
    assert_string_equal(sqlite3_errmsg(db), "UNIQUE constraint failed: h.rowid");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Goal: UNIQUE holds between transactions, at both isolations. Method: two add the same name. */
static void
two_transactions_cannot_add_the_same_unique_value(void **state)
{
    static const char *const isolations[] = { ", isolation=serializable", ", isolation=snapshot" };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        sqlite3 *one, *two;

        stores++;
        one = open_users(isolations[i]);
        two = open_users(isolations[i]);
        must(one, "BEGIN; INSERT INTO t VALUES(1, 'ann', 1)");
        must(two, "BEGIN; INSERT INTO t VALUES(2, 'ann', 2)");
        must(one, "COMMIT");
        assert_int_equal(run(two, "COMMIT"), SQLITE_BUSY_SNAPSHOT);
        assert_non_null(strstr(sqlite3_errmsg(two), "t: key ('ann') was changed"));
        assert_string_equal(ask(two, "SELECT group_concat(id) FROM t"), "1");
        assert_int_equal(sqlite3_close(one), SQLITE_OK);
        assert_int_equal(sqlite3_close(two), SQLITE_OK);
    }
}

static void
a_phantom_in_an_indexs_range_is_a_conflict(void **state)
{
    sqlite3 *one = open_users(""), *two = open_users("");

    (void)state;
    must(one, "INSERT INTO t VALUES(1, 'a', 10), (2, 'b', 20), (3, 'c', 30)");
    must(one, "BEGIN; SELECT count(*) FROM t WHERE age BETWEEN 15 AND 25");
    must(one, "INSERT INTO t VALUES(9, 'z', 99)");
    must(two, "INSERT INTO t VALUES(4, 'd', 40)"); /* beside the range */
    must(one, "COMMIT");
    must(one, "BEGIN; SELECT count(*) FROM t WHERE age BETWEEN 15 AND 25");
    must(one, "INSERT INTO t VALUES(10, 'y', 99)");
    must(two, "INSERT INTO t VALUES(5, 'e', 22)");
    assert_int_equal(run(one, "COMMIT"), SQLITE_BUSY_SNAPSHOT);
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

/* Outside a transaction a statement sees one state, also the rows that it finds by an index. */
static void
an_open_statement_on_an_index_keeps_its_snapshot(void **state)
{
    sqlite3 *one = open_users(""), *two = open_users("");
    sqlite3_stmt *select;

    (void)state;
    must(one, "INSERT INTO t VALUES(1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
    select = prepare(one, "SELECT name || age FROM t WHERE age > 0 ORDER BY age");
    assert_row(select, "a1");
    must(two, "UPDATE t SET name = name || 'x', age = age + 10; DELETE FROM t WHERE id = 3");
    assert_row(select, "b2");
    assert_row(select, "c3");
    assert_int_equal(sqlite3_step(select), SQLITE_DONE);
    sqlite3_finalize(select);
    assert_string_equal(ask(one, "SELECT group_concat(name || age) FROM t"), "ax11,bx12");
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

static void
rows_that_a_statement_stands_on_stay_while_its_transaction_writes(void **state)
{
    sqlite3 *db = open_users("");
    sqlite3_stmt *select;

    (void)state;
    must(db,
         "INSERT INTO t VALUES(1, 'a', 1), (2, 'b', 2); BEGIN; INSERT INTO t VALUES(3, 'c', 3)");
    select = prepare(db, "SELECT name || age || id FROM t WHERE age >= 2");
    assert_int_equal(sqlite3_step(select), SQLITE_ROW);
    must(db, "DELETE FROM t; INSERT INTO t VALUES(7, 'new', 2)");
    assert_string_equal((const char *)sqlite3_column_text(select, 0), "b22");
    sqlite3_finalize(select);
    must(db, "ROLLBACK");
    assert_string_equal(ask(db, "SELECT count(*) FROM t WHERE age > 0"), "2");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
call_n(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const unsigned *dice = sqlite3_user_data(context);

    (void)argc;
    (void)argv;
    sqlite3_result_int(context, 1 + (int)((*dice >> 24) % 40));
}

/*
 * Goal: a statement that walks over an index while its connection changes the rows before it ends
 * without an error. Method: after each row, in a transaction and outside, a random change.
 */
static void
a_walk_over_an_index_survives_changes_of_its_connection(void **state)
{
    static const char *const changes[] = {
        "DELETE FROM t WHERE id = n()",
        "UPDATE t SET age = age + 5 WHERE id = n()",
        "UPDATE OR REPLACE t SET id = id + 7 WHERE id = n()",
        "INSERT OR IGNORE INTO t VALUES(n(), hex(randomblob(4)), 13)",
        "SAVEPOINT s; DELETE FROM t WHERE id >= n(); ROLLBACK TO s; RELEASE s",
    };
    static const char *const walks[] = {
        "SELECT id, name, age FROM t WHERE age >= 2 ORDER BY age",
        "SELECT id, name, age FROM t WHERE age IN (8, 2, 3, 13) ORDER BY age DESC",
        "SELECT id, age FROM t WHERE age IN (SELECT age + 1 FROM t) ORDER BY age",
    };
    sqlite3 *db = open_users(", sync=off");
    unsigned dice = 1;

    (void)state;
    assert_int_equal(sqlite3_create_function(db, "n", 0, SQLITE_UTF8, &dice, call_n, NULL, NULL),
                     SQLITE_OK);
    for (int round = 0; round < 60; round++) {
        sqlite3_stmt *select;
        int rc, rows = 0;

        must(db, "DELETE FROM t; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
                 "WHERE i < 30) INSERT INTO t SELECT i, 'n' || i, i % 10 FROM c");
        if (round % 2 == 0)
            must(db, "BEGIN");
        select = prepare(db, walks[round / 2 % 3]);
        while ((rc = sqlite3_step(select)) == SQLITE_ROW && rows++ < 200) {
            dice = dice * 1103515245 + 12345;
            must(db, changes[(dice >> 16) % 5]);
            assert_non_null(sqlite3_column_text(select, 1));
        }
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            fail_msg("round %d: %s (%d)", round, sqlite3_errmsg(db), rc);
        sqlite3_finalize(select);
        if (round % 2 == 0)
            must(db, "COMMIT");
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
call_always(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    sqlite3_result_int(context, 1);
}

/*
 * Goal: where an application has put functions of its own in the place of glob() and like(), a
 * pattern is no range. Method: the same queries before and after.
 */
static void
a_replaced_function_of_patterns_sees_all_rows(void **state)
{
    static const char *const queries[] = {
        "SELECT count(*) FROM p WHERE code GLOB '1*'",
        "SELECT count(*) FROM p WHERE code GLOB (SELECT 'a*')",
        "SELECT count(*) FROM p WHERE name LIKE '1%'",
    };
    sqlite3 *db = open_users("");
    char sql[TEXT_BYTES];

    (void)state;
    (void)snprintf(
        sql, sizeof sql,
        "CREATE VIRTUAL TABLE temp.p USING txkv('%s/%u', table=p, code TEXT PRIMARY KEY, "
        "name TEXT COLLATE NOCASE UNIQUE)",
        dir, stores);
    must(db, sql);
    must(db, "INSERT INTO p VALUES('1', '1x'), ('10', 'b'), ('a', '1'), ('b', NULL)");
    assert_int_equal(ask_number(db, queries[0]), 2);
    assert_int_equal(ask_number(db, queries[1]), 1);
    assert_int_equal(ask_number(db, queries[2]), 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sqlite3_create_function(db, i == 0 ? "glob" : "like", 2, SQLITE_UTF8, NULL,
                                                 call_always, NULL, NULL),
                         SQLITE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask_number(db, queries[i]), 4);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The index and the table tell the same story. */
static void
check_indexes(sqlite3 *db, long n)
{
    if (ask_number(db, "SELECT (SELECT count(*) FROM t WHERE age IS NULL OR age < 9e9) = "
                       "(SELECT count(*) FROM (SELECT rowid, name, age FROM t ORDER BY id)) AND "
                       "NOT EXISTS (SELECT 1 FROM t AS a WHERE NOT EXISTS "
                       "(SELECT 1 FROM t AS b WHERE b.name = a.name AND b.id = a.id))") != 1)
        fail_msg("allocation %ld: an index has other rows than its table", n);
}

/*
 * Goal: a row and its entries are written together or not at all. Method: the n-th allocation of
 * the store fails, for every n that a statement of each kind reaches.
 */
static void
no_failed_allocation_leaves_an_index_behind_its_table(void **state)
{
    static const char *const statements[] = {
        "INSERT INTO t VALUES(NULL, 'new', 5)",
        "INSERT OR FAIL INTO t VALUES(NULL, 'new too', 5), (NULL, 'and this', 6)",
        "REPLACE INTO t VALUES(2, 'a', 7)",
        "UPDATE t SET id = id + 100, age = age + 1 WHERE name = 'b'",
        "UPDATE t SET name = name || '!' WHERE age = 8",
        "DELETE FROM t WHERE age = 3",
    };
    sqlite3 *db = open_users(", sync=off");

    (void)state;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        for (long n = 1; n < 60; n++) {
            must(db, "DELETE FROM t; INSERT INTO t VALUES(1, 'a', 3), (2, 'c', 3), (3, 'b', 8)");
            tx_mem_fail_at((uint64_t)n, false);
            (void)run(db, statements[i]);
            tx_mem_fail_at(0, false);
            check_indexes(db, n);
        }
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
behind_the_largest_rowid_a_free_one_is_chosen(void **state)
{
    sqlite3 *db = open_users("");

    (void)state;
    must(db, "INSERT INTO t VALUES(9223372036854775807, 'last', NULL)");
    must(db, "INSERT INTO t VALUES(NULL, 'a', NULL), (NULL, 'b', NULL)");
    assert_int_equal(ask_number(db, "SELECT count(DISTINCT id) FROM t WHERE id > 0"), 3);
    assert_int_equal(ask_number(db, "SELECT count(*) FROM t WHERE id = last_insert_rowid() AND "
                                    "name = 'b'"),
                     1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A declaration with so many columns or indexes, and its error; "" when there is none. */
static const char *
declare_many(sqlite3 *db, int columns, int indexes)
{
    static char error[TEXT_BYTES];
    sqlite3_str *sql = sqlite3_str_new(db);
    char *text;
    int rc;

    sqlite3_str_appendf(sql,
                        "CREATE VIRTUAL TABLE temp.m%d_%d USING txkv('%s/%u', id INTEGER "
                        "PRIMARY KEY",
                        columns, indexes, dir, stores);
    for (int i = 1; i < columns; i++)
        sqlite3_str_appendf(sql, ", c%d", i);
    for (int i = 0; i < indexes; i++)
        sqlite3_str_appendf(sql, ", INDEX(c%d, c%d)", 1 + i / 8, 20 + i % 8);
    sqlite3_str_appendall(sql, ")");
    text = sqlite3_str_finish(sql);
    rc = run(db, text);
    (void)snprintf(error, sizeof error, "%s", rc == SQLITE_OK ? "" : sqlite3_errmsg(db));
    sqlite3_free(text);
    return error;
}

static void
more_columns_or_indexes_than_there_can_be_are_refused(void **state)
{
    sqlite3 *db = open_users("");

    (void)state;
    assert_string_equal(declare_many(db, 1990, 0), "");
    assert_string_equal(declare_many(db, 2001, 0), "too many columns on m2001_0"); /* SQLite's */
    assert_string_equal(declare_many(db, 100, 62), "");
    assert_string_equal(declare_many(db, 100, 63), "txkv: a table has at most 62 indexes");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(errors_have_the_extended_codes_of_a_native_table, use_new_store),
        cmocka_unit_test_setup(behind_the_largest_rowid_a_free_one_is_chosen, use_new_store),
        cmocka_unit_test_setup(more_columns_or_indexes_than_there_can_be_are_refused,
                               use_new_store),
        cmocka_unit_test_setup(two_transactions_cannot_add_the_same_unique_value, use_new_store),
        cmocka_unit_test_setup(a_phantom_in_an_indexs_range_is_a_conflict, use_new_store),
        cmocka_unit_test_setup(an_open_statement_on_an_index_keeps_its_snapshot, use_new_store),
        cmocka_unit_test_setup(rows_that_a_statement_stands_on_stay_while_its_transaction_writes,
                               use_new_store),
        cmocka_unit_test_setup(a_walk_over_an_index_survives_changes_of_its_connection,
                               use_new_store),
        cmocka_unit_test_setup(a_replaced_function_of_patterns_sees_all_rows, use_new_store),
        cmocka_unit_test_setup(no_failed_allocation_leaves_an_index_behind_its_table,
                               use_new_store),
    };
    int rc;

    if (!fixture_start())
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return rc;
}
