/*
 * tree_long.c - reading keys that are longer than LMDB's; tree_long.h has the format.
 *
 * A cursor among long keys has the numbers of the nodes that its key passes through, one LMDB
 * cursor over "long" that stands in the last of them, and the key, put together from its chunks.
 * Leaving a node it looks for the entry that led there, whose LMDB key it knows. Every way down is
 * as long as its key at most, so what a damaged file makes of the nodes is no loop, but a key that
 * is too long.
 */
#include "tree_long.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "mem.h"

enum kind { KIND_ROW = 1, KIND_NODE = 2 };

struct buffer {
    uint8_t *data;
    size_t room;
};

struct tx_tree_path {
    MDB_cursor *nodes; /* over "long" */
    /* The key, and the one handed out before it, which its owner may still look at. */
    struct buffer keys[2];
    int at;         /* the key's */
    bool is_handed; /* the key has been handed out: the next one goes into the other buffer */
    uint64_t numbers[TX_TREE_DEPTH_MAX];
};

/* ---- the format ---- */

bool
tx_tree_entry_decode(const MDB_val *value, struct tx_tree_entry *out)
{
    const uint8_t *p = value->mv_data;
    const uint8_t *end = p + value->mv_size;
    uint64_t tail_bytes;

    *out = (struct tx_tree_entry){ 0 };
    if (value->mv_size == 0)
        return false;
    if (*p == KIND_NODE) {
        if (value->mv_size != TX_TREE_NODE_ENTRY_BYTES)
            return false;
        out->node = tx_get_u64(p + 1);
        return out->node != 0 && out->node < UINT64_MAX;
    }
    if (*p != KIND_ROW)
        return false;
    p = tx_get_varint(p + 1, end, &tail_bytes);
    if (p == NULL || tail_bytes > (uint64_t)(end - p) || end - p > UINT32_MAX)
        return false;
    out->tail = p;
    out->tail_bytes = (uint32_t)tail_bytes;
    out->row = p + tail_bytes;
    out->row_bytes = (uint32_t)(end - out->row);
    return true;
}

uint32_t
tx_tree_entry_bytes(uint32_t tail_bytes)
{
    return 1 + tx_varint_bytes(tail_bytes) + tail_bytes;
}

uint8_t *
tx_tree_entry_encode(uint8_t *p, const uint8_t *tail, uint32_t tail_bytes)
{
    *p = KIND_ROW;
    p = tx_put_varint(p + 1, tail_bytes);
    if (tail_bytes > 0)
        memcpy(p, tail, tail_bytes);
    return p + tail_bytes;
}

void
tx_tree_entry_encode_node(uint8_t bytes[TX_TREE_NODE_ENTRY_BYTES], uint64_t node)
{
    bytes[0] = KIND_NODE;
    tx_put_u64(bytes + 1, node);
}

static void
put_big_endian(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

MDB_val
tx_tree_node_key(uint8_t room[TX_TREE_ENTRY_BYTES], uint32_t table, uint64_t node,
                 const uint8_t *rest, size_t rest_bytes)
{
    const size_t taken = tx_min_u64(rest_bytes, TX_TREE_CHUNK_BYTES);

    put_big_endian(room, table, 4);
    put_big_endian(room + 4, node, 8);
    if (rest != NULL)
        memcpy(room + TX_TREE_NODE_BYTES, rest, taken);
    return tx_tree_val(room, TX_TREE_NODE_BYTES + taken);
}

static uint64_t
get_big_endian(const uint8_t *p, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

uint64_t
tx_tree_node_number(const MDB_val *key, uint32_t table)
{
    const uint8_t *p = key->mv_data;

    return key->mv_size >= TX_TREE_NODE_BYTES && get_big_endian(p, 4) == table
               ? get_big_endian(p + 4, 8)
               : 0;
}

bool
tx_tree_in_node(const MDB_val *key, uint32_t table, uint64_t node)
{
    return tx_tree_node_number(key, table) == node;
}

void
tx_tree_extra_key(uint8_t key[TX_TREE_TABLE_KEY_BYTES], uint32_t table)
{
    memcpy(key, "extra/", 6);
    put_big_endian(key + 6, table, 4);
}

/* ---- one key ---- */

/* Whether there is anything in the node; TXKV_NOTFOUND when there is, for a key that is not. */
static enum txkv_rc
miss_in_node(const struct tx_tree_read *read, uint32_t table, uint64_t node, struct txkv_error *err)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k = tx_tree_node_key(room, table, node, NULL, 0), v;
    MDB_cursor *cursor;
    int e = mdb_cursor_open(read->txn, read->tree->long_dbi, &cursor);

    if (e == 0) {
        e = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        if (e == MDB_NOTFOUND || (e == 0 && !tx_tree_in_node(&k, table, node)))
            e = MDB_CORRUPTED;
        mdb_cursor_close(cursor);
    }
    return e == 0 ? TXKV_NOTFOUND : tx_tree_fail(err, e, read->tree->dir, "reading a long key");
}

enum txkv_rc
tx_tree_long_get(struct tx_tree_read *read, uint32_t table, MDB_dbi dbi, struct txkv_bytes key,
                 struct txkv_bytes *value, struct txkv_error *err)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    struct txkv_bytes rest = { key.data + TX_TREE_ENTRY_BYTES, key.bytes - TX_TREE_ENTRY_BYTES };
    MDB_val k = tx_tree_val(key.data, TX_TREE_ENTRY_BYTES), v;
    struct tx_tree_entry entry = { 0 };

    for (;;) {
        const int e = mdb_get(read->txn, dbi, &k, &v);
        size_t taken;

        if (e == MDB_NOTFOUND)
            return entry.node == 0 ? TXKV_NOTFOUND : miss_in_node(read, table, entry.node, err);
        if (e != 0)
            return tx_tree_fail(err, e, read->tree->dir, "reading a long key");
        if (k.mv_size < TX_TREE_ENTRY_BYTES) {
            *value = (struct txkv_bytes){ v.mv_data, v.mv_size };
            return TXKV_OK;
        }
        if (!tx_tree_entry_decode(&v, &entry))
            return tx_tree_fail(err, MDB_CORRUPTED, read->tree->dir, "reading a long key");
        if (entry.node == 0) {
            *value = (struct txkv_bytes){ entry.row, entry.row_bytes };
            return entry.tail_bytes == rest.bytes && memcmp(entry.tail, rest.data, rest.bytes) == 0
                       ? TXKV_OK
                       : TXKV_NOTFOUND;
        }
        k = tx_tree_node_key(room, table, entry.node, rest.data, rest.bytes);
        dbi = read->tree->long_dbi;
        taken = k.mv_size - TX_TREE_NODE_BYTES;
        rest = (struct txkv_bytes){ rest.data + taken, rest.bytes - taken };
    }
}

uint64_t
tx_tree_long_extra(const struct tx_tree_read *read, uint32_t table)
{
    uint8_t key[TX_TREE_TABLE_KEY_BYTES];
    MDB_val k = tx_tree_val(key, sizeof key), v;
    MDB_stat stat;

    if (mdb_stat(read->txn, read->tree->long_dbi, &stat) != 0 || stat.ms_entries == 0)
        return 0;
    tx_tree_extra_key(key, table);
    return mdb_get(read->txn, read->tree->meta_dbi, &k, &v) == 0 && v.mv_size == 8
               ? tx_get_u64(v.mv_data)
               : 0;
}

/* ---- cursors ---- */

/* How much of the key is known before the chunk of an entry so many nodes down. */
static size_t
bytes_above(uint32_t depth)
{
    return depth == 0 ? 0 : TX_TREE_ENTRY_BYTES + (depth - 1) * TX_TREE_CHUNK_BYTES;
}

/* The number of the node that the cursor is in. */
static uint64_t
node_of(const struct tx_tree_cursor *cursor)
{
    return cursor->path->numbers[cursor->depth - 1];
}

static int
make_room(struct buffer *buffer, size_t bytes)
{
    const size_t room = bytes + bytes / 2;
    uint8_t *data;

    if (bytes <= buffer->room)
        return 0;
    data = tx_realloc(buffer->data, room);
    if (data == NULL)
        return ENOMEM;
    buffer->data = data;
    buffer->room = room;
    return 0;
}

/* Before a move: the key becomes one to write over, and what is known of the next is in it. */
static int
begin_key(struct tx_tree_cursor *cursor)
{
    struct tx_tree_path *path = cursor->path;
    const size_t known = bytes_above(cursor->depth);
    int e;

    if (path == NULL) {
        path = cursor->path = tx_zalloc(sizeof *path);
        if (path == NULL)
            return ENOMEM;
    }
    if (!path->is_handed)
        return 0;
    e = make_room(&path->keys[1 - path->at], known);
    if (e != 0)
        return e;
    if (known > 0)
        memcpy(path->keys[1 - path->at].data, path->keys[path->at].data, known);
    path->at = 1 - path->at;
    path->is_handed = false;
    return 0;
}

/* Into the node that the entry with this chunk leads to. */
static int
push(struct tx_tree_cursor *cursor, const MDB_val *chunk, uint64_t node)
{
    struct tx_tree_path *path = cursor->path;
    struct buffer *key = &path->keys[path->at];
    const size_t above = bytes_above(cursor->depth);
    int e;

    if (cursor->depth == TX_TREE_DEPTH_MAX || above + chunk->mv_size > TXKV_KEY_BYTES_MAX)
        return MDB_CORRUPTED;
    e = make_room(key, above + chunk->mv_size);
    if (e == 0 && path->nodes == NULL)
        e = mdb_cursor_open(cursor->read->txn, cursor->read->tree->long_dbi, &path->nodes);
    if (e != 0)
        return e;
    memcpy(key->data + above, chunk->mv_data, chunk->mv_size);
    path->numbers[cursor->depth++] = node;
    return 0;
}

/* Out of the node, onto the entry that led there. */
static int
pop(struct tx_tree_cursor *cursor)
{
    struct tx_tree_path *path = cursor->path;
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k, v;
    int e;

    cursor->depth--;
    if (cursor->depth == 0)
        return 0; /* there the table's cursor stands */
    k = tx_tree_node_key(room, cursor->table, node_of(cursor),
                         path->keys[path->at].data + bytes_above(cursor->depth),
                         TX_TREE_CHUNK_BYTES);
    e = mdb_cursor_get(path->nodes, &k, &v, MDB_SET);
    return e == MDB_NOTFOUND ? MDB_CORRUPTED : e;
}

/* The key ends with this chunk and, of an entry of one key alone, its tail. */
static int
hand_out(struct tx_tree_cursor *cursor, const MDB_val *chunk, const struct tx_tree_entry *entry,
         struct tx_tree_pair *pair)
{
    struct tx_tree_path *path = cursor->path;
    struct buffer *key = &path->keys[path->at];
    const size_t above = bytes_above(cursor->depth);
    const size_t bytes = above + chunk->mv_size + entry->tail_bytes;
    int e;

    if (bytes > TXKV_KEY_BYTES_MAX)
        return MDB_CORRUPTED;
    e = make_room(key, bytes);
    if (e != 0)
        return e;
    if (chunk->mv_size > 0)
        memcpy(key->data + above, chunk->mv_data, chunk->mv_size);
    if (entry->tail_bytes > 0)
        memcpy(key->data + above + chunk->mv_size, entry->tail, entry->tail_bytes);
    path->is_handed = true;
    *pair = (struct tx_tree_pair){ .key = key->data,
                                   .key_bytes = (uint32_t)bytes,
                                   .value = entry->row,
                                   .value_bytes = entry->row_bytes };
    return 0;
}

/* The part of an LMDB key that belongs to the key. */
static MDB_val
chunk_of(const struct tx_tree_cursor *cursor, const MDB_val *k)
{
    if (cursor->depth == 0)
        return *k;
    return tx_tree_val((const uint8_t *)k->mv_data + TX_TREE_NODE_BYTES,
                       k->mv_size - TX_TREE_NODE_BYTES);
}

/* The first thing in the node, or the last; a node is never empty. */
static int
edge(struct tx_tree_cursor *cursor, bool backward, MDB_val *k, MDB_val *v)
{
    MDB_cursor *nodes = cursor->path->nodes;
    uint8_t room[TX_TREE_ENTRY_BYTES];
    int e;

    *k = tx_tree_node_key(room, cursor->table, node_of(cursor) + backward, NULL, 0);
    e = mdb_cursor_get(nodes, k, v, MDB_SET_RANGE);
    if (backward)
        e = e == 0              ? mdb_cursor_get(nodes, k, v, MDB_PREV)
            : e == MDB_NOTFOUND ? mdb_cursor_get(nodes, k, v, MDB_LAST)
                                : e;
    if (e == MDB_NOTFOUND || (e == 0 && !tx_tree_in_node(k, cursor->table, node_of(cursor))))
        return MDB_CORRUPTED;
    return e;
}

/* From what stands in the table or the node to the first key below it, or the last. */
static int
descend(struct tx_tree_cursor *cursor, MDB_val k, MDB_val v, bool backward,
        struct tx_tree_pair *pair)
{
    for (;;) {
        const MDB_val chunk = chunk_of(cursor, &k);
        struct tx_tree_entry entry = { .row = v.mv_data, .row_bytes = (uint32_t)v.mv_size };
        int e;

        if (k.mv_size == TX_TREE_ENTRY_BYTES && !tx_tree_entry_decode(&v, &entry))
            return MDB_CORRUPTED;
        if (entry.node == 0)
            return hand_out(cursor, &chunk, &entry, pair);
        e = push(cursor, &chunk, entry.node);
        if (e == 0)
            e = edge(cursor, backward, &k, &v);
        if (e != 0)
            return e;
    }
}

/* From where the cursor stands in a node to the next key, or the one before. */
static int
advance(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    while (cursor->depth > 0) {
        MDB_val k, v;
        int e = mdb_cursor_get(cursor->path->nodes, &k, &v, backward ? MDB_PREV : MDB_NEXT);

        if (e == 0 && tx_tree_in_node(&k, cursor->table, node_of(cursor)))
            return descend(cursor, k, v, backward, pair);
        if (e == 0 || e == MDB_NOTFOUND)
            e = pop(cursor);
        if (e != 0)
            return e;
    }
    return MDB_NOTFOUND;
}

/*
 * In the node, what is not less than `rest`, or, backward, not greater; *exact: it begins it, or is
 * it. MDB_NOTFOUND when all of the node is on the other side.
 */
static int
find(struct tx_tree_cursor *cursor, struct txkv_bytes rest, bool backward, MDB_val *k, MDB_val *v,
     bool *exact)
{
    MDB_cursor *nodes = cursor->path->nodes;
    const uint64_t node = node_of(cursor);
    uint8_t room[TX_TREE_ENTRY_BYTES];
    const MDB_val wanted = tx_tree_node_key(room, cursor->table, node, rest.data, rest.bytes);
    int e;

    *exact = false;
    *k = wanted;
    e = mdb_cursor_get(nodes, k, v, MDB_SET_RANGE);
    if (e != 0 && e != MDB_NOTFOUND)
        return e;
    if (e == 0 && tx_tree_in_node(k, cursor->table, node)) {
        *exact = k->mv_size == wanted.mv_size && memcmp(k->mv_data, room, k->mv_size) == 0;
        if (*exact || !backward)
            return 0;
        e = mdb_cursor_get(nodes, k, v, MDB_PREV);
        return e == 0 && !tx_tree_in_node(k, cursor->table, node) ? MDB_NOTFOUND : e;
    }
    e = mdb_cursor_get(nodes, k, v, e == 0 ? MDB_PREV : MDB_LAST);
    if (e == MDB_NOTFOUND || (e == 0 && !tx_tree_in_node(k, cursor->table, node)))
        return MDB_CORRUPTED; /* it is empty */
    return e == 0 && !backward ? MDB_NOTFOUND : e;
}

static int
compare_tail(const struct tx_tree_entry *entry, struct txkv_bytes rest)
{
    const uint64_t both = tx_min_u64(entry->tail_bytes, rest.bytes);
    int order;

    assert(rest.data != NULL || rest.bytes == 0);
    order = both == 0 ? 0 : memcmp(entry->tail, rest.data, both);
    if (order != 0)
        return order;
    return (entry->tail_bytes > rest.bytes) - (entry->tail_bytes < rest.bytes);
}

int
tx_tree_long_enter(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    int e;

    cursor->depth = 0;
    e = begin_key(cursor);
    if (e != 0)
        return e;
    return descend(cursor, tx_tree_val(pair->key, pair->key_bytes),
                   tx_tree_val(pair->value, pair->value_bytes), backward, pair);
}

int
tx_tree_long_seek(struct tx_tree_cursor *cursor, struct txkv_bytes rest, bool backward,
                  struct tx_tree_pair *pair)
{
    MDB_val k = tx_tree_val(pair->key, pair->key_bytes);
    MDB_val v = tx_tree_val(pair->value, pair->value_bytes);
    bool exact = false;
    int e;

    cursor->depth = 0;
    e = begin_key(cursor);
    while (e == 0) {
        const MDB_val chunk = chunk_of(cursor, &k);
        struct tx_tree_entry entry;

        if (!tx_tree_entry_decode(&v, &entry))
            return MDB_CORRUPTED;
        if (entry.node == 0) {
            const int order = compare_tail(&entry, rest);

            return (backward ? order <= 0 : order >= 0) ? hand_out(cursor, &chunk, &entry, pair)
                                                        : advance(cursor, backward, pair);
        }
        e = push(cursor, &chunk, entry.node);
        if (e == 0)
            e = find(cursor, rest, backward, &k, &v, &exact);
        if (e == MDB_NOTFOUND) {
            e = pop(cursor);
            return e == 0 ? advance(cursor, backward, pair) : e;
        }
        if (e == 0 && (!exact || k.mv_size < TX_TREE_ENTRY_BYTES))
            return descend(cursor, k, v, backward, pair);
        rest = (struct txkv_bytes){ rest.data + TX_TREE_CHUNK_BYTES,
                                    rest.bytes - TX_TREE_CHUNK_BYTES };
    }
    return e;
}

int
tx_tree_long_step(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair)
{
    const int e = begin_key(cursor);

    return e == 0 ? advance(cursor, backward, pair) : e;
}

int
tx_tree_long_renew(struct tx_tree_cursor *cursor)
{
    if (cursor->path->nodes == NULL)
        return 0;
    return mdb_cursor_renew(cursor->read->txn, cursor->path->nodes);
}

void
tx_tree_long_free(struct tx_tree_cursor *cursor)
{
    struct tx_tree_path *path = cursor->path;

    if (path == NULL)
        return;
    mdb_cursor_close(path->nodes);
    tx_free(path->keys[0].data);
    tx_free(path->keys[1].data);
    tx_free(path);
    cursor->path = NULL;
}
