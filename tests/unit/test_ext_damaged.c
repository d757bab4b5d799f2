/*
 * test_ext_damaged.c - rows and entries of declared tables whose bytes are wrong.
 *
 * Goal: whatever bytes stand in a table, statements that come to them fail with SQLITE_CORRUPT_VTAB
 * or pass them by, never crash, and txkv_check names the table. Method: keys and values are written
 * through the C API, where SQL would never put them; then every kind of statement runs.
 */
#include "table_fixture.h"

struct bytes {
    const char *data;
    size_t count;
};

#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

/* Under 15 03 is row 3, under 20 78 00 the text x. A value begins with the lengths of its parts. */
static const struct bytes keys[] = {
    BYTES("\x15\x03"),     BYTES("\x00"),     BYTES("\xff\xff\xff"), BYTES("\x20unended"),
    BYTES("\x15"),         BYTES("\x1d\xff"), BYTES("\x20x\0\x15"),  BYTES("\x20x\0\x15\x03"),
    BYTES("\x20x\0\x20y"), BYTES("\x08"),     BYTES("\x30\x01\x02"), BYTES("\x15\x02\x15\x02"),
    BYTES("\x20x\0"),      BYTES("\x10\x80"), BYTES("\x20\x01\xff"),
};
static const struct bytes values[] = {
    BYTES(""),
    BYTES("\x00"),
    BYTES("\xff"),
    BYTES("\x08\x00\xff\xff"),
    BYTES("\x01\x02\x03\x04\x05\x06\x07\x08"),
    BYTES("\x04\x09"),
    BYTES("\x7f\x7f\x7f"),
    BYTES("\x15\x02"),
    BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
};

static const char *const statements[] = {
    "SELECT * FROM u",
    "SELECT * FROM u ORDER BY n DESC",
    "SELECT n FROM u WHERE n = 'x'",
    "SELECT n FROM u WHERE n IN ('x', 'y', NULL)",
    "SELECT count(*) FROM u WHERE n > 'a'",
    "SELECT max(id), min(n) FROM u",
    "SELECT * FROM u WHERE id = 3",
    "INSERT INTO u VALUES(77, 'seventy', 7)",
    "UPDATE u SET n = n || '!' WHERE id = 3",
    "UPDATE OR REPLACE u SET id = id + 100",
    "REPLACE INTO u VALUES(3, 'x', 1)",
    "INSERT OR IGNORE INTO u VALUES(3, 'x', 1)",
    "DELETE FROM u WHERE n = 'x'",
    "DELETE FROM u",
};

static void
put(uint32_t table, const struct bytes *key, const struct bytes *value)
{
    OK(txkv_begin(session, &err));
    OK(txkv_put(session, table, (struct txkv_bytes){ (const uint8_t *)key->data, key->count },
                (struct txkv_bytes){ (const uint8_t *)value->data, value->count }, &err));
    OK(txkv_commit(session, TXKV_SYNC_OFF, &err));
}

/* The codes that statements on such rows may end with. */
static void
expect_sane(sqlite3 *db, int rc, const char *sql)
{
    const int primary = rc & 0xff;

    if (primary == SQLITE_CORRUPT) {
        assert_true(strlen(sqlite3_errmsg(db)) > 0);
        return;
    }
    if (primary != SQLITE_OK && primary != SQLITE_CONSTRAINT && primary != SQLITE_FULL)
        fail_msg("%s: %d: %s", sql, rc, sqlite3_errmsg(db));
}

static uint64_t
run_statements(sqlite3 *db)
{
    uint64_t corrupt = 0;

    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        int rc;

        must(db, "BEGIN");
        rc = run(db, statements[i]);
        expect_sane(db, rc, statements[i]);
        corrupt += (rc & 0xff) == SQLITE_CORRUPT;
        must(db, "ROLLBACK");
    }
    return corrupt;
}

/* Puts each wrong pair into a table (an index when it has such a name), one after the other. */
static void
try_all(const char *create, const char *part, uint64_t statements_refused_min)
{
    sqlite3 *db = open_db();
    uint64_t refused = 0, found = 0;

    open_store();
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            const char *problems;

            must(db, with_dir(create));
            must(db, "INSERT INTO u VALUES(1, 'x', 0), (2, 'y', NULL)");
            put(number_of(part), &keys[k], &values[v]);
            refused += run_statements(db);
            expect_sane(db, run(db, with_dir("SELECT row FROM txkv_scan('@', 'u')")), "txkv_scan");
            problems = ask(db, with_dir("SELECT txkv_check('@') ->> 'problems'"));
            if (strstr(problems, "table u") != NULL)
                found++;
            else
                assert_string_equal(problems, "[]"); /* a row that could be one */
            must(db, "DROP TABLE u");
            must(db, with_dir("SELECT txkv_drop('@', 'u')"));
        }
    assert_true(refused >= statements_refused_min);
    assert_true(found > sizeof keys / sizeof keys[0] * sizeof values / sizeof values[0] / 2);
    close_both(db);
}

static void
rows_with_a_rowid_are_refused_or_passed_by(void **state)
{
    (void)state;
    try_all("CREATE VIRTUAL TABLE temp.u USING txkv('@', id INTEGER PRIMARY KEY, n TEXT NOT NULL, "
            "m, UNIQUE(n))",
            "u", 100);
}

static void
rows_without_a_rowid_are_refused_or_passed_by(void **state)
{
    (void)state;
    try_all(
        "CREATE VIRTUAL TABLE temp.u USING txkv('@', id, n TEXT, m, PRIMARY KEY(n, id), INDEX(id))",
        "u", 300);
}

static void
entries_of_a_unique_index_are_refused_or_passed_by(void **state)
{
    (void)state;
    try_all("CREATE VIRTUAL TABLE temp.u USING txkv('@', id INTEGER PRIMARY KEY, n TEXT, "
            "m, UNIQUE(n))",
            "u\x01"
            "1",
            100);
}

static void
entries_of_an_index_are_refused_or_passed_by(void **state)
{
    (void)state;
    try_all("CREATE VIRTUAL TABLE temp.u USING txkv('@', id INTEGER PRIMARY KEY, n TEXT, "
            "m, INDEX(n))",
            "u\x01"
            "1",
            100);
}

/* A table that has no columns of its own. */
static void
pairs_are_refused_or_passed_by(void **state)
{
    static const char *const queries[] = {
        "SELECT * FROM kv",
        "SELECT value FROM kv WHERE key > x'00'",
        "SELECT key FROM kv ORDER BY key DESC",
        "UPDATE kv SET value = 1",
        "SELECT key, value, row FROM txkv_scan('kv', 'kv')",
    };
    sqlite3 *db = open_db();
    uint64_t found = 0;

    (void)state;
    open_store();
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            put(number_of("kv"), &keys[k], &values[v]);
            for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
                must(db, "BEGIN");
                expect_sane(db, run(db, queries[i]), queries[i]);
                must(db, "ROLLBACK");
            }
            found += ask_number(db, "SELECT txkv_check('kv') ->> 'problem_count'") > 0;
            OK(txkv_begin(session, &err));
            OK(txkv_delete(session, number_of("kv"),
                           (struct txkv_bytes){ (const uint8_t *)keys[k].data, keys[k].count },
                           &err));
            OK(txkv_commit(session, TXKV_SYNC_OFF, &err));
        }
    assert_true(found > 50);
    close_both(db);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, use_new_store)
    const struct CMUnitTest tests[] = {
        TEST(rows_with_a_rowid_are_refused_or_passed_by),
        TEST(rows_without_a_rowid_are_refused_or_passed_by),
        TEST(entries_of_a_unique_index_are_refused_or_passed_by),
        TEST(entries_of_an_index_are_refused_or_passed_by),
        TEST(pairs_are_refused_or_passed_by),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests_name("damaged rows", tests, NULL, NULL);
    fixture_end();
    return failed;
}
