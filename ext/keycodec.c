/*
 * keycodec.c - SQLite values as keys; keycodec.h has the format.
 *
 * Why numbers are a floor and a fraction: SQLite compares an integer with a real by their exact
 * values, and no double holds every int64. The floor of a real within the range of int64 is one, so
 * integers and reals have one order of floors, and among equal floors the integer, which ends
 * there, comes first. A real of 1 and more, or of -1 and less, is a multiple of 2^-52, so what it
 * is above its floor is exact. Between -1 and 1, and beyond int64, there are only reals and 0:
 * reals of one sign have the order of their own bits.
 *
 * Leaving trailing zeros off keeps the order: memcmp with "the shorter first" compares as if the
 * shorter were filled with zeros, and no two payloads of a tag differ in trailing zeros only.
 */
#include "keycodec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define SIGN_BIT (UINT64_C(1) << 63)

/* With the tag. A double has 53 bits: a floor of n bytes leaves 60 - 8 n for the fraction. */
#define NUMBER_BYTES_MAX 9

/* The floors of n bytes have TAG_ZERO + n, above 0, and TAG_MINUS - n, below 0. */
enum tag {
    TAG_LOW = 0x0a,         /* reals below -2^63, -inf */
    TAG_MINUS = 0x13,       /* reals between -1 and 0 */
    TAG_ZERO = TX_KEY_ZERO, /* 0, and reals between 0 and 1 */
    TAG_HIGH = 0x1d,        /* reals from 2^63 on, inf */
    TAG_TEXT = TX_KEY_TEXT,
    TAG_BLOB = 0x30
};

static_assert(sizeof(double) == sizeof(uint64_t), "keys hold IEEE 754 doubles");
static_assert(NUMBER_BYTES_MAX + 8 <= TX_KEY_OWN_BYTES, "no number takes an allocation");

/* A number as the key has it: exactly `real`, or when is_integer exactly `integer`. */
struct number {
    double real; /* of an integer the nearest one */
    int64_t integer;
    bool is_integer; /* it is an integer and fits int64 */
};

static uint64_t
bits_of(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return bits;
}

static double
double_of(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof(d));
    return d;
}

static bool
is_int64(double d)
{
    return d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d;
}

/* ---- writing numbers ---- */

/* Writes tag and floor, which is not 0, at p, and maybe some bytes more; returns their length. */
static inline uint32_t
put_floor(uint8_t *p, int64_t floor)
{
    const uint64_t magnitude = floor < 0 ? ~(uint64_t)floor : (uint64_t)floor;
    const uint32_t n = 8 - (uint32_t)__builtin_clzll(magnitude | 1) / 8;
    const uint64_t big_endian = htobe64((uint64_t)floor << (64 - 8 * n));

    p[0] = (uint8_t)(floor < 0 ? TAG_MINUS - n : TAG_ZERO + n);
    memcpy(p + 1, &big_endian, sizeof(big_endian));
    return 1 + n;
}

/* Writes bits, which are not 0, without zero bytes at their end, and maybe some bytes more. */
static inline uint32_t
put_bits(uint8_t *p, uint64_t bits)
{
    const uint64_t big_endian = htobe64(bits);

    memcpy(p, &big_endian, sizeof(big_endian));
    return 8 - (uint32_t)__builtin_ctzll(bits) / 8;
}

static enum tx_key_rc
encode_integer(int64_t v, struct tx_keybuf *out)
{
    if (v == 0) {
        out->data[0] = TAG_ZERO;
        out->bytes = 1;
    } else {
        out->bytes = put_floor(out->data, v);
    }
    return TX_KEY_OK;
}

static enum tx_key_rc
encode_real(double d, struct tx_keybuf *out)
{
    const double magnitude = d < 0 ? -d : d;

    if (is_int64(d)) {
        out->note = bits_of(d) == SIGN_BIT ? TX_KEY_MINUS_ZERO : TX_KEY_REAL;
        return encode_integer((int64_t)d, out);
    }
    if (magnitude > 1 && magnitude < 0x1p63) {
        const int64_t floor = (int64_t)d - (d < 0);
        const double fraction = d - (double)floor;

        out->bytes = put_floor(out->data, floor);
        out->bytes += put_bits(out->data + out->bytes, (uint64_t)(fraction * 0x1p56) << 8);
    } else if (d < 0) { /* the negated bits of -d fall as those rise, and end in as many zeros */
        out->data[0] = magnitude < 1 ? TAG_MINUS : TAG_LOW;
        out->bytes = 1 + put_bits(out->data + 1, -bits_of(magnitude));
    } else {
        out->data[0] = magnitude < 1 ? TAG_ZERO : TAG_HIGH;
        out->bytes = 1 + put_bits(out->data + 1, bits_of(d));
    }
    return TX_KEY_OK;
}

/* ---- reading numbers ---- */

/* 1 to 8 bytes as the first ones of a big-endian number. Loads overlap, so that there is no loop,
 * whose end could not be foretold. */
static inline uint64_t
first_bytes(const uint8_t *p, size_t n)
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

static inline bool
integer_of_key(const uint8_t *key, size_t bytes, int64_t *out)
{
    const size_t n = bytes - 1;
    uint64_t sign, first, magnitude;

    if (n - 1 > 7) {
        *out = 0;
        return bytes == 1 && key[0] == TAG_ZERO;
    }
    if (key[0] == TAG_ZERO + n)
        sign = 0;
    else if (key[0] == TAG_MINUS - n)
        sign = UINT64_MAX;
    else
        return false;
    first = first_bytes(key + 1, n) ^ sign;
    magnitude = first >> (64 - 8 * n);
    *out = (int64_t)(magnitude ^ sign);
    /* Fewer bytes would not hold it, and these do. */
    return (first >> 56 != 0 || (n == 1 && sign != 0)) && magnitude < SIGN_BIT;
}

/* The real that its bits, behind one of the four tags of such, are; false: it has another tag. */
static bool
get_real(uint8_t tag, uint64_t bits, double *out)
{
    switch (tag) {
    case TAG_LOW:
        *out = -double_of(-bits);
        return *out < -0x1p63;
    case TAG_MINUS:
        *out = -double_of(-bits);
        return *out > -1 && *out < 0;
    case TAG_ZERO:
        *out = double_of(bits);
        return *out > 0 && *out < 1;
    case TAG_HIGH:
        *out = double_of(bits);
        return *out >= 0x1p63;
    default:
        return false;
    }
}

/* Reads a key that is a number; false when nothing writes it. */
static bool
get_number(const uint8_t *key, size_t bytes, struct number *out)
{
    const uint8_t tag = key[0];
    uint64_t fraction;
    int64_t floor;
    size_t n;

    out->is_integer = integer_of_key(key, bytes, &out->integer);
    if (out->is_integer) {
        out->real = (double)out->integer;
        return true;
    }
    if (bytes < 2 || bytes > NUMBER_BYTES_MAX || key[bytes - 1] == 0)
        return false;
    if (tag <= TAG_LOW || tag == TAG_MINUS || tag == TAG_ZERO || tag >= TAG_HIGH)
        return get_real(tag, first_bytes(key + 1, bytes - 1), &out->real);
    n = tag > TAG_ZERO ? tag - TAG_ZERO : TAG_MINUS - tag;
    if (bytes < n + 2 || !integer_of_key(key, n + 1, &floor) || floor == -1)
        return false;
    fraction = first_bytes(key + n + 1, bytes - n - 1);
    out->real = (double)floor + (double)(fraction >> 8) * 0x1p-56;
    /* Bits that no double of that size has were rounded. */
    return (uint64_t)((out->real - (double)floor) * 0x1p56) == fraction >> 8 &&
           (fraction & 0xff) == 0;
}

/* ---- keys ---- */

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
        if (n->is_integer) {
            out->type = SQLITE_INTEGER;
            out->integer = n->integer;
        }
        return true;
    case TX_KEY_REAL:
        return n->is_integer && is_int64(n->real) && (int64_t)n->real == n->integer;
    case TX_KEY_MINUS_ZERO:
        out->real = -0.0;
        return n->is_integer && n->integer == 0;
    }
    return false; /* a row's note can be any two bits */
}

bool
tx_key_integer(const uint8_t *key, size_t bytes, int64_t *out)
{
    return integer_of_key(key, bytes, out) && *out != INT64_MIN;
}

bool
tx_key_integer_result(sqlite3_context *context, const uint8_t *key, size_t bytes)
{
    int64_t integer;

    if (!tx_key_integer(key, bytes, &integer))
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
    if (key[0] < TAG_TEXT)
        return get_number(key, bytes, &n) && number_cell(&n, note, out);
    out->type = key[0] == TAG_TEXT ? SQLITE_TEXT : SQLITE_BLOB;
    out->data = key + 1;
    out->bytes = bytes - 1;
    return note == TX_KEY_AS_IS && (key[0] == TAG_TEXT || key[0] == TAG_BLOB);
}

bool
tx_key_result(sqlite3_context *context, const uint8_t *key, size_t bytes, enum tx_key_note note)
{
    struct tx_cell cell;

    if (tx_key_is_text(key, bytes, note)) {
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
    } else if (bytes > 0 && get_number(key, bytes, &n)) {
        if (n.is_integer)
            sqlite3_snprintf((int)out_bytes, out, "%lld", (long long)n.integer);
        else
            sqlite3_snprintf((int)out_bytes, out, "%!.15g", n.real);
    } else {
        memcpy(out, damaged, prefix);
        describe_hex(key, bytes, out + prefix, out_bytes - prefix);
    }
}
