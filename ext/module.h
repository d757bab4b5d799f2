/*
 * module.h - the txkv virtual table module: creating, connecting, renaming and dropping tables, and
 * the table of methods.
 *
 * CREATE VIRTUAL TABLE opens the store, making it when it is missing, and finds or makes the table
 * in it. DROP TABLE detaches: the rows stay in the store.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_MODULE_H
#define TX_MODULE_H

#include "connection.h"

/* Register txkv and the internal module of transaction.h; each takes a reference. */
int tx_module_register(struct tx_connection *connection);

#endif /* TX_MODULE_H */
