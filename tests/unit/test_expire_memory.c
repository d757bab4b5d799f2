/*
 * test_expire_memory.c - a snapshot is ended under a session, and nobody looks at memory that has
 * gone: not the application, which still has bytes of it, nor a scan that runs in another thread.
 */
#include "expire_fixture.h"

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
        TIMED_TEST(bytes_that_were_handed_out_outlive_the_snapshot),
        TIMED_TEST(no_memory_for_a_rows_copy_is_an_error),
        TIMED_TEST(running_scans_are_ended_and_see_nothing_else),
        TIMED_TEST(a_session_found_in_a_call_ends_its_snapshot_in_the_next),
        TIMED_TEST(a_commit_under_way_is_not_disturbed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
