/*
 * record.h - the log record: layout, encoding, and a decoder that trusts nothing.
 *
 * A record is a 48-byte header and a body, padded with zeros to a multiple of 8. All integers are
 * little-endian.
 *
 *   offset bytes
 *        0     8  check         XXH3-64 of bytes 8..47, seeded with the store's id
 *        8     4  length        of the whole record with header and padding; a multiple of 8
 *       12     1  type          enum tx_record_type
 *       13     1  pad           bytes of padding at the end of the body, 0 to 7
 *       14     2  zero
 *       16     8  lsn           position of this record
 *       24     8  durable_lsn   what was durable when this record was written
 *       32     8  prev_check    `check` of the record before it: the chain
 *       40     8  body_check    XXH3-64 of the body without padding, seeded with the store's id
 *       48        body
 *
 * The body's check stands in the header so that a committer computes it before it reaches the
 * leader; the leader then hashes 40 bytes a record, whatever its size.
 *
 * Bodies
 *   TX_RECORD_TXN    a run of operations, each: kind (1 byte: enum tx_op_kind), table (varint), key
 *                    length (varint), value length (varint, puts only), key, value
 *   TX_RECORD_TABLE  table (varint), name length (varint), name, shape length (varint), shape
 *   TX_RECORD_SEAL   empty: nothing follows in this segment
 *   TX_RECORD_VOID   that of the transaction it was
 *   TX_RECORD_PREPARED   note length (varint), note, then a run of operations as in TX_RECORD_TXN
 *   TX_RECORD_COMMITTED, TX_RECORD_ABORTED   the LSN (8 bytes) of the prepared record that it is
 *                    about, which is the record before it, seals left out
 *   TX_RECORD_DROPPED    a run of table numbers (varint)
 *   TX_RECORD_RENAMED    a run of: table (varint), name length (varint), name
 *   TX_RECORD_TIME       milliseconds since 1970 (8 bytes): what follows was not committed earlier,
 * as far as the clock goes
 *
 * Pure functions; any thread. Layer 2: bytes.h, error.h.
 */
#ifndef TX_RECORD_H
#define TX_RECORD_H

#include "base.h"
#include "bytes.h"
#include "error.h"

#define TX_RECORD_HEADER_BYTES 48u
#define TX_RECORD_BYTES_MAX    0xfffffff8u

enum tx_record_type {
    TX_RECORD_TXN = 1,
    TX_RECORD_TABLE = 2,
    TX_RECORD_SEAL = 3,
    TX_RECORD_VOID = 4,      /* a transaction that failed after it was appended: is passed over */
    TX_RECORD_PREPARED = 5,  /* a transaction that counts if a TX_RECORD_COMMITTED comes next */
    TX_RECORD_COMMITTED = 6, /* the prepared transaction is in, with its own record's LSN */
    TX_RECORD_ABORTED = 7,   /* it never was */
    TX_RECORD_DROPPED = 8,   /* these tables end here, all at once */
    TX_RECORD_RENAMED = 9,   /* these tables have other names from here on, all at once */
    TX_RECORD_TIME = 10      /* when what follows it was committed */
};

/* A whole TX_RECORD_COMMITTED or TX_RECORD_ABORTED. */
#define TX_DECISION_BYTES (TX_RECORD_HEADER_BYTES + 8u)

/* A whole TX_RECORD_TIME. */
#define TX_TIME_BYTES (TX_RECORD_HEADER_BYTES + 8u)

enum tx_op_kind { TX_OP_PUT = 1, TX_OP_DELETE = 2 };

struct tx_record {
    uint64_t check, lsn, durable_lsn, prev_check, body_check;
    uint32_t length; /* with header and padding */
    uint8_t type, pad;
    const uint8_t *body; /* inside the buffer that was decoded */
    uint32_t body_bytes; /* without padding */
};

struct tx_op {
    enum tx_op_kind kind;
    uint32_t table;
    const uint8_t *key, *value; /* value is NULL for a delete */
    uint32_t key_bytes, value_bytes;
};

/* The log's checksum: XXH3-64. segment.h uses it as well. */
uint64_t tx_record_hash(const void *p, size_t bytes, uint64_t seed);

/* Whole record's length for a body of that many bytes. */
uint64_t tx_record_length(uint64_t body_bytes);

/*
 * tx_record_finish_body -- fill in what the committer can: length, type, pad, the zero padding and
 * body_check. The record stands at `record`, its body after the header, with room for
 * tx_record_length(body_bytes).
 */
void tx_record_finish_body(uint8_t *record, enum tx_record_type type, uint32_t body_bytes,
                           uint64_t store_seed);

/* tx_record_finish_header -- the leader's part: lsn, durable_lsn, prev_check; returns check, the
 * next prev_check. */
uint64_t tx_record_finish_header(uint8_t *record, uint64_t lsn, uint64_t durable_lsn,
                                 uint64_t prev_check, uint64_t store_seed);

/* Make a record that is not finished a void one. */
void tx_record_make_void(uint8_t *record);

enum tx_record_state {
    TX_RECORD_INTACT,
    TX_RECORD_ABSENT, /* the header is all zeros, or fewer bytes than a header are left */
    TX_RECORD_DAMAGED /* a length that cannot be, or a checksum that does not fit */
};

/*
 * tx_record_decode -- read the record at p, in a buffer that ends at end. Checks length, type, zero
 * fields, both checksums; not lsn and prev_check, which the caller compares with what it expects.
 */
enum tx_record_state tx_record_decode(const uint8_t *p, const uint8_t *end, uint64_t store_seed,
                                      struct tx_record *out);

/*
 * tx_op_next -- read one operation of a transaction's body from *p (moved on). TXKV_OK;
 * TXKV_NOTFOUND at the end; TXKV_CORRUPT when it does not fit (key length 0 or over the limit,
 * unknown kind, past the end).
 */
TX_MUST_CHECK enum txkv_rc tx_op_next(const uint8_t **p, const uint8_t *end, struct tx_op *op);

/* The same of one that this process has written, with no look at whether it fits. */
static inline struct tx_op
tx_op_at(const uint8_t *p)
{
    struct tx_op op = { .kind = *p++ == TX_OP_PUT ? TX_OP_PUT : TX_OP_DELETE };

    op.table = tx_take_varint(&p);
    op.key_bytes = tx_take_varint(&p);
    if (op.kind == TX_OP_PUT)
        op.value_bytes = tx_take_varint(&p);
    op.key = p;
    if (op.kind == TX_OP_PUT)
        op.value = p + op.key_bytes;
    return op;
}

/* Upper bound of the bytes one operation takes. */
uint64_t tx_op_bytes_max(uint32_t key_bytes, uint64_t value_bytes);

/*
 * Write an operation at p, which has room: header and key; *value_at is where its value_bytes go
 * (NULL for a delete). *key_at is where the key stands. Returns the end of the operation.
 */
uint8_t *tx_op_encode(uint8_t *p, enum tx_op_kind kind, uint32_t table, const uint8_t *key,
                      uint32_t key_bytes, uint32_t value_bytes, uint8_t **key_at,
                      uint8_t **value_at);

struct tx_table_def {
    uint32_t table;
    const char *name, *shape; /* not NUL-terminated */
    uint32_t name_bytes, shape_bytes;
};

/* Bytes of a TX_RECORD_TABLE body; write it at p; read it. */
uint32_t tx_table_def_bytes(const struct tx_table_def *def);
void tx_table_def_encode(uint8_t *p, const struct tx_table_def *def);
TX_MUST_CHECK enum txkv_rc tx_table_def_decode(const uint8_t *body, uint32_t body_bytes,
                                               struct tx_table_def *def);

/* The same, for a catalog entry of LMDB: the name may be empty, which says that the table was
 * dropped. */
TX_MUST_CHECK enum txkv_rc tx_table_entry_decode(const uint8_t *body, uint32_t body_bytes,
                                                 struct tx_table_def *def);

/*
 * A table's number is a slot, 1 to TX_TABLE_SLOTS_MAX, and above it a generation: how many tables
 * were in that slot before. A slot is used again when a checkpoint has removed the table that was
 * in it, and no number ever is.
 */
#define TX_TABLE_SLOT_BITS       10u
#define TX_TABLE_SLOTS_MAX       1000u
#define TX_TABLE_GENERATIONS_MAX 16384u

static inline uint32_t
tx_table_slot(uint32_t table)
{
    return table & ((1u << TX_TABLE_SLOT_BITS) - 1);
}

static inline uint32_t
tx_table_generation(uint32_t table)
{
    return table >> TX_TABLE_SLOT_BITS;
}

/* Whether a number can be a table's. */
static inline bool
tx_table_possible(uint32_t table)
{
    return tx_table_slot(table) >= 1 && tx_table_slot(table) <= TX_TABLE_SLOTS_MAX &&
           tx_table_generation(table) < TX_TABLE_GENERATIONS_MAX;
}

/* One of a TX_RECORD_DROPPED's or a TX_RECORD_RENAMED's tables. */
struct tx_table_change {
    uint32_t table;
    const char *name; /* not NUL-terminated; NULL in a TX_RECORD_DROPPED */
    uint32_t name_bytes;
};

/* Bytes of one change in the body; write it at p, returns its end. */
uint32_t tx_table_change_bytes(const struct tx_table_change *change);
uint8_t *tx_table_change_encode(uint8_t *p, const struct tx_table_change *change);

/* Read the next change of a body of that type from *p (moved on). TXKV_OK; TXKV_NOTFOUND at the
 * end; TXKV_CORRUPT. */
TX_MUST_CHECK enum txkv_rc tx_table_change_next(enum tx_record_type type, const uint8_t **p,
                                                const uint8_t *end, struct tx_table_change *change);

/* ---- prepared transactions ---- */

/* Bytes of a TX_RECORD_PREPARED body before its operations; write them at p. */
uint64_t tx_prepared_bytes(size_t note_bytes);
void tx_prepared_encode(uint8_t *p, struct txkv_bytes note);

/* Split a TX_RECORD_PREPARED: *txn is the same record with the operations alone as its body. Both
 * point into the record. */
TX_MUST_CHECK enum txkv_rc tx_prepared_decode(const struct tx_record *record,
                                              struct txkv_bytes *note, struct tx_record *txn);

/* Make a decision's record, all but what tx_record_finish_header fills in. */
void tx_decision_encode(uint8_t record[TX_DECISION_BYTES], bool commit, uint64_t prepared_lsn,
                        uint64_t store_seed);

/* True for TX_RECORD_COMMITTED and TX_RECORD_ABORTED. */
static inline bool
tx_record_decides(const struct tx_record *record)
{
    return record->type == TX_RECORD_COMMITTED || record->type == TX_RECORD_ABORTED;
}

/* The LSN of the prepared record that an intact decision is about. */
uint64_t tx_decision_lsn(const struct tx_record *record);

/* ---- times ---- */

/* Make a TX_RECORD_TIME, all but what tx_record_finish_header fills in; read an intact one. */
void tx_time_encode(uint8_t record[TX_TIME_BYTES], uint64_t ms, uint64_t store_seed);
uint64_t tx_time_ms(const struct tx_record *record);

#endif /* TX_RECORD_H */
