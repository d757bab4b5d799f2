/*
 * writeset.h - a transaction's own writes: its pending log record, and an index over it.
 *
 * Every write is encoded at once into the record that commit will append. An entry a write says
 * where its operation stands in it (an offset: the buffer moves as it grows). A hash table finds a
 * key's newest entry; a skip list, made only when the transaction scans, keeps them in order.
 * Undoing to a mark drops the newest entries and bytes.
 *
 * Threads: the session's. While a commit runs the leader reads it.
 * Layer 5: record.h, room.h, skiplist.h, hashidx.h (tx_key_hash), mem.h.
 */
#ifndef TX_WRITESET_H
#define TX_WRITESET_H

#include "base.h"
#include "error.h"
#include "record.h"
#include "room.h"
#include "skiplist.h"

#define TX_WRITE_NONE 0x7fffffffu

/* So many writes, or more, are entered in the order in which they came: each step looks at the
 * bytes behind the last one's, and nothing is sorted while the leader waits, or others for it. */
#define TX_WRITES_MANY 4096u

/* An operation takes four bytes of the record at least, so that 31 bits count all that fit. */
struct tx_write {
    uint64_t hash;           /* of the key */
    uint32_t op_at;          /* in the record */
    uint32_t older : 31;     /* the key's write before this one, or TX_WRITE_NONE */
    uint32_t superseded : 1; /* a later write of this transaction replaces it */
};

/* tag: the hash's upper half, so that another key's slot costs no look at its write. */
struct tx_write_slot {
    uint32_t index, tag; /* index UINT32_MAX: free */
};

struct tx_writeset {
    struct tx_room record; /* header room, then operations */
    uint32_t record_used;
    uint32_t let_go_at; /* so many of its bytes have been let go of, unless they were read since */
    struct tx_write *writes;
    uint32_t count, room;
    /* Open addressing, linear probing: the key's newest write. NULL before the first one, and after
     * tx_writeset_prepare. */
    struct tx_write_slot *slots;
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

/* dir: where the record of a large transaction may have a file (room.h), or NULL. */
void tx_writeset_init(struct tx_writeset *set, const char *dir);
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
const struct tx_write *tx_writeset_find(struct tx_writeset *set, const struct tx_key *key,
                                        uint64_t hash);

/* The operation as it stands in the record; its pointers are good until the next write. */
static inline struct tx_op
tx_write_op(const struct tx_writeset *set, const struct tx_write *write)
{
    return tx_op_at(set->record.at + write->op_at);
}

static inline struct tx_key
tx_op_key(const struct tx_op *op)
{
    return (struct tx_key){ op->key, op->key_bytes, op->table };
}

static inline struct tx_key
tx_write_key(const struct tx_writeset *set, const struct tx_write *write)
{
    const struct tx_op op = tx_write_op(set, write);

    return tx_op_key(&op);
}

/* The record's pages need not be in memory, if they are a file's: room.h. */
static inline void
tx_writeset_let_go(const struct tx_writeset *set)
{
    tx_room_let_go(&set->record, set->record_used);
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
 * tx_writeset_prepare -- for a commit. Sort a set of some size, so that the leader enters it in key
 * order, where each step is cheap; failing to get memory for it is not an error. Of a large one
 * give the hash table's memory back, which is made anew when it is asked.
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
