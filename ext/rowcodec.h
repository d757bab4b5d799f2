/*
 * rowcodec.h - the columns that are not the key, as the value of a row.
 *
 *   byte 0  the key's note (enum tx_key_note) in bits 0 and 1, the number of columns in bits 2 to 7
 *   then    only when that number is 63: what the number of columns has above 63, a varint
 *   then    one varint a column, its type: 0 NULL; 1 to 8 an integer of that many bytes, two's
 *           complement, little-endian, the fewest that hold it; 9 a real, 8 bytes, IEEE 754,
 *           little-endian; 10 and 11 the integers 0 and 1; 12 + 2n a blob of n bytes; 13 + 2n text
 *           of n bytes, UTF-8
 *   then    the columns' bytes, in the same order
 *
 * A row with fewer columns than asked for has NULL in the rest. Every value comes back exactly as
 * it was stored. A varint is LEB128. Pure; any thread that owns the values.
 */
#ifndef TX_ROWCODEC_H
#define TX_ROWCODEC_H

#include "keycodec.h"

#define TX_ROW_COLUMNS_MAX 2000

/* Bytes that tx_row_encode will write. */
size_t tx_row_bytes(int count, const struct tx_cell *cells);

/* Write the row at `out`, tx_row_bytes long. */
void tx_row_encode(uint8_t *out, enum tx_key_note note, int count, const struct tx_cell *cells);

/* The key's note of a row; tx_key_result refuses one that a damaged row has. */
enum tx_key_note tx_row_note(const uint8_t *row, size_t bytes);

/* Where a column stands in a row: its type, and its bytes behind the row's types. */
struct tx_row_spot {
    uint32_t type, at;
};

/* More columns than a row has whose number of them is no varint. */
#define TX_ROW_MAP_COLUMNS 64

/* What tx_row_find knows of the columns behind the first ones. */
enum tx_row_rest {
    TX_ROW_REST_NULL,  /* the row has none */
    TX_ROW_REST_SPOTS, /* all spots have been filled; there are no first ones */
    TX_ROW_REST_WIDE   /* the next one has a type of two bytes, and those behind it of one */
};

/*
 * Where a row's columns are. Either all spots have been filled, or the row's types have one byte
 * each, but for one, and a spot is worked out when it is asked for.
 */
struct tx_row_map {
    struct tx_row_spot *spots; /* room for `count`, the caller's */
    int count;
    /* Set by tx_row_find. */
    uint32_t columns; /* the first ones, whose types have one byte */
    enum tx_row_rest rest;
    uint32_t wide_type, wide_bytes, all_columns; /* TX_ROW_REST_WIDE */
    const uint8_t *row;                          /* the row */
    const uint8_t *values;                       /* where in it spots count from */
    uint32_t before[TX_ROW_MAP_COLUMNS / 16];    /* bytes of the columns before each 16 */
    uint8_t sizes[TX_ROW_MAP_COLUMNS];           /* of each column; 0 of the wide one */
};

/*
 * Find the columns of a row. False when the row is damaged, which all of its types and its length
 * are looked at for; the map is then undefined.
 */
bool tx_row_find(const uint8_t *row, size_t bytes, struct tx_row_map *map);

/* A column of those that the map has room for; one that the row lacks is NULL. */
struct tx_row_spot tx_row_spot(const struct tx_row_map *map, int column);

/* Give a column to SQLite as a result; bytes are copied. For NULL, which a result is before
 * anything is given, nothing is. Returns SQLITE_OK, as xColumn does. */
int tx_row_result(sqlite3_context *context, const struct tx_row_map *map, int column);

/* tx_row_find and then tx_row_result; SQLITE_CORRUPT_VTAB when the row is damaged. */
int tx_row_find_result(sqlite3_context *context, const uint8_t *row, size_t bytes,
                       struct tx_row_map *map, int column);

/* The spot of a single column, and where it counts from. */
bool tx_row_find_one(const uint8_t *row, size_t bytes, struct tx_row_spot *spot,
                     const uint8_t **values);

/* Whether the column is NULL. */
static inline bool
tx_row_spot_is_null(struct tx_row_spot spot)
{
    return spot.type == 0;
}

/* Give a column to SQLite as a result; bytes are copied. */
void tx_row_spot_result(sqlite3_context *context, struct tx_row_spot spot, const uint8_t *values);

/* All `count` columns as cells, whose bytes are the row's. */
bool tx_row_cells(const uint8_t *row, size_t bytes, int count, struct tx_cell *out);

#endif /* TX_ROWCODEC_H */
