/*
 * test_way.c - right of way for a transaction that keeps losing.
 */
#include "child_fixture.h"

enum { RIVALS = 4, SLOW_US = 20000, TRIES_MAX = 50 };

/* One committed write of a key by s2, in a thread of its own. */
struct writer {
    pthread_t thread;
    const char *key;
    enum txkv_rc rc;
    uint32_t done; /* atomic */
};

static void *
write_key(void *arg)
{
    struct writer *w = arg;

    w->rc = txkv_begin(s2, NULL);
    if (w->rc == TXKV_OK)
        w->rc = txkv_put(s2, table, text(w->key), text("rival"), NULL);
    if (w->rc == TXKV_OK)
        w->rc = txkv_commit(s2, TXKV_SYNC_OFF, NULL);
    tx_store_release_32(&w->done, 1);
    return NULL;
}

static void
start_writer(struct writer *w, const char *key)
{
    *w = (struct writer){ .key = key };
    assert_int_equal(pthread_create(&w->thread, NULL, write_key, w), 0);
}

static void
join_writer(struct writer *w)
{
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(w->rc, TXKV_OK);
}

/* s1 reads and writes k, s2 comes first; it takes so long that the right it wins lasts a while. */
static void
lose(uint32_t times, useconds_t slow_us)
{
    for (uint32_t i = 0; i < times; i++) {
        begin(s1);
        (void)get(s1, "k");
        put(s1, "k", "mine");
        (void)usleep(slow_us);
        set(s2, "k", "rival");
        assert_int_equal(try_commit(s1), TXKV_CONFLICT);
        txkv_rollback(s1);
    }
}

static void
two_losses_give_no_right(void **state)
{
    struct writer w;

    (void)state;
    lose(2, 0);
    begin(s1);
    start_writer(&w, "k");
    join_writer(&w);
    txkv_rollback(s1);
    assert_int_equal(stat_of("rights_of_way"), 0);
}

static void
after_three_losses_others_wait_for_that_key_alone(void **state)
{
    struct writer same, elsewhere;

    (void)state;
    lose(3, 100000);
    assert_int_equal(stat_of("rights_of_way"), 1);
    begin(s1);
    assert_true(has(s1, "k", "rival"));
    start_writer(&elsewhere, "other"); /* does not wait */
    join_writer(&elsewhere);
    start_writer(&same, "k");
    (void)usleep(20000);
    assert_int_equal(tx_load_acquire_32(&same.done), 0);
    put(s1, "k", "mine");
    commit(s1);
    join_writer(&same);
    assert_true(has(s1, "k", "rival")); /* it came after */
    start_writer(&same, "k");           /* and the right is gone */
    join_writer(&same);
}

static void
a_holder_that_does_not_come_back_delays_others_only_for_a_while(void **state)
{
    struct writer w;

    (void)state;
    lose(3, 0);
    start_writer(&w, "k");
    join_writer(&w);
    assert_int_equal(tx_load_acquire_64(&db->core.shared->way_until_us), 0);
}

/* ---- against quick rivals ---- */

static uint32_t stop; /* atomic */
static uint64_t rival_errors;

static void *
rival_main(void *arg)
{
    struct txkv_session *s;
    struct txkv_bytes value;
    enum txkv_rc rc = txkv_session_open(db, &s, NULL);

    while (rc == TXKV_OK && tx_load_acquire_32(&stop) == 0) {
        rc = txkv_begin(s, NULL);
        if (rc == TXKV_OK)
            rc = txkv_get(s, table, text("k"), &value, NULL);
        if (rc == TXKV_OK || rc == TXKV_NOTFOUND)
            rc = txkv_put(s, table, text("k"), text("rival"), NULL);
        if (rc == TXKV_OK)
            rc = txkv_commit(s, TXKV_SYNC_OFF, NULL);
        if (rc == TXKV_CONFLICT) {
            txkv_rollback(s);
            rc = TXKV_OK;
        }
    }
    if (rc != TXKV_OK)
        (void)tx_fetch_add_64(&rival_errors, 1);
    txkv_session_close(s);
    return arg;
}

/* A transaction of SLOW_US, until it gets through. */
static enum txkv_rc
try_slowly(void)
{
    enum txkv_rc rc = TXKV_CONFLICT;

    for (uint32_t tries = 0; rc == TXKV_CONFLICT && tries < TRIES_MAX; tries++) {
        begin(s1);
        (void)get(s1, "k");
        (void)usleep(SLOW_US);
        put(s1, "k", "slow");
        rc = try_commit(s1);
        if (rc == TXKV_CONFLICT)
            txkv_rollback(s1);
    }
    return rc;
}

/* Without the right of way a transaction of 20 ms never gets through against these. */
static void
a_slow_transaction_gets_through_against_quick_rivals(void **state)
{
    pthread_t threads[RIVALS];
    enum txkv_rc rc;

    (void)state;
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rival_main, NULL), 0);
    rc = try_slowly();
    tx_store_release_32(&stop, 1);
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(rc, TXKV_OK);
    assert_int_equal(rival_errors, 0);
}

static int
rival_process(void)
{
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    while (tx_load_acquire_32(&steps->step) == 0) {
        struct txkv_bytes value;
        enum txkv_rc rc = txkv_begin(s1, &err);

        CHILD_NEEDS(rc == TXKV_OK);
        rc = txkv_get(s1, table, text("k"), &value, &err);
        CHILD_NEEDS(rc == TXKV_OK || rc == TXKV_NOTFOUND);
        CHILD_NEEDS(txkv_put(s1, table, text("k"), text("rival"), &err) == TXKV_OK);
        rc = txkv_commit(s1, TXKV_SYNC_OFF, &err);
        CHILD_NEEDS(rc == TXKV_OK || rc == TXKV_CONFLICT);
        txkv_rollback(s1);
    }
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

static void
rivals_in_other_processes_give_way_too(void **state)
{
    pid_t children[RIVALS];
    enum txkv_rc rc;

    (void)state;
    new_steps();
    for (int i = 0; i < RIVALS; i++)
        children[i] = start_child(rival_process);
    reopen();
    while (get(s2, "k") == NULL)
        nap();
    rc = try_slowly();
    go_to_step(1);
    for (int i = 0; i < RIVALS; i++)
        expect_child_well(children[i]);
    assert_int_equal(rc, TXKV_OK);
    assert_true(stat_of("rights_of_way") > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(two_losses_give_no_right),
        STORE_TEST(after_three_losses_others_wait_for_that_key_alone),
        STORE_TEST(a_holder_that_does_not_come_back_delays_others_only_for_a_while),
        STORE_TEST(a_slow_transaction_gets_through_against_quick_rivals),
        DIR_TEST(rivals_in_other_processes_give_way_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
