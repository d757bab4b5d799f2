/*
 * store.h - one open store: its core, the parts that work on it, and its place in the process's
 * registry.
 *
 * Layer 7: background.h.
 */
#ifndef TX_STORE_H
#define TX_STORE_H

#include "background.h"
#include "options.h"

struct txkv {
    struct tx_core core;
    struct tx_commit commit;
    struct tx_checkpoint checkpoint;
    struct tx_background background;
    struct txkv_recovery_report recovery;

    /* Fixed after open. */
    char *wal_dir;
    uint64_t map_size; /* as asked for by the first opener */
    uint32_t segment_bytes;
    int wal_lock_fd;
    struct tx_share share;
    uint64_t device, inode;

    pthread_mutex_t backup_mutex; /* held over a backup */

    /* Under the registry's mutex. */
    uint32_t handles;
    struct txkv *next;
};

#endif /* TX_STORE_H */
