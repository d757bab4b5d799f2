/*
 * worker.h - the processes and threads that make a history, and the memory that they record it in.
 *
 * The parent tells everybody the next step, and waits until all have finished it: in a step of the
 * first kind each worker runs its transactions, in one of the second kind one worker reads every
 * key. A worker is a thread; those of one process share a store. They record into shared memory, so
 * that what a killed process has done is not lost.
 */
#ifndef TXKV_TEST_HISTORY_WORKER_H
#define TXKV_TEST_HISTORY_WORKER_H

#include <stdatomic.h>

#include "../support/support.h"
#include "check.h"

enum {
    WORKERS = 6,
    WORKER_TXNS = 50,
    TXNS = WORKERS * WORKER_TXNS + 1,
    LIST_MAX = 4096,
    ARENA_BYTES = 16 << 20
};

#define STEP_CLOSE UINT64_MAX

enum workload {
    RANDOM, /* reads, appends and scans of any keys */
    SKEWED, /* two keys are read, one is appended to */
    BLIND   /* wrong: what is written was read before the transaction, which so has read nothing */
};

struct shared {
    /* The parent's. Workers look at it once they have seen the step. */
    char dir[TEST_PATH_BYTES];
    uint64_t seed;
    uint32_t processes;
    enum txkv_isolation isolation;
    enum txkv_sync sync;
    enum workload workload;
    uint64_t round;  /* makes the keys of a round new ones */
    uint32_t reader; /* the worker that reads every key; WORKERS: all run transactions */
    atomic_uint_fast64_t step;

    /* The workers'. */
    atomic_uint_fast64_t finished[WORKERS]; /* their newest step */
    atomic_uint_fast64_t clock_now, next_number, checkpoints, checkpoints_busy;
    atomic_bool broken;
    struct txkv_error failure; /* of the worker that set `broken` */
    struct txn txns[TXNS];     /* WORKER_TXNS of each, then the reader's one */
    size_t lists_used[WORKERS];
    uint8_t lists[WORKERS][ARENA_BYTES];
};

extern struct shared *shared;

/* Open the store and start the workers whose number modulo shared->processes is `process`. Their
 * first step is the one after `step`. */
void workers_start(uint32_t process, uint64_t step);

/* Wait until they have seen STEP_CLOSE, and close the store. */
void workers_end(void);

#endif /* TXKV_TEST_HISTORY_WORKER_H */
