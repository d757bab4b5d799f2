/*
 * hashidx.h - a hash index over skip list nodes: one writer, any number of readers; the only user
 * of ck_hs.h.
 *
 * Sixty-four ck_hs tables, chosen by the hash's top bits, so that growing one moves a sixty-fourth
 * of the nodes and never holds up the leader for long. ck_hs and not ck_ht: an entry is one pointer
 * instead of 16 to 32 bytes, and a key may be longer than ck_ht's 16-bit length. Tables that were
 * outgrown stay in the arena until the index is freed: a reader may still be in one, and together
 * they are no larger than the current one.
 *
 * Thread safety: put by one thread at a time; get by any. [M6] release in put, acquire in get: who
 * finds a node sees what was written before it was put.
 *
 * Layer 3: skiplist.h, mem.h.
 */
#ifndef TX_HASHIDX_H
#define TX_HASHIDX_H

#include "base.h"
#include "skiplist.h"

struct tx_hashidx;

/* The hash of a key: XXH3-64 of its bytes, seeded with its table. */
uint64_t tx_key_hash(const struct tx_key *key);

/* An index in `arena`, which must outlive it; NULL when out of memory. There is nothing to free but
 * the arena. */
struct tx_hashidx *tx_hashidx_create(struct tx_arena *arena);

/* Add a node whose key is not in the index. TXKV_NOMEM: not added. Writer only. */
TX_MUST_CHECK enum txkv_rc tx_hashidx_put(struct tx_hashidx *index, struct tx_node *node,
                                          uint64_t hash);

/* Make room for so many more nodes at once. What there is no memory for is made by the puts. Writer
 * only. */
void tx_hashidx_reserve(struct tx_hashidx *index, uint32_t more);

/* Ask for the memory that a get or put of that hash looks at first; worth it a few other steps
 * before. Writer only. */
void tx_hashidx_prefetch(const struct tx_hashidx *index, uint64_t hash);

/* The node of that key, or NULL. */
struct tx_node *tx_hashidx_get(struct tx_hashidx *index, const struct tx_key *key, uint64_t hash);

#endif /* TX_HASHIDX_H */
