/*
 * rowblock.h - the types of 16 columns (rowtype.h), looked at together.
 *
 * Two sets of functions with the same meaning: SSE2, which every x86-64 has, and C that any
 * processor has, of whose 16 bytes the first is the lowest of `low`. With TX_ROW_BLOCK_PLAIN it is
 * the second everywhere. Pure; any thread.
 */
#ifndef TX_ROWBLOCK_H
#define TX_ROWBLOCK_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "rowtype.h"

#define TX_ROW_BLOCK 16 /* bytes */

/* The mask of the first n bytes begins n before the middle. */
static const uint8_t tx_row_block_masks[2 * TX_ROW_BLOCK] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                              0xff, 0xff, 0xff, 0xff };

#if defined(__SSE2__) && !defined(TX_ROW_BLOCK_PLAIN)

#include <emmintrin.h>

struct tx_row_block {
    __m128i bytes;
};

static inline struct tx_row_block
tx_row_block_load(const uint8_t *p)
{
    return (struct tx_row_block){ _mm_loadu_si128((const void *)p) };
}

/* Eight bytes, and zeros. */
static inline struct tx_row_block
tx_row_block_load_half(const uint8_t *p)
{
    return (struct tx_row_block){ _mm_loadl_epi64((const void *)p) };
}

static inline void
tx_row_block_store(uint8_t *p, struct tx_row_block block)
{
    _mm_storeu_si128((void *)p, block.bytes);
}

/* The first n, at most 16, and behind them zeros. */
static inline struct tx_row_block
tx_row_block_first(struct tx_row_block block, size_t n)
{
    const struct tx_row_block mask = tx_row_block_load(tx_row_block_masks + TX_ROW_BLOCK - n);

    return (struct tx_row_block){ _mm_and_si128(block.bytes, mask.bytes) };
}

/* Byte i, at most 15, and the next one replaced by one zero; the last is zero then too. */
static inline struct tx_row_block
tx_row_block_join(struct tx_row_block block, size_t i)
{
    const struct tx_row_block moved = { _mm_srli_si128(block.bytes, 1) };
    const __m128i behind = _mm_xor_si128(moved.bytes, tx_row_block_first(moved, i + 1).bytes);

    return (struct tx_row_block){ _mm_or_si128(tx_row_block_first(block, i).bytes, behind) };
}

/* Which have a second byte: bit i for byte i. */
static inline unsigned
tx_row_block_long(struct tx_row_block block)
{
    return (unsigned)_mm_movemask_epi8(block.bytes);
}

/* tx_row_bytes_of_short_type of each; of those with a second byte anything. */
static inline struct tx_row_block
tx_row_block_sizes(struct tx_row_block types)
{
    const __m128i above = _mm_cmpgt_epi8(types.bytes, _mm_set1_epi8(TX_ROW_TYPE_REAL));
    const __m128i numbers = _mm_andnot_si128(above, types.bytes);
    const __m128i eight = _mm_set1_epi8(TX_ROW_TYPE_INT_MAX);
    /* The mean with 0 is rounded up: of one less it is the half. */
    const __m128i less = _mm_subs_epu8(types.bytes, _mm_set1_epi8(TX_ROW_TYPE_BLOB + 1));
    const __m128i halves = _mm_avg_epu8(less, _mm_setzero_si128());
    /* With the blobs at -128 and up one comparison tells decimals from all others. */
    const __m128i moved = _mm_add_epi8(types.bytes, _mm_set1_epi8(128 - TX_ROW_TYPE_BLOB));
    const __m128i decimal =
        _mm_cmpgt_epi8(moved, _mm_set1_epi8(127 - TX_ROW_TYPE_BLOB + TX_ROW_TYPE_DECIMAL));
    const __m128i low = _mm_and_si128(types.bytes, _mm_set1_epi8(TX_ROW_DECIMAL_BYTES_MAX - 1));
    const __m128i decimals = _mm_sub_epi8(_mm_and_si128(low, decimal), decimal); /* 1 more */

    return (struct tx_row_block){ _mm_or_si128(_mm_or_si128(_mm_min_epu8(numbers, eight), decimals),
                                               halves) };
}

static inline uint32_t
tx_row_block_sum(struct tx_row_block block)
{
    const __m128i sums = _mm_sad_epu8(block.bytes, _mm_setzero_si128()); /* of each 8 */

    return (uint32_t)_mm_cvtsi128_si32(sums) + (uint32_t)_mm_extract_epi16(sums, 4);
}

#else

struct tx_row_block {
    uint64_t low, high;
};

/* A word of eight such bytes. */
#define TX_ROW_EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline struct tx_row_block
tx_row_block_load(const uint8_t *p)
{
    struct tx_row_block block;

    memcpy(&block.low, p, sizeof(block.low));
    memcpy(&block.high, p + sizeof(block.low), sizeof(block.high));
    return (struct tx_row_block){ le64toh(block.low), le64toh(block.high) };
}

static inline struct tx_row_block
tx_row_block_load_half(const uint8_t *p)
{
    uint64_t low;

    memcpy(&low, p, sizeof(low));
    return (struct tx_row_block){ le64toh(low), 0 };
}

static inline void
tx_row_block_store(uint8_t *p, struct tx_row_block block)
{
    block = (struct tx_row_block){ htole64(block.low), htole64(block.high) };
    memcpy(p, &block.low, sizeof(block.low));
    memcpy(p + sizeof(block.low), &block.high, sizeof(block.high));
}

static inline struct tx_row_block
tx_row_block_first(struct tx_row_block block, size_t n)
{
    const struct tx_row_block mask = tx_row_block_load(tx_row_block_masks + TX_ROW_BLOCK - n);

    return (struct tx_row_block){ block.low & mask.low, block.high & mask.high };
}

static inline struct tx_row_block
tx_row_block_join(struct tx_row_block block, size_t i)
{
    const struct tx_row_block before = tx_row_block_first(block, i);
    const struct tx_row_block moved = { block.low >> 8 | block.high << 56, block.high >> 8 };
    const struct tx_row_block gone = tx_row_block_first(moved, i + 1);

    return (struct tx_row_block){ before.low | (moved.low ^ gone.low),
                                  before.high | (moved.high ^ gone.high) };
}

/* Bit i for the highest bit of byte i: the product has each at its place in its highest byte, and
 * no carries, as no two of its terms share a bit. */
static inline unsigned
tx_row_word_long(uint64_t word)
{
    const uint64_t tops = word >> 7 & TX_ROW_EIGHT(1);

    return (unsigned)(tops * UINT64_C(0x0102040810204080) >> 56);
}

static inline unsigned
tx_row_block_long(struct tx_row_block block)
{
    return tx_row_word_long(block.low) | tx_row_word_long(block.high) << 8;
}

/* A mask of the bytes, below 128 each, that are `least` or more. */
static inline uint64_t
tx_row_word_from(uint64_t word, unsigned least)
{
    return ((word + TX_ROW_EIGHT(128 - least)) >> 7 & TX_ROW_EIGHT(1)) * 0xff;
}

/* No byte carries into the next: none is above 127, and what is taken from one it has. */
static inline uint64_t
tx_row_word_sizes(uint64_t types)
{
    const uint64_t known = types & TX_ROW_EIGHT(0x7f);
    const uint64_t numbers = known & ~tx_row_word_from(known, TX_ROW_TYPE_ZERO);
    const uint64_t reals = tx_row_word_from(numbers, TX_ROW_TYPE_REAL) & TX_ROW_EIGHT(1);
    const uint64_t from_blob = tx_row_word_from(known, TX_ROW_TYPE_BLOB);
    const uint64_t above = (known & from_blob) - (TX_ROW_EIGHT(TX_ROW_TYPE_BLOB) & from_blob);
    const uint64_t decimal = tx_row_word_from(known, TX_ROW_TYPE_DECIMAL) & ~from_blob;
    const uint64_t low = known & TX_ROW_EIGHT(TX_ROW_DECIMAL_BYTES_MAX - 1);

    return (numbers - reals * (TX_ROW_TYPE_REAL - TX_ROW_TYPE_INT_MAX)) |
           ((low + TX_ROW_EIGHT(1)) & decimal) | (above >> 1 & TX_ROW_EIGHT(0x7f));
}

static inline struct tx_row_block
tx_row_block_sizes(struct tx_row_block types)
{
    return (struct tx_row_block){ tx_row_word_sizes(types.low), tx_row_word_sizes(types.high) };
}

/* The sum of pairs of bytes has 16 bits each, that of all in the highest. */
static inline uint32_t
tx_row_block_sum(struct tx_row_block block)
{
    const uint64_t pairs = UINT64_C(0x00ff00ff00ff00ff);
    const uint64_t sums = (block.low & pairs) + (block.low >> 8 & pairs) + (block.high & pairs) +
                          (block.high >> 8 & pairs);

    return (uint32_t)(sums * UINT64_C(0x0001000100010001) >> 48);
}

#endif

#endif /* TX_ROWBLOCK_H */
