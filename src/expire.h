/*
 * expire.h - ends snapshots that have been open for too long (snapshot_timeout_s).
 *
 * A snapshot that outlives a call is watched when the option is on at the moment it is taken. From
 * then on until its transaction is gone the session's calls that may look at a snapshot stand
 * between tx_guard_enter and tx_guard_leave, and what they hand out is copied, so that between two
 * calls nobody looks at what the snapshot pins. There the checkpointer may take the guard and end
 * it. The invariants are at the top of expire.c.
 *
 * Threads: the session's, but for tx_expire_overdue (the checkpointer) and tx_oldest_since (any).
 * Layer 5: txn.h.
 */
#ifndef TX_EXPIRE_H
#define TX_EXPIRE_H

#include "txn.h"

/* The session's guard. */
enum {
    TX_GUARD_OFF,     /* nothing is watched: calls need no guard */
    TX_GUARD_IN_CALL, /* the session's thread may look at its snapshots */
    TX_GUARD_IDLE,    /* nobody does, until the next call */
    TX_GUARD_TAKEN    /* the checkpointer is at them, under the sessions' mutex */
};

/* True when the session has, or had, a snapshot that can be ended. Only its own thread changes the
 * answer. */
static inline bool
tx_guarded(const struct txkv_session *session)
{
    return __builtin_expect(tx_load_relaxed_32(&session->guard) != TX_GUARD_OFF, 0);
}

/* The two ends of a call; only where tx_guarded. */
void tx_guard_take(struct txkv_session *session);
void tx_guard_give(struct txkv_session *session);

static inline void
tx_guard_enter(struct txkv_session *session)
{
    if (tx_guarded(session))
        tx_guard_take(session);
}

/* The call may have begun without a guard and taken a snapshot that is watched. */
static inline void
tx_guard_leave(struct txkv_session *session)
{
    if (tx_guarded(session))
        tx_guard_give(session);
}

/* Before a snapshot is taken that outlives the call: note its age, and watch it if asked to. */
void tx_expire_note(struct tx_txn *txn);

/* A noted transaction is gone, or got no snapshot. */
void tx_expire_forget(struct tx_txn *txn);

/* TXKV_EXPIRED when the transaction's snapshot has been ended. */
TX_MUST_CHECK enum txkv_rc tx_expire_check(const struct tx_txn *txn, struct txkv_error *err);

/* The same, when the transaction has written, and has read anything from that snapshot. */
TX_MUST_CHECK enum txkv_rc tx_expire_check_commit(struct tx_txn *txn, struct txkv_error *err);

/* End what is overdue. How long, in microseconds, until there may be something again; UINT64_MAX:
 * not before the next commit. */
uint64_t tx_expire_overdue(struct tx_core *core);

/* When the oldest open snapshot of any session was taken, in tx_os_now_us, or UINT64_MAX. */
uint64_t tx_oldest_since(struct tx_core *core);

#endif /* TX_EXPIRE_H */
