/*
 * writeset.h - a transaction's own writes: its pending log record, and an index over it.
 *
 * Every write is encoded at once into the record that commit will append. An entry a write says
 * where its key and value stand in it (offsets: the buffer moves as it grows). A hash table finds a
 * key's newest entry; a skip list, made only when the transaction scans, keeps them in order.
 * Undoing to a mark drops the newest entries and bytes.
 *
 * Threads: the session's. While a commit runs the leader reads it.
 * Layer 5: record.h, skiplist.h, hashidx.h (tx_key_hash), mem.h.
 */
#ifndef TX_WRITESET_H
#define TX_WRITESET_H

#include "base.h"
#include "error.h"
#include "record.h"
#include "skiplist.h"

#define TX_WRITE_NONE UINT32_MAX

struct tx_write {
    uint64_t hash;
    uint32_t table;
    uint32_t key_at, key_bytes;     /* in the record */
    uint32_t value_at, value_bytes; /* value_at 0: a delete */
    uint32_t older;                 /* the key's write before this one, or TX_WRITE_NONE */
    bool superseded;                /* a later write of this transaction replaces it */
};

/* tag: the hash's upper half, so that another key's slot costs no look at its write. */
struct tx_write_slot {
    uint32_t index, tag; /* index TX_WRITE_NONE: free */
};

struct tx_writeset {
    uint8_t *record; /* header room, then operations */
    uint32_t record_used, record_room;
    struct tx_write *writes;
    uint32_t count, room;
    struct tx_write_slot *slots; /* open addressing, linear probing: the key's newest write */
    uint32_t slot_count, slots_used;
    uint32_t *order; /* set by tx_writeset_prepare: live writes in key order; NULL: as they stand */
    uint32_t order_count;
    bool list_made;
    struct tx_arena arena; /* of the list */
    struct tx_skiplist list;
};

struct tx_writeset_mark {
    uint32_t record_used, count;
};

void tx_writeset_init(struct tx_writeset *set);
void tx_writeset_free(struct tx_writeset *set);
/* Empty it, keeping buffers of ordinary size for the next transaction. */
void tx_writeset_reset(struct tx_writeset *set);

/*
 * tx_writeset_add -- append a write; *value is where value_bytes bytes are to be filled in (NULL
 * for a delete), good until the next call. On failure nothing has changed. TXKV_TOOBIG when the
 * record would pass its limit.
 */
TX_MUST_CHECK enum txkv_rc tx_writeset_add(struct tx_writeset *set, enum tx_op_kind kind,
                                           const struct tx_key *key, uint32_t value_bytes,
                                           uint8_t **value, struct txkv_error *err);

/* The key's newest write, or NULL. */
const struct tx_write *tx_writeset_find(const struct tx_writeset *set, const struct tx_key *key,
                                        uint64_t hash);

static inline const uint8_t *
tx_write_value(const struct tx_writeset *set, const struct tx_write *write)
{
    return write->value_at == 0 ? NULL : set->record + write->value_at;
}

static inline struct tx_key
tx_write_key(const struct tx_writeset *set, const struct tx_write *write)
{
    return (struct tx_key){ set->record + write->key_at, write->key_bytes, write->table };
}

struct tx_writeset_mark tx_writeset_mark(const struct tx_writeset *set);
void tx_writeset_undo(struct tx_writeset *set, struct tx_writeset_mark mark);

/*
 * tx_writeset_list -- the writes in key order, as a skip list that later writes keep up to date. A
 * node's newest version has the index of its write as `tag`; a node whose newest is NULL has been
 * undone. NULL: out of memory.
 */
const struct tx_skiplist *tx_writeset_list(struct tx_writeset *set);

/*
 * tx_writeset_prepare -- sort a large set, so that the leader enters it in key order, where each
 * step is cheap. Failing to get memory for it is not an error.
 */
void tx_writeset_prepare(struct tx_writeset *set);

/* How many steps lead over what is to be entered, */
static inline uint32_t
tx_writeset_steps(const struct tx_writeset *set)
{
    return set->order == NULL ? set->count : set->order_count;
}

/* and the i-th write, in key order when the set was sorted; NULL for one to skip. */
static inline const struct tx_write *
tx_writeset_step(const struct tx_writeset *set, uint32_t i)
{
    const struct tx_write *write = &set->writes[set->order == NULL ? i : set->order[i]];

    return write->superseded ? NULL : write;
}

#endif /* TX_WRITESET_H */
