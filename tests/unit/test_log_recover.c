/*
 * test_log_recover.c - what recovery makes of torn tails and odd files. Damage and salvage are in
 * test_log_damage.c.
 *
 * Method throughout: write a log, close it, change its files as a crash, a disk or a person might,
 * and look at what the next recovery says, at what it leaves, and at what can be written after it.
 */
#include "log_fixture.h"

#include "../../src/log_peek.h"

/* The last record is record n and begins at lsn in the segment at first_lsn. */
struct tail {
    uint64_t first_lsn, lsn, end, n;
};

static void
expect_torn(const struct tail *t, const char *what, uint64_t at)
{
    assert_int_equal(reopen(), TXKV_OK);
    if (seen_count != t->n - 1 || !seen_in_order)
        fail_msg("%s at %llu: %llu records", what, (unsigned long long)at,
                 (unsigned long long)seen_count);
    assert_int_equal(scan.end_lsn, t->lsn);
    append_synced(t->n, 33);
    assert_int_equal(reopen(), TXKV_OK);
    assert_int_equal(seen_count, t->n);
    assert_true(seen_in_order);
    assert_int_equal(scan.bytes_discarded, 0);
    close_log();
}

/*
 * Goal: whatever a crash leaves of the last record, the records before it come back, and the log
 * can be written on.
 * Method: for each byte of the record: the file ends there, or is zero from there, or the byte is
 * flipped, or all before it is zero.
 */
static void
tear_at_every_byte(const struct tail *t)
{
    char path[64];
    const uint64_t from = t->lsn - t->first_lsn;
    const uint64_t to = t->end - t->first_lsn;
    struct image image;

    (void)snprintf(path, sizeof path, "%s", segment_path(t->first_lsn));
    close_log();
    image = read_image(path);
    for (uint64_t at = from; at < to; at++) {
        write_file(path, image.bytes, at);
        expect_torn(t, "truncated", at);
        assert_int_equal(unlink(segment_path(t->first_lsn + SEGMENT)), 0);

        write_file(path, image.bytes, image.size);
        damage(path, at, 1, 0x40);
        expect_torn(t, "flipped", at);
        assert_int_equal(unlink(segment_path(t->first_lsn + SEGMENT)), 0);

        /* Zeroing what is zero already changes nothing; the padding at the end is. */
        if (image.bytes[at] == 0)
            continue;
        write_file(path, image.bytes, image.size);
        damage(path, at, to - at, 0);
        expect_torn(t, "zero from", at);
        assert_int_equal(unlink(segment_path(t->first_lsn + SEGMENT)), 0);

        write_file(path, image.bytes, image.size);
        damage(path, from, at + 1 - from, 0);
        expect_torn(t, "zero up to", at);
        assert_int_equal(unlink(segment_path(t->first_lsn + SEGMENT)), 0);
    }
    free(image.bytes);
}

static void
a_torn_last_record_is_discarded_wherever_it_is_torn(void **state)
{
    struct tail t = { .first_lsn = 0, .n = 3 };

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    append_synced(2, 30);
    append_synced(3, 21);
    t.lsn = last_lsn;
    t.end = last_end;
    tear_at_every_byte(&t);
}

/* The only record of its segment, whose header stays. */
static void
a_torn_first_record_of_a_segment_is_discarded(void **state)
{
    struct image image;

    (void)state;
    expect_records(0);
    append_synced(1, 60000);
    append_synced(2, 21);
    append_synced(3, 6000);
    assert_int_equal(last_lsn, SEGMENT + TX_SEGMENT_HEADER_BYTES);
    close_log();
    image = read_image(segment_path(SEGMENT));
    for (uint64_t at = TX_SEGMENT_HEADER_BYTES; at < 6000; at += at < 150 ? 1 : 500) {
        write_file(segment_path(SEGMENT), image.bytes, image.size);
        damage(segment_path(SEGMENT), at, 1, 1);
        expect_records(2);
        assert_int_equal(scan.end_lsn, SEGMENT);
        assert_false(exists(segment_path(SEGMENT)));
        append_synced(3, 33);
        assert_int_equal(last_lsn, SEGMENT + TX_SEGMENT_HEADER_BYTES);
        expect_records(3);
    }
    free(image.bytes);
}

static void
a_torn_seal_ends_the_log_or_proves_damage(void **state)
{
    uint64_t seal;
    struct image image;

    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    seal = last_end;
    assert_int_equal(append(2, 40000), TXKV_OK);
    close_log();
    /* Record 2 was written when record 1 alone was durable: it may go. */
    image = read_image(segment_path(SEGMENT));
    damage(segment_path(0), seal + 20, 1, 1);
    expect_records(1);
    assert_int_equal(scan.end_lsn, seal);
    assert_true(scan.bytes_discarded > 40000);
    append_synced(2, 40000);
    append_synced(3, 8);
    close_log();
    damage(segment_path(0), seal + 20, 1, 1);
    assert_int_equal(reopen(), TXKV_CORRUPT);
    free(image.bytes);
}

/* ---- unfinished and odd files ---- */

static int
fail_fdatasync(int fd)
{
    (void)fd;
    errno = EIO;
    return -1;
}

static unsigned good_syncs; /* before the first that fails */

static int
fail_later_fdatasync(int fd)
{
    return good_syncs-- > 0 ? tx_os_system.fdatasync(fd) : fail_fdatasync(fd);
}

static void
a_crash_between_a_new_segment_and_its_first_record_is_no_damage(void **state)
{
    static const uint8_t zeros[SEGMENT];
    const uint64_t lsns[] = { SEGMENT, SEGMENT + 8, 5 * SEGMENT, 0x1000 };
    const size_t sizes[] = { SEGMENT, 5000, 64, 10, 0 };
    struct tx_segment *s;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    append_synced(2, 100);
    close_log();
    for (size_t i = 0; i < sizeof lsns / sizeof lsns[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            write_file(segment_path(lsns[i]), zeros, sizes[j]);
            expect_records(2);
            assert_int_equal(scan.bytes_discarded, 0);
            assert_false(exists(segment_path(lsns[i])));
        }
        for (uint64_t torn = 0; torn <= TX_SEGMENT_HEADER_BYTES; torn += 8) {
            assert_int_equal(tx_segment_create(dir, STORE, lsns[i], SEGMENT, 7, &s, &err), TXKV_OK);
            memset(s->map, 0, torn);
            tx_segment_unref(s);
            expect_records(2);
            assert_false(exists(segment_path(lsns[i])));
        }
    }
    append_synced(3, 100);
    expect_records(3);
}

/* The segment after a seal never reached the disk: nothing in it was acknowledged. */
static void
a_seal_without_a_next_segment_is_the_end_of_the_log(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    assert_int_equal(append(2, 40000), TXKV_OK);
    close_log();
    assert_int_equal(unlink(segment_path(SEGMENT)), 0);
    expect_records(1);
    assert_int_equal(scan.end_lsn, SEGMENT);
    append_synced(2, 8);
    expect_records(2);
}

static void
unacknowledged_segments_behind_a_missing_one_are_discarded(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    for (uint64_t n = 2; n <= 4; n++)
        assert_int_equal(append(n, 40000), TXKV_OK);
    close_log();
    assert_int_equal(unlink(segment_path(SEGMENT)), 0);
    expect_records(1);
    assert_false(exists(segment_path(UINT64_C(2) * SEGMENT)));
    assert_false(exists(segment_path(UINT64_C(3) * SEGMENT)));
    append_synced(2, 8);
    expect_records(2);
}

/*
 * Goal: a discarded tail stays discarded.
 * Method: records 2 and 3 are written, unacknowledged; 2 is torn, so both are discarded. Then the
 * same record 2 is written again: 3, which continues it, must not come back.
 */
static void
a_stale_successor_does_not_come_back(void **state)
{
    uint64_t lsn;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    assert_int_equal(append(2, 100), TXKV_OK);
    lsn = last_lsn;
    assert_int_equal(append(3, 104), TXKV_OK); /* its last byte is not 0, as padding is */
    close_log();
    damage(segment_path(0), lsn + 60, 1, 1);
    expect_records(1);
    assert_int_equal(scan.bytes_discarded, last_end - lsn);
    expect_records(1);
    assert_int_equal(scan.bytes_discarded, 0);
    append_synced(2, 100);
    expect_records(2);
    close_log();
    /* Not even when the place where record 2 was torn is made whole again. */
    damage(segment_path(0), lsn + 60, 1, 1);
    expect_records(2);
}

/* Method: record 2 is replaced by another whole record, so record 3 continues something else. */
static void
a_record_that_does_not_continue_the_chain_ends_the_log(void **state)
{
    struct tx_record record;
    struct image image;
    uint8_t *at;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    assert_int_equal(append(2, 100), TXKV_OK);
    assert_int_equal(append(3, 100), TXKV_OK);
    close_log();
    image = read_image(segment_path(0));
    at = image.bytes + TX_SEGMENT_HEADER_BYTES + tx_record_length(100);
    assert_int_equal(tx_record_decode(at, image.bytes + image.size, STORE, &record),
                     TX_RECORD_INTACT);
    at[TX_RECORD_HEADER_BYTES + 20] ^= 1;
    tx_record_finish_body(at, TX_RECORD_TXN, 100, STORE);
    (void)tx_record_finish_header(at, record.lsn, record.durable_lsn, record.prev_check, STORE);
    write_file(segment_path(0), image.bytes, image.size);
    free(image.bytes);
    assert_int_equal(reopen(), TXKV_OK);
    assert_int_equal(seen_count, 2);
    assert_int_equal(scan.end_lsn, last_lsn);
}

/*
 * Goal: recovery claims nothing to be durable that its own sync has yet to write.
 * Method: the sync of the seal, which comes after that of the records, fails, as if power were lost
 * in both: the seal is there, and record 2 before it, which was never acknowledged, is not.
 */
static void
a_power_loss_while_recovery_syncs_is_no_damage(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 100);
    assert_int_equal(append(2, 100), TXKV_OK);
    close_log();
    good_syncs = 1;
    tx_os.fdatasync = fail_later_fdatasync;
    assert_int_equal(reopen(), TXKV_IOERR);
    tx_os = tx_os_system;
    damage(segment_path(0), last_lsn, 60, 0);
    expect_records(1);
}

static void
unfinished_files_are_removed_and_foreign_names_left_alone(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 8);
    close_log();
    write_file(path_of("next.tmp"), "x", 1);
    write_file(path_of("00000000000a0000.tmp"), "x", 1);
    write_file(path_of("notes.txt"), "x", 1);
    write_file(path_of("0000000000000003.wal"), "x", 1);
    write_file(path_of("00000000000A0000.wal"), "x", 1);
    expect_records(1);
    assert_false(exists(path_of("next.tmp")));
    assert_false(exists(path_of("00000000000a0000.tmp")));
    assert_true(exists(path_of("notes.txt")));
    assert_true(exists(path_of("0000000000000003.wal")));
    assert_true(exists(path_of("00000000000A0000.wal")));
}

/* Below the checkpoint, in the middle, or behind the end; with salvage as well. */
static void
a_segment_of_another_store_or_format_is_refused(void **state)
{
    const uint64_t lsns[] = { 0, SEGMENT, UINT64_C(7) * SEGMENT };
    struct tx_segment *s;
    uint64_t lsn;
    uint64_t check;
    uint64_t before;

    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    append_synced(2, 40000);
    append_synced(3, 40000);
    lsn = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    close_log();
    for (size_t i = 0; i < sizeof lsns / sizeof lsns[0]; i++) {
        assert_int_equal(tx_segment_create(dir, STORE + 1, lsns[i], SEGMENT, 0, &s, &err), TXKV_OK);
        before = fingerprint();
        assert_int_equal(recover_from(lsn, check, false), TXKV_CORRUPT);
        assert_non_null(strstr(err.text, "another store"));
        assert_int_equal(recover_from(lsn, check, true), TXKV_CORRUPT);
        assert_int_equal(fingerprint(), before);
        tx_put_u64(s->map + 16, STORE);
        for (uint32_t format = 0; format <= TX_SEGMENT_FORMAT + 1; format++) {
            tx_put_u32(s->map + 8, format);
            tx_put_u64(s->map + 56, tx_record_hash(s->map, 56, STORE));
            if (format != TX_SEGMENT_FORMAT)
                assert_int_equal(recover_from(lsn, check, true), TXKV_FORMAT);
        }
        tx_segment_discard(s);
    }
}

/* No record ends in a header, and a seal written there would not outlive it. */
static void
a_checkpoint_in_a_segments_header_is_refused(void **state)
{
    uint64_t before;

    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    append_synced(2, 40000);
    close_log();
    before = fingerprint();
    for (uint64_t lsn = SEGMENT + 8; lsn < SEGMENT + TX_SEGMENT_HEADER_BYTES; lsn += 8) {
        assert_int_equal(recover_from(lsn, 0, false), TXKV_CORRUPT);
        assert_non_null(strstr(err.text, "cannot be a checkpoint's"));
        assert_int_equal(recover_from(lsn, 0, true), TXKV_CORRUPT);
    }
    assert_int_equal(fingerprint(), before);
}

/* Of two files that hold the same LSNs recovery would follow one, and cut or keep the other unread.
 */
static void
a_stray_file_inside_the_one_before_is_refused(void **state)
{
    struct tx_segment *stray;
    uint64_t lsn, check, before;

    (void)state;
    expect_records(0);
    append_synced(1, 1000);
    lsn = tx_log_end_lsn(log_now);
    check = tx_log_end_check(log_now);
    append_synced(2, 1000);
    close_log();
    assert_int_equal(tx_segment_create(dir, STORE, lsn, SEGMENT, 0, &stray, &err), TXKV_OK);
    tx_segment_unref(stray);
    before = fingerprint();
    assert_int_equal(recover_from(lsn, check, false), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, "one of them is no file of this log"));
    assert_int_equal(recover_from(lsn, check, true), TXKV_CORRUPT);
    assert_int_equal(fingerprint(), before);
}

/* A checkpoint LSN that is damaged may be near the end of all LSNs, where no segment has a name. */
static void
a_log_that_has_no_larger_lsns_takes_no_record(void **state)
{
    const uint64_t last = TX_SEGMENT_LSN_LIMIT - SEGMENT;

    (void)state;
    assert_int_equal(recover_from(last, 77, false), TXKV_OK);
    assert_int_equal(append(1, 100), TXKV_FULL);
    assert_int_equal(recover_from(last - 8, 77, false), TXKV_OK);
    append_synced(1, 100);
    assert_int_equal(append(2, SEGMENT), TXKV_FULL);
    assert_int_equal(recover_from(last - 8, 77, false), TXKV_OK);
    assert_int_equal(seen_count, 1);
    assert_int_equal(recover_from(TX_SEGMENT_LSN_LIMIT, 77, false), TXKV_CORRUPT);
}

/* The log can end where a segment's first record will stand, which nobody has committed yet. */
static void
a_look_ends_before_a_segments_first_record(void **state)
{
    struct tx_record record;
    struct tx_peek *peek;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    for (uint64_t end = 0; end <= TX_SEGMENT_HEADER_BYTES; end += 8) {
        assert_int_equal(tx_peek_open(dir, STORE, &peek, &err), TXKV_OK);
        tx_peek_start(peek, 0, end, 0, 0);
        assert_int_equal(tx_peek_next(peek, &record, &err), TXKV_NOTFOUND);
        tx_peek_close(peek);
    }
}

/* LMDB is ahead of the log: after a power loss in sync=normal the log's end may be gone. */
static void
a_checkpoint_beyond_the_log_starts_an_empty_one(void **state)
{
    const uint64_t lost = UINT64_C(9) * SEGMENT + 8;
    uint64_t deleted;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    assert_int_equal(recover_from(lost, 77, false), TXKV_OK);
    assert_int_equal(scan.records, 0);
    assert_int_equal(scan.end_lsn, lost);
    append_synced(1, 100);
    assert_int_equal(last_lsn, lost + TX_SEGMENT_HEADER_BYTES);
    assert_int_equal(recover_from(lost, 77, false), TXKV_OK);
    assert_int_equal(seen_count, 1);
    assert_int_equal(tx_log_trim(log_now, lost, &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 1);
    /* Or the segment is there, and its pages are not. */
    damage(segment_path(lost), 0, 400, 0);
    assert_int_equal(recover_from(lost + 400, 78, false), TXKV_OK);
    assert_int_equal(scan.records, 0);
    append_synced(1, 100);
    assert_int_equal(recover_from(lost + 400, 78, false), TXKV_OK);
    assert_int_equal(seen_count, 1);
    assert_int_equal(recover_from(12, 0, false), TXKV_CORRUPT);
}

/* LMDB is ahead of what was synced, and of the file the records behind that have been kept, by
 * chance, and its first sector not. */
static void
a_segment_whose_header_was_never_synced_is_no_damage(void **state)
{
    uint64_t start_lsn, start_check;

    (void)state;
    expect_records(0);
    assert_int_equal(append(1, 1000), TXKV_OK);
    start_lsn = last_end;
    expect_records(1);
    start_check = scan.end_check;
    close_log();
    assert_int_equal(unlink(segment_path(0)), 0);
    expect_records(0);
    assert_int_equal(append(1, 1000), TXKV_OK);
    assert_int_equal(append(2, 1000), TXKV_OK);
    assert_int_equal(recover_from(start_lsn, start_check, false), TXKV_OK);
    assert_int_equal(seen_count, 1); /* what is behind the checkpoint, while nothing is lost */
    close_log();
    damage(segment_path(0), 0, 512, 0);
    for (int i = 0; i < 2; i++) { /* once more behind the seal of the first recovery */
        assert_int_equal(recover_from(start_lsn, start_check, false), TXKV_OK);
        assert_int_equal(seen_count, 1 + i);
        append_synced(3, 100);
    }
    close_log();
    damage(segment_path(0), start_lsn, 1000, 0); /* and when nothing of it has been kept */
    damage(segment_path(0), 0, 512, 0);
    assert_int_equal(unlink(segment_path(SEGMENT)), 0);
    assert_int_equal(unlink(segment_path(2 * SEGMENT)), 0);
    assert_int_equal(recover_from(start_lsn, start_check, false), TXKV_OK);
    assert_int_equal(seen_count, 0);
    assert_int_equal(scan.end_lsn, start_lsn);
    append_synced(2, 100);
    assert_int_equal(recover_from(start_lsn, start_check, false), TXKV_OK);
    assert_int_equal(seen_count, 1);
}

static struct tx_segment *kept;

static enum txkv_rc
keep_segment(void *arg, const struct tx_record *record, struct tx_segment *segment,
             struct txkv_error *e)
{
    (void)e;
    if (kept != NULL)
        return TXKV_OK;
    tx_segment_ref(segment);
    kept = segment;
    *(const uint8_t **)arg = record->body;
    return TXKV_OK;
}

static void
what_a_visitor_kept_stays_readable_after_the_log_is_trimmed(void **state)
{
    const struct tx_log_config config = { .dir = dir,
                                          .store_id = STORE,
                                          .segment_bytes = SEGMENT,
                                          .start_lsn = 0,
                                          .start_check = 0,
                                          .salvage = false };
    const uint8_t *body = NULL;
    uint64_t deleted;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    close_log();
    kept = NULL;
    assert_int_equal(tx_log_recover(&config, keep_segment, &body, &scan, &log_now, &err), TXKV_OK);
    append_synced(2, 100);
    assert_int_equal(tx_log_trim(log_now, tx_log_end_lsn(log_now), &deleted, &err), TXKV_OK);
    assert_int_equal(deleted, 1);
    close_log();
    assert_int_equal(tx_get_u64(body), 1);
    assert_int_equal(body[50], 51);
    tx_segment_unref(kept);
}

static void
a_recovery_that_cannot_sync_fails_and_loses_nothing(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    append_synced(2, 40000);
    close_log();
    tx_os.fdatasync = fail_fdatasync;
    assert_int_equal(reopen(), TXKV_IOERR);
    assert_null(log_now);
    tx_os = tx_os_system;
    expect_records(2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_torn_last_record_is_discarded_wherever_it_is_torn),
        TEST(a_torn_first_record_of_a_segment_is_discarded),
        TEST(a_torn_seal_ends_the_log_or_proves_damage),
        TEST(a_crash_between_a_new_segment_and_its_first_record_is_no_damage),
        TEST(a_seal_without_a_next_segment_is_the_end_of_the_log),
        TEST(unacknowledged_segments_behind_a_missing_one_are_discarded),
        TEST(a_stale_successor_does_not_come_back),
        TEST(a_record_that_does_not_continue_the_chain_ends_the_log),
        TEST(a_power_loss_while_recovery_syncs_is_no_damage),
        TEST(unfinished_files_are_removed_and_foreign_names_left_alone),
        TEST(a_segment_of_another_store_or_format_is_refused),
        TEST(a_checkpoint_in_a_segments_header_is_refused),
        TEST(a_stray_file_inside_the_one_before_is_refused),
        TEST(a_log_that_has_no_larger_lsns_takes_no_record),
        TEST(a_look_ends_before_a_segments_first_record),
        TEST(a_checkpoint_beyond_the_log_starts_an_empty_one),
        TEST(a_segment_whose_header_was_never_synced_is_no_damage),
        TEST(what_a_visitor_kept_stays_readable_after_the_log_is_trimmed),
        TEST(a_recovery_that_cannot_sync_fails_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
