/*
 * worker.c - see worker.h.
 *
 * Worker threads never end a process: what fails is kept, and the parent tells.
 */
#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

struct worker {
    pthread_t thread;
    uint32_t number;
    struct txkv_session *session;
    struct rng rng;
    uint64_t step; /* seen */
    uint32_t buffer[LIST_MAX];
};

struct shared *shared;
static struct txkv *store;
static uint32_t table;
static struct worker workers[WORKERS];
static pthread_t checkpointer;

static bool
succeeds(enum txkv_rc rc, const struct txkv_error *err)
{
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND && !atomic_exchange(&shared->broken, true))
        shared->failure = *err;
    return rc == TXKV_OK;
}

static uint64_t
tick(void)
{
    return atomic_fetch_add(&shared->clock_now, 1) + 1;
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
        bytes.data[i] = (uint8_t)(shared->round >> (56 - 8 * i));
    bytes.data[8] = (uint8_t)key;
    return bytes;
}

/* The event is complete before it is counted, for the process may be killed at any moment. */
static void
record(struct txn *txn, const struct event *event)
{
    txn->events[txn->event_count] = *event;
    atomic_signal_fence(memory_order_release);
    txn->event_count++;
}

static void
record_read(struct worker *w, struct txn *txn, uint32_t key, struct txkv_bytes value)
{
    size_t *used = &shared->lists_used[w->number];
    struct event event = { .kind = EVENT_READ,
                           .key = key,
                           .length = (uint32_t)(value.bytes / sizeof *event.list) };

    if (value.bytes > 0) {
        if (*used + value.bytes > ARENA_BYTES)
            test_die("the lists of a round do not fit");
        event.list = (void *)(shared->lists[w->number] + *used);
        memcpy(event.list, value.data, value.bytes);
        *used += value.bytes;
    }
    record(txn, &event);
}

static void
read_key(struct worker *w, struct txn *txn, uint32_t key)
{
    const struct key_bytes k = key_of(key);
    struct txkv_bytes value = { NULL, 0 };
    struct txkv_error err;

    (void)succeeds(txkv_get(w->session, table, bytes_of(&k, sizeof k), &value, &err), &err);
    record_read(w, txn, key, value);
}

/* Write what the transaction's last event has read, with a new number at its end. */
static void
append_to_read(struct worker *w, struct txn *txn)
{
    const struct event *read = &txn->events[txn->event_count - 1];
    const struct key_bytes k = key_of(read->key);
    const uint32_t number = (uint32_t)atomic_fetch_add(&shared->next_number, 1);
    struct txkv_error err;

    if (read->length + 1 >= LIST_MAX)
        return;
    if (read->length > 0)
        memcpy(w->buffer, read->list, read->length * sizeof number);
    w->buffer[read->length] = number;
    (void)succeeds(txkv_put(w->session, table, bytes_of(&k, sizeof k),
                            bytes_of(w->buffer, (read->length + 1) * sizeof number), &err),
                   &err);
    record(txn, &(struct event){ .kind = EVENT_APPEND, .key = read->key, .number = number });
}

static void
append(struct worker *w, struct txn *txn, uint32_t key)
{
    read_key(w, txn, key);
    append_to_read(w, txn);
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
            record_read(w, txn, key, nothing);
            continue;
        }
        record_read(w, txn, key, txkv_cursor_value(cursor));
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

static void
skewed_operations(struct worker *w, struct txn *txn)
{
    const uint32_t pair = rng_below(&w->rng, KEYS / 2) * 2;

    scan(w, txn, pair, pair + 1, 2);
    (void)sched_yield();
    append(w, txn, pair + rng_below(&w->rng, 2));
    (void)sched_yield();
}

static void
begin(struct worker *w)
{
    struct txkv_error err;

    (void)succeeds(txkv_begin(w->session, &err), &err);
}

static void
run_operations(struct worker *w, struct txn *txn)
{
    switch (shared->workload) {
    case RANDOM:
        begin(w);
        random_operations(w, txn);
        break;
    case SKEWED:
        begin(w);
        skewed_operations(w, txn);
        break;
    case BLIND:
        read_key(w, txn, rng_below(&w->rng, KEYS));
        (void)sched_yield();
        begin(w);
        append_to_read(w, txn);
        break;
    }
}

/* Until the commit has an outcome it is an unknown one, which may come to be seen at any time. */
static void
run_transaction(struct worker *w, struct txn *txn)
{
    struct txkv_error err;
    enum txkv_rc rc;

    txn->start = tick();
    run_operations(w, txn);
    rc = txkv_commit(w->session, shared->sync, &err);
    if (rc != TXKV_OK)
        txkv_rollback(w->session);
    if (rc != TXKV_OK && rc != TXKV_CONFLICT && rc != TXKV_BUSY && rc != TXKV_FULL) {
        (void)succeeds(rc, &err);
        return;
    }
    txn->end = tick();
    atomic_signal_fence(memory_order_release);
    txn->outcome = rc == TXKV_OK ? OUTCOME_OK : OUTCOME_ABORTED;
}

/* ---- steps ---- */

static void
read_all(struct worker *w, struct txn *txn)
{
    txn->start = tick();
    for (uint32_t key = 0; key < KEYS; key++)
        read_key(w, txn, key);
    txn->end = tick();
    txn->outcome = OUTCOME_OK;
}

static void
run_step(struct worker *w)
{
    if (shared->reader == w->number)
        read_all(w, &shared->txns[TXNS - 1]);
    if (shared->reader != WORKERS)
        return;
    shared->lists_used[w->number] = 0;
    txkv_set_isolation(w->session, shared->isolation);
    for (uint32_t i = 0; i < WORKER_TXNS && !atomic_load(&shared->broken); i++)
        run_transaction(w, &shared->txns[w->number * WORKER_TXNS + i]);
}

static void *
work(void *arg)
{
    struct worker *w = arg;

    for (;;) {
        const uint64_t step = atomic_load(&shared->step);

        if (step == STEP_CLOSE)
            return NULL;
        if (step == w->step) {
            test_sleep_us(50);
            continue;
        }
        w->step = step;
        run_step(w);
        atomic_store(&shared->finished[w->number], step);
    }
}

static void *
checkpoint(void *arg)
{
    struct txkv_error err;

    (void)arg;
    while (atomic_load(&shared->step) != STEP_CLOSE) {
        const enum txkv_rc rc = txkv_checkpoint(store, NULL, &err);

        if (rc == TXKV_BUSY)
            atomic_fetch_add(&shared->checkpoints_busy, 1);
        else if (succeeds(rc, &err))
            atomic_fetch_add(&shared->checkpoints, 1);
        test_sleep_us(2000);
    }
    return NULL;
}

static void
start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        test_die("pthread_create failed");
}

void
workers_start(uint32_t process, uint64_t step)
{
    const struct txkv_options options = { .segment_bytes = 256 * 1024, .flush_interval_ms = 2 };
    struct txkv_error err;

    test_ok(txkv_open(shared->dir, &options, &store, &err), &err, "open");
    test_ok(txkv_table(store, "lists", "history", true, &table, &err), &err, "table");
    for (uint32_t i = process; i < WORKERS; i += shared->processes) {
        struct worker *w = &workers[i];

        w->number = i;
        w->step = step;
        rng_seed(&w->rng, mix64(shared->seed + step) + i);
        test_ok(txkv_session_open(store, &w->session, &err), &err, "session_open");
        start_thread(&w->thread, work, w);
    }
    start_thread(&checkpointer, checkpoint, NULL);
}

void
workers_end(void)
{
    struct txkv_error err;

    for (uint32_t i = 0; i < WORKERS; i++) {
        if (workers[i].session == NULL)
            continue;
        (void)pthread_join(workers[i].thread, NULL);
        txkv_session_close(workers[i].session);
        workers[i].session = NULL;
    }
    (void)pthread_join(checkpointer, NULL);
    test_ok(txkv_close(store, &err), &err, "close");
}
