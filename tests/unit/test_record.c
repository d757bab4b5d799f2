/*
 * test_record.c - encoding, and a decoder that trusts nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/bytes.h"
#include "../../src/record.h"

#define SEED UINT64_C(0x1234567890abcdef)

/* A finished record with a body of that many bytes; returns its length. */
static uint32_t
make_record(uint8_t *at, uint32_t body_bytes)
{
    for (uint32_t i = 0; i < body_bytes; i++)
        at[TX_RECORD_HEADER_BYTES + i] = (uint8_t)(i * 7 + 1);
    tx_record_finish_body(at, TX_RECORD_TXN, body_bytes, SEED);
    (void)tx_record_finish_header(at, 4096, 64, 99, SEED);
    return (uint32_t)tx_record_length(body_bytes);
}

static void
a_record_decodes_to_what_was_encoded(void **state)
{
    uint8_t buffer[200];

    (void)state;
    for (uint32_t body = 0; body < 40; body++) {
        struct tx_record r;
        uint32_t length;

        memset(buffer, 0xee, sizeof buffer);
        length = make_record(buffer, body);
        assert_int_equal(length % 8, 0);
        assert_int_equal(buffer[length], 0xee);
        assert_int_equal(tx_record_decode(buffer, buffer + length, SEED, &r), TX_RECORD_INTACT);
        assert_int_equal(r.length, length);
        assert_int_equal(r.body_bytes, body);
        assert_ptr_equal(r.body, buffer + TX_RECORD_HEADER_BYTES);
        assert_int_equal(r.type, TX_RECORD_TXN);
        assert_int_equal(r.lsn, 4096);
        assert_int_equal(r.durable_lsn, 64);
        assert_int_equal(r.prev_check, 99);
        assert_int_equal(r.check, tx_get_u64(buffer));
    }
}

/* Goal: no bit of a record, padding included, is without protection. */
static void
a_flip_of_any_bit_is_noticed(void **state)
{
    uint8_t buffer[128] = { 0 };
    const uint32_t length = make_record(buffer, 21);
    struct tx_record r;

    (void)state;
    for (uint32_t bit = 0; bit < length * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(tx_record_decode(buffer, buffer + sizeof buffer, SEED, &r),
                         TX_RECORD_DAMAGED);
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(tx_record_decode(buffer, buffer + sizeof buffer, SEED + 1, &r),
                     TX_RECORD_DAMAGED);
}

/* Method: each shorter copy stands at the end of its own allocation, where a sanitizer watches. */
static void
a_record_that_the_buffer_cuts_off_is_not_intact(void **state)
{
    uint8_t buffer[128] = { 0 };
    const uint32_t length = make_record(buffer, 21);

    (void)state;
    for (uint32_t left = 0; left < length; left++) {
        uint8_t *copy = malloc(left + 1);
        struct tx_record r;

        assert_non_null(copy);
        memcpy(copy + 1, buffer, left);
        assert_int_equal(tx_record_decode(copy + 1, copy + 1 + left, SEED, &r),
                         left < TX_RECORD_HEADER_BYTES ? TX_RECORD_ABSENT : TX_RECORD_DAMAGED);
        free(copy);
    }
}

static void
zeros_are_absent(void **state)
{
    const uint8_t zeros[64] = { 0 };
    struct tx_record r;

    (void)state;
    assert_int_equal(tx_record_decode(zeros, zeros + sizeof zeros, SEED, &r), TX_RECORD_ABSENT);
}

static void
a_seal_with_a_body_or_an_unknown_type_is_damaged(void **state)
{
    uint8_t buffer[64] = { 0 };
    struct tx_record r;

    (void)state;
    tx_record_finish_body(buffer, TX_RECORD_SEAL, 8, SEED);
    (void)tx_record_finish_header(buffer, 64, 0, 0, SEED);
    assert_int_equal(tx_record_decode(buffer, buffer + 64, SEED, &r), TX_RECORD_DAMAGED);
    tx_record_finish_body(buffer, TX_RECORD_TXN, 8, SEED);
    buffer[12] = TX_RECORD_TIME + 1;
    (void)tx_record_finish_header(buffer, 64, 0, 0, SEED);
    assert_int_equal(tx_record_decode(buffer, buffer + 64, SEED, &r), TX_RECORD_DAMAGED);
}

static void
operations_decode_to_what_was_encoded(void **state)
{
    static uint8_t buffer[TXKV_KEY_BYTES_MAX + 2048], key[TXKV_KEY_BYTES_MAX];
    uint8_t *end = buffer;
    const uint8_t *p = buffer;
    uint8_t *key_at;
    uint8_t *value_at;
    struct tx_op op;

    (void)state;
    memset(key, 'k', sizeof key);
    end = tx_op_encode(end, TX_OP_PUT, 300, key, sizeof key, 1000, &key_at, &value_at);
    assert_true((uint64_t)(end - buffer) <= tx_op_bytes_max(sizeof key, 1000));
    memset(value_at, 'v', 1000);
    assert_memory_equal(key_at, key, sizeof key);
    end = tx_op_encode(end, TX_OP_DELETE, UINT32_MAX, key, 1, 0, &key_at, &value_at);
    assert_null(value_at);
    end = tx_op_encode(end, TX_OP_PUT, 0, key, 2, 0, &key_at, &value_at);
    assert_ptr_equal(value_at, end);

    assert_int_equal(tx_op_next(&p, end, &op), TXKV_OK);
    assert_int_equal(op.kind, TX_OP_PUT);
    assert_int_equal(op.table, 300);
    assert_int_equal(op.key_bytes, sizeof key);
    assert_int_equal(op.value_bytes, 1000);
    assert_int_equal(op.value[999], 'v');
    assert_int_equal(tx_op_next(&p, end, &op), TXKV_OK);
    assert_int_equal(op.kind, TX_OP_DELETE);
    assert_int_equal(op.table, UINT32_MAX);
    assert_null(op.value);
    assert_int_equal(tx_op_next(&p, end, &op), TXKV_OK);
    assert_int_equal(op.value_bytes, 0);
    assert_non_null(op.value);
    assert_int_equal(tx_op_next(&p, end, &op), TXKV_NOTFOUND);
}

/* Method: lengths and numbers around each length of a varint, read in both ways. */
static void
an_operation_is_read_as_one_of_this_process_as_from_a_disk(void **state)
{
    static const uint32_t numbers[] = { 1,       127,      128,       16383,     16384,
                                        2097151, 2097152u, 268435455, 268435456, 4294967295u };
    static uint8_t buffer[300000], key[TXKV_KEY_BYTES_MAX];
    uint8_t *key_at, *value_at;

    (void)state;
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (uint32_t j = 0; j < 9; j++) {
            const uint32_t key_bytes = (uint32_t)tx_min_u64(numbers[j], sizeof key);
            const uint32_t value_bytes = j % 3 == 0 ? 0 : numbers[j % 4];
            const enum tx_op_kind kind = j == 5 ? TX_OP_DELETE : TX_OP_PUT;
            const uint8_t *p = buffer;
            struct tx_op op, same;

            (void)tx_op_encode(buffer, kind, numbers[i], key, key_bytes, value_bytes, &key_at,
                               &value_at);
            assert_int_equal(tx_op_next(&p, buffer + sizeof buffer, &op), TXKV_OK);
            same = tx_op_at(buffer);
            assert_int_equal(same.kind, op.kind);
            assert_int_equal(same.table, op.table);
            assert_ptr_equal(same.key, op.key);
            assert_int_equal(same.key_bytes, op.key_bytes);
            assert_ptr_equal(same.value, op.value);
            assert_int_equal(same.value_bytes, op.value_bytes);
        }
}

static enum txkv_rc
first_op(const uint8_t *bytes, size_t n)
{
    const uint8_t *p = bytes;
    struct tx_op op;

    return tx_op_next(&p, bytes + n, &op);
}

static void
operations_that_cannot_be_are_refused(void **state)
{
    const uint8_t unknown_kind[] = { 3, 1, 1, 1, 'k', 'v' };
    const uint8_t empty_key[] = { 1, 1, 0, 1, 'v' };
    const uint8_t long_key[] = { 2, 1, 0x80, 0x04, 'k' };
    const uint8_t key_past_end[] = { 2, 1, 2, 'k' };
    const uint8_t value_past_end[] = { 1, 1, 1, 2, 'k', 'v' };
    const uint8_t huge_value[] = { 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'k', 'v' };
    const uint8_t huge_table[] = { 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 1, 'k' };

    (void)state;
    assert_int_equal(first_op(unknown_kind, sizeof unknown_kind), TXKV_CORRUPT);
    assert_int_equal(first_op(empty_key, sizeof empty_key), TXKV_CORRUPT);
    assert_int_equal(first_op(long_key, sizeof long_key), TXKV_CORRUPT);
    assert_int_equal(first_op(key_past_end, sizeof key_past_end), TXKV_CORRUPT);
    assert_int_equal(first_op(value_past_end, sizeof value_past_end), TXKV_CORRUPT);
    assert_int_equal(first_op(huge_value, sizeof huge_value), TXKV_CORRUPT);
    assert_int_equal(first_op(huge_table, sizeof huge_table), TXKV_CORRUPT);
    for (size_t n = 1; n < sizeof unknown_kind; n++) {
        const uint8_t put[] = { 1, 1, 1, 1, 'k', 'v' };

        assert_int_equal(first_op(put, n), TXKV_CORRUPT);
        assert_int_equal(first_op(put, sizeof put), TXKV_OK);
    }
}

static void
a_table_definition_survives_and_a_cut_one_is_refused(void **state)
{
    const struct tx_table_def def = { 200, "users", "CREATE", 5, 6 };
    struct tx_table_def out;
    uint8_t buffer[64];
    const uint32_t bytes = tx_table_def_bytes(&def);

    (void)state;
    tx_table_def_encode(buffer, &def);
    assert_int_equal(tx_table_def_decode(buffer, bytes, &out), TXKV_OK);
    assert_int_equal(out.table, 200);
    assert_int_equal(out.name_bytes, 5);
    assert_memory_equal(out.name, "users", 5);
    assert_int_equal(out.shape_bytes, 6);
    assert_memory_equal(out.shape, "CREATE", 6);
    for (uint32_t n = 0; n < bytes; n++)
        assert_int_equal(tx_table_def_decode(buffer, n, &out), TXKV_CORRUPT);
    assert_int_equal(tx_table_def_decode(buffer, bytes + 1, &out), TXKV_CORRUPT);
}

static void
changes_of_tables_survive_and_cut_ones_are_refused(void **state)
{
    const struct tx_table_change changes[] = { { 1, "new", 3 }, { 1025, "other name", 10 } };
    struct tx_table_change out;
    uint8_t buffer[64], *end = buffer;
    const uint8_t *p = buffer;
    uint32_t bytes = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        bytes += tx_table_change_bytes(&changes[i]);
        end = tx_table_change_encode(end, &changes[i]);
    }
    assert_int_equal(end - buffer, bytes);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tx_table_change_next(TX_RECORD_RENAMED, &p, end, &out), TXKV_OK);
        assert_int_equal(out.table, changes[i].table);
        assert_int_equal(out.name_bytes, changes[i].name_bytes);
        assert_memory_equal(out.name, changes[i].name, out.name_bytes);
    }
    assert_int_equal(tx_table_change_next(TX_RECORD_RENAMED, &p, end, &out), TXKV_NOTFOUND);
    for (uint32_t n = 1; n < bytes; n++) {
        enum txkv_rc rc;

        p = buffer;
        while ((rc = tx_table_change_next(TX_RECORD_RENAMED, &p, buffer + n, &out)) == TXKV_OK)
            continue;
        assert_int_equal(rc,
                         n == tx_table_change_bytes(&changes[0]) ? TXKV_NOTFOUND : TXKV_CORRUPT);
    }
    p = (const uint8_t *)"\x05\x81\x08"; /* numbers alone */
    end = (uint8_t *)(uintptr_t)p + 3;
    assert_int_equal(tx_table_change_next(TX_RECORD_DROPPED, &p, end, &out), TXKV_OK);
    assert_int_equal(out.table, 5);
    assert_int_equal(tx_table_change_next(TX_RECORD_DROPPED, &p, end, &out), TXKV_OK);
    assert_int_equal(out.table, 1025);
    assert_null(out.name);
    assert_int_equal(tx_table_change_next(TX_RECORD_DROPPED, &p, end, &out), TXKV_NOTFOUND);
}

static void
a_prepared_record_is_a_note_and_operations(void **state)
{
    uint8_t buffer[256];
    const struct txkv_bytes note = { (const uint8_t *)"the file", 8 };
    const uint32_t note_bytes = (uint32_t)tx_prepared_bytes(note.bytes);
    uint8_t *body = buffer + TX_RECORD_HEADER_BYTES, *key_at, *value_at, *end;
    struct tx_record r, txn;
    struct txkv_bytes found;
    const uint8_t *p;
    struct tx_op op;

    (void)state;
    tx_prepared_encode(body, note);
    end = tx_op_encode(body + note_bytes, TX_OP_DELETE, 3, (const uint8_t *)"key", 3, 0, &key_at,
                       &value_at);
    tx_record_finish_body(buffer, TX_RECORD_PREPARED, (uint32_t)(end - body), SEED);
    (void)tx_record_finish_header(buffer, 64, 0, 0, SEED);
    assert_int_equal(tx_record_decode(buffer, buffer + sizeof buffer, SEED, &r), TX_RECORD_INTACT);
    assert_int_equal(tx_prepared_decode(&r, &found, &txn), TXKV_OK);
    assert_int_equal(found.bytes, note.bytes);
    assert_memory_equal(found.data, note.data, note.bytes);
    assert_int_equal(txn.lsn, 64);
    p = txn.body;
    assert_int_equal(tx_op_next(&p, txn.body + txn.body_bytes, &op), TXKV_OK);
    assert_int_equal(op.table, 3);
    assert_int_equal(tx_op_next(&p, txn.body + txn.body_bytes, &op), TXKV_NOTFOUND);
    for (uint32_t bytes = 0; bytes < note_bytes; bytes++) { /* a note that is cut off */
        r.body_bytes = bytes;
        assert_int_equal(tx_prepared_decode(&r, &found, &txn), TXKV_CORRUPT);
    }
}

static void
a_decision_names_the_record_it_is_about(void **state)
{
    uint8_t buffer[TX_DECISION_BYTES + 16] = { 0 };
    struct tx_record r;

    (void)state;
    for (int commits = 0; commits < 2; commits++) {
        tx_decision_encode(buffer, commits != 0, 4096, SEED);
        (void)tx_record_finish_header(buffer, 64, 0, 0, SEED);
        assert_int_equal(tx_record_decode(buffer, buffer + sizeof buffer, SEED, &r),
                         TX_RECORD_INTACT);
        assert_int_equal(r.type, commits ? TX_RECORD_COMMITTED : TX_RECORD_ABORTED);
        assert_int_equal(r.length, TX_DECISION_BYTES);
        assert_int_equal(tx_decision_lsn(&r), 4096);
    }
    for (uint32_t bytes = 0; bytes <= 16; bytes++) { /* of any other size there is none */
        tx_record_finish_body(buffer, TX_RECORD_ABORTED, bytes, SEED);
        (void)tx_record_finish_header(buffer, 64, 0, 0, SEED);
        assert_int_equal(tx_record_decode(buffer, buffer + sizeof buffer, SEED, &r),
                         bytes == 8 ? TX_RECORD_INTACT : TX_RECORD_DAMAGED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_decodes_to_what_was_encoded),
        cmocka_unit_test(a_flip_of_any_bit_is_noticed),
        cmocka_unit_test(a_record_that_the_buffer_cuts_off_is_not_intact),
        cmocka_unit_test(zeros_are_absent),
        cmocka_unit_test(a_seal_with_a_body_or_an_unknown_type_is_damaged),
        cmocka_unit_test(operations_decode_to_what_was_encoded),
        cmocka_unit_test(an_operation_is_read_as_one_of_this_process_as_from_a_disk),
        cmocka_unit_test(operations_that_cannot_be_are_refused),
        cmocka_unit_test(a_prepared_record_is_a_note_and_operations),
        cmocka_unit_test(a_decision_names_the_record_it_is_about),
        cmocka_unit_test(a_table_definition_survives_and_a_cut_one_is_refused),
        cmocka_unit_test(changes_of_tables_survive_and_cut_ones_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
