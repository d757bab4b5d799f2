/*
 * history.c - random list-append transactions by many threads, recorded and checked: see check.h.
 *
 *   history [SECONDS [--serializable|--snapshot]]      SEED=n
 *
 * Goal: at isolation=serializable no history has an anomaly; at isolation=snapshot none but G2,
 * write skew, which the checker must find in a workload made for it.
 * Method: rounds of some hundred transactions on a few fresh keys, so that inserts, and with them
 * phantoms, go on occurring; every sync mode for a third of the time; checkpoints all the while.
 * Small histories written by hand check the checker first.
 *
 * Worker threads never end the process: what fails is kept, all stop, the main thread tells.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "check.h"
#include "planted.h"

enum { THREADS = 6, THREAD_TXNS = 50, TXNS = THREADS * THREAD_TXNS + 1, LIST_MAX = 4096 };

struct worker {
    pthread_t thread;
    uint32_t number;
    struct txkv_session *session;
    struct rng rng;
    struct txn *txns; /* its part of the history */
    uint32_t buffer[LIST_MAX];
};

static struct txkv *store;
static uint32_t table;
static enum txkv_sync sync_mode;
static bool skewed; /* the workload made for write skew */
static uint64_t round_number;
static struct txn txns[TXNS];
static struct worker workers[THREADS + 1];
static atomic_uint_fast64_t clock_now;
static atomic_uint_fast32_t next_number;
static atomic_bool stop_checkpoints, broken;
static uint64_t outcomes[OUTCOME_UNKNOWN + 1], checkpoints;
static struct txkv_error failure; /* of the thread that set `broken` */

static bool
succeeds(enum txkv_rc rc, const struct txkv_error *err)
{
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND && !atomic_exchange(&broken, true))
        failure = *err;
    return rc == TXKV_OK;
}

/* ---- one transaction ---- */

struct key_bytes {
    uint8_t data[9];
};

/* A round's keys stand side by side. */
static struct key_bytes
key_of(uint32_t key)
{
    struct key_bytes bytes;

    for (uint32_t i = 0; i < 8; i++)
        bytes.data[i] = (uint8_t)(round_number >> (56 - 8 * i));
    bytes.data[8] = (uint8_t)key;
    return bytes;
}

static void
record_read(struct txn *txn, uint32_t key, struct txkv_bytes value)
{
    struct event *e = &txn->events[txn->event_count++];

    *e = (struct event){ .kind = EVENT_READ,
                         .key = key,
                         .length = (uint32_t)(value.bytes / sizeof *e->list),
                         .list = value.bytes == 0 ? NULL : malloc(value.bytes) };
    if (value.bytes == 0)
        return;
    if (e->list == NULL)
        test_die("no memory");
    memcpy(e->list, value.data, value.bytes);
}

static void
read_key(struct worker *w, struct txn *txn, uint32_t key)
{
    const struct key_bytes k = key_of(key);
    struct txkv_bytes value;
    struct txkv_error err;

    (void)succeeds(txkv_get(w->session, table, bytes_of(&k, sizeof k), &value, &err), &err);
    record_read(txn, key, value);
}

static void
append(struct worker *w, struct txn *txn, uint32_t key)
{
    const struct key_bytes k = key_of(key);
    const uint32_t number = (uint32_t)atomic_fetch_add(&next_number, 1);
    const struct event *read = &txn->events[txn->event_count];
    struct txkv_error err;

    read_key(w, txn, key);
    if (read->length + 1 >= LIST_MAX)
        return;
    if (read->length > 0)
        memcpy(w->buffer, read->list, read->length * sizeof number);
    w->buffer[read->length] = number;
    (void)succeeds(txkv_put(w->session, table, bytes_of(&k, sizeof k),
                            bytes_of(w->buffer, (read->length + 1) * sizeof number), &err),
                   &err);
    txn->events[txn->event_count++] =
        (struct event){ .kind = EVENT_APPEND, .key = key, .number = number };
}

/* Some of the rows between two keys; what the cursor has passed without a row is an empty list. */
static void
scan(struct worker *w, struct txn *txn, uint32_t lo, uint32_t hi, uint32_t rows_max)
{
    const struct key_bytes low = key_of(lo), high = key_of(hi);
    const struct txkv_range range = { .lo = bytes_of(&low, sizeof low),
                                      .hi = bytes_of(&high, sizeof high),
                                      .descending = rng_chance(&w->rng, 50) };
    const struct txkv_bytes nothing = { NULL, 0 };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    uint32_t passed = 0;
    bool more;

    if (!succeeds(txkv_cursor_open(w->session, table, &cursor, &err), &err))
        return;
    more = succeeds(txkv_cursor_seek(cursor, &range, &err), &err);
    for (uint32_t rows = 0; passed <= hi - lo; passed++) {
        const uint32_t key = range.descending ? hi - passed : lo + passed;

        if (!more || txkv_cursor_key(cursor).data[8] != key) {
            record_read(txn, key, nothing);
            continue;
        }
        record_read(txn, key, txkv_cursor_value(cursor));
        if (++rows == rows_max)
            break;
        more = succeeds(txkv_cursor_next(cursor, &err), &err);
    }
    txkv_cursor_close(cursor);
}

static void
random_operations(struct worker *w, struct txn *txn)
{
    for (uint32_t n = 1 + rng_below(&w->rng, OPERATIONS_MAX); n > 0; n--) {
        const uint32_t key = rng_below(&w->rng, KEYS), dice = rng_below(&w->rng, 100);

        if (dice < 40)
            append(w, txn, key);
        else if (dice < 75)
            read_key(w, txn, key);
        else
            scan(w, txn, key, key + rng_below(&w->rng, KEYS - key), 1 + rng_below(&w->rng, KEYS));
        if (rng_chance(&w->rng, 10))
            test_sleep_us(rng_below(&w->rng, 100));
        else if (rng_chance(&w->rng, 40))
            (void)sched_yield();
    }
}

/* Read two keys, append to one of them. */
static void
skew_operations(struct worker *w, struct txn *txn)
{
    const uint32_t pair = rng_below(&w->rng, KEYS / 2) * 2;

    scan(w, txn, pair, pair + 1, 2);
    (void)sched_yield();
    append(w, txn, pair + rng_below(&w->rng, 2));
    (void)sched_yield();
}

static void
run_transaction(struct worker *w, struct txn *txn)
{
    struct txkv_error err;
    enum txkv_rc rc;

    *txn = (struct txn){ .thread = w->number, .start = atomic_fetch_add(&clock_now, 1) };
    if (!succeeds(txkv_begin(w->session, &err), &err))
        return;
    if (skewed)
        skew_operations(w, txn);
    else
        random_operations(w, txn);
    rc = txkv_commit(w->session, sync_mode, &err);
    txn->end = atomic_fetch_add(&clock_now, 1);
    if (rc != TXKV_OK)
        txkv_rollback(w->session);
    if (rc == TXKV_OK)
        txn->outcome = OUTCOME_OK;
    else if (rc == TXKV_CONFLICT || rc == TXKV_BUSY || rc == TXKV_FULL)
        txn->outcome = OUTCOME_ABORTED;
    else
        txn->outcome = OUTCOME_UNKNOWN;
    if (txn->outcome == OUTCOME_UNKNOWN)
        (void)succeeds(rc, &err);
}

static void *
work(void *arg)
{
    struct worker *w = arg;

    for (uint32_t i = 0; i < THREAD_TXNS; i++)
        run_transaction(w, &w->txns[i]);
    return NULL;
}

static void *
checkpoint(void *arg)
{
    struct txkv_error err;

    (void)arg;
    while (!atomic_load(&stop_checkpoints)) {
        checkpoints += succeeds(txkv_checkpoint(store, NULL, &err), &err);
        test_sleep_us(2000);
    }
    return NULL;
}

/* ---- rounds ---- */

static void
start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        test_die("pthread_create failed");
}

static void
run_round(struct findings *findings)
{
    struct history history = { .txns = txns, .count = TXNS };
    struct worker *last = &workers[THREADS];

    round_number++;
    atomic_store(&next_number, 1);
    for (uint32_t i = 0; i < THREADS; i++)
        start_thread(&workers[i].thread, work, &workers[i]);
    for (uint32_t i = 0; i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    *last->txns = (struct txn){ .thread = last->number, .start = atomic_fetch_add(&clock_now, 1) };
    for (uint32_t key = 0; key < KEYS; key++)
        read_key(last, last->txns, key);
    last->txns->end = atomic_fetch_add(&clock_now, 1);
    if (atomic_load(&broken))
        test_die("%s", failure.text);
    history.number_max = (uint32_t)atomic_load(&next_number) - 1;
    check_history(&history, findings);
    for (uint32_t i = 0; i < TXNS; i++) {
        outcomes[txns[i].outcome]++;
        for (uint32_t n = 0; n < txns[i].event_count; n++)
            free(txns[i].events[n].list);
    }
}

/* Print what was found; true when it is what the isolation level lets through. */
static bool
tell(const struct findings *f, enum txkv_isolation isolation)
{
    bool ok = true;

    for (uint32_t a = 0; a < ANOMALIES; a++) {
        const bool allowed = a == G2 && isolation == TXKV_SNAPSHOT;

        if (f->count[a] == 0 || allowed)
            continue;
        ok = false;
        (void)printf("%llu times; the first:\n%s", (unsigned long long)f->count[a], f->first[a]);
    }
    if (isolation == TXKV_SNAPSHOT && f->count[G2] == 0) {
        ok = false;
        (void)printf("no write skew was found, so the checker, or the workload, is too weak\n");
    }
    return ok;
}

/* One isolation level and one sync mode. */
static bool
run_case(enum txkv_isolation isolation, enum txkv_sync sync, uint64_t duration_us)
{
    static const char *const syncs[] = { "off", "normal", "full" };
    static struct findings findings;
    const uint64_t until = test_now_us() + duration_us;
    const uint64_t first_round = round_number;
    pthread_t checkpointer;
    bool ok;

    memset(&findings, 0, sizeof findings);
    memset(outcomes, 0, sizeof outcomes);
    checkpoints = 0;
    sync_mode = sync;
    for (uint32_t i = 0; i <= THREADS; i++)
        txkv_set_isolation(workers[i].session, isolation);
    atomic_store(&stop_checkpoints, false);
    start_thread(&checkpointer, checkpoint, NULL);
    do {
        skewed = isolation == TXKV_SNAPSHOT && round_number % 2 == 0;
        run_round(&findings);
    } while (test_now_us() < until);
    atomic_store(&stop_checkpoints, true);
    (void)pthread_join(checkpointer, NULL);
    ok = tell(&findings, isolation);
    (void)printf("[%s] %s, sync=%s: %llu rounds, %llu committed, %llu aborted, %llu checkpoints, "
                 "%llu rounds with write skew\n",
                 ok ? "  OK  " : "FAILED", isolation == TXKV_SNAPSHOT ? "snapshot" : "serializable",
                 syncs[sync], (unsigned long long)(round_number - first_round),
                 (unsigned long long)outcomes[OUTCOME_OK],
                 (unsigned long long)outcomes[OUTCOME_ABORTED], (unsigned long long)checkpoints,
                 (unsigned long long)findings.count[G2]);
    return ok;
}

static void
open_store(const char *dir, uint64_t seed)
{
    const struct txkv_options options = { .segment_bytes = 256 * 1024, .flush_interval_ms = 2 };
    struct txkv_error err;

    test_ok(txkv_open(dir, &options, &store, &err), &err, "open");
    test_ok(txkv_table(store, "lists", "history", true, &table, &err), &err, "table");
    for (uint32_t i = 0; i <= THREADS; i++) {
        workers[i].number = i;
        workers[i].txns = &txns[i * THREAD_TXNS];
        rng_seed(&workers[i].rng, mix64(seed) + i);
        test_ok(txkv_session_open(store, &workers[i].session, &err), &err, "session_open");
    }
}

int
main(int argc, char **argv)
{
    const uint64_t seconds = test_argument(argc, argv, 1, 2);
    const char *only = argc > 2 ? argv[2] : "";
    const uint64_t seed = test_seed(test_now_us());
    char dir[TEST_PATH_BYTES];
    uint64_t passed = 0;
    uint64_t failed = 0;
    struct txkv_error err;

    if (only[0] != '\0' && strcmp(only, "--serializable") != 0 && strcmp(only, "--snapshot") != 0)
        test_die("usage: history [SECONDS [--serializable|--snapshot]]");
    (void)printf("history: SEED=%llu\n", (unsigned long long)seed);
    check_planted(&passed, &failed);
    test_dir_make(dir, "history");
    open_store(dir, seed);
    for (uint32_t i = 0; i < 6; i++) {
        const enum txkv_isolation isolation = i < 3 ? TXKV_SERIALIZABLE : TXKV_SNAPSHOT;
        const bool wanted = only[0] == '\0' || (i < 3) == (strcmp(only, "--serializable") == 0);
        const uint64_t share = only[0] == '\0' ? (i < 3 ? 4 : 12) : 3;

        if (wanted)
            ++*(run_case(isolation, (enum txkv_sync)(i % 3), seconds * 1000000 / share) ? &passed
                                                                                        : &failed);
    }
    for (uint32_t i = 0; i <= THREADS; i++)
        txkv_session_close(workers[i].session);
    test_ok(txkv_close(store, &err), &err, "close");
    test_dir_remove(dir);
    return test_summary(passed, failed);
}
