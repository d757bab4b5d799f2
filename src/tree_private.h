/*
 * tree_private.h - what the files tree*.c share.
 *
 * Layer 4: the only header that includes lmdb.h.
 */
#ifndef TX_TREE_PRIVATE_H
#define TX_TREE_PRIVATE_H

#include <lmdb.h>
#include <pthread.h>

#include "pages_private.h"
#include "tree.h"
#include "tree_step.h"

/* Keys of the "meta" database; tree_meta.c says what stands under them. */
#define TX_TREE_KEY_CHECKPOINT   "checkpoint"
#define TX_TREE_KEY_FORMAT       "format"
#define TX_TREE_KEY_ARCHIVE      "archive_dir"
#define TX_TREE_KEY_ARCHIVED_IN  "archived_in"
#define TX_TREE_KEY_TIME         "time"
#define TX_TREE_CHECKPOINT_BYTES 24u
#define TX_TREE_TABLE_KEY_BYTES  10u /* "table/" and the number */
#define TX_TREE_DB_NAME_BYTES    20u /* "table-1000", with room */
#define TX_TREE_DBI_BITS         10u
#define TX_TREE_GENERATION_BITS  14u
/* Named databases that are no table's: "meta" and "long". */
#define TX_TREE_OWN_DBS 2u

static_assert(1u << TX_TREE_GENERATION_BITS == TX_TABLE_GENERATIONS_MAX, "they fit");

/* What stands under TX_TREE_KEY_CHECKPOINT. */
struct tx_tree_checkpoint_value {
    uint64_t lsn, check;
    uint64_t catalog_lsn; /* the checkpoint that changed the catalog last */
};

struct tx_tree {
    /* Fixed after open. */
    MDB_env *env;
    char *dir;
    bool known_pages;      /* LMDB's are as pages_private.h says */
    uint64_t memory_bytes; /* tx_os_memory_limit */
    MDB_dbi main_dbi, meta_dbi, long_dbi;
    struct tx_tree_meta meta;
    uint64_t heap_ready_bytes; /* the batch's thread: memory made ready for LMDB's pages, in all */

    /*
     * By slot: the transaction that made the table in it, the table's generation, and LMDB's handle
     * of the slot's database (tx_tree_handle); 0 without a database. The batch's thread writes,
     * just before it commits; reads load it after they have begun [T2].
     */
    uint64_t handles[TX_TREE_TABLES_MAX + 1];
    uint64_t slot_max; /* the highest slot in handles; grows only */
    /* The handles are those of a catalog that was last changed by this checkpoint. Stored after
     * them, with release [T2]. */
    uint64_t catalog_lsn;

    /* The gate. tx_tree_grow writes it, reads load it after they have raised their flag [T1]. */
    uint32_t growing TX_ALIGNED;
    /* LMDB's id of the newest batch, of whatever process, that has begun to commit. Its thread
     * writes, reads load [T3]. Points at own_commit_txn while there are no other processes. */
    uint64_t *commit_txn;
    uint64_t own_commit_txn;

    /* Held over a transaction that opens handles, since LMDB allows one at a time, and all the time
     * that the map is being made anew: the one looks into the map without going through the gate.
     */
    pthread_mutex_t lock;
    /* Under lock. */
    struct tx_tree_read *reads; /* all that exist */
    uint64_t read_count;
    uint64_t map_moves; /* how often the map was made anew; reads load it [T1] */
    bool map_lost;      /* the file could not be mapped again: the gate stays closed */

    /* tree_ahead.h. Any thread [relaxed]. */
    uint32_t scarce;    /* the file takes more than half of the memory */
    uint64_t copies;    /* that read the whole map from one end to the other */
    uint32_t scattered; /* the map is read page by page; changed under lock */
    bool sees_memory; /* fixed after open: the kernel tells which pages are in memory, mincore(2) */
    /* A bit for each block of pages: walks have been there. NULL: that is not kept. Replaced with
     * the map [T1]. */
    uint64_t *visited;
};

enum { TX_TREE_ROOTS = 8 };

struct tx_tree_read {
    /* Its thread writes, tx_tree_grow reads [T1]: 1 while it may look at the map. */
    uint32_t active TX_ALIGNED;
    struct tx_tree *tree;
    MDB_txn *txn;    /* NULL before the first begin */
    uint64_t txn_id; /* LMDB's, of the last begin; 0 before */
    uint64_t base;   /* the checkpoint LSN in that transaction */
    uint64_t begins; /* how often it has begun */
    /* What walks begin with, known for one transaction and one place of the map: tree_walk.h. */
    const uint8_t *map; /* NULL: not known */
    uint64_t map_pages, map_txn, map_moves;
    struct tx_tree_root {
        uint64_t page;
        uint32_t table, depth;   /* table 0: none */
    } roots[TX_TREE_ROOTS];      /* by the table's number, the one that was asked for last */
    struct tx_tree_cursor *kept; /* closed cursors */
    struct tx_tree_read *prev, *next;
};

/* Leaf pages that a cursor visits follow each other in the file in a few ascending runs, which take
 * turns where pages have been split or written anew: tree_ahead.h. */
struct tx_tree_run {
    const uint8_t *page;  /* visited last */
    const uint8_t *asked; /* the kernel has been asked to read up to here, or down to here */
    uint32_t pages;       /* to ask for beyond `page` */
};
enum { TX_TREE_RUNS = 4 };

struct tx_tree_cursor {
    struct tx_tree_read *read;
    struct tx_tree_cursor *next; /* among the kept ones */
    uint64_t renewed;            /* the read's `begins` for which it was opened last */
    uint32_t table;
    bool placed;                           /* false before a seek and off either end */
    bool walks;                            /* it reads LMDB's pages itself: */
    struct tx_tree_walk walk;              /* here */
    MDB_cursor *mdb;                       /* or LMDB does; NULL while it does not have the table */
    struct tx_tree_run runs[TX_TREE_RUNS]; /* the one visited last first */
    uint32_t depth;                        /* of its key, in nodes: tree_long.h; 0 for short keys */
    struct tx_tree_path *path;             /* NULL before the first long key */
};

/* TXKV_CORRUPT for a data.mdb in dir that would lead LMDB astray. Before LMDB opens it, where
 * nobody else has it. TXKV_IOERR, TXKV_NOMEM. */
TX_MUST_CHECK enum txkv_rc tx_tree_look(const char *dir, struct txkv_error *err);

/* The sentence and the code for LMDB's result `e` of `doing` ("reading", say) in `dir`. */
enum txkv_rc tx_tree_fail(struct txkv_error *err, int e, const char *dir, const char *doing);

/* TXKV_IOERR: the file is no longer mapped. */
enum txkv_rc tx_tree_fail_lost(const struct tx_tree *tree, struct txkv_error *err);

/* The checkpoint's LSN, chain value and catalog as a transaction sees them. */
TX_MUST_CHECK enum txkv_rc tx_tree_load_checkpoint(const struct tx_tree *tree, MDB_txn *txn,
                                                   struct tx_tree_checkpoint_value *out,
                                                   struct txkv_error *err);

/*
 * Read meta and open a handle for every table of the catalog; *is_new: LMDB is empty, and nothing
 * was read. TXKV_FORMAT, TXKV_CORRUPT.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_load(struct tx_tree *tree, bool *is_new, struct txkv_error *err);

/* Open the handles of tables that another process has made. Takes over a larger map, too. */
TX_MUST_CHECK enum txkv_rc tx_tree_adopt_tables(struct tx_tree *tree, struct txkv_error *err);

/* Take over the size to which another process has enlarged the map, unless another thread has done
 * it; otherwise as tx_tree_grow, with a second of waiting. */
TX_MUST_CHECK enum txkv_rc tx_tree_adopt_size(struct tx_tree *tree, struct txkv_error *err);

/* A text under a key of "meta", in new memory; NULL: it is absent. */
TX_MUST_CHECK enum txkv_rc tx_tree_meta_text(const struct tx_tree *tree, MDB_txn *txn,
                                             const char *key, char **out, struct txkv_error *err);

/* Write where the archive is, NULL for none, and the format that fits. LMDB's result. */
int tx_tree_put_archive(MDB_txn *txn, MDB_dbi meta_dbi, const char *dir);

/* A random store id. */
TX_MUST_CHECK enum txkv_rc tx_tree_new_id(const char *dir, uint64_t *id, struct txkv_error *err);

/* Write a new store's meta into an empty environment, synced. */
TX_MUST_CHECK enum txkv_rc tx_tree_put_meta(MDB_env *env, const char *dir, const char *wal_dir,
                                            struct txkv_error *err);

/* The meta key of the catalog entry of a table's slot, and the name of the slot's database. */
void tx_tree_table_key(uint8_t key[TX_TREE_TABLE_KEY_BYTES], uint32_t table);
void tx_tree_db_name(char name[TX_TREE_DB_NAME_BYTES], uint32_t table);

static inline uint64_t
tx_tree_handle(uint64_t txn_id, uint32_t number, MDB_dbi dbi)
{
    assert(dbi < 1u << TX_TREE_DBI_BITS);
    return (txn_id << TX_TREE_GENERATION_BITS | tx_table_generation(number)) << TX_TREE_DBI_BITS |
           dbi;
}

static inline uint64_t
tx_tree_handle_txn(uint64_t handle)
{
    return handle >> (TX_TREE_GENERATION_BITS + TX_TREE_DBI_BITS);
}

static inline uint32_t
tx_tree_handle_generation(uint64_t handle)
{
    return (uint32_t)(handle >> TX_TREE_DBI_BITS) & (TX_TABLE_GENERATIONS_MAX - 1);
}

static inline MDB_dbi
tx_tree_handle_dbi(uint64_t handle)
{
    return (MDB_dbi)(handle & ((1u << TX_TREE_DBI_BITS) - 1));
}

/* The handle of a table that the read can see, or 0. */
uint64_t tx_tree_visible_handle(const struct tx_tree_read *read, uint32_t table);

/* LMDB's parameters are not const, and what they point at is never written. */
static inline MDB_val
tx_tree_val(const void *data, size_t bytes)
{
    MDB_val v = { bytes, (void *)(uintptr_t)data };

    return v;
}

static inline struct tx_tree_pair
tx_tree_pair_of(const MDB_val *key, const MDB_val *value)
{
    return (struct tx_tree_pair){ key->mv_data, (uint32_t)key->mv_size, value->mv_data,
                                  (uint32_t)value->mv_size };
}

#endif /* TX_TREE_PRIVATE_H */
