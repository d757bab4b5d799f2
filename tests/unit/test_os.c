/*
 * test_os.c - the helpers around the system's calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "temp_dir.h"

static char dir[TEMP_DIR_BYTES];
static struct txkv_error err;

static int
make_dir(void **state)
{
    (void)state;
    return temp_dir_make(dir) ? 0 : -1;
}

static int
remove_dir(void **state)
{
    (void)state;
    return temp_dir_remove(dir) ? 0 : -1;
}

static void
make_dir_accepts_a_directory_and_refuses_a_file(void **state)
{
    char *sub = tx_os_join(dir, "sub");
    char *file = tx_os_join(dir, "file");
    int fd;

    (void)state;
    assert_non_null(sub);
    assert_non_null(file);
    assert_int_equal(tx_os_make_dir(sub, &err), TXKV_OK);
    assert_int_equal(tx_os_make_dir(sub, &err), TXKV_OK);
    fd = tx_os.open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(tx_os.close(fd), 0);
    assert_int_equal(tx_os_make_dir(file, &err), TXKV_EXISTS);
    assert_int_equal(tx_os_make_dir("/nonexistent/x", &err), TXKV_CANTOPEN);
    assert_int_equal(tx_os_sync_dir(sub, &err), TXKV_OK);
    assert_int_equal(tx_os_sync_dir(file, &err), TXKV_CANTOPEN);
    tx_free(sub);
    tx_free(file);
}

static enum txkv_rc
count_names(void *arg, const char *name, struct txkv_error *e)
{
    int *left = arg;

    assert_string_not_equal(name, ".");
    return (*left)-- > 0 ? TXKV_OK : tx_fail(e, TXKV_BUSY, "enough");
}

static void
list_dir_calls_for_each_name_until_told_to_stop(void **state)
{
    int left = 100;

    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[] = { (char)('a' + i), 0 };
        char *path = tx_os_join(dir, name);

        assert_int_equal(tx_os_make_dir(path, &err), TXKV_OK);
        tx_free(path);
    }
    assert_int_equal(tx_os_list_dir(dir, count_names, &left, &err), TXKV_OK);
    assert_int_equal(left, 97);
    left = 1;
    assert_int_equal(tx_os_list_dir(dir, count_names, &left, &err), TXKV_BUSY);
    assert_int_equal(left, -1);
    assert_int_equal(tx_os_list_dir("/nonexistent", count_names, &left, &err), TXKV_CANTOPEN);
}

static void
a_second_open_file_cannot_take_a_held_lock(void **state)
{
    char *path = tx_os_join(dir, "lock");
    const int a = tx_os.open(path, O_RDWR | O_CREAT, 0600);
    const int b = tx_os.open(path, O_RDWR, 0);

    (void)state;
    assert_int_equal(tx_os.lock(a, 0, F_WRLCK), 0);
    assert_int_equal(tx_os.lock(b, 0, F_WRLCK), -1);
    (void)tx_os.close(a);
    assert_int_equal(tx_os.lock(b, 0, F_WRLCK), 0);
    (void)tx_os.close(b);
    tx_free(path);
}

static void *
report_mask(void *arg)
{
    return (void *)(pthread_sigmask(SIG_BLOCK, NULL, arg) == 0 ? arg : NULL);
}

static void
a_thread_runs_with_all_signals_blocked(void **state)
{
    pthread_t thread;
    sigset_t mask;
    sigset_t own;
    void *result;

    (void)state;
    (void)sigemptyset(&mask);
    assert_int_equal(tx_os_thread(&thread, report_mask, &mask, "test", &err), TXKV_OK);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &own), 0);
    assert_int_equal(sigismember(&own, SIGTERM), 0);
}

static void
a_forked_child_sees_another_generation(void **state)
{
    const uint32_t before = tx_os_fork_generation();
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(tx_os_fork_generation(), before);
    child = fork();
    if (child == 0)
        _exit(tx_os_fork_generation() == before);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(tx_os_fork_generation(), before);
}

static void
a_child_knows_its_own_process_id(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    assert_int_equal(tx_os_pid(), getpid());
    child = fork();
    if (child == 0)
        _exit(tx_os_pid() != (uint32_t)getpid());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(tx_os_pid(), getpid());
}

static unsigned interrupts;

static int
interrupted_fallocate(int fd, off_t offset, off_t bytes)
{
    (void)fd;
    (void)offset;
    if (interrupts == 0)
        return bytes == 4096 ? 0 : EINVAL;
    interrupts--;
    return EINTR;
}

static void
a_signal_does_not_end_an_allocation_of_space(void **state)
{
    (void)state;
    tx_os.fallocate = interrupted_fallocate;
    interrupts = 3;
    assert_int_equal(tx_os_allocate(0, 4096), 0);
    assert_int_equal(interrupts, 0);
    assert_int_equal(tx_os_allocate(0, 8192), EINVAL);
    tx_os = tx_os_system;
}

/* Half of the bytes, and a signal between. */
static ssize_t
halting_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    if (interrupts-- % 2 == 1) {
        errno = EINTR;
        return -1;
    }
    return tx_os_system.pread(fd, buffer, (bytes + 1) / 2, offset);
}

static ssize_t
failing_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    (void)fd;
    (void)buffer;
    (void)bytes;
    (void)offset;
    errno = EIO;
    return -1;
}

static ssize_t
halting_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    if (interrupts++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return tx_os_system.pwrite(fd, bytes, count > 4 ? 4 : count, offset);
}

/* It takes the first half of what it is given, and nothing when that is one byte. */
static ssize_t
full_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return tx_os_system.pwrite(fd, bytes, count / 2, offset);
}

static ssize_t
failing_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    (void)fd;
    (void)bytes;
    (void)count;
    (void)offset;
    errno = EDQUOT;
    return -1;
}

static void
a_write_goes_on_to_its_end_or_until_nothing_is_taken(void **state)
{
    static const char text[] = "eleven more";
    char *path = tx_os_join(dir, "written"), read_back[32] = "";
    const int fd = tx_os.open(path, O_RDWR | O_CREAT, 0600);

    (void)state;
    interrupts = 0;
    tx_os.pwrite = halting_pwrite;
    assert_int_equal(tx_os_write(fd, text, 11, 3), 11);
    assert_int_equal(tx_os_read(fd, read_back, sizeof read_back, 3), 11);
    assert_string_equal(read_back, text);
    tx_os.pwrite = full_pwrite;
    assert_int_equal(tx_os_write(fd, text, 11, 0), 10);
    assert_int_equal(tx_os_write(fd, text, 0, 0), 0);
    tx_os.pwrite = failing_pwrite;
    assert_int_equal(tx_os_write(fd, text, 11, 0), -1);
    assert_int_equal(errno, EDQUOT);
    tx_os = tx_os_system;
    assert_int_equal(tx_os.close(fd), 0);
    tx_free(path);
}

static void
a_read_goes_on_to_its_end_or_that_of_the_file(void **state)
{
    static const char text[] = "eleven more";
    char *path = tx_os_join(dir, "file"), read_back[32] = "";
    const int fd = tx_os.open(path, O_RDWR | O_CREAT, 0600);

    (void)state;
    assert_int_equal(tx_os.pwrite(fd, text, 11, 0), 11);
    interrupts = 1000001;
    tx_os.pread = halting_pread;
    assert_int_equal(tx_os_read(fd, read_back, 11, 0), 11);
    assert_string_equal(read_back, text);
    assert_int_equal(tx_os_read(fd, read_back, sizeof read_back, 7), 4);
    assert_int_equal(tx_os_read(fd, read_back, 5, 11), 0);
    tx_os.pread = failing_pread;
    assert_int_equal(tx_os_read(fd, read_back, 5, 0), -1);
    tx_os = tx_os_system;
    assert_int_equal(tx_os.close(fd), 0);
    tx_free(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(make_dir_accepts_a_directory_and_refuses_a_file, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(list_dir_calls_for_each_name_until_told_to_stop, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_second_open_file_cannot_take_a_held_lock, make_dir,
                                        remove_dir),
        cmocka_unit_test(a_thread_runs_with_all_signals_blocked),
        cmocka_unit_test(a_forked_child_sees_another_generation),
        cmocka_unit_test(a_child_knows_its_own_process_id),
        cmocka_unit_test(a_signal_does_not_end_an_allocation_of_space),
        cmocka_unit_test_setup_teardown(a_write_goes_on_to_its_end_or_until_nothing_is_taken,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_read_goes_on_to_its_end_or_that_of_the_file, make_dir,
                                        remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
