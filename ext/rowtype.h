/*
 * rowtype.h - the head of a row and the types of its columns (rowcodec.h), for the files that take
 * rows apart.
 *
 * Pure; any thread.
 */
#ifndef TX_ROWTYPE_H
#define TX_ROWTYPE_H

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>

enum {
    TX_ROW_NOTE_MASK = 3,
    TX_ROW_COLUMNS_SHIFT = 2,
    TX_ROW_COLUMNS_INLINE = 63, /* from here on the rest of the number is a varint */

    TX_ROW_TYPE_NULL = 0,
    TX_ROW_TYPE_INT_MAX = 8,
    TX_ROW_TYPE_REAL = 9,
    TX_ROW_TYPE_ZERO = 10,
    TX_ROW_TYPE_ONE = 11,
    TX_ROW_TYPE_DECIMAL = 12, /* 4 for each number of digits behind the point, one a byte each */
    TX_ROW_TYPE_BLOB = 44,    /* even ones are blobs, odd ones texts */
    TX_ROW_TYPE_TEXT = 45,

    TX_ROW_DECIMAL_BYTES_MAX = 4,
    TX_ROW_DECIMAL_DIGITS_MAX = 7 /* behind the point */
};

static_assert(TX_ROW_TYPE_DECIMAL % TX_ROW_DECIMAL_BYTES_MAX == 0,
              "a decimal's bytes follow from the lowest bits of its type");
static_assert(TX_ROW_TYPE_DECIMAL + TX_ROW_DECIMAL_BYTES_MAX * (TX_ROW_DECIMAL_DIGITS_MAX + 1) ==
                  TX_ROW_TYPE_BLOB,
              "blobs begin where decimals end");

/* By a decimal's digits behind the point; all are exact. */
static const double tx_row_powers_of_ten[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7 };

/* Of the types that are one byte of a row: a table, as no branch on them can be foretold. */
static const uint8_t tx_row_bytes_of_short_type[128] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  0,  0,  1,  2,  3,  4,  1,  2,  3,  4,  1,  2,
    3,  4,  1,  2,  3,  4,  1,  2,  3,  4,  1,  2,  3,  4,  1,  2,  3,  4,  1,  2,  3,  4,
    0,  0,  1,  1,  2,  2,  3,  3,  4,  4,  5,  5,  6,  6,  7,  7,  8,  8,  9,  9,  10, 10,
    11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21,
    22, 22, 23, 23, 24, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32,
    33, 33, 34, 34, 35, 35, 36, 36, 37, 37, 38, 38, 39, 39, 40, 40, 41, 41,
};

static inline uint64_t
tx_row_bytes_of_type(uint64_t type)
{
    return type < sizeof(tx_row_bytes_of_short_type) ? tx_row_bytes_of_short_type[type]
                                                     : (type - TX_ROW_TYPE_BLOB) / 2;
}

/* tx_row_varint for one of several bytes. */
const uint8_t *tx_row_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *out);

/* Returns the byte after the varint, or NULL when it goes beyond `end` or 63 bits. */
static inline const uint8_t *
tx_row_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (p < end && *p < 0x80) {
        *out = *p;
        return p + 1;
    }
    return tx_row_long_varint(p, end, out);
}

/*
 * Of a row of one column, the only one's type, of one byte or two, which may still be damaged.
 * Returns the byte after it, or NULL when the row is another, or too short for two.
 */
static inline const uint8_t *
tx_row_one_type(const uint8_t *row, size_t bytes, uint32_t *type)
{
    if (bytes < 3 || row[0] >> TX_ROW_COLUMNS_SHIFT != 1)
        return NULL;
    *type = row[1];
    if (*type < 0x80)
        return row + 2;
    *type = (*type & 0x7f) | (uint32_t)row[2] << 7;
    return *type < 1 << 14 ? row + 3 : NULL;
}

/* Read the number of columns; returns the byte after it, or NULL when the row is damaged. */
const uint8_t *tx_row_columns(const uint8_t *row, const uint8_t *end, uint64_t *columns);

/* The integer of a type of integers. */
static inline int64_t
tx_row_integer(uint64_t type, const uint8_t *p)
{
    const unsigned unused_bits = 64 - 8 * (unsigned)type;
    uint64_t v = 0;

    if (type > TX_ROW_TYPE_INT_MAX)
        return type == TX_ROW_TYPE_ONE;
    for (unsigned i = 0; i < type; i++) /* shorter than a call of memcpy */
        v |= (uint64_t)p[i] << 8 * i;
    return (int64_t)(v << unused_bits) >> unused_bits; /* extends the sign */
}

static inline double
tx_row_real(const uint8_t *p)
{
    uint64_t number;
    double real;

    memcpy(&number, p, sizeof(number));
    number = le64toh(number);
    memcpy(&real, &number, sizeof(real));
    return real;
}

/* The bytes of the number of a type of decimals, an integer, and how many of its digits are behind
 * the point. */
static inline uint32_t
tx_row_decimal_bytes(uint64_t type)
{
    return (uint32_t)type % TX_ROW_DECIMAL_BYTES_MAX + 1;
}

static inline size_t
tx_row_decimal_digits(uint64_t type)
{
    return type / TX_ROW_DECIMAL_BYTES_MAX - TX_ROW_TYPE_DECIMAL / TX_ROW_DECIMAL_BYTES_MAX;
}

/* One division of two exact numbers, so what comes out is the real next to the decimal. */
static inline double
tx_row_decimal(uint64_t type, int64_t number)
{
    return (double)number / tx_row_powers_of_ten[tx_row_decimal_digits(type)];
}

#endif /* TX_ROWTYPE_H */
