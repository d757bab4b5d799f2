/*
 * transaction.h - SQLite's transaction, carried over to the stores of the connection.
 *
 * One SQLite transaction is one transaction in each store that it touches, whichever tables it
 * touches there. SQLite calls the methods below once for every virtual table that was written; the
 * first xSync commits every store, the first xCommit or xRollback ends the transaction, and later
 * calls find nothing left to do.
 *
 * SQLite commits its native tables between xSync and xCommit. So a store of which a table was
 * written that is declared in a file's schema is committed in two steps: xSync prepares it, and
 * writes the row into the file that tells what became of it (prepared.h); xCommit publishes it. A
 * COMMIT that SQLite refuses after xSync, with SQLITE_BUSY, leaves it prepared until the COMMIT is
 * repeated, the transaction is rolled back, or it goes on: what changes it takes the first step
 * back.
 *
 * SQLite says nothing about transactions that only read. So the first read between BEGIN and COMMIT
 * runs a DELETE that deletes nothing on temp.txkv_transaction, an internal virtual table: that
 * makes SQLite call its xBegin, and at the end xCommit or xRollback. It locks nothing but `temp`.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_TRANSACTION_H
#define TX_TRANSACTION_H

#include "connection.h"

/* The internal table's name, and its module's. */
#define TX_TRANSACTION_TABLE "txkv_transaction"

/* ---- sqlite3_module methods, for struct tx_table ---- */

int tx_transaction_begin(sqlite3_vtab *vtab);
/* Commits, or prepares: all that can fail happens here, for SQLite ignores what xCommit says. */
int tx_transaction_sync(sqlite3_vtab *vtab);
int tx_transaction_commit(sqlite3_vtab *vtab);
int tx_transaction_rollback(sqlite3_vtab *vtab);
int tx_transaction_savepoint(sqlite3_vtab *vtab, int n);
int tx_transaction_release(sqlite3_vtab *vtab, int n);
int tx_transaction_rollback_to(sqlite3_vtab *vtab, int n);

/* ---- for the other files ---- */

/* Before a write: the table's store is in the transaction. Returns an SQLite code. */
int tx_transaction_write(struct tx_table *table);

/*
 * Before a read: between BEGIN and COMMIT, or in a statement that writes, the table's store is in
 * the transaction; else nothing. Returns an SQLite code, the message is in the table.
 */
int tx_transaction_read(struct tx_table *table);

/*
 * Make SQLite call the internal table's xCommit or xRollback at the end of the transaction,
 * creating that table when it is missing. Errors are reported on `table`.
 */
int tx_transaction_enlist(struct tx_table *table);

/*
 * Create the internal table unless it is there, in xCreate: outside of any transaction that only
 * reads, a rollback of which would take it away again. After an error xCreate must fail as well,
 * for SQLite may have forgotten the table that is being made.
 */
int tx_transaction_prepare(struct tx_connection *connection);

/* Finalize the cached statement, which would keep sqlite3_close from working. */
void tx_transaction_forget(struct tx_connection *connection);

#endif /* TX_TRANSACTION_H */
