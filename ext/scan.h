/*
 * scan.h - reading a table: xOpen, xFilter, xNext, xEof, xColumn, xClose.
 *
 * A cursor here holds a cursor of the store while a statement runs; that is also what keeps the
 * statement on one snapshot outside of a transaction. The bytes of the row it stands on belong to
 * the store until the transaction writes or ends; tx_scan_keep_rows copies them before that.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_SCAN_H
#define TX_SCAN_H

#include "connection.h"

/* ---- sqlite3_module methods, for struct tx_table ---- */

int tx_scan_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info);
int tx_scan_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out);
int tx_scan_close(sqlite3_vtab_cursor *base);
int tx_scan_filter(sqlite3_vtab_cursor *base, int plan, const char *words, int count,
                   sqlite3_value **arguments);
int tx_scan_next(sqlite3_vtab_cursor *base);
int tx_scan_eof(sqlite3_vtab_cursor *base);
int tx_scan_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column);

/* ---- for the other files ---- */

/*
 * Copy the rows that the link's cursors stand on, before the transaction writes, rolls back or
 * ends. SQLITE_NOMEM when one could not be copied; its cursor then fails when it is asked for the
 * row, and the others have been copied.
 */
int tx_scan_keep_rows(struct tx_link *link);

/* Free a closed cursor kept for reuse; NULL is allowed. */
void tx_scan_free(struct tx_cursor *cursor);

#endif /* TX_SCAN_H */
