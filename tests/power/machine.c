/*
 * machine.c - see machine.h.
 */
#include "machine.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/process.h"
#include "calls.h"
#include "follow.h"
#include "wire.h"

enum { END_WAIT_S = 60, PROCESSES_MAX = 64 };

/* What the machine tells of a cut. */
struct cut {
    enum disk_cut how;
    bool is_last;
};

static const struct machine *machine;
static int to_judge[2], to_machine[2];
static char cut_dir[TEST_PATH_BYTES], live_dir[TEST_PATH_BYTES];
static struct rng cut_rng; /* the machine's, with the disk stopped */
static atomic_bool power_off;

/* The machine's processes; with the disk stopped. */
static struct process {
    pid_t pid;
    bool runs;
} processes[PROCESSES_MAX];
static int process_count;

/* Of all machines; shared with them. */
static struct totals {
    uint64_t started, killed;
} * totals;
static uint64_t cuts_by_kind[DISK_CUTS];
static const char *const cut_names[DISK_CUTS] = { "nothing", "all",    "sectors",  "pages",
                                                  "prefix",  "suffix", "contents", "names" };

/* ---- the machine ---- */

/* Sectors are where most can go wrong. */
static enum disk_cut
choose_cut(void)
{
    return rng_chance(&cut_rng, 40) ? DISK_CUT_SECTORS
                                    : (enum disk_cut)rng_below(&cut_rng, DISK_CUTS);
}

/* The process has ended: well, unless the machine is to end with it. */
static void
note_end(struct process *process, int status)
{
    process->runs = false;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        (void)fprintf(stderr, "a process of the machine died of signal %d\n", WTERMSIG(status));
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
        !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        _exit(1);
}

/* Their files are about to be moved away. */
static void
stop_processes(void)
{
    for (int i = 0; i < process_count; i++)
        if (processes[i].runs)
            (void)kill(processes[i].pid, SIGSTOP);
    for (int i = 0; i < process_count; i++) {
        int status;

        if (!processes[i].runs)
            continue;
        if (waitpid(processes[i].pid, &status, WUNTRACED) != processes[i].pid)
            test_die("waitpid");
        if (!WIFSTOPPED(status))
            note_end(&processes[i], status);
    }
}

static void
signal_processes(int signal)
{
    for (int i = 0; i < process_count; i++)
        if (processes[i].runs)
            (void)kill(processes[i].pid, signal);
}

static void
end_with_power(void)
{
    signal_processes(SIGKILL);
    for (int i = 0; i < process_count; i++)
        if (processes[i].runs)
            (void)waitpid(processes[i].pid, NULL, 0);
    _exit(0);
}

static void
maybe_cut(void *unused)
{
    struct cut cut = { .is_last = atomic_load(&power_off) };
    char answer;

    (void)unused;
    if (!cut.is_last && !rng_chance(&cut_rng, machine->cut_percent))
        return;
    cut.how = choose_cut();
    stop_processes();
    machine->before_cut();
    disk_cut(&cut_rng, cut.how, cut_dir);
    machine->after_cut();
    if (calls_real.write(to_judge[1], &cut, sizeof cut) != sizeof cut ||
        read(to_machine[0], &answer, 1) != 1)
        _exit(1); /* the judge has spoken */
    if (cut.is_last)
        end_with_power();
    signal_processes(SIGCONT);
}

void
machine_pause(void)
{
    follow_stop(true);
    follow_go_on();
}

void
machine_power_off(void)
{
    atomic_store(&power_off, true);
    for (;;)
        machine_pause();
}

/* ---- the machine's processes ---- */

int
machine_start(void (*run)(void *arg), void *arg)
{
    int ends[2], number;
    pid_t pid;

    wire_make(ends);
    disk_lock(false); /* no cut before the process is known */
    if (process_count == PROCESSES_MAX)
        test_die("more than %d processes", PROCESSES_MAX);
    pid = test_fork();
    if (pid == 0) {
        follow_over(ends[1]);
        (void)calls_real.close(ends[0]);
        (void)calls_real.close(to_judge[1]);
        (void)calls_real.close(to_machine[0]);
        run(arg);
        _exit(0);
    }
    number = process_count++;
    processes[number] = (struct process){ pid, true };
    totals->started++;
    disk_unlock();
    (void)calls_real.close(ends[1]);
    wire_serve(ends[0]);
    return number;
}

/* How many still run. */
static int
count_running(void)
{
    int running = 0;

    for (int i = 0; i < process_count; i++) {
        int status;

        if (processes[i].runs && waitpid(processes[i].pid, &status, WNOHANG) == processes[i].pid)
            note_end(&processes[i], status);
        running += processes[i].runs;
    }
    return running;
}

bool
machine_runs(int number)
{
    bool runs;

    disk_lock(false);
    (void)count_running();
    runs = processes[number].runs;
    disk_unlock();
    return runs;
}

void
machine_kill(struct rng *rng)
{
    int running, which;

    disk_lock(true); /* so that it is not between a call and the disk's word of it */
    running = count_running();
    which = running == 0 ? -1 : (int)rng_below(rng, (uint32_t)running);
    for (int i = 0; which >= 0 && i < process_count; i++)
        if (processes[i].runs && which-- == 0) {
            int status;

            (void)kill(processes[i].pid, SIGKILL);
            totals->killed++;
            if (waitpid(processes[i].pid, &status, 0) != processes[i].pid)
                test_die("waitpid");
            note_end(&processes[i], status);
        }
    disk_unlock();
}

/* ---- the judge ---- */

static void
move(const char *from, const char *to)
{
    if (calls_real.rename(from, to) != 0)
        test_die("cannot move %s to %s", from, to);
}

/* The machine is stopped as a whole, since its disk is not where it was. */
static void
judge_cut(pid_t pid, const char *root, struct rng *rng)
{
    int status;

    if (kill(pid, SIGSTOP) != 0 || waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        test_die("cannot stop the machine");
    move(root, live_dir);
    test_dir_copy(cut_dir, root); /* what was left stays as it was, in case */
    machine->judge(root, rng);
    test_dir_remove(root);
    move(live_dir, root);
    (void)kill(pid, SIGCONT);
}

/* One machine. What its last cut has left becomes the disk of the next. */
static void
run_one(const char *root, struct rng *rng)
{
    struct cut cut = { .is_last = false };
    pid_t pid;

    if (pipe(to_judge) != 0 || pipe(to_machine) != 0)
        test_die("no pipe");
    rng_seed(&cut_rng, rng_next(rng));
    pid = test_fork();
    if (pid == 0) {
        (void)close(to_judge[0]);
        (void)close(to_machine[1]);
        process_count = 0;
        disk_start(root, maybe_cut, NULL);
        machine->work(root, rng);
        _exit(1);
    }
    (void)rng_next(rng);
    (void)close(to_judge[1]);
    (void)close(to_machine[0]);
    while (read(to_judge[0], &cut, sizeof cut) == sizeof cut) {
        cuts_by_kind[cut.how]++;
        judge_cut(pid, root, rng);
        if (cut.is_last) {
            test_dir_remove(root);
            move(cut_dir, root);
        }
        test_dir_remove(cut_dir);
        if (calls_real.write(to_machine[1], "", 1) != 1)
            test_die("the machine is gone");
    }
    test_wait_well(pid, END_WAIT_S, "the machine");
    if (!cut.is_last)
        test_die("the machine has ended before its power failed");
    (void)close(to_judge[0]);
    (void)close(to_machine[1]);
}

static void
prepare(const char *root, struct rng *rng)
{
    const pid_t pid = test_fork();

    if (pid == 0) {
        machine->prepare(root, rng);
        _exit(0);
    }
    (void)rng_next(rng);
    test_wait_well(pid, END_WAIT_S, "preparing the disk");
}

static void
live(uint32_t machines, const char *base, struct rng *rng)
{
    char root[TEST_PATH_BYTES];

    test_path(root, base, "disk");
    test_path(live_dir, base, "live");
    test_path(cut_dir, base, "cut");
    if (calls_real.mkdir(root, 0700) != 0)
        test_die("cannot make %s", root);
    if (machine->prepare != NULL)
        prepare(root, rng);
    for (uint32_t i = 0; i < machines; i++) {
        run_one(root, rng);
        machine->next();
    }
    test_dir_remove(root);
}

uint64_t
machine_cuts(void)
{
    uint64_t cuts = 0;

    for (int i = 0; i < DISK_CUTS; i++)
        cuts += cuts_by_kind[i];
    return cuts;
}

static void
report(void)
{
    for (int i = 0; i < DISK_CUTS; i++)
        printf("  %-9s %llu\n", cut_names[i], (unsigned long long)cuts_by_kind[i]);
    if (totals->started > 0)
        printf("  %llu processes, %llu of them killed while the power was on\n",
               (unsigned long long)totals->started, (unsigned long long)totals->killed);
}

void
machine_lives(int argc, char **argv, const char *name, uint64_t cuts, uint32_t machines,
              struct machine *m)
{
    const uint64_t wanted = test_argument(argc, argv, 1, cuts), first = test_seed(test_now_us());
    char base[TEST_PATH_BYTES];

    printf("%s: %llu cuts, SEED=%llu\n", name, (unsigned long long)wanted,
           (unsigned long long)first);
    (void)fflush(stdout);
    machine = m;
    totals = test_shared_memory(sizeof *totals);
    test_dir_make_in_memory(base, "power");
    for (uint64_t seed = first; machine_cuts() < wanted; seed++) {
        struct rng rng;

        test_seed_is(seed);
        rng_seed(&rng, seed);
        if (m->begin != NULL)
            m->begin(m, seed, &rng);
        live(machines, base, &rng);
    }
    test_dir_remove(base);
    report();
}
