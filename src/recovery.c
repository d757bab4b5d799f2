/*
 * recovery.c - brings a store's overlay up to the end of its log when it is opened.
 */
#include "recovery.h"

#include <string.h>

#include "keysort.h"
#include "os.h"

enum {
    BATCH = 1 << 16, /* operations are entered in batches of so many, each sorted by key */
    TRIES_MAX = 100
};

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
add_operation(void *arg, const struct tx_op *op, uint64_t lsn, struct txkv_error *err)
{
    struct replay *replay = arg;

    replay->items[replay->count] =
        (struct tx_sort_item){ { op->key, op->key_bytes, op->table }, replay->count, 0 };
    replay->operations[replay->count] = (struct operation){ lsn, op->value, op->value_bytes };
    replay->report->operations_replayed++;
    return ++replay->count == BATCH ? enter_batch(replay, err) : TXKV_OK;
}

static enum txkv_rc
replay_transaction(struct replay *replay, const struct tx_record *record,
                   struct tx_segment *segment, struct txkv_error *err)
{
    enum txkv_rc rc;

    replay->report->transactions_replayed++;
    if (replay->items == NULL)
        replay->items = tx_malloc(BATCH * sizeof *replay->items);
    if (replay->operations == NULL)
        replay->operations = tx_malloc(BATCH * sizeof *replay->operations);
    if (replay->items == NULL || replay->operations == NULL ||
        tx_memtable_pin_segment(replay->memtable, segment) != TXKV_OK)
        return tx_fail_nomem(err);
    rc = tx_apply_each(replay->core, record, add_operation, replay, err);
    if (rc == TXKV_OK)
        tx_memtable_account(replay->memtable, record->lsn, record->length, 1);
    return rc;
}

static enum txkv_rc
replay_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
              struct txkv_error *err)
{
    struct replay *replay = arg;

    replay->report->bytes_replayed += record->length;
    if (record->type == TX_RECORD_TXN)
        return replay_transaction(replay, record, segment, err);
    if (record->type == TX_RECORD_TABLE)
        return tx_apply_table(replay->core, record, err);
    return TXKV_OK;
}

/* The log, opened and read into replay->memtable: by the first opener, or beside other processes.
 */
static enum txkv_rc
read_log(struct replay *replay, const struct tx_log_config *config, bool first,
         struct tx_log_scan *scan, struct txkv_error *err)
{
    struct tx_core *core = replay->core;
    const uint64_t published_lsn = tx_published_lsn(core);
    enum txkv_rc rc;

    if (first) {
        rc = tx_log_recover(config, replay_record, replay, scan, &core->log, err);
    } else {
        rc = tx_log_attach(config, &core->log, err);
        /* What is not published yet may not be all of a key's versions that snapshots will see. */
        if (rc == TXKV_OK && published_lsn > config->start_lsn)
            rc = tx_log_read(core->log, published_lsn, replay_record, replay, err);
    }
    if (rc == TXKV_OK)
        rc = enter_batch(replay, err);
    tx_free(replay->items);
    tx_free(replay->operations);
    return rc;
}

/* One try, from LMDB's checkpoint LSN on. TXKV_NOTFOUND: a checkpoint of another process has
 * removed the log from there on meanwhile. */
static enum txkv_rc
replay_log(struct tx_core *core, struct tx_log_config *config, bool first,
           struct txkv_recovery_report *report, struct txkv_error *err)
{
    struct replay replay = { .core = core, .report = report };
    struct tx_log_scan scan = { 0 };
    enum txkv_rc rc = tx_tree_checkpoint(core->tree, &config->start_lsn, &config->start_check, err);

    memset(report, 0, sizeof *report);
    if (rc == TXKV_OK)
        rc = tx_apply_known_tables(core, err);
    if (rc == TXKV_OK)
        rc = tx_memtable_create(config->start_lsn, &replay.memtable, err);
    if (rc != TXKV_OK)
        return rc;
    rc = read_log(&replay, config, first, &scan, err);
    if (rc == TXKV_OK && tx_views_init(&core->views, replay.memtable, config->start_lsn) != TXKV_OK)
        rc = tx_fail_nomem(err);
    if (rc != TXKV_OK) {
        tx_memtable_free(replay.memtable);
        tx_log_close(core->log);
        core->log = NULL;
        return rc;
    }
    report->segments = scan.segments;
    report->bytes_verified = scan.bytes_verified;
    report->bytes_discarded = scan.bytes_discarded;
    report->salvaged = scan.salvaged_files > 0;
    return TXKV_OK;
}

enum txkv_rc
tx_recovery_run(struct tx_core *core, const struct tx_log_config *config, bool first,
                struct txkv_recovery_report *report, struct txkv_error *err)
{
    const uint64_t started = tx_os_now_us();
    struct tx_log_config from = *config;
    enum txkv_rc rc;

    for (int i = 0; (rc = replay_log(core, &from, first, report, err)) == TXKV_NOTFOUND; i++)
        if (first || i == TRIES_MAX)
            return tx_fail(err, TXKV_BUSY,
                           "store %s: checkpoints of other processes remove the log faster than "
                           "this one can read it; try again",
                           core->dir);
    if (rc != TXKV_OK)
        return rc;
    if (first) {
        core->shared->checkpoint_lsn = from.start_lsn;
        core->shared->published_lsn = tx_log_end_lsn(core->log);
    }
    core->applied_lsn = tx_log_end_lsn(core->log);
    core->tidied_lsn = from.start_lsn;
    tx_apply_measure(core);
    report->checkpoint_lsn = from.start_lsn;
    report->end_lsn = core->applied_lsn;
    report->duration_us = tx_os_now_us() - started;
    return TXKV_OK;
}
