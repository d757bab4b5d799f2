/*
 * checkpoint.h - moves the log's tail from the overlay into LMDB, and lets go of what that makes
 * superfluous.
 *
 * In the leader's place the active memtable is frozen at the log's end. The frozen memtables'
 * newest versions go, in key order, into one LMDB transaction together with the checkpoint LSN.
 * After its commit the shared checkpoint LSN is raised, by which the other processes know what they
 * can let go of; here a view without them is published, and the segments below are deleted. Readers
 * and writers never stop.
 *
 * A checkpointed memtable stays in the view while a snapshot older than its end is open, since the
 * check at commit needs it, up to half of overlay_limit.
 *
 * Threads: any; one checkpoint at a time under a mutex, and TX_LOCK_CHECKPOINT between processes,
 * both taken before the leader's place. Layer 6: commit.h.
 */
#ifndef TX_CHECKPOINT_H
#define TX_CHECKPOINT_H

#include "commit.h"

struct tx_checkpoint {
    struct tx_core *core;
    struct tx_commit *commit;
    pthread_mutex_t mutex;
    struct tx_event done; /* for the leader; under the mutex */
};

void tx_checkpoint_init(struct tx_checkpoint *checkpoint, struct tx_core *core,
                        struct tx_commit *commit);
void tx_checkpoint_destroy(struct tx_checkpoint *checkpoint);

/*
 * txkv_checkpoint. report may be NULL. Does nothing when the checkpoint LSN has passed seen_lsn by
 * the time that it is its turn: another process has done it. TX_LSN_NONE: do it in any case.
 */
TX_MUST_CHECK enum txkv_rc tx_checkpoint_run(struct tx_checkpoint *checkpoint, uint64_t seen_lsn,
                                             struct txkv_checkpoint_report *report,
                                             struct txkv_error *err);

/* Drop memtables that no snapshot needs any more and free retired views whose pins have gone. */
void tx_checkpoint_tidy(struct tx_checkpoint *checkpoint);

/*
 * tx_checkpoint_pause -- keep every process from checkpointing, and so from writing to LMDB and
 * from deleting segments, until tx_checkpoint_resume by the same thread; waits for one that is
 * running. TXKV_BUSY after stall_timeout_ms. Commits go on.
 */
TX_MUST_CHECK enum txkv_rc tx_checkpoint_pause(struct tx_checkpoint *checkpoint,
                                               struct txkv_error *err);
void tx_checkpoint_resume(struct tx_checkpoint *checkpoint);

/* txkv_verify: the log from the checkpoint LSN to the published LSN. */
TX_MUST_CHECK enum txkv_rc tx_checkpoint_verify(struct tx_checkpoint *checkpoint,
                                                struct txkv_recovery_report *report,
                                                struct txkv_error *err);

#endif /* TX_CHECKPOINT_H */
