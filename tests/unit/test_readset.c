/*
 * test_readset.c - the ranges that a transaction has read: what they cover, and that joining them
 * hides nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../../src/hashidx.h"
#include "../../src/mem.h"
#include "../../src/readset.h"

static struct tx_readset set;
static struct txkv_error err;
static uint64_t live_before;

static int
setup(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    tx_readset_init(&set);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    tx_readset_free(&set);
    return tx_mem_live() == live_before ? 0 : -1;
}

/* NULL: the table's end. */
static struct tx_key
key_in(uint32_t table, const char *text)
{
    return (struct tx_key){ (const uint8_t *)text, text == NULL ? 0 : (uint32_t)strlen(text),
                            table };
}

static void
add(const char *lo, const char *hi)
{
    const struct tx_key l = key_in(1, lo), h = key_in(1, hi);

    assert_int_equal(tx_readset_add(&set, &l, &h, &err), TXKV_OK);
}

static bool
covers(const char *text)
{
    const struct tx_key key = key_in(1, text);

    return tx_readset_covers(&set, &key, tx_key_hash(&key));
}

static void
an_empty_set_covers_nothing(void **state)
{
    (void)state;
    tx_readset_seal(&set);
    assert_false(covers("a"));
}

static void
a_point_covers_its_key_alone(void **state)
{
    const struct tx_key key = key_in(1, "b"), other = key_in(2, "b");

    (void)state;
    assert_int_equal(tx_readset_add_point(&set, &key, tx_key_hash(&key), &err), TXKV_OK);
    tx_readset_seal(&set);
    assert_true(covers("b"));
    assert_false(covers("a"));
    assert_false(covers("b\x01"));
    assert_false(covers("c"));
    assert_false(tx_readset_covers(&set, &other, tx_key_hash(&other)));
    tx_readset_reset(&set);
    assert_false(covers("b"));
}

/*
 * Goal: no point is lost as the table grows, the hash 0 included, and no set grows without limit.
 * Method: so many points that it doubles often; then more than are kept, after which all count.
 */
static void
every_point_that_was_added_stays_covered(void **state)
{
    const struct tx_key key = key_in(1, "never added");

    (void)state;
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(tx_readset_add_point(&set, &key, i * 0x9e3779b97f4a7c15u, &err), TXKV_OK);
    for (uint64_t i = 0; i < 100000; i++)
        assert_true(tx_readset_covers(&set, &key, i * 0x9e3779b97f4a7c15u));
    assert_false(covers("never added"));
    for (uint64_t i = 0; i < 5000000; i++)
        assert_int_equal(tx_readset_add_point(&set, &key, i * 0x9e3779b97f4a7c15u, &err), TXKV_OK);
    assert_true(covers("never added"));
    assert_null(set.points); /* 64 MiB that say nothing any more */
}

static void
a_range_covers_both_of_its_ends(void **state)
{
    (void)state;
    add("m", "p");
    add("b", "d");
    tx_readset_seal(&set);
    assert_false(covers("a"));
    assert_true(covers("b"));
    assert_true(covers("c"));
    assert_true(covers("d"));
    assert_false(covers("da"));
    assert_true(covers("m"));
    assert_true(covers("p"));
    assert_false(covers("q"));
}

static void
an_open_end_covers_the_rest_of_the_table_and_no_other(void **state)
{
    const struct tx_key other = key_in(2, "z"), before = key_in(0, "z");

    (void)state;
    add("m", NULL);
    add(NULL, "b");
    tx_readset_seal(&set);
    assert_true(covers("\x01"));
    assert_true(covers("b"));
    assert_false(covers("c"));
    assert_true(covers("m"));
    assert_true(covers("\xff\xff"));
    assert_false(tx_readset_covers(&set, &other, tx_key_hash(&other)));
    assert_false(tx_readset_covers(&set, &before, tx_key_hash(&before)));
    add(NULL, NULL);
    tx_readset_seal(&set);
    assert_int_equal(set.count, 1);
    assert_true(covers("c"));
}

static void
a_range_inside_another_does_not_shorten_it(void **state)
{
    (void)state;
    add("a", "z");
    add("c", "d");
    add("b", NULL);
    add("e", "f");
    tx_readset_seal(&set);
    assert_int_equal(set.count, 1);
    assert_true(covers("zz"));
}

/* What a transaction reads again and again takes no memory; what is wider, or elsewhere, is kept.
 */
static void
a_range_that_is_read_again_takes_no_room(void **state)
{
    const struct tx_key low = key_in(2, "c"), high = key_in(2, "d");
    uint64_t bytes;

    (void)state;
    add("b", "d");
    bytes = set.arena.bytes;
    for (int i = 0; i < 100000; i++) {
        add("b", "d");
        add("c", "c");
    }
    assert_int_equal(set.count, 1);
    assert_int_equal(set.arena.bytes, bytes);
    add("b", "e");
    add("a", "e");
    add("a", NULL);
    add("x", NULL);
    assert_int_equal(set.count, 4);
    assert_int_equal(tx_readset_add(&set, &low, &high, &err), TXKV_OK);
    add(NULL, "b");
    assert_int_equal(set.count, 6);
    tx_readset_seal(&set);
    assert_int_equal(set.count, 2);
    assert_true(covers("\x01"));
    assert_true(covers("zz"));
    assert_true(tx_readset_covers(&set, &low, tx_key_hash(&low)));
}

static void
keys_are_copied(void **state)
{
    char text[] = "b";

    (void)state;
    add(text, text);
    text[0] = 'x';
    tx_readset_seal(&set);
    assert_true(covers("b"));
    assert_false(covers("x"));
}

/* Ranges in any order, some empty (lo above hi), against a bitmap of two-letter keys. */
static void
sealing_covers_exactly_what_was_added(void **state)
{
    uint32_t random = 99;

    (void)state;
    for (int round = 0; round < 300; round++) {
        bool expected[26] = { false };

        for (int n = 0; n < 12; n++) {
            char lo[2] = "a", hi[2] = "a";
            int l, h;

            random = random * 1103515245 + 12345;
            l = (int)(random >> 16) % 26;
            random = random * 1103515245 + 12345;
            h = l - 2 + (int)((random >> 16) % 5);
            if (h < 0 || h > 25)
                h = l;
            lo[0] = (char)('a' + l);
            hi[0] = (char)('a' + h);
            add(lo, hi);
            for (int i = l; i <= h; i++)
                expected[i] = true;
            if (n == 6)
                tx_readset_seal(&set); /* as a commit that is tried again does */
        }
        tx_readset_seal(&set);
        for (int c = 'a'; c <= 'z'; c++) {
            const char text[2] = { (char)c, '\0' };

            assert_int_equal(covers(text), expected[c - 'a']);
        }
        tx_readset_reset(&set);
    }
}

/* Beyond its limit the set joins neighbours: it may cover more then, and never less. */
static void
a_set_past_its_limit_still_covers_all_that_was_read(void **state)
{
    enum { READS = 300000, STEP = 997 };
    char key[16];

    (void)state;
    add("00000000z", "00000000a"); /* an empty range must not shorten a neighbour */
    add("00000000", "00000000q");
    for (uint32_t i = 0; i < READS; i++) {
        (void)snprintf(key, sizeof key, "%08u", i * 7 % READS * 2);
        add(key, key);
    }
    tx_readset_seal(&set);
    assert_true(set.count < READS / 3 * 2);
    assert_true(covers("00000000m"));
    for (uint32_t i = 0; i < READS; i += STEP) {
        (void)snprintf(key, sizeof key, "%08u", i * 2);
        assert_true(covers(key));
    }
    tx_readset_reset(&set);
    assert_int_equal(set.room, 0); /* a large array is given back */
}

/* Two neighbours of which the second is empty, joined: the first one's end must stay. They come
 * from above, where none lies in the one before it. */
static void
joining_with_an_empty_range_does_not_shorten(void **state)
{
    enum { LIMIT = 1 << 18 };
    char lo[16], hi[16];

    (void)state;
    for (uint32_t i = LIMIT; i-- > 0;) {
        (void)snprintf(lo, sizeof lo, "%08u", i);
        (void)snprintf(hi, sizeof hi, i % 2 == 0 ? "%08um" : "0", i);
        add(lo, hi);
    }
    assert_int_equal(set.count, LIMIT);
    add("x", "x"); /* joins */
    tx_readset_seal(&set);
    for (uint32_t i = 0; i < LIMIT; i += 2 * 997) {
        (void)snprintf(hi, sizeof hi, "%08uc", i);
        assert_true(covers(hi));
    }
}

static void
a_range_without_memory_leaves_the_others(void **state)
{
    const struct tx_key c = key_in(1, "c"), d = key_in(1, "d");
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_readset_free(&set);
        tx_mem_fail_at(n, false);
        rc = tx_readset_add(&set, &c, &d, &err);
        tx_mem_fail_at(0, false);
        assert_int_equal(set.count, rc == TXKV_OK);
        assert_true(n < 10);
    }
    tx_readset_seal(&set);
    assert_true(covers("c"));
}

/*
 * Goal: ranges with long ends do not take memory without a limit, and still cover what they
 * covered. Method: far more of them than the limit allows whole; each is asked for its ends and its
 * middle.
 */
static void
many_long_ends_are_cut_and_hide_nothing(void **state)
{
    enum { RANGES = 3000, BYTES = 65536 };
    static uint8_t lo[BYTES], hi[BYTES], low[100];
    struct tx_key l = { lo, BYTES, 1 }, h = { hi, BYTES, 1 };
    const struct tx_key below = { low, sizeof low, 1 }, other = { lo, BYTES, 2 };

    (void)state;
    memset(lo, 0xff, sizeof lo);
    memset(hi, 0xff, sizeof hi);
    for (uint32_t i = 0; i < 2 * RANGES; i++) { /* written, then looked for */
        lo[0] = hi[0] = (uint8_t)(1 + i % RANGES / 250);
        lo[1] = hi[1] = (uint8_t)(1 + i % 250);
        lo[2] = 'a';
        hi[2] = i % 2 == 0 ? 'b' : 0xff; /* all that is left of the end is 0xff */
        lo[BYTES - 1] = 5;
        if (i < RANGES)
            assert_int_equal(tx_readset_add(&set, &l, &h, &err), TXKV_OK);
        if (i == RANGES - 1)
            tx_readset_seal(&set);
        if (i >= RANGES) {
            assert_true(tx_readset_covers(&set, &l, tx_key_hash(&l)));
            assert_true(tx_readset_covers(&set, &h, tx_key_hash(&h)));
            hi[2] = 'a';
            assert_true(tx_readset_covers(&set, &h, tx_key_hash(&h)));
        }
    }
    assert_true(set.arena.bytes < 80U << 20);
    memset(low, 1, sizeof low);
    assert_false(tx_readset_covers(&set, &below, tx_key_hash(&below)));
    assert_false(tx_readset_covers(&set, &other, tx_key_hash(&other)));
    memset(hi, 0xff, sizeof hi); /* an end that nothing is above when it is cut */
    lo[0] = 0xf0;
    assert_int_equal(tx_readset_add(&set, &l, &h, &err), TXKV_OK);
    tx_readset_seal(&set);
    assert_true(tx_readset_covers(&set, &h, tx_key_hash(&h)));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_set_covers_nothing),
        TEST(a_point_covers_its_key_alone),
        TEST(every_point_that_was_added_stays_covered),
        TEST(a_range_covers_both_of_its_ends),
        TEST(an_open_end_covers_the_rest_of_the_table_and_no_other),
        TEST(a_range_inside_another_does_not_shorten_it),
        TEST(a_range_that_is_read_again_takes_no_room),
        TEST(keys_are_copied),
        TEST(sealing_covers_exactly_what_was_added),
        TEST(a_set_past_its_limit_still_covers_all_that_was_read),
        TEST(joining_with_an_empty_range_does_not_shorten),
        TEST(a_range_without_memory_leaves_the_others),
        TEST(many_long_ends_are_cut_and_hide_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
