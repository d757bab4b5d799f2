/*
 * keycodec.c - SQLite values as keys; keycodec.h has the format.
 *
 * Why numbers are a double and a rest: SQLite compares an integer with a real by their exact
 * values, and no double holds every int64. The doubles that are not above a number order numbers
 * right but for ties among integers beyond 2^53, and there the rest decides. An integer v beyond
 * 2^53 lies in a binade whose doubles are the multiples of a power of two, so clearing v's low bits
 * gives the double below, for negative v as well, and what was cleared is the rest: below 1024, and
 * exact without any rounding of floating point.
 *
 * Leaving trailing zeros off keeps the order: memcmp with "the shorter first" compares as if the
 * shorter were filled with zeros, and no two payloads differ in trailing zeros only.
 */
#include "keycodec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define SIGN_BIT         (UINT64_C(1) << 63)
#define NUMBER_BYTES_MAX 10

enum tag { TAG_NUMBER = 0x10, TAG_TEXT = 0x20, TAG_BLOB = 0x30 };

static_assert(sizeof(double) == sizeof(uint64_t), "keys hold IEEE 754 doubles");
static_assert(1 + NUMBER_BYTES_MAX <= TX_KEY_OWN_BYTES, "no number takes an allocation");

/* A number as the payload has it: exactly `real`, or when is_integer exactly `integer`. */
struct number {
    double real; /* the largest double that is not above the number */
    int64_t integer;
    bool is_integer; /* it is an integer and fits int64 */
};

/* The doubles' order as the order of unsigned integers; -inf gives the least and none gives 0. */
static uint64_t
order_of_double(double d)
{
    uint64_t u;

    memcpy(&u, &d, sizeof(u));
    return (u & SIGN_BIT) != 0 ? ~u : u | SIGN_BIT;
}

static double
double_of_order(uint64_t order)
{
    const uint64_t u = (order & SIGN_BIT) != 0 ? order & ~SIGN_BIT : ~order;
    double d;

    memcpy(&d, &u, sizeof(d));
    return d;
}

/* The largest integer that a double can hold and that is not above v. */
static int64_t
floor_to_double(int64_t v)
{
    const uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

    if (magnitude >> 53 == 0)
        return v;
    return v & -(INT64_C(1) << (11 - __builtin_clzll(magnitude)));
}

static bool
is_int64(double d)
{
    return d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d;
}

/* Writes the payload at p, which has room for NUMBER_BYTES_MAX bytes; returns its length. */
static uint32_t
put_number(uint8_t *p, double base, uint32_t rest)
{
    const uint64_t order = order_of_double(base);
    const uint64_t big_endian = htobe64(order);

    memcpy(p, &big_endian, sizeof(big_endian));
    if (rest == 0)
        return 8 - (uint32_t)__builtin_ctzll(order) / 8;
    p[8] = (uint8_t)(rest >> 8);
    p[9] = (uint8_t)rest;
    return p[9] != 0 ? 10 : 9;
}

/* Reads a payload; false when put_number does not write it. */
static bool
get_number(const uint8_t *p, size_t bytes, struct number *out)
{
    uint64_t order = 0;
    int64_t rest = 0;

    if (bytes == 0 || bytes > NUMBER_BYTES_MAX || p[bytes - 1] == 0)
        return false;
    /* Byte by byte: a copy of a length that varies, read as a whole, waits for the stores. */
    for (size_t i = 0; i < 8; i++)
        order = order << 8 | (i < bytes ? p[i] : 0);
    if (bytes > 8)
        rest = p[8] << 8 | (bytes > 9 ? p[9] : 0);
    out->real = double_of_order(order);
    out->is_integer = is_int64(out->real);
    out->integer = out->is_integer ? (int64_t)out->real : 0;
    if (out->real != out->real || (out->real == 0 && order != SIGN_BIT))
        return false; /* NaN, or -0.0 */
    if (rest == 0)
        return true;
    return out->is_integer && !__builtin_add_overflow(out->integer, rest, &out->integer) &&
           floor_to_double(out->integer) == (int64_t)out->real;
}

/* Cuts what is too long, so that the buffer is a bound for a search. */
__attribute__((noinline)) static enum tx_key_rc
put_long(struct tx_keybuf *out, enum tag tag, const void *data, size_t bytes)
{
    const size_t kept = bytes < TXKV_KEY_BYTES_MAX ? bytes : TXKV_KEY_BYTES_MAX - 1;

    out->data = sqlite3_malloc64(1 + kept);
    if (out->data == NULL)
        return TX_KEY_NOMEM;
    out->data[0] = (uint8_t)tag;
    memcpy(out->data + 1, data, kept);
    out->bytes = (uint32_t)(1 + kept);
    return kept == bytes ? TX_KEY_OK : TX_KEY_TOOBIG;
}

static enum tx_key_rc
put_bytes(struct tx_keybuf *out, enum tag tag, const void *data, size_t bytes)
{
    if (bytes >= sizeof(out->own))
        return put_long(out, tag, data, bytes);
    out->own[0] = (uint8_t)tag;
    if (bytes > 0)
        memcpy(out->own + 1, data, bytes);
    out->bytes = (uint32_t)(1 + bytes);
    return TX_KEY_OK;
}

static enum tx_key_rc
encode_integer(int64_t v, struct tx_keybuf *out)
{
    const int64_t base = floor_to_double(v);

    out->data[0] = TAG_NUMBER;
    out->bytes = 1 + put_number(out->data + 1, (double)base, (uint32_t)(v - base));
    return TX_KEY_OK;
}

static enum tx_key_rc
encode_real(double d, struct tx_keybuf *out)
{
    if (d == 0 && order_of_double(d) != SIGN_BIT) {
        out->note = TX_KEY_MINUS_ZERO;
        d = 0;
    } else if (is_int64(d)) {
        out->note = TX_KEY_REAL;
    }
    out->data[0] = TAG_NUMBER;
    out->bytes = 1 + put_number(out->data + 1, d, 0);
    return TX_KEY_OK;
}

enum tx_key_rc
tx_key_encode_cell(const struct tx_cell *cell, struct tx_keybuf *out)
{
    out->data = out->own;
    out->bytes = 0;
    out->note = TX_KEY_AS_IS;
    switch (cell->type) {
    case SQLITE_INTEGER:
        return encode_integer(cell->integer, out);
    case SQLITE_FLOAT:
        return encode_real(cell->real, out);
    case SQLITE_TEXT:
        return put_bytes(out, TAG_TEXT, cell->data, cell->bytes);
    case SQLITE_BLOB:
        return put_bytes(out, TAG_BLOB, cell->data, cell->bytes);
    default:
        return TX_KEY_NULL;
    }
}

enum tx_key_rc
tx_key_encode(sqlite3_value *value, struct tx_keybuf *out)
{
    struct tx_cell cell;

    out->data = out->own;
    if (!tx_cell_read(value, TX_AFFINITY_BLOB, &cell))
        return TX_KEY_NOMEM;
    return tx_key_encode_cell(&cell, out);
}

static bool
number_cell(const struct number *n, enum tx_key_note note, struct tx_cell *out)
{
    out->type = SQLITE_FLOAT;
    out->real = n->real;
    switch (note) {
    case TX_KEY_AS_IS:
        out->integer = n->integer;
        if (n->is_integer)
            out->type = SQLITE_INTEGER;
        return true;
    case TX_KEY_REAL:
        return n->is_integer && n->integer == (int64_t)n->real;
    case TX_KEY_MINUS_ZERO:
        out->real = -0.0;
        return n->real == 0;
    }
    return false; /* a row's note can be any two bits */
}

/* 1 to 8 bytes as the first ones of a big-endian number. Loads overlap, so that there is no loop,
 * whose end could not be foretold. */
static inline uint64_t
order_of_bytes(const uint8_t *p, size_t n)
{
    const size_t middle = n / 2, last = n - 1;
    uint32_t high, low;

    if (n < 4)
        return (uint64_t)p[0] << 56 | (uint64_t)p[middle] << (56 - 8 * middle) |
               (uint64_t)p[last] << (56 - 8 * last);
    memcpy(&high, p, sizeof(high));
    memcpy(&low, p + n - sizeof(low), sizeof(low));
    return (uint64_t)be32toh(high) << 32 | (uint32_t)((uint64_t)be32toh(low) << (64 - 8 * n));
}

/* The integer of 1 to 2^53 - 1 that a positive double is whose order that is; false: it is none. */
static inline bool
positive_of_order(uint64_t order, uint64_t *out)
{
    enum { MANTISSA_BITS = 52, ONE = 0x800 + 1023 }; /* ONE: sign and exponent of 1.0 */
    const uint64_t exponent = (order >> MANTISSA_BITS) - ONE;
    const uint64_t mantissa = order << (63 - MANTISSA_BITS) | SIGN_BIT; /* with its first one */

    if (exponent > MANTISSA_BITS)
        return false;
    *out = mantissa >> (63 - exponent);
    return mantissa << exponent << 1 == 0;
}

static inline bool
integer_of_key(const uint8_t *key, size_t bytes, int64_t *out)
{
    uint64_t order, integer;

    if (bytes < 2 || bytes > 9 || key[0] != TAG_NUMBER || key[bytes - 1] == 0)
        return false;
    order = order_of_bytes(key + 1, bytes - 1);
    if (positive_of_order(order, &integer)) {
        *out = (int64_t)integer;
        return true;
    }
    if (positive_of_order(~order, &integer)) {
        *out = -(int64_t)integer;
        return true;
    }
    *out = 0;
    return order == SIGN_BIT;
}

bool
tx_key_integer(const uint8_t *key, size_t bytes, int64_t *out)
{
    return integer_of_key(key, bytes, out);
}

bool
tx_key_integer_result(sqlite3_context *context, const uint8_t *key, size_t bytes)
{
    int64_t integer;

    if (!integer_of_key(key, bytes, &integer))
        return false;
    sqlite3_result_int64(context, integer);
    return true;
}

bool
tx_key_cell(const uint8_t *key, size_t bytes, enum tx_key_note note, struct tx_cell *out)
{
    struct number n;

    if (bytes == 0 || bytes > TXKV_KEY_BYTES_MAX)
        return false;
    if (key[0] == TAG_NUMBER)
        return get_number(key + 1, bytes - 1, &n) && number_cell(&n, note, out);
    out->type = key[0] == TAG_TEXT ? SQLITE_TEXT : SQLITE_BLOB;
    out->data = key + 1;
    out->bytes = bytes - 1;
    return note == TX_KEY_AS_IS && (key[0] == TAG_TEXT || key[0] == TAG_BLOB);
}

bool
tx_key_result(sqlite3_context *context, const uint8_t *key, size_t bytes, enum tx_key_note note)
{
    struct tx_cell cell;

    if (note == TX_KEY_AS_IS && bytes > 0 && bytes <= TXKV_KEY_BYTES_MAX && key[0] == TAG_TEXT) {
        tx_text_result(context, key + 1, bytes - 1);
        return true;
    }
    if (note == TX_KEY_AS_IS && tx_key_integer_result(context, key, bytes))
        return true;
    if (!tx_key_cell(key, bytes, note, &cell))
        return false;
    tx_cell_result(context, &cell);
    return true;
}

/* Closes the quote; `cut` says that bytes are missing. Callers keep 5 bytes for it. */
static void
end_quote(char *end, bool cut)
{
    memcpy(end, cut ? "'..." : "'", cut ? 5 : 2);
}

static void
describe_text(const uint8_t *text, size_t bytes, char *out, size_t out_bytes)
{
    size_t used = 0, i = 0;

    out[used++] = '\'';
    while (i < bytes && used + 2 + 5 <= out_bytes) {
        const uint8_t c = text[i++];

        if (c == '\'')
            out[used++] = '\'';
        out[used++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    /* Half a character would make the message invalid UTF-8. */
    for (size_t back = i; back < bytes && back > 0 && (text[back] & 0xc0) == 0x80; back--)
        used--;
    end_quote(out + used, i < bytes);
}

static void
describe_hex(const uint8_t *blob, size_t bytes, char *out, size_t out_bytes)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0, i = 0;

    out[used++] = 'x';
    out[used++] = '\'';
    for (; i < bytes && used + 2 + 5 <= out_bytes; i++) {
        out[used++] = digits[blob[i] >> 4];
        out[used++] = digits[blob[i] & 15];
    }
    end_quote(out + used, i < bytes);
}

void
tx_key_describe(const uint8_t *key, size_t bytes, char *out, size_t out_bytes)
{
    static const char damaged[] = "damaged key ";
    const size_t prefix = sizeof(damaged) - 1;
    struct number n;

    assert(out_bytes >= 32);
    if (bytes > 0 && key[0] == TAG_TEXT) {
        describe_text(key + 1, bytes - 1, out, out_bytes);
    } else if (bytes > 0 && key[0] == TAG_BLOB) {
        describe_hex(key + 1, bytes - 1, out, out_bytes);
    } else if (bytes > 0 && key[0] == TAG_NUMBER && get_number(key + 1, bytes - 1, &n)) {
        if (n.is_integer)
            sqlite3_snprintf((int)out_bytes, out, "%lld", (long long)n.integer);
        else
            sqlite3_snprintf((int)out_bytes, out, "%!.15g", n.real);
    } else {
        memcpy(out, damaged, prefix);
        describe_hex(key, bytes, out + prefix, out_bytes - prefix);
    }
}
