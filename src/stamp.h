/*
 * stamp.h - when the log's transactions were committed.
 *
 * The log has records with the time of day, before what was committed from then on: one where the
 * time differs by TX_STAMP_MS or more from that of the last one, and one behind each checkpoint, so
 * that who reads from a checkpoint LSN on knows the time of all that comes. The clock may be set
 * back, and then the log's times go back as well.
 *
 * Layer 6: core.h.
 */
#ifndef TX_STAMP_H
#define TX_STAMP_H

#include "core.h"

#define TX_STAMP_MS 10u

/*
 * tx_stamp -- in the leader's place, before a record is appended: append the time, if it is due.
 *
 * done  the caller's for a group: false at first; when it is set nothing happens, so that the clock
 *       is read once for each group, and without a system call.
 *
 * Fails as appending does; the log is then as it was.
 */
TX_MUST_CHECK enum txkv_rc tx_stamp(struct tx_core *core, bool *done, struct txkv_error *err);

#endif /* TX_STAMP_H */
