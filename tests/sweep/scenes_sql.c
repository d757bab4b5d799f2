/*
 * scenes_sql.c - through SQL: tables, indexes, functions, and commits together with native tables:
 * see scene.h.
 *
 * A transaction of the ledger puts two rows into each of two tables, `one` and `two`.
 */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "scene.h"

enum { BEFORE = 3, AFTER = SCENE_TRANSACTIONS - 1, TEXT_BYTES = 2048 };

/* ---- answers ---- */

/* SQLite's own words for an error have no path. */
static bool
is_from_sqlite(int rc, const char *text)
{
    return strcmp(text, sqlite3_errstr(rc)) == 0 || strcmp(text, sqlite3_errstr(rc & 0xff)) == 0;
}

static bool
is_answer(int primary)
{
    switch (scene_cause_now()) {
    case CAUSE_NONE:
        return false;
    case CAUSE_FILE:
    case CAUSE_THREAD:
        return primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN;
    case CAUSE_SHORT:
    case CAUSE_SPACE:
        return primary == SQLITE_FULL || primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN;
    case CAUSE_HANDLES:
        return primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR;
    case CAUSE_MEMORY: /* SQLite's parser calls it a plain error here and there */
        return primary == SQLITE_NOMEM || primary == SQLITE_ERROR || primary == SQLITE_IOERR;
    }
    return false;
}

/* What the code alone does not tell: see answered() for the store's; and SQLite has taken back a
 * transaction whose statement failed, with its savepoints. */
static bool
is_answer_in_words(const char *message)
{
    static const char *const words[] = { "no memory for a map", "cannot start ",
                                         "no such savepoint", "no transaction is active",
                                         "main.txkv_prepared" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(message, words[i]) != NULL && scene_cause_now() != CAUSE_NONE)
            return true;
    return false;
}

static const char *journal_mode; /* of the file with native tables; NULL: there is none */

/* SQLite opens a file that it cannot open for writing for reading, and takes a page that it cannot
 * read for a damaged one. */
static bool
is_of_native(int rc, const char *message)
{
    return journal_mode != NULL && is_from_sqlite(rc, message) && scene_cause_now() != CAUSE_NONE &&
           ((rc & 0xff) == SQLITE_READONLY || (rc & 0xff) == SQLITE_CORRUPT ||
            (rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_NOTADB);
}

/* An error must be an answer to the cause, and say where. */
static void
judge(sqlite3 *db, int rc, const char *text)
{
    const char *message = sqlite3_errmsg(db);

    scene_state->failed = true;
    if (is_answer_in_words(message) || is_of_native(rc, message))
        return;
    if (!is_answer(rc & 0xff))
        wrong("%.100s: %d is no answer to this: %s", text, rc, message);
    if (scene_cause_now() != CAUSE_MEMORY && !is_from_sqlite(rc, message) &&
        strstr(message, scene_dir) == NULL && rc != SQLITE_IOERR_FSYNC)
        wrong("%.100s: %d does not say where: %s", text, rc, message);
}

/* Run a statement; its code. */
__attribute__((format(printf, 2, 3))) static int
run(sqlite3 *db, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    int rc;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        judge(db, rc, text);
    return rc;
}

/* The one value of a query; false when there is none. */
__attribute__((format(printf, 3, 4))) static bool
ask(sqlite3 *db, char answer[TEXT_BYTES], const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    char text[TEXT_BYTES];
    va_list args;
    bool found;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    found = sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW;
    if (found) {
        const unsigned char *value = sqlite3_column_text(statement, 0);
        (void)snprintf(answer, TEXT_BYTES, "%s", value != NULL ? (const char *)value : "");
    }
    if (!found)
        judge(db, sqlite3_errcode(db), text);
    (void)sqlite3_finalize(statement);
    return found;
}

/* ---- connections ---- */

/* NULL when it cannot be had. */
static sqlite3 *
open_file(const char *name)
{
    char path[TEST_PATH_BYTES];
    sqlite3 *db = NULL;
    int rc;

    scene_path(path, name);
    rc = sqlite3_open(name[0] == ':' ? name : path, &db);
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(db, 1);
        return db;
    }
    scene_state->failed = true;
    if (!is_answer(rc & 0xff))
        wrong("sqlite3_open: %d: %s", rc, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return NULL;
}

static void
close_file(sqlite3 *db)
{
    if (sqlite3_close(db) != SQLITE_OK)
        wrong("a connection that has no statement does not close: %s", sqlite3_errmsg(db));
}

/* ---- the ledger in SQL ---- */

static void
note(uint32_t i, int rc)
{
    if (rc == SQLITE_OK)
        scene_state->fates[i] = PRESENT;
    else if ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_NOMEM)
        scene_state->fates[i] = EITHER;
}

static void
write_both(sqlite3 *db, uint32_t i)
{
    int rc = run(db, "BEGIN");

    if (rc == SQLITE_OK)
        rc = run(db, "INSERT INTO one SELECT 'a%u', %u UNION ALL SELECT 'b%u', zeroblob(3000)", i,
                 i, i);
    if (rc == SQLITE_OK)
        rc = run(db, "REPLACE INTO two SELECT 'a%u', %u UNION ALL SELECT 'b%u', zeroblob(3000)", i,
                 i, i);
    if (rc == SQLITE_OK) {
        rc = run(db, "COMMIT");
        note(i, rc);
    }
    if (sqlite3_get_autocommit(db) == 0)
        (void)run(db, "ROLLBACK");
}

static void
check_both(sqlite3 *db)
{
    char answer[TEXT_BYTES];

    for (uint32_t i = 0; i < SCENE_TRANSACTIONS; i++) {
        const enum fate fate = scene_state->fates[i];

        if (!ask(db, answer,
                 "SELECT (SELECT count(*) FROM one WHERE key IN ('a%u', 'b%u')) || "
                 "(SELECT count(*) FROM two WHERE key IN ('a%u', 'b%u'))",
                 i, i, i, i))
            return;
        if (strcmp(answer, "22") == 0 ? fate != ABSENT
                                      : strcmp(answer, "00") == 0 && fate != PRESENT)
            continue;
        /* A native commit whose last sync failed: SQLite rolls back, and may find it later. */
        if (strcmp(answer, "02") == 0 && fate == EITHER && journal_mode != NULL)
            continue;
        if (strcmp(answer, "22") == 0)
            wrong("transaction %u failed, and is there", i);
        lost("transaction %u, fate %d: the rows of it in the two tables are %s", i, (int)fate,
             answer);
    }
}

/* ---- tables of temp ---- */

static int
create_all(sqlite3 *db)
{
    int rc =
        run(db, "CREATE VIRTUAL TABLE temp.one USING txkv('%s', map_size='16MiB')", scene_store);

    if (rc == SQLITE_OK)
        rc = run(db,
                 "CREATE VIRTUAL TABLE temp.two USING txkv('%s', key TEXT, value, "
                 "UNIQUE(key), INDEX(value))",
                 scene_store);
    if (rc == SQLITE_OK)
        rc = run(db,
                 "CREATE VIRTUAL TABLE temp.staff USING txkv('%s', id INTEGER PRIMARY KEY, "
                 "name TEXT NOT NULL COLLATE NOCASE, age INT, UNIQUE(name), INDEX(age, name))",
                 scene_store);
    return rc;
}

static void
prepare_temp(void)
{
    sqlite3 *db = open_file(":memory:");

    (void)create_all(db);
    for (uint32_t i = 0; i < BEFORE; i++)
        write_both(db, i);
    (void)run(db, "INSERT INTO staff VALUES(1, 'Ann', 9), (2, 'Bob', 7), (3, 'Cyd', NULL)");
    (void)run(db, "CREATE VIRTUAL TABLE temp.old USING txkv('%s')", scene_store);
    (void)run(db, "INSERT INTO old VALUES(1, 2)");
    close_file(db);
}

static const char *const statements[] = {
    "SELECT txkv_checkpoint('one')",
    "UPDATE staff SET age = age + 1, name = name || '!' WHERE age > 1",
    "INSERT OR IGNORE INTO staff VALUES(NULL, 'ann!', 1), (NULL, 'Dan', 4)",
    "REPLACE INTO staff VALUES(2, 'ANN!', 5)",
    "DELETE FROM staff WHERE name LIKE 'd%'",
    "INSERT INTO one VALUES(printf('long%.3000c', 'k'), 'x')",
    "UPDATE one SET key = key || '.' WHERE key >= 'long'",
    "SELECT count(*), max(age) FROM staff JOIN two ON two.key = staff.name OR age IN (1, 9)",
    "SELECT * FROM staff WHERE age IN (5, 9, NULL) ORDER BY age DESC",
    "SELECT txkv_checkpoint()",
    "DELETE FROM one WHERE key >= 'long'",
    "BEGIN",
    "INSERT INTO one VALUES('gone', 1)",
    "SAVEPOINT s",
    "INSERT INTO staff VALUES(9, 'gone', 1)",
    "ROLLBACK TO s",
    "ROLLBACK",
};

static void
run_statements(void)
{
    sqlite3 *db = open_file(":memory:");

    if (db == NULL)
        return;
    if (create_all(db) == SQLITE_OK) {
        for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
            if (run(db, "%s", statements[i]) != SQLITE_OK && strcmp(statements[i], "BEGIN") == 0)
                break;
        if (sqlite3_get_autocommit(db) == 0)
            (void)run(db, "ROLLBACK");
        write_both(db, BEFORE);
        check_both(db);
    }
    close_file(db);
}

static void
run_functions(void)
{
    char answer[TEXT_BYTES];
    sqlite3 *db = open_file(":memory:");

    if (db == NULL)
        return;
    if (create_all(db) == SQLITE_OK) {
        write_both(db, BEFORE);
        (void)run(db, "SELECT count(*) FROM txkv_log('%s')", scene_store);
        if (ask(db, answer, "SELECT txkv_check('%s') ->> 'problem_count'", scene_store) &&
            strcmp(answer, "0") != 0 && !failing_fired())
            wrong("txkv_check finds %s problems", answer);
        (void)run(db, "SELECT txkv_recover('%s')", scene_store);
        (void)run(db, "SELECT sum(value) FROM txkv_stats");
        (void)run(db, "SELECT count(*), sum(rows) FROM txkv_tables('%s')", scene_store);
        (void)run(db, "SELECT count(*) FROM txkv_scan('%s', 'staff')", scene_store);
        (void)run(db, "SELECT txkv_backup('one', '%s/backup')", scene_dir);
        (void)run(db, "SELECT txkv_drop('%s', 'old')", scene_store);
        (void)run(db, "ALTER TABLE staff RENAME TO people");
        check_both(db);
    }
    close_file(db);
}

/* A rescue leaves out, and counts, what it cannot read; the old files are kept. */
static bool is_partial;

static void
rescue(sqlite3 *db)
{
    char answer[TEXT_BYTES];

    if (ask(db, answer,
            "SELECT (j ->> 'files_skipped') + (j ->> 'page_problems') FROM "
            "(SELECT txkv_recover('%s', 'rescue') AS j)",
            scene_store))
        is_partial = is_partial || strcmp(answer, "0") != 0;
}

/* The directory is closed: what is looked at, rescued, and opened again. */
static void
run_recover(void)
{
    sqlite3 *db = open_file(":memory:");

    is_partial = false;
    if (db == NULL)
        return;
    (void)run(db, "SELECT txkv_recover('%s', 'dry-run')", scene_store);
    rescue(db);
    (void)run(db, "SELECT txkv_recover('%s')", scene_store);
    close_file(db);
}

/* Each row goes into files of all kinds, and comes back into tables of other names and stores. */
static void
run_transfer(void)
{
    static const char *const kinds[] = { "csv", "jsonl", "sql" };
    sqlite3 *db = open_file(":memory:");

    if (db == NULL)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        (void)run(db, "SELECT txkv_export('%s', '%s/all.%s'%s)", scene_store, scene_dir, kinds[i],
                  i == 0 ? ", 'table=two'" : "");
    if (scene_has("all.jsonl"))
        (void)run(db, "SELECT txkv_import('%s/other', '%s/all.jsonl', 'create=yes')", scene_dir,
                  scene_dir);
    if (scene_has("all.csv"))
        (void)run(db,
                  "SELECT txkv_import('%s', '%s/all.csv', "
                  "'table=copy columns=\"key TEXT, value, INDEX(value)\"')",
                  scene_store, scene_dir);
    close_file(db);
}

/* A rename of the table `staff` that failed may have happened or not. */
static void
check_temp(void)
{
    char answer[TEXT_BYTES];
    sqlite3 *db = open_file(":memory:");

    (void)run(db, "CREATE VIRTUAL TABLE temp.one USING txkv('%s')", scene_store);
    (void)run(db, "CREATE VIRTUAL TABLE temp.two USING txkv('%s', table=two)", scene_store);
    check_both(db);
    scene_state->fates[AFTER] = ABSENT;
    write_both(db, AFTER);
    (void)run(db, "SELECT txkv_checkpoint()");
    check_both(db);
    (void)ask(db, answer, "SELECT txkv_check('%s')", scene_store);
    if (strstr(answer, "\"problem_count\":0") == NULL)
        wrong("%.500s", answer);
    (void)ask(db, answer,
              "SELECT (SELECT count(*) FROM one WHERE key = 'gone') + (SELECT count(*) FROM "
              "txkv_tables('%s') WHERE name IN ('staff', 'people'))",
              scene_store);
    if (strcmp(answer, "1") != 0)
        wrong("what was rolled back, and tables renamed: %s", answer);
    close_file(db);
}

/* A file that is there is whole, and so is what was imported; or nothing of it is there. */
static void
check_transfer(void)
{
    char answer[TEXT_BYTES], path[TEST_PATH_BYTES];
    sqlite3 *db = open_file(":memory:");

    (void)ask(db, answer,
              "SELECT coalesce(max(rows), 0) FROM txkv_tables('%s') WHERE name = 'copy'",
              scene_store);
    if (strcmp(answer, "0") != 0 && strcmp(answer, "6") != 0)
        wrong("%s rows of 6 were imported", answer);
    scene_path(path, "all.jsonl");
    if (!scene_has("all.jsonl"))
        (void)run(db, "SELECT txkv_export('%s', '%s')", scene_store, path);
    (void)run(db, "SELECT txkv_import('%s/third', '%s', 'create=yes')", scene_dir, path);
    (void)ask(db, answer, "SELECT sum(rows) FROM txkv_tables('%s/third') WHERE name <> 'copy'",
              scene_dir);
    if (strcmp(answer, "16") != 0)
        lost("%s rows of 16 came back", answer);
    if (scene_names(".tmp") != 0 && !scene_state->failed)
        wrong("an unfinished file is left behind");
    close_file(db);
    check_temp();
}

static void
check_rescued(void)
{
    char answer[TEXT_BYTES];
    sqlite3 *db = open_file(":memory:");

    rescue(db);
    if (is_partial && scene_names("rescued-") == 0)
        lost("a rescue that left out a file has not kept it");
    if (is_partial)
        (void)ask(db, answer, "SELECT txkv_check('%s')", scene_store);
    close_file(db);
    if (!is_partial)
        check_temp();
}

/* ---- together with a native table ---- */

static sqlite3 *
open_native(void)
{
    sqlite3 *db = open_file("app.db");

    if (db == NULL)
        return NULL;
    if (run(db, "PRAGMA journal_mode = %s", journal_mode) == SQLITE_OK &&
        run(db, "PRAGMA synchronous = full") == SQLITE_OK)
        return db;
    close_file(db);
    return NULL;
}

static void
prepare_native(void)
{
    sqlite3 *db = open_native();

    (void)run(db, "CREATE VIRTUAL TABLE one USING txkv('%s', map_size='16MiB')", scene_store);
    (void)run(db, "CREATE TABLE two(key PRIMARY KEY, value)");
    for (uint32_t i = 0; i < BEFORE; i++)
        write_both(db, i);
    close_file(db);
}

static void
run_native(void)
{
    sqlite3 *db = open_native();

    if (db == NULL)
        return;
    for (uint32_t i = BEFORE; i < BEFORE + 2; i++)
        write_both(db, i);
    check_both(db);
    close_file(db);
}

static void
check_native(void)
{
    sqlite3 *db = open_native();

    check_both(db);
    scene_state->fates[AFTER] = ABSENT;
    write_both(db, AFTER);
    check_both(db);
    close_file(db);
}

static void
prepare_delete(void)
{
    journal_mode = "delete";
    prepare_native();
}

static void
run_delete(void)
{
    journal_mode = "delete";
    run_native();
}

static void
prepare_wal(void)
{
    journal_mode = "wal";
    prepare_native();
}

static void
run_wal(void)
{
    journal_mode = "wal";
    run_native();
}

const struct scene scenes_sql[] = {
    { "sql", "tables and indexes through SQL", prepare_temp, run_statements, check_temp, 0, 0 },
    { "sql-functions", "txkv_log, txkv_check, txkv_backup, txkv_drop, ALTER TABLE", prepare_temp,
      run_functions, check_temp, 0, 0 },
    { "sql-recover", "txkv_recover on a closed store: dry-run, rescue", prepare_temp, run_recover,
      check_rescued, 0, 0 },
    { "sql-transfer", "txkv_export and txkv_import: CSV, JSON lines, a script", prepare_temp,
      run_transfer, check_transfer, 0, 0 },
    { "native-delete", "one commit with a native table, in journal_mode=delete", prepare_delete,
      run_delete, check_native, 0, 0 },
    { "native-wal", "the same in journal_mode=wal", prepare_wal, run_wal, check_native, 0, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0, 0 },
};
