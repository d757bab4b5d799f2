/*
 * target.h - the tables that an import writes to.
 *
 * They are in a connection of the import's own, in memory, and its rows go in as any INSERT: with
 * SQLite's conversions, constraints and conflict clauses, in one transaction.
 */
#ifndef TX_TARGET_H
#define TX_TARGET_H

#include "shape.h"
#include "transfer.h"

/* A table. */
struct tx_target {
    struct tx_target *next;
    char *name; /* in the store */
    struct tx_shape *shape;
    bool has_rowid; /* cells[column_count] is the rowid, that no column shows */
    sqlite3_stmt *insert;
    struct tx_cell *cells; /* the row: NULL at first, and after tx_target_insert */
    bool *given;           /* which of them the record has */
};

struct tx_targets {
    const struct tx_transfer *options;
    struct txkv *store; /* open all the while */
    sqlite3 *db;        /* in a transaction */
    struct tx_target *first;
    char **message;
};

/* Open the store and the connection. Whatever it returns, tx_targets_close is to be called. */
int tx_targets_open(struct tx_targets *targets, const char *dir);

/* Commit, when `commit`, or roll back, and free all. Returns an SQLite code. */
int tx_targets_close(struct tx_targets *targets, bool commit);

/*
 * tx_targets_find -- the table of that name.
 *
 * definitions  how to make it, when it is not there: columns, or "" for key and value; NULL: it
 *              must be there. On one that is there they must say what it is.
 */
int tx_targets_find(struct tx_targets *targets, const char *name, const char *definitions,
                    struct tx_target **out);

/* The cell for a column of that name, or for the rowid; -1: there is none. */
int tx_target_cell(const struct tx_target *target, const char *name, int guess);

/* Insert the row; *inserted is false when OR IGNORE left it out. Returns an SQLite code; the
 * message is the connection's. */
int tx_target_insert(struct tx_targets *targets, struct tx_target *target, bool *inserted);

#endif /* TX_TARGET_H */
