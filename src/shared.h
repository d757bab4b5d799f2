/*
 * shared.h - txkv.shm: the one page of memory that all processes of a store share.
 *
 * The processes of a store share files and no pointers. What they must agree on from moment to
 * moment stands here: where the log ends, what of it is visible and durable and in LMDB, and who
 * may append, sync or checkpoint. Nothing in it outlives the last process: the next opener finds
 * nobody's lock on the file, makes the page anew, and recovers the store from the log and LMDB.
 *
 * Two kinds of locks.
 *   On the file (OFD locks, which the kernel drops when a process dies). TX_BYTE_LIVE: held shared
 * by every process that has the store open, exclusively while the first opener recovers and the
 * last closer checkpoints. TX_BYTE_OPEN: held shared by every process that uses the page, and so
 * not by one that only looks at it. TX_BYTE_CLOSE: held by a closer while it finds out whether it
 * is the last, so that of two at least one is. TX_BYTE_PREPARED: held by the process that has a
 * prepared transaction, or that finds out what has become of a dead one's; through an open file
 * that nothing else is done with, so that no thread is bound to it.
 *   In the page: robust mutexes. Whoever takes one after its holder died is told so (`abandoned`);
 * the data under each are such that every state that a death can leave is a good one, see below.
 *
 * What a holder that dies leaves
 *   TX_LOCK_APPEND   append_word is the log's end, and one store moves it. Bytes behind it are
 * nobody's: a record that was not finished, a segment that was not entered yet. Both are written
 * over.
 *   TX_LOCK_SYNC     nothing was claimed: durable_lsn is raised after the sync. But pages that a
 * failed sync left behind look clean to the kernel; the next syncer writes them again.
 *   TX_LOCK_CHECKPOINT   LMDB has all of the batch or nothing, and its own mutex is robust.
 *   TX_LOCK_PREPARE  a file that is not announced in prepared_bytes, and is made again.
 *   TX_LOCK_WAY      a right of way that lapses by itself.
 *   TX_LOCK_ARCHIVE  a sentence that may be cut short.
 *   TX_LOCK_APPEND, between the steps of preparing or deciding: hold_lsn is stored before the
 * prepared record is complete and cleared after the decision's is, so it counts only while the log
 * ends at hold_end.
 *
 * Threads: any. Layer 2: atomic.h, os.h.
 */
#ifndef TX_SHARED_H
#define TX_SHARED_H

#include <pthread.h>

#include "atomic.h"
#include "error.h"

/* Of struct tx_shared; another one cannot be shared with. */
#define TX_SHARED_LAYOUT 4u

enum tx_shared_lock {
    TX_LOCK_APPEND,
    TX_LOCK_SYNC,
    TX_LOCK_CHECKPOINT,
    TX_LOCK_PREPARE,
    TX_LOCK_WAY,
    TX_LOCK_ARCHIVE,
    TX_LOCKS
};

#define TX_WAY_KEYS_MAX       8u
#define TX_ARCHIVE_NOTE_BYTES 508u

struct tx_shared_mutex {
    pthread_mutex_t mutex TX_ALIGNED; /* robust, shared between processes */
    uint32_t holder;                  /* atomic: its process id, for messages; 0: free */
};

struct tx_shared {
    /* Written by the first opener, checked by the others. */
    uint64_t magic;
    uint32_t layout, bytes;
    uint64_t store_id;
    uint32_t opener; /* the process id of the first opener */
    uint32_t ready;  /* 1 from the end of recovery until the last closer begins */

    /* ---- what a reader loads; all of these only grow ---- */

    /* End of the last record that is committed and visible. Raised with release [M9], loaded with
     * acquire before a view is pinned. */
    uint64_t published_lsn TX_ALIGNED;
    /* Everything before it is in LMDB. Raised after the LMDB commit [M14]. */
    uint64_t checkpoint_lsn;

    /* ---- the log ---- */

    /* The log's end, and in its lowest bit which of append_check is the chain's value there. The
     * holder of TX_LOCK_APPEND stores it with release [P1] when a record is complete. */
    uint64_t append_word TX_ALIGNED;
    uint64_t append_check[2]; /* under TX_LOCK_APPEND */
    /* End of the last record that must be durable before it, or anything after it, is published.
     * Under TX_LOCK_APPEND. */
    uint64_t sync_lsn;
    /* Where the newest checkpoint was begun. Stored under TX_LOCK_APPEND, before any record behind
     * it exists, so whoever reads such a record knows it. */
    uint64_t freeze_lsn;
    /* Size of the file made ahead of time for the next segment; 0: there is none. Raised under
     * TX_LOCK_PREPARE, cleared under TX_LOCK_APPEND. */
    uint64_t prepared_bytes;
    /* The log's newest record with a time, and that time (stamp.h); 0: none since the page was
     * made. Under TX_LOCK_APPEND. */
    uint64_t stamp_lsn, stamp_ms;

    /* Everything before it has been through fdatasync [M2]. */
    uint64_t durable_lsn TX_ALIGNED;
    /* Names of segments that begin before it have been synced. */
    uint64_t named_lsn;
    /* 1 after a failed sync. */
    uint64_t stopped;
    /* Changes when a sync has ended, for those who sleep until it is their turn or they need none;
     * and how many do, at the least: one that died counts for ever. */
    uint32_t sync_turn;
    uint64_t sync_sleepers;
    /* LMDB's id of the newest checkpoint that has begun to commit [T3]. */
    uint64_t commit_txn;

    /* How many bytes may wait for a checkpoint (pace.h); 0: as many as the options say. Any process
     * stores and loads it, relaxed. */
    uint64_t pace_bytes;

    /* ---- the right of way (way.h) ---- */

    /* Until when it is held, in tx_os_now_us; 0: it is not. Stored under TX_LOCK_WAY, also read
     * without, as a hint. */
    uint64_t way_until_us TX_ALIGNED;
    /* Under TX_LOCK_WAY: the holder's process and its session there, and the keys' hashes. */
    uint64_t way_pid, way_session;
    uint64_t way_count, way_hashes[TX_WAY_KEYS_MAX];

    /*
     * The prepared transaction that is not decided, whose record is the log's last (prepare.h).
     * All stored under TX_LOCK_APPEND, but for the decision, which the owner stores with release
     * [P3] before it asks for the lock; and hold_pid is for messages alone.
     */
    uint64_t hold_lsn TX_ALIGNED; /* its record's LSN; 0: there is none */
    uint64_t hold_end;            /* the record's end */
    uint32_t hold_decision;       /* enum tx_hold_decision */
    uint32_t hold_pid;

    /* ---- the archive (archiver.h) ---- */

    uint64_t archive_waiting; /* files of the log that wait for it. Under TX_LOCK_CHECKPOINT; any
                                 thread reads, relaxed */
    char archive_note[TX_ARCHIVE_NOTE_BYTES]; /* what went wrong; under TX_LOCK_ARCHIVE */

    struct tx_shared_mutex locks[TX_LOCKS];
};

enum tx_hold_decision { TX_HOLD_UNDECIDED, TX_HOLD_COMMIT, TX_HOLD_ABORT };

/* This process's hold on a store's shared page. */
struct tx_share {
    struct tx_shared *shared; /* NULL until ready */
    int fd;
    int hold_fd; /* for TX_BYTE_PREPARED; -1 for who may not write */
    bool first;  /* nobody else has the store open: recover, then tx_share_open_to_others */
    /* No permission to write: nothing in the page may be stored, and no lock of it taken. */
    bool readonly;
    /* And nobody has the store open who may: the page is this process's own, to be filled in. */
    bool offline;
    char *path;
};

/*
 * tx_share_open -- lock dir/txkv.shm and map it. The first opener gets a new page, and the store to
 * itself until tx_share_open_to_others. Others wait until it is there, up to timeout_us.
 *
 * A process that may not write the file can share the page of one that may, or have the store
 * offline.
 *
 * TXKV_LOCKED when the first opener, or the last closer, is not done by then; TXKV_FORMAT when the
 * page is of another layout and in use; TXKV_READONLY; TXKV_CANTOPEN for a file system without
 * locks or shared maps; TXKV_IOERR, TXKV_FULL, TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_share_open(const char *dir, uint64_t timeout_us,
                                         struct tx_share *share, struct txkv_error *err);

/* True when a process that may write has the store open, of one that was found offline: what it
 * commits is not seen before it is in LMDB. */
bool tx_share_went_live(const struct tx_share *share);

/* True when a process, this one too, has the store in dir open. Makes and locks nothing. */
bool tx_share_in_use(const char *dir);

/* The first opener has recovered the store. */
void tx_share_open_to_others(struct tx_share *share, uint64_t store_id);

/*
 * tx_share_leave -- true when nobody else has the store open: it is then this process's alone, and
 * the page no longer ready, until tx_share_close. False when others go on: this process has let go
 * of the store and may only close.
 */
bool tx_share_leave(struct tx_share *share);

/* Unmap and unlock. Also for a share that was never opened: fds -1. */
void tx_share_close(struct tx_share *share);

/* Try to get TX_BYTE_PREPARED through a share's hold_fd, which is one holder whichever thread asks;
 * give it back. */
bool tx_share_claim(int hold_fd);
void tx_share_unclaim(int hold_fd);

/* A page for a log that no other process uses; free with tx_free. NULL when out of memory. */
struct tx_shared *tx_shared_private(void);

/*
 * tx_shared_lock -- take a lock, waiting up to timeout_us. *abandoned: its last holder died with it
 * (may be NULL). TXKV_BUSY, with the holder's process id in the message. The same thread unlocks.
 */
TX_MUST_CHECK enum txkv_rc tx_shared_lock(struct tx_shared *shared, enum tx_shared_lock which,
                                          uint64_t timeout_us, bool *abandoned,
                                          struct txkv_error *err);
void tx_shared_unlock(struct tx_shared *shared, enum tx_shared_lock which);

/* The log's end. Acquire [P1]: all bytes before it are there. */
static inline uint64_t
tx_shared_append_lsn(const struct tx_shared *shared)
{
    return tx_load_acquire_64(&shared->append_word) & ~(uint64_t)7;
}

/* The chain's value at the log's end. Under TX_LOCK_APPEND. */
static inline uint64_t
tx_shared_append_check(const struct tx_shared *shared)
{
    return shared->append_check[shared->append_word & 1];
}

/* Move the log's end, in one store. Under TX_LOCK_APPEND; release [P1]. */
static inline void
tx_shared_append(struct tx_shared *shared, uint64_t lsn, uint64_t check)
{
    const uint64_t slot = 1 - (shared->append_word & 1);

    assert(lsn % 8 == 0);
    shared->append_check[slot] = check;
    tx_store_release_64(&shared->append_word, lsn | slot);
}

#endif /* TX_SHARED_H */
