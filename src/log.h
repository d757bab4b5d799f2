/*
 * log.h - the write-ahead log: append, sync, scan, trim, over a list of segments.
 *
 * One thread at a time appends (the leader). Any thread may sync; syncs are one at a time under a
 * mutex, and one that finds its LSN durable already returns at once. A failed sync is final: the
 * log refuses every append and sync after it, since the kernel may have dropped the pages.
 *
 * When a record does not fit into the current segment, the log writes a seal record (if a header
 * still fits: fewer bytes than a header left mean the same) and goes on in a new segment whose
 * first LSN is the old one's end; a record larger than a standard segment gets a segment of its own
 * size. The next standard segment is made ahead of time by tx_log_prepare, called from a background
 * thread. LSNs of records are multiples of 8.
 *
 * Threads: tx_log_append by the leader only; the rest by any thread. Order of locks: sync mutex,
 * then list mutex. Layer 2: segment.h, record.h, os.h.
 */
#ifndef TX_LOG_H
#define TX_LOG_H

#include "base.h"
#include "error.h"
#include "record.h"
#include "segment.h"

struct tx_log;

struct tx_log_config {
    const char *dir; /* copied */
    uint64_t store_id;
    uint32_t segment_bytes;
    /* For tx_log_recover: the checkpoint LSN, the chain's value there, what to do about damage. */
    uint64_t start_lsn, start_check;
    bool salvage;
};

/* What a scan found. */
struct tx_log_scan {
    uint64_t end_lsn;   /* position after the last intact record: where the chain ends */
    uint64_t end_check; /* the chain's value there */
    uint64_t segments;  /* files read */
    uint64_t records;   /* intact, not counting seals */
    uint64_t bytes_verified;
    uint64_t bytes_discarded; /* behind end_lsn: in each file up to its last byte that is not 0 */
    uint64_t salvaged_files;  /* copied before they were cut off or removed */
};

/* Called with each intact record from the start LSN on, seals left out; segment is what its body is
 * mapped from. */
typedef enum txkv_rc tx_log_visit(void *arg, const struct tx_record *record,
                                  struct tx_segment *segment, struct txkv_error *err);

/*
 * tx_log_recover -- open the log in config->dir for appending, from start_lsn (the checkpoint LSN;
 * start_check is the chain's value there).
 *
 * 1. Lists the segments; those wholly below start_lsn are not read, and removed by the next trim.
 * 2. Scans from start_lsn, following the chain through seals into the following segments, calling
 * visit, and syncs what it has read.
 * 3. Where the chain ends: nothing, or only a torn tail, is the end of the log. But if an intact
 * record of this store at a later position (looked for at every multiple of 8 in the rest of the
 * segment, and in later segments) carries a durable_lsn beyond the end, acknowledged data are
 * damaged: TXKV_CORRUPT with the file, the offset and the LSN in the message, nothing changed - or
 * with `salvage`, the segment files from the break on are first copied to
 * <dir>/salvaged-<end_lsn in hex>/ (with "-2" and so on when there is one already), synced, and
 * recovery goes on as with a torn tail.
 * 4. Removes later segments and files that were not finished, and writes a seal at end_lsn, synced:
 * nothing behind it is ever read again, so a stale record can never continue the chain.
 * 5. Appending goes on in a new segment, made by the first append: the segments that visit saw
 * never change again, and a log that is only read makes no files.
 *
 * Files with other names are left alone. A segment of another store is TXKV_CORRUPT, one of another
 * format TXKV_FORMAT, with salvage too. On failure *out is NULL and visit may have been called
 * already. start_lsn 0 means the log begins at LSN 0: its first record is at
 * TX_SEGMENT_HEADER_BYTES. A start_lsn without a segment that holds it, and without later ones, is
 * an empty log (LMDB was synced and the log's tail was lost, which sync=normal allows).
 */
TX_MUST_CHECK enum txkv_rc tx_log_recover(const struct tx_log_config *config, tx_log_visit *visit,
                                          void *arg, struct tx_log_scan *scan, struct tx_log **out,
                                          struct txkv_error *err);

/* Unmaps and frees. Does not sync. NULL is allowed. */
void tx_log_close(struct tx_log *log);

/*
 * Where the next record would go at the least, and the chain's value there. Leader only. After
 * tx_log_recover everything before it is durable, and no record stands between scan.end_lsn and it.
 */
uint64_t tx_log_end_lsn(const struct tx_log *log);
uint64_t tx_log_end_check(const struct tx_log *log);

/*
 * tx_log_append -- copy a record that tx_record_finish_body has prepared (record_bytes long) to the
 * end of the log and finish its header.
 *
 * lsn      out: the record's LSN.
 * mapped   out: where its first header byte stands in the segment's map; valid while that is.
 * segment  out: that segment; the caller takes its own reference if it keeps pointers.
 *
 * Nothing is durable before tx_log_sync. TXKV_FULL and TXKV_IOERR from making a segment leave the
 * log as it was. TXKV_STOPPED after a failed sync.
 */
TX_MUST_CHECK enum txkv_rc tx_log_append(struct tx_log *log, const uint8_t *record,
                                         uint32_t record_bytes, uint64_t *lsn, uint8_t **mapped,
                                         struct tx_segment **segment, struct txkv_error *err);

/*
 * tx_log_void -- turn the record appended last, at `mapped`, into a void one, which recovery skips:
 * its transaction failed before it was published. Its bytes stay, since the overlay may have kept
 * keys that point into them. Leader only.
 */
void tx_log_void(struct tx_log *log, uint8_t *mapped);

/*
 * tx_log_sync -- make everything before lsn durable: fdatasync of each segment from the durable LSN
 * to there, oldest first, the directory too when a segment is new; then raise the durable LSN to
 * lsn. lsn is an end of a record. Records appended by other threads meanwhile are not claimed. A
 * failure is TXKV_IOERR and final.
 */
TX_MUST_CHECK enum txkv_rc tx_log_sync(struct tx_log *log, uint64_t lsn, struct txkv_error *err);

/* The durable LSN. Any thread; acquire [M2]. */
uint64_t tx_log_durable_lsn(const struct tx_log *log);

/* TXKV_STOPPED with its sentence: what a log says after a failed sync, for whoever wanted to go on.
 */
enum txkv_rc tx_log_fail_stopped(const struct tx_log *log, struct txkv_error *err);

/* True after a failed sync. */
bool tx_log_stopped(const struct tx_log *log);

/* Make the next segment ahead of time when the current one is more than half full. Background
 * thread. */
TX_MUST_CHECK enum txkv_rc tx_log_prepare(struct tx_log *log, struct txkv_error *err);
/* True when tx_log_prepare has something to do. Cheap; any thread. */
bool tx_log_wants_prepare(const struct tx_log *log);

/*
 * Remove the files of segments that end at or below lsn (also files of earlier runs), and drop the
 * log's reference. *deleted counts them.
 */
TX_MUST_CHECK enum txkv_rc tx_log_trim(struct tx_log *log, uint64_t lsn, uint64_t *deleted,
                                       struct txkv_error *err);

/*
 * tx_log_remove -- remove every segment's file, the current one's too: for a close after a
 * checkpoint of everything. Nothing may be appended after it.
 */
TX_MUST_CHECK enum txkv_rc tx_log_remove(struct tx_log *log, struct txkv_error *err);

/*
 * tx_log_verify -- read again everything from start_lsn up to end_lsn (an end of a record that the
 * leader has published) and check it, calling visit (which may be NULL). While the leader goes on
 * appending behind end_lsn.
 */
TX_MUST_CHECK enum txkv_rc tx_log_verify(struct tx_log *log, uint64_t start_lsn,
                                         uint64_t start_check, uint64_t end_lsn,
                                         tx_log_visit *visit, void *arg, struct tx_log_scan *scan,
                                         struct txkv_error *err);

struct tx_log_stats {
    uint64_t appended_bytes, appended_records; /* since open */
    uint64_t syncs;                            /* tx_log_sync calls that reached the disk */
    uint64_t sync_us_total, sync_us_max;
    uint64_t segments, segment_bytes; /* on disk now */
};
void tx_log_stats(struct tx_log *log, struct tx_log_stats *stats);

#endif /* TX_LOG_H */
