/*
 * input.h - a fuzzer's bytes, taken one field after the other.
 *
 * Behind the end everything is zero, so that each prefix of an input is an input.
 */
#ifndef TXKV_FUZZ_INPUT_H
#define TXKV_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    const uint8_t *p, *end;
};

/* When it does not hold, that is a finding: the fuzzer keeps the input. */
#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline bool
take_end(const struct input *input)
{
    return input->p == input->end;
}

static inline uint8_t
take_u8(struct input *input)
{
    return input->p < input->end ? *input->p++ : 0;
}

static inline uint32_t
take_u16(struct input *input)
{
    const uint32_t low = take_u8(input);

    return low | (uint32_t)take_u8(input) << 8;
}

static inline uint64_t
take_u64(struct input *input)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)take_u8(input) << 8 * i;
    return v;
}

/* At most that many bytes; *bytes says how many there are. */
static inline const uint8_t *
take_bytes(struct input *input, size_t at_most, size_t *bytes)
{
    const uint8_t *p = input->p;
    const size_t left = (size_t)(input->end - p);

    *bytes = at_most < left ? at_most : left;
    input->p += *bytes;
    return p;
}

/* Read all of [p, p + bytes), so that a sanitizer sees a range that is not there. */
static inline void
touch(const void *p, size_t bytes)
{
    static uint8_t room[4096];

    for (size_t at = 0; at < bytes; at += sizeof room) {
        const size_t left = bytes - at;

        memcpy(room, (const uint8_t *)p + at, left < sizeof room ? left : sizeof room);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
}

#endif /* TXKV_FUZZ_INPUT_H */
