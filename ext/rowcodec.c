/*
 * rowcodec.c - the columns that are not the key, as the value of a row; rowcodec.h has the format.
 *
 * The number of columns stands in the row, so that the types end where the row says, and the bytes
 * of a column are found without knowing what the table looked like when the row was written.
 * Reading trusts nothing: every type and length is checked against the end of the row before it is
 * used.
 */
#include "rowcodec.h"

#include <assert.h>
#include <emmintrin.h>
#include <endian.h>
#include <string.h>

enum {
    NOTE_MASK = 3,
    COLUMNS_SHIFT = 2,
    COLUMNS_INLINE = 63, /* from here on the rest of the number is a varint */

    TYPE_NULL = 0,
    TYPE_INT_MAX = 8,
    TYPE_REAL = 9,
    TYPE_ZERO = 10,
    TYPE_ONE = 11,
    TYPE_BLOB = 12, /* even ones are blobs, odd ones texts */
    TYPE_TEXT = 13,

    BLOCK = 16,   /* types that are looked at together */
    BLOCK_MIN = 4 /* what a row has to have for that */
};

static uint32_t
varint_bytes(uint64_t v)
{
    uint32_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static const uint8_t *
get_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; p < end && shift < 63; shift += 7) {
        const uint8_t byte = *p++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

/* Returns the byte after the varint, or NULL when it goes beyond `end` or 63 bits. */
static inline const uint8_t *
get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (p < end && *p < 0x80) {
        *out = *p;
        return p + 1;
    }
    return get_long_varint(p, end, out);
}

static uint64_t
type_of_integer(int64_t v)
{
    const uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;

    if (magnitude <= 1 && v >= 0)
        return v == 0 ? TYPE_ZERO : TYPE_ONE;
    /* One bit more than the magnitude has, for the sign, in whole bytes. */
    return (uint64_t)(64 - __builtin_clzll(magnitude | 1)) / 8 + 1;
}

static uint64_t
type_of_cell(const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        return type_of_integer(cell->integer);
    case SQLITE_FLOAT:
        return TYPE_REAL;
    case SQLITE_TEXT:
        return TYPE_TEXT + 2 * (uint64_t)cell->bytes;
    case SQLITE_BLOB:
        return TYPE_BLOB + 2 * (uint64_t)cell->bytes;
    default:
        return TYPE_NULL;
    }
}

/* Of the types that are one byte of a row: a table, as no branch on them can be foretold. */
static const uint8_t bytes_of_short_type[128] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  0,  0,  0,  0,  1,  1,  2,  2,  3,  3,  4,  4,
    5,  5,  6,  6,  7,  7,  8,  8,  9,  9,  10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15,
    16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24, 25, 25, 26, 26,
    27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37,
    38, 38, 39, 39, 40, 40, 41, 41, 42, 42, 43, 43, 44, 44, 45, 45, 46, 46, 47, 47, 48, 48,
    49, 49, 50, 50, 51, 51, 52, 52, 53, 53, 54, 54, 55, 55, 56, 56, 57, 57,
};

static inline uint64_t
bytes_of_type(uint64_t type)
{
    return type < 128 ? bytes_of_short_type[type] : (type - TYPE_BLOB) / 2;
}

size_t
tx_row_bytes(int count, const struct tx_cell *cells)
{
    size_t total = 1;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    if (count >= COLUMNS_INLINE)
        total += varint_bytes((uint64_t)(count - COLUMNS_INLINE));
    for (int i = 0; i < count; i++) {
        const uint64_t type = type_of_cell(&cells[i]);

        total += varint_bytes(type) + bytes_of_type(type);
    }
    return total;
}

/* Writes the cell's bytes at p; returns the byte after them. */
static uint8_t *
put_cell(uint8_t *p, uint64_t type, const struct tx_cell *cell)
{
    const size_t bytes = (size_t)bytes_of_type(type);
    uint64_t number;

    if (bytes == 0)
        return p;
    if (type >= TYPE_BLOB) {
        memcpy(p, cell->data, bytes);
        return p + bytes;
    }
    if (type == TYPE_REAL)
        memcpy(&number, &cell->real, sizeof(number));
    else
        number = (uint64_t)cell->integer;
    number = htole64(number);
    memcpy(p, &number, bytes);
    return p + bytes;
}

void
tx_row_encode(uint8_t *out, enum tx_key_note note, int count, const struct tx_cell *cells)
{
    const int inlined = count < COLUMNS_INLINE ? count : COLUMNS_INLINE;
    uint8_t *p = out;

    assert(count >= 0 && count <= TX_ROW_COLUMNS_MAX);
    assert((unsigned)note <= NOTE_MASK);
    *p++ = (uint8_t)((unsigned)note | (unsigned)inlined << COLUMNS_SHIFT);
    if (inlined == COLUMNS_INLINE)
        p = put_varint(p, (uint64_t)(count - COLUMNS_INLINE));

    for (int i = 0; i < count; i++)
        p = put_varint(p, type_of_cell(&cells[i]));
    for (int i = 0; i < count; i++)
        p = put_cell(p, type_of_cell(&cells[i]), &cells[i]);
}

enum tx_key_note
tx_row_note(const uint8_t *row, size_t bytes)
{
    return bytes == 0 ? TX_KEY_AS_IS : (enum tx_key_note)(row[0] & NOTE_MASK);
}

static inline int64_t
get_integer(uint64_t type, const uint8_t *p)
{
    const unsigned unused_bits = 64 - 8 * (unsigned)type;
    uint64_t v = 0;

    if (type > TYPE_INT_MAX)
        return type == TYPE_ONE;
    for (unsigned i = 0; i < type; i++) /* shorter than a call of memcpy */
        v |= (uint64_t)p[i] << 8 * i;
    return (int64_t)(v << unused_bits) >> unused_bits; /* extends the sign */
}

/* The same where bytes before it may be looked at, from `row` on: of eight bytes that end where the
 * integer does it is what an arithmetic shift leaves. */
static inline int64_t
get_integer_of_row(uint32_t type, const uint8_t *row, const uint8_t *p)
{
    uint64_t v;

    if (type > TYPE_INT_MAX || (size_t)(p + type - row) < sizeof(v))
        return get_integer(type, p);
    memcpy(&v, p + type - sizeof(v), sizeof(v));
    return (int64_t)le64toh(v) >> (64 - 8 * type);
}

static inline double
get_real(const uint8_t *p)
{
    uint64_t number;
    double real;

    memcpy(&number, p, sizeof(number));
    number = le64toh(number);
    memcpy(&real, &number, sizeof(real));
    return real;
}

static void
get_cell(uint64_t type, const uint8_t *p, struct tx_cell *out)
{
    if (type >= TYPE_BLOB) {
        out->type = type % 2 == 0 ? SQLITE_BLOB : SQLITE_TEXT;
        out->data = p;
        out->bytes = (size_t)bytes_of_type(type);
    } else if (type == TYPE_NULL) {
        out->type = SQLITE_NULL;
    } else if (type == TYPE_REAL) {
        out->type = SQLITE_FLOAT;
        out->real = get_real(p);
    } else {
        out->type = SQLITE_INTEGER;
        out->integer = get_integer(type, p);
    }
}

/* Reads the number of columns; returns the byte after it, or NULL when the row is damaged. */
static const uint8_t *
get_columns(const uint8_t *row, const uint8_t *end, uint64_t *columns)
{
    uint64_t more;

    if (row == end)
        return NULL;
    *columns = row[0] >> COLUMNS_SHIFT;
    if (*columns < COLUMNS_INLINE)
        return row + 1;
    row = get_varint(row + 1, end, &more);
    if (row != NULL)
        *columns += more; /* cannot wrap: a varint has at most 63 bits */
    return row;
}

/* tx_row_find for any row. */
__attribute__((noinline)) static bool
find_any(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    const uint8_t *end = row + bytes;
    struct tx_row_spot *spots = map->spots;
    uint64_t columns, total = 0;
    const uint8_t *p = get_columns(row, end, &columns);

    if (p == NULL || columns > (uint64_t)map->count)
        return false;
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t type;

        p = get_varint(p, end, &type);
        if (p == NULL)
            return false;
        spots[i] = (struct tx_row_spot){ (uint32_t)type, (uint32_t)total };
        total += bytes_of_type(type); /* below 2^62 each, and checked at once: cannot wrap */
        if (total > bytes)
            return false; /* so the type of a good row has not been cut: the row is shorter */
    }
    for (uint64_t i = columns; i < (uint64_t)map->count; i++)
        spots[i] = (struct tx_row_spot){ TYPE_NULL, 0 };
    map->columns = 0;
    map->rest = TX_ROW_REST_SPOTS;
    map->row = row;
    map->values = p;
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

        if (type < sizeof(bytes_of_short_type)) {
            size = bytes_of_short_type[type];
        } else {
            /* What the other types need at least must still be there. */
            if (row + bytes - p <= stop - spot - 1 || *p >= 0x80)
                return find_any(row, bytes, map);
            type = (type & 0x7f) | (uint32_t)*p++ << 7;
            size = (uint32_t)bytes_of_type(type);
        }
        *spot++ = (struct tx_row_spot){ type, total };
        total += size;
    } while (spot < stop);
    for (struct tx_row_spot *const end = map->spots + map->count; spot < end; spot++)
        *spot = (struct tx_row_spot){ TYPE_NULL, 0 };
    map->columns = 0;
    map->rest = TX_ROW_REST_SPOTS;
    map->row = row;
    map->values = p;
    return (size_t)(row + bytes - p) == total;
}

/* The first n, at most 16, of 16 bytes. */
static inline __m128i
first_bytes(__m128i bytes, size_t n)
{
    static const uint8_t masks[2 * BLOCK] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                              0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    return _mm_and_si128(bytes, _mm_loadu_si128((const void *)(masks + BLOCK - n)));
}

static inline uint32_t
sum_of_bytes(__m128i bytes)
{
    const __m128i sums = _mm_sad_epu8(bytes, _mm_setzero_si128()); /* of each 8 */

    return (uint32_t)_mm_cvtsi128_si32(sums) + (uint32_t)_mm_extract_epi16(sums, 4);
}

/* bytes_of_short_type of each; of other types anything. */
static inline __m128i
bytes_of_short_types(__m128i types)
{
    const __m128i numbers = _mm_and_si128(types, _mm_cmplt_epi8(types, _mm_set1_epi8(TYPE_ZERO)));
    const __m128i above = _mm_subs_epu8(types, _mm_set1_epi8(TYPE_BLOB));
    const __m128i halves = _mm_and_si128(_mm_srli_epi16(above, 1), _mm_set1_epi8(0x7f));

    return _mm_or_si128(_mm_min_epu8(numbers, _mm_set1_epi8(TYPE_INT_MAX)), halves);
}

/* Looks at the types of up to 16 columns from `first` on. False when one has a second byte. */
static inline bool
find_block(const uint8_t *row, size_t first, size_t n, struct tx_row_map *map, uint32_t *total)
{
    const __m128i types = first_bytes(_mm_loadu_si128((const void *)(row + 1 + first)), n);
    __m128i sizes;

    if (_mm_movemask_epi8(types) != 0)
        return false;
    sizes = bytes_of_short_types(types);
    _mm_storeu_si128((void *)(map->sizes + first), sizes);
    map->before[first / BLOCK] = *total;
    *total += sum_of_bytes(sizes);
    return true;
}

/* tx_row_find where one type of a block, of a long text or blob, has two bytes, as in many tables.
 * The two are taken out, so that each column has its place in the block again. */
__attribute__((noinline)) static bool
find_wide(const uint8_t *row, size_t bytes, size_t columns, struct tx_row_map *map)
{
    const __m128i all = first_bytes(_mm_loadu_si128((const void *)(row + 1)), columns + 1);
    const unsigned seconds = (unsigned)_mm_movemask_epi8(all); /* that have a second byte */
    const unsigned wide = (unsigned)__builtin_ctz(seconds);
    const uint32_t type = (row[1 + wide] & 0x7fu) | (uint32_t)row[2 + wide] << 7;
    const __m128i moved = _mm_srli_si128(all, 1);
    const __m128i types =
        _mm_or_si128(first_bytes(all, wide), _mm_xor_si128(moved, first_bytes(moved, wide + 1)));
    const __m128i sizes = bytes_of_short_types(types);

    if (seconds != 1u << wide || type < sizeof(bytes_of_short_type))
        return find_each(row, bytes, columns, map);
    _mm_storeu_si128((void *)map->sizes, sizes);
    map->before[0] = 0;
    map->columns = wide;
    map->rest = TX_ROW_REST_WIDE;
    map->wide_type = type;
    map->wide_bytes = (uint32_t)bytes_of_type(type);
    map->all_columns = (uint32_t)columns;
    map->row = row;
    map->values = row + 2 + columns;
    return bytes - 2 - columns == map->wide_bytes + sum_of_bytes(sizes);
}

/* tx_row_find for more columns than one block has. */
__attribute__((noinline)) static bool
find_blocks(const uint8_t *row, size_t bytes, size_t columns, struct tx_row_map *map)
{
    uint32_t total = 0;

    for (size_t i = 0; i < columns; i += BLOCK)
        if (!find_block(row, i, columns - i < BLOCK ? columns - i : BLOCK, map, &total))
            return find_each(row, bytes, columns, map);
    map->columns = (uint32_t)columns;
    map->rest = TX_ROW_REST_NULL;
    map->row = row;
    map->values = row + 1 + columns;
    return bytes - 1 - columns == total;
}

/* tx_row_find, which the first column that is asked for of a row has without a call. */
__attribute__((always_inline)) static inline bool
find(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    const size_t columns = bytes == 0 ? 0 : row[0] >> COLUMNS_SHIFT;
    uint32_t total = 0;

    /* Types are looked at 16 together, which for few is too much, and must not go beyond the row.
     * All checks but the last are find_any's. */
    if (columns >= BLOCK_MIN && columns <= BLOCK && bytes > BLOCK &&
        columns <= (size_t)map->count && find_block(row, 0, columns, map, &total)) {
        map->columns = (uint32_t)columns;
        map->rest = TX_ROW_REST_NULL;
        map->row = row;
        map->values = row + 1 + columns;
        return bytes - 1 - columns == total;
    }
    if (columns == 0 || columns == COLUMNS_INLINE || columns >= bytes ||
        columns > (size_t)map->count)
        return find_any(row, bytes, map);
    if (columns >= BLOCK_MIN && columns < BLOCK && bytes > BLOCK)
        return find_wide(row, bytes, columns, map);
    if (columns <= BLOCK || bytes <= (columns + BLOCK - 1) / BLOCK * BLOCK)
        return find_each(row, bytes, columns, map);
    return find_blocks(row, bytes, columns, map);
}

bool
tx_row_find(const uint8_t *row, size_t bytes, struct tx_row_map *map)
{
    return find(row, bytes, map);
}

static inline uint32_t
bytes_before(const struct tx_row_map *map, size_t column)
{
    const __m128i sizes = _mm_loadu_si128((const void *)(map->sizes + column / BLOCK * BLOCK));

    return map->before[column / BLOCK] + sum_of_bytes(first_bytes(sizes, column % BLOCK));
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
        return TYPE_NULL;
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
    const uint8_t *p;

    if (bytes < 3 || row[0] >> COLUMNS_SHIFT != 1)
        return find_any_one(row, bytes, spot, values);
    type = row[1];
    p = row + 2;
    if (type >= sizeof(bytes_of_short_type)) {
        type = (type & 0x7f) | (uint32_t)*p++ << 7;
        if (type >= 1 << 14) /* it has a third byte */
            return find_any_one(row, bytes, spot, values);
    }
    *spot = (struct tx_row_spot){ type, 0 };
    *values = p;
    return bytes_of_type(type) == (size_t)(row + bytes - p);
}

/* `row` is where the row begins, or another place before the values that may be looked at. */
static inline void
give(sqlite3_context *context, uint32_t type, const uint8_t *p, const uint8_t *row)
{
    if (type < TYPE_BLOB) {
        if (type == TYPE_REAL)
            sqlite3_result_double(context, get_real(p));
        else
            sqlite3_result_int64(context, get_integer_of_row(type, row, p));
    } else if (type % 2 == 0) {
        sqlite3_result_blob64(context, p, bytes_of_type(type), SQLITE_TRANSIENT);
    } else {
        tx_text_result(context, p, bytes_of_type(type));
    }
}

__attribute__((always_inline)) static inline int
give_column(sqlite3_context *context, const struct tx_row_map *map, int column)
{
    uint32_t at;
    const uint32_t type = spot_of(map, (size_t)column, &at);

    if (type != TYPE_NULL)
        give(context, type, map->values + at, map->row);
    return SQLITE_OK;
}

int
tx_row_result(sqlite3_context *context, const struct tx_row_map *map, int column)
{
    return give_column(context, map, column);
}

int
tx_row_find_result(sqlite3_context *context, const uint8_t *row, size_t bytes,
                   struct tx_row_map *map, int column)
{
    return find(row, bytes, map) ? give_column(context, map, column) : SQLITE_CORRUPT_VTAB;
}

void
tx_row_spot_result(sqlite3_context *context, struct tx_row_spot spot, const uint8_t *values)
{
    if (spot.type == TYPE_NULL)
        sqlite3_result_null(context);
    else
        give(context, spot.type, values + spot.at, values);
}

bool
tx_row_cells(const uint8_t *row, size_t bytes, int count, struct tx_cell *out)
{
    const uint8_t *end = row + bytes;
    uint64_t columns, total = 0;
    const uint8_t *types = get_columns(row, end, &columns), *p = types;

    if (p == NULL || columns > (uint64_t)count)
        return false;
    for (uint64_t i = 0; i < columns; i++) { /* finds where the types end, and the values begin */
        uint64_t type;

        p = get_varint(p, end, &type);
        if (p == NULL)
            return false;
        total += bytes_of_type(type);
        if (total > bytes)
            return false;
    }
    if ((size_t)(end - p) != total)
        return false;
    for (int i = 0; i < count; i++) {
        uint64_t type = TYPE_NULL;

        if ((uint64_t)i < columns)
            types = get_varint(types, end, &type);
        get_cell(type, p, &out[i]);
        p += bytes_of_type(type);
    }
    return true;
}
