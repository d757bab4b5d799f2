/*
 * log_private.h - what log.c and log_recover.c share.
 *
 * Layer 2: log.h, atomic.h.
 */
#ifndef TX_LOG_PRIVATE_H
#define TX_LOG_PRIVATE_H

#include <pthread.h>

#include "atomic.h"
#include "log.h"

struct tx_log {
    /* Fixed after open. */
    char *dir;
    uint64_t dir_device, dir_inode; /* which directory that was */
    uint64_t store_id;
    uint32_t segment_bytes;

    /* Leader only. */
    uint64_t append_check; /* the chain's value at append_lsn */

    /* The leader writes, any thread reads [relaxed]: they order nothing. */
    uint64_t append_lsn TX_ALIGNED;
    uint64_t prepare_at_lsn; /* from here on the next segment should be ready */
    uint64_t appended_bytes, appended_records;

    /* Under sync_mutex; the figures are read by any thread [relaxed]. */
    pthread_mutex_t sync_mutex TX_ALIGNED;
    uint64_t named_lsn; /* names of segments that begin before it have been synced */
    uint64_t syncs, sync_us_total, sync_us_max;

    /* Any thread reads; the holder of sync_mutex releases [M2]. Never decrease. */
    uint64_t durable_lsn TX_ALIGNED;
    uint64_t stopped; /* 1 after a failed sync */

    /* Under list_mutex. */
    pthread_mutex_t list_mutex TX_ALIGNED;
    struct tx_segment *head, *tail; /* by LSN, each with a reference */
    struct tx_segment *prepared;    /* allocated, not started. Also read without the mutex */
    /* The one that takes records: the list's tail, or NULL. The leader alone changes it, under the
     * mutex, and reads it without. */
    struct tx_segment *current;
};

/* An empty log, appending to a new segment at LSN 0. */
TX_MUST_CHECK enum txkv_rc tx_log_new(const struct tx_log_config *config, struct tx_log **out,
                                      struct txkv_error *err);

/* Put a segment at the list's end; the list takes the caller's reference. Under list_mutex. */
void tx_log_link(struct tx_log *log, struct tx_segment *segment);

/* Make the file's bytes durable. Not under list_mutex. */
TX_MUST_CHECK enum txkv_rc tx_log_sync_file(const struct tx_segment *segment,
                                            struct txkv_error *err);

/*
 * Copy a finished header and its body to the map. A process killed in between leaves no intact
 * record: the body comes first and the header's check last.
 */
void tx_log_put(uint8_t *at, const uint8_t *header, const uint8_t *body, uint32_t body_bytes);

#endif /* TX_LOG_PRIVATE_H */
