/*
 * test_processes.c - several processes with one store open.
 *
 * Goal: what one process commits the others see, in one serial order, whoever opens, checkpoints,
 * stops, is killed or sleeps in between.
 * Method: children, forked before the parent opens the store; the calls of tx_os are where a child
 * stops or is killed.
 */
#include "child_fixture.h"

#include <inttypes.h>

enum { ADDS = 300, ROWS_A_ROUND = 400 };

/* ---- commits of several processes ---- */

/* One more in the row "n"; runs the transaction again when another process was first. */
static enum txkv_rc
add_one(struct txkv_session *s, enum txkv_sync sync)
{
    enum txkv_rc rc;

    do {
        struct txkv_bytes value;
        char digits[32];
        uint64_t n = 0;

        rc = txkv_begin(s, &err);
        if (rc != TXKV_OK)
            return rc;
        rc = txkv_get(s, table, text("n"), &value, &err);
        if (rc == TXKV_OK && value.bytes < sizeof digits) {
            memcpy(digits, value.data, value.bytes);
            digits[value.bytes] = '\0';
            n = strtoull(digits, NULL, 10);
        }
        (void)snprintf(digits, sizeof digits, "%" PRIu64, n + 1);
        if (rc == TXKV_OK || rc == TXKV_NOTFOUND)
            rc = txkv_put(s, table, text("n"), text(digits), &err);
        if (rc == TXKV_OK)
            rc = txkv_commit(s, sync, &err);
        if (rc != TXKV_OK)
            txkv_rollback(s);
    } while (rc == TXKV_CONFLICT);
    return rc;
}

static int
add_many(void)
{
    CHILD_DOES(child_opens(&impatient));
    for (int i = 0; i < ADDS; i++)
        CHILD_NEEDS(add_one(s1, i % 3 == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_NORMAL) == TXKV_OK);
    return child_closes();
}

static void
no_increment_of_several_processes_is_lost(void **state)
{
    pid_t children[4];
    char sum[32];

    (void)state;
    for (int i = 0; i < 4; i++)
        children[i] = start_child(add_many);
    reopen();
    for (int i = 0; i < ADDS; i++) {
        OK(add_one(s1, TXKV_SYNC_OFF));
        if (i % 50 == 0)
            checkpoint();
    }
    for (int i = 0; i < 4; i++)
        expect_child_well(children[i]);
    (void)snprintf(sum, sizeof sum, "%d", 5 * ADDS);
    assert_true(has(s1, "n", sum));
    OK(close_all());
    reopen();
    assert_true(has(s1, "n", sum));
}

static int
make_tables(void)
{
    uint32_t number;

    CHILD_DOES(child_opens(&impatient));
    CHILD_NEEDS(txkv_table(db, "made here", "(a)", true, &number, &err) == TXKV_OK);
    steps->number = number;
    table = number;
    CHILD_NEEDS(child_sets("k", "1", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    CHILD_NEEDS(txkv_table(db, "and there", "(b)", true, &number, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "in LMDB", "(c)", true, &number, &err) == TXKV_OK);
    table = number;
    CHILD_NEEDS(child_sets("k", "3", TXKV_SYNC_OFF) == TXKV_OK);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    go_to_step(3);
    wait_for_step(4);
    return child_closes();
}

static void
a_table_made_by_another_process_is_found(void **state)
{
    uint32_t number;
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(make_tables);
    reopen();
    wait_for_step(1);
    OK(txkv_table(db, "made here", "(a)", true, &number, &err));
    assert_int_equal(number, steps->number);
    assert_int_equal(txkv_table(db, "made here", "(b)", true, &number, &err), TXKV_SCHEMA);
    assert_int_equal(txkv_table(db, "nowhere", NULL, false, &number, &err), TXKV_SCHEMA);
    table = (uint32_t)steps->number;
    assert_true(has(s1, "k", "1"));
    OK(txkv_table(db, "and there", "(b)", true, &number, &err));
    go_to_step(2);
    wait_for_step(3);
    OK(txkv_table(db, "in LMDB", NULL, false, &table, &err));
    assert_true(table > number);
    assert_true(has(s1, "k", "3"));
    set(s1, "k", "4");
    checkpoint();
    assert_true(has(s1, "k", "4"));
    go_to_step(4);
    expect_child_well(child);
}

/* ---- a process that sleeps ---- */

static int
read_sleep_and_read(void)
{
    CHILD_DOES(child_opens(&impatient));
    CHILD_NEEDS(child_has("row 0", "round 0"));
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    CHILD_NEEDS(child_has("row 0", "round 0"));
    CHILD_NEEDS(txkv_put(s1, table, text("mine"), text("too late"), &err) == TXKV_OK);
    go_to_step(2);
    wait_for_step(3);
    /* The snapshot stands, whatever has been removed; but it is too old to be checked. */
    CHILD_NEEDS(child_has("row 0", "round 0"));
    CHILD_NEEDS(child_has("row 7", "round 0"));
    CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_OFF, &err) == TXKV_CONFLICT);
    txkv_rollback(s1);
    for (int i = 0; i < ROWS_A_ROUND; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "row %d", i);
        CHILD_NEEDS(child_has(key, "round 5"));
    }
    CHILD_NEEDS(child_has("mine", NULL));
    CHILD_NEEDS(child_sets("mine", "now", TXKV_SYNC_FULL) == TXKV_OK);
    return child_closes();
}

static int
read_sleep_and_read_after_start(void)
{
    wait_for_step(1);
    return read_sleep_and_read();
}

static void
write_round(int round)
{
    char value[32];

    (void)snprintf(value, sizeof value, "round %d", round);
    for (int i = 0; i < ROWS_A_ROUND; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "row %d", i);
        set(s2, key, value);
    }
}

static void
a_process_that_slept_goes_on_after_its_log_was_removed(void **state)
{
    static const struct txkv_options small_segments = { .map_size = 64 * MIB,
                                                        .segment_bytes = 64 * KIB };
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(read_sleep_and_read_after_start);
    reopen_with(&small_segments);
    write_round(0);
    go_to_step(1);
    wait_for_step(2);
    for (int round = 1; round <= 5; round++) {
        write_round(round);
        if (round < 5)
            checkpoint();
    }
    assert_true(stat_of("wal_segments") < 4);
    go_to_step(3);
    expect_child_well(child);
    assert_true(has(s1, "mine", "now"));
}

/* ---- a process that stops, or is killed ---- */

static int kill_at; /* the n-th call of tx_os; 0: never */
static uint64_t calls;
static uint32_t stopped;

static void
count_call(void)
{
    if (tx_fetch_add_64(&calls, 1) + 1 == (uint64_t)kill_at)
        (void)kill(getpid(), SIGKILL);
}

/* A log file gets its name from who has the log. */
static int
stopping_rename(const char *from, const char *to)
{
    if (tx_swap_32(&stopped, 1) == 0)
        (void)kill(getpid(), SIGSTOP);
    return tx_os_system.rename(from, to);
}

static int
counted_fallocate(int fd, off_t offset, off_t bytes)
{
    count_call();
    return tx_os_system.fallocate(fd, offset, bytes);
}

static void *
counted_mmap(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    count_call();
    return tx_os_system.mmap(bytes, prot, flags, fd, offset);
}

static int
counted_rename(const char *from, const char *to)
{
    int rc;

    count_call();
    rc = tx_os_system.rename(from, to);
    count_call();
    return rc;
}

static int
counted_open(const char *path, int flags, mode_t mode)
{
    count_call();
    return tx_os_system.open(path, flags, mode);
}

static int
counted_fdatasync(int fd)
{
    int rc;

    count_call();
    rc = tx_os_system.fdatasync(fd);
    count_call();
    return rc;
}

static int
counted_unlink(const char *path)
{
    count_call();
    return tx_os_system.unlink(path);
}

static void
count_calls(void)
{
    tx_os = tx_os_system;
    tx_os.fallocate = counted_fallocate;
    tx_os.mmap = counted_mmap;
    tx_os.rename = counted_rename;
    tx_os.open = counted_open;
    tx_os.fdatasync = counted_fdatasync;
    tx_os.unlink = counted_unlink;
}

static int
stop_in_a_commit(void)
{
    CHILD_DOES(child_opens(&impatient));
    CHILD_NEEDS(child_sets("before", "1", TXKV_SYNC_FULL) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    tx_os.rename = stopping_rename;
    while (tx_load_acquire_32(&stopped) == 0) /* until a new file is needed */
        CHILD_NEEDS(child_sets("stopped", "1", TXKV_SYNC_OFF) == TXKV_OK);
    return child_closes();
}

static void
expect_the_stopped_process_to_be_named(pid_t child)
{
    char name[32];

    (void)snprintf(name, sizeof name, "process %d ", child);
    begin(s1);
    put(s1, "k", "v");
    assert_int_equal(txkv_commit(s1, TXKV_SYNC_FULL, &err), TXKV_BUSY);
    assert_non_null(strstr(err.text, name));
    assert_true(has(s2, "before", "1")); /* who only reads waits for nobody */
}

static void
a_process_stopped_in_a_commit_is_named_and_holds_others_up_no_longer_than_asked(void **state)
{
    pid_t child;
    int status;

    (void)state;
    new_steps();
    child = start_child(stop_in_a_commit);
    wait_for_step(1);
    reopen_with(&impatient);
    go_to_step(2);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    expect_the_stopped_process_to_be_named(child);
    OK(kill(child, SIGCONT));
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err)); /* the transaction is still there */
    assert_true(has(s2, "k", "v"));
    expect_child_well(child);
}

static void
a_process_killed_while_it_has_the_log_lets_others_go_on_at_once(void **state)
{
    pid_t child;
    int status;

    (void)state;
    new_steps();
    child = start_child(stop_in_a_commit);
    wait_for_step(1);
    reopen_with(&impatient);
    go_to_step(2);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    expect_the_stopped_process_to_be_named(child);
    OK(kill(child, SIGKILL));
    assert_int_equal(waitpid(child, &status, 0), child);
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    assert_true(has(s2, "k", "v"));
    OK(close_all());
    reopen();
    assert_true(has(s2, "k", "v"));
    assert_true(has(s2, "before", "1"));
}

/* Every commit is acknowledged through steps->number. */
static int
write_until_killed(void)
{
    static char value[9000];

    memset(value, 'x', sizeof value - 1);
    CHILD_DOES(child_opens(&impatient));
    count_calls();
    for (uint64_t n = 1; n <= 60; n++) {
        char key[32];

        (void)snprintf(key, sizeof key, "%d.%" PRIu64, kill_at, n);
        CHILD_NEEDS(child_sets(key, value, n % 2 == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_OFF) == TXKV_OK);
        tx_store_release_64(&steps->number, n);
        if (n % 20 == 0)
            CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    }
    go_to_step(1); /* it was not killed: all calls have been tried */
    return 0;
}

static void
a_process_killed_at_any_call_loses_nothing_and_holds_up_nobody(void **state)
{
    (void)state;
    new_steps();
    for (kill_at = 1; tx_load_acquire_32(&steps->step) == 0; kill_at++) {
        pid_t child;
        int status;

        tx_store_release_64(&steps->number, 0);
        child = start_child(write_until_killed);
        if (db == NULL)
            reopen_with(&impatient);
        for (int i = 0; i < 5; i++)
            set(s1, "mine", "1");
        assert_int_equal(waitpid(child, &status, 0), child);
        set(s1, "mine", "2");
        for (uint64_t n = 1; n <= steps->number; n++) {
            char key[32];

            (void)snprintf(key, sizeof key, "%d.%" PRIu64, kill_at, n);
            assert_true(get_bytes(s2, key) == 8999);
        }
        OK(close_all());
    }
    assert_true(kill_at > 20);
    kill_at = 0;
}

/* ---- a sync that fails ---- */

static int
fail_a_sync(void)
{
    CHILD_DOES(child_opens(&impatient));
    go_to_step(1);
    wait_for_step(2);
    tx_store_release_32(&sync_fails, 1);
    CHILD_NEEDS(child_sets("lost?", "1", TXKV_SYNC_FULL) == TXKV_IOERR);
    go_to_step(3);
    wait_for_step(4);
    return 0;
}

static void
a_failed_sync_stops_every_process(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(fail_a_sync);
    wait_for_step(1);
    reopen();
    set(s1, "k", "v");
    go_to_step(2);
    wait_for_step(3);
    begin(s1);
    put(s1, "k", "w");
    assert_int_equal(txkv_commit(s1, TXKV_SYNC_OFF, &err), TXKV_STOPPED);
    txkv_rollback(s1);
    assert_true(has(s2, "k", "v"));
    assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_STOPPED);
    go_to_step(4);
    expect_child_well(child);
    (void)close_all();
    reopen();
    assert_true(has(s1, "k", "v"));
    set(s1, "k", "w");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(no_increment_of_several_processes_is_lost),
        DIR_TEST(a_table_made_by_another_process_is_found),
        DIR_TEST(a_process_that_slept_goes_on_after_its_log_was_removed),
        DIR_TEST(a_process_stopped_in_a_commit_is_named_and_holds_others_up_no_longer_than_asked),
        DIR_TEST(a_process_killed_while_it_has_the_log_lets_others_go_on_at_once),
        DIR_TEST(a_process_killed_at_any_call_loses_nothing_and_holds_up_nobody),
        DIR_TEST(a_failed_sync_stops_every_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
