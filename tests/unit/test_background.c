/*
 * test_background.c - when the background threads work, and that an idle store sleeps.
 */
#include <dirent.h>

#include "store_fixture.h"

static void
the_log_past_checkpoint_bytes_is_checkpointed(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .checkpoint_bytes = 64 * KIB };
    static char large[100 * KIB];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    OK(close_all());
    reopen_with(&options);
    set(s1, "small", "x");
    assert_int_equal(stat_of("checkpoints"), 0);
    set(s1, "large", large);
    while (stat_of("checkpoints") == 0)
        nap();
    assert_int_equal(stat_of("checkpoint_lsn"), stat_of("published_lsn"));
}

static uint32_t unlink_held, unlink_waits;

static int
held_unlink(const char *path)
{
    while (tx_load_acquire_32(&unlink_held) != 0) {
        tx_store_release_32(&unlink_waits, 1);
        nap();
    }
    return tx_os_system.unlink(path);
}

static void
what_was_asked_for_before_a_checkpoint_is_not_done_again_after_it(void **state)
{
    static char large[100 * KIB];

    (void)state;
    OK(close_all());
    tx_os.unlink = held_unlink;
    reopen();
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 5; i++)
        set(s1, "large", large);
    (void)pthread_mutex_lock(&db->checkpoint.mutex);
    tx_core_want_checkpoint(&db->core);
    while (tx_load_acquire_64(&db->core.checkpoint_wanted) != 0)
        nap();
    tx_core_want_checkpoint(&db->core); /* as commits do while a checkpoint runs */
    tx_store_release_32(&unlink_held, 1);
    (void)pthread_mutex_unlock(&db->checkpoint.mutex);
    while (tx_load_acquire_32(&unlink_waits) == 0) /* it is in LMDB, and its log is being removed */
        nap();
    set(s1, "k", "v");
    tx_store_release_32(&unlink_held, 0);
    while (stat_of("checkpoints") == 0 || tx_load_acquire_64(&db->core.checkpoint_wanted) != 0)
        nap();
    (void)pthread_mutex_lock(&db->checkpoint.mutex); /* which the thread may have by now */
    (void)pthread_mutex_unlock(&db->checkpoint.mutex);
    (void)usleep(50000);
    assert_int_equal(stat_of("checkpoints"), 1);
    tx_core_want_checkpoint(&db->core);
    while (stat_of("checkpoints") == 1)
        nap();
    assert_int_equal(stat_of("checkpoint_lsn"), stat_of("published_lsn"));
}

/* The interval runs from the first commit; another opener's shorter one holds at once. */
static void
a_shorter_interval_takes_effect_at_once(void **state)
{
    const struct txkv_options shorter = { .checkpoint_interval_s = 1 };
    struct txkv *second;

    (void)state;
    set(s1, "a", "1");
    for (int i = 0; i < 100; i++)
        nap(); /* the checkpointer sleeps for its minute */
    OK(txkv_open(dir, &shorter, &second, &err));
    while (stat_of("checkpoints") == 0)
        nap();
    OK(txkv_close(second, &err));
}

/* Voluntary context switches of the store's threads; a sanitizer may have some of its own. */
static uint64_t
background_switches(void)
{
    char path[64], line[128];
    uint64_t sum = 0, n;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;

    assert_non_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        bool is_ours = false;
        FILE *status;

        (void)snprintf(path, sizeof path, "/proc/self/task/%.16s/status", entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        status = fopen(path, "r");
        assert_non_null(status);
        while (fgets(line, sizeof line, status) != NULL)
            if (strncmp(line, "Name:\ttxkv-", 11) == 0)
                is_ours = true;
            else if (is_ours && sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
                sum += n;
        (void)fclose(status);
    }
    (void)closedir(tasks);
    return sum;
}

/* What is under way comes to rest, and then for a second the threads wake up so often at most. */
static void
assert_wakes(unsigned times)
{
    uint64_t before;

    for (int i = 0; i < 250; i++)
        nap();
    before = background_switches();
    assert_true(before > 0);
    for (int i = 0; i < 4; i++)
        for (const struct timespec t = { 0, 250000000 }; nanosleep(&t, NULL) != 0;)
            continue;
    assert_in_range(background_switches() - before, 0, times);
}

static void
an_idle_store_does_not_wake_up(void **state)
{
    (void)state;
    set(s1, "a", "1");
    begin(s1);
    put(s1, "a", "2");
    OK(txkv_commit(s1, TXKV_SYNC_NORMAL, &err));
    while (stat_of("durable_lsn") < stat_of("published_lsn"))
        nap();
    checkpoint();
    assert_wakes(0);
    begin(s1); /* a snapshot is nothing to wake up for, outdated or not */
    assert_true(has(s1, "a", "2"));
    set(s2, "a", "3");
    checkpoint();
    assert_wakes(0);
    txkv_rollback(s1);
}

static void
snapshots_of_the_newest_state_are_looked_at_once_a_timeout(void **state)
{
    const struct txkv_options timed = { .map_size = 64 * MIB, .snapshot_timeout_s = 1 };

    (void)state;
    OK(close_all());
    reopen_with(&timed);
    set(s1, "a", "1");
    checkpoint();
    begin(s1);
    assert_true(has(s1, "a", "1")); /* old soon, but of the newest state */
    for (int i = 0; i < 6000; i++)
        nap();       /* the checkpointer finds out that somebody else has done its work */
    assert_wakes(2); /* for what another process may commit */
    txkv_rollback(s1);
    for (int i = 0; i < 6000; i++)
        nap();
    assert_wakes(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(the_log_past_checkpoint_bytes_is_checkpointed),
        STORE_TEST(what_was_asked_for_before_a_checkpoint_is_not_done_again_after_it),
        STORE_TEST(a_shorter_interval_takes_effect_at_once),
        STORE_TEST(an_idle_store_does_not_wake_up),
        STORE_TEST(snapshots_of_the_newest_state_are_looked_at_once_a_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
