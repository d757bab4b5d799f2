/*
 * commit.h - makes transactions durable and visible, many per fdatasync.
 *
 * Committers push a request and try to lead. The leader drains the stack, takes the log for this
 * process (TX_LOCK_APPEND), enters what other processes have appended, validates, appends one
 * batch, and gives the log back; then it syncs once, publishes, and wakes the rest. Batches are in
 * LSN order, so every prefix of the log is a state the store has been in. A failed sync is final:
 * the kernel may have dropped the pages.
 *
 * A prepared transaction (prepare.h) is the last of its group, and the leader hands its place on
 * after it: the thread that leads may be the one that everybody waits for.
 *
 * The leader's place is also where everything else that touches the log's end is done:
 * tx_commit_run sends a function there.
 *
 * Threads: any may submit; the leader does everything else. Order of locks: leader, TX_LOCK_APPEND,
 * overlay_mutex, then the log's mutexes. Layer 6: txn.h, apply.h, mpsc.h.
 */
#ifndef TX_COMMIT_H
#define TX_COMMIT_H

#include "gather.h"
#include "mpsc.h"
#include "txn.h"
#include "way.h"

#define TX_COMMIT_ROOMS 2

struct tx_commit {
    struct tx_core *core;
    struct tx_way way;
    struct tx_gather gather;
    struct tx_mpsc submitted;
    struct tx_event_wakes *wakes; /* the leader's: whom it has to wake */
    /* Where many committers sleep until their group is done, group by group in turns. */
    struct tx_event rooms[TX_COMMIT_ROOMS] TX_ALIGNED;
    /* Atomic: 1 while a thread leads. Taken by CAS, released with release [M11]. */
    uint32_t leading TX_ALIGNED;
    /* Leader writes, any thread reads: 1 when the last group synced; waiters then sleep at once
     * instead of spinning. */
    uint32_t last_group_synced;
    /* The same: 1 + the room for who comes now, or 0: each sleeps on its own event. Orders nothing:
     * who is in another room than the rest of its group is woken by a call of its own. */
    uint32_t room;
};

void tx_commit_init(struct tx_commit *commit, struct tx_core *core);

/*
 * tx_commit_transaction -- commit the session's begun transaction; the errors are those of
 * txkv_commit. Does not end the transaction.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_transaction(struct tx_commit *commit,
                                                 struct txkv_session *session, enum txkv_sync sync,
                                                 struct txkv_error *err);

/*
 * tx_commit_prepare -- txkv_prepare up to the first step's end, for a transaction that writes and a
 * process that has TX_BYTE_PREPARED. After a failure the transaction is prepared all the same when
 * its prepared_lsn is not 0: its record stands in the log, and must be decided.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_prepare(struct tx_commit *commit, struct txkv_session *session,
                                             struct txkv_bytes note, struct txkv_error *err);

/* After something was published: wake the background threads that have something to do now. */
void tx_commit_nudge(struct tx_core *core, bool wants_flush);

/*
 * tx_commit_run -- run fn(arg, err) in the leader's place, with TX_LOCK_APPEND and overlay_mutex
 * held and the overlay at the log's end. What fn appends is made durable and published; either way
 * this returns when all that stands in the log before is as durable as its commits asked for.
 * `done` is the caller's own event, used for nothing else meanwhile. Returns fn's result, or why
 * that failed.
 */
TX_MUST_CHECK enum txkv_rc tx_commit_run(struct tx_commit *commit, struct tx_event *done,
                                         enum txkv_rc (*fn)(void *arg, struct txkv_error *err),
                                         void *arg, struct txkv_error *err);

#endif /* TX_COMMIT_H */
