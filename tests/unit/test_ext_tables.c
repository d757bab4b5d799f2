/*
 * test_ext_tables.c - tables in a store from SQL: renames that come and go with the transaction,
 * drops under open tables, shapes that somebody else has written, and what schemas may use.
 */
#include "table_fixture.h"

/* The tables in the store, indexes by their names: "kv u u#1 ". */
static const char *
names(void)
{
    static char text[TEXT_BYTES];
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;

    text[0] = '\0';
    while (txkv_table_next(store, &number, name)) {
        for (char *p = name; *p != '\0'; p++)
            *p = (char)(*p == '\x01' ? '#' : *p);
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", name);
    }
    return text;
}

/* ---- renaming ---- */

static void
a_rename_reaches_the_store_with_the_commit_and_not_before(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, with_dir(declared));
    open_store();
    must(db, "BEGIN; ALTER TABLE u RENAME TO v");
    assert_string_equal(names(), "kv u u#1 u#2 ");
    assert_string_equal(ask(db, "SELECT id FROM v WHERE n = 'x'"), "1");
    must(db, "INSERT INTO v VALUES(2, 'y'); ROLLBACK");
    assert_string_equal(names(), "kv u u#1 u#2 ");
    assert_string_equal(ask(db, "SELECT count(*) FROM u"), "1");
    must(db, "BEGIN; ALTER TABLE u RENAME TO v; INSERT INTO v VALUES(2, 'y'); COMMIT");
    assert_string_equal(names(), "kv v v#1 v#2 ");
    must(db, "ALTER TABLE v RENAME TO w");
    assert_string_equal(names(), "kv w w#1 w#2 ");
    assert_string_equal(ask(db, "SELECT id FROM w WHERE n = 'y'"), "2");
    close_both(db);
}

static void
savepoints_take_renames_back_one_by_one(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    open_store();
    must(db, "BEGIN; ALTER TABLE kv RENAME TO k1; SAVEPOINT a; ALTER TABLE k1 RENAME TO k2;"
             "SAVEPOINT b; ALTER TABLE k2 RENAME TO k3");
    must(db, "INSERT INTO k3 VALUES(1, 1); ROLLBACK TO b");
    assert_string_equal(ask(db, "SELECT count(*) FROM k2"), "0");
    must(db, "RELEASE b; ROLLBACK TO a; RELEASE a");
    assert_string_equal(ask(db, "SELECT count(*) FROM k1"), "0");
    must(db, "COMMIT");
    assert_string_equal(names(), "k1 ");
    must(db, "SAVEPOINT a; ALTER TABLE k1 RENAME TO k2; RELEASE a");
    assert_string_equal(names(), "k2 ");
    must(db, "SAVEPOINT a; SAVEPOINT b; ALTER TABLE k2 RENAME TO k3; RELEASE b; ROLLBACK TO a;"
             "RELEASE a");
    assert_string_equal(names(), "k2 ");
    assert_string_equal(ask(db, "SELECT count(*) FROM k2"), "0");
    close_both(db);
}

static int
veto(void *arg)
{
    (void)arg;
    return 1;
}

static void
a_commit_that_fails_behind_xsync_gives_the_old_name_back(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    open_store();
    (void)sqlite3_commit_hook(db, veto, NULL);
    assert_int_equal(run(db, "CREATE TABLE native(a); BEGIN"), SQLITE_CONSTRAINT_COMMITHOOK);
    must(db, "BEGIN; ALTER TABLE kv RENAME TO k1; CREATE TABLE native(a)");
    assert_int_equal(run(db, "COMMIT"), SQLITE_CONSTRAINT_COMMITHOOK);
    assert_true(sqlite3_get_autocommit(db));
    assert_string_equal(names(), "kv ");
    assert_string_equal(ask(db, "SELECT count(*) FROM kv"), "0");
    (void)sqlite3_commit_hook(db, NULL, NULL);
    must(db, "ALTER TABLE kv RENAME TO k2");
    assert_string_equal(names(), "k2 ");
    close_both(db);
}

/* SQLite reads the schema anew behind a COMMIT that was refused and can be repeated. */
static void
a_renamed_table_is_found_between_two_tries_of_a_commit(void **state)
{
    char file[TEXT_BYTES];
    sqlite3 *db, *reader;

    (void)state;
    (void)snprintf(file, sizeof file, "%s/%u.db", dir, stores);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_open(file, &reader), SQLITE_OK);
    must(db, with_dir("CREATE VIRTUAL TABLE main.t USING txkv('@', id INTEGER PRIMARY KEY, a INT);"
                      "CREATE TABLE n(x); INSERT INTO t VALUES(1, 2)"));
    must(reader, "BEGIN; SELECT count(*) FROM n");
    must(db, "BEGIN; ALTER TABLE t RENAME TO u; INSERT INTO n VALUES(1)");
    assert_int_equal(run(db, "COMMIT"), SQLITE_BUSY);
    must(db, "ALTER TABLE n RENAME TO m");
    assert_string_equal(ask(db, "SELECT a FROM u"), "2");
    must(reader, "COMMIT");
    must(db, "COMMIT");
    assert_string_equal(ask(db, "SELECT a FROM u"), "2");
    sqlite3_close(reader);
    sqlite3_close(db);
}

static void
names_can_be_exchanged_in_a_transaction_and_not_taken_twice(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, with_dir(declared));
    must(db, "INSERT INTO kv VALUES('a', 'of kv')");
    open_store();
    must(db, "BEGIN; ALTER TABLE kv RENAME TO t; ALTER TABLE u RENAME TO kv;"
             "ALTER TABLE t RENAME TO u; INSERT INTO u VALUES('b', 2); COMMIT");
    assert_string_equal(names(), "u kv kv#1 kv#2 ");
    assert_string_equal(ask(db, "SELECT count(*) FROM u"), "2");
    assert_string_equal(ask(db, "SELECT id FROM kv WHERE n = 'x'"), "1");
    must(db, with_dir("CREATE VIRTUAL TABLE temp.other USING txkv('@', table=taken)"));
    assert_int_equal(run(db, "ALTER TABLE u RENAME TO taken"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "another table taken"));
    must(db, "BEGIN; ALTER TABLE u RENAME TO free");
    assert_int_equal(run(db, with_dir("CREATE VIRTUAL TABLE temp.u USING txkv('@')")),
                     SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "COMMIT first"));
    must(db, "COMMIT");
    assert_string_equal(names(), "free kv kv#1 kv#2 taken ");
    /* The name went away between xRename and the COMMIT. */
    must(db, "BEGIN; ALTER TABLE free RENAME TO late");
    OK(txkv_table(store, "late", "", true, &(uint32_t){ 0 }, &err));
    assert_int_equal(run(db, "COMMIT"), SQLITE_CANTOPEN);
    assert_true(sqlite3_get_autocommit(db));
    assert_string_equal(ask(db, "SELECT count(*) FROM free"), "2");
    close_both(db);
}

static void
other_connections_go_on_until_they_connect_anew(void **state)
{
    sqlite3 *db = open_db(), *other = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1); ALTER TABLE kv RENAME TO k1");
    must(other, "INSERT INTO kv VALUES('b', 2)");
    assert_string_equal(ask(db, "SELECT count(*) FROM k1"), "2");
    /* A rollback of a schema change makes SQLite connect the tables again. */
    must(other, "BEGIN; CREATE TEMP TABLE t(a); ROLLBACK");
    assert_int_equal(run(other, "SELECT * FROM kv"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(other), "dropped or renamed there"));
    must(db, "ALTER TABLE k1 RENAME TO kv");
    assert_string_equal(ask(other, "SELECT count(*) FROM kv"), "2");
    sqlite3_close(other);
    sqlite3_close(db);
}

/* ---- dropping ---- */

static void
a_drop_takes_the_indexes_along_and_open_scans_go_on(void **state)
{
    sqlite3 *db = open_db(), *other = open_db();
    sqlite3_stmt *scan;

    (void)state;
    must(db, with_dir(declared));
    must(db, "INSERT INTO u VALUES(2, 'y')");
    open_store();
    scan = prepare(db, "SELECT n FROM u ORDER BY n");
    assert_row(scan, "x");
    must(other, with_dir("SELECT txkv_drop('@', 'u')"));
    assert_string_equal(names(), "kv ");
    assert_row(scan, "y");
    assert_int_equal(sqlite3_step(scan), SQLITE_DONE);
    sqlite3_finalize(scan);
    assert_int_equal(run(db, "SELECT n FROM u"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "table u was dropped"));
    assert_int_equal(run(db, "INSERT INTO u VALUES(3, 'z')"), SQLITE_ERROR);
    assert_int_equal(run(db, "SELECT txkv_check('u')"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "u: the table was dropped"));
    must(db, "DROP TABLE u");
    must(db, with_dir(declared));
    assert_string_equal(ask(db, "SELECT group_concat(n) FROM u"), "x");
    close_store();
    sqlite3_close(other);
    sqlite3_close(db);
}

static void
a_transaction_on_a_dropped_table_fails_at_its_commit(void **state)
{
    sqlite3 *db = open_db(), *other = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1); BEGIN; INSERT INTO kv VALUES('b', 2)");
    assert_int_equal(run(db, with_dir("SELECT txkv_drop('@', 'kv')")), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "inside a transaction"));
    must(other, with_dir("SELECT txkv_drop('kv', 'kv')"));
    assert_string_equal(ask(db, "SELECT count(*) FROM kv"), "2"); /* its snapshot */
    assert_int_equal(run(db, "COMMIT"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "table kv was dropped"));
    assert_true(sqlite3_get_autocommit(db));
    sqlite3_close(other);
    sqlite3_close(db);
}

/* ---- shapes that somebody else has written ---- */

static void
a_stored_shape_is_never_run_as_sql(void **state)
{
    static const char *const hostile[] = {
        "a); DROP TABLE victim; --",
        "a); DROP TABLE main.victim; CREATE TABLE x(b",
        "CREATE TABLE x(key PRIMARY KEY, value) WITHOUT ROWID; DROP TABLE victim",
        "a DEFAULT (load_extension('evil'))",
        "a CHECK(writefile('/tmp/evil', 'x'))",
        "a TEXT GENERATED ALWAYS AS (hex(randomblob(9)))",
        "a REFERENCES victim ON DELETE CASCADE",
        "\"a",
        "a \"T); DROP TABLE victim; --\"",
        "a TEXT)) WITHOUT ROWID; DELETE FROM victim; --",
        "",
        ",",
        "a,",
        "\xff\xfe",
        "a INT PRIMARY KEY, a INT",
        "(SELECT 1)",
        "a COLLATE \"); DROP TABLE victim\"",
        "PRIMARY KEY(a)",
        "index",
    };
    sqlite3 *db = open_db();

    (void)state;
    must(db, "CREATE TABLE victim(a); INSERT INTO victim VALUES(1)");
    open_store();
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        char sql[2 * TEXT_BYTES], name[16];
        uint32_t number;
        int rc;

        (void)snprintf(name, sizeof name, "evil%zu", i);
        OK(txkv_table(store, name, hostile[i], true, &number, &err));
        (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.e%zu USING txkv('%s', table=%s)",
                       i, store_dir(), name);
        rc = run(db, sql);
        if (rc != SQLITE_ERROR && (rc != SQLITE_OK || strcmp(hostile[i], "index") != 0))
            fail_msg("%s: %d", hostile[i], rc);
        assert_string_equal(ask(db, "SELECT count(*) FROM victim"), "1");
    }
    close_both(db);
}

static void
a_stored_column_name_is_only_a_name(void **state)
{
    static const char *const shape =
        "\"a\"\"); DROP TABLE victim; --\" TEXT, \"b'); SELECT 1\" INT, PRIMARY KEY(\"a\"\"); DROP "
        "TABLE victim; --\")";
    sqlite3 *db = open_db();
    uint32_t number;

    (void)state;
    must(db, "CREATE TABLE victim(a)");
    open_store();
    OK(txkv_table(store, "odd", shape, true, &number, &err));
    must(db, with_dir("CREATE VIRTUAL TABLE temp.odd USING txkv('@')"));
    must(db, "INSERT INTO odd VALUES('k', 7)");
    assert_string_equal(ask(db, "SELECT group_concat(name, '|') FROM pragma_table_info('odd')"),
                        "a\"); DROP TABLE victim; --|b'); SELECT 1");
    assert_string_equal(ask(db, with_dir("SELECT row FROM txkv_scan('@', 'odd')")),
                        "{\"a\\\"); DROP TABLE victim; --\":\"k\",\"b'); SELECT 1\":7}");
    assert_string_equal(ask(db, "SELECT count(*) FROM victim"), "0");
    assert_string_equal(ask(db, with_dir("SELECT txkv_check('@') ->> 'problems'")), "[]");
    close_both(db);
}

/* ---- what schemas may use ---- */

static void
a_schema_may_use_tables_when_it_is_trusted_and_never_what_names_a_path(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, with_dir("CREATE VIRTUAL TABLE main.m USING txkv('@', table=kv)"));
    must(db, "INSERT INTO m VALUES('a', 1); CREATE TABLE n(a);"
             "CREATE VIEW v AS SELECT * FROM m;"
             "CREATE TRIGGER t AFTER INSERT ON n BEGIN INSERT INTO m VALUES(NEW.a, 0); END");
    must(db, "INSERT INTO n VALUES('b')");
    assert_string_equal(ask(db, "SELECT group_concat(key) FROM v"), "a,b");
    must(db, "PRAGMA trusted_schema = OFF");
    assert_int_equal(run(db, "SELECT * FROM v"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "unsafe use of virtual table"));
    assert_int_equal(run(db, "INSERT INTO n VALUES('c')"), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(db), "unsafe use of virtual table"));
    assert_string_equal(ask(db, "SELECT count(*) FROM m"), "2");
    must(db, "PRAGMA trusted_schema = ON");
    must(db, with_dir("CREATE VIEW w1 AS SELECT * FROM txkv_scan('@', 'kv');"
                      "CREATE VIEW w2 AS SELECT * FROM txkv_tables('@')"));
    must(db, with_dir("CREATE VIEW w3 AS SELECT txkv_check('@');"
                      "CREATE VIEW w4 AS SELECT txkv_drop('@', 'kv')"));
    for (int i = 1; i <= 4; i++) {
        char sql[32];

        (void)snprintf(sql, sizeof sql, "SELECT * FROM w%d", i);
        assert_int_equal(run(db, sql), SQLITE_ERROR);
        assert_non_null(strstr(sqlite3_errmsg(db), "unsafe use of"));
    }
    assert_string_equal(ask(db, "SELECT count(*) FROM m"), "2");
    sqlite3_close(db);
}

static void
a_defensive_connection_commits_and_keeps_the_table_of_prepared_commits(void **state)
{
    char path[TEXT_BYTES + 8];
    sqlite3 *db;

    (void)state;
    (void)snprintf(path, sizeof path, "%s.db", store_dir());
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    must(db, with_dir("CREATE VIRTUAL TABLE txkv USING txkv('@'); CREATE TABLE native(a)"));
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL), SQLITE_OK);
    must(db, "BEGIN; INSERT INTO txkv VALUES(1, 1); INSERT INTO native VALUES(1); COMMIT");
    must(db, "INSERT INTO txkv VALUES(2, 2)");
    assert_string_equal(ask(db, "SELECT count(*) FROM txkv"), "2");
    assert_string_equal(ask(db, "SELECT count(*) FROM txkv_prepared"), "1");
    assert_int_equal(run(db, "DELETE FROM txkv_prepared"), SQLITE_ERROR);
    assert_int_equal(run(db, "DROP TABLE txkv_prepared"), SQLITE_ERROR);
    assert_string_equal(ask(db, "SELECT type FROM pragma_table_list WHERE name = 'txkv_prepared'"),
                        "shadow");
    sqlite3_close(db);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, use_new_store)
    const struct CMUnitTest tests[] = {
        TEST(a_rename_reaches_the_store_with_the_commit_and_not_before),
        TEST(savepoints_take_renames_back_one_by_one),
        TEST(a_commit_that_fails_behind_xsync_gives_the_old_name_back),
        TEST(a_renamed_table_is_found_between_two_tries_of_a_commit),
        TEST(names_can_be_exchanged_in_a_transaction_and_not_taken_twice),
        TEST(other_connections_go_on_until_they_connect_anew),
        TEST(a_drop_takes_the_indexes_along_and_open_scans_go_on),
        TEST(a_transaction_on_a_dropped_table_fails_at_its_commit),
        TEST(a_stored_shape_is_never_run_as_sql),
        TEST(a_stored_column_name_is_only_a_name),
        TEST(a_schema_may_use_tables_when_it_is_trusted_and_never_what_names_a_path),
        TEST(a_defensive_connection_commits_and_keeps_the_table_of_prepared_commits),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests_name("tables in SQL", tests, NULL, NULL);
    fixture_end();
    return failed;
}
