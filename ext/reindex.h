/*
 * reindex.h - making the indexes of a store anew from the rows, after a rescue.
 *
 * Threads: one, with a handle of its own.
 */
#ifndef TX_REINDEX_H
#define TX_REINDEX_H

#include "sqlite.h"
#include "../src/txkv.h"

struct tx_reindex_report {
    uint64_t indexes;          /* made anew */
    uint64_t damaged_rows;     /* that cannot be read, and so have no entries */
    uint64_t unique_conflicts; /* entries left out, for another row has them */
};

/* Every index of every table with declared columns. */
TXKV_MUST_CHECK enum txkv_rc tx_reindex(struct txkv *store, struct tx_reindex_report *report,
                                        struct txkv_error *err);

#endif /* TX_REINDEX_H */
