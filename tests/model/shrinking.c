/*
 * shrinking.c - what shrink() leaves is what a fault needs, no more and no less.
 *
 *   shrinking [SEEDS]      SEED=n: start at seed n
 *
 * The faults are planted: each seed chooses some of many steps, and the fault shows itself at the
 * last one of them, if all were there in their order. One in three is a fault that two different
 * sets of steps lead to: then one of the sets must be left, whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "shrink.h"

enum { STEPS = 400, NEEDED_MAX = 6, SETS = 2, PLAYS_MAX = 5000 };

static struct {
    int count[SETS];
    int needed[SETS][NEEDED_MAX]; /* in order */
} fault;

static size_t
play(const struct step *steps, size_t count)
{
    int found[SETS] = { 0, 0 };

    for (size_t i = 0; i < count; i++)
        for (int set = 0; set < SETS; set++)
            if (fault.count[set] > 0 && atoi(steps[i].sql) == fault.needed[set][found[set]] &&
                ++found[set] == fault.count[set])
                return i + 1;
    return 0;
}

static void
plant(struct rng *rng, int set)
{
    int step = -1;

    fault.count[set] = 1 + (int)rng_below(rng, NEEDED_MAX);
    for (int i = 0; i < fault.count[set]; i++) {
        step += 1 + (int)rng_below(rng, STEPS / NEEDED_MAX - 1);
        fault.needed[set][i] = step;
    }
}

static bool
is_set(const struct steps *steps, int set)
{
    bool same = steps->count == (size_t)fault.count[set];

    for (size_t i = 0; same && i < steps->count; i++)
        same = atoi(steps->data[i].sql) == fault.needed[set][i];
    return same;
}

static bool
run_seed(uint64_t seed)
{
    struct steps steps = { NULL, 0, 0 };
    struct rng rng;
    uint64_t plays;
    bool ok;

    rng_seed(&rng, seed);
    memset(&fault, 0, sizeof fault);
    plant(&rng, 0);
    if (rng_below(&rng, 3) == 0)
        plant(&rng, 1);
    for (int i = 0; i < STEPS; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "%d", i);
        steps_add(&steps, name, 0);
    }
    plays = shrink(&steps, play, PLAYS_MAX);
    ok = is_set(&steps, 0) || is_set(&steps, 1);
    if (!ok)
        (void)printf("[FAILED] SEED=%llu: %zu steps are left after %llu plays\n",
                     (unsigned long long)seed, steps.count, (unsigned long long)plays);
    steps_free(&steps);
    return ok;
}

int
main(int argc, char **argv)
{
    const uint64_t seeds = test_argument(argc, argv, 1, 300), first = test_seed(1);
    uint64_t passed = 0;

    for (uint64_t i = 0; i < seeds; i++) {
        test_seed_is(first + i);
        passed += run_seed(first + i);
    }
    return test_summary(passed, seeds - passed);
}
