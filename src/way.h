/*
 * way.h - right of way: a transaction that keeps losing gets through.
 *
 * Optimistic validation lets the quickest win, so a transaction that takes long between its first
 * read and its commit could lose to short ones for ever. A session whose transactions have lost
 * TX_WAY_LOSSES times in a row takes the store's one right of way for the keys that it lost by.
 * Until its next commit, or until the right lapses, other sessions' commits that write one of those
 * keys wait; nobody else does. The right lapses after four times what the losing transaction took
 * (10 ms to 1 s), so a holder that does not come back costs others no more than that.
 *
 * It is a matter of time only: who waits too little conflicts as before, and validation decides
 * what may commit. So keys stand here as their hashes, and a process that is stopped or dies with
 * the right, or with the lock, costs the others no more than the time until the right lapses.
 *
 * The right is the store's, among all its processes: it stands in the shared page. A session that
 * waits for one of its own process is woken, for one of another it looks now and then.
 *
 * Threads: any; TX_LOCK_WAY, taken alone. The check in the common case, where nobody has the right,
 * is one load. Layer 6: txn.h.
 */
#ifndef TX_WAY_H
#define TX_WAY_H

#include "txn.h"

#define TX_WAY_LOSSES 3u

struct tx_way {
    struct tx_event freed; /* by a session of this process */
};

void tx_way_init(struct tx_way *way);

/* The session has lost by the key that its conflict_key names. */
void tx_way_lose(struct txkv_session *session);

/* Before a commit: wait while another session has the right of way for a key that this one writes.
 */
void tx_way_give(struct tx_way *way, const struct txkv_session *session);

/* The session has committed, or ends: give the right back if it has it. */
void tx_way_end(struct tx_way *way, struct txkv_session *session);

#endif /* TX_WAY_H */
