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

enum { END_WAIT_S = 10 };

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

static void
maybe_cut(void *unused)
{
    struct cut cut = { .is_last = atomic_load(&power_off) };
    char answer;

    (void)unused;
    if (!cut.is_last && !rng_chance(&cut_rng, machine->cut_percent))
        return;
    cut.how = choose_cut();
    machine->before_cut();
    disk_cut(&cut_rng, cut.how, cut_dir);
    machine->after_cut();
    if (calls_real.write(to_judge[1], &cut, sizeof cut) != sizeof cut ||
        read(to_machine[0], &answer, 1) != 1)
        _exit(1); /* the judge has spoken */
    if (cut.is_last)
        _exit(0);
}

void
machine_pause(void)
{
    disk_pause();
}

void
machine_power_off(void)
{
    atomic_store(&power_off, true);
    for (;;)
        disk_pause();
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

void
machine_run(const struct machine *m, uint32_t machines, const char *base, struct rng *rng)
{
    char root[TEST_PATH_BYTES];

    machine = m;
    test_path(root, base, "disk");
    test_path(live_dir, base, "live");
    test_path(cut_dir, base, "cut");
    if (calls_real.mkdir(root, 0700) != 0)
        test_die("cannot make %s", root);
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

void
machine_report(void)
{
    for (int i = 0; i < DISK_CUTS; i++)
        printf("  %-9s %llu\n", cut_names[i], (unsigned long long)cuts_by_kind[i]);
}
