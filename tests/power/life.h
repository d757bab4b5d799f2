/*
 * life.h - the life of a store in machines that lose their power: with which options, what one of
 * its writers does, and the judge of what a cut has left.
 *
 * Threads: each writer is one thread's, of any process of the machine.
 */
#ifndef TXKV_TEST_LIFE_H
#define TXKV_TEST_LIFE_H

#include "machine.h"
#include "work.h"

/* Who writes, and how. */
struct writer {
    struct txkv *store;
    struct rng rng;
    uint32_t number, commits, table;
};

/* Once, before the first life: memory that machines and judge share. */
void life_prepare(void);

/*
 * life_run -- a new store, in one machine after the other. `work` is the machine's (machine.h); it
 * opens the store at life_store with life_options.
 */
void life_run(uint64_t seed, const char *base, struct rng *rng,
              void (*work)(const char *root, struct rng *rng));

void life_store(char path[TEST_PATH_BYTES], const char *root);
const struct txkv_options *life_options(void);

/* Run the writer's transactions, with what else it does: checkpoints, a table. */
void life_write(struct writer *writer);

/* Before a writer goes on whose process may have been killed: where the store has it. */
void life_find_writer(struct writer *writer);

void life_checkpoint(struct txkv *store);

/* Close the store, which nobody else has open. */
void life_close(struct txkv *store);

/* The closing lines; returns the exit code. */
int life_summary(void);

#endif /* TXKV_TEST_LIFE_H */
