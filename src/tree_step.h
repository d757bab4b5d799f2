/*
 * tree_step.h - a place among a table's pages in LMDB's map, and the step to the next node of a
 * leaf.
 *
 * Apart from tree_walk.h, which goes there, so that a scan of the layers above takes such a step
 * with no call: without LMDB's names. Threads: the read's. Layer 4: pages_private.h, tree.h.
 */
#ifndef TX_TREE_STEP_H
#define TX_TREE_STEP_H

#include "pages_private.h"
#include "tree.h"

/* A table's pages as a read sees them. */
struct tx_tree_pages {
    const uint8_t *map;
    uint64_t count;    /* pages that there can be in the map */
    uint64_t root;     /* TX_NO_PAGE: the table is empty */
    uint32_t depth;    /* pages from the root to a leaf */
    bool scattered;    /* the map is read page by page: tree_ahead.h */
    uint64_t *visited; /* the tree's */
};

struct tx_tree_branch {
    const uint8_t *page;
    uint32_t count; /* of its nodes */
    uint32_t at;    /* the node that was taken */
};

/* A place in a table's pages. */
struct tx_tree_walk {
    struct tx_tree_pages pages;
    const uint8_t *leaf;
    uint32_t count;                                /* of its nodes; 0: no step is taken within it */
    uint32_t at;                                   /* the node that is visited */
    struct tx_tree_branch way[TX_PAGES_DEPTH_MAX]; /* from the root, without the leaf */
};

/* The pair of a leaf's node, if it is a plain one: not of a long key, nor with its value elsewhere.
 */
static inline bool
tx_tree_walk_plain(const uint8_t *page, uint32_t at, struct tx_tree_pair *pair)
{
    const uint32_t offset = tx_get_u16(page + TX_PAGE_HEADER + 2 * at);
    const uint8_t *node = page + offset;
    uint32_t value_bytes, word, key_bytes;

    if (offset > TX_PAGE_BYTES - TX_NODE_HEADER)
        return false;
    value_bytes = tx_get_u32(node);
    word = tx_get_u32(node + 4);         /* the flags, and above them the key's length */
    key_bytes = word >> 16 | word << 16; /* with the flags above: too long if there is one */
    if (key_bytes >= TX_PAGES_KEY_BYTES_MAX ||
        (uint64_t)offset + TX_NODE_HEADER + key_bytes + value_bytes > TX_PAGE_BYTES)
        return false;
    pair->key = node + TX_NODE_HEADER;
    pair->key_bytes = key_bytes;
    pair->value = pair->key + key_bytes;
    pair->value_bytes = value_bytes;
    return true;
}

/*
 * Ask for a node: to wait for its bytes takes longer than all else. Inline at any rate: gcc leaves
 * out calls of a function that does nothing but this.
 */
__attribute__((always_inline)) static inline void
tx_tree_walk_fetch(const uint8_t *page, uint32_t at)
{
    const uint8_t *node = page + tx_get_u16(page + TX_PAGE_HEADER + 2 * at);

    __builtin_prefetch(node);
    __builtin_prefetch(node + 64);
}

/* What a step adds to the place. */
#define TX_TREE_FORWARD  1u
#define TX_TREE_BACKWARD UINT32_MAX

/* To the next node of the leaf, or the one before; false when it has none that is plain. */
__attribute__((always_inline)) static inline bool
tx_tree_walk_step(struct tx_tree_walk *walk, uint32_t step, struct tx_tree_pair *pair)
{
    const uint32_t at = walk->at + step; /* before the first: too large */
    const uint32_t next = at + step;

    if (at >= walk->count || !tx_tree_walk_plain(walk->leaf, at, pair))
        return false;
    walk->at = at;
    if (next < walk->count)
        tx_tree_walk_fetch(walk->leaf, next);
    return true;
}

/*
 * tx_tree_cursor_walk -- where the cursor stands, for who takes steps within a leaf there himself,
 * as tx_tree_walk_step; when that is false the cursor's own step follows, as if all had been its
 * own. The same one as long as the cursor moves without an error or an end. NULL: it does not walk.
 */
struct tx_tree_walk *tx_tree_cursor_walk(struct tx_tree_cursor *cursor);

#endif /* TX_TREE_STEP_H */
