/*
 * tree_scout.h - asks for the leaf pages that a batch is going to write to, ahead of it.
 *
 * A checkpoint of rows all over a data.mdb that does not fit into memory waits for the disk with
 * each page that it changes, one at a time. The rows are known some thousands ahead, and a look
 * through the branch pages, which stay in memory, says where each belongs: the disk is asked for
 * all of them at once.
 *
 * It reads the state before the batch, whose pages a batch leaves as they are. Only advice comes of
 * it: what is not as expected is left alone.
 *
 * Threads: one at a time. tx_tree_grow waits for it like for any read. Layer 4: tree.h.
 */
#ifndef TX_TREE_SCOUT_H
#define TX_TREE_SCOUT_H

#include "tree.h"

struct tx_tree_scout;

/* NULL: where the file fits into memory, and whenever it cannot be. */
struct tx_tree_scout *tx_tree_scout_begin(struct tx_tree *tree);

/* Ask for the page of a key, or remember it until the next, which may lie beside it. */
void tx_tree_scout_look(struct tx_tree_scout *scout, uint32_t table, const uint8_t *key,
                        uint32_t key_bytes);

/* Ask for what was remembered. */
void tx_tree_scout_flush(struct tx_tree_scout *scout);

void tx_tree_scout_end(struct tx_tree_scout *scout); /* NULL is allowed */

#endif /* TX_TREE_SCOUT_H */
