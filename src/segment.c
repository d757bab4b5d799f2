/*
 * segment.c - creating, opening and naming the log's files.
 *
 * How a segment gets its pages can decide what its fdatasyncs cost: the kernel keeps a file's pages
 * in folios and writes a dirty one whole. Pages that the first write to the map faults in, with
 * readahead off, are folios of one page; readahead and large write()s make large ones. So a new
 * file's space comes from posix_fallocate, never from writing zeros, its map is MADV_RANDOM, and a
 * file that has been read back is not appended to again (log_recover.c).
 */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "atomic.h"
#include "bytes.h"
#include "mem.h"
#include "os.h"
#include "record.h"

enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_STORE_ID = 16,
    AT_FIRST_LSN = 24,
    AT_BYTES = 32,
    AT_PREV_CHECK = 40,
    AT_CHECK = 56
};
static_assert(AT_CHECK + 8 == TX_SEGMENT_HEADER_BYTES, "the header is full");

#define MAGIC "txkvwal1"

#define FILL_STEP       (UINT64_C(4) << 20)
#define CALLS_FROM      (UINT64_C(64) << 10)
#define UNMAP_PAGES_MIN 64u /* fewer are cheaper one by one: their committer reads them soon */

/* The largest record, alone in a file of whole pages. */
#define BYTES_MAX (TX_RECORD_BYTES_MAX + (uint64_t)TX_SEGMENT_HEADER_BYTES + 4096)

void
tx_segment_name(uint64_t first_lsn, char name[TX_SEGMENT_NAME_BYTES])
{
    (void)snprintf(name, TX_SEGMENT_NAME_BYTES, "%016llx.wal", (unsigned long long)first_lsn);
}

/* Sixteen lower-case hex digits and `suffix`. */
static bool
parse_hex_name(const char *name, const char *suffix, uint64_t *value)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;

    if (strlen(name) != 16 + strlen(suffix) || strcmp(name + 16, suffix) != 0)
        return false;
    for (int i = 0; i < 16; i++) {
        const char *digit = strchr(digits, name[i]);

        if (digit == NULL)
            return false;
        v = v << 4 | (uint64_t)(digit - digits);
    }
    *value = v;
    return true;
}

bool
tx_segment_parse_name(const char *name, uint64_t *first_lsn)
{
    uint64_t lsn;

    if (!parse_hex_name(name, ".wal", &lsn) || lsn % 8 != 0 || lsn >= TX_SEGMENT_LSN_LIMIT)
        return false;
    *first_lsn = lsn;
    return true;
}

bool
tx_segment_is_tmp_name(const char *name)
{
    uint64_t lsn;

    return strcmp(name, TX_SEGMENT_PREPARED_NAME) == 0 || parse_hex_name(name, ".tmp", &lsn);
}

void
tx_segment_close_fd(struct tx_segment *segment)
{
    if (segment->fd >= 0)
        (void)tx_os.close(segment->fd);
    segment->fd = -1;
}

void
tx_segment_ref(struct tx_segment *segment)
{
    (void)tx_fetch_add_64(&segment->refs, 1);
}

void
tx_segment_unref(struct tx_segment *segment)
{
    /* Adding 2^64 - 1 subtracts one. The barrier keeps every holder's accesses before the unmap. */
    if (segment == NULL || tx_fetch_add_64(&segment->refs, UINT64_MAX) != 1)
        return;
    if (segment->map != NULL)
        (void)tx_os.munmap(segment->map, segment->bytes);
    tx_segment_close_fd(segment);
    tx_free(segment->path);
    tx_free(segment);
}

void
tx_segment_discard(struct tx_segment *segment)
{
    if (segment == NULL)
        return;
    (void)tx_os.unlink(segment->path);
    tx_segment_unref(segment);
}

/* A segment without a map; the file is opened with these flags. NULL, and *rc says why. */
static struct tx_segment *
open_file(const char *dir, const char *name, int flags, enum txkv_rc *rc, struct txkv_error *err)
{
    struct tx_segment *s = tx_zalloc(sizeof *s);

    *rc = TXKV_OK;
    if (s == NULL) {
        *rc = tx_fail_nomem(err);
        return NULL;
    }
    s->refs = 1;
    s->fd = -1;
    s->path = tx_os_join(dir, name);
    if (s->path != NULL)
        s->fd = tx_os.open(s->path, flags | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (s->fd >= 0)
        return s;
    *rc = s->path == NULL ? tx_fail_nomem(err)
                          : tx_fail_errno(err, errno, "cannot open log file %s", s->path);
    tx_segment_unref(s);
    return NULL;
}

static enum txkv_rc
map_file(struct tx_segment *s, bool writable, struct txkv_error *err)
{
    const int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *map = tx_os.mmap(s->bytes, prot, MAP_SHARED, s->fd, 0);

    if (map == MAP_FAILED)
        return tx_fail_errno(err, errno, "cannot map log file %s", s->path);
    s->map = map;
    return TXKV_OK;
}

enum txkv_rc
tx_segment_allocate(const char *dir, const char *tmp_name, uint64_t bytes, struct tx_segment **out,
                    struct txkv_error *err)
{
    struct tx_segment *s;
    enum txkv_rc rc;
    int e;

    *out = NULL;
    assert(bytes % 8 == 0 && bytes <= BYTES_MAX);
    assert(bytes >= TX_SEGMENT_HEADER_BYTES + TX_RECORD_HEADER_BYTES);
    s = open_file(dir, tmp_name, O_RDWR | O_CREAT | O_TRUNC, &rc, err);
    if (s == NULL)
        return rc;
    e = tx_os_allocate(s->fd, bytes);
    if (e != 0) {
        rc = tx_fail_errno(
            err, e,
            "nothing was written; free space and try again: cannot allocate %llu bytes for "
            "log file %s",
            (unsigned long long)bytes, s->path);
        goto fail;
    }
    s->bytes = s->file_bytes = bytes;
    rc = map_file(s, true, err);
    if (rc != TXKV_OK)
        goto fail;
    (void)madvise(s->map, bytes, MADV_RANDOM); /* advice: without it only slower */
    *out = s;
    return TXKV_OK;

fail:
    tx_segment_discard(s);
    return rc;
}

enum txkv_rc
tx_segment_take(const char *dir, const char *tmp_name, uint64_t bytes, struct tx_segment **out,
                struct txkv_error *err)
{
    struct tx_segment *s;
    struct stat st;
    enum txkv_rc rc;

    *out = NULL;
    s = open_file(dir, tmp_name, O_RDWR, &rc, err);
    if (s == NULL)
        return rc;
    if (tx_os.fstat(s->fd, &st) != 0)
        rc = tx_fail_errno(err, errno, "cannot look at log file %s", s->path);
    else if ((uint64_t)st.st_size != bytes)
        rc = tx_fail(err, TXKV_IOERR, "log file %s does not have the size it was made with",
                     s->path);
    s->bytes = s->file_bytes = bytes;
    if (rc == TXKV_OK)
        rc = map_file(s, true, err);
    if (rc != TXKV_OK) {
        tx_segment_unref(s);
        return rc;
    }
    (void)madvise(s->map, bytes, MADV_RANDOM); /* advice: without it only slower */
    *out = s;
    return TXKV_OK;
}

void
tx_segment_put_header(struct tx_segment *segment, uint64_t store_id)
{
    uint8_t *header = segment->map;

    memset(header, 0, TX_SEGMENT_HEADER_BYTES);
    memcpy(header + AT_MAGIC, MAGIC, 8);
    tx_put_u32(header + AT_FORMAT, TX_SEGMENT_FORMAT);
    tx_put_u64(header + AT_STORE_ID, store_id);
    tx_put_u64(header + AT_FIRST_LSN, segment->first_lsn);
    tx_put_u64(header + AT_BYTES, segment->bytes);
    tx_put_u64(header + AT_PREV_CHECK, segment->first_prev_check);
    tx_put_u64(header + AT_CHECK, tx_record_hash(header, AT_CHECK, store_id));
}

enum txkv_rc
tx_segment_start(struct tx_segment *segment, const char *dir, uint64_t store_id, uint64_t first_lsn,
                 uint64_t prev_check, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];
    char *path;

    assert(first_lsn % 8 == 0);
    tx_segment_name(first_lsn, name);
    path = tx_os_join(dir, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    segment->first_lsn = first_lsn;
    segment->first_prev_check = prev_check;
    tx_segment_put_header(segment, store_id);
    if (tx_os.rename(segment->path, path) != 0) {
        const enum txkv_rc rc =
            tx_fail_errno(err, errno, "cannot rename %s to %s", segment->path, path);
        tx_free(path);
        return rc;
    }
    tx_free(segment->path);
    segment->path = path;
    return TXKV_OK;
}

enum txkv_rc
tx_segment_create(const char *dir, uint64_t store_id, uint64_t first_lsn, uint64_t bytes,
                  uint64_t prev_check, struct tx_segment **out, struct txkv_error *err)
{
    char tmp_name[TX_SEGMENT_NAME_BYTES];
    struct tx_segment *s;
    enum txkv_rc rc;

    *out = NULL;
    (void)snprintf(tmp_name, sizeof tmp_name, "%016llx.tmp", (unsigned long long)first_lsn);
    rc = tx_segment_allocate(dir, tmp_name, bytes, &s, err);
    if (rc != TXKV_OK)
        return rc;
    assert(s != NULL);
    rc = tx_segment_start(s, dir, store_id, first_lsn, prev_check, err);
    if (rc != TXKV_OK) {
        tx_segment_discard(s);
        return rc;
    }
    *out = s;
    return TXKV_OK;
}

static bool
is_header_intact(const uint8_t *header)
{
    return memcmp(header + AT_MAGIC, MAGIC, 8) == 0 &&
           tx_get_u64(header + AT_CHECK) ==
               tx_record_hash(header, AT_CHECK, tx_get_u64(header + AT_STORE_ID));
}

/* Whether a segment can have that size. */
static bool
is_size(uint64_t bytes)
{
    return bytes % 8 == 0 && bytes <= BYTES_MAX &&
           bytes >= TX_SEGMENT_HEADER_BYTES + TX_RECORD_HEADER_BYTES;
}

/* Judges the header; of an intact one of this store it takes over the fields. */
static enum tx_segment_state
read_header(struct tx_segment *s, const uint8_t *header, uint64_t store_id)
{
    const uint64_t id = tx_get_u64(header + AT_STORE_ID);
    const uint64_t bytes = tx_get_u64(header + AT_BYTES);

    if (!is_header_intact(header))
        return TX_SEGMENT_DAMAGED;
    if (tx_get_u32(header + AT_FORMAT) != TX_SEGMENT_FORMAT)
        return TX_SEGMENT_OTHER_FORMAT;
    if (id != store_id)
        return TX_SEGMENT_FOREIGN;
    if (tx_get_u64(header + AT_FIRST_LSN) != s->first_lsn || !is_size(bytes))
        return TX_SEGMENT_DAMAGED;
    s->bytes = bytes;
    s->first_prev_check = tx_get_u64(header + AT_PREV_CHECK);
    return TX_SEGMENT_INTACT;
}

enum txkv_rc
tx_segment_open(const char *dir, uint64_t store_id, uint64_t first_lsn, bool writable,
                struct tx_segment **out, enum tx_segment_state *state, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];
    uint8_t header[TX_SEGMENT_HEADER_BYTES];
    struct tx_segment *s;
    struct stat st;
    ssize_t got;
    enum txkv_rc rc;

    *out = NULL;
    *state = TX_SEGMENT_DAMAGED;
    tx_segment_name(first_lsn, name);
    s = open_file(dir, name, writable ? O_RDWR : O_RDONLY, &rc, err);
    if (s == NULL)
        return rc;
    got = tx_os_read(s->fd, header, sizeof header, 0);
    if (got < 0 || tx_os.fstat(s->fd, &st) != 0) {
        rc = tx_fail_errno(err, errno, "cannot read log file %s", s->path);
        goto fail;
    }
    s->first_lsn = first_lsn;
    s->bytes = (uint64_t)st.st_size;
    if (got == (ssize_t)sizeof header)
        *state = read_header(s, header, store_id);
    s->file_bytes = tx_min_u64((uint64_t)st.st_size, s->bytes);
    rc = s->bytes > 0 ? map_file(s, writable, err) : TXKV_OK;
    if (rc != TXKV_OK)
        goto fail;
    *out = s;
    return TXKV_OK;

fail:
    tx_segment_unref(s);
    return rc;
}

bool
tx_segment_claims(const struct tx_segment *segment, uint64_t *store_id, uint64_t *first_lsn,
                  uint64_t *bytes)
{
    const uint8_t *header = segment->map;

    assert(segment->file_bytes >= TX_SEGMENT_HEADER_BYTES);
    if (!is_header_intact(header) || !is_size(tx_get_u64(header + AT_BYTES)) ||
        tx_get_u64(header + AT_FIRST_LSN) >= TX_SEGMENT_LSN_LIMIT)
        return false;
    *store_id = tx_get_u64(header + AT_STORE_ID);
    *first_lsn = tx_get_u64(header + AT_FIRST_LSN);
    *bytes = tx_get_u64(header + AT_BYTES);
    return true;
}

enum txkv_rc
tx_segment_peek_id(const char *dir, uint64_t first_lsn, uint64_t *store_id, struct txkv_error *err)
{
    enum tx_segment_state state;
    struct tx_segment *s;
    const enum txkv_rc rc = tx_segment_open(dir, 0, first_lsn, false, &s, &state, err);

    *store_id = 0;
    if (rc != TXKV_OK)
        return rc;
    /* No store has the id 0: an intact header is one of another store, or of another format. */
    if ((state == TX_SEGMENT_FOREIGN || state == TX_SEGMENT_OTHER_FORMAT) &&
        tx_get_u64(s->map + AT_FIRST_LSN) == first_lsn)
        *store_id = tx_get_u64(s->map + AT_STORE_ID);
    tx_segment_unref(s);
    return TXKV_OK;
}

enum txkv_rc
tx_segment_load(const struct tx_segment *segment, uint64_t bytes, struct txkv_error *err)
{
    bytes = tx_min_u64(bytes, segment->file_bytes);
    /* EFAULT and EHWPOISON are bytes that cannot be read; EINVAL is a kernel before 5.14. */
    if (bytes > 0 && madvise(segment->map, bytes, MADV_POPULATE_READ) != 0 && errno != EINVAL)
        return tx_fail(err, TXKV_IOERR, "cannot read log file %s", segment->path);
    return TXKV_OK;
}

void
tx_segment_unmap_pages(const struct tx_segment *segment, uint64_t from, uint64_t to)
{
    const uint64_t page_bytes = 4096;

    from = from / page_bytes * page_bytes;
    to = to / page_bytes * page_bytes; /* the last one is written to again at once */
    if (to >= from + UNMAP_PAGES_MIN * page_bytes)
        (void)madvise(segment->map + from, to - from, MADV_DONTNEED); /* advice */
}

void
tx_segment_fill(const struct tx_segment *segment, uint64_t at, const uint8_t *from, uint64_t bytes)
{
    const bool by_calls = bytes >= CALLS_FROM; /* a store takes a fault for each page */

    for (uint64_t done = 0; done < bytes; done += FILL_STEP) {
        const uint64_t step = tx_min_u64(FILL_STEP, bytes - done);

        if (by_calls && tx_segment_write(segment, at + done, from + done, step))
            continue;
        memcpy(segment->map + at + done, from + done, step);
        if (bytes > FILL_STEP)
            tx_segment_unmap_pages(segment, at + done, at + done + step);
    }
}

bool
tx_segment_write(const struct tx_segment *segment, uint64_t at, const uint8_t *from, uint64_t bytes)
{
    return segment->fd >= 0 && tx_os_write(segment->fd, from, bytes, (off_t)at) == (ssize_t)bytes;
}

void
tx_segment_rewrite(const struct tx_segment *segment, uint64_t from, uint64_t to)
{
    if (from >= to || tx_segment_write(segment, from, segment->map + from, to - from))
        return;
    for (uint64_t at = from & ~(uint64_t)4095; at < to; at += 4096) {
        volatile uint8_t *byte = segment->map + at;
        const uint8_t same = *byte;

        *byte = same;
    }
}

enum txkv_rc
tx_segment_fail_format(const struct tx_segment *segment, struct txkv_error *err)
{
    return tx_fail(err, TXKV_FORMAT, "log file %s has a format that this version cannot read",
                   segment->path);
}
