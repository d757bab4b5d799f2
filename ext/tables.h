/*
 * tables.h - txkv_tables, the list of the tables in stores, txkv_scan, the rows of one table of a
 * store without CREATE, and txkv_log, the records of its log.
 *
 * All only read, and never make a store. Since they name directories they cannot be used in views
 * and triggers of a file (SQLITE_VTAB_DIRECTONLY).
 */
#ifndef TX_TABLES_H
#define TX_TABLES_H

#include "connection.h"

/* One reference of the connection for each. */
int tx_tables_register(struct tx_connection *connection);
int tx_quickscan_register(struct tx_connection *connection);
int tx_logtable_register(struct tx_connection *connection);

/* ---- what they have in common, with txkv_stats too ---- */

struct tx_listing {
    sqlite3_vtab base; /* first: SQLite's view of it */
    struct tx_connection *connection;
};

/* xConnect with that declaration; what `names_path` is for top-level SQL only. xDisconnect. */
int tx_listing_connect(sqlite3 *db, void *connection, const char *declaration, bool names_path,
                       sqlite3_vtab **out);
int tx_listing_disconnect(sqlite3_vtab *vtab);

/*
 * xBestIndex for `count` arguments, which are the hidden columns from `first` on: the plan's bits
 * say which are given, and they come in order. SQLITE_CONSTRAINT when one cannot be used.
 */
int tx_listing_best_index(sqlite3_index_info *info, int first, int count);

#endif /* TX_TABLES_H */
