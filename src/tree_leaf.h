/*
 * tree_leaf.h - a cursor's steps within one leaf page of LMDB's.
 *
 * A step of LMDB's cursor takes some 150 instructions, a look at the next node of the same page a
 * tenth of that. A page that a read sees stays as it is until the read ends, which the pairs that
 * LMDB gives rely on as well, so its nodes are visited here, where pages_private.h says that they
 * stand, from the first step after a seek on. LMDB's cursor waits at the node where the page was
 * entered; before it goes on from the page's last one it is put there.
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

/*
 * Ask for a node that is visited soon: to wait for its bytes takes longer than all else. Inline at
 * any rate: gcc leaves out calls of a function that does nothing but this.
 */
__attribute__((always_inline)) static inline void
tx_tree_leaf_prefetch(const struct tx_tree_leaf *leaf, uint32_t at)
{
    const uint8_t *node;

    if (at >= leaf->count)
        return;
    node = leaf->page + tx_get_u16(leaf->page + TX_PAGE_HEADER + 2 * at);
    __builtin_prefetch(node);
    __builtin_prefetch(node + 64);
}

/* To the next node of the page, or the one before; false when it has none that is plain. */
static inline bool
tx_tree_leaf_step(struct tx_tree_leaf *leaf, bool backward, struct tx_tree_pair *pair)
{
    const uint32_t at = backward ? leaf->at - 1 : leaf->at + 1; /* before the first: too large */

    if (at >= leaf->count || !tx_tree_leaf_read(leaf, at, pair))
        return false;
    leaf->at = at;
    tx_tree_leaf_prefetch(leaf, backward ? at - 1 : at + 1);
    return true;
}

/* The place of a node in a page's list, or `count`. */
static inline uint32_t
tx_tree_leaf_find(const uint8_t *list, uint32_t count, uint32_t node)
{
    typedef uint16_t eight __attribute__((vector_size(16)));
    const eight wanted = htole16((uint16_t)node) - (eight){ 0 };
    uint32_t at = 0;

    for (; at + 8 <= count; at += 8) {
        uint64_t same[2];
        eight of;

        memcpy(&of, list + 2 * at, sizeof of);
        of = (eight)(of == wanted);
        memcpy(same, &of, sizeof same);
        if ((same[0] | same[1]) != 0)
            break;
    }
    while (at < count && tx_get_u16(list + 2 * at) != node)
        at++;
    return at;
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
    at = count - 1; /* where a way back comes to it; too large without nodes */
    if (!backward || at >= count || tx_get_u16(page + TX_PAGE_HEADER + 2 * at) != node)
        at = tx_tree_leaf_find(page + TX_PAGE_HEADER, count, node);
    if (at < count)
        *leaf = (struct tx_tree_leaf){ page, count, at, at };
}

#endif /* TX_TREE_LEAF_H */
