/*
 * md5.c - see md5.h; the algorithm is RFC 1321's.
 */
#include "md5.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, ROUNDS = 64 };

static uint32_t
rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void
mix_block(uint32_t state[4], const uint8_t *block)
{
    static const uint8_t shifts[4][4] = {
        { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
    };
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], words[16];

    for (unsigned i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8 |
                   (uint32_t)block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint32_t add = (uint32_t)(uint64_t)floor(fabs(sin(i + 1.0)) * 4294967296.0);
        uint32_t f, next = d;
        unsigned word;

        if (i < 16) {
            f = (b & c) | (~b & d);
            word = i;
        } else if (i < 32) {
            f = (d & b) | (~d & c);
            word = (5 * i + 1) % 16;
        } else if (i < 48) {
            f = b ^ c ^ d;
            word = (3 * i + 5) % 16;
        } else {
            f = c ^ (b | ~d);
            word = 7 * i % 16;
        }
        d = c;
        c = b;
        b += rotate(a + f + add + words[word], shifts[i / 16][i % 4]);
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

void
md5_hex(const void *data, size_t bytes, char out[MD5_HEX_BYTES])
{
    uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    const uint8_t *from = data;
    uint8_t end[2 * BLOCK] = { 0 };
    const size_t whole = bytes / BLOCK * BLOCK, rest = bytes - whole;
    const size_t end_bytes = rest + 9 <= BLOCK ? BLOCK : 2 * BLOCK;

    for (size_t i = 0; i < whole; i += BLOCK)
        mix_block(state, from + i);
    if (rest > 0)
        memcpy(end, from + whole, rest);
    end[rest] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        end[end_bytes - 8 + i] = (uint8_t)((uint64_t)bytes * 8 >> 8 * i);
    for (size_t i = 0; i < end_bytes; i += BLOCK)
        mix_block(state, end + i);
    for (unsigned i = 0; i < 16; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", state[i / 4] >> 8 * (i % 4) & 0xff);
}
