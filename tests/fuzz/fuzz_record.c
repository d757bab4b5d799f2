/*
 * fuzz_record.c - arbitrary bytes into everything that decodes a log record.
 *
 * Checksums would keep a fuzzer out of the inner decoders, so those are called on the bytes
 * directly too, and the bytes also become the body of a well-formed record, which must decode to
 * itself.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
require(bool condition)
{
    if (!condition)
        abort();
}

/* Reads all of [p, p + bytes), so that a sanitizer sees a range that is not there. */
static void
touch(const uint8_t *p, size_t bytes)
{
    static volatile uint8_t sink;

    for (size_t i = 0; i < bytes; i++)
        sink ^= p[i];
    (void)sink;
}

static void
read_operations(const uint8_t *p, const uint8_t *end)
{
    struct tx_op op;
    const uint8_t *before = p;

    while (tx_op_next(&p, end, &op) == TXKV_OK) {
        require(p > before && p <= end && op.key_bytes > 0);
        touch(op.key, op.key_bytes);
        touch(op.value, op.value_bytes);
        before = p;
    }
    require(p == before);
}

/* A body that is a note and operations, or a decision. */
static void
read_prepared(const struct tx_record *record)
{
    struct txkv_bytes note;
    struct tx_record txn;

    if (tx_record_decides(record)) {
        (void)tx_decision_lsn(record);
    } else if (tx_prepared_decode(record, &note, &txn) == TXKV_OK) {
        touch(note.data, note.bytes);
        read_operations(txn.body, txn.body + txn.body_bytes);
        require(txn.body + txn.body_bytes == record->body + record->body_bytes);
    }
}

static void
round_trip(const uint8_t *data, uint32_t bytes)
{
    const uint64_t length = tx_record_length(bytes);
    uint8_t *record = malloc(length);
    struct tx_record out;

    require(record != NULL);
    if (bytes > 0)
        memcpy(record + TX_RECORD_HEADER_BYTES, data, bytes);
    tx_record_finish_body(record, TX_RECORD_TXN, bytes, 1);
    (void)tx_record_finish_header(record, 64, 8, 7, 1);
    require(tx_record_decode(record, record + length, 1, &out) == TX_RECORD_INTACT);
    require(out.body_bytes == bytes && out.lsn == 64);
    record[bytes % length] ^= 0x10;
    require(tx_record_decode(record, record + length, 1, &out) == TX_RECORD_DAMAGED);
    free(record);
}

static void
read_changes(enum tx_record_type type, const uint8_t *p, const uint8_t *end)
{
    struct tx_table_change change;

    while (tx_table_change_next(type, &p, end, &change) == TXKV_OK)
        if (change.name != NULL)
            touch((const uint8_t *)change.name, change.name_bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct tx_record whole = { .body = data, .body_bytes = (uint32_t)bytes };
    struct tx_record record;
    struct tx_table_def def;

    if (bytes > 1 << 20)
        return 0;
    if (tx_record_decode(data, data + bytes, 1, &record) == TX_RECORD_INTACT) {
        read_operations(record.body, record.body + record.body_bytes);
        read_prepared(&record);
    }
    read_prepared(&whole);
    read_operations(data, data + bytes);
    if (tx_table_entry_decode(data, (uint32_t)bytes, &def) == TXKV_OK) {
        touch((const uint8_t *)def.name, def.name_bytes);
        touch((const uint8_t *)def.shape, def.shape_bytes);
    }
    read_changes(TX_RECORD_DROPPED, data, data + bytes);
    read_changes(TX_RECORD_RENAMED, data, data + bytes);
    round_trip(data, (uint32_t)bytes);
    return 0;
}
