/*
 * cursor.h - the merged scan: own writes, memtables and LMDB, in key order, in either direction.
 *
 * Each source stands on its next row. A step takes the smallest key (the largest, descending);
 * where several sources stand on it the newest wins: own writes, then memtables from the newest to
 * the oldest, then LMDB. All of them move on. Tombstones are dropped. A range of one key is looked
 * up instead.
 *
 * Threads: the session's. Layer 5: txn.h.
 */
#ifndef TX_CURSOR_H
#define TX_CURSOR_H

#include "txn.h"

/* Add what the transaction's open cursors have read to its read set; before commit. */
TX_MUST_CHECK enum txkv_rc tx_cursor_flush_reads(struct tx_txn *txn, struct txkv_error *err);

#endif /* TX_CURSOR_H */
