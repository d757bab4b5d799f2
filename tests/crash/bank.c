/*
 * bank.c - a bank whose processes are killed, stopped and started at random moments.
 *
 *   bank [ROUNDS [PROCESSES]]      SEED=n
 *
 * Goal: processes that share a store make serializable transactions, and SIGKILL of any of them, at
 * any moment, neither undoes what was acknowledged, nor leaves half a transaction, nor keeps the
 * others from going on.
 * Method: see bank.h for the rows. Some processes transfer money, through the C API or through SQL,
 * in one or two threads, in every sync mode and at both isolation levels; others add up every
 * account, against what the writers' rows say and what had been acknowledged before. Everybody
 * checkpoints now and then; segments and checkpoints are small. The parent kills, stops and
 * continues processes, starts new ones in their place, and watches that the rest goes on; now and
 * then it kills all at once with one signal, as a machine does that stops, and starts all again. At
 * the end of a round all close or all are killed, and another process opens the store and checks
 * it. The store is kept over the rounds. Meanwhile the processes back the store up, and make, fill
 * and drop tables: bank_side.c.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support/process.h"
#include "bank.h"

enum {
    ROUND_MS_MIN = 200,
    ROUND_MS_MAX = 900,
    ACT_AFTER_US_MAX = 60000,
    PAUSE_S_MAX = 10, /* a machine can be busy with other things */
    CLOSE_S_MAX = 30,
    MACHINE_PERCENT = 4
};

struct slot {
    pid_t pid;         /* 0: none */
    uint64_t until_us; /* it is stopped; 0: it is not */
};

static struct slot slots[SLOTS_MAX];
static struct rng rng;
static uint64_t generation, kills, machine_kills, stops, last_kill_us;
static pid_t group; /* a process that only waits, in whose group all the others are */
/* Of the time without an acknowledged transfer, while somebody should have made one. */
static uint64_t last_change_us, last_transfers, longest_us, longest_stopped_us;
static bool was_stopped; /* somebody, since last_change_us */

/* ---- processes ---- */

static void
start(uint32_t slot)
{
    generation++;
    for (uint32_t i = 0; i < SLOT_WRITERS; i++)
        atomic_store(&bank->acked_us[slot * SLOT_WRITERS + i], 0);
    slots[slot] = (struct slot){ .pid = test_fork() };
    if (slots[slot].pid > 0) {
        (void)setpgid(slots[slot].pid, group); /* and the child too, whoever is first */
        return;
    }
    if (setpgid(0, group) != 0)
        test_die("setpgid: %s", strerror(errno));
    bank_work(slot, generation);
    _exit(0);
}

static void
kill_slot(uint32_t slot)
{
    test_kill(slots[slot].pid);
    slots[slot].pid = 0;
    last_kill_us = test_now_us();
    kills++;
}

static void
start_group(void)
{
    group = test_fork();
    if (group == 0)
        for (;;)
            (void)pause();
    if (setpgid(group, group) != 0)
        test_die("setpgid: %s", strerror(errno));
}

/* One signal for all: nobody sees another one die. */
static void
kill_machine(void)
{
    if (kill(-group, SIGKILL) != 0)
        test_die("kill: %s", strerror(errno));
    if (!test_child_ended_well(group, SIGKILL))
        test_die("the group's first process");
    for (uint32_t i = 0; i < bank->slots; i++) {
        if (slots[i].pid == 0)
            continue;
        if (!test_child_ended_well(slots[i].pid, SIGKILL))
            test_die("a process failed before it was killed");
        slots[i] = (struct slot){ .pid = 0 };
        kills++;
    }
    last_kill_us = test_now_us();
    machine_kills++;
    start_group();
}

static void
stop_slot(uint32_t slot)
{
    const uint64_t for_us = rng_below(&rng, rng_chance(&rng, 10) ? 800000 : 50000);

    (void)kill(slots[slot].pid, SIGSTOP);
    slots[slot].until_us = test_now_us() + for_us;
    stops++;
}

static void
continue_slots(uint64_t now_us)
{
    for (uint32_t i = 0; i < bank->slots; i++) {
        if (slots[i].pid == 0 || slots[i].until_us == 0 || slots[i].until_us > now_us)
            continue;
        (void)kill(slots[i].pid, SIGCONT);
        slots[i].until_us = 0;
    }
}

/* ---- the watch ---- */

static void
tell_state(void)
{
    for (uint32_t i = 0; i < bank->slots; i++)
        (void)fprintf(stderr, "  process %d: %u writers, acknowledged %llu %llu%s\n",
                      (int)slots[i].pid, bank_slot_writers(i),
                      (unsigned long long)bank->acked[i * SLOT_WRITERS],
                      (unsigned long long)bank->acked[i * SLOT_WRITERS + 1],
                      slots[i].until_us != 0 ? ", stopped" : "");
}

static bool
somebody_writes(void)
{
    for (uint32_t i = 0; i < bank->slots; i++)
        if (slots[i].pid != 0 && slots[i].until_us == 0 && bank_slot_writers(i) > 0)
            return true;
    return false;
}

/* No process ends by itself, and transfers go on. */
static void
watch(void)
{
    const uint64_t now_us = test_now_us();
    const uint64_t transfers = atomic_load(&bank->transfers);
    uint64_t *longest;
    bool well;

    for (uint32_t i = 0; i < bank->slots; i++) {
        if (slots[i].pid != 0 && test_has_ended(slots[i].pid, &well))
            test_die("a process ended by itself");
        was_stopped |= slots[i].until_us != 0;
    }
    longest = was_stopped ? &longest_stopped_us : &longest_us;
    if (now_us - last_change_us > *longest && somebody_writes())
        *longest = now_us - last_change_us;
    if (transfers != last_transfers || !somebody_writes()) {
        last_transfers = transfers;
        last_change_us = now_us;
        was_stopped = false;
    }
    if (now_us - last_change_us > PAUSE_S_MAX * 1000000ull) {
        tell_state();
        test_die("no transfer for %d s, %llu ms after a process was killed", PAUSE_S_MAX,
                 (unsigned long long)(now_us - last_kill_us) / 1000);
    }
    test_sleep_us(300);
}

/* Every writer there is makes a transfer after the last kill. */
static void
wait_for_all(void)
{
    const uint64_t begin_us = test_now_us();

    for (uint32_t i = 0; i < bank->slots * SLOT_WRITERS; i++) {
        const uint32_t slot = i / SLOT_WRITERS;

        if (slots[slot].pid == 0 || i % SLOT_WRITERS >= bank_slot_writers(slot))
            continue;
        while (atomic_load(&bank->acked_us[i]) <= last_kill_us) {
            watch();
            if (test_now_us() - begin_us <= 2 * PAUSE_S_MAX * 1000000ull)
                continue;
            tell_state();
            test_die("writer %u has made no transfer for %d s", i, 2 * PAUSE_S_MAX);
        }
    }
}

/* ---- rounds ---- */

static void
act(void)
{
    const uint32_t slot = rng_below(&rng, bank->slots);
    const bool is_stopped = slots[slot].until_us != 0;

    if (rng_chance(&rng, MACHINE_PERCENT)) {
        kill_machine();
        for (uint32_t i = 0; i < bank->slots; i++)
            start(i);
        return;
    }
    if (slots[slot].pid == 0)
        start(slot);
    else if (rng_chance(&rng, 70))
        kill_slot(slot);
    else if (bank->slots > 1 && !is_stopped)
        stop_slot(slot);
    if (slots[slot].pid == 0 && (bank->slots == 1 || rng_chance(&rng, 70)))
        start(slot);
}

/* All at once, or one after the other. */
static void
kill_all(void)
{
    const uint32_t first = rng_below(&rng, bank->slots);
    const uint32_t gap_us = rng_chance(&rng, 50) ? 0 : 3000;

    if (rng_chance(&rng, 50)) {
        kill_machine();
        return;
    }
    for (uint32_t i = 0; i < bank->slots; i++) {
        const uint32_t slot = (first + i) % bank->slots;

        if (slots[slot].pid != 0)
            kill_slot(slot);
        test_sleep_us(rng_below(&rng, gap_us));
    }
}

/* Returns whether nobody was killed meanwhile. */
static bool
close_all(void)
{
    const uint32_t victim = rng_chance(&rng, 50) ? rng_below(&rng, bank->slots) : SLOTS_MAX;
    bool well;

    atomic_store(&bank->stop, true);
    if (victim < SLOTS_MAX && slots[victim].pid != 0) {
        test_sleep_us(rng_below(&rng, 10000));
        /* When it has closed already it cannot be killed. */
        if (test_has_ended(slots[victim].pid, &well))
            slots[victim].pid = 0;
        else
            kill_slot(victim);
    }
    for (uint32_t i = 0; i < bank->slots; i++)
        if (slots[i].pid != 0)
            test_wait_well(slots[i].pid, CLOSE_S_MAX, "close");
    memset(slots, 0, sizeof slots);
    return victim == SLOTS_MAX;
}

/* The last one to close the store has checkpointed, and nothing is left of the log. */
static void
check_log_is_empty(void)
{
    char path[TEST_PATH_BYTES];
    DIR *dir;
    struct dirent *entry;

    test_path(path, bank->dir, "store/wal");
    dir = opendir(path);
    if (dir == NULL)
        test_die("%s cannot be read", path);
    /* The test's main thread alone reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            test_die("all have closed the store, and %s/%s is there", path, entry->d_name);
    (void)closedir(dir);
}

static void
verify(void)
{
    const bool close_well = rng_chance(&rng, 50);
    const pid_t pid = test_fork();

    if (pid == 0) {
        bank_verify(&rng, close_well);
        _exit(0);
    }
    test_wait_well(pid, CLOSE_S_MAX, "check after a round");
    if (close_well)
        check_log_is_empty();
}

static void
run_round(void)
{
    const uint64_t begin_us = test_now_us();
    const uint64_t end_us =
        begin_us + 1000ull * (ROUND_MS_MIN + rng_below(&rng, ROUND_MS_MAX - ROUND_MS_MIN));
    uint64_t act_us = begin_us + rng_below(&rng, ACT_AFTER_US_MAX);

    atomic_store(&bank->stop, false);
    last_change_us = begin_us;
    for (uint32_t i = 0; i < bank->slots; i++)
        start(i);
    while (test_now_us() < end_us) {
        watch();
        continue_slots(test_now_us());
        if (test_now_us() < act_us)
            continue;
        act();
        act_us = test_now_us() + rng_below(&rng, ACT_AFTER_US_MAX);
    }
    continue_slots(UINT64_MAX);
    wait_for_all();
    if (rng_chance(&rng, 50))
        kill_all();
    else if (close_all())
        check_log_is_empty();
    verify();
}

int
main(int argc, char **argv)
{
    const uint64_t rounds = test_argument(argc, argv, 1, 6);
    const uint64_t processes = test_argument(argc, argv, 2, TEST_PROCESSES);
    const uint64_t seed = test_seed(test_now_us());
    pid_t pid;

    if (processes == 0 || processes > SLOTS_MAX)
        test_die("1 to %d processes", SLOTS_MAX);
    rng_seed(&rng, seed);
    bank = test_shared_memory(sizeof *bank);
    bank->seed = seed;
    bank->slots = (uint32_t)processes;
    test_dir_make(bank->dir, "bank");
    (void)printf("bank: %llu rounds, processes: %llu, SEED=%llu\n", (unsigned long long)rounds,
                 (unsigned long long)processes, (unsigned long long)seed);
    pid = test_fork();
    if (pid == 0) {
        bank_make();
        _exit(0);
    }
    test_wait_well(pid, CLOSE_S_MAX, "make");
    start_group();
    for (uint64_t round = 1; round <= rounds; round++) {
        run_round();
        (void)printf("[  OK  ] round %llu: %llu transfers, %llu kills, %llu stops so far\n",
                     (unsigned long long)round, (unsigned long long)bank->transfers,
                     (unsigned long long)kills, (unsigned long long)stops);
    }
    test_kill(group);
    test_dir_remove(bank->dir);
    (void)printf("%llu backups checked, %llu tables made, %llu dropped; %llu times all processes "
                 "were killed at once\n",
                 (unsigned long long)bank->backups, (unsigned long long)bank->tables_made,
                 (unsigned long long)bank->tables_dropped, (unsigned long long)machine_kills);
    (void)printf(
        "%llu transfers acknowledged, %llu snapshots added up, %llu conflicts, %llu busy, "
        "%llu checkpoints asked for, %llu kills, %llu stops; longest pause %llu ms, with a "
        "process stopped %llu ms; anomalies: 0\n",
        (unsigned long long)bank->transfers, (unsigned long long)bank->snapshots,
        (unsigned long long)bank->conflicts, (unsigned long long)bank->busy,
        (unsigned long long)bank->checkpoints, (unsigned long long)kills, (unsigned long long)stops,
        (unsigned long long)longest_us / 1000, (unsigned long long)longest_stopped_us / 1000);
    test_kills(kills);
    return test_summary(rounds, 0);
}
