/*
 * rowcodec.c - the columns that are not the key, as the value of a row; rowcodec.h has the format.
 *
 * Reading trusts nothing: every type and length is checked against the end of the row before it is
 * used.
 */
#include "rowcodec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "rowtype.h"

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

static uint64_t
type_of_integer(int64_t v)
{
    const uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

    if (magnitude <= 1 && v >= 0)
        return v == 0 ? TX_ROW_TYPE_ZERO : TX_ROW_TYPE_ONE;
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
        return TX_ROW_TYPE_REAL;
    case SQLITE_TEXT:
        return TX_ROW_TYPE_TEXT + 2 * (uint64_t)cell->bytes;
    case SQLITE_BLOB:
        return TX_ROW_TYPE_BLOB + 2 * (uint64_t)cell->bytes;
    default:
        return TX_ROW_TYPE_NULL;
    }
}

size_t
tx_row_bytes(int count, const struct tx_cell *cells)
{
    size_t total = 1;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    if (count >= TX_ROW_COLUMNS_INLINE)
        total += varint_bytes((uint64_t)(count - TX_ROW_COLUMNS_INLINE));
    for (int i = 0; i < count; i++) {
        const uint64_t type = type_of_cell(&cells[i]);

        total += varint_bytes(type) + tx_row_bytes_of_type(type);
    }
    return total;
}

/* Writes the cell's bytes at p; returns the byte after them. */
static uint8_t *
put_cell(uint8_t *p, uint64_t type, const struct tx_cell *cell)
{
    const size_t bytes = (size_t)tx_row_bytes_of_type(type);
    uint64_t number;

    if (bytes == 0)
        return p;
    if (type >= TX_ROW_TYPE_BLOB) {
        memcpy(p, cell->data, bytes);
        return p + bytes;
    }
    if (type == TX_ROW_TYPE_REAL)
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
    const int inlined = count < TX_ROW_COLUMNS_INLINE ? count : TX_ROW_COLUMNS_INLINE;
    uint8_t *p = out;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    assert((unsigned)note <= TX_ROW_NOTE_MASK);
    *p++ = (uint8_t)((unsigned)note | (unsigned)inlined << TX_ROW_COLUMNS_SHIFT);
    if (inlined == TX_ROW_COLUMNS_INLINE)
        p = put_varint(p, (uint64_t)(count - TX_ROW_COLUMNS_INLINE));

    for (int i = 0; i < count; i++)
        p = put_varint(p, type_of_cell(&cells[i]));
    for (int i = 0; i < count; i++)
        p = put_cell(p, type_of_cell(&cells[i]), &cells[i]);
}

enum tx_key_note
tx_row_note(const uint8_t *row, size_t bytes)
{
    return bytes == 0 ? TX_KEY_AS_IS : (enum tx_key_note)(row[0] & TX_ROW_NOTE_MASK);
}

const uint8_t *
tx_row_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
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

const uint8_t *
tx_row_columns(const uint8_t *row, const uint8_t *end, uint64_t *columns)
{
    uint64_t more;

    if (row == end)
        return NULL;
    *columns = row[0] >> TX_ROW_COLUMNS_SHIFT;
    if (*columns < TX_ROW_COLUMNS_INLINE)
        return row + 1;
    row = tx_row_varint(row + 1, end, &more);
    if (row != NULL)
        *columns += more; /* cannot wrap: a varint has at most 63 bits */
    return row;
}

static void
get_cell(uint64_t type, const uint8_t *p, struct tx_cell *out)
{
    if (type >= TX_ROW_TYPE_BLOB) {
        out->type = type % 2 == 0 ? SQLITE_BLOB : SQLITE_TEXT;
        out->data = p;
        out->bytes = (size_t)tx_row_bytes_of_type(type);
    } else if (type == TX_ROW_TYPE_NULL) {
        out->type = SQLITE_NULL;
    } else if (type == TX_ROW_TYPE_REAL) {
        out->type = SQLITE_FLOAT;
        out->real = tx_row_real(p);
    } else {
        out->type = SQLITE_INTEGER;
        out->integer = tx_row_integer(type, p);
    }
}

bool
tx_row_cells(const uint8_t *row, size_t bytes, int count, struct tx_cell *out)
{
    const uint8_t *end = row + bytes;
    uint64_t columns, total = 0;
    const uint8_t *types = tx_row_columns(row, end, &columns), *p = types;

    if (p == NULL || columns > (uint64_t)count)
        return false;
    for (uint64_t i = 0; i < columns; i++) { /* finds where the types end, and the values begin */
        uint64_t type;

        p = tx_row_varint(p, end, &type);
        if (p == NULL)
            return false;
        total += tx_row_bytes_of_type(type);
        if (total > bytes)
            return false;
    }
    if ((size_t)(end - p) != total)
        return false;
    for (int i = 0; i < count; i++) {
        uint64_t type = TX_ROW_TYPE_NULL;

        if ((uint64_t)i < columns)
            types = tx_row_varint(types, end, &type);
        get_cell(type, p, &out[i]);
        p += tx_row_bytes_of_type(type);
    }
    return true;
}
