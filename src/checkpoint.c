/*
 * checkpoint.c - moves the log's tail from the overlay into LMDB.
 */
#include "checkpoint.h"

#include <string.h>

#include "apply.h"
#include "archiver.h"
#include "os.h"
#include "pace.h"
#include "rows.h"
#include "tree_scout.h"

enum {
    GROW_WAIT_MS = 1000,
    LOOK_AHEAD = 4096 /* rows: their pages are to be in memory still when it is their turn */
};

/* One checkpoint on its way. */
struct job {
    struct tx_checkpoint *checkpoint;
    uint64_t from_lsn, to_lsn, to_check;
    uint64_t to_ms; /* the log's newest time before to_lsn; 0: not known */
    struct tx_tree_archive archive;
    struct tx_memtable **memtables; /* newest first: what is to be moved */
    uint32_t count;
    struct tx_rows *rows; /* in them */
    struct tx_catalog_delta delta;
    struct txkv_checkpoint_report report;
};

void
tx_checkpoint_init(struct tx_checkpoint *checkpoint, struct tx_core *core, struct tx_commit *commit)
{
    checkpoint->core = core;
    checkpoint->commit = commit;
    (void)pthread_mutex_init(&checkpoint->mutex, NULL);
    tx_event_init(&checkpoint->done);
}

void
tx_checkpoint_destroy(struct tx_checkpoint *checkpoint)
{
    (void)pthread_mutex_destroy(&checkpoint->mutex);
}

/* ---- in the leader's place ---- */

static enum txkv_rc
collect_memtables(struct job *job, const struct tx_view *view, struct txkv_error *err)
{
    job->memtables = tx_malloc(view->count * sizeof(struct tx_memtable *));
    if (job->memtables == NULL)
        return tx_fail_nomem(err);
    for (uint32_t i = 1; i < view->count && view->memtables[i]->end_lsn > job->from_lsn; i++)
        job->memtables[job->count++] = view->memtables[i];
    return TXKV_OK;
}

/* Nothing is appended meanwhile, so what is frozen here ends where every process will split its
 * overlay: none has a record behind it yet. */
static enum txkv_rc
freeze(void *arg, struct txkv_error *err)
{
    struct job *job = arg;
    struct tx_core *core = job->checkpoint->core;
    enum txkv_rc rc = TXKV_OK;

    if (tx_log_stopped(core->log))
        return tx_log_fail_stopped(core->log, err);
    job->to_lsn = tx_log_end_lsn(core->log);
    job->to_check = tx_log_end_check(core->log);
    job->to_ms = core->shared->stamp_ms;
    if (job->to_lsn == job->from_lsn)
        return TXKV_OK;
    if (tx_views_current(&core->views)->memtables[0]->keys > 0) {
        rc = tx_apply_freeze(core, job->to_lsn, err);
        if (rc != TXKV_OK)
            return rc;
    }
    tx_store_release_64(&core->shared->freeze_lsn, job->to_lsn); /* [P1] */
    rc = tx_catalog_delta(&core->catalog, job->from_lsn, job->to_lsn, &job->delta, err);
    if (rc != TXKV_OK)
        return rc;
    return collect_memtables(job, tx_views_current(&core->views), err);
}

/* ---- beside the leader ---- */

static void
tidy(struct tx_core *core)
{
    struct tx_memtable *unseen;

    (void)pthread_mutex_lock(&core->overlay_mutex);
    tx_apply_tidy(core, &unseen);
    tx_apply_measure(core);
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    tx_views_free(unseen); /* commits go on meanwhile */
    tx_event_signal(&core->drained);
}

/* LMDB has everything before the checkpoint LSN, by whatever process: nobody waits for more. */
static void
let_go(struct tx_core *core)
{
    tx_store_release_32(&core->map_must_grow, 0);
    tidy(core);
}

static void
install(struct job *job)
{
    struct tx_core *core = job->checkpoint->core;

    tx_raise_64(&core->shared->checkpoint_lsn, job->to_lsn); /* [M14] */
    let_go(core);
}

/* ---- writing ---- */

static enum txkv_rc
write_catalog(const struct job *job, struct tx_tree_batch *batch, bool *map_full,
              struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t i = 0; i < job->delta.count && rc == TXKV_OK; i++) {
        const struct tx_catalog_item *item = &job->delta.items[i];

        if (item->dropped)
            rc = tx_tree_batch_drop(batch, item->def.table, map_full, err);
        else if (item->defined)
            rc = tx_tree_batch_define(batch, &item->def, map_full, err);
        if (rc == TXKV_OK && item->renamed)
            rc = tx_tree_batch_rename(batch, &item->def, map_full, err);
    }
    return rc;
}

/* What was written to tables that are dropped by now does not reach LMDB. */
static bool
is_dropped(const struct job *job, uint32_t table)
{
    return tx_catalog_check_alive(&job->checkpoint->core->catalog, table, job->to_lsn, NULL) !=
           TXKV_OK;
}

static enum txkv_rc
write_row(struct job *job, struct tx_tree_batch *batch, const struct tx_row *row, bool *map_full,
          struct txkv_error *err)
{
    if (row->value == NULL) {
        job->report.rows_deleted++;
        return tx_tree_batch_delete(batch, row->table, row->key, row->key_bytes, map_full, err);
    }
    job->report.rows_put++;
    return tx_tree_batch_put(batch, row->table, row->key, row->key_bytes, row->value,
                             row->value_bytes, map_full, err);
}

/* While the row `at` is written, the pages of those behind it are asked for. */
static void
look_ahead(struct tx_tree_scout *scout, const struct tx_row *rows, uint32_t count, uint32_t at,
           uint32_t *looked)
{
    for (; *looked < count && *looked < at + LOOK_AHEAD; ++*looked) {
        const struct tx_row *row = &rows[*looked];

        tx_tree_scout_look(scout, row->table, row->key, row->key_bytes);
    }
    if (*looked == count)
        tx_tree_scout_flush(scout);
}

static enum txkv_rc
write_rows(struct job *job, struct tx_tree_batch *batch, bool *map_full, struct txkv_error *err)
{
    struct tx_tree_scout *scout = tx_tree_scout_begin(job->checkpoint->core->tree);
    const struct tx_row *rows;
    enum txkv_rc rc = TXKV_OK;
    uint32_t count, table = 0;
    bool dropped = false;

    job->report.rows_put = job->report.rows_deleted = 0;
    tx_rows_rewind(job->rows);
    tx_tree_batch_expect(batch, tx_rows_log_bytes(job->rows));
    while (rc == TXKV_OK && (count = tx_rows_next(job->rows, &rows)) > 0) {
        uint32_t looked = 0;

        for (uint32_t i = 0; i < count && rc == TXKV_OK; i++) {
            if (scout != NULL)
                look_ahead(scout, rows, count, i, &looked);
            if (rows[i].table != table) {
                table = rows[i].table;
                dropped = is_dropped(job, table);
            }
            if (!dropped)
                rc = write_row(job, batch, &rows[i], map_full, err);
        }
    }
    tx_tree_scout_end(scout); /* before the map can grow */
    return rc;
}

static enum txkv_rc
write_batch(struct job *job, bool *map_full, struct txkv_error *err)
{
    struct tx_tree_batch *batch;
    enum txkv_rc rc = tx_tree_batch_begin(job->checkpoint->core->tree, &batch, err);

    *map_full = false;
    if (rc != TXKV_OK)
        return rc;
    rc = write_catalog(job, batch, map_full, err);
    if (rc == TXKV_OK)
        rc = write_rows(job, batch, map_full, err);
    if (rc == TXKV_OK && job->to_ms != 0)
        rc = tx_tree_batch_time(batch, job->to_ms, map_full, err);
    if (rc != TXKV_OK) {
        tx_tree_batch_abort(batch);
        return rc;
    }
    return tx_tree_batch_commit(batch, job->to_lsn, job->to_check, map_full, err);
}

static enum txkv_rc
write_all(struct job *job, struct txkv_error *err)
{
    struct tx_core *core = job->checkpoint->core;
    bool map_full;
    enum txkv_rc rc = write_batch(job, &map_full, err);

    while (rc == TXKV_FULL && map_full) {
        /* Committers that wait for this checkpoint with a snapshot open must give up first. */
        tx_store_release_32(&core->map_must_grow, 1);
        tx_event_signal(&core->drained);
        rc = tx_tree_grow(core->tree, GROW_WAIT_MS, err);
        if (rc == TXKV_OK) {
            tx_store_release_32(&core->map_must_grow, 0);
            tx_count(&core->counters.map_grows, 1);
            rc = write_batch(job, &map_full, err);
        }
    }
    return rc;
}

/* ---- the whole ---- */

static enum txkv_rc
trim(struct job *job, struct txkv_error *err)
{
    struct txkv_checkpoint_report *report = &job->report;
    struct tx_archive_report archived = { .files = 0 };
    const enum txkv_rc rc = tx_archiver_trim(job->checkpoint->core, job->archive.dir, job->to_lsn,
                                             &report->segments_deleted, &archived, err);

    report->segments_archived = archived.files;
    report->segments_waiting = archived.waiting;
    return rc;
}

/* Under TX_LOCK_CHECKPOINT. */
static enum txkv_rc
run_job(struct job *job, struct txkv_error *err)
{
    struct tx_checkpoint *checkpoint = job->checkpoint;
    struct tx_core *core = checkpoint->core;
    uint64_t began_us, bytes = 0;
    enum txkv_rc rc;

    job->from_lsn = tx_checkpoint_lsn(core);
    rc = tx_commit_run(checkpoint->commit, &checkpoint->done, freeze, job, err);
    if (rc == TXKV_OK)
        rc = tx_archiver_sync(core, job->to_lsn, &job->archive, err);
    if (rc != TXKV_OK)
        return rc;
    if (job->to_lsn == job->from_lsn) {
        let_go(core); /* another process has done it, and committers may wait here for the room */
        return job->archive.dir == NULL ? TXKV_OK : trim(job, err); /* what had to wait, perhaps */
    }
    if (tx_rows_create(core, job->memtables, job->count, job->from_lsn, &job->rows) != TXKV_OK)
        return tx_fail_nomem(err);
    began_us = tx_os_now_us();
    rc = write_all(job, err);
    /* Its thread looks at memtables, which others may remove from here on. */
    tx_rows_free(job->rows);
    job->rows = NULL;
    if (rc != TXKV_OK)
        return rc;
    for (uint32_t i = 0; i < job->count; i++) {
        job->report.transactions += job->memtables[i]->records;
        job->report.bytes += job->memtables[i]->log_bytes;
        bytes += tx_memtable_bytes(job->memtables[i]);
    }
    tx_pace_note(core, bytes, tx_os_now_us() - began_us);
    install(job);
    return trim(job, err);
}

/* Run the job, unless another process has checkpointed since `seen_lsn` was the checkpoint LSN. */
static enum txkv_rc
lock_and_run(struct job *job, uint64_t seen_lsn, struct txkv_error *err)
{
    struct tx_core *core = job->checkpoint->core;
    enum txkv_rc rc = tx_shared_lock(core->shared, TX_LOCK_CHECKPOINT,
                                     tx_load_relaxed_64(&core->limits.stall_timeout_us), NULL, err);

    if (rc != TXKV_OK)
        return rc;
    if (tx_checkpoint_lsn(core) <= seen_lsn)
        rc = run_job(job, err);
    else
        let_go(core);
    tx_shared_unlock(core->shared, TX_LOCK_CHECKPOINT);
    return rc;
}

static void
note_result(struct tx_core *core, const struct job *job, enum txkv_rc rc,
            const struct txkv_error *err)
{
    const struct txkv_checkpoint_report *report = &job->report;

    (void)pthread_mutex_lock(&core->failure_mutex);
    core->checkpoint_failure.rc = TXKV_OK;
    if (rc != TXKV_OK)
        core->checkpoint_failure = *err;
    (void)pthread_mutex_unlock(&core->failure_mutex);
    if (rc != TXKV_OK) {
        tx_count(&core->counters.checkpoints_failed, 1);
    } else if (job->to_lsn != job->from_lsn) {
        tx_count(&core->counters.checkpoints, 1);
        tx_count(&core->counters.checkpoint_us_total, report->duration_us);
        tx_count(&core->counters.checkpoint_rows, report->rows_put + report->rows_deleted);
        tx_store_relaxed_64(&core->counters.checkpoint_us_last, report->duration_us);
    }
}

enum txkv_rc
tx_checkpoint_run(struct tx_checkpoint *checkpoint, uint64_t seen_lsn,
                  struct txkv_checkpoint_report *report, struct txkv_error *err)
{
    struct job job = { .checkpoint = checkpoint };
    struct txkv_error own = { TXKV_OK, "" };
    enum txkv_rc rc;

    (void)pthread_mutex_lock(&checkpoint->mutex);
    job.report.duration_us = tx_os_now_us();
    rc = lock_and_run(&job, seen_lsn, &own);
    job.report.from_lsn = job.from_lsn;
    job.report.to_lsn = job.to_lsn;
    job.report.duration_us = tx_os_now_us() - job.report.duration_us;
    note_result(checkpoint->core, &job, rc, &own);
    (void)pthread_mutex_unlock(&checkpoint->mutex);
    tx_free(job.memtables);
    tx_catalog_delta_free(&job.delta);
    tx_tree_archive_free(&job.archive);
    if (report != NULL)
        *report = job.report;
    if (rc != TXKV_OK && err != NULL)
        *err = own;
    return rc;
}

void
tx_checkpoint_tidy(struct tx_checkpoint *checkpoint)
{
    /* Not while a checkpoint looks at the memtables. */
    (void)pthread_mutex_lock(&checkpoint->mutex);
    tidy(checkpoint->core);
    (void)pthread_mutex_unlock(&checkpoint->mutex);
}

/* ---- verifying ---- */

struct count {
    struct txkv_recovery_report *report;
    uint64_t prepared; /* operations of the transaction that is prepared and not decided yet */
};

static enum txkv_rc
count_operations(void *arg, const struct tx_record *record, struct tx_segment *segment,
                 struct txkv_error *err)
{
    struct count *count = arg;
    struct tx_record txn = *record;
    struct txkv_bytes note;
    const uint8_t *p, *end;
    uint64_t operations = 0;
    struct tx_op op;
    enum txkv_rc rc = TXKV_OK;

    (void)segment;
    if (record->type == TX_RECORD_TXN || record->type == TX_RECORD_COMMITTED)
        count->report->transactions_replayed++;
    if (record->type == TX_RECORD_COMMITTED)
        count->report->operations_replayed += count->prepared;
    if (record->type == TX_RECORD_PREPARED)
        rc = tx_prepared_decode(record, &note, &txn);
    else if (record->type != TX_RECORD_TXN)
        return TXKV_OK;
    p = txn.body;
    end = txn.body + txn.body_bytes;
    while (rc == TXKV_OK && (rc = tx_op_next(&p, end, &op)) == TXKV_OK)
        operations++;
    if (record->type == TX_RECORD_PREPARED)
        count->prepared = operations;
    else
        count->report->operations_replayed += operations;
    if (rc != TXKV_NOTFOUND)
        return tx_fail(err, TXKV_CORRUPT,
                       "the log record at LSN %llu holds an operation that cannot be",
                       (unsigned long long)record->lsn);
    return TXKV_OK;
}

enum txkv_rc
tx_checkpoint_pause(struct tx_checkpoint *checkpoint, struct txkv_error *err)
{
    struct tx_core *core = checkpoint->core;
    enum txkv_rc rc;

    (void)pthread_mutex_lock(&checkpoint->mutex);
    rc = tx_shared_lock(core->shared, TX_LOCK_CHECKPOINT,
                        tx_load_relaxed_64(&core->limits.stall_timeout_us), NULL, err);
    if (rc != TXKV_OK)
        (void)pthread_mutex_unlock(&checkpoint->mutex);
    return rc;
}

void
tx_checkpoint_resume(struct tx_checkpoint *checkpoint)
{
    tx_shared_unlock(checkpoint->core->shared, TX_LOCK_CHECKPOINT);
    (void)pthread_mutex_unlock(&checkpoint->mutex);
}

/* Nothing is trimmed meanwhile. */
static enum txkv_rc
verify_locked(struct tx_core *core, struct txkv_recovery_report *report, struct tx_log_scan *scan,
              struct txkv_error *err)
{
    const uint64_t published_lsn = tx_published_lsn(core);
    struct count count = { .report = report };
    uint64_t check = 0;
    enum txkv_rc rc = tx_apply_published(core, published_lsn, err);

    /* LMDB's own: a process that died just after its commit told the others nothing. */
    if (rc == TXKV_OK)
        rc = tx_tree_checkpoint(core->tree, &report->checkpoint_lsn, &check, err);
    if (rc != TXKV_OK)
        return rc;
    report->end_lsn = tx_max_u64(published_lsn, report->checkpoint_lsn);
    if (report->end_lsn > report->checkpoint_lsn)
        rc = tx_log_verify(core->log, report->checkpoint_lsn, check, report->end_lsn,
                           count_operations, &count, scan, err);
    return rc;
}

enum txkv_rc
tx_checkpoint_verify(struct tx_checkpoint *checkpoint, struct txkv_recovery_report *report,
                     struct txkv_error *err)
{
    struct tx_core *core = checkpoint->core;
    struct tx_log_scan scan = { 0 };
    const uint64_t started = tx_os_now_us();
    enum txkv_rc rc;

    memset(report, 0, sizeof *report);
    rc = tx_checkpoint_pause(checkpoint, err);
    if (rc == TXKV_OK) {
        rc = verify_locked(core, report, &scan, err);
        tx_checkpoint_resume(checkpoint);
    }
    report->segments = scan.segments;
    report->bytes_verified = scan.bytes_verified;
    report->duration_us = tx_os_now_us() - started;
    return rc;
}
