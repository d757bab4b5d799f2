/*
 * test_keysort.c - sorting keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../src/keysort.h"
#include "../../src/mem.h"

enum { COUNT_MAX = 70000 /* enough for two threads */, KEY_MAX = 40 };

struct keys {
    struct tx_key keys[COUNT_MAX];
    uint8_t bytes[COUNT_MAX][KEY_MAX];
};

static struct keys keys;
static struct tx_sort_item items[COUNT_MAX];
static uint64_t state_of_random;

static uint32_t
below(uint32_t limit)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state_of_random >> 33) % limit);
}

static struct tx_key
key_of(const void *arg, uint32_t index)
{
    return ((const struct keys *)arg)->keys[index];
}

/* Keys that begin alike, of few different bytes, some of them twice, of several tables or of one.
 */
static void
make_keys(uint32_t count, uint32_t shared, uint32_t rest_max, uint32_t letters, uint32_t tables)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bytes = shared + 1 + below(rest_max);

        memset(keys.bytes[i], 'u', shared);
        for (uint32_t at = shared; at < bytes; at++)
            keys.bytes[i][at] = (uint8_t)below(letters);
        keys.keys[i] = (struct tx_key){ keys.bytes[i], bytes, 1 + below(tables) * 300 };
        items[i].index = i;
    }
}

static void
check_sorted(uint32_t count)
{
    static bool met[COUNT_MAX];

    memset(met, 0, sizeof(met));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = items[i].index;
        int order = -1;

        assert_true(index < count && !met[index]);
        met[index] = true;
        if (i > 0)
            order = tx_key_compare(&keys.keys[items[i - 1].index], &keys.keys[index]);
        assert_true(order < 0 || (order == 0 && items[i - 1].index < index));
    }
}

/* Goal: every kind of key comes out in order, and equal ones in the order of their index, however
 * many there are and whether there is memory for the quick way. */
static void
keys_come_out_in_order(void **state)
{
    static const uint32_t counts[] = { 0, 1, 2, 3, 100, 511, 512, 513, 6000 };
    static const uint32_t letters[] = { 1, 2, 10, 256 };

    (void)state;
    for (uint32_t seed = 0; seed < 400; seed++) {
        const uint32_t count = counts[seed % (sizeof(counts) / sizeof(counts[0]))];

        state_of_random = seed;
        make_keys(count, below(20), 1 + below(20), letters[below(4)], 1 + below(3));
        tx_mem_fail_at(seed % 2, true);
        tx_keysort(items, count, key_of, &keys);
        tx_mem_fail_at(0, false);
        check_sorted(count);
    }
}

/* The same of what two threads sort, where they have enough to do. */
static void
keys_sorted_by_two_come_out_in_order(void **state)
{
    static const uint32_t counts[] = { 0, 1, 2, 700, COUNT_MAX - 1, COUNT_MAX };
    static const uint32_t letters[] = { 2, 10, 256 };

    (void)state;
    for (uint32_t seed = 0; seed < 48; seed++) {
        const uint32_t count = counts[seed % (sizeof(counts) / sizeof(counts[0]))];

        state_of_random = seed;
        make_keys(count, below(20), 1 + below(20), letters[below(3)], 1 + below(3));
        if (seed % 5 == 0 && count > 0) /* one alone begins otherwise: all are filled in again */
            keys.bytes[below(count)][0] = 'a';
        tx_mem_fail_at(seed % 7 == 0, true);
        tx_keysort_by_two(items, count, key_of, &keys);
        tx_mem_fail_at(0, false);
        check_sorted(count);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keys_come_out_in_order),
                                        cmocka_unit_test(keys_sorted_by_two_come_out_in_order) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
