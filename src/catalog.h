/*
 * catalog.h - the tables of a store by name and number, in memory.
 *
 * Filled from LMDB's meta and from the log's records about tables; entries are never removed while
 * the store is open, also those of dropped tables, so a pointer to one stays valid; its name
 * belongs to the mutex, since a table can be renamed. Each change has the LSN of its record, 0 for
 * what LMDB had when the store was opened: a checkpoint from X to Y carries over to LMDB what
 * changed at X or later, and before Y.
 *
 * Threads: any; one mutex, held for a few steps; tables are changed in the leader's place, or by
 * who brings the overlay up to the log. Layer 5: mem.h, record.h.
 */
#ifndef TX_CATALOG_H
#define TX_CATALOG_H

#include <pthread.h>

#include "base.h"
#include "error.h"
#include "record.h"

/* drop_lsn of a table that was not dropped. */
#define TX_CATALOG_ALIVE UINT64_MAX

struct tx_catalog_entry {
    struct tx_catalog_entry *next;
    uint64_t define_lsn, name_lsn, drop_lsn;
    uint32_t table;
    char *name; /* of a dropped table the last one; empty when it was dropped before the open */
    char *shape;
};

struct tx_catalog {
    pthread_mutex_t mutex;
    struct tx_catalog_entry *entries;
    /* Atomic, written under the mutex: by slot, the table that is there, or 0. */
    uint32_t alive[TX_TABLE_SLOTS_MAX + 1];
    /* Under the mutex: by slot, the highest number that was given out, or 0. */
    uint32_t latest[TX_TABLE_SLOTS_MAX + 1];
    uint64_t drop_lsns[TX_TABLE_SLOTS_MAX + 1]; /* the drop_lsn of that one */
    uint32_t drops; /* atomic, written under the mutex: how many tables were dropped */
};

void tx_catalog_init(struct tx_catalog *catalog);
void tx_catalog_destroy(struct tx_catalog *catalog);

/* ---- the caller holds the mutex ---- */

/* NULL when missing. By name: not a dropped one. */
struct tx_catalog_entry *tx_catalog_find(struct tx_catalog *catalog, const char *name);
struct tx_catalog_entry *tx_catalog_by_number(struct tx_catalog *catalog, uint32_t table);

/* Copies def. A number that is there already is nothing new, whatever its name is by now;
 * TXKV_CORRUPT for another shape, or a name that another table has. */
TX_MUST_CHECK enum txkv_rc tx_catalog_add(struct tx_catalog *catalog,
                                          const struct tx_table_def *def, uint64_t define_lsn,
                                          struct txkv_error *err);

/* Take the entry added last back, before the mutex has been released since. */
void tx_catalog_take_back(struct tx_catalog *catalog);

/* What LMDB's catalog says at checkpoint LSN `lsn` of one table; an empty name: it was dropped. */
TX_MUST_CHECK enum txkv_rc tx_catalog_adopt(struct tx_catalog *catalog,
                                            const struct tx_table_def *def, uint64_t lsn,
                                            struct txkv_error *err);

/* TXKV_CORRUPT for a number that no table has. A table that is dropped already stays so. */
TX_MUST_CHECK enum txkv_rc tx_catalog_drop(struct tx_catalog *catalog, uint32_t table, uint64_t lsn,
                                           struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_catalog_rename(struct tx_catalog *catalog, uint32_t table,
                                             const char *name, uint32_t name_bytes, uint64_t lsn,
                                             struct txkv_error *err);

/* The same without a copy: takes the name over, and returns the one before, to be freed. */
char *tx_catalog_swap_name(struct tx_catalog *catalog, uint32_t table, char *name, uint64_t lsn);

/* A number for a new table: in a slot whose table is dropped, in LMDB too, else in a new one. 0
 * when all are taken. */
uint32_t tx_catalog_new_number(const struct tx_catalog *catalog, uint64_t checkpoint_lsn);

/* ---- any thread, without the mutex ---- */

/* TXKV_MISUSE for a number that no table ever had. */
TX_MUST_CHECK enum txkv_rc tx_catalog_check(struct tx_catalog *catalog, uint32_t table,
                                            struct txkv_error *err);

/* TXKV_SCHEMA when the table was dropped before `lsn`. */
TX_MUST_CHECK enum txkv_rc tx_catalog_check_alive(struct tx_catalog *catalog, uint32_t table,
                                                  uint64_t lsn, struct txkv_error *err);

/* What a checkpoint carries over to LMDB, in order: what was dropped comes first. */
struct tx_catalog_delta {
    struct tx_catalog_item {
        struct tx_table_def def; /* its texts are the item's own, or an entry's */
        bool dropped, defined, renamed;
        char *name;
    } * items;
    uint32_t count;
};

/* The changes from `from` on and before `to`, as they are now. */
TX_MUST_CHECK enum txkv_rc tx_catalog_delta(struct tx_catalog *catalog, uint64_t from, uint64_t to,
                                            struct tx_catalog_delta *out, struct txkv_error *err);
void tx_catalog_delta_free(struct tx_catalog_delta *delta);

#endif /* TX_CATALOG_H */
