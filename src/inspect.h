/*
 * inspect.h - a store that is not opened: what stands in its data.mdb, read page by page, and who
 * else has it.
 *
 * Threads: one. Layer 5: pages.h, shared.h.
 */
#ifndef TX_INSPECT_H
#define TX_INSPECT_H

#include "base.h"
#include "error.h"
#include "mem.h"
#include "pages.h"
#include "record.h"

struct tx_inspected_table {
    struct tx_inspected_table *next;
    struct tx_table_def def; /* an empty name: it was dropped */
};

/* What could be read of the database "meta"; 0 or NULL where it could not. */
struct tx_inspection {
    uint32_t format;
    uint64_t store_id, checkpoint_lsn, checkpoint_check;
    bool has_checkpoint;
    char *wal_dir;                     /* absolute; NULL: the default */
    char *archive_dir;                 /* absolute; NULL: none */
    struct tx_inspected_table *tables; /* in no order */
    uint64_t problems;                 /* entries that cannot be */
    struct tx_arena arena;
};

/* Read it; tx_inspection_free in every case. TXKV_NOMEM is the only failure. */
TX_MUST_CHECK enum txkv_rc tx_inspect(struct tx_pages *pages, struct tx_inspection *out,
                                      struct txkv_error *err);
void tx_inspection_free(struct tx_inspection *inspection);

/* TXKV_LOCKED when a process, this one too, has the store in dir open. Changes nothing. */
TX_MUST_CHECK enum txkv_rc tx_inspect_unused(const char *dir, struct txkv_error *err);

/* The id of the store whose segments are in the log's directory: that of the first one with an
 * intact header; 0: there is none. */
TX_MUST_CHECK enum txkv_rc tx_inspect_log_id(const char *wal_dir, uint64_t *store_id,
                                             struct txkv_error *err);

#endif /* TX_INSPECT_H */
