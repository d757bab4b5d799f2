/*
 * rowrange.c - the ranges of keys that a plan and its values ask for, in the order of the keys.
 */
#include "rowrange.h"

#include <stdlib.h>
#include <string.h>

/* Above a NULL and below every other value, behind the end of the values before. */
static const uint8_t above_null = 0x09;
/* Above every value. */
static const uint8_t above_all = 0xff;

enum { CHUNK_BYTES = 4000, PIECES_MIN = 32 };

/* What a value of xFilter's is for the column that it is compared with. */
enum fit {
    FIT_EXACT,
    FIT_NONE,   /* no row can match */
    FIT_UNSURE, /* a number and a TEXT column: which texts match depends on where it comes from */
    FIT_NOMEM
};

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

static const struct tx_key *
path_key(const struct tx_shape *shape, int path)
{
    return path == 0 ? &shape->primary : &shape->indexes[path - 1];
}

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

static int
add_tuple(struct tx_lists *lists, const struct tx_tuple *tuple)
{
    uint8_t *data = take_room(lists, tuple->bytes);
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

/* SQLite gives a list's values in its own order, which mostly is this one. */
static void
sort_list(struct tx_lists *lists)
{
    struct list *list = &lists->list[lists->count];
    struct piece *pieces = lists->pieces + list->first;

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
    struct piece *pieces = lists->pieces + list->first;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || compare_pieces(&pieces[kept - 1], &pieces[i]) != 0)
            pieces[kept++] = pieces[i];
    list->count = kept;
    lists->piece_count = list->first + kept;
}

/* ---- values ---- */

static enum fit
read_value(const struct tx_shape *shape, int column, bool may_be_null, sqlite3_value *value,
           struct tx_cell *out)
{
    enum tx_affinity affinity = tx_shape_affinity(shape, column);

    /* A comparison with a REAL or INTEGER column makes a text a number, but no 1 a 1.0. */
    if (tx_affinity_is_numeric(affinity))
        affinity = TX_AFFINITY_NUMERIC;
    else if (affinity == TX_AFFINITY_TEXT && (sqlite3_value_type(value) == SQLITE_INTEGER ||
                                              sqlite3_value_type(value) == SQLITE_FLOAT))
        return FIT_UNSURE;
    if (!tx_cell_read(value, affinity, out))
        return FIT_NOMEM;
    return out->type == SQLITE_NULL && !may_be_null ? FIT_NONE : FIT_EXACT;
}

/* Append the value of an equal column, as the path's keys have it. */
static void
add_equal(const struct tx_shape *shape, const struct tx_rowplan *plan, int place,
          const struct tx_cell *cell, struct tx_tuple *out)
{
    const struct tx_key *key = path_key(shape, plan->path);
    const enum tx_collation collation = tx_shape_collation(shape, key->columns[place]);

    if (plan->path == 0 && place == key->count - 1 && cell->type != SQLITE_NULL)
        tx_tuple_add_last(out, cell, collation);
    else
        tx_tuple_add(out, cell, collation);
}

/* ---- one range ---- */

/* The range below a prefix of values with ends: everything, or all that is not NULL. */
static void
set_prefix(struct tx_ends *ends, bool without_null)
{
    ends->high = ends->low;
    if (without_null)
        tx_tuple_append(&ends->low, &above_null, 1);
    tx_tuple_append(&ends->high, &above_all, 1);
    ends->high_open = true;
}

/* All texts that may be equal to a number: what SQLite reads as one begins with white space, a
 * sign, a point or a digit, all from tab to 9. */
static void
set_numeric_texts(struct tx_ends *ends)
{
    static const struct tx_cell first = { .type = SQLITE_TEXT,
                                          .data = (const uint8_t *)"\t",
                                          .bytes = 1 };
    static const struct tx_cell end = { .type = SQLITE_TEXT,
                                        .data = (const uint8_t *)":",
                                        .bytes = 1 };

    ends->high = ends->low;
    tx_tuple_add_last(&ends->low, &first, TX_COLLATION_BINARY);
    tx_tuple_add_last(&ends->high, &end, TX_COLLATION_BINARY);
    ends->high_open = true;
}

/* One bound of the range behind the prefix that `tuple` holds. */
static void
add_bound(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation,
          bool is_last, bool beyond)
{
    if (is_last) {
        tx_tuple_add_last(tuple, cell, collation);
    } else {
        tx_tuple_add(tuple, cell, collation);
        if (beyond)
            tx_tuple_append(tuple, &above_all, 1);
    }
}

/*
 * Whether blobs may match what made this upper bound: LIKE 'ab%' on a NOCASE column comes as a
 * range of texts, and LIKE also takes blobs, unless SQLite was built otherwise. Such blobs stand
 * behind all texts.
 */
static bool
may_match_blobs(const struct tx_rowplan *plan, enum tx_collation collation,
                const struct tx_cell *high)
{
    return plan->low && !plan->low_open && plan->high_open && collation == TX_COLLATION_NOCASE &&
           high->type == SQLITE_TEXT && sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") == 0;
}

static int
set_range(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct tx_ends *ends)
{
    const struct tx_key *key = path_key(shape, plan->path);
    const int column = key->columns[plan->equal];
    const enum tx_collation collation = tx_shape_collation(shape, column);
    const bool is_last = plan->path == 0 && plan->equal == key->count - 1;
    const struct tx_tuple prefix = ends->low;
    struct tx_cell cell;
    enum fit fit = FIT_EXACT;

    set_prefix(ends, true);
    if (plan->low) {
        fit = read_value(shape, column, false, *values++, &cell);
        if (fit == FIT_EXACT) {
            ends->low = prefix;
            add_bound(&ends->low, &cell, collation, is_last, plan->low_open);
            ends->low_open = plan->low_open && is_last;
        }
    }
    if (plan->high && (fit == FIT_EXACT || fit == FIT_UNSURE)) {
        fit = read_value(shape, column, false, *values, &cell);
        if (fit == FIT_EXACT && !may_match_blobs(plan, collation, &cell)) {
            ends->high = prefix;
            add_bound(&ends->high, &cell, collation, is_last, !plan->high_open);
            ends->high_open = plan->high_open || !is_last;
        }
    }
    ends->no_row = fit == FIT_NONE;
    return fit == FIT_NOMEM ? SQLITE_NOMEM : SQLITE_OK;
}

/* What stands behind the equal columns, whose values ends->low holds. */
static int
set_tail(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
         bool has_null, struct tx_ends *ends)
{
    const struct tx_key *key = path_key(shape, plan->path);

    if (plan->low || plan->high || plan->not_null)
        return set_range(shape, plan, values, ends);
    if (plan->equal == key->count && (plan->path == 0 || (key->unique && !has_null)))
        ends->high = ends->low; /* one row at most */
    else
        set_prefix(ends, false);
    return SQLITE_OK;
}

/* The values of the equal columns; *done: no more is to be added, no row matches or one is unsure.
 */
static int
set_equal(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct tx_ends *ends, bool *has_null)
{
    const struct tx_key *key = path_key(shape, plan->path);

    for (int i = 0; i < plan->equal; i++) {
        struct tx_cell cell;
        const enum fit fit =
            read_value(shape, key->columns[i], plan->kind[i] == TX_IS, values[i], &cell);

        if (fit == FIT_NOMEM)
            return SQLITE_NOMEM;
        ends->no_row = ends->no_row || fit == FIT_NONE;
        if (fit == FIT_UNSURE) {
            if (ends->unsure == 0)
                set_numeric_texts(ends);
            ends->unsure |= 1u << i;
        } else if (fit == FIT_EXACT && ends->unsure == 0) {
            *has_null = *has_null || cell.type == SQLITE_NULL;
            add_equal(shape, plan, i, &cell, &ends->low);
        }
    }
    return SQLITE_OK;
}

static void
clear_ends(struct tx_ends *ends)
{
    tx_tuple_clear(&ends->low);
    tx_tuple_clear(&ends->high);
    ends->low_open = ends->high_open = ends->no_row = false;
    ends->unsure = 0;
}

/* ---- lists ---- */

int
tx_rowrange_begin(struct tx_lists **out)
{
    struct tx_lists *lists = *out;

    if (lists == NULL) {
        lists = sqlite3_malloc(sizeof(*lists));
        if (lists == NULL)
            return SQLITE_NOMEM;
        lists->chunks = NULL;
        lists->pieces = NULL;
        lists->piece_room = 0;
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
    clear_ends(&lists->tail);
    return SQLITE_OK;
}

void
tx_rowrange_free(struct tx_lists *lists)
{
    if (lists == NULL)
        return;
    while (lists->chunks != NULL) {
        struct chunk *chunk = lists->chunks;

        lists->chunks = chunk->next;
        sqlite3_free(chunk);
    }
    sqlite3_free(lists->pieces);
    sqlite3_free(lists);
}

/* One value of a list; *fit is set when it is not an exact one. */
static int
add_value(struct tx_lists *lists, const struct tx_shape *shape, const struct tx_rowplan *plan,
          sqlite3_value *value, enum fit *fit)
{
    const int place = lists->count;
    struct tx_tuple tuple;
    struct tx_cell cell;

    *fit = read_value(shape, path_key(shape, plan->path)->columns[place],
                      plan->kind[place] == TX_IS, value, &cell);
    if (*fit == FIT_NOMEM)
        return SQLITE_NOMEM;
    if (*fit != FIT_EXACT)
        return SQLITE_OK;
    tx_tuple_clear(&tuple);
    add_equal(shape, plan, place, &cell, &tuple);
    return tuple.too_big ? SQLITE_OK : add_tuple(lists, &tuple); /* no entry is that long */
}

/* The values of the next equal column; *sure is false when one of them is not. */
static int
add_list(struct tx_lists *lists, const struct tx_shape *shape, const struct tx_rowplan *plan,
         sqlite3_value *value, bool *sure)
{
    sqlite3_value *item;
    enum fit fit = FIT_EXACT;
    int rc;

    lists->list[lists->count] = (struct list){ .first = lists->piece_count };
    if (plan->kind[lists->count] != TX_IN) {
        rc = add_value(lists, shape, plan, value, &fit);
        *sure = fit != FIT_UNSURE;
    } else {
        *sure = true;
        for (rc = sqlite3_vtab_in_first(value, &item); rc == SQLITE_OK && item != NULL;
             rc = sqlite3_vtab_in_next(value, &item)) {
            rc = add_value(lists, shape, plan, item, &fit);
            if (rc != SQLITE_OK)
                return rc;
            *sure = *sure && fit != FIT_UNSURE;
        }
        if (rc == SQLITE_DONE)
            rc = SQLITE_OK;
        sort_list(lists);
        remove_doubles(lists);
    }
    return rc;
}

static int
make_lists(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
           struct tx_lists **out)
{
    struct tx_lists *lists;
    bool has_null = false;
    int rc = tx_rowrange_begin(out);

    if (rc != SQLITE_OK)
        return rc;
    lists = *out;
    while (lists->count < plan->equal) {
        bool sure;

        rc = add_list(lists, shape, plan, values[lists->count], &sure);
        if (rc != SQLITE_OK)
            return rc;
        if (!sure) { /* all of the column that is not NULL; SQLite checks */
            set_prefix(&lists->tail, true);
            return SQLITE_OK;
        }
        has_null = has_null || (plan->kind[lists->count] == TX_IS &&
                                sqlite3_value_type(values[lists->count]) == SQLITE_NULL);
        lists->count++;
    }
    return set_tail(shape, plan, values + plan->equal, has_null, &lists->tail);
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
tx_rowrange_next(struct tx_lists *lists, bool reverse, struct tx_ends *ends)
{
    const struct tx_ends *tail = &lists->tail;

    do {
        if (!advance(lists, reverse))
            return false;
        clear_ends(ends);
        for (int i = 0; i < lists->count; i++) {
            const struct piece *piece = &lists->pieces[lists->list[i].first + lists->list[i].at];

            tx_tuple_append(&ends->low, piece->data, piece->bytes);
        }
    } while (ends->low.too_big); /* no entry is that long */
    ends->high.bytes = ends->low.bytes;
    memcpy(ends->high.data, ends->low.data, ends->low.bytes);
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
tx_rowrange_add(struct tx_lists *lists, struct txkv_bytes key, unsigned unsure, int columns)
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
tx_rowrange_sort(struct tx_lists *lists)
{
    sort_list(lists);
    lists->count = 1;
}

/* ---- for callers ---- */

int
tx_rowrange_make(const struct tx_shape *shape, const struct tx_rowplan *plan,
                 sqlite3_value **values, struct tx_ends *ends, struct tx_lists **lists, bool *more)
{
    bool has_null = false;
    int rc;

    *more = false;
    for (int i = 0; i < plan->equal; i++)
        *more = *more || plan->kind[i] == TX_IN;
    if (*more)
        return make_lists(shape, plan, values, lists);
    clear_ends(ends);
    rc = set_equal(shape, plan, values, ends, &has_null);
    if (rc != SQLITE_OK || ends->no_row || ends->unsure != 0)
        return rc;
    ends->no_row = ends->low.too_big; /* no entry is that long */
    return ends->no_row ? SQLITE_OK : set_tail(shape, plan, values + plan->equal, has_null, ends);
}

struct txkv_range
tx_rowrange_of(const struct tx_ends *ends, bool reverse)
{
    /* A cut end is as tx_key_encode says; an end without bytes is that of the table. */
    return (struct txkv_range){
        .lo = { ends->low.bytes == 0 ? NULL : ends->low.data, ends->low.bytes },
        .hi = { ends->high.bytes == 0 ? NULL : ends->high.data, ends->high.bytes },
        .lo_open = ends->low_open || ends->low.too_big,
        .hi_open = ends->high_open && !ends->high.too_big,
        .descending = reverse
    };
}
