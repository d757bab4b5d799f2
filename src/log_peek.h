/*
 * log_peek.h - the log's records one by one, for somebody who only looks.
 *
 * Opens the segments by their names, read-only, and follows the chain through them without the list
 * and the position that the log itself has. What is open stays readable when a checkpoint removes
 * the files. Below the checkpoint LSN a power failure may have left holes, which are skipped, since
 * nobody reads there; at and behind it every record must be there.
 *
 * Threads: one at a time. Layer 2: record.h, segment.h.
 */
#ifndef TX_LOG_PEEK_H
#define TX_LOG_PEEK_H

#include "base.h"
#include "error.h"
#include "record.h"

struct tx_peek;

/* Open every segment in dir that is there now. Free with tx_peek_close. */
TX_MUST_CHECK enum txkv_rc tx_peek_open(const char *dir, uint64_t store_id, struct tx_peek **out,
                                        struct txkv_error *err);
void tx_peek_close(struct tx_peek *peek); /* NULL is allowed */

/* The newest time at or before the record given last, milliseconds since 1970; 0: not known. */
uint64_t tx_peek_ms(const struct tx_peek *peek);

/*
 * tx_peek_start -- from the first record at from_lsn or behind it, up to end_lsn, where a record
 * ends and everything before which is complete. checkpoint_lsn, checkpoint_check: the chain's value
 * there. Once, before the first tx_peek_next.
 */
void tx_peek_start(struct tx_peek *peek, uint64_t from_lsn, uint64_t end_lsn,
                   uint64_t checkpoint_lsn, uint64_t checkpoint_check);

/*
 * tx_peek_next -- the next record, seals too; its body is valid until tx_peek_close. TXKV_NOTFOUND
 * at the end; TXKV_CORRUPT where a record is missed; TXKV_IOERR; TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_peek_next(struct tx_peek *peek, struct tx_record *record,
                                        struct txkv_error *err);

#endif /* TX_LOG_PEEK_H */
