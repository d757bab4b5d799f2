/*
 * keys.c - the model's keys, values and random ranges.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

struct key {
    uint8_t data[KEY_BYTES_MAX];
    uint32_t bytes;
};

static struct key keys[KEYS];
static uint8_t pattern[PATTERN_BYTES];

static int
compare_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    const int c = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    return c != 0 ? c : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int
compare_keys(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;

    return compare_bytes(x->data, x->bytes, y->data, y->bytes);
}

/* How much a key shares with the others: little, up to what LMDB takes as a key, or about a
 * boundary of the pieces in which longer ones stand there. */
static uint32_t
make_prefix(struct rng *rng)
{
    if (rng_chance(rng, 50))
        return rng_below(rng, 6);
    if (rng_chance(rng, 50))
        return rng_below(rng, 511);
    return 507 + 499 * rng_below(rng, 5) + rng_below(rng, 6);
}

/* Keys share a long prefix to different lengths; bytes are few, the extremes among them. */
void
make_keys(struct rng *rng)
{
    static const uint8_t alphabet[] = { 0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xff };
    uint32_t made = 0;

    while (made < KEYS) {
        struct key *k = &keys[made];
        const uint32_t prefix = make_prefix(rng);
        const uint32_t rest = 1 + rng_below(rng, rng_chance(rng, 10) ? 600 : 4);
        bool fresh = true;

        k->bytes =
            prefix + rest > KEY_BYTES_MAX || rng_chance(rng, 4) ? KEY_BYTES_MAX : prefix + rest;
        for (uint32_t i = 0; i < k->bytes; i++)
            k->data[i] = i < prefix ? (uint8_t)(i % 7 == 0 ? 'p' : 0)
                                    : alphabet[rng_below(rng, sizeof alphabet)];
        for (uint32_t i = 0; i < made && fresh; i++)
            fresh = compare_keys(&keys[i], k) != 0;
        made += fresh;
    }
    qsort(keys, KEYS, sizeof keys[0], compare_keys);
    for (uint32_t i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (uint8_t)rng_next(rng);
}

struct txkv_bytes
key_bytes(uint32_t k)
{
    return bytes_of(keys[k].data, keys[k].bytes);
}

/* A value's length and contents are functions of its number. */
uint32_t
value_length(uint32_t id)
{
    const uint64_t h = mix64(id);
    const uint32_t dice = (uint32_t)(h % 100);
    const uint32_t size = (uint32_t)(h >> 32);

    if (dice < 5)
        return 0;
    if (dice < 70)
        return 1 + size % 64;
    if (dice < 90)
        return size % 1000;
    return size % (dice < 98 ? 8000 : VALUE_BYTES_MAX + 1);
}

void
value_fill(uint32_t id, uint8_t *out)
{
    const uint32_t length = value_length(id);

    if (length > 0)
        memcpy(out, pattern + mix64(id ^ 0x5a5a) % 4096, length);
    if (length >= sizeof id)
        memcpy(out, &id, sizeof id);
}

bool
value_is(uint32_t id, struct txkv_bytes got)
{
    const uint32_t length = value_length(id);
    const uint32_t head = length >= sizeof id ? (uint32_t)sizeof id : 0;

    if (got.bytes != length)
        return false;
    if (length == 0)
        return true;
    return memcmp(got.data, &id, head) == 0 &&
           memcmp(got.data + head, pattern + mix64(id ^ 0x5a5a) % 4096 + head, length - head) == 0;
}

/* The number of the key with these bytes; KEYS when there is none. */
uint32_t
key_number(struct txkv_bytes k)
{
    uint32_t i = 0;

    while (i < KEYS && compare_bytes(keys[i].data, keys[i].bytes, k.data, k.bytes) != 0)
        i++;
    return i;
}

/* A key, or one a little before or after a key, or none. Returns how many keys are below it. */
static uint32_t
make_bound(uint8_t *buffer, struct txkv_bytes *bound, bool *open, bool is_low)
{
    const uint32_t k = roll(KEYS);
    uint32_t below = 0;
    int c;

    *open = roll(2) == 0;
    *bound = bytes_of(NULL, 0);
    if (roll(5) == 0)
        return is_low ? 0 : KEYS;
    bound->data = buffer;
    bound->bytes = keys[k].bytes;
    memcpy(buffer, keys[k].data, keys[k].bytes);
    if (roll(4) == 0 && bound->bytes < KEY_BYTES_MAX)
        buffer[bound->bytes++] = (uint8_t)(roll(2) * 0x80);
    else if (roll(4) == 0 && bound->bytes > 1)
        bound->bytes--;
    while (below < KEYS) {
        c = compare_bytes(keys[below].data, keys[below].bytes, buffer, bound->bytes);
        if (c > 0 || (c == 0 && is_low != *open))
            break;
        below++;
    }
    return below;
}

void
make_bounds(struct bounds *b)
{
    memset(&b->range, 0, sizeof b->range);
    b->lo = make_bound(b->lo_bytes, &b->range.lo, &b->range.lo_open, true);
    b->hi = make_bound(b->hi_bytes, &b->range.hi, &b->range.hi_open, false);
    b->range.descending = roll(2) == 0;
    if (b->hi < b->lo)
        b->hi = b->lo;
}
