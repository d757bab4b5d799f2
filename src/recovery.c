/*
 * recovery.c - brings a store's overlay up to the end of its log when it is opened.
 */
#include "recovery.h"

#include <string.h>

#include "os.h"

struct replay {
    struct tx_core *core;
    struct tx_memtable *memtable;
    struct txkv_recovery_report *report;
};

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
    if (record->type == TX_RECORD_TXN) {
        replay->report->transactions_replayed++;
        return tx_commit_replay(replay->core, replay->memtable, record, segment,
                                &replay->report->operations_replayed, err);
    }
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
