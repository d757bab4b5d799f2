/*
 * test_cursor_near.c - steps that are taken within one page of LMDB's, and what they must leave off
 * at: the range's end, another place, another cursor.
 */
#include "store_fixture.h"

/* Goal: nothing is left in a closed cursor, which the next one is made of. Method: closed in all
 * places, on rows of LMDB's, of a point, of its own, and behind the end. */
static void
a_cursor_begins_as_if_none_had_been_closed(void **state)
{
    static const char *const ranges[] = {
        "(,)", "<(,)", "[b,b]", "[c,c]", "[b,)", "(x,)", "<(,a)"
    };

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "1");
    checkpoint();
    for (int round = 0; round < 2; round++) {
        begin(s1);
        if (round == 1)
            put(s1, "c", "own");
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
            struct txkv_cursor *cursor = new_cursor(s1);

            assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_MISUSE);
            (void)!seek(cursor, ranges[i]);
            txkv_cursor_close(cursor);
            cursor = new_cursor(s1);
            assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_MISUSE);
            txkv_cursor_close(cursor);
            expect_scan(s1, "(,)", round == 0 ? "a=1 b=1 " : "a=1 b=1 c=own ");
            expect_scan(s2, "<(,)", "b=1 a=1 ");
        }
        txkv_rollback(s1);
    }
}

/* Goal: where a page has more rows the range's end is found among them, and a cursor that is at its
 * end, or is placed anew from within a page, steps from there. */
static void
steps_within_a_page_end_where_the_range_does(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    for (char key[] = "a"; key[0] <= 'h'; key[0]++)
        set(s1, key, "1");
    checkpoint();
    assert_string_equal(rest_of(cursor, seek(cursor, "[b,f)")), "b=1 c=1 d=1 e=1 ");
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    assert_string_equal(rest_of(cursor, seek(cursor, "<(c,)")), "h=1 g=1 f=1 e=1 d=1 ");
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    OK(seek(cursor, "(,)"));
    OK(txkv_cursor_next(cursor, &err));
    OK(txkv_cursor_next(cursor, &err));
    assert_string_equal(rest_of(cursor, seek(cursor, "<(,c]")), "c=1 b=1 a=1 ");
    OK(seek(cursor, "(,)"));
    OK(txkv_cursor_next(cursor, &err));
    OK(seek(cursor, "[d,d]")); /* a point has no page */
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    txkv_cursor_close(cursor);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_cursor_begins_as_if_none_had_been_closed),
        STORE_TEST(steps_within_a_page_end_where_the_range_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
