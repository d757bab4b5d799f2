/*
 * test_ext_rowcodec.c - rows: every value comes back as it was, and damaged bytes are refused.
 *
 * Rows stand in buffers of exactly their size, so that AddressSanitizer sees a byte too much.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/rowcodec.h"
#include "../../ext/rowmap.h"

enum { RANDOM_ROWS = 20000 };

struct row {
    uint8_t *data;
    size_t bytes;
};

/* What SQL column() is to decode: it takes pointers from here, so that nothing copies the row. */
struct request {
    const struct row *row;
    int count, index;
    bool at_once; /* as the first column of a row is given, if it can be */
};

static struct values values;
static struct tx_cell cells[TX_ROW_COLUMNS_MAX];
static struct tx_row_spot spots[TX_ROW_COLUMNS_MAX];
static sqlite3_stmt *column;
static struct request request;
static size_t given_at_once;

/* Column `index` of the row as the result; false when the row is damaged. */
static bool
give_column(sqlite3_context *context, const uint8_t *row, size_t bytes, int count, int index)
{
    struct tx_row_map map = { .spots = spots, .count = count };
    const uint8_t *base;
    bool found = false;

    if (request.at_once) {
        tx_row_map_init(&map, spots, count);
        if (tx_row_find_result(context, row, bytes, &map, index, &found)) {
            assert_true(found);
            given_at_once++;
            return true;
        }
        assert_false(found);
    }
    if (count == 1) {
        if (!tx_row_find_one(row, bytes, spots, &base))
            return false;
        tx_row_spot_result(context, spots[index], base);
        return true;
    }
    return tx_row_find(row, bytes, &map) && tx_row_result(context, &map, index) == SQLITE_OK;
}

static void
call_column(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    if (!give_column(context, request.row->data, request.row->bytes, request.count, request.index))
        sqlite3_result_error(context, "damaged", -1);
}

static int
set_up(void **state)
{
    (void)state;
    assert_true(values_open(&values, "UTF-8"));
    assert_int_equal(
        sqlite3_create_function(values.db, "col", 0, SQLITE_UTF8, NULL, call_column, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT col()", -1, &column, NULL), SQLITE_OK);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    sqlite3_finalize(column);
    values_close(&values);
    return 0;
}

/* Reads the values as columns without a type do; returns the row's bytes, 0 without memory. */
static size_t
read_cells(int count, sqlite3_value **columns)
{
    for (int i = 0; i < count; i++)
        if (!tx_cell_read(columns[i], TX_AFFINITY_BLOB, &cells[i]))
            return 0;
    return tx_row_bytes(count, cells);
}

static struct row
encode(enum tx_key_note note, int count, sqlite3_value **columns)
{
    struct row row = { NULL, read_cells(count, columns) };

    assert_true(row.bytes > 0);
    row.data = malloc(row.bytes > 0 ? row.bytes : 1);
    assert_non_null(row.data);
    tx_row_encode(row.data, note, count, cells);
    return row;
}

/* NULL when the row is damaged. Both ways of a column say the same. */
static sqlite3_value *
decode(const struct row *row, int count, int index)
{
    sqlite3_value *value, *again;

    request = (struct request){ row, count, index, false };
    value = value_of_statement(column);
    request.at_once = true;
    again = value_of_statement(column);
    assert_true(value == NULL ? again == NULL : again != NULL && same_value(value, again));
    sqlite3_value_free(again);
    return value;
}

static bool
is_damaged(const uint8_t *bytes, size_t length, int count, int index)
{
    struct row row = { malloc(length + 1), length };
    sqlite3_value *value;

    assert_non_null(row.data);
    memcpy(row.data + 1, bytes, length); /* ends where the allocation does */
    row.data++;
    value = decode(&row, count, index);
    free(row.data - 1);
    sqlite3_value_free(value);
    return value == NULL;
}

#define DAMAGED(literal, count, index)                                                             \
    is_damaged((const uint8_t *)(literal), sizeof(literal) - 1, count, index)

static void
assert_round_trip(int count, sqlite3_value **columns)
{
    struct row row = encode(TX_KEY_REAL, count, columns);

    for (int i = 0; i < count; i++) {
        sqlite3_value *back = decode(&row, count, i);

        if (back == NULL || !same_value(columns[i], back))
            fail_msg("column %d of %d does not come back as it was", i, count);
        sqlite3_value_free(back);
    }
    assert_int_equal(tx_row_note(row.data, row.bytes), TX_KEY_REAL);
    free(row.data);
}

static void
free_values(int count, sqlite3_value **columns)
{
    for (int i = 0; i < count; i++)
        sqlite3_value_free(columns[i]);
}

/* Checks one column alone, the hot path, and frees it. */
static void
assert_comes_back(sqlite3_value *value)
{
    assert_non_null(value);
    assert_round_trip(1, &value);
    sqlite3_value_free(value);
}

static void
assert_integer(int64_t v, size_t row_bytes)
{
    sqlite3_value *value = value_int(&values, v);

    assert_non_null(value);
    assert_int_equal(read_cells(1, &value), row_bytes);
    assert_comes_back(value);
}

static void
integers_take_the_fewest_bytes_and_come_back(void **state)
{
    (void)state;
    assert_integer(0, 2);
    assert_integer(1, 2);
    assert_integer(-1, 3);
    for (unsigned n = 1; n < 8; n++) {
        const int64_t limit = INT64_C(1) << (8 * n - 1);

        assert_integer(limit - 1, 2 + n);
        assert_integer(limit, 3 + n);
        assert_integer(-limit, 2 + n);
        assert_integer(-limit - 1, 3 + n);
    }
    assert_integer(INT64_MAX, 10);
    assert_integer(INT64_MIN, 10);
}

static void
reals_come_back_in_every_bit(void **state)
{
    static const double reals[] = { 0.0, -0.0,   1.0,    0x1p-1074,        0x1p1023,
                                    0.1, -1e300, 0x1p63, (double)INFINITY, -(double)INFINITY };

    (void)state;
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++)
        assert_comes_back(value_real(&values, reals[i]));
}

static void
texts_and_blobs_come_back_with_their_zeros_and_lengths(void **state)
{
    static const size_t lengths[] = { 0, 1, 41, 42, 8168, 8169, 8170, 100000, 2000000 };
    char *bytes = calloc(1, 2000000);

    (void)state;
    assert_non_null(bytes);
    bytes[0] = 'a';
    bytes[56] = '\xff';
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        assert_comes_back(value_text(&values, bytes, lengths[i]));
        assert_comes_back(value_blob(&values, bytes, lengths[i]));
    }
    free(bytes);
}

static sqlite3_value *
random_value(void)
{
    char bytes[200];
    const uint64_t number = (uint64_t)random_below(SIZE_MAX) << 1;
    const size_t length = random_below(sizeof(bytes));
    double real;

    memset(bytes, (int)random_below(256), sizeof(bytes));
    memcpy(&real, &number, sizeof(real));
    switch (random_below(5)) {
    case 0:
        return value_int(&values, (int64_t)number >> random_below(64));
    case 1:
        return value_real(&values, real);
    case 2:
        return value_text(&values, bytes, length);
    case 3:
        return value_blob(&values, bytes, length);
    default:
        return value_null(&values);
    }
}

static void
rows_of_any_width_come_back(void **state)
{
    static const int widths[] = { 0, 2, 62, 63, 64, 190, 191, TX_ROW_COLUMNS_MAX };
    static sqlite3_value *columns[TX_ROW_COLUMNS_MAX];

    (void)state;
    for (int i = 0; i < TX_ROW_COLUMNS_MAX; i++)
        columns[i] = random_value();
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
        assert_round_trip(widths[i], columns);
    free_values(TX_ROW_COLUMNS_MAX, columns);
}

static void
random_rows_come_back(void **state)
{
    sqlite3_value *columns[5];

    (void)state;
    for (int i = 0; i < RANDOM_ROWS; i++) {
        const int count = (int)random_below(6);

        for (int j = 0; j < count; j++)
            columns[j] = random_value();
        assert_round_trip(count, columns);
        free_values(count, columns);
    }
}

/* A row in an allocation of its size, of types of one or two bytes and then `values` bytes, which
 * begin at *begin. */
static struct row
row_of_types(const unsigned *types, int columns, size_t values_bytes, size_t *begin)
{
    uint8_t head[1 + 2 * 62];
    size_t used = 0;
    struct row row;

    head[used++] = (uint8_t)(columns << 2);
    for (int i = 0; i < columns; i++) {
        head[used++] = (uint8_t)(types[i] < 128 ? types[i] : types[i] | 128);
        if (types[i] >= 128)
            head[used++] = (uint8_t)(types[i] >> 7);
    }
    row = (struct row){ malloc(used + values_bytes), used + values_bytes };
    assert_non_null(row.data);
    memcpy(row.data, head, used);
    for (size_t i = used; i < row.bytes; i++)
        row.data[i] = (uint8_t)random_below(256);
    *begin = used;
    return row;
}

static size_t
size_of_type(unsigned type)
{
    if (type >= 44)
        return (type - 44) / 2;
    if (type >= 12)
        return (type - 12) % 4 + 1;
    return type == 9 ? 8 : type >= 10 ? 0 : type;
}

/* Each column's place and value are those that the types, added up one after the other, say. */
static void
assert_found_by_types(const struct row *row, size_t at, const unsigned *types, int columns,
                      int count)
{
    struct tx_row_map map = { .spots = spots, .count = count };

    assert_true(tx_row_find(row->data, row->bytes, &map));
    assert_true(tx_row_cells(row->data, row->bytes, count, cells));
    for (int i = 0; i < count; i++) {
        const struct tx_row_spot spot = tx_row_spot(&map, i);
        sqlite3_value *value = decode(row, count, i);

        assert_int_equal(spot.type, i < columns ? types[i] : 0);
        if (spot.type != 0)
            assert_ptr_equal(map.values + spot.at, row->data + at);
        if (cells[i].type != SQLITE_FLOAT) /* random bytes can be no number, and then are NULL */
            assert_int_equal(sqlite3_value_type(value), cells[i].type);
        if (cells[i].type == SQLITE_INTEGER)
            assert_int_equal(sqlite3_value_int64(value), cells[i].integer);
        at += i < columns ? size_of_type(types[i]) : 0;
        sqlite3_value_free(value);
    }
}

/* Goal: columns that are found many at a time are where they are one at a time. Method: each number
 * of columns that is no varint, types of one byte and up to two of two bytes, in rows that end
 * where their memory does; of those, also rows that are a byte too short or too long. */
static void
columns_found_together_are_where_they_are_one_by_one(void **state)
{
    static const unsigned limits[] = { 3, 46, 128 };
    unsigned types[62];

    (void)state;
    for (int i = 0; i < RANDOM_ROWS / 2; i++) {
        const int columns = i % 63, more = (int)random_below(20);
        const unsigned limit = limits[random_below(3)];
        struct tx_row_map map = { .spots = spots, .count = columns + more };
        struct row row;
        size_t bytes = 0, begin;

        for (int j = 0; j < columns; j++)
            types[j] = (unsigned)random_below(limit);
        for (size_t j = random_below(3); j > 0 && columns > 0; j--)
            types[random_below((size_t)columns)] = (unsigned)(128 + random_below(16384 - 128));
        for (int j = 0; j < columns; j++)
            bytes += size_of_type(types[j]);
        row = row_of_types(types, columns, bytes, &begin);
        assert_found_by_types(&row, begin, types, columns, columns + more);
        if (columns + more > 0)
            sqlite3_value_free(
                decode(&row, columns + more, (int)random_below((size_t)(columns + more))));
        map.count = columns - 1; /* more than the table has */
        assert_true(columns == 0 || !tx_row_find(row.data, row.bytes, &map));
        free(row.data);
        map.count = columns + more;
        for (size_t wrong = bytes == 0 ? 1 : bytes - 1; wrong <= bytes + 1; wrong += 2) {
            row = row_of_types(types, columns, wrong, &begin);
            assert_false(tx_row_find(row.data, row.bytes, &map));
            if (columns > 1)
                assert_null(decode(&row, columns, (int)random_below((size_t)columns)));
            free(row.data);
        }
    }
    assert_true(given_at_once > RANDOM_ROWS / 20);
}

static void
the_bytes_of_a_row_are_those_of_the_file_format(void **state)
{
    static const char expected[] = "\x26\x00\x02\x09\x0b\x30\x2f\x0a\x15\x0c"
                                   "\xfe\xfe"
                                   "\x55\x55\x55\x55\x55\x55\xd5\x3f"
                                   "\x01\x02"
                                   "a"
                                   "\xcf\x07"
                                   "\xff";
    sqlite3_value *columns[] = {
        value_null(&values),   value_int(&values, -258),           value_real(&values, 1.0 / 3),
        value_int(&values, 1), value_blob(&values, "\x01\x02", 2), value_text(&values, "a", 1),
        value_int(&values, 0), value_real(&values, 19.99),         value_real(&values, -1.0)
    };
    struct row row;

    (void)state;
    row = encode(TX_KEY_MINUS_ZERO, 9, columns);
    assert_int_equal(row.bytes, sizeof(expected) - 1);
    assert_memory_equal(row.data, expected, row.bytes);
    free(row.data);
    free_values(9, columns);
}

static void
columns_that_a_row_does_not_have_are_null(void **state)
{
    sqlite3_value *columns[] = { value_int(&values, 1000), value_text(&values, "x", 1) };
    struct row row = encode(TX_KEY_AS_IS, 2, columns);
    sqlite3_value *second = decode(&row, 4, 1), *fourth = decode(&row, 4, 3);

    (void)state;
    assert_non_null(second);
    assert_true(same_value(columns[1], second));
    assert_non_null(fourth);
    assert_int_equal(sqlite3_value_type(fourth), SQLITE_NULL);
    sqlite3_value_free(second);
    sqlite3_value_free(fourth);
    free(row.data);
    free_values(2, columns);
}

/* Goal: a row that lost or won bytes is never read as a row. Method: every prefix,
 * and one byte more. */
static void
a_row_of_another_length_is_refused(void **state)
{
    sqlite3_value *columns[] = { value_int(&values, 1000), value_text(&values, "some text", 9),
                                 value_null(&values), value_real(&values, 2.5) };
    struct row row = encode(TX_KEY_AS_IS, 4, columns);
    uint8_t longer[64] = { 0 };

    (void)state;
    for (int index = 0; index < 4; index++) {
        for (size_t bytes = 0; bytes < row.bytes; bytes++)
            assert_true(is_damaged(row.data, bytes, 4, index));
        memcpy(longer, row.data, row.bytes);
        assert_true(is_damaged(longer, row.bytes + 1, 4, index));
        assert_false(is_damaged(longer, row.bytes, 4, index));
    }
    free(row.data);
    free_values(4, columns);
}

static void
damaged_numbers_in_a_row_are_refused(void **state)
{
    (void)state;
    assert_true(DAMAGED("", 1, 0));
    assert_true(DAMAGED("\x08\x00\x00", 1, 0)); /* more columns than the table has */
    assert_true(DAMAGED("\x04\x2e", 1, 0));     /* a blob beyond the end */
    assert_true(DAMAGED("\x04\x0d\x01", 1, 0)); /* a decimal beyond the end */
    assert_true(DAMAGED("\x04\x80", 1, 0));     /* a varint without an end */
    assert_true(DAMAGED("\x04\xac\xff\xff\xff\xff\xff\xff\xff\x7f", 1, 0));
    assert_true(DAMAGED("\x04\xac\x80\x80\x80\x80\x80\x80\x80\x80\x01", 1, 0));
    assert_true(DAMAGED("\x0c\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
                        "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x2c",
                        3, 2)); /* lengths whose sum wraps */
    assert_true(DAMAGED("\xfc", 2000, 0));
    assert_true(DAMAGED("\xfc\xff\xff\xff\xff\x7f", 2000, 0)); /* a number of columns beyond all */
    assert_false(DAMAGED("\x04\x2c", 1, 0));
}

/* Measures the argument while SQLite may allocate nothing more. */
static void
call_measure_without_memory(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    size_t bytes;

    sqlite3_hard_heap_limit64(sqlite3_memory_used());
    bytes = read_cells(argc, argv);
    sqlite3_hard_heap_limit64(0);
    *(size_t *)sqlite3_user_data(context) = bytes;
}

static void
running_out_of_memory_while_converting_is_told(void **state)
{
    static uint16_t text16[50000];
    struct values utf16;
    size_t bytes = 1;
    sqlite3_stmt *statement;

    (void)state;
    assert_true(values_open(&utf16, "UTF-16"));
    for (size_t i = 0; i < sizeof(text16) / sizeof(text16[0]); i++)
        text16[i] = 0xe9;
    assert_int_equal(sqlite3_create_function(utf16.db, "starve", 2, SQLITE_UTF16, &bytes,
                                             call_measure_without_memory, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(utf16.db, "SELECT starve(1, ?1)", -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text16(statement, 1, text16, sizeof(text16), SQLITE_STATIC);
    (void)sqlite3_step(statement);
    assert_int_equal(bytes, 0);
    sqlite3_reset(statement);
    bytes = 1;
    sqlite3_bind_zeroblob(statement, 1, 100000);
    (void)sqlite3_step(statement);
    assert_int_equal(bytes, 0);
    sqlite3_finalize(statement);
    values_close(&utf16);
}

/* Encodes its argument and gives it back, so that zeroblobs and UTF-16 texts arrive unchanged. */
static void
call_echo_row(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const size_t bytes = read_cells(argc, argv);
    uint8_t *row = bytes == 0 ? NULL : malloc(bytes);

    if (row == NULL)
        return;
    tx_row_encode(row, TX_KEY_AS_IS, argc, cells);
    if (!give_column(context, row, bytes, argc, argc - 1))
        sqlite3_result_error(context, "damaged", -1);
    free(row);
}

static void
zeroblobs_and_utf16_texts_come_back(void **state)
{
    static const uint16_t text16[] = { 'n', 0xe9, 0, 0xd83d, 0xde00 };
    struct values utf16;
    sqlite3_stmt *statement;

    (void)state;
    assert_true(values_open(&utf16, "UTF-16"));
    assert_int_equal(sqlite3_create_function(utf16.db, "echo_row", -1, SQLITE_UTF16, NULL,
                                             call_echo_row, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(utf16.db,
                           "SELECT echo_row(1, zeroblob(3000)) = zeroblob(3000),"
                           " hex(echo_row(?1)) = hex(?1), typeof(echo_row(?1)) = 'text'",
                           -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_text16(statement, 1, text16, sizeof(text16), SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sqlite3_column_int(statement, i), 1);
    sqlite3_finalize(statement);
    values_close(&utf16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_take_the_fewest_bytes_and_come_back),
        cmocka_unit_test(reals_come_back_in_every_bit),
        cmocka_unit_test(texts_and_blobs_come_back_with_their_zeros_and_lengths),
        cmocka_unit_test(rows_of_any_width_come_back),
        cmocka_unit_test(random_rows_come_back),
        cmocka_unit_test(columns_found_together_are_where_they_are_one_by_one),
        cmocka_unit_test(the_bytes_of_a_row_are_those_of_the_file_format),
        cmocka_unit_test(columns_that_a_row_does_not_have_are_null),
        cmocka_unit_test(a_row_of_another_length_is_refused),
        cmocka_unit_test(damaged_numbers_in_a_row_are_refused),
        cmocka_unit_test(running_out_of_memory_while_converting_is_told),
        cmocka_unit_test(zeroblobs_and_utf16_texts_come_back),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
