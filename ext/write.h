/*
 * write.h - xUpdate: INSERT, REPLACE, UPDATE and DELETE of one row.
 *
 * Behaves as a native WITHOUT ROWID table does: a NULL key and a key that is there already are
 * constraint failures that the statement's OR clause decides about. OR REPLACE writes without
 * looking. The row is encoded straight into the transaction's log record. A call that fails has
 * changed nothing.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_WRITE_H
#define TX_WRITE_H

#include "connection.h"

int tx_write_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

#endif /* TX_WRITE_H */
