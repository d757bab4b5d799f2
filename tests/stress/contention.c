/*
 * contention.c - many threads on few keys, and on few stores that open and close.
 *
 *   contention [SECONDS]      SEED=n
 *
 * Goal: the loop that the documents ask for (run a transaction again until it commits) loses no
 * increment and ends for every thread, however many want the same few keys; and a store that is
 * opened and closed by many threads at once is at every moment one store.
 * Method: 50 threads increment 4 counters, each a fixed number of times, at either isolation level
 * in every sync mode; one in ten waits between its read and its commit, and so loses to all others
 * that do not. Then threads open one of three stores, increment its counter, and close it, so that
 * first opens and last closes meet. The sums must be exact.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../support/support.h"

enum {
    THREADS = 50,
    COUNTERS = 4,
    SHARE = 20, /* increments of each thread */
    SLOW_US_MAX = 3000,
    STORES = 3,
    OPENERS = 8,
    OPENER_SHARE = 8,
    FINISH_S_MAX = 90
};

struct worker {
    pthread_t thread;
    struct rng rng;
    struct txkv_session *session;
    bool slow;
    uint64_t runs, runs_most; /* of transactions; of one until it committed */
    uint64_t done_us;
    uint64_t added[COUNTERS];
};

static enum txkv_isolation isolation;
static struct txkv *store;
static uint32_t table;
static atomic_uint finished;
static char dirs[STORES][TEST_PATH_BYTES];

/* ---- increments ---- */

static uint64_t
get_counter(struct txkv_session *s, uint32_t t, uint32_t counter)
{
    const uint8_t key = (uint8_t)counter;
    struct txkv_bytes value;
    struct txkv_error err;
    uint64_t n = 0;
    const enum txkv_rc rc = txkv_get(s, t, bytes_of(&key, 1), &value, &err);

    if (rc == TXKV_NOTFOUND)
        return 0;
    test_ok(rc, &err, "get");
    memcpy(&n, value.data, value.bytes < sizeof n ? value.bytes : sizeof n);
    return n;
}

/* The loop of docs/c-api.md. Returns how often the transaction was run. */
static uint64_t
increment(struct txkv_session *s, uint32_t t, uint32_t counter, enum txkv_sync sync,
          uint64_t between_us)
{
    const uint8_t key = (uint8_t)counter;

    for (uint64_t runs = 1;; runs++) {
        struct txkv_error err;
        enum txkv_rc rc;
        uint64_t n;

        test_ok(txkv_begin(s, &err), &err, "begin");
        n = get_counter(s, t, counter) + 1;
        if (between_us > 0)
            test_sleep_us(between_us);
        test_ok(txkv_put(s, t, bytes_of(&key, 1), bytes_of(&n, sizeof n), &err), &err, "put");
        rc = txkv_commit(s, sync, &err);
        if (rc == TXKV_OK)
            return runs;
        txkv_rollback(s);
        if (rc != TXKV_CONFLICT && rc != TXKV_BUSY)
            test_ok(rc, &err, "commit");
    }
}

static void
start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        test_die("pthread_create failed");
}

/* A thread that never gets its turn would keep the test waiting for ever. */
static void
wait_for_finished(unsigned count)
{
    const uint64_t until_us = test_now_us() + FINISH_S_MAX * 1000000ull;

    while (atomic_load(&finished) < count) {
        if (test_now_us() > until_us)
            test_die("%u of %u threads have not finished their share after %d s",
                     count - atomic_load(&finished), count, FINISH_S_MAX);
        test_sleep_us(1000);
    }
}

/* ---- few keys ---- */

static void *
work(void *arg)
{
    struct worker *w = arg;

    for (uint32_t i = 0; i < SHARE; i++) {
        const uint32_t counter = rng_below(&w->rng, COUNTERS);
        const enum txkv_sync sync = (enum txkv_sync)rng_below(&w->rng, 3);
        const uint64_t between_us = w->slow ? rng_below(&w->rng, SLOW_US_MAX) : 0;
        const uint64_t runs = increment(w->session, table, counter, sync, between_us);

        w->added[counter]++;
        w->runs += runs;
        if (runs > w->runs_most)
            w->runs_most = runs;
    }
    w->done_us = test_now_us();
    atomic_fetch_add(&finished, 1);
    return NULL;
}

static void
check_counters(const uint64_t added[COUNTERS])
{
    struct txkv_session *s;
    struct txkv_error err;

    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    for (uint32_t i = 0; i < COUNTERS; i++)
        if (get_counter(s, table, i) != added[i])
            test_die("counter %u is %llu after %llu increments", i,
                     (unsigned long long)get_counter(s, table, i), (unsigned long long)added[i]);
    txkv_session_close(s);
}

static void
run_few_keys(uint64_t seed, uint64_t duration_us)
{
    static struct worker workers[THREADS];
    const uint64_t begin_us = test_now_us();
    uint64_t added[COUNTERS] = { 0 };
    uint64_t runs = 0, most = 0, rounds = 0, first_us = UINT64_MAX, last_us = 0;
    const struct txkv_options options = { .checkpoint_bytes = 64 * 1024 };
    char dir[TEST_PATH_BYTES];
    struct txkv_error err;

    test_dir_make(dir, "contention");
    test_ok(txkv_open(dir, &options, &store, &err), &err, "open");
    test_ok(txkv_table(store, "counters", NULL, true, &table, &err), &err, "table");
    do {
        atomic_store(&finished, 0);
        memset(workers, 0, sizeof workers);
        for (uint32_t i = 0; i < THREADS; i++) {
            workers[i].slow = i % 10 == 0;
            rng_seed(&workers[i].rng, mix64(seed + rounds) + i);
            test_ok(txkv_session_open(store, &workers[i].session, &err), &err, "session_open");
            txkv_set_isolation(workers[i].session, isolation);
        }
        for (uint32_t i = 0; i < THREADS; i++)
            start(&workers[i].thread, work, &workers[i]);
        wait_for_finished(THREADS);
        for (uint32_t i = 0; i < THREADS; i++) {
            const struct worker *w = &workers[i];

            (void)pthread_join(w->thread, NULL);
            txkv_session_close(w->session);
            runs += w->runs;
            most = w->runs_most > most ? w->runs_most : most;
            for (uint32_t k = 0; k < COUNTERS; k++)
                added[k] += w->added[k];
        }
        rounds++;
        check_counters(added);
    } while (test_now_us() - begin_us < duration_us);
    for (uint32_t i = 0; i < THREADS; i++) {
        first_us = workers[i].done_us < first_us ? workers[i].done_us : first_us;
        last_us = workers[i].done_us > last_us ? workers[i].done_us : last_us;
    }
    test_ok(txkv_close(store, &err), &err, "close");
    test_ok(txkv_open(dir, NULL, &store, &err), &err, "open");
    check_counters(added);
    test_ok(txkv_close(store, &err), &err, "close");
    test_dir_remove(dir);
    (void)printf(
        "[  OK  ] %d threads, %d keys, %s: %llu rounds, %llu increments, %llu conflicts; at "
        "most %llu runs until one committed; the last thread ended %llu ms after the "
        "first\n",
        THREADS, COUNTERS, isolation == TXKV_SNAPSHOT ? "snapshot" : "serializable",
        (unsigned long long)rounds, (unsigned long long)rounds * THREADS * SHARE,
        (unsigned long long)(runs - rounds * THREADS * SHARE), (unsigned long long)most,
        (unsigned long long)(last_us - first_us) / 1000);
}

/* ---- stores that open and close ---- */

static void *
open_and_close(void *arg)
{
    struct worker *w = arg;

    for (uint32_t i = 0; i < OPENER_SHARE; i++) {
        const uint32_t n = rng_below(&w->rng, STORES);
        struct txkv *mine;
        struct txkv *other = NULL;
        struct txkv_session *s;
        struct txkv_error err;
        uint32_t t;

        test_ok(txkv_open(dirs[n], NULL, &mine, &err), &err, "open");
        if (rng_chance(&w->rng, 30))
            test_ok(txkv_open(dirs[n], NULL, &other, &err), &err, "open again");
        test_ok(txkv_table(mine, "counters", NULL, true, &t, &err), &err, "table");
        test_ok(txkv_session_open(mine, &s, &err), &err, "session_open");
        w->runs += increment(s, t, 0, (enum txkv_sync)rng_below(&w->rng, 3), 0);
        w->added[n]++;
        if (rng_chance(&w->rng, 30))
            test_sleep_us(rng_below(&w->rng, 3000));
        txkv_session_close(s);
        test_ok(txkv_close(mine, &err), &err, "close");
        test_ok(txkv_close(other, &err), &err, "close the other handle");
    }
    atomic_fetch_add(&finished, 1);
    return NULL;
}

static void
check_stores(const uint64_t added[STORES])
{
    struct txkv_session *s;
    struct txkv_error err;
    uint64_t n;

    for (uint32_t i = 0; i < STORES; i++) {
        test_ok(txkv_open(dirs[i], NULL, &store, &err), &err, "open");
        test_ok(txkv_table(store, "counters", NULL, true, &table, &err), &err, "table");
        test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
        n = get_counter(s, table, 0);
        if (n != added[i])
            test_die("store %u has %llu after %llu increments", i, (unsigned long long)n,
                     (unsigned long long)added[i]);
        txkv_session_close(s);
        test_ok(txkv_close(store, &err), &err, "close");
    }
}

static void
run_openers(uint64_t seed, uint64_t duration_us)
{
    static struct worker workers[OPENERS];
    const uint64_t begin_us = test_now_us();
    uint64_t added[STORES] = { 0 };
    uint64_t runs = 0, rounds = 0;

    for (uint32_t i = 0; i < STORES; i++)
        test_dir_make(dirs[i], "contention");
    do {
        atomic_store(&finished, 0);
        memset(workers, 0, sizeof workers);
        for (uint32_t i = 0; i < OPENERS; i++) {
            rng_seed(&workers[i].rng, mix64(seed + rounds) + i);
            start(&workers[i].thread, open_and_close, &workers[i]);
        }
        wait_for_finished(OPENERS);
        for (uint32_t i = 0; i < OPENERS; i++) {
            (void)pthread_join(workers[i].thread, NULL);
            runs += workers[i].runs;
            for (uint32_t k = 0; k < STORES; k++)
                added[k] += workers[i].added[k];
        }
        rounds++;
        check_stores(added);
    } while (test_now_us() - begin_us < duration_us);
    for (uint32_t i = 0; i < STORES; i++)
        test_dir_remove(dirs[i]);
    (void)printf("[  OK  ] %d threads open and close %d stores: %llu rounds, %llu increments, %llu "
                 "conflicts\n",
                 OPENERS, STORES, (unsigned long long)rounds,
                 (unsigned long long)rounds * OPENERS * OPENER_SHARE,
                 (unsigned long long)(runs - rounds * OPENERS * OPENER_SHARE));
}

int
main(int argc, char **argv)
{
    const uint64_t seconds = test_argument(argc, argv, 1, 3);
    const uint64_t seed = test_seed(test_now_us());

    (void)printf("contention: %llu seconds, SEED=%llu\n", (unsigned long long)seconds,
                 (unsigned long long)seed);
    isolation = TXKV_SERIALIZABLE;
    run_few_keys(seed, seconds * 1000000 / 3);
    isolation = TXKV_SNAPSHOT;
    run_few_keys(seed + 1, seconds * 1000000 / 3);
    run_openers(seed + 2, seconds * 1000000 / 3);
    return test_summary(3, 0);
}
