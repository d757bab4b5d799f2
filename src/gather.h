/*
 * gather.h - how long a leader waits for company before it begins a group that it will sync.
 *
 * The committers of one group are woken together, and most of them commit again soon. A leader that
 * drains the queue at once finds the first few, and the others wait for two syncs. So it yields the
 * CPU until as many have come as were in the last group, but one: itself; and at the most for half
 * of what the last sync took. A committer that is alone was alone in the last group, and is not
 * waited with. Those who come no more are waited for once.
 *
 * Threads: announce by any; the rest by the leader. Layer 6: atomic.h, os.h.
 */
#ifndef TX_GATHER_H
#define TX_GATHER_H

#include "atomic.h"

struct tx_gather {
    /* Atomic: requests that want a sync, ever. Orders nothing: a miscount costs a little time. */
    uint64_t arrived TX_ALIGNED;
    /* The leader's. */
    uint64_t drained; /* of them */
    uint64_t last;    /* in the last group that synced */
    uint64_t wait_us; /* the most to wait now */
};

static inline void
tx_gather_announce(struct tx_gather *gather)
{
    (void)tx_fetch_add_64(&gather->arrived, 1);
}

/* Before the queue is drained. */
void tx_gather_wait(const struct tx_gather *gather);

/* A group with so many of them has been synced in that time; with none: nobody is waited for. */
void tx_gather_note(struct tx_gather *gather, uint64_t count, uint64_t sync_us);

#endif /* TX_GATHER_H */
