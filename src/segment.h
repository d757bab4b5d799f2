/*
 * segment.h - one file of the log, preallocated and mapped.
 *
 * A segment is named by its first LSN, sixteen hex digits and ".wal". Byte b of the file is LSN
 * first_lsn + b. It opens with a 64-byte header (docs/file-format.md):
 *
 *        0     8  magic          "txkvwal1"
 *        8     4  format         1
 *       12     4  zero
 *       16     8  store id
 *       24     8  first_lsn
 *       32     8  segment bytes  size of the file
 *       40     8  prev_check     the chain's value before the first record
 *       48     8  zero
 *       56     8  check          XXH3-64 of bytes 0..55, seeded with the store id
 *
 * The file's space is allocated before it is mapped, so a full disk is an error at creation and
 * never a SIGBUS.
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
#define TX_SEGMENT_FORMAT       1u

struct tx_segment {
    struct tx_segment *next; /* in the log's list, by LSN; under the log's mutex */
    uint64_t first_lsn;
    uint64_t bytes;
    uint64_t first_prev_check; /* prev_check of the header */
    uint8_t *map;
    int fd;
    uint64_t refs; /* atomic */
    char *path;
};

/*
 * tx_segment_create -- make the file dir/<first_lsn>.wal, allocate, map, write the header. Neither
 * the file nor the directory is synced: the log does that before the first record in it is
 * acknowledged. On failure nothing is left. One reference. An existing file of that name is
 * replaced.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_create(const char *dir, uint64_t store_id, uint64_t first_lsn,
                                             uint64_t bytes, uint64_t prev_check,
                                             struct tx_segment **out, struct txkv_error *err);

/*
 * tx_segment_open -- map an existing file for reading and writing and check its header.
 * TXKV_CORRUPT for a damaged header, one of another store, or a size that is not what the header
 * says; TXKV_FORMAT for a newer format.
 */
TX_MUST_CHECK enum txkv_rc tx_segment_open(const char *dir, uint64_t store_id, uint64_t first_lsn,
                                           struct tx_segment **out, struct txkv_error *err);

void tx_segment_ref(struct tx_segment *segment);
void tx_segment_unref(struct tx_segment *segment); /* NULL is allowed */

/* "0000000001000000.wal" <-> LSN. parse is false for any other form. */
#define TX_SEGMENT_NAME_BYTES 21
void tx_segment_name(uint64_t first_lsn, char name[TX_SEGMENT_NAME_BYTES]);
bool tx_segment_parse_name(const char *name, uint64_t *first_lsn);

#endif /* TX_SEGMENT_H */
