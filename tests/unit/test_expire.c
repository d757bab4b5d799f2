/*
 * test_expire.c - snapshots that have been open for too long are ended, and nobody gets hurt.
 *
 * The tests shorten the timeout to a fraction of the second that the option allows.
 */
#include "../../src/expire.h"

#include "store_fixture.h"

enum { TIMEOUT_US = 30000, LONG_US = 2000000000 };

static void
set_timeout(uint64_t timeout_us)
{
    tx_store_relaxed_64(&db->core.limits.snapshot_timeout_us, timeout_us);
    tx_event_signal(&db->core.checkpointer_wake);
}

static int
setup_timed(void **state)
{
    if (setup(state) != 0)
        return -1;
    set_timeout(TIMEOUT_US);
    return 0;
}

#define TIMED_TEST(name) cmocka_unit_test_setup_teardown(name, setup_timed, teardown)

static void
sleep_us(uint64_t us)
{
    const uint64_t until = tx_os_now_us() + us;

    while (tx_os_now_us() < until)
        nap();
}

static void
wait_for(const char *name, double value)
{
    while (stat_of(name) != value)
        nap();
}

static void
assert_expired(enum txkv_rc rc)
{
    assert_int_equal(rc, TXKV_EXPIRED);
    assert_int_equal(err.rc, TXKV_EXPIRED);
}

static enum txkv_rc
try_get(struct txkv_session *s, const char *key)
{
    struct txkv_bytes value;

    return txkv_get(s, table, text(key), &value, &err);
}

/* s1 in a transaction that has read "a", which has since been written again. */
static void
begin_outdated(void)
{
    set(s2, "a", "1");
    begin(s1);
    assert_true(has(s1, "a", "1"));
    set(s2, "a", "2");
}

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

/* ---- memory ---- */

/* Every place a row can come from: LMDB, a memtable, the transaction's own record. */
static void
bytes_that_were_handed_out_outlive_the_snapshot(void **state)
{
    struct txkv_cursor *tree = new_cursor(s1), *overlay = new_cursor(s1), *own = new_cursor(s1),
                       *point = new_cursor(s1);
    struct txkv_bytes value;
    char rows[256] = "";

    (void)state;
    set_timeout(LONG_US);
    set(s2, "in-lmdb", "one");
    checkpoint();
    set(s2, "overlay", "two");
    begin(s1);
    put(s1, "own", "three");
    OK(seek(tree, "[in-lmdb,j]"));
    OK(seek(overlay, "[k,overlay]"));
    OK(seek(own, "[overlay1,p]"));
    OK(seek(point, "[overlay,overlay]"));
    OK(txkv_get(s1, table, text("in-lmdb"), &value, &err));
    set(s2, "overlay", "2");
    checkpoint(); /* the segment and the memtable are the snapshot's alone now */
    set_timeout(TIMEOUT_US);
    wait_for("snapshots_expired", 1);
    wait_for("views_retired", 0);
    for (int i = 0; i < 4; i++) {
        set(s2, "in-lmdb", "zzz"); /* LMDB writes over the pages that the snapshot had */
        checkpoint();
    }
    append_row(tree, rows, sizeof rows);
    append_row(overlay, rows, sizeof rows);
    append_row(own, rows, sizeof rows);
    append_row(point, rows, sizeof rows);
    assert_string_equal(rows, "in-lmdb=one overlay=two own=three overlay=two ");
    assert_memory_equal(value.data, "one", 3);
    put(s1, "more", "4");
    assert_expired(txkv_cursor_next(tree, &err));
    assert_expired(txkv_cursor_next(overlay, &err));
    assert_expired(txkv_cursor_next(own, &err));
    assert_int_equal(txkv_cursor_next(point, &err), TXKV_NOTFOUND); /* a point has no next row */
    txkv_cursor_close(tree);
    txkv_cursor_close(overlay);
    txkv_cursor_close(own);
    txkv_cursor_close(point);
    assert_expired(try_commit(s1));
    txkv_rollback(s1);
}

static void
no_memory_for_a_rows_copy_is_an_error(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s2, "a", "1");
    set(s2, "b", "a value that is longer than what there is room for after the first, shorter one");
    begin(s1);
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    tx_mem_fail_at(1, true);
    assert_int_equal(txkv_cursor_next(cursor, &err), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    put(s1, "c", "x");
    assert_int_equal(try_commit(s1), TXKV_NOMEM); /* what it has read is not known */
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
    assert_null(get(s1, "c"));
}

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

/* ---- threads ---- */

/* What a thread reports. */
struct scanner {
    struct txkv_session *session;
    uint32_t stop; /* atomic */
    uint64_t expired, whole, wrong;
};

enum { ROWS = 40 };

/* The number that the value ends with: all rows of one snapshot have the same. */
static long
generation_of(const struct txkv_cursor *cursor)
{
    const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);
    char copy[64];

    if (value.bytes >= sizeof copy || value.bytes < key.bytes ||
        memcmp(value.data, key.data, key.bytes) != 0)
        return -1;
    memcpy(copy, value.data, value.bytes);
    copy[value.bytes] = '\0';
    return strtol(copy + key.bytes, NULL, 10);
}

/* One transaction: scans until it is told to end, or for as long as asked. */
static enum txkv_rc
scan_again_and_again(struct scanner *me, struct txkv_cursor *cursor)
{
    const struct txkv_range all = { .lo_open = false }, last = { .descending = true };
    const uint64_t until = tx_os_now_us() + 2 * (uint64_t)TIMEOUT_US;
    enum txkv_rc rc = TXKV_NOTFOUND;
    long generation = -1;

    for (uint32_t n = 0; rc == TXKV_NOTFOUND && tx_os_now_us() < until; n++) {
        rc = txkv_cursor_seek(cursor, n % 2 == 0 ? &all : &last, NULL);
        while (rc == TXKV_OK) {
            const long here = generation_of(cursor);

            if (generation == -1)
                generation = here;
            me->wrong += here < 0 || here != generation;
            rc = txkv_cursor_next(cursor, NULL);
        }
    }
    return rc;
}

static void *
scanner_main(void *arg)
{
    struct scanner *me = arg;

    while (tx_load_acquire_32(&me->stop) == 0) {
        struct txkv_cursor *cursor = NULL;
        enum txkv_rc rc;

        me->wrong += txkv_begin(me->session, NULL) != TXKV_OK ||
                     txkv_cursor_open(me->session, table, &cursor, NULL) != TXKV_OK;
        rc = scan_again_and_again(me, cursor);
        me->expired += rc == TXKV_EXPIRED;
        me->whole += rc == TXKV_NOTFOUND;
        me->wrong += rc != TXKV_EXPIRED && rc != TXKV_NOTFOUND;
        txkv_cursor_close(cursor);
        txkv_rollback(me->session);
    }
    return NULL;
}

static void
write_generation(int generation)
{
    begin(s2);
    for (int i = 0; i < ROWS; i++) {
        char key[16], value[32];

        (void)snprintf(key, sizeof key, "row-%02d", i);
        (void)snprintf(value, sizeof value, "%s%d", key, generation);
        put(s2, key, value);
    }
    commit(s2);
}

static void
running_scans_are_ended_and_see_nothing_else(void **state)
{
    struct scanner scanners[2] = { { .session = s1 } };
    pthread_t threads[2];
    uint64_t expired = 0;
    int generation = 0;

    (void)state;
    set_timeout(TIMEOUT_US / 3);
    OK(txkv_session_open(db, &scanners[1].session, &err));
    write_generation(generation);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, scanner_main, &scanners[i]), 0);
    while (stat_of("snapshots_expired") < 60) {
        write_generation(++generation);
        checkpoint();
    }
    for (int i = 0; i < 2; i++)
        tx_store_release_32(&scanners[i].stop, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(scanners[i].wrong, 0);
        assert_true(scanners[i].expired > 0);
        expired += scanners[i].expired;
    }
    assert_true(expired <=
                (uint64_t)stat_of("snapshots_expired")); /* some were done when it came */
    txkv_session_close(scanners[1].session);
    wait_for("views_retired", 0);
}

/* Hardly ever found between two calls, it is told to look itself. */
static void
a_session_found_in_a_call_ends_its_snapshot_in_the_next(void **state)
{
    (void)state;
    set_timeout(LONG_US);
    begin_outdated();
    tx_guard_take(s1);
    set_timeout(TIMEOUT_US);
    while (tx_load_relaxed_32(&s1->must_look) == 0)
        nap();
    assert_int_equal(stat_of("live_snapshots"), 1);
    tx_guard_give(s1);
    assert_expired(try_get(s1, "a"));
    txkv_rollback(s1);
}

static void *
commit_full(void *arg)
{
    enum txkv_rc *rc = arg;

    *rc = txkv_commit(s1, TXKV_SYNC_FULL, NULL);
    return NULL;
}

static void
a_commit_under_way_is_not_disturbed(void **state)
{
    enum txkv_rc rc = TXKV_OK;
    pthread_t thread;

    (void)state;
    set(s2, "a", "1");
    set_timeout(LONG_US);
    begin(s1);
    assert_true(has(s1, "a", "1"));
    put(s1, "b", "x");
    set(s2, "c", "1");
    tx_store_release_32(&sync_held, 1);
    assert_int_equal(pthread_create(&thread, NULL, commit_full, &rc), 0);
    while (tx_load_acquire_32(&sync_waits) == 0)
        nap();
    set_timeout(TIMEOUT_US);
    while (tx_load_relaxed_32(&s1->must_look) == 0) /* until it is found overdue */
        nap();
    assert_int_equal(tx_load_relaxed_64(&db->core.counters.snapshots_expired), 0);
    tx_store_release_32(&sync_held, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rc, TXKV_OK);
    assert_true(has(s2, "b", "x"));
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
        TIMED_TEST(bytes_that_were_handed_out_outlive_the_snapshot),
        TIMED_TEST(no_memory_for_a_rows_copy_is_an_error),
        STORE_TEST(without_the_option_nothing_is_ended_or_guarded),
        STORE_TEST(only_snapshots_taken_with_the_option_are_ended),
        TIMED_TEST(running_scans_are_ended_and_see_nothing_else),
        TIMED_TEST(a_session_found_in_a_call_ends_its_snapshot_in_the_next),
        TIMED_TEST(a_commit_under_way_is_not_disturbed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
