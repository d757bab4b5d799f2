/*
 * gather.c - how long a leader waits for company before it begins a group that it will sync.
 */
#include "gather.h"

#include <sched.h>

#include "os.h"

enum { WAIT_US_MAX = 200 };

void
tx_gather_wait(const struct tx_gather *gather)
{
    uint64_t until;

    if (gather->last <= 2)
        return;
    until = tx_os_now_us() + gather->wait_us;
    while (tx_load_relaxed_64(&gather->arrived) - gather->drained + 1 < gather->last &&
           tx_os_now_us() < until)
        (void)sched_yield();
}

void
tx_gather_note(struct tx_gather *gather, uint64_t count, uint64_t sync_us)
{
    gather->drained += count;
    gather->last = count;
    gather->wait_us = tx_min_u64(sync_us / 2, WAIT_US_MAX);
}
