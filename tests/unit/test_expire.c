/*
 * test_expire.c - snapshots that have been open for too long are ended: when, what that gives back,
 * and what the session is told.
 */
#include "expire_fixture.h"

/* ---- what is given back ---- */

static void
an_idle_transactions_snapshot_is_ended(void **state)
{
    (void)state;
    set_timeout(LONG_US);
    begin_outdated();
    checkpoint();
    assert_int_equal(stat_of("live_snapshots"), 1);
    assert_true(stat_of("views_retired") > 0);
    assert_int_equal(tx_tree_grow(db->core.tree, 1, &err), TXKV_BUSY); /* LMDB has a reader */
    set_timeout(TIMEOUT_US);
    wait_for("snapshots_expired", 1);
    assert_int_equal(stat_of("live_snapshots"), 0);
    OK(tx_tree_grow(db->core.tree, 1, &err));
    wait_for("views_retired", 0);
    assert_expired(try_get(s1, "a"));
    txkv_rollback(s1);
}

/* Memtables that only the check of old transactions needs go, too. */
static void
the_history_is_let_go_of(void **state)
{
    (void)state;
    begin_outdated();
    checkpoint();
    wait_for("snapshots_expired", 1);
    wait_for("memtables", 1);
    txkv_rollback(s1);
}

static void
a_snapshot_is_ended_before_the_checkpoint_too(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .checkpoint_interval_s = 3600 };

    (void)state;
    OK(close_all());
    reopen_with(&options);
    set(s2, "b", "1");
    sleep_us(TIMEOUT_US); /* the checkpointer sleeps for an hour */
    set_timeout(TIMEOUT_US);
    begin_outdated();
    wait_for("snapshots_expired", 1);
    assert_int_equal(stat_of("checkpoints"), 0);
    txkv_rollback(s1);
}

static void
an_old_snapshot_is_ended_by_the_first_commit(void **state)
{
    (void)state;
    set(s2, "a", "1");
    checkpoint();
    begin(s1);
    assert_true(has(s1, "a", "1"));
    sleep_us(3 * (uint64_t)TIMEOUT_US);
    assert_int_equal(stat_of("snapshots_expired"), 0);
    assert_true(has(s1, "a", "1"));
    set(s2, "a", "2");
    wait_for("snapshots_expired", 1);
    assert_expired(try_get(s1, "a"));
    txkv_rollback(s1);
}

static void
the_age_of_the_oldest_snapshot_is_shown(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set_timeout(0);
    set(s2, "a", "1");
    assert_int_equal(stat_of("oldest_snapshot_age_s"), 0);
    begin(s1);
    assert_true(has(s1, "a", "1"));
    cursor = new_cursor(s2);
    sleep_us(1100000);
    OK(seek(cursor, "(,)"));
    assert_in_range((uintmax_t)stat_of("oldest_snapshot_age_s"), 1, LIMIT_S);
    txkv_rollback(s1);
    assert_int_equal(stat_of("oldest_snapshot_age_s"), 0);
    txkv_cursor_close(cursor);
}

/* ---- what the session is told ---- */

static void
the_error_says_what_and_where_and_the_way_out(void **state)
{
    (void)state;
    set_timeout(1000000);
    begin_outdated();
    wait_for("snapshots_expired", 1);
    assert_expired(try_get(s1, "a"));
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, "snapshot_timeout_s=1 "));
    assert_non_null(strstr(err.text, " s old"));
    assert_non_null(strstr(err.text, "run the transaction again, or raise snapshot_timeout_s"));
    txkv_rollback(s1);
}

static void
every_read_fails_until_the_rollback(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    begin_outdated();
    put(s1, "mine", "x");
    wait_for("snapshots_expired", 1);
    for (int i = 0; i < 2; i++) {
        assert_expired(try_get(s1, "a"));
        assert_expired(seek(cursor, "(,)"));
        assert_expired(seek(cursor, "[a,a]"));
        assert_int_equal(txkv_row_estimate(s1, table), 0);
    }
    assert_true(has(s1, "mine", "x")); /* what it wrote needs no snapshot */
    txkv_rollback(s1);
    assert_true(has(s1, "a", "2"));
    begin(s1);
    assert_true(has(s1, "a", "2"));
    OK(seek(cursor, "(,)"));
    put(s1, "a", "3");
    commit(s1);
    txkv_cursor_close(cursor);
    assert_true(has(s2, "a", "3"));
}

static void
writes_that_depend_on_reads_do_not_commit(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    begin_outdated();
    put(s1, "b", "x");
    wait_for("snapshots_expired", 1);
    assert_expired(try_commit(s1));
    txkv_rollback(s1);

    begin(s1); /* what a cursor has read counts */
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    set(s2, "z", "1");
    wait_for("snapshots_expired", 2);
    put(s1, "b", "x");
    assert_expired(try_commit(s1));
    txkv_cursor_close(cursor);
    assert_expired(try_commit(s1));
    txkv_rollback(s1);
    assert_null(get(s1, "b"));
}

static void
blind_writes_and_mere_reads_commit(void **state)
{
    (void)state;
    set(s2, "a", "1");
    begin(s1);
    put(s1, "b", "x");
    (void)txkv_row_estimate(s1, table); /* takes the snapshot, and tells nothing that counts */
    set(s2, "a", "2");
    wait_for("snapshots_expired", 1);
    commit(s1);
    assert_true(has(s1, "b", "x"));

    begin_outdated();
    wait_for("snapshots_expired", 2);
    commit(s1);
    assert_true(has(s1, "a", "2"));
}

static void
a_transaction_without_a_snapshot_is_not_touched(void **state)
{
    (void)state;
    begin(s1);
    put(s1, "b", "x");
    set(s2, "a", "1");
    sleep_us(3 * (uint64_t)TIMEOUT_US);
    assert_int_equal(stat_of("snapshots_expired"), 0);
    assert_true(has(s1, "a", "1"));
    commit(s1);
}

static void
cursors_outside_a_transaction_fail_until_they_are_closed(void **state)
{
    struct txkv_cursor *one = new_cursor(s1), *two = new_cursor(s1);

    (void)state;
    set(s2, "a", "1");
    set(s2, "b", "1");
    OK(seek(one, "(,)"));
    set(s2, "a", "2");
    wait_for("snapshots_expired", 1);
    assert_expired(txkv_cursor_next(one, &err));
    assert_expired(seek(two, "(,)")); /* not another state beside rows of this one */
    assert_expired(try_get(s1, "a"));
    txkv_cursor_close(one);
    txkv_cursor_close(two);
    assert_true(has(s1, "a", "2"));
    assert_false(tx_guarded(s1));
}

static void
only_the_older_of_two_snapshots_is_ended(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);
    uint32_t open;

    (void)state;
    set(s2, "a", "1");
    set(s2, "b", "1");
    begin(s1);
    OK(seek(cursor, "(,)"));
    txkv_rollback(s1); /* the cursor keeps the snapshot */
    set_timeout(LONG_US);
    set(s2, "a", "2");
    begin(s1);
    assert_true(has(s1, "a", "2"));
    set_timeout(TIMEOUT_US);
    wait_for("snapshots_expired", 1);
    sleep_us(2 * (uint64_t)TIMEOUT_US);
    assert_int_equal(tx_oldest_snap(&db->core, &open), s1->current->snapshot.snap);
    assert_int_equal(open, 1);
    assert_true(has(s1, "a", "2"));
    assert_expired(txkv_cursor_next(cursor, &err));
    set(s2, "a", "3");
    wait_for("snapshots_expired", 2);
    assert_expired(try_get(s1, "a"));
    txkv_rollback(s1);
    assert_expired(txkv_cursor_next(cursor, &err));
    OK(seek(cursor, "(,)"));
    txkv_cursor_close(cursor);
    assert_false(tx_guarded(s1));
}

/* ---- the option ---- */

static void
without_the_option_nothing_is_ended_or_guarded(void **state)
{
    struct txkv_cursor *cursor = new_cursor(s1);

    (void)state;
    begin_outdated();
    OK(seek(cursor, "(,)"));
    checkpoint();
    sleep_us(200000);
    assert_int_equal(tx_load_relaxed_32(&s1->guard), TX_GUARD_OFF);
    assert_true(has(s1, "a", "1"));
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOTFOUND);
    assert_int_equal(stat_of("live_snapshots"), 1);
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
}

static void
only_snapshots_taken_with_the_option_are_ended(void **state)
{
    const struct txkv_options with = { .snapshot_timeout_s = 1 };
    struct txkv_session *s3;

    (void)state;
    begin_outdated();
    OK(try_open(dir, &with));
    OK(txkv_session_open(db, &s3, &err));
    begin(s3);
    assert_true(has(s3, "a", "2"));
    set(s2, "a", "3");
    wait_for("snapshots_expired", 1);
    assert_expired(try_get(s3, "a"));
    assert_true(has(s1, "a", "1"));
    txkv_rollback(s1);
    txkv_session_close(s3);
    OK(txkv_close(other, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TIMED_TEST(an_idle_transactions_snapshot_is_ended),
        TIMED_TEST(the_history_is_let_go_of),
        TIMED_TEST(a_snapshot_is_ended_before_the_checkpoint_too),
        TIMED_TEST(an_old_snapshot_is_ended_by_the_first_commit),
        TIMED_TEST(the_age_of_the_oldest_snapshot_is_shown),
        TIMED_TEST(the_error_says_what_and_where_and_the_way_out),
        TIMED_TEST(every_read_fails_until_the_rollback),
        TIMED_TEST(writes_that_depend_on_reads_do_not_commit),
        TIMED_TEST(blind_writes_and_mere_reads_commit),
        TIMED_TEST(a_transaction_without_a_snapshot_is_not_touched),
        TIMED_TEST(cursors_outside_a_transaction_fail_until_they_are_closed),
        TIMED_TEST(only_the_older_of_two_snapshots_is_ended),
        STORE_TEST(without_the_option_nothing_is_ended_or_guarded),
        STORE_TEST(only_snapshots_taken_with_the_option_are_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
