/*
 * prepared.h - one commit of a store and of a database file.
 *
 * A txkv table in the schema of a database that has a file is committed with that file's native
 * tables, in two steps (transaction.c). What ties them together is the native table txkv_prepared
 * in the file: the row (store, lsn) is in it when the native part of the transaction that was
 * prepared at that LSN of that store has been committed. It is written by that native transaction
 * itself, so SQLite's own atomic commit decides for both.
 *
 * A row is of use until the store's next transaction has been prepared, which makes the decision
 * about the one before durable; the next row takes its place.
 *
 * Layer: sqlite.h, txkv.h.
 */
#ifndef TX_PREPARED_H
#define TX_PREPARED_H

#include <stdbool.h>

#include "sqlite.h"
#include "../src/txkv.h"

#define TX_PREPARED_TABLE "txkv_prepared"

/* The absolute name of a schema's file, SQLite's to free; NULL for temp, :memory: and whatever else
 * is gone with the process. */
const char *tx_prepared_file(sqlite3 *db, const char *schema);

/* In xCreate: make txkv_prepared in the schema unless it is there. SQLite's code; its message is
 * sqlite3_errmsg. */
int tx_prepared_create(sqlite3 *db, const char *schema);

/* In xSync: make (store_id, lsn) the store's only row. SQLite's code; its message is
 * sqlite3_errmsg. */
int tx_prepared_mark(sqlite3 *db, const char *schema, uint64_t store_id, uint64_t lsn);

/*
 * In xSync: whether SQLite commits by deleting its journal. Below synchronous = EXTRA it does not
 * make that durable: a power cut can bring the journal back, which takes the commit back.
 */
bool tx_prepared_deletes_journal(sqlite3 *db, const char *schema);

/* In xCommit: make it durable, before the decision is. What fails is not told: nobody could go back
 * any more, and it only matters when the power fails as well. */
void tx_prepared_sync_directory(const char *file);

/* For txkv_options: looks the row up in the file that the note names. */
txkv_resolve tx_prepared_resolve;

#endif /* TX_PREPARED_H */
