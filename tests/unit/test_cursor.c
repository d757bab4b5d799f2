/*
 * test_cursor.c - the merged scan: own writes over memtables over LMDB, in both directions.
 */
#include "store_fixture.h"

/*
 * Versions in every layer. LMDB: a to f, all "0". Frozen history and the active memtable over it:
 * b changed, c deleted, g new. Own: d changed, e deleted, h new, c back, ab between.
 */
static void
fill_layers(void)
{
    set(s1, "a", "0");
    set(s1, "b", "0");
    set(s1, "c", "0");
    set(s1, "d", "0");
    set(s1, "e", "0");
    set(s1, "f", "0");
    checkpoint();
    set(s1, "b", "1");
    set(s1, "c", NULL);
    set(s1, "g", "1");
    begin(s1);
    put(s1, "d", "own");
    erase(s1, "e");
    put(s1, "h", "own");
    put(s1, "c", "own");
    put(s1, "ab", "own");
}

static void
the_newest_layer_wins_in_both_directions(void **state)
{
    (void)state;
    fill_layers();
    expect_scan(s1, "(,)", "a=0 ab=own b=1 c=own d=own f=0 g=1 h=own ");
    expect_scan(s1, "<(,)", "h=own g=1 f=0 d=own c=own b=1 ab=own a=0 ");
    expect_scan(s2, "(,)", "a=0 b=1 d=0 e=0 f=0 g=1 ");
    expect_scan(s2, "<(,)", "g=1 f=0 e=0 d=0 b=1 a=0 ");
    txkv_rollback(s1);
}

static void
every_kind_of_bound_works_in_both_directions(void **state)
{
    (void)state;
    fill_layers();
    expect_scan(s1, "[b,d]", "b=1 c=own d=own ");
    expect_scan(s1, "<[b,d]", "d=own c=own b=1 ");
    expect_scan(s1, "(b,d)", "c=own ");
    expect_scan(s1, "<(b,d)", "c=own ");
    expect_scan(s1, "(b,d]", "c=own d=own ");
    expect_scan(s1, "<[b,d)", "c=own b=1 ");
    expect_scan(s1, "[e,)", "f=0 g=1 h=own "); /* e is deleted */
    expect_scan(s1, "<(,e]", "d=own c=own b=1 ab=own a=0 ");
    expect_scan(s1, "(,aa]", "a=0 ");
    expect_scan(s1, "<[ga,)", "h=own ");
    expect_scan(s1, "(h,)", "");
    expect_scan(s1, "<(,a)", "");
    expect_scan(s1, "[d,b]", "");
    expect_scan(s1, "<[d,b]", "");
    expect_scan(s1, "(d,d)", "");
    expect_scan(s1, "<[d,d)", "");
    expect_scan(s1, "[d,d]", "d=own ");
    expect_scan(s1, "<[e,e]", "");
    expect_scan(s1, "[zz,zz]", "");
    txkv_rollback(s1);
}

static void
a_scan_stays_in_its_table(void **state)
{
    const uint32_t first = table;
    uint32_t second, last;

    (void)state;
    OK(txkv_table(db, "other", "", true, &second, &err));
    OK(txkv_table(db, "last", "", true, &last, &err));
    for (int pass = 0; pass < 2; pass++) {
        table = first;
        set(s1, "b", "1");
        table = last;
        set(s1, "a", "3");
        table = second;
        expect_scan(s1, "(,)", "");
        expect_scan(s1, "<(,)", "");
        begin(s1);
        expect_scan(s1, "<(,)", "");
        put(s1, "k", "2");
        table = first;
        expect_scan(s1, "(,)", "b=1 ");
        expect_scan(s1, "<(,)", "b=1 ");
        table = second;
        expect_scan(s1, "<(,)", "k=2 ");
        txkv_rollback(s1);
        checkpoint(); /* the same once more with LMDB */
    }
    table = first;
}

static void
a_shorter_key_comes_before_what_it_begins(void **state)
{
    (void)state;
    set(s1, "a", "1");
    set(s1, "a\x01", "2");
    checkpoint();
    set(s1, "aaaaaaaaaaaaaaaaa", "3"); /* longer than what a node keeps of a key */
    set(s1, "aaaaaaaaaaaaaaaa", "4");
    begin(s1);
    put(s1, "aaaaaaaaaaaaaaaaaa", "5");
    expect_scan(s1, "[aaaa,)", "aaaaaaaaaaaaaaaa=4 aaaaaaaaaaaaaaaaa=3 aaaaaaaaaaaaaaaaaa=5 ");
    expect_scan(s1, "<(,aaaaaaaaaaaaaaaaa)", "aaaaaaaaaaaaaaaa=4 a\x01=2 a=1 ");
    txkv_rollback(s1);
}

static void
tombstones_hide_every_row_below(void **state)
{
    (void)state;
    set(s1, "a", "0");
    set(s1, "b", "0");
    checkpoint();
    set(s1, "a", NULL);
    set(s1, "b", NULL);
    set(s1, "nothing", NULL);
    expect_scan(s1, "(,)", "");
    expect_scan(s1, "<(,)", "");
    checkpoint();
    expect_scan(s1, "(,)", "");
    begin(s1);
    put(s1, "a", "own");
    erase(s1, "a");
    expect_scan(s1, "(,)", "");
    txkv_rollback(s1);
}

/* Several memtables with the same keys, kept by an old snapshot, each with newer versions. */
static void
of_several_memtables_the_newest_that_the_snapshot_sees_wins(void **state)
{
    struct txkv_session *old[3];
    char value[8], expected[32];

    (void)state;
    for (int i = 0; i < 3; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        set(s1, "a", value);
        set(s1, "b", i == 1 ? NULL : value);
        OK(txkv_session_open(db, &old[i], &err));
        begin(old[i]);
        (void)get(old[i], "a");
        checkpoint();
    }
    for (int i = 0; i < 3; i++) {
        (void)snprintf(expected, sizeof expected, i == 1 ? "a=%d " : "a=%d b=%d ", i, i);
        expect_scan(old[i], "(,)", expected);
        (void)snprintf(expected, sizeof expected, i == 1 ? "a=%d " : "b=%d a=%d ", i, i);
        expect_scan(old[i], "<(,)", expected);
        txkv_session_close(old[i]);
    }
}

/* ---- writes while a cursor stands on a row ---- */

static void
a_row_keeps_its_bytes_when_the_record_moves(void **state)
{
    static char large[5000];
    struct txkv_cursor *cursor;
    char key[8];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    begin(s1);
    put(s1, "a", "first");
    put(s1, "b", "second");
    cursor = new_cursor(s1);
    OK(seek(cursor, "[a,b]"));
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof key, "z%d", i);
        put(s1, key, large);
        assert_memory_equal(txkv_cursor_key(cursor).data, "a", 1);
        assert_int_equal(txkv_cursor_value(cursor).bytes, 5);
        assert_memory_equal(txkv_cursor_value(cursor).data, "first", 5);
    }
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=first b=second ");
    OK(seek(cursor, "[b,b]")); /* a point */
    for (int i = 50; i < 100; i++) {
        (void)snprintf(key, sizeof key, "z%d", i);
        put(s1, key, large);
    }
    assert_memory_equal(txkv_cursor_value(cursor).data, "second", 6);
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
}

static void
rows_may_be_deleted_behind_a_cursor(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);
    enum txkv_rc rc;
    int rows = 0;

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "1");
    checkpoint();
    set(s1, "c", "1");
    begin(s1);
    put(s1, "bb", "own");
    for (rc = seek(cursor, "(,)"); rc == TXKV_OK; rc = txkv_cursor_next(cursor, &err)) {
        OK(txkv_delete(s1, table, txkv_cursor_key(cursor), &err));
        rows++;
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
    assert_int_equal(rows, 4);
    txkv_cursor_close(cursor);
    commit(s1);
    expect_scan(s2, "(,)", "");
}

static void
rows_may_be_changed_behind_a_cursor(void **state)
{
    for (int descending = 0; descending < 2; descending++) {
        struct txkv_cursor *cursor = new_cursor(s1);
        enum txkv_rc rc;
        int rows = 0;

        set(s1, "a", "1");
        set(s1, "b", "1");
        checkpoint();
        set(s1, "c", "1");
        begin(s1);
        put(s1, "b", "own");
        for (rc = seek(cursor, descending ? "<(,)" : "(,)"); rc == TXKV_OK && rows < 10;
             rc = txkv_cursor_next(cursor, &err)) {
            OK(txkv_put(s1, table, txkv_cursor_key(cursor), text("new"), &err));
            rows++;
        }
        assert_int_equal(rows, 3);
        txkv_cursor_close(cursor);
        commit(s1);
        expect_scan(s2, "(,)", "a=new b=new c=new ");
    }
    (void)state;
}

static void
an_own_row_ahead_that_is_undone_is_not_returned(void **state)
{
    struct txkv_cursor *up, *down;

    (void)state;
    set(s1, "c", "1");
    begin(s1);
    put(s1, "a", "own");
    put(s1, "f", "own");
    OK(txkv_savepoint(s1, 1, &err));
    put(s1, "b", "own");
    put(s1, "c", "own");
    put(s1, "e", "own");
    up = new_cursor(s1);
    down = new_cursor(s1);
    OK(seek(up, "(,)"));
    OK(seek(down, "<(,)"));
    OK(txkv_rollback_to(s1, 1, &err));
    assert_string_equal(rest_of(up, TXKV_OK), "a=own c=1 f=own ");
    assert_string_equal(rest_of(down, TXKV_OK), "f=own c=1 a=own ");
    txkv_cursor_close(up);
    txkv_cursor_close(down);
    txkv_rollback(s1);
}

static void
a_row_undone_under_a_cursor_does_not_stop_it(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s1, "a", "1");
    set(s1, "c", "1");
    begin(s1);
    OK(txkv_savepoint(s1, 0, &err));
    put(s1, "b", "own");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(a,)"));
    assert_memory_equal(txkv_cursor_key(cursor).data, "b", 1);
    OK(txkv_rollback_to(s1, 0, &err));
    put(s1, "bb", "after"); /* may be missed */
    OK(txkv_cursor_next(cursor, &err));
    assert_memory_equal(txkv_cursor_key(cursor).data, "c", 1);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
}

static void
an_own_row_ahead_shows_its_newest_value(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    begin(s1);
    put(s1, "a", "1");
    put(s1, "b", "1");
    put(s1, "c", "1");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    put(s1, "b", "2");
    erase(s1, "c");
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=1 b=2 ");
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
}

/* ---- the cursor itself ---- */

static void
a_cursor_at_its_end_stays_there_until_it_is_placed_again(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    set(s1, "a", "1");
    OK(seek(cursor, "(,)"));
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    OK(seek(cursor, "[a,a]"));
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    assert_string_equal(rest_of(cursor, seek(cursor, "<(,)")), "a=1 ");
    txkv_cursor_close(cursor);
    txkv_cursor_close(NULL);
}

/* Wherever it was left before: on a row, or at its end; without an overlay, and with one. */
static void
a_cursor_placed_again_begins_at_the_start_of_its_range(void **state)
{
    static const struct {
        const char *range, *rows;
    } cases[] = { { "(,)", "a=0 b=0 c=0 d=0 " },
                  { "<(,)", "d=0 c=0 b=0 a=0 " },
                  { "(a,c]", "b=0 c=0 " },
                  { "<[b,d)", "c=0 b=0 " },
                  { "[b,bb]", "b=0 " },
                  { "<(a,b]", "b=0 " },
                  { "[bb,bc]", "" },
                  { "(d,)", "" } };
    enum { CASES = sizeof cases / sizeof cases[0], ROWS = 4 };
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    for (char key[2] = "a"; key[0] <= 'd'; key[0]++)
        set(s1, key, "0");
    checkpoint();
    begin(s1);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < (size_t)CASES * CASES * (ROWS + 1); i++) {
            enum txkv_rc rc = seek(cursor, cases[i % CASES].range);
            const size_t again = i / CASES % CASES;

            for (size_t steps = i / CASES / CASES; rc == TXKV_OK && steps > 0; steps--)
                rc = txkv_cursor_next(cursor, &err);
            assert_string_equal(rest_of(cursor, seek(cursor, cases[again].range)),
                                cases[again].rows);
        }
        put(s1, "b", "0");
        put(s1, "c", "0");
    }
    txkv_rollback(s1);
    txkv_cursor_close(cursor);
}

static void
bounds_are_copied_and_checked(void **state)
{
    char bound[] = "b";
    static char large[TXKV_KEY_BYTES_MAX + 2];
    struct txkv_range range = { .lo = { (const uint8_t *)bound, 1 } };
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "1");
    range.hi = range.lo;
    range.lo = text("a");
    OK(txkv_cursor_seek(cursor, &range, &err));
    bound[0] = 'a';
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=1 b=1 ");
    memset(large, 'x', sizeof large - 1);
    range.hi = text(large);
    assert_int_equal(txkv_cursor_seek(cursor, &range, &err), TXKV_MISUSE);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_MISUSE);
    range.hi = (struct txkv_bytes){ (const uint8_t *)"", 0 };
    assert_int_equal(txkv_cursor_seek(cursor, &range, &err), TXKV_MISUSE);
    txkv_cursor_close(cursor);
}

static void
two_cursors_of_a_table_do_not_disturb_each_other(void **state)
{
    struct txkv_cursor *up = new_cursor(s1), *down = new_cursor(s1);

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "1");
    checkpoint();
    set(s1, "c", "1");
    OK(seek(up, "(,)"));
    OK(seek(down, "<(,)"));
    for (int i = 0; i < 2; i++) {
        OK(txkv_cursor_next(up, &err));
        OK(txkv_cursor_next(down, &err));
    }
    assert_memory_equal(txkv_cursor_key(up).data, "c", 1);
    assert_memory_equal(txkv_cursor_key(down).data, "a", 1);
    txkv_cursor_close(up);
    txkv_cursor_close(down);
}

/* A range that could not be kept must not let a commit through that depends on it. */
static void
a_seek_without_memory_does_not_forget_what_was_read(void **state)
{
    for (int closes = 0; closes < 2; closes++) {
        struct txkv_cursor *cursor;

        set(s1, "a", "1");
        set(s1, "b", "1");
        begin(s1);
        cursor = new_cursor(s1);
        OK(seek(cursor, "[a,z]"));
        tx_mem_fail_at(1, true);
        if (closes)
            txkv_cursor_close(cursor);
        else
            assert_int_equal(seek(cursor, "[b,z]"), TXKV_NOMEM);
        tx_mem_fail_at(0, false);
        set(s2, "a", "2");
        put(s1, "a", "lost");
        if (!closes)
            txkv_cursor_close(cursor);
        assert_int_equal(try_commit(s1), closes ? TXKV_NOMEM : TXKV_CONFLICT);
        txkv_session_close(s1); /* with the memory that it keeps for its next transaction */
        OK(txkv_session_open(db, &s1, &err));
        assert_true(has(s1, "a", "2"));
    }
    (void)state;
}

static void
a_seek_without_memory_can_be_tried_again(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;
    uint64_t n;

    (void)state;
    fill_layers();
    for (n = 1; rc == TXKV_NOMEM; n++) {
        struct txkv_cursor *cursor;

        tx_mem_fail_at(n, false);
        rc = txkv_cursor_open(s1, table, &cursor, &err);
        if (rc == TXKV_OK)
            rc = seek(cursor, "(,)");
        tx_mem_fail_at(0, false);
        if (rc == TXKV_OK)
            assert_string_equal(rest_of(cursor, rc), "a=0 ab=own b=1 c=own d=own f=0 g=1 h=own ");
        txkv_cursor_close(cursor);
    }
    assert_true(n > 4);
    txkv_rollback(s1);
}

/* Random layers against a sorted array, both directions, random bounds. */
static void
random_layers_scan_like_a_sorted_array(void **state)
{
    enum { KEYS = 26 };
    int model[KEYS] = { 0 };
    uint32_t random = 7;
    char expected[512], notation[8];

    (void)state;
    for (int round = 0; round < 300; round++) {
        begin(s1);
        for (int i = 0; i < 6; i++) {
            char key[2] = "a", value[8];

            random = random * 1103515245 + 12345;
            key[0] = (char)('a' + (random >> 16) % KEYS);
            model[key[0] - 'a'] = random >> 28 < 5 ? 0 : round + 1;
            (void)snprintf(value, sizeof value, "%d", round + 1);
            if (model[key[0] - 'a'] == 0)
                erase(s1, key);
            else
                put(s1, key, value);
        }
        for (int descending = 0; descending < 2; descending++) {
            const int lo = (int)(random >> 8) % KEYS, hi = (int)(random >> 13) % KEYS;
            size_t used = 0;

            expected[0] = '\0';
            for (int i = 0; i < KEYS; i++) {
                const int k = descending ? KEYS - 1 - i : i;

                if (k > lo && k <= hi && model[k] != 0)
                    used += (size_t)snprintf(expected + used, sizeof expected - used, "%c=%d ",
                                             'a' + k, model[k]);
            }
            (void)snprintf(notation, sizeof notation, "%s(%c,%c]", descending ? "<" : "", 'a' + lo,
                           'a' + hi);
            expect_scan(s1, notation, expected);
        }
        commit(s1);
        if (round % 17 == 0)
            checkpoint();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(the_newest_layer_wins_in_both_directions),
        STORE_TEST(every_kind_of_bound_works_in_both_directions),
        STORE_TEST(a_scan_stays_in_its_table),
        STORE_TEST(a_shorter_key_comes_before_what_it_begins),
        STORE_TEST(tombstones_hide_every_row_below),
        STORE_TEST(of_several_memtables_the_newest_that_the_snapshot_sees_wins),
        STORE_TEST(a_row_keeps_its_bytes_when_the_record_moves),
        STORE_TEST(rows_may_be_deleted_behind_a_cursor),
        STORE_TEST(rows_may_be_changed_behind_a_cursor),
        STORE_TEST(an_own_row_ahead_that_is_undone_is_not_returned),
        STORE_TEST(a_row_undone_under_a_cursor_does_not_stop_it),
        STORE_TEST(an_own_row_ahead_shows_its_newest_value),
        STORE_TEST(a_cursor_at_its_end_stays_there_until_it_is_placed_again),
        STORE_TEST(a_cursor_placed_again_begins_at_the_start_of_its_range),
        STORE_TEST(bounds_are_copied_and_checked),
        STORE_TEST(two_cursors_of_a_table_do_not_disturb_each_other),
        STORE_TEST(a_seek_without_memory_does_not_forget_what_was_read),
        STORE_TEST(a_seek_without_memory_can_be_tried_again),
        STORE_TEST(random_layers_scan_like_a_sorted_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
