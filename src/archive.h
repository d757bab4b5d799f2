/*
 * archive.h - files of the log that are kept in another directory, before the log removes them.
 *
 * An archive belongs to one store; a file in it, "txkv-archive", says to which. Its other files are
 * segments by their names in the log, cut behind their last record. All of it is below the
 * checkpoint LSN, and synced there, so that no recovery ever takes it back: an archived file can
 * only be replaced by a longer one with the same beginning.
 *
 * Threads: any; one at a time for each archive, which the caller sees to. Layer 2: segment.h,
 * log_private.h.
 */
#ifndef TX_ARCHIVE_H
#define TX_ARCHIVE_H

#include "base.h"
#include "error.h"
#include "log.h"

/*
 * tx_archive_begin -- make dir, which exists, the archive of that store. Nothing when it is that
 * already. TXKV_MISUSE when another store's files are in it.
 */
TX_MUST_CHECK enum txkv_rc tx_archive_begin(const char *dir, uint64_t store_id,
                                            struct txkv_error *err);

/* Whether dir says that it is the store's archive: TXKV_OK; TXKV_MISUSE, another's; TXKV_NOTFOUND,
 * nobody's; TXKV_IOERR and so on. */
TX_MUST_CHECK enum txkv_rc tx_archive_owner(const char *dir, uint64_t store_id,
                                            struct txkv_error *err);

/* What there was to archive. */
struct tx_archive_report {
    uint64_t files, bytes;  /* written */
    uint64_t waiting;       /* files of the log that could not be archived */
    uint64_t removable_lsn; /* files that end at or below it, by the names, are in the archive */
};

/*
 * tx_archive_log -- archive the log's files that lie wholly below lsn, and with `tail` the one in
 * which lsn stands, up to there. Everything before lsn is durable in the log.
 *
 * *report is filled in after a failure, too.
 */
TX_MUST_CHECK enum txkv_rc tx_archive_log(const char *dir, const struct tx_log *log, uint64_t lsn,
                                          bool tail, struct tx_archive_report *report,
                                          struct txkv_error *err);

/* ---- reading ---- */

struct tx_archive_reader;

/*
 * Read an archive's records from lsn on, where check is the chain's value. dir is copied. No file
 * is open yet.
 */
TX_MUST_CHECK enum txkv_rc tx_archive_open(const char *dir, uint64_t store_id, uint64_t lsn,
                                           uint64_t check, struct tx_archive_reader **out,
                                           struct txkv_error *err);
void tx_archive_close(struct tx_archive_reader *reader); /* NULL is allowed */

/*
 * tx_archive_next -- the next record, seals left out. Its body stands in *segment, which is valid
 * until the next call, or longer with a reference of the caller's.
 *
 * TXKV_NOTFOUND at the archive's end. TXKV_CORRUPT, with the file and the LSN in the message, where
 * the chain breaks: a file is missing, damaged, or belongs to another store or another history.
 */
TX_MUST_CHECK enum txkv_rc tx_archive_next(struct tx_archive_reader *reader,
                                           struct tx_record *record, struct tx_segment **segment,
                                           struct txkv_error *err);

/* Where the record given last ends, or the start. */
uint64_t tx_archive_lsn(const struct tx_archive_reader *reader);

/* Files opened so far. */
uint64_t tx_archive_files(const struct tx_archive_reader *reader);

#endif /* TX_ARCHIVE_H */
