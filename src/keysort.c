/*
 * keysort.c - sorting many keys.
 *
 * Keys of one table tend to begin alike ("user:000..."), so the eight bytes that decide most
 * comparisons without a look at the key itself are taken from behind what all keys share. Many
 * items are first sorted by table and these bytes, a byte at a time from the last, which looks at
 * no key and compares nothing; bytes that all have in common cost nothing. What is equal by then is
 * sorted by the whole keys.
 */
#include "keysort.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum { RADIX_FROM = 512 };

struct keys {
    tx_sort_key *key_of;
    const void *arg;
};

static int
compare_items(const void *left, const void *right, void *arg)
{
    const struct tx_sort_item *a = left, *b = right;
    const struct keys *keys = arg;
    struct tx_key key_a, key_b;
    int c;

    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    key_a = keys->key_of(keys->arg, a->index);
    key_b = keys->key_of(keys->arg, b->index);
    c = tx_key_compare(&key_a, &key_b);
    return c != 0 ? c : (a->index > b->index) - (a->index < b->index);
}

/* With how many of `bytes` bytes both keys begin. */
static uint32_t
shared_bytes(const struct tx_key *a, const struct tx_key *b, uint32_t bytes)
{
    const uint32_t limit = (uint32_t)tx_min_u64(bytes, tx_min_u64(a->bytes, b->bytes));
    uint32_t n = 0;

    while (n < limit && a->data[n] == b->data[n])
        n++;
    return n;
}

/* Fill the items for keys that all begin with the same `*shared` bytes; false, with *shared put
 * right, when they do not. */
static bool
try_fill(struct tx_sort_item *items, uint32_t count, const struct keys *keys, uint32_t *shared)
{
    const struct tx_key first = keys->key_of(keys->arg, items[0].index);
    const uint32_t tried = *shared;

    for (uint32_t i = 0; i < count; i++) {
        const struct tx_key key = keys->key_of(keys->arg, items[i].index);

        *shared = shared_bytes(&first, &key, *shared);
        items[i].table = key.table;
        items[i].prefix = 0;
        for (uint32_t at = tried; at < tried + 8; at++)
            items[i].prefix = items[i].prefix << 8 | (at < key.bytes ? key.data[at] : 0);
    }
    return *shared == tried;
}

/* The keys are spread over memory. So they are looked at once, when the first and the last tell
 * what all of them share, and twice at most. */
static void
fill_items(struct tx_sort_item *items, uint32_t count, const struct keys *keys)
{
    const struct tx_key first = keys->key_of(keys->arg, items[0].index);
    const struct tx_key last = keys->key_of(keys->arg, items[count - 1].index);
    uint32_t shared = shared_bytes(&first, &last, first.bytes);

    if (!try_fill(items, count, keys, &shared))
        (void)try_fill(items, count, keys, &shared);
}

/* ---- by the bytes in the items ---- */

enum { PREFIX_DIGITS = 8, DIGITS = 12 };

static inline uint8_t
digit_of(const struct tx_sort_item *item, unsigned digit)
{
    if (digit < PREFIX_DIGITS)
        return (uint8_t)(item->prefix >> (8 * digit));
    return (uint8_t)(item->table >> (8 * (digit - PREFIX_DIGITS)));
}

/* A bit for each digit in which items differ. */
static unsigned
varying_digits(const struct tx_sort_item *items, uint32_t count)
{
    struct tx_sort_item differ = { 0, 0, 0 };
    unsigned digits = 0;

    for (uint32_t i = 1; i < count; i++) {
        differ.prefix |= items[i].prefix ^ items[0].prefix;
        differ.table |= items[i].table ^ items[0].table;
    }
    for (unsigned digit = 0; digit < DIGITS; digit++)
        digits |= digit_of(&differ, digit) != 0 ? 1u << digit : 0;
    return digits;
}

static void
distribute(const struct tx_sort_item *from, struct tx_sort_item *to, uint32_t count, unsigned digit)
{
    uint32_t at[256] = { 0 };
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        at[digit_of(&from[i], digit)]++;
    for (unsigned value = 0; value < 256; value++) {
        const uint32_t n = at[value];

        at[value] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < count; i++)
        to[at[digit_of(&from[i], digit)]++] = from[i];
}

/* False when there is no memory. */
static bool
sort_by_digits(struct tx_sort_item *items, uint32_t count)
{
    const unsigned digits = varying_digits(items, count);
    struct tx_sort_item *from = items, *to = tx_malloc(count * sizeof *items);
    struct tx_sort_item *const room = to;

    if (room == NULL)
        return false;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        struct tx_sort_item *const last = from;

        if ((digits & 1u << digit) == 0)
            continue;
        distribute(from, to, count, digit);
        from = to;
        to = last;
    }
    if (from == room)
        memcpy(items, room, count * sizeof *items);
    tx_free(room);
    return true;
}

void
tx_keysort(struct tx_sort_item *items, uint32_t count, tx_sort_key *key_of, const void *arg)
{
    struct keys keys = { key_of, arg };
    uint32_t end;

    if (count < 2)
        return;
    fill_items(items, count, &keys);
    if (count < RADIX_FROM || !sort_by_digits(items, count)) {
        qsort_r(items, count, sizeof *items, compare_items, &keys);
        return;
    }
    for (uint32_t at = 0; at < count; at = end) {
        end = at + 1;
        while (end < count && items[end].prefix == items[at].prefix &&
               items[end].table == items[at].table)
            end++;
        if (end - at > 1)
            qsort_r(items + at, end - at, sizeof *items, compare_items, &keys);
    }
}
