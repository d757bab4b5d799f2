/*
 * test_stretch.c - rows copied out of a log's segments, in the log's order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/stretch.h"
#include "temp_dir.h"

enum {
    MIB = 1 << 20,
    SEGMENTS = 3,
    SEGMENT_BYTES = 24 * MIB,
    ROWS = 40000,
    KEY_BYTES = 16,
    VALUE_BYTES = 700,
    LONG_BYTES = 5000
};

static char dir[TEMP_DIR_BYTES];
static struct tx_segment *segments[SEGMENTS];
static struct tx_memtable *memtables[2];
static struct tx_stretch stretch;
static struct txkv_error err;
static uint64_t live_before;

#define OK(call) assert_int_equal((call), TXKV_OK)

static int
setup(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    if (!temp_dir_make(dir))
        return -1;
    for (uint64_t i = 0; i < SEGMENTS; i++)
        OK(tx_segment_create(dir, 7, i * SEGMENT_BYTES, SEGMENT_BYTES, 0, &segments[i], &err));
    for (uint32_t i = 0; i < 2; i++) {
        OK(tx_memtable_create(0, false, &memtables[i], &err));
        OK(tx_memtable_pin_segment(memtables[i], segments[i])); /* the middle one is in both */
        OK(tx_memtable_pin_segment(memtables[i], segments[i + 1]));
        tx_memtable_account(memtables[i], 0, i == 0 ? 1000 : TX_MEMTABLE_LARGE, 1);
    }
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    tx_stretch_free(&stretch);
    for (uint32_t i = 0; i < 2; i++)
        tx_memtable_free(memtables[i]);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        tx_segment_unref(segments[i]);
    return temp_dir_remove(dir) && tx_mem_live() == live_before ? 0 : -1;
}

/* Where the bytes of a row stand that is the n-th of the log. */
static uint8_t *
place_of(uint64_t n)
{
    const uint64_t at = n * 1700 % (SEGMENTS * (uint64_t)SEGMENT_BYTES - SEGMENTS * 8192);

    return segments[at / (SEGMENT_BYTES - 8192)]->map + 64 + at % (SEGMENT_BYTES - 8192);
}

/* Rows of each kind: the value behind its key, or in another record; deleted; too long to copy. */
static struct tx_row
row_of(uint32_t i)
{
    struct tx_row row = { .table = i, .key_bytes = KEY_BYTES, .value_bytes = VALUE_BYTES };

    row.key = place_of((uint64_t)i * 7919 % ROWS);
    row.value = row.key + KEY_BYTES;
    if (i % 5 == 1)
        row.value = place_of((uint64_t)(i + 1) * 6151 % ROWS) + KEY_BYTES;
    if (i % 7 == 2) {
        row.value = NULL;
        row.value_bytes = 0;
    }
    if (i % 1000 == 3)
        row.value_bytes = LONG_BYTES;
    return row;
}

/* Each place says which it is. */
static void
write_log(void)
{
    for (uint64_t n = 0; n < ROWS; n++) {
        uint8_t *at = place_of(n);

        for (uint32_t i = 0; i < KEY_BYTES + VALUE_BYTES; i += 4) {
            const uint32_t word = (uint32_t)n * 1000 + i;

            memcpy(at + i, &word, 4);
        }
    }
}

static void
expect_row(uint32_t i, const struct tx_row *row, bool copied)
{
    const struct tx_row want = row_of(i);

    assert_int_equal(row->table, i);
    assert_int_equal(row->key_bytes, want.key_bytes);
    assert_int_equal(row->value_bytes, want.value_bytes);
    assert_memory_equal(row->key, want.key, want.key_bytes);
    assert_int_equal(row->value == NULL, want.value == NULL);
    if (want.value != NULL)
        assert_memory_equal(row->value, want.value, want.value_bytes);
    copied = copied && want.value_bytes <= VALUE_BYTES;
    assert_int_equal(row->key == want.key, !copied);
    assert_int_equal(row->value == want.value, !copied || want.value == NULL);
}

/* All rows, stretch by stretch; how many stretches it took. */
static uint32_t
expect_all(uint64_t bytes, bool copied)
{
    uint32_t stretches = 0;

    for (uint32_t i = 0; i < ROWS; stretches++) {
        uint32_t first = i;

        tx_stretch_clear(&stretch, bytes);
        while (i < ROWS && tx_stretch_has_room(&stretch)) {
            const struct tx_row row = row_of(i++);

            tx_stretch_add(&stretch, &row);
        }
        tx_stretch_copy(&stretch);
        assert_int_equal(stretch.count, i - first);
        for (uint32_t n = 0; n < stretch.count; n++)
            expect_row(first + n, &stretch.rows[n], copied);
    }
    return stretches;
}

static void
rows_are_copied_from_wherever_they_stand(void **state)
{
    (void)state;
    write_log();
    OK(tx_stretch_init(&stretch, memtables, 2, 4 * MIB));
    assert_non_null(stretch.order);
    assert_int_equal(stretch.range_count, SEGMENTS);
    assert_in_range(expect_all(4 * MIB, true), 6, 9);
    assert_in_range(expect_all(MIB, true), 24, 32);
    tx_stretch_shrink(&stretch, 2 * MIB);
    tx_stretch_shrink(&stretch, 3 * MIB); /* nothing: it has less */
    assert_in_range(expect_all(4 * MIB, true), 12, 17);
}

static void
without_a_large_transaction_they_are_copied_in_their_order(void **state)
{
    (void)state;
    write_log();
    memtables[1]->largest = TX_MEMTABLE_LARGE - 1;
    OK(tx_stretch_init(&stretch, memtables, 2, 4 * MIB));
    assert_null(stretch.order);
    (void)expect_all(4 * MIB, true);
}

static void
without_copies_they_stand_where_they_stood(void **state)
{
    (void)state;
    write_log();
    OK(tx_stretch_init(&stretch, memtables, 2, 0));
    (void)expect_all(4 * MIB, false);
}

/* What of the process is mapped from files, in bytes. */
static uint64_t
file_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long kb, sum = 0;
    char line[200];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssFile: %llu", &kb) == 1 || sscanf(line, "RssShmem: %llu", &kb) == 1)
            sum += kb;
    (void)fclose(f);
    return sum * 1024;
}

/* Goal: after a stretch hardly more of the log is in memory than before. Its last part may be,
 * where it is too short to be let go of. */
static void
the_log_is_let_go_of_on_the_way(void **state)
{
    uint64_t before;

    (void)state;
    write_log();
    OK(tx_stretch_init(&stretch, memtables, 2, 4 * MIB));
    for (uint32_t i = 0; i < 2; i++)
        tx_memtable_let_go(memtables[i]);
    before = file_bytes();
    tx_stretch_clear(&stretch, 4 * MIB);
    for (uint32_t i = 0; tx_stretch_has_room(&stretch); i++) {
        const struct tx_row row = row_of(i);

        tx_stretch_add(&stretch, &row);
    }
    tx_stretch_copy(&stretch);
    assert_true(file_bytes() < before + 4 * MIB);
    (void)expect_all(4 * MIB, true);               /* which looks at the log again */
    assert_true(file_bytes() > before + 32 * MIB); /* or there would be nothing to let go of */
}

static void
without_memory_nothing_is_kept(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;
    uint64_t n = 0;

    (void)state;
    while (rc != TXKV_OK) {
        const uint64_t live = tx_mem_live();

        tx_mem_fail_at(++n, false);
        rc = tx_stretch_init(&stretch, memtables, 2, 4 * MIB);
        tx_mem_fail_at(0, false);
        assert_true(rc == TXKV_OK || (rc == TXKV_NOMEM && tx_mem_live() == live));
    }
    assert_int_equal(n, 6);
    tx_mem_fail_at(1, true);
    tx_stretch_shrink(&stretch, MIB); /* no error: the memory is not given back */
    tx_mem_fail_at(0, false);
    write_log();
    assert_in_range(expect_all(4 * MIB, true), 24, 32);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_copied_from_wherever_they_stand),
        TEST(without_a_large_transaction_they_are_copied_in_their_order),
        TEST(without_copies_they_stand_where_they_stood),
        TEST(the_log_is_let_go_of_on_the_way),
        TEST(without_memory_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
