/*
 * keysort.h - sorting many keys: before they are entered into a skip list, where each step is then
 * cheap, or for a walk.
 *
 * Any thread. Layer 3: skiplist.h, os.h.
 */
#ifndef TX_KEYSORT_H
#define TX_KEYSORT_H

#include "base.h"
#include "skiplist.h"

struct tx_sort_item {
    uint32_t index;  /* the caller's; items with one key come in its order */
    uint32_t table;  /* tx_keysort's */
    uint64_t prefix; /* tx_keysort's: eight key bytes behind what all keys share */
};

/* The key of the item with that index. */
typedef struct tx_key tx_sort_key(const void *arg, uint32_t index);

void tx_keysort(struct tx_sort_item *items, uint32_t count, tx_sort_key *key_of, const void *arg);

/* The same; of many items a second thread sorts one half, and calls key_of meanwhile. */
void tx_keysort_by_two(struct tx_sort_item *items, uint32_t count, tx_sort_key *key_of,
                       const void *arg);

#endif /* TX_KEYSORT_H */
