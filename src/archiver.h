/*
 * archiver.h - the store's archive: the log's files are put there before they are removed.
 *
 * Where it is stands in LMDB, and is looked up there each time, under TX_LOCK_CHECKPOINT, which
 * whoever changes it holds as well: so no process removes a file that is to be archived, whatever
 * it was told when it opened the store. What went wrong stands in the shared page, for all of them.
 *
 * Threads: any. Layer 6: core.h, archive.h.
 */
#ifndef TX_ARCHIVER_H
#define TX_ARCHIVER_H

#include "archive.h"
#include "core.h"

/*
 * tx_archiver_sync -- before LMDB takes over the log up to lsn: when there is an archive, make the
 * log durable up to there, so that a power failure leaves no hole in what is archived. *archive as
 * tx_tree_archive's, to be freed in every case. Under TX_LOCK_CHECKPOINT, as the next.
 */
TX_MUST_CHECK enum txkv_rc tx_archiver_sync(struct tx_core *core, uint64_t lsn,
                                            struct tx_tree_archive *archive,
                                            struct txkv_error *err);

/*
 * tx_archiver_trim -- remove the log's files below lsn, the checkpoint LSN, that are not needed:
 * all, or with an archive those that are in it, which they are put into first. That they cannot be
 * is noted (tx_archiver_note), and no failure. `archived` may be NULL.
 */
TX_MUST_CHECK enum txkv_rc tx_archiver_trim(struct tx_core *core, const char *dir, uint64_t lsn,
                                            uint64_t *deleted, struct tx_archive_report *archived,
                                            struct txkv_error *err);

/*
 * tx_archiver_put -- archive everything before lsn, the checkpoint LSN, also of the file that goes
 * on there; remove nothing. Here a failure is one, and is noted as well.
 */
TX_MUST_CHECK enum txkv_rc tx_archiver_put(struct tx_core *core, const char *dir, uint64_t lsn,
                                           struct tx_archive_report *archived,
                                           struct txkv_error *err);

/* What went wrong the last time, in words; empty when nothing did. *waiting: files that wait. */
void tx_archiver_note(struct tx_core *core, char text[TX_ARCHIVE_NOTE_BYTES], uint64_t *waiting);

/* Nothing is wrong any more: for who has changed where the archive is. */
void tx_archiver_clear(struct tx_core *core);

#endif /* TX_ARCHIVER_H */
