/*
 * prepare.h - transactions that are committed in two steps, together with something else.
 *
 * The first step appends a TX_RECORD_PREPARED, durable; the second a TX_RECORD_COMMITTED or
 * TX_RECORD_ABORTED, which names it. In between the prepared record is the log's last: nothing is
 * appended behind it but its decision, by whatever process, so that every reader of the log has at
 * most one transaction pending (core.h), and can enter it with its own LSN when it is committed.
 * The published LSN stays before it: no snapshot sees it.
 *
 * hold_lsn and hold_end (shared.h) say that there is one. Who takes the log (the leader, commit.c)
 * and finds them set does not append; it looks at
 *   hold_decision  set: append the decision, whoever made it, and go on.
 *   TX_BYTE_PREPARED  free: the owner is dead. Take it, give the log back, ask the resolver; then
 * take the log again and append what it says. Unless it cannot tell: TXKV_INDOUBT.
 * Else the owner is alive: give the log back, wait a little, and look again.
 *
 * The owner has TX_BYTE_PREPARED before its record is in the log and until it has stored the
 * decision. A process is one owner, so a flag in the core (hold_claimed) stands for it among
 * threads. The second step does not go through the leader: that one may be waiting for it.
 *
 * A decision need not be durable. After a power loss the prepared record is pending again, and the
 * resolver has the same answer: what it looks at is kept until a later transaction has been
 * prepared, which makes the decision durable.
 *
 * Threads: as each call says. Order of locks: TX_BYTE_PREPARED is taken with nothing held, or with
 * the log taken and without waiting. Layer 6: txn.h, apply.h.
 */
#ifndef TX_PREPARE_H
#define TX_PREPARE_H

#include "txn.h"

/* ---- the owner ---- */

/*
 * tx_prepare_claim -- get TX_BYTE_PREPARED for a transaction of this process, waiting up to
 * stall_timeout, and see to it that what a dead owner left is decided. TXKV_BUSY, with the process
 * id of who has it; TXKV_INDOUBT. With nothing held; tx_prepare_unclaim gives it back.
 */
TX_MUST_CHECK enum txkv_rc tx_prepare_claim(struct tx_core *core, struct txkv_error *err);
void tx_prepare_unclaim(struct tx_core *core);

/* The prepared record of what was written, all but what the leader fills in: in *record (which is
 * made, and tx_room_free), *bytes long. */
TX_MUST_CHECK enum txkv_rc tx_prepare_record(const struct tx_core *core,
                                             const struct tx_writeset *writes,
                                             struct txkv_bytes note, struct tx_room *record,
                                             uint32_t *bytes, struct txkv_error *err);

/*
 * tx_prepare_hold -- nothing but the decision may follow the record that has been placed, and whose
 * versions have been entered, and that is finished next. With the log taken.
 */
void tx_prepare_hold(struct tx_core *core, const struct tx_log_place *place, uint32_t body_bytes);

/* Decide the session's prepared transaction, and let TX_BYTE_PREPARED go; the session's transaction
 * stays open. */
void tx_prepare_end(struct txkv_session *session, bool commit);

/* ---- whoever else ---- */

/*
 * tx_prepare_settle -- with the log taken, and hold_lsn set: have the prepared transaction decided,
 * waiting up to stall_timeout. TXKV_OK: the log is taken, and nothing is held. TXKV_BUSY with the
 * owner's process id, TXKV_INDOUBT, TXKV_NOMEM and what tx_log_place returns: it was given back.
 */
TX_MUST_CHECK enum txkv_rc tx_prepare_settle(struct tx_core *core, struct txkv_error *err);

/* Ask a person's decision, or the resolver, about the pending transaction. TXKV_INDOUBT with its
 * sentence when it cannot tell. The caller has copied the note, or nothing else can change. */
TX_MUST_CHECK enum txkv_rc tx_prepare_ask(struct tx_core *core, uint64_t lsn,
                                          struct txkv_bytes note, bool *commit,
                                          struct txkv_error *err);

#endif /* TX_PREPARE_H */
