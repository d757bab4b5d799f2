/*
 * restore_replay.c - writing what records say to a store that nobody else has.
 *
 * A transaction that was prepared counts if its decision, which is the next record, commits it.
 */
#include <inttypes.h>
#include <string.h>

#include "restore.h"

enum { OPERATIONS_MAX = 1 << 18, GROW_WAIT_MS = 1000 };

/* ---- tables ---- */

static enum txkv_rc
know_table(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    struct tx_replay *r = arg;
    char *texts = tx_arena_alloc(&r->arena, (size_t)def->name_bytes + def->shape_bytes + 1);
    struct tx_replay_table *known = &r->tables[tx_table_slot(def->table)];

    if (texts == NULL)
        return tx_fail_nomem(err);
    if (def->name_bytes > 0)
        memcpy(texts, def->name, def->name_bytes);
    if (def->shape_bytes > 0)
        memcpy(texts + def->name_bytes, def->shape, def->shape_bytes);
    known->def = *def;
    known->def.name = texts;
    known->def.shape = texts + def->name_bytes;
    known->alive = def->name_bytes > 0;
    return TXKV_OK;
}

static enum txkv_rc
fail_record(const struct tx_record *record, const char *what, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "the archived record at LSN %" PRIu64
                   " is intact, but %s; the archive does not belong to this backup, or another "
                   "program wrote it",
                   record->lsn, what);
}

/* The table of that number, or NULL when there is none now. */
static struct tx_replay_table *
find_table(const struct tx_replay *r, uint32_t table)
{
    struct tx_replay_table *known =
        tx_table_possible(table) ? &r->tables[tx_table_slot(table)] : NULL;

    return known != NULL && known->alive && known->def.table == table ? known : NULL;
}

/* ---- writing ---- */

static struct tx_key
key_of(const void *arg, uint32_t index)
{
    const struct tx_replay *r = arg;

    return r->operations[index].key;
}

/* Of several operations on one key the last one counts. */
static enum txkv_rc
write_rows(struct tx_replay *r, struct tx_tree_batch *batch, bool *map_full, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t i = 0; i < r->count && rc == TXKV_OK; i++) {
        const struct tx_replay_operation *op = &r->operations[r->items[i].index];
        const struct tx_key *key = &op->key;

        if (i + 1 < r->count && tx_key_compare(key, &r->operations[r->items[i + 1].index].key) == 0)
            continue;
        rc = op->value == NULL
                 ? tx_tree_batch_delete(batch, key->table, key->data, key->bytes, map_full, err)
                 : tx_tree_batch_put(batch, key->table, key->data, key->bytes, op->value,
                                     op->value_bytes, map_full, err);
    }
    return rc;
}

/* A change of one table. */
static enum txkv_rc
write_change(struct tx_tree_batch *batch, enum tx_record_type type, const struct tx_table_def *def,
             bool *map_full, struct txkv_error *err)
{
    switch ((int)type) {
    case TX_RECORD_TABLE:
        return tx_tree_batch_define(batch, def, map_full, err);
    case TX_RECORD_DROPPED:
        return tx_tree_batch_drop(batch, def->table, map_full, err);
    default:
        return tx_tree_batch_rename(batch, def, map_full, err);
    }
}

static enum txkv_rc
write_batch(struct tx_replay *r, enum tx_record_type type, const struct tx_table_def *def,
            bool *map_full, struct txkv_error *err)
{
    struct tx_tree_batch *batch;
    enum txkv_rc rc = tx_tree_batch_begin(r->tree, &batch, err);

    *map_full = false;
    if (rc != TXKV_OK)
        return rc;
    rc = def != NULL ? write_change(batch, type, def, map_full, err)
                     : write_rows(r, batch, map_full, err);
    if (rc == TXKV_OK && r->ms != 0)
        rc = tx_tree_batch_time(batch, r->ms, map_full, err);
    if (rc == TXKV_OK) /* the chain begins anew at the end */
        return tx_tree_batch_commit(batch, r->end_lsn, 0, map_full, err);
    tx_tree_batch_abort(batch);
    return rc;
}

static enum txkv_rc
write_growing(struct tx_replay *r, enum tx_record_type type, const struct tx_table_def *def,
              struct txkv_error *err)
{
    bool map_full;
    enum txkv_rc rc = write_batch(r, type, def, &map_full, err);

    while (rc == TXKV_FULL && map_full) {
        rc = tx_tree_grow(r->tree, GROW_WAIT_MS, err);
        if (rc == TXKV_OK)
            rc = write_batch(r, type, def, &map_full, err);
    }
    return rc;
}

static void
let_segments_go(struct tx_replay *r)
{
    while (r->segment_count > 0)
        tx_segment_unref(r->segments[--r->segment_count]);
}

/* Write what waits. */
static enum txkv_rc
flush(struct tx_replay *r, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (r->count == 0)
        return TXKV_OK;
    for (uint32_t i = 0; i < r->count; i++)
        r->items[i].index = i;
    tx_keysort(r->items, r->count, key_of, r);
    rc = write_growing(r, TX_RECORD_TXN, NULL, err);
    r->count = 0;
    let_segments_go(r);
    return rc;
}

/* ---- records ---- */

static enum txkv_rc
make_room(struct tx_replay *r, struct txkv_error *err)
{
    struct tx_replay_operation *operations;
    struct tx_sort_item *items;
    const uint32_t room = r->room == 0 ? 1024 : r->room * 2;

    if (r->count < r->room)
        return TXKV_OK;
    if (r->room == OPERATIONS_MAX)
        return flush(r, err);
    operations = tx_realloc(r->operations, room * sizeof *operations);
    if (operations != NULL)
        r->operations = operations;
    items = tx_realloc(r->items, room * sizeof *items);
    if (items != NULL)
        r->items = items;
    if (operations == NULL || items == NULL)
        return tx_fail_nomem(err);
    r->room = room;
    return TXKV_OK;
}

/* Have the segment stay mapped while operations in it wait. */
static enum txkv_rc
hold_segment(struct tx_replay *r, struct tx_segment *segment, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (r->segment_count > 0 && r->segments[r->segment_count - 1] == segment)
        return TXKV_OK;
    if (r->segment_count == TX_REPLAY_SEGMENTS_MAX)
        rc = flush(r, err);
    if (rc != TXKV_OK)
        return rc;
    tx_segment_ref(segment);
    r->segments[r->segment_count++] = segment;
    return TXKV_OK;
}

static enum txkv_rc
take_transaction(struct tx_replay *r, const struct tx_record *txn, struct tx_segment *segment,
                 struct txkv_error *err)
{
    const uint8_t *p = txn->body, *end = p + txn->body_bytes;
    struct tx_op op;
    enum txkv_rc rc;

    while ((rc = tx_op_next(&p, end, &op)) == TXKV_OK) {
        if (find_table(r, op.table) == NULL)
            return fail_record(txn, "writes to a table that is not there", err);
        rc = make_room(r, err);
        if (rc == TXKV_OK)
            rc = hold_segment(r, segment, err); /* a flush lets it go */
        if (rc != TXKV_OK)
            return rc;
        r->operations[r->count++] = (struct tx_replay_operation){
            { op.key, op.key_bytes, op.table }, op.value, op.value_bytes
        };
        r->report->operations++;
    }
    if (rc != TXKV_NOTFOUND)
        return fail_record(txn, "holds an operation that cannot be", err);
    r->report->transactions++;
    r->report->last_lsn = txn->lsn;
    r->report->last_ms = r->ms;
    return TXKV_OK;
}

static enum txkv_rc
take_table(struct tx_replay *r, const struct tx_record *record, struct txkv_error *err)
{
    struct tx_table_def def;
    enum txkv_rc rc;

    if (tx_table_def_decode(record->body, record->body_bytes, &def) != TXKV_OK ||
        !tx_table_possible(def.table))
        return fail_record(record, "cannot be read", err);
    rc = know_table(r, &def, err);
    return rc == TXKV_OK ? write_growing(r, TX_RECORD_TABLE, &def, err) : rc;
}

static enum txkv_rc
take_changes(struct tx_replay *r, const struct tx_record *record, struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = p + record->body_bytes;
    struct tx_table_change change;
    enum txkv_rc rc;

    while ((rc = tx_table_change_next(record->type, &p, end, &change)) == TXKV_OK) {
        struct tx_replay_table *known = find_table(r, change.table);
        struct tx_table_def def;

        if (known == NULL)
            return fail_record(record, "changes a table that is not there", err);
        def = known->def;
        def.name = change.name;
        def.name_bytes = change.name_bytes;
        if (record->type == TX_RECORD_DROPPED)
            known->alive = false;
        else
            rc = know_table(r, &def, err);
        if (rc == TXKV_OK)
            rc = write_growing(r, record->type, &def, err);
        if (rc != TXKV_OK)
            return rc;
    }
    return rc == TXKV_NOTFOUND ? TXKV_OK : fail_record(record, "cannot be read", err);
}

static enum txkv_rc
take_prepared(struct tx_replay *r, const struct tx_record *record, struct tx_segment *segment,
              struct txkv_error *err)
{
    struct txkv_bytes note;

    if (tx_prepared_decode(record, &note, &r->pending) != TXKV_OK)
        return fail_record(record, "cannot be read", err);
    tx_segment_ref(segment);
    r->pending_segment = segment;
    return TXKV_OK;
}

static void
forget_pending(struct tx_replay *r)
{
    tx_segment_unref(r->pending_segment);
    r->pending_segment = NULL;
    r->pending = (struct tx_record){ .length = 0 };
}

static enum txkv_rc
take_decision(struct tx_replay *r, const struct tx_record *record, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (record->type == TX_RECORD_COMMITTED)
        rc = take_transaction(r, &r->pending, r->pending_segment, err);
    forget_pending(r);
    return rc;
}

static enum txkv_rc
take(struct tx_replay *r, const struct tx_record *record, struct tx_segment *segment,
     struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if ((tx_record_decides(record) ? tx_decision_lsn(record) : 0) != r->pending.lsn)
        return fail_record(record, "has no prepared transaction before it, or another one", err);
    r->report->bytes += record->length;
    switch (record->type) {
    case TX_RECORD_TXN:
        return take_transaction(r, record, segment, err);
    case TX_RECORD_PREPARED:
        return take_prepared(r, record, segment, err);
    case TX_RECORD_COMMITTED:
    case TX_RECORD_ABORTED:
        return take_decision(r, record, err);
    case TX_RECORD_TABLE:
    case TX_RECORD_DROPPED:
    case TX_RECORD_RENAMED:
        rc = flush(r, err);
        if (rc != TXKV_OK)
            return rc;
        r->report->last_lsn = record->lsn;
        r->report->last_ms = r->ms;
        return record->type == TX_RECORD_TABLE ? take_table(r, record, err)
                                               : take_changes(r, record, err);
    case TX_RECORD_TIME:
        r->ms = tx_time_ms(record);
        return TXKV_OK;
    default:
        return TXKV_OK;
    }
}

/* ---- the calls ---- */

enum txkv_rc
tx_replay_begin(struct tx_replay *replay, struct tx_tree *tree, struct txkv_restore_report *report,
                struct txkv_error *err)
{
    uint64_t lsn;

    *replay = (struct tx_replay){ .tree = tree, .report = report };
    tx_arena_init(&replay->arena);
    replay->end_lsn = tx_tree_meta(tree)->checkpoint_lsn;
    replay->tables = tx_zalloc((TX_TREE_TABLES_MAX + 1) * sizeof *replay->tables);
    if (replay->tables == NULL)
        return tx_fail_nomem(err);
    return tx_tree_catalog(tree, know_table, replay, &lsn, err);
}

enum txkv_rc
tx_replay_take(struct tx_replay *replay, const struct tx_record *record, struct tx_segment *segment,
               struct txkv_error *err)
{
    const enum txkv_rc rc = take(replay, record, segment, err);

    if (rc == TXKV_OK)
        replay->end_lsn = record->lsn + record->length;
    return rc;
}

enum txkv_rc
tx_replay_finish(struct tx_replay *replay, struct txkv_error *err)
{
    replay->report->undecided = replay->pending.lsn != 0;
    forget_pending(replay);
    return flush(replay, err);
}

void
tx_replay_end(struct tx_replay *replay)
{
    let_segments_go(replay);
    forget_pending(replay);
    tx_free(replay->operations);
    tx_free(replay->items);
    tx_free(replay->tables);
    tx_arena_free(&replay->arena);
}
