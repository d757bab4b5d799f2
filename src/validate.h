/*
 * validate.h - may a transaction commit? The check that makes transactions serializable.
 *
 * Optimistic and backward (H. T. Kung and J. T. Robinson, "On optimistic methods for concurrency
 * control", 1981): a transaction that writes may commit when no transaction that committed after
 * its snapshot wrote a key that it read, or a key in a range that it read. It is then as if it had
 * read at the moment it commits, so the order of the LSNs is a serial order; a transaction that
 * only reads stands at its snapshot in that order and needs no check. A write that was not read
 * first, a blind one, never conflicts.
 *
 * At TXKV_SNAPSHOT only those keys count that the transaction has both read and written: the first
 * committer wins, and write skew is possible.
 *
 * Threads: the leader's place; what the leader has entered but not published yet counts as
 * committed, since it comes before. Layer 6: txn.h.
 */
#ifndef TX_VALIDATE_H
#define TX_VALIDATE_H

#include "txn.h"

/*
 * tx_validate -- TXKV_OK, or TXKV_CONFLICT. The key that it is about is left in the session, and
 * *err is then for the committer to fill in, by tx_validate_message; it is filled in here when the
 * history that is kept does not reach back to the snapshot. The read set is sealed.
 */
TX_MUST_CHECK enum txkv_rc tx_validate(struct txkv_session *session, struct txkv_error *err);

/* The sentence of a conflict about a key. By the committer, not the leader: who makes a table waits
 * for the leader with the catalog's mutex held. */
enum txkv_rc tx_validate_message(const struct txkv_session *session, struct txkv_error *err);

#endif /* TX_VALIDATE_H */
