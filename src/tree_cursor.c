/*
 * tree_cursor.c - cursors over a table in LMDB: through its pages (tree_walk.h), or, where these
 * are not known, by LMDB's cursors; and among long keys (tree_long.h).
 */
#include <string.h>

#include "atomic.h"
#include "mem.h"
#include "tree_ahead.h"
#include "tree_long.h"
#include "tree_walk.h"

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

/* LMDB's cursor over the table, where it is needed. LMDB's result. */
static int
open_mdb(struct tx_tree_cursor *cursor, uint64_t handle)
{
    struct tx_tree_read *read = cursor->read;

    if (cursor->mdb != NULL && handle == 0) { /* its database serves another table now */
        mdb_cursor_close(cursor->mdb);
        cursor->mdb = NULL;
    }
    if (cursor->mdb == NULL && handle != 0 && !cursor->walks)
        return mdb_cursor_open(read->txn, tx_tree_handle_dbi(handle), &cursor->mdb);
    if (cursor->mdb != NULL && cursor->renewed != read->begins)
        return mdb_cursor_renew(read->txn, cursor->mdb);
    return 0;
}

enum txkv_rc
tx_tree_cursor_open(struct tx_tree_read *read, uint32_t table, struct tx_tree_cursor **out,
                    struct txkv_error *err)
{
    const uint64_t handle = tx_tree_visible_handle(read, table);
    struct tx_tree_cursor *cursor;
    int e;

    assert(read->active == 1);
    *out = NULL;
    cursor = take_cursor(read, table);
    if (cursor == NULL)
        return tx_fail_nomem(err);
    cursor->walks = handle != 0 && tx_tree_walk_pages(read, table, &cursor->walk.pages);
    e = open_mdb(cursor, handle);
    if (e == 0 && cursor->path != NULL && cursor->renewed != read->begins)
        e = tx_tree_long_renew(cursor);
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
    cursor->walk.count = 0;
    cursor->next = cursor->read->kept;
    cursor->read->kept = cursor;
}

/* Move in the table by op; `wanted` is the LMDB key to look for. LMDB's result. */
static int
move_mdb(struct tx_tree_cursor *cursor, MDB_cursor_op op, struct txkv_bytes wanted,
         struct tx_tree_pair *pair)
{
    MDB_val key = tx_tree_val(wanted.data, wanted.bytes), value;
    int e;

    if (cursor->mdb == NULL)
        return MDB_NOTFOUND;
    e = mdb_cursor_get(cursor->mdb, &key, &value, op);
    if (e == 0)
        *pair = tx_tree_pair_of(&key, &value);
    return e;
}

/* From where the cursor has come in the table, with this result, to a key. */
static inline int
settle(struct tx_tree_cursor *cursor, int e, bool backward, struct tx_tree_pair *pair)
{
    cursor->placed = e == 0;
    if (e == 0 && pair->key_bytes == TX_TREE_ENTRY_BYTES) {
        e = tx_tree_long_enter(cursor, backward, pair);
        if (cursor->depth > 0)
            cursor->walk.count = 0; /* steps are taken among long keys */
    }
    return e;
}

/* The first key of the table, or the last. */
static int
go_to_end(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    const int e = cursor->walks ? tx_tree_walk_end(&cursor->walk, backward, pair)
                                : move_mdb(cursor, backward ? MDB_LAST : MDB_FIRST,
                                           (struct txkv_bytes){ 0 }, pair);

    return settle(cursor, e, backward, pair);
}

/* Through the pages, and the kernel is told of it where memory is scarce. */
static int
walk_on(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    const uint8_t *leaf = cursor->walk.count > 0 ? cursor->walk.leaf : NULL;
    const int e = tx_tree_walk_on(&cursor->walk, backward, pair);

    if (e == 0 && cursor->walk.leaf != leaf && cursor->walk.pages.scattered)
        tx_tree_read_ahead(cursor, backward);
    return e;
}

static int
go_on(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    const int e = cursor->walks ? walk_on(cursor, backward, pair)
                                : move_mdb(cursor, backward ? MDB_PREV : MDB_NEXT,
                                           (struct txkv_bytes){ 0 }, pair);

    return settle(cursor, e, backward, pair);
}

/* To the first LMDB key that is not less, which is not settled. */
static int
go_to(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes,
      struct tx_tree_pair *pair)
{
    const struct txkv_bytes wanted = { key, key_bytes };

    return cursor->walks ? tx_tree_walk_seek(&cursor->walk, wanted, pair)
                         : move_mdb(cursor, MDB_SET_RANGE, wanted, pair);
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
    const int e = go_to(cursor, key, key_bytes, pair);

    if (backward && e == MDB_NOTFOUND) /* every key is less */
        return go_to_end(cursor, true, pair);
    if (backward && e == 0 && !is_key(pair, key, key_bytes))
        return go_on(cursor, true, pair);
    return settle(cursor, e, backward, pair);
}

static int
seek_long(struct tx_tree_cursor *cursor, const uint8_t *key, uint32_t key_bytes, bool backward,
          struct tx_tree_pair *pair)
{
    const struct txkv_bytes rest = { key + TX_TREE_ENTRY_BYTES, key_bytes - TX_TREE_ENTRY_BYTES };
    int e = go_to(cursor, key, TX_TREE_ENTRY_BYTES, pair);

    if (e == 0 && is_key(pair, key, TX_TREE_ENTRY_BYTES)) {
        cursor->placed = true;
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
    assert(cursor->read->active == 1);
    cursor->depth = 0;
    if (key == NULL)
        return go_to_end(cursor, backward, pair);
    if (key_bytes < TX_TREE_ENTRY_BYTES)
        return seek_short(cursor, key, key_bytes, backward, pair);
    return seek_long(cursor, key, key_bytes, backward, pair);
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

/* Steps that leave a page, or are not to a plain node. */
__attribute__((noinline)) static enum txkv_rc
step_far(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair,
         struct txkv_error *err)
{
    int e = MDB_NOTFOUND;

    if (cursor->depth > 0)
        e = tx_tree_long_step(cursor, backward, pair);
    if (e == MDB_NOTFOUND)
        e = go_on(cursor, backward, pair);
    return result_of(cursor, e, err);
}

/* Inline in both directions: a scan comes here with every row. */
__attribute__((always_inline)) static inline enum txkv_rc
step(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair,
     struct txkv_error *err)
{
    assert(cursor->read->active == 1 || !cursor->placed);
    if (!cursor->placed)
        return TXKV_NOTFOUND;
    if (tx_tree_walk_step(&cursor->walk, backward ? TX_TREE_BACKWARD : TX_TREE_FORWARD, pair))
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

struct tx_tree_walk *
tx_tree_cursor_walk(struct tx_tree_cursor *cursor)
{
    assert(cursor->read->active == 1 || !cursor->placed);
    return cursor->placed && cursor->walks ? &cursor->walk : NULL;
}
