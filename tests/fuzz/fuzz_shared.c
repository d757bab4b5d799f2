/*
 * fuzz_shared.c - any txkv.shm: who is first makes it anew, whatever it says; who comes beside
 * others takes it only when it says what they have written, and then reads the log as far as it is
 * there.
 *
 * Two opens in one process are two users of the file, since its locks belong to open files.
 *
 * Input: bytes that the file has before the first one opens it; then changes, while that one has it
 * open, to what it says about itself and to the numbers for readers. Its mutexes are left alone:
 * processes that have a page mapped must trust each other.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/log.h"
#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/shared.h"
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FILE_BYTES_MAX = 8192, SEGMENT_BYTES = 4096, RECORDS = 8, BODY_BYTES = 90 };
#define STORE UINT64_C(0x0123456789abcdef)

static struct {
    const char *dir;
    char wal[TEST_PATH_BYTES], path[TEST_PATH_BYTES];
    uint64_t end_lsn, end_check;
} fuzz;

/* ---- a log that is there all the time ---- */

static void
make_log(void)
{
    const struct tx_log_config config = { .dir = fuzz.wal,
                                          .store_id = STORE,
                                          .segment_bytes = SEGMENT_BYTES };
    uint8_t record[TX_RECORD_HEADER_BYTES + BODY_BYTES + 8] = { 0 };
    const uint32_t length = (uint32_t)tx_record_length(BODY_BYTES);
    struct tx_log_scan scan;
    struct tx_log *log = NULL;
    struct txkv_error err;

    require(mkdir(fuzz.wal, 0700) == 0);
    require(tx_log_recover(&config, NULL, NULL, &scan, &log, &err) == TXKV_OK);
    for (int i = 0; i < RECORDS; i++) {
        struct tx_log_place place;

        tx_record_finish_body(record, TX_RECORD_TXN, BODY_BYTES, STORE);
        require(tx_log_place(log, record, length, &place, &err) == TXKV_OK);
        tx_log_finish(log, record, &place, false);
    }
    require(tx_log_sync(log, tx_log_end_lsn(log), &err) == TXKV_OK);
    fuzz.end_lsn = tx_log_end_lsn(log);
    fuzz.end_check = tx_log_end_check(log);
    tx_log_close(log);
}

static enum txkv_rc
visit(void *arg, const struct tx_record *record, struct tx_segment *segment, struct txkv_error *err)
{
    uint64_t *count = arg;

    (void)segment;
    (void)err;
    touch(record->body, record->body_bytes);
    ++*count;
    return TXKV_OK;
}

/* As one that has joined: from the page's checkpoint LSN to what is published. */
static void
follow(struct tx_shared *shared)
{
    const struct tx_log_config config = { .dir = fuzz.wal,
                                          .store_id = STORE,
                                          .segment_bytes = SEGMENT_BYTES,
                                          .start_lsn = shared->checkpoint_lsn,
                                          .shared = shared };
    struct tx_log *log = NULL;
    struct txkv_error err;
    uint64_t count = 0;
    enum txkv_rc rc;

    if (config.start_lsn % 8 != 0 || config.start_lsn >= TX_SEGMENT_LSN_LIMIT)
        return; /* which is LMDB's, and is judged there */
    require(tx_log_attach(&config, &log, &err) == TXKV_OK);
    rc = tx_log_read(log, shared->published_lsn, visit, &count, &err);
    require(rc == TXKV_OK || rc == TXKV_CORRUPT || rc == TXKV_NOTFOUND);
    require(count <= RECORDS);
    if (config.start_lsn == 0 && rc == TXKV_OK && shared->published_lsn == fuzz.end_lsn)
        require(count == RECORDS && tx_log_end_check(log) == fuzz.end_check);
    tx_log_close(log);
}

/* ---- the file ---- */

static void
write_file(struct input *input)
{
    static uint8_t content[FILE_BYTES_MAX];
    size_t bytes;
    const uint32_t size = take_u16(input) % FILE_BYTES_MAX;
    const uint8_t *p = take_bytes(input, take_u8(input), &bytes);
    const uint32_t at = size > 0 ? take_u16(input) % size : 0;
    int fd;

    memset(content, (int)take_u8(input), sizeof content);
    memcpy(content + (at + bytes <= size ? at : 0), p, bytes);
    (void)unlink(fuzz.path);
    if (size == 0)
        return;
    fd = open(fuzz.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, content, size) == (ssize_t)size);
    (void)close(fd);
}

/* A number that is right, near to it, or any. */
static uint64_t
take_number(struct input *input, uint64_t right)
{
    const uint8_t how = take_u8(input);

    if (how < 128)
        return right;
    if (how < 192)
        return right + (uint64_t)(int64_t)(how - 160);
    return take_u64(input);
}

static void
change_page(struct tx_shared *page, struct input *input)
{
    page->magic = take_number(input, page->magic);
    page->layout = (uint32_t)take_number(input, page->layout);
    page->bytes = (uint32_t)take_number(input, page->bytes);
    page->store_id = take_number(input, page->store_id);
    page->opener = (uint32_t)take_number(input, page->opener);
    page->ready = (uint32_t)take_number(input, page->ready);
    page->checkpoint_lsn = take_number(input, 0);
    page->published_lsn = take_number(input, fuzz.end_lsn);
    page->durable_lsn = take_number(input, fuzz.end_lsn);
    page->append_word = take_number(input, fuzz.end_lsn);
    page->freeze_lsn = take_number(input, 0);
    page->prepared_bytes = take_number(input, 0);
}

/* The file's length changes, and the map of who has it open stays in it. */
static void
change_length(struct input *input)
{
    const uint8_t how = take_u8(input);

    if (how >= 128)
        require(truncate(fuzz.path, 1 + take_u16(input) % FILE_BYTES_MAX) == 0);
}

/* ---- opening it ---- */

static void
expect_new_page(const struct tx_share *share)
{
    const struct tx_shared *page = share->shared;

    require(share->first && !share->readonly && !share->offline);
    require(page->layout == TX_SHARED_LAYOUT && page->bytes == sizeof *page && page->ready == 0);
    require(page->store_id == 0 && page->published_lsn == 0 && page->append_word == 0);
    require(page->hold_lsn == 0 && page->stopped == 0 && page->way_count == 0);
}

static void
use_locks(struct tx_shared *shared)
{
    for (int i = 0; i < TX_LOCKS; i++) {
        bool abandoned = true;

        require(tx_shared_lock(shared, (enum tx_shared_lock)i, 0, &abandoned, NULL) == TXKV_OK);
        require(!abandoned);
        tx_shared_unlock(shared, (enum tx_shared_lock)i);
    }
}

static void
open_beside(const struct tx_share *first)
{
    const struct tx_shared said = *first->shared;
    const bool is_good = said.magic == UINT64_C(0x6d68732d766b7874) &&
                         said.layout == TX_SHARED_LAYOUT && said.bytes == sizeof said;
    struct tx_share share;
    struct txkv_error err;
    struct stat st;
    const enum txkv_rc rc = tx_share_open(fuzz.dir, 0, &share, &err);

    require(stat(fuzz.path, &st) == 0);
    if (st.st_size < (off_t)offsetof(struct tx_shared, published_lsn)) {
        require(rc == TXKV_FORMAT); /* it does not say what it is */
        return;
    }
    require((rc == TXKV_OK) == (is_good && said.ready != 0));
    require(rc == TXKV_OK || rc == (is_good ? TXKV_LOCKED : TXKV_FORMAT));
    require(memcmp(&said, first->shared, offsetof(struct tx_shared, locks)) == 0);
    if (rc != TXKV_OK)
        return;
    require(!share.first && !share.offline);
    follow(share.shared);
    use_locks(share.shared);
    require(!tx_share_leave(&share));
    tx_share_close(&share);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };
    struct tx_share first;
    struct txkv_error err;
    uint64_t live;

    if (fuzz.dir == NULL) {
        fuzz.dir = files_dir();
        test_path(fuzz.path, fuzz.dir, "txkv.shm");
        test_path(fuzz.wal, fuzz.dir, "wal");
        make_log();
    }
    live = tx_mem_live();
    write_file(&input);
    require(!tx_share_in_use(fuzz.dir));
    require(tx_share_open(fuzz.dir, 0, &first, &err) == TXKV_OK);
    expect_new_page(&first);
    require(tx_share_in_use(fuzz.dir));
    if (take_u8(&input) % 4 != 0)
        tx_share_open_to_others(&first, STORE);
    change_page(first.shared, &input);
    change_length(&input);
    (void)tx_share_went_live(&first);
    if (!first.first)
        open_beside(&first);
    require(tx_share_leave(&first));
    tx_share_close(&first);
    require(!tx_share_in_use(fuzz.dir));
    require(tx_mem_live() == live);
    return 0;
}
