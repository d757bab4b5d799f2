/*
 * test_processes_open.c - opening and closing beside other processes, and what is refused.
 *
 * Goal: the last to close checkpoints; txkv.shm counts only while a process has the store open that
 * has counted on it all along; a power failure, or a copy of the directory, leaves one that says it
 * is ready and is old. Method: the page's bytes of an earlier moment are put back, while others
 * look at the lock.
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

/* ---- opening and closing ---- */

static int
stay_until_told(void)
{
    CHILD_DOES(child_opens(&impatient));
    CHILD_NEEDS(child_sets("k", "from the child", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    CHILD_NEEDS(child_has("p", "from the parent"));
    return child_closes();
}

static enum txkv_rc
count_name(void *arg, const char *name, struct txkv_error *e)
{
    (void)name;
    (void)e;
    ++*(int *)arg;
    return TXKV_OK;
}

static int
log_files(void)
{
    int count = 0;

    OK(tx_os_list_dir(in_dir("wal"), count_name, &count, &err));
    return count;
}

static void
the_last_process_to_close_checkpoints(void **state)
{
    struct txkv_recovery_report report;
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(stay_until_told);
    wait_for_step(1);
    reopen();
    txkv_recovery(db, &report);
    assert_int_equal(report.transactions_replayed, 1);
    assert_true(has(s1, "k", "from the child"));
    set(s1, "p", "from the parent");
    OK(close_all());
    assert_true(log_files() > 0);
    go_to_step(2);
    expect_child_well(child);
    assert_int_equal(log_files(), 0);
    reopen();
    txkv_recovery(db, &report);
    assert_int_equal(report.transactions_replayed, 0);
    expect_scan(s1, "(,)", "k=from the child p=from the parent ");
}

static int
stay_until_killed(void)
{
    CHILD_DOES(child_opens(&impatient));
    CHILD_NEEDS(child_sets("k", "v", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    return 0;
}

static void
spoil_page(size_t at, uint8_t byte, size_t count)
{
    const int fd = open(in_dir("txkv.shm"), O_RDWR);

    assert_true(fd >= 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)(at + i)), 1);
    (void)close(fd);
}

static void
a_spoiled_page_is_refused_while_in_use_and_made_anew_after(void **state)
{
    pid_t child;
    int status;

    (void)state;
    new_steps();
    child = start_child(stay_until_killed);
    wait_for_step(1);
    spoil_page(8, 77, 1); /* the layout's version */
    assert_int_equal(try_open(dir, &impatient), TXKV_FORMAT);
    assert_non_null(strstr(err.text, "layout"));
    spoil_page(0, 99, 8);
    assert_int_equal(try_open(dir, &impatient), TXKV_FORMAT);
    assert_non_null(strstr(err.text, "damaged"));
    OK(truncate(in_dir("txkv.shm"), 20));
    assert_int_equal(try_open(dir, &impatient), TXKV_FORMAT);
    OK(kill(child, SIGKILL));
    assert_int_equal(waitpid(child, &status, 0), child);
    spoil_page(0, 0xff, 5000);
    reopen();
    assert_true(has(s1, "k", "v"));
}

/* ---- file systems ---- */

static int
no_locks(int fd, off_t byte, short type)
{
    (void)fd;
    (void)byte;
    (void)type;
    errno = ENOLCK;
    return -1;
}

static void *
no_maps(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    (void)bytes;
    (void)prot;
    (void)flags;
    (void)fd;
    (void)offset;
    errno = ENODEV;
    return MAP_FAILED;
}

static int
on_nfs(const char *path, struct statfs *st)
{
    const int rc = tx_os_system.statfs(path, st);

    st->f_type = 0x6969;
    return rc;
}

static void
a_file_system_without_locks_or_shared_maps_is_refused_with_the_reason(void **state)
{
    (void)state;
    tx_os.lock = no_locks;
    assert_int_equal(try_open(dir, &small_store), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "NFS"));
    tx_os = tx_os_system;
    tx_os.mmap = no_maps;
    assert_int_equal(try_open(dir, &small_store), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "shared memory"));
    tx_os = tx_os_system;
    tx_os.statfs = on_nfs;
    assert_int_equal(try_open(dir, &small_store), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "is on NFS"));
    tx_os = tx_os_system;
    reopen();
}

/* ---- a log that is behind LMDB ---- */

static int
checkpoint_and_die(void)
{
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    return 0;
}

static int
recover_and_wait(void)
{
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    return 0;
}

/*
 * Goal: a power failure can take a file of the log whose records are in LMDB already; not only the
 * process that recovers the store commits then, but others as well. Method: the file is made empty,
 * and another process recovers.
 */
static void
a_file_that_lost_its_bytes_to_a_power_failure_keeps_nobody_from_committing(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    expect_child_well(start_child(checkpoint_and_die));
    assert_int_equal(truncate(in_dir("wal/0000000000000000.wal"), 0), 0);
    child = start_child(recover_and_wait);
    wait_for_step(1);
    OK(txkv_open(dir, &small_store, &db, &err));
    OK(txkv_table(db, "t", NULL, false, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_begin(s1, &err));
    OK(txkv_put(s1, table, text("a"), text("1"), &err));
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    go_to_step(2);
    expect_child_well(child);
    txkv_session_close(s1);
    s1 = NULL;
    OK(txkv_close(db, &err));
    db = NULL;
    reopen();
}

/* ---- names ---- */

static uint32_t syncs_left; /* of the child that makes the store */
static ino_t synced[16];    /* what has been synced */
static uint32_t synced_count;

static int
dying_fsync(int fd)
{
    if (syncs_left-- == 0)
        _exit(0);
    return tx_os_system.fsync(fd);
}

static int
noting_fsync(int fd)
{
    struct stat st;

    if (synced_count < sizeof synced / sizeof synced[0] && tx_os_system.fstat(fd, &st) == 0)
        synced[synced_count++] = st.st_ino;
    return tx_os_system.fsync(fd);
}

static bool
is_synced(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    for (uint32_t i = 0; i < synced_count; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

static int
make_store_and_die(void)
{
    tx_os.fsync = dying_fsync;
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    return __LINE__; /* it had fewer syncs */
}

/*
 * Goal: who opens a store after its maker died promises nothing on names that a power failure can
 * still take. Method: the maker dies before its n-th sync of a directory.
 */
static void
names_that_a_dead_maker_has_not_synced_are_synced_by_the_next(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 2; n++) {
        (void)temp_dir_remove(dir);
        assert_int_equal(mkdir(dir, 0700), 0);
        syncs_left = n;
        expect_child_well(start_child(make_store_and_die));
        tx_os.fsync = noting_fsync;
        synced_count = 0;
        OK(txkv_open(dir, &small_store, &db, &err));
        tx_os = tx_os_system;
        assert_true(is_synced(dir));
        assert_true(is_synced(in_dir("..")));
        OK(txkv_close(db, &err));
    }
    reopen();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_page_that_nobody_has_kept_up_is_not_believed),
        DIR_TEST(the_last_process_to_close_checkpoints),
        DIR_TEST(a_spoiled_page_is_refused_while_in_use_and_made_anew_after),
        DIR_TEST(a_file_that_lost_its_bytes_to_a_power_failure_keeps_nobody_from_committing),
        DIR_TEST(names_that_a_dead_maker_has_not_synced_are_synced_by_the_next),
        DIR_TEST(a_file_system_without_locks_or_shared_maps_is_refused_with_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
