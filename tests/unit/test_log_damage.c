/*
 * test_log_damage.c - how recovery tells damage from a torn tail, and what salvage keeps.
 */
#include "log_fixture.h"

#include "../../src/log_harvest.h"

static void
expect_corrupt_and_unchanged(void)
{
    const uint64_t before = fingerprint();

    assert_int_equal(reopen(), TXKV_CORRUPT);
    assert_null(log_now);
    assert_int_equal(err.rc, TXKV_CORRUPT);
    assert_int_equal(fingerprint(), before);
}

static void
damage_before_an_acknowledged_record_is_corruption(void **state)
{
    uint64_t lsn;
    uint64_t end;
    char text[32];

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    append_synced(2, 21);
    lsn = last_lsn;
    end = last_end;
    append_synced(3, 100);
    close_log();
    for (uint64_t at = lsn; at < end; at++) {
        damage(segment_path(0), at, 1, 0x08);
        expect_corrupt_and_unchanged();
        (void)snprintf(text, sizeof text, "(LSN %llu)", (unsigned long long)lsn);
        assert_non_null(strstr(err.text, text));
        assert_non_null(strstr(err.text, segment_path(0)));
        damage(segment_path(0), at, 1, 0x08);
    }
    expect_records(3);
}

/* The proof may stand in the rest of the segment or in any later one. */
static void
damage_in_an_earlier_segment_is_corruption(void **state)
{
    struct image image;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 6; n++)
        append_synced(n, 40000);
    close_log();
    for (uint64_t i = 0; i < 5; i++) {
        damage(segment_path(i * SEGMENT), 20000, 1, 1);
        expect_corrupt_and_unchanged();
        damage(segment_path(i * SEGMENT), 20000, 1, 1);

        damage(segment_path(i * SEGMENT), 30, 1, 1);
        expect_corrupt_and_unchanged();
        damage(segment_path(i * SEGMENT), 30, 1, 1);

        image = read_image(segment_path(i * SEGMENT));
        assert_int_equal(unlink(segment_path(i * SEGMENT)), 0);
        expect_corrupt_and_unchanged();
        write_file(segment_path(i * SEGMENT), image.bytes, 0);
        expect_corrupt_and_unchanged();
        write_file(segment_path(i * SEGMENT), image.bytes, 30000);
        expect_corrupt_and_unchanged();
        write_file(segment_path(i * SEGMENT), image.bytes, image.size);
        free(image.bytes);
    }
    expect_records(6);
}

/* Nothing later proves anything, but no crash leaves a whole record behind a broken header. */
static void
a_damaged_header_before_a_whole_record_is_corruption(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 40000);
    append_synced(2, 40000);
    close_log();
    damage(segment_path(SEGMENT), 40, 1, 1);
    expect_corrupt_and_unchanged();
    damage(segment_path(SEGMENT), 40, 1, 1);
    expect_records(2);
}

static void
salvage_keeps_a_copy_and_goes_on_before_the_damage(void **state)
{
    struct image first;
    struct image copy;
    char name[128];
    uint64_t lsn;

    (void)state;
    expect_records(0);
    append_synced(1, 30000);
    lsn = last_end;
    for (uint64_t n = 2; n <= 8; n++)
        append_synced(n, 30000);
    close_log();
    damage(segment_path(0), lsn + 100, 1, 1);
    first = read_image(segment_path(0));
    assert_int_equal(recover_from(0, 0, true), TXKV_OK);
    assert_int_equal(seen_count, 1);
    assert_int_equal(scan.end_lsn, lsn);
    assert_int_equal(scan.salvaged_files, 4);
    assert_true(scan.bytes_discarded > 200000);
    assert_false(exists(segment_path(SEGMENT)));
    (void)snprintf(name, sizeof name, "salvaged-%llx/0000000000000000.wal",
                   (unsigned long long)lsn);
    copy = read_image(path_of(name));
    assert_int_equal(copy.size, first.size);
    assert_memory_equal(copy.bytes, first.bytes, first.size);
    (void)snprintf(name, sizeof name, "salvaged-%llx/0000000000030000.wal",
                   (unsigned long long)lsn);
    assert_true(exists(path_of(name)));
    append_synced(2, 8);
    append_synced(3, 8);
    expect_records(3);
    close_log();
    /* A second salvage at the same place keeps the first one's copies. */
    damage(segment_path(0), lsn, 1, 1);
    expect_corrupt_and_unchanged();
    assert_int_equal(recover_from(0, 0, true), TXKV_OK);
    assert_int_equal(seen_count, 1);
    (void)snprintf(name, sizeof name, "salvaged-%llx-2/0000000000010000.wal",
                   (unsigned long long)lsn);
    assert_true(exists(path_of(name)));
    free(first.bytes);
    free(copy.bytes);
}

static void
salvage_of_a_log_without_damage_is_recovery(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 100);
    append_synced(2, 100);
    close_log();
    damage(segment_path(0), last_lsn, 20, 0);
    assert_int_equal(recover_from(0, 0, true), TXKV_OK);
    assert_int_equal(seen_count, 1);
    assert_int_equal(scan.salvaged_files, 0);
}

static ssize_t
fail_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    (void)fd;
    (void)buffer;
    (void)bytes;
    (void)offset;
    errno = ENOSPC;
    return -1;
}

static void
a_salvage_that_cannot_copy_changes_nothing(void **state)
{
    uint64_t before;

    (void)state;
    expect_records(0);
    for (uint64_t n = 1; n <= 3; n++)
        append_synced(n, 30000);
    close_log();
    damage(segment_path(0), 100, 1, 1);
    before = fingerprint();
    tx_os.pwrite = fail_pwrite;
    assert_int_equal(recover_from(0, 0, true), TXKV_FULL);
    tx_os = tx_os_system;
    assert_int_equal(fingerprint(), before);
    assert_int_equal(recover_from(0, 0, true), TXKV_OK);
    assert_int_equal(seen_count, 0);
    append_synced(1, 8);
    expect_records(1);
}

/*
 * Goal: a harvest takes nothing from behind a segment's end.
 * Method: a segment has another one's name, so that its header alone says where it belongs, and
 * behind its end the file goes on, with an intact record in the right place.
 */
static void
what_stands_behind_a_segments_end_is_not_harvested(void **state)
{
    uint8_t record[TX_RECORD_HEADER_BYTES] = { 0 };
    struct tx_harvest harvest;
    int fd;

    (void)state;
    expect_records(0);
    append_synced(1, 100);
    close_log();
    assert_int_equal(rename(segment_path(0), segment_path(UINT64_C(8) * SEGMENT)), 0);
    tx_record_finish_body(record, TX_RECORD_TXN, 0, STORE);
    (void)tx_record_finish_header(record, SEGMENT, 0, 0, STORE);
    fd = open(segment_path(UINT64_C(8) * SEGMENT), O_WRONLY);
    assert_int_equal(pwrite(fd, record, sizeof record, SEGMENT), sizeof record);
    (void)close(fd);
    assert_int_equal(tx_harvest(dir, STORE, &harvest, &err), TXKV_OK);
    assert_int_equal(harvest.count, 1);
    assert_int_equal(harvest.records[0].lsn, TX_SEGMENT_HEADER_BYTES);
    assert_int_equal(harvest.end_lsn, SEGMENT);
    tx_harvest_free(&harvest);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(damage_before_an_acknowledged_record_is_corruption),
        TEST(damage_in_an_earlier_segment_is_corruption),
        TEST(a_damaged_header_before_a_whole_record_is_corruption),
        TEST(salvage_keeps_a_copy_and_goes_on_before_the_damage),
        TEST(salvage_of_a_log_without_damage_is_recovery),
        TEST(a_salvage_that_cannot_copy_changes_nothing),
        TEST(what_stands_behind_a_segments_end_is_not_harvested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
