/*
 * check.h - txkv_check and PRAGMA integrity_check: is what a store holds in order?
 *
 * Everything of one snapshot, beside writers: the log's checksums and chain since the last
 * checkpoint; the pages of LMDB's file, and if they are in order: the catalog: every index has its
 * table and every table its indexes, every shape can be read; the keys' order; that rows and keys
 * decode, and the row's key is the one it stands under; that each row has its entry in every index,
 * with which UNIQUE holds, and each entry its row.
 *
 * Threads: any, with a store of its own handle.
 */
#ifndef TX_CHECK_H
#define TX_CHECK_H

#include "sqlite.h"
#include "../src/txkv.h"

/*
 * Check the table of that name, or the whole store (NULL), and append a JSON report: what was
 * looked at, the number of problems, and the first of them in words. An SQLite code; *message is
 * set on an error. Problems are none.
 */
int tx_check_store(struct txkv *store, const char *name, sqlite3_str *out, char **message);

/* Check one table: *problem is the first of its problems, to be freed, or NULL. */
int tx_check_table(struct txkv *store, uint32_t table, char **problem, char **message);

#endif /* TX_CHECK_H */
