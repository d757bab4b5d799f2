/*
 * test_room.c - memory for a record, on the heap and in a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/room.h"
#include "temp_dir.h"

enum { FILE_FROM = 1 << 20 };

static char dir[TEMP_DIR_BYTES];
static struct tx_room room;
static struct txkv_error err;
static uint64_t live_before;
static uint64_t calls; /* of fallocate and mmap */
static uint64_t fail_at;
static int fail_with;

#define OK(call) assert_int_equal((call), TXKV_OK)

static int
failing_fallocate(int fd, off_t offset, off_t bytes)
{
    const int e = posix_fallocate(fd, offset, bytes);

    return ++calls == fail_at ? fail_with : e; /* some file systems keep what they found */
}

static void *
failing_mmap(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (++calls != fail_at)
        return mmap(NULL, bytes, prot, flags, fd, offset);
    errno = fail_with;
    return MAP_FAILED;
}

static int
setup(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    tx_room_file_from = FILE_FROM;
    tx_os.fallocate = failing_fallocate;
    tx_os.mmap = failing_mmap;
    calls = fail_at = 0;
    if (!temp_dir_make(dir))
        return -1;
    tx_room_init(&room, dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_room_free(&room);
    tx_mem_fail_at(0, false);
    tx_os = tx_os_system;
    temp_dir_remove(dir);
    return tx_mem_live() == live_before ? 0 : -1;
}

static uint8_t
byte_at(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static void
fill(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++)
        room.at[at] = byte_at(at);
}

static void
expect_filled(uint64_t to)
{
    for (uint64_t at = 0; at < to; at++)
        if (room.at[at] != byte_at(at))
            fail_msg("byte %llu is wrong", (unsigned long long)at);
}

static void
need_files(void)
{
    if (!temp_dir_takes_unnamed(dir))
        skip();
}

/* A field of /proc/self/status, in bytes. */
static uint64_t
status_bytes(const char *name)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long kb = 0;
    char line[200];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            (void)sscanf(line + strlen(name), ": %llu", &kb);
    (void)fclose(f);
    return kb * 1024;
}

static void
bytes_stay_while_the_room_grows_from_the_heap_into_a_file(void **state)
{
    uint64_t used = 0;

    (void)state;
    need_files();
    for (uint64_t bytes = 5000; bytes < 4 * FILE_FROM; bytes += bytes / 2) {
        OK(tx_room_grow(&room, bytes, used, &err));
        assert_true(room.bytes >= bytes);
        assert_int_equal(room.fd >= 0, bytes >= FILE_FROM);
        fill(used, bytes);
        used = bytes;
        expect_filled(used);
    }
    tx_room_let_go(&room, used);
    expect_filled(used);
    tx_room_free(&room);
    assert_null(room.at);
    OK(tx_room_grow(&room, 5000, 0, &err));
    assert_int_equal(room.fd, -1);
}

static void
what_was_let_go_of_is_not_resident_and_comes_back(void **state)
{
    enum { BYTES = 32 << 20, MOST = BYTES / 4 * 3 };
    uint64_t before;

    (void)state;
    need_files();
    OK(tx_room_grow(&room, BYTES, 0, &err));
    before = status_bytes("RssFile") + status_bytes("RssShmem");
    fill(0, BYTES);
    assert_true(status_bytes("RssFile") + status_bytes("RssShmem") >= before + MOST);
    tx_room_let_go(&room, BYTES);
    assert_true(status_bytes("RssFile") + status_bytes("RssShmem") <= before + BYTES - MOST);
    expect_filled(BYTES);
}

static void
a_file_has_no_name(void **state)
{
    (void)state;
    need_files();
    OK(tx_room_grow(&room, FILE_FROM, 0, &err));
    assert_true(room.fd >= 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
}

static void
without_a_directory_or_with_one_that_takes_no_file_all_is_on_the_heap(void **state)
{
    const char *const dirs[] = { NULL, "/nonexistent", "/proc/self" };

    (void)state;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        tx_room_init(&room, dirs[i]);
        OK(tx_room_grow(&room, FILE_FROM, 0, &err));
        fill(0, FILE_FROM);
        OK(tx_room_grow(&room, 2 * FILE_FROM, FILE_FROM, &err));
        expect_filled(FILE_FROM);
        assert_int_equal(room.fd, -1);
        tx_room_free(&room);
    }
}

static void
expect_size(uint64_t bytes)
{
    struct stat st;

    assert_int_equal(fstat(room.fd, &st), 0);
    assert_int_equal(st.st_size, bytes);
}

/* Each call of making and growing the file fails once; nothing has changed, and it can be tried
 * again. */
static void
expect_clean_failure(uint64_t bytes, uint64_t used, int error, enum txkv_rc rc)
{
    const struct tx_room before = room;
    uint32_t failed = 0;

    for (uint64_t n = 1;; n++) {
        enum txkv_rc got;

        calls = 0;
        fail_at = n;
        fail_with = error;
        got = tx_room_grow(&room, bytes, used, &err);
        fail_at = 0;
        if (got == TXKV_OK)
            break;
        failed++;
        assert_int_equal(got, rc);
        assert_non_null(strstr(err.text, dir));
        assert_memory_equal(&before, &room, sizeof room);
        expect_filled(used);
        if (room.fd >= 0)
            expect_size(room.bytes);
    }
    assert_int_equal(failed, 2);
    expect_filled(used);
}

static void
a_full_disk_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    need_files();
    OK(tx_room_grow(&room, FILE_FROM / 2, 0, &err));
    fill(0, FILE_FROM / 2);
    expect_clean_failure(FILE_FROM, FILE_FROM / 2, ENOSPC, TXKV_FULL);
    fill(FILE_FROM / 2, FILE_FROM);
    expect_clean_failure(2 * FILE_FROM, FILE_FROM, ENOSPC, TXKV_FULL);
    fill(FILE_FROM, 2 * FILE_FROM);
    expect_clean_failure(3 * FILE_FROM, 2 * FILE_FROM, ENOMEM, TXKV_NOMEM);
}

static int
no_open(const char *path, int flags, mode_t mode)
{
    (void)path;
    (void)flags;
    (void)mode;
    errno = EMFILE;
    return -1;
}

static void
no_file_descriptor_is_an_error_that_says_where(void **state)
{
    (void)state;
    tx_os.open = no_open;
    assert_int_equal(tx_room_grow(&room, FILE_FROM, 0, &err), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, dir));
    assert_null(room.at);
}

static void
a_heap_without_memory_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    OK(tx_room_grow(&room, 5000, 0, &err));
    fill(0, 5000);
    tx_mem_fail_at(1, true);
    assert_int_equal(tx_room_grow(&room, 10000, 5000, &err), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    assert_int_equal(room.bytes, 5000);
    expect_filled(5000);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bytes_stay_while_the_room_grows_from_the_heap_into_a_file),
        TEST(what_was_let_go_of_is_not_resident_and_comes_back),
        TEST(a_file_has_no_name),
        TEST(without_a_directory_or_with_one_that_takes_no_file_all_is_on_the_heap),
        TEST(a_full_disk_is_an_error_and_changes_nothing),
        TEST(no_file_descriptor_is_an_error_that_says_where),
        TEST(a_heap_without_memory_is_an_error_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
