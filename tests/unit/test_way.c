/*
 * test_way.c - right of way for a transaction that keeps losing.
 */
#include "store_fixture.h"

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
    assert_int_equal(tx_load_acquire_32(&db->commit.way.taken), 0);
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

/* Without the right of way a transaction of 20 ms never gets through against these. */
static void
a_slow_transaction_gets_through_against_quick_rivals(void **state)
{
    pthread_t threads[RIVALS];
    uint32_t tries = 0;
    enum txkv_rc rc = TXKV_CONFLICT;

    (void)state;
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rival_main, NULL), 0);
    while (rc == TXKV_CONFLICT && ++tries < TRIES_MAX) {
        begin(s1);
        (void)get(s1, "k");
        (void)usleep(SLOW_US);
        put(s1, "k", "slow");
        rc = try_commit(s1);
        if (rc == TXKV_CONFLICT)
            txkv_rollback(s1);
    }
    tx_store_release_32(&stop, 1);
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(rc, TXKV_OK);
    assert_int_equal(rival_errors, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(two_losses_give_no_right),
        STORE_TEST(after_three_losses_others_wait_for_that_key_alone),
        STORE_TEST(a_holder_that_does_not_come_back_delays_others_only_for_a_while),
        STORE_TEST(a_slow_transaction_gets_through_against_quick_rivals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
