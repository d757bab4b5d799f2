/*
 * rename.h - ALTER TABLE ... RENAME TO of a table that bears its SQL name in the store.
 *
 * SQLite calls xRename in the middle of its transaction, which may be rolled back; the store
 * renames a table for all processes at once. So a rename is noted, and made in xSync, when all else
 * that can fail has not begun; a COMMIT that fails, and a rollback after xSync, give the table its
 * old name back. Between the two SQLite may connect the table under its new name: the notes say
 * which one the store still has.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_RENAME_H
#define TX_RENAME_H

#include "connection.h"

/* xRename: note it, with the table's indexes. An SQLite code, the message is in the table. */
int tx_rename_note(struct tx_table *table, const char *name);

/*
 * The name that the store has for what is `name` in this transaction; NULL: a table that was
 * renamed has it until the COMMIT, and no other can.
 */
const char *tx_rename_stored(const struct tx_link *link, const char *name);

/* xSync: rename in the stores. Errors are reported on `table`, and nothing is renamed then. */
int tx_rename_make(struct tx_table *table);

/* Rename back what tx_rename_make has renamed. */
void tx_rename_undo(struct tx_connection *connection);

/* The transaction has ended: forget the notes. */
void tx_rename_end(struct tx_connection *connection);

/* SQLite's savepoints. */
void tx_rename_release(struct tx_connection *connection, int n);
void tx_rename_rollback_to(struct tx_connection *connection, int n);

#endif /* TX_RENAME_H */
