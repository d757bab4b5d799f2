/*
 * harm.h - damages a copy of a store: bits, ranges, lengths and numbers in its files, pages and
 * segments exchanged, files of an earlier time or of another store in their places.
 *
 * Threads: one.
 */
#ifndef TXKV_TEST_HARM_H
#define TXKV_TEST_HARM_H

#include "../support/support.h"

/* Where the stores are: the good one, a copy of it from before its checkpoint (it may be missing),
 * another store (it may be missing), and room for cases. */
struct wreck_places {
    const char *origin, *old, *foreign, *base;
};

struct harmed {
    char what[256];    /* the kinds of damage, for messages */
    bool touches_data; /* data.mdb was damaged, and not only exchanged for an older one */
};

/* One to three kinds of damage at once to the copy in `dir`. */
void harm_store(const struct wreck_places *places, const char *dir, struct rng *rng,
                struct harmed *done);

/* A number of all names, sizes, times and bytes of the store's files. */
uint64_t harm_fingerprint(const char *dir);

#endif /* TXKV_TEST_HARM_H */
