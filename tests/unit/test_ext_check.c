/*
 * test_ext_check.c - damage of a store that txkv_check finds.
 *
 * It is planted through the C API, in tables that SQL has made, or in the file itself.
 */
#include "table_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

/* One committed write from C; a value NULL deletes. */
static void
plant(uint32_t table, const char *key, size_t key_bytes, const char *value, size_t value_bytes)
{
    const struct txkv_bytes k = { (const uint8_t *)key, key_bytes };
    const struct txkv_bytes v = { (const uint8_t *)value, value_bytes };

    OK(txkv_begin(session, &err));
    if (value == NULL)
        OK(txkv_delete(session, table, k, &err));
    else
        OK(txkv_put(session, table, k, v, &err));
    OK(txkv_commit(session, TXKV_SYNC_OFF, &err));
}

static const char *
problems(sqlite3 *db)
{
    return ask(db, with_dir("SELECT txkv_check('@') ->> 'problems'"));
}

static sqlite3 *
open_damaged(void)
{
    sqlite3 *db = open_db();

    must(db, with_dir(declared));
    must(db, "INSERT INTO u VALUES(2, 'y'), (3, NULL)");
    open_store();
    assert_string_equal(problems(db), "[]");
    assert_int_equal(ask_number(db, with_dir("SELECT txkv_check('@') ->> 'index_entries'")), 6);
    return db;
}

static void
expect_problem(sqlite3 *db, long count, const char *part)
{
    const char *found;

    assert_int_equal(ask_number(db, with_dir("SELECT txkv_check('@') ->> 'problem_count'")), count);
    found = problems(db);
    if (strstr(found, part) == NULL)
        fail_msg("%s: %s", part, found);
}

static void
an_index_entry_that_was_removed_is_found(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    plant(number_of("u\x01"
                    "1"),
          "\x20x\0", 3, NULL, 0);
    expect_problem(db, 2, "table u, key 1: the row has no entry");
    assert_non_null(strstr(problems(db), "not as many entries"));
    close_both(db);
}

static void
an_index_entry_without_a_row_is_found(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    plant(number_of("u\x01"
                    "2"),
          "\x20q\0\x15\x09", 5, "", 0); /* of a row 9 */
    expect_problem(db, 2, "table u, key 9: an index has an entry for a row that is not there");
    close_both(db);
}

static void
an_entry_of_another_value_and_a_row_twice_in_a_unique_index_are_found(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    plant(number_of("u\x01"
                    "1"),
          "\x20x\0", 3, "\x15\x02", 2); /* x is row 2's */
    expect_problem(db, 2, "table u, key 1: another row has the entry of a UNIQUE index");
    assert_non_null(strstr(problems(db), "key 2: an index has an entry that is not of the row"));
    close_both(db);
}

/* A REPLACE removes the row that an entry of a UNIQUE index names. */
static void
an_entry_that_names_no_row_is_damage_to_who_writes(void **state)
{
    static const char longest[TXKV_KEY_BYTES_MAX + 1];
    sqlite3 *db = open_damaged();

    (void)state;
    for (size_t bytes = 0; bytes <= sizeof longest; bytes += sizeof longest) {
        plant(number_of("u\x01"
                        "1"),
              "\x20x\0", 3, longest, bytes);
        assert_int_equal(run(db, "REPLACE INTO u VALUES(5, 'x')"), SQLITE_CORRUPT_VTAB);
        assert_string_equal(sqlite3_errmsg(db),
                            "u: a row is damaged: restore the store from a backup");
    }
    close_both(db);
}

static void
a_row_whose_bytes_were_changed_is_found(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    plant(number_of("u"), "\x15\x02", 2, "\x08\x00\xff\xff", 4); /* 2: a text beyond the end */
    expect_problem(db, 1, "table u, key 2: the row is damaged");
    assert_int_equal(run(db, "SELECT * FROM u WHERE id = 2"), SQLITE_CORRUPT_VTAB);
    plant(number_of("kv"), "\x20k", 2, "\x04\x09", 2);
    expect_problem(db, 2, "table kv, key 'k': the row is damaged");
    assert_string_equal(ask(db, "SELECT txkv_check('kv') ->> 'problem_count'"), "1");
    close_both(db);
}

static void
an_index_without_its_table_and_a_table_without_its_index_are_found(void **state)
{
    sqlite3 *db = open_damaged();
    uint32_t table;

    (void)state;
    table = number_of("u\x01"
                      "2");
    OK(txkv_table_drop(store, &table, 1, &err));
    expect_problem(db, 1, "table u: one of its indexes is missing");
    table = number_of("u");
    OK(txkv_table_drop(store, &table, 1, &err));
    expect_problem(db, 1, "table u: an index of it is there, and the table is not");
    close_both(db);
}

/* As a process leaves it that is killed while it makes the table: it has no rows yet. */
static void
a_table_that_was_not_made_to_the_end_is_in_order(void **state)
{
    sqlite3 *db = open_damaged();
    uint32_t index;

    (void)state;
    must(db, with_dir("CREATE VIRTUAL TABLE temp.begun USING txkv('@', a, b, INDEX(a))"));
    index = number_of("begun\x01"
                      "1");
    OK(txkv_table_drop(store, &index, 1, &err));
    must(db, "DROP TABLE begun");
    assert_string_equal(problems(db), "[]");
    must(db, with_dir("CREATE VIRTUAL TABLE temp.begun USING txkv('@')"));
    must(db, "INSERT INTO begun VALUES(1, 2), (3, 4)");
    assert_string_equal(problems(db), "[]");
    close_both(db);
}

/* Exchange the first bytes that are `a` with the first that are `b`, of equal length, in data.mdb.
 */
static void
exchange_in_file(const char *a, const char *b)
{
    const size_t bytes = strlen(a);
    char path[TEXT_BYTES + 16];
    uint8_t *map, *at_a, *at_b;
    off_t size;
    int fd;

    (void)snprintf(path, sizeof path, "%s/data.mdb", store_dir());
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    size = lseek(fd, 0, SEEK_END);
    map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    at_a = memmem(map, (size_t)size, a, bytes);
    at_b = memmem(map, (size_t)size, b, bytes);
    assert_true(at_a != NULL && at_b != NULL);
    if (at_a != NULL && at_b != NULL) { /* as the analyzer cannot know */
        memcpy(at_a, b, bytes);
        memcpy(at_b, a, bytes);
    }
    assert_int_equal(munmap(map, (size_t)size), 0);
    assert_int_equal(close(fd), 0);
}

static void
keys_that_were_exchanged_in_the_file_are_found(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('swapped-1', 1), ('swapped-2', 2), ('swapped-3', 3)");
    must(db, "SELECT txkv_checkpoint('kv')");
    exchange_in_file("swapped-1", "swapped-3");
    expect_problem(db, 2, "has a key out of order (database table-");
    sqlite3_close(db);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(run(db, with_dir("SELECT txkv_check('@')")), SQLITE_CORRUPT_VTAB);
    assert_non_null(strstr(sqlite3_errmsg(db), "rescue what can be read"));
    sqlite3_close(db);
}

static void
the_list_of_problems_is_bounded_and_their_number_is_not(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    must(db, "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 259) "
             "INSERT INTO u SELECT i, 'n' || i FROM n");
    must(db, "DELETE FROM kv");
    OK(txkv_begin(session, &err));
    for (int i = 10; i < 260; i++) {
        char key[16];
        const int bytes = snprintf(key, sizeof key, "\x20n%d", i);

        OK(txkv_delete(session,
                       number_of("u\x01"
                                 "1"),
                       (struct txkv_bytes){ (const uint8_t *)key, (size_t)bytes + 1 }, &err));
    }
    OK(txkv_commit(session, TXKV_SYNC_OFF, &err));
    assert_int_equal(ask_number(db, with_dir("SELECT txkv_check('@') ->> 'problem_count'")), 251);
    assert_int_equal(
        ask_number(db, with_dir("SELECT json_array_length(txkv_check('@'), '$.problems')")), 100);
    close_both(db);
}

/* ---- PRAGMA integrity_check ---- */

/* It asks virtual tables from 3.44 on, and this extension if its headers are of that age too. */
static bool
integrity_check_asks(void)
{
    return sqlite3_libversion_number() >= 3044000;
}

/* The whole answer begins so, or is "ok" from a SQLite that does not ask. */
static void
expect_integrity(sqlite3 *db, const char *pragma, const char *begin)
{
    const char *answer = ask(db, pragma);

    if (!integrity_check_asks())
        begin = "ok";
    if (strncmp(answer, begin, strlen(begin)) != 0)
        fail_msg("%s: %s, and not %s", pragma, answer, begin);
}

static void
integrity_check_is_quiet_about_what_is_in_order_and_about_the_own_transaction(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
    assert_string_equal(ask(db, "PRAGMA quick_check"), "ok");
    must(db, "BEGIN; INSERT INTO u VALUES(7, 'seven'); DELETE FROM u WHERE id = 2");
    assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
    must(db, "COMMIT");
    assert_string_equal(ask(db, "SELECT count(*) || ' ' || sum(id) FROM u"), "3 11");
    close_both(db);
}

static void
integrity_check_finds_what_txkv_check_finds_and_quick_check_does_not_look(void **state)
{
    sqlite3 *db = open_damaged();

    (void)state;
    plant(number_of("u\x01"
                    "1"),
          "\x20x\0", 3, NULL, 0);
    expect_integrity(db, "PRAGMA integrity_check",
                     "temp.u: \"table u, key 1: the row has no entry in one of its indexes\",");
    assert_string_equal(ask(db, "PRAGMA integrity_check(kv)"), "ok");
    assert_string_equal(ask(db, "PRAGMA quick_check"), "ok");
    close_both(db);
}

static void
integrity_check_names_a_table_that_was_dropped_from_the_store(void **state)
{
    sqlite3 *db = open_damaged(), *other = open_db();

    (void)state;
    must(other, "SELECT txkv_drop('kv', 'u')");
    expect_integrity(db, "PRAGMA integrity_check", "temp.u: \"the table was dropped");
    sqlite3_close(other);
    close_both(db);
}

static void
integrity_check_finds_damage_of_the_file(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('swapped-1', 1), ('swapped-2', 2), ('swapped-3', 3)");
    must(db, "SELECT txkv_checkpoint('kv')");
    exchange_in_file("swapped-1", "swapped-3");
    expect_integrity(db, "PRAGMA integrity_check", "temp.kv: \"table of the store: ");
    sqlite3_close(db);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, use_new_store)
    const struct CMUnitTest tests[] = {
        TEST(an_index_entry_that_was_removed_is_found),
        TEST(an_index_entry_without_a_row_is_found),
        TEST(an_entry_of_another_value_and_a_row_twice_in_a_unique_index_are_found),
        TEST(an_entry_that_names_no_row_is_damage_to_who_writes),
        TEST(a_row_whose_bytes_were_changed_is_found),
        TEST(an_index_without_its_table_and_a_table_without_its_index_are_found),
        TEST(a_table_that_was_not_made_to_the_end_is_in_order),
        TEST(keys_that_were_exchanged_in_the_file_are_found),
        TEST(the_list_of_problems_is_bounded_and_their_number_is_not),
        TEST(integrity_check_is_quiet_about_what_is_in_order_and_about_the_own_transaction),
        TEST(integrity_check_finds_what_txkv_check_finds_and_quick_check_does_not_look),
        TEST(integrity_check_names_a_table_that_was_dropped_from_the_store),
        TEST(integrity_check_finds_damage_of_the_file),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests_name("txkv_check", tests, NULL, NULL);
    fixture_end();
    return failed;
}
