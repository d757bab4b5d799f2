/*
 * tree_batch.c - the checkpoint's write transaction.
 *
 * Keys of a table come in ascending order, so every table has one LMDB cursor: the next key is
 * mostly on the page where the cursor stands. Keys beyond the table's last one are appended, which
 * fills pages instead of leaving them half empty: once a key was greater than the last key that the
 * table had when the batch came to it, all that follow are. LMDB compares an appended key with the
 * last one all the same and refuses it when it is not greater. Of a key that is longer than LMDB's
 * (tree_long.h) all that is about the entry that it begins with.
 *
 * Threads: one batch at a time, from begin to commit or abort in one thread (LMDB's writer mutex).
 */
#include <errno.h>
#include <string.h>

#include "atomic.h"
#include "bytes.h"
#include "heap.h"
#include "mem.h"
#include "tree_ahead.h"
#include "tree_long.h"

/* LMDB writes pages out before it has many more. */
#define HEAP_READY_MAX (UINT64_C(448) << 20)

/* One table in a batch. */
struct writer {
    MDB_cursor *cursor;
    MDB_dbi dbi;
    uint32_t table;
    bool is_new;         /* this batch made the table */
    uint64_t old_handle; /* of its slot, when it is new */
    bool appending;      /* the keys from here on are beyond the last one */
    uint32_t last_bytes;
    uint8_t last[TX_TREE_ENTRY_BYTES]; /* LMDB's last key when the batch came to the table */
    struct tx_tree_long_writer keys;   /* of long keys */
};

struct tx_tree_batch {
    struct tx_tree *tree;
    MDB_txn *txn;
    struct tx_tree_checkpoint_value before; /* what stands in LMDB */
    bool catalog_changed;
    uint64_t expected_bytes, put_bytes;             /* of rows */
    void *heap_keep;                                /* of tx_heap_ready */
    struct writer *writers[TX_TREE_TABLES_MAX + 1]; /* by slot; NULL: not touched */
};

static void
free_batch(struct tx_tree_batch *batch)
{
    for (uint32_t slot = 0; slot <= TX_TREE_TABLES_MAX; slot++)
        tx_free(batch->writers[slot]);
    tx_heap_done(&batch->heap_keep);
    tx_free(batch);
}

static enum txkv_rc
fail_batch(const struct tx_tree_batch *batch, int e, const char *doing, bool *map_full,
           struct txkv_error *err)
{
    *map_full = e == MDB_MAP_FULL;
    return tx_tree_fail(err, e, batch->tree->dir, doing);
}

static enum txkv_rc
fail_table(const struct tx_tree_batch *batch, uint32_t table, struct txkv_error *err)
{
    if (!tx_table_possible(table))
        return tx_fail(err, TXKV_TOOBIG,
                       "%s: table number %u cannot be: a store holds no more than %u tables",
                       batch->tree->dir, table, TX_TREE_TABLES_MAX);
    return tx_fail(err, TXKV_MISUSE, "%s: table %u was not defined before it was written",
                   batch->tree->dir, table);
}

/* LMDB's transaction, in the map as it is now. */
static enum txkv_rc
begin_txn(struct tx_tree *tree, MDB_txn **txn, struct txkv_error *err)
{
    enum txkv_rc rc;
    int e, dead;

    /* Readers that died keep pages from being used again. */
    (void)mdb_reader_check(tree->env, &dead);
    while ((e = mdb_txn_begin(tree->env, NULL, 0, txn)) == MDB_MAP_RESIZED) {
        rc = tx_tree_adopt_size(tree, err);
        if (rc != TXKV_OK)
            return rc;
    }
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "beginning a checkpoint");
}

/*
 * With handles of all tables that LMDB's transaction has: reads open none while it lasts, since
 * LMDB would number theirs as it numbers the batch's new ones.
 *
 * Nobody else commits meanwhile, and still the state that reads see may be an older one than the
 * transaction's: a process that dies in LMDB's commit may have written it and not yet told readers
 * of it. The next to take LMDB's writer mutex does that (robust mutex), so one more look suffices.
 */
static enum txkv_rc
begin_known(struct tx_tree_batch *batch, struct txkv_error *err)
{
    struct tx_tree *tree = batch->tree;
    enum txkv_rc rc;

    for (;;) {
        rc = tx_tree_adopt_tables(tree, err);
        if (rc == TXKV_OK)
            rc = begin_txn(tree, &batch->txn, err);
        if (rc == TXKV_OK)
            rc = tx_tree_load_checkpoint(tree, batch->txn, &batch->before, err);
        if (rc != TXKV_OK || batch->before.catalog_lsn <= tx_load_relaxed_64(&tree->catalog_lsn))
            return rc;
        mdb_txn_abort(batch->txn);
        batch->txn = NULL;
    }
}

enum txkv_rc
tx_tree_batch_begin(struct tx_tree *tree, struct tx_tree_batch **out, struct txkv_error *err)
{
    struct tx_tree_batch *batch;
    enum txkv_rc rc;

    *out = NULL;
    if (tree->map_lost)
        return tx_tree_fail_lost(tree, err);
    batch = tx_zalloc(sizeof *batch);
    if (batch == NULL)
        return tx_fail_nomem(err);
    batch->tree = tree;
    rc = begin_known(batch, err);
    if (rc != TXKV_OK) {
        tx_tree_batch_abort(batch);
        return rc;
    }
    *out = batch;
    return TXKV_OK;
}

void
tx_tree_batch_expect(struct tx_tree_batch *batch, uint64_t bytes)
{
    batch->expected_bytes = bytes;
}

/* LMDB is about to take pages from malloc, about as many as the rows have bytes, and keeps those
 * that it has taken until it is closed. */
static void
make_pages_ready(struct tx_tree_batch *batch)
{
    struct tx_tree *tree = batch->tree;

    if (batch->expected_bytes < batch->put_bytes + TX_HEAP_STEP_BYTES ||
        tree->heap_ready_bytes > HEAP_READY_MAX)
        return;
    tx_heap_ready(&batch->heap_keep);
    tree->heap_ready_bytes += TX_HEAP_STEP_BYTES;
}

/* A writer for a table whose database is dbi. LMDB's result. */
static int
open_writer(struct tx_tree_batch *batch, uint32_t table, MDB_dbi dbi, struct writer **out)
{
    struct writer *w = tx_zalloc(sizeof *w);
    MDB_val key, value;
    int e;

    *out = w;
    if (w == NULL)
        return ENOMEM;
    w->dbi = dbi;
    w->table = table;
    batch->writers[tx_table_slot(table)] = w;
    e = mdb_cursor_open(batch->txn, dbi, &w->cursor);
    if (e != 0)
        return e;
    w->keys = (struct tx_tree_long_writer){
        .txn = batch->txn, .table_cursor = w->cursor, .dbi = batch->tree->long_dbi, .table = table
    };
    e = mdb_cursor_get(w->cursor, &key, &value, MDB_LAST);
    if (e == MDB_NOTFOUND) {
        w->appending = true;
        return 0;
    }
    if (e != 0)
        return e;
    if (key.mv_size > sizeof w->last)
        return MDB_CORRUPTED;
    w->last_bytes = (uint32_t)key.mv_size;
    memcpy(w->last, key.mv_data, key.mv_size);
    return 0;
}

/* The table's writer, or NULL with *rc. */
static struct writer *
find_writer(struct tx_tree_batch *batch, uint32_t table, enum txkv_rc *rc, bool *map_full,
            struct txkv_error *err)
{
    struct writer *w = NULL;
    uint64_t handle = 0;
    int e;

    *map_full = false;
    if (tx_table_possible(table)) {
        w = batch->writers[tx_table_slot(table)];
        if (w != NULL && w->table == table)
            return w;
        handle = tx_load_relaxed_64(&batch->tree->handles[tx_table_slot(table)]);
    }
    if (handle == 0 || w != NULL ||
        tx_tree_handle_generation(handle) != tx_table_generation(table)) {
        *rc = fail_table(batch, table, err);
        return NULL;
    }
    e = open_writer(batch, table, tx_tree_handle_dbi(handle), &w);
    if (e == 0)
        return w;
    *rc = fail_batch(batch, e, "opening a table", map_full, err);
    return NULL;
}

/* Write the table's catalog entry. LMDB's result. */
static int
put_catalog(struct tx_tree_batch *batch, const struct tx_table_def *def)
{
    uint8_t key[TX_TREE_TABLE_KEY_BYTES];
    MDB_val k = tx_tree_val(key, sizeof key), v = tx_tree_val(NULL, tx_table_def_bytes(def));
    int e;

    tx_tree_table_key(key, def->table);
    e = mdb_put(batch->txn, batch->tree->meta_dbi, &k, &v, MDB_RESERVE);
    if (e == 0)
        tx_table_def_encode(v.mv_data, def);
    return e;
}

enum txkv_rc
tx_tree_batch_define(struct tx_tree_batch *batch, const struct tx_table_def *def, bool *map_full,
                     struct txkv_error *err)
{
    char name[TX_TREE_DB_NAME_BYTES];
    struct writer *w = NULL;
    uint64_t handle;
    MDB_dbi dbi;
    int e;

    *map_full = false;
    if (!tx_table_possible(def->table))
        return fail_table(batch, def->table, err);
    handle = tx_load_relaxed_64(&batch->tree->handles[tx_table_slot(def->table)]);
    if (batch->writers[tx_table_slot(def->table)] != NULL ||
        (handle != 0 && tx_tree_handle_generation(handle) >= tx_table_generation(def->table)))
        return TXKV_OK; /* a replayed log defines its tables again */
    tx_tree_db_name(name, def->table);
    e = mdb_dbi_open(batch->txn, name, MDB_CREATE, &dbi);
    if (e == 0)
        e = put_catalog(batch, def);
    if (e == 0)
        e = open_writer(batch, def->table, dbi, &w);
    if (e != 0)
        return fail_batch(batch, e, "creating a table", map_full, err);
    w->is_new = true;
    w->old_handle = handle;
    batch->catalog_changed = true;
    return TXKV_OK;
}

enum txkv_rc
tx_tree_batch_rename(struct tx_tree_batch *batch, const struct tx_table_def *def, bool *map_full,
                     struct txkv_error *err)
{
    const int e = put_catalog(batch, def);

    *map_full = false;
    batch->catalog_changed = true;
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "renaming a table", map_full, err);
}

/* The database itself stays: the next table in the slot gets it, and reads of older states use it
 * meanwhile. */
enum txkv_rc
tx_tree_batch_drop(struct tx_tree_batch *batch, uint32_t table, bool *map_full,
                   struct txkv_error *err)
{
    const struct tx_table_def dropped = { .table = table };
    uint64_t handle;
    int e = 0;

    *map_full = false;
    if (!tx_table_possible(table))
        return fail_table(batch, table, err);
    handle = tx_load_relaxed_64(&batch->tree->handles[tx_table_slot(table)]);
    if (handle != 0 && tx_tree_handle_generation(handle) > tx_table_generation(table))
        return TXKV_OK; /* a replayed log drops its tables again */
    if (handle != 0 && tx_tree_handle_generation(handle) == tx_table_generation(table)) {
        e = mdb_drop(batch->txn, tx_tree_handle_dbi(handle), 0);
        if (e == 0)
            e = tx_tree_long_drop(batch->txn, batch->tree->long_dbi, batch->tree->meta_dbi, table);
    }
    if (e == 0)
        e = put_catalog(batch, &dropped);
    batch->catalog_changed = true;
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "dropping a table", map_full, err);
}

/* Whether a key is beyond the last one that the table had. */
static bool
is_beyond_last(const struct writer *w, const uint8_t *key, uint64_t key_bytes)
{
    const int order = memcmp(key, w->last, tx_min_u64(key_bytes, w->last_bytes));

    return order > 0 || (order == 0 && key_bytes > w->last_bytes);
}

enum txkv_rc
tx_tree_batch_put(struct tx_tree_batch *batch, uint32_t table, const uint8_t *key,
                  uint32_t key_bytes, const uint8_t *value, uint32_t value_bytes, bool *map_full,
                  struct txkv_error *err)
{
    MDB_val k = tx_tree_val(key, key_bytes), v = tx_tree_val(value, value_bytes);
    struct writer *w;
    enum txkv_rc rc = TXKV_OK;
    unsigned flags;
    int e;

    w = find_writer(batch, table, &rc, map_full, err);
    if (w == NULL)
        return rc;
    if (!w->appending)
        w->appending = is_beyond_last(w, key, tx_min_u64(key_bytes, TX_TREE_ENTRY_BYTES));
    flags = w->appending ? MDB_APPEND : 0;
    if (batch->put_bytes >= batch->tree->heap_ready_bytes)
        make_pages_ready(batch);
    batch->put_bytes += (uint64_t)key_bytes + value_bytes;
    if (key_bytes < TX_TREE_ENTRY_BYTES)
        e = mdb_cursor_put(w->cursor, &k, &v, flags);
    else
        e = tx_tree_long_put(&w->keys, (struct txkv_bytes){ key, key_bytes },
                             (struct txkv_bytes){ value, value_bytes }, flags);
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "writing", map_full, err);
}

enum txkv_rc
tx_tree_batch_delete(struct tx_tree_batch *batch, uint32_t table, const uint8_t *key,
                     uint32_t key_bytes, bool *map_full, struct txkv_error *err)
{
    MDB_val k = tx_tree_val(key, key_bytes), v;
    struct writer *w;
    enum txkv_rc rc = TXKV_OK;
    int e;

    w = find_writer(batch, table, &rc, map_full, err);
    if (w == NULL)
        return rc;
    if (w->appending)
        return TXKV_OK; /* nothing stands beyond the last key */
    if (key_bytes < TX_TREE_ENTRY_BYTES) {
        e = mdb_cursor_get(w->cursor, &k, &v, MDB_SET);
        if (e == 0)
            e = mdb_cursor_del(w->cursor, 0);
        if (e == MDB_NOTFOUND)
            e = 0;
    } else {
        e = tx_tree_long_delete(&w->keys, (struct txkv_bytes){ key, key_bytes });
    }
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "deleting", map_full, err);
}

/* Tell reads of the new tables' handles, or take them back after a commit that failed. */
static void
publish_handles(struct tx_tree_batch *batch, uint64_t txn_id, uint64_t catalog_lsn, bool visible)
{
    struct tx_tree *tree = batch->tree;

    for (uint32_t slot = 1; slot <= TX_TREE_TABLES_MAX; slot++) {
        const struct writer *w = batch->writers[slot];

        if (w == NULL || !w->is_new)
            continue;
        tx_store_release_64(&tree->handles[slot], visible ? tx_tree_handle(txn_id, w->table, w->dbi)
                                                          : w->old_handle); /* [T2] */
        if (slot > tx_load_relaxed_64(&tree->slot_max))
            tx_store_release_64(&tree->slot_max, slot);
    }
    tx_store_release_64(&tree->catalog_lsn,
                        visible ? catalog_lsn : batch->before.catalog_lsn); /* [T2] */
}

/* What a checkpoint writes beside the data. LMDB's result. */
static int
put_meta(struct tx_tree_batch *batch, const struct tx_tree_checkpoint_value *checkpoint)
{
    uint8_t bytes[TX_TREE_CHECKPOINT_BYTES];
    MDB_val k = tx_tree_val(TX_TREE_KEY_CHECKPOINT, strlen(TX_TREE_KEY_CHECKPOINT));
    MDB_val v = tx_tree_val(bytes, sizeof bytes);
    int e;

    tx_put_u64(bytes, checkpoint->lsn);
    tx_put_u64(bytes + 8, checkpoint->check);
    tx_put_u64(bytes + 16, checkpoint->catalog_lsn);
    e = mdb_put(batch->txn, batch->tree->meta_dbi, &k, &v, 0);
    for (uint32_t slot = 1; slot <= TX_TREE_TABLES_MAX && e == 0; slot++)
        if (batch->writers[slot] != NULL)
            e = tx_tree_long_count(&batch->writers[slot]->keys, batch->tree->meta_dbi);
    return e;
}

enum txkv_rc
tx_tree_batch_archive(struct tx_tree_batch *batch, const char *dir, bool *map_full,
                      struct txkv_error *err)
{
    const int e = tx_tree_put_archive(batch->txn, batch->tree->meta_dbi, dir);

    *map_full = false;
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "writing meta", map_full, err);
}

enum txkv_rc
tx_tree_batch_time(struct tx_tree_batch *batch, uint64_t ms, bool *map_full, struct txkv_error *err)
{
    uint8_t bytes[8];
    MDB_val k = tx_tree_val(TX_TREE_KEY_TIME, strlen(TX_TREE_KEY_TIME));
    MDB_val v = tx_tree_val(bytes, sizeof bytes);
    int e;

    *map_full = false;
    tx_put_u64(bytes, ms);
    e = mdb_put(batch->txn, batch->tree->meta_dbi, &k, &v, 0);
    return e == 0 ? TXKV_OK : fail_batch(batch, e, "writing meta", map_full, err);
}

enum txkv_rc
tx_tree_batch_commit(struct tx_tree_batch *batch, uint64_t checkpoint_lsn,
                     uint64_t checkpoint_check, bool *map_full, struct txkv_error *err)
{
    const uint64_t txn_id = mdb_txn_id(batch->txn);
    const struct tx_tree_checkpoint_value checkpoint = { checkpoint_lsn, checkpoint_check,
                                                         batch->catalog_changed
                                                             ? checkpoint_lsn
                                                             : batch->before.catalog_lsn };
    enum txkv_rc rc = TXKV_OK;
    int e;

    *map_full = false;
    e = put_meta(batch, &checkpoint);
    if (e != 0) {
        mdb_txn_abort(batch->txn);
    } else {
        publish_handles(batch, txn_id, checkpoint.catalog_lsn, true);
        tx_store_release_64(batch->tree->commit_txn, txn_id); /* [T3] */
        e = mdb_txn_commit(batch->txn);
        if (e != 0)
            publish_handles(batch, txn_id, checkpoint.catalog_lsn, false);
    }
    if (e != 0)
        rc = fail_batch(batch, e, "committing a checkpoint", map_full, err);
    else
        tx_tree_advise(batch->tree);
    free_batch(batch);
    return rc;
}

void
tx_tree_batch_abort(struct tx_tree_batch *batch)
{
    if (batch == NULL)
        return;
    mdb_txn_abort(batch->txn);
    free_batch(batch);
}
