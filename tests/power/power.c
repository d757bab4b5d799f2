/*
 * power.c - a machine loses its power, again and again, and the store that is left is judged.
 *
 *   power [CUTS]      SEED=n
 *
 * Goal: whatever the disk has kept of that which was not synced, the store opens, by itself, and
 * holds a prefix of what was committed: with everything that a sync=full commit, a checkpoint, a
 * close or an earlier recovery has promised, and nothing that was never committed. No hole, no half
 * transaction, nothing back that was lost before.
 *
 * Method: a machine (machine.h) opens a store, commits with a few threads, checkpoints, makes a
 * table, closes and opens. What is left after a cut is compared with the record (work.h).
 */
#include <pthread.h>
#include <stdio.h>

#include "../support/support.h"
#include "life.h"

enum { COMMITS_MAX = 40 };

static void *
write_on(void *arg)
{
    life_write(arg);
    return NULL;
}

static void
run_writers(struct txkv *store, struct rng *rng)
{
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct txkv_error err;
    uint32_t table;

    test_ok(txkv_table(store, "rows", "shape", true, &table, &err), &err, "table");
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .store = store, .number = i, .commits = rng_below(rng, COMMITS_MAX), .table = table
        };
        rng_seed(&writers[i].rng, rng_next(rng));
        if (pthread_create(&threads[i], NULL, write_on, &writers[i]) != 0)
            test_die("no thread");
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
}

static void
work(const char *root, struct rng *rng)
{
    char path[TEST_PATH_BYTES];
    struct txkv *store;
    struct txkv_error err;

    life_store(path, root);
    for (bool again = true; again;) {
        test_ok(txkv_open(path, life_options(), &store, &err), &err, "open");
        run_writers(store, rng);
        again = rng_chance(rng, 50);
        if (!again && rng_chance(rng, 50))
            break; /* the power goes while the store is open */
        life_close(store);
    }
    machine_power_off();
}

int
main(int argc, char **argv)
{
    return life_main(argc, argv, "power", 2000, work);
}
