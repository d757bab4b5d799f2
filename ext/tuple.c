/*
 * tuple.c - several values as one key; tuple.h has the format.
 */
#include "tuple.h"

#include <assert.h>
#include <string.h>

enum { TAG_NULL = 0x08, TAG_TEXT = 0x20, TAG_BLOB = 0x30, END = 0x00, ESCAPED = 0xff };

/* Room for more bytes, or for as many as can be; says for how many. */
static size_t
make_room(struct tx_tuple *tuple, size_t bytes)
{
    size_t room = tuple->bytes + bytes;
    uint8_t *data;

    if (bytes > TXKV_KEY_BYTES_MAX - tuple->bytes) {
        tuple->too_big = true;
        bytes = TXKV_KEY_BYTES_MAX - tuple->bytes;
        room = TXKV_KEY_BYTES_MAX;
    }
    if (room <= tuple->room)
        return bytes;
    room = room + room / 2 < TXKV_KEY_BYTES_MAX ? room + room / 2 : TXKV_KEY_BYTES_MAX;
    data = sqlite3_realloc64(tuple->data == tuple->own ? NULL : tuple->data, room);
    if (data == NULL) {
        tuple->no_memory = true;
        return tuple->room - tuple->bytes;
    }
    if (tuple->data == tuple->own)
        memcpy(data, tuple->own, tuple->bytes);
    tuple->data = data;
    tuple->room = room;
    return bytes;
}

void
tx_tuple_append_slow(struct tx_tuple *tuple, const uint8_t *data, size_t bytes)
{
    bytes = make_room(tuple, bytes);
    if (bytes > 0)
        memcpy(tuple->data + tuple->bytes, data, bytes);
    tuple->bytes += bytes;
}

static void
append_byte(struct tx_tuple *tuple, uint8_t byte)
{
    if (tuple->bytes < tuple->room)
        tuple->data[tuple->bytes++] = byte;
    else
        tx_tuple_append_slow(tuple, &byte, 1);
}

static void
append_escaped(struct tx_tuple *tuple, const uint8_t *data, size_t bytes)
{
    while (bytes > 0 && !tuple->too_big && !tuple->no_memory) {
        const uint8_t *zero = memchr(data, 0, bytes);
        const size_t clean = zero == NULL ? bytes : (size_t)(zero - data) + 1;

        tx_tuple_append(tuple, data, clean);
        if (zero != NULL)
            append_byte(tuple, ESCAPED);
        data += clean;
        bytes -= clean;
    }
}

/* A text or blob, in pieces so that no copy of a long one is needed. */
static void
append_bytes(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation,
             bool is_last)
{
    size_t left = cell->bytes;
    const uint8_t *from = cell->data;
    uint8_t piece[64];

    if (cell->type == SQLITE_TEXT && collation == TX_COLLATION_RTRIM)
        while (left > 0 && from[left - 1] == ' ')
            left--;
    append_byte(tuple, cell->type == SQLITE_TEXT ? TAG_TEXT : TAG_BLOB);
    while (left > 0 && !tuple->too_big && !tuple->no_memory) {
        const size_t now = left < sizeof(piece) ? left : sizeof(piece);

        memcpy(piece, from, now);
        if (cell->type == SQLITE_TEXT && collation == TX_COLLATION_NOCASE)
            for (size_t i = 0; i < now; i++)
                piece[i] |= piece[i] >= 'A' && piece[i] <= 'Z' ? 0x20 : 0;
        if (is_last)
            tx_tuple_append(tuple, piece, now);
        else
            append_escaped(tuple, piece, now);
        from += now;
        left -= now;
    }
}

static void
append_cell(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation,
            bool is_last)
{
    struct tx_keybuf number;

    if (cell->type == SQLITE_NULL) {
        append_byte(tuple, TAG_NULL);
    } else if (cell->type == SQLITE_TEXT || cell->type == SQLITE_BLOB) {
        append_bytes(tuple, cell, collation, is_last);
    } else {
        (void)tx_key_encode_cell(cell, &number); /* a number always fits */
        if (is_last)
            tx_tuple_append(tuple, number.data, number.bytes);
        else
            append_escaped(tuple, number.data, number.bytes);
    }
}

void
tx_tuple_add(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation)
{
    append_cell(tuple, cell, collation, false);
    append_byte(tuple, END);
}

void
tx_tuple_add_last(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation)
{
    assert(cell->type != SQLITE_NULL);
    append_cell(tuple, cell, collation, true);
}

bool
tx_tuple_restores(const struct tx_cell *cell, enum tx_collation collation)
{
    struct tx_keybuf number;

    if (cell->type == SQLITE_TEXT)
        return collation == TX_COLLATION_BINARY;
    if (cell->type != SQLITE_FLOAT)
        return true;
    return tx_key_encode_cell(cell, &number) == TX_KEY_OK && number.note == TX_KEY_AS_IS;
}

/* The end of the value at p: the zero byte that no 0xff follows; NULL when there is none. */
static const uint8_t *
find_end(const uint8_t *p, const uint8_t *end)
{
    enum { SHORT = 12 }; /* a number's end is nearer than a call of memchr */

    for (int i = 0; i < SHORT && p < end; i++, p++)
        if (*p == END) {
            if (p + 1 == end || p[1] != ESCAPED)
                return p;
            p++;
        }
    while (p < end && (p = memchr(p, END, (size_t)(end - p))) != NULL) {
        if (p + 1 == end || p[1] != ESCAPED)
            return p;
        p += 2;
    }
    return NULL;
}

const uint8_t *
tx_tuple_skip(const uint8_t *key, const uint8_t *end, int count)
{
    for (; count > 0; count--) {
        key = find_end(key, end);
        if (key == NULL)
            return NULL;
        key++;
    }
    return key;
}

bool
tx_tuple_value(struct txkv_bytes key, int count, int place, struct tx_tuple *out)
{
    const uint8_t *end = key.data + key.bytes;
    const uint8_t *p = tx_tuple_skip(key.data, end, place);

    tx_tuple_clear(out);
    if (p == NULL || key.bytes > TXKV_KEY_BYTES_MAX)
        return false;
    if (place == count - 1) {
        tx_tuple_append(out, p, (size_t)(end - p));
        return !out->no_memory;
    }
    end = find_end(p, end);
    if (end == NULL)
        return false;
    if ((size_t)(end - p) > out->room && make_room(out, (size_t)(end - p)) < (size_t)(end - p))
        return false;
    while (p < end) {
        out->data[out->bytes++] = *p;
        p += *p == 0 ? 2 : 1;
    }
    return true;
}

/* Value `place` of a key of `count` values, as its own key; false for what has a zero byte in it,
 * or no end. */
static inline bool
find_plain_value(struct txkv_bytes key, int count, int place, struct txkv_bytes *out)
{
    const uint8_t *end = key.data + key.bytes;
    const uint8_t *p = tx_tuple_skip(key.data, end, place);

    if (p == NULL)
        return false;
    if (place < count - 1) {
        const uint8_t *zero = p;

        while (zero < end && *zero != END)
            zero++;
        if (zero == end || (zero + 1 < end && zero[1] == ESCAPED))
            return false;
        end = zero;
    }
    *out = (struct txkv_bytes){ p, (size_t)(end - p) };
    return true;
}

bool
tx_tuple_integer(struct txkv_bytes key, int count, int place, int64_t *out)
{
    return (count == 1 || find_plain_value(key, count, place, &key)) &&
           tx_key_integer(key.data, key.bytes, out);
}

bool
tx_tuple_integer_result(sqlite3_context *context, struct txkv_bytes key, int count, int place)
{
    return (count == 1 || find_plain_value(key, count, place, &key)) &&
           tx_key_integer_result(context, key.data, key.bytes);
}

bool
tx_tuple_cell(struct txkv_bytes key, int count, int place, struct tx_tuple *room,
              struct tx_cell *out)
{
    if (place == count - 1) { /* the last value is its key as it is */
        const uint8_t *end = key.data + key.bytes, *p = tx_tuple_skip(key.data, end, place);

        return p != NULL && tx_key_cell(p, (size_t)(end - p), TX_KEY_AS_IS, out);
    }
    if (!tx_tuple_value(key, count, place, room))
        return false;
    if (room->bytes == 1 && room->data[0] == TAG_NULL) {
        out->type = SQLITE_NULL;
        return true;
    }
    return tx_key_cell(room->data, room->bytes, TX_KEY_AS_IS, out);
}
