/*
 * rowlists.c - ranges of keys that lists of values ask for, one after another.
 */
#include "rowlists.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 4000, PIECES_MIN = 32 };

/* Bytes of pieces; never moved. */
struct chunk {
    struct chunk *next;
    size_t used, room;
    uint8_t data[];
};

/* The bytes of one value in a key, or a whole key. */
struct piece {
    const uint8_t *order; /* what it is sorted by; the bytes themselves but for whole keys */
    const uint8_t *data;
    uint32_t order_bytes, bytes;
};

/* The values of one column, sorted. */
struct list {
    size_t first, count, at;
};

struct tx_lists {
    struct chunk *chunks;
    struct piece *pieces;
    size_t piece_count, piece_room;
    int count;
    struct list list[TX_KEY_COLUMNS_MAX];
    bool started;
    struct tx_ends tail; /* what stands behind the values in every range */
};

/* ---- pieces ---- */

static uint8_t *
take_room(struct tx_lists *lists, size_t bytes)
{
    struct chunk *chunk = lists->chunks;

    if (chunk == NULL || chunk->room - chunk->used < bytes) {
        const size_t room = bytes < CHUNK_BYTES ? CHUNK_BYTES : bytes;

        chunk = sqlite3_malloc64(sizeof(*chunk) + room);
        if (chunk == NULL)
            return NULL;
        chunk->next = lists->chunks;
        chunk->used = 0;
        chunk->room = room;
        lists->chunks = chunk;
    }
    chunk->used += bytes;
    return chunk->data + chunk->used - bytes;
}

static struct piece *
add_piece(struct tx_lists *lists)
{
    if (lists->piece_count == lists->piece_room) {
        const size_t room = lists->piece_room == 0 ? PIECES_MIN : lists->piece_room * 2;
        struct piece *pieces = sqlite3_realloc64(lists->pieces, room * sizeof(*pieces));

        if (pieces == NULL)
            return NULL;
        lists->pieces = pieces;
        lists->piece_room = room;
    }
    return &lists->pieces[lists->piece_count++];
}

int
tx_lists_add(struct tx_lists *lists, const struct tx_tuple *tuple)
{
    uint8_t *data = tuple->no_memory ? NULL : take_room(lists, tuple->bytes);
    struct piece *piece = data == NULL ? NULL : add_piece(lists);

    if (piece == NULL)
        return SQLITE_NOMEM;
    memcpy(data, tuple->data, tuple->bytes);
    *piece = (struct piece){ data, data, (uint32_t)tuple->bytes, (uint32_t)tuple->bytes };
    lists->list[lists->count].count++;
    return SQLITE_OK;
}

static int
compare_pieces(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;
    const uint32_t bytes = a->order_bytes < b->order_bytes ? a->order_bytes : b->order_bytes;
    const int c = memcmp(a->order, b->order, bytes);

    if (c != 0 || a->order_bytes == b->order_bytes)
        return c;
    return a->order_bytes < b->order_bytes ? -1 : 1;
}

/* The list that is being made, which is not empty. */
static struct piece *
own_pieces(const struct tx_lists *lists)
{
    return &lists->pieces[lists->list[lists->count].first];
}

/* SQLite gives a list's values in its own order, which mostly is this one. */
static void
sort_list(struct tx_lists *lists)
{
    const struct list *list = &lists->list[lists->count];
    struct piece *pieces;

    if (list->count == 0)
        return;
    pieces = own_pieces(lists);

    for (size_t i = 1; i < list->count; i++)
        if (compare_pieces(&pieces[i - 1], &pieces[i]) > 0) {
            qsort(pieces, list->count, sizeof(*pieces), compare_pieces);
            break;
        }
}

static void
remove_doubles(struct tx_lists *lists)
{
    struct list *list = &lists->list[lists->count];
    struct piece *pieces;
    size_t kept = 0;

    if (list->count == 0)
        return;
    pieces = own_pieces(lists);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || compare_pieces(&pieces[kept - 1], &pieces[i]) != 0)
            pieces[kept++] = pieces[i];
    list->count = kept;
    lists->piece_count = list->first + kept;
}

void
tx_ends_init(struct tx_ends *ends)
{
    tx_tuple_init(&ends->low);
    tx_tuple_init(&ends->high);
    tx_ends_clear(ends);
}

void
tx_ends_free(struct tx_ends *ends)
{
    tx_tuple_free(&ends->low);
    tx_tuple_free(&ends->high);
}

void
tx_ends_clear(struct tx_ends *ends)
{
    tx_tuple_clear(&ends->low);
    tx_tuple_clear(&ends->high);
    ends->low_open = ends->high_open = ends->no_row = false;
    ends->unsure = 0;
}

int
tx_lists_begin(struct tx_lists **out)
{
    struct tx_lists *lists = *out;

    if (lists == NULL) {
        lists = sqlite3_malloc(sizeof(*lists));
        if (lists == NULL)
            return SQLITE_NOMEM;
        lists->chunks = NULL;
        lists->pieces = NULL;
        lists->piece_room = 0;
        tx_ends_init(&lists->tail);
        *out = lists;
    }
    while (lists->chunks != NULL && lists->chunks->next != NULL) { /* one is kept */
        struct chunk *chunk = lists->chunks;

        lists->chunks = chunk->next;
        sqlite3_free(chunk);
    }
    if (lists->chunks != NULL)
        lists->chunks->used = 0;
    lists->piece_count = 0;
    lists->count = 0;
    lists->list[0] = (struct list){ .first = 0 };
    lists->started = false;
    tx_ends_clear(&lists->tail);
    return SQLITE_OK;
}

void
tx_lists_free(struct tx_lists *lists)
{
    if (lists == NULL)
        return;
    while (lists->chunks != NULL) {
        struct chunk *chunk = lists->chunks;

        lists->chunks = chunk->next;
        sqlite3_free(chunk);
    }
    tx_ends_free(&lists->tail);
    sqlite3_free(lists->pieces);
    sqlite3_free(lists);
}

void
tx_lists_close(struct tx_lists *lists)
{
    sort_list(lists);
    remove_doubles(lists);
    if (++lists->count < TX_KEY_COLUMNS_MAX)
        lists->list[lists->count] = (struct list){ .first = lists->piece_count };
}

int
tx_lists_count(const struct tx_lists *lists)
{
    return lists->count;
}

struct tx_ends *
tx_lists_tail(struct tx_lists *lists)
{
    return &lists->tail;
}

/* To the next combination of the lists' values; false when there is none. */
static bool
advance(struct tx_lists *lists, bool reverse)
{
    int i = lists->count - 1;

    if (!lists->started) {
        lists->started = true;
        for (int k = 0; k < lists->count; k++) {
            if (lists->list[k].count == 0)
                return false;
            lists->list[k].at = reverse ? lists->list[k].count - 1 : 0;
        }
        return !lists->tail.no_row;
    }
    for (; i >= 0; i--) {
        struct list *list = &lists->list[i];

        if (reverse ? list->at > 0 : list->at + 1 < list->count) {
            list->at = reverse ? list->at - 1 : list->at + 1;
            return true;
        }
        list->at = reverse ? list->count - 1 : 0;
    }
    return false;
}

bool
tx_lists_next(struct tx_lists *lists, bool reverse, struct tx_ends *ends)
{
    const struct tx_ends *tail = &lists->tail;

    do {
        if (!advance(lists, reverse))
            return false;
        tx_ends_clear(ends);
        for (int i = 0; i < lists->count; i++) {
            const struct piece *piece = &lists->pieces[lists->list[i].first + lists->list[i].at];

            tx_tuple_append(&ends->low, piece->data, piece->bytes);
        }
    } while (ends->low.too_big); /* no entry is that long */
    tx_tuple_copy(&ends->high, &ends->low);
    tx_tuple_append(&ends->low, tail->low.data, tail->low.bytes);
    tx_tuple_append(&ends->high, tail->high.data, tail->high.bytes);
    ends->low.too_big = ends->low.too_big || tail->low.too_big;
    ends->high.too_big = ends->high.too_big || tail->high.too_big;
    ends->low_open = tail->low_open;
    ends->high_open = tail->high_open;
    return true;
}

/* ---- whole keys ---- */

int
tx_lists_add_key(struct tx_lists *lists, struct txkv_bytes key, unsigned unsure, int columns)
{
    const uint8_t *end = key.data + key.bytes, *from = key.data;
    uint8_t *data = take_room(lists, 2 * key.bytes);
    struct piece *piece = data == NULL ? NULL : add_piece(lists);
    uint32_t order_bytes = 0;

    if (piece == NULL)
        return SQLITE_NOMEM;
    memcpy(data, key.data, key.bytes);
    for (int i = 0; from < end; i++) {
        const uint8_t *next = i < columns ? tx_tuple_skip(from, end, 1) : end;

        if (next == NULL)
            next = end;
        if (i >= columns || (unsure >> i & 1) == 0) {
            memcpy(data + key.bytes + order_bytes, from, (size_t)(next - from));
            order_bytes += (uint32_t)(next - from);
        }
        from = next;
    }
    *piece = (struct piece){ data + key.bytes, data, order_bytes, (uint32_t)key.bytes };
    lists->list[0].count++;
    return SQLITE_OK;
}

void
tx_lists_sort_keys(struct tx_lists *lists)
{
    sort_list(lists);
    lists->count = 1;
}
