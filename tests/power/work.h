/*
 * work.h - what the machine that loses its power was doing: numbered transactions of a few
 * writers, and what must be left of them.
 *
 * Transaction n of a writer sets the writer's counter to n and puts or deletes some of its rows;
 * which ones, and with which values, follows from writer, n and the epoch: which time the machine
 * was on. Writers never write the same row, so what a store must hold follows from how far each
 * writer got.
 *
 * The record is in memory that the machine's process and its judge share. Each writer changes its
 * own part; counters only grow while the machine is on.
 */
#ifndef TXKV_TEST_WORK_H
#define TXKV_TEST_WORK_H

#include <stdatomic.h>

#include "../support/support.h"

enum { WRITERS = 3, TRANSACTIONS_MAX = 4096 };

/* A transaction as it was run last. */
struct deed {
    uint32_t epoch;
    uint32_t others[WRITERS]; /* each writer's last acknowledged one when it began */
    bool has_late;            /* it wrote to the table that was made late, too */
};

/* How far each writer got. */
struct progress {
    uint32_t count[WRITERS];
    bool late; /* the late table */
};

struct record {
    uint64_t seed;
    uint32_t epoch;
    bool all_full; /* every commit is sync=full */
    bool is_large; /* values are */
    atomic_uint started[WRITERS], acknowledged[WRITERS];
    atomic_uint durable[WRITERS]; /* what a power failure must not take */
    atomic_bool late_started, late_acknowledged;
    bool again[WRITERS]; /* the next transaction is one that a killed process may have committed */
    struct deed deeds[WRITERS][TRANSACTIONS_MAX];
};

/* Run the writer's next transaction. */
void work_commit(struct record *record, struct txkv_session *session, uint32_t table,
                 uint32_t late_table, uint32_t writer, enum txkv_sync sync);

/*
 * Before a writer goes on whose process has died: it is where the store has it, and runs the
 * transaction again that it had begun, if it had. That writes the same once more, since the first
 * run may still come out.
 */
void work_find(struct record *record, struct txkv_session *session, uint32_t table,
               uint32_t writer);

/* The lower bound after something that makes all that was acknowledged when it began durable. */
struct progress work_acknowledged(const struct record *record);
void work_raise_durable(struct record *record, const struct progress *to);

struct progress work_durable(const struct record *record);
struct progress work_started(const struct record *record);

/* Before the machine is on again: it goes on where the store that was left stands. */
void work_resume(struct record *record, const struct progress *at);

/*
 * What the store holds. Dies when that is no state that the writers have passed, when something
 * before `least` is missing, or something behind `most` is there.
 */
struct progress work_judge(const struct record *record, struct txkv *store,
                           const struct progress *least, const struct progress *most);

#endif /* TXKV_TEST_WORK_H */
