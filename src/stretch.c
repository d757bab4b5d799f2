/*
 * stretch.c - a stretch of the rows that a checkpoint moves, copied out of the log.
 *
 * The log's segments, by address, are cut into parts of some megabytes. A stretch's rows are
 * distributed over the parts; then, part by part, each is copied to its place, which is in the
 * rows' order. A part's pages are mapped once for a stretch, and there are a few dozen stretches
 * at most.
 */
#include "stretch.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROW_BYTES = 64,       /* a stretch has room for so many rows as of that size fit */
    ROOM_UNCOPIED = 1024, /* rows */
    PART_SHIFT = 24,
    PARTS_MAX = 1024,
    PREFETCH_AHEAD = 8
};

#define NO_PART UINT32_MAX

struct tx_log_range {
    const struct tx_segment *segment;
    uint64_t before; /* bytes of those at lower addresses */
};

static int
compare_ranges(const void *left, const void *right)
{
    const struct tx_log_range *a = left, *b = right;

    return a->segment->map < b->segment->map ? -1 : a->segment->map > b->segment->map;
}

/* The segments, each once: two memtables have one in common. */
static enum txkv_rc
list_ranges(struct tx_stretch *stretch, struct tx_memtable *const *memtables, uint32_t count)
{
    uint64_t before = 0;
    uint32_t all = 0;

    for (uint32_t i = 0; i < count; i++)
        all += memtables[i]->segment_count;
    stretch->ranges = tx_zalloc(all * sizeof *stretch->ranges);
    if (stretch->ranges == NULL)
        return TXKV_NOMEM;
    for (uint32_t i = 0, n = 0; i < count; i++)
        for (uint32_t s = 0; s < memtables[i]->segment_count; s++)
            stretch->ranges[n++].segment = memtables[i]->segments[s];
    qsort(stretch->ranges, all, sizeof *stretch->ranges, compare_ranges);
    for (uint32_t i = 0; i < all; i++) {
        struct tx_log_range *range = &stretch->ranges[stretch->range_count];

        if (i > 0 && stretch->ranges[i].segment == range[-1].segment)
            continue;
        *range = (struct tx_log_range){ stretch->ranges[i].segment, before };
        before += range->segment->bytes;
        stretch->range_count++;
    }
    stretch->part_shift = PART_SHIFT;
    while (before >> stretch->part_shift >= PARTS_MAX)
        stretch->part_shift++;
    stretch->parts = (uint32_t)(before >> stretch->part_shift) + 1;
    return TXKV_OK;
}

bool
tx_stretch_is_large(struct tx_memtable *const *memtables, uint32_t count)
{
    bool large = false;

    for (uint32_t i = 0; i < count; i++)
        large |= tx_memtable_is_large(memtables[i]);
    return large;
}

/* What copying in the log's order takes. */
static enum txkv_rc
make_order(struct tx_stretch *stretch, struct tx_memtable *const *memtables, uint32_t count)
{
    const enum txkv_rc rc = list_ranges(stretch, memtables, count);

    if (rc != TXKV_OK)
        return rc;
    stretch->order = tx_malloc(stretch->room * sizeof *stretch->order);
    stretch->ends = tx_malloc(stretch->parts * sizeof *stretch->ends);
    return stretch->order == NULL || stretch->ends == NULL ? TXKV_NOMEM : TXKV_OK;
}

enum txkv_rc
tx_stretch_init(struct tx_stretch *stretch, struct tx_memtable *const *memtables, uint32_t count,
                uint64_t copies_bytes)
{
    enum txkv_rc rc = TXKV_OK;

    *stretch = (struct tx_stretch){ .room = ROOM_UNCOPIED, .copies_bytes = copies_bytes };
    if (copies_bytes > 0) {
        stretch->room = (uint32_t)(copies_bytes / ROW_BYTES);
        stretch->copies = tx_malloc(copies_bytes);
        if (stretch->copies == NULL)
            return TXKV_NOMEM;
        if (tx_stretch_is_large(memtables, count))
            rc = make_order(stretch, memtables, count);
    }
    stretch->rows = tx_malloc(stretch->room * sizeof *stretch->rows);
    if (rc == TXKV_OK && stretch->rows != NULL)
        return TXKV_OK;
    tx_stretch_free(stretch);
    return TXKV_NOMEM;
}

void
tx_stretch_free(struct tx_stretch *stretch)
{
    tx_free(stretch->rows);
    tx_free(stretch->ranges);
    tx_free(stretch->copies);
    tx_free(stretch->order);
    tx_free(stretch->ends);
    *stretch = (struct tx_stretch){ 0 };
}

/* The array with fewer bytes, or as it was. */
static void *
shrunk(void *array, uint64_t bytes)
{
    void *const smaller = tx_realloc(array, bytes);

    return smaller != NULL ? smaller : array;
}

void
tx_stretch_shrink(struct tx_stretch *stretch, uint64_t copies_bytes)
{
    if (stretch->copies == NULL || stretch->copies_bytes <= copies_bytes)
        return;
    stretch->copies_bytes = copies_bytes;
    stretch->room = (uint32_t)(copies_bytes / ROW_BYTES);
    stretch->copies = shrunk(stretch->copies, copies_bytes);
    if (stretch->order != NULL)
        stretch->order = shrunk(stretch->order, stretch->room * sizeof *stretch->order);
    stretch->rows = shrunk(stretch->rows, stretch->room * sizeof *stretch->rows);
}

void
tx_stretch_clear(struct tx_stretch *stretch, uint64_t bytes)
{
    stretch->bytes_max = stretch->copies == NULL ? bytes : tx_min_u64(bytes, stretch->copies_bytes);
    stretch->count = 0;
    stretch->bytes = 0;
}

void
tx_stretch_add(struct tx_stretch *stretch, const struct tx_row *row)
{
    assert(tx_stretch_has_room(stretch));
    stretch->rows[stretch->count++] = *row;
    /* Of those that are not copied one may be longer than the stretch. */
    stretch->bytes = tx_min_u64(stretch->bytes + tx_row_bytes(row), stretch->bytes_max);
}

/* Which part of the log an address is in; 0 when it is in none. */
static uint32_t
part_of(const struct tx_stretch *stretch, const uint8_t *at)
{
    uint32_t low = 0, high = stretch->range_count;
    const struct tx_log_range *range;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;

        if (stretch->ranges[middle].segment->map <= at)
            low = middle;
        else
            high = middle;
    }
    range = &stretch->ranges[low];
    if (stretch->range_count == 0 || at < range->segment->map ||
        at >= range->segment->map + range->segment->bytes)
        return 0;
    return (uint32_t)((range->before + (uint64_t)(at - range->segment->map)) >>
                      stretch->part_shift);
}

/* What of a row is to be copied: its key, then its value, unless that stood behind the key and has
 * been copied with it. NULL: nothing. */
static const uint8_t *
source_of(const struct tx_stretch *stretch, const struct tx_row *row, bool value)
{
    if (!tx_stretch_is_copied(stretch, row))
        return NULL;
    if (!value)
        return row->key;
    return row->value == row->key + row->key_bytes ? NULL : row->value;
}

/* Fill in `order` and `ends`, for the keys or for the values. A row's place is its part meanwhile.
 */
static void
distribute(struct tx_stretch *stretch, bool values)
{
    uint32_t sum = 0;

    memset(stretch->ends, 0, stretch->parts * sizeof *stretch->ends);
    for (uint32_t i = 0; i < stretch->count; i++) {
        struct tx_row *row = &stretch->rows[i];
        const uint8_t *source = source_of(stretch, row, values);

        row->place = source == NULL ? NO_PART : part_of(stretch, source);
        if (source != NULL)
            stretch->ends[row->place]++;
    }
    for (uint32_t part = 0; part < stretch->parts; part++) {
        const uint32_t count = stretch->ends[part];

        stretch->ends[part] = sum; /* where it begins; each row moves it on */
        sum += count;
    }
    for (uint32_t i = 0; i < stretch->count; i++)
        if (stretch->rows[i].place != NO_PART)
            stretch->order[stretch->ends[stretch->rows[i].place]++] = i;
}

static void
let_go_of_part(const struct tx_stretch *stretch, uint32_t part)
{
    const uint64_t from = (uint64_t)part << stretch->part_shift;
    const uint64_t to = from + (UINT64_C(1) << stretch->part_shift);

    for (uint32_t i = 0; i < stretch->range_count; i++) {
        const struct tx_segment *segment = stretch->ranges[i].segment;
        const uint64_t before = stretch->ranges[i].before;

        if (before < to && before + segment->bytes > from)
            tx_segment_unmap_pages(segment, tx_max_u64(from, before) - before,
                                   tx_min_u64(to - before, segment->bytes));
    }
}

/* The key, and the value if it stands behind it. */
static void
copy_key(struct tx_row *row, uint8_t *to)
{
    const bool with_value = row->value == row->key + row->key_bytes;

    memcpy(to, row->key, row->key_bytes + (with_value ? row->value_bytes : 0));
    row->key = to;
    if (with_value)
        row->value = to + row->key_bytes;
}

/* To its place behind the key's copy. */
static void
copy_value(struct tx_row *row, uint8_t *to)
{
    memcpy(to, row->value, row->value_bytes);
    row->value = to;
}

/* Ask for the bytes of a row to come, and, further ahead, for what says where they are. */
static void
prefetch_ahead(const struct tx_stretch *stretch, uint32_t i, uint32_t end)
{
    const struct tx_row *row;

    if (i + 2 * PREFETCH_AHEAD < end)
        __builtin_prefetch(&stretch->rows[stretch->order[i + 2 * PREFETCH_AHEAD]]);
    if (i + PREFETCH_AHEAD >= end)
        return;
    row = &stretch->rows[stretch->order[i + PREFETCH_AHEAD]];
    __builtin_prefetch(row->key);
    __builtin_prefetch(row->value);
}

static void
copy_all(struct tx_stretch *stretch, bool values)
{
    uint64_t place = 0;
    uint32_t i = 0;

    distribute(stretch, values);
    for (uint32_t n = 0; n < stretch->count; n++) {
        struct tx_row *row = &stretch->rows[n];

        row->place = (uint32_t)place;
        place += tx_stretch_is_copied(stretch, row) ? tx_row_bytes(row) : 0;
    }
    for (uint32_t part = 0; part < stretch->parts; part++) {
        const uint32_t end = stretch->ends[part];

        if (i == end)
            continue;
        for (; i < end; i++) {
            struct tx_row *row = &stretch->rows[stretch->order[i]];
            uint8_t *to = stretch->copies + row->place;

            prefetch_ahead(stretch, i, end);
            if (values)
                copy_value(row, to + row->key_bytes);
            else
                copy_key(row, to);
        }
        let_go_of_part(stretch, part);
    }
}

/* Their own one. */
static void
copy_in_order(struct tx_stretch *stretch)
{
    uint8_t *to = stretch->copies;

    for (uint32_t i = 0; i < stretch->count; i++) {
        struct tx_row *row = &stretch->rows[i];

        if (!tx_stretch_is_copied(stretch, row))
            continue;
        copy_key(row, to);
        to += row->key_bytes;
        if (row->value != NULL && row->value != to)
            copy_value(row, to);
        to += row->value_bytes;
    }
}

void
tx_stretch_copy(struct tx_stretch *stretch)
{
    if (stretch->copies == NULL || stretch->count == 0)
        return;
    if (stretch->order == NULL) {
        copy_in_order(stretch);
    } else {
        copy_all(stretch, false);
        copy_all(stretch, true);
    }
}
