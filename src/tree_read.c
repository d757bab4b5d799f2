/*
 * tree_read.c - reads of the LMDB environment, and their cursors.
 *
 * A read keeps its LMDB transaction and reader slot while it is idle (mdb_txn_reset), so that
 * beginning again takes no lock: raise the flag, look at the gate, mdb_txn_renew. What hangs on the
 * transaction's id - the checkpoint LSN, the handles of tables - is looked at only when the id has
 * changed.
 *
 * [T1] A read raises `active` (a full barrier), then loads `growing`; tx_tree_grow raises `growing`
 * (a full barrier), then loads every `active`. So one of the two sees the other, and no read looks
 * at the map while it moves. An idle read holds no page: mdb_txn_renew and mdb_cursor_renew start
 * again from the map's address.
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
#include "tree_leaf.h"

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

/* The handle of a table that the read can see, or 0. */
static uint64_t
visible_handle(const struct tx_tree_read *read, uint32_t table)
{
    uint64_t handle;
    uint32_t generation;

    assert(tx_table_possible(table));
    handle = tx_load_acquire_64(&read->tree->handles[tx_table_slot(table)]); /* [T2] */
    generation = tx_tree_handle_generation(handle);
    if (generation == tx_table_generation(table))
        return tx_tree_handle_txn(handle) <= read->txn_id ? handle : 0;
    return generation > tx_table_generation(table) && tx_tree_handle_txn(handle) > read->txn_id
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
        unsigned flags;

        if (handle != 0 && tx_tree_handle_txn(handle) <= read->txn_id &&
            mdb_dbi_flags(read->txn, tx_tree_handle_dbi(handle), &flags) != 0)
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

enum txkv_rc
tx_tree_get(struct tx_tree_read *read, uint32_t table, const uint8_t *key, uint32_t key_bytes,
            const uint8_t **value, uint32_t *value_bytes, struct txkv_error *err)
{
    const uint64_t handle = visible_handle(read, table);
    MDB_val k = tx_tree_val(key, key_bytes), v;
    int e;

    assert(read->active == 1);
    *value = NULL;
    *value_bytes = 0;
    if (handle == 0)
        return TXKV_NOTFOUND;
    if (key_bytes >= TX_TREE_ENTRY_BYTES)
        return get_long(read, table, tx_tree_handle_dbi(handle),
                        (struct txkv_bytes){ key, key_bytes }, value, value_bytes, err);
    e = mdb_get(read->txn, tx_tree_handle_dbi(handle), &k, &v);
    if (e == MDB_NOTFOUND)
        return TXKV_NOTFOUND;
    if (e != 0)
        return tx_tree_fail(err, e, read->tree->dir, "reading");
    *value = v.mv_data;
    *value_bytes = (uint32_t)v.mv_size;
    tx_tree_read_value(read->tree, *value, *value_bytes);
    return TXKV_OK;
}

/* LMDB's numbers of the table's database; false when the read sees none. */
static bool
stat_table(const struct tx_tree_read *read, uint32_t table, MDB_stat *stat)
{
    const uint64_t handle = visible_handle(read, table);

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

/* A kept cursor over the table, off the list, or a new one without an LMDB cursor; or NULL. */
static struct tx_tree_cursor *
take_cursor(struct tx_tree_read *read, uint32_t table)
{
    struct tx_tree_cursor *cursor;

    for (struct tx_tree_cursor **at = &read->kept; *at != NULL; at = &(*at)->next) {
        cursor = *at;
        if (cursor->table != table)
            continue;
        *at = cursor->next;
        return cursor;
    }
    cursor = tx_zalloc(sizeof *cursor);
    if (cursor != NULL) {
        cursor->read = read;
        cursor->table = table;
    }
    return cursor;
}

enum txkv_rc
tx_tree_cursor_open(struct tx_tree_read *read, uint32_t table, struct tx_tree_cursor **out,
                    struct txkv_error *err)
{
    const uint64_t handle = visible_handle(read, table);
    struct tx_tree_cursor *cursor;
    int e = 0;

    assert(read->active == 1);
    *out = NULL;
    cursor = take_cursor(read, table);
    if (cursor == NULL)
        return tx_fail_nomem(err);
    if (cursor->mdb != NULL && handle == 0) { /* its database serves another table now */
        mdb_cursor_close(cursor->mdb);
        cursor->mdb = NULL;
    }
    if (cursor->mdb == NULL && handle != 0) {
        e = mdb_cursor_open(read->txn, tx_tree_handle_dbi(handle), &cursor->mdb);
    } else if (cursor->mdb != NULL && cursor->renewed != read->begins) {
        e = mdb_cursor_renew(read->txn, cursor->mdb);
        if (e == 0 && cursor->path != NULL)
            e = tx_tree_long_renew(cursor);
    }
    if (e != 0) {
        tx_tree_cursor_close(cursor);
        return tx_tree_fail(err, e, read->tree->dir, "opening a cursor");
    }
    cursor->renewed = read->begins;
    *out = cursor;
    return TXKV_OK;
}

void
tx_tree_cursor_close(struct tx_tree_cursor *cursor)
{
    if (cursor == NULL)
        return;
    cursor->placed = false;
    cursor->leaf.count = 0;
    cursor->next = cursor->read->kept;
    cursor->read->kept = cursor;
}

/* Move in the table by op; *key is the LMDB key to look for and becomes the one found. LMDB's
 * result. Inline, for a scan comes here with every row. */
__attribute__((always_inline)) static inline int
move_mdb(struct tx_tree_cursor *cursor, MDB_cursor_op op, MDB_val *key, struct tx_tree_pair *pair)
{
    MDB_val value;
    int e;

    assert(cursor->read->active == 1);
    if (cursor->mdb == NULL)
        return MDB_NOTFOUND;
    e = mdb_cursor_get(cursor->mdb, key, &value, op);
    cursor->placed = e == 0;
    if (e != 0)
        return e;
    pair->key = key->mv_data;
    pair->key_bytes = (uint32_t)key->mv_size;
    pair->value = value.mv_data;
    pair->value_bytes = (uint32_t)value.mv_size;
    return 0;
}

/* From where move_mdb has come, with this result, to a key. */
static inline int
settle(struct tx_tree_cursor *cursor, int e, bool backward, struct tx_tree_pair *pair)
{
    if (__builtin_expect(e == 0 && pair->key_bytes == TX_TREE_ENTRY_BYTES, 0))
        e = tx_tree_long_enter(cursor, backward, pair);
    return e;
}

/* The first key of the table, or the last. */
static int
go_to_end(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    MDB_val k;

    return settle(cursor, move_mdb(cursor, backward ? MDB_LAST : MDB_FIRST, &k, pair), backward,
                  pair);
}

static inline int
go_on(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    MDB_val k;

    return settle(cursor, move_mdb(cursor, backward ? MDB_PREV : MDB_NEXT, &k, pair), backward,
                  pair);
}

static bool
is_key(const struct tx_tree_pair *pair, const uint8_t *key, uint32_t key_bytes)
{
    return pair->key_bytes == key_bytes && memcmp(pair->key, key, key_bytes) == 0;
}

/* The first key that is not less, or, backward, the last that is not greater. */
static int
seek_short(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes, bool backward,
           struct tx_tree_pair *pair)
{
    MDB_val k = tx_tree_val(key, key_bytes);
    const int e = move_mdb(cursor, MDB_SET_RANGE, &k, pair);

    if (!backward)
        return settle(cursor, e, false, pair);
    if (e == MDB_NOTFOUND) /* every key is less */
        return go_to_end(cursor, true, pair);
    return e != 0 || is_key(pair, key, key_bytes) ? e : go_on(cursor, true, pair);
}

static int
seek_long(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes, bool backward,
          struct tx_tree_pair *pair)
{
    const struct txkv_bytes rest = { key + TX_TREE_ENTRY_BYTES, key_bytes - TX_TREE_ENTRY_BYTES };
    MDB_val k = tx_tree_val(key, TX_TREE_ENTRY_BYTES);
    int e = move_mdb(cursor, MDB_SET_RANGE, &k, pair);

    if (e == 0 && is_key(pair, key, TX_TREE_ENTRY_BYTES)) {
        e = tx_tree_long_seek(cursor, rest, backward, pair);
        return e == MDB_NOTFOUND ? go_on(cursor, backward, pair) : e;
    }
    if (!backward)
        return settle(cursor, e, false, pair);
    if (e == MDB_NOTFOUND)
        return go_to_end(cursor, true, pair);
    return e != 0 ? e : go_on(cursor, true, pair);
}

static int
seek(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes, bool backward,
     struct tx_tree_pair *pair)
{
    int e;

    cursor->depth = 0;
    cursor->leaf.count = 0;
    cursor->stepped = false;
    if (key == NULL)
        e = go_to_end(cursor, backward, pair);
    else if (key_bytes < TX_TREE_ENTRY_BYTES)
        e = seek_short(cursor, key, key_bytes, backward, pair);
    else
        e = seek_long(cursor, key, key_bytes, backward, pair);
    if (e == 0)
        cursor->found = *pair;
    return e;
}

static inline enum txkv_rc
result_of(struct tx_tree_cursor *cursor, int e, struct txkv_error *err)
{
    if (e == 0)
        return TXKV_OK;
    cursor->placed = false;
    if (e == MDB_NOTFOUND)
        return TXKV_NOTFOUND;
    return tx_tree_fail(err, e, cursor->read->tree->dir, "reading");
}

enum txkv_rc
tx_tree_cursor_seek_ge(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes,
                       struct tx_tree_pair *pair, struct txkv_error *err)
{
    return result_of(cursor, seek(cursor, key, key_bytes, false, pair), err);
}

enum txkv_rc
tx_tree_cursor_seek_le(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes,
                       struct tx_tree_pair *pair, struct txkv_error *err)
{
    return result_of(cursor, seek(cursor, key, key_bytes, true, pair), err);
}

/* Leave the leaf page that is visited without LMDB: its cursor stands where this one does then. */
static int
leave_leaf(struct tx_tree_cursor *cursor)
{
    const struct tx_tree_leaf leaf = cursor->leaf;
    struct tx_tree_pair pair;
    MDB_val k, v;

    cursor->leaf.count = 0;
    if (leaf.count == 0 || leaf.at == leaf.entered)
        return 0;
    if (!tx_tree_leaf_read(&leaf, leaf.at, &pair))
        return MDB_CORRUPTED; /* it has changed */
    k = tx_tree_val(pair.key, pair.key_bytes);
    return mdb_cursor_get(cursor->mdb, &k, &v, MDB_SET);
}

/* Go on without LMDB in the page that it has come to. */
static inline void
enter_leaf(struct tx_tree_cursor *cursor, bool backward, const struct tx_tree_pair *pair)
{
    const struct tx_tree *tree = cursor->read->tree;

    if (cursor->depth > 0 || !tree->known_pages)
        return;
    tx_tree_leaf_enter(&cursor->leaf, backward, pair);
    if (cursor->leaf.count > 0 && tx_load_relaxed_32(&tree->scattered) != 0)
        tx_tree_read_ahead(cursor, backward);
}

/* The first step since the seek, and those that leave a page. */
__attribute__((noinline)) static enum txkv_rc
step_far(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair,
         struct txkv_error *err)
{
    int e;

    if (!cursor->stepped) {
        cursor->stepped = true;
        enter_leaf(cursor, backward, &cursor->found);
        if (tx_tree_leaf_step(&cursor->leaf, backward, pair))
            return TXKV_OK;
    }
    e = leave_leaf(cursor);
    if (e != 0)
        return result_of(cursor, e == MDB_NOTFOUND ? MDB_CORRUPTED : e, err);
    e = MDB_NOTFOUND;
    if (cursor->depth > 0)
        e = tx_tree_long_step(cursor, backward, pair);
    if (e == MDB_NOTFOUND)
        e = go_on(cursor, backward, pair);
    if (e == 0)
        enter_leaf(cursor, backward, pair);
    return result_of(cursor, e, err);
}

static inline enum txkv_rc
step(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair,
     struct txkv_error *err)
{
    assert(cursor->read->active == 1 || !cursor->placed);
    if (!cursor->placed)
        return TXKV_NOTFOUND;
    if (tx_tree_leaf_step(&cursor->leaf, backward, pair))
        return TXKV_OK;
    return step_far(cursor, backward, pair, err);
}

enum txkv_rc
tx_tree_cursor_next(struct tx_tree_cursor *cursor, struct tx_tree_pair *pair,
                    struct txkv_error *err)
{
    return step(cursor, false, pair, err);
}

enum txkv_rc
tx_tree_cursor_prev(struct tx_tree_cursor *cursor, struct tx_tree_pair *pair,
                    struct txkv_error *err)
{
    return step(cursor, true, pair, err);
}
