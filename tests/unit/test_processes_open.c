/*
 * test_processes_open.c - whose shared page an opener may believe.
 *
 * Goal: txkv.shm counts only while a process has the store open that has counted on it all along;
 * a power failure, or a copy of the directory, leaves one that says it is ready and is old.
 * Method: the page's bytes of an earlier moment are put back, while others look at the lock.
 */
#include "child_fixture.h"

enum { PAGE_BYTES = 4096, LOOK_MS = 100 };

static uint8_t page[PAGE_BYTES];

static void
read_page(void)
{
    const int fd = open(in_dir("txkv.shm"), O_RDONLY);

    assert_int_equal(pread(fd, page, sizeof page, 0), sizeof page);
    (void)close(fd);
}

static void
write_page(void)
{
    const int fd = open(in_dir("txkv.shm"), O_WRONLY);

    assert_int_equal(pwrite(fd, page, sizeof page, 0), sizeof page);
    (void)close(fd);
}

static int
commit_twice(void)
{
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    for (uint32_t i = 0; i < 2; i++) {
        CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
        CHILD_NEEDS(txkv_put(s1, table, text(i == 0 ? "a" : "b"), text("1"), &err) == TXKV_OK);
        CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_FULL, &err) == TXKV_OK);
        go_to_step(1 + 2 * i);
        wait_for_step(2 + 2 * i);
    }
    return 0;
}

/* As another opener does for a moment. */
static int
look_at_the_page(void)
{
    const int fd = open(in_dir("txkv.shm"), O_RDWR);

    CHILD_NEEDS(tx_os_system.lock(fd, 0, F_RDLCK) == 0);
    go_to_step(5);
    (void)usleep(LOOK_MS * 1000);
    return 0;
}

static void
leave_an_old_page(void)
{
    pid_t child;
    int status;

    new_steps();
    child = start_child(commit_twice);
    wait_for_step(1);
    read_page();
    go_to_step(2);
    wait_for_step(3);
    OK(kill(child, SIGKILL));
    assert_int_equal(waitpid(child, &status, 0), child);
    write_page();
}

static void
a_page_that_nobody_has_kept_up_is_not_believed(void **state)
{
    pid_t child;

    (void)state;
    leave_an_old_page();
    child = start_child(look_at_the_page);
    wait_for_step(5);
    reopen();
    assert_true(has(s1, "a", "1"));
    assert_true(has(s1, "b", "1"));
    expect_child_well(child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_page_that_nobody_has_kept_up_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
