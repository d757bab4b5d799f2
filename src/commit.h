/*
 * commit.h - makes transactions durable and visible, many per fdatasync.
 *
 * Committers push a request and try to lead. The leader drains the stack, validates, appends one
 * batch, syncs once, publishes, and wakes the rest. Batches are in LSN order, so every prefix of
 * the log is a state the store has been in. A failed sync is final: the kernel may have dropped the
 * pages.
 *
 * The leader's place is also where everything else that touches the log's end, the active memtable
 * or the view is done: tx_commit_run sends a function there.
 *
 * Threads: any may submit; the leader does everything else. Order of locks: leader, then the log's
 * mutexes. Layer 6: txn.h, mpsc.h.
 */
#ifndef TX_COMMIT_H
#define TX_COMMIT_H

#include "mpsc.h"
#include "txn.h"
#include "way.h"

struct tx_commit {
    struct tx_core *core;
    struct tx_way way;
    struct tx_mpsc submitted;
    /* Atomic: 1 while a thread leads. Taken by CAS, released with release [M11]. */
    uint32_t leading TX_ALIGNED;
    /* Leader writes, any thread reads: 1 when the last group synced; waiters then sleep at once
     * instead of spinning. */
    uint32_t last_group_synced;
};

void tx_commit_init(struct tx_commit *commit, struct tx_core *core);
void tx_commit_destroy(struct tx_commit *commit);

/*
 * tx_commit_transaction -- commit the session's begun transaction; the errors are those of
 * txkv_commit. Does not end the transaction.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_transaction(struct tx_commit *commit,
                                                 struct txkv_session *session, enum txkv_sync sync,
                                                 struct txkv_error *err);

/*
 * tx_commit_run -- run fn(arg, err) in the leader's place, when everything that was appended before
 * is published or has failed. `done` is the caller's own event, used for nothing else meanwhile.
 * Returns fn's result.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_run(struct tx_commit *commit, struct tx_event *done,
                                         enum txkv_rc (*fn)(void *arg, struct txkv_error *err),
                                         void *arg, struct txkv_error *err);

/*
 * tx_commit_append_table -- in the leader's place: append a table record, make it durable, publish
 * it. *lsn is the record's.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_append_table(struct tx_commit *commit,
                                                  const struct tx_table_def *def, uint64_t *lsn,
                                                  struct txkv_error *err);

/* In the leader's place: store the sum of what waits for a checkpoint. */
void tx_commit_measure_overlay(struct tx_core *core);

#endif /* TX_COMMIT_H */
