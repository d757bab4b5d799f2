/*
 * rowmap.c - where the columns of a row are; rowmap.h says what for.
 *
 * The number of columns stands in the row, so that the types end where the row says, and the bytes
 * of a column are found without knowing what the table looked like when the row was written.
 * Nothing is trusted: every type and length is checked against the end of the row before it is
 * used.
 */
#include "rowmap.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "cell.h"
#include "rowblock.h"
#include "rowtype.h"

enum { BLOCK_MIN = 4 }; /* columns that a row has to have to be looked at by blocks */

void
tx_row_map_init(struct tx_row_map *map, struct tx_row_spot *spots, int count)
{
    const int most = count < TX_ROW_BLOCK ? count : TX_ROW_BLOCK;

    map->spots = spots;
    map->count = count;
    map->block_columns = most < BLOCK_MIN ? 0 : (uint32_t)(most - BLOCK_MIN + 1);
}

/* A map of which the row's first columns are known so, and the rest that way. */
static inline void
enter(struct tx_row_map *map, const uint8_t *row, const uint8_t *values, size_t columns,
      enum tx_row_rest rest)
{
    map->columns = (uint32_t)columns;
    map->rest = rest;
    map->row = row;
    map->values = values;
}

/* tx_row_find for any row. */
__attribute__((noinline)) static bool
find_any(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    const uint8_t *end = row + bytes;
    struct tx_row_spot *spots = map->spots;
    uint64_t columns, total = 0;
    const uint8_t *p = tx_row_columns(row, end, &columns);

    if (p == NULL || columns > (uint64_t)map->count)
        return false;
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t type;

        p = tx_row_varint(p, end, &type);
        if (p == NULL)
            return false;
        spots[i] = (struct tx_row_spot){ (uint32_t)type, (uint32_t)total };
        total += tx_row_bytes_of_type(type); /* below 2^62 each, and checked at once: cannot wrap */
        if (total > bytes)
            return false; /* so the type of a good row has not been cut: the row is shorter */
    }
    for (uint64_t i = columns; i < (uint64_t)map->count; i++)
        spots[i] = (struct tx_row_spot){ TX_ROW_TYPE_NULL, 0 };
    enter(map, row, p, 0, TX_ROW_REST_SPOTS);
    return (size_t)(end - p) == total;
}

/* The same where each type has one byte, or two, and the number of columns, not 0, has been looked
 * at. */
__attribute__((noinline)) static bool
find_each(const uint8_t *row, size_t bytes, size_t columns, struct tx_row_map *map)
{
    const uint8_t *p = row + 1;
    struct tx_row_spot *spot = map->spots, *const stop = map->spots + columns;
    uint32_t total = 0;

    do {
        uint32_t type = *p++, size;

        if (type < sizeof(tx_row_bytes_of_short_type)) {
            size = tx_row_bytes_of_short_type[type];
        } else {
            /* What the other types need at least must still be there. */
            if (row + bytes - p <= stop - spot - 1 || *p >= 0x80)
                return find_any(row, bytes, map);
            type = (type & 0x7f) | (uint32_t)*p++ << 7;
            size = (uint32_t)tx_row_bytes_of_type(type);
        }
        *spot++ = (struct tx_row_spot){ type, total };
        total += size;
    } while (spot < stop);
    for (struct tx_row_spot *const end = map->spots + map->count; spot < end; spot++)
        *spot = (struct tx_row_spot){ TX_ROW_TYPE_NULL, 0 };
    enter(map, row, p, 0, TX_ROW_REST_SPOTS);
    return (size_t)(row + bytes - p) == total;
}

/* The types of up to 16 columns from `first` on, of a row that has the bytes of a half or whole
 * block behind there, whichever they need. */
static inline struct tx_row_block
load_types(const uint8_t *row, size_t first, size_t n)
{
    const uint8_t *types = row + 1 + first;

    return tx_row_block_first(
        n <= TX_ROW_BLOCK / 2 ? tx_row_block_load_half(types) : tx_row_block_load(types), n);
}

/* Looks at these types. False when one has a second byte. */
static inline bool
find_block(const uint8_t *row, size_t first, size_t n, struct tx_row_map *map, uint32_t *total)
{
    const struct tx_row_block types = load_types(row, first, n);
    struct tx_row_block sizes;

    if (tx_row_block_long(types) != 0)
        return false;
    sizes = tx_row_block_sizes(types);
    tx_row_block_store(map->sizes + first, sizes);
    map->before[first / TX_ROW_BLOCK] = *total;
    *total += tx_row_block_sum(sizes);
    return true;
}

/* tx_row_find where one type of a block, of a long text or blob, has two bytes, as in many tables.
 * The two are taken out, so that each column has its place in the block again. */
__attribute__((noinline)) static bool
find_wide(const uint8_t *row, size_t bytes, size_t columns, struct tx_row_map *map)
{
    const struct tx_row_block all = tx_row_block_first(tx_row_block_load(row + 1), columns + 1);
    const unsigned seconds = tx_row_block_long(all);
    const unsigned wide = (unsigned)__builtin_ctz(seconds);
    const uint32_t type = (row[1 + wide] & 0x7fu) | (uint32_t)row[2 + wide] << 7;
    const struct tx_row_block sizes = tx_row_block_sizes(tx_row_block_join(all, wide));

    if (seconds != 1u << wide || type < sizeof(tx_row_bytes_of_short_type))
        return find_each(row, bytes, columns, map);
    tx_row_block_store(map->sizes, sizes);
    map->before[0] = 0;
    map->wide_type = type;
    map->wide_bytes = (uint32_t)tx_row_bytes_of_type(type);
    map->all_columns = (uint32_t)columns;
    enter(map, row, row + 2 + columns, wide, TX_ROW_REST_WIDE);
    return bytes - 2 - columns == map->wide_bytes + tx_row_block_sum(sizes);
}

/* tx_row_find for more columns than one block has. */
__attribute__((noinline)) static bool
find_blocks(const uint8_t *row, size_t bytes, size_t columns, struct tx_row_map *map)
{
    uint32_t total = 0;

    for (size_t i = 0; i < columns; i += TX_ROW_BLOCK)
        if (!find_block(row, i, columns - i < TX_ROW_BLOCK ? columns - i : TX_ROW_BLOCK, map,
                        &total))
            return find_each(row, bytes, columns, map);
    enter(map, row, row + 1 + columns, columns, TX_ROW_REST_NULL);
    return bytes - 1 - columns == total;
}

static inline size_t
columns_of(const uint8_t *row, size_t bytes)
{
    return bytes == 0 ? 0 : row[0] >> TX_ROW_COLUMNS_SHIFT;
}

/* tx_row_find of what most rows are: of one block of types of one byte. False: it is another.
 * *good: what tx_row_find returns. */
__attribute__((always_inline)) static inline bool
find_one_block(const uint8_t *row, size_t bytes, struct tx_row_map *map, bool *good)
{
    const size_t columns = columns_of(row, bytes);
    uint32_t total = 0;

    /* Types are looked at 16 together, which for few is too much, and must not go beyond the row.
     * All checks but the last are find_any's. */
    if (columns < BLOCK_MIN || columns > TX_ROW_BLOCK ||
        bytes <= (columns <= TX_ROW_BLOCK / 2 ? TX_ROW_BLOCK / 2 : TX_ROW_BLOCK) ||
        columns > (size_t)map->count || !find_block(row, 0, columns, map, &total))
        return false;
    enter(map, row, row + 1 + columns, columns, TX_ROW_REST_NULL);
    *good = bytes - 1 - columns == total;
    return true;
}

/* tx_row_find of the others. */
static bool
find_other(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    const size_t columns = columns_of(row, bytes);

    if (columns == 0 || columns == TX_ROW_COLUMNS_INLINE || columns >= bytes ||
        columns > (size_t)map->count)
        return find_any(row, bytes, map);
    if (columns >= BLOCK_MIN && columns < TX_ROW_BLOCK && bytes > TX_ROW_BLOCK)
        return find_wide(row, bytes, columns, map);
    if (columns <= TX_ROW_BLOCK ||
        bytes <= (columns + TX_ROW_BLOCK - 1) / TX_ROW_BLOCK * TX_ROW_BLOCK)
        return find_each(row, bytes, columns, map);
    return find_blocks(row, bytes, columns, map);
}

bool
tx_row_find(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    bool good;

    return find_one_block(row, bytes, map, &good) ? good : find_other(row, bytes, map);
}

static inline uint32_t
bytes_before(const struct tx_row_map *map, size_t column)
{
    const size_t block = column / TX_ROW_BLOCK;
    const struct tx_row_block sizes = tx_row_block_load(map->sizes + block * TX_ROW_BLOCK);

    return map->before[block] + tx_row_block_sum(tx_row_block_first(sizes, column % TX_ROW_BLOCK));
}

/* The type of a column, and where its bytes are: not as a struct, which goes through memory. */
static inline uint32_t
spot_of(const struct tx_row_map *map, size_t column, uint32_t *at)
{
    *at = 0;
    if (column < map->columns) {
        *at = bytes_before(map, column);
        return map->row[1 + column];
    }
    if (map->rest == TX_ROW_REST_SPOTS) {
        *at = map->spots[column].at;
        return map->spots[column].type;
    }
    if (map->rest == TX_ROW_REST_NULL || column >= map->all_columns)
        return TX_ROW_TYPE_NULL;
    *at = bytes_before(map, column);
    if (column == map->columns)
        return map->wide_type;
    *at += map->wide_bytes;
    return map->row[2 + column];
}

struct tx_row_spot
tx_row_spot(const struct tx_row_map *map, int column)
{
    struct tx_row_spot spot;

    assert(column >= 0 && column < map->count);
    spot.type = spot_of(map, (size_t)column, &spot.at);
    return spot;
}

/* Not inline, for its room. */
__attribute__((noinline)) static bool
find_any_one(const uint8_t *row, size_t bytes, struct tx_row_spot *spot, const uint8_t **values)
{
    struct tx_row_map map = { .spots = spot, .count = 1 };
    const bool good = find_any(row, bytes, &map);

    *values = map.values;
    return good;
}

bool
tx_row_find_one(const uint8_t *row, size_t bytes, struct tx_row_spot *spot, const uint8_t **values)
{
    uint32_t type;
    const uint8_t *p = tx_row_one_type(row, bytes, &type);

    if (p == NULL)
        return find_any_one(row, bytes, spot, values);
    *spot = (struct tx_row_spot){ type, 0 };
    *values = p;
    return tx_row_bytes_of_type(type) == (size_t)(row + bytes - p);
}

/* An integer of so many bytes, where eight end with it. */
static inline int64_t
get_last_bytes(uint32_t bytes, const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p + bytes - sizeof(v), sizeof(v));
    return (int64_t)le64toh(v) >> (64 - 8 * bytes);
}

/* An integer where bytes before it may be looked at, from `row` on: of eight bytes that end where
 * the integer does it is what an arithmetic shift leaves. */
static inline int64_t
get_integer_of_row(uint32_t type, const uint8_t *row, const uint8_t *p)
{
    return type > TX_ROW_TYPE_INT_MAX || p + type - row < 8 ? tx_row_integer(type, p)
                                                            : get_last_bytes(type, p);
}

/* `row` is where the row begins, or another place before the values that may be looked at. */
__attribute__((always_inline)) static inline void
give(sqlite3_context *context, uint32_t type, const uint8_t *p, const uint8_t *row)
{
    if (type < TX_ROW_TYPE_BLOB) {
        if (type >= TX_ROW_TYPE_DECIMAL)
            sqlite3_result_double(
                context,
                tx_row_decimal(type, get_integer_of_row(tx_row_decimal_bytes(type), row, p)));
        else if (type == TX_ROW_TYPE_REAL)
            sqlite3_result_double(context, tx_row_real(p));
        else
            sqlite3_result_int64(context, get_integer_of_row(type, row, p));
    } else if (type % 2 == 0) {
        sqlite3_result_blob64(context, p, tx_row_bytes_of_type(type), SQLITE_TRANSIENT);
    } else {
        tx_text_result(context, p, tx_row_bytes_of_type(type));
    }
}

__attribute__((always_inline)) static inline int
give_column(sqlite3_context *context, const struct tx_row_map *map, int column)
{
    uint32_t at;
    const uint32_t type = spot_of(map, (size_t)column, &at);

    if (type != TX_ROW_TYPE_NULL)
        give(context, type, map->values + at, map->row);
    return SQLITE_OK;
}

int
tx_row_result(sqlite3_context *context, const struct tx_row_map *map, int column)
{
    return give_column(context, map, column);
}

/* Any value, so that the way of an integer is short. */
__attribute__((noinline)) static void
give_any(sqlite3_context *context, uint32_t type, const uint8_t *p, const uint8_t *row)
{
    if (type != TX_ROW_TYPE_NULL)
        give(context, type, p, row);
}

bool
tx_row_find_result(sqlite3_context *context, const uint8_t *row, size_t bytes,
                   struct tx_row_map *map, int column, bool *found)
{
    const size_t at = (size_t)column;
    struct tx_row_block types, all, sizes;
    const uint8_t *p;
    uint32_t columns, type;

    if (bytes <= TX_ROW_BLOCK)
        return false;
    columns = row[0] >> TX_ROW_COLUMNS_SHIFT;
    if (columns - BLOCK_MIN >= map->block_columns)
        return false;
    /* Of all 16 bytes, so that where the column is does not wait for how many there are. */
    types = tx_row_block_load(row + 1);
    all = tx_row_block_sizes(types);
    sizes = tx_row_block_first(all, columns);
    if (tx_row_block_long(types) << (32 - columns) != 0 ||
        bytes - 1 - columns != tx_row_block_sum(sizes))
        return false;
    tx_row_block_store(map->sizes, sizes);
    map->before[0] = 0;
    enter(map, row, row + 1 + columns, columns, TX_ROW_REST_NULL);
    *found = true;
    if (at >= columns)
        return true;
    type = row[1 + at];
    p = row + 1 + columns + tx_row_block_sum(tx_row_block_first(all, at));
    if (type - 1 < TX_ROW_TYPE_INT_MAX && p + type - row >= 8)
        sqlite3_result_int64(context, get_last_bytes(type, p));
    else
        give_any(context, type, p, row);
    return true;
}

void
tx_row_spot_result(sqlite3_context *context, struct tx_row_spot spot, const uint8_t *values)
{
    if (spot.type == TX_ROW_TYPE_NULL)
        sqlite3_result_null(context);
    else
        give(context, spot.type, values + spot.at, values);
}
