/*
 * readset.c - the key ranges that a transaction has read.
 */
#include "readset.h"

#include <stdlib.h>
#include <string.h>

enum {
    RANGES_START = 16,
    RANGES_KEPT = 4096,  /* a larger array is given back after the transaction */
    RANGES_MAX = 1 << 18 /* beyond it neighbours are joined */
};

void
tx_readset_init(struct tx_readset *set)
{
    memset(set, 0, sizeof *set);
    tx_arena_init(&set->arena);
}

void
tx_readset_free(struct tx_readset *set)
{
    tx_free(set->ranges);
    tx_arena_free(&set->arena);
    tx_readset_init(set);
}

void
tx_readset_reset(struct tx_readset *set)
{
    if (set->room > RANGES_KEPT) {
        tx_readset_free(set);
        return;
    }
    if (set->count > 0)
        tx_arena_reset(&set->arena);
    set->count = 0;
}

static bool
copy_key(struct tx_readset *set, const struct tx_key *from, struct tx_key *to)
{
    uint8_t *data;

    *to = *from;
    if (from->data == NULL)
        return true;
    data = tx_arena_alloc(&set->arena, from->bytes);
    if (data == NULL)
        return false;
    memcpy(data, from->data, from->bytes);
    to->data = data;
    return true;
}

/* True when upper end `hi` is not below key, or below another upper end. */
static bool
reaches(const struct tx_key *hi, const struct tx_key *key)
{
    return hi->data == NULL || (key->data != NULL && tx_key_compare(hi, key) >= 0);
}

/* Join each range with its neighbour: half as many, and the keys stay where they are. */
static void
coarsen(struct tx_readset *set)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        set->ranges[kept] = set->ranges[i];
        if (i + 1 < set->count && set->ranges[i + 1].lo.table == set->ranges[i].lo.table) {
            i++;
            if (!reaches(&set->ranges[kept].hi, &set->ranges[i].hi)) /* a range may be empty */
                set->ranges[kept].hi = set->ranges[i].hi;
        }
        kept++;
    }
    set->count = kept;
}

enum txkv_rc
tx_readset_add(struct tx_readset *set, const struct tx_key *lo, const struct tx_key *hi,
               struct txkv_error *err)
{
    struct tx_read_range range;

    if (set->count == RANGES_MAX) {
        tx_readset_seal(set);
        if (set->count > RANGES_MAX / 2)
            coarsen(set);
    }
    if (set->count == set->room) {
        const uint32_t room = set->room == 0 ? RANGES_START : set->room * 2;
        struct tx_read_range *ranges = tx_realloc(set->ranges, room * sizeof *ranges);

        if (ranges == NULL)
            return tx_fail_nomem(err);
        set->ranges = ranges;
        set->room = room;
    }
    if (!copy_key(set, lo, &range.lo))
        return tx_fail_nomem(err);
    range.hi = range.lo;
    if (hi != lo && !copy_key(set, hi, &range.hi))
        return tx_fail_nomem(err);
    set->ranges[set->count++] = range;
    return TXKV_OK;
}

/* Compare lower ends: the table's start is below every key. */
static int
compare_lo(const void *left, const void *right)
{
    const struct tx_key *a = &((const struct tx_read_range *)left)->lo;
    const struct tx_key *b = &((const struct tx_read_range *)right)->lo;

    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    if (a->data == NULL || b->data == NULL)
        return (a->data != NULL) - (b->data != NULL);
    return tx_key_compare(a, b);
}

void
tx_readset_seal(struct tx_readset *set)
{
    uint32_t kept = 0;

    if (set->count < 2)
        return;
    qsort(set->ranges, set->count, sizeof *set->ranges, compare_lo);
    for (uint32_t i = 1; i < set->count; i++) {
        struct tx_read_range *last = &set->ranges[kept];
        const struct tx_read_range *range = &set->ranges[i];
        const bool touches = last->lo.table == range->lo.table &&
                             (range->lo.data == NULL || reaches(&last->hi, &range->lo));

        if (!touches)
            set->ranges[++kept] = *range;
        else if (!reaches(&last->hi, &range->hi) || range->hi.data == NULL)
            last->hi = range->hi;
    }
    set->count = kept + 1;
}

bool
tx_readset_covers(const struct tx_readset *set, const struct tx_key *key)
{
    const struct tx_read_range probe = { *key, *key };
    uint32_t below = 0, above = set->count;

    /* The last range whose lower end is not above the key. */
    while (below < above) {
        const uint32_t middle = below + (above - below) / 2;

        if (compare_lo(&set->ranges[middle], &probe) <= 0)
            below = middle + 1;
        else
            above = middle;
    }
    if (below == 0)
        return false;
    return set->ranges[below - 1].lo.table == key->table &&
           reaches(&set->ranges[below - 1].hi, key);
}
