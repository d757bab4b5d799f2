/*
 * event.c - sleeping until something has happened, on ck_ec.
 *
 * The word is a ck_ec32's: the counter in 31 bits, and a flag on top that a waiter sets before it
 * sleeps. Waiting is ck_ec's, in the form for many producers. Signalling is not: ck_ec32_inc
 * increments first and clears the flag with a second write, which hits memory that the waiter,
 * having seen the increment, may have left or freed by then. Here one compare-and-swap does both.
 *
 * Why no wake-up is lost: a waiter sleeps only while the word is exactly `seen` with the flag. It
 * sets the flag with a compare-and-swap from `seen`, so a signal either came before, and the swap
 * fails, or finds the flag and wakes; the kernel compares the word once more before it sleeps.
 *
 * Ordering: [M5] tx_event_signal releases, tx_event_value acquires.
 */
#include "event.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FLAG ((uint32_t)1 << 31)

static int
get_time(const struct ck_ec_ops *ops, struct timespec *now)
{
    (void)ops;
    return clock_gettime(CLOCK_MONOTONIC, now);
}

/*
 * ck_ec hands over short deadlines at first, since a single producer's increment may wipe the
 * waiter's flag out. Ours cannot, so sleep until the caller's own deadline.
 */
static void
futex_wait(const struct ck_ec_wait_state *state, const uint32_t *word, uint32_t expected,
           const struct timespec *deadline)
{
    (void)deadline;
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, state->data, NULL,
                  FUTEX_BITSET_MATCH_ANY);
}

/* Spinning is over before ck_ec is called: 1 is the least it takes. */
static const struct ck_ec_ops futex_ops = {
    .gettime = get_time,
    .wait32 = futex_wait,
    .busy_loop_iter = 1,
};
static const struct ck_ec_mode futex_mode = { .ops = &futex_ops, .single_producer = false };

/* Until the value is not `seen` or the time is over. */
static void
sleep_while(struct tx_event *event, uint32_t seen, uint64_t timeout_us)
{
    struct timespec at;

    if (timeout_us == UINT64_MAX) {
        (void)ck_ec32_wait_pred(&event->ec, &futex_mode, seen, NULL, NULL, NULL);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(timeout_us / 1000000);
    at.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    (void)ck_ec32_wait_pred(&event->ec, &futex_mode, seen, NULL, &at, &at);
}

void
tx_event_init(struct tx_event *event)
{
    ck_ec32_init(&event->ec, 0);
}

uint32_t
tx_event_value(struct tx_event *event)
{
    return tx_load_acquire_32(&event->ec.counter) & ~FLAG; /* [M5] */
}

/* True when somebody sleeps. */
static bool
add_one(struct tx_event *event)
{
    uint32_t *word = &event->ec.counter;
    uint32_t old;

    do {
        old = tx_load_acquire_32(word);
    } while (!tx_cas_32(word, old, (old + 1) & ~FLAG)); /* [M5] */
    return (old & FLAG) != 0;
}

static void
wake(const uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void
tx_event_signal(struct tx_event *event)
{
    if (add_one(event))
        wake(&event->ec.counter);
}

void
tx_event_signal_later(struct tx_event *event, struct tx_event_wakes *wakes)
{
    const uint32_t *word = &event->ec.counter;

    if (!add_one(event))
        return;
    if (wakes->count < TX_EVENT_WAKES_MAX)
        wakes->words[wakes->count++] = word;
    else
        wake(word);
}

void
tx_event_wake_all(struct tx_event_wakes *wakes)
{
    for (uint32_t i = 0; i < wakes->count; i++)
        wake(wakes->words[i]);
    wakes->count = 0;
    for (uint32_t i = 0; i < wakes->shared_count; i++)
        tx_event_signal(wakes->shared[i]);
    wakes->shared_count = 0;
}

void
tx_event_signal_shared_later(struct tx_event *event, struct tx_event_wakes *wakes)
{
    for (uint32_t i = 0; i < wakes->shared_count; i++)
        if (wakes->shared[i] == event)
            return;
    if (wakes->shared_count < TX_EVENT_SHARED_MAX)
        wakes->shared[wakes->shared_count++] = event;
    else
        tx_event_signal(event);
}

bool
tx_event_wait(struct tx_event *event, uint32_t seen, uint32_t turns, uint64_t timeout_us)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        if (tx_event_value(event) != seen)
            return true;
        tx_pause();
    }
    if (tx_event_value(event) == seen && timeout_us > 0)
        sleep_while(event, seen, timeout_us);
    return tx_event_value(event) != seen;
}

void
tx_event_sleep_shared(const uint32_t *word, uint32_t seen, uint64_t timeout_us)
{
    const struct timespec time = { (time_t)(timeout_us / 1000000),
                                   (long)(timeout_us % 1000000) * 1000 };

    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0);
}

void
tx_event_wake_shared(const uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
