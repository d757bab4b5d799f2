/*
 * tree_read.c - reads of the LMDB environment.
 *
 * A read keeps its LMDB transaction and reader slot while it is idle (mdb_txn_reset), so that
 * beginning again takes no lock: raise the flag, look at the gate, mdb_txn_renew. What hangs on the
 * transaction's id - the checkpoint LSN, the handles of tables - is looked at only when the id has
 * changed.
 *
 * [T1] A read raises `active` (a full barrier), then loads `growing`; tx_tree_grow raises `growing`
 * (a full barrier), then loads every `active`. So one of the two sees the other, and no read looks
 * at the map while it moves. An idle read holds no page: mdb_txn_renew and mdb_cursor_renew start
 * again from the map's address, and so do walks when it has moved (map_moves).
 *
 * [T2] A batch stores the handles of its new tables before it commits, so a read that begins at
 * that commit finds them. LMDB itself tells transactions of new handles a moment after the commit
 * is visible; a read that began in between does not know them and begins again (look_at_handles).
 * Tables that another process has made have no handles here yet: the catalog was changed by a later
 * checkpoint than the handles know of. Then they are opened, and the read begins again.
 *
 * A slot's database serves one table after the other: a dropped one is emptied, and later the slot
 * gets a new one. A read that is older than that reads the old table from the same database, as it
 * was; visible_handle tells which table a read finds there.
 */
#include <sched.h>
#include <string.h>

#include "atomic.h"
#include "mem.h"
#include "tree_ahead.h"
#include "tree_long.h"
#include "tree_walk.h"

enum txkv_rc
tx_tree_read_create(struct tx_tree *tree, struct tx_tree_read **out, struct txkv_error *err)
{
    struct tx_tree_read *read = tx_aligned_zalloc(sizeof *read);

    *out = read;
    if (read == NULL)
        return tx_fail_nomem(err);
    read->tree = tree;
    (void)pthread_mutex_lock(&tree->lock);
    read->next = tree->reads;
    if (read->next != NULL)
        read->next->prev = read;
    tree->reads = read;
    tree->read_count++;
    (void)pthread_mutex_unlock(&tree->lock);
    return TXKV_OK;
}

void
tx_tree_read_free(struct tx_tree_read *read)
{
    struct tx_tree *tree;

    if (read == NULL)
        return;
    tree = read->tree;
    for (struct tx_tree_cursor *c = read->kept, *next; c != NULL; c = next) {
        next = c->next;
        mdb_cursor_close(c->mdb);
        tx_tree_long_free(c);
        tx_free(c);
    }
    mdb_txn_abort(read->txn);
    tx_store_release_32(&read->active, 0);
    (void)pthread_mutex_lock(&tree->lock);
    if (read->next != NULL)
        read->next->prev = read->prev;
    if (read->prev != NULL)
        read->prev->next = read->next;
    else
        tree->reads = read->next;
    tree->read_count--;
    (void)pthread_mutex_unlock(&tree->lock);
    tx_free(read);
}

static enum txkv_rc
enter_gate(struct tx_tree_read *read, struct txkv_error *err)
{
    struct tx_tree *tree = read->tree;

    for (;;) {
        bool lost;

        (void)tx_swap_32(&read->active, 1); /* [T1] */
        if (tx_load_acquire_32(&tree->growing) == 0)
            return TXKV_OK;
        tx_store_release_32(&read->active, 0);
        (void)pthread_mutex_lock(&tree->lock); /* until the map has grown */
        lost = tree->map_lost;
        (void)pthread_mutex_unlock(&tree->lock);
        if (lost)
            return tx_tree_fail_lost(tree, err);
    }
}

/* Whether LMDB's transaction knows the database: not if it began before the slot was first used. */
static bool
has_database(const struct tx_tree_read *read, uint64_t handle)
{
    unsigned flags;

    return mdb_dbi_flags(read->txn, tx_tree_handle_dbi(handle), &flags) == 0;
}

uint64_t
tx_tree_visible_handle(const struct tx_tree_read *read, uint32_t table)
{
    uint64_t handle;
    uint32_t generation;

    assert(tx_table_possible(table));
    handle = tx_load_acquire_64(&read->tree->handles[tx_table_slot(table)]); /* [T2] */
    generation = tx_tree_handle_generation(handle);
    if (generation == tx_table_generation(table))
        return tx_tree_handle_txn(handle) <= read->txn_id ? handle : 0;
    return generation > tx_table_generation(table) && tx_tree_handle_txn(handle) > read->txn_id &&
                   has_database(read, handle)
               ? handle
               : 0;
}

enum handles { ALL_KNOWN, NOT_YET_KNOWN, SOME_MISSING };

/* Whether there are handles for all tables of the read's catalog, and whether LMDB's transaction
 * knows them [T2]. known_lsn is the handles' catalog from before the read began: handles that came
 * later may be marked as newer than the read, which then does not see them. */
static enum handles
look_at_handles(const struct tx_tree_read *read, uint64_t catalog_lsn, uint64_t known_lsn)
{
    const struct tx_tree *tree = read->tree;

    if (catalog_lsn > known_lsn)
        return SOME_MISSING;
    for (uint32_t slot = 1; slot <= tx_load_acquire_64(&tree->slot_max); slot++) {
        const uint64_t handle = tx_load_acquire_64(&tree->handles[slot]);

        if (handle != 0 && tx_tree_handle_txn(handle) <= read->txn_id &&
            !has_database(read, handle))
            return NOT_YET_KNOWN;
    }
    return ALL_KNOWN;
}

/* Whether the roots in LMDB's transaction are those of its id [T3]. */
static bool
is_whole(const struct tx_tree_read *read)
{
    return tx_load_acquire_64(read->tree->commit_txn) <= read->txn_id + 1;
}

/* Begin or renew the LMDB transaction. LMDB's result. */
static int
begin_txn(struct tx_tree_read *read)
{
    if (read->txn != NULL)
        return mdb_txn_renew(read->txn);
    return mdb_txn_begin(read->tree->env, NULL, MDB_RDONLY, &read->txn);
}

/* One try. *done: the read stands. Otherwise it has ended again, and is to be tried once more. */
static enum txkv_rc
try_begin(struct tx_tree_read *read, bool *done, struct txkv_error *err)
{
    const uint64_t last_id = read->txn_id;
    struct tx_tree_checkpoint_value checkpoint;
    enum handles handles = NOT_YET_KNOWN;
    const uint64_t known_lsn = tx_load_acquire_64(&read->tree->catalog_lsn); /* [T2] */
    enum txkv_rc rc = enter_gate(read, err);
    int e;

    *done = false;
    if (rc != TXKV_OK)
        return rc;
    e = begin_txn(read);
    if (e != 0) {
        tx_store_release_32(&read->active, 0);
        if (e == MDB_MAP_RESIZED)
            return tx_tree_adopt_size(read->tree, err);
        return tx_tree_fail(err, e, read->tree->dir, "beginning a read");
    }
    read->txn_id = mdb_txn_id(read->txn);
    if (is_whole(read)) {
        *done = read->txn_id == last_id;
        if (*done)
            return TXKV_OK;
        rc = tx_tree_load_checkpoint(read->tree, read->txn, &checkpoint, err);
        if (rc == TXKV_OK)
            handles = look_at_handles(read, checkpoint.catalog_lsn, known_lsn);
        *done = rc == TXKV_OK && handles == ALL_KNOWN;
        if (*done) {
            read->base = checkpoint.lsn;
            tx_tree_advise(read->tree);
            return TXKV_OK;
        }
    }
    read->txn_id = 0; /* what it saw is not to be relied on */
    tx_tree_read_end(read);
    if (rc != TXKV_OK)
        return rc;
    if (handles == SOME_MISSING)
        return tx_tree_adopt_tables(read->tree, err);
    (void)sched_yield();
    return TXKV_OK;
}

enum txkv_rc
tx_tree_read_begin(struct tx_tree_read *read, uint64_t *base, struct txkv_error *err)
{
    bool done = false;
    enum txkv_rc rc = TXKV_OK;

    assert(read->active == 0);
    read->begins++;
    while (rc == TXKV_OK && !done)
        rc = try_begin(read, &done, err);
    *base = rc == TXKV_OK ? read->base : 0;
    return rc;
}

void
tx_tree_read_end(struct tx_tree_read *read)
{
    assert(read->active == 1);
    mdb_txn_reset(read->txn);
    tx_store_release_32(&read->active, 0); /* [T1] */
}

static enum txkv_rc
get_long(struct tx_tree_read *read, uint32_t table, MDB_dbi dbi, struct txkv_bytes key,
         const uint8_t **value, uint32_t *value_bytes, struct txkv_error *err)
{
    struct txkv_bytes found;
    const enum txkv_rc rc = tx_tree_long_get(read, table, dbi, key, &found, err);

    if (rc == TXKV_OK) {
        *value = found.data;
        *value_bytes = (uint32_t)found.bytes;
    }
    return rc;
}

/* Where pages are not known. LMDB's result. */
static int
get_mdb(struct tx_tree_read *read, MDB_dbi dbi, struct txkv_bytes key, struct tx_tree_pair *pair)
{
    MDB_val k = tx_tree_val(key.data, key.bytes), v;
    const int e = mdb_get(read->txn, dbi, &k, &v);

    if (e == 0)
        *pair = tx_tree_pair_of(&k, &v);
    return e;
}

enum txkv_rc
tx_tree_get(struct tx_tree_read *read, uint32_t table, const uint8_t *key, uint32_t key_bytes,
            const uint8_t **value, uint32_t *value_bytes, struct txkv_error *err)
{
    const uint64_t handle = tx_tree_visible_handle(read, table);
    const struct txkv_bytes k = { key, key_bytes };
    struct tx_tree_pages pages;
    struct tx_tree_pair pair;
    int e;

    assert(read->active == 1);
    *value = NULL;
    *value_bytes = 0;
    if (handle == 0)
        return TXKV_NOTFOUND;
    if (key_bytes >= TX_TREE_ENTRY_BYTES)
        return get_long(read, table, tx_tree_handle_dbi(handle), k, value, value_bytes, err);
    if (tx_tree_walk_pages(read, table, &pages))
        e = tx_tree_walk_get(&pages, k, &pair);
    else
        e = get_mdb(read, tx_tree_handle_dbi(handle), k, &pair);
    if (e == MDB_NOTFOUND)
        return TXKV_NOTFOUND;
    if (e != 0)
        return tx_tree_fail(err, e, read->tree->dir, "reading");
    *value = pair.value;
    *value_bytes = pair.value_bytes;
    tx_tree_read_value(read->tree, *value, *value_bytes);
    return TXKV_OK;
}

/* LMDB's numbers of the table's database; false when the read sees none. */
static bool
stat_table(const struct tx_tree_read *read, uint32_t table, MDB_stat *stat)
{
    const uint64_t handle = tx_tree_visible_handle(read, table);

    assert(read->active == 1);
    return handle != 0 && mdb_stat(read->txn, tx_tree_handle_dbi(handle), stat) == 0;
}

uint64_t
tx_tree_rows(struct tx_tree_read *read, uint32_t table)
{
    MDB_stat stat;

    return stat_table(read, table, &stat) ? stat.ms_entries + tx_tree_long_extra(read, table) : 0;
}

uint64_t
tx_tree_bytes(struct tx_tree_read *read, uint32_t table)
{
    MDB_stat stat;

    if (!stat_table(read, table, &stat))
        return 0;
    return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
}
