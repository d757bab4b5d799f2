/*
 * test_txn.c - sessions and their transactions: own writes, snapshots, savepoints, what is refused.
 */
#include "store_fixture.h"

/* ---- own writes and snapshots ---- */

static void
a_transaction_sees_its_own_writes_and_others_do_not(void **state)
{
    (void)state;
    set(s1, "a", "1");
    begin(s1);
    put(s1, "a", "2");
    put(s1, "b", "");
    assert_true(has(s1, "a", "2"));
    assert_true(has(s1, "b", ""));
    assert_true(has(s2, "a", "1"));
    assert_true(has(s2, "b", NULL));
    erase(s1, "a");
    assert_true(has(s1, "a", NULL));
    commit(s1);
    assert_true(has(s2, "a", NULL));
    assert_true(has(s2, "b", ""));
}

static void
a_rollback_leaves_nothing(void **state)
{
    (void)state;
    set(s1, "a", "1");
    begin(s1);
    put(s1, "a", "2");
    put(s1, "b", "2");
    txkv_rollback(s1);
    assert_false(txkv_in_transaction(s1));
    expect_scan(s1, "(,)", "a=1 ");
    begin(s1);
    expect_scan(s1, "(,)", "a=1 ");
    commit(s1);
}

static void
the_snapshot_is_taken_by_the_first_read_and_stays(void **state)
{
    (void)state;
    set(s1, "a", "1");
    begin(s1);
    put(s1, "b", "own");
    set(s2, "a", "2"); /* after begin, before the first read */
    assert_true(has(s1, "a", "2"));
    set(s2, "a", "3");
    set(s2, "c", "3");
    checkpoint();
    assert_true(has(s1, "a", "2"));
    assert_true(has(s1, "c", NULL));
    expect_scan(s1, "(,)", "a=2 b=own ");
    txkv_rollback(s1);
    expect_scan(s1, "(,)", "a=3 c=3 ");
}

static void
a_snapshot_survives_several_checkpoints(void **state)
{
    char value[8];

    (void)state;
    set(s2, "gone", "x");
    set(s2, "k", "0");
    begin(s1);
    assert_true(has(s1, "k", "0"));
    set(s2, "gone", NULL);
    for (int i = 1; i < 5; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        set(s2, "k", value);
        checkpoint();
        expect_scan(s1, "(,)", "gone=x k=0 ");
        expect_scan(s1, "<(,)", "k=0 gone=x ");
        assert_true(has(s1, "k", "0"));
    }
    txkv_rollback(s1);
    expect_scan(s1, "(,)", "k=4 ");
}

static void
outside_a_transaction_each_read_sees_the_newest(void **state)
{
    struct txkv_bytes value;

    (void)state;
    set(s1, "a", "1");
    OK(txkv_get(s2, table, text("a"), &value, &err));
    set(s1, "a", "2");
    assert_memory_equal(value.data, "1", 1); /* valid until the next call on s2 */
    assert_true(has(s2, "a", "2"));
    assert_int_equal(stat_of("live_snapshots"), 0);
}

static void
the_session_knows_the_lsn_of_its_last_commit_that_wrote(void **state)
{
    uint64_t first;

    (void)state;
    assert_int_equal(txkv_last_lsn(s1), 0);
    set(s1, "a", "1");
    first = txkv_last_lsn(s1);
    assert_true(first > 0);
    begin(s1);
    (void)get(s1, "a");
    commit(s1);
    assert_int_equal(txkv_last_lsn(s1), first);
    set(s1, "a", "2");
    assert_true(txkv_last_lsn(s1) > first);
    assert_int_equal(txkv_last_lsn(s2), 0);
}

/* A value borrowed from the record that the next write makes move. */
static void
an_own_value_can_be_written_under_another_key(void **state)
{
    static char large[9000];
    struct txkv_bytes value;
    char key[8];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    begin(s1);
    put(s1, "k0", large);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        OK(txkv_get(s1, table, text(key), &value, &err));
        (void)snprintf(key, sizeof key, "k%d", i + 1);
        OK(txkv_put(s1, table, text(key), value, &err));
    }
    OK(txkv_get(s1, table, text("k40"), &value, &err));
    assert_int_equal(value.bytes, sizeof large - 1);
    assert_memory_equal(value.data, large, value.bytes);
    txkv_rollback(s1);
}

/* ---- cursors across the end of a transaction ---- */

static void
a_cursor_goes_on_with_its_state_after_commit(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s1, "a", "1");
    set(s1, "c", "1");
    begin(s1);
    put(s1, "b", "own");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    commit(s1);
    set(s2, "c", "2");
    set(s2, "d", "2");
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=1 b=own c=1 ");
    expect_scan(s1, "(,)", "a=1 b=own c=2 d=2 "); /* a new cursor sees the present */
    assert_string_equal(rest_of(cursor, seek(cursor, "[c,)")), "c=2 d=2 "); /* placed anew */
    txkv_cursor_close(cursor);
    assert_int_equal(stat_of("live_snapshots"), 0);
}

static void
a_cursor_goes_on_without_the_writes_after_rollback(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s1, "a", "1");
    set(s1, "c", "1");
    begin(s1);
    put(s1, "b", "own");
    erase(s1, "c");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    txkv_rollback(s1);
    begin(s1);
    put(s1, "bb", "next");
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=1 c=1 ");
    txkv_cursor_close(cursor);
    commit(s1);
}

static void
a_transaction_goes_on_with_the_snapshot_of_open_cursors(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s1, "a", "1");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    set(s2, "a", "2");
    begin(s1);
    assert_true(has(s1, "a", "1"));
    txkv_cursor_close(cursor);
    assert_true(has(s1, "a", "1"));
    put(s1, "a", "lost"); /* the read above is before s2's commit */
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_rollback(s1);
    assert_true(has(s1, "a", "2"));
}

static void
cursors_outside_a_transaction_share_one_snapshot(void **state)
{
    struct txkv_cursor *one = new_cursor(s1), *two = new_cursor(s1);

    (void)state;
    set(s2, "a", "1");
    OK(seek(one, "(,)"));
    set(s2, "a", "2");
    OK(seek(two, "[a,a]"));
    assert_memory_equal(txkv_cursor_value(two).data, "1", 1);
    txkv_cursor_close(one);
    assert_true(has(s1, "a", "1"));
    txkv_cursor_close(two);
    assert_true(has(s1, "a", "2"));
}

static void
many_ended_transactions_live_as_long_as_their_cursors(void **state)
{
    enum { COUNT = 12 };
    struct txkv_cursor *cursors[COUNT];
    char value[8], expected[16];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        begin(s1);
        put(s1, "k", value);
        cursors[i] = new_cursor(s1);
        OK(seek(cursors[i], "(,)"));
        commit(s1);
        if (i % 4 == 0)
            checkpoint();
    }
    for (int i = 0; i < COUNT; i++) {
        struct txkv_cursor *cursor = cursors[i * 5 % COUNT];

        (void)snprintf(expected, sizeof expected, "k=%d ", i * 5 % COUNT);
        assert_string_equal(rest_of(cursor, TXKV_OK), expected);
        txkv_cursor_close(cursor);
    }
    assert_int_equal(stat_of("live_snapshots"), 0);
}

/* ---- savepoints ---- */

static void
rolling_back_to_a_savepoint_undoes_what_came_after_and_keeps_it(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "0");
    OK(txkv_savepoint(s1, 0, &err));
    put(s1, "a", "1");
    put(s1, "b", "1");
    OK(txkv_savepoint(s1, 1, &err));
    erase(s1, "a");
    put(s1, "c", "2");
    OK(txkv_rollback_to(s1, 1, &err));
    expect_scan(s1, "(,)", "a=1 b=1 ");
    put(s1, "c", "3");
    OK(txkv_rollback_to(s1, 1, &err));
    expect_scan(s1, "(,)", "a=1 b=1 ");
    OK(txkv_rollback_to(s1, 0, &err));
    expect_scan(s1, "(,)", "a=0 ");
    commit(s1);
    expect_scan(s2, "(,)", "a=0 ");
}

static void
a_released_savepoint_keeps_its_writes(void **state)
{
    (void)state;
    begin(s1);
    OK(txkv_savepoint(s1, 5, &err));
    put(s1, "a", "1");
    OK(txkv_savepoint(s1, 6, &err));
    put(s1, "b", "1");
    OK(txkv_release(s1, 6, &err));
    OK(txkv_rollback_to(s1, 5, &err));
    assert_true(has(s1, "b", NULL));
    put(s1, "c", "1");
    OK(txkv_release(s1, 5, &err));
    commit(s1);
    expect_scan(s2, "(,)", "c=1 ");
}

static void
a_number_set_again_moves_its_savepoint_and_forgets_later_ones(void **state)
{
    (void)state;
    begin(s1);
    OK(txkv_savepoint(s1, 1, &err));
    put(s1, "a", "1");
    OK(txkv_savepoint(s1, 2, &err));
    OK(txkv_savepoint(s1, 1, &err));
    put(s1, "b", "1");
    OK(txkv_rollback_to(s1, 1, &err));
    expect_scan(s1, "(,)", "a=1 ");
    OK(txkv_rollback_to(s1, INT32_MAX, &err));
    expect_scan(s1, "(,)", "a=1 ");
    commit(s1);
}

static void
an_unknown_savepoint_is_where_the_next_lower_one_is(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_savepoint(s1, 3, &err));
    put(s1, "b", "1");
    OK(txkv_rollback_to(s1, 7, &err));
    expect_scan(s1, "(,)", "a=1 ");
    put(s1, "c", "1");
    OK(txkv_rollback_to(s1, 3, &err));
    expect_scan(s1, "(,)", "a=1 ");
    OK(txkv_rollback_to(s1, 2, &err));
    expect_scan(s1, "(,)", "");
    put(s1, "d", "1");
    OK(txkv_rollback_to(s1, 3, &err)); /* forgotten by now */
    expect_scan(s1, "(,)", "");
    commit(s1);
}

static void
savepoints_nest_deeply(void **state)
{
    char key[8];

    (void)state;
    begin(s1);
    for (int i = 0; i < 200; i++) {
        OK(txkv_savepoint(s1, i, &err));
        (void)snprintf(key, sizeof key, "k%03d", i);
        put(s1, key, "x");
    }
    OK(txkv_rollback_to(s1, 2, &err));
    expect_scan(s1, "(,)", "k000=x k001=x ");
    txkv_rollback(s1);
}

static void
savepoints_end_with_their_transaction(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_savepoint(s1, 1, &err));
    commit(s1);
    begin(s1);
    put(s1, "b", "1");
    OK(txkv_rollback_to(s1, 1, &err)); /* of the transaction before: not known here */
    assert_true(has(s1, "b", NULL));
    txkv_rollback(s1);
}

/* The caller will roll back to a savepoint that is not there, which would undo too much. */
static void
a_transaction_that_lacks_a_savepoint_for_want_of_memory_cannot_commit(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "1");
    tx_mem_fail_at(1, true);
    assert_int_equal(txkv_savepoint(s1, 1, &err), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    OK(txkv_rollback_to(s1, 1, &err));
    put(s1, "b", "1");
    assert_int_equal(try_commit(s1), TXKV_NOMEM);
    txkv_rollback(s1);
    set(s1, "c", "1");
    expect_scan(s1, "(,)", "c=1 ");
}

/* ---- what is refused ---- */

static void
calls_in_the_wrong_state_are_misuse(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    assert_int_equal(txkv_commit(s1, TXKV_SYNC_OFF, &err), TXKV_MISUSE);
    assert_int_equal(txkv_put(s1, table, text("a"), text("1"), &err), TXKV_MISUSE);
    assert_int_equal(txkv_delete(s1, table, text("a"), &err), TXKV_MISUSE);
    assert_int_equal(txkv_savepoint(s1, 0, &err), TXKV_MISUSE);
    assert_int_equal(txkv_rollback_to(s1, 0, &err), TXKV_MISUSE);
    assert_int_equal(txkv_release(s1, 0, &err), TXKV_MISUSE);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_MISUSE);
    txkv_rollback(s1); /* nothing to do */
    begin(s1);
    assert_int_equal(txkv_begin(s1, &err), TXKV_MISUSE);
    assert_true(txkv_in_transaction(s1));
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
}

static void
keys_and_values_have_limits(void **state)
{
    static char key[TXKV_KEY_BYTES_MAX + 2];
    struct txkv_bytes value = { (const uint8_t *)"", (size_t)TXKV_VALUE_BYTES_MAX + 1 };
    const struct txkv_bytes empty = { (const uint8_t *)"", 0 };

    (void)state;
    memset(key, 'k', sizeof key - 1);
    begin(s1);
    assert_int_equal(txkv_put(s1, table, text(key), empty, &err), TXKV_TOOBIG);
    assert_int_equal(txkv_get(s1, table, text(key), &value, &err), TXKV_TOOBIG);
    assert_int_equal(txkv_delete(s1, table, empty, &err), TXKV_MISUSE);
    value.bytes = (size_t)TXKV_VALUE_BYTES_MAX + 1;
    assert_int_equal(txkv_put(s1, table, text("a"), value, &err), TXKV_TOOBIG);
    key[TXKV_KEY_BYTES_MAX] = '\0';
    put(s1, key, "longest");
    commit(s1);
    checkpoint();
    assert_true(has(s2, key, "longest"));
}

/* A record for a table that was never made could neither be checkpointed nor replayed. */
static void
a_table_that_was_never_made_is_misuse(void **state)
{
    const uint32_t numbers[] = { 0, 7, 5000, UINT32_MAX };
    struct txkv_cursor *cursor;
    struct txkv_bytes value;

    (void)state;
    begin(s1);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const uint32_t none = numbers[i];

        assert_int_equal(txkv_put(s1, none, text("a"), text("1"), &err), TXKV_MISUSE);
        assert_int_equal(txkv_delete(s1, none, text("a"), &err), TXKV_MISUSE);
        assert_int_equal(txkv_get(s1, none, text("a"), &value, &err), TXKV_MISUSE);
        assert_int_equal(txkv_cursor_open(s1, none, &cursor, &err), TXKV_MISUSE);
        assert_null(cursor);
        assert_int_equal(txkv_row_estimate(s1, none), 0);
    }
    commit(s1);
    checkpoint();
}

static void
closing_a_session_rolls_back(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "a", "1");
    (void)get(s1, "b");
    txkv_session_close(s1);
    s1 = NULL;
    txkv_session_close(NULL);
    assert_true(has(s2, "a", NULL));
    assert_int_equal(stat_of("sessions"), 1);
    assert_int_equal(stat_of("live_snapshots"), 0);
}

static void
rows_are_estimated_over_memory_and_lmdb(void **state)
{
    char key[8];

    (void)state;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        set(s1, key, "x");
    }
    checkpoint();
    set(s1, "l", "x");
    assert_in_range(txkv_row_estimate(s1, table), 10, 21);
    assert_int_equal(stat_of("live_snapshots"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_transaction_sees_its_own_writes_and_others_do_not),
        STORE_TEST(a_rollback_leaves_nothing),
        STORE_TEST(the_snapshot_is_taken_by_the_first_read_and_stays),
        STORE_TEST(a_snapshot_survives_several_checkpoints),
        STORE_TEST(outside_a_transaction_each_read_sees_the_newest),
        STORE_TEST(the_session_knows_the_lsn_of_its_last_commit_that_wrote),
        STORE_TEST(an_own_value_can_be_written_under_another_key),
        STORE_TEST(a_cursor_goes_on_with_its_state_after_commit),
        STORE_TEST(a_cursor_goes_on_without_the_writes_after_rollback),
        STORE_TEST(a_transaction_goes_on_with_the_snapshot_of_open_cursors),
        STORE_TEST(cursors_outside_a_transaction_share_one_snapshot),
        STORE_TEST(many_ended_transactions_live_as_long_as_their_cursors),
        STORE_TEST(rolling_back_to_a_savepoint_undoes_what_came_after_and_keeps_it),
        STORE_TEST(a_released_savepoint_keeps_its_writes),
        STORE_TEST(a_number_set_again_moves_its_savepoint_and_forgets_later_ones),
        STORE_TEST(an_unknown_savepoint_is_where_the_next_lower_one_is),
        STORE_TEST(savepoints_nest_deeply),
        STORE_TEST(savepoints_end_with_their_transaction),
        STORE_TEST(a_transaction_that_lacks_a_savepoint_for_want_of_memory_cannot_commit),
        STORE_TEST(calls_in_the_wrong_state_are_misuse),
        STORE_TEST(keys_and_values_have_limits),
        STORE_TEST(a_table_that_was_never_made_is_misuse),
        STORE_TEST(closing_a_session_rolls_back),
        STORE_TEST(rows_are_estimated_over_memory_and_lmdb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
