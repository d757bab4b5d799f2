/*
 * test_pace.c - how much is let wait for a checkpoint.
 */
#include "store_fixture.h"

#include <sys/mman.h>

#include "../../src/pace.h"

enum { SECOND_US = 1000000 };

static uint64_t memory = UINT64_MAX;

static uint64_t
fixed_memory(void)
{
    return memory;
}

static struct tx_core *
core(void)
{
    return &db->core;
}

static void
a_quick_checkpoint_leaves_the_options_alone(void **state)
{
    (void)state;
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
    tx_pace_note(core(), 64 * MIB, 2 * SECOND_US);
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
    assert_true(tx_pace_checkpoint_bytes(core()) == 64 * (uint64_t)MIB);
    tx_pace_note(core(), 64 * MIB, 0);
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
}

/* stall_timeout_ms is 10,000. */
static void
a_slow_one_lets_wait_what_goes_in_a_quarter_of_stall_timeout(void **state)
{
    (void)state;
    tx_pace_note(core(), 128 * MIB, 5 * SECOND_US);
    assert_true(tx_pace_limit(core()) == 64 * (uint64_t)MIB);
    assert_true(tx_pace_checkpoint_bytes(core()) == 16 * (uint64_t)MIB);
    assert_true(stat_of("overlay_bytes_limit") == 64 * MIB);
    tx_pace_note(core(), MIB, 60 * SECOND_US); /* it has waited for something else */
    assert_true(tx_pace_limit(core()) == 64 * (uint64_t)MIB);
    tx_pace_note(core(), 32 * MIB, 2 * SECOND_US); /* neither slow nor quick */
    assert_true(tx_pace_limit(core()) == 64 * (uint64_t)MIB);
    tx_pace_note(core(), 32 * MIB, 3600 * (uint64_t)SECOND_US);
    assert_true(tx_pace_limit(core()) == 16 * (uint64_t)MIB); /* no less than that */
    for (uint64_t mib = 32; mib <= 256; mib *= 2) {
        tx_pace_note(core(), MIB, SECOND_US);
        assert_true(tx_pace_limit(core()) == mib * MIB); /* and up again */
    }
    assert_true(tx_pace_bytes(core()) == UINT64_MAX);
}

static void
who_waits_for_a_short_time_is_not_slowed_down(void **state)
{
    (void)state;
    tx_pace_note(core(), 32 * MIB, 3600 * (uint64_t)SECOND_US);
    assert_true(tx_pace_limit(core()) < 256 * (uint64_t)MIB);
    tx_store_relaxed_64(&core()->limits.stall_timeout_us, SECOND_US);
    tx_pace_note(core(), 32 * MIB, 3600 * (uint64_t)SECOND_US);
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
    tx_store_relaxed_64(&core()->limits.stall_timeout_us, 0);
    tx_pace_note(core(), 32 * MIB, 3600 * (uint64_t)SECOND_US);
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
}

static void
fill(uint32_t rows)
{
    static char value[1001];
    char key[16];

    memset(value, 'v', sizeof value - 1);
    begin(s1);
    for (uint32_t i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "k%07u", i);
        put(s1, key, value);
    }
    commit(s1);
    checkpoint();
}

static void
a_store_that_outgrows_the_memory_gets_a_part_of_it(void **state)
{
    (void)state;
    OK(close_all());
    memory = 128 * MIB;
    tx_os.memory_bytes = fixed_memory;
    reopen();
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
    OK(close_all());
    memory = 4 * MIB;
    reopen();
    fill(4000);
    assert_true(tx_pace_limit(core()) == MIB); /* at least that */
    OK(close_all());
    memory = 6 * MIB;
    reopen();
    assert_true(tx_pace_limit(core()) == MIB); /* before its first checkpoint, too */
    OK(close_all());
    tx_os = tx_os_system;
    reopen();
    assert_true(tx_pace_limit(core()) == 256 * (uint64_t)MIB);
}

static uint64_t asked; /* atomic: how often for pages ahead */

static int
count_advice(void *address, size_t bytes, int advice)
{
    if (advice == MADV_WILLNEED)
        (void)tx_fetch_add_64(&asked, 1);
    return madvise(address, bytes, advice);
}

/* With a thread that collects the rows, and without. */
static void
its_checkpoints_ask_for_the_pages_that_they_change(void **state)
{
    const uint32_t rows[] = { 20000, 4000 };
    const struct txkv_options options = { .map_size = 128 * MIB, .checkpoint_bytes = 1 << 30 };

    (void)state;
    OK(close_all());
    tx_os.advise = count_advice;
    memory = 4 * MIB;
    tx_os.memory_bytes = fixed_memory;
    reopen_with(&options);
    fill(rows[0]);
    for (int i = 0; i < 2; i++) {
        tx_store_relaxed_64(&asked, 0);
        fill(rows[i]);
        assert_true(tx_load_relaxed_64(&asked) >= 1);
        assert_true(tx_load_relaxed_64(&asked) < rows[i] / 4);
    }
}

/* The map is made anew while the pages of what comes next are being asked for. */
static void
its_map_grows_all_the_same(void **state)
{
    const struct txkv_options options = { .map_size = 8 * MIB, .checkpoint_bytes = 1 << 30 };

    (void)state;
    OK(close_all());
    memory = 4 * MIB;
    tx_os.memory_bytes = fixed_memory;
    reopen_with(&options);
    fill(4000);
    fill(20000);
    assert_true(stat_of("lmdb_map_grows") >= 1);
    assert_true(stat_of("checkpoints_failed") == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_quick_checkpoint_leaves_the_options_alone),
        STORE_TEST(a_slow_one_lets_wait_what_goes_in_a_quarter_of_stall_timeout),
        STORE_TEST(who_waits_for_a_short_time_is_not_slowed_down),
        STORE_TEST(a_store_that_outgrows_the_memory_gets_a_part_of_it),
        STORE_TEST(its_checkpoints_ask_for_the_pages_that_they_change),
        STORE_TEST(its_map_grows_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
