/*
 * tree_long_batch.c - writing keys that are longer than LMDB's; tree_long.h has the format.
 *
 * Threads: the batch's (tree_batch.c).
 */
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "mem.h"
#include "tree_long.h"

enum { EXTRA_BYTES = 8 };

/* ---- pieces ---- */

static int
open_nodes(struct tx_tree_long_writer *w)
{
    return w->nodes != NULL ? 0 : mdb_cursor_open(w->txn, w->dbi, &w->nodes);
}

/* A number that no node of the table has. */
static int
new_node(struct tx_tree_long_writer *w, uint64_t *node)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k = tx_tree_node_key(room, w->table + 1, 0, NULL, 0), v;
    int e = 0;

    if (w->last_node == 0) {
        e = mdb_cursor_get(w->nodes, &k, &v, MDB_SET_RANGE);
        if (e == 0)
            e = mdb_cursor_get(w->nodes, &k, &v, MDB_PREV);
        else if (e == MDB_NOTFOUND)
            e = mdb_cursor_get(w->nodes, &k, &v, MDB_LAST);
        if (e == 0)
            w->last_node = tx_tree_node_number(&k, w->table);
        if (e == MDB_NOTFOUND)
            e = 0;
    }
    *node = ++w->last_node;
    return e == 0 && *node >= UINT64_MAX - 1 ? MDB_CORRUPTED : e;
}

static int
put_node(MDB_cursor *cursor, MDB_val k, uint64_t node)
{
    uint8_t bytes[TX_TREE_NODE_ENTRY_BYTES];
    MDB_val v = tx_tree_val(bytes, sizeof bytes);

    tx_tree_entry_encode_node(bytes, node);
    return mdb_cursor_put(cursor, &k, &v, 0);
}

/* An entry of one key alone. */
static int
put_entry(MDB_cursor *cursor, MDB_val k, struct txkv_bytes tail, struct txkv_bytes value,
          unsigned flags)
{
    const uint32_t head_bytes = tx_tree_entry_bytes((uint32_t)tail.bytes);
    MDB_val v = tx_tree_val(NULL, head_bytes + value.bytes);
    uint8_t *row;
    int e;

    e = mdb_cursor_put(cursor, &k, &v, flags | MDB_RESERVE);
    if (e != 0)
        return e;
    row = tx_tree_entry_encode(v.mv_data, tail.data, (uint32_t)tail.bytes);
    if (value.bytes > 0)
        memcpy(row, value.data, value.bytes);
    return 0;
}

static struct txkv_bytes
behind(struct txkv_bytes bytes, size_t taken)
{
    return (struct txkv_bytes){ bytes.data + taken, bytes.bytes - taken };
}

/* A key that goes on with `rest` into a node where nothing has its chunk. */
static int
put_in_node(struct tx_tree_long_writer *w, uint64_t node, struct txkv_bytes rest,
            struct txkv_bytes value)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k = tx_tree_node_key(room, w->table, node, rest.data, rest.bytes);
    MDB_val v = tx_tree_val(value.data, value.bytes);

    if (k.mv_size < TX_TREE_ENTRY_BYTES)
        return mdb_cursor_put(w->nodes, &k, &v, 0);
    return put_entry(w->nodes, k, behind(rest, TX_TREE_CHUNK_BYTES), value, 0);
}

/* ---- putting ---- */

/* Another key comes to an entry of one alone: both go on in nodes, as deep as they are the same. */
static int
split(struct tx_tree_long_writer *w, MDB_cursor *cursor, MDB_val k,
      const struct tx_tree_entry *entry, struct txkv_bytes rest, struct txkv_bytes value)
{
    const size_t bytes = (size_t)entry->tail_bytes + entry->row_bytes;
    uint8_t *copy = tx_malloc(bytes + 1), room[TX_TREE_ENTRY_BYTES];
    struct txkv_bytes tail, row;
    uint64_t node;
    int e;

    if (copy == NULL)
        return ENOMEM;
    tail = (struct txkv_bytes){ copy, entry->tail_bytes };
    row = (struct txkv_bytes){ copy + entry->tail_bytes, entry->row_bytes };
    memcpy(copy, entry->tail, bytes); /* LMDB moves what it holds when it is written to */
    e = new_node(w, &node);
    if (e == 0)
        e = put_node(cursor, k, node);
    while (e == 0 && tail.bytes >= TX_TREE_CHUNK_BYTES && rest.bytes >= TX_TREE_CHUNK_BYTES &&
           memcmp(tail.data, rest.data, TX_TREE_CHUNK_BYTES) == 0) {
        k = tx_tree_node_key(room, w->table, node, rest.data, rest.bytes);
        e = new_node(w, &node);
        if (e == 0)
            e = put_node(w->nodes, k, node);
        tail = behind(tail, TX_TREE_CHUNK_BYTES);
        rest = behind(rest, TX_TREE_CHUNK_BYTES);
    }
    if (e == 0)
        e = put_in_node(w, node, tail, row);
    if (e == 0)
        e = put_in_node(w, node, rest, value);
    tx_free(copy);
    if (e == 0)
        w->extra++;
    return e;
}

int
tx_tree_long_put(struct tx_tree_long_writer *w, struct txkv_bytes key, struct txkv_bytes value,
                 unsigned flags)
{
    struct txkv_bytes rest = behind(key, TX_TREE_ENTRY_BYTES);
    MDB_val k = tx_tree_val(key.data, TX_TREE_ENTRY_BYTES), v;
    MDB_cursor *cursor = w->table_cursor;
    uint8_t room[TX_TREE_ENTRY_BYTES];
    struct tx_tree_entry entry;
    int e;

    if (key.bytes > TXKV_KEY_BYTES_MAX)
        return MDB_BAD_VALSIZE;
    e = mdb_cursor_get(cursor, &k, &v, MDB_SET);
    if (e == MDB_NOTFOUND)
        return put_entry(cursor, k, rest, value, flags);
    if (e == 0)
        e = open_nodes(w);
    while (e == 0) {
        if (!tx_tree_entry_decode(&v, &entry))
            return MDB_CORRUPTED;
        if (entry.node == 0 && entry.tail_bytes == rest.bytes &&
            memcmp(entry.tail, rest.data, rest.bytes) == 0)
            return put_entry(cursor, k, rest, value, 0);
        if (entry.node == 0)
            return split(w, cursor, k, &entry, rest, value);
        cursor = w->nodes;
        k = tx_tree_node_key(room, w->table, entry.node, rest.data, rest.bytes);
        e = mdb_cursor_get(cursor, &k, &v, MDB_SET);
        if (e == MDB_NOTFOUND) {
            e = put_in_node(w, entry.node, rest, value);
            w->extra += e == 0;
            return e;
        }
        if (e == 0 && k.mv_size < TX_TREE_ENTRY_BYTES) {
            v = tx_tree_val(value.data, value.bytes);
            return mdb_cursor_put(cursor, &k, &v, 0);
        }
        rest = behind(rest, TX_TREE_CHUNK_BYTES);
    }
    return e;
}

/* ---- deleting ---- */

/* A key's way through the nodes, and where it has come to. */
struct way {
    uint32_t depth;
    MDB_cursor *cursor; /* on what is to go */
    uint64_t nodes[TX_TREE_DEPTH_MAX];
};

/* MDB_NOTFOUND: there is no such key. */
static int
find_way(struct tx_tree_long_writer *w, struct txkv_bytes key, struct way *way)
{
    struct txkv_bytes rest = behind(key, TX_TREE_ENTRY_BYTES);
    MDB_val k = tx_tree_val(key.data, TX_TREE_ENTRY_BYTES), v;
    uint8_t room[TX_TREE_ENTRY_BYTES];
    struct tx_tree_entry entry;
    int e;

    way->depth = 0;
    way->cursor = w->table_cursor;
    for (;;) {
        e = mdb_cursor_get(way->cursor, &k, &v, MDB_SET);
        if (e != 0 || k.mv_size < TX_TREE_ENTRY_BYTES)
            return e;
        if (!tx_tree_entry_decode(&v, &entry))
            return MDB_CORRUPTED;
        if (entry.node == 0)
            return entry.tail_bytes == rest.bytes && memcmp(entry.tail, rest.data, rest.bytes) == 0
                       ? 0
                       : MDB_NOTFOUND;
        e = open_nodes(w);
        if (e != 0)
            return e;
        way->cursor = w->nodes;
        way->nodes[way->depth++] = entry.node;
        k = tx_tree_node_key(room, w->table, entry.node, rest.data, rest.bytes);
        rest = behind(rest, k.mv_size - TX_TREE_NODE_BYTES);
    }
}

/* Whether nothing is left in a node. LMDB's result. */
static int
look_into(struct tx_tree_long_writer *w, uint64_t node, bool *is_empty)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k = tx_tree_node_key(room, w->table, node, NULL, 0), v;
    const int e = mdb_cursor_get(w->nodes, &k, &v, MDB_SET_RANGE);

    *is_empty = e == MDB_NOTFOUND || !tx_tree_in_node(&k, w->table, node);
    return e == MDB_NOTFOUND ? 0 : e;
}

/* Stand on the entry that leads from the way's depth on. */
static int
find_entry(struct tx_tree_long_writer *w, struct txkv_bytes key, struct way *way)
{
    uint8_t room[TX_TREE_ENTRY_BYTES];
    MDB_val k = tx_tree_val(key.data, TX_TREE_ENTRY_BYTES), v;

    way->cursor = w->table_cursor;
    if (way->depth > 0) {
        const struct txkv_bytes rest =
            behind(key, TX_TREE_ENTRY_BYTES + (way->depth - 1) * TX_TREE_CHUNK_BYTES);

        way->cursor = w->nodes;
        k = tx_tree_node_key(room, w->table, way->nodes[way->depth - 1], rest.data, rest.bytes);
    }
    return mdb_cursor_get(way->cursor, &k, &v, MDB_SET);
}

int
tx_tree_long_delete(struct tx_tree_long_writer *w, struct txkv_bytes key)
{
    struct way way;
    int e = key.bytes > TXKV_KEY_BYTES_MAX ? MDB_BAD_VALSIZE : find_way(w, key, &way);

    if (e == MDB_NOTFOUND)
        return 0;
    if (e == 0)
        e = mdb_cursor_del(way.cursor, 0);
    /* What is left empty goes, up to the table. */
    while (e == 0 && way.depth > 0) {
        bool is_empty;

        e = look_into(w, way.nodes[way.depth - 1], &is_empty);
        if (e == 0 && !is_empty) {
            w->extra--;
            return 0;
        }
        way.depth--;
        if (e == 0)
            e = find_entry(w, key, &way);
        if (e == 0)
            e = mdb_cursor_del(way.cursor, 0);
    }
    return e == MDB_NOTFOUND ? MDB_CORRUPTED : e;
}

/* ---- the table as a whole ---- */

int
tx_tree_long_count(const struct tx_tree_long_writer *w, MDB_dbi meta_dbi)
{
    uint8_t key[TX_TREE_TABLE_KEY_BYTES], bytes[EXTRA_BYTES];
    MDB_val k = tx_tree_val(key, sizeof key), v;
    uint64_t extra = 0;
    int e;

    if (w->extra == 0)
        return 0;
    tx_tree_extra_key(key, w->table);
    e = mdb_get(w->txn, meta_dbi, &k, &v);
    if (e == 0 && v.mv_size == EXTRA_BYTES)
        extra = tx_get_u64(v.mv_data);
    if (e != 0 && e != MDB_NOTFOUND)
        return e;
    extra += (uint64_t)w->extra;
    if (extra == 0)
        return mdb_del(w->txn, meta_dbi, &k, NULL);
    tx_put_u64(bytes, extra);
    v = tx_tree_val(bytes, sizeof bytes);
    return mdb_put(w->txn, meta_dbi, &k, &v, 0);
}

int
tx_tree_long_drop(MDB_txn *txn, MDB_dbi long_dbi, MDB_dbi meta_dbi, uint32_t table)
{
    uint8_t room[TX_TREE_ENTRY_BYTES], extra[TX_TREE_TABLE_KEY_BYTES];
    MDB_val k = tx_tree_node_key(room, table, 0, NULL, 0), v;
    MDB_cursor *cursor;
    int e = mdb_cursor_open(txn, long_dbi, &cursor);

    if (e != 0)
        return e;
    for (e = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
         e == 0 && tx_tree_node_number(&k, table) != 0;
         e = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        e = mdb_cursor_del(cursor, 0);
        if (e != 0)
            break;
    }
    mdb_cursor_close(cursor);
    if (e != 0 && e != MDB_NOTFOUND)
        return e;
    tx_tree_extra_key(extra, table);
    k = tx_tree_val(extra, sizeof extra);
    e = mdb_del(txn, meta_dbi, &k, NULL);
    return e == MDB_NOTFOUND ? 0 : e;
}
