/*
 * history.c - random list-append transactions by many threads and processes, recorded and checked:
 * see check.h.
 *
 *   history [SECONDS] [--serializable|--snapshot|--blind] [--processes N [--kills PERCENT]]  SEED=n
 *
 * Goal: at isolation=serializable no history has an anomaly; at isolation=snapshot none but G2,
 * write skew, which must be found, and so shows what a check that is too weak would look like. Of
 * transactions that write what they have read before they began (--blind) lost appends must be
 * found.
 * Method: rounds of some hundred transactions on a few fresh keys, so that inserts, and with them
 * phantoms, go on occurring; every sync mode for a third of the time; checkpoints all the while.
 * With --processes the six workers are spread over N processes, one of which is killed in the
 * middle of PERCENT of the rounds: what it had not been told is unknown, and all else must hold.
 * Without it first processes and then threads are tried. Small histories written by hand check the
 * checker first.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/atomic.h" /* TX_TSAN */
#include "../support/process.h"
#include "planted.h"
#include "worker.h"

enum { ROUND_S_MAX = 60, FIND_S_MAX = 60, KILL_AFTER_US_MAX = 30000 };

static const struct test_case {
    enum txkv_isolation isolation;
    enum txkv_sync sync;
    enum workload workload;
    uint32_t share;      /* of the time */
    enum anomaly wanted; /* ANOMALIES: none may be found */
    const char *option, *name;
} cases[] = {
    { TXKV_SERIALIZABLE, TXKV_SYNC_OFF, RANDOM, 2, ANOMALIES, "--serializable",
      "serializable, sync=off" },
    { TXKV_SERIALIZABLE, TXKV_SYNC_NORMAL, RANDOM, 2, ANOMALIES, "--serializable",
      "serializable, sync=normal" },
    { TXKV_SERIALIZABLE, TXKV_SYNC_FULL, RANDOM, 2, ANOMALIES, "--serializable",
      "serializable, sync=full" },
    { TXKV_SNAPSHOT, TXKV_SYNC_OFF, SKEWED, 1, G2, "--snapshot", "snapshot, sync=off" },
    { TXKV_SNAPSHOT, TXKV_SYNC_NORMAL, SKEWED, 1, G2, "--snapshot", "snapshot, sync=normal" },
    { TXKV_SNAPSHOT, TXKV_SYNC_FULL, SKEWED, 1, G2, "--snapshot", "snapshot, sync=full" },
    { TXKV_SERIALIZABLE, TXKV_SYNC_OFF, BLIND, 1, LOST_APPEND, "--blind",
      "blind writes, sync=off" },
};

/* What a case has counted. */
struct totals {
    uint64_t rounds, kills, outcomes[OUTCOME_UNKNOWN + 1];
};

static struct rng rng;
static uint64_t step, round_number;
static bool forks;
static pid_t children[WORKERS]; /* 0: none */
static uint32_t kills_percent;

/* ---- processes ---- */

static void
start_process(uint32_t process)
{
    children[process] = test_fork();
    if (children[process] > 0)
        return;
    workers_start(process, step);
    workers_end();
    _exit(0);
}

/* Its workers will not finish the step. */
static void
kill_process(uint32_t process)
{
    test_kill(children[process]);
    children[process] = 0;
    for (uint32_t i = process; i < WORKERS; i += shared->processes)
        atomic_store(&shared->finished[i], step);
}

static void
check_children(void)
{
    bool well;

    for (uint32_t i = 0; i < WORKERS; i++)
        if (children[i] != 0 && test_has_ended(children[i], &well))
            test_die("process %u ended by itself", i);
}

static void
end_processes(void)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (children[i] != 0)
            test_wait_well(children[i], ROUND_S_MAX, "close");
        children[i] = 0;
    }
}

/* ---- rounds ---- */

/* Let the workers do a step; when one process shall be killed, at a random moment of it. */
static void
run_step(uint32_t reader, bool with_kill, struct totals *totals)
{
    const uint64_t begin_us = test_now_us();
    const uint64_t kill_at_us = begin_us + rng_below(&rng, KILL_AFTER_US_MAX);
    uint32_t waiting = 0;

    shared->reader = reader;
    atomic_store(&shared->step, ++step);
    for (;;) {
        if (with_kill && test_now_us() >= kill_at_us) {
            kill_process(rng_below(&rng, shared->processes));
            totals->kills++;
            with_kill = false;
        }
        for (waiting = 0; waiting < WORKERS; waiting++)
            if (atomic_load(&shared->finished[waiting]) != step)
                break;
        if (waiting == WORKERS)
            break;
        check_children();
        if (test_now_us() - begin_us > ROUND_S_MAX * 1000000ull)
            test_die("worker %u has not finished its step after %d s", waiting, ROUND_S_MAX);
        test_sleep_us(100);
    }
    if (atomic_load(&shared->broken))
        test_die("%s", shared->failure.text);
}

static void
run_round(struct findings *findings, struct totals *totals)
{
    struct history history = { .txns = shared->txns, .count = TXNS };

    for (uint32_t i = 0; i < TXNS; i++)
        shared->txns[i] = (struct txn){ .thread = i / WORKER_TXNS,
                                        .end = UINT64_MAX,
                                        .outcome = OUTCOME_UNKNOWN };
    shared->round = ++round_number;
    atomic_store(&shared->next_number, 1);
    run_step(WORKERS, forks && rng_chance(&rng, kills_percent), totals);
    for (uint32_t i = 0; i < shared->processes; i++)
        if (forks && children[i] == 0)
            start_process(i);
    run_step((uint32_t)(round_number % WORKERS), false, totals);
    history.number_max = (uint32_t)atomic_load(&shared->next_number) - 1;
    check_history(&history, findings);
    totals->rounds++;
    for (uint32_t i = 0; i < TXNS; i++)
        totals->outcomes[shared->txns[i].outcome] += shared->txns[i].start != 0;
}

/* ---- cases ---- */

/* Print what was found; true when it is what the case wants. */
static bool
tell(const struct test_case *c, const struct findings *f)
{
    bool ok = true;

    for (uint32_t a = 0; a < ANOMALIES; a++) {
        /* Writes that nobody validates can go wrong in every way. */
        if (f->count[a] == 0 || a == c->wanted || c->workload == BLIND)
            continue;
        ok = false;
        (void)printf("%llu times; the first:\n%s", (unsigned long long)f->count[a], f->first[a]);
    }
    if (c->wanted != ANOMALIES && f->count[c->wanted] == 0) {
        ok = false;
        (void)printf("no %s was found, so the checker, or the workload, is too weak\n",
                     anomaly_name(c->wanted));
    }
    return ok;
}

/* Rounds until the time is up, and until what must be found was found. */
static bool
run_case(const struct test_case *c, uint64_t duration_us)
{
    static struct findings findings;
    const uint64_t begin_us = test_now_us();
    const uint64_t checkpoints = shared->checkpoints;
    struct totals totals = { 0, 0, { 0 } };
    uint64_t anomalies = 0;
    uint64_t used_us;
    bool ok;

    memset(&findings, 0, sizeof findings);
    shared->isolation = c->isolation;
    shared->sync = c->sync;
    do {
        shared->workload = c->workload;
        if (c->workload != BLIND)
            shared->workload = round_number % 2 == 0 ? SKEWED : RANDOM;
        run_round(&findings, &totals);
        used_us = test_now_us() - begin_us;
    } while (used_us < duration_us || (c->wanted != ANOMALIES && findings.count[c->wanted] == 0 &&
                                       used_us < FIND_S_MAX * 1000000ull));
    for (uint32_t a = 0; a < ANOMALIES; a++)
        anomalies += findings.count[a];
    ok = tell(c, &findings);
    (void)printf("[%s] %s: %llu rounds, %llu committed, %llu aborted, %llu unknown, %llu kills, "
                 "%llu checkpoints, anomalies: %llu%s\n",
                 ok ? "  OK  " : "FAILED", c->name, (unsigned long long)totals.rounds,
                 (unsigned long long)totals.outcomes[OUTCOME_OK],
                 (unsigned long long)totals.outcomes[OUTCOME_ABORTED],
                 (unsigned long long)totals.outcomes[OUTCOME_UNKNOWN],
                 (unsigned long long)totals.kills,
                 (unsigned long long)(shared->checkpoints - checkpoints),
                 (unsigned long long)anomalies, c->wanted == ANOMALIES ? "" : ", as there must be");
    return ok;
}

/* Every case that was asked for, by `processes` processes, or 0: by threads of this one. */
static void
run_cases(uint32_t processes, uint64_t seconds, const char *option, uint64_t *passed,
          uint64_t *failed)
{
    const uint32_t count = sizeof cases / sizeof cases[0];
    uint32_t shares = 0;

    if (processes == 0)
        (void)printf("%d threads of one process\n", WORKERS);
    else
        (void)printf("processes: %u, with %d threads in all\n", processes, WORKERS);
    forks = processes > 0;
    shared->processes = forks ? processes : 1;
    test_dir_make(shared->dir, "history");
    atomic_store(&shared->step, ++step);
    if (!forks)
        workers_start(0, step);
    for (uint32_t i = 0; i < processes; i++)
        start_process(i);
    for (uint32_t i = 0; i < count; i++)
        if (option == NULL || strcmp(option, cases[i].option) == 0)
            shares += cases[i].share;
    for (uint32_t i = 0; i < count; i++)
        if (option == NULL || strcmp(option, cases[i].option) == 0)
            ++*(run_case(&cases[i], seconds * 1000000 * cases[i].share / shares) ? passed : failed);
    atomic_store(&shared->step, STEP_CLOSE);
    if (!forks)
        workers_end();
    end_processes();
    test_dir_remove(shared->dir);
}

static uint64_t
number_after(int argc, char **argv, int *i, uint64_t most)
{
    const uint64_t number = test_argument(argc, argv, ++*i, UINT64_MAX);

    if (number > most)
        test_die("%s takes a number, at most %llu", argv[*i - 1], (unsigned long long)most);
    return number;
}

int
main(int argc, char **argv)
{
    const uint64_t seed = test_seed(test_now_us());
    uint64_t seconds = 4, processes = UINT64_MAX, passed = 0, failed = 0;
    const char *option = NULL;

    kills_percent = 20;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--processes") == 0)
            processes = number_after(argc, argv, &i, WORKERS);
        else if (strcmp(argv[i], "--kills") == 0)
            kills_percent = (uint32_t)number_after(argc, argv, &i, 100);
        else if (argv[i][0] == '-')
            option = argv[i];
        else
            seconds = test_argument(argc, argv, i, 0);
    }
    if (option != NULL && strcmp(option, "--serializable") != 0 &&
        strcmp(option, "--snapshot") != 0 && strcmp(option, "--blind") != 0)
        test_die("usage: history [SECONDS] [--serializable|--snapshot|--blind] [--processes N "
                 "[--kills PERCENT]]");
    (void)printf("history: SEED=%llu\n", (unsigned long long)seed);
    check_planted(&passed, &failed);
    rng_seed(&rng, seed);
    shared = test_shared_memory(sizeof *shared);
    shared->seed = seed;
#ifdef TX_TSAN /* sees threads only */
    processes = 0;
#endif
    if (processes != UINT64_MAX) {
        run_cases((uint32_t)processes, seconds, option, &passed, &failed);
        return test_summary(passed, failed);
    }
    /* Processes first: none is forked from one that has had the store open. */
    run_cases(TEST_PROCESSES, seconds / 2, option, &passed, &failed);
    run_cases(0, seconds / 2, option, &passed, &failed);
    return test_summary(passed, failed);
}
