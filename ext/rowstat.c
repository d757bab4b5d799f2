/*
 * rowstat.c - how many rows a value of a key or an index has, for the planner.
 *
 * The values of the first column are counted one by one while they are few. Beyond, some entries
 * that stand beside each other are looked at in several places between the first and the last key,
 * and how often a value changes from one to the next tells how many rows it has.
 */
#include "rowstat.h"

#include <string.h>

enum { VALUES_COUNTED = 32, PLACES = 8, STEPS = 32 };

/* What is taken without entries to look at, for one column and for each one more. */
static const double rows_of_value = 10.0;

/* Above every NULL of a first column, and above every value. */
static const uint8_t above_null = 0x09;
static const uint8_t above_all = 0xff;

struct tx_rowstat {
    double table_rows; /* when this was found; 0: not yet */
    double rows[TX_KEY_COLUMNS_MAX];
};

/* One look at a path. */
struct look {
    struct txkv_cursor *cursor;
    int columns; /* that have an end in the path's keys */
    double table_rows;
    struct tx_tuple first, last; /* keys */
};

static double
smaller(double a, double b)
{
    return a < b ? a : b;
}

/* The bytes of the first `columns` values; all when the key has fewer. */
static size_t
prefix_bytes(struct txkv_bytes key, int columns)
{
    const uint8_t *end = tx_tuple_skip(key.data, key.data + key.bytes, columns);

    return end == NULL ? key.bytes : (size_t)(end - key.data);
}

static bool
seek(struct look *look, const struct tx_tuple *low, bool descending)
{
    const struct txkv_range range = { .lo = { low->data, low->bytes }, .descending = descending };

    return txkv_cursor_seek(look->cursor, &range, NULL) == TXKV_OK;
}

static bool
step(struct look *look)
{
    return txkv_cursor_next(look->cursor, NULL) == TXKV_OK;
}

/* The number of values of the first column, or 0: many. */
static int
count_values(struct look *look)
{
    struct tx_tuple low;
    int values = 0;

    tx_tuple_init(&low);
    tx_tuple_copy(&low, &look->first);
    while (values <= VALUES_COUNTED && !low.too_big && !low.no_memory && seek(look, &low, false)) {
        const struct txkv_bytes key = txkv_cursor_key(look->cursor);

        tx_tuple_clear(&low);
        tx_tuple_append(&low, key.data, prefix_bytes(key, 1));
        tx_tuple_append(&low, &above_all, 1);
        values++;
    }
    if (low.too_big || low.no_memory || values > VALUES_COUNTED)
        values = 0;
    tx_tuple_free(&low);
    return values;
}

/* Eight bytes of a key as a number, zeros behind its end. */
static uint64_t
number_at(const struct tx_tuple *key, size_t from)
{
    uint64_t number = 0;

    for (size_t i = from; i < from + sizeof(number); i++)
        number = number << 8 | (i < key->bytes ? key->data[i] : 0);
    return number;
}

/* Bytes between the first key and the last one, at place / PLACES of the way. */
static void
find_place(const struct look *look, unsigned place, struct tx_tuple *out)
{
    size_t common = 0;
    uint64_t low, high, between;

    while (common < look->first.bytes && common < look->last.bytes &&
           look->first.data[common] == look->last.data[common])
        common++;
    low = number_at(&look->first, common);
    high = number_at(&look->last, common);
    between = low + (high - low) / PLACES * place;
    tx_tuple_clear(out);
    tx_tuple_append(out, look->first.data, common);
    for (int shift = 56; shift >= 0; shift -= 8) {
        const uint8_t byte = (uint8_t)(between >> shift);

        tx_tuple_append(out, &byte, 1);
    }
}

/* Counts in changes[i] how often the first i + 1 columns change in a few steps from where the
 * cursor stands; returns the steps. */
static int
count_changes(struct look *look, int *changes)
{
    struct tx_tuple before;
    int steps = 0;

    tx_tuple_init(&before);
    do {
        const struct txkv_bytes key = txkv_cursor_key(look->cursor);

        for (int i = 0; i < look->columns && steps > 0; i++) {
            const size_t bytes = prefix_bytes(key, i + 1);

            changes[i] += bytes > before.bytes || memcmp(key.data, before.data, bytes) != 0;
        }
        tx_tuple_clear(&before);
        tx_tuple_append(&before, key.data, key.bytes);
    } while (steps++ < STEPS && step(look));
    tx_tuple_free(&before);
    return steps - 1;
}

static void
measure(struct look *look, struct tx_rowstat *out)
{
    int changes[TX_KEY_COLUMNS_MAX] = { 0 };
    const int values = count_values(look);
    int steps = 0;

    for (unsigned place = 0; place < PLACES; place++) {
        struct tx_tuple low;

        tx_tuple_init(&low);
        find_place(look, place, &low);
        if (!low.no_memory && seek(look, &low, false))
            steps += count_changes(look, changes);
        tx_tuple_free(&low);
    }
    for (int i = 0; i < look->columns; i++) {
        double most = look->table_rows;

        if (i > 0)
            most = out->rows[i - 1];
        else if (values == 0)
            most /= VALUES_COUNTED;
        out->rows[i] = smaller(most, steps / (changes[i] > 0 ? changes[i] : 0.5));
    }
    if (values > 0)
        out->rows[0] = look->table_rows / values;
    for (int i = 0; i < look->columns; i++)
        out->rows[i] = out->rows[i] < 1.0 ? 1.0 : out->rows[i];
}

static void
copy_key(struct look *look, struct tx_tuple *out)
{
    const struct txkv_bytes key = txkv_cursor_key(look->cursor);

    tx_tuple_clear(out);
    tx_tuple_append(out, key.data, key.bytes);
}

/* Leaves *out as it is when the path has no entries. */
static void
look_at(struct txkv_session *session, uint32_t number, struct look *look, struct tx_rowstat *out)
{
    struct tx_tuple low;

    if (txkv_cursor_open(session, number, &look->cursor, NULL) != TXKV_OK)
        return;
    tx_tuple_init(&low);
    tx_tuple_init(&look->first);
    tx_tuple_init(&look->last);
    tx_tuple_append(&low, &above_null, 1);
    if (seek(look, &low, true)) {
        copy_key(look, &look->last);
        if (seek(look, &low, false)) {
            copy_key(look, &look->first);
            if (!look->first.no_memory && !look->last.no_memory)
                measure(look, out);
        }
    }
    tx_tuple_free(&look->first);
    tx_tuple_free(&look->last);
    txkv_cursor_close(look->cursor);
}

static void
find(struct tx_table *table, int path, double table_rows, struct tx_rowstat *out)
{
    const struct tx_shape *shape = table->relation->shape;
    struct look look = { .columns =
                             path == 0 ? shape->primary.count - 1 : shape->indexes[path - 1].count,
                         .table_rows = table_rows };
    struct txkv_session *session;

    out->table_rows = table_rows < 1.0 ? 1.0 : table_rows;
    for (int i = 0; i < TX_KEY_COLUMNS_MAX; i++)
        out->rows[i] = i + 2 < rows_of_value ? rows_of_value - i : 2;
    if (txkv_session_open(table->link->store, &session, NULL) != TXKV_OK)
        return;
    look_at(session, path == 0 ? table->number : table->relation->index_numbers[path - 1], &look,
            out);
    txkv_session_close(session);
}

double
tx_rowstat_rows(struct tx_table *table, int path, int columns, double table_rows)
{
    struct tx_relation *relation = table->relation;
    struct tx_rowstat *stat;

    if (relation->statistics == NULL) {
        const size_t bytes = sizeof(*stat) * (size_t)(relation->shape->index_count + 1);

        relation->statistics = sqlite3_malloc64(bytes);
        if (relation->statistics == NULL)
            return rows_of_value;
        memset(relation->statistics, 0, bytes);
    }
    stat = &relation->statistics[path];
    if (stat->table_rows == 0 || table_rows >= 2 * stat->table_rows ||
        table_rows <= stat->table_rows / 2)
        find(table, path, table_rows, stat);
    return stat->rows[columns - 1];
}
