/*
 * rowmap.h - where the columns of a row (rowcodec.h) are, for who wants some of them.
 *
 * Pure; any thread that owns the map.
 */
#ifndef TX_ROWMAP_H
#define TX_ROWMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sqlite.h"

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
    uint32_t block_columns; /* how many more than the fewest a row of one block may have */
    /* Set by tx_row_find. */
    uint32_t columns; /* the first ones, whose types have one byte */
    enum tx_row_rest rest;
    uint32_t wide_type, wide_bytes, all_columns; /* TX_ROW_REST_WIDE */
    const uint8_t *row;                          /* the row */
    const uint8_t *values;                       /* where in it spots count from */
    uint32_t before[TX_ROW_MAP_COLUMNS / 16];    /* bytes of the columns before each 16 */
    uint8_t sizes[TX_ROW_MAP_COLUMNS];           /* of each column; 0 of the wide one */
};

/* A map, with nothing found, of a table of so many columns. */
void tx_row_map_init(struct tx_row_map *map, struct tx_row_spot *spots, int count);

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

/*
 * tx_row_find and then tx_row_result, of rows as most are; *found is set to true, before anything
 * is given. False: it is another row, or damaged; nothing has been given, and *found is as it was.
 * For a map that tx_row_map_init has made.
 */
bool tx_row_find_result(sqlite3_context *context, const uint8_t *row, size_t bytes,
                        struct tx_row_map *map, int column, bool *found);

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

#endif /* TX_ROWMAP_H */
