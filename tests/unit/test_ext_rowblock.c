/*
 * test_ext_rowblock.c - the types of 16 columns together: the functions that use the processor's
 * own instructions and those in plain C do what is said of them, whatever the bytes.
 *
 * Where the processor has no instructions for it the two are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/rowblock.h"

/* The header once more, with other names, for plain C. */
#undef TX_ROWBLOCK_H
#undef TX_ROW_BLOCK_PLAIN
#define TX_ROW_BLOCK_PLAIN
#define tx_row_block           plain_row_block
#define tx_row_block_load      plain_row_block_load
#define tx_row_block_load_half plain_row_block_load_half
#define tx_row_block_store     plain_row_block_store
#define tx_row_block_first     plain_row_block_first
#define tx_row_block_join      plain_row_block_join
#define tx_row_block_long      plain_row_block_long
#define tx_row_block_sizes     plain_row_block_sizes
#define tx_row_block_sum       plain_row_block_sum
#define tx_row_block_masks     plain_row_block_masks
#define tx_row_word_long       plain_row_word_long
#define tx_row_word_from       plain_row_word_from
#define tx_row_word_sizes      plain_row_word_sizes
#include "../../ext/rowblock.h"
#undef tx_row_block
#undef tx_row_block_load
#undef tx_row_block_load_half
#undef tx_row_block_store
#undef tx_row_block_first
#undef tx_row_block_join
#undef tx_row_block_long
#undef tx_row_block_sizes
#undef tx_row_block_sum

enum { RANDOM_BLOCKS = 200000, N = TX_ROW_BLOCK };

/* What there is to know of 16 bytes, and of a place in them. */
struct facts {
    uint8_t half[N], first[N], joined[N], sizes[N];
    uint32_t sum;
    unsigned longs;
};

#define DEFINE_FACTS(prefix)                                                                       \
    static struct facts prefix##_facts(const uint8_t *bytes, size_t place)                         \
    {                                                                                              \
        const struct prefix##_row_block all = prefix##_row_block_load(bytes);                      \
        struct facts facts;                                                                        \
                                                                                                   \
        prefix##_row_block_store(facts.half, prefix##_row_block_load_half(bytes));                 \
        prefix##_row_block_store(facts.first, prefix##_row_block_first(all, place));               \
        prefix##_row_block_store(facts.joined, prefix##_row_block_join(all, place % N));           \
        prefix##_row_block_store(facts.sizes, prefix##_row_block_sizes(all));                      \
        facts.sum = prefix##_row_block_sum(all);                                                   \
        facts.longs = prefix##_row_block_long(all);                                                \
        return facts;                                                                              \
    }

DEFINE_FACTS(tx)
DEFINE_FACTS(plain)

/* The same, one byte after the other. */
static struct facts
true_facts(const uint8_t *bytes, size_t place)
{
    struct facts facts = { .sum = 0 };

    for (size_t i = 0; i < N; i++) {
        facts.half[i] = i < N / 2 ? bytes[i] : 0;
        facts.first[i] = i < place ? bytes[i] : 0;
        if (i < place % N)
            facts.joined[i] = bytes[i];
        else if (i > place % N && i + 1 < N)
            facts.joined[i] = bytes[i + 1];
        facts.sizes[i] = bytes[i] < 128 ? (uint8_t)tx_row_bytes_of_type(bytes[i]) : 0;
        facts.sum += bytes[i];
        facts.longs |= bytes[i] < 128 ? 0 : 1u << i;
    }
    return facts;
}

/* Of a type that has a second byte the size may be anything. */
static void
assert_facts(const uint8_t *bytes, const struct facts *facts, const struct facts *expected)
{
    assert_memory_equal(facts->half, expected->half, N);
    assert_memory_equal(facts->first, expected->first, N);
    assert_memory_equal(facts->joined, expected->joined, N);
    for (size_t i = 0; i < N; i++)
        if (bytes[i] < 128)
            assert_int_equal(facts->sizes[i], expected->sizes[i]);
    assert_int_equal(facts->sum, expected->sum);
    assert_int_equal(facts->longs, expected->longs);
}

static void
assert_both(const uint8_t *bytes, size_t place)
{
    const struct facts expected = true_facts(bytes, place);
    const struct facts own = tx_facts(bytes, place), plain = plain_facts(bytes, place);

    assert_facts(bytes, &own, &expected);
    assert_facts(bytes, &plain, &expected);
}

static void
random_bytes_mean_the_same_to_both(void **state)
{
    static const size_t limits[] = { 46, 128, 256 };

    (void)state;
    for (int i = 0; i < RANDOM_BLOCKS; i++) {
        const size_t limit = limits[random_below(3)];
        uint8_t bytes[N];

        for (size_t j = 0; j < N; j++)
            bytes[j] = (uint8_t)random_below(limit);
        assert_both(bytes, random_below(N + 1));
    }
}

/* Goal: no byte changes another one. Method: each byte, at each place, among zeros and among the
 * greatest. */
static void
each_byte_at_each_place_means_the_same_to_both(void **state)
{
    static const int around[] = { 0, 127, 255 };
    uint8_t bytes[N];

    (void)state;
    for (size_t a = 0; a < sizeof(around) / sizeof(around[0]); a++)
        for (unsigned byte = 0; byte < 256; byte++)
            for (size_t i = 0; i < N; i++) {
                memset(bytes, around[a], sizeof(bytes));
                bytes[i] = (uint8_t)byte;
                for (size_t place = 0; place <= N; place++)
                    assert_both(bytes, place);
            }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_mean_the_same_to_both),
        cmocka_unit_test(each_byte_at_each_place_means_the_same_to_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
