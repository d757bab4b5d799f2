/*
 * gather.h - how long a leader waits for company before it begins a group that it will sync.
 *
 * The committers of one group are woken together, and most of them commit again soon. A leader that
 * drains the queue at once finds the first few, and the others wait for two syncs. So it yields the
 * CPU until as many have come as were in the last group, but one: itself; and at the most for half
 * of what the last sync took. A committer that is alone was alone in the last group, and is not
 * waited with. Those who come no more are waited for once.
 *
 * Few committers would miss each other for ever: of two, one comes while the other is synced, and
 * leads or is led alone. So all of a few are waited for, those of the last group and those who came
 * while it was synced; and a leader among them, who cannot come while it leads, gives its place to
 * the others once its own request is done: of eight the group would always lack one, whose commit
 * would take as long as all the rounds that it leads. Many are enough for a group without the last
 * of them.
 *
 * Threads: announce by any; the rest by the leader. Layer 6: atomic.h, os.h.
 */
#ifndef TX_GATHER_H
#define TX_GATHER_H

#include "atomic.h"

#define TX_GATHER_FEW_MAX 16

struct tx_gather {
    /* Atomic: requests that want a sync, ever. Orders nothing: a miscount costs a little time. */
    uint64_t arrived TX_ALIGNED;
    /* The leader's. */
    uint64_t drained; /* of them */
    uint64_t last;    /* in the last group that synced */
    uint64_t came;    /* while it was synced */
    uint64_t wait_us; /* the most to wait now */
};

static inline void
tx_gather_announce(struct tx_gather *gather)
{
    (void)tx_fetch_add_64(&gather->arrived, 1);
}

/* How many committers there seem to be, if they are few; else 0. */
static inline uint64_t
tx_gather_few(const struct tx_gather *gather)
{
    const uint64_t all = gather->last + gather->came;

    return all > 1 && all <= TX_GATHER_FEW_MAX ? all : 0;
}

/* Whether there seem to be more than a few. */
static inline bool
tx_gather_many(const struct tx_gather *gather)
{
    return gather->last + gather->came > TX_GATHER_FEW_MAX;
}

/* Before the queue is drained. */
void tx_gather_wait(const struct tx_gather *gather);

/* A group with so many of them has been synced in that time; with none: nobody is waited for. */
void tx_gather_note(struct tx_gather *gather, uint64_t count, uint64_t sync_us);

#endif /* TX_GATHER_H */
