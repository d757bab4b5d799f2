/*
 * test_archive_fail.c - archiving and restoring that fail or are killed.
 *
 * Goal: whatever fails and whenever a process is killed, nothing that was committed is missing from
 * the store and its archive together, the archive can be read to its end, and a restore leaves a
 * whole store or none.
 * Method: each call of tx_os and each allocation fails once; children are killed at the n-th call.
 */
#include "archive_fixture.h"

enum { ROWS = 24 };

/* ---- the n-th call ---- */

enum what { COUNT_CALLS, FAIL_CALL, KILL_AT_CALL };

static uint32_t armed;          /* enum what; atomic, for the store's threads call, too */
static uint64_t calls, call_at; /* atomic */

/* Files of the archive, by their descriptors. A failed sync of the log is final, and is no subject
 * here: with `archive_alone` only calls about the archive fail. */
static bool archive_alone;
static uint32_t in_archive[1024]; /* atomic */

static bool
is_archived(const char *path)
{
    return strstr(path, "/archive") != NULL;
}

/* True: the call is to fail. */
static bool
call_comes(bool of_archive)
{
    const uint32_t what = tx_load_acquire_32(&armed);

    if (what == COUNT_CALLS || (archive_alone && !of_archive))
        return false;
    if (tx_fetch_add_64(&calls, 1) + 1 != call_at)
        return false;
    if (what == KILL_AT_CALL)
        (void)kill(getpid(), SIGKILL);
    errno = ENOSPC;
    return true;
}

/* Whether the last one that was armed has come. */
static bool
fired(void)
{
    return tx_load_relaxed_64(&calls) >= call_at;
}

static void
arm(enum what what, uint64_t n)
{
    call_at = n;
    tx_fetch_add_64(&calls, (uint64_t)0 - calls);
    tx_store_release_32(&armed, what);
}

static int
hooked_open(const char *path, int flags, mode_t mode)
{
    const int fd = call_comes(is_archived(path)) ? -1 : tx_os_system.open(path, flags, mode);

    if (fd >= 0 && fd < 1024)
        tx_store_relaxed_32(&in_archive[fd], is_archived(path));
    return fd;
}

static ssize_t
hooked_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    /* Half of it is there when the process is killed. */
    if (tx_load_acquire_32(&armed) == KILL_AT_CALL)
        (void)!tx_os_system.pwrite(fd, buffer, bytes / 2, offset);
    return call_comes(tx_load_relaxed_32(&in_archive[fd]) != 0)
               ? -1
               : tx_os_system.pwrite(fd, buffer, bytes, offset);
}

static ssize_t
hooked_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    return call_comes(tx_load_relaxed_32(&in_archive[fd]) != 0)
               ? -1
               : tx_os_system.pread(fd, buffer, bytes, offset);
}

static int
hooked_fsync(int fd)
{
    return call_comes(tx_load_relaxed_32(&in_archive[fd]) != 0) ? -1 : tx_os_system.fsync(fd);
}

static int
hooked_fstat(int fd, struct stat *st)
{
    return call_comes(tx_load_relaxed_32(&in_archive[fd]) != 0) ? -1 : tx_os_system.fstat(fd, st);
}

static int
hooked_rename(const char *from, const char *to)
{
    int rc;

    if (call_comes(is_archived(to)))
        return -1;
    rc = tx_os_system.rename(from, to);
    if (tx_load_acquire_32(&armed) == KILL_AT_CALL)
        (void)call_comes(is_archived(to)); /* and behind it */
    return rc;
}

static int
hooked_unlink(const char *path)
{
    return call_comes(is_archived(path)) ? -1 : tx_os_system.unlink(path);
}

static int
hooked_mkdir(const char *path, mode_t mode)
{
    return call_comes(is_archived(path)) ? -1 : tx_os_system.mkdir(path, mode);
}

static void
hook_calls(void)
{
    tx_os.open = hooked_open;
    tx_os.pwrite = hooked_pwrite;
    tx_os.pread = hooked_pread;
    tx_os.fsync = hooked_fsync;
    tx_os.fstat = hooked_fstat;
    tx_os.rename = hooked_rename;
    tx_os.unlink = hooked_unlink;
    tx_os.mkdir = hooked_mkdir;
}

static int
setup_hooked(void **state)
{
    (void)alarm(LIMIT_S * 4);
    tx_store_release_32(&armed, COUNT_CALLS);
    archive_alone = false;
    if (make_dir(state) != 0)
        return -1;
    hook_calls();
    open_archived();
    return 0;
}

/* ---- what must be there ---- */

static const char *
row_key(int i)
{
    static char key[16];

    (void)snprintf(key, sizeof key, "row %03d", i);
    return key;
}

static void
set_row(int i)
{
    set_bytes(s1, row_key(i), 15 * KIB);
}

static int
count_in(const char *name)
{
    struct txkv_session *s;
    struct txkv *store;
    uint32_t number;
    int count = 0;

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    OK(txkv_table(store, "t", NULL, false, &number, &err));
    for (int i = 0; i < 10 * ROWS; i++) {
        struct txkv_bytes value;

        count += txkv_get(s, number, text(row_key(i)), &value, &err) == TXKV_OK;
    }
    txkv_session_close(s);
    OK(txkv_close(store, &err));
    return count;
}

/* What is in the archive now. */
static int
count_restored(void)
{
    int count;

    restore("backup", "restored", NULL);
    count = count_in("restored");
    shell("rm -r restored");
    return count;
}

/* ---- failing ---- */

static void
a_call_that_fails_leaves_log_and_archive_whole(void **state)
{
    int rows = 0, failures = 0;

    (void)state;
    archive_alone = true;
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    for (uint64_t n = 1; n == 1 || fired(); n++) {
        for (int i = 0; i < 5; i++) /* so that there is always a file to archive and remove */
            set_row(rows++);
        arm(FAIL_CALL, n);
        /* What fails in its checkpoint is tried again at once, and else told. */
        failures += txkv_archive(db, NULL, &err) != TXKV_OK;
        tx_store_release_32(&armed, COUNT_CALLS);
        /* The archive is a beginning of what was committed. */
        assert_true(count_restored() <= rows);
        checkpoint();
        look_at_archive();
        assert_string_equal(archive_state.error, "");
    }
    assert_true(rows > 100 && failures > 5);
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_restored(), rows);
}

static void
without_memory_log_and_archive_stay_whole(void **state)
{
    int rows = 0;
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    for (uint64_t n = 1; rc != TXKV_OK; n++) {
        for (int i = 0; i < 5; i++)
            set_row(rows++);
        tx_mem_fail_at(n, false);
        rc = txkv_archive(db, NULL, &err);
        tx_mem_fail_at(0, false);
        if (rc != TXKV_OK)
            assert_int_equal(rc, TXKV_NOMEM);
        assert_true(n < 200);
    }
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_restored(), rows);
}

static void
prepare_restore(void)
{
    uint32_t second;

    set_row(0);
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    for (int i = 1; i < ROWS; i++)
        set_row(i);
    OK(txkv_table(db, "second", "(b)", true, &second, &err));
    OK(txkv_archive(db, NULL, &err));
}

static void
a_restore_that_fails_leaves_nothing(void **state)
{
    enum txkv_rc rc;
    int refused = 0;
    uint64_t n;

    (void)state;
    prepare_restore();
    for (n = 1; n == 1 || fired(); n++) {
        arm(FAIL_CALL, n);
        rc = try_restore("backup", "restored", NULL);
        tx_store_release_32(&armed, COUNT_CALLS);
        /* Damaged: what it has written cannot be read again. */
        assert_true(rc == TXKV_OK || rc == TXKV_FULL || rc == TXKV_IOERR || rc == TXKV_CORRUPT);
        assert_false(is_there("restored.tmp-"));
        if (!is_there("restored"))
            continue;
        /* The last sync is that of the name, when the target is there and whole. */
        assert_int_equal(count_in("restored"), ROWS);
        shell("rm -r restored");
    }
    assert_true(n > 20);
    for (n = 1; n <= 80; n++) {
        tx_mem_fail_at(n, false);
        rc = try_restore("backup", "restored", NULL);
        tx_mem_fail_at(0, false);
        assert_true(rc == TXKV_OK || rc == TXKV_NOMEM);
        refused += rc != TXKV_OK;
        assert_false(is_there("restored.tmp-"));
        if (is_there("restored"))
            assert_int_equal(count_in("restored"), ROWS);
        shell("rm -rf restored");
    }
    assert_true(refused > 20);
}

/* ---- being killed ---- */

/* Writes, archives, and closes, which archives the rest. */
static int
archive_and_die(void)
{
    const struct txkv_options options = archived_store();

    hook_calls();
    CHILD_NEEDS(txkv_open(in_dir("store"), &options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    for (int i = 0; i < 5; i++) {
        static uint8_t value[15 * KIB];

        CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
        CHILD_NEEDS(txkv_put(s1, table, text(row_key((int)(steps->number * 5) + i)),
                             (struct txkv_bytes){ value, sizeof value }, &err) == TXKV_OK);
        CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_FULL, &err) == TXKV_OK);
    }
    arm(KILL_AT_CALL, steps->number);
    CHILD_NEEDS(txkv_archive(db, NULL, &err) == TXKV_OK);
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

/* True when it was killed. */
static bool
run_child(int (*run)(void), uint64_t n)
{
    pid_t child;
    int status;

    steps->number = n;
    child = start_child(run);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void
killed_archiving_loses_nothing(void **state)
{
    bool killed = true;

    (void)state;
    open_archived();
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    OK(close_all());
    new_steps();
    for (uint64_t n = 1; killed; n++) {
        int archived;

        killed = run_child(archive_and_die, n);
        archived = count_restored();
        assert_true(archived <= (int)(5 * n));
        /* What the archive does not have, the log has: n is odd now and then, so that the next
         * child finds what this one left as well. */
        if (n % 2 == 0)
            continue;
        open_archived();
        OK(txkv_archive(db, NULL, &err));
        look_at_archive();
        assert_string_equal(archive_state.error, "");
        OK(close_all());
        assert_int_equal(count_restored(), 5 * n);
        assert_int_equal(count_segments("store/wal"), 0);
        if (!killed)
            assert_true(n > 20);
    }
}

static int
restore_and_die(void)
{
    hook_calls();
    arm(KILL_AT_CALL, steps->number);
    return txkv_restore(in_dir("backup"), in_dir("restored"), NULL, NULL, &err) == TXKV_OK
               ? 0
               : __LINE__;
}

static void
a_killed_restore_leaves_a_whole_store_or_none(void **state)
{
    bool killed = true, left = false;

    (void)state;
    open_archived();
    prepare_restore();
    OK(close_all());
    new_steps();
    for (uint64_t n = 1; killed; n++) {
        killed = run_child(restore_and_die, n);
        left = left || is_there("restored.tmp-");
        if (access(in_dir("restored"), F_OK) != 0)
            restore("backup", "restored", NULL);
        else
            assert_int_equal(try_restore("backup", "restored", NULL), TXKV_EXISTS);
        assert_false(is_there("restored.tmp-") && access(in_dir("restored"), F_OK) != 0);
        assert_int_equal(count_in("restored"), ROWS);
        shell("rm -r restored");
        if (!killed)
            assert_true(n > 15 && left);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_that_fails_leaves_log_and_archive_whole,
                                        setup_hooked, teardown),
        ARCHIVE_TEST(without_memory_log_and_archive_stay_whole),
        cmocka_unit_test_setup_teardown(a_restore_that_fails_leaves_nothing, setup_hooked,
                                        teardown),
        DIR_TEST(killed_archiving_loses_nothing),
        DIR_TEST(a_killed_restore_leaves_a_whole_store_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
