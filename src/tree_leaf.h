/*
 * tree_leaf.h - a cursor's steps within one leaf page of LMDB's.
 *
 * A step of LMDB's cursor takes some 150 instructions, a look at the next node of the same page a
 * tenth of that. A page that a read sees stays as it is until the read ends, which the pairs that
 * LMDB gives rely on as well, so its nodes are visited here, where pages_private.h says that they
 * stand. LMDB's cursor waits at the node where the page was entered; before it goes on from the
 * page's last one it is put there.
 *
 * Nothing is taken for granted: a page is entered only when it lists the node that LMDB has given,
 * and whatever is not a plain node that lies within it is left to LMDB.
 *
 * Threads: the cursor's. Layer 4: pages_private.h, tree_long.h.
 */
#ifndef TX_TREE_LEAF_H
#define TX_TREE_LEAF_H

#include "pages_private.h"
#include "tree_long.h"

/* The pair of node `at`, if it is a plain one: not of a long key, nor with its value elsewhere. */
static inline bool
tx_tree_leaf_read(const struct tx_tree_leaf *leaf, uint32_t at, struct tx_tree_pair *pair)
{
    const uint32_t offset = tx_get_u16(leaf->page + TX_PAGE_HEADER + 2 * at);
    const uint8_t *node = leaf->page + offset;
    uint32_t value_bytes, flags_and_key_bytes, key_bytes;

    if (offset > TX_PAGE_BYTES - TX_NODE_HEADER)
        return false;
    value_bytes = tx_get_u32(node);
    flags_and_key_bytes = tx_get_u32(node + 4);
    key_bytes = flags_and_key_bytes >> 16;
    if ((flags_and_key_bytes & 0xffff) != 0 || key_bytes >= TX_TREE_ENTRY_BYTES ||
        (uint64_t)offset + TX_NODE_HEADER + key_bytes + value_bytes > TX_PAGE_BYTES)
        return false;
    pair->key = node + TX_NODE_HEADER;
    pair->key_bytes = key_bytes;
    pair->value = pair->key + key_bytes;
    pair->value_bytes = value_bytes;
    return true;
}

/* To the next node of the page, or the one before; false when it has none that is plain. */
static inline bool
tx_tree_leaf_step(struct tx_tree_leaf *leaf, bool backward, struct tx_tree_pair *pair)
{
    const uint32_t at = backward ? leaf->at - 1 : leaf->at + 1; /* before the first: too large */

    if (at >= leaf->count || !tx_tree_leaf_read(leaf, at, pair))
        return false;
    leaf->at = at;
    return true;
}

/* Enter the page that the pair, where LMDB's cursor stands, lies in; nothing if it cannot be. */
static inline void
tx_tree_leaf_enter(struct tx_tree_leaf *leaf, bool backward, const struct tx_tree_pair *pair)
{
    const uint32_t in_page = (uint32_t)((uintptr_t)pair->key % TX_PAGE_BYTES);
    const uint8_t *page = pair->key - in_page;
    const uint32_t node = in_page - TX_NODE_HEADER;
    uint32_t lower, count, at;

    /* A longer key may be put together in other memory. */
    if (pair->key_bytes >= TX_TREE_ENTRY_BYTES || in_page < TX_PAGE_HEADER + TX_NODE_HEADER ||
        pair->value != pair->key + pair->key_bytes)
        return;
    lower = tx_get_u16(page + TX_AT_LOWER);
    if (tx_get_u16(page + TX_AT_PAGE_FLAGS) != TX_PAGE_LEAF || lower < TX_PAGE_HEADER ||
        lower > TX_PAGE_BYTES)
        return;
    count = (lower - TX_PAGE_HEADER) / 2;
    for (at = 0; at < count; at++) {
        const uint32_t of = backward ? count - 1 - at : at;

        if (tx_get_u16(page + TX_PAGE_HEADER + 2 * of) == node) {
            *leaf = (struct tx_tree_leaf){ page, count, of, of };
            return;
        }
    }
}

#endif /* TX_TREE_LEAF_H */
