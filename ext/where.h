/*
 * where.h - the store that a function's argument names: a txkv table of the connection, or a
 * directory.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_WHERE_H
#define TX_WHERE_H

#include "connection.h"

/*
 * The txkv table of this name, or NULL. SQLite connects a table when a statement first names it,
 * and so does this.
 */
struct tx_table *tx_where_table(struct tx_connection *connection, const char *name);

/*
 * Open another handle of the store that `where` names, never making one; txkv_close gives it back.
 * Errors begin with `who`. Returns an SQLite code.
 */
int tx_where_open(struct tx_connection *connection, const char *who, const char *where,
                  struct txkv **store, char **message);

/* A table of that name in the store, its shape and number. Errors as for tx_where_open. */
int tx_where_find(struct txkv *store, const char *who, const char *name, uint32_t *table,
                  char **message);

#endif /* TX_WHERE_H */
