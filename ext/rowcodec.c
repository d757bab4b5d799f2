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

static uint64_t
type_of_cell(const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        return type_of_integer(cell->integer);
    case SQLITE_FLOAT:
        return TYPE_REAL;
    case SQLITE_TEXT:
        return TYPE_TEXT + 2 * (uint64_t)cell->bytes;
    case SQLITE_BLOB:
        return TYPE_BLOB + 2 * (uint64_t)cell->bytes;
    default:
        return TYPE_NULL;
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
tx_row_bytes(int count, const struct tx_cell *cells)
{
    size_t total = 1;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    if (count >= COLUMNS_INLINE)
        total += varint_bytes((uint64_t)(count - COLUMNS_INLINE));
    for (int i = 0; i < count; i++) {
        const uint64_t type = type_of_cell(&cells[i]);

        total += varint_bytes(type) + bytes_of_type(type);
    }
    return total;
}

/* Writes the cell's bytes at p; returns the byte after them. */
static uint8_t *
put_cell(uint8_t *p, uint64_t type, const struct tx_cell *cell)
{
    const size_t bytes = (size_t)bytes_of_type(type);
    uint64_t number;

    if (bytes == 0)
        return p;
    if (type >= TYPE_BLOB) {
        memcpy(p, cell->data, bytes);
        return p + bytes;
    }
    if (type == TYPE_REAL)
        memcpy(&number, &cell->real, sizeof(number));
    else
        number = (uint64_t)cell->integer;
    number = htole64(number);
    memcpy(p, &number, bytes);
    return p + bytes;
}

void
tx_row_encode(uint8_t *out, enum tx_key_note note, int count, const struct tx_cell *cells)
{
    const int inlined = count < COLUMNS_INLINE ? count : COLUMNS_INLINE;
    uint8_t *p = out;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    assert((unsigned)note <= NOTE_MASK);
    *p++ = (uint8_t)((unsigned)note | (unsigned)inlined << COLUMNS_SHIFT);
    if (inlined == COLUMNS_INLINE)
        p = put_varint(p, (uint64_t)(count - COLUMNS_INLINE));

    for (int i = 0; i < count; i++)
        p = put_varint(p, type_of_cell(&cells[i]));
    for (int i = 0; i < count; i++)
        p = put_cell(p, type_of_cell(&cells[i]), &cells[i]);
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
get_cell(uint64_t type, const uint8_t *p, struct tx_cell *out)
{
    uint64_t number;

    if (type >= TYPE_BLOB) {
        out->type = type % 2 == 0 ? SQLITE_BLOB : SQLITE_TEXT;
        out->data = p;
        out->bytes = (size_t)bytes_of_type(type);
    } else if (type == TYPE_NULL) {
        out->type = SQLITE_NULL;
    } else if (type == TYPE_REAL) {
        out->type = SQLITE_FLOAT;
        memcpy(&number, p, sizeof(number));
        number = le64toh(number);
        memcpy(&out->real, &number, sizeof(out->real));
    } else {
        out->type = SQLITE_INTEGER;
        out->integer = type <= TYPE_INT_MAX ? get_integer(p, (size_t)type) : type == TYPE_ONE;
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
    struct tx_cell cell;
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
    get_cell(type, p + before, &cell);
    tx_cell_result(context, &cell);
    return true;
}

bool
tx_row_cells(const uint8_t *row, size_t bytes, int count, struct tx_cell *out)
{
    const uint8_t *end = row + bytes;
    uint64_t columns, total = 0;
    const uint8_t *types = get_columns(row, end, &columns), *p = types;

    if (p == NULL || columns > (uint64_t)count)
        return false;
    for (uint64_t i = 0; i < columns; i++) { /* finds where the types end, and the values begin */
        uint64_t type;

        p = get_varint(p, end, &type);
        if (p == NULL)
            return false;
        total += bytes_of_type(type);
        if (total > bytes)
            return false;
    }
    if ((size_t)(end - p) != total)
        return false;
    for (int i = 0; i < count; i++) {
        uint64_t type = TYPE_NULL;

        if ((uint64_t)i < columns)
            types = get_varint(types, end, &type);
        get_cell(type, p, &out[i]);
        p += bytes_of_type(type);
    }
    return true;
}
