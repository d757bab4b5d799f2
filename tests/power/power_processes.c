/*
 * power_processes.c - a machine with several processes on one store loses its power.
 *
 *   power_processes [CUTS]      SEED=n
 *
 * Goal: as in power.c, when the transactions are those of several processes, which share the log,
 * its syncs and the checkpoints; and when some of them had been killed before the power failed, so
 * that others had to go on with what they had left.
 *
 * Method: each writer is a process of the machine (machine_start): it opens the store, perhaps as
 * the first one, commits, and closes it or just ends. One more does nothing but checkpoints. They
 * are killed at any moment, in recoveries and checkpoints too, and others take their places. A
 * writer that was killed in a transaction looks whether it was committed, and else runs it again.
 * The power fails for all of them at once.
 */
#include <stdio.h>
#include <unistd.h>

#include "../support/support.h"
#include "life.h"

enum { PLACES = WRITERS + 1, STARTS_MAX = 24, COMMITS_MAX = 25, CHECKPOINTS_MAX = 6, TRIES = 200 };

struct job {
    const char *path;
    uint32_t writer; /* WRITERS: the one that checkpoints */
    uint64_t seed;
};

/* Others may be recovering it, or closing it. */
static struct txkv *
open_store(const char *path)
{
    struct txkv *store = NULL;
    struct txkv_error err;
    enum txkv_rc rc = TXKV_LOCKED;

    for (int i = 0; i < TRIES && (rc == TXKV_LOCKED || rc == TXKV_BUSY); i++)
        rc = txkv_open(path, life_options(), &store, &err);
    test_ok(rc, &err, "open");
    return store;
}

static void
run_job(void *arg)
{
    const struct job *job = arg;
    struct writer writer = { .store = open_store(job->path), .number = job->writer };
    struct txkv_error err;

    rng_seed(&writer.rng, job->seed);
    if (job->writer == WRITERS) {
        for (uint32_t i = rng_below(&writer.rng, CHECKPOINTS_MAX); i > 0; i--) {
            life_checkpoint(writer.store);
            test_sleep_us(rng_below(&writer.rng, 3000));
        }
    } else {
        life_find_writer(&writer);
        writer.commits = rng_below(&writer.rng, COMMITS_MAX);
        life_write(&writer);
    }
    if (rng_chance(&writer.rng, 60)) /* else it ends as a killed one does */
        test_ok(txkv_close(writer.store, &err), &err, "close");
}

static void
work(const char *root, struct rng *rng)
{
    static const uint32_t kill_percents[] = { 0, 1, 10 };
    const uint32_t kill_percent = kill_percents[rng_below(rng, 3)];
    const uint32_t starts_max = PLACES + rng_below(rng, STARTS_MAX);
    int places[PLACES];
    char path[TEST_PATH_BYTES];
    struct job job = { .path = path };
    uint32_t starts = 0, running = 1;

    life_store(path, root);
    for (int i = 0; i < PLACES; i++)
        places[i] = -1;
    while (running > 0 && !rng_chance(rng, starts < starts_max ? 0 : 2)) {
        running = 0;
        for (uint32_t i = 0; i < PLACES; i++) {
            if (places[i] >= 0 && machine_runs(places[i])) {
                running++;
            } else if (starts < starts_max && rng_chance(rng, 40)) {
                job.writer = i;
                job.seed = rng_next(rng);
                places[i] = machine_start(run_job, &job);
                starts++;
                running++;
            }
        }
        running += starts < starts_max;
        if (rng_chance(rng, kill_percent))
            machine_kill(rng);
        test_sleep_us(500);
    }
    machine_power_off();
}

int
main(int argc, char **argv)
{
    return life_main(argc, argv, "power_processes", 1000, work);
}
