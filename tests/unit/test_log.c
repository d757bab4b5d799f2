/*
 * test_log.c - appending, syncing, trimming and verifying. What recovery makes of odd
 * files is in test_log_recover.c and test_log_damage.c.
 *
 * Worker threads never assert: they leave what they found where the test's own thread checks it.
 */
#include "log_fixture.h"

#include <pthread.h>

#include "../../src/atomic.h"

static void
an_empty_directory_is_an_empty_log(void **state)
{
    (void)state;
    expect_records(0);
    assert_int_equal(tx_log_end_lsn(log_now), 0);
    assert_int_equal(tx_log_durable_lsn(log_now), 0);
    assert_false(tx_log_wants_prepare(log_now));
    assert_false(exists(segment_path(0)));
    expect_records(0);
}

static void
appended_records_come_back_in_order(void **state)
{
    uint64_t check;

    (void)state;
    expect_records(0);
    assert_int_equal(append(1, 8), TXKV_OK);
    assert_int_equal(last_lsn, TX_SEGMENT_HEADER_BYTES);
    append_synced(2, 100);
    assert_int_equal(tx_log_end_lsn(log_now), last_end);
    assert_int_equal(tx_log_durable_lsn(log_now), last_end);
    check = tx_log_end_check(log_now);
    expect_records(2);
    assert_int_equal(scan.end_lsn, last_end);
    assert_int_equal(scan.end_check, check);
    assert_int_equal(scan.bytes_discarded, 0);
    assert_int_equal(scan.segments, 1);
    assert_int_equal(tx_log_durable_lsn(log_now), tx_log_end_lsn(log_now));
    append_synced(3, 8);
    expect_records(3);
    assert_int_equal(scan.segments, 2);
}

/* Goal: neither reopening without writing nor a clean end makes files or moves the end. */
static void
reopening_again_and_again_changes_nothing(void **state)
{
    uint64_t before;
    uint64_t end;

    (void)state;
    expect_records(0);
    append_synced(1, 50);
    expect_records(1);
    end = tx_log_end_lsn(log_now);
    before = fingerprint();
    for (int i = 0; i < 3; i++) {
        expect_records(1);
        assert_int_equal(tx_log_end_lsn(log_now), end);
        assert_int_equal(fingerprint(), before);
    }
}

/* Goal: every way a segment can end, with or without room for a seal, leads to the next one. */
static void
a_segment_may_end_with_any_room_left(void **state)
{
    const uint32_t room = SEGMENT - TX_SEGMENT_HEADER_BYTES;

    (void)state;
    for (uint32_t left = 0; left <= 64; left += 8) {
        expect_records(0);
        assert_int_equal(append(1, room - left - TX_RECORD_HEADER_BYTES), TXKV_OK);
        assert_int_equal(last_end, SEGMENT - left);
        append_synced(2, 40);
        assert_int_equal(last_lsn, SEGMENT + TX_SEGMENT_HEADER_BYTES);
        append_synced(3, 40);
        expect_records(3);
        assert_int_equal(scan.segments, 2);
        close_log();
        assert_int_equal(unlink(segment_path(0)), 0);
        assert_int_equal(unlink(segment_path(SEGMENT)), 0);
    }
}

static void
many_segments_and_sizes_survive_reopening(void **state)
{
    uint32_t random = 1;
    uint64_t n = 0;

    (void)state;
    for (int round = 0; round < 4; round++) {
        expect_records(n);
        for (int i = 0; i < 150; i++) {
            random = random * 1664525 + 1013904223;
            assert_int_equal(append(++n, 8 + (random >> 8) % 4000), TXKV_OK);
            if (i % 40 == 0) {
                assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
                assert_int_equal(tx_log_prepare(log_now, &err), TXKV_OK);
            }
        }
        assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    }
    expect_records(n);
    assert_true(scan.segments > 15);
}

static void
a_record_larger_than_a_segment_gets_its_own(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 20);
    append_synced(2, 5 * SEGMENT);
    append_synced(3, 20);
    expect_records(3);
    append_synced(4, SEGMENT - 8);
    expect_records(4);
}

static void
recovery_starts_at_a_checkpoint_with_its_check(void **state)
{
    uint64_t lsn;
    uint64_t check;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 30; n++)
        append_synced(n, 6000);
    lsn = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    for (uint64_t n = 31; n <= 40; n++)
        append_synced(n, 6000);
    assert_int_equal(recover_from(lsn, check, false), TXKV_OK);
    assert_int_equal(seen_first, 31);
    assert_int_equal(seen_count, 10);
    assert_true(seen_in_order);
    /* What recovery reports as the end is a place to start from, too. */
    lsn = scan.end_lsn;
    check = scan.end_check;
    append_synced(41, 10);
    assert_int_equal(recover_from(lsn, check, false), TXKV_OK);
    assert_int_equal(seen_first, 41);
    assert_int_equal(seen_count, 1);
    /* So is the end of the log as the log itself has it. */
    lsn = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    append_synced(42, 10);
    assert_int_equal(recover_from(lsn, check, false), TXKV_OK);
    assert_int_equal(seen_first, 42);
}

static void
trim_removes_what_is_wholly_below_and_earlier_files_too(void **state)
{
    struct tx_log_stats stats;
    uint64_t deleted;
    uint64_t lsn;
    uint64_t check;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 50; n++)
        append_synced(n, 6000);
    assert_int_equal(tx_log_trim(log_now, SEGMENT - 1, &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(tx_log_trim(log_now, SEGMENT, &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 1);
    assert_false(exists(segment_path(0)));
    lsn = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    assert_int_equal(recover_from(lsn, check, false), TXKV_OK);
    assert_int_equal(scan.records, 0);
    assert_int_equal(scan.segments, 1);
    assert_int_equal(tx_log_trim(log_now, lsn, &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 3);
    tx_log_stats(log_now, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.segment_bytes, SEGMENT);
    append_synced(51, 8);
    assert_int_equal(tx_log_trim(log_now, last_end, &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 1);
    tx_log_stats(log_now, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.appended_records, 1);
    assert_int_equal(recover_from(lsn, check, false), TXKV_CORRUPT);
}

static void
a_prepared_segment_is_used_whatever_lsn_it_comes_to_have(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 8);
    assert_false(tx_log_wants_prepare(log_now));
    append_synced(2, SEGMENT / 2);
    assert_true(tx_log_wants_prepare(log_now));
    assert_int_equal(tx_log_prepare(log_now, &err), TXKV_OK);
    assert_true(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
    assert_false(tx_log_wants_prepare(log_now));
    append_synced(3, 3 * SEGMENT);
    assert_true(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
    append_synced(4, SEGMENT / 2);
    append_synced(5, SEGMENT / 2);
    assert_false(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
    assert_int_equal(tx_log_prepare(log_now, &err), TXKV_OK);
    assert_true(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
    expect_records(5);
    assert_false(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
}

static enum txkv_rc
count_void(void *arg, const struct tx_record *record, struct tx_segment *segment,
           struct txkv_error *e)
{
    (void)segment;
    (void)e;
    *(int *)arg += record->type == TX_RECORD_VOID;
    return TXKV_OK;
}

static void
a_void_record_keeps_its_place_in_the_chain(void **state)
{
    const struct tx_log_config config = { .dir = dir, .store_id = STORE, .segment_bytes = SEGMENT };
    int voids = 0;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    append_void = true;
    assert_int_equal(append(2, 100), TXKV_OK);
    append_void = false;
    append_synced(3, 100);
    close_log();
    assert_int_equal(tx_log_recover(&config, count_void, &voids, &scan, &log_now, &err), TXKV_OK);
    assert_int_equal(scan.records, 3);
    assert_int_equal(voids, 1);
}

static void
a_log_that_was_removed_goes_on_at_its_last_end(void **state)
{
    struct tx_log_stats stats;
    uint64_t end;
    uint64_t check;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 18; n++)
        append_synced(n, 6000);
    assert_int_equal(tx_log_prepare(log_now, &err), TXKV_OK);
    end = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    assert_int_equal(tx_log_remove(log_now, &err), TXKV_OK);
    tx_log_stats(log_now, &stats);
    assert_int_equal(stats.segments, 1); /* the prepared one, which goes at close */
    close_log();
    assert_false(exists(path_of(TX_SEGMENT_PREPARED_NAME)));
    assert_false(exists(segment_path(0)));
    assert_false(exists(segment_path(SEGMENT)));
    assert_int_equal(recover_from(end, check, false), TXKV_OK);
    assert_int_equal(seen_count, 0);
    append_synced(19, 8);
    assert_int_equal(recover_from(end, check, false), TXKV_OK);
    assert_int_equal(seen_first, 19);
}

/* ---- faults ---- */

static int fdatasyncs, fsyncs, order_errors;
static uint64_t fallocate_failures;

static int
fail_fallocate(int fd, off_t offset, off_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    fallocate_failures++;
    return ENOSPC;
}

static int
fail_fdatasync(int fd)
{
    (void)fd;
    errno = ENOSPC;
    return -1;
}

static int
count_fdatasync(int fd)
{
    fdatasyncs++;
    return fdatasync(fd);
}

/* The directory must be synced while the record is not yet claimed to be durable. */
static int
count_fsync(int fd)
{
    fsyncs++;
    if (tx_log_durable_lsn(log_now) >= last_end)
        order_errors++;
    return fsync(fd);
}

static int
fail_fsync(int fd)
{
    (void)fd;
    errno = EIO;
    return -1;
}

static void
a_full_disk_fails_the_append_and_leaves_the_log_usable(void **state)
{
    uint64_t end;

    (void)state;
    expect_records(0);
    append_synced(1, SEGMENT / 2);
    end = tx_log_end_lsn(log_now);
    tx_os.fallocate = fail_fallocate;
    assert_int_equal(append(2, SEGMENT / 2), TXKV_FULL);
    assert_int_equal(tx_log_prepare(log_now, &err), TXKV_FULL);
    assert_int_equal(tx_log_end_lsn(log_now), end);
    assert_true(tx_log_wants_prepare(log_now));
    append_synced(2, 100);
    assert_int_equal(append(3, SEGMENT), TXKV_FULL);
    tx_os = tx_os_system;
    append_synced(3, SEGMENT);
    append_synced(4, 100);
    expect_records(4);
    tx_os.fallocate = fail_fallocate;
    assert_int_equal(append(5, 8), TXKV_FULL);
    expect_records(4);
    tx_os = tx_os_system;
    append_synced(5, 8);
    expect_records(5);
}

static void
no_memory_at_any_allocation_leaves_the_log_usable(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    expect_records(0);
    append_synced(1, SEGMENT / 2);
    for (uint64_t n = 1; rc != TXKV_OK; n++) {
        tx_mem_fail_at(n, false);
        rc = append(2, SEGMENT / 2);
        tx_mem_fail_at(0, false);
        assert_true(n < 20 && (rc == TXKV_OK || rc == TXKV_NOMEM));
    }
    rc = TXKV_NOMEM;
    for (uint64_t n = 1; rc != TXKV_OK; n++) {
        tx_mem_fail_at(n, false);
        rc = reopen();
        tx_mem_fail_at(0, false);
        assert_true(n < 40 && (rc == TXKV_OK || rc == TXKV_NOMEM));
    }
    expect_records(2);
}

static void
a_failed_sync_is_final(void **state)
{
    uint64_t durable;

    (void)state;
    expect_records(0);
    append_synced(1, 8);
    durable = tx_log_durable_lsn(log_now);
    assert_int_equal(append(2, 8), TXKV_OK);
    tx_os.fdatasync = fail_fdatasync;
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_IOERR);
    assert_int_equal(err.rc, TXKV_IOERR);
    tx_os = tx_os_system;
    assert_true(tx_log_stopped(log_now));
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_STOPPED);
    assert_int_equal(append(3, 8), TXKV_STOPPED);
    assert_int_equal(tx_log_durable_lsn(log_now), durable);
    assert_int_equal(tx_log_sync(log_now, durable, &err), TXKV_OK);
    expect_records(2);
    assert_false(tx_log_stopped(log_now));
}

static void
a_new_segments_name_is_synced_before_its_records_are_durable(void **state)
{
    (void)state;
    expect_records(0);
    tx_os.fsync = count_fsync;
    fsyncs = order_errors = 0;
    append_synced(1, 40000);
    assert_int_equal(fsyncs, 1);
    append_synced(2, 8);
    assert_int_equal(fsyncs, 1);
    append_synced(3, 40000);
    assert_int_equal(fsyncs, 2);
    assert_int_equal(order_errors, 0);
    assert_int_equal(append(4, 40000), TXKV_OK);
    tx_os.fsync = fail_fsync;
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_IOERR);
    assert_true(tx_log_durable_lsn(log_now) < last_lsn);
    assert_true(tx_log_stopped(log_now));
}

static void
a_sync_of_what_is_durable_does_not_reach_the_disk(void **state)
{
    struct tx_log_stats stats;
    uint64_t first_end;

    (void)state;
    expect_records(0);
    assert_int_equal(append(1, 8), TXKV_OK);
    first_end = last_end;
    assert_int_equal(append(2, 8), TXKV_OK);
    tx_os.fdatasync = count_fdatasync;
    fdatasyncs = 0;
    assert_int_equal(tx_log_sync(log_now, first_end, &err), TXKV_OK);
    assert_int_equal(tx_log_durable_lsn(log_now), last_end); /* it was there before the sync */
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    assert_int_equal(fdatasyncs, 1);
    assert_int_equal(append(3, 8), TXKV_OK);
    assert_int_equal(tx_log_sync(log_now, first_end, &err), TXKV_OK);
    assert_int_equal(fdatasyncs, 1);
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    assert_int_equal(fdatasyncs, 2);
    tx_log_stats(log_now, &stats);
    assert_int_equal(stats.syncs, 2);
    assert_int_equal(stats.appended_records, 3);
}

/* Goal: the segments that one sync covers are all written, those before it not again. */
static void
a_sync_covers_every_segment_since_the_last_one(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    assert_int_equal(append(2, 40000), TXKV_OK);
    assert_int_equal(append(3, 40000), TXKV_OK);
    tx_os.fdatasync = count_fdatasync;
    fdatasyncs = 0;
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    assert_int_equal(fdatasyncs, 3);
    append_synced(4, 8);
    assert_int_equal(fdatasyncs, 4);
}

/* ---- many threads ---- */

struct workers {
    uint64_t published; /* atomic: end of the last appended record */
    uint64_t stop;      /* atomic */
    uint64_t failures;  /* atomic */
    uint64_t verified;  /* atomic */
};

static void *
flush(void *arg)
{
    struct workers *w = arg;
    struct txkv_error e;

    while (tx_load_acquire_64(&w->stop) == 0) {
        const uint64_t lsn = tx_load_acquire_64(&w->published);

        if (tx_log_sync(log_now, lsn, &e) != TXKV_OK || tx_log_durable_lsn(log_now) < lsn)
            (void)tx_fetch_add_64(&w->failures, 1);
        (void)usleep(200);
    }
    return NULL;
}

/* Prepares segments as well, which one thread at a time may do. */
static void *
verify(void *arg)
{
    struct workers *w = arg;
    struct tx_log_scan found;
    struct tx_log_stats stats;
    struct txkv_error e;

    while (tx_load_acquire_64(&w->stop) == 0) {
        const uint64_t lsn = tx_load_acquire_64(&w->published);

        if (tx_log_verify(log_now, 0, 0, lsn, NULL, NULL, &found, &e) != TXKV_OK ||
            found.end_lsn != lsn || tx_log_prepare(log_now, &e) != TXKV_OK)
            (void)tx_fetch_add_64(&w->failures, 1);
        tx_log_stats(log_now, &stats);
        tx_store_release_64(&w->verified, found.records);
        (void)usleep(500);
    }
    return NULL;
}

/*
 * Goal: the leader, two flushers and a verifier do not disturb each other.
 * Method: the leader appends 3000 records over many segments and syncs some of them itself.
 */
static void
appends_syncs_and_verification_run_side_by_side(void **state)
{
    static struct workers w;
    pthread_t threads[3];

    (void)state;
    expect_records(0);
    assert_int_equal(pthread_create(&threads[0], NULL, flush, &w), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, flush, &w), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, verify, &w), 0);
    for (uint64_t n = 1; n <= 3000; n++) {
        assert_int_equal(append(n, (uint32_t)(8 + n % 700)), TXKV_OK);
        tx_store_release_64(&w.published, last_end);
        if (n % 50 == 0)
            assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    }
    while (tx_load_acquire_64(&w.verified) < 3000 && tx_load_acquire_64(&w.failures) == 0)
        (void)usleep(1000);
    tx_store_release_64(&w.stop, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(w.failures, 0);
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    expect_records(3000);
}

static void
verification_finds_what_was_damaged_since_and_what_was_trimmed(void **state)
{
    uint64_t end;
    uint64_t deleted;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 20; n++)
        append_synced(n, 6000);
    end = last_end;
    forget_seen();
    assert_int_equal(tx_log_verify(log_now, 0, 0, end, note_record, NULL, &scan, &err), TXKV_OK);
    assert_int_equal(seen_count, 20);
    assert_true(seen_in_order);
    assert_int_equal(scan.end_check, tx_log_end_check(log_now));
    assert_int_equal(tx_log_verify(log_now, 0, 0, end - 8, NULL, NULL, &scan, &err), TXKV_CORRUPT);
    damage(segment_path(0), 30000, 1, 0x20);
    assert_int_equal(tx_log_verify(log_now, 0, 0, end, NULL, NULL, &scan, &err), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, segment_path(0)));
    assert_int_equal(tx_log_trim(log_now, SEGMENT, &deleted, &err), TXKV_OK);
    assert_int_equal(tx_log_verify(log_now, 0, 0, end, NULL, NULL, &scan, &err), TXKV_BUSY);
    assert_int_equal(tx_log_verify(log_now, end, 0, end, NULL, NULL, &scan, &err), TXKV_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_directory_is_an_empty_log),
        TEST(appended_records_come_back_in_order),
        TEST(reopening_again_and_again_changes_nothing),
        TEST(a_segment_may_end_with_any_room_left),
        TEST(many_segments_and_sizes_survive_reopening),
        TEST(a_record_larger_than_a_segment_gets_its_own),
        TEST(recovery_starts_at_a_checkpoint_with_its_check),
        TEST(trim_removes_what_is_wholly_below_and_earlier_files_too),
        TEST(a_prepared_segment_is_used_whatever_lsn_it_comes_to_have),
        TEST(a_void_record_keeps_its_place_in_the_chain),
        TEST(a_log_that_was_removed_goes_on_at_its_last_end),
        TEST(a_full_disk_fails_the_append_and_leaves_the_log_usable),
        TEST(no_memory_at_any_allocation_leaves_the_log_usable),
        TEST(a_failed_sync_is_final),
        TEST(a_new_segments_name_is_synced_before_its_records_are_durable),
        TEST(a_sync_of_what_is_durable_does_not_reach_the_disk),
        TEST(a_sync_covers_every_segment_since_the_last_one),
        TEST(appends_syncs_and_verification_run_side_by_side),
        TEST(verification_finds_what_was_damaged_since_and_what_was_trimmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
