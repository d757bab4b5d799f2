/*
 * keysort.c - sorting many keys.
 *
 * Keys of one table tend to begin alike ("user:000..."), so the eight bytes that decide most
 * comparisons without a look at the key itself are taken from behind what all keys share.
 */
#include "keysort.h"

#include <stdlib.h>

static int
compare_items(const void *left, const void *right)
{
    const struct tx_sort_item *a = left, *b = right;
    int c;

    if (a->key.table != b->key.table)
        return a->key.table < b->key.table ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    c = tx_key_compare(&a->key, &b->key);
    return c != 0 ? c : (a->index > b->index) - (a->index < b->index);
}

/* How many bytes all keys begin with. */
static uint32_t
shared_bytes(const struct tx_sort_item *items, uint32_t count)
{
    uint32_t shared = items[0].key.bytes;

    for (uint32_t i = 1; i < count && shared > 0; i++) {
        uint32_t n = 0;

        while (n < shared && n < items[i].key.bytes && items[i].key.data[n] == items[0].key.data[n])
            n++;
        shared = n;
    }
    return shared;
}

void
tx_keysort(struct tx_sort_item *items, uint32_t count)
{
    uint32_t shared;

    if (count < 2)
        return;
    shared = shared_bytes(items, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct tx_key *key = &items[i].key;

        items[i].prefix = 0;
        for (uint32_t at = shared; at < shared + 8; at++)
            items[i].prefix = items[i].prefix << 8 | (at < key->bytes ? key->data[at] : 0);
    }
    qsort(items, count, sizeof *items, compare_items);
}
