/*
 * test_gather.c - how long a leader waits for company.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "../../src/gather.h"
#include "../../src/os.h"

enum { LONG_US = 1000000, SHORT_US = 20000 };

static struct tx_gather gather;

static uint64_t
time_of_wait(void)
{
    const uint64_t began = tx_os_now_us();

    tx_gather_wait(&gather);
    return tx_os_now_us() - began;
}

static void
arrive(uint64_t count)
{
    while (count-- > 0)
        tx_gather_announce(&gather);
}

static void
who_was_alone_is_not_waited_with(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .wait_us = LONG_US };
    assert_true(time_of_wait() < LONG_US / 2);
    gather.last = 1;
    assert_true(time_of_wait() < LONG_US / 2);
}

static void
nobody_is_waited_for_when_all_but_one_are_there(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 2 * TX_GATHER_FEW_MAX, .wait_us = LONG_US };
    arrive(2 * TX_GATHER_FEW_MAX - 1);
    assert_true(time_of_wait() < LONG_US / 2);
}

static void
who_does_not_come_is_waited_for_once_and_half_a_sync_at_most(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 8, .wait_us = SHORT_US };
    arrive(6);
    assert_true(time_of_wait() >= SHORT_US);
    tx_gather_note(&gather, 6, 100);
    assert_int_equal(gather.wait_us, 50);
    assert_int_equal(gather.last, 6);
    tx_gather_note(&gather, 0, 60000000); /* a slow disk: not as long as that */
    assert_true(gather.wait_us <= 1000);
    assert_int_equal(gather.arrived, gather.drained);
}

static void
after_a_group_without_any_nobody_is_waited_for(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 8, .wait_us = LONG_US };
    tx_gather_note(&gather, 0, 0);
    gather.wait_us = LONG_US;
    assert_true(time_of_wait() < LONG_US / 2);
}

static void
of_a_few_all_are_waited_for(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 1, .wait_us = SHORT_US };
    arrive(2); /* the one that is synced, and one that comes meanwhile */
    tx_gather_note(&gather, 1, 2 * SHORT_US);
    assert_int_equal(tx_gather_few(&gather), 2);
    assert_true(time_of_wait() >= 200);
    arrive(1);
    gather.wait_us = LONG_US;
    assert_true(time_of_wait() < LONG_US / 2);
    tx_gather_note(&gather, 2, 100);
    assert_int_equal(tx_gather_few(&gather), 2);
}

static void
of_eight_all_are_waited_for(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 7, .came = 1, .wait_us = SHORT_US };
    assert_int_equal(tx_gather_few(&gather), 8);
    arrive(7);
    assert_true(time_of_wait() >= SHORT_US);
    arrive(1);
    gather.wait_us = LONG_US;
    assert_true(time_of_wait() < LONG_US / 2);
}

static void
who_is_alone_again_is_not_waited_with(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = 2, .wait_us = SHORT_US };
    arrive(1);
    assert_true(time_of_wait() >= SHORT_US); /* once */
    tx_gather_note(&gather, 1, 100);
    assert_int_equal(tx_gather_few(&gather), 0);
    gather.wait_us = LONG_US;
    assert_true(time_of_wait() < LONG_US / 2);
}

static void
of_many_one_may_be_missing(void **state)
{
    (void)state;
    gather = (struct tx_gather){ .last = TX_GATHER_FEW_MAX, .came = 1, .wait_us = LONG_US };
    assert_int_equal(tx_gather_few(&gather), 0);
    arrive(TX_GATHER_FEW_MAX - 1);
    assert_true(time_of_wait() < LONG_US / 2);
}

static void *
come_one_by_one(void *arg)
{
    for (int i = 0; i < 3; i++) {
        (void)tx_fetch_add_64(&gather.arrived, 1);
        (void)sched_yield();
    }
    return arg;
}

static void
the_wait_ends_when_the_last_one_comes(void **state)
{
    pthread_t thread;

    (void)state;
    gather = (struct tx_gather){ .last = 3, .wait_us = 10 * LONG_US };
    assert_int_equal(pthread_create(&thread, NULL, come_one_by_one, NULL), 0);
    assert_true(time_of_wait() < 5 * LONG_US);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_alone_is_not_waited_with),
        cmocka_unit_test(of_a_few_all_are_waited_for),
        cmocka_unit_test(of_eight_all_are_waited_for),
        cmocka_unit_test(who_is_alone_again_is_not_waited_with),
        cmocka_unit_test(of_many_one_may_be_missing),
        cmocka_unit_test(nobody_is_waited_for_when_all_but_one_are_there),
        cmocka_unit_test(who_does_not_come_is_waited_for_once_and_half_a_sync_at_most),
        cmocka_unit_test(after_a_group_without_any_nobody_is_waited_for),
        cmocka_unit_test(the_wait_ends_when_the_last_one_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
