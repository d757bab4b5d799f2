/*
 * connection.h - what one SQLite connection has open: its links to stores, and its tables.
 *
 *   struct tx_connection  one per sqlite3*, the client data of every module and function.
 *   struct tx_link        one store as this connection uses it: a handle and the one session, which
 *                         all of the connection's tables in that store share.
 *   struct tx_table       one connected virtual table. The internal table that transaction.c
 *                         enlists with is one too; it has no link.
 *
 * A link outlives the tables that SQLite disconnects and connects again when it reads a schema
 * anew; it ends with DROP TABLE of its last table, or with the connection.
 *
 * Threads: whoever holds the connection's mutex, as SQLite does in every callback.
 */
#ifndef TX_CONNECTION_H
#define TX_CONNECTION_H

#include <stdbool.h>

#include "sqlite.h"
#include "../src/txkv.h"

struct tx_cursor;   /* cursor.h */
struct tx_relation; /* relation.h */
struct tx_rename;   /* rename.c */

/* Columns that are not the key, of a table without declared columns. */
enum { TX_VALUE_COLUMNS = 1 };

struct tx_connection {
    sqlite3 *db;
    int refs; /* modules and functions that have it as their client data */
    struct tx_link *links;
    struct tx_table *tables; /* the connected ones, without the internal one */

    /* SQLite's transaction; transaction.c alone writes these. */
    bool enlisted;             /* SQLite will call xCommit or xRollback when it ends */
    bool may_update;           /* a statement has begun that writes; there is no UPDATE before */
    int savepoint;             /* the highest number that is set, or -1 */
    struct tx_rename *renames; /* tables renamed in the transaction, newest first; rename.c's */
    sqlite3_stmt *enlist; /* the statement that enlists a transaction that only reads, or NULL */
};

struct tx_link {
    struct tx_link *next;
    struct tx_connection *connection;
    struct txkv *store;
    struct txkv_session *session;
    int tables;                /* connected ones */
    bool dropped;              /* close it when the transaction ends */
    struct tx_cursor *cursors; /* all open ones */

    /* The store's part of SQLite's transaction; transaction.c alone writes these. */
    bool begun;          /* the session is in a transaction */
    enum txkv_sync sync; /* the strongest of the tables that were written */
    bool wrote;
    char *decider; /* the schema whose file it is committed with: of the first written table that
                      has one; NULL: it is committed alone */
    bool prepared; /* the first step is done, and the file's transaction has its row */
    bool deletes_journal; /* prepared: see tx_prepared_deletes_journal */
};

struct tx_table {
    sqlite3_vtab base; /* first: SQLite's view of it */
    struct tx_table *next;
    struct tx_connection *connection;
    struct tx_link *link;         /* NULL: the internal table */
    uint32_t number;              /* in the store */
    struct tx_relation *relation; /* the declared columns; NULL: the columns are key and value */
    enum txkv_sync sync;
    enum txkv_isolation isolation;
    bool bears_name;         /* the store knows it by the SQL name it was created with */
    char *name;              /* the SQL name */
    char *schema;            /* the schema that it is declared in, when that has a file; or NULL */
    struct tx_cursor *spare; /* a closed cursor for the next xOpen, or NULL */
};

/* Between a table's name and the number of its index; no name of a table may have it. */
#define TX_INDEX_SEPARATOR '\x01'

/* A new connection state with one reference, or NULL. */
struct tx_connection *tx_connection_new(sqlite3 *db);
struct tx_connection *tx_connection_ref(struct tx_connection *connection);
/* The last reference closes every link. Takes void * to serve as a destructor for SQLite. */
void tx_connection_unref(void *connection);

/*
 * tx_link_open -- the connection's link to the store in dir, made when there is none yet.
 *
 * options   as for txkv_open; intervals and limits take effect on an open store too.
 * out       borrowed. A link that no table joins is given back with tx_link_drop.
 */
TXKV_MUST_CHECK enum txkv_rc tx_link_open(struct tx_connection *connection, const char *dir,
                                          const struct txkv_options *options, struct tx_link **out,
                                          struct txkv_error *err);

/* Close the link if it has no table: at once, or at the end of the transaction it is in. */
void tx_link_drop(struct tx_link *link);

/* The connected table with this SQL name, in any case of letters, or NULL. */
struct tx_table *tx_connection_find(struct tx_connection *connection, const char *name);

/* Report a failed call of the store as the table's error; returns the SQLite code. */
int tx_table_fail(struct tx_table *table, enum txkv_rc rc, const struct txkv_error *err);

#endif /* TX_CONNECTION_H */
