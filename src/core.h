/*
 * core.h - the parts of one open store that its layers share.
 *
 * Layer 5: view.h, log.h, shared.h, tree.h, event.h, catalog.h.
 */
#ifndef TX_CORE_H
#define TX_CORE_H

#include <pthread.h>

#include "catalog.h"
#include "event.h"
#include "log.h"
#include "shared.h"
#include "tree.h"
#include "view.h"

/* No snapshot: later than every LSN. */
#define TX_LSN_NONE UINT64_MAX

/* What can be changed while the store is open. Any thread reads and writes, relaxed. */
struct tx_limits {
    uint64_t flush_interval_us;
    uint64_t checkpoint_interval_us;
    uint64_t checkpoint_bytes;
    uint64_t overlay_limit;
    uint64_t stall_timeout_us;
    uint64_t snapshot_timeout_us; /* 0: none */
};

/* A prepared transaction that the overlay has come to, and that no record has decided yet. */
struct tx_pending {
    struct tx_record txn; /* its body are the operations; lsn 0: there is none */
    struct txkv_bytes note;
    bool entered; /* its versions are in the active memtable */
};

/* Any thread adds; relaxed reads. */
struct tx_counters {
    uint64_t commits, groups;
    uint64_t conflicts_written, conflicts_read, conflicts_history, rights_of_way;
    uint64_t stalls, stall_timeouts;
    uint64_t snapshots_expired;
    uint64_t checkpoints, checkpoints_failed;
    uint64_t checkpoint_us_last, checkpoint_us_total, checkpoint_rows;
    uint64_t map_grows;
    uint64_t backups, backups_failed;
    uint64_t archived_files, archived_bytes, archives_failed;
    uint64_t backup_bytes_done, backup_bytes_total; /* of the running one, or the last */
};

struct tx_core {
    /* Fixed after open. */
    char *dir;
    uint64_t store_id;
    uint32_t fork_generation;
    struct tx_tree *tree;
    struct tx_log *log;

    struct tx_shared *shared;       /* what all processes of the store agree on */
    bool readonly;                  /* no permission to write: no commits, no checkpoints */
    const struct tx_share *offline; /* of a read-only store that no process has open for writing */

    int hold_fd;           /* the share's */
    uint32_t hold_claimed; /* atomic: 1 while a thread of this process has TX_BYTE_PREPARED */
    uint32_t decide;       /* atomic: enum txkv_decision, see txkv_options */

    struct tx_limits limits;
    struct tx_catalog catalog;

    /*
     * Who holds this mutex is the writer: of the log's end in this process (log.h), of the active
     * memtable, of the views, and of the epoch. That is the leader, for a group, and whoever brings
     * the overlay up to what other processes have appended. Never held over a sync.
     */
    pthread_mutex_t overlay_mutex;
    pthread_mutex_t order_mutex; /* of who puts loose nodes into a memtable's list: order.h */
    struct tx_views views;
    struct tx_pending pending;
    txkv_resolve *resolve;
    void *resolve_arg;

    /* The overlay has every record before it. The writer stores it with release [P2]. */
    uint64_t applied_lsn TX_ALIGNED;
    /* The checkpoint LSN that the overlay was last tidied for. The writer stores, any thread loads,
     * relaxed. */
    uint64_t tidied_lsn;
    /* End of the last record whose commit waits for the flusher (sync=normal). Leader stores. */
    uint64_t flush_lsn;
    /* Bytes of memory and log that wait for a checkpoint. The writer stores. */
    uint64_t overlay_bytes;

    /* Signalled when a checkpoint has freed overlay memory. */
    struct tx_event drained;
    /* Wake the flusher, the checkpointer; `idle` is 1 while the thread waits for a commit to tell
     * it that there is work. */
    struct tx_event flusher_wake, checkpointer_wake;
    uint32_t flusher_idle TX_ALIGNED;
    uint32_t checkpointer_idle TX_ALIGNED;
    uint32_t expiry_armed;      /* atomic: 1 while the checkpointer waits with a deadline for
                                   snapshots that may become overdue */
    uint32_t tidy_wanted;       /* atomic: 1 asks for views to be collected */
    uint64_t checkpoint_wanted; /* atomic: 0, or who asks for a checkpoint now saw the checkpoint
                                   LSN that is one less */
    uint32_t map_must_grow;     /* atomic: 1 while a checkpoint waits for snapshots to end, to grow
                                   LMDB's map */

    /* Why the last checkpoint failed; rc TXKV_OK when it did not. */
    pthread_mutex_t failure_mutex;
    struct txkv_error checkpoint_failure;

    /* The open sessions, for the oldest snapshot. */
    pthread_mutex_t sessions_mutex;
    struct txkv_session *sessions;
    uint32_t session_count, session_next_stripe;

    struct tx_counters counters TX_ALIGNED;
};

static inline uint64_t
tx_published_lsn(const struct tx_core *core)
{
    return tx_load_acquire_64(&core->shared->published_lsn); /* [M9] */
}

/* Everything before it is in LMDB. */
static inline uint64_t
tx_checkpoint_lsn(const struct tx_core *core)
{
    return tx_load_acquire_64(&core->shared->checkpoint_lsn); /* [M14] */
}

/* Bytes of log that are visible and that LMDB lacks. */
static inline uint64_t
tx_waiting_bytes(const struct tx_core *core)
{
    const uint64_t checkpoint = tx_checkpoint_lsn(core), published = tx_published_lsn(core);

    return published > checkpoint ? published - checkpoint : 0;
}

/* TXKV_READONLY, for what would write. */
static inline enum txkv_rc
tx_refuse_readonly(const struct tx_core *core, struct txkv_error *err)
{
    if (!core->readonly)
        return TXKV_OK;
    return tx_fail(err, TXKV_READONLY,
                   "store %s: no permission to write in it; give this user read and write "
                   "permission on the directory and its files, and open it again",
                   core->dir);
}

static inline void
tx_count(uint64_t *counter, uint64_t n)
{
    (void)tx_fetch_add_64(counter, n);
}

/*
 * Wake a background thread if it sleeps without a deadline. Called after the work is visible; the
 * full fence pairs with the one between "idle = 1" and the thread's last look for work [M10].
 */
static inline void
tx_core_nudge(uint32_t *idle, struct tx_event *wake)
{
    tx_fence_full();
    if (tx_load_acquire_32(idle) != 0 && tx_swap_32(idle, 0) != 0)
        tx_event_signal(wake);
}

/*
 * Ask for a checkpoint now, whatever the timer says. One that is done meanwhile, here or by another
 * process, is what was asked for.
 */
static inline void
tx_core_want_checkpoint(struct tx_core *core)
{
    const uint64_t wanted = tx_checkpoint_lsn(core) + 1;

    if (tx_load_acquire_64(&core->checkpoint_wanted) >= wanted)
        return;
    tx_raise_64(&core->checkpoint_wanted, wanted);
    tx_event_signal(&core->checkpointer_wake);
}

/* Ask for views and memtables that are not needed any more to be let go. */
static inline void
tx_core_want_tidy(struct tx_core *core)
{
    if (tx_swap_32(&core->tidy_wanted, 1) == 0)
        tx_event_signal(&core->checkpointer_wake);
}

#endif /* TX_CORE_H */
