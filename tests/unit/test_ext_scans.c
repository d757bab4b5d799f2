/*
 * test_ext_scans.c - statements that go on while their connection and others write and commit: they
 * see one state, and never an index's entry beside a row that it is not of.
 */
#include "table_fixture.h"

static const char *const rows_of_7 =
    "INSERT INTO jobs WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 7)"
    " SELECT i, 'new', 'p' || i, i FROM n";

static sqlite3 *
open_jobs(bool fill)
{
    sqlite3 *db = open_db();

    must(db, with_dir("CREATE VIRTUAL TABLE temp.jobs USING txkv('@', id INTEGER PRIMARY KEY, "
                      "state TEXT, payload TEXT, q INT, INDEX(state), INDEX(q))"));
    if (fill)
        must(db, rows_of_7);
    return db;
}

/* What the statement's other rows are, the first column each. */
static const char *
rest_of(sqlite3_stmt *statement)
{
    static char text[TEXT_BYTES];
    int rc;

    text[0] = '\0';
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s ",
                       (const char *)sqlite3_column_text(statement, 0));
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(statement);
    return text;
}

static void
a_statement_keeps_its_state_when_its_transaction_is_over(void **state)
{
    static const char *const queries[] = {
        "SELECT payload FROM jobs WHERE state = 'new'",         /* rows of an index's entries */
        "SELECT state || id FROM jobs WHERE state > 'a'",       /* an index alone */
        "SELECT payload FROM jobs WHERE id IN (1,2,3,4,5,6,7)", /* a list */
        "SELECT b.payload FROM jobs AS a JOIN jobs AS b ON b.id = a.id WHERE a.q > 0",
        "SELECT payload FROM jobs",
    };
    static const char *const expected[] = {
        "p2 p3 p4 p5 p6 p7 ", "new2 new3 new4 new5 new6 new7 ",
        "p2 p3 p4 p5 p6 p7 ", "p2 p3 p4 p5 p6 p7 ",
        "p2 p3 p4 p5 p6 p7 ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        for (int in_transaction = 0; in_transaction < 2; in_transaction++) {
            sqlite3 *db = open_jobs(true), *other = open_jobs(false);
            sqlite3_stmt *scan;

            must(db, in_transaction ? "BEGIN" : "SELECT 1");
            scan = prepare(db, queries[i]);
            assert_int_equal(sqlite3_step(scan), SQLITE_ROW);
            must(db, "UPDATE jobs SET payload = 'own' WHERE id = 1");
            must(db, in_transaction ? "COMMIT" : "SELECT 1");
            must(other, "UPDATE jobs SET state = 'done', payload = 'finished' WHERE id > 1;"
                        "DELETE FROM jobs WHERE id > 5");
            assert_string_equal(rest_of(scan), expected[i]);
            assert_string_equal(ask(db, "SELECT payload FROM jobs WHERE id = 2"), "finished");
            must(db, "DELETE FROM jobs");
            sqlite3_close(other);
            sqlite3_close(db);
        }
    }
}

static void
an_entry_that_is_no_longer_its_rows_is_passed_over(void **state)
{
    (void)state;
    for (int ahead = 1; ahead <= 3; ahead++) {
        sqlite3 *db = open_jobs(true);
        sqlite3_stmt *scan = prepare(db, "SELECT q || payload FROM jobs WHERE q < 50 ORDER BY q");
        char sql[TEXT_BYTES];

        assert_row(scan, "1p1");
        (void)snprintf(sql, sizeof sql,
                       "UPDATE jobs SET q = q + 100, payload = 'moved' WHERE id = %d", 1 + ahead);
        must(db, sql);
        for (int i = 2; i <= 7; i++) {
            char row[TEXT_BYTES];

            (void)snprintf(row, sizeof row, "%dp%d", i, i);
            if (i != 1 + ahead)
                assert_row(scan, row);
        }
        assert_int_equal(sqlite3_step(scan), SQLITE_DONE);
        sqlite3_finalize(scan);
        must(db, "DELETE FROM jobs");
        sqlite3_close(db);
    }
}

static void
table_functions_give_their_arguments_back(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1), ('b', 2)");
    assert_string_equal(
        ask(db, with_dir("SELECT name || count(*) FROM txkv_scan('@', 'kv') WHERE name = 'kv'")),
        "kv2");
    assert_string_equal(
        ask(db, with_dir("SELECT count(*) FROM txkv_scan('@', 'kv') WHERE store = '@'")), "2");
    assert_string_equal(ask(db, with_dir("SELECT count(*) FROM txkv_tables('@') WHERE dir = '@'")),
                        "1");
    sqlite3_close(db);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, use_new_store)
    const struct CMUnitTest tests[] = {
        TEST(a_statement_keeps_its_state_when_its_transaction_is_over),
        TEST(an_entry_that_is_no_longer_its_rows_is_passed_over),
        TEST(table_functions_give_their_arguments_back),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests_name("scans beside writers in SQL", tests, NULL, NULL);
    fixture_end();
    return failed;
}
