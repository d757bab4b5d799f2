/*
 * test_log_again.c - what a recovery writes and syncs once more: all that no record proves to have
 * been synced, and nothing else.
 *
 * Every record here fills a segment but for some bytes, so that record n stands in the n-th file.
 */
#include <dirent.h>

#include "log_fixture.h"

enum { BODY = 60000, MANY = 40 /* files: more than a recovery keeps open */ };

static unsigned syncs, fails_at, fds_most;
static uint64_t rewritten;
static bool no_writes;

static unsigned
count_fds(void)
{
    DIR *fds = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(fds);
    while (readdir(fds) != NULL)
        count++;
    (void)closedir(fds);
    return count;
}

static int
counted_fdatasync(int fd)
{
    const unsigned fds = count_fds();

    fds_most = fds > fds_most ? fds : fds_most;
    if (++syncs == fails_at) {
        errno = EIO;
        return -1;
    }
    return tx_os_system.fdatasync(fd);
}

static ssize_t
counted_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    if (no_writes) {
        errno = EIO;
        return -1;
    }
    rewritten += count;
    return tx_os_system.pwrite(fd, bytes, count, offset);
}

static int
setup_counted(void **state)
{
    const int e = setup(state);

    syncs = fails_at = fds_most = 0;
    no_writes = false;
    rewritten = 0;
    return e;
}

/* To a new log. */
static void
append_unsynced(uint64_t count)
{
    expect_records(0);
    for (uint64_t n = 1; n <= count; n++)
        assert_int_equal(append(n, BODY), TXKV_OK);
}

/* The log is written, and its process gone. */
static void
recover_counted(enum txkv_rc expected)
{
    close_log();
    syncs = 0;
    rewritten = 0;
    tx_os.fdatasync = counted_fdatasync;
    tx_os.pwrite = counted_pwrite;
    assert_int_equal(reopen(), expected);
    tx_os = tx_os_system;
}

/* A record says that those before it are durable; of the last one nobody does. */
static void
files_that_a_later_record_proves_durable_are_not_synced_again(void **state)
{
    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= MANY; n++)
        append_synced(n, BODY);
    recover_counted(TXKV_OK);
    assert_int_equal(seen_count, MANY);
    /* The last record but one is durable, the seal behind it need not be; the last record; its
     * seal. */
    assert_int_equal(syncs, 3);
    assert_int_equal(rewritten, SEGMENT);
    expect_records(MANY);
}

static void
a_log_that_nobody_has_synced_is_written_again_with_few_files_open(void **state)
{
    unsigned fds;

    (void)state;
    append_unsynced(MANY);
    close_log();
    fds = count_fds();
    recover_counted(TXKV_OK);
    assert_int_equal(seen_count, MANY);
    assert_int_equal(syncs, MANY + 1);
    assert_int_equal(rewritten, (MANY - 1) * SEGMENT + last_end % SEGMENT);
    assert_in_range(fds_most, fds + 16, fds + 20);
    close_log();
    assert_int_equal(count_fds(), fds);
    expect_records(MANY);
}

static void
where_calls_do_not_write_the_map_does(void **state)
{
    (void)state;
    append_unsynced(3);
    no_writes = true;
    recover_counted(TXKV_OK);
    assert_int_equal(syncs, 4);
    assert_int_equal(rewritten, 0);
    expect_records(3);
}

/* Whichever sync fails: all but the seal's come before anything is changed. */
static void
a_sync_that_fails_leaves_the_files_as_they_were(void **state)
{
    uint64_t before;

    (void)state;
    append_unsynced(MANY);
    close_log();
    before = fingerprint();
    for (fails_at = 1; fails_at <= MANY; fails_at++) {
        recover_counted(TXKV_IOERR);
        assert_null(log_now);
        assert_int_equal(syncs, fails_at);
        assert_true(fingerprint() == before);
    }
    recover_counted(TXKV_IOERR);
    assert_int_equal(syncs, MANY + 1);
    fails_at = 0;
    expect_records(MANY);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_counted, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_that_a_later_record_proves_durable_are_not_synced_again),
        TEST(a_log_that_nobody_has_synced_is_written_again_with_few_files_open),
        TEST(where_calls_do_not_write_the_map_does),
        TEST(a_sync_that_fails_leaves_the_files_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
