/*
 * machine.h - a process whose power fails, and the judge of what is left on its disk.
 *
 * The machine is a child, with disk.h between it and its files. Before changes of the disk, in the
 * midst of syncs and at machine_pause it may be stopped, and a state that a power failure could
 * leave takes the place of its disk, under the same path; the judge, which is the process that
 * calls machine_lives, looks at that, and lets the machine go on. In the end the power really
 * fails, and the next machine starts with what was left: recoveries are cut off at every step, too.
 *
 * A machine may have several processes (machine_start). They tell the disk of their calls too, and
 * a cut finds all of them at one moment: they are stopped for it, as a power failure does it.
 *
 * Threads: the judge has one. The machine may have many.
 */
#ifndef TXKV_TEST_MACHINE_H
#define TXKV_TEST_MACHINE_H

#include "disk.h"

struct machine {
    /* In the judge, before each life: what it is like. May change cut_percent. */
    void (*begin)(struct machine *machine, uint64_t seed, struct rng *rng);
    /* In a process of its own, before the first machine: what is on the disk then. NULL: nothing.
     */
    void (*prepare)(const char *root, struct rng *rng);
    /* In the machine: work on the disk below root, until machine_power_off. */
    void (*work)(const char *root, struct rng *rng);
    /* In the machine, with the disk stopped: note what must be there, and what may be there. */
    void (*before_cut)(void);
    void (*after_cut)(void);
    /* In the judge: look at what was left below root. */
    void (*judge)(const char *root, struct rng *rng);
    /* In the judge: the next machine starts, with what was judged last. */
    void (*next)(void);
    /* Of a hundred places where the power can fail, the number where it does. */
    uint32_t cut_percent;
};

/* The machine: a moment between changes at which the power may fail. */
void machine_pause(void);

/* The machine: the power fails now, for good. Does not return. */
void machine_power_off(void);

/*
 * The machine: start a process that runs `run` and ends. It must end well, or be killed; else all
 * of the test fails. Start the first one before the machine has opened anything: a child has what
 * its parent has. Returns its number.
 */
int machine_start(void (*run)(void *arg), void *arg);

/* The machine's first process: whether that one still runs. */
bool machine_runs(int number);

/* The machine's first process: kill one of them, if one runs, in the midst of whatever it does. */
void machine_kill(struct rng *rng);

/*
 * machine_lives -- a program's lives, one after the other, until as many cuts were judged as its
 * first argument says, or `cuts`. Each has a seed of its own, the first one SEED, and is so many
 * machines, one after the other, on a disk that is empty at first. Prints how many cuts there were
 * of each kind. Dies when a judge does, or a machine ends in any other way.
 */
void machine_lives(int argc, char **argv, const char *name, uint64_t cuts, uint32_t machines,
                   struct machine *machine);

/* How many cuts were judged so far, in all lives. */
uint64_t machine_cuts(void);

#endif /* TXKV_TEST_MACHINE_H */
