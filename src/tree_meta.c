/*
 * tree_meta.c - what stands in data.mdb: the "meta" database, the catalog, a new store's contents.
 *
 * data.mdb holds one named database a table, "table-<slot>" in decimal, whose pairs are the
 * table's keys and values as they are, as far as LMDB's keys are long enough; one named "long" for
 * the rest of longer ones (tree_long.h); and one named "meta". Integers under "meta" are
 * little-endian, its keys are these bytes without a NUL:
 *
 *   key                     value
 *   "format"                 4 bytes: TX_TREE_FORMAT, or TX_TREE_FORMAT_ARCHIVED with "archive_dir"
 *   "store_id"               8 bytes: random, not 0
 *   "checkpoint"            24 bytes: the checkpoint LSN (8), the log chain's value there (8), the
 *                           checkpoint LSN when the catalog was last changed (8)
 *   "wal_dir"               the log's absolute directory, without a NUL; absent: the default
 *   "archive_dir", "archived_in", "time"    tree_archive.c
 *   "table/" and 4 bytes    catalog entry, encoded as the body of a TX_RECORD_TABLE (record.h). The
 *                           4 bytes are the table's slot, big-endian, so that the entries stand
 *                           in its order. Of a dropped table, until the slot is used again: name
 *                           and shape are empty
 *   "extra/" and 4 bytes    8 bytes: how many more keys the table, whose number the 4 bytes are,
 *                           big-endian, has than its database has pairs; absent for none
 *
 * All of it is written in one synced transaction when the store is created; after that a checkpoint
 * writes "checkpoint", changed catalog entries and the tables in one transaction.
 *
 * LMDB without "meta" and without anything else is what a crash while creating leaves: it is taken
 * as new. Without "meta" but with data it is somebody else's, and is not written.
 *
 * Threads: any; nothing here is changed after open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "atomic.h"
#include "bytes.h"
#include "mem.h"
#include "tree_long.h"

static const char table_prefix[] = "table/";
static const char long_name[] = "long";

static_assert(sizeof table_prefix - 1 + 4 == TX_TREE_TABLE_KEY_BYTES, "key of a catalog entry");

/* ---- meta ---- */

void
tx_tree_table_key(uint8_t key[TX_TREE_TABLE_KEY_BYTES], uint32_t table)
{
    memcpy(key, table_prefix, sizeof table_prefix - 1);
    for (int i = 0; i < 4; i++)
        key[sizeof table_prefix - 1 + (size_t)i] = (uint8_t)(tx_table_slot(table) >> (24 - 8 * i));
}

void
tx_tree_db_name(char name[TX_TREE_DB_NAME_BYTES], uint32_t table)
{
    (void)snprintf(name, TX_TREE_DB_NAME_BYTES, "table-%" PRIu32, tx_table_slot(table));
}

static enum txkv_rc
fail_meta(const struct tx_tree *tree, const char *what, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT, "%s/data.mdb: %s is damaged; restore the store from a backup",
                   tree->dir, what);
}

/* The value under a key of "meta"; TXKV_NOTFOUND without a message when it is absent. */
static enum txkv_rc
get_meta(const struct tx_tree *tree, MDB_txn *txn, const char *key, MDB_val *value,
         struct txkv_error *err)
{
    MDB_val k = tx_tree_val(key, strlen(key));
    const int e = mdb_get(txn, tree->meta_dbi, &k, value);

    if (e == MDB_NOTFOUND)
        return TXKV_NOTFOUND;
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "reading meta");
}

/* The value of a key that must be there with that many bytes. */
static enum txkv_rc
need_meta(const struct tx_tree *tree, MDB_txn *txn, const char *key, size_t bytes,
          const uint8_t **out, struct txkv_error *err)
{
    MDB_val value = { 0, NULL };
    const enum txkv_rc rc = get_meta(tree, txn, key, &value, err);

    *out = value.mv_data;
    if (rc == TXKV_NOTFOUND || (rc == TXKV_OK && value.mv_size != bytes))
        return fail_meta(tree, key, err);
    return rc;
}

enum txkv_rc
tx_tree_meta_text(const struct tx_tree *tree, MDB_txn *txn, const char *key, char **out,
                  struct txkv_error *err)
{
    MDB_val value;
    const enum txkv_rc rc = get_meta(tree, txn, key, &value, err);

    *out = NULL;
    if (rc != TXKV_OK)
        return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
    *out = tx_zalloc(value.mv_size + 1);
    if (*out == NULL)
        return tx_fail_nomem(err);
    memcpy(*out, value.mv_data, value.mv_size);
    return TXKV_OK;
}

enum txkv_rc
tx_tree_load_checkpoint(const struct tx_tree *tree, MDB_txn *txn,
                        struct tx_tree_checkpoint_value *out, struct txkv_error *err)
{
    const uint8_t *p;
    const enum txkv_rc rc =
        need_meta(tree, txn, TX_TREE_KEY_CHECKPOINT, TX_TREE_CHECKPOINT_BYTES, &p, err);

    *out = (struct tx_tree_checkpoint_value){ 0 };
    if (rc != TXKV_OK)
        return rc;
    out->lsn = tx_get_u64(p);
    out->check = tx_get_u64(p + 8);
    out->catalog_lsn = tx_get_u64(p + 16);
    return TXKV_OK;
}

enum txkv_rc
tx_tree_check_format(const char *dir, uint32_t format, struct txkv_error *err)
{
    if (format == TX_TREE_FORMAT || format == TX_TREE_FORMAT_ARCHIVED)
        return TXKV_OK;
    if (format > TX_TREE_FORMAT_ARCHIVED)
        return tx_fail(err, TXKV_FORMAT,
                       "%s is a store of format %" PRIu32 ", and this txkv reads formats %u and "
                       "%u: open it with the txkv that made it",
                       dir, format, TX_TREE_FORMAT, TX_TREE_FORMAT_ARCHIVED);
    return tx_fail(err, TXKV_FORMAT,
                   "%s is a store of format %" PRIu32 ", and this txkv reads formats %u and %u: "
                   "export its tables with the txkv that made it (txkv_export), and import them "
                   "into a new store (txkv_import)",
                   dir, format, TX_TREE_FORMAT, TX_TREE_FORMAT_ARCHIVED);
}

static enum txkv_rc
check_format(struct tx_tree *tree, MDB_txn *txn, struct txkv_error *err)
{
    MDB_val value;
    const enum txkv_rc rc = get_meta(tree, txn, TX_TREE_KEY_FORMAT, &value, err);

    if (rc == TXKV_NOTFOUND || (rc == TXKV_OK && value.mv_size != 4))
        return tx_tree_fail(err, MDB_INVALID, tree->dir, "reading meta");
    if (rc != TXKV_OK)
        return rc;
    return tx_tree_check_format(tree->dir, tx_get_u32(value.mv_data), err);
}

static enum txkv_rc
load_meta(struct tx_tree *tree, MDB_txn *txn, struct txkv_error *err)
{
    struct tx_tree_checkpoint_value checkpoint;
    const uint8_t *id;
    enum txkv_rc rc;

    rc = check_format(tree, txn, err);
    if (rc == TXKV_OK)
        rc = need_meta(tree, txn, "store_id", 8, &id, err);
    if (rc != TXKV_OK)
        return rc;
    tree->meta.store_id = tx_get_u64(id);
    if (tree->meta.store_id == 0)
        return fail_meta(tree, "store_id", err);
    rc = tx_tree_load_checkpoint(tree, txn, &checkpoint, err);
    if (rc != TXKV_OK)
        return rc;
    tree->meta.checkpoint_lsn = checkpoint.lsn;
    tree->meta.checkpoint_check = checkpoint.check;
    tree->catalog_lsn = checkpoint.catalog_lsn;
    rc = tx_tree_meta_text(tree, txn, "wal_dir", &tree->meta.wal_dir, err);
    return rc == TXKV_OK
               ? tx_tree_meta_text(tree, txn, TX_TREE_KEY_ARCHIVE, &tree->meta.archive_dir, err)
               : rc;
}

/* ---- catalog ---- */

typedef enum txkv_rc visit_table(void *arg, const struct tx_table_def *def, struct txkv_error *err);

/* The table of a catalog entry; TXKV_NOTFOUND when the key is no longer one of the catalog. */
static enum txkv_rc
read_entry(const struct tx_tree *tree, const MDB_val *k, const MDB_val *v, struct tx_table_def *def,
           struct txkv_error *err)
{
    uint8_t key[TX_TREE_TABLE_KEY_BYTES];

    if (k->mv_size < sizeof table_prefix - 1 ||
        memcmp(k->mv_data, table_prefix, sizeof table_prefix - 1) != 0)
        return TXKV_NOTFOUND;
    if (v->mv_size > UINT32_MAX ||
        tx_table_entry_decode(v->mv_data, (uint32_t)v->mv_size, def) != TXKV_OK ||
        !tx_table_possible(def->table))
        return fail_meta(tree, "the catalog", err);
    tx_tree_table_key(key, def->table);
    if (k->mv_size != sizeof key || memcmp(k->mv_data, key, sizeof key) != 0)
        return fail_meta(tree, "the catalog", err);
    return TXKV_OK;
}

static enum txkv_rc
walk_catalog(const struct tx_tree *tree, MDB_txn *txn, visit_table *fn, void *arg,
             struct txkv_error *err)
{
    MDB_val k = tx_tree_val(table_prefix, sizeof table_prefix - 1), v;
    enum txkv_rc rc = TXKV_OK;
    struct tx_table_def def = { 0 };
    MDB_cursor *cursor;
    int e;

    e = mdb_cursor_open(txn, tree->meta_dbi, &cursor);
    if (e != 0)
        return tx_tree_fail(err, e, tree->dir, "reading the catalog");
    for (e = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); e == 0 && rc == TXKV_OK;
         e = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        rc = read_entry(tree, &k, &v, &def, err);
        if (rc == TXKV_OK)
            rc = fn(arg, &def, err);
    }
    mdb_cursor_close(cursor);
    if (rc != TXKV_OK)
        return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
    return e == MDB_NOTFOUND ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "reading the catalog");
}

struct open_handles {
    struct tx_tree *tree;
    MDB_txn *txn;
    uint64_t txn_id; /* which the handles are marked with */
};

static enum txkv_rc
open_handle(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    const struct open_handles *o = arg;
    const uint32_t slot = tx_table_slot(def->table);
    uint64_t *handle = &o->tree->handles[slot];
    const uint64_t known = tx_load_relaxed_64(handle);
    char name[TX_TREE_DB_NAME_BYTES];
    MDB_dbi dbi;
    int e;

    if (known != 0 && tx_tree_handle_generation(known) >= tx_table_generation(def->table))
        return TXKV_OK;
    tx_tree_db_name(name, def->table);
    e = mdb_dbi_open(o->txn, name, 0, &dbi);
    if (e == MDB_NOTFOUND && def->name_bytes == 0)
        return TXKV_OK; /* it was dropped before LMDB ever had it */
    if (e == MDB_NOTFOUND)
        return fail_meta(o->tree, "the catalog (a table of it is missing)", err);
    if (e != 0)
        return tx_tree_fail(err, e, o->tree->dir, "opening a table");
    tx_store_release_64(handle, tx_tree_handle(o->txn_id, def->table, dbi)); /* [T2] */
    if (slot > tx_load_relaxed_64(&o->tree->slot_max))
        tx_store_release_64(&o->tree->slot_max, slot);
    return TXKV_OK;
}

/*
 * A read that has begun at a state with these tables knows them already, or has loaded an older
 * catalog_lsn before it began, and looks again; one that has begun at an older state has a smaller
 * id. So marking the handles with this transaction's id hides them from nobody and shows them to
 * nobody too early.
 *
 * Under the lock. *resized: nothing was done, another process has enlarged the map.
 */
static enum txkv_rc
open_new_handles(struct tx_tree *tree, bool *resized, struct txkv_error *err)
{
    struct open_handles arg = { .tree = tree };
    struct tx_tree_checkpoint_value checkpoint;
    enum txkv_rc rc;
    int e;

    *resized = false;
    if (tree->map_lost)
        return tx_tree_fail_lost(tree, err);
    while ((e = mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &arg.txn)) == 0) {
        arg.txn_id = mdb_txn_id(arg.txn);
        if (tx_load_acquire_64(tree->commit_txn) <= arg.txn_id + 1) /* [T3] */
            break;
        mdb_txn_abort(arg.txn);
    }
    *resized = e == MDB_MAP_RESIZED;
    if (e != 0)
        return *resized ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "looking for new tables");
    rc = walk_catalog(tree, arg.txn, open_handle, &arg, err);
    if (rc == TXKV_OK)
        rc = tx_tree_load_checkpoint(tree, arg.txn, &checkpoint, err);
    if (rc == TXKV_OK && checkpoint.catalog_lsn > tx_load_relaxed_64(&tree->catalog_lsn))
        tx_store_release_64(&tree->catalog_lsn, checkpoint.catalog_lsn); /* [T2] */
    (void)mdb_txn_commit(arg.txn); /* keeps the handles; of a read it cannot fail */
    return rc;
}

enum txkv_rc
tx_tree_adopt_tables(struct tx_tree *tree, struct txkv_error *err)
{
    enum txkv_rc rc;
    bool resized;

    do {
        (void)pthread_mutex_lock(&tree->lock);
        rc = open_new_handles(tree, &resized, err);
        (void)pthread_mutex_unlock(&tree->lock);
        if (resized)
            rc = tx_tree_adopt_size(tree, err);
    } while (rc == TXKV_OK && resized);
    return rc;
}

enum txkv_rc
tx_tree_catalog(struct tx_tree *tree,
                enum txkv_rc (*fn)(void *arg, const struct tx_table_def *def,
                                   struct txkv_error *err),
                void *arg, uint64_t *lsn, struct txkv_error *err)
{
    struct tx_tree_read *read;
    enum txkv_rc rc;

    rc = tx_tree_read_create(tree, &read, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_read_begin(read, lsn, err);
    if (rc == TXKV_OK)
        rc = walk_catalog(tree, read->txn, fn, arg, err);
    tx_tree_read_free(read);
    return rc;
}

enum txkv_rc
tx_tree_checkpoint(struct tx_tree *tree, uint64_t *lsn, uint64_t *check, struct txkv_error *err)
{
    struct tx_tree_checkpoint_value checkpoint = { 0 };
    struct tx_tree_read *read;
    enum txkv_rc rc;

    rc = tx_tree_read_create(tree, &read, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_read_begin(read, lsn, err);
    if (rc == TXKV_OK)
        rc = tx_tree_load_checkpoint(tree, read->txn, &checkpoint, err);
    *lsn = checkpoint.lsn;
    *check = checkpoint.check;
    tx_tree_read_free(read);
    return rc;
}

/* Read meta and open the tables within txn; *is_new: LMDB is empty. */
static enum txkv_rc
load_store_in(struct tx_tree *tree, MDB_txn *txn, bool *is_new, struct txkv_error *err)
{
    struct open_handles arg = { tree, txn, 0 };
    MDB_stat stat;
    enum txkv_rc rc;
    int e;

    *is_new = false;
    e = mdb_dbi_open(txn, NULL, 0, &tree->main_dbi);
    if (e == 0)
        e = mdb_dbi_open(txn, "meta", 0, &tree->meta_dbi);
    if (e == 0) {
        rc = load_meta(tree, txn, err);
        if (rc == TXKV_OK && (e = mdb_dbi_open(txn, long_name, 0, &tree->long_dbi)) != 0)
            rc = e == MDB_NOTFOUND ? fail_meta(tree, "the database of long keys", err)
                                   : tx_tree_fail(err, e, tree->dir, "opening long keys");
        return rc == TXKV_OK ? walk_catalog(tree, txn, open_handle, &arg, err) : rc;
    }
    if (e != MDB_NOTFOUND)
        return tx_tree_fail(err, e, tree->dir, "reading meta");
    e = mdb_stat(txn, tree->main_dbi, &stat);
    if (e == 0 && stat.ms_entries > 0)
        e = MDB_INVALID; /* other program's data */
    *is_new = e == 0;
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "reading meta");
}

enum txkv_rc
tx_tree_load(struct tx_tree *tree, bool *is_new, struct txkv_error *err)
{
    MDB_txn *txn;
    enum txkv_rc rc;
    int e;

    e = mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn);
    if (e != 0)
        return tx_tree_fail(err, e, tree->dir, "reading meta");
    rc = load_store_in(tree, txn, is_new, err);
    if (rc != TXKV_OK) {
        mdb_txn_abort(txn);
        return rc;
    }
    e = mdb_txn_commit(txn); /* keeps the handles */
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "reading meta");
}

static int
put_meta(MDB_txn *txn, MDB_dbi dbi, const char *key, const void *value, size_t bytes)
{
    MDB_val k = tx_tree_val(key, strlen(key)), v = tx_tree_val(value, bytes);

    return mdb_put(txn, dbi, &k, &v, 0);
}

/* Write a new store's meta. LMDB's result. */
static int
put_new_meta(MDB_txn *txn, uint64_t store_id, const char *wal_dir)
{
    const uint8_t checkpoint[TX_TREE_CHECKPOINT_BYTES] = { 0 };
    uint8_t format[4], id[8];
    MDB_dbi dbi;
    int e;

    tx_put_u32(format, TX_TREE_FORMAT);
    tx_put_u64(id, store_id);
    e = mdb_dbi_open(txn, long_name, MDB_CREATE, &dbi);
    if (e == 0)
        e = mdb_dbi_open(txn, "meta", MDB_CREATE, &dbi);
    if (e == 0)
        e = put_meta(txn, dbi, TX_TREE_KEY_FORMAT, format, sizeof format);
    if (e == 0)
        e = put_meta(txn, dbi, "store_id", id, sizeof id);
    if (e == 0)
        e = put_meta(txn, dbi, TX_TREE_KEY_CHECKPOINT, checkpoint, sizeof checkpoint);
    if (e == 0 && wal_dir != NULL)
        e = put_meta(txn, dbi, "wal_dir", wal_dir, strlen(wal_dir));
    return e;
}

enum txkv_rc
tx_tree_put_meta(MDB_env *env, const char *dir, const char *wal_dir, struct txkv_error *err)
{
    uint64_t store_id;
    MDB_txn *txn;
    enum txkv_rc rc = tx_tree_new_id(dir, &store_id, err);
    int e;

    if (rc != TXKV_OK)
        return rc;
    e = mdb_txn_begin(env, NULL, 0, &txn);
    if (e == 0) {
        e = put_new_meta(txn, store_id, wal_dir);
        if (e == 0)
            e = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, dir, "creating the store");
}
