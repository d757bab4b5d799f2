/*
 * log.h - the write-ahead log: append, follow, sync, scan, trim, over a list of segments.
 *
 * The log is one sequence, which the processes of a store append to in turn, under TX_LOCK_APPEND
 * of shared.h; where it ends stands there. Each process reads what the others append, and has its
 * own end: how far it has read or written. In a process one thread at a time is the writer, who
 * moves that end: the holder of the overlay's mutex (core.h). Any thread may sync; one that finds
 * its LSN durable already returns at once. A failed sync is final, for every process: the log
 * refuses every append and sync after it, since the kernel may have dropped the pages.
 *
 * When a record does not fit into the current segment, the log writes a seal record (if a header
 * still fits: fewer bytes than a header left mean the same) and goes on in a new segment whose
 * first LSN is the old one's end; a record larger than a standard segment gets a segment of its own
 * size. The next standard segment is made ahead of time by tx_log_prepare, called from a background
 * thread. LSNs of records are multiples of 8.
 *
 * Threads: what is the writer's says so; the rest by any thread. Order of locks: sync mutex,
 * TX_LOCK_SYNC, list mutex. Layer 2: segment.h, record.h, shared.h, os.h.
 */
#ifndef TX_LOG_H
#define TX_LOG_H

#include "base.h"
#include "error.h"
#include "record.h"
#include "segment.h"

struct tx_log;
struct tx_shared;

struct tx_log_config {
    const char *dir; /* copied */
    int dir_fd;      /* open on dir until the log is closed; 0: none */
    uint64_t store_id;
    uint32_t segment_bytes;
    /* For tx_log_recover: the checkpoint LSN, the chain's value there, what to do about damage. */
    uint64_t start_lsn, start_check;
    bool salvage;
    bool look;                /* change nothing, and open nothing: fill in the scan, that is all */
    struct tx_shared *shared; /* NULL: no other process uses this log */
    bool readonly;            /* tx_log_attach: no permission to write the files */
    uint32_t others;          /* what group and others may do with new files: 0 to 077 */
    /* For tx_log_recover, or NULL: called with visit's arg once all has been visited, before
     * anything is changed. A failure is recovery's. */
    enum txkv_rc (*before_cut)(void *arg, struct txkv_error *err);
};

/* What a scan found. */
struct tx_log_scan {
    uint64_t end_lsn;   /* position after the last intact record: where the chain ends */
    uint64_t end_check; /* the chain's value there */
    uint64_t last_file; /* where the last file begins, by its name; known from the start */
    uint64_t segments;  /* files read */
    uint64_t records;   /* intact, not counting seals */
    uint64_t bytes_verified;
    uint64_t bytes_discarded; /* behind end_lsn: in each file up to its last byte that is not 0 */
    uint64_t salvaged_files;  /* copied before they were cut off or removed */
    /* Intact ones behind end_lsn. With `look` alone: */
    uint64_t records_behind;
    bool damaged;              /* one of them proves that acknowledged data are */
    uint64_t break_first_lsn;  /* of the file in which the chain ends */
    struct txkv_error verdict; /* what recovery would say; TXKV_OK: nothing */
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
 *
 * With `look` the files are only read, before_cut is not called, *out is NULL after success too,
 * and what would have been TXKV_CORRUPT or TXKV_FORMAT is the scan's verdict.
 */
TX_MUST_CHECK enum txkv_rc tx_log_recover(const struct tx_log_config *config, tx_log_visit *visit,
                                          void *arg, struct tx_log_scan *scan, struct tx_log **out,
                                          struct txkv_error *err);

/*
 * tx_log_attach -- open the log beside other processes that have it open, from start_lsn (the
 * checkpoint LSN) on. Reads nothing yet. Needs config->shared.
 */
TX_MUST_CHECK enum txkv_rc tx_log_attach(const struct tx_log_config *config, struct tx_log **out,
                                         struct txkv_error *err);

/* Unmaps and frees. Does not sync. NULL is allowed. */
void tx_log_close(struct tx_log *log);

/*
 * How far this process has read or written the log, and the chain's value there. Writer only. After
 * tx_log_recover everything before it is durable, and no record stands between scan.end_lsn and it.
 */
uint64_t tx_log_end_lsn(const struct tx_log *log);
uint64_t tx_log_end_check(const struct tx_log *log);

/*
 * tx_log_read -- visit what other processes have appended, from this one's end to upto_lsn, which
 * is an end of a record that is complete. Writer only.
 *
 * TXKV_NOTFOUND: a checkpoint has removed the files: go on from LMDB, tx_log_skip. What visit
 * returns ends the reading before that record.
 */
TX_MUST_CHECK enum txkv_rc tx_log_read(struct tx_log *log, uint64_t upto_lsn, tx_log_visit *visit,
                                       void *arg, struct txkv_error *err);

/* Go on reading at lsn, where check is the chain's value. Writer only. */
void tx_log_skip(struct tx_log *log, uint64_t lsn, uint64_t check);

/*
 * Appending, in two steps, by the writer that holds TX_LOCK_APPEND and has read up to the log's
 * end.
 *
 * tx_log_place copies the body of a record that tx_record_finish_body has prepared (bytes long) to
 * where it will stand. tx_log_finish writes the header: from then on the record is in the log, for
 * every process. In between its bytes can be pointed at; the caller takes its own reference on the
 * segment if it keeps pointers. A record whose transaction turns out to be impossible is finished
 * as a void one, which every reader passes over.
 *
 * Nothing is durable before tx_log_sync. TXKV_FULL and TXKV_IOERR from making a segment leave the
 * log as it was. TXKV_STOPPED after a failed sync.
 */
struct tx_log_place {
    uint64_t lsn;
    uint8_t *mapped; /* where its first header byte will stand */
    struct tx_segment *segment;
    uint32_t bytes;
    bool by_call;
};
TX_MUST_CHECK enum txkv_rc tx_log_place(struct tx_log *log, const uint8_t *record,
                                        uint32_t record_bytes, struct tx_log_place *place,
                                        struct txkv_error *err);
void tx_log_finish(struct tx_log *log, const uint8_t *record, const struct tx_log_place *place,
                   bool is_void);

/*
 * tx_log_write_by_calls -- from here on write short records by calls, or again through the map. The
 * next sync makes each page that was written to through the map read-only in every page table, and
 * interrupts the processors for that; a call costs more than a store. So calls are for records of
 * which a few are synced at a time. The same writer.
 */
void tx_log_write_by_calls(struct tx_log *log, bool by_calls);

/*
 * tx_log_reserve -- have room for that many bytes of records in the current segment: going on in
 * the next one cannot fail before they are used up. The same writer, the same errors.
 */
TX_MUST_CHECK enum txkv_rc tx_log_reserve(struct tx_log *log, uint64_t bytes,
                                          struct txkv_error *err);

/*
 * tx_log_sync -- make everything before lsn durable: fdatasync of each segment from the durable LSN
 * to there, oldest first, the directory too when a segment is new; then raise the durable LSN. lsn
 * is an end of a record that this process has read or written. What was appended before the sync
 * began, by whatever process, is claimed too; what comes meanwhile is not. A failure is TXKV_IOERR
 * and final.
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

/* Drop the references on segments that end at or below lsn: another process removes their files. */
void tx_log_forget(struct tx_log *log, uint64_t lsn);

/*
 * Remove the files of segments that end at or below lsn (also those that this process never read),
 * and drop the log's reference. *deleted counts them.
 */
TX_MUST_CHECK enum txkv_rc tx_log_trim(struct tx_log *log, uint64_t lsn, uint64_t *deleted,
                                       struct txkv_error *err);

/* The same for a log with an archive: only files that end at or below archived_lsn, by the names,
 * are removed. */
TX_MUST_CHECK enum txkv_rc tx_log_trim_archived(struct tx_log *log, uint64_t lsn,
                                                uint64_t archived_lsn, uint64_t *deleted,
                                                struct txkv_error *err);

/*
 * tx_log_remove -- remove every file of the log, the current segment's too: for a close after a
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
