/*
 * test_rescue.c - txkv_rescue: what is intact comes back, what was damaged is kept aside, and a
 * failure or a kill leaves the old store or the new one.
 */
#include "child_fixture.h"

static struct txkv_rescue_report report;

static const char first_segment[] = "wal/0000000000000000.wal";

static void
shell(const char *format)
{
    char command[1024];

    (void)snprintf(command, sizeof command, "cd %s && { %s; }", copy_dir, format);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

static void
rescue(void)
{
    const enum txkv_rc rc = txkv_rescue(copy_dir, NULL, &report, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

static struct txkv *rescued;
static struct txkv_session *in_rescued;

static void
open_rescued(const char *name)
{
    const struct txkv_options options = { .must_exist = true };
    const enum txkv_rc rc = txkv_open(copy_dir, &options, &rescued, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
    OK(txkv_table(rescued, name, NULL, false, &table, &err));
    OK(txkv_session_open(rescued, &in_rescued, &err));
}

static void
close_rescued(void)
{
    txkv_session_close(in_rescued);
    OK(txkv_close(rescued, &err));
}

/* Three rows in LMDB, then three in the log, durable; the LSN of the first of these. */
static uint64_t
make_store(void)
{
    uint64_t lsn;

    set(s1, "a", "1");
    set(s1, "b", "2");
    set(s1, "c", "3");
    OK(txkv_checkpoint(db, NULL, &err));
    set(s1, "d", "4");
    lsn = txkv_last_lsn(s1);
    set(s1, "e", "5");
    begin(s1);
    put(s1, "f", "6");
    erase(s1, "a");
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    copy_store();
    return lsn;
}

static void
records_behind_a_hole_come_back_and_the_old_files_are_kept(void **state)
{
    const uint64_t lsn = make_store();

    (void)state;
    damage_copy(first_segment, lsn + 50);
    shell("md5sum data.mdb wal/*.wal | sed 's|  .*/|  |;s|  data|  data|' > ../before");
    rescue();
    assert_string_equal(report.saved, "rescued-1");
    assert_int_equal(report.records, 3); /* with the time */
    assert_int_equal(report.transactions, 2);
    assert_int_equal(report.rows_of_pages, 3);
    assert_int_equal(report.rows, 4); /* b, c, e, f */
    assert_int_equal(report.tables, 1);
    assert_int_equal(report.holes, 1);
    assert_true(report.bytes_skipped >= 56 && report.bytes_skipped <= 80);
    shell("md5sum rescued-1/data.mdb wal/rescued-1/*.wal | sed 's|  .*/|  |' | cmp - ../before");
    shell("test ! -e rescue.tmp");
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "b=2 c=3 e=5 f=6 ");
    assert_int_equal(txkv_store_id(rescued), txkv_store_id(db));
    set(in_rescued, "g", "7");
    close_rescued();
    /* A second one has nothing to complain about, and another name for what it keeps. */
    rescue();
    assert_string_equal(report.saved, "rescued-2");
    assert_int_equal(report.holes, 0);
    assert_int_equal(report.rows, 5);
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "b=2 c=3 e=5 f=6 g=7 ");
    close_rescued();
}

/* What LMDB has lost may stand in what the log still has from before the checkpoint. */
static void
without_data_mdb_the_log_gives_what_it_has(void **state)
{
    (void)state;
    (void)make_store();
    shell("rm data.mdb");
    rescue();
    assert_int_equal(report.rows_of_pages, 0);
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "b=2 c=3 d=4 e=5 f=6 ");
    assert_int_equal(txkv_store_id(rescued), txkv_store_id(db));
    close_rescued();
}

static void
a_table_whose_name_is_lost_gets_one(void **state)
{
    (void)state;
    (void)make_store();
    shell("rm data.mdb");
    damage_copy(first_segment, 64 + 56 + 50); /* the table's own record, behind the time */
    rescue();
    assert_int_equal(report.tables_unnamed, 1);
    open_rescued("rescued-1");
    expect_scan(in_rescued, "(,)", "b=2 c=3 d=4 e=5 f=6 ");
    close_rescued();
}

static void
write_to(uint32_t number, const char *key)
{
    begin(s1);
    OK(txkv_put(s1, number, (struct txkv_bytes){ (const uint8_t *)key, strlen(key) },
                (struct txkv_bytes){ (const uint8_t *)"1", 1 }, &err));
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
}

/* One that was dropped does not come back; one that was renamed has its last name. */
static void
tables_that_the_log_renames_and_drops_are_as_it_leaves_them(void **state)
{
    static const char *const last[] = { "last" }, *const taken[] = { "taken" };
    uint32_t renamed, dropped, swapped, unknown;
    uint64_t lsn;

    (void)state;
    lsn = make_store();
    shell("rm -r ../copy");
    OK(txkv_table(db, "first", "", true, &renamed, &err));
    OK(txkv_table(db, "dropped", "", true, &dropped, &err));
    OK(txkv_table(db, "swapped", "", true, &swapped, &err));
    write_to(renamed, "kept");
    write_to(dropped, "gone");
    OK(txkv_table_rename(db, &renamed, last, 1, &err));
    OK(txkv_table_drop(db, &dropped, 1, &err));
    OK(txkv_table_rename(db, &swapped, taken, 1, &err));
    write_to(renamed, "too");
    copy_store();
    damage_copy(first_segment, lsn + 50);
    rescue();
    assert_int_equal(report.tables, 3);
    assert_int_equal(report.tables_unnamed, 0);
    open_rescued("last");
    assert_int_equal(txkv_table(rescued, "dropped", NULL, false, &unknown, &err), TXKV_SCHEMA);
    assert_int_equal(txkv_table(rescued, "first", NULL, false, &unknown, &err), TXKV_SCHEMA);
    OK(txkv_table(rescued, "taken", NULL, false, &unknown, &err));
    expect_scan(in_rescued, "(,)", "kept=1 too=1 ");
    close_rescued();
}

/* The number of the leaf page of the copy that holds these bytes. */
static uint64_t
find_leaf(const char *bytes)
{
    char path[160];
    uint8_t page[4096];
    uint64_t leaf = 2;
    int fd;

    (void)snprintf(path, sizeof path, "%s/data.mdb", copy_dir);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    while (pread(fd, page, sizeof page, (off_t)(leaf * 4096)) == 4096 &&
           (page[10] != 2 || memmem(page, sizeof page, bytes, strlen(bytes)) == NULL))
        leaf++;
    (void)close(fd);
    return leaf;
}

static void
rows_beside_a_damaged_page_come_back(void **state)
{
    static char key[16];
    uint64_t leaf, rows = 0;
    struct txkv_pages_report pages;

    (void)state;
    begin(s1);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "key%05d", i);
        put(s1, key, "a value of some length, so that there are many pages");
    }
    commit(s1);
    OK(txkv_checkpoint(db, NULL, &err));
    OK(txkv_check_pages(db, &pages, &err));
    assert_int_equal(pages.problems, 0);
    copy_store();
    shell("rm wal/*.wal"); /* or it would give all of them */
    leaf = find_leaf("key01000");
    damage_copy("data.mdb", leaf * 4096 + 12); /* its bounds */
    rescue();
    assert_int_equal(report.page_problems, 1);
    assert_in_range(report.rows_of_pages, 1900, 1999);
    open_rescued("t");
    assert_true(
        has(in_rescued, "key00000", "a value of some length, so that there are many pages"));
    assert_true(
        has(in_rescued, "key01999", "a value of some length, so that there are many pages"));
    assert_true(has(in_rescued, "key01000", NULL));
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "key%05d", i);
        rows += !has(in_rescued, key, NULL);
    }
    assert_int_equal(rows, report.rows_of_pages);
    close_rescued();
}

/* The LSN of the last record of that type. */
static uint64_t
find_record(const char *type)
{
    struct txkv_log_record record;
    struct txkv_log *log;
    uint64_t lsn = 0;

    OK(txkv_log_open(db, 0, UINT64_MAX, &log, &err));
    while (txkv_log_next(log, &record, &err) == TXKV_OK)
        if (strcmp(record.type, type) == 0)
            lsn = record.lsn;
    txkv_log_close(log);
    return lsn;
}

/* Where pages are lost, old records fill the gaps, and never replace what is newer: neither a row
 * nor a table's name. */
static void
old_records_fill_gaps_and_do_not_replace_what_is_newer(void **state)
{
    const char *names[] = { "second", "third" };
    uint64_t newer, renamed;
    uint32_t gap;

    (void)state;
    OK(txkv_table(db, "gap", NULL, true, &gap, &err));
    begin(s1);
    OK(txkv_put(s1, gap, text("lost in its page"), text("found in the log"), &err));
    commit(s1);
    set(s1, "a", "old");
    set(s1, "a", "new");
    newer = txkv_last_lsn(s1);
    OK(txkv_table_rename(db, &table, &names[0], 1, &err));
    set(s1, "b", "1");
    OK(txkv_table_rename(db, &table, &names[1], 1, &err));
    renamed = find_record("renamed");
    OK(txkv_checkpoint(db, NULL, &err));
    copy_store();
    damage_copy(first_segment, newer + 50);
    damage_copy(first_segment, renamed + 50);
    damage_copy("data.mdb", find_leaf("lost in its page") * 4096 + 12);
    rescue();
    assert_int_equal(report.page_problems, 1);
    assert_int_equal(report.rows_of_pages, 2);
    open_rescued("third");
    expect_scan(in_rescued, "(,)", "a=new b=1 ");
    close_rescued();
    open_rescued("gap");
    expect_scan(in_rescued, "(,)", "lost in its page=found in the log ");
    close_rescued();
}

/* A transaction that a recovery has discarded does not come back from behind its seal. */
static void
what_was_discarded_stays_away(void **state)
{
    const struct txkv_options options = { .must_exist = true };
    struct txkv_session *session;
    uint64_t lsn;

    (void)state;
    set(s1, "a", "1");
    lsn = txkv_last_lsn(s1);
    set(s1, "torn", "2");
    set(s1, "discarded", "3");
    copy_store();
    /* The bytes of `torn` are lost, those of the one behind it are not; none was durable. */
    damage_copy(first_segment, lsn + 50);
    OK(try_open(copy_dir, &options));
    OK(txkv_table(other, "t", NULL, true, &table, &err));
    OK(txkv_session_open(other, &session, &err));
    OK(txkv_begin(session, &err));
    OK(txkv_put(session, table, text("b"), text("2"), &err));
    OK(txkv_commit(session, TXKV_SYNC_FULL, &err));
    shell("mkdir kept && cp -r wal data.mdb kept");
    txkv_session_close(session);
    OK(txkv_close(other, &err));
    shell("rm -r wal && mv kept/* .");
    rescue();
    open_rescued("t");
    assert_true(has(in_rescued, "discarded", NULL));
    assert_true(has(in_rescued, "torn", NULL));
    close_rescued();
}

static void
a_prepared_transaction_counts_with_its_commit_alone(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_prepare(s1, text("note"), &err));
    txkv_commit_prepared(s1);
    set(s1, "b", "2");
    begin(s1);
    put(s1, "c", "3");
    OK(txkv_prepare(s1, text("note"), &err));
    copy_store();
    txkv_commit_prepared(s1);
    rescue();
    assert_int_equal(report.undecided, 1);
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "a=1 b=2 ");
    close_rescued();
}

static void
what_is_open_or_no_store_is_refused(void **state)
{
    (void)state;
    assert_int_equal(txkv_rescue(dir, NULL, NULL, &err), TXKV_LOCKED);
    assert_int_equal(mkdir(in_dir("empty"), 0700), 0);
    assert_int_equal(txkv_rescue(in_dir("empty"), NULL, NULL, &err), TXKV_CANTOPEN);
    assert_int_equal(txkv_rescue(in_dir("nowhere"), NULL, NULL, &err), TXKV_CANTOPEN);
}

/* ---- failures on the way ---- */

static uint64_t fail_at, calls;

static bool
is_failing(void)
{
    return ++calls == fail_at;
}

static int
failing_rename(const char *from, const char *to)
{
    if (is_failing()) {
        errno = EIO;
        return -1;
    }
    return tx_os_system.rename(from, to);
}

static int
failing_link(const char *from, const char *to)
{
    if (is_failing()) {
        errno = EMLINK;
        return -1;
    }
    return tx_os_system.link(from, to);
}

static int
failing_fsync(int fd)
{
    if (is_failing()) {
        errno = EIO;
        return -1;
    }
    return tx_os_system.fsync(fd);
}

static int
failing_mkdir(const char *path, mode_t mode)
{
    if (is_failing()) {
        errno = ENOSPC;
        return -1;
    }
    return tx_os_system.mkdir(path, mode);
}

static int
failing_unlink(const char *path)
{
    if (is_failing()) {
        errno = EIO;
        return -1;
    }
    return tx_os_system.unlink(path);
}

static void
put_hooks(void)
{
    tx_os.rename = failing_rename;
    tx_os.link = failing_link;
    tx_os.fsync = failing_fsync;
    tx_os.mkdir = failing_mkdir;
    tx_os.unlink = failing_unlink;
}

static void
take_hooks(void)
{
    tx_os = tx_os_system;
}

/* The damaged store, or what was rescued of it: either way a rescue gives all that is intact. */
static void
expect_old_or_new(void)
{
    rescue();
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "b=2 c=3 e=5 f=6 ");
    close_rescued();
}

static void
a_call_that_fails_leaves_the_old_store_or_the_new_one(void **state)
{
    const uint64_t lsn = make_store();
    enum txkv_rc rc = TXKV_IOERR;
    uint64_t failures = 0;

    (void)state;
    damage_copy(first_segment, lsn + 50);
    shell("cp -r . ../origin");
    for (fail_at = 1; rc != TXKV_OK || failures == 0; fail_at++) {
        assert_true(fail_at < 200);
        calls = 0;
        put_hooks();
        rc = txkv_rescue(copy_dir, NULL, &report, &err);
        take_hooks();
        failures += rc != TXKV_OK;
        if (calls < fail_at)
            break;
        expect_old_or_new();
        shell("rm -r ./* && cp -r ../origin/* .");
        rc = TXKV_IOERR;
    }
    OK(rc);
    assert_true(failures > 10);
}

static void
kill_at(void)
{
    if (++calls == fail_at)
        (void)raise(SIGKILL);
}

static int
killing_rename(const char *from, const char *to)
{
    kill_at();
    return tx_os_system.rename(from, to);
}

static int
killing_link(const char *from, const char *to)
{
    kill_at();
    return tx_os_system.link(from, to);
}

static int
killing_unlink(const char *path)
{
    kill_at();
    return tx_os_system.unlink(path);
}

static int
killing_mkdir(const char *path, mode_t mode)
{
    kill_at();
    return tx_os_system.mkdir(path, mode);
}

static void
a_killed_rescue_leaves_the_old_store_or_the_new_one(void **state)
{
    const uint64_t lsn = make_store();
    int status = 0;

    (void)state;
#ifdef TX_TSAN
    skip(); /* it starts no threads in a child of a process with threads */
#endif
    damage_copy(first_segment, lsn + 50);
    shell("cp -r . ../origin");
    for (fail_at = 1; fail_at < 100; fail_at++) {
        const pid_t child = fork();

        if (child == 0) {
            calls = 0;
            tx_os.rename = killing_rename;
            tx_os.link = killing_link;
            tx_os.unlink = killing_unlink;
            tx_os.mkdir = killing_mkdir;
            _exit(txkv_rescue(copy_dir, NULL, NULL, NULL) == TXKV_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status))
            break;
        assert_int_equal(WTERMSIG(status), SIGKILL);
        expect_old_or_new();
        shell("rm -r ./* && cp -r ../origin/* .");
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(fail_at > 8);
}

static void
without_memory_it_fails_and_nothing_is_lost(void **state)
{
    const uint64_t lsn = make_store();
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    damage_copy(first_segment, lsn + 50);
    shell("cp -r . ../origin");
    for (uint64_t n = 1; rc != TXKV_OK; n += n < 200 ? 1 : 7) {
        assert_true(n < 3000);
        tx_mem_fail_at(n, false);
        rc = txkv_rescue(copy_dir, NULL, &report, &err);
        tx_mem_fail_at(0, false);
        if (n % 16 == 0) {
            expect_old_or_new();
            shell("rm -r ./* && cp -r ../origin/* .");
        }
    }
    open_rescued("t");
    expect_scan(in_rescued, "(,)", "b=2 c=3 e=5 f=6 ");
    close_rescued();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(records_behind_a_hole_come_back_and_the_old_files_are_kept),
        STORE_TEST(without_data_mdb_the_log_gives_what_it_has),
        STORE_TEST(a_table_whose_name_is_lost_gets_one),
        STORE_TEST(tables_that_the_log_renames_and_drops_are_as_it_leaves_them),
        STORE_TEST(rows_beside_a_damaged_page_come_back),
        STORE_TEST(old_records_fill_gaps_and_do_not_replace_what_is_newer),
        STORE_TEST(what_was_discarded_stays_away),
        STORE_TEST(a_prepared_transaction_counts_with_its_commit_alone),
        STORE_TEST(what_is_open_or_no_store_is_refused),
        STORE_TEST(a_call_that_fails_leaves_the_old_store_or_the_new_one),
        STORE_TEST(a_killed_rescue_leaves_the_old_store_or_the_new_one),
        STORE_TEST(without_memory_it_fails_and_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
