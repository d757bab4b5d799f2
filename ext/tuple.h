/*
 * tuple.h - several values as one key: memcmp of two encodings of equally many values is SQLite's
 * comparison of the values one after the other, each by its collation, NULL first.
 *
 * Every value but the last one of a primary key is written with an end:
 *
 *   0x08 0x00                    NULL
 *   the value's key (keycodec.h) with each zero byte followed by 0xff, then 0x00
 *
 * The byte behind an end is the tag of the next value, below 0xff, so a value comes before those
 * that it is a prefix of. The last value of a primary key is written as its key, as it is; thus a
 * primary key of one column is the value's key. An index has all its values with an end, and behind
 * them the primary key of the row.
 *
 * NOCASE texts are written in small letters (of ASCII), RTRIM texts without spaces at the end: two
 * that are equal have one encoding.
 *
 * Any thread that owns the cells.
 */
#ifndef TX_TUPLE_H
#define TX_TUPLE_H

#include <string.h>

#include "keycodec.h"

/* A longer tuple takes an allocation. */
#define TX_TUPLE_OWN_BYTES 512u

/* Not to be copied as a struct. */
struct tx_tuple {
    uint8_t *data; /* `own`, or allocated */
    size_t bytes, room;
    bool too_big;   /* data holds the first TXKV_KEY_BYTES_MAX bytes only */
    bool no_memory; /* data holds what there was room for */
    uint8_t own[TX_TUPLE_OWN_BYTES];
};

static inline void
tx_tuple_clear(struct tx_tuple *tuple)
{
    tuple->bytes = 0;
    tuple->too_big = tuple->no_memory = false;
}

static inline void
tx_tuple_init(struct tx_tuple *tuple)
{
    tuple->data = tuple->own;
    tuple->room = sizeof(tuple->own);
    tx_tuple_clear(tuple);
}

static inline void
tx_tuple_free(struct tx_tuple *tuple)
{
    if (tuple->data != tuple->own)
        sqlite3_free(tuple->data);
}

/* What it holds, until it is changed or freed. */
static inline struct txkv_bytes
tx_tuple_bytes(const struct tx_tuple *tuple)
{
    return (struct txkv_bytes){ tuple->data, tuple->bytes };
}

/* tx_tuple_append, where there is no room yet. */
void tx_tuple_append_slow(struct tx_tuple *tuple, const uint8_t *data, size_t bytes);

/* Append bytes as they are. */
static inline void
tx_tuple_append(struct tx_tuple *tuple, const uint8_t *data, size_t bytes)
{
    if (bytes > tuple->room - tuple->bytes) {
        tx_tuple_append_slow(tuple, data, bytes);
        return;
    }
    if (bytes > 0)
        memcpy(tuple->data + tuple->bytes, data, bytes);
    tuple->bytes += bytes;
}

/* Make one what the other is. */
static inline void
tx_tuple_copy(struct tx_tuple *to, const struct tx_tuple *from)
{
    tx_tuple_clear(to);
    tx_tuple_append(to, from->data, from->bytes);
    to->too_big = from->too_big;
    to->no_memory = to->no_memory || from->no_memory;
}

/* Leave the first bytes, of a tuple that had no more when it was good. */
static inline void
tx_tuple_cut(struct tx_tuple *tuple, size_t bytes)
{
    tx_tuple_clear(tuple);
    tuple->bytes = bytes;
}

/* Append a value with an end. */
void tx_tuple_add(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation);

/* Append the last value, not NULL, without an end. */
void tx_tuple_add_last(struct tx_tuple *tuple, const struct tx_cell *cell,
                       enum tx_collation collation);

/*
 * Whether decoding gives exactly this value back; when it does not (a real that is an integer,
 * -0.0, a text whose collation is not BINARY), the row must hold it.
 */
bool tx_tuple_restores(const struct tx_cell *cell, enum tx_collation collation);

/* The first byte behind `count` values with an end, or NULL when the bytes are damaged. */
const uint8_t *tx_tuple_skip(const uint8_t *key, const uint8_t *end, int count);

/*
 * The key (keycodec.h) of value `place` of `count`, the last of which has no end; of a NULL its tag
 * alone. False when the bytes are damaged, or out->no_memory is true.
 */
bool tx_tuple_value(struct txkv_bytes key, int count, int place, struct tx_tuple *out);

/*
 * Value `place` of a key of `count` values as tx_key_integer reads it; false also for what has to
 * be taken apart with tx_tuple_cell.
 */
bool tx_tuple_integer(struct txkv_bytes key, int count, int place, int64_t *out);

/* The same, given to SQLite as a result; nothing is given when it is false. */
bool tx_tuple_integer_result(sqlite3_context *context, struct txkv_bytes key, int count, int place);

/*
 * Value `place` of a key of `count` values; only one with an end may be NULL. Its bytes are in
 * `room`, or in the key. False when the key is damaged, or room->no_memory is true.
 */
bool tx_tuple_cell(struct txkv_bytes key, int count, int place, struct tx_tuple *room,
                   struct tx_cell *out);

#endif /* TX_TUPLE_H */
