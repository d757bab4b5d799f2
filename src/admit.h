/*
 * admit.h - a committer waits while too much waits for a checkpoint.
 *
 * Threads: any, each with its own transaction. Layer 6: pace.h, txn.h.
 */
#ifndef TX_ADMIT_H
#define TX_ADMIT_H

#include "txn.h"

/*
 * tx_admit -- let a commit on, at once or when a checkpoint has made room. TXKV_BUSY when that
 * takes as long as stall_timeout_ms, or waits for this transaction itself.
 */
TX_MUST_CHECK enum txkv_rc tx_admit(struct tx_core *core, const struct tx_txn *txn,
                                    struct txkv_error *err);

#endif /* TX_ADMIT_H */
