/*
 * event.h - sleeping until something has happened, and the only file that includes ck_ec.h.
 *
 * An event is a 32-bit counter: a waiter remembers the value it saw, and sleeps until it differs.
 *
 * Layer 1: base.h, atomic.h.
 */
#ifndef TX_EVENT_H
#define TX_EVENT_H

#include <ck_ec.h>

#include "atomic.h"
#include "base.h"

#define TX_EVENT_WAKES_MAX  64
#define TX_EVENT_SHARED_MAX 4

struct tx_event {
    struct ck_ec32 ec;
};

void tx_event_init(struct tx_event *event);

/* The value now. Order: acquire [M5]: what was written before the tx_event_signal that made it is
 * visible. */
uint32_t tx_event_value(struct tx_event *event);

/*
 * tx_event_signal -- add one and wake all waiters. A system call only when someone sleeps.
 *
 * Callers     any thread, any number at once.
 * Order       [M5] release.
 * Lifetime    after the increment the memory is not touched again, but for a futex wake on its
 * address, which is harmless on memory that has been freed or reused.
 */
void tx_event_signal(struct tx_event *event);

/* Sleepers that are still to be woken, by the one thread that has it. */
struct tx_event_wakes {
    uint32_t count;
    const uint32_t *words[TX_EVENT_WAKES_MAX];
    uint32_t shared_count;
    struct tx_event *shared[TX_EVENT_SHARED_MAX];
};

/*
 * tx_event_signal in two steps, for who has something to let go of in between: a thread that is
 * woken may take the CPU from the one that wakes it. From the first step on a waiter that does not
 * sleep goes on. The first does both when there is no more room.
 */
void tx_event_signal_later(struct tx_event *event, struct tx_event_wakes *wakes);
void tx_event_wake_all(struct tx_event_wakes *wakes);

/*
 * The same for an event that many wait for, each for its own part of what happens: it is noted, and
 * tx_event_wake_all signals it, once however often it was noted. Until then nobody goes on. So they
 * are all woken by one system call. The event must live until then.
 */
void tx_event_signal_shared_later(struct tx_event *event, struct tx_event_wakes *wakes);

/*
 * Look for up to `turns` turns, in case that who signals is running on another CPU, then sleep
 * until the value is not `seen`; true when it changed, false after timeout_us (UINT64_MAX: never).
 * Order: acquire [M5].
 */
bool tx_event_wait(struct tx_event *event, uint32_t seen, uint32_t turns, uint64_t timeout_us);

/*
 * The same for a word that processes share, without the flag: sleep while *word is `seen`, for up
 * to timeout_us; wake all who sleep on it, after it has been changed. A sleeper may wake up for
 * nothing.
 */
void tx_event_sleep_shared(const uint32_t *word, uint32_t seen, uint64_t timeout_us);
void tx_event_wake_shared(const uint32_t *word);

#endif /* TX_EVENT_H */
