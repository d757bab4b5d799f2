/*
 * recovery.h - brings a store's overlay up to the end of its log when it is opened.
 *
 * LMDB holds everything before the checkpoint LSN; the log from there on is checked and entered
 * into a new memtable. LMDB is not written, so recovery can be cut off anywhere and done again.
 *
 * Threads: the opener, alone, but for one that enters operations while it reads on (reload.h).
 * Layer 6: apply.h.
 */
#ifndef TX_RECOVERY_H
#define TX_RECOVERY_H

#include "apply.h"

/*
 * tx_recovery_run -- with core->tree open, fill the catalog, open the log in config->dir, replay
 * it, and set up the views and the LSNs. The first opener has the store to itself, cuts the log at
 * its end and fills in the shared page; others read what has been published. On failure core->log
 * and the views are not set up; the catalog is to be destroyed in both cases.
 */
TX_MUST_CHECK enum txkv_rc tx_recovery_run(struct tx_core *core, const struct tx_log_config *config,
                                           bool first, struct txkv_recovery_report *report,
                                           struct txkv_error *err);

#endif /* TX_RECOVERY_H */
