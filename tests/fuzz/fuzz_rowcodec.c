/*
 * fuzz_rowcodec.c - any bytes as a row: every column is refused, or it is a value that encodes and
 * comes back the same, alone and in a row with all the others.
 *
 * Input: a byte of how many columns the table has, then the row.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/sqlite_values.h"

#include "../../ext/rowcodec.h"
#include "../../ext/rowmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *row;
    size_t bytes;
    int count, index;
};

static struct input input;
static struct tx_cell cells[100];

static void
check(bool holds)
{
    if (!holds)
        abort();
}

/* Column `index` of the row as the result; false when the row is damaged. */
static bool
give_column(sqlite3_context *context, const uint8_t *row, size_t bytes, int count, int index)
{
    static struct tx_row_spot spots[TX_ROW_COLUMNS_MAX];
    struct tx_row_map map;
    bool found = false;

    tx_row_map_init(&map, spots, count);
    if (bytes % 2 == 0 && tx_row_find_result(context, row, bytes, &map, index, &found))
        return true;
    return tx_row_find(row, bytes, &map) && tx_row_result(context, &map, index) == SQLITE_OK;
}

static void
call_column(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    if (!give_column(context, input.row, input.bytes, input.count, input.index))
        sqlite3_result_error(context, "damaged", -1);
}

static sqlite3_stmt *
prepare_once(void)
{
    static struct values values;
    static sqlite3_stmt *column;

    if (column != NULL)
        return column;
    check(values_open(&values, "UTF-8"));
    check(sqlite3_create_function(values.db, "col", 0, SQLITE_UTF8, NULL, call_column, NULL,
                                  NULL) == SQLITE_OK);
    check(sqlite3_prepare_v2(values.db, "SELECT col()", -1, &column, NULL) == SQLITE_OK);
    return column;
}

/* NULL when the row is damaged. */
static sqlite3_value *
decode(const uint8_t *row, size_t bytes, int count, int index)
{
    input = (struct input){ row, bytes, count, index };
    return value_of_statement(prepare_once());
}

static void
check_round_trip(sqlite3_value *value)
{
    struct tx_cell cell = { .type = SQLITE_NULL };
    const bool has_memory = tx_cell_read(value, TX_AFFINITY_BLOB, &cell);
    const size_t bytes = tx_row_bytes(1, &cell);
    uint8_t *row = malloc(bytes);
    sqlite3_value *back;

    check(has_memory && bytes > 0 && row != NULL);
    tx_row_encode(row, TX_KEY_AS_IS, 1, &cell);
    back = decode(row, bytes, 1, 0);
    check(back != NULL && same_value(value, back));
    sqlite3_value_free(back);
    free(row);
}

/* Each value has one form: what a row that was encoded has is encoded to the same bytes. */
static void
check_one_form(const uint8_t *row, size_t bytes, int count)
{
    static struct tx_cell own[100];
    uint8_t *again = malloc(bytes);

    check(again != NULL && tx_row_cells(row, bytes, count, own));
    check(tx_row_bytes(count, own) == bytes);
    tx_row_encode(again, TX_KEY_AS_IS, count, own);
    check(memcmp(row, again, bytes) == 0);
    free(again);
}

/* The whole row, encoded again, is as many values, and the same ones. */
static void
check_whole_row(const uint8_t *row, size_t bytes, int count)
{
    const size_t again_bytes = tx_row_bytes(count, cells);
    uint8_t *again = malloc(again_bytes);

    check(again != NULL && again_bytes > 0);
    tx_row_encode(again, TX_KEY_AS_IS, count, cells);
    for (int i = 0; i < count; i++) {
        sqlite3_value *one = decode(row, bytes, count, i);
        sqlite3_value *other = decode(again, again_bytes, count, i);

        check(one != NULL && other != NULL && same_value(one, other));
        sqlite3_value_free(one);
        sqlite3_value_free(other);
    }
    check_one_form(again, again_bytes, count);
    free(again);
}

/* The two ways to take a row apart agree on it. */
static void
check_spots(const uint8_t *row, size_t bytes, int count)
{
    static struct tx_row_spot spots[100];
    struct tx_row_map map = { .spots = spots, .count = count };
    const bool good = tx_row_find(row, bytes, &map);

    check(good == tx_row_cells(row, bytes, count, cells));
    for (int i = 0; good && i < count; i++) {
        const struct tx_row_spot spot = tx_row_spot(&map, i);

        check(tx_row_spot_is_null(spot) == (cells[i].type == SQLITE_NULL));
        if (cells[i].type == SQLITE_TEXT || cells[i].type == SQLITE_BLOB)
            check(map.values + spot.at == cells[i].data);
    }
    if (count == 1) {
        struct tx_row_spot one;
        const uint8_t *value;

        check(tx_row_find_one(row, bytes, &one, &value) == good);
        check(!good ||
              (one.type == tx_row_spot(&map, 0).type && value == map.values && one.at == 0));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int good = 0, count;

    if (size == 0)
        return 0;
    count = data[0] % 100;
    for (int i = 0; i < count; i++) {
        sqlite3_value *value = decode(data + 1, size - 1, count, i);

        if (value == NULL)
            continue;
        good++;
        check_round_trip(value);
        sqlite3_value_free(value);
    }
    check(good == 0 || good == count); /* a row is good or damaged as a whole */
    check_spots(data + 1, size - 1, count);
    check(tx_row_cells(data + 1, size - 1, count, cells) == (good == count) || count == 0);
    if (good == count && count > 0)
        check_whole_row(data + 1, size - 1, count);
    (void)tx_row_note(data + 1, size - 1);
    return 0;
}
