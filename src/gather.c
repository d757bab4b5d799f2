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
    const uint64_t few = tx_gather_few(gather);
    const uint64_t company = few > 0 ? few : gather->last > 2 ? gather->last - 1 : 0;
    uint64_t until;

    if (company == 0)
        return;
    until = tx_os_now_us() + gather->wait_us;
    while (tx_load_relaxed_64(&gather->arrived) - gather->drained < company &&
           tx_os_now_us() < until)
        (void)sched_yield();
}

void
tx_gather_note(struct tx_gather *gather, uint64_t count, uint64_t sync_us)
{
    gather->drained += count;
    gather->last = count;
    gather->came = tx_load_relaxed_64(&gather->arrived) - gather->drained;
    gather->wait_us = tx_min_u64(sync_us / 2, WAIT_US_MAX);
}
