/*
 * keycodec.h - SQLite values as keys: memcmp of two encodings is SQLite's own comparison of the
 * values.
 *
 * A key is a tag byte and a payload:
 *
 *   0x14       0, without a payload; or a real between 0 and 1: its IEEE bits
 *   0x14 + n   a number v of 1 or more whose floor fits int64: the floor in n bytes, the fewest;
 *              then, unless v is an integer, what it is above its floor, times 2^56, in 7 bytes
 *   0x13 - n   a number of -1 or less, in the same way: the last n bytes of the floor in two's
 *              complement, whose sign is in the tag; one for -256 to -1
 *   0x13       a real between -1 and 0: the IEEE bits of its absolute value, negated
 *   0x1d       a real of 2^63 or more, inf: its IEEE bits
 *   0x0a       a real below -2^63, -inf: as 0x13
 *   0x20       text: its UTF-8 bytes (BINARY collation)
 *   0x30       a blob: its bytes
 *
 * Numbers are big-endian; of bits and fractions trailing zero bytes are left off. So 1 and 1.0 have
 * one encoding, every int64 has its own, and small integers are short.
 *
 * NULL has no encoding: a WITHOUT ROWID key is NOT NULL. Every key has one encoding, and other
 * bytes are refused.
 *
 * What the encoding cannot say is which of two equal numbers it was: enum tx_key_note stands in the
 * row for that.
 *
 * Pure; any thread that owns the value. Includes SQLite, nothing of src/ but txkv.h.
 */
#ifndef TX_KEYCODEC_H
#define TX_KEYCODEC_H

#include <endian.h>
#include <string.h>

#include "cell.h"

#define TX_KEY_ZERO 0x14u /* the tag of 0; of an integer above it as many more as it has bytes */
#define TX_KEY_TEXT 0x20u

enum tx_key_note {
    TX_KEY_AS_IS =
        0, /* what decoding gives: an integer when the number is one and fits int64, else a real */
    TX_KEY_REAL = 1,      /* a real whose value is an integer that fits int64 */
    TX_KEY_MINUS_ZERO = 2 /* -0.0 */
};

enum tx_key_rc {
    TX_KEY_OK,
    TX_KEY_NULL,   /* the value is NULL */
    TX_KEY_TOOBIG, /* longer than TXKV_KEY_BYTES_MAX with its tag */
    TX_KEY_NOMEM   /* SQLite could not convert the text, or there is no room for a long key */
};

/* A longer key takes an allocation. */
#define TX_KEY_OWN_BYTES 512u

struct tx_keybuf {
    uint8_t *data; /* `own`, or allocated; NULL is nothing */
    uint32_t bytes;
    enum tx_key_note note;
    uint8_t own[TX_KEY_OWN_BYTES];
};

/*
 * Encode one value. On TX_KEY_TOOBIG data holds the first TXKV_KEY_BYTES_MAX bytes: a stored key is
 * above the value when it is above them, and below the value when it is below or equal to them. So
 * they serve as an open lower bound and as a closed upper one. Whatever the result, the buffer is
 * to be freed, unless the value is a number.
 */
enum tx_key_rc tx_key_encode(sqlite3_value *value, struct tx_keybuf *out);
enum tx_key_rc tx_key_encode_cell(const struct tx_cell *cell, struct tx_keybuf *out);

static inline void
tx_key_free(struct tx_keybuf *key)
{
    if (key->data != key->own)
        sqlite3_free(key->data);
}

/*
 * Give the key to SQLite as a result (text and blobs are copied, SQLITE_TRANSIENT); false when the
 * bytes are no encoding, or not one that has this note.
 */
bool tx_key_result(sqlite3_context *context, const uint8_t *key, size_t bytes,
                   enum tx_key_note note);

/* Whether it is a text, which is what follows the first byte. */
static inline bool
tx_key_is_text(const uint8_t *key, size_t bytes, enum tx_key_note note)
{
    return note == TX_KEY_AS_IS && bytes > 0 && bytes <= TXKV_KEY_BYTES_MAX &&
           key[0] == TX_KEY_TEXT;
}

/*
 * The integer that a key is, without a note. False when it is another key, or damaged; also for
 * INT64_MIN, since a NUMERIC column keeps the real -2^63, whose key it is too, as a real:
 * tx_key_cell, and then the row, know.
 */
bool tx_key_integer(const uint8_t *key, size_t bytes, int64_t *out);

/*
 * The same in a few instructions for most integers above 0; false also when it takes more. Eight
 * bytes behind the tag are loaded together if they are in the same page of memory, whoever they
 * belong to. What is read behind the key has no effect, but another thread may be writing there:
 * the sanitizers must not look.
 */
__attribute__((no_sanitize("address", "thread"))) static inline bool
tx_key_quick_integer(const uint8_t *key, size_t bytes, int64_t *out)
{
    enum { PAGE = 4096 };
    const size_t n = bytes - 1;
    uint64_t first;

    if (n - 1 > 7 || key[0] != TX_KEY_ZERO + n || (uintptr_t)key % PAGE > PAGE - 1 - sizeof(first))
        return false;
    memcpy(&first, key + 1, sizeof(first));
    first = be64toh(first);
    *out = (int64_t)(first >> (64 - 8 * n));
    /* Not where fewer bytes would hold it, or eight do not. */
    return first >> 56 != 0 && *out > 0;
}

/* The same as tx_key_integer, given to SQLite as a result; nothing is given when it is false. */
bool tx_key_integer_result(sqlite3_context *context, const uint8_t *key, size_t bytes);

/* The same as a cell, whose bytes are the key's. */
bool tx_key_cell(const uint8_t *key, size_t bytes, enum tx_key_note note, struct tx_cell *out);

/*
 * A key in words for messages: 42, 'text', x'00ff'; control characters shown as ?, cut with "..."
 * when long. out_bytes is at least 32; always NUL-terminated.
 */
void tx_key_describe(const uint8_t *key, size_t bytes, char *out, size_t out_bytes);

#endif /* TX_KEYCODEC_H */
