/*
 * tree_archive.c - what data.mdb says about the log's archive; who a store is.
 *
 *   key of "meta"    value
 *   "archive_dir"    the absolute directory that keeps the log's files, without a NUL; absent: none
 *   "archived_in"    the same of a backup's source when the backup was made: where its restore
 * looks "time"           8 bytes: the newest time in the log before the checkpoint LSN,
 * milliseconds since 1970
 *
 * With "archive_dir" the format is TX_TREE_FORMAT_ARCHIVED, so that a txkv that knows nothing of
 * archives removes no file that is not in one yet.
 *
 * Threads: tree.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "bytes.h"
#include "mem.h"
#include "tree_private.h"

static int
put(MDB_txn *txn, MDB_dbi dbi, const char *key, const void *value, size_t bytes)
{
    MDB_val k = tx_tree_val(key, strlen(key)), v = tx_tree_val(value, bytes);

    return mdb_put(txn, dbi, &k, &v, 0);
}

/* A text, or with NULL nothing. */
static int
put_text(MDB_txn *txn, MDB_dbi dbi, const char *key, const char *text)
{
    MDB_val k = tx_tree_val(key, strlen(key));
    int e;

    if (text != NULL)
        return put(txn, dbi, key, text, strlen(text));
    e = mdb_del(txn, dbi, &k, NULL);
    return e == MDB_NOTFOUND ? 0 : e;
}

int
tx_tree_put_archive(MDB_txn *txn, MDB_dbi meta_dbi, const char *dir)
{
    uint8_t format[4];
    int e = put_text(txn, meta_dbi, TX_TREE_KEY_ARCHIVE, dir);

    tx_put_u32(format, dir == NULL ? TX_TREE_FORMAT : TX_TREE_FORMAT_ARCHIVED);
    return e == 0 ? put(txn, meta_dbi, TX_TREE_KEY_FORMAT, format, sizeof format) : e;
}

static enum txkv_rc
load_time(const struct tx_tree *tree, MDB_txn *txn, uint64_t *ms, struct txkv_error *err)
{
    MDB_val k = tx_tree_val(TX_TREE_KEY_TIME, strlen(TX_TREE_KEY_TIME)), v;
    const int e = mdb_get(txn, tree->meta_dbi, &k, &v);

    if (e == 0 && v.mv_size == 8)
        *ms = tx_get_u64(v.mv_data);
    return e == 0 || e == MDB_NOTFOUND ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "reading meta");
}

enum txkv_rc
tx_tree_archive(struct tx_tree *tree, struct tx_tree_archive *out, struct txkv_error *err)
{
    struct tx_tree_read *read;
    uint64_t lsn;
    enum txkv_rc rc = tx_tree_read_create(tree, &read, err);

    *out = (struct tx_tree_archive){ .dir = NULL };
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_read_begin(read, &lsn, err);
    if (rc == TXKV_OK)
        rc = tx_tree_meta_text(tree, read->txn, TX_TREE_KEY_ARCHIVE, &out->dir, err);
    if (rc == TXKV_OK)
        rc = tx_tree_meta_text(tree, read->txn, TX_TREE_KEY_ARCHIVED_IN, &out->was, err);
    if (rc == TXKV_OK)
        rc = load_time(tree, read->txn, &out->ms, err);
    tx_tree_read_free(read);
    return rc;
}

void
tx_tree_archive_free(struct tx_tree_archive *archive)
{
    tx_free(archive->dir);
    tx_free(archive->was);
    *archive = (struct tx_tree_archive){ .dir = NULL };
}

/* ---- who a store is ---- */

enum txkv_rc
tx_tree_new_id(const char *dir, uint64_t *id, struct txkv_error *err)
{
    *id = 0;
    while (*id == 0)
        if (getrandom(id, sizeof *id, 0) != (ssize_t)sizeof *id && errno != EINTR)
            return tx_fail_errno(err, errno, "%s: no random store id", dir);
    return TXKV_OK;
}

/* End a transaction on "meta" of which e is what has become so far. */
static enum txkv_rc
end_meta(const struct tx_tree *tree, MDB_txn *txn, int e, struct txkv_error *err)
{
    if (e == 0)
        e = mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return e == 0 ? TXKV_OK : tx_tree_fail(err, e, tree->dir, "writing meta");
}

enum txkv_rc
tx_tree_stand_alone(struct tx_tree *tree, struct txkv_error *err)
{
    MDB_txn *txn;
    int e = mdb_txn_begin(tree->env, NULL, 0, &txn);

    if (e != 0)
        return tx_tree_fail(err, e, tree->dir, "writing meta");
    e = put_text(txn, tree->meta_dbi, "wal_dir", NULL);
    if (e == 0)
        e = put_text(txn, tree->meta_dbi, TX_TREE_KEY_ARCHIVED_IN, tree->meta.archive_dir);
    if (e == 0)
        e = tx_tree_put_archive(txn, tree->meta_dbi, NULL);
    return end_meta(tree, txn, e, err);
}

enum txkv_rc
tx_tree_become(struct tx_tree *tree, const struct tx_tree_identity *identity,
               struct txkv_error *err)
{
    uint8_t checkpoint[TX_TREE_CHECKPOINT_BYTES], id[8];
    uint64_t store_id = identity->store_id;
    enum txkv_rc rc = store_id != 0 ? TXKV_OK : tx_tree_new_id(tree->dir, &store_id, err);
    MDB_txn *txn;
    int e;

    if (rc != TXKV_OK)
        return rc;
    tx_put_u64(id, store_id);
    tx_put_u64(checkpoint, identity->lsn);
    tx_put_u64(checkpoint + 8, tx_record_hash(id, sizeof id, identity->lsn)); /* begins a chain */
    tx_put_u64(checkpoint + 16, identity->lsn);
    e = mdb_txn_begin(tree->env, NULL, 0, &txn);
    if (e != 0)
        return tx_tree_fail(err, e, tree->dir, "writing meta");
    e = put(txn, tree->meta_dbi, "store_id", id, sizeof id);
    if (e == 0)
        e = put(txn, tree->meta_dbi, TX_TREE_KEY_CHECKPOINT, checkpoint, sizeof checkpoint);
    if (e == 0)
        e = put_text(txn, tree->meta_dbi, "wal_dir", identity->wal_dir);
    if (e == 0)
        e = put_text(txn, tree->meta_dbi, TX_TREE_KEY_ARCHIVED_IN, NULL);
    if (e == 0)
        e = tx_tree_put_archive(txn, tree->meta_dbi, identity->archive_dir);
    return end_meta(tree, txn, e, err);
}
