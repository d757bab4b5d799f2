/*
 * rowwrite.h - xUpdate for a table with declared columns: affinities, NOT NULL, PRIMARY KEY and
 * UNIQUE, with the statement's OR clause, and the entries of the indexes.
 *
 * A call that fails has changed nothing. Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWWRITE_H
#define TX_ROWWRITE_H

#include "relation.h"

/* The transaction has been told already, see tx_transaction_write. */
int tx_rowwrite_update(struct tx_table *table, int argc, sqlite3_value **argv,
                       sqlite3_int64 *rowid);

#endif /* TX_ROWWRITE_H */
