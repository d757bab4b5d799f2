/*
 * archives.h - where a store's archive is, and bringing it up to date.
 *
 * Layer 7: store.h, archiver.h.
 */
#ifndef TX_ARCHIVES_H
#define TX_ARCHIVES_H

#include "store.h"

/* The option archive_dir of an opener: NULL, nothing; "off", the store has no archive any more; a
 * directory, that is it. TXKV_MISUSE when it has another one. Takes the checkpoint's locks. */
TX_MUST_CHECK enum txkv_rc tx_archives_set(struct txkv *store, const char *asked,
                                           struct txkv_error *err);

/* All of the log that is in LMDB is in the archive, too, if there is one. For the last closer. */
TX_MUST_CHECK enum txkv_rc tx_archives_finish(struct txkv *store, struct txkv_error *err);

#endif /* TX_ARCHIVES_H */
