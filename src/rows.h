/*
 * rows.h - the rows that a checkpoint moves: the newest version of each key of some memtables, in
 * key order.
 *
 * In key order the nodes, and the keys and values in the log, are spread over memory, and reading
 * them is waiting for it. So of many rows a second thread collects them, in stretches, while the
 * first one writes those before into LMDB.
 *
 * Threads: one at a time calls what is here. Layer 6: order.h, core.h.
 */
#ifndef TX_ROWS_H
#define TX_ROWS_H

#include "core.h"
#include "order.h"
#include "stretch.h"

struct tx_rows;

/*
 * tx_rows_create -- the rows of `count` frozen memtables, newest first, but for those whose newest
 * version is older than from_lsn. The memtables must outlive it. TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_rows_create(struct tx_core *core,
                                          struct tx_memtable *const *memtables, uint32_t count,
                                          uint64_t from_lsn, struct tx_rows **out);
void tx_rows_free(struct tx_rows *rows); /* NULL is allowed */

/* What they, and what they replace, take in the log. */
uint64_t tx_rows_log_bytes(const struct tx_rows *rows);

/* The next rows, which are there until the next call, and how many; 0: there are no more. Cannot
 * fail. */
uint32_t tx_rows_next(struct tx_rows *rows, const struct tx_row **out);

/* From the first one again. */
void tx_rows_rewind(struct tx_rows *rows);

#endif /* TX_ROWS_H */
