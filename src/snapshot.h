/*
 * snapshot.h - one state of the store: an LMDB read transaction at the checkpoint LSN `base`, and
 * the overlay's versions with base <= lsn < snap.
 *
 * Taken in this order: the published LSN; the view; the LMDB read. A checkpoint drops memtables
 * from the view only after its LMDB commit, so what the view no longer has is in the LMDB state
 * that is opened after it, and what was published is in the view. base may be beyond the published
 * LSN that was read first; then snap = base.
 *
 * Threads: the session's. Layer 5: core.h.
 */
#ifndef TX_SNAPSHOT_H
#define TX_SNAPSHOT_H

#include "core.h"

struct tx_snapshot {
    struct tx_view *view;
    struct tx_tree_read *read; /* made once, begun and ended with the snapshot */
    uint64_t base, snap;
    uint32_t stripe;
    bool open;
};

TX_MUST_CHECK enum txkv_rc tx_snapshot_take(struct tx_core *core, ck_epoch_record_t *record,
                                            uint32_t stripe, struct tx_snapshot *snapshot,
                                            struct txkv_error *err);
void tx_snapshot_drop(struct tx_core *core, struct tx_snapshot *snapshot);

/* True when the snapshot can have versions in this memtable; acquire [M13]. */
static inline bool
tx_snapshot_sees(const struct tx_snapshot *snapshot, const struct tx_memtable *memtable)
{
    return tx_load_acquire_64(&memtable->end_lsn) > snapshot->base &&
           memtable->first_lsn < snapshot->snap;
}

/*
 * tx_snapshot_get -- the key's value in the snapshot, valid while it is open. TXKV_NOTFOUND for a
 * key that is absent or deleted.
 */
TX_MUST_CHECK enum txkv_rc tx_snapshot_get(struct tx_snapshot *snapshot, const struct tx_key *key,
                                           uint64_t hash, struct txkv_bytes *value,
                                           struct txkv_error *err);

#endif /* TX_SNAPSHOT_H */
