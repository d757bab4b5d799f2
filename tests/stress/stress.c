/*
 * stress.c - many threads on one store, each checking what must hold at every moment.
 *
 *   stress [SECONDS]      SEED=n
 *
 * Goal: no lost update, no half-visible transaction, no unstable snapshot, no scan out of order.
 * Method, for each sync mode in turn: threads increment counters (get, put, again on a conflict),
 * so that the sums are known; threads move money between accounts, so that every snapshot shows the
 * same total; readers add it up by get and by scan in both directions; a thread scatters blind
 * writes over a table that others scan; meanwhile one thread does nothing but checkpoints, and one
 * opens and closes handles and sessions. At the end the store is closed, opened, and read again.
 *
 * Worker threads never end the process: the first failure is kept, all stop, the main thread tells.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../support/support.h"

enum {
    COUNTERS = 6,
    ACCOUNTS = 20,
    BALANCE = 1000,
    SCATTERED = 1000,
    VALUE_BYTES_MAX = 3000,
    THREADS_MAX = 16
};

struct shared {
    struct txkv *store;
    uint32_t counters, accounts, scattered; /* tables */
    enum txkv_sync sync;
    atomic_bool stop;
    atomic_uint_fast64_t commits, conflicts, busy, snapshots, rows, checkpoints, opens;
    atomic_uint_fast64_t increments[COUNTERS];
    pthread_mutex_t failure_mutex;
    char failure[600]; /* under failure_mutex */
};

struct worker {
    pthread_t thread;
    struct txkv_session *session;
    struct rng rng;
};

static struct shared shared;
static char store_dir[TEST_PATH_BYTES];

__attribute__((format(printf, 1, 2))) static void
fail(const char *format, ...)
{
    va_list args;

    (void)pthread_mutex_lock(&shared.failure_mutex);
    if (shared.failure[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(shared.failure, sizeof shared.failure, format, args);
        va_end(args);
    }
    (void)pthread_mutex_unlock(&shared.failure_mutex);
    atomic_store(&shared.stop, true);
}

/* True on TXKV_OK; else the failure is kept. */
static bool
succeeds(enum txkv_rc rc, const struct txkv_error *err, const char *what)
{
    if (rc != TXKV_OK)
        fail("%s: %s: %s", what, txkv_rc_name(rc), err->text);
    return rc == TXKV_OK;
}

static bool
running(void)
{
    return !atomic_load_explicit(&shared.stop, memory_order_relaxed);
}

/* ---- numbers as keys and values ---- */

static void
key_of(uint32_t n, uint8_t key[4])
{
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t
number_of(struct txkv_bytes key)
{
    uint32_t n = 0;

    for (size_t i = 0; i < 4 && i < key.bytes; i++)
        n = n << 8 | key.data[i];
    return n;
}

static bool
get_number(struct txkv_session *s, uint32_t table, uint32_t key, int64_t *out)
{
    uint8_t k[4];
    struct txkv_bytes value;
    struct txkv_error err;

    key_of(key, k);
    if (!succeeds(txkv_get(s, table, bytes_of(k, 4), &value, &err), &err, "get"))
        return false;
    if (value.bytes != sizeof *out) {
        fail("key %u of table %u has a value of %zu bytes", key, table, value.bytes);
        return false;
    }
    memcpy(out, value.data, sizeof *out);
    return true;
}

static bool
put_number(struct txkv_session *s, uint32_t table, uint32_t key, int64_t number)
{
    uint8_t k[4];
    struct txkv_error err;

    key_of(key, k);
    return succeeds(txkv_put(s, table, bytes_of(k, 4), bytes_of(&number, sizeof number), &err),
                    &err, "put");
}

static bool
begin(struct txkv_session *s)
{
    struct txkv_error err;

    return succeeds(txkv_begin(s, &err), &err, "begin");
}

/* A conflict or backpressure is counted, anything else that is not TXKV_OK a failure. */
static enum txkv_rc
commit(struct txkv_session *s)
{
    struct txkv_error err;
    const enum txkv_rc rc = txkv_commit(s, shared.sync, &err);

    if (rc == TXKV_OK) {
        atomic_fetch_add(&shared.commits, 1);
        return rc;
    }
    if (rc == TXKV_CONFLICT)
        atomic_fetch_add(&shared.conflicts, 1);
    else if (rc == TXKV_BUSY)
        atomic_fetch_add(&shared.busy, 1);
    else
        fail("commit: %s: %s", txkv_rc_name(rc), err.text);
    txkv_rollback(s);
    return rc;
}

/* ---- writers ---- */

static void *
increment(void *arg)
{
    struct worker *w = arg;
    uint32_t counter = 0;
    int64_t n;

    while (running()) {
        if (!begin(w->session) || !get_number(w->session, shared.counters, counter, &n) ||
            !put_number(w->session, shared.counters, counter, n + 1))
            return NULL;
        if (commit(w->session) != TXKV_OK)
            continue;
        atomic_fetch_add(&shared.increments[counter], 1);
        counter = rng_below(&w->rng, COUNTERS);
    }
    return NULL;
}

static void *
transfer(void *arg)
{
    struct worker *w = arg;
    int64_t a;
    int64_t b;

    while (running()) {
        const uint32_t from = rng_below(&w->rng, ACCOUNTS);
        const uint32_t to = (from + 1 + rng_below(&w->rng, ACCOUNTS - 1)) % ACCOUNTS;
        const int64_t amount = rng_below(&w->rng, 100);
        if (!begin(w->session) || !get_number(w->session, shared.accounts, from, &a) ||
            !get_number(w->session, shared.accounts, to, &b) ||
            !put_number(w->session, shared.accounts, from, a - amount) ||
            !put_number(w->session, shared.accounts, to, b + amount))
            return NULL;
        (void)commit(w->session);
    }
    return NULL;
}

/* A value whose bytes are a function of its key and length. */
static void *
scatter(void *arg)
{
    struct worker *w = arg;
    struct txkv_error err;
    uint8_t key[4];
    uint8_t value[VALUE_BYTES_MAX];

    while (running()) {
        if (!begin(w->session))
            return NULL;
        for (uint32_t i = 1 + rng_below(&w->rng, 8); i > 0; i--) {
            const uint32_t n = rng_below(&w->rng, SCATTERED);
            const uint32_t length = rng_below(&w->rng, VALUE_BYTES_MAX);
            enum txkv_rc rc;
            key_of(n, key);
            memset(value, (int)((n + length) & 0xff), sizeof value);
            if (rng_chance(&w->rng, 30))
                rc = txkv_delete(w->session, shared.scattered, bytes_of(key, 4), &err);
            else
                rc = txkv_put(w->session, shared.scattered, bytes_of(key, 4),
                              bytes_of(value, length), &err);
            if (!succeeds(rc, &err, "scatter"))
                return NULL;
        }
        if (commit(w->session) == TXKV_CONFLICT)
            fail("a commit of blind writes conflicted");
    }
    return NULL;
}

/* ---- readers ---- */

/* What a scan saw. */
struct sum {
    int64_t total;
    uint64_t rows, hash;
};

static bool
check_scattered(uint32_t n, struct txkv_bytes value)
{
    const uint8_t want = (uint8_t)((n + value.bytes) & 0xff);

    for (size_t i = 0; i < value.bytes; i += value.bytes / 4 + 1) {
        if (value.data[i] != want) {
            fail("scattered key %u: wrong byte at %zu of %zu", n, i, value.bytes);
            return false;
        }
    }
    return true;
}

static bool
add_row(struct sum *sum, struct txkv_cursor *cursor, bool numbers)
{
    const uint32_t n = number_of(txkv_cursor_key(cursor));
    const struct txkv_bytes value = txkv_cursor_value(cursor);
    int64_t number = 0;

    if (numbers && value.bytes == sizeof number) {
        memcpy(&number, value.data, sizeof number);
        sum->total += number;
    } else if (numbers) {
        fail("a number of %zu bytes", value.bytes);
        return false;
    } else if (!check_scattered(n, value)) {
        return false;
    }
    sum->rows++;
    sum->hash += mix64(mix64(n) ^ (numbers ? (uint64_t)number : value.bytes));
    return true;
}

/* Walk a whole table: keys must come strictly in order. */
static bool
scan(struct txkv_session *s, uint32_t table, bool descending, struct sum *sum)
{
    const struct txkv_range all = { .descending = descending };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;
    int64_t last = descending ? INT64_MAX : -1;
    bool ok;

    memset(sum, 0, sizeof *sum);
    ok = succeeds(txkv_cursor_open(s, table, &cursor, &err), &err, "cursor_open");
    if (!ok)
        return false;
    rc = txkv_cursor_seek(cursor, &all, &err);
    while (ok && rc == TXKV_OK) {
        const int64_t n = number_of(txkv_cursor_key(cursor));
        ok = add_row(sum, cursor, table != shared.scattered);
        if (descending ? n >= last : n <= last) {
            fail("scan: key %lld after %lld", (long long)n, (long long)last);
            ok = false;
        }
        last = n;
        if (ok)
            rc = txkv_cursor_next(cursor, &err);
    }
    txkv_cursor_close(cursor);
    atomic_fetch_add_explicit(&shared.rows, sum->rows, memory_order_relaxed);
    if (ok && rc != TXKV_NOTFOUND)
        return succeeds(rc, &err, "scan");
    return ok;
}

static bool
check_total(const struct sum *sum, const char *how)
{
    if (sum->rows == ACCOUNTS && sum->total == (int64_t)ACCOUNTS * BALANCE)
        return true;
    fail("%s saw %llu accounts with %lld in all", how, (unsigned long long)sum->rows,
         (long long)sum->total);
    return false;
}

static bool
total_by_get(struct txkv_session *s)
{
    struct sum sum = { 0, 0, 0 };
    int64_t n;

    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        if (!get_number(s, shared.accounts, i, &n))
            return false;
        sum.total += n;
        sum.rows++;
    }
    return check_total(&sum, "a transaction's gets");
}

/* One transaction: every way of reading agrees, now and a little later. */
static bool
read_snapshot(struct worker *w)
{
    struct sum first;
    struct sum again;
    struct txkv_error err;
    const bool down = rng_chance(&w->rng, 50);

    if (!begin(w->session) || !scan(w->session, shared.scattered, down, &first) ||
        !total_by_get(w->session))
        return false;
    if (rng_chance(&w->rng, 30))
        test_sleep_us(rng_below(&w->rng, 3000));
    if (!scan(w->session, shared.accounts, !down, &again) || !check_total(&again, "a scan") ||
        !scan(w->session, shared.scattered, !down, &again))
        return false;
    if (again.rows != first.rows || again.hash != first.hash) {
        fail("two scans of one snapshot differ: %llu and %llu rows", (unsigned long long)first.rows,
             (unsigned long long)again.rows);
        return false;
    }
    return succeeds(txkv_commit(w->session, shared.sync, &err), &err, "commit of a reader");
}

static void *
read_all(void *arg)
{
    struct worker *w = arg;
    struct sum sum;

    while (running()) {
        if (!read_snapshot(w))
            return NULL;
        if (!scan(w->session, shared.accounts, rng_chance(&w->rng, 50), &sum) ||
            !check_total(&sum, "a scan outside a transaction"))
            return NULL;
        atomic_fetch_add(&shared.snapshots, 2);
    }
    return NULL;
}

/* Counters never go back, as seen by a session made anew each time. */
static void *
open_and_close(void *arg)
{
    struct worker *w = arg;
    struct txkv *store;
    struct txkv_session *session;
    struct txkv_error err;
    int64_t last[COUNTERS] = { 0 };
    int64_t n;

    (void)w;
    while (running()) {
        if (!succeeds(txkv_open(store_dir, NULL, &store, &err), &err, "open"))
            return NULL;
        if (!succeeds(txkv_session_open(store, &session, &err), &err, "session_open"))
            return NULL;
        for (uint32_t i = 0; i < COUNTERS; i++) {
            if (!get_number(session, shared.counters, i, &n))
                break;
            if (n < last[i])
                fail("counter %u went back from %lld to %lld", i, (long long)last[i], (long long)n);
            last[i] = n;
        }
        txkv_session_close(session);
        if (!succeeds(txkv_close(store, &err), &err, "close"))
            return NULL;
        atomic_fetch_add(&shared.opens, 1);
    }
    return NULL;
}

static void *
checkpoint(void *arg)
{
    struct worker *w = arg;
    struct txkv_error err;

    while (running()) {
        const enum txkv_rc rc = txkv_checkpoint(shared.store, NULL, &err);
        /* The map must grow, and reads were open all the time: it is tried again. */
        if (rc == TXKV_BUSY)
            atomic_fetch_add(&shared.busy, 1);
        else if (!succeeds(rc, &err, "checkpoint"))
            return NULL;
        else
            atomic_fetch_add(&shared.checkpoints, 1);
        test_sleep_us(rng_below(&w->rng, 1000));
    }
    return NULL;
}

/* ---- one sync mode ---- */

static void
open_store(void)
{
    const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                          .checkpoint_bytes = 512 * 1024,
                                          .overlay_limit = 2 * 1024 * 1024,
                                          .map_size = 1024 * 1024,
                                          .stall_timeout_ms = 300,
                                          .flush_interval_ms = 2 };
    struct txkv_error err;

    test_ok(txkv_open(store_dir, &options, &shared.store, &err), &err, "open");
    test_ok(txkv_table(shared.store, "counters", NULL, true, &shared.counters, &err), &err,
            "table");
    test_ok(txkv_table(shared.store, "accounts", NULL, true, &shared.accounts, &err), &err,
            "table");
    test_ok(txkv_table(shared.store, "scattered", NULL, true, &shared.scattered, &err), &err,
            "table");
}

static void
fill(struct txkv_session *s)
{
    if (!begin(s))
        return;
    for (uint32_t i = 0; i < COUNTERS; i++)
        (void)put_number(s, shared.counters, i, 0);
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        (void)put_number(s, shared.accounts, i, BALANCE);
    (void)commit(s);
}

/* The counters are what was added, and the money is all there. */
static void
check_sums(const char *when)
{
    struct txkv_session *s;
    struct txkv_error err;
    struct sum sum;
    int64_t n = 0;

    test_ok(txkv_session_open(shared.store, &s, &err), &err, "session_open");
    for (uint32_t i = 0; i < COUNTERS; i++) {
        const int64_t want = (int64_t)atomic_load(&shared.increments[i]);
        if (get_number(s, shared.counters, i, &n) && n != want)
            fail("%s: counter %u is %lld, %lld increments succeeded", when, i, (long long)n,
                 (long long)want);
    }
    if (scan(s, shared.accounts, false, &sum))
        (void)check_total(&sum, when);
    txkv_session_close(s);
}

static void
run_workers(uint64_t run_us, uint64_t seed)
{
    static void *(*const jobs[])(void *) = { increment, increment,  increment,     transfer,
                                             transfer,  scatter,    read_all,      read_all,
                                             read_all,  checkpoint, open_and_close };
    static struct worker workers[THREADS_MAX];
    const uint32_t count = sizeof jobs / sizeof jobs[0];
    const uint64_t end_us = test_now_us() + run_us;
    struct txkv_error err;

    for (uint32_t i = 0; i < count; i++) {
        rng_seed(&workers[i].rng, seed * 100 + i);
        test_ok(txkv_session_open(shared.store, &workers[i].session, &err), &err, "session_open");
        if (i == 0)
            fill(workers[0].session);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (pthread_create(&workers[i].thread, NULL, jobs[i], &workers[i]) != 0)
            test_die("pthread_create failed");
    }
    while (running() && test_now_us() < end_us)
        test_sleep_us(5000);
    atomic_store(&shared.stop, true);
    for (uint32_t i = 0; i < count; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (uint32_t i = 0; i < count; i++)
        txkv_session_close(workers[i].session);
}

static bool
run_mode(enum txkv_sync sync, const char *name, uint64_t run_us, uint64_t seed)
{
    struct txkv_error err;

    memset(&shared, 0, sizeof shared);
    (void)pthread_mutex_init(&shared.failure_mutex, NULL);
    shared.sync = sync;
    test_dir_make(store_dir, "stress");
    open_store();
    run_workers(run_us, seed);
    if (shared.failure[0] == '\0')
        check_sums("after the threads");
    test_ok(txkv_close(shared.store, &err), &err, "close");
    if (shared.failure[0] == '\0') {
        open_store();
        check_sums("after reopening");
        test_ok(txkv_close(shared.store, &err), &err, "close");
    }
    (void)printf("[%s] sync=%s: %llu commits, %llu conflicts, %llu busy, %llu snapshots, %llu rows "
                 "scanned, %llu checkpoints, %llu handles opened\n",
                 shared.failure[0] == '\0' ? "  OK  " : "FAILED", name,
                 (unsigned long long)shared.commits, (unsigned long long)shared.conflicts,
                 (unsigned long long)shared.busy, (unsigned long long)shared.snapshots,
                 (unsigned long long)shared.rows, (unsigned long long)shared.checkpoints,
                 (unsigned long long)shared.opens);
    if (shared.failure[0] != '\0') {
        (void)printf("  %s\n", shared.failure);
        return false;
    }
    test_dir_remove(store_dir);
    return true;
}

int
main(int argc, char **argv)
{
    static const char *const names[] = { "off", "normal", "full" };
    const uint64_t seconds = test_argument(argc, argv, 1, 3);
    const uint64_t seed = test_seed(test_now_us());
    uint64_t passed = 0;

    (void)printf("stress: %llu seconds, SEED=%llu\n", (unsigned long long)seconds,
                 (unsigned long long)seed);
    for (uint32_t mode = 0; mode < 3; mode++)
        passed += run_mode((enum txkv_sync)mode, names[mode], seconds * 1000000 / 3, seed + mode);
    if (passed < 3)
        (void)printf("run again with SEED=%llu\n", (unsigned long long)seed);
    return test_summary(passed, 3 - passed);
}
