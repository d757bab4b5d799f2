/*
 * tree_long.h - keys that are longer than LMDB's, as paths through nodes: what tree.c, tree_meta.c,
 * tree_read.c and tree_batch.c know of them.
 *
 * LMDB's keys have at most TX_TREE_ENTRY_BYTES bytes. A shorter key of a table stands as it is. Of
 * a longer one, or one of exactly that many, the first TX_TREE_ENTRY_BYTES bytes are the LMDB key,
 * and so an LMDB key of full length is never a key but an *entry* of all the keys that begin with
 * it. Its value says how these go on:
 *
 *   0x01, varint, tail, row   one key alone: its other bytes, how many, and its value
 *   0x02, 8 bytes             two keys at least, at some time: they go on in the node of
 *                             that number
 *
 * The nodes of all tables stand in one named database, "long". What is in a node has LMDB keys of
 *
 *   the table's number, 4 bytes, the node's, 8 bytes, both big-endian, and the keys' next bytes:
 *   at most TX_TREE_CHUNK_BYTES of them
 *
 * with fewer bytes there, none too, it is the key's end and the value is the key's; with all of
 * them it is an entry, like those of the table. So the order of LMDB is the keys' order at every
 * level, a key that no other shares its start with costs one look, and a node that is left empty
 * goes.
 *
 * Numbers of nodes are given out by the batch: one more than the table's last. They mean nothing
 * outside their LMDB transaction.
 *
 * Layer 4: tree_private.h.
 */
#ifndef TX_TREE_LONG_H
#define TX_TREE_LONG_H

#include "tree_private.h"

#define TX_TREE_ENTRY_BYTES      511u
#define TX_TREE_NODE_BYTES       12u
#define TX_TREE_CHUNK_BYTES      (TX_TREE_ENTRY_BYTES - TX_TREE_NODE_BYTES)
#define TX_TREE_NODE_ENTRY_BYTES 9u
/* Nodes on the longest key's path, and one for what a damaged file may say. */
#define TX_TREE_DEPTH_MAX ((TXKV_KEY_BYTES_MAX - TX_TREE_ENTRY_BYTES) / TX_TREE_CHUNK_BYTES + 1)

/* What an entry says. */
struct tx_tree_entry {
    uint64_t node;             /* 0: one key alone, and this is the rest of it: */
    const uint8_t *tail, *row; /* in LMDB's memory */
    uint32_t tail_bytes, row_bytes;
};

/* False when the bytes are damaged. */
bool tx_tree_entry_decode(const MDB_val *value, struct tx_tree_entry *out);

/* Bytes of an entry of one key alone without its row, and writing them; returns the row's place. */
uint32_t tx_tree_entry_bytes(uint32_t tail_bytes);
uint8_t *tx_tree_entry_encode(uint8_t *p, const uint8_t *tail, uint32_t tail_bytes);

/* An entry of keys that go on in a node. */
void tx_tree_entry_encode_node(uint8_t bytes[TX_TREE_NODE_ENTRY_BYTES], uint64_t node);

/* The LMDB key of a node's chunk: the first bytes of `rest`, as many as fit. `room` holds it. */
MDB_val tx_tree_node_key(uint8_t room[TX_TREE_ENTRY_BYTES], uint32_t table, uint64_t node,
                         const uint8_t *rest, size_t rest_bytes);

/* The node that an LMDB key of "long" belongs to, or 0 when it is not of the table. */
uint64_t tx_tree_node_number(const MDB_val *key, uint32_t table);

/* Whether an LMDB key of "long" belongs to the node. */
bool tx_tree_in_node(const MDB_val *key, uint32_t table, uint64_t node);

/* The meta key of the number of keys that a table has beyond its LMDB entries: 8 bytes, absent for
 * none. */
void tx_tree_extra_key(uint8_t key[TX_TREE_TABLE_KEY_BYTES], uint32_t table);

/* ---- reads ---- */

/* tx_tree_get for a key of TX_TREE_ENTRY_BYTES bytes or more. */
TX_MUST_CHECK enum txkv_rc tx_tree_long_get(struct tx_tree_read *read, uint32_t table, MDB_dbi dbi,
                                            struct txkv_bytes key, struct txkv_bytes *value,
                                            struct txkv_error *err);

/* Keys of the table that mdb_stat does not count. */
uint64_t tx_tree_long_extra(const struct tx_tree_read *read, uint32_t table);

/*
 * The three ways in which a cursor moves among long keys; each gives LMDB's result. A key that is
 * handed out in *pair is valid until the next but one is.
 *
 * enter: the cursor over the table stands on the entry that *pair holds; go to its first key, or,
 * backward, its last. seek: the same, to the first one that is not less than the entry's bytes and
 * then `rest`, or, backward, the last one that is not greater. step: from a key that is in a node
 * to the next. MDB_NOTFOUND from these: there is none below the entry, and the cursor over the
 * table is to move on.
 */
int tx_tree_long_enter(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair);
int tx_tree_long_seek(struct tx_tree_cursor *cursor, struct txkv_bytes rest, bool backward,
                      struct tx_tree_pair *pair);
int tx_tree_long_step(struct tx_tree_cursor *cursor, bool backward, struct tx_tree_pair *pair);

/* When the read is begun again, of a cursor that has a path, and when the cursor goes. */
int tx_tree_long_renew(struct tx_tree_cursor *cursor);
void tx_tree_long_free(struct tx_tree_cursor *cursor);

/* ---- the batch ---- */

/* What a batch needs to write long keys of one table. */
struct tx_tree_long_writer {
    MDB_txn *txn;
    MDB_cursor *table_cursor;
    MDB_dbi dbi; /* of "long" */
    uint32_t table;
    MDB_cursor *nodes;  /* over "long"; NULL before it is needed */
    uint64_t last_node; /* the highest number of a node; 0: not looked up yet */
    int64_t extra;      /* by how much tx_tree_long_extra changes */
};

/* LMDB's result. `flags`: MDB_APPEND when the key's entry is beyond all others if it is new. */
int tx_tree_long_put(struct tx_tree_long_writer *w, struct txkv_bytes key, struct txkv_bytes value,
                     unsigned flags);

/* LMDB's result; a key that is not there is none of its errors. */
int tx_tree_long_delete(struct tx_tree_long_writer *w, struct txkv_bytes key);

/* Store what has changed in the number of keys. LMDB's result. */
int tx_tree_long_count(const struct tx_tree_long_writer *w, MDB_dbi meta_dbi);

/* Remove what a table that is dropped has besides its database. LMDB's result. */
int tx_tree_long_drop(MDB_txn *txn, MDB_dbi long_dbi, MDB_dbi meta_dbi, uint32_t table);

#endif /* TX_TREE_LONG_H */
