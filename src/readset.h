/*
 * readset.h - the key ranges that a transaction has read.
 *
 * A point read is a range of one key. A cursor's range reaches from where it was placed to where it
 * stands; the cursor adds it when it is placed anew, closed, or when the transaction commits, so a
 * step costs nothing here. tx_readset_seal sorts and joins the ranges so that a key can be looked
 * up by binary search. Past a limit neighbouring ranges are joined across the gap between them:
 * that can only add conflicts, never hide one.
 *
 * Threads: the session's. Layer 5: skiplist.h (struct tx_key), mem.h.
 */
#ifndef TX_READSET_H
#define TX_READSET_H

#include "base.h"
#include "error.h"
#include "mem.h"
#include "skiplist.h"

/* [lo, hi], both included; an end whose data is NULL is the table's end. */
struct tx_read_range {
    struct tx_key lo, hi; /* data in the set's arena; lo.table == hi.table */
};

struct tx_readset {
    struct tx_read_range *ranges;
    uint32_t count, room;
    struct tx_arena arena;
};

void tx_readset_init(struct tx_readset *set);
void tx_readset_free(struct tx_readset *set);
void tx_readset_reset(struct tx_readset *set);

/* Add a range; the keys are copied. lo and hi may be the same pointer. */
TX_MUST_CHECK enum txkv_rc tx_readset_add(struct tx_readset *set, const struct tx_key *lo,
                                          const struct tx_key *hi, struct txkv_error *err);

/* Sort and join; tx_readset_covers may then be called until the next add. */
void tx_readset_seal(struct tx_readset *set);
bool tx_readset_covers(const struct tx_readset *set, const struct tx_key *key);

#endif /* TX_READSET_H */
