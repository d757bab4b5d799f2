/*
 * segment.h - one file of the log, preallocated and mapped.
 *
 * A segment is named by its first LSN, sixteen hex digits and ".wal". Byte b of the file is LSN
 * first_lsn + b. It opens with a 64-byte header (docs/file-format.md):
 *
 *        0     8  magic          "txkvwal1"
 *        8     4  format         4
 *       12     4  zero
 *       16     8  store id
 *       24     8  first_lsn
 *       32     8  segment bytes  size of the file
 *       40     8  prev_check     the chain's value before the first record
 *       48     8  zero
 *       56     8  check          XXH3-64 of bytes 0..55, seeded with the store id
 *
 * The file's space is allocated before it is mapped, so a full disk is an error at creation and
 * never a SIGBUS. A file gets its name when it is complete; until then it is called *.tmp.
 *
 * Lifetime: counted references: the log's list holds one, each memtable whose versions point into
 * the map holds one. The last one unmaps. A file may be removed while it is mapped. Threads:
 * tx_segment_ref and tx_segment_unref from any thread. Layer 2: os.h, mem.h, record.h.
 */
#ifndef TX_SEGMENT_H
#define TX_SEGMENT_H

#include "base.h"
#include "error.h"

#define TX_SEGMENT_HEADER_BYTES 64u
/* The only one that is read: below it records have the keys and rows of older stores. */
#define TX_SEGMENT_FORMAT    4u
#define TX_SEGMENT_LSN_LIMIT (UINT64_C(1) << 63)

struct tx_segment {
    struct tx_segment *next; /* in the log's list, by LSN; under the log's mutex */
    uint64_t first_lsn;
    uint64_t bytes;            /* as the header says, and the length of the map */
    uint64_t file_bytes;       /* less than bytes when the file has lost its end */
    uint64_t first_prev_check; /* prev_check of the header */
    uint8_t *map;
    int fd;        /* -1 once nothing is left to sync */
    uint64_t refs; /* atomic */
    char *path;
};

/* The LSN after the segment: first_lsn of the next one. */
static inline uint64_t
tx_segment_end_lsn(const struct tx_segment *segment)
{
    return segment->first_lsn + segment->bytes;
}

/*
 * tx_segment_allocate -- make the file dir/tmp_name with its space, and map it. It becomes a
 * segment by tx_segment_start. On failure nothing is left. One reference. bytes is a multiple of 8.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_allocate(const char *dir, const char *tmp_name,
                                               uint64_t bytes, struct tx_segment **out,
                                               struct txkv_error *err);

/*
 * tx_segment_start -- write the header and give the file its name, replacing an existing one.
 * Neither the file nor the directory is synced: the log does that before the first record in it is
 * acknowledged. After a failure it can be called again.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_start(struct tx_segment *segment, const char *dir,
                                            uint64_t store_id, uint64_t first_lsn,
                                            uint64_t prev_check, struct txkv_error *err);

/* Write the header anew into the map; the caller syncs it. */
void tx_segment_put_header(struct tx_segment *segment, uint64_t store_id);

/* tx_segment_take -- map the file that tx_segment_allocate made under that name, in whatever
 * process. TXKV_CANTOPEN when it is not there. */
TX_MUST_CHECK enum txkv_rc tx_segment_take(const char *dir, const char *tmp_name, uint64_t bytes,
                                           struct tx_segment **out, struct txkv_error *err);

/* Remove the file and drop the reference; for a segment that was allocated but is not wanted. */
void tx_segment_discard(struct tx_segment *segment); /* NULL is allowed */

/* tx_segment_create -- tx_segment_allocate and tx_segment_start. On failure nothing is left. */
TX_MUST_CHECK enum txkv_rc tx_segment_create(const char *dir, uint64_t store_id, uint64_t first_lsn,
                                             uint64_t bytes, uint64_t prev_check,
                                             struct tx_segment **out, struct txkv_error *err);

enum tx_segment_state {
    TX_SEGMENT_INTACT,
    TX_SEGMENT_DAMAGED, /* no header that could be this store's: torn, zero, or too short a file */
    TX_SEGMENT_FOREIGN, /* an intact header of another store */
    TX_SEGMENT_OTHER_FORMAT /* an intact header of another format */
};

/*
 * tx_segment_open -- map an existing file for reading and, if `writable`, writing, whatever its
 * bytes are, and say
 * in *state what its header is. `bytes` is what an intact header says, else the file's size (map is
 * NULL when that is 0). Only the first file_bytes of the map may be touched.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_open(const char *dir, uint64_t store_id, uint64_t first_lsn,
                                           bool writable, struct tx_segment **out,
                                           enum tx_segment_state *state, struct txkv_error *err);

/* What the header at the map's beginning says, whatever the file's name is and whose it is. False:
 * it is not intact, and nothing is changed. */
bool tx_segment_claims(const struct tx_segment *segment, uint64_t *store_id, uint64_t *first_lsn,
                       uint64_t *bytes);

/* The store's id in the file's header, if that is intact and names first_lsn; else 0. */
TX_MUST_CHECK enum txkv_rc tx_segment_peek_id(const char *dir, uint64_t first_lsn,
                                              uint64_t *store_id, struct txkv_error *err);

/*
 * tx_segment_load -- bring the map's first `bytes` bytes into memory. A disk that cannot be read is
 * TXKV_IOERR here, and would be a SIGBUS at the first touch without this call.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_load(const struct tx_segment *segment, uint64_t bytes,
                                           struct txkv_error *err);

/*
 * Take the whole pages of [from, to), offsets in the file, that have been written out of this
 * process's page table, where a sync is about to find them. It would make each of them read-only in
 * there, and tell every processor that runs one of the process's threads so page by page; this
 * tells them once. The bytes stay in the page cache: whoever looks at them maps them again.
 *
 * Threads: any, beside readers and writers of the same bytes.
 */
void tx_segment_unmap_pages(const struct tx_segment *segment, uint64_t from, uint64_t to);

/* Copy bytes into the map, from offset `at` of the file on. The pages of many are let go of on the
 * way, as by tx_segment_unmap_pages. */
void tx_segment_fill(const struct tx_segment *segment, uint64_t at, const uint8_t *from,
                     uint64_t bytes);

/* The same by calls, which make no page of the map writable. False: they failed, and what of the
 * bytes has been written is not known. */
TX_MUST_CHECK bool tx_segment_write(const struct tx_segment *segment, uint64_t at,
                                    const uint8_t *from, uint64_t bytes);

/*
 * Write what stands in the range once more, so that the next sync writes it to the disk whatever an
 * earlier one did. By a call where the file is open: a store to a page that has been read takes a
 * fault, and the sync an interrupt to make the page read-only again.
 */
void tx_segment_rewrite(const struct tx_segment *segment, uint64_t from, uint64_t to);

/* TXKV_FORMAT, for a file of the log whose state is TX_SEGMENT_OTHER_FORMAT. */
TX_MUST_CHECK enum txkv_rc tx_segment_fail_format(const struct tx_segment *segment,
                                                  struct txkv_error *err);

/* Close the file, keep the map. By who alone may sync the segment. */
void tx_segment_close_fd(struct tx_segment *segment);

void tx_segment_ref(struct tx_segment *segment);
void tx_segment_unref(struct tx_segment *segment); /* NULL is allowed */

/* "0000000001000000.wal" <-> LSN. parse is false for any other form, and for what no segment can
 * begin at: LSNs that are not a multiple of 8 and those from TX_SEGMENT_LSN_LIMIT on. */
#define TX_SEGMENT_NAME_BYTES 21
void tx_segment_name(uint64_t first_lsn, char name[TX_SEGMENT_NAME_BYTES]);
bool tx_segment_parse_name(const char *name, uint64_t *first_lsn);

/* Files of the log that were not finished: "<sixteen hex digits>.tmp" and this one. */
#define TX_SEGMENT_PREPARED_NAME "next.tmp"
bool tx_segment_is_tmp_name(const char *name);

#endif /* TX_SEGMENT_H */
