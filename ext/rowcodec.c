/*
 * rowcodec.c - the columns that are not the key, as the value of a row; rowcodec.h has the format.
 *
 * The number of columns stands in the row, so that the types end where the row says, and the bytes
 * of a column are found without knowing what the table looked like when the row was written.
 * Reading trusts nothing: every type and length is checked against the end of the row before it is
 * used.
 */
#include "rowcodec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

enum {
    NOTE_MASK = 3,
    COLUMNS_SHIFT = 2,
    COLUMNS_INLINE = 63, /* from here on the rest of the number is a varint */

    TYPE_NULL = 0,
    TYPE_INT_MAX = 8,
    TYPE_REAL = 9,
    TYPE_ZERO = 10,
    TYPE_ONE = 11,
    TYPE_BLOB = 12, /* even ones are blobs, odd ones texts */
    TYPE_TEXT = 13
};

static uint32_t
varint_bytes(uint64_t v)
{
    uint32_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Returns the byte after the varint, or NULL when it goes beyond `end` or 63 bits. */
static const uint8_t *
get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; p < end && shift < 63; shift += 7) {
        const uint8_t byte = *p++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

static uint64_t
type_of_integer(int64_t v)
{
    const uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

    if (magnitude <= 1 && v >= 0)
        return v == 0 ? TYPE_ZERO : TYPE_ONE;
    /* One bit more than the magnitude has, for the sign, in whole bytes. */
    return (uint64_t)(64 - __builtin_clzll(magnitude | 1)) / 8 + 1;
}

/* False when SQLite is out of memory. */
static bool
type_of_value(sqlite3_value *value, uint64_t *type)
{
    uint64_t bytes;

    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
        *type = type_of_integer(sqlite3_value_int64(value));
        return true;
    case SQLITE_FLOAT:
        *type = TYPE_REAL;
        return true;
    case SQLITE_TEXT:
        if (sqlite3_value_text(value) == NULL)
            return false;
        *type = TYPE_TEXT + 2 * (uint64_t)sqlite3_value_bytes(value);
        return true;
    case SQLITE_BLOB:
        /* The length first: when a zeroblob finds no memory its value turns into NULL. */
        bytes = (uint64_t)sqlite3_value_bytes(value);
        *type = TYPE_BLOB + 2 * bytes;
        return bytes == 0 || sqlite3_value_blob(value) != NULL;
    default:
        *type = TYPE_NULL;
        return true;
    }
}

static uint64_t
bytes_of_type(uint64_t type)
{
    if (type >= TYPE_BLOB)
        return (type - TYPE_BLOB) / 2;
    if (type <= TYPE_INT_MAX)
        return type;
    return type == TYPE_REAL ? sizeof(double) : 0;
}

size_t
tx_row_bytes(int count, sqlite3_value **values)
{
    size_t total = 1;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    if (count >= COLUMNS_INLINE)
        total += varint_bytes((uint64_t)(count - COLUMNS_INLINE));
    for (int i = 0; i < count; i++) {
        uint64_t type;

        if (!type_of_value(values[i], &type))
            return 0;
        total += varint_bytes(type) + bytes_of_type(type);
    }
    return total;
}

/* Writes the value's bytes at p; returns the byte after them. */
static uint8_t *
put_value(uint8_t *p, uint64_t type, sqlite3_value *value)
{
    const size_t bytes = (size_t)bytes_of_type(type);
    const void *from = NULL;
    uint64_t number;
    double real;

    if (bytes == 0)
        return p;
    if (type >= TYPE_BLOB) {
        from = type % 2 == 0 ? sqlite3_value_blob(value) : sqlite3_value_text(value);
    } else {
        if (type == TYPE_REAL) {
            real = sqlite3_value_double(value);
            memcpy(&number, &real, sizeof(number));
        } else {
            number = (uint64_t)sqlite3_value_int64(value);
        }
        number = htole64(number);
        from = &number;
    }
    memcpy(p, from, bytes);
    return p + bytes;
}

void
tx_row_encode(uint8_t *out, enum tx_key_note note, int count, sqlite3_value **values)
{
    const int inlined = count < COLUMNS_INLINE ? count : COLUMNS_INLINE;
    uint8_t *p = out;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    assert((unsigned)note <= NOTE_MASK);
    *p++ = (uint8_t)((unsigned)note | (unsigned)inlined << COLUMNS_SHIFT);
    if (inlined == COLUMNS_INLINE)
        p = put_varint(p, (uint64_t)(count - COLUMNS_INLINE));

    const uint8_t *types = p;

    for (int i = 0; i < count; i++) {
        uint64_t type = TYPE_NULL;
        const bool has_memory = type_of_value(values[i], &type);

        assert(has_memory); /* tx_row_bytes has converted it */
        (void)has_memory;
        p = put_varint(p, type);
    }

    const uint8_t *types_end = p;

    for (int i = 0; i < count; i++) {
        uint64_t type = TYPE_NULL;

        types = get_varint(types, types_end, &type);
        assert(types != NULL);
        p = put_value(p, type, values[i]);
    }
}

enum tx_key_note
tx_row_note(const uint8_t *row, size_t bytes)
{
    return bytes == 0 ? TX_KEY_AS_IS : (enum tx_key_note)(row[0] & NOTE_MASK);
}

static int64_t
get_integer(const uint8_t *p, size_t bytes)
{
    const unsigned unused_bits = 64 - 8 * (unsigned)bytes;
    uint64_t v = 0;

    memcpy(&v, p, bytes);
    return (int64_t)(le64toh(v) << unused_bits) >> unused_bits; /* extends the sign */
}

static void
value_result(sqlite3_context *context, uint64_t type, const uint8_t *p)
{
    const size_t bytes = (size_t)bytes_of_type(type);
    uint64_t number;
    double real;

    if (type >= TYPE_BLOB) {
        if (type % 2 == 0)
            sqlite3_result_blob64(context, p, bytes, SQLITE_TRANSIENT);
        else
            tx_text_result(context, p, bytes);
    } else if (type == TYPE_NULL) {
        sqlite3_result_null(context);
    } else if (type <= TYPE_INT_MAX) {
        sqlite3_result_int64(context, get_integer(p, bytes));
    } else if (type == TYPE_REAL) {
        memcpy(&number, p, sizeof(number));
        number = le64toh(number);
        memcpy(&real, &number, sizeof(real));
        sqlite3_result_double(context, real);
    } else {
        sqlite3_result_int(context, type == TYPE_ONE);
    }
}

/* Reads the number of columns; returns the byte after it, or NULL when the row is damaged. */
static const uint8_t *
get_columns(const uint8_t *row, const uint8_t *end, uint64_t *columns)
{
    uint64_t more;

    if (row == end)
        return NULL;
    *columns = row[0] >> COLUMNS_SHIFT;
    if (*columns < COLUMNS_INLINE)
        return row + 1;
    row = get_varint(row + 1, end, &more);
    if (row != NULL)
        *columns += more; /* cannot wrap: a varint has at most 63 bits */
    return row;
}

bool
tx_row_result(sqlite3_context *context, const uint8_t *row, size_t bytes, int count, int index)
{
    const uint8_t *end = row + bytes;
    uint64_t columns, type = TYPE_NULL;
    uint64_t before = 0, total = 0; /* bytes of the columns before this one, and of all */
    const uint8_t *p = get_columns(row, end, &columns);

    assert(index >= 0 && index < count && count <= TX_ROW_COLUMNS_MAX);
    if (p == NULL || columns > (uint64_t)count)
        return false;
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t t;

        p = get_varint(p, end, &t);
        if (p == NULL)
            return false;
        if (i == (uint64_t)index) {
            type = t;
            before = total;
        }
        total += bytes_of_type(t); /* below 2^62 each, and checked at once: cannot wrap */
        if (total > bytes)
            return false;
    }
    if ((size_t)(end - p) != total)
        return false;
    value_result(context, type, p + before);
    return true;
}
