/*
 * readset.c - the key ranges that a transaction has read.
 */
#include "readset.h"

#include <stdlib.h>
#include <string.h>

enum {
    RANGES_START = 16,
    RANGES_KEPT = 4096, /* a larger array is given back after the transaction */
    POINTS_START = 32,
    POINTS_KEPT = 1 << 14,
    POINTS_MAX = 1 << 22,      /* beyond it every key counts as read */
    RANGES_MAX = 1 << 18,      /* beyond it neighbours are joined */
    ENDS_BYTES_MAX = 64 << 20, /* of memory; beyond it long ends of ranges are cut to: */
    END_BYTES = 512
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
    tx_array_free(set->points, set->point_room * sizeof *set->points);
    tx_arena_free(&set->arena);
    tx_readset_init(set);
}

void
tx_readset_reset(struct tx_readset *set)
{
    if (set->room > RANGES_KEPT || set->point_room > POINTS_KEPT || set->every_point) {
        tx_readset_free(set);
        return;
    }
    if (!tx_readset_empty(set))
        tx_arena_reset(&set->arena);
    set->count = 0;
    if (set->point_count > 0)
        memset(set->points, 0, set->point_room * sizeof *set->points);
    set->point_count = 0;
    set->every_point = false;
}

/* The place of a hash, or the free one where it would go. */
static uint64_t *
point_of(uint64_t *points, uint32_t room, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (room - 1);

    while (points[at] != 0 && points[at] != hash)
        at = (at + 1) & (room - 1);
    return &points[at];
}

static bool
grow_points(struct tx_readset *set)
{
    const uint32_t room = set->point_room == 0 ? POINTS_START : set->point_room * 2;
    uint64_t *points = tx_array_zalloc(room * sizeof *points);

    if (points == NULL)
        return false;
    for (uint32_t i = 0; i < set->point_room; i++)
        if (set->points[i] != 0)
            *point_of(points, room, set->points[i]) = set->points[i];
    tx_array_free(set->points, set->point_room * sizeof *set->points);
    set->points = points;
    set->point_room = room;
    return true;
}

/* 0 marks a free place. */
static uint64_t
point_hash(uint64_t hash)
{
    return hash == 0 ? 1 : hash;
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

/*
 * An end of a range. A long one is cut when there are many: a lower end to its first bytes, which
 * are below it, an upper one to what is above all that begins like it.
 */
static bool
copy_end(struct tx_readset *set, const struct tx_key *from, bool is_high, struct tx_key *to)
{
    struct tx_key cut = *from;

    if (from->bytes <= END_BYTES || set->arena.bytes < ENDS_BYTES_MAX)
        return copy_key(set, from, to);
    cut.bytes = END_BYTES;
    while (is_high && cut.bytes > 0 && cut.data[cut.bytes - 1] == 0xff)
        cut.bytes--;
    if (cut.bytes == 0)
        cut.data = NULL;
    if (!copy_key(set, &cut, to))
        return false;
    if (is_high && cut.bytes > 0)
        ((uint8_t *)(uintptr_t)to->data)[cut.bytes - 1]++;
    return true;
}

enum txkv_rc
tx_readset_add_point(struct tx_readset *set, const struct tx_key *key, uint64_t hash,
                     struct txkv_error *err)
{
    uint64_t *point;

    if (set->every_point)
        return TXKV_OK;
    if (set->point_count == POINTS_MAX) {
        set->every_point = true; /* so that the hashes say nothing more */
        tx_array_free(set->points, set->point_room * sizeof *set->points);
        set->points = NULL;
        set->point_room = 0;
        return TXKV_OK;
    }
    if ((set->point_count + 1) * 2 > set->point_room && !grow_points(set))
        return tx_fail_nomem(err);
    point = point_of(set->points, set->point_room, point_hash(hash));
    if (*point != 0)
        return TXKV_OK;
    if (set->point_count < TX_READSET_SMALL &&
        !copy_key(set, key, &set->point_keys[set->point_count]))
        return tx_fail_nomem(err);
    *point = point_hash(hash);
    set->point_count++;
    return TXKV_OK;
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

/* Whether the range that was added last has all of this one. */
static bool
is_in_last(const struct tx_readset *set, const struct tx_key *lo, const struct tx_key *hi)
{
    const struct tx_read_range *last = &set->ranges[set->count - 1];

    if (last->lo.table != lo->table || !reaches(&last->hi, hi))
        return false;
    return last->lo.data == NULL || (lo->data != NULL && tx_key_compare(&last->lo, lo) <= 0);
}

enum txkv_rc
tx_readset_add(struct tx_readset *set, const struct tx_key *lo, const struct tx_key *hi,
               struct txkv_error *err)
{
    struct tx_read_range range;

    if (set->count > 0 && is_in_last(set, lo, hi))
        return TXKV_OK; /* the same statement once more, as a rule */
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
    if (!copy_end(set, lo, false, &range.lo) || !copy_end(set, hi, true, &range.hi))
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
tx_readset_covers(const struct tx_readset *set, const struct tx_key *key, uint64_t hash)
{
    const struct tx_read_range probe = { *key, *key };
    uint32_t below = 0, above = set->count;

    if (set->every_point ||
        (set->point_count > 0 && *point_of(set->points, set->point_room, point_hash(hash)) != 0))
        return true;
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
