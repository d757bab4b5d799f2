/*
 * test_commit_fail.c - commits that fail, and what the store is afterwards.
 */
#include "store_fixture.h"

static void
a_transaction_larger_than_a_segment_commits_whole(void **state)
{
    static char large[100 * KIB];
    char key[8];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    begin(s1);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        put(s1, key, large);
    }
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    set(s1, "after", "1");
    assert_int_equal(txkv_row_estimate(s2, table), 21);
    OK(close_all());
    reopen();
    assert_true(has(s1, "after", "1"));
    assert_int_equal(txkv_row_estimate(s1, table), 21);
}

static void
after_a_failed_sync_reads_go_on_and_every_commit_is_told(void **state)
{
    (void)state;
    set(s1, "k", "0");
    begin(s1);
    put(s1, "k", "1");
    tx_store_release_32(&sync_fails, 1);
    assert_int_equal(txkv_commit(s1, TXKV_SYNC_FULL, &err), TXKV_IOERR);
    tx_store_release_32(&sync_fails, 0); /* too late */
    assert_true(txkv_in_transaction(s1));
    assert_int_equal(txkv_commit(s1, TXKV_SYNC_OFF, &err), TXKV_STOPPED);
    assert_non_null(strstr(err.text, "open"));
    txkv_rollback(s1);
    for (int i = 0; i < 2; i++) { /* what failed is not visible, and no conflict either */
        begin(s1);
        assert_true(has(s1, "k", "0"));
        put(s1, "k", "2");
        assert_int_equal(try_commit(s1), TXKV_STOPPED);
        txkv_rollback(s1);
    }
    begin(s1);
    assert_true(has(s1, "k", "0"));
    commit(s1); /* wrote nothing */
    expect_scan(s2, "(,)", "k=0 ");
    assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_STOPPED);
    assert_int_equal(txkv_table(db, "new", "", true, &(uint32_t){ 0 }, &err), TXKV_STOPPED);
    assert_int_equal(stat_of("stopped"), 1);
    assert_int_equal(close_all(), TXKV_STOPPED);
    reopen();
    set(s1, "k", "3");
    assert_true(has(s2, "k", "3"));
}

static void
a_sync_that_fails_in_the_background_stops_the_store(void **state)
{
    (void)state;
    tx_store_release_32(&sync_fails, 1);
    begin(s1);
    put(s1, "k", "1");
    OK(txkv_commit(s1, TXKV_SYNC_NORMAL, &err));
    while (stat_of("stopped") == 0)
        nap();
    begin(s1);
    put(s1, "k", "2");
    assert_int_equal(try_commit(s1), TXKV_STOPPED);
    txkv_rollback(s1);
    assert_true(has(s1, "k", "1"));
}

/* Every allocation of a commit fails once; so do the leader's, which leave void records. */
static void
a_commit_without_memory_leaves_nothing_and_can_be_repeated(void **state)
{
    uint32_t failures = 0, commits = 0;
    char key[16];

    (void)state;
    for (uint64_t n = 1; n <= 60; n++) {
        enum txkv_rc rc;

        checkpoint(); /* a new memtable needs memory again */
        begin(s1);
        for (int i = 0; i < 80; i++) { /* many enough to be sorted, and in no order */
            (void)snprintf(key, sizeof key, "k%02d-%02d", (int)n, i * 37 % 80);
            put(s1, key, "new");
        }
        put(s1, "k", "new");
        (void)get(s2, "k");
        tx_mem_fail_at((n - 1) % 12 + 1, n > 30);
        rc = try_commit(s1);
        tx_mem_fail_at(0, false);
        commits++;
        if (rc == TXKV_OK)
            continue;
        failures++;
        assert_int_equal(rc, TXKV_NOMEM);
        assert_true(has(s2, key, NULL));
        assert_int_equal(stat_of("commits"), commits - 1);
        commit(s1); /* the same transaction again */
        assert_true(has(s2, key, "new"));
    }
    assert_true(failures > 10);
    assert_int_equal(stat_of("commits"), commits);
    checkpoint();
    assert_int_equal(txkv_row_estimate(s1, table), 60 * 80 + 1);
}

static void
recovery_skips_void_records(void **state)
{
    struct txkv_recovery_report report;
    struct txkv *original;
    char key[8];

    (void)state;
    set(s1, "a", "1");
    for (uint64_t n = 1; n <= 2; n++) {
        begin(s1);
        put(s1, "a", "void");
        for (int i = 0; i < 63; i++) { /* too few to be sorted: only the leader needs memory */
            (void)snprintf(key, sizeof key, "v%d-%02d", (int)n, i);
            put(s1, key, "void");
        }
        tx_mem_fail_at(n, true);
        assert_int_equal(try_commit(s1), TXKV_NOMEM);
        tx_mem_fail_at(0, false);
        txkv_rollback(s1);
    }
    set(s1, "b", "1");
    /* And the table, and when all of it was. */
    assert_int_equal(stat_of("wal_records_written"), 2 + 2 + stat_of("commits"));
    expect_scan(s2, "(,)", "a=1 b=1 ");
    copy_store();
    original = db;
    close_sessions();
    OK(txkv_open(copy_dir, &small_store, &db, &err));
    OK(txkv_session_open(db, &s1, &err));
    txkv_recovery(db, &report);
    assert_int_equal(report.bytes_discarded, 0);
    expect_scan(s1, "(,)", "a=1 b=1 ");
    OK(txkv_verify(db, &report, &err));
    OK(close_all());
    db = original;
}

static void
stalled_committers_wait_for_a_checkpoint_or_give_up(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB,
                                          .overlay_limit = MIB,
                                          .stall_timeout_ms = 100 };
    static char large[1200 * KIB];
    double stalls;

    (void)state;
    memset(large, 'x', sizeof large - 1);
    OK(close_all());
    reopen_with(&options);
    set(s1, "large", large);
    stalls = stat_of("stalls");
    set(s1, "a", "1"); /* waits, and the checkpoint that it asks for lets it through */
    assert_int_equal(stat_of("stalls") - stalls, 1);
    while (stat_of("checkpoints") == 0) /* counted after it has let the committer through */
        nap();
    set(s1, "large", large);
    (void)pthread_mutex_lock(&db->checkpoint.mutex); /* no checkpoint can run */
    begin(s1);
    put(s1, "a", "2");
    assert_int_equal(try_commit(s1), TXKV_BUSY);
    (void)pthread_mutex_unlock(&db->checkpoint.mutex);
    assert_non_null(strstr(err.text, "overlay_limit"));
    assert_int_equal(stat_of("stall_timeouts"), 1);
    checkpoint();
    commit(s1); /* the same transaction again */
    assert_true(has(s2, "a", "2"));
}

static uint32_t disk_full; /* atomic */

static int
hooked_fallocate(int fd, off_t offset, off_t bytes)
{
    return tx_load_acquire_32(&disk_full) != 0 ? ENOSPC : posix_fallocate(fd, offset, bytes);
}

/* The interval is a minute, and the test is killed before it is over. */
static void
a_log_that_finds_no_room_asks_for_a_checkpoint_and_goes_on_when_there_is_some(void **state)
{
    static char large[100 * KIB];
    enum txkv_rc rc = TXKV_OK;

    (void)state;
    memset(large, 'x', sizeof large - 1);
    tx_os.fallocate = hooked_fallocate;
    reopen();
    set(s1, "k", "0");
    tx_store_release_32(&disk_full, 1);
    begin(s1);
    put(s1, "k", large);
    for (int i = 0; rc == TXKV_OK && i < 10; i++) {
        rc = try_commit(s1);
        if (rc == TXKV_OK) {
            begin(s1);
            put(s1, "k", large);
        }
    }
    assert_int_equal(rc, TXKV_FULL);
    assert_non_null(strstr(err.text, "free space and try again"));
    while (stat_of("checkpoints") == 0)
        nap();
    tx_store_release_32(&disk_full, 0);
    commit(s1); /* the same transaction again */
    set(s1, "after", "1");
    assert_true(has(s2, "after", "1"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_transaction_larger_than_a_segment_commits_whole),
        STORE_TEST(after_a_failed_sync_reads_go_on_and_every_commit_is_told),
        STORE_TEST(a_sync_that_fails_in_the_background_stops_the_store),
        STORE_TEST(a_commit_without_memory_leaves_nothing_and_can_be_repeated),
        STORE_TEST(recovery_skips_void_records),
        STORE_TEST(stalled_committers_wait_for_a_checkpoint_or_give_up),
        DIR_TEST(a_log_that_finds_no_room_asks_for_a_checkpoint_and_goes_on_when_there_is_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
