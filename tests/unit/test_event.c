/*
 * test_event.c - wake-ups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "../../src/event.h"

enum { TURNS = 10000, STACK_TURNS = 10000, WAITERS = 4 };

static uint64_t
now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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
        if (!tx_event_wait(&p->ping, turn, p->spin_turns, 5000000)) {
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
        woken = tx_event_wait(&p.pong, turn, spin_turns, 5000000);
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

    if (tx_event_wait(&crowd->event, 0, 0, 5000000))
        (void)tx_fetch_add_64(&crowd->woken, 1);
    return NULL;
}

static void
one_signal_wakes_all_waiters(void **state)
{
    struct crowd crowd = { .woken = 0 };
    const struct timespec nap = { .tv_nsec = 20000000 };
    pthread_t threads[WAITERS];

    (void)state;
    tx_event_init(&crowd.event);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_crowd, &crowd), 0);
    (void)nanosleep(&nap, NULL);
    tx_event_signal(&crowd.event);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.woken, WAITERS);
}

struct hand_over {
    struct tx_event *event; /* atomic: the waiter's present event, on its stack */
    uint64_t stop;          /* atomic */
};

static void *
signal_what_is_offered(void *arg)
{
    struct hand_over *h = arg;

    while (tx_load_acquire_64(&h->stop) == 0) {
        struct tx_event *event = tx_load_acquire_ptr((void *const *)&h->event);

        if (event == NULL) {
            sched_yield();
            continue;
        }
        tx_store_release_ptr((void **)&h->event, NULL);
        tx_event_signal(event);
    }
    return NULL;
}

/*
 * Goal: a signal writes the event's memory once only, so a waiter may reuse it when it has seen it.
 * Method: the waiter fills the memory with ones as soon as its wait returns, with the flag set as a
 * sleeper would, and looks at it a while later.
 */
static void
a_signal_does_not_touch_memory_that_the_waiter_took_back(void **state)
{
    struct hand_over h = { .event = NULL };
    pthread_t thread;
    uint32_t damaged = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, signal_what_is_offered, &h), 0);
    for (uint32_t turn = 0; turn < STACK_TURNS; turn++) {
        struct tx_event event = { .ec = { .counter = (uint32_t)1 << 31 } };

        tx_store_release_ptr((void **)&h.event, &event);
        while (tx_event_value(&event) == 0)
            tx_pause();
        tx_store_release_32(&event.ec.counter, UINT32_MAX);
        for (int i = 0; i < 50; i++)
            damaged += tx_load_acquire_32(&event.ec.counter) != UINT32_MAX;
    }
    tx_store_release_64(&h.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(damaged, 0);
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
        cmocka_unit_test(a_signal_does_not_touch_memory_that_the_waiter_took_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
