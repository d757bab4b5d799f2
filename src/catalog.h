/*
 * catalog.h - the tables of a store by name and number, in memory.
 *
 * Filled from LMDB's meta and from the log's table records; entries are never removed while the
 * store is open, so a pointer to one stays valid. `define_lsn` is the LSN of the record that made
 * the table, 0 for one that LMDB had when the store was opened: a checkpoint up to X defines in
 * LMDB what has define_lsn < X and is not there yet.
 *
 * Threads: any; one mutex, held for a few steps; tables are made in the leader's place. Layer 5:
 * mem.h, record.h.
 */
#ifndef TX_CATALOG_H
#define TX_CATALOG_H

#include <pthread.h>

#include "base.h"
#include "error.h"
#include "record.h"

struct tx_catalog_entry {
    struct tx_catalog_entry *next;
    uint64_t define_lsn;
    uint32_t table;
    bool in_tree; /* the checkpointer's: LMDB has it */
    char *name, *shape;
};

struct tx_catalog {
    pthread_mutex_t mutex;
    struct tx_catalog_entry *entries;
    uint32_t table_max; /* atomic: the highest number given out; written under the mutex */
};

void tx_catalog_init(struct tx_catalog *catalog);
void tx_catalog_destroy(struct tx_catalog *catalog);

/* The caller holds the mutex for these three. find: NULL when missing. add: copies def; a number or
 * a name that is there already is TXKV_CORRUPT unless all is equal. */
struct tx_catalog_entry *tx_catalog_find(struct tx_catalog *catalog, const char *name);
struct tx_catalog_entry *tx_catalog_by_number(struct tx_catalog *catalog, uint32_t table);
TX_MUST_CHECK enum txkv_rc tx_catalog_add(struct tx_catalog *catalog,
                                          const struct tx_table_def *def, uint64_t define_lsn,
                                          bool in_tree, struct txkv_error *err);

/* Take the entry added last back, before the mutex has been released since. */
void tx_catalog_take_back(struct tx_catalog *catalog);

/* TXKV_MISUSE for a number that no table has. Any thread, without the mutex. */
TX_MUST_CHECK enum txkv_rc tx_catalog_check(const struct tx_catalog *catalog, uint32_t table,
                                            struct txkv_error *err);

#endif /* TX_CATALOG_H */
