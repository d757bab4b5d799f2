/*
 * tree.h - the LMDB environment that checkpoints fill and reads fall through to; the only user of
 * lmdb.h.
 *
 * One named database a table ("table-<number>"); "long", where keys that are longer than LMDB's go
 * on (tree_long.h); and "meta": format version, store id, log
 * directory, the catalog, the checkpoint LSN and the chain's value there. What stands under "meta"
 * is in docs/file-format.md.
 *
 * Threads: reads (struct tx_tree_read and its cursors) by one thread at a time each, any number of
 * them at once. One batch at a time; the caller sees to that. When a batch finds the map full, its
 * caller aborts it and lets the map grow: tx_tree_grow. Layer 4: os.h, mem.h, record.h (struct
 * tx_table_def).
 */
#ifndef TX_TREE_H
#define TX_TREE_H

#include "base.h"
#include "error.h"
#include "record.h"

/* The second one is the first with an archive: who does not know of it must not remove the log. */
#define TX_TREE_FORMAT          4u
#define TX_TREE_FORMAT_ARCHIVED 5u
#define TX_TREE_TABLES_MAX      TX_TABLE_SLOTS_MAX

struct tx_tree;
struct tx_tree_read;
struct tx_tree_cursor;
struct tx_tree_batch;

/* What meta says. */
struct tx_tree_meta {
    uint64_t store_id;         /* random, never 0 */
    uint64_t checkpoint_lsn;   /* everything before it is in LMDB */
    uint64_t checkpoint_check; /* the chain's value there */
    char *wal_dir;             /* NULL: the default; else absolute. Owned by the tree */
    char *archive_dir;         /* NULL: none; else absolute. Owned by the tree */
    uint32_t others;           /* what group and others may do with data.mdb: 0 to 077 */
};

enum tx_tree_use {
    TX_TREE_ALONE,   /* no other process has the store: create it, mend its file's length */
    TX_TREE_JOINS,   /* others have it: it exists, and the file is theirs as well */
    TX_TREE_READONLY /* no permission to write data.mdb; lock.mdb readers must be able to write */
};

/* TXKV_FORMAT, and where to go with it, for a store in dir of another format than these two. */
TX_MUST_CHECK enum txkv_rc tx_tree_check_format(const char *dir, uint32_t format,
                                                struct txkv_error *err);

/*
 * tx_tree_open -- open or create data.mdb in dir.
 *
 * map_size  of the first map, bytes; a larger existing file enlarges it.
 * wal_dir   stored when the store is created; NULL for the default. Not looked at otherwise.
 * use       what this process may do: see below.
 * A new store gets a random id and an empty catalog, synced. Opens a handle for every table of the
 * catalog. Reaps readers that died (mdb_reader_check). MDB_NOTLS, maxreaders 4096, maxdbs
 * TX_TREE_TABLES_MAX + 2, mode 0600.
 *
 * TXKV_FORMAT for an LMDB file that is not a txkv store or a store of another format (nothing is
 * changed); TXKV_CORRUPT, TXKV_CANTOPEN, TXKV_READONLY, TXKV_FULL, TXKV_IOERR, TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_open(const char *dir, uint64_t map_size, const char *wal_dir,
                                        enum tx_tree_use use, struct tx_tree **out,
                                        struct txkv_error *err);
void tx_tree_close(struct tx_tree *tree); /* all reads must be freed; NULL is allowed */

/*
 * Keep the id of the newest batch that has begun to commit [T3] at *commit_txn, which the processes
 * of the store share. Before the first read.
 */
void tx_tree_share(struct tx_tree *tree, uint64_t *commit_txn);

/* As of open; batches do not change it. Any thread. */
const struct tx_tree_meta *tx_tree_meta(const struct tx_tree *tree);

/* Calls fn with each entry of the catalog, in the order of their slots; one with an empty name is
 * that of a dropped table. *lsn: the checkpoint LSN of the state that was read. */
TX_MUST_CHECK enum txkv_rc tx_tree_catalog(struct tx_tree *tree,
                                           enum txkv_rc (*fn)(void *arg,
                                                              const struct tx_table_def *def,
                                                              struct txkv_error *err),
                                           void *arg, uint64_t *lsn, struct txkv_error *err);

/* The checkpoint LSN and the chain's value there as of now. */
TX_MUST_CHECK enum txkv_rc tx_tree_checkpoint(struct tx_tree *tree, uint64_t *lsn, uint64_t *check,
                                              struct txkv_error *err);

/* ---- reads ---- */

/* An idle read, not begun. Holds an LMDB reader slot from its first begin until it is freed. */
TX_MUST_CHECK enum txkv_rc tx_tree_read_create(struct tx_tree *tree, struct tx_tree_read **out,
                                               struct txkv_error *err);
void tx_tree_read_free(struct tx_tree_read *read); /* NULL is allowed; ends it when begun */

/*
 * tx_tree_read_begin -- begin, or renew, the LMDB read transaction; *base is the checkpoint LSN
 * inside it (read again only when the LMDB transaction id has changed). Waits while the map is
 * being grown. Tables that another process has made become known here, and so does a map that
 * another process has enlarged, for which the reads of this process must end: TXKV_BUSY after a
 * second.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_read_begin(struct tx_tree_read *read, uint64_t *base,
                                              struct txkv_error *err);
/* mdb_txn_reset; the read's cursors must be closed. */
void tx_tree_read_end(struct tx_tree_read *read);

/* value is valid until tx_tree_read_end. A table that LMDB does not have yet is empty. */
TX_MUST_CHECK enum txkv_rc tx_tree_get(struct tx_tree_read *read, uint32_t table,
                                       const uint8_t *key, uint32_t key_bytes,
                                       const uint8_t **value, uint32_t *value_bytes,
                                       struct txkv_error *err);

/* Rows of a table in LMDB: exact. And bytes of its pages there, without those of long keys. */
uint64_t tx_tree_rows(struct tx_tree_read *read, uint32_t table);
uint64_t tx_tree_bytes(struct tx_tree_read *read, uint32_t table);

/*
 * A cursor over one table within a begun read. Every step leaves the pair in *key, *value, valid
 * until tx_tree_read_end, but for a key of 511 bytes or more, which is valid until the next but one
 * step of the cursor; TXKV_NOTFOUND off either end, and from there until the next seek. NULL
 * key for seek_ge: the first pair; for seek_le: the last. Closed cursors are kept by their read for
 * the next tx_tree_cursor_open of the same table.
 */
struct tx_tree_pair {
    const uint8_t *key;
    uint32_t key_bytes; /* not beside the other one, or the two are loaded as one word too early */
    const uint8_t *value;
    uint32_t value_bytes;
};
TX_MUST_CHECK enum txkv_rc tx_tree_cursor_open(struct tx_tree_read *read, uint32_t table,
                                               struct tx_tree_cursor **out, struct txkv_error *err);
void tx_tree_cursor_close(struct tx_tree_cursor *cursor); /* before its read ends */
TX_MUST_CHECK enum txkv_rc tx_tree_cursor_seek_ge(struct tx_tree_cursor *cursor, const uint8_t *key,
                                                  uint32_t key_bytes, struct tx_tree_pair *pair,
                                                  struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_cursor_seek_le(struct tx_tree_cursor *cursor, const uint8_t *key,
                                                  uint32_t key_bytes, struct tx_tree_pair *pair,
                                                  struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_cursor_next(struct tx_tree_cursor *cursor,
                                               struct tx_tree_pair *pair, struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_cursor_prev(struct tx_tree_cursor *cursor,
                                               struct tx_tree_pair *pair, struct txkv_error *err);

/* ---- the checkpoint's batch ---- */

/*
 * One write transaction, all of it in one thread. put and delete of a table come in ascending key
 * order (a cursor makes that cheap), after define for a new table; defining a table again is
 * nothing. Any call may return TXKV_FULL with *map_full true: abort, tx_tree_grow, do it all again.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_batch_begin(struct tx_tree *tree, struct tx_tree_batch **out,
                                               struct txkv_error *err);
/* So many bytes of rows, about, are to be put. */
void tx_tree_batch_expect(struct tx_tree_batch *batch, uint64_t bytes);

TX_MUST_CHECK enum txkv_rc tx_tree_batch_define(struct tx_tree_batch *batch,
                                                const struct tx_table_def *def, bool *map_full,
                                                struct txkv_error *err);
/*
 * drop: remove the table's pairs and note in the catalog that its number was used; before any
 * other call for its slot. rename: write the catalog entry anew. Of a table that LMDB does not
 * have, or whose slot has a newer one, drop is nothing.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_batch_drop(struct tx_tree_batch *batch, uint32_t table,
                                              bool *map_full, struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_batch_rename(struct tx_tree_batch *batch,
                                                const struct tx_table_def *def, bool *map_full,
                                                struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_batch_put(struct tx_tree_batch *batch, uint32_t table,
                                             const uint8_t *key, uint32_t key_bytes,
                                             const uint8_t *value, uint32_t value_bytes,
                                             bool *map_full, struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_batch_delete(struct tx_tree_batch *batch, uint32_t table,
                                                const uint8_t *key, uint32_t key_bytes,
                                                bool *map_full, struct txkv_error *err);
/* Stores the checkpoint LSN with the data and commits, synced. Frees the batch in every case. */
TX_MUST_CHECK enum txkv_rc tx_tree_batch_commit(struct tx_tree_batch *batch,
                                                uint64_t checkpoint_lsn, uint64_t checkpoint_check,
                                                bool *map_full, struct txkv_error *err);
void tx_tree_batch_abort(struct tx_tree_batch *batch); /* NULL is allowed */

/*
 * tx_tree_grow -- double the map. LMDB allows that only while no transaction is active in the
 * process: new reads wait at a gate, and this waits up to wait_ms for the active ones to end, then
 * opens the gate again and returns TXKV_BUSY. Idle (ended) reads do not hinder it.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_grow(struct tx_tree *tree, uint32_t wait_ms,
                                        struct txkv_error *err);

/* ---- is it in order? ---- */

/*
 * tx_tree_check -- look at every page of data.mdb as it is now, beside readers and checkpoints,
 * without LMDB. Problems are not an error; *unreadable: how many of them are reads that failed.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_check(struct tx_tree *tree, struct txkv_pages_report *report,
                                         uint64_t *unreadable, struct txkv_error *err);

/* ---- a copy ---- */

/* What tx_tree_copy tells meanwhile, in its caller's thread. */
struct tx_tree_copy_watch {
    /* Once, in every case: the copy has its state, and what is committed from now on is not in it.
     */
    void (*begun)(void *arg);
    void (*written)(void *arg, uint64_t bytes); /* so many so far */
    void *arg;
};

/*
 * tx_tree_copy -- write all of LMDB but its free pages to a new file, synced; its name is not.
 *
 * read   begun, and not ended meanwhile: it keeps the map from growing.
 * watch  the copy has the state of `read` when no batch commits between the begin of `read` and
 *        watch->begun; the caller sees to that.
 * bytes  out: of the file.
 *
 * TXKV_IOERR and TXKV_FULL leave a part of the file; TXKV_CORRUPT, TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_copy(struct tx_tree_read *read, const char *path,
                                        const struct tx_tree_copy_watch *watch, uint64_t *bytes,
                                        struct txkv_error *err);

/* Make the default place the log's in a store that nobody else has open, and give its archive up,
 * but as a note (struct tx_tree_archive); tx_tree_meta keeps what it said. */
TX_MUST_CHECK enum txkv_rc tx_tree_stand_alone(struct tx_tree *tree, struct txkv_error *err);

/* The memory that this process may use, in bytes, when data.mdb takes more than half of it; else 0.
 * Threads: any. */
uint64_t tx_tree_scarce_memory(const struct tx_tree *tree);

/* What tx_tree_become makes of a store. */
struct tx_tree_identity {
    uint64_t store_id; /* 0: a new one */
    uint64_t lsn;
    const char *wal_dir;     /* NULL: the default */
    const char *archive_dir; /* NULL: none */
};

/*
 * tx_tree_become -- give a store that nobody else has open, and that has no log, another id and
 * another place in the log, and say where its log will be, and its archive; tx_tree_meta keeps what
 * it said.
 */
TX_MUST_CHECK enum txkv_rc tx_tree_become(struct tx_tree *tree,
                                          const struct tx_tree_identity *identity,
                                          struct txkv_error *err);

/* ---- the archive, and the time ---- */

/* What stands in LMDB now; tx_tree_archive_free in every case. */
struct tx_tree_archive {
    char *dir;   /* where removed files of the log are kept: absolute; NULL: nowhere */
    char *was;   /* in a backup: the same of its source */
    uint64_t ms; /* the newest time in the log before the checkpoint LSN; 0: not known */
};
TX_MUST_CHECK enum txkv_rc tx_tree_archive(struct tx_tree *tree, struct tx_tree_archive *out,
                                           struct txkv_error *err);
void tx_tree_archive_free(struct tx_tree_archive *archive);

/* In a batch: where the archive is from now on, NULL for nowhere; that time. */
TX_MUST_CHECK enum txkv_rc tx_tree_batch_archive(struct tx_tree_batch *batch, const char *dir,
                                                 bool *map_full, struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_tree_batch_time(struct tx_tree_batch *batch, uint64_t ms,
                                              bool *map_full, struct txkv_error *err);

struct tx_tree_stats {
    uint64_t map_bytes, used_bytes; /* used: up to the last page in use */
    uint64_t readers;               /* reads that exist */
};
/* Any thread; waits while the map is being grown. */
void tx_tree_stats(struct tx_tree *tree, struct tx_tree_stats *stats);

#endif /* TX_TREE_H */
