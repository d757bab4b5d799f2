/*
 * test_ext_keycodec.c - keys: the order of their bytes is SQLite's order of the values, and each
 * comes back as it was.
 *
 * SQLite itself is the judge: two bound values without affinity are compared by a statement.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/keycodec.h"

enum { ITEMS_MAX = 16384, RANDOM_NUMBERS = 1000, RANDOM_PAIRS = 100000 };

struct item {
    sqlite3_value *value;
    struct tx_keybuf key;
};

static struct values values;
static sqlite3_stmt *compare, *decode;
static struct item *items;
static size_t item_count;

static void
add(sqlite3_value *value)
{
    assert_non_null(value);
    assert_true(item_count < ITEMS_MAX);
    items[item_count++].value = value;
}

/* A real and its neighbours. */
static void
add_real(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    for (uint64_t near = bits - (bits != 0); near <= bits + 1; near++) {
        memcpy(&d, &near, sizeof(d));
        if (!isnan(d))
            add(value_real(&values, d));
    }
}

/* The integer, and the double nearest to it with its neighbours. */
static void
add_number(int64_t v)
{
    add(value_int(&values, v));
    add_real((double)v);
}

/* Integers of all lengths, and reals around them and of all exponents. */
static void
add_random_numbers(void)
{
    for (int i = 0; i < RANDOM_NUMBERS; i++) {
        const uint64_t bits = (uint64_t)random_below(SIZE_MAX) << 1;
        const int64_t v = (int64_t)bits >> random_below(64);
        double real;

        add_number(v);
        add_real((double)v + (double)random_below(65536) / 65536);
        memcpy(&real, &bits, sizeof(real));
        add_real(real);
    }
}

static void
add_numbers(void)
{
    static const double reals[] = {
        0,     0.5,   0x1p-1074, 0x1p-1022, 0x1p63,   0x1p64,
        1e300, 0.1,   1e15,      0x1.8p62,  0x1p1023, 1.5,
        255.5, 256.5, 0x1p-52,   0x1p-51,   65535.5,  (double)INFINITY
    };

    for (int power = 0; power < 63; power++) {
        for (int64_t near = -2; near <= 2; near++) {
            add_number((INT64_C(1) << power) + near);
            add_number(-(INT64_C(1) << power) + near);
        }
    }
    for (int64_t near = 0; near <= 2; near++) {
        add_number(INT64_MAX - near);
        add_number(INT64_MIN + near);
        add_number(INT64_MAX - 1023 - near);
        add_number(INT64_MIN + 1023 + near);
    }
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++)
        for (int sign = -1; sign <= 1; sign += 2)
            add_real(sign * reals[i]);
    add_random_numbers();
}

/* Strings of a few bytes that matter, so that many are prefixes of one another. */
static void
add_strings(void)
{
    static const char alphabet[] = { '\0', '\x10', '\x20', 'a', '\x7f', '\xc3', '\xa9', '\xff' };
    char string[4];

    for (int i = 0; i < 300; i++) {
        const size_t bytes = random_below(5);

        for (size_t j = 0; j < bytes; j++)
            string[j] = alphabet[random_below(sizeof(alphabet))];
        add(value_text(&values, string, bytes));
        add(value_blob(&values, string, bytes));
    }
    for (size_t bytes = TX_KEY_OWN_BYTES - 3; bytes < TX_KEY_OWN_BYTES + 3; bytes++) {
        static char whole[70000];

        memset(whole, 'k', sizeof(whole));
        add(value_text(&values, whole, bytes));
        add(value_blob(&values, whole, bytes));
        whole[bytes * 100] = 'l';
        add(value_text(&values, whole, sizeof(whole)));
    }
    add(value_text(&values, "\xf4\x8f\xbf\xbf", 4));
    add(value_text(&values, "\xef\xbf\xbd", 3));
}

/* decode(x): x encoded and decoded again. decode(blob, note): the key that the blob is. */
static void
call_decode(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_keybuf key;
    bool good;

    if (argc == 2) {
        good = tx_key_result(context, sqlite3_value_blob(argv[0]),
                             (size_t)sqlite3_value_bytes(argv[0]),
                             (enum tx_key_note)sqlite3_value_int(argv[1]));
    } else {
        good = tx_key_encode(argv[0], &key) == TX_KEY_OK &&
               tx_key_result(context, key.data, key.bytes, key.note);
        tx_key_free(&key);
    }
    if (!good)
        sqlite3_result_error(context, "no key", -1);
}

static int
set_up(void **state)
{
    (void)state;
    items = calloc(ITEMS_MAX, sizeof(*items));
    assert_non_null(items);
    assert_true(values_open(&values, "UTF-8"));
    assert_int_equal(sqlite3_create_function(values.db, "decode", -1, SQLITE_UTF8, NULL,
                                             call_decode, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT ?1 < ?2, ?1 = ?2", -1, &compare, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT decode(?1)", -1, &decode, NULL),
                     SQLITE_OK);
    add_numbers();
    add_strings();
    for (size_t i = 0; i < item_count; i++)
        assert_int_equal(tx_key_encode(items[i].value, &items[i].key), TX_KEY_OK);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < item_count; i++) {
        sqlite3_value_free(items[i].value);
        if (items[i].key.bytes > TX_KEY_OWN_BYTES)
            sqlite3_free(items[i].key.data);
    }
    free(items);
    sqlite3_finalize(compare);
    sqlite3_finalize(decode);
    values_close(&values);
    return 0;
}

/* Of an item that has been moved. */
static const uint8_t *
data_of(const struct tx_keybuf *key)
{
    return key->bytes <= TX_KEY_OWN_BYTES ? key->own : key->data;
}

/* The order of a store: memcmp, the shorter first. */
static int
order_of_bytes(const void *x, const void *y)
{
    const struct tx_keybuf *a = &((const struct item *)x)->key, *b = &((const struct item *)y)->key;
    const int order = memcmp(data_of(a), data_of(b), a->bytes < b->bytes ? a->bytes : b->bytes);

    if (order != 0)
        return order < 0 ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int
order_of_sqlite(sqlite3_value *a, sqlite3_value *b)
{
    int order;

    sqlite3_bind_value(compare, 1, a);
    sqlite3_bind_value(compare, 2, b);
    assert_int_equal(sqlite3_step(compare), SQLITE_ROW);
    if (sqlite3_column_int(compare, 0))
        order = -1;
    else
        order = sqlite3_column_int(compare, 1) ? 0 : 1;
    sqlite3_reset(compare);
    return order;
}

static void
assert_same_order(const struct item *a, const struct item *b)
{
    const int order = order_of_bytes(a, b);
    char a_text[64], b_text[64];

    if (order_of_sqlite(a->value, b->value) == order)
        return;
    tx_key_describe(data_of(&a->key), a->key.bytes, a_text, sizeof(a_text));
    tx_key_describe(data_of(&b->key), b->key.bytes, b_text, sizeof(b_text));
    fail_msg("the keys of %s and %s order as %d, the values do not", a_text, b_text, order);
}

/*
 * Goal: for all values, memcmp of the keys is SQLite's comparison of the values.
 * Method: sort by key; SQLite must agree on every two neighbours, and so, its order being
 * transitive, on all. Random pairs in both directions besides.
 */
static void
keys_order_as_sqlite_orders_the_values(void **state)
{
    (void)state;
    qsort(items, item_count, sizeof(*items), order_of_bytes);
    for (size_t i = 1; i < item_count; i++)
        assert_same_order(&items[i - 1], &items[i]);
    for (int i = 0; i < RANDOM_PAIRS; i++)
        assert_same_order(&items[random_below(item_count)], &items[random_below(item_count)]);
}

static void
every_value_comes_back_with_its_type_and_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < item_count; i++) {
        sqlite3_value *back;
        char text[64];

        sqlite3_bind_value(decode, 1, items[i].value);
        back = value_of_statement(decode);
        tx_key_describe(data_of(&items[i].key), items[i].key.bytes, text, sizeof(text));
        if (back == NULL || !same_value(items[i].value, back))
            fail_msg("%s does not come back as it was", text);
        sqlite3_value_free(back);
    }
}

static void
assert_encoding(sqlite3_value *value, enum tx_key_note note, const char *expected, size_t bytes)
{
    struct tx_keybuf key;

    assert_int_equal(tx_key_encode(value, &key), TX_KEY_OK);
    assert_int_equal(key.bytes, bytes);
    assert_memory_equal(key.data, expected, bytes);
    assert_int_equal(key.note, note);
    tx_key_free(&key);
    sqlite3_value_free(value);
}

#define ENCODES(value, note, literal) assert_encoding(value, note, literal, sizeof(literal) - 1)

static void
the_bytes_of_a_key_are_those_of_the_file_format(void **state)
{
    const int64_t beyond = (INT64_C(1) << 53) + 1;

    (void)state;
    ENCODES(value_int(&values, 0), TX_KEY_AS_IS, "\x14");
    ENCODES(value_real(&values, -0.0), TX_KEY_MINUS_ZERO, "\x14");
    ENCODES(value_int(&values, 1), TX_KEY_AS_IS, "\x15\x01");
    ENCODES(value_real(&values, 1), TX_KEY_REAL, "\x15\x01");
    ENCODES(value_int(&values, 255), TX_KEY_AS_IS, "\x15\xff");
    ENCODES(value_int(&values, 256), TX_KEY_AS_IS, "\x16\x01\0");
    ENCODES(value_int(&values, beyond), TX_KEY_AS_IS, "\x1b\x20\0\0\0\0\0\x01");
    ENCODES(value_int(&values, INT64_MAX), TX_KEY_AS_IS, "\x1c\x7f\xff\xff\xff\xff\xff\xff\xff");
    ENCODES(value_int(&values, -1), TX_KEY_AS_IS, "\x12\xff");
    ENCODES(value_int(&values, -256), TX_KEY_AS_IS, "\x12\0");
    ENCODES(value_int(&values, -257), TX_KEY_AS_IS, "\x11\xfe\xff");
    ENCODES(value_int(&values, INT64_MIN), TX_KEY_AS_IS, "\x0b\x80\0\0\0\0\0\0\0");
    ENCODES(value_real(&values, -0x1p63), TX_KEY_REAL, "\x0b\x80\0\0\0\0\0\0\0");
    ENCODES(value_real(&values, 1.5), TX_KEY_AS_IS, "\x15\x01\x80");
    ENCODES(value_real(&values, -1.5), TX_KEY_AS_IS, "\x12\xfe\x80");
    ENCODES(value_real(&values, 1 + 0x1p-52), TX_KEY_AS_IS, "\x15\x01\0\0\0\0\0\0\x10");
    ENCODES(value_real(&values, -1 - 0x1p-52), TX_KEY_AS_IS,
            "\x12\xfe\xff\xff\xff\xff\xff\xff\xf0");
    ENCODES(value_real(&values, 19.99), TX_KEY_AS_IS, "\x15\x13\xfd\x70\xa3\xd7\x0a\x3d");
    ENCODES(value_real(&values, 0.5), TX_KEY_AS_IS, "\x14\x3f\xe0");
    ENCODES(value_real(&values, -0.5), TX_KEY_AS_IS, "\x13\xc0\x20");
    ENCODES(value_real(&values, 0x1p-1074), TX_KEY_AS_IS, "\x14\0\0\0\0\0\0\0\x01");
    ENCODES(value_real(&values, 0x1p63), TX_KEY_AS_IS, "\x1d\x43\xe0");
    ENCODES(value_real(&values, (double)INFINITY), TX_KEY_AS_IS, "\x1d\x7f\xf0");
    ENCODES(value_real(&values, -0x1p64), TX_KEY_AS_IS, "\x0a\xbc\x10");
    ENCODES(value_real(&values, -(double)INFINITY), TX_KEY_AS_IS, "\x0a\x80\x10");
    ENCODES(value_text(&values, "", 0), TX_KEY_AS_IS, "\x20");
    ENCODES(value_text(&values, "a\0", 2), TX_KEY_AS_IS, "\x20\x61\0");
    ENCODES(value_blob(&values, NULL, 0), TX_KEY_AS_IS, "\x30");
    ENCODES(value_blob(&values, "\0\0", 2), TX_KEY_AS_IS, "\x30\0\0");
}

static void
a_null_is_no_key(void **state)
{
    sqlite3_value *null = value_null(&values);
    struct tx_keybuf key;

    (void)state;
    assert_non_null(null);
    assert_int_equal(tx_key_encode(null, &key), TX_KEY_NULL);
    sqlite3_value_free(null);
}

static void
text_that_sqlite_holds_as_utf16_has_the_key_of_its_utf8(void **state)
{
    static const uint16_t text16[] = { 'n', 0xe9, 0, 0xd83d, 0xde00 };
    struct values utf16;

    (void)state;
    assert_true(values_open(&utf16, "UTF-16"));
    ENCODES(value_text16(&utf16, text16, sizeof(text16)), TX_KEY_AS_IS,
            "\x20n\xc3\xa9\0\xf0\x9f\x98\x80");
    values_close(&utf16);
}

/*
 * Goal: a key that is too long still stands where it belongs among the stored ones.
 * Method: the longest keys around it are compared with it by SQLite and by the cut bytes.
 */
static void
a_key_that_is_too_long_is_cut_to_a_bound(void **state)
{
    static char longest[TXKV_KEY_BYTES_MAX - 1], whole[TXKV_KEY_BYTES_MAX + 100];
    struct item at, bound;

    (void)state;
    memset(whole, 'k', sizeof(whole));
    bound.value = value_text(&values, whole, sizeof(whole));
    assert_int_equal(tx_key_encode(bound.value, &bound.key), TX_KEY_TOOBIG);
    assert_int_equal(bound.key.bytes, TXKV_KEY_BYTES_MAX);
    for (int last = 'k' - 1; last <= 'k' + 1; last++) {
        memset(longest, 'k', sizeof(longest));
        longest[sizeof(longest) - 1] = (char)last;
        at.value = value_text(&values, longest, sizeof(longest));
        assert_int_equal(tx_key_encode(at.value, &at.key), TX_KEY_OK);
        assert_int_equal(at.key.bytes, TXKV_KEY_BYTES_MAX);
        if (order_of_sqlite(at.value, bound.value) < 0)
            assert_true(order_of_bytes(&at, &bound) <= 0);
        else
            assert_true(order_of_bytes(&at, &bound) > 0);
        sqlite3_value_free(at.value);
        tx_key_free(&at.key);
    }
    sqlite3_value_free(bound.value);
    tx_key_free(&bound.key);
}

static bool
decodes(const char *key, size_t bytes, int note)
{
    sqlite3_stmt *statement;
    bool good;

    assert_int_equal(sqlite3_prepare_v2(values.db, "SELECT decode(?1, ?2)", -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_blob(statement, 1, key, (int)bytes, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, note);
    good = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return good;
}

#define DECODES(literal, note) decodes(literal, sizeof(literal) - 1, note)

static void
bytes_that_no_value_has_are_refused(void **state)
{
    static char longer[TXKV_KEY_BYTES_MAX + 1] = { '\x20' };

    (void)state;
    assert_false(DECODES("", 0));
    assert_false(DECODES("\x09", 0));
    assert_false(DECODES("\x1e\x01", 0));
    assert_false(DECODES("\x14\0", 0)); /* a trailing zero */
    assert_false(DECODES("\x15\0", 0)); /* 0 has no bytes */
    assert_false(DECODES("\x15", 0));   /* fewer than it says */
    assert_false(DECODES("\x16\x01", 0));
    assert_false(DECODES("\x16\0\x01", 0)); /* more than it takes */
    assert_false(DECODES("\x11\xff\x01", 0));
    assert_false(DECODES("\x1c\x80\0\0\0\0\0\0\0", 0)); /* beyond int64 */
    assert_false(DECODES("\x0b\x7f\xff\xff\xff\xff\xff\xff\xff", 0));
    assert_false(DECODES("\x15\x01\x80\0", 0));           /* a trailing zero */
    assert_false(DECODES("\x12\xff\x80", 0));             /* -0.5 is 13 */
    assert_false(DECODES("\x15\x01\0\0\0\0\0\0\x18", 0)); /* between two doubles */
    assert_false(DECODES("\x15\x02\0\0\0\0\0\0\x10", 0));
    assert_false(DECODES("\x1b\x20\0\0\0\0\0\0\x80", 0));   /* 2^53 and a half */
    assert_false(DECODES("\x15\x01\0\0\0\0\0\0\0\x01", 0)); /* one byte more */
    assert_false(DECODES("\x14\x3f\xf0", 0));               /* 1.0 as bits */
    assert_false(DECODES("\x14\x80", 0));                   /* -0.0 */
    assert_false(DECODES("\x14\xbf\xe0", 0));               /* -0.5 */
    assert_false(DECODES("\x13", 0));
    assert_false(DECODES("\x13\xc0\x10", 0));                         /* -1.0 as bits */
    assert_false(DECODES("\x13\x40\x20", 0));                         /* 0.5 */
    assert_false(DECODES("\x13\x80", 0));                             /* -0.0 */
    assert_false(DECODES("\x1d\x43\xdf\xff\xff\xff\xff\xff\xff", 0)); /* below 2^63 */
    assert_false(DECODES("\x1d\x7f\xf8", 0));                         /* NaN */
    assert_false(DECODES("\x0a\xbc\x20", 0));                         /* -2^63 as bits */
    assert_false(DECODES("\x0a\x80\x08", 0));                         /* NaN */
    assert_true(decodes(longer, TXKV_KEY_BYTES_MAX, 0));
    assert_false(decodes(longer, TXKV_KEY_BYTES_MAX + 1, 0));
}

static void
a_note_that_does_not_fit_the_key_is_refused(void **state)
{
    (void)state;
    assert_true(DECODES("\x15\x01", TX_KEY_REAL));
    assert_false(DECODES("\x15\x01", TX_KEY_MINUS_ZERO));
    assert_false(DECODES("\x15\x01", 3));
    assert_true(DECODES("\x14", TX_KEY_MINUS_ZERO));
    assert_false(DECODES("\x14\x3f\xe0", TX_KEY_REAL));
    assert_false(DECODES("\x14\x3f\xe0", TX_KEY_MINUS_ZERO));
    assert_false(DECODES("\x1b\x20\0\0\0\0\0\x01", TX_KEY_REAL)); /* 2^53 + 1 */
    assert_false(DECODES("\x1c\x7f\xff\xff\xff\xff\xff\xff\xff", TX_KEY_REAL));
    assert_false(DECODES("\x1d\x43\xe0", TX_KEY_REAL));
    assert_false(DECODES("\x20", TX_KEY_REAL));
    assert_false(DECODES("\x30", TX_KEY_MINUS_ZERO));
}

/* Encodes the argument while SQLite may allocate nothing more. */
static void
call_encode_without_memory(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct tx_keybuf key;
    enum tx_key_rc rc;

    (void)argc;
    sqlite3_hard_heap_limit64(sqlite3_memory_used());
    rc = tx_key_encode(argv[0], &key);
    sqlite3_hard_heap_limit64(0);
    tx_key_free(&key);
    *(enum tx_key_rc *)sqlite3_user_data(context) = rc;
}

static void
running_out_of_memory_while_converting_is_told(void **state)
{
    static uint16_t text16[50000];
    enum tx_key_rc rc = TX_KEY_OK;
    sqlite3_stmt *statement;
    struct values utf16;

    (void)state;
    assert_true(values_open(&utf16, "UTF-16"));
    for (size_t i = 0; i < sizeof(text16) / sizeof(text16[0]); i++)
        text16[i] = 0xe9;
    assert_int_equal(sqlite3_create_function(utf16.db, "starve", 1, SQLITE_UTF16, &rc,
                                             call_encode_without_memory, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(utf16.db, "SELECT starve(?1)", -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text16(statement, 1, text16, sizeof(text16), SQLITE_STATIC);
    (void)sqlite3_step(statement);
    assert_int_equal(rc, TX_KEY_NOMEM);
    sqlite3_reset(statement);
    rc = TX_KEY_OK;
    sqlite3_bind_zeroblob(statement, 1, 100000);
    (void)sqlite3_step(statement);
    assert_int_equal(rc, TX_KEY_NOMEM);
    sqlite3_reset(statement);
    rc = TX_KEY_OK;
    sqlite3_bind_blob(statement, 1, text16, sizeof(text16), SQLITE_STATIC); /* the key's own room */
    (void)sqlite3_step(statement);
    assert_int_equal(rc, TX_KEY_NOMEM);
    sqlite3_finalize(statement);
    values_close(&utf16);
}

static void
assert_description(sqlite3_value *value, const char *expected)
{
    struct tx_keybuf key;
    char *out = malloc(32); /* so that the sanitizer sees a byte too much */

    assert_non_null(out);
    (void)tx_key_encode(value, &key);
    tx_key_describe(key.data, key.bytes, out, 32);
    assert_string_equal(out, expected);
    free(out);
    sqlite3_value_free(value);
}

/* Goal: what spares a cell gives all integers but the least, which the row may have as a real. */
static void
an_integer_is_read_without_a_cell(void **state)
{
    size_t found = 0;

    (void)state;
    for (size_t i = 0; i < item_count; i++) {
        const struct tx_keybuf *key = &items[i].key;
        const bool is_integer = sqlite3_value_type(items[i].value) == SQLITE_INTEGER;
        int64_t integer;

        if (!tx_key_integer(data_of(key), key->bytes, &integer)) {
            assert_true(!is_integer || sqlite3_value_int64(items[i].value) == INT64_MIN);
            continue;
        }
        found++;
        assert_int_not_equal(integer, INT64_MIN);
        assert_true(is_integer || key->note != TX_KEY_AS_IS);
        assert_true(!is_integer || integer == sqlite3_value_int64(items[i].value));
    }
    assert_in_range(found, 100, item_count - 100);
}

/* Goal: an integer takes a byte more than its own bytes, and no number takes more than 9. */
static void
numbers_are_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < item_count; i++) {
        const int type = sqlite3_value_type(items[i].value);
        const int64_t v = sqlite3_value_int64(items[i].value);
        uint32_t bytes = v == 0 ? 1 : 2;

        for (uint64_t left = (uint64_t)(v < 0 ? ~v : v) >> 8; left != 0; left >>= 8)
            bytes++;
        if (type == SQLITE_INTEGER)
            assert_int_equal(items[i].key.bytes, bytes);
        else if (type == SQLITE_FLOAT)
            assert_in_range(items[i].key.bytes, 1, 9);
    }
}

static void
a_key_is_described_in_words_and_cut_between_characters(void **state)
{
    char out[32];

    (void)state;
    assert_description(value_int(&values, INT64_MIN), "-9223372036854775808");
    assert_description(value_real(&values, 0.1), "0.1");
    assert_description(value_text(&values, "it's\n\0x", 7), "'it''s??x'");
    assert_description(value_blob(&values, "\0\xff", 2), "x'00ff'");
    assert_description(value_text(&values, "0123456789012345678901234567890123456789", 40),
                       "'0123456789012345678901234'...");
    assert_description(value_text(&values, "012345678901234567890123\xe2\x82\xac!!", 29),
                       "'012345678901234567890123'...");
    assert_description(value_blob(&values, "abcdefghijklmnopqrst", 20),
                       "x'6162636465666768696a6b6c'...");
    tx_key_describe((const uint8_t *)"\x15\x80\0", 3, out, sizeof(out));
    assert_string_equal(out, "damaged key x'158000'");
    tx_key_describe(NULL, 0, out, sizeof(out));
    assert_string_equal(out, "damaged key x''");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_order_as_sqlite_orders_the_values),
        cmocka_unit_test(every_value_comes_back_with_its_type_and_bits),
        cmocka_unit_test(the_bytes_of_a_key_are_those_of_the_file_format),
        cmocka_unit_test(a_null_is_no_key),
        cmocka_unit_test(text_that_sqlite_holds_as_utf16_has_the_key_of_its_utf8),
        cmocka_unit_test(a_key_that_is_too_long_is_cut_to_a_bound),
        cmocka_unit_test(bytes_that_no_value_has_are_refused),
        cmocka_unit_test(a_note_that_does_not_fit_the_key_is_refused),
        cmocka_unit_test(running_out_of_memory_while_converting_is_told),
        cmocka_unit_test(an_integer_is_read_without_a_cell),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(a_key_is_described_in_words_and_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
