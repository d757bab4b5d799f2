/*
 * fuzz_order.c - any two rows of values, in columns of any affinity and collation: a column makes
 * of a value what a native column makes of it, the bytes of two keys compare as SQLite compares the
 * values, keys are equal when the values are, and a key gives back the values that it says it does.
 *
 * The judge is a native table with a column of each affinity and collation.
 *
 * Input: a byte for the number of columns and whether the last has no end; then for each column a
 * byte for its affinity and collation, and two values: a byte of type, and what it holds.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "../unit/sqlite_values.h"

#include "../../ext/tuple.h"

enum { AFFINITIES = 5, COLLATIONS = 3, KINDS = AFFINITIES * COLLATIONS, COLUMNS_MAX = 4, ROWS = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sqlite3_stmt *store[KINDS], *load[KINDS], *compare[KINDS];
static struct values values;

struct input {
    const uint8_t *p, *end;
};

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static sqlite3_stmt *
prepare(const char *format, int kind)
{
    char sql[300];
    sqlite3_stmt *statement;

    sqlite3_snprintf(sizeof(sql), sql, format, kind, kind, kind, kind, kind, kind);
    check(sqlite3_prepare_v2(values.db, sql, -1, &statement, NULL) == SQLITE_OK);
    return statement;
}

static void
prepare_once(void)
{
    static const char *const types[] = { "BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL" };
    static const char *const collations[] = { "BINARY", "NOCASE", "RTRIM" };
    sqlite3_str *table;
    char *sql;

    if (values.db != NULL)
        return;
    check(values_open(&values, "UTF-8"));
    table = sqlite3_str_new(values.db);
    sqlite3_str_appendall(table, "CREATE TABLE n(id INTEGER PRIMARY KEY");
    for (int i = 0; i < KINDS; i++)
        sqlite3_str_appendf(table, ", v%d %s COLLATE %s", i, types[i / COLLATIONS],
                            collations[i % COLLATIONS]);
    sqlite3_str_appendall(table, "); INSERT INTO n(id) VALUES(0), (1)");
    sql = sqlite3_str_finish(table);
    check(sql != NULL && sqlite3_exec(values.db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_free(sql);
    for (int i = 0; i < KINDS; i++) {
        store[i] = prepare("UPDATE n SET v%d = ?2 WHERE id = ?1", i);
        load[i] = prepare("SELECT v%d FROM n WHERE id = ?1", i);
        /* What ORDER BY does: NULL first. */
        compare[i] = prepare("SELECT ifnull((a.v%d > b.v%d) - (a.v%d < b.v%d), (a.v%d IS NOT NULL)"
                             " - (b.v%d IS NOT NULL)) FROM n AS a, n AS b WHERE a.id = 0 AND b.id "
                             "= 1",
                             i);
    }
}

static uint8_t
take_byte(struct input *input)
{
    return input->p < input->end ? *input->p++ : 0;
}

/* Small numbers and those at the edges of what a double or an int64 holds, or eight free bytes. */
static int64_t
take_number(struct input *input)
{
    const uint8_t form = take_byte(input);
    uint64_t bits = 0;

    if (form < 64)
        return (int64_t)form - 32;
    if (form < 128)
        return (INT64_C(1) << (form % 63)) - 1 + take_byte(input) % 3;
    if (form < 192)
        return -(INT64_C(1) << (form % 63)) - 1 + take_byte(input) % 3;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | take_byte(input);
    return (int64_t)bits;
}

static sqlite3_value *
take_value(struct input *input, bool without_zeros)
{
    const uint8_t type = take_byte(input) % 6;
    size_t bytes = take_byte(input) % 24;
    const uint8_t *from = input->p;
    double real;
    int64_t bits;

    switch (type) {
    case 0:
        return value_null(&values);
    case 1:
        return value_int(&values, take_number(input));
    case 2:
        return value_real(&values, (double)take_number(input) / (double)(1 << bytes));
    case 3:
        bits = take_number(input);
        memcpy(&real, &bits, sizeof(real));
        return value_real(&values, real); /* a NaN becomes NULL */
    default:
        if (bytes > (size_t)(input->end - from))
            bytes = (size_t)(input->end - from);
        /* Under NOCASE a native text ends at a zero byte, in a way that no key can follow. */
        if (without_zeros && memchr(from, '\0', bytes) != NULL)
            bytes = (size_t)((const uint8_t *)memchr(from, '\0', bytes) - from);
        input->p += bytes;
        return type == 4 ? value_text(&values, (const char *)from, bytes)
                         : value_blob(&values, from, bytes);
    }
}

static sqlite3_value *
through_native_column(int kind, int row, sqlite3_value *value)
{
    sqlite3_bind_int(store[kind], 1, row);
    sqlite3_bind_value(store[kind], 2, value);
    check(sqlite3_step(store[kind]) == SQLITE_DONE);
    sqlite3_reset(store[kind]);
    sqlite3_bind_int(load[kind], 1, row);
    return value_of_statement(load[kind]);
}

static bool
same_cell(const struct tx_cell *a, const struct tx_cell *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == SQLITE_INTEGER)
        return a->integer == b->integer;
    if (a->type == SQLITE_FLOAT)
        return a->real == b->real && signbit(a->real) == signbit(b->real);
    return a->type == SQLITE_NULL ||
           (a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0));
}

/* The cell of the value in such a column, which must be what the native column holds. */
static void
check_conversion(int kind, int row, sqlite3_value *value, struct tx_cell *cell)
{
    sqlite3_value *native = through_native_column(kind, row, value);
    struct tx_cell stored;

    check(native != NULL);
    check(tx_cell_read(native, TX_AFFINITY_BLOB, &stored));
    check(tx_cell_read(value, (enum tx_affinity)(kind / COLLATIONS), cell));
    check(same_cell(cell, &stored));
    sqlite3_value_free(native);
}

static int
order_of_values(int kind)
{
    int order;

    check(sqlite3_step(compare[kind]) == SQLITE_ROW);
    order = sqlite3_column_int(compare[kind], 0);
    sqlite3_reset(compare[kind]);
    return order;
}

static int
order_of_keys(const struct tx_tuple *a, const struct tx_tuple *b)
{
    const int order = memcmp(a->data, b->data, a->bytes < b->bytes ? a->bytes : b->bytes);

    if (order != 0)
        return order < 0 ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static void
check_restored(const struct tx_tuple *key, int columns, int place, const struct tx_cell *cell,
               enum tx_collation collation)
{
    struct tx_tuple room;
    struct tx_cell back;

    if (cell->type == SQLITE_NULL || !tx_tuple_restores(cell, collation))
        return;
    tx_tuple_init(&room);
    check(
        tx_tuple_cell((struct txkv_bytes){ key->data, key->bytes }, columns, place, &room, &back));
    check(same_cell(cell, &back));
    tx_tuple_free(&room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, data + size };
    const uint8_t form = take_byte(&input);
    const int columns = 1 + form % COLUMNS_MAX;
    const bool as_primary = (form & 0x80) != 0;
    sqlite3_value *value[ROWS][COLUMNS_MAX];
    struct tx_cell cells[ROWS][COLUMNS_MAX];
    struct tx_tuple keys[ROWS];
    int kinds[COLUMNS_MAX], expected = 0;
    bool has_null = false;

    prepare_once();
    for (int row = 0; row < ROWS; row++)
        tx_tuple_init(&keys[row]);
    for (int i = 0; i < columns; i++) {
        kinds[i] = take_byte(&input) % KINDS;
        for (int row = 0; row < ROWS; row++) {
            value[row][i] = take_value(&input, kinds[i] % COLLATIONS == TX_COLLATION_NOCASE);
            check(value[row][i] != NULL);
            check_conversion(kinds[i], row, value[row][i], &cells[row][i]);
            has_null = has_null || cells[row][i].type == SQLITE_NULL;
        }
        expected = expected != 0 ? expected : order_of_values(kinds[i]);
    }
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < columns; i++) {
            const enum tx_collation collation = (enum tx_collation)(kinds[i] % COLLATIONS);

            if (as_primary && !has_null && i == columns - 1)
                tx_tuple_add_last(&keys[row], &cells[row][i], collation);
            else
                tx_tuple_add(&keys[row], &cells[row][i], collation);
        }
    check(order_of_keys(&keys[0], &keys[1]) == expected);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < columns; i++) {
            if (as_primary && !has_null)
                check_restored(&keys[row], columns, i, &cells[row][i],
                               (enum tx_collation)(kinds[i] % COLLATIONS));
            sqlite3_value_free(value[row][i]);
        }
    for (int row = 0; row < ROWS; row++)
        tx_tuple_free(&keys[row]);
    return 0;
}
