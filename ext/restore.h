/*
 * restore.h - txkv_archive and txkv_restore.
 *
 * Threads: any.
 */
#ifndef TX_EXT_RESTORE_H
#define TX_EXT_RESTORE_H

#include "sqlite.h"
#include "../src/txkv.h"

/* Bring a store's archive up to date, and append the report but for its beginning and end. */
int tx_restore_archive(struct txkv *store, sqlite3_str *out, char **message);

/*
 * Run txkv_restore with the function's arguments: a backup, the directory to make, and in any order
 * 'until lsn=N' or 'until time=T', and 'archive=DIR'; append the report. db reads T. An SQLite
 * code; *message is set on an error.
 */
int tx_restore_run(sqlite3 *db, int argc, sqlite3_value **argv, sqlite3_str *out, char **message);

#endif /* TX_EXT_RESTORE_H */
