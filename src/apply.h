/*
 * apply.h - brings the overlay up to the log, and lets go of what LMDB has.
 *
 * Each process has its own overlay. What its own transactions wrote the leader enters as it appends
 * (commit.c); what other processes have appended is read from the log and entered here: before a
 * snapshot that must see it, and before the leader appends. A process that slept so long that
 * checkpoints of others have removed what it would have to read starts its overlay anew at LMDB's
 * checkpoint LSN.
 *
 * Memtables end where checkpoints begin: who freezes for one announces the LSN (freeze_lsn in
 * shared.h) before any record behind it exists, so every process splits its overlay there, and can
 * drop what lies below once the checkpoint is done, whoever did it.
 *
 * Threads: the writer's (core.h: overlay_mutex), but for tx_apply_published. Layer 5: core.h.
 */
#ifndef TX_APPLY_H
#define TX_APPLY_H

#include "atomic.h"
#include "core.h"

/*
 * tx_apply_upto -- enter what stands in the log before lsn, an end of a record that is complete.
 * TXKV_NOMEM, TXKV_IOERR, TXKV_CORRUPT: it ends before that, and can be tried again.
 */
TX_MUST_CHECK enum txkv_rc tx_apply_upto(struct tx_core *core, uint64_t lsn,
                                         struct txkv_error *err);

/*
 * tx_apply_take_log -- become the writer of the log, for all processes and this one:
 * TX_LOCK_APPEND, waiting up to timeout_us, and overlay_mutex, with the overlay at the log's end.
 * TXKV_BUSY, or what tx_apply_upto returns: nothing was taken. tx_apply_give_log gives it back.
 */
TX_MUST_CHECK enum txkv_rc tx_apply_take_log(struct tx_core *core, uint64_t timeout_us,
                                             struct txkv_error *err);
void tx_apply_give_log(struct tx_core *core);

/* tx_apply_upto for any thread: takes overlay_mutex. */
TX_MUST_CHECK enum txkv_rc tx_apply_missing(struct tx_core *core, uint64_t lsn,
                                            struct txkv_error *err);

/* The same, unless nothing is missing; every snapshot asks. */
TX_MUST_CHECK static inline enum txkv_rc
tx_apply_published(struct tx_core *core, uint64_t lsn, struct txkv_error *err)
{
    if (tx_load_acquire_64(&core->applied_lsn) >= lsn) /* [P2] */
        return TXKV_OK;
    return tx_apply_missing(core, lsn, err);
}

/* Before a record at lsn is entered: begin a new memtable if a checkpoint was begun since. */
TX_MUST_CHECK enum txkv_rc tx_apply_split(struct tx_core *core, uint64_t lsn,
                                          struct txkv_error *err);

/* Put a new active memtable, that begins at lsn, in front of the view. */
TX_MUST_CHECK enum txkv_rc tx_apply_freeze(struct tx_core *core, uint64_t lsn,
                                           struct txkv_error *err);

/*
 * Publish a view without the memtables that LMDB has and no open snapshot is older than. *unseen:
 * what nobody looks at any more, for tx_views_free when the lock has been given back.
 */
void tx_apply_tidy(struct tx_core *core, struct tx_memtable **unseen);

/* Store the sum of what waits for a checkpoint. */
void tx_apply_measure(struct tx_core *core);

/* ---- shared with recovery ---- */

/* Calls fn with each operation of a transaction's record; TXKV_CORRUPT for one that cannot be. */
typedef enum txkv_rc tx_apply_op(void *arg, const struct tx_op *op, uint64_t lsn,
                                 struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_apply_each(struct tx_core *core, const struct tx_record *record,
                                         tx_apply_op *fn, void *arg, struct txkv_error *err);

/* Whether a record is about tables; and bring the catalog up to such a record. */
static inline bool
tx_apply_is_about_tables(const struct tx_record *record)
{
    return record->type == TX_RECORD_TABLE || record->type == TX_RECORD_DROPPED ||
           record->type == TX_RECORD_RENAMED;
}
TX_MUST_CHECK enum txkv_rc tx_apply_tables(struct tx_core *core, const struct tx_record *record,
                                           struct txkv_error *err);

/* Bring the catalog up to LMDB's. *lsn becomes the checkpoint LSN whose catalog that is, and *check
 * the log chain's value there: what follows it in the log is what the catalog lacks. */
TX_MUST_CHECK enum txkv_rc tx_apply_known_tables(struct tx_core *core, uint64_t *lsn,
                                                 uint64_t *check, struct txkv_error *err);

/* ---- prepared transactions ---- */

/*
 * Between a prepared record and its decision nothing else stands in the log, and a decision nowhere
 * else: TXKV_CORRUPT for a record that breaks this.
 */
TX_MUST_CHECK enum txkv_rc tx_apply_expect(struct tx_core *core, const struct tx_record *record,
                                           struct txkv_error *err);

/* Keep a prepared record in core->pending; its bytes must stay mapped. */
TX_MUST_CHECK enum txkv_rc tx_apply_pend(struct tx_core *core, const struct tx_record *record,
                                         struct txkv_error *err);

/* Enter the pending transaction's versions, unless they are. No snapshot sees them before its
 * decision is published. On failure it can be tried again. */
TX_MUST_CHECK enum txkv_rc tx_apply_enter_pending(struct tx_core *core, struct txkv_error *err);

/* It is decided: nothing is pending any more. Versions of one that is not committed are taken back;
 * those of one that is must have been entered. */
void tx_apply_end_pending(struct tx_core *core, bool commit);

#endif /* TX_APPLY_H */
