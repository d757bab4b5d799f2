/*
 * fuzz_keycodec.c - any bytes as a key: they are refused, or they are a value whose key is exactly
 * these bytes with this note.
 *
 * Input: a byte of note, then the key.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/sqlite_values.h"

#include "../../ext/keycodec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *key;
    size_t bytes;
    enum tx_key_note note;
};

static struct input input;

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static void
call_decode(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    if (!tx_key_result(context, input.key, input.bytes, input.note))
        sqlite3_result_error(context, "no key", -1);
}

static sqlite3_stmt *
prepare_once(void)
{
    static struct values values;
    static sqlite3_stmt *decode;

    if (decode != NULL)
        return decode;
    check(values_open(&values, "UTF-8"));
    check(sqlite3_create_function(values.db, "decode", 0, SQLITE_UTF8, NULL, call_decode, NULL,
                                  NULL) == SQLITE_OK);
    check(sqlite3_prepare_v2(values.db, "SELECT decode()", -1, &decode, NULL) == SQLITE_OK);
    return decode;
}

static void
check_description(void)
{
    const size_t bytes = 32 + input.bytes % 32;
    char *text = malloc(bytes);

    if (text == NULL)
        return;
    tx_key_describe(input.key, input.bytes, text, bytes);
    check(memchr(text, '\0', bytes) != NULL);
    free(text);
}

/* The short way gives integers, all but the least, as the long one does. */
static void
check_integer(void)
{
    struct tx_cell cell = { .type = SQLITE_NULL };
    const bool is_integer =
        tx_key_cell(input.key, input.bytes, TX_KEY_AS_IS, &cell) && cell.type == SQLITE_INTEGER;
    int64_t integer;

    check(tx_key_integer(input.key, input.bytes, &integer) ==
          (is_integer && cell.integer != INT64_MIN));
    check(!is_integer || cell.integer == integer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqlite3_stmt *decode = prepare_once();
    sqlite3_value *value;
    struct tx_keybuf key;

    if (size == 0)
        return 0;
    input = (struct input){ data + 1, size - 1, (enum tx_key_note)(data[0] & 3) };
    check_description();
    check_integer();
    value = value_of_statement(decode);
    if (value == NULL)
        return 0;
    check(tx_key_encode(value, &key) == TX_KEY_OK);
    check(key.bytes == input.bytes && memcmp(key.data, input.key, key.bytes) == 0);
    check(key.note == input.note);
    tx_key_free(&key);
    sqlite3_value_free(value);
    return 0;
}
