/*
 * readset.h - the key ranges that a transaction has read.
 *
 * A point read is kept as the key's hash: what another key with the same hash adds is one needless
 * conflict in 2^64. A cursor's range reaches from where it was placed to where it stands; the
 * cursor adds it when it is placed anew, closed, or when the transaction commits, so a step costs
 * nothing here. tx_readset_seal sorts and joins the ranges so that a key can be looked up by binary
 * search. Past a limit neighbouring ranges are joined across the gap between them: that can only
 * add conflicts, never hide one. Likewise the ends of ranges are cut where long ones have taken
 * much memory.
 *
 * Threads: the session's. Layer 5: skiplist.h (struct tx_key), mem.h.
 */
#ifndef TX_READSET_H
#define TX_READSET_H

#include "base.h"
#include "error.h"
#include "mem.h"
#include "skiplist.h"

/* So many points are kept with their keys too. */
#define TX_READSET_SMALL 32u

/* [lo, hi], both included; an end whose data is NULL is the table's end. */
struct tx_read_range {
    struct tx_key lo, hi; /* data in the set's arena; lo.table == hi.table */
};

struct tx_readset {
    struct tx_read_range *ranges;
    uint32_t count, room;
    struct tx_arena arena;
    uint64_t *points; /* hashes of keys, open addressing, linear probing; 0 is free */
    uint32_t point_count, point_room;
    bool every_point;                           /* too many to keep: every key counts as read */
    struct tx_key point_keys[TX_READSET_SMALL]; /* of the first points; data in the arena */
};

void tx_readset_init(struct tx_readset *set);
void tx_readset_free(struct tx_readset *set);
void tx_readset_reset(struct tx_readset *set);

/* Add a range; the keys are copied. */
TX_MUST_CHECK enum txkv_rc tx_readset_add(struct tx_readset *set, const struct tx_key *lo,
                                          const struct tx_key *hi, struct txkv_error *err);

/* Add one key; hash is tx_key_hash(key). */
TX_MUST_CHECK enum txkv_rc tx_readset_add_point(struct tx_readset *set, const struct tx_key *key,
                                                uint64_t hash, struct txkv_error *err);

/* Sort and join; tx_readset_covers may then be called until the next add. */
void tx_readset_seal(struct tx_readset *set);
bool tx_readset_covers(const struct tx_readset *set, const struct tx_key *key, uint64_t hash);

/* True when nothing has been read. */
static inline bool
tx_readset_empty(const struct tx_readset *set)
{
    return set->count == 0 && set->point_count == 0;
}

/* True when what was read are the keys point_keys[0..point_count), and nothing else. */
static inline bool
tx_readset_is_small(const struct tx_readset *set)
{
    return set->count == 0 && set->point_count <= TX_READSET_SMALL;
}

#endif /* TX_READSET_H */
