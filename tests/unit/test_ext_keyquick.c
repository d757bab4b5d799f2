/*
 * test_ext_keyquick.c - integers of keys that are read at once: the same as the other way says, and
 * no look at a page that is not the key's, whatever stands around it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../ext/keycodec.h"
#include "guard_page.h"

enum { RANDOM_KEYS = 1000000, PLACES = 20 /* before the page's end */ };

/* The key of an integer, wherever it ends before the page does. */
static void
assert_read(int64_t integer)
{
    const struct tx_cell cell = { .type = SQLITE_INTEGER, .integer = integer };
    struct tx_keybuf key;

    assert_int_equal(tx_key_encode_cell(&cell, &key), TX_KEY_OK);
    for (size_t behind = 0; behind < PLACES; behind++) {
        uint8_t *copy = pages + PAGE_BYTES - behind - key.bytes;
        int64_t quick = 0;
        bool read;

        memset(pages + PAGE_BYTES - 64, (int)(behind * 37 % 256), 64);
        memcpy(copy, key.data, key.bytes);
        read = tx_key_quick_integer(copy, key.bytes, &quick);
        assert_int_equal(read, integer > 0 && key.bytes + behind > sizeof(int64_t));
        assert_int_equal(quick, read ? integer : quick);
    }
}

static void
all_above_zero_are_read_but_at_a_pages_end(void **state)
{
    (void)state;
    for (int bits = 0; bits < 64; bits++)
        for (int64_t near = -3; near <= 3; near++) {
            const uint64_t v = (UINT64_C(1) << bits) + (uint64_t)near;

            assert_read((int64_t)v);
            assert_read((int64_t)(0 - v));
        }
    for (int64_t v = -70000; v < 70000; v += 7)
        assert_read(v);
}

/* Goal: of bytes that nothing writes no more is read than the other way reads. */
static void
what_is_no_integer_is_not_read(void **state)
{
    uint8_t *const key = pages + 128;
    size_t count = 0;

    (void)state;
    for (int i = 0; i < RANDOM_KEYS; i++) {
        const size_t bytes = 1 + (size_t)rand() % 10;
        int64_t quick, integer;

        for (size_t j = 0; j < 16; j++)
            key[j] = (uint8_t)(rand() % 4 == 0 ? 0 : rand() % 256);
        key[0] = (uint8_t)(TX_KEY_ZERO + (rand() % 2 == 0 ? (size_t)rand() % 12 : bytes) - 1);
        if (!tx_key_quick_integer(key, bytes, &quick))
            continue;
        assert_true(tx_key_integer(key, bytes, &integer));
        assert_int_equal(quick, integer);
        count++;
    }
    assert_in_range(count, RANDOM_KEYS / 8, RANDOM_KEYS - RANDOM_KEYS / 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_above_zero_are_read_but_at_a_pages_end),
        cmocka_unit_test(what_is_no_integer_is_not_read),
    };

    return cmocka_run_group_tests(tests, map_pages, unmap_pages);
}
