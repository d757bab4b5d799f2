/*
 * test_processes_wait.c - who waits for whom, and for how long, among the processes of a store.
 *
 * Goal: a process waits for another one only while that one is at work on what it needs.
 * Method: children that stop, sleep or checkpoint; clocks, and the calls of tx_os.
 */
#include "child_fixture.h"

#include <sys/file.h>

enum { BIG_BYTES = 600000, SYNC_COMMITS = 4 };

static uint64_t
ms_since(uint64_t us)
{
    return (tx_os_now_us() - us) / 1000;
}

/* ---- a checkpoint of another process ---- */

static const struct txkv_options little_room = { .map_size = 64 * MIB,
                                                 .overlay_limit = MIB,
                                                 .stall_timeout_ms = 4000 };

static int
checkpoint_for_others(void)
{
    wait_for_step(1);
    CHILD_DOES(child_opens(&little_room));
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    go_to_step(2);
    wait_for_step(3);
    return child_closes();
}

static void
who_only_writes_goes_on_once_another_process_has_checkpointed(void **state)
{
    static char value[BIG_BYTES];
    pid_t child;
    uint64_t began;

    (void)state;
    new_steps();
    memset(value, 'x', sizeof value - 1);
    child = start_child(checkpoint_for_others);
    reopen_with(&little_room);
    begin(s1);
    put(s1, "a", value);
    put(s1, "b", value);
    commit(s1);
    assert_true(stat_of("overlay_bytes_waiting") > MIB);
    go_to_step(1);
    wait_for_step(2);
    began = tx_os_now_us();
    set(s1, "c", "1");
    assert_true(ms_since(began) < 2000);
    go_to_step(3);
    expect_child_well(child);
}

/* ---- a process that has to catch up ---- */

static const struct txkv_options small_segments = { .map_size = 64 * MIB,
                                                    .segment_bytes = 64 * KIB };
static uint32_t opened, opened_with_the_log;

static bool
is_segment(const char *path, int flags)
{
    return strstr(path, ".wal") != NULL && (flags & O_CREAT) == 0;
}

static int
watched_open(const char *path, int flags, mode_t mode)
{
    const struct tx_shared_mutex *lock = &db->core.shared->locks[TX_LOCK_APPEND];

    if (is_segment(path, flags)) {
        opened++;
        opened_with_the_log += tx_load_acquire_32(&lock->holder) == (uint32_t)getpid();
    }
    return tx_os_system.open(path, flags, mode);
}

static int
catch_up(void)
{
    CHILD_DOES(child_opens(&small_segments));
    go_to_step(1);
    wait_for_step(2);
    tx_os.open = watched_open;
    CHILD_NEEDS(child_sets("k", "from the child", TXKV_SYNC_OFF) == TXKV_OK);
    CHILD_NEEDS(opened > 3);
    CHILD_NEEDS(opened_with_the_log == 0);
    return child_closes();
}

static void
write_some_segments(void)
{
    static char value[10000];

    memset(value, 'x', sizeof value - 1);
    for (int i = 0; i < 40; i++)
        set(s1, "row", value);
}

static void
who_has_much_to_catch_up_with_does_so_before_it_takes_the_log(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(catch_up);
    wait_for_step(1);
    reopen_with(&small_segments);
    write_some_segments();
    go_to_step(2);
    expect_child_well(child);
    assert_true(has(s1, "k", "from the child"));
}

static int
open_no_segment(const char *path, int flags, mode_t mode)
{
    if (is_segment(path, flags)) {
        errno = EMFILE;
        return -1;
    }
    return tx_os_system.open(path, flags, mode);
}

static int
run_out_of_files(void)
{
    struct txkv_bytes value;

    CHILD_DOES(child_opens(&small_segments));
    CHILD_NEEDS(child_sets("k", "from the child", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    tx_os.open = open_no_segment;
    CHILD_NEEDS(txkv_get(s1, table, text("row"), &value, &err) == TXKV_CANTOPEN);
    CHILD_NEEDS(strstr(err.text, strerror(EMFILE)) != NULL);
    tx_os.open = tx_os_system.open;
    CHILD_NEEDS(txkv_get(s1, table, text("row"), &value, &err) == TXKV_OK);
    return child_closes();
}

static void
a_log_file_that_cannot_be_opened_is_not_taken_for_removed(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(run_out_of_files);
    wait_for_step(1);
    reopen_with(&small_segments);
    write_some_segments();
    go_to_step(2);
    expect_child_well(child);
}

/* ---- a process stopped in a sync ---- */

static int
stop_and_sync(int fd)
{
    (void)kill(getpid(), SIGSTOP);
    return fdatasync(fd);
}

static int
stop_in_a_sync(void)
{
    CHILD_DOES(child_opens(&small_store));
    go_to_step(1);
    wait_for_step(2);
    tx_os.fdatasync = stop_and_sync;
    CHILD_NEEDS(child_sets("stopped", "1", TXKV_SYNC_FULL) == TXKV_OK);
    tx_os.fdatasync = tx_os_system.fdatasync;
    return child_closes();
}

static void
a_process_stopped_in_a_sync_is_waited_for_once(void **state)
{
    uint64_t began;
    pid_t child;
    int status;

    (void)state;
    new_steps();
    child = start_child(stop_in_a_sync);
    wait_for_step(1);
    reopen();
    go_to_step(2);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    began = tx_os_now_us();
    for (int i = 0; i < SYNC_COMMITS; i++) {
        begin(s1);
        put(s1, "k", "v");
        OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    }
    assert_true(ms_since(began) < 2500);
    OK(kill(child, SIGCONT));
    expect_child_well(child);
    assert_true(has(s1, "stopped", "1"));
}

/* ---- opening and closing ---- */

static int
stopping_munmap(void *address, size_t bytes)
{
    tx_os.munmap = tx_os_system.munmap;
    (void)kill(getpid(), SIGSTOP);
    return munmap(address, bytes);
}

static int
stop_while_it_closes(void)
{
    CHILD_DOES(child_opens(&small_store));
    CHILD_NEEDS(child_sets("k", "v", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    tx_os.munmap = stopping_munmap;
    return child_closes();
}

static void
a_process_stopped_while_it_closes_keeps_nobody_out(void **state)
{
    pid_t child;
    int status;

    (void)state;
    new_steps();
    child = start_child(stop_while_it_closes);
    wait_for_step(1);
    reopen();
    go_to_step(2);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    OK(close_all());
    reopen();
    assert_true(has(s1, "k", "v"));
    OK(kill(child, SIGCONT));
    expect_child_well(child);
    set(s1, "k", "w");
}

static int
stopping_rename(const char *from, const char *to)
{
    (void)kill(getpid(), SIGSTOP); /* with the log, for which it makes a new file */
    return tx_os_system.rename(from, to);
}

static int
stop_with_the_log(void)
{
    static char value[9000];

    memset(value, 'x', sizeof value - 1);
    CHILD_DOES(child_opens(&small_segments));
    tx_os.rename = stopping_rename;
    for (int i = 0; i < 10; i++)
        CHILD_NEEDS(child_sets("k", value, TXKV_SYNC_OFF) == TXKV_OK);
    return 0;
}

static void
who_only_reads_opens_beside_a_process_that_is_stopped_with_the_log(void **state)
{
    pid_t child;
    uint64_t began;
    int status;

    (void)state;
    child = start_child(stop_with_the_log);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    began = tx_os_now_us();
    reopen_with(&little_room);
    assert_int_equal(txkv_row_estimate(s1, table), 1);
    assert_true(ms_since(began) < 2000);
    OK(kill(child, SIGKILL));
    assert_int_equal(waitpid(child, &status, 0), child);
}

static int wal_is_locked; /* by its first opener alone, when it let the others in */

static int
watched_lock(int fd, off_t byte, short type)
{
    if (type == F_RDLCK) {
        const int wal = open(in_dir("wal"), O_RDONLY | O_DIRECTORY);

        wal_is_locked = flock(wal, LOCK_SH | LOCK_NB) != 0;
        (void)close(wal);
    }
    return tx_os_system.lock(fd, byte, type);
}

static void
who_is_let_in_does_not_find_the_log_locked(void **state)
{
    (void)state;
    wal_is_locked = -1;
    tx_os.lock = watched_lock;
    reopen();
    assert_int_equal(wal_is_locked, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(who_only_writes_goes_on_once_another_process_has_checkpointed),
        DIR_TEST(who_has_much_to_catch_up_with_does_so_before_it_takes_the_log),
        DIR_TEST(a_log_file_that_cannot_be_opened_is_not_taken_for_removed),
        DIR_TEST(a_process_stopped_in_a_sync_is_waited_for_once),
        DIR_TEST(a_process_stopped_while_it_closes_keeps_nobody_out),
        DIR_TEST(who_only_reads_opens_beside_a_process_that_is_stopped_with_the_log),
        DIR_TEST(who_is_let_in_does_not_find_the_log_locked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
