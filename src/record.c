/*
 * record.c - encoding and decoding of log records.
 *
 * Every byte of a record is covered: the header by its check, the body by body_check, which the
 * header holds, and the padding by having to be zero. The layout is little-endian whatever writes
 * it; only bytes.h touches the bytes.
 */
#include "record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bytes.h"

enum {
    AT_CHECK = 0,
    AT_LENGTH = 8,
    AT_TYPE = 12,
    AT_PAD = 13,
    AT_ZERO = 14,
    AT_LSN = 16,
    AT_DURABLE_LSN = 24,
    AT_PREV_CHECK = 32,
    AT_BODY_CHECK = 40
};
static_assert(AT_BODY_CHECK + 8 == TX_RECORD_HEADER_BYTES, "the header is full");

uint64_t
tx_record_hash(const void *p, size_t bytes, uint64_t seed)
{
#ifdef TX_WITHOUT_CHECKSUMS /* tests/bench/costs.sh, to see what they cost */
    (void)p;
    (void)bytes;
    return seed;
#else
    return XXH3_64bits_withSeed(p, bytes, seed);
#endif
}

static uint64_t
hash_header(const uint8_t *record, uint64_t seed)
{
    return tx_record_hash(record + AT_LENGTH, TX_RECORD_HEADER_BYTES - AT_LENGTH, seed);
}

uint64_t
tx_record_length(uint64_t body_bytes)
{
    return tx_round_up(TX_RECORD_HEADER_BYTES + body_bytes, 8);
}

void
tx_record_finish_body(uint8_t *record, enum tx_record_type type, uint32_t body_bytes,
                      uint64_t store_seed)
{
    const uint64_t length = tx_record_length(body_bytes);
    const uint32_t pad = (uint32_t)(length - TX_RECORD_HEADER_BYTES - body_bytes);
    uint8_t *body = record + TX_RECORD_HEADER_BYTES;

    assert(length <= TX_RECORD_BYTES_MAX);
    memset(record, 0, TX_RECORD_HEADER_BYTES);
    memset(body + body_bytes, 0, pad);
    tx_put_u32(record + AT_LENGTH, (uint32_t)length);
    record[AT_TYPE] = (uint8_t)type;
    record[AT_PAD] = (uint8_t)pad;
    tx_put_u64(record + AT_BODY_CHECK, tx_record_hash(body, body_bytes, store_seed));
}

uint64_t
tx_record_finish_header(uint8_t *record, uint64_t lsn, uint64_t durable_lsn, uint64_t prev_check,
                        uint64_t store_seed)
{
    uint64_t check;

    assert(lsn % 8 == 0);
    tx_put_u64(record + AT_LSN, lsn);
    tx_put_u64(record + AT_DURABLE_LSN, durable_lsn);
    tx_put_u64(record + AT_PREV_CHECK, prev_check);
    check = hash_header(record, store_seed);
    tx_put_u64(record + AT_CHECK, check);
    return check;
}

void
tx_record_make_void(uint8_t *record)
{
    record[AT_TYPE] = TX_RECORD_VOID;
}

static bool
is_zero(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

/* The fields that say how much of the buffer belongs to the record. */
static bool
is_shape_possible(const uint8_t *p, size_t room)
{
    const uint32_t length = tx_get_u32(p + AT_LENGTH);
    const uint8_t type = p[AT_TYPE];
    const uint8_t pad = p[AT_PAD];

    if (length < TX_RECORD_HEADER_BYTES || length % 8 != 0 || length > room)
        return false;
    if (pad > 7 || length - TX_RECORD_HEADER_BYTES < pad || !is_zero(p + AT_ZERO, 2))
        return false;
    if (type == TX_RECORD_SEAL)
        return length == TX_RECORD_HEADER_BYTES;
    if (type == TX_RECORD_COMMITTED || type == TX_RECORD_ABORTED)
        return length == TX_DECISION_BYTES && pad == 0;
    return type == TX_RECORD_TXN || type == TX_RECORD_TABLE || type == TX_RECORD_VOID ||
           type == TX_RECORD_PREPARED || type == TX_RECORD_DROPPED || type == TX_RECORD_RENAMED;
}

enum tx_record_state
tx_record_decode(const uint8_t *p, const uint8_t *end, uint64_t store_seed, struct tx_record *out)
{
    const size_t room = (size_t)(end - p);

    *out = (struct tx_record){ 0 };
    if (room < TX_RECORD_HEADER_BYTES || is_zero(p, TX_RECORD_HEADER_BYTES))
        return TX_RECORD_ABSENT;
    if (!is_shape_possible(p, room) || tx_get_u64(p + AT_CHECK) != hash_header(p, store_seed))
        return TX_RECORD_DAMAGED;
    out->check = tx_get_u64(p + AT_CHECK);
    out->length = tx_get_u32(p + AT_LENGTH);
    out->type = p[AT_TYPE];
    out->pad = p[AT_PAD];
    out->lsn = tx_get_u64(p + AT_LSN);
    out->durable_lsn = tx_get_u64(p + AT_DURABLE_LSN);
    out->prev_check = tx_get_u64(p + AT_PREV_CHECK);
    out->body_check = tx_get_u64(p + AT_BODY_CHECK);
    out->body = p + TX_RECORD_HEADER_BYTES;
    out->body_bytes = out->length - TX_RECORD_HEADER_BYTES - out->pad;
    if (!is_zero(out->body + out->body_bytes, out->pad) ||
        tx_record_hash(out->body, out->body_bytes, store_seed) != out->body_check)
        return TX_RECORD_DAMAGED;
    return TX_RECORD_INTACT;
}

/* A varint of at most max; moves *p on. */
static bool
read_u32(const uint8_t **p, const uint8_t *end, uint32_t max, uint32_t *out)
{
    uint64_t v;
    const uint8_t *next = tx_get_varint(*p, end, &v);

    if (next == NULL || v > max)
        return false;
    *p = next;
    *out = (uint32_t)v;
    return true;
}

/* That many bytes of the buffer; moves *p on. */
static bool
read_bytes(const uint8_t **p, const uint8_t *end, uint32_t bytes, const uint8_t **out)
{
    if ((size_t)(end - *p) < bytes)
        return false;
    *out = *p;
    *p += bytes;
    return true;
}

enum txkv_rc
tx_op_next(const uint8_t **p, const uint8_t *end, struct tx_op *op)
{
    const uint8_t *at = *p;
    uint8_t kind;

    memset(op, 0, sizeof *op);
    if (at == end)
        return TXKV_NOTFOUND;
    kind = *at++;
    if (kind != TX_OP_PUT && kind != TX_OP_DELETE)
        return TXKV_CORRUPT;
    op->kind = kind == TX_OP_PUT ? TX_OP_PUT : TX_OP_DELETE;
    if (!read_u32(&at, end, UINT32_MAX, &op->table) ||
        !read_u32(&at, end, TXKV_KEY_BYTES_MAX, &op->key_bytes) || op->key_bytes == 0)
        return TXKV_CORRUPT;
    if (op->kind == TX_OP_PUT && !read_u32(&at, end, TXKV_VALUE_BYTES_MAX, &op->value_bytes))
        return TXKV_CORRUPT;
    if (!read_bytes(&at, end, op->key_bytes, &op->key))
        return TXKV_CORRUPT;
    if (op->kind == TX_OP_PUT && !read_bytes(&at, end, op->value_bytes, &op->value))
        return TXKV_CORRUPT;
    *p = at;
    return TXKV_OK;
}

uint64_t
tx_op_bytes_max(uint32_t key_bytes, uint64_t value_bytes)
{
    return 1 + 5 + tx_varint_bytes(key_bytes) + tx_varint_bytes(value_bytes) + key_bytes +
           value_bytes;
}

uint8_t *
tx_op_encode(uint8_t *p, enum tx_op_kind kind, uint32_t table, const uint8_t *key,
             uint32_t key_bytes, uint32_t value_bytes, uint8_t **key_at, uint8_t **value_at)
{
    *p++ = (uint8_t)kind;
    p = tx_put_varint(p, table);
    p = tx_put_varint(p, key_bytes);
    if (kind == TX_OP_PUT)
        p = tx_put_varint(p, value_bytes);
    memcpy(p, key, key_bytes);
    *key_at = p;
    p += key_bytes;
    *value_at = kind == TX_OP_PUT ? p : NULL;
    return kind == TX_OP_PUT ? p + value_bytes : p;
}

uint32_t
tx_table_def_bytes(const struct tx_table_def *def)
{
    return tx_varint_bytes(def->table) + tx_varint_bytes(def->name_bytes) + def->name_bytes +
           tx_varint_bytes(def->shape_bytes) + def->shape_bytes;
}

void
tx_table_def_encode(uint8_t *p, const struct tx_table_def *def)
{
    p = tx_put_varint(p, def->table);
    p = tx_put_varint(p, def->name_bytes);
    if (def->name_bytes > 0)
        memcpy(p, def->name, def->name_bytes);
    p = tx_put_varint(p + def->name_bytes, def->shape_bytes);
    if (def->shape_bytes > 0)
        memcpy(p, def->shape, def->shape_bytes);
}

enum txkv_rc
tx_table_entry_decode(const uint8_t *body, uint32_t body_bytes, struct tx_table_def *def)
{
    const uint8_t *p = body;
    const uint8_t *end = body + body_bytes;
    const uint8_t *name;
    const uint8_t *shape;

    *def = (struct tx_table_def){ 0 };
    if (!read_u32(&p, end, UINT32_MAX, &def->table) ||
        !read_u32(&p, end, TXKV_TABLE_NAME_BYTES_MAX, &def->name_bytes) ||
        !read_bytes(&p, end, def->name_bytes, &name) ||
        !read_u32(&p, end, UINT32_MAX, &def->shape_bytes) ||
        !read_bytes(&p, end, def->shape_bytes, &shape) || p != end)
        return TXKV_CORRUPT;
    def->name = (const char *)name;
    def->shape = (const char *)shape;
    return TXKV_OK;
}

enum txkv_rc
tx_table_def_decode(const uint8_t *body, uint32_t body_bytes, struct tx_table_def *def)
{
    const enum txkv_rc rc = tx_table_entry_decode(body, body_bytes, def);

    return rc == TXKV_OK && def->name_bytes == 0 ? TXKV_CORRUPT : rc;
}

uint32_t
tx_table_change_bytes(const struct tx_table_change *change)
{
    const uint32_t number_bytes = tx_varint_bytes(change->table);

    if (change->name == NULL)
        return number_bytes;
    return number_bytes + tx_varint_bytes(change->name_bytes) + change->name_bytes;
}

uint8_t *
tx_table_change_encode(uint8_t *p, const struct tx_table_change *change)
{
    p = tx_put_varint(p, change->table);
    if (change->name == NULL)
        return p;
    p = tx_put_varint(p, change->name_bytes);
    memcpy(p, change->name, change->name_bytes);
    return p + change->name_bytes;
}

enum txkv_rc
tx_table_change_next(enum tx_record_type type, const uint8_t **p, const uint8_t *end,
                     struct tx_table_change *change)
{
    const uint8_t *name;

    *change = (struct tx_table_change){ 0 };
    if (*p == end)
        return TXKV_NOTFOUND;
    if (!read_u32(p, end, UINT32_MAX, &change->table))
        return TXKV_CORRUPT;
    if (type == TX_RECORD_DROPPED)
        return TXKV_OK;
    if (!read_u32(p, end, TXKV_TABLE_NAME_BYTES_MAX, &change->name_bytes) ||
        change->name_bytes == 0 || !read_bytes(p, end, change->name_bytes, &name))
        return TXKV_CORRUPT;
    change->name = (const char *)name;
    return TXKV_OK;
}

uint64_t
tx_prepared_bytes(size_t note_bytes)
{
    return tx_varint_bytes(note_bytes) + note_bytes;
}

void
tx_prepared_encode(uint8_t *p, struct txkv_bytes note)
{
    p = tx_put_varint(p, note.bytes);
    if (note.bytes > 0)
        memcpy(p, note.data, note.bytes);
}

enum txkv_rc
tx_prepared_decode(const struct tx_record *record, struct txkv_bytes *note, struct tx_record *txn)
{
    const uint8_t *p = record->body;
    const uint8_t *end = p + record->body_bytes;
    uint32_t bytes;

    *note = (struct txkv_bytes){ NULL, 0 };
    *txn = *record;
    if (!read_u32(&p, end, UINT32_MAX, &bytes) || !read_bytes(&p, end, bytes, &note->data))
        return TXKV_CORRUPT;
    note->bytes = bytes;
    txn->body = p;
    txn->body_bytes = (uint32_t)(end - p);
    return TXKV_OK;
}

void
tx_decision_encode(uint8_t record[TX_DECISION_BYTES], bool commit, uint64_t prepared_lsn,
                   uint64_t store_seed)
{
    tx_put_u64(record + TX_RECORD_HEADER_BYTES, prepared_lsn);
    tx_record_finish_body(record, commit ? TX_RECORD_COMMITTED : TX_RECORD_ABORTED,
                          sizeof prepared_lsn, store_seed);
}

uint64_t
tx_decision_lsn(const struct tx_record *record)
{
    assert(tx_record_decides(record) && record->body_bytes == 8);
    return tx_get_u64(record->body);
}
