/*
 * backup.c - txkv_backup: a copy of a store, made while it is in use.
 *
 * A checkpoint moves everything that is committed into LMDB, and LMDB's own snapshot of data.mdb is
 * then a whole store as of its checkpoint LSN: no log belongs to it. Checkpoints are held off only
 * until the copy has its snapshot, so that the rows of each table, counted in the source, are those
 * of the same state; then they go on.
 *
 * Steps: make TARGET.tmp-<digits> (newdir.h); checkpoint; copy; open the copy, compare its id, LSN,
 * tables and the number of rows that a walk over each finds; sync; rename; sync the directory
 * above.
 *
 * Invariants: the target's name appears by the rename alone, after everything in it was synced and
 * read.
 *
 * Threads: any; one backup at a time in a process, under store->backup_mutex, which is taken before
 * the checkpoint's mutex. The registry's mutex is not needed: the copy is opened as a tree alone.
 */
#include <inttypes.h>

#include "mem.h"
#include "newdir.h"
#include "os.h"
#include "store.h"

static const uint64_t MAP_ROOM = 16 << 20; /* for the pages that a change of meta takes */

/* A table's number, and its rows in the source. */
struct table_rows {
    uint32_t table;
    uint64_t rows;
};

struct backup {
    struct txkv *store;
    struct tx_newdir dir;
    struct tx_tree_read *read; /* of the source; later of the copy */
    struct table_rows *tables; /* of the source, in the catalog's order */
    size_t count, checked;
    struct txkv_backup_report report;
};

/* ---- the copy ---- */

static enum txkv_rc
note_table(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    struct backup *backup = arg;

    (void)err;
    if (def->name_bytes > 0)
        backup->tables[backup->count++] =
            (struct table_rows){ def->table, tx_tree_rows(backup->read, def->table) };
    return TXKV_OK;
}

static void
copy_has_begun(void *arg)
{
    struct backup *backup = arg;

    tx_checkpoint_resume(&backup->store->checkpoint);
}

static void
show_progress(void *arg, uint64_t bytes)
{
    struct backup *backup = arg;

    tx_store_relaxed_64(&backup->store->core.counters.backup_bytes_done, bytes);
}

/* Checkpoints are held off; they go on when the copy has begun, or this has failed. */
static enum txkv_rc
copy_paused(struct backup *backup, struct txkv_error *err)
{
    struct tx_core *core = &backup->store->core;
    const struct tx_tree_copy_watch watch = { copy_has_begun, show_progress, backup };
    struct tx_tree_stats stats;
    uint64_t lsn; /* the same as that of `read`, or verifying finds that the copy is not of it */
    enum txkv_rc rc;

    tx_tree_stats(core->tree, &stats);
    tx_store_relaxed_64(&core->counters.backup_bytes_done, 0);
    tx_store_relaxed_64(&core->counters.backup_bytes_total, stats.used_bytes);
    rc = tx_tree_read_begin(backup->read, &backup->report.lsn, err);
    if (rc == TXKV_OK)
        rc = tx_tree_catalog(core->tree, note_table, backup, &lsn, err);
    if (rc != TXKV_OK) {
        tx_checkpoint_resume(&backup->store->checkpoint);
        return rc;
    }
    return tx_tree_copy(backup->read, backup->dir.data, &watch, &backup->report.bytes, err);
}

static enum txkv_rc
copy_data(struct backup *backup, struct txkv_error *err)
{
    struct txkv *store = backup->store;
    enum txkv_rc rc = tx_checkpoint_run(&store->checkpoint, TX_LSN_NONE, NULL, err);

    if (rc != TXKV_OK)
        return rc;
    backup->tables = tx_malloc(TX_TREE_TABLES_MAX * sizeof(struct table_rows));
    if (backup->tables == NULL)
        return tx_fail_nomem(err);
    rc = tx_tree_read_create(store->core.tree, &backup->read, err);
    if (rc == TXKV_OK)
        rc = tx_checkpoint_pause(&store->checkpoint, err);
    if (rc == TXKV_OK)
        rc = copy_paused(backup, err);
    tx_tree_read_free(backup->read);
    backup->read = NULL;
    return rc;
}

/* ---- verifying ---- */

static enum txkv_rc
fail_differs(const struct backup *backup, const char *what, uint64_t here, uint64_t there,
             struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "backup of %s to %s: the copy's %s is %" PRIu64 ", and the store's was %" PRIu64
                   "; nothing was kept of it: check the disk that %s is on",
                   backup->store->core.dir, backup->dir.target, what, there, here,
                   backup->dir.target);
}

/* Walk over all of a table. */
static enum txkv_rc
count_pairs(struct tx_tree_read *read, uint32_t table, uint64_t *rows, struct txkv_error *err)
{
    struct tx_tree_cursor *cursor;
    struct tx_tree_pair pair;
    enum txkv_rc rc = tx_tree_cursor_open(read, table, &cursor, err);

    *rows = 0;
    if (rc != TXKV_OK)
        return rc;
    for (rc = tx_tree_cursor_seek_ge(cursor, NULL, 0, &pair, err); rc == TXKV_OK;
         rc = tx_tree_cursor_next(cursor, &pair, err))
        ++*rows;
    tx_tree_cursor_close(cursor);
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

static enum txkv_rc
check_table(void *arg, const struct tx_table_def *def, struct txkv_error *err)
{
    struct backup *backup = arg;
    const struct table_rows *source;
    uint64_t rows;
    enum txkv_rc rc;

    if (def->name_bytes == 0)
        return TXKV_OK;
    if (backup->checked == backup->count)
        return fail_differs(backup, "number of tables", backup->count, backup->count + 1, err);
    source = &backup->tables[backup->checked++];
    if (source->table != def->table)
        return fail_differs(backup, "next table", source->table, def->table, err);
    rc = count_pairs(backup->read, def->table, &rows, err);
    if (rc == TXKV_OK && rows != source->rows)
        rc = fail_differs(backup, "number of rows in a table", source->rows, rows, err);
    backup->report.rows += rows;
    return rc;
}

static enum txkv_rc
check_tree(struct backup *backup, struct tx_tree *tree, struct txkv_error *err)
{
    const struct tx_tree_meta *meta = tx_tree_meta(tree);
    const uint64_t id = backup->store->core.store_id;
    uint64_t lsn;
    enum txkv_rc rc;

    if (meta->store_id != id)
        return fail_differs(backup, "id", id, meta->store_id, err);
    if (meta->checkpoint_lsn != backup->report.lsn)
        return fail_differs(backup, "LSN", backup->report.lsn, meta->checkpoint_lsn, err);
    if ((meta->wal_dir != NULL || meta->archive_dir != NULL) &&
        (rc = tx_tree_stand_alone(tree, err)) != TXKV_OK)
        return rc;
    rc = tx_tree_read_create(tree, &backup->read, err);
    if (rc == TXKV_OK)
        rc = tx_tree_read_begin(backup->read, &lsn, err);
    if (rc == TXKV_OK)
        rc = tx_tree_catalog(tree, check_table, backup, &lsn, err);
    if (rc == TXKV_OK && backup->checked != backup->count)
        rc = fail_differs(backup, "number of tables", backup->count, backup->checked, err);
    tx_tree_read_free(backup->read);
    backup->read = NULL;
    backup->report.tables = backup->count;
    return rc;
}

static enum txkv_rc
verify(struct backup *backup, struct txkv_error *err)
{
    struct tx_tree *tree;
    enum txkv_rc rc = tx_tree_open(backup->dir.tmp_dir, backup->report.bytes + MAP_ROOM, NULL,
                                   TX_TREE_ALONE, &tree, err);

    if (rc != TXKV_OK)
        return rc;
    rc = check_tree(backup, tree, err);
    tx_tree_close(tree);
    tx_newdir_remove(&backup->dir, "lock.mdb"); /* the next opener makes it anew */
    return rc;
}

/* ---- the whole ---- */

static enum txkv_rc
run(struct backup *backup, const char *target, struct txkv_error *err)
{
    enum txkv_rc rc = tx_newdir_make(&backup->dir, "backup", target, err);

    if (rc == TXKV_OK)
        rc = copy_data(backup, err);
    if (rc == TXKV_OK)
        rc = verify(backup, err);
    if (rc == TXKV_OK)
        rc = tx_newdir_name(&backup->dir, err);
    tx_newdir_end(&backup->dir);
    tx_free(backup->tables);
    return rc;
}

enum txkv_rc
txkv_backup(struct txkv *store, const char *target, struct txkv_backup_report *report,
            struct txkv_error *err)
{
    struct backup backup = { .store = store };
    struct tx_counters *counters = &store->core.counters;
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(&store->core, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&store->backup_mutex);
    backup.report.duration_us = tx_os_now_us();
    rc = run(&backup, target, err);
    backup.report.duration_us = tx_os_now_us() - backup.report.duration_us;
    if (rc == TXKV_OK)
        tx_store_relaxed_64(&counters->backup_bytes_total, backup.report.bytes);
    tx_count(rc == TXKV_OK ? &counters->backups : &counters->backups_failed, 1);
    (void)pthread_mutex_unlock(&store->backup_mutex);
    if (report != NULL && rc == TXKV_OK)
        *report = backup.report;
    return rc;
}
