/*
 * test_ext_textcopy.c - the copy of a text that is handed to SQLite: its bytes, its terminator and
 * nothing else, whatever stands around it, and no look at a page that is not the text's.
 *
 * Where the processor cannot do it there is nothing to test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../ext/textcopy.h"
#include "guard_page.h"

enum {
    ROOM = 512, /* of the copy */
    LONGEST = ROOM - 1,
    GUARD = TX_TEXT_PIECE,
    UNTOUCHED = 0xa5,
    OFFSETS = TX_TEXT_PIECE /* places in a piece where a text may begin */
};

static _Alignas(TX_TEXT_PIECE) uint8_t copy[ROOM + GUARD];

static void
skip_without_avx2(void)
{
    if (!tx_text_copy_works(pages, 0))
        skip();
}

/* A text at that place of the page, of bytes that are no zeros, among bytes `around`. */
static const uint8_t *
make_text(size_t at, size_t bytes, uint8_t around)
{
    memset(pages, around, PAGE_BYTES);
    for (size_t i = 0; i < bytes; i++)
        pages[at + i] = (uint8_t)(1 + (i * 7 + bytes) % 255);
    return pages + at;
}

/* Copies it and looks at all that has been written, and has not. */
static void
assert_copied(const uint8_t *text, size_t bytes)
{
    const size_t end = (bytes / TX_TEXT_PIECE + 1) * TX_TEXT_PIECE;

    memset(copy, UNTOUCHED, sizeof(copy));
    assert_true(tx_text_copy(copy, text, bytes));
    assert_memory_equal(copy, text, bytes);
    for (size_t i = bytes; i < end; i++)
        assert_int_equal(copy[i], 0);
    for (size_t i = end; i < sizeof(copy); i++)
        assert_int_equal(copy[i], UNTOUCHED);
}

static void
a_text_is_copied_with_its_terminator_whatever_stands_around_it(void **state)
{
    static const uint8_t around[] = { 0, 1, 0xff };

    (void)state;
    skip_without_avx2();
    for (size_t a = 0; a < sizeof(around); a++)
        for (size_t at = 0; at < OFFSETS; at++)
            for (size_t bytes = 0; bytes <= LONGEST; bytes++) {
                const uint8_t *text = make_text(at, bytes, around[a]);

                assert_true(tx_text_copy_works(text, bytes));
                assert_copied(text, bytes);
            }
}

static void
a_zero_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    skip_without_avx2();
    for (size_t bytes = 1; bytes <= LONGEST; bytes++)
        for (size_t zero = 0; zero < bytes; zero++) {
            const size_t at = zero % OFFSETS;
            const uint8_t *text = make_text(at, bytes, 0xff);

            pages[at + zero] = 0;
            assert_false(tx_text_copy(copy, text, bytes));
        }
}

/* Goal: the page behind is not read. Method: it cannot be. */
static void
a_text_at_a_pages_end_is_copied_from_that_page_or_left_alone(void **state)
{
    int refused = 0;

    (void)state;
    skip_without_avx2();
    for (size_t gap = 0; gap <= TX_TEXT_PIECE; gap++)
        for (size_t bytes = 0; bytes <= LONGEST; bytes++) {
            const uint8_t *text = make_text(PAGE_BYTES - gap - bytes, bytes, 1);
            const size_t rest = bytes % TX_TEXT_PIECE;

            if (tx_text_copy_works(text, bytes)) {
                assert_copied(text, bytes);
                continue;
            }
            assert_true(rest + gap < TX_TEXT_PIECE);
            refused++;
        }
    assert_true(refused > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_copied_with_its_terminator_whatever_stands_around_it),
        cmocka_unit_test(a_zero_byte_is_found_wherever_it_stands),
        cmocka_unit_test(a_text_at_a_pages_end_is_copied_from_that_page_or_left_alone),
    };

    return cmocka_run_group_tests(tests, map_pages, unmap_pages);
}
