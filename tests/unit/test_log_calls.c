/*
 * test_log_calls.c - records that are written by calls rather than through the map.
 */
#include "log_fixture.h"

static unsigned calls;
static bool fails;

/* Short, and sometimes not at all. */
static ssize_t
counted_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    calls++;
    if (fails && calls % 2 == 0) {
        errno = EIO;
        return -1;
    }
    return tx_os_system.pwrite(fd, bytes, fails && count > 9 ? 9 : count, offset);
}

static int
setup_counted(void **state)
{
    const int e = setup(state);

    calls = 0;
    fails = false;
    tx_os.pwrite = counted_pwrite;
    return e;
}

static void
short_records_are_written_by_two_calls_each_when_it_is_asked_for(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 100);
    assert_int_equal(calls, 0);
    tx_log_write_by_calls(log_now, true);
    append_synced(2, 100);
    append_synced(3, 8);
    assert_int_equal(calls, 4);
    tx_log_write_by_calls(log_now, false);
    append_synced(4, 100);
    assert_int_equal(calls, 4);
    expect_records(4);
}

static void
long_records_go_through_the_map_all_the_same(void **state)
{
    (void)state;
    expect_records(0);
    tx_log_write_by_calls(log_now, true);
    append_synced(1, 20000);
    assert_int_equal(calls, 0);
    append_synced(2, 2000);
    assert_int_equal(calls, 2);
    expect_records(2);
}

/* Goal: calls that fail, also in the middle of a record, lose nothing: the map takes it. */
static void
what_calls_do_not_take_the_map_does(void **state)
{
    (void)state;
    expect_records(0);
    tx_log_write_by_calls(log_now, true);
    fails = true;
    for (uint64_t n = 1; n <= 50; n++)
        append_synced(n, 8 + 8 * (uint32_t)n);
    fails = false;
    expect_records(50);
}

static void
what_calls_do_not_take_of_large_records_the_map_does(void **state)
{
    (void)state;
    expect_records(0);
    append_synced(1, 70000);
    assert_int_equal(calls, 1);
    fails = true;
    for (uint64_t n = 2; n <= 6; n++)
        append_synced(n, 70000 + 8 * (uint32_t)n);
    assert_true(calls > 1);
    fails = false;
    expect_records(6);
}

static void
segments_are_filled_by_calls_to_their_ends(void **state)
{
    (void)state;
    expect_records(0);
    tx_log_write_by_calls(log_now, true);
    for (uint64_t n = 1; n <= 200; n++)
        assert_int_equal(append(n, 1000 + (uint32_t)n), TXKV_OK);
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
    assert_int_equal(calls, 400);
    expect_records(200);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            short_records_are_written_by_two_calls_each_when_it_is_asked_for, setup_counted,
            teardown),
        cmocka_unit_test_setup_teardown(long_records_go_through_the_map_all_the_same, setup_counted,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_calls_do_not_take_the_map_does, setup_counted,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_calls_do_not_take_of_large_records_the_map_does,
                                        setup_counted, teardown),
        cmocka_unit_test_setup_teardown(segments_are_filled_by_calls_to_their_ends, setup_counted,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
