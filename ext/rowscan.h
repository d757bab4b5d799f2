/*
 * rowscan.h - reading a table by its primary key, or through an index.
 *
 * While a cursor walks over an index, a second cursor of the store fetches the rows, one when a
 * column is asked for that the index's entry cannot give.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWSCAN_H
#define TX_ROWSCAN_H

#include "cursor.h"

int tx_rowscan_filter(struct tx_cursor *cursor, int number, int count, sqlite3_value **arguments);
int tx_rowscan_next(struct tx_cursor *cursor);

/* These are for tables with declared columns. */
int tx_rowscan_column(struct tx_cursor *cursor, sqlite3_context *context, int column);
/* The same for one whose way is known (tx_cursor.ways): the first that is asked for of those that
 * stand in the row; the integer that the key is; one that is in the key. */
int tx_rowscan_first(struct tx_cursor *cursor, sqlite3_context *context, int column);
int tx_rowscan_key(struct tx_cursor *cursor, sqlite3_context *context, int column);
int tx_rowscan_part(struct tx_cursor *cursor, sqlite3_context *context, int column);
int tx_rowscan_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid);

/* The row that the cursor stands on; live rows are the store's until it is called again. */
int tx_rowscan_row(struct tx_cursor *cursor, struct txkv_bytes *key, struct txkv_bytes *value);

#endif /* TX_ROWSCAN_H */
