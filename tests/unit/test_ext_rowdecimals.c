/*
 * test_ext_rowdecimals.c - reals in rows: a short decimal takes the fewest bytes, any other real
 * eight, and both come back in every bit, whatever takes the row apart.
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

enum { REAL = 9, DECIMAL = 12, DIGITS_MAX = 7, RANDOM_REALS = 300000, NO_TYPE = -1 };

static const double powers[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000 };

static struct values values;
static sqlite3_stmt *row_column;

/* The row that SQL row_column() takes its last column from. */
static struct {
    const uint8_t *data;
    size_t bytes;
    int count;
    bool is_alone; /* taken apart as a row of one column is */
} shown;

static void
call_row_column(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_row_spot spots[8];
    struct tx_row_map map;
    const uint8_t *base;
    bool found = false;

    (void)argc;
    (void)argv;
    tx_row_map_init(&map, spots, shown.count);
    if (shown.is_alone && tx_row_find_one(shown.data, shown.bytes, spots, &base))
        tx_row_spot_result(context, spots[0], base);
    else if (shown.is_alone || (!tx_row_find_result(context, shown.data, shown.bytes, &map,
                                                    shown.count - 1, &found) &&
                                (!tx_row_find(shown.data, shown.bytes, &map) ||
                                 tx_row_result(context, &map, shown.count - 1) != SQLITE_OK)))
        sqlite3_result_error(context, "damaged", -1);
}

static int
set_up(void **state)
{
    (void)state;
    assert_true(values_open(&values, "UTF-8"));
    assert_int_equal(sqlite3_create_function(values.db, "row_column", 0, SQLITE_UTF8, NULL,
                                             call_row_column, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT row_column()", -1, &row_column, NULL),
                     SQLITE_OK);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    sqlite3_finalize(row_column);
    values_close(&values);
    return 0;
}

static bool
same_bits(double a, double b)
{
    uint64_t bits_a, bits_b;

    memcpy(&bits_a, &a, sizeof(a));
    memcpy(&bits_b, &b, sizeof(b));
    return bits_a == bits_b;
}

/* SQLite gives the last column as this real. */
static void
assert_given(double real)
{
    sqlite3_value *value = value_of_statement(row_column);

    assert_non_null(value);
    if (isnan(real)) { /* which SQLite has none of */
        assert_int_equal(sqlite3_value_type(value), SQLITE_NULL);
    } else {
        assert_int_equal(sqlite3_value_type(value), SQLITE_FLOAT);
        assert_true(same_bits(sqlite3_value_double(value), real));
    }
    sqlite3_value_free(value);
}

static void
assert_shown(const uint8_t *row, size_t bytes, int count, double real)
{
    shown.data = row;
    shown.bytes = bytes;
    shown.count = count;
    shown.is_alone = false;
    assert_given(real);
    shown.is_alone = count == 1;
    assert_given(real);
}

/* Writes a row whose last column is the real, behind NULLs, reads it, and returns that column's
 * type; NO_TYPE when it is not the same real. Through SQLite too when `is_shown`. */
static int
type_of_last(double real, int count, bool is_shown)
{
    struct tx_cell cells[8] = { { .type = SQLITE_NULL } }, back[8];
    uint8_t *row;
    size_t bytes;
    int type;

    for (int i = 0; i < count; i++)
        cells[i].type = SQLITE_NULL;
    cells[count - 1] = (struct tx_cell){ .type = SQLITE_FLOAT, .real = real };
    bytes = tx_row_bytes(count, cells);
    row = malloc(bytes);
    assert_non_null(row);
    tx_row_encode(row, TX_KEY_AS_IS, count, cells);
    type = row[count];
    assert_int_equal(bytes,
                     1 + (size_t)count + (type == REAL ? 8 : (size_t)(type - DECIMAL) % 4 + 1));
    if (!tx_row_cells(row, bytes, count, back) || back[count - 1].type != SQLITE_FLOAT ||
        !same_bits(back[count - 1].real, real))
        type = NO_TYPE;
    if (is_shown)
        assert_shown(row, bytes, count, real);
    free(row);
    return type;
}

/* The same as the type of a row of one column, and of one that is found by blocks. */
static void
assert_type(double real, int type)
{
    assert_int_equal(type_of_last(real, 1, true), type);
    assert_int_equal(type_of_last(real, 7, true), type);
}

/* The type that number / 10^digits is to have, said in another way than it is found. */
static int
decimal_type(int64_t number, int digits)
{
    int bytes = 1;

    for (; digits > 0 && number % 10 == 0; digits--)
        number /= 10;
    while (number < -(INT64_C(1) << (8 * bytes - 1)) || number >= INT64_C(1) << (8 * bytes - 1))
        bytes++;
    return bytes <= 4 ? DECIMAL + 4 * digits + bytes - 1 : REAL;
}

static void
short_decimals_have_the_types_of_the_file_format(void **state)
{
    static const struct {
        const char *text;
        int type;
    } decimals[] = { { "0.0", 12 },           { "1.0", 12 },          { "-128.0", 12 },
                     { "128.0", 13 },         { "-32769.0", 14 },     { "1e9", 15 },
                     { "2147483647.0", 15 },  { "0.5", 16 },          { "-12.8", 16 },
                     { "21.3", 17 },          { "19.99", 21 },        { "0.01", 20 },
                     { "-0.001", 24 },        { "1234.567", 26 },     { "0.3333", 29 },
                     { "1e-5", 32 },          { "52.520008", 39 },    { "-122.4194155", 43 },
                     { "1e-7", 40 },          { "214.7483647", 43 },  { "214.7483648", REAL },
                     { "1e-8", REAL },        { "0.12345678", REAL }, { "2147483648.0", REAL },
                     { "1e300", REAL },       { "-0.0", REAL },       { "214748364.75", REAL },
                     { "1234567890.5", REAL } };

    (void)state;
    for (size_t i = 0; i < sizeof(decimals) / sizeof(decimals[0]); i++) {
        const double real = strtod(decimals[i].text, NULL);
        const int type = type_of_last(real, 1, true);

        if (type != decimals[i].type)
            fail_msg("%s has type %d and not %d", decimals[i].text, type, decimals[i].type);
    }
}

static void
the_bytes_of_reals_are_those_of_the_file_format(void **state)
{
    static const struct {
        double real;
        const char *row;
        size_t bytes;
    } rows[] = {
        { 1.0, "\x04\x0c\x01", 3 },
        { 2.5, "\x04\x10\x19", 3 },
        { 19.99, "\x04\x15\xcf\x07", 4 },
        { 52.520008, "\x04\x27\x48\x64\x21\x03", 6 },
        { -122.4194155, "\x04\x2b\x95\x47\x08\xb7", 6 },
        { 1.0 / 3, "\x04\x09\x55\x55\x55\x55\x55\x55\xd5\x3f", 10 },
        { -0.0, "\x04\x09\0\0\0\0\0\0\0\x80", 10 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tx_cell cell = { .type = SQLITE_FLOAT, .real = rows[i].real };
        uint8_t row[10];

        assert_int_equal(tx_row_bytes(1, &cell), rows[i].bytes);
        tx_row_encode(row, TX_KEY_AS_IS, 1, &cell);
        assert_memory_equal(row, rows[i].row, rows[i].bytes);
    }
}

/* Goal: the fewest digits, and then the fewest bytes, at each end of what they hold. Method: for
 * each number of digits all numbers near a power of two or ten. */
static void
every_decimal_takes_the_fewest_digits_and_bytes(void **state)
{
    (void)state;
    for (int digits = 0; digits <= DIGITS_MAX; digits++) {
        for (unsigned shift = 0; shift < 32; shift++)
            for (int64_t off = -12; off <= 12; off++)
                for (int64_t sign = -1; sign <= 1; sign += 2) {
                    const int64_t number = sign * (INT64_C(1) << shift) + off;

                    if (number != (int32_t)number)
                        continue;
                    assert_type((double)number / powers[digits], decimal_type(number, digits));
                }
        for (int zeros = 0; zeros <= 9; zeros++)
            for (int64_t factor = -9; factor <= 9; factor++) {
                int64_t number = factor;

                for (int i = 0; i < zeros; i++)
                    number *= 10;
                assert_type((double)number / powers[digits], decimal_type(number, digits));
            }
    }
}

static void
random_decimals_are_found_and_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < RANDOM_REALS; i++) {
        const int digits = i % (DIGITS_MAX + 1);
        const int32_t number = (int32_t)random_below(SIZE_MAX) >> random_below(32);
        const double real = number / powers[digits];

        assert_int_equal(type_of_last(real, 1, false), decimal_type(number, digits));
    }
}

/* Goal: what a program reads from a text or binds for it is the decimal. */
static void
decimals_that_sqlite_reads_from_texts_are_short(void **state)
{
    sqlite3_stmt *cast;

    (void)state;
    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT CAST(printf('%.*f', ?1, ?2) AS REAL)",
                                        -1, &cast, NULL),
                     SQLITE_OK);
    for (int i = 0; i < 20000; i++) {
        const int digits = i % (DIGITS_MAX + 1);
        const int64_t number = (int64_t)random_below(2 * 99999999) - 99999999; /* 15 digits fit */
        sqlite3_value *value;

        sqlite3_bind_int(cast, 1, digits);
        sqlite3_bind_double(cast, 2, (double)number / powers[digits]);
        value = value_of_statement(cast);
        assert_non_null(value);
        assert_int_equal(type_of_last(sqlite3_value_double(value), 1, false),
                         number == 0 ? DECIMAL : decimal_type(number, digits));
        sqlite3_value_free(value);
    }
    sqlite3_finalize(cast);
}

/* The next real, away from zero for 1 and towards it for -1. */
static double
neighbour(double real, int64_t step)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    bits += (uint64_t)step;
    memcpy(&real, &bits, sizeof(real));
    return real;
}

static void
neighbours_of_decimals_take_eight_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < RANDOM_REALS; i++) {
        const int32_t number = (int32_t)random_below(SIZE_MAX) >> random_below(32);
        const double real = number / powers[i % (DIGITS_MAX + 1)];

        assert_int_equal(type_of_last(neighbour(real, 1), 1, false), REAL);
        if (number != 0)
            assert_int_equal(type_of_last(neighbour(real, -1), 1, false), REAL);
    }
}

static void
random_reals_come_back_in_every_bit(void **state)
{
    (void)state;
    for (int i = 0; i < RANDOM_REALS; i++) {
        const uint64_t bits = (uint64_t)random_below(SIZE_MAX) << 1 | random_below(2);
        double real;

        memcpy(&real, &bits, sizeof(real));
        assert_int_not_equal(type_of_last(real, 1, false), NO_TYPE);
        real = (double)random_below(SIZE_MAX) / (double)(UINT64_C(1) << random_below(64));
        assert_int_not_equal(type_of_last(real, 1, false), NO_TYPE);
        real = (double)(int64_t)(random_below(SIZE_MAX) >> random_below(40)) / 1e7; /* as if */
        assert_int_not_equal(type_of_last(real, 1, false), NO_TYPE);
    }
}

static void
reals_that_are_no_decimals_take_eight_bytes(void **state)
{
    static const double reals[] = { -0.0,
                                    (double)NAN,
                                    (double)INFINITY,
                                    -(double)INFINITY,
                                    0x1p-1074,
                                    -0x1p-1074,
                                    0x1p-1022,
                                    0x1p31,
                                    -0x1p31 - 1,
                                    0x1p53,
                                    0x1p63,
                                    0x1.fffffffffffffp1023,
                                    3.141592653589793,
                                    1.0 / 3,
                                    0.1 + 0.2,
                                    5e-8,
                                    4.9e-8 };

    (void)state;
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++)
        assert_type(reals[i], REAL);
}

/* Goal: a row that nobody writes is read as what it says. Method: decimals with a zero at the end,
 * or with more bytes than they need, in a row of one column and behind others. */
static void
decimals_with_more_digits_or_bytes_than_they_need_are_read(void **state)
{
    static const uint8_t one[] = { 1 << 2, DECIMAL + 4 * 7 + 3, 0, 0, 0, 0 };
    static const uint8_t two[] = {
        2 << 2, DECIMAL + 4 * 2 + 2, DECIMAL + 4 * 3 + 3, 10, 0, 0, 0x38, 0xff, 0xff, 0xff
    };
    struct tx_cell cells[2];

    (void)state;
    assert_true(tx_row_cells(one, sizeof(one), 1, cells));
    assert_true(same_bits(cells[0].real, 0.0));
    assert_shown(one, sizeof(one), 1, 0.0);
    assert_true(tx_row_cells(two, sizeof(two), 2, cells));
    assert_true(same_bits(cells[0].real, 0.1) && same_bits(cells[1].real, -0.2));
    assert_shown(two, sizeof(two), 2, -0.2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_decimals_have_the_types_of_the_file_format),
        cmocka_unit_test(the_bytes_of_reals_are_those_of_the_file_format),
        cmocka_unit_test(every_decimal_takes_the_fewest_digits_and_bytes),
        cmocka_unit_test(random_decimals_are_found_and_come_back),
        cmocka_unit_test(decimals_that_sqlite_reads_from_texts_are_short),
        cmocka_unit_test(neighbours_of_decimals_take_eight_bytes),
        cmocka_unit_test(random_reals_come_back_in_every_bit),
        cmocka_unit_test(reals_that_are_no_decimals_take_eight_bytes),
        cmocka_unit_test(decimals_with_more_digits_or_bytes_than_they_need_are_read),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
