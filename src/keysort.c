/*
 * keysort.c - sorting many keys.
 *
 * Keys of one table tend to begin alike ("user:000..."), so the eight bytes that decide most
 * comparisons without a look at the key itself are taken from behind what all keys share. Many
 * items are first sorted by table and these bytes, a byte at a time from the last, which looks at
 * no key and compares nothing; bytes that all have in common cost nothing. What is equal by then is
 * sorted by the whole keys.
 *
 * Most of it is waiting for the keys, which are spread over memory, and going over the items again
 * and again. So two threads do it for one half each; the halves are merged by the same bytes.
 */
#include "keysort.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "mem.h"
#include "os.h"

enum { RADIX_FROM = 512, BY_TWO_FROM = 65536, PREFETCH_AHEAD = 16 };

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

    if (bytes == 0 || (limit == bytes && memcmp(a->data, b->data, bytes) == 0))
        return bytes; /* of almost all keys */
    while (n < limit && a->data[n] == b->data[n])
        n++;
    return n;
}

/* Eight bytes of a key as a number, zero-filled. */
static uint64_t
bytes_from(const struct tx_key *key, uint32_t at)
{
    uint64_t bytes = 0;

    if (key->bytes >= at + 8)
        return tx_get_be64(key->data + at);
    for (uint32_t end = at + 8; at < end; at++)
        bytes = bytes << 8 | (at < key->bytes ? key->data[at] : 0);
    return bytes;
}

/* The items of one thread. */
struct part {
    struct tx_sort_item *items, *room;
    bool into_room; /* where they are to stand in the end */
    uint32_t count;
    const struct keys *keys;
    struct tx_key first; /* of all items */
    uint32_t tried;      /* bytes that all keys are taken to begin with */
    uint32_t shared;     /* and those of them that its keys do */
};

/* Fill the items in. */
static void *
fill(void *arg)
{
    struct part *part = arg;
    const struct keys *keys = part->keys;
    struct tx_sort_item *items = part->items;

    part->shared = part->tried;
    for (uint32_t i = 0; i < part->count; i++) {
        const struct tx_key key = keys->key_of(keys->arg, items[i].index);

        if (i + PREFETCH_AHEAD < part->count)
            __builtin_prefetch(keys->key_of(keys->arg, items[i + PREFETCH_AHEAD].index).data);
        part->shared = shared_bytes(&part->first, &key, part->shared);
        items[i].table = key.table;
        items[i].prefix = bytes_from(&key, part->tried);
    }
    return NULL;
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

static void *
sort_by_digits(void *arg)
{
    struct part *part = arg;
    const unsigned digits = varying_digits(part->items, part->count);
    struct tx_sort_item *from = part->items, *to = part->room;

    for (unsigned digit = 0; digit < DIGITS; digit++) {
        struct tx_sort_item *const last = from;

        if ((digits & 1u << digit) == 0)
            continue;
        distribute(from, to, part->count, digit);
        from = to;
        to = last;
    }
    to = part->into_room ? part->room : part->items;
    if (from != to)
        memcpy(to, from, part->count * sizeof *to);
    return NULL;
}

/* ---- in one thread or in two ---- */

/* All parts, the second one by another thread if there is one to be had. */
static void
run_parts(void *(*run)(void *), struct part *parts, uint32_t count)
{
    pthread_t thread;

    if (count == 2 && tx_os_thread(&thread, run, &parts[1], "txkv-sort", NULL) == TXKV_OK) {
        (void)run(&parts[0]);
        (void)pthread_join(thread, NULL);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        (void)run(&parts[i]);
}

/* The keys are spread over memory. So they are looked at once, when the first and the last tell
 * what all of them share, and twice at most. */
static void
fill_parts(struct part *parts, uint32_t count)
{
    const struct keys *keys = parts->keys;
    const struct part *end = &parts[count - 1];
    const struct tx_key first = keys->key_of(keys->arg, parts->items[0].index);
    const struct tx_key last = keys->key_of(keys->arg, end->items[end->count - 1].index);
    uint32_t tried, shared = shared_bytes(&first, &last, first.bytes);

    do {
        tried = shared;
        for (uint32_t i = 0; i < count; i++) {
            parts[i].first = first;
            parts[i].tried = tried;
        }
        run_parts(fill, parts, count);
        for (uint32_t i = 0; i < count; i++)
            shared = (uint32_t)tx_min_u64(shared, parts[i].shared);
    } while (shared < tried);
}

static inline bool
is_above(const struct tx_sort_item *a, const struct tx_sort_item *b)
{
    return a->table != b->table ? a->table > b->table : a->prefix > b->prefix;
}

/* Two halves, sorted and in their room, become one in their items. */
static void
merge(const struct part halves[2])
{
    const struct tx_sort_item *a = halves[0].room, *const end_a = a + halves[0].count;
    const struct tx_sort_item *b = halves[1].room, *const end_b = b + halves[1].count;
    struct tx_sort_item *to = halves[0].items;

    while (a < end_a && b < end_b)
        *to++ = is_above(a, b) ? *b++ : *a++;
    while (a < end_a)
        *to++ = *a++;
    while (b < end_b)
        *to++ = *b++;
}

/* One part, or the halves of one array. False when there is no memory. */
static bool
sort_parts(struct part *parts, uint32_t part_count, uint32_t count)
{
    struct tx_sort_item *const room = tx_array_alloc(count * sizeof *room);

    if (room == NULL)
        return false;
    for (uint32_t i = 0; i < part_count; i++) {
        parts[i].room = room + (parts[i].items - parts[0].items);
        parts[i].into_room = part_count == 2;
    }
    run_parts(sort_by_digits, parts, part_count);
    if (part_count == 2)
        merge(parts);
    tx_array_free(room, count * sizeof *room);
    return true;
}

static void
sort(struct tx_sort_item *items, uint32_t count, const struct keys *keys, uint32_t part_count)
{
    struct part parts[2] = { { .items = items, .count = count / part_count, .keys = keys } };
    uint32_t end;

    parts[1] = (struct part){ .items = items + parts[0].count,
                              .count = count - parts[0].count,
                              .keys = keys };
    if (count < 2)
        return;
    fill_parts(parts, part_count);
    if (count < RADIX_FROM || !sort_parts(parts, part_count, count)) {
        qsort_r(items, count, sizeof *items, compare_items, (void *)(uintptr_t)keys);
        return;
    }
    for (uint32_t at = 0; at < count; at = end) {
        end = at + 1;
        while (end < count && items[end].prefix == items[at].prefix &&
               items[end].table == items[at].table)
            end++;
        if (end - at > 1)
            qsort_r(items + at, end - at, sizeof *items, compare_items, (void *)(uintptr_t)keys);
    }
}

void
tx_keysort(struct tx_sort_item *items, uint32_t count, tx_sort_key *key_of, const void *arg)
{
    const struct keys keys = { key_of, arg };

    sort(items, count, &keys, 1);
}

void
tx_keysort_by_two(struct tx_sort_item *items, uint32_t count, tx_sort_key *key_of, const void *arg)
{
    const struct keys keys = { key_of, arg };

    sort(items, count, &keys, count < BY_TWO_FROM ? 1 : 2);
}
