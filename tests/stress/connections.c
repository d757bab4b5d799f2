/*
 * connections.c - SQLite connections and threads, in every way that SQLite allows.
 *
 *   connections [SECONDS]      SEED=n
 *
 * Goal: the extension has no state that belongs to a thread, and needs no lock of SQLite's that a
 * connection does not have. A connection may be used by one thread after the other, in the middle
 * of a transaction and of a statement too.
 * Method: threads increment counters with the loop of docs/sql-reference.md:
 *   handed over    two threads share one SQLITE_OPEN_FULLMUTEX connection, step by step in turns;
 *                  a rival with a connection of its own makes their transactions conflict
 *   on their own   each thread has a SQLITE_OPEN_NOMUTEX connection
 *   from a pool    each thread takes any free SQLITE_OPEN_NOMUTEX connection for one transaction,
 *                  and now and then closes it and puts a new one in its place
 * The sums must be exact.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../support/sql.h"
#include "../support/support.h"

enum { COUNTERS = 4, THREADS = 8, POOL = 4 };

struct worker {
    pthread_t thread;
    uint32_t number;
    struct rng rng;
};

static char store_dir[TEST_PATH_BYTES];
static atomic_bool stop;
static atomic_uint_fast64_t added[COUNTERS], conflicts;

static sqlite3 *
connect_to_store(int flags, uint32_t sync)
{
    static const char *const syncs[] = { "off", "normal", "full" };
    sqlite3 *db = sql_open_with(1, flags);

    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s/store', sync=%s, checkpoint_bytes=65536)",
            store_dir, syncs[sync]);
    return db;
}

static void
disconnect(sqlite3 *db)
{
    if (sqlite3_close(db) != SQLITE_OK)
        test_die("sqlite3_close: %s", sqlite3_errmsg(db));
}

static int64_t
number_of(sqlite3 *db, uint32_t counter)
{
    sqlite3_stmt *stmt = sql_prepare(db, "SELECT value FROM kv WHERE key = ?");
    int64_t number = 0;
    int rc;

    (void)sqlite3_bind_int64(stmt, 1, counter);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        number = sqlite3_column_int64(stmt, 0);
    else if (rc != SQLITE_DONE)
        test_die("SELECT: error %d: %s", rc, sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    return number;
}

/* False when the transaction must be run again. */
static bool
commit(sqlite3 *db)
{
    int rc = sql_try(db, "COMMIT");

    while (rc == SQLITE_BUSY) {
        (void)sqlite3_sleep(10); /* backpressure: the transaction is still open */
        rc = sql_try(db, "COMMIT");
    }
    if (rc == SQLITE_OK)
        return true;
    if (rc != SQLITE_BUSY_SNAPSHOT)
        test_die("COMMIT: error %d: %s", rc, sqlite3_errmsg(db));
    atomic_fetch_add(&conflicts, 1);
    return false;
}

static void
increment(sqlite3 *db, uint32_t counter)
{
    do {
        sql_run(db, "BEGIN");
        sql_run(db, "UPDATE kv SET value = value + 1 WHERE key = %u", counter);
    } while (!commit(db));
    atomic_fetch_add(&added[counter], 1);
}

/* ---- handed over ---- */

enum { HANDED_STEPS = 5 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t turn; /* the number of the thread whose turn it is */
    sqlite3 *db;
    sqlite3_stmt *scan;
    uint32_t step;
    int64_t seen; /* of counter 0, by this transaction */
} handed = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void
step_scan(int64_t counter)
{
    if (sqlite3_step(handed.scan) != SQLITE_ROW)
        test_die("a scan ended early: %s", sqlite3_errmsg(handed.db));
    if (sqlite3_column_int64(handed.scan, 0) != counter)
        test_die("a scan gave key %lld", (long long)sqlite3_column_int64(handed.scan, 0));
}

/* A transaction and a scan, step by step, by this thread and by the other one. */
static void
handed_step(void)
{
    sqlite3 *db = handed.db;

    switch (handed.step) {
    case 0:
        sql_run(db, "BEGIN");
        handed.seen = number_of(db, 0);
        step_scan(0);
        break;
    case 1:
        sql_run(db, "UPDATE kv SET value = value + 1 WHERE key = 0");
        step_scan(1);
        break;
    case 2:
        sql_run(db, "SAVEPOINT s");
        sql_run(db, "DELETE FROM kv");
        sql_run(db, "ROLLBACK TO s");
        break;
    case 3:
        if (number_of(db, 0) != handed.seen + 1)
            test_die("a transaction read %lld, added 1, and reads %lld", (long long)handed.seen,
                     (long long)number_of(db, 0));
        (void)sqlite3_reset(handed.scan);
        break;
    default:
        if (commit(db))
            atomic_fetch_add(&added[0], 1);
        break;
    }
    handed.step = (handed.step + 1) % HANDED_STEPS;
}

static void *
take_turns(void *arg)
{
    struct worker *w = arg;
    bool go_on = true;

    while (go_on) {
        (void)pthread_mutex_lock(&handed.mutex);
        while (handed.turn != w->number)
            (void)pthread_cond_wait(&handed.changed, &handed.mutex);
        /* A transaction is not left open: both threads end at its end. */
        go_on = handed.step != 0 || !atomic_load(&stop);
        if (go_on)
            handed_step();
        /* Not strictly in turn, or some two steps would always be the same thread's. */
        if (!go_on || rng_chance(&w->rng, 80))
            handed.turn = 1 - w->number;
        (void)pthread_cond_broadcast(&handed.changed);
        (void)pthread_mutex_unlock(&handed.mutex);
    }
    return NULL;
}

/* Now and then, so that the two get through. */
static void *
be_a_rival(void *arg)
{
    struct worker *w = arg;
    sqlite3 *db = connect_to_store(SQLITE_OPEN_FULLMUTEX, 0);

    while (!atomic_load(&stop)) {
        increment(db, 0);
        test_sleep_us(rng_below(&w->rng, 3000));
    }
    disconnect(db);
    return NULL;
}

/* ---- on their own, and from a pool ---- */

static void *
work_alone(void *arg)
{
    struct worker *w = arg;
    sqlite3 *db = connect_to_store(SQLITE_OPEN_NOMUTEX, w->number % 3);

    while (!atomic_load(&stop)) {
        increment(db, rng_below(&w->rng, COUNTERS));
        if (rng_chance(&w->rng, 2)) {
            disconnect(db);
            db = connect_to_store(SQLITE_OPEN_NOMUTEX, w->number % 3);
        }
    }
    disconnect(db);
    return NULL;
}

static struct {
    pthread_mutex_t mutex;
    sqlite3 *free[POOL];
    uint32_t count;
} pool = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static sqlite3 *
take_from_pool(struct rng *rng)
{
    sqlite3 *db = NULL;

    (void)pthread_mutex_lock(&pool.mutex);
    if (pool.count > 0) {
        const uint32_t i = rng_below(rng, pool.count);

        db = pool.free[i];
        pool.free[i] = pool.free[--pool.count];
    }
    (void)pthread_mutex_unlock(&pool.mutex);
    return db;
}

static void
put_into_pool(sqlite3 *db)
{
    (void)pthread_mutex_lock(&pool.mutex);
    pool.free[pool.count++] = db;
    (void)pthread_mutex_unlock(&pool.mutex);
}

static void *
work_from_pool(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(&stop)) {
        sqlite3 *db = take_from_pool(&w->rng);

        if (db == NULL) {
            test_sleep_us(100);
            continue;
        }
        increment(db, rng_below(&w->rng, COUNTERS));
        if (rng_chance(&w->rng, 2)) {
            disconnect(db);
            db = connect_to_store(SQLITE_OPEN_NOMUTEX, rng_below(&w->rng, 3));
        }
        put_into_pool(db);
    }
    return NULL;
}

/* ---- cases ---- */

static void
check_sums(sqlite3 *db, const char *name)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        const int64_t want = (int64_t)atomic_load(&added[i]);
        const int64_t got = number_of(db, i);

        if (got != want)
            test_die("%s: counter %u is %lld after %lld increments", name, i, (long long)got,
                     (long long)want);
    }
}

/* Each thread does the job with its number, or the last one. */
static void
run_threads(void *(*const jobs[])(void *), uint32_t job_count, uint32_t threads, uint64_t seed,
            uint64_t duration_us)
{
    struct worker workers[THREADS];

    atomic_store(&stop, false);
    for (uint32_t i = 0; i < threads; i++) {
        void *(*const job)(void *) = jobs[i < job_count ? i : job_count - 1];

        workers[i].number = i;
        rng_seed(&workers[i].rng, mix64(seed) + i);
        if (pthread_create(&workers[i].thread, NULL, job, &workers[i]) != 0)
            test_die("pthread_create failed");
    }
    test_sleep_us(duration_us);
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < threads; i++)
        (void)pthread_join(workers[i].thread, NULL);
}

static void
run_handed(uint64_t seed, uint64_t duration_us)
{
    static void *(*const jobs[])(void *) = { take_turns, take_turns, be_a_rival };

    handed.db = connect_to_store(SQLITE_OPEN_FULLMUTEX, 1);
    handed.scan = sql_prepare(handed.db, "SELECT key FROM kv ORDER BY key");
    run_threads(jobs, 3, 3, seed, duration_us);
    (void)sqlite3_finalize(handed.scan);
    disconnect(handed.db);
}

static void
run_alone(uint64_t seed, uint64_t duration_us)
{
    static void *(*const jobs[])(void *) = { work_alone };

    run_threads(jobs, 1, THREADS, seed, duration_us);
}

static void
run_pool(uint64_t seed, uint64_t duration_us)
{
    static void *(*const jobs[])(void *) = { work_from_pool };

    for (uint32_t i = 0; i < POOL; i++)
        put_into_pool(connect_to_store(SQLITE_OPEN_NOMUTEX, i % 3));
    run_threads(jobs, 1, THREADS, seed, duration_us);
    while (pool.count > 0)
        disconnect(pool.free[--pool.count]);
}

static void
run_case(const char *name, void (*run)(uint64_t seed, uint64_t duration_us), uint64_t seed,
         uint64_t duration_us)
{
    uint64_t sum = 0;
    sqlite3 *db;

    test_dir_make(store_dir, "connections");
    atomic_store(&conflicts, 0);
    db = connect_to_store(SQLITE_OPEN_FULLMUTEX, 2);
    for (uint32_t i = 0; i < COUNTERS; i++) {
        atomic_store(&added[i], 0);
        sql_run(db, "INSERT INTO kv VALUES(%u, 0)", i);
    }
    disconnect(db);
    run(seed, duration_us);
    db = connect_to_store(SQLITE_OPEN_FULLMUTEX, 2);
    check_sums(db, name);
    disconnect(db);
    test_dir_remove(store_dir);
    for (uint32_t i = 0; i < COUNTERS; i++)
        sum += atomic_load(&added[i]);
    if (sum == 0)
        test_die("%s: nothing was committed", name);
    (void)printf("[  OK  ] %s: %llu transactions, %llu conflicts\n", name, (unsigned long long)sum,
                 (unsigned long long)atomic_load(&conflicts));
}

int
main(int argc, char **argv)
{
    const uint64_t seconds = test_argument(argc, argv, 1, 3);
    const uint64_t seed = test_seed(test_now_us());

    if (sqlite3_threadsafe() != 1)
        test_die("this SQLite was built with SQLITE_THREADSAFE=%d", sqlite3_threadsafe());
    (void)printf("connections: %llu seconds, SEED=%llu\n", (unsigned long long)seconds,
                 (unsigned long long)seed);
    run_case("one connection handed over", run_handed, seed, seconds * 1000000 / 3);
    run_case("a connection for each thread, NOMUTEX", run_alone, seed + 1, seconds * 1000000 / 3);
    run_case("a pool of connections, NOMUTEX", run_pool, seed + 2, seconds * 1000000 / 3);
    return test_summary(3, 0);
}
