/*
 * bound.h - a bound of a cursor's range, copied: a short one without an allocation.
 *
 * Threads: the cursor's. Layer 5: skiplist.h (struct tx_key), mem.h.
 */
#ifndef TX_BOUND_H
#define TX_BOUND_H

#include "error.h"
#include "mem.h"
#include "skiplist.h"

#define TX_BOUND_BYTES 512u /* a longer one takes an allocation */

struct tx_bound {
    uint8_t *data; /* of a long one; NULL before there was any */
    size_t room;
    uint8_t own[TX_BOUND_BYTES];
};

/* `own` needs no clearing. */
static inline void
tx_bound_init(struct tx_bound *bound)
{
    bound->data = NULL;
    bound->room = 0;
}

static inline void
tx_bound_free(struct tx_bound *bound)
{
    if (bound->data != NULL)
        tx_free(bound->data);
}

/* tx_bound_copy of what is no open end. */
TX_MUST_CHECK enum txkv_rc tx_bound_copy_key(struct tx_bound *bound, struct txkv_bytes from,
                                             uint32_t table, struct tx_key *key,
                                             struct txkv_error *err);

/*
 * Copy a bound; *key is the copy, good until the next call, and its data NULL for an open end.
 * TXKV_MISUSE for what is no key.
 */
TX_MUST_CHECK static inline enum txkv_rc
tx_bound_copy(struct tx_bound *bound, struct txkv_bytes from, uint32_t table, struct tx_key *key,
              struct txkv_error *err)
{
    *key = (struct tx_key){ NULL, 0, table };
    return from.data == NULL ? TXKV_OK : tx_bound_copy_key(bound, from, table, key, err);
}

#endif /* TX_BOUND_H */
