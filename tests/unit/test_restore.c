/*
 * test_restore.c - what a restore refuses, and how it ends.
 *
 * Goal: whatever is missing, damaged or another's is an error that names the file and the LSN, and
 * leaves no target; a transaction in two steps counts with its decision.
 * Method: a small store with a backup in its middle; its archive is changed by hand.
 */
#include "archive_fixture.h"

static uint64_t lsns[40], backup_lsn;
static int lsn_count;

static void
set_noted(const char *key, size_t bytes)
{
    set_bytes(s1, key, bytes);
    lsns[lsn_count++] = txkv_last_lsn(s1);
}

/* Ten rows, a backup, and twenty that take four files. */
static void
make_history(void)
{
    struct txkv_backup_report report;
    char key[16];

    lsn_count = 0;
    for (int i = 0; i < 30; i++) {
        (void)snprintf(key, sizeof key, "row %02d", i);
        set_noted(key, i < 10 ? 10 : 12 * KIB);
        (void)tx_fetch_add_64(&hooked_ms, 1000);
        if (i == 9)
            OK(txkv_backup(db, in_dir("backup"), &report, &err));
    }
    backup_lsn = report.lsn;
    OK(txkv_archive(db, NULL, &err));
    assert_true(count_segments("archive") >= 4);
}

static void
expect_rows(const char *name, int rows)
{
    struct txkv_table_size size;
    struct txkv_session *s;
    struct txkv *store;
    uint32_t number;

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    OK(txkv_table(store, "t", NULL, false, &number, &err));
    OK(txkv_table_measure(s, number, &size, &err));
    assert_int_equal(size.rows, rows);
    txkv_session_close(s);
    OK(txkv_close(store, &err));
}

/* The restore fails so, says that, and leaves nothing. */
static void
expect_refused(enum txkv_rc rc, const struct txkv_restore_options *options, const char *words)
{
    assert_int_equal(try_restore("backup", "restored", options), rc);
    if (strstr(err.text, words) == NULL)
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, words));
    assert_false(is_there("restored"));
}

static const char *
lsn_text(uint64_t lsn)
{
    static char words[40];

    (void)snprintf(words, sizeof words, "LSN %" PRIu64, lsn);
    return words;
}

/* The archive's file in which that LSN stands. */
static uint64_t
file_of(uint64_t lsn, char name[TX_SEGMENT_NAME_BYTES])
{
    uint64_t first = 0;

    for (uint64_t at = 0; at <= lsn; at += 64 * KIB) {
        char path[64];

        tx_segment_name(at, name);
        (void)snprintf(path, sizeof path, "archive/%s", name);
        if (access(in_dir(path), F_OK) == 0)
            first = at;
    }
    tx_segment_name(first, name);
    return first;
}

/* Change a byte of the archive. */
static void
damage(uint64_t lsn)
{
    char name[TX_SEGMENT_NAME_BYTES], command[160];
    const uint64_t first = file_of(lsn, name);

    (void)snprintf(command, sizeof command,
                   "printf '\\377' | dd of=archive/%s bs=1 seek=%" PRIu64
                   " conv=notrunc 2>/dev/null",
                   name, lsn - first);
    shell(command);
}

static void
points_are_those_behind_the_backup(void **state)
{
    struct txkv_restore_options options = { .until_lsn = lsns[0] };
    const uint64_t ms = tx_load_relaxed_64(&hooked_ms);

    (void)state;
    make_history();
    options.until_lsn = lsns[8];
    expect_refused(TXKV_MISUSE, &options, lsn_text(lsns[8]));
    options.until_lsn = backup_lsn - 1;
    restore("backup", "b", &options);
    assert_int_equal(restored.transactions, 0);
    assert_int_equal(restored.lsn, backup_lsn);
    expect_rows("b", 10);
    restore_lsn("backup", "c", lsns[10]);
    assert_int_equal(restored.transactions, 1);
    assert_int_equal(restored.last_lsn, lsns[10]);
    assert_int_equal(restored.last_ms, ms + 10000);
    assert_true(restored.lsn > lsns[10] && restored.lsn <= lsns[11]);
    expect_rows("c", 11);
    restore_lsn("backup", "d", lsns[29]);
    expect_rows("d", 30);
    options.until_lsn = lsns[29] + 65536;
    expect_refused(TXKV_NOTFOUND, &options, "ends at LSN");
    /* Times. */
    options = (struct txkv_restore_options){ .until_ms = ms + 8999 };
    expect_refused(TXKV_MISUSE, &options, "2023-11-14 22:13:29.000");
    options.until_ms = ms + 9000;
    restore("backup", "e", &options);
    expect_rows("e", 10);
    options.until_ms = ms + 20000;
    restore("backup", "f", &options);
    expect_rows("f", 21);
    options.until_ms = ms + 20999;
    restore("backup", "g", &options);
    expect_rows("g", 21);
    options.until_ms = UINT64_MAX;
    restore("backup", "h", &options);
    assert_int_equal(restored.rows, 30);
    assert_int_equal(restored.tables, 1);
    expect_rows("h", 30);
}

static void
what_is_missing_is_named(void **state)
{
    char name[TX_SEGMENT_NAME_BYTES], command[160];
    char path[128]; /* in_dir's are used again */
    struct txkv_restore_options options = { .archive_dir = path };
    uint64_t first;
    int last = 20;

    (void)state;
    make_history();
    (void)snprintf(path, sizeof path, "%s", in_dir("no archive"));
    expect_refused(TXKV_CANTOPEN, &options, path);
    shell("mkdir 'no archive'");
    restore("backup", "b", &options); /* an archive that has nothing yet */
    expect_rows("b", 10);
    first = file_of(lsns[20], name);
    (void)snprintf(command, sizeof command, "mv archive/%s .", name);
    shell(command);
    expect_refused(TXKV_CORRUPT, NULL, lsn_text(first));
    assert_non_null(strstr(err.text, "gap"));
    assert_non_null(strstr(err.text, "until lsn="));
    /* What is before it can be had. */
    while (lsns[last] > first)
        last--;
    restore_lsn("backup", "c", lsns[last]);
    expect_rows("c", last + 1);
    options = (struct txkv_restore_options){ .until_lsn = lsns[29] };
    expect_refused(TXKV_CORRUPT, &options, "gap");
    /* All from there on. */
    (void)snprintf(command, sizeof command,
                   "cd archive && for f in *.wal; do [ $f '<' %s ] || rm $f; done", name);
    shell(command);
    expect_refused(TXKV_NOTFOUND, &options, "ends at LSN");
    restore("backup", "d", NULL);
    assert_int_equal(restored.rows, last + 1);
}

static void
what_is_damaged_is_named(void **state)
{
    char name[TX_SEGMENT_NAME_BYTES];

    (void)state;
    make_history();
    shell("cp -r archive good");
    damage(lsns[20] + 100);
    (void)file_of(lsns[20], name);
    expect_refused(TXKV_CORRUPT, NULL, lsn_text(lsns[20]));
    assert_non_null(strstr(err.text, name));
    restore_lsn("backup", "b", lsns[19]);
    expect_rows("b", 20);
    expect_refused(TXKV_CORRUPT, &(struct txkv_restore_options){ .until_lsn = lsns[20] }, name);
    /* Its header; and before the backup's LSN it is nobody's business. */
    shell("rm -r archive && cp -r good archive");
    damage(file_of(lsns[20], name) + 20);
    expect_refused(TXKV_CORRUPT, NULL, name);
    shell("rm -r archive && cp -r good archive");
    damage(lsns[3] + 60);
    restore("backup", "c", NULL);
    expect_rows("c", 30);
    /* A file that has lost its end. */
    (void)file_of(lsns[15], name);
    shell("for f in archive/*1*.wal; do truncate -s 20000 $f; break; done");
    expect_refused(TXKV_CORRUPT, NULL, "LSN");
}

static void
what_is_anothers_is_named(void **state)
{
    struct txkv_options options = archived_store();
    struct txkv *written;
    struct txkv_session *s;
    uint32_t number;

    (void)state;
    make_history();
    /* Another store's file. */
    options.archive_dir = in_dir("archive 2");
    OK(txkv_open(in_dir("store 2"), &options, &written, &err));
    OK(txkv_table(written, "t", NULL, true, &number, &err));
    OK(txkv_close(written, &err));
    expect_refused(TXKV_CORRUPT,
                   &(struct txkv_restore_options){ .archive_dir = in_dir("archive 2") },
                   "another store");
    shell("rm 'archive 2/txkv-archive' && cp archive/0000000000000000.wal . && "
          "cp 'archive 2/0000000000000000.wal' archive");
    expect_refused(TXKV_CORRUPT, NULL, "another store");
    shell("cp 0000000000000000.wal archive");
    /* The backup is open, was killed, was written to. */
    OK(try_open(in_dir("backup"), &small_store));
    expect_refused(TXKV_LOCKED, NULL, in_dir("backup"));
    OK(txkv_table(other, "t", NULL, true, &number, &err));
    OK(txkv_session_open(other, &s, &err));
    OK(txkv_begin(s, &err));
    OK(txkv_put(s, number, text("its own"), text("1"), &err));
    OK(txkv_commit(s, TXKV_SYNC_OFF, &err));
    txkv_session_close(s);
    shell("cp -r backup killed");
    OK(txkv_close(other, &err));
    assert_int_equal(try_restore("killed", "restored", NULL), TXKV_MISUSE);
    assert_non_null(strstr(err.text, ".wal"));
    expect_refused(TXKV_CORRUPT, NULL, "LSN");
    /* What can be no backup, and targets that cannot be. */
    assert_int_equal(try_restore("archive", "restored", NULL), TXKV_CANTOPEN);
    assert_int_equal(try_restore("no such", "restored", NULL), TXKV_CANTOPEN);
    assert_int_equal(try_restore("backup", "archive", NULL), TXKV_EXISTS);
    assert_int_equal(try_restore("backup", "no such/dir", NULL), TXKV_CANTOPEN);
    assert_int_equal(txkv_restore(in_dir("backup"), "", NULL, NULL, &err), TXKV_MISUSE);
}

/* A copy of the store goes another way, with records of the same lengths: what comes next in the
 * archive is intact and in its place, and only the chain tells. */
static void
two_histories_are_not_mixed(void **state)
{
    struct txkv_options options = archived_store();
    struct txkv_session *s;
    uint64_t fork_lsn;

    (void)state;
    set(s1, "x", "1");
    OK(close_all());
    shell("cp -r store fork");
    open_archived();
    set(s1, "y", "1");
    set(s1, "z", "1");
    OK(txkv_archive(db, NULL, &err));
    options.archive_dir = "off";
    OK(try_open(in_dir("fork"), &options));
    OK(txkv_session_open(other, &s, &err));
    OK(txkv_begin(s, &err));
    OK(txkv_put(s, table, text("y"), text("2"), &err));
    OK(txkv_commit(s, TXKV_SYNC_OFF, &err));
    fork_lsn = txkv_last_lsn(s);
    assert_true(fork_lsn < txkv_last_lsn(s1) && fork_lsn + 64 >= txkv_last_lsn(s1));
    txkv_session_close(s);
    OK(txkv_backup(other, in_dir("backup"), NULL, &err));
    OK(txkv_close(other, &err));
    expect_refused(TXKV_CORRUPT, &(struct txkv_restore_options){ .archive_dir = in_dir("archive") },
                   "two histories");
    assert_non_null(strstr(err.text, lsn_text(txkv_last_lsn(s1))));
}

/* ---- two steps ---- */

static void
a_prepared_transaction_counts_with_its_decision(void **state)
{
    uint64_t prepared[2];

    (void)state;
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    set(s1, "a", "1");
    for (int i = 0; i < 2; i++) {
        begin(s1);
        put(s1, i == 0 ? "aborted" : "committed", "1");
        OK(txkv_prepare(s1, text("note"), &err));
        prepared[i] = txkv_prepared_lsn(s1);
        if (i == 0)
            txkv_rollback(s1);
        else
            txkv_commit_prepared(s1);
    }
    set(s1, "b", "1");
    OK(txkv_archive(db, NULL, &err));
    restore_lsn("backup", "b", prepared[0]);
    expect_rows("b", 1);
    restore_lsn("backup", "c", prepared[1] - 1);
    expect_rows("c", 1);
    restore_lsn("backup", "d", prepared[1]); /* its decision stands behind that LSN */
    assert_int_equal(restored.last_lsn, prepared[1]);
    expect_rows("d", 2);
    restore("backup", "e", NULL);
    assert_int_equal(restored.undecided, 0);
    expect_rows("e", 3);
}

/* Files that were saved from a log by hand, because the store cannot be opened. */
static void
the_logs_own_files_can_stand_for_an_archive(void **state)
{
    (void)state;
    set(s1, "a", "1");
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    set(s1, "b", "1");
    begin(s1);
    put(s1, "c", "1");
    OK(txkv_prepare(s1, text("note"), &err));
    shell("cp -r store/wal saved");
    txkv_commit_prepared(s1);
    restore("backup", "b", &(struct txkv_restore_options){ .archive_dir = in_dir("saved") });
    assert_int_equal(restored.undecided, 1);
    assert_int_equal(restored.transactions, 1);
    expect_rows("b", 2);
    restore("backup", "c", &(struct txkv_restore_options){ .archive_dir = in_dir("store/wal") });
    assert_int_equal(restored.undecided, 0);
    expect_rows("c", 3);
}

/* A store that was restored begins a history of its own. */
static void
a_restored_store_can_be_archived_and_restored(void **state)
{
    struct txkv_options options = archived_store();
    struct txkv_session *s;

    (void)state;
    make_history();
    restore_lsn("backup", "restored", lsns[14]);
    options.archive_dir = in_dir("archive");
    assert_int_equal(try_open(in_dir("restored"), &options), TXKV_MISUSE);
    options.archive_dir = in_dir("archive 2");
    OK(try_open(in_dir("restored"), &options));
    assert_true(txkv_store_id(other) != txkv_store_id(db));
    OK(txkv_table(other, "t", NULL, false, &table, &err));
    OK(txkv_session_open(other, &s, &err));
    OK(txkv_backup(other, in_dir("backup 2"), NULL, &err));
    set(s, "new", "1");
    txkv_session_close(s);
    OK(txkv_close(other, &err)); /* which archives it */
    restore("backup 2", "again", NULL);
    assert_int_equal(restored.transactions, 1);
    expect_rows("again", 16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(points_are_those_behind_the_backup),
        ARCHIVE_TEST(what_is_missing_is_named),
        ARCHIVE_TEST(what_is_damaged_is_named),
        ARCHIVE_TEST(what_is_anothers_is_named),
        ARCHIVE_TEST(two_histories_are_not_mixed),
        ARCHIVE_TEST(a_prepared_transaction_counts_with_its_decision),
        ARCHIVE_TEST(the_logs_own_files_can_stand_for_an_archive),
        ARCHIVE_TEST(a_restored_store_can_be_archived_and_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
