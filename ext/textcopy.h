/*
 * textcopy.h - copies a text and gives it a terminator, and looks meanwhile for zero bytes in it.
 *
 * For sqlite3_result_text, which measures the copy at once (strlen) by 32 bytes at a time. A load
 * waits for what has just been stored unless it lies within one store: so the copy is written by 32
 * bytes at a time too, in the same places, and so is its end, with the terminator.
 *
 * With AVX2, so only where tx_text_copy_works. Pure; any thread.
 */
#ifndef TX_TEXTCOPY_H
#define TX_TEXTCOPY_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TX_TEXT_PIECE 32 /* bytes */

/* The mask of the first n bytes of a piece begins n before the zeros, that of the others n before
 * their end. */
static const uint8_t tx_text_masks[3 * TX_TEXT_PIECE] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [2 * TX_TEXT_PIECE] = 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
};

/*
 * Whether the processor can do it, and the text's last piece, which is read whole, does not reach
 * into another page: what stands behind a text in its page can be read, whatever it is.
 */
static inline bool
tx_text_copy_works(const uint8_t *text, size_t bytes)
{
    enum { PAGE = 4096 };
    const uintptr_t last = (uintptr_t)text + bytes / TX_TEXT_PIECE * TX_TEXT_PIECE;

    return __builtin_cpu_supports("avx2") && last % PAGE <= PAGE - TX_TEXT_PIECE;
}

/*
 * `to` begins at a multiple of TX_TEXT_PIECE, and has room for the next one above `bytes`. False:
 * there is a zero byte among them. What is read behind the text has no effect, but is not the
 * caller's, and another thread may be writing there: the sanitizers must not look.
 */
__attribute__((target("avx2"), no_sanitize("address", "thread"))) static inline bool
tx_text_copy(uint8_t *to, const uint8_t *text, size_t bytes)
{
    const size_t rest = bytes % TX_TEXT_PIECE, whole = bytes - rest;
    const __m256i zero = _mm256_setzero_si256();
    __m256i least = _mm256_set1_epi8(-1), piece;

    for (size_t i = 0; i < whole; i += TX_TEXT_PIECE) {
        piece = _mm256_loadu_si256((const void *)(text + i));
        least = _mm256_min_epu8(least, piece);
        _mm256_store_si256((void *)(to + i), piece);
    }
    piece = zero;
    if (rest > 0) {
        const uint8_t *zeros = tx_text_masks + TX_TEXT_PIECE, *ones = zeros + TX_TEXT_PIECE;

        piece = _mm256_and_si256(_mm256_loadu_si256((const void *)(text + whole)),
                                 _mm256_loadu_si256((const void *)(zeros - rest)));
        least = _mm256_min_epu8(
            least, _mm256_or_si256(piece, _mm256_loadu_si256((const void *)(ones - rest))));
    }
    _mm256_store_si256((void *)(to + whole), piece);
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(least, zero)) == 0;
}

#endif /* TX_TEXTCOPY_H */
