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

void life_store(char path[TEST_PATH_BYTES], const char *root);
const struct txkv_options *life_options(void);

/* Run the writer's transactions, with what else it does: checkpoints, a table. */
void life_write(struct writer *writer);

/* Before a writer goes on whose process may have been killed: where the store has it. */
void life_find_writer(struct writer *writer);

void life_checkpoint(struct txkv *store);

/* Close the store, which nobody else has open. */
void life_close(struct txkv *store);

/*
 * life_main -- the whole of a program: lives of stores (machine_lives), what they came to, and the
 * exit status. `work` is the machine's (machine.h); it opens the store at life_store with
 * life_options.
 */
int life_main(int argc, char **argv, const char *name, uint64_t cuts,
              void (*work)(const char *root, struct rng *rng));

#endif /* TXKV_TEST_LIFE_H */
