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

    /* For whoever makes a table; under the catalog's mutex. */
    struct tx_event table_done;

    /* Fixed after open. */
    char *wal_dir;
    uint64_t map_size; /* as asked for by the first opener */
    uint32_t segment_bytes;
    int lock_fd, wal_lock_fd;
    uint64_t device, inode;

    /* Under the registry's mutex. */
    uint32_t handles;
    struct txkv *next;
};

#endif /* TX_STORE_H */
