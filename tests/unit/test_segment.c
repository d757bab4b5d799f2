/*
 * test_segment.c - creating, opening and naming one log file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/segment.h"
#include "temp_dir.h"

enum { BYTES = 65536 };
#define STORE UINT64_C(0xfeedfacecafebeef)
#define FIRST UINT64_C(0x1000)

static char dir[TEMP_DIR_BYTES];
static char path[64];
static struct txkv_error err;
static uint64_t live_before;

static int
setup(void **state)
{
    (void)state;
    tx_os = tx_os_system;
    live_before = tx_mem_live();
    if (!temp_dir_make(dir))
        return -1;
    (void)snprintf(path, sizeof path, "%s/0000000000001000.wal", dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_os = tx_os_system;
    return temp_dir_remove(dir) && tx_mem_live() == live_before ? 0 : -1;
}

static enum txkv_rc
count_names(void *arg, const char *name, struct txkv_error *e)
{
    (void)name;
    (void)e;
    ++*(int *)arg;
    return TXKV_OK;
}

static int
files(void)
{
    int n = 0;

    assert_int_equal(tx_os_list_dir(dir, count_names, &n, &err), TXKV_OK);
    return n;
}

static void
create(void)
{
    struct tx_segment *s;

    assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 77, &s, &err), TXKV_OK);
    tx_segment_unref(s);
}

static enum tx_segment_state
state_for(uint64_t store_id)
{
    enum tx_segment_state state;
    struct tx_segment *s;

    assert_int_equal(tx_segment_open(dir, store_id, FIRST, true, &s, &state, &err), TXKV_OK);
    assert_int_equal(tx_segment_load(s, UINT64_MAX, &err), TXKV_OK);
    tx_segment_unref(s);
    return state;
}

static void
names_and_lsns_translate_both_ways(void **state)
{
    char name[TX_SEGMENT_NAME_BYTES];
    uint64_t lsn = 1;

    (void)state;
    tx_segment_name(0x1000000, name);
    assert_string_equal(name, "0000000001000000.wal");
    assert_true(tx_segment_parse_name(name, &lsn));
    assert_int_equal(lsn, 0x1000000);
    assert_false(tx_segment_parse_name("0000000001000000.wa", &lsn));
    assert_false(tx_segment_parse_name("0000000001000000.walx", &lsn));
    assert_false(tx_segment_parse_name("000000000100000.wal", &lsn));
    assert_false(tx_segment_parse_name("00000000010000G0.wal", &lsn));
    assert_false(tx_segment_parse_name("000000000100000A.wal", &lsn));
    assert_false(tx_segment_parse_name("0000000001000004.wal", &lsn));
    assert_false(tx_segment_parse_name("8000000000000000.wal", &lsn));
    assert_false(tx_segment_parse_name("", &lsn));
    assert_int_equal(lsn, 0x1000000);
    assert_true(tx_segment_is_tmp_name("next.tmp"));
    assert_true(tx_segment_is_tmp_name("0000000001000000.tmp"));
    assert_false(tx_segment_is_tmp_name("mine.tmp"));
}

static void
a_created_segment_opens_with_what_it_was_given(void **state)
{
    enum tx_segment_state header;
    struct tx_segment *s;

    (void)state;
    create();
    assert_int_equal(files(), 1);
    assert_int_equal(tx_segment_open(dir, STORE, FIRST, true, &s, &header, &err), TXKV_OK);
    assert_int_equal(header, TX_SEGMENT_INTACT);
    assert_int_equal(s->bytes, BYTES);
    assert_int_equal(s->file_bytes, BYTES);
    assert_int_equal(s->first_prev_check, 77);
    assert_int_equal(tx_segment_end_lsn(s), FIRST + BYTES);
    tx_segment_unref(s);
    assert_int_equal(state_for(STORE + 1), TX_SEGMENT_FOREIGN);
}

static void
any_flipped_byte_of_the_header_is_noticed(void **state)
{
    uint8_t header[TX_SEGMENT_HEADER_BYTES];
    int fd;

    (void)state;
    create();
    fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    for (off_t i = 0; i < (off_t)sizeof header; i++) {
        const uint8_t flipped = header[i] ^ 1;

        assert_int_equal(pwrite(fd, &flipped, 1, i), 1);
        assert_int_equal(state_for(STORE), TX_SEGMENT_DAMAGED);
        assert_int_equal(pwrite(fd, &header[i], 1, i), 1);
    }
    assert_int_equal(state_for(STORE), TX_SEGMENT_INTACT);
    (void)close(fd);
}

static void
a_segment_under_another_name_is_damaged(void **state)
{
    char other[64];
    enum tx_segment_state header;
    struct tx_segment *s;

    (void)state;
    create();
    (void)snprintf(other, sizeof other, "%s/0000000000002000.wal", dir);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(tx_segment_open(dir, STORE, 0x2000, true, &s, &header, &err), TXKV_OK);
    assert_int_equal(header, TX_SEGMENT_DAMAGED);
    tx_segment_unref(s);
    assert_int_equal(tx_segment_open(dir, STORE, FIRST, true, &s, &header, &err), TXKV_CANTOPEN);
    assert_null(s);
}

static void
a_file_of_any_length_can_be_opened(void **state)
{
    const off_t lengths[] = { BYTES + 5, BYTES, 5000, 64, 63, 1, 0 };

    (void)state;
    create();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_int_equal(state_for(STORE),
                         lengths[i] < 64 ? TX_SEGMENT_DAMAGED : TX_SEGMENT_INTACT);
    }
}

static void
a_segment_stays_mapped_until_the_last_reference_goes(void **state)
{
    struct tx_segment *s;

    (void)state;
    assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 0, &s, &err), TXKV_OK);
    tx_segment_ref(s);
    assert_int_equal(unlink(path), 0);
    tx_segment_unref(s);
    s->map[BYTES - 1] = 1;
    assert_int_equal(tx_mem_live(), live_before + 2);
    tx_segment_unref(s);
    tx_segment_unref(NULL);
}

static int
fail_fallocate(int fd, off_t offset, off_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    return ENOSPC;
}

static void *
fail_mmap(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    (void)bytes;
    (void)prot;
    (void)flags;
    (void)fd;
    (void)offset;
    errno = ENOMEM;
    return MAP_FAILED;
}

static int
fail_rename(const char *from, const char *to)
{
    (void)from;
    (void)to;
    errno = EIO;
    return -1;
}

static void
a_creation_that_fails_leaves_nothing(void **state)
{
    struct tx_segment *s;

    (void)state;
    tx_os.fallocate = fail_fallocate;
    assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 0, &s, &err), TXKV_FULL);
    assert_null(s);
    tx_os = tx_os_system;
    tx_os.mmap = fail_mmap;
    assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 0, &s, &err), TXKV_NOMEM);
    tx_os = tx_os_system;
    tx_os.rename = fail_rename;
    assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 0, &s, &err), TXKV_IOERR);
    tx_os = tx_os_system;
    for (uint64_t n = 1; n <= 3; n++) {
        tx_mem_fail_at(n, false);
        assert_int_equal(tx_segment_create(dir, STORE, FIRST, BYTES, 0, &s, &err), TXKV_NOMEM);
    }
    tx_mem_fail_at(0, false);
    assert_int_equal(files(), 0);
    create();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_lsns_translate_both_ways),
        cmocka_unit_test_setup_teardown(a_created_segment_opens_with_what_it_was_given, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(any_flipped_byte_of_the_header_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_segment_under_another_name_is_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_any_length_can_be_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(a_segment_stays_mapped_until_the_last_reference_goes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_creation_that_fails_leaves_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
