/*
 * tree_walk.h - reading a table's pages in LMDB's map without LMDB: a look-up, and a cursor's way.
 *
 * LMDB's own search takes a call for every key that it compares, and waits for the memory of each
 * before it asks for the next; a step of its cursor takes some 150 instructions. A page that a read
 * sees stays as it is until the read ends, which the pairs that LMDB gives rely on as well, so its
 * nodes are visited here, where pages_private.h says that they stand. What a walk will look at next
 * is asked for beforehand (prefetched): the nodes in the middle of a leaf that is searched, the
 * next node of one that is stepped through, and the leaf behind it.
 *
 * Nothing is taken for granted: pages and nodes are looked at only where they can be, so a damaged
 * file gives MDB_CORRUPTED, or wrong pairs, but never leads out of the map. A way has the depth
 * that the table has, and goes one way: it ends.
 *
 * Results are LMDB's, as those of tree_long.h are. Threads: the read's. Layer 4: pages_private.h,
 * tree_private.h.
 */
#ifndef TX_TREE_WALK_H
#define TX_TREE_WALK_H

#include "tree_private.h"

/*
 * tx_tree_walk_pages -- where the table's pages are as the read sees them. False: only LMDB can
 * tell, since its pages are not known, or by an error.
 */
bool tx_tree_walk_pages(struct tx_tree_read *read, uint32_t table, struct tx_tree_pages *pages);

/* tx_tree_walk_get -- the pair with that LMDB key. MDB_NOTFOUND, MDB_CORRUPTED. */
int tx_tree_walk_get(const struct tx_tree_pages *pages, struct txkv_bytes key,
                     struct tx_tree_pair *pair);

/* tx_tree_walk_leaf -- the number of the leaf in which the LMDB key belongs; TX_NO_PAGE: there is
 * none. Looks at branches alone. */
uint64_t tx_tree_walk_leaf(const struct tx_tree_pages *pages, struct txkv_bytes key);

/*
 * A walk's moves. To the first pair whose LMDB key is not less; to the first of all, or, backward,
 * the last; and to the next, or, backward, the one before. MDB_NOTFOUND, MDB_CORRUPTED: the walk
 * must be begun again.
 */
int tx_tree_walk_seek(struct tx_tree_walk *walk, struct txkv_bytes key, struct tx_tree_pair *pair);
int tx_tree_walk_end(struct tx_tree_walk *walk, bool backward, struct tx_tree_pair *pair);
int tx_tree_walk_on(struct tx_tree_walk *walk, bool backward, struct tx_tree_pair *pair);

#endif /* TX_TREE_WALK_H */
