/*
 * test_ext_tuple.c - several values as one key: the order of the bytes is SQLite's order of the
 * values, prefixes are found by their bytes, and values come back.
 *
 * SQLite is the judge: rows (a, b, c) are compared by its row values, column by column.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/tuple.h"

enum { VALUES = 60, TUPLES = 3000, COLUMNS = 3 };

static struct values values;
static sqlite3_value *pool[VALUES];
static const enum tx_collation collations[COLUMNS] = { TX_COLLATION_BINARY, TX_COLLATION_NOCASE,
                                                       TX_COLLATION_RTRIM };

static sqlite3_value *
random_value(size_t i)
{
    static const char letters[] = { '\0', ' ', 'a', 'A', 'b', '\x01', '\xff' };
    static const double reals[] = { -0.0, 0.5, 1.0, 1e300, -1.5, 9007199254740992.0 };
    static const int64_t integers[] = {
        0, 1, -1, 256, 562949953421313, 9007199254740993, INT64_MAX, INT64_MIN
    }; /* the fifth: zero bytes within */
    char text[700];
    const size_t same = i % 50 < 10 ? 505 : 0; /* now and then one that takes an allocation */
    const size_t bytes = same + random_below(5);

    memset(text, 'a', same);
    /* NOCASE stops at a zero byte, in a way that no key can follow: only blobs have them. */
    for (size_t j = same; j < bytes; j++)
        text[j] = letters[random_below(sizeof(letters) - 1 - (i % 5 != 1)) + (i % 5 != 1)];
    switch (i % 5) {
    case 0:
        return value_int(&values, integers[random_below(8)]);
    case 1:
        return value_blob(&values, text, bytes);
    case 2:
        return value_real(&values, reals[random_below(6)]);
    case 3:
        return value_text(&values, text, bytes);
    default:
        return i < 10 ? value_null(&values) : value_text(&values, text, bytes);
    }
}

static int
set_up(void **state)
{
    (void)state;
    assert_true(values_open(&values, "UTF-8"));
    for (size_t i = 0; i < VALUES; i++) {
        pool[i] = random_value(i);
        assert_non_null(pool[i]);
    }
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALUES; i++)
        sqlite3_value_free(pool[i]);
    values_close(&values);
    return 0;
}

static void
encode(sqlite3_value *const *columns, bool as_primary, struct tx_tuple *out)
{
    tx_tuple_init(out);
    for (int i = 0; i < COLUMNS; i++) {
        struct tx_cell cell;

        assert_true(tx_cell_read(columns[i], TX_AFFINITY_BLOB, &cell));
        if (as_primary && i == COLUMNS - 1)
            tx_tuple_add_last(out, &cell, collations[i]);
        else
            tx_tuple_add(out, &cell, collations[i]);
    }
    assert_false(out->too_big);
}

static int
sign(int v)
{
    return (v > 0) - (v < 0);
}

static int
compare_bytes(const struct tx_tuple *a, const struct tx_tuple *b)
{
    const size_t least = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = memcmp(a->data, b->data, least);

    return order != 0 ? sign(order) : sign((a->bytes > b->bytes) - (a->bytes < b->bytes));
}

/* -1, 0 or 1 for column i, NULL first; what ORDER BY does. */
static int
compare_column(sqlite3_value *a, sqlite3_value *b, int i)
{
    static sqlite3_stmt *statements[COLUMNS];
    static const char *const names[] = { "BINARY", "NOCASE", "RTRIM" };
    int order;

    if (statements[i] == NULL) {
        char sql[200];

        sqlite3_snprintf(sizeof(sql), sql,
                         "SELECT (?1 COLLATE %s > ?2) - (?1 COLLATE %s < ?2) "
                         "FROM (SELECT 1)",
                         names[i], names[i]);
        assert_int_equal(sqlite3_prepare_v2(values.db, sql, -1, &statements[i], NULL), SQLITE_OK);
    }
    if (sqlite3_value_type(a) == SQLITE_NULL || sqlite3_value_type(b) == SQLITE_NULL)
        return (sqlite3_value_type(a) != SQLITE_NULL) - (sqlite3_value_type(b) != SQLITE_NULL);
    sqlite3_bind_value(statements[i], 1, a);
    sqlite3_bind_value(statements[i], 2, b);
    assert_int_equal(sqlite3_step(statements[i]), SQLITE_ROW);
    order = sqlite3_column_int(statements[i], 0);
    sqlite3_reset(statements[i]);
    return order;
}

static void
check_pair(bool as_primary)
{
    sqlite3_value *a[COLUMNS], *b[COLUMNS];
    struct tx_tuple key_a, key_b;
    int expected = 0;

    for (int i = 0; i < COLUMNS; i++) {
        const bool is_last = as_primary && i == COLUMNS - 1;

        do {
            a[i] = pool[random_below(VALUES)];
            b[i] = random_below(2) == 0 ? a[i] : pool[random_below(VALUES)];
        } while (is_last && (sqlite3_value_type(a[i]) == SQLITE_NULL ||
                             sqlite3_value_type(b[i]) == SQLITE_NULL));
    }
    encode(a, as_primary, &key_a);
    encode(b, as_primary, &key_b);
    for (int i = 0; i < COLUMNS && expected == 0; i++)
        expected = compare_column(a[i], b[i], i);
    assert_int_equal(compare_bytes(&key_a, &key_b), expected);
    tx_tuple_free(&key_a);
    tx_tuple_free(&key_b);
}

static void
the_order_of_keys_is_that_of_their_values(void **state)
{
    (void)state;
    for (int i = 0; i < 20 * TUPLES; i++)
        check_pair(i % 2 == 0);
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
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

static void
what_a_key_restores_comes_back_exactly(void **state)
{
    int restored = 0, integers = 0;

    (void)state;
    for (int n = 0; n < TUPLES; n++) {
        sqlite3_value *columns[COLUMNS];
        struct tx_tuple key, room;

        for (int i = 0; i < COLUMNS; i++)
            do
                columns[i] = pool[random_below(VALUES)];
            while (sqlite3_value_type(columns[i]) == SQLITE_NULL);
        tx_tuple_init(&room);
        encode(columns, true, &key);
        for (int i = 0; i < COLUMNS; i++) {
            struct tx_cell cell, back;
            int64_t integer;

            assert_true(tx_cell_read(columns[i], TX_AFFINITY_BLOB, &cell));
            assert_true(tx_tuple_cell((struct txkv_bytes){ key.data, key.bytes }, COLUMNS, i, &room,
                                      &back));
            if (tx_tuple_integer((struct txkv_bytes){ key.data, key.bytes }, COLUMNS, i,
                                 &integer)) {
                assert_int_equal(back.type, SQLITE_INTEGER);
                assert_true(back.integer == integer);
                integers++;
            }
            if (!tx_tuple_restores(&cell, collations[i]))
                continue;
            assert_true(same_cell(&cell, &back));
            restored++;
        }
        tx_tuple_free(&key);
        tx_tuple_free(&room);
    }
    assert_true(restored > TUPLES);
    assert_true(integers > TUPLES / 10);
}

static void
the_values_of_an_index_end_where_the_primary_key_begins(void **state)
{
    static const uint8_t primary[] = { 0x20, 0, 0xff }; /* it begins with a tag */

    (void)state;
    for (int n = 0; n < TUPLES; n++) {
        sqlite3_value *columns[COLUMNS];
        struct tx_tuple key;
        size_t bytes;

        for (int i = 0; i < COLUMNS; i++)
            columns[i] = pool[random_below(VALUES)];
        encode(columns, false, &key);
        bytes = key.bytes;
        tx_tuple_append(&key, primary, 1 + random_below(3));
        assert_ptr_equal(tx_tuple_skip(key.data, key.data + key.bytes, COLUMNS), key.data + bytes);
        assert_null(tx_tuple_skip(key.data, key.data + bytes - 1, COLUMNS));
        tx_tuple_free(&key);
    }
}

static void
a_key_that_is_too_big_keeps_its_first_bytes(void **state)
{
    static uint8_t blob[TXKV_KEY_BYTES_MAX];
    const struct tx_cell cell = { .type = SQLITE_BLOB, .data = blob, .bytes = sizeof(blob) };
    struct tx_tuple key;

    (void)state;
    memset(blob, 'x', sizeof(blob));
    tx_tuple_init(&key);
    tx_tuple_add(&key, &cell, TX_COLLATION_BINARY);
    assert_true(key.too_big);
    assert_false(key.no_memory);
    assert_int_equal(key.bytes, TXKV_KEY_BYTES_MAX);
    assert_int_equal(key.data[TXKV_KEY_BYTES_MAX - 1], 'x');
    tx_tuple_free(&key);
}

static void
a_tuple_grows_is_copied_and_cut(void **state)
{
    static uint8_t blob[70000]; /* of zeros, which take two bytes each */
    const struct tx_cell zeros = { .type = SQLITE_BLOB, .data = blob, .bytes = sizeof(blob) };
    const struct tx_cell one = { .type = SQLITE_INTEGER, .integer = 1 };
    struct tx_tuple key, copy, room;
    struct tx_cell back;

    (void)state;
    tx_tuple_init(&key);
    tx_tuple_init(&copy);
    tx_tuple_init(&room);
    tx_tuple_add(&key, &one, TX_COLLATION_BINARY);
    tx_tuple_copy(&copy, &key);
    tx_tuple_add(&copy, &zeros, TX_COLLATION_BINARY);
    assert_int_equal(copy.bytes, key.bytes + 1 + 2 * sizeof(blob) + 1);
    tx_tuple_add_last(&copy, &one, TX_COLLATION_BINARY);
    assert_false(copy.too_big || copy.no_memory);
    for (int place = 0; place < 3; place++) {
        assert_true(
            tx_tuple_cell((struct txkv_bytes){ copy.data, copy.bytes }, 3, place, &room, &back));
        assert_int_equal(back.type, place == 1 ? SQLITE_BLOB : SQLITE_INTEGER);
        assert_true(place != 1 ||
                    (back.bytes == sizeof(blob) && memcmp(back.data, blob, sizeof(blob)) == 0));
    }
    tx_tuple_cut(&copy, key.bytes);
    assert_int_equal(copy.bytes, key.bytes);
    assert_memory_equal(copy.data, key.data, key.bytes);
    tx_tuple_free(&key);
    tx_tuple_free(&copy);
    tx_tuple_free(&room);
}

static void
no_memory_for_a_long_tuple_is_told(void **state)
{
    static uint8_t blob[5000];
    const struct tx_cell cell = { .type = SQLITE_BLOB, .data = blob, .bytes = sizeof(blob) };
    struct tx_tuple key, room;
    struct tx_cell back;

    (void)state;
    memset(blob, 'x', sizeof(blob));
    tx_tuple_init(&key);
    tx_tuple_init(&room);
    sqlite3_hard_heap_limit64(sqlite3_memory_used());
    tx_tuple_add(&key, &cell, TX_COLLATION_BINARY);
    sqlite3_hard_heap_limit64(0);
    assert_true(key.no_memory);
    assert_false(key.too_big);
    tx_tuple_clear(&key);
    tx_tuple_add(&key, &cell, TX_COLLATION_BINARY);
    tx_tuple_add_last(&key, &cell, TX_COLLATION_BINARY);
    assert_false(key.no_memory);
    sqlite3_hard_heap_limit64(sqlite3_memory_used());
    assert_false(tx_tuple_cell((struct txkv_bytes){ key.data, key.bytes }, 2, 0, &room, &back));
    sqlite3_hard_heap_limit64(0);
    assert_true(room.no_memory);
    assert_true(tx_tuple_cell((struct txkv_bytes){ key.data, key.bytes }, 2, 0, &room, &back));
    assert_int_equal(back.bytes, sizeof(blob));
    tx_tuple_free(&key);
    tx_tuple_free(&room);
}

static void
assert_bytes(const struct tx_tuple *key, const char *expected, size_t bytes)
{
    assert_int_equal(key->bytes, bytes);
    assert_memory_equal(key->data, expected, bytes);
}

static struct tx_cell
text_cell(const char *text)
{
    return (struct tx_cell){ .type = SQLITE_TEXT,
                             .data = (const uint8_t *)text,
                             .bytes = strlen(text) };
}

static void
the_bytes_of_a_tuple_are_those_of_the_file_format(void **state)
{
    const struct tx_cell seven = { .type = SQLITE_INTEGER, .integer = 7 };
    const struct tx_cell one = { .type = SQLITE_INTEGER, .integer = 1 };
    const struct tx_cell zero = { .type = SQLITE_BLOB, .data = (const uint8_t *)"", .bytes = 1 };
    const struct tx_cell null = { .type = SQLITE_NULL };
    struct tx_cell text = text_cell("a");
    struct tx_tuple key;

    (void)state;
    tx_tuple_init(&key);
    tx_tuple_add(&key, &text, TX_COLLATION_BINARY);
    tx_tuple_add_last(&key, &seven, TX_COLLATION_BINARY);
    assert_bytes(&key, "\x20\x61\x00\x15\x07", 5);
    tx_tuple_clear(&key);
    tx_tuple_add(&key, &zero, TX_COLLATION_BINARY);
    text = text_cell("b");
    tx_tuple_add_last(&key, &text, TX_COLLATION_BINARY);
    assert_bytes(&key, "\x30\x00\xff\x00\x20\x62", 6);
    tx_tuple_clear(&key);
    text = text_cell("Ab");
    tx_tuple_add(&key, &text, TX_COLLATION_NOCASE);
    tx_tuple_add_last(&key, &one, TX_COLLATION_BINARY);
    assert_bytes(&key, "\x20\x61\x62\x00\x15\x01", 6);
    tx_tuple_clear(&key);
    tx_tuple_add(&key, &null, TX_COLLATION_BINARY);
    text = text_cell("a  ");
    tx_tuple_add_last(&key, &text, TX_COLLATION_RTRIM);
    assert_bytes(&key, "\x08\x00\x20\x61", 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_keys_is_that_of_their_values),
        cmocka_unit_test(what_a_key_restores_comes_back_exactly),
        cmocka_unit_test(the_values_of_an_index_end_where_the_primary_key_begins),
        cmocka_unit_test(the_bytes_of_a_tuple_are_those_of_the_file_format),
        cmocka_unit_test(a_key_that_is_too_big_keeps_its_first_bytes),
        cmocka_unit_test(a_tuple_grows_is_copied_and_cut),
        cmocka_unit_test(no_memory_for_a_long_tuple_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
