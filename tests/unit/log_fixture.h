/*
 * log_fixture.h - a log in a directory of its own, and what its tests do with it.
 *
 * Record n (counted from 1) has a body that begins with n and goes on with bytes made from n, so a
 * visit can tell that the right records came back, whole and in order.
 */
#ifndef LOG_FIXTURE_H
#define LOG_FIXTURE_H

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
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/bytes.h"
#include "../../src/log.h"
#include "../../src/mem.h"
#include "../../src/os.h"
#include "temp_dir.h"

enum { SEGMENT = 65536, FILES_MAX = 64 };
#define STORE UINT64_C(0x0123456789abcdef)

static char dir[TEMP_DIR_BYTES];
static struct tx_log *log_now;
static struct tx_log_scan scan;
static struct txkv_error err;
static uint64_t live_before;

/* What the last recovery or verification visited. */
static uint64_t seen_count, seen_first, seen_last;
static bool seen_in_order;

/* Of the record appended last. */
static uint64_t last_lsn, last_end;
static bool append_void; /* append void records */

static inline int
setup(void **state)
{
    (void)state;
    tx_os = tx_os_system;
    live_before = tx_mem_live();
    return temp_dir_make(dir) ? 0 : -1;
}

static inline int
teardown(void **state)
{
    (void)state;
    tx_os = tx_os_system;
    tx_mem_fail_at(0, false);
    tx_log_close(log_now);
    log_now = NULL;
    return temp_dir_remove(dir) && tx_mem_live() == live_before ? 0 : -1;
}

static inline const char *
path_of(const char *name)
{
    static char path[4][320];
    static unsigned next;
    char *out = path[next++ % 4];

    (void)snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static inline const char *
segment_path(uint64_t first_lsn)
{
    char name[TX_SEGMENT_NAME_BYTES];

    tx_segment_name(first_lsn, name);
    return path_of(name);
}

static inline enum txkv_rc
note_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
            struct txkv_error *e)
{
    const uint64_t n = record->body_bytes >= 8 ? tx_get_u64(record->body) : 0;

    (void)arg;
    (void)e;
    if (record->body < segment->map || record->body > segment->map + segment->bytes)
        seen_in_order = false;
    for (uint32_t i = 8; i < record->body_bytes; i++)
        seen_in_order = seen_in_order && record->body[i] == (uint8_t)(n + i);
    if (seen_count == 0)
        seen_first = n;
    else
        seen_in_order = seen_in_order && n == seen_last + 1;
    seen_last = n;
    seen_count++;
    return TXKV_OK;
}

static inline void
forget_seen(void)
{
    seen_count = seen_first = seen_last = 0;
    seen_in_order = true;
}

static inline enum txkv_rc
recover_from(uint64_t start_lsn, uint64_t start_check, bool salvage)
{
    const struct tx_log_config config = { .dir = dir,
                                          .store_id = STORE,
                                          .segment_bytes = SEGMENT,
                                          .start_lsn = start_lsn,
                                          .start_check = start_check,
                                          .salvage = salvage };

    tx_log_close(log_now);
    forget_seen();
    return tx_log_recover(&config, note_record, NULL, &scan, &log_now, &err);
}

static inline enum txkv_rc
reopen(void)
{
    return recover_from(0, 0, false);
}

static inline void
close_log(void)
{
    tx_log_close(log_now);
    log_now = NULL;
}

/* Append record n with a body of that many bytes, at least 8. */
static inline enum txkv_rc
append(uint64_t n, uint32_t body_bytes)
{
    const uint32_t bytes = (uint32_t)tx_record_length(body_bytes);
    uint8_t *record = malloc(bytes);
    uint8_t *body;
    struct tx_log_place place;
    enum txkv_rc rc;

    if (record == NULL)
        return TXKV_NOMEM;
    body = record + TX_RECORD_HEADER_BYTES;
    for (uint32_t i = 8; i < body_bytes; i++)
        body[i] = (uint8_t)(n + i);
    tx_put_u64(body, n);
    tx_record_finish_body(record, TX_RECORD_TXN, body_bytes, STORE);
    rc = tx_log_place(log_now, record, bytes, &place, &err);
    if (rc == TXKV_OK) {
        tx_log_finish(log_now, record, &place, append_void);
        last_lsn = place.lsn;
        last_end = place.lsn + bytes;
    }
    free(record);
    return rc;
}

static inline void
append_synced(uint64_t n, uint32_t body_bytes)
{
    assert_int_equal(append(n, body_bytes), TXKV_OK);
    assert_int_equal(tx_log_sync(log_now, last_end, &err), TXKV_OK);
}

/* Recovery must find records 1 to n, whole and in order. */
static inline void
expect_records(uint64_t n)
{
    assert_int_equal(reopen(), TXKV_OK);
    assert_int_equal(seen_count, n);
    assert_int_equal(scan.records, n);
    assert_true(seen_in_order);
    if (n > 0)
        assert_int_equal(seen_first, 1);
}

/* ---- files ---- */

struct image {
    uint8_t *bytes;
    size_t size;
};

static inline struct image
read_image(const char *path)
{
    struct image image = { NULL, 0 };
    struct stat st;
    const int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    image.size = (size_t)st.st_size;
    image.bytes = malloc(image.size + 1);
    assert_non_null(image.bytes);
    assert_int_equal(read(fd, image.bytes, image.size), image.size);
    (void)close(fd);
    return image;
}

static inline void
write_file(const char *path, const void *bytes, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    (void)close(fd);
}

/* Change `count` bytes of a file: to zero, or each by xor when flip is not 0. */
static inline void
damage(const char *path, uint64_t offset, uint64_t count, uint8_t flip)
{
    const int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    for (uint64_t i = offset; i < offset + count; i++) {
        uint8_t byte = 0;

        assert_int_equal(pread(fd, &byte, 1, (off_t)i), 1);
        byte = flip != 0 ? byte ^ flip : 0;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
    }
    (void)close(fd);
}

static inline enum txkv_rc
add_fingerprint(void *arg, const char *name, struct txkv_error *e)
{
    uint64_t *sum = arg;
    struct stat st;
    struct image image;

    (void)e;
    if (stat(path_of(name), &st) != 0 || S_ISDIR(st.st_mode))
        return TXKV_OK;
    image = read_image(path_of(name));
    *sum += tx_record_hash(image.bytes, image.size, tx_record_hash(name, strlen(name), 0));
    free(image.bytes);
    return TXKV_OK;
}

/* Changes when the name or any byte of any file in the directory does. */
static inline uint64_t
fingerprint(void)
{
    uint64_t sum = 0;

    assert_int_equal(tx_os_list_dir(dir, add_fingerprint, &sum, &err), TXKV_OK);
    return sum;
}

static inline bool
exists(const char *path)
{
    return access(path, F_OK) == 0;
}

#endif /* LOG_FIXTURE_H */
