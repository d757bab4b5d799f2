/*
 * wreck.h - stores with anything damaged: the log, LMDB's pages, the shared files, old and foreign
 * files in their places.
 *
 * Goal: whatever the bytes are, looking at a store, opening, reading, checking and recovering it in
 * every mode ends, and ends without a crash; looking changes nothing and says whether the store
 * will open; and no row is given that was never written - where LMDB's own pages were damaged, none
 * that the pages' structure shows to be damaged.
 *
 * Method: every step runs in a child with an alarm. What goes wrong is printed with the case and
 * counted, and the next case goes on.
 *
 * Threads: one.
 */
#ifndef TXKV_TEST_WRECK_H
#define TXKV_TEST_WRECK_H

#include "harm.h"
#include "subject.h"

struct wreck_counts {
    uint64_t stores, wrong, crashed, hung;
    uint64_t opened, refused, salvaged, rescued, rows_rescued;
};

/* Damage one copy of the store, and try everything on it. `number` is for messages. */
void wreck_run(const struct wreck_places *places, struct rng *rng, uint64_t number);

extern struct wreck_counts wreck_counts;

/* "N damaged stores, wrong 0, crashed 0, hung 0", and how they ended. */
void wreck_print(uint64_t other_stores);

#endif /* TXKV_TEST_WRECK_H */
