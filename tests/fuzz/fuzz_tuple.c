/*
 * fuzz_tuple.c - any bytes as a key of several values: each value is refused, or found within the
 * key; and bytes as values become keys whose parts are found again.
 *
 * Input: a byte of how many values, then the key.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef SQLITE_CORE
#define SQLITE_CORE 1
#endif
#include "../../ext/tuple.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

/* The input as two blobs: both come back. */
static void
check_round_trip(const uint8_t *data, size_t size)
{
    const size_t half = size / 2;
    const struct tx_cell first = { .type = SQLITE_BLOB, .data = data, .bytes = half };
    const struct tx_cell last = { .type = SQLITE_BLOB, .data = data + half, .bytes = size - half };
    struct tx_tuple key, room;
    struct tx_cell back;

    tx_tuple_init(&key);
    tx_tuple_init(&room);
    tx_tuple_add(&key, &first, TX_COLLATION_BINARY);
    tx_tuple_add_last(&key, &last, TX_COLLATION_BINARY);
    if (key.too_big || key.no_memory) {
        tx_tuple_free(&key);
        return;
    }
    check(tx_tuple_cell((struct txkv_bytes){ key.data, key.bytes }, 2, 0, &room, &back));
    check(back.bytes == first.bytes && memcmp(back.data, first.data, back.bytes) == 0);
    check(tx_tuple_cell((struct txkv_bytes){ key.data, key.bytes }, 2, 1, &room, &back));
    check(back.bytes == last.bytes && memcmp(back.data, last.data, back.bytes) == 0);
    tx_tuple_free(&key);
    tx_tuple_free(&room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tx_tuple room;
    struct tx_cell cell;
    int count;

    if (size == 0)
        return 0;
    count = 1 + data[0] % 10;
    tx_tuple_init(&room);
    for (int i = 0; i < count; i++)
        if (tx_tuple_cell((struct txkv_bytes){ data + 1, size - 1 }, count, i, &room, &cell) &&
            (cell.type == SQLITE_TEXT || cell.type == SQLITE_BLOB))
            check(cell.bytes < size);
    tx_tuple_free(&room);
    check_round_trip(data + 1, size - 1);
    return 0;
}
