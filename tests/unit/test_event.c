/*
 * test_event.c - wake-ups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "../../src/event.h"

#define LOST_AFTER_US 5000000

enum { TURNS = 10000, WAITERS = 4 };

static uint64_t
now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Waits as long as it takes; false when the time limit ended it though the value had changed. */
static bool
woken_in_time(struct tx_event *event, uint32_t seen, uint32_t spin_turns)
{
    const uint64_t begin = now_us();

    return tx_event_wait(event, seen, spin_turns, LOST_AFTER_US) &&
           now_us() - begin < LOST_AFTER_US;
}

static void
wait_times_out_when_nobody_signals(void **state)
{
    struct tx_event event;
    uint64_t begin;

    (void)state;
    tx_event_init(&event);
    begin = now_us();
    assert_false(tx_event_wait(&event, tx_event_value(&event), 10, 20000));
    assert_in_range(now_us() - begin, 20000, 1000000);
    assert_false(tx_event_wait(&event, tx_event_value(&event), 10, 0));
}

static void
wait_returns_at_once_when_the_value_has_changed(void **state)
{
    struct tx_event event;
    uint32_t seen;

    (void)state;
    tx_event_init(&event);
    seen = tx_event_value(&event);
    tx_event_signal(&event);
    assert_true(tx_event_wait(&event, seen, 0, 0));
    assert_true(tx_event_wait(&event, seen, 0, UINT64_MAX));
    assert_int_equal(tx_event_value(&event), seen + 1);
}

static void
the_counter_wraps_without_touching_the_flag(void **state)
{
    struct tx_event event;

    (void)state;
    ck_ec32_init(&event.ec, INT32_MAX);
    tx_event_signal(&event);
    assert_int_equal(tx_event_value(&event), 0);
    assert_int_equal(event.ec.counter, 0);
}

struct ping_pong {
    struct tx_event ping, pong;
    uint32_t spin_turns;
    uint64_t payload; /* plain: ordered by the events alone */
    uint64_t lost;
};

static void *
answer(void *arg)
{
    struct ping_pong *p = arg;

    for (uint32_t turn = 0; turn < TURNS; turn++) {
        if (!woken_in_time(&p->ping, turn, p->spin_turns)) {
            p->lost++;
            return NULL;
        }
        p->payload++;
        tx_event_signal(&p->pong);
    }
    return NULL;
}

/*
 * Goal: no wake-up is lost, and what was written before a signal is seen after the wait.
 * Method: two threads take turns; a lost wake-up is a wait that runs into its time limit.
 */
static void
ping_pong(uint32_t spin_turns)
{
    struct ping_pong p = { .spin_turns = spin_turns };
    pthread_t thread;
    bool woken = true;

    tx_event_init(&p.ping);
    tx_event_init(&p.pong);
    assert_int_equal(pthread_create(&thread, NULL, answer, &p), 0);
    for (uint32_t turn = 0; woken && turn < TURNS; turn++) {
        p.payload++;
        tx_event_signal(&p.ping);
        woken = woken_in_time(&p.pong, turn, spin_turns);
    }
    pthread_join(thread, NULL);
    assert_true(woken);
    assert_int_equal(p.lost, 0);
    assert_int_equal(p.payload, 2 * TURNS);
}

static void
no_wake_up_is_lost_between_sleepers(void **state)
{
    (void)state;
    ping_pong(0);
}

static void
no_wake_up_is_lost_between_spinners(void **state)
{
    (void)state;
    ping_pong(200);
}

struct crowd {
    struct tx_event event;
    uint64_t woken;
};

static void *
wait_in_crowd(void *arg)
{
    struct crowd *crowd = arg;

    if (woken_in_time(&crowd->event, 0, 0))
        (void)tx_fetch_add_64(&crowd->woken, 1);
    return NULL;
}

/* Threads that wait for one event, most of them asleep. */
static void
gather_crowd(struct crowd *crowd, pthread_t threads[WAITERS])
{
    const struct timespec nap = { .tv_nsec = 20000000 };

    tx_event_init(&crowd->event);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_crowd, crowd), 0);
    (void)nanosleep(&nap, NULL);
}

static void
assert_all_wake(const struct crowd *crowd, const pthread_t threads[WAITERS])
{
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd->woken, WAITERS);
}

static void
one_signal_wakes_all_waiters(void **state)
{
    struct crowd crowd = { .woken = 0 };
    pthread_t threads[WAITERS];

    (void)state;
    gather_crowd(&crowd, threads);
    tx_event_signal(&crowd.event);
    assert_all_wake(&crowd, threads);
}

/*
 * Goal: signals in two steps reach all sleepers, also more than there is room for.
 * Method: one sleeper an event; a lost wake-up is a wait that runs into its time limit.
 */
static void
sleepers_that_are_woken_later_are_all_woken(void **state)
{
    enum { SLEEPERS = TX_EVENT_WAKES_MAX + 4 };
    static struct crowd crowds[SLEEPERS];
    static pthread_t threads[SLEEPERS];
    struct tx_event_wakes wakes = { 0 };
    const struct timespec nap = { .tv_nsec = 1000000 };
    uint64_t woken = 0;

    (void)state;
    for (int i = 0; i < SLEEPERS; i++) {
        tx_event_init(&crowds[i].event);
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_crowd, &crowds[i]), 0);
    }
    for (int i = 0; i < SLEEPERS; i++) /* the flag: it sleeps, or is about to */
        while (tx_load_acquire_32(&crowds[i].event.ec.counter) == 0)
            (void)nanosleep(&nap, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        tx_event_signal_later(&crowds[i].event, &wakes);
    assert_int_equal(wakes.count, TX_EVENT_WAKES_MAX);
    tx_event_wake_all(&wakes);
    assert_int_equal(wakes.count, 0);
    for (int i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
        woken += crowds[i].woken;
    }
    assert_int_equal(woken, SLEEPERS);
}

/*
 * Goal: an event that many wait for is signalled once, when all are woken, however often it was
 * noted; and events for which there is no room at once.
 */
static void
who_shares_an_event_is_woken_by_one_signal(void **state)
{
    struct crowd crowd = { .woken = 0 };
    struct tx_event events[TX_EVENT_SHARED_MAX];
    struct tx_event_wakes wakes = { 0 };
    pthread_t threads[WAITERS];

    (void)state;
    gather_crowd(&crowd, threads);
    for (int i = 0; i < WAITERS; i++)
        tx_event_signal_shared_later(&crowd.event, &wakes);
    assert_int_equal(tx_event_value(&crowd.event), 0);
    for (int i = 0; i < TX_EVENT_SHARED_MAX; i++) {
        tx_event_init(&events[i]);
        tx_event_signal_shared_later(&events[i], &wakes);
        assert_int_equal(tx_event_value(&events[i]), i == TX_EVENT_SHARED_MAX - 1);
    }
    tx_event_wake_all(&wakes);
    assert_all_wake(&crowd, threads);
    assert_int_equal(tx_event_value(&crowd.event), 1);
    for (int i = 0; i < TX_EVENT_SHARED_MAX; i++)
        assert_int_equal(tx_event_value(&events[i]), 1);
    tx_event_wake_all(&wakes); /* nothing is left in it */
    assert_int_equal(tx_event_value(&crowd.event), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_times_out_when_nobody_signals),
        cmocka_unit_test(wait_returns_at_once_when_the_value_has_changed),
        cmocka_unit_test(the_counter_wraps_without_touching_the_flag),
        cmocka_unit_test(no_wake_up_is_lost_between_sleepers),
        cmocka_unit_test(no_wake_up_is_lost_between_spinners),
        cmocka_unit_test(one_signal_wakes_all_waiters),
        cmocka_unit_test(sleepers_that_are_woken_later_are_all_woken),
        cmocka_unit_test(who_shares_an_event_is_woken_by_one_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
