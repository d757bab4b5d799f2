/*
 * log_private.h - what the files log*.c share.
 *
 * Layer 2: log.h, atomic.h.
 */
#ifndef TX_LOG_PRIVATE_H
#define TX_LOG_PRIVATE_H

#include <pthread.h>
#include <string.h>

#include "atomic.h"
#include "log.h"
#include "shared.h"

struct tx_log {
    /* Fixed after open. */
    char *dir;
    int dir_fd;                     /* open on it, the store's; 0: none */
    uint64_t dir_device, dir_inode; /* which directory that was */
    uint64_t store_id;
    uint32_t segment_bytes;
    struct tx_shared *shared;
    bool owns_shared, readonly;
    uint32_t others;

    /* The writer's only (log.h). */
    uint64_t end_check; /* the chain's value at end_lsn */
    bool by_calls;      /* short records are written by calls, not through the map */

    /* The writer writes, any thread reads [relaxed]: they order nothing. */
    uint64_t end_lsn TX_ALIGNED; /* how far this process has read or written the log */
    uint64_t prepare_at_lsn;     /* from here on the next segment should be ready */
    uint64_t appended_bytes, appended_records;

    /* Under sync_mutex; the figures are read by any thread [relaxed]. */
    pthread_mutex_t sync_mutex TX_ALIGNED;
    uint64_t syncs, sync_us_total, sync_us_max;
    bool sync_hurries; /* the last one did not get TX_LOCK_SYNC: its holder does not go on */

    /* Under list_mutex. */
    pthread_mutex_t list_mutex TX_ALIGNED;
    struct tx_segment *head, *tail; /* by LSN, each with a reference */
    /* The one in which end_lsn stands: the list's tail, or NULL when end_lsn is the end of a
     * segment. The writer alone changes it, under the mutex, and reads it without. */
    struct tx_segment *current;
};

/* An empty log, appending to a new segment at LSN 0. */
TX_MUST_CHECK enum txkv_rc tx_log_new(const struct tx_log_config *config, struct tx_log **out,
                                      struct txkv_error *err);

/* Put a segment at the list's end; the list takes the caller's reference. Under list_mutex. */
void tx_log_link(struct tx_log *log, struct tx_segment *segment);

/* The same, and the log goes on in it. The writer's, not under list_mutex. */
void tx_log_go_on(struct tx_log *log, struct tx_segment *segment);

/* Make the file's bytes durable. Not under list_mutex. */
TX_MUST_CHECK enum txkv_rc tx_log_sync_file(const struct tx_segment *segment,
                                            struct txkv_error *err);

/*
 * Copy a finished header to the map, where its body stands already. A process killed in between
 * leaves no intact record: the header's check comes last.
 */
static inline void
tx_log_put(uint8_t *at, const uint8_t *header)
{
    uint64_t check;

    memcpy(at + sizeof check, header + sizeof check, TX_RECORD_HEADER_BYTES - sizeof check);
    memcpy(&check, header, sizeof check);
    /* For whoever finds the pages after this process is gone: all of the rest is there first. */
    tx_store_release_64((uint64_t *)(void *)at, check);
}

/* TXKV_CANTOPEN when the log's directory is no longer the one that was opened. */
TX_MUST_CHECK enum txkv_rc tx_log_check_dir(const struct tx_log *log, struct txkv_error *err);

/* ---- log_walk.c ---- */

struct tx_log_walk {
    uint64_t store_id;
    uint64_t lsn, check;  /* where the chain has come to, and its value there */
    uint64_t durable_lsn; /* what was surely durable before: the highest that a record claims */
    tx_log_visit *visit;
    void *arg;
    struct tx_log_scan *scan;
};

/* Follow the chain in s until its end, or limit_lsn, or until it breaks: w->lsn tells which. When
 * visit fails, that is the record before which the walk stands. */
TX_MUST_CHECK enum txkv_rc tx_log_walk_segment(struct tx_log_walk *w, struct tx_segment *s,
                                               uint64_t limit_lsn, struct txkv_error *err);

/* Make the segment in which the log ends the current one, for who has not read any of it: it may
 * have begun to follow the log just there. */
TX_MUST_CHECK enum txkv_rc tx_log_enter(struct tx_log *log, struct txkv_error *err);

/* ---- log_trim.c ---- */

/* The segments' first LSNs by the names in a log's directory, ascending; free lsns, also after a
 * failure. */
struct tx_log_names {
    uint64_t *lsns;
    size_t count, room;
};
TX_MUST_CHECK enum txkv_rc tx_log_list(const char *dir, struct tx_log_names *names,
                                       struct txkv_error *err);

#endif /* TX_LOG_PRIVATE_H */
