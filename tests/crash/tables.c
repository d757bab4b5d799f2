/*
 * tables.c - dropping, renaming and making tables, killed at every step.
 *
 *   tables [RANDOM_KILLS [SEED]]
 *
 * Goal: whenever the process dies, a table and its companion that are dropped, or renamed, in one
 * call are both dropped or both not, and what a call that returned has done is there; rows are
 * those of their own table. Method: a child goes through a cycle of eight steps (below) over and
 * over, each with a mark before and behind it in shared memory. It is killed before and after its
 * n-th system call, LMDB's included, for n = 1, 2, ... until it survives a cycle; then at random
 * moments. After each kill another child opens the store and compares with the states before and
 * behind the step that was under way. In half of the rounds a third process has the store open all
 * the time, so that the dead one's work is not recovered from the files but taken over: one thread
 * of it makes, fills and checkpoints tables of its own, another one reads those of the dead.
 *
 * The files are kept over the rounds. The parent opens nothing.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/process.h"
#include "../support/support.h"
#include "killpoint.h"

enum {
    RANDOM_KILLS = 60,
    KILL_AFTER_US_MAX = 6000,
    POINTS_MAX = 2000,
    ROWS = 20,
    STEPS = 8,
    KEPT = 300
};

struct shared {
    atomic_uint_fast64_t begun, ended; /* steps of all cycles */
    atomic_bool stop, beside_open;
};

static struct shared *shared;
static char dir[TEST_PATH_BYTES], store_dir[TEST_PATH_BYTES];
static struct txkv *store;
/* A thread's. */
static _Thread_local struct txkv_session *session;
static _Thread_local struct txkv_error err;

/*
 * The tables x and y, of one table and its companion each, over a cycle. What a step leaves:
 * whether there are x and y, and how many rows the tables have that are there.
 */
static const struct state {
    bool x, y;
    uint32_t rows;
} states[STEPS] = {
    { false, false, 0 },                              /* 7 -> 0: y dropped */
    { true, false, 0 },                               /* x made; */
    { true, false, ROWS },     { true, false, ROWS }, /* filled; checkpointed; */
    { false, true, ROWS },                            /* x renamed to y; */
    { false, true, ROWS },                            /* checkpointed; */
    { false, true, ROWS + 1 },                        /* one more row; */
    { false, true, ROWS + 1 },                        /* checkpointed */
};

static void
open_store(void)
{
    const struct txkv_options options = { .map_size = 64u << 20, .segment_bytes = 64u << 10 };

    test_ok(txkv_open(store_dir, &options, &store, &err), &err, "txkv_open");
    test_ok(txkv_session_open(store, &session, &err), &err, "txkv_session_open");
}

static uint32_t
find(const char *name)
{
    uint32_t number = 0;
    const enum txkv_rc rc = txkv_table(store, name, NULL, false, &number, &err);

    if (rc == TXKV_SCHEMA)
        return 0;
    test_ok(rc, &err, name);
    return number;
}

/* ---- the cycle ---- */

static void
make(const char *name)
{
    uint32_t number;

    test_ok(txkv_table(store, name, "", true, &number, &err), &err, name);
}

/* The value of a table's rows, whatever it is renamed to. */
static const char *
mark_of(const char *name)
{
    static const char *const marks[] = { "0", "1", "2", "3" };

    return marks[(name[0] == 'b') * 2 + (strchr(name, '.') != NULL)];
}

/* The same rows in a table and its companion. */
static void
add_rows(const char *const names[2], int from, int to)
{
    test_ok(txkv_begin(session, &err), &err, "txkv_begin");
    for (int i = from; i < to; i++)
        for (int n = 0; n < 2; n++) {
            char key[16];
            const int bytes = snprintf(key, sizeof key, "%06d", i);

            test_ok(txkv_put(session, find(names[n]), bytes_of(key, (size_t)bytes),
                             bytes_of(mark_of(names[n]), 1), &err),
                    &err, "txkv_put");
        }
    test_ok(txkv_commit(session, TXKV_SYNC_FULL, &err), &err, "txkv_commit");
}

static const char *const x[] = { "x", "x.1" }, *const y[] = { "y", "y.1" };

static void
drop(const char *const names[2])
{
    const uint32_t both[] = { find(names[0]), find(names[1]) };

    test_ok(txkv_table_drop(store, both, 2, &err), &err, "txkv_table_drop");
}

static void
take_step(uint64_t step)
{
    const uint32_t both[] = { find("x"), find("x.1") };

    switch (step % STEPS) {
    case 0:
        drop(y);
        break;
    case 1:
        make("x.1");
        make("x");
        break;
    case 2:
        add_rows(x, 0, ROWS);
        break;
    case 4:
        test_ok(txkv_table_rename(store, both, y, 2, &err), &err, "txkv_table_rename");
        break;
    case 6:
        add_rows(y, ROWS, ROWS + 1);
        break;
    default:
        test_ok(txkv_checkpoint(store, NULL, &err), &err, "txkv_checkpoint");
        break;
    }
}

__attribute__((noreturn)) static void
worker(uint64_t kill_at, uint64_t steps)
{
    open_store();
    killpoint_arm(kill_at);
    for (uint64_t i = 0; i < steps; i++) {
        const uint64_t step = atomic_load(&shared->ended) + 1;

        atomic_store(&shared->begun, step);
        take_step(step);
        atomic_store(&shared->ended, step);
    }
    (void)killpoint_disarm();
    txkv_session_close(session);
    (void)txkv_close(store, NULL);
    _exit(0);
}

/* ---- checking ---- */

/* Rows of a table; also_ok: another answer than rows that there may be. */
static uint32_t
walk(const char *name, uint32_t number, enum txkv_rc also_ok)
{
    const struct txkv_range all = { .lo_open = false };
    struct txkv_cursor *cursor;
    uint32_t rows = 0;
    enum txkv_rc rc;

    test_ok(txkv_cursor_open(session, number, &cursor, &err), &err, name);
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err), rows++)
        if (txkv_cursor_value(cursor).data[0] != (uint8_t)mark_of(name)[0])
            test_die("table %s has a row of another one", name);
    if (rc != TXKV_NOTFOUND && rc != also_ok)
        test_ok(rc, &err, name);
    txkv_cursor_close(cursor);
    return rows;
}

static uint32_t
count_rows(const char *name)
{
    const uint32_t number = find(name);
    const uint32_t rows = walk(name, number, TXKV_NOTFOUND);
    struct txkv_table_size size;

    test_ok(txkv_table_measure(session, number, &size, &err), &err, name);
    if (size.rows != rows)
        test_die("table %s: %u rows, and %llu are counted", name, rows,
                 (unsigned long long)size.rows);
    return rows;
}

/* Whether the store is in the state that the step leaves. */
static bool
is_after(uint64_t step)
{
    const struct state *state = &states[step % STEPS];

    if ((find("x") != 0) != state->x || (find("y") != 0) != state->y)
        return false;
    if (!state->x && !state->y)
        return true;
    return count_rows(state->x ? "x" : "y") == state->rows &&
           count_rows(state->x ? "x.1" : "y.1") == state->rows;
}

/* The step under way: is done, or is not; of making two tables one may be. */
static void
check(uint64_t round)
{
    const uint64_t ended = atomic_load(&shared->ended), begun = atomic_load(&shared->begun);
    uint64_t now = ended;

    open_store();
    if (begun > ended && begun % STEPS == 1 && find("x") == 0 && find("x.1") != 0) {
        const uint32_t half = find("x.1");

        test_ok(txkv_table_drop(store, &half, 1, &err), &err, "txkv_table_drop");
    }
    if ((find("x") != 0) != (find("x.1") != 0) || (find("y") != 0) != (find("y.1") != 0))
        test_die("round %llu: a table without its companion (step %llu, begun %llu)",
                 (unsigned long long)round, (unsigned long long)ended, (unsigned long long)begun);
    if (!is_after(ended)) {
        now = begun;
        if (begun == ended || !is_after(begun))
            test_die("round %llu: neither the state behind step %llu nor that behind %llu",
                     (unsigned long long)round, (unsigned long long)ended,
                     (unsigned long long)begun);
    }
    atomic_store(&shared->ended, now);
    atomic_store(&shared->begun, now);
    txkv_session_close(session);
    test_ok(txkv_close(store, &err), &err, "txkv_close");
}

static void
check_in_child(uint64_t round)
{
    const int pid = (int)test_fork();

    if (pid == 0) {
        check(round);
        _exit(0);
    }
    test_wait_well(pid, 60, "checking");
}

/* ---- rounds ---- */

/* Tables that come and go meanwhile have rows of their own, or are not there. */
static void *
beside_reader(void *unused)
{
    static const char *const names[] = { "x", "x.1", "y", "y.1" };

    (void)unused;
    test_ok(txkv_session_open(store, &session, &err), &err, "txkv_session_open");
    for (uint32_t i = 0; !atomic_load(&shared->stop); i = (i + 1) % 4) {
        const uint32_t number = find(names[i]);

        if (number != 0)
            (void)walk(names[i], number, TXKV_SCHEMA);
    }
    txkv_session_close(session);
    return NULL;
}

/* Most tables stay, so that new ones have databases of their own. */
static void
beside_cycle(uint32_t cycle)
{
    char name[16], companion[20];
    const char *const b[] = { name, companion };

    (void)snprintf(name, sizeof name, "b%u", cycle % KEPT);
    (void)snprintf(companion, sizeof companion, "%s.1", name);
    if (cycle >= KEPT)
        drop(b);
    make(name);
    make(companion);
    add_rows(b, 0, ROWS);
    test_ok(txkv_checkpoint(store, NULL, &err), &err, "txkv_checkpoint");
    if (count_rows(name) != ROWS || count_rows(companion) != ROWS)
        test_die("the process beside has lost rows");
}

static int
start_beside(void)
{
    const int pid = (int)test_fork();
    pthread_t reader;

    if (pid != 0) {
        while (!atomic_load(&shared->beside_open))
            test_sleep_us(200);
        return pid;
    }
    open_store();
    atomic_store(&shared->beside_open, true);
    if (pthread_create(&reader, NULL, beside_reader, NULL) != 0)
        test_die("pthread_create");
    for (uint32_t cycle = 0; !atomic_load(&shared->stop); cycle++)
        beside_cycle(cycle);
    (void)pthread_join(reader, NULL);
    txkv_session_close(session);
    (void)txkv_close(store, NULL);
    _exit(0);
}

static void
stop_beside(int pid)
{
    atomic_store(&shared->stop, true);
    test_wait_well(pid, 60, "the process beside");
    atomic_store(&shared->stop, false);
    atomic_store(&shared->beside_open, false);
}

static uint64_t
kill_everywhere(void)
{
    uint64_t point = 0;
    bool survived = false;

    while (!survived && ++point < POINTS_MAX) {
        const int pid = (int)test_fork();
        int status;

        if (pid == 0)
            worker(point, STEPS);
        if (waitpid(pid, &status, 0) != pid)
            test_die("waitpid");
        survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!survived && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
            test_die("point %llu: the worker failed", (unsigned long long)point);
        check_in_child(point);
    }
    if (point < 10 || point == POINTS_MAX)
        test_die("%llu points prove nothing", (unsigned long long)point);
    return point - 1;
}

static void
kill_at_random(struct rng *rng, uint64_t kills)
{
    for (uint64_t i = 1; i <= kills; i++) {
        const int pid = (int)test_fork();

        if (pid == 0)
            worker(0, UINT64_MAX);
        test_sleep_us(rng_below(rng, KILL_AFTER_US_MAX) + 2000);
        test_kill(pid);
        check_in_child(i);
    }
}

int
main(int argc, char **argv)
{
    const uint64_t kills = test_argument(argc, argv, 1, RANDOM_KILLS);
    const uint64_t seed = test_seed(test_argument(argc, argv, 2, test_now_us()));
    uint64_t points = 0;
    struct rng rng;

    rng_seed(&rng, seed);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    shared = test_shared_memory(sizeof *shared);
    test_dir_make_in_memory(dir, "tables");
    test_path(store_dir, dir, "store");
    killpoint_install();
    for (int with_beside = 0; with_beside <= 1; with_beside++) {
        const int pid = with_beside ? start_beside() : 0;

        points += kill_everywhere();
        kill_at_random(&rng, kills);
        if (with_beside)
            stop_beside(pid);
    }
    printf("%llu points, %llu random kills, %llu steps\n", (unsigned long long)points,
           2 * (unsigned long long)kills, (unsigned long long)atomic_load(&shared->ended));
    test_dir_remove(dir);
    test_kills(points + 2 * kills);
    return test_summary(points + 2 * kills, 0);
}
