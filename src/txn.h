/*
 * txn.h - sessions and their transactions.
 *
 * A session has at most one current transaction. It is `begun` between txkv_begin and its end; one
 * that was never begun is only the snapshot that cursors outside a transaction share. Cursors hold
 * references, so a transaction that has ended lives on, with its snapshot and its writes, until its
 * last cursor is closed; the session goes on with a new one.
 *
 * Threads: the session's. The leader reads a transaction while its session waits in commit. The
 * checkpointer ends a snapshot between two calls (expire.h).
 * Layer 5: snapshot.h, writeset.h, readset.h.
 */
#ifndef TX_TXN_H
#define TX_TXN_H

#include "os.h"
#include "readset.h"
#include "snapshot.h"
#include "writeset.h"

struct tx_savepoint {
    int number;
    struct tx_writeset_mark mark;
};

struct tx_txn {
    struct txkv_session *session;
    uint32_t refs; /* one while begun, one for each cursor */
    bool begun;
    uint64_t prepared_lsn, prepared_end; /* its record's; 0: it is not prepared */
    bool incomplete; /* no memory for a range that was read, or a savepoint: it cannot commit */
    struct tx_snapshot snapshot;
    struct tx_writeset writes;
    struct tx_readset reads;
    uint32_t drops;                  /* the catalog's, when the transaction began */
    struct tx_savepoint *savepoints; /* numbers ascending */
    uint32_t savepoint_count, savepoint_room;
    struct txkv_cursor *cursors; /* whose ranges belong to `reads` */
    /* Of a snapshot that outlives a call; see expire.h. */
    uint64_t taken_us;   /* when, or 0: there is none */
    bool watched;        /* it may be ended */
    uint64_t expired_us; /* the age at which it was ended, or 0 */
    struct tx_txn *next_noted;
};

struct txkv_session {
    /* Fixed after open. */
    struct tx_core *core;
    ck_epoch_record_t *record;
    uint32_t stripe;
    /* Who may look at the snapshots of the session (expire.h) [E1]; and whether the next call has
     * to look for overdue ones, a hint. The session's thread and the checkpointer, atomic. */
    uint32_t guard, must_look;
    /* The guard's holder. */
    uint32_t snapshots;   /* open */
    uint32_t watched;     /* transactions whose snapshot may be, or has been, ended */
    struct tx_txn *noted; /* transactions with a snapshot that outlives a call */
    /* The session's thread only. */
    struct tx_txn *current;
    struct tx_txn *spare;             /* an ended one, for its buffers */
    struct txkv_cursor *spare_cursor; /* a closed one, for its memory */
    enum txkv_isolation isolation;
    uint64_t last_lsn;
    uint32_t losses;   /* conflicts in a row, counted up to TX_WAY_LOSSES */
    uint64_t begun_us; /* when the transaction began, if the one before it lost; else 0 */
    uint32_t conflict_table, conflict_key_bytes; /* of the last conflict; bytes 0: none */
    uint8_t *conflict_key;                       /* grows; NULL before the first conflict */
    size_t conflict_key_room;
    uint8_t *value; /* a copy, for txkv_get outside a transaction or with a guard */
    size_t value_room;
    struct tx_event done; /* the leader signals it */
    /* The guard's holder stores, any thread reads: a lower bound of `snap` of the oldest open
     * snapshot, or TX_LSN_NONE. */
    uint64_t oldest_snap TX_ALIGNED;
    /* The guard's holder stores, any thread reads: when the oldest open snapshot was taken, or
     * UINT64_MAX. */
    uint64_t since_us;
    /* Under the core's sessions mutex. */
    struct txkv_session *next, *previous;
};

TX_MUST_CHECK enum txkv_rc tx_check_fork_fully(const struct tx_core *core, struct txkv_error *err);

/* True as a rule. When it is false tx_check_fork has to tell. */
static inline bool
tx_is_not_forked(const struct tx_core *core)
{
    return __builtin_expect(tx_os_forks.hooked && core->fork_generation == tx_os_forks.generation,
                            1);
}

/* TXKV_FORKED when the store belongs to the parent of this process. */
TX_MUST_CHECK static inline enum txkv_rc
tx_check_fork(const struct tx_core *core, struct txkv_error *err)
{
    return tx_is_not_forked(core) ? TXKV_OK : tx_check_fork_fully(core, err);
}

/* txkv_session_open, on the core. */
TX_MUST_CHECK enum txkv_rc tx_session_open(struct tx_core *core, struct txkv_session **out,
                                           struct txkv_error *err);

/* The transaction that reads go to: the current one, or a new one that is not begun and has no
 * reference yet. */
TX_MUST_CHECK enum txkv_rc tx_txn_current(struct txkv_session *session, struct tx_txn **out,
                                          struct txkv_error *err);

static inline void
tx_txn_ref(struct tx_txn *txn)
{
    txn->refs++;
}

/* The last reference gone: drops the snapshot and forgets the writes. */
void tx_txn_unref(struct tx_txn *txn);

/* txkv_rollback, for a transaction that is not prepared. */
void tx_txn_rollback(struct txkv_session *session);

/* End the current begun transaction; what it wrote has been committed, or is forgotten. */
void tx_txn_end(struct txkv_session *session);

/* Take the snapshot unless it is open. TXKV_EXPIRED when it has been ended. */
TX_MUST_CHECK enum txkv_rc tx_txn_snapshot(struct tx_txn *txn, struct txkv_error *err);

/* No-op when none is open. */
void tx_txn_drop_snapshot(struct tx_txn *txn);

/* One key: own write, else snapshot. Adds to the read set when begun. */
TX_MUST_CHECK enum txkv_rc tx_txn_get(struct tx_txn *txn, const struct tx_key *key,
                                      struct txkv_bytes *value, struct txkv_error *err);

/* The oldest snapshot of any session, or TX_LSN_NONE. Any thread. */
uint64_t tx_oldest_snap(struct tx_core *core, uint32_t *open);

#endif /* TX_TXN_H */
