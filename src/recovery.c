/*
 * recovery.c - brings a store's overlay up to the end of its log when it is opened.
 */
#include "recovery.h"

#include <string.h>

#include "keysort.h"
#include "os.h"

/* Operations are entered in batches of so many, each sorted by key. */
enum { BATCH = 1 << 16 };

struct operation {
    uint64_t lsn;
    const uint8_t *value;
    uint32_t value_bytes;
};

struct replay {
    struct tx_core *core;
    struct tx_memtable *memtable;
    struct txkv_recovery_report *report;
    struct tx_sort_item *items; /* BATCH of them; the index is of the operation */
    struct operation *operations;
    uint32_t count;
};

/*
 * Enter the batch. Of several operations on one key only the last counts: there is no snapshot yet
 * that could see the others.
 */
static enum txkv_rc
enter_batch(struct replay *replay, struct txkv_error *err)
{
    const struct tx_sort_item *items = replay->items;

    tx_keysort(replay->items, replay->count);
    for (uint32_t i = 0; i < replay->count; i++) {
        const struct operation *op = &replay->operations[items[i].index];

        if (i + 1 < replay->count && tx_key_compare(&items[i].key, &items[i + 1].key) == 0)
            continue;
        if (tx_memtable_insert(replay->memtable, &items[i].key, tx_key_hash(&items[i].key), op->lsn,
                               op->value, op->value_bytes) != TXKV_OK)
            return tx_fail_nomem(err);
    }
    replay->count = 0;
    return TXKV_OK;
}

static enum txkv_rc
replay_transaction(struct replay *replay, const struct tx_record *record,
                   struct tx_segment *segment, struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = record->body + record->body_bytes;
    struct tx_op op;
    enum txkv_rc rc;

    replay->report->transactions_replayed++;
    if (replay->items == NULL)
        replay->items = tx_malloc(BATCH * sizeof *replay->items);
    if (replay->operations == NULL)
        replay->operations = tx_malloc(BATCH * sizeof *replay->operations);
    if (replay->items == NULL || replay->operations == NULL ||
        tx_memtable_pin_segment(replay->memtable, segment) != TXKV_OK)
        return tx_fail_nomem(err);
    while ((rc = tx_op_next(&p, end, &op)) == TXKV_OK) {
        if (op.table == 0 || op.table > replay->core->catalog.table_max)
            return tx_fail(
                err, TXKV_CORRUPT,
                "store %s: the log record at LSN %llu writes to table %u, which was never "
                "made; the store's files do not belong together: restore it from a backup",
                replay->core->dir, (unsigned long long)record->lsn, op.table);
        replay->items[replay->count] =
            (struct tx_sort_item){ { op.key, op.key_bytes, op.table }, replay->count, 0 };
        replay->operations[replay->count] =
            (struct operation){ record->lsn, op.value, op.value_bytes };
        replay->report->operations_replayed++;
        if (++replay->count == BATCH && (rc = enter_batch(replay, err)) != TXKV_OK)
            return rc;
    }
    if (rc != TXKV_NOTFOUND)
        return tx_fail(err, TXKV_CORRUPT,
                       "store %s: the log record at LSN %llu is intact but holds an operation that "
                       "cannot be; it was not written by this program",
                       replay->core->dir, (unsigned long long)record->lsn);
    tx_memtable_account(replay->memtable, record->lsn, record->length, 1);
    return TXKV_OK;
}

static enum txkv_rc
add_known_table(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    struct tx_core *core = arg;

    return tx_catalog_add(&core->catalog, def, 0, true, err);
}

static enum txkv_rc
replay_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
              struct txkv_error *err)
{
    struct replay *replay = arg;
    struct tx_table_def def;

    replay->report->bytes_replayed += record->length;
    if (record->type == TX_RECORD_TXN)
        return replay_transaction(replay, record, segment, err);
    if (record->type != TX_RECORD_TABLE)
        return TXKV_OK;
    if (tx_table_def_decode(record->body, record->body_bytes, &def) != TXKV_OK)
        return tx_fail(
            err, TXKV_CORRUPT,
            "store %s: the table record at LSN %llu is intact but cannot be read; it was "
            "not written by this program",
            replay->core->dir, (unsigned long long)record->lsn);
    return tx_catalog_add(&replay->core->catalog, &def, record->lsn, false, err);
}

enum txkv_rc
tx_recovery_run(struct tx_core *core, const struct tx_log_config *config,
                struct txkv_recovery_report *report, struct txkv_error *err)
{
    const struct tx_tree_meta *meta = tx_tree_meta(core->tree);
    struct replay replay = { .core = core, .report = report };
    const uint64_t started = tx_os_now_us();
    struct tx_log_config from = *config;
    struct tx_log_scan scan = { 0 };
    enum txkv_rc rc;

    memset(report, 0, sizeof *report);
    rc = tx_tree_catalog(core->tree, add_known_table, core, err);
    if (rc == TXKV_OK)
        rc = tx_memtable_create(meta->checkpoint_lsn, &replay.memtable, err);
    if (rc != TXKV_OK)
        return rc;
    from.start_lsn = meta->checkpoint_lsn;
    from.start_check = meta->checkpoint_check;
    rc = tx_log_recover(&from, replay_record, &replay, &scan, &core->log, err);
    if (rc == TXKV_OK)
        rc = enter_batch(&replay, err);
    tx_free(replay.items);
    tx_free(replay.operations);
    if (rc == TXKV_OK &&
        tx_views_init(&core->views, replay.memtable, meta->checkpoint_lsn) != TXKV_OK)
        rc = tx_fail_nomem(err);
    if (rc != TXKV_OK) {
        tx_memtable_free(replay.memtable);
        tx_log_close(core->log);
        core->log = NULL;
        return rc;
    }
    core->checkpoint_lsn = meta->checkpoint_lsn;
    core->checkpoint_check = meta->checkpoint_check;
    core->published_lsn = tx_log_end_lsn(core->log);
    tx_commit_measure_overlay(core);
    report->checkpoint_lsn = meta->checkpoint_lsn;
    report->end_lsn = core->published_lsn;
    report->segments = scan.segments;
    report->bytes_verified = scan.bytes_verified;
    report->bytes_discarded = scan.bytes_discarded;
    report->salvaged = scan.salvaged_files > 0;
    report->duration_us = tx_os_now_us() - started;
    return TXKV_OK;
}
