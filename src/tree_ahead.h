/*
 * tree_ahead.h - what the kernel is told about how the map of data.mdb will be read.
 *
 * By itself the kernel reads 128 KiB around each page that a read of the map does not find in
 * memory. While the file fits into memory that is right: it is all there soon. When it does not
 * fit, reads of single rows then take 32 pages to use one, and push 31 out that others needed. So
 * a file of more than half of the memory that the process may use is marked as read at random, page
 * by page; and what is read in order - a range, a scan, a large value, a copy - says so itself.
 *
 * It is all advice: nothing but time depends on it, so failures are ignored. That the memory is
 * scarce is told to others as well (tx_tree_scarce_memory). Layer 4:
 * tree_private.h.
 */
#ifndef TX_TREE_AHEAD_H
#define TX_TREE_AHEAD_H

#include "atomic.h"
#include "tree_private.h"

/*
 * tx_tree_advise -- look how large the file is now, and mark the map accordingly. After opening,
 * and when the file has grown or was mapped anew. Does nothing when somebody else holds the lock:
 * the next call will do it. Threads: any, without tree->lock.
 */
void tx_tree_advise(struct tx_tree *tree);

/* The whole file is going to be read from one end to the other; and has been. Threads: any, without
 * tree->lock. */
void tx_tree_advise_copy(struct tx_tree *tree, bool begins);

/* Where the map lies while the read is begun, and how many of its pages are in use; NULL: that is
 * not known. */
uint8_t *tx_tree_map(const struct tx_tree_read *read, uint64_t *pages);

/* Of a cursor that has just entered a leaf page of a marked map: ask for those behind
 * it. */
void tx_tree_read_ahead(struct tx_tree_cursor *cursor, bool backward);

/*
 * A page that the process has not looked at before is a fault, even when it is in memory, and by a
 * fault the kernel maps 64 KiB. So the first visit to a block maps what follows from all of it by
 * one call, which takes no longer than a fault. What is not in memory is not read for that.
 */
enum { TX_TREE_BLOCK_PAGES = 64, TX_TREE_BLOCKS_WORD = 64 };

/* Walks have been nowhere in the map, which is new. While no read is active. */
void tx_tree_visit_none(struct tx_tree *tree);

/* tx_tree_visit of a block that has not been visited. */
void tx_tree_visit_block(const struct tx_tree_pages *pages, uint64_t number);

/* A page is going to be read. Inline, for every look at a page comes here. */
static inline void
tx_tree_visit(const struct tx_tree_pages *pages, uint64_t number)
{
    const uint64_t block = number / TX_TREE_BLOCK_PAGES;

    if (pages->visited != NULL &&
        (tx_load_relaxed_64(&pages->visited[block / TX_TREE_BLOCKS_WORD]) >>
             block % TX_TREE_BLOCKS_WORD &
         1) == 0)
        tx_tree_visit_block(pages, number);
}

/* Bytes of a value: a smaller one is read page by page as well. */
#define TX_TREE_VALUE_AHEAD (32u << 10)

/* Ask for all pages of a value. */
void tx_tree_ask_for(const uint8_t *value, uint32_t bytes);

/* A value is going to be read. Inline, for every look-up comes here. */
static inline void
tx_tree_read_value(const struct tx_tree *tree, const uint8_t *value, uint32_t bytes)
{
    if (bytes >= TX_TREE_VALUE_AHEAD && tx_load_relaxed_32(&tree->scattered) != 0)
        tx_tree_ask_for(value, bytes);
}

#endif /* TX_TREE_AHEAD_H */
