/*
 * rowcodec.c - the columns that are not the key, as the value of a row; rowcodec.h has the format.
 *
 * Reals as decimals are the pseudodecimals of BtrBlocks (Kuschewski et al., 2023) and the encoding
 * of ALP (Afroozeh, Kuffo and Boncz, 2023), for one value at a time, which so has its own exponent.
 *
 * Reading trusts nothing: every type and length is checked against the end of the row before it is
 * used. A number in more bytes or digits than it needs is read as what it is.
 */
#include "rowcodec.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
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
bytes_of_integer(int64_t v)
{
    const uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

    /* One bit more than the magnitude has, for the sign, in whole bytes. */
    return (uint64_t)(64 - __builtin_clzll(magnitude | 1)) / 8 + 1;
}

static uint64_t
type_of_integer(int64_t v)
{
    if (v == 0 || v == 1)
        return v == 0 ? TX_ROW_TYPE_ZERO : TX_ROW_TYPE_ONE;
    return bytes_of_integer(v);
}

/* Right up to 2^51; beyond it, where not every sum with a half is a double, maybe one off. */
static int64_t
nearest_integer(double v)
{
    return (int64_t)(v + (v < 0 ? -0.5 : 0.5));
}

/* Takes the zeros at the end, at most 7, off a number with so many digits behind the point. */
static int64_t
without_zeros(int64_t number, unsigned *digits)
{
    if (number % 10000 == 0) {
        number /= 10000;
        *digits -= 4;
    }
    if (number % 100 == 0) {
        number /= 100;
        *digits -= 2;
    }
    if (number % 10 == 0) {
        number /= 10;
        *digits -= 1;
    }
    return number;
}

/*
 * The type of a decimal, if the real is one: m / 10^k rounded once, m of 32 bits.
 *
 * All decimals that are not whole are found at once, with the most digits: M = m * 10^(7 - k),
 * which is below 2^51, as k is not 0. The real is off the decimal by half an ulp at most and the
 * product by another, together by less than half of M's units, so that the integer next to the
 * product is M; and M / 10^7 rounds to the same real as m / 10^k does, being the same number. No
 * other decimal does, as two of them are farther apart than an ulp. What is not whole and beyond
 * 2^31 / 10 leaves a number of more than 32 bits, whichever it is.
 */
static uint64_t
type_of_real(double real)
{
    unsigned digits = 0;
    int64_t number;

    if (!(real >= INT32_MIN && real < -(double)INT32_MIN)) /* so is one that is no number */
        return TX_ROW_TYPE_REAL;
    number = (int64_t)real;
    if ((double)number != real) {
        digits = TX_ROW_DECIMAL_DIGITS_MAX;
        number = nearest_integer(real * tx_row_powers_of_ten[digits]);
        if ((double)number / tx_row_powers_of_ten[digits] != real)
            return TX_ROW_TYPE_REAL;
        number = without_zeros(number, &digits);
        if (number != (int32_t)number)
            return TX_ROW_TYPE_REAL;
    } else if (number == 0 && signbit(real)) {
        return TX_ROW_TYPE_REAL; /* -0.0, which equals 0.0 */
    }
    return TX_ROW_TYPE_DECIMAL + (uint64_t)TX_ROW_DECIMAL_BYTES_MAX * digits +
           bytes_of_integer(number) - 1;
}

static uint64_t
type_of_cell(const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        return type_of_integer(cell->integer);
    case SQLITE_FLOAT:
        return type_of_real(cell->real);
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

/* The bytes of a cell that has a number, the first ones of the result in little-endian. */
static uint64_t
number_of_cell(uint64_t type, const struct tx_cell *cell)
{
    uint64_t number;

    if (cell->type == SQLITE_INTEGER)
        return (uint64_t)cell->integer;
    if (type != TX_ROW_TYPE_REAL)
        return (uint64_t)nearest_integer(cell->real *
                                         tx_row_powers_of_ten[tx_row_decimal_digits(type)]);
    memcpy(&number, &cell->real, sizeof(number));
    return number;
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
    number = htole64(number_of_cell(type, cell));
    memcpy(p, &number, bytes);
    return p + bytes;
}

void
tx_row_encode(uint8_t *out, enum tx_key_note note, int count, const struct tx_cell *cells)
{
    const int inlined = count < TX_ROW_COLUMNS_INLINE ? count : TX_ROW_COLUMNS_INLINE;
    const uint8_t *types;
    uint8_t *p = out;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    assert((unsigned)note <= TX_ROW_NOTE_MASK);
    *p++ = (uint8_t)((unsigned)note | (unsigned)inlined << TX_ROW_COLUMNS_SHIFT);
    if (inlined == TX_ROW_COLUMNS_INLINE)
        p = put_varint(p, (uint64_t)(count - TX_ROW_COLUMNS_INLINE));

    types = p;
    for (int i = 0; i < count; i++)
        p = put_varint(p, type_of_cell(&cells[i]));
    for (int i = 0; i < count; i++) {
        uint64_t type = TX_ROW_TYPE_NULL;

        types = tx_row_varint(types, p, &type); /* to find a real's once more costs more */
        p = put_cell(p, type, &cells[i]);
    }
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
    } else if (type >= TX_ROW_TYPE_DECIMAL) {
        out->type = SQLITE_FLOAT;
        out->real = tx_row_decimal(type, tx_row_integer(tx_row_decimal_bytes(type), p));
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
