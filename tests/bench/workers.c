/*
 * workers.c - the timed loop.
 *
 * Every worker is a thread, or a process, with its own connection and prepared statements. All
 * pass a barrier together, then repeat the work's operation until the time is over; an operation
 * that has begun is finished and counted. Workers beside them go on until the last of them has
 * finished, so that no operation is measured in a peace that it should not have. Latencies are
 * taken around every operation, or around every n-th where the clock itself would weigh. Then each
 * verifies what it has done, through the connection that did it.
 *
 * Processes are forked from the run's own process, in which nothing has been opened. One that fails
 * ends the run's process, which then cannot wait for it at a barrier for ever; and this one's end
 * is the end of all the others.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kv.h"

uint64_t
now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double
cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct memory
memory_now(void)
{
    struct memory m = { 0 };
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        long kb = colon ? strtol(colon + 1, NULL, 10) : 0;
        if (strncmp(line, "VmHWM:", 6) == 0)
            m.peak_kb = kb;
        else if (strncmp(line, "RssAnon:", 8) == 0)
            m.anon_kb = kb;
        else if (strncmp(line, "RssFile:", 8) == 0)
            m.file_kb = kb;
        else if (strncmp(line, "RssShmem:", 9) == 0)
            m.shmem_kb = kb;
    }
    if (f)
        (void)fclose(f);
    return m;
}

/* ---- one worker ---- */

static bool
goes_on(const struct worker *w)
{
    if (w->beside)
        return atomic_load_explicit(&w->crew->running, memory_order_relaxed) > 0;
    return !atomic_load_explicit(&w->crew->stop, memory_order_relaxed);
}

static void
timed_loop(struct worker *w)
{
    uint64_t mask = w->beside ? 0 : w->run->work->sample_every - 1u;
    w->begin_ns = now_ns();
    for (uint64_t i = 0; goes_on(w); i++) {
        if ((i & mask) != 0) {
            w->op(w);
            continue;
        }
        uint64_t begun = now_ns();
        w->op(w);
        hist_add(&w->latency, now_ns() - begun);
    }
    w->end_ns = now_ns();
    if (!w->beside)
        (void)atomic_fetch_sub(&w->crew->running, 1);
}

static int64_t
counters(struct worker *w)
{
    return w->session ? kv_counters(w->run, w->session) : db_counters(w->run, w->db);
}

/* No worker is in its loop any more. */
static void
verify(struct worker *w)
{
    struct run *r = w->run;
    op_verify_writes(w);
    if (w->index != 0)
        return;
    uint32_t rows = r->rows + r->inserted;
    if (w->session)
        kv_verify_totals(r, w->session, rows);
    else
        db_verify_totals(r, w->db, rows);
    if (!r->work->counts)
        return;
    int64_t acknowledged = 0;
    for (uint32_t i = 0; i < w->crew->count; i++)
        acknowledged += (int64_t)w->crew->workers[i].increments;
    int64_t counted = counters(w) - w->crew->counted;
    if (counted != acknowledged)
        run_fail(r, "the counters rose by %" PRId64 ", after %" PRId64 " acknowledged increments",
                 counted, acknowledged);
}

static void
begin(struct worker *w)
{
    if (w->session)
        kv_begin_reading(w);
    else
        db_exec(w->run, w->db, "BEGIN");
}

static void
commit(struct worker *w)
{
    if (w->session)
        kv_end_reading(w);
    else
        db_exec(w->run, w->db, "COMMIT");
}

/* So that no page is looked at for the first time in the timed loop. */
static void
read_all(struct worker *w)
{
    if (w->session)
        kv_op(op_scan)(w);
    else if (w->run->engine != ENGINE_EMPTY)
        (void)db_integer(w->run, w->db, "SELECT sum(length(value)) FROM kv");
    w->done = 0;
}

static void *
run_worker(void *arg)
{
    struct worker *w = arg;
    const struct work *work = w->run->work;
    bool bare = ENGINES_BARE >> w->run->engine & 1u;
    (void)pthread_setname_np(pthread_self(), "worker"); /* so that a profile of it can be told */
    op_open(w);
    if (work->counts && w->index == 0)
        w->crew->counted = counters(w);
    if (work->warm && (w->index == 0 || work->processes))
        read_all(w);
    if (work->in_transaction)
        begin(w);
    (void)pthread_barrier_wait(&w->crew->barrier);
    w->cpu_seconds = -cpu_now();
    timed_loop(w);
    w->cpu_seconds += cpu_now();
    if (work->in_transaction)
        commit(w);
    if (work->processes)
        w->memory = memory_now();
    (void)pthread_barrier_wait(&w->crew->barrier); /* the loops have ended */
    (void)pthread_barrier_wait(&w->crew->barrier); /* and the memory was looked at */
    if (bare)
        return NULL;
    if (work->writes)
        verify(w);
    op_close(w);
    /* Closing would move the log into LMDB, and the next run needs it as it is. */
    if (w->db && w->run->fixture != FIXTURE_LOGGED)
        db_close(w->run, w->db);
    return NULL;
}

/* ---- all workers ---- */

/* Until the last barrier a worker's process ends only by failing. Later on one signal may stand for
 * several ends, and join_all looks at each. */
static void
on_child_end(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code != CLD_EXITED || info->si_status != 0)
        _exit(1);
}

static void
start_process(struct worker *w)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        run_fail(w->run, "cannot start process %" PRIu32, w->index);
    if (child > 0)
        return;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    (void)run_worker(w);
    _exit(0);
}

static void
start(struct worker *w)
{
    if (w->run->work->processes)
        start_process(w);
    else if (pthread_create(&w->thread, NULL, run_worker, w) != 0)
        run_fail(w->run, "cannot start thread %" PRIu32, w->index);
}

/* Processes in the order in which they end: one that has failed may let others wait, see run_fail.
 */
static void
join_all(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++) {
        int status = 0;
        if (!crew->workers[i].run->work->processes)
            (void)pthread_join(crew->workers[i].thread, NULL);
        else if (wait(&status) < 0 || status != 0)
            _exit(1);
    }
}

/* What the worker does, as this engine does it. */
static void
choose_op(struct worker *w, worker_op op)
{
    enum engine engine = w->run->engine;
    w->inner = op;
    w->op = op;
    if (ENGINES_BARE >> engine & 1u)
        w->op = op_append;
    else if (engine == ENGINE_IMMEDIATE)
        w->op = op_alone;
    else if (w->run->library)
        w->op = kv_op(op);
    if (!w->op)
        run_fail(w->run, "this work is not one for a key-value library");
}

static struct crew *
crew_new(struct run *r)
{
    const struct work *work = r->work;
    uint32_t before = (uint32_t)work->workers;
    uint32_t count = before + (uint32_t)work->beside.workers;
    size_t bytes = sizeof(struct crew) + count * sizeof(struct worker);
    struct crew *crew =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    (void)pthread_barrierattr_init(&shared);
    (void)pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    if (crew == MAP_FAILED || pthread_barrier_init(&crew->barrier, &shared, count + 1) != 0)
        run_fail(r, "out of memory");
    (void)pthread_barrierattr_destroy(&shared);
    atomic_init(&crew->stop, false);
    atomic_init(&crew->running, before);
    crew->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct worker *w = &crew->workers[i];
        w->run = r;
        w->crew = crew;
        w->beside = i >= before;
        choose_op(w, w->beside ? work->beside.op : work->op);
        w->index = i;
        atomic_init(&w->inserting, UINT32_MAX);
        w->place = w->beside ? i - before : i;
        w->peers = w->beside ? count - before : before;
        w->random = 0x9e3779b97f4a7c15u * (i + 1 + 1000u * (uint32_t)(r->round + 1));
    }
    return crew;
}

static void
add_result(struct result *result, const struct worker *w)
{
    /* Each by its own end: a writer that SQLite starves may end seconds after the others. */
    double seconds = (double)(w->end_ns - w->begin_ns) / 1e9;
    double value = (double)w->done / seconds;
    result->retries += w->retries;
    if (w->run->work->processes) {
        result->cpu_seconds += w->cpu_seconds;
        result->memory.peak_kb += w->memory.peak_kb;
        result->memory.anon_kb += w->memory.anon_kb;
        result->memory.file_kb += w->memory.file_kb;
        result->memory.shmem_kb += w->memory.shmem_kb;
    }
    if (w->beside) {
        result->beside_value += value;
        return;
    }
    result->value += value;
    result->count += w->done;
    result->seconds = seconds > result->seconds ? seconds : result->seconds;
    hist_merge(&result->latency, &w->latency);
}

/* Until the time is over. */
static void
wait_for_end(struct run *r)
{
    const uint64_t second = 1000000000u;
    uint64_t end = now_ns() + (uint64_t)(r->config->seconds * 1e9);
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        uint64_t rest = end - now;
        if (!r->work->look) {
            (void)usleep((useconds_t)(rest / 1000 + 1));
            continue;
        }
        (void)usleep((useconds_t)((rest < second ? rest : second) / 1000 + 1));
        r->work->look(r);
    }
}

void
workers_measure(struct run *r)
{
    struct crew *crew = crew_new(r);
    bool processes = r->work->processes;
    struct sigaction action = { .sa_sigaction = on_child_end, .sa_flags = SA_SIGINFO | SA_RESTART };
    if (processes && sigaction(SIGCHLD, &action, NULL) != 0)
        run_fail(r, "cannot watch processes");
    if (r->library)
        kv_open(r);
    if (r->work->prepare)
        r->work->prepare(r);
    for (uint32_t i = 0; i < crew->count; i++)
        start(&crew->workers[i]);
    (void)pthread_barrier_wait(&crew->barrier);
    double cpu_begun = cpu_now();
    wait_for_end(r);
    atomic_store(&crew->stop, true);
    (void)pthread_barrier_wait(&crew->barrier);
    if (!processes) {
        r->result->cpu_seconds = cpu_now() - cpu_begun;
        r->result->memory = memory_now();
    }
    for (uint32_t i = 0; i < crew->count; i++)
        add_result(r->result, &crew->workers[i]);
    (void)pthread_barrier_wait(&crew->barrier);
    join_all(crew);
    if (r->library)
        kv_close(r);
    (void)pthread_barrier_destroy(&crew->barrier);
    (void)munmap(crew, sizeof(*crew) + crew->count * sizeof(crew->workers[0]));
}
