/*
 * snapshot.c - one state of the store.
 */
#include "snapshot.h"

#include "apply.h"

enum txkv_rc
tx_snapshot_take(struct tx_core *core, ck_epoch_record_t *record, uint32_t stripe,
                 struct tx_snapshot *snapshot, struct txkv_error *err)
{
    const uint64_t published = tx_published_lsn(core);
    enum txkv_rc rc;

    assert(!snapshot->open);
    if (core->offline != NULL && tx_share_went_live(core->offline))
        return tx_fail(err, TXKV_BUSY,
                       "store %s was opened for reading while no process had it open; one has now, "
                       "and may have written: close it here and open it again",
                       core->dir);
    rc = tx_apply_published(core, published, err);
    if (rc != TXKV_OK)
        return rc;
    if (tx_checkpoint_lsn(core) > tx_load_relaxed_64(&core->tidied_lsn))
        tx_core_want_tidy(core);
    if (snapshot->read == NULL) {
        rc = tx_tree_read_create(core->tree, &snapshot->read, err);
        if (rc != TXKV_OK)
            return rc;
    }
    snapshot->stripe = stripe;
    snapshot->view = tx_view_pin(&core->views, record, stripe);
    rc = tx_tree_read_begin(snapshot->read, &snapshot->base, err);
    if (rc == TXKV_OK) {
        rc = tx_apply_published(core, snapshot->base, err); /* for the catalog */
        if (rc != TXKV_OK)
            tx_tree_read_end(snapshot->read);
    }
    if (rc != TXKV_OK) {
        tx_view_unpin(snapshot->view, stripe);
        return rc;
    }
    snapshot->snap = tx_max_u64(published, snapshot->base);
    snapshot->open = true;
    return TXKV_OK;
}

void
tx_snapshot_drop(struct tx_core *core, struct tx_snapshot *snapshot)
{
    const struct tx_view *view = snapshot->view;

    if (!snapshot->open)
        return;
    tx_tree_read_end(snapshot->read);
    tx_view_unpin(snapshot->view, snapshot->stripe);
    snapshot->view = NULL;
    snapshot->open = false;
    /*
     * This may have been the last pin of a view that was replaced: let the checkpointer look. The
     * pin is gone (a full barrier) before the pointer is loaded, and the leader replaces the
     * pointer before it looks for pins: one of the two sees the other.
     */
    if (view != tx_views_current(&core->views))
        tx_core_want_tidy(core);
}

enum txkv_rc
tx_snapshot_get(struct tx_snapshot *snapshot, const struct tx_key *key, uint64_t hash,
                struct txkv_bytes *value, struct txkv_error *err)
{
    const uint8_t *data;
    uint32_t bytes;
    enum txkv_rc rc;

    for (uint32_t i = 0; i < snapshot->view->count; i++) {
        struct tx_memtable *memtable = snapshot->view->memtables[i];
        const struct tx_version *version;
        const struct tx_node *node;

        if (!tx_snapshot_sees(snapshot, memtable))
            continue;
        node = tx_memtable_get(memtable, key, hash);
        version = node == NULL ? NULL : tx_node_visible(node, snapshot->base, snapshot->snap);
        if (version == NULL)
            continue;
        if (version->value == NULL)
            return TXKV_NOTFOUND;
        *value = (struct txkv_bytes){ version->value, version->value_bytes };
        return TXKV_OK;
    }
    rc = tx_tree_get(snapshot->read, key->table, key->data, key->bytes, &data, &bytes, err);
    if (rc == TXKV_OK)
        *value = (struct txkv_bytes){ data, bytes };
    return rc;
}
