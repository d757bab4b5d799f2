/*
 * mpsc.h - many-producer, one-consumer hand-over queue, on ck_stack.
 *
 * Any thread pushes; the leader alone drains, taking the whole stack in one swap and turning
 * it round so that requests come out oldest first.
 *
 * Layer 1: base.h, atomic.h.
 */
#ifndef TX_MPSC_H
#define TX_MPSC_H

#include <ck_stack.h>

#include "atomic.h"
#include "base.h"

struct tx_mpsc {
    ck_stack_t stack TX_ALIGNED; /* lock-free: CAS by producers, swap by the consumer [M1] */
};

/*
 * tx_mpsc_push -- hand one node to the consumer.
 *
 * Callers     any thread, any number at once.
 * Progress    lock-free: a failed CAS means another push succeeded.
 * Linearizes  at the successful CAS on the stack head.
 * Order       [M1] release: all the caller wrote into the node is visible to tx_mpsc_drain.
 * Lifetime    the caller owns the node again only once the consumer says so; nothing is freed here.
 * Invariant   node->next is set before the node can be seen. ck_stack_push_mpnc breaks this: it
 *             swaps the head first, so a concurrent drain would read a NULL link and lose nodes.
 */
static inline void
tx_mpsc_push(struct tx_mpsc *q, ck_stack_entry_t *node)
{
    ck_stack_push_upmc(&q->stack, node);
}

/*
 * tx_mpsc_drain -- take every node pushed so far, oldest first. NULL when empty.
 *
 * Callers     the leader only.
 * Progress    wait-free swap, then O(n) private reversal.
 * Linearizes  at the swap of the head with NULL.
 * Order       [M1] acquire: pairs with tx_mpsc_push.
 * Lifetime    returned nodes are private to the caller.
 */
static inline ck_stack_entry_t *
tx_mpsc_drain(struct tx_mpsc *q)
{
    ck_stack_entry_t *newest = ck_stack_batch_pop_upmc(&q->stack);
    ck_stack_entry_t *oldest = NULL;

    while (newest != NULL) {
        ck_stack_entry_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* True when nothing is waiting to be drained. Any thread; a hint unless a full fence stands before
 * it. */
static inline bool
tx_mpsc_empty(const struct tx_mpsc *q)
{
    return tx_load_acquire_ptr((void *const *)&q->stack.head) == NULL;
}

#endif /* TX_MPSC_H */
