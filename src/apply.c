/*
 * apply.c - brings the overlay up to the log, and lets go of what LMDB has.
 */
#include "apply.h"

#include <string.h>

#include "mem.h"
#include "txn.h"

enum {
    VIEW_MEMTABLES_MAX = 64, /* a view this long keeps no checkpointed memtable for its history */
    RESTARTS_MAX = 100
};

static struct tx_memtable *
active_memtable(const struct tx_core *core)
{
    return tx_views_current(&core->views)->memtables[0];
}

/* ---- records ---- */

enum txkv_rc
tx_apply_each(struct tx_core *core, const struct tx_record *record, tx_apply_op *fn, void *arg,
              struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = record->body + record->body_bytes;
    struct tx_op op;
    enum txkv_rc rc;

    while ((rc = tx_op_next(&p, end, &op)) == TXKV_OK) {
        if (tx_catalog_check(&core->catalog, op.table, NULL) != TXKV_OK)
            return tx_fail(
                err, TXKV_CORRUPT,
                "store %s: the log record at LSN %llu writes to table %u, which was never "
                "made; the store's files do not belong together: restore it from a backup",
                core->dir, (unsigned long long)record->lsn, op.table);
        rc = fn(arg, &op, record->lsn, err);
        if (rc != TXKV_OK)
            return rc;
    }
    if (rc != TXKV_NOTFOUND)
        return tx_fail(err, TXKV_CORRUPT,
                       "store %s: the log record at LSN %llu is intact but holds an operation that "
                       "cannot be; it was not written by this program",
                       core->dir, (unsigned long long)record->lsn);
    return TXKV_OK;
}

static enum txkv_rc
fail_unreadable(const struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "store %s: the record about tables at LSN %llu is intact but cannot be read; it "
                   "was not written by this program",
                   core->dir, (unsigned long long)record->lsn);
}

static enum txkv_rc
apply_changes(struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = record->body + record->body_bytes;
    struct tx_table_change change;
    enum txkv_rc rc;

    while ((rc = tx_table_change_next(record->type, &p, end, &change)) == TXKV_OK) {
        rc = record->type == TX_RECORD_DROPPED
                 ? tx_catalog_drop(&core->catalog, change.table, record->lsn, err)
                 : tx_catalog_rename(&core->catalog, change.table, change.name, change.name_bytes,
                                     record->lsn, err);
        if (rc != TXKV_OK)
            return rc;
    }
    return rc == TXKV_NOTFOUND ? TXKV_OK : fail_unreadable(core, record, err);
}

enum txkv_rc
tx_apply_tables(struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    struct tx_table_def def = { 0 };
    enum txkv_rc rc;

    if (record->type == TX_RECORD_TABLE &&
        tx_table_def_decode(record->body, record->body_bytes, &def) != TXKV_OK)
        return fail_unreadable(core, record, err);
    (void)pthread_mutex_lock(&core->catalog.mutex);
    rc = record->type == TX_RECORD_TABLE ? tx_catalog_add(&core->catalog, &def, record->lsn, err)
                                         : apply_changes(core, record, err);
    (void)pthread_mutex_unlock(&core->catalog.mutex);
    return rc;
}

/* LMDB's catalog as it was read, and then taken over at once: a name can have moved from one table
 * to another. */
struct known_tables {
    struct tx_arena arena;
    struct known_table {
        struct known_table *next;
        struct tx_table_def def;
    } * tables;
};

static enum txkv_rc
add_known_table(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    struct known_tables *known = arg;
    struct known_table *table = tx_arena_alloc(&known->arena, sizeof *table);
    char *texts = tx_arena_alloc(&known->arena, (size_t)def->name_bytes + def->shape_bytes + 1);

    if (table == NULL || texts == NULL)
        return tx_fail_nomem(err);
    memcpy(texts, def->name, def->name_bytes);
    memcpy(texts + def->name_bytes, def->shape, def->shape_bytes);
    *table = (struct known_table){ known->tables, *def };
    table->def.name = texts;
    table->def.shape = texts + def->name_bytes;
    known->tables = table;
    return TXKV_OK;
}

/* Bring the catalog up to LMDB's, which is that of *lsn. */
static enum txkv_rc
adopt_catalog(struct tx_core *core, uint64_t *lsn, struct txkv_error *err)
{
    struct known_tables known = { .tables = NULL };
    enum txkv_rc rc;

    tx_arena_init(&known.arena);
    rc = tx_tree_catalog(core->tree, add_known_table, &known, lsn, err);
    (void)pthread_mutex_lock(&core->catalog.mutex);
    for (const struct known_table *t = known.tables; t != NULL && rc == TXKV_OK; t = t->next)
        rc = tx_catalog_adopt(&core->catalog, &t->def, *lsn, err);
    (void)pthread_mutex_unlock(&core->catalog.mutex);
    tx_arena_free(&known.arena);
    return rc;
}

enum txkv_rc
tx_apply_known_tables(struct tx_core *core, uint64_t *lsn, uint64_t *check, struct txkv_error *err)
{
    uint64_t catalog_lsn;
    enum txkv_rc rc;

    do {
        rc = adopt_catalog(core, &catalog_lsn, err);
        if (rc == TXKV_OK)
            rc = tx_tree_checkpoint(core->tree, lsn, check, err);
    } while (rc == TXKV_OK && *lsn != catalog_lsn); /* another process has checkpointed */
    return rc;
}

static enum txkv_rc
insert_op(void *arg, const struct tx_op *op, uint64_t lsn, struct txkv_error *err)
{
    struct tx_core *core = arg;
    const struct tx_key key = { op->key, op->key_bytes, op->table };

    if (tx_memtable_insert(active_memtable(core), &key, tx_key_hash(&key), lsn, op->value,
                           op->value_bytes) != TXKV_OK)
        return tx_fail_nomem(err);
    return TXKV_OK;
}

/* Enter a transaction of another process whose segment is pinned, and remember what it wrote. What
 * is entered of one that there is no memory for is not visible yet, and is entered again. */
static enum txkv_rc
enter_transaction(struct tx_core *core, const struct tx_record *txn, struct txkv_error *err)
{
    enum txkv_rc rc = tx_apply_each(core, txn, insert_op, core, err);

    if (rc == TXKV_OK && tx_memtable_remember(active_memtable(core), txn->lsn, txn->body,
                                              txn->body_bytes) != TXKV_OK)
        rc = tx_fail_nomem(err);
    return rc;
}

/* ---- prepared transactions ---- */

enum txkv_rc
tx_apply_expect(struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    const uint64_t pending_lsn = core->pending.txn.lsn;
    const uint64_t decides_lsn = tx_record_decides(record) ? tx_decision_lsn(record) : 0;

    if (decides_lsn == pending_lsn)
        return TXKV_OK;
    return tx_fail(err, TXKV_CORRUPT,
                   "store %s: the log record at LSN %llu is intact but cannot stand where the "
                   "transaction prepared at LSN %llu has not been decided (0: there is none); it "
                   "was not written by this program",
                   core->dir, (unsigned long long)record->lsn, (unsigned long long)pending_lsn);
}

enum txkv_rc
tx_apply_pend(struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    struct tx_pending *pending = &core->pending;
    struct tx_pending found = { .entered = false };

    assert(pending->txn.lsn == 0);
    if (tx_prepared_decode(record, &found.note, &found.txn) != TXKV_OK)
        return tx_fail(err, TXKV_CORRUPT,
                       "store %s: the prepared record at LSN %llu is intact but cannot be read; it "
                       "was not written by this program",
                       core->dir, (unsigned long long)record->lsn);
    *pending = found;
    return TXKV_OK;
}

enum txkv_rc
tx_apply_enter_pending(struct tx_core *core, struct txkv_error *err)
{
    struct tx_pending *pending = &core->pending;
    enum txkv_rc rc;

    assert(pending->txn.lsn != 0);
    if (pending->entered)
        return TXKV_OK;
    rc = enter_transaction(core, &pending->txn, err);
    pending->entered = rc == TXKV_OK;
    return rc;
}

/* Nothing was entered after it, so each of its versions is its key's newest one. */
static void
retract_pending(struct tx_core *core)
{
    const struct tx_record *txn = &core->pending.txn;
    const uint8_t *p = txn->body, *end = txn->body + txn->body_bytes;
    struct tx_memtable *memtable = active_memtable(core);
    struct tx_op op;

    while (tx_op_next(&p, end, &op) == TXKV_OK) {
        const struct tx_key key = { op.key, op.key_bytes, op.table };

        tx_memtable_retract(memtable, &key, txn->lsn);
    }
    tx_memtable_forget(memtable);
}

void
tx_apply_end_pending(struct tx_core *core, bool commit)
{
    assert(core->pending.txn.lsn != 0 && (core->pending.entered || !commit));
    if (core->pending.entered && !commit)
        retract_pending(core);
    core->pending = (struct tx_pending){ .entered = false };
}

static enum txkv_rc
apply_prepared(struct tx_core *core, const struct tx_record *record, struct tx_segment *segment,
               struct txkv_error *err)
{
    if (tx_memtable_pin_segment(active_memtable(core), segment) != TXKV_OK)
        return tx_fail_nomem(err);
    return tx_apply_pend(core, record, err);
}

static enum txkv_rc
apply_decision(struct tx_core *core, const struct tx_record *record, struct txkv_error *err)
{
    const bool commit = record->type == TX_RECORD_COMMITTED;
    const enum txkv_rc rc = commit ? tx_apply_enter_pending(core, err) : TXKV_OK;

    if (rc == TXKV_OK)
        tx_apply_end_pending(core, commit);
    return rc;
}

/* ---- records of other processes ---- */

static enum txkv_rc
apply_transaction(struct tx_core *core, const struct tx_record *record, struct tx_segment *segment,
                  struct txkv_error *err)
{
    if (tx_memtable_pin_segment(active_memtable(core), segment) != TXKV_OK)
        return tx_fail_nomem(err);
    return enter_transaction(core, record, err);
}

static enum txkv_rc
apply_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
             struct txkv_error *err)
{
    struct tx_core *core = arg;
    enum txkv_rc rc = tx_apply_expect(core, record, err);

    if (rc == TXKV_OK)
        rc = tx_apply_split(core, record->lsn, err);
    if (rc != TXKV_OK)
        return rc;
    if (record->type == TX_RECORD_TXN)
        rc = apply_transaction(core, record, segment, err);
    else if (tx_apply_is_about_tables(record))
        rc = tx_apply_tables(core, record, err);
    else if (record->type == TX_RECORD_PREPARED)
        rc = apply_prepared(core, record, segment, err);
    else if (tx_record_decides(record))
        rc = apply_decision(core, record, err);
    if (rc == TXKV_OK)
        tx_memtable_account(active_memtable(core), record->lsn, record->length,
                            record->type == TX_RECORD_TXN || record->type == TX_RECORD_COMMITTED);
    return rc;
}

/* ---- memtables ---- */

enum txkv_rc
tx_apply_freeze(struct tx_core *core, uint64_t lsn, struct txkv_error *err)
{
    const struct tx_view *view = tx_views_current(&core->views);
    struct tx_memtable **memtables = tx_malloc((view->count + 1) * sizeof(struct tx_memtable *));
    enum txkv_rc rc;

    if (memtables == NULL)
        return tx_fail_nomem(err);
    memcpy(memtables + 1, view->memtables, view->count * sizeof(struct tx_memtable *));
    rc = tx_memtable_create(lsn, tx_load_relaxed_32(&view->memtables[0]->scanned) != 0,
                            &memtables[0], err);
    if (rc == TXKV_OK) {
        rc = tx_views_replace(&core->views, memtables, view->count + 1, view->history_lsn);
        if (rc != TXKV_OK) {
            tx_memtable_free(memtables[0]);
            rc = tx_fail_nomem(err);
        }
    }
    tx_free(memtables);
    return rc;
}

enum txkv_rc
tx_apply_split(struct tx_core *core, uint64_t lsn, struct txkv_error *err)
{
    const uint64_t freeze_lsn = tx_load_acquire_64(&core->shared->freeze_lsn); /* [P1] */
    const struct tx_memtable *memtable = active_memtable(core);

    if (freeze_lsn <= memtable->first_lsn || freeze_lsn > lsn || memtable->end_lsn > freeze_lsn ||
        memtable->keys == 0)
        return TXKV_OK;
    return tx_apply_freeze(core, freeze_lsn, err);
}

void
tx_apply_measure(struct tx_core *core)
{
    const struct tx_view *view = tx_views_current(&core->views);
    const uint64_t checkpoint_lsn = tx_checkpoint_lsn(core);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < view->count && view->memtables[i]->end_lsn > checkpoint_lsn; i++)
        bytes += tx_memtable_bytes(view->memtables[i]);
    tx_store_relaxed_64(&core->overlay_bytes, bytes);
}

/* How many of the view's memtables are still needed: those that LMDB lacks, and for the check of
 * open transactions a few more. */
static uint32_t
count_needed(struct tx_core *core, const struct tx_view *view, uint64_t checkpoint_lsn)
{
    uint32_t count, open;
    const uint64_t oldest = tx_oldest_snap(core, &open);
    uint64_t room = tx_load_relaxed_64(&core->limits.overlay_limit) / 2;

    for (count = 1; count < view->count; count++) {
        const struct tx_memtable *memtable = view->memtables[count];

        if (memtable->end_lsn <= checkpoint_lsn) {
            const uint64_t bytes = tx_memtable_bytes(memtable);

            if (memtable->end_lsn <= oldest || bytes > room || count >= VIEW_MEMTABLES_MAX)
                break;
            room -= bytes;
        }
    }
    return count;
}

/* The memtables cover the LSNs without a gap, so the oldest one kept says where history begins. */
void
tx_apply_tidy(struct tx_core *core, struct tx_memtable **unseen)
{
    const uint64_t checkpoint_lsn = tx_checkpoint_lsn(core);
    const struct tx_memtable *active = active_memtable(core);
    const struct tx_view *view;
    uint32_t count;

    *unseen = NULL;
    /* Another process has checkpointed all of it. Without memory it stays for the next time. */
    if (active->keys > 0 && active->end_lsn <= checkpoint_lsn &&
        tx_apply_freeze(core, active->end_lsn, NULL) != TXKV_OK)
        return;
    view = tx_views_current(&core->views);
    count = count_needed(core, view, checkpoint_lsn);
    if (count < view->count && tx_views_replace(&core->views, view->memtables, count,
                                                view->memtables[count - 1]->first_lsn) != TXKV_OK)
        return;
    (void)tx_views_release(&core->views, unseen);
    tx_log_forget(core->log, checkpoint_lsn);
    tx_store_relaxed_64(&core->tidied_lsn, checkpoint_lsn);
    /* A reader stood between the pointer to a view and its pin, and may have pinned another: it
     * will not ask for this one. */
    if (core->views.deferred_count > 0)
        tx_core_want_tidy(core);
}

/* ---- following the log ---- */

/* An empty overlay at LMDB's checkpoint LSN: the log before it is gone. */
static enum txkv_rc
restart(struct tx_core *core, struct txkv_error *err)
{
    struct tx_memtable *memtable = NULL;
    uint64_t lsn, check;
    enum txkv_rc rc = tx_apply_known_tables(core, &lsn, &check, err);

    if (rc == TXKV_OK && lsn < tx_log_end_lsn(core->log))
        rc = tx_fail(err, TXKV_CORRUPT,
                     "store %s: the log from LSN %llu on is missing, and LMDB has only what is "
                     "before LSN %llu; put the log's files back",
                     core->dir, (unsigned long long)tx_log_end_lsn(core->log),
                     (unsigned long long)lsn);
    if (rc == TXKV_OK)
        rc = tx_memtable_create(lsn, false, &memtable, err);
    if (rc != TXKV_OK)
        return rc;
    if (tx_views_replace(&core->views, &memtable, 1, lsn) != TXKV_OK) {
        tx_memtable_free(memtable);
        return tx_fail_nomem(err);
    }
    tx_log_skip(core->log, lsn, check);
    core->pending = (struct tx_pending){ .entered = false }; /* decided, and in LMDB */
    return TXKV_OK;
}

enum txkv_rc
tx_apply_upto(struct tx_core *core, uint64_t lsn, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (int i = 0; tx_log_end_lsn(core->log) < lsn; i++) {
        rc = tx_log_read(core->log, lsn, apply_record, core, err);
        if (rc == TXKV_NOTFOUND && i < RESTARTS_MAX)
            rc = restart(core, err);
        else if (rc == TXKV_NOTFOUND)
            rc = tx_fail(err, TXKV_BUSY,
                         "store %s: checkpoints of other processes remove the log faster than "
                         "this one can read it; try again",
                         core->dir);
        if (rc != TXKV_OK)
            break;
    }
    tx_store_release_64(&core->applied_lsn, tx_log_end_lsn(core->log)); /* [P2] */
    return rc;
}

enum txkv_rc
tx_apply_take_log(struct tx_core *core, uint64_t timeout_us, struct txkv_error *err)
{
    struct tx_shared *shared = core->shared;
    uint64_t end_lsn = tx_shared_append_lsn(shared); /* [P1] */
    /* What others have appended already is entered first: after a sleep that can take long, and
     * they need not wait for it. */
    enum txkv_rc rc = tx_apply_published(core, end_lsn, err);

    if (rc == TXKV_OK)
        rc = tx_shared_lock(shared, TX_LOCK_APPEND, timeout_us, NULL, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&core->overlay_mutex);
    end_lsn = tx_shared_append_lsn(shared); /* [P1] */
    if (tx_log_end_lsn(core->log) < end_lsn)
        rc = tx_apply_upto(core, end_lsn, err);
    if (rc == TXKV_OK)
        rc = tx_apply_split(core, end_lsn, err);
    if (rc != TXKV_OK) {
        (void)pthread_mutex_unlock(&core->overlay_mutex);
        tx_shared_unlock(shared, TX_LOCK_APPEND);
    }
    return rc;
}

void
tx_apply_give_log(struct tx_core *core)
{
    tx_store_release_64(&core->applied_lsn, tx_log_end_lsn(core->log)); /* [P2] */
    tx_apply_measure(core);
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    tx_shared_unlock(core->shared, TX_LOCK_APPEND);
}

enum txkv_rc
tx_apply_missing(struct tx_core *core, uint64_t lsn, struct txkv_error *err)
{
    enum txkv_rc rc;

    (void)pthread_mutex_lock(&core->overlay_mutex);
    rc = tx_apply_upto(core, lsn, err);
    tx_apply_measure(core);
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    return rc;
}
