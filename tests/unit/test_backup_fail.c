/*
 * test_backup_fail.c - backups that fail or are killed.
 *
 * Goal: there is a whole backup of that name or none, whatever fails and whenever it is killed; the
 * source goes on; what a killed one leaves is removed, and nothing else is.
 * Method: each call of tx_os and each allocation fails once; children are killed at the n-th call.
 */
#include "backup_fixture.h"

#include <sys/file.h>

/* ---- what fails ---- */

/* Atomic, for the store's threads call, too. */
static uint32_t armed;          /* which call is to fail */
static uint64_t fail_at, tries; /* the n-th of them; how many there were */

enum { FAIL_OPEN = 1, FAIL_PWRITE, FAIL_PREAD, FAIL_FSYNC, FAIL_RENAME, FAIL_MKDIR, FAIL_KINDS };

static bool
is_failing(uint32_t kind)
{
    if (tx_load_acquire_32(&armed) != kind ||
        tx_fetch_add_64(&tries, 1) + 1 != tx_load_relaxed_64(&fail_at))
        return false;
    errno = ENOSPC;
    return true;
}

static int
failing_open(const char *path, int flags, mode_t mode)
{
    return is_failing(FAIL_OPEN) ? -1 : tx_os_system.open(path, flags, mode);
}

static ssize_t
failing_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return is_failing(FAIL_PWRITE) ? -1 : tx_os_system.pwrite(fd, buffer, bytes, offset);
}

static ssize_t
failing_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    return is_failing(FAIL_PREAD) ? -1 : tx_os_system.pread(fd, buffer, bytes, offset);
}

static int
failing_fsync(int fd)
{
    return is_failing(FAIL_FSYNC) ? -1 : tx_os_system.fsync(fd);
}

static int
failing_rename(const char *from, const char *to)
{
    return is_failing(FAIL_RENAME) ? -1 : tx_os_system.rename(from, to);
}

static int
failing_mkdir(const char *path, mode_t mode)
{
    return is_failing(FAIL_MKDIR) ? -1 : tx_os_system.mkdir(path, mode);
}

static int
setup_failing(void **state)
{
    tx_store_release_32(&armed, 0);
    if (make_dir(state) != 0)
        return -1;
    tx_os.open = failing_open;
    tx_os.pwrite = failing_pwrite;
    tx_os.pread = failing_pread;
    tx_os.fsync = failing_fsync;
    tx_os.rename = failing_rename;
    tx_os.mkdir = failing_mkdir;
    reopen();
    return 0;
}

/* The last sync is that of the name, when the target is there and whole. */
static void
expect_none_or_whole(const char *name)
{
    assert_false(is_there(".tmp-"));
    if (!is_there(name))
        return;
    expect_store(name, ROWS);
    (void)snprintf(copy_dir, sizeof copy_dir, "rm -r %s", in_dir(name));
    assert_int_equal(system(copy_dir), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

static void
a_call_that_fails_leaves_no_target_and_nothing_else(void **state)
{
    uint64_t failures = 0;

    (void)state;
    fill(s1, 0, ROWS);
    checkpoint();
    for (uint32_t kind = 1; kind < FAIL_KINDS; kind++) {
        enum txkv_rc rc = TXKV_FULL;

        for (uint64_t n = 1; rc != TXKV_OK; n++) {
            tx_store_relaxed_64(&fail_at, n);
            tx_store_relaxed_64(&tries, 0);
            tx_store_release_32(&armed, kind);
            rc = try_backup("part");
            tx_store_release_32(&armed, 0);
            failures += rc != TXKV_OK;
            if (rc != TXKV_OK)
                assert_true(rc == TXKV_FULL || rc == TXKV_IOERR);
            expect_none_or_whole("part");
        }
    }
    assert_true(failures >= FAIL_KINDS);
    set(s1, "still", "writes");
}

static void
without_memory_there_is_no_target_and_nothing_else(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;
    int n = 0;

    (void)state;
    fill(s1, 0, ROWS);
    checkpoint();
    while (rc != TXKV_OK) {
        tx_mem_fail_at((uint64_t)++n, false);
        rc = try_backup("part");
        tx_mem_fail_at(0, false);
        if (rc != TXKV_OK)
            assert_int_equal(rc, TXKV_NOMEM);
        expect_none_or_whole("part");
    }
    assert_true(n > 5);
}

/* The disk takes one byte for another. */
static ssize_t
wrong_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    const ssize_t n = tx_os_system.pwrite(fd, buffer, bytes, offset);

    (void)tx_os_system.pwrite(fd, "!", 1, offset + (off_t)bytes / 2);
    return n;
}

static void
a_copy_that_the_disk_changes_gets_no_name(void **state)
{
    (void)state;
    fill(s1, 0, ROWS);
    tx_os.pwrite = wrong_pwrite;
    assert_int_equal(try_backup("b"), TXKV_IOERR);
    tx_os.pwrite = tx_os_system.pwrite;
    assert_false(is_there("b.tmp-"));
    assert_int_equal(access(in_dir("b"), F_OK), -1);
    backup("b");
}

/* ---- what is killed ---- */

static uint64_t kill_at, calls;

static void
count_call(void)
{
    if (kill_at != 0 && tx_fetch_add_64(&calls, 1) + 1 == kill_at)
        (void)kill(getpid(), SIGKILL);
}

static int
counted_open(const char *path, int flags, mode_t mode)
{
    count_call();
    return tx_os_system.open(path, flags, mode);
}

static ssize_t
counted_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    count_call();
    return tx_os_system.pwrite(fd, buffer, bytes, offset);
}

static int
counted_fsync(int fd)
{
    count_call();
    return tx_os_system.fsync(fd);
}

static int
counted_unlink(const char *path)
{
    count_call();
    return tx_os_system.unlink(path);
}

static int
counted_rename(const char *from, const char *to)
{
    int rc;

    count_call();
    rc = tx_os_system.rename(from, to);
    count_call();
    return rc;
}

static int
back_up_and_die(void)
{
    CHILD_DOES(child_opens(&impatient));
    tx_os.open = counted_open;
    tx_os.pwrite = counted_pwrite;
    tx_os.fsync = counted_fsync;
    tx_os.unlink = counted_unlink;
    tx_os.rename = counted_rename;
    kill_at = steps->number;
    CHILD_NEEDS(txkv_backup(db, in_dir("b"), NULL, &err) == TXKV_OK);
    return child_closes();
}

static void
a_killed_backup_leaves_the_source_and_a_whole_target_or_none(void **state)
{
    bool killed = true, left = false;

    (void)state;
    reopen();
    fill(s1, 0, ROWS);
    OK(close_all());
    new_steps();
    for (uint64_t n = 1; killed; n++) {
        pid_t child;
        int status;

        steps->number = n;
        child = start_child(back_up_and_die);
        assert_int_equal(waitpid(child, &status, 0), child);
        killed = WIFSIGNALED(status);
        assert_true(killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
        left = left || is_there("b.tmp-");
        reopen();
        assert_int_equal(count_rows(s1), ROWS);
        if (access(in_dir("b"), F_OK) == 0) {
            expect_store("b", ROWS);
            assert_int_equal(try_backup("b"), TXKV_EXISTS);
        } else {
            backup("b");
            assert_false(is_there("b.tmp-"));
        }
        OK(close_all());
        (void)snprintf(copy_dir, sizeof copy_dir, "rm -rf %s", in_dir("b"));
        assert_int_equal(system(copy_dir), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
        if (!killed)
            assert_true(n > 8 && left);
    }
}

static void
what_is_no_leftover_stays_and_one_in_use_is_busy(void **state)
{
    const char *others[] = { "b.tmp-", "b.tmp-0123456789abcdeg", "b.tmp-0123456789abcdef0",
                             "bb.tmp-0123456789abcdef", "b.tmp0123456789abcdef" };
    int fd;

    (void)state;
    fill(s1, 0, 10);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(mkdir(in_dir(others[i]), 0700), 0);
    assert_int_equal(mkdir(in_dir("b.tmp-0123456789abcdef"), 0700), 0);
    fd = open(in_dir("b.tmp-0123456789abcdef"), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(try_backup("b"), TXKV_BUSY);
    assert_non_null(strstr(err.text, "b.tmp-0123456789abcdef"));
    assert_int_equal(close(fd), 0);
    backup("b");
    assert_int_equal(access(in_dir("b.tmp-0123456789abcdef"), F_OK), -1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(access(in_dir(others[i]), F_OK), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_that_fails_leaves_no_target_and_nothing_else,
                                        setup_failing, teardown),
        STORE_TEST(without_memory_there_is_no_target_and_nothing_else),
        STORE_TEST(a_copy_that_the_disk_changes_gets_no_name),
        DIR_TEST(a_killed_backup_leaves_the_source_and_a_whole_target_or_none),
        STORE_TEST(what_is_no_leftover_stays_and_one_in_use_is_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
