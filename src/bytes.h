/*
 * bytes.h - little-endian integers and varints in byte buffers, for everything that reaches a disk.
 *
 * A varint is LEB128: seven bits a byte, low bits first, the top bit set on all bytes but the last;
 * at most ten bytes. Readers take the end of the buffer and never look beyond it.
 *
 * Layer 0: base.h.
 */
#ifndef TX_BYTES_H
#define TX_BYTES_H

#include <endian.h>
#include <string.h>

#include "base.h"

/* memcpy, which compilers turn into one load or store; a loop over the bytes stays a loop. */

static inline void
tx_put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static inline void
tx_put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint32_t
tx_get_u16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static inline uint32_t
tx_get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t
tx_get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* Eight bytes as the number whose order is memcmp's. */
static inline uint64_t
tx_get_be64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

/* Bytes that v takes as a varint. */
static inline uint32_t
tx_varint_bytes(uint64_t v)
{
    uint32_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

/* Writes v at p, which has room for tx_varint_bytes(v); returns the byte after it. */
static inline uint8_t *
tx_put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Reads a varint from [p, end) into *out; the byte after it, or NULL when it does not end. */
static inline const uint8_t *
tx_get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        const uint8_t byte = *p++;

        if (shift == 63 && byte > 1)
            return NULL;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

/* Moves *p behind a varint that this process has written, of 32 bits. */
static inline uint32_t
tx_take_varint(const uint8_t **p)
{
    uint32_t v = *(*p)++;

    if (v < 0x80)
        return v;
    v &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
        const uint8_t byte = *(*p)++;

        v |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
}

#endif /* TX_BYTES_H */
