/*
 * recovery.c - brings a store's overlay up to the end of its log when it is opened.
 */
#include "recovery.h"

#include <string.h>

#include "apply.h"
#include "os.h"
#include "prepare.h"
#include "reload.h"

enum { TRIES_MAX = 100 };

struct replay {
    struct tx_core *core;
    struct tx_memtable *memtable;
    struct tx_reload *entering;
    struct txkv_recovery_report *report;
    const struct tx_log_scan *scan;
    const struct tx_segment *segment; /* that was read last */
    bool decided, commit; /* the transaction that is pending at the log's end, if there is one */
};

/* In the log's order: of several operations on one key only the last counts, since there is no
 * snapshot yet that could see the others. */
static enum txkv_rc
enter_operation(void *arg, const struct tx_op *op, uint64_t lsn, struct txkv_error *err)
{
    struct replay *replay = arg;
    const struct tx_key key = { op->key, op->key_bytes, op->table };

    replay->report->operations_replayed++;
    if (tx_reload_add(replay->entering, &key, lsn, op->value, op->value_bytes) != TXKV_OK)
        return tx_fail_nomem(err);
    return TXKV_OK;
}

static enum txkv_rc
finish_entering(struct replay *replay, struct txkv_error *err)
{
    return tx_reload_finish(replay->entering) == TXKV_OK ? TXKV_OK : tx_fail_nomem(err);
}

/* With each new file: what is behind it may hold as many operations for its bytes as what was read
 * so far. The last file is half full, for all that is known. */
static void
expect_more(struct replay *replay, const struct tx_segment *segment)
{
    const uint64_t start_lsn = replay->memtable->first_lsn;
    const uint64_t done = tx_max_u64(segment->first_lsn, start_lsn + 1) - start_lsn;
    const uint64_t end_lsn =
        tx_max_u64(replay->scan->last_file, segment->first_lsn) + segment->bytes / 2;
    const double times = (double)(end_lsn - start_lsn) / (double)done;

    if (replay->segment != NULL && replay->segment != segment)
        tx_reload_expect(replay->entering,
                         (uint64_t)((double)replay->report->operations_replayed * times));
    replay->segment = segment;
}

/* Enter the transaction whose operations are the record's body, and stand in a pinned segment. */
static enum txkv_rc
replay_operations(struct replay *replay, const struct tx_record *txn, struct txkv_error *err)
{
    replay->report->transactions_replayed++;
    return tx_apply_each(replay->core, txn, enter_operation, replay, err);
}

static enum txkv_rc
replay_transaction(struct replay *replay, const struct tx_record *record,
                   struct tx_segment *segment, struct txkv_error *err)
{
    enum txkv_rc rc = tx_memtable_pin_segment(replay->memtable, segment);

    if (rc != TXKV_OK)
        return tx_fail_nomem(err);
    expect_more(replay, segment);
    if (record->type == TX_RECORD_PREPARED)
        rc = tx_apply_pend(replay->core, record, err);
    else
        rc = replay_operations(replay, record, err);
    if (rc == TXKV_OK)
        tx_memtable_account(replay->memtable, record->lsn, record->length,
                            record->type == TX_RECORD_TXN);
    return rc;
}

/* The pending transaction is decided. */
static enum txkv_rc
replay_decision(struct replay *replay, bool commit, struct txkv_error *err)
{
    struct tx_pending *pending = &replay->core->pending;
    enum txkv_rc rc = TXKV_OK;

    if (commit)
        rc = replay_operations(replay, &pending->txn, err);
    if (rc == TXKV_OK)
        *pending = (struct tx_pending){ .entered = false };
    return rc;
}

static enum txkv_rc
replay_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
              struct txkv_error *err)
{
    struct replay *replay = arg;
    enum txkv_rc rc = tx_apply_expect(replay->core, record, err);

    if (rc != TXKV_OK)
        return rc;
    replay->report->bytes_replayed += record->length;
    if (record->type == TX_RECORD_TXN || record->type == TX_RECORD_PREPARED)
        return replay_transaction(replay, record, segment, err);
    if (tx_apply_is_about_tables(record))
        return tx_apply_tables(replay->core, record, err);
    if (!tx_record_decides(record))
        return TXKV_OK;
    rc = replay_decision(replay, record->type == TX_RECORD_COMMITTED, err);
    if (rc == TXKV_OK)
        tx_memtable_account(replay->memtable, record->lsn, record->length,
                            record->type == TX_RECORD_COMMITTED);
    return rc;
}

/* ---- a transaction that is prepared and not decided at the log's end ---- */

/* The whole log has been read, and nothing changed yet. */
static enum txkv_rc
before_cut(void *arg, struct txkv_error *err)
{
    struct replay *replay = arg;
    const struct tx_pending *pending = &replay->core->pending;
    const enum txkv_rc rc = finish_entering(replay, err);

    if (rc != TXKV_OK || pending->txn.lsn == 0)
        return rc;
    replay->decided = true;
    return tx_prepare_ask(replay->core, pending->txn.lsn, pending->note, &replay->commit, err);
}

/* What was answered becomes a record, durable before anybody sees it: the next time the log tells.
 */
static enum txkv_rc
append_answer(struct replay *replay, struct txkv_error *err)
{
    struct tx_core *core = replay->core;
    uint8_t record[TX_DECISION_BYTES];
    struct tx_log_place place;
    enum txkv_rc rc;

    tx_decision_encode(record, replay->commit, core->pending.txn.lsn, core->store_id);
    rc = replay_decision(replay, replay->commit, err);
    if (rc == TXKV_OK)
        rc = tx_log_place(core->log, record, sizeof record, &place, err);
    if (rc != TXKV_OK)
        return rc;
    tx_log_finish(core->log, record, &place, false);
    tx_memtable_account(replay->memtable, place.lsn, sizeof record, replay->commit);
    return tx_log_sync(core->log, tx_log_end_lsn(core->log), err);
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
    if (rc == TXKV_OK && replay->decided)
        rc = append_answer(replay, err);
    if (rc == TXKV_OK)
        rc = finish_entering(replay, err);
    return rc;
}

/* One try, from LMDB's checkpoint LSN on. TXKV_NOTFOUND: a checkpoint of another process has
 * removed the log from there on meanwhile. */
static enum txkv_rc
replay_log(struct tx_core *core, struct tx_log_config *config, bool first,
           struct txkv_recovery_report *report, struct txkv_error *err)
{
    struct tx_log_scan scan = { 0 };
    struct replay replay = { .core = core, .report = report, .scan = &scan };
    enum txkv_rc rc = tx_apply_known_tables(core, &config->start_lsn, &config->start_check, err);

    config->before_cut = before_cut;
    memset(report, 0, sizeof *report);
    if (rc == TXKV_OK)
        rc = tx_memtable_create(config->start_lsn, false, &replay.memtable, err);
    if (rc != TXKV_OK)
        return rc;
    if (tx_reload_create(replay.memtable, &replay.entering) != TXKV_OK)
        rc = tx_fail_nomem(err);
    if (rc == TXKV_OK)
        rc = read_log(&replay, config, first, &scan, err);
    tx_reload_free(replay.entering);
    if (rc == TXKV_OK && tx_views_init(&core->views, replay.memtable, config->start_lsn) != TXKV_OK)
        rc = tx_fail_nomem(err);
    if (rc != TXKV_OK) {
        tx_memtable_free(replay.memtable);
        tx_log_close(core->log);
        core->log = NULL;
        core->pending = (struct tx_pending){ .entered = false };
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
