/*
 * log_harvest.h - every intact record in a log's files, whatever else is damaged or missing.
 *
 * Records are looked for at every multiple of 8 of every segment, and count when their checksums
 * fit and their LSN is the position: that of an intact header in the file, or else of its name. So
 * holes do not end the search, and segments may have changed their names. They come in LSN order,
 * each LSN once. What stands behind a seal in its segment was discarded by a recovery, and is left
 * out; where the seal itself is lost, it cannot be told from the rest.
 *
 * Threads: one. Layer 2: record.h, segment.h.
 */
#ifndef TX_LOG_HARVEST_H
#define TX_LOG_HARVEST_H

#include "base.h"
#include "error.h"
#include "record.h"

struct tx_harvest {
    struct tx_harvested {
        const uint8_t *at; /* in the mapped file */
        uint64_t lsn, check, prev_check;
        uint64_t segment_end; /* LSN */
        uint32_t length;
        uint8_t type;
    } * records;
    size_t count, room;
    uint64_t store_id;
    uint64_t end_lsn; /* no file that could be this store's reaches beyond it */
    uint64_t files, unreadable_files;
    uint64_t foreign_files; /* with an intact header of another store */
    uint64_t
        bytes_skipped; /* that belong to no intact record; zeros at a file's end do not count */
    struct tx_segment **segments;
};

/* Read all segments in dir. Free with tx_harvest_free, also after a failure. A file that cannot be
 * read is counted. TXKV_FORMAT: one is of another format. TXKV_CANTOPEN, TXKV_NOMEM. */
TX_MUST_CHECK enum txkv_rc tx_harvest(const char *dir, uint64_t store_id, struct tx_harvest *out,
                                      struct txkv_error *err);
void tx_harvest_free(struct tx_harvest *harvest);

/* The record itself, with its body. */
void tx_harvest_record(const struct tx_harvest *harvest, size_t i, struct tx_record *record);

/* Whether record i, not the first, follows the one before it without a hole. */
bool tx_harvest_follows(const struct tx_harvest *harvest, size_t i);

#endif /* TX_LOG_HARVEST_H */
