/*
 * backup.c - txkv_backup: a copy of a store, made while it is in use.
 *
 * A checkpoint moves everything that is committed into LMDB, and LMDB's own snapshot of data.mdb is
 * then a whole store as of its checkpoint LSN: no log belongs to it. Checkpoints are held off only
 * until the copy has its snapshot, so that the rows of each table, counted in the source, are those
 * of the same state; then they go on.
 *
 * Steps: remove what killed backups have left; make TARGET.tmp-<digits> and lock it; checkpoint;
 * copy; open the copy, compare its id, LSN, tables and the number of rows that a walk over each
 * finds; sync; rename; sync the directory above. The lock on the directory (flock) tells a backup
 * that is being made from one whose process is gone.
 *
 * Invariants: the target's name appears by the rename alone, after everything in it was synced and
 * read. Nothing but files of backups is removed: data.mdb and lock.mdb, in directories with names
 * of that form.
 *
 * Threads: any; one backup at a time in a process, under store->backup_mutex, which is taken before
 * the checkpoint's mutex. The registry's mutex is not needed: the copy is opened as a tree alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "os.h"
#include "store.h"

enum { DIGITS = 16 };
static const char tmp_infix[] = ".tmp-";
static const uint64_t MAP_ROOM = 16 << 20; /* for the pages that a change of meta takes */

/* A table's number, and its rows in the source. */
struct table_rows {
    uint32_t table;
    uint64_t rows;
};

struct backup {
    struct txkv *store;
    char *target; /* without slashes at its end */
    char *parent, *base;
    char *tmp_dir, *data; /* the directory as long as it is not the target yet, and its data.mdb */
    int lock_fd;
    bool made;                 /* tmp_dir exists, and is this backup's */
    struct tx_tree_read *read; /* of the source; later of the copy */
    struct table_rows *tables; /* of the source, in the catalog's order */
    size_t count, checked;
    struct txkv_backup_report report;
};

/* ---- names ---- */

static enum txkv_rc
split_target(struct backup *backup, const char *target, struct txkv_error *err)
{
    size_t bytes = target == NULL ? 0 : strlen(target);
    char *slash;

    while (bytes > 1 && target[bytes - 1] == '/')
        bytes--;
    backup->target = tx_zalloc(bytes + 1);
    backup->parent = tx_zalloc(bytes + 2);
    if (backup->target == NULL || backup->parent == NULL)
        return tx_fail_nomem(err);
    memcpy(backup->target, bytes == 0 ? "" : target, bytes);
    slash = strrchr(backup->target, '/');
    backup->base = slash == NULL ? backup->target : slash + 1;
    if (slash == NULL)
        backup->parent[0] = '.';
    else
        memcpy(backup->parent, backup->target,
               slash == backup->target ? 1 : (size_t)(slash - backup->target));
    if (backup->base[0] == '\0' || strcmp(backup->base, ".") == 0 ||
        strcmp(backup->base, "..") == 0)
        return tx_fail(err, TXKV_MISUSE,
                       "backup to \"%s\": name a directory that does not exist yet",
                       target == NULL ? "" : target);
    return TXKV_OK;
}

static enum txkv_rc
fail_exists(const struct backup *backup, struct txkv_error *err)
{
    return tx_fail(err, TXKV_EXISTS,
                   "backup to %s: it exists already, and a backup replaces nothing; name another "
                   "directory, or remove that one",
                   backup->target);
}

static enum txkv_rc
refuse_existing(const struct backup *backup, struct txkv_error *err)
{
    struct stat st;

    if (lstat(backup->target, &st) == 0)
        return fail_exists(backup, err);
    if (errno == ENOENT)
        return TXKV_OK;
    return tx_fail_errno(err, errno, "backup to %s", backup->target);
}

/* ---- the directory under its first name ---- */

static void
remove_in(const char *dir, const char *name)
{
    char *path = tx_os_join(dir, name);

    if (path != NULL)
        (void)tx_os.unlink(path);
    tx_free(path);
}

static void
remove_dir(const char *dir)
{
    remove_in(dir, "lock.mdb");
    remove_in(dir, "data.mdb");
    (void)tx_os.rmdir(dir);
}

/* *fd: the directory, locked until it is closed; -1 and TXKV_BUSY: another process has it. A file
 * system that cannot lock a directory is no reason to refuse it. */
static enum txkv_rc
lock_dir(const char *dir, int *fd, struct txkv_error *err)
{
    *fd = tx_os.open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0)
        return tx_fail_errno(err, errno, "cannot open directory %s", dir);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return TXKV_OK;
    (void)tx_os.close(*fd);
    *fd = -1;
    return tx_fail(err, TXKV_BUSY, "a backup is being made in %s: wait until it is done", dir);
}

static bool
is_leftover(const struct backup *backup, const char *name)
{
    const size_t base = strlen(backup->base), infix = sizeof tmp_infix - 1;

    return strncmp(name, backup->base, base) == 0 && strncmp(name + base, tmp_infix, infix) == 0 &&
           strlen(name + base + infix) == DIGITS &&
           strspn(name + base + infix, "0123456789abcdef") == DIGITS;
}

static enum txkv_rc
remove_leftover(void *arg, const char *name, struct txkv_error *err)
{
    const struct backup *backup = arg;
    enum txkv_rc rc;
    char *path;
    int fd;

    if (!is_leftover(backup, name))
        return TXKV_OK;
    path = tx_os_join(backup->parent, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    rc = lock_dir(path, &fd, err);
    if (rc == TXKV_OK) {
        remove_dir(path);
        (void)tx_os.close(fd);
    }
    tx_free(path);
    return rc;
}

static enum txkv_rc
make_tmp_dir(struct backup *backup, struct txkv_error *err)
{
    const size_t room = strlen(backup->target) + sizeof tmp_infix + DIGITS;
    struct stat st;
    enum txkv_rc rc;

    if (stat(backup->parent, &st) != 0)
        return tx_fail_errno(err, errno,
                             "backup to %s: the directory that should hold it, %s, cannot be used",
                             backup->target, backup->parent);
    rc = tx_os_list_dir(backup->parent, remove_leftover, backup, err);
    if (rc != TXKV_OK)
        return rc;
    backup->tmp_dir = tx_malloc(room);
    if (backup->tmp_dir == NULL)
        return tx_fail_nomem(err);
    (void)snprintf(backup->tmp_dir, room, "%s%s%08" PRIx32 "%08" PRIx32, backup->target, tmp_infix,
                   tx_os_pid(), (uint32_t)tx_os_now_us());
    backup->data = tx_os_join(backup->tmp_dir, "data.mdb");
    if (backup->data == NULL)
        return tx_fail_nomem(err);
    if (tx_os.mkdir(backup->tmp_dir, 0700) != 0)
        return tx_fail_errno(err, errno, "cannot make directory %s", backup->tmp_dir);
    backup->made = true;
    return lock_dir(backup->tmp_dir, &backup->lock_fd, err);
}

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
    return tx_tree_copy(backup->read, backup->data, &watch, &backup->report.bytes, err);
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
                   backup->store->core.dir, backup->target, what, there, here, backup->target);
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
    if (meta->wal_dir != NULL && (rc = tx_tree_forget_wal_dir(tree, err)) != TXKV_OK)
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
    enum txkv_rc rc = tx_tree_open(backup->tmp_dir, backup->report.bytes + MAP_ROOM, NULL,
                                   TX_TREE_ALONE, &tree, err);

    if (rc != TXKV_OK)
        return rc;
    rc = check_tree(backup, tree, err);
    tx_tree_close(tree);
    remove_in(backup->tmp_dir, "lock.mdb"); /* the next opener makes it anew */
    return rc;
}

/* ---- the whole ---- */

static enum txkv_rc
give_name(struct backup *backup, struct txkv_error *err)
{
    enum txkv_rc rc = tx_os_sync_dir(backup->tmp_dir, err);

    if (rc == TXKV_OK)
        rc = refuse_existing(backup, err); /* rename replaces an empty directory */
    if (rc != TXKV_OK)
        return rc;
    if (tx_os.rename(backup->tmp_dir, backup->target) != 0) {
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
            return fail_exists(backup, err);
        return tx_fail_errno(err, errno, "cannot rename %s to %s", backup->tmp_dir, backup->target);
    }
    backup->made = false;
    return tx_os_sync_dir(backup->parent, err);
}

static enum txkv_rc
run(struct backup *backup, const char *target, struct txkv_error *err)
{
    enum txkv_rc rc = split_target(backup, target, err);

    if (rc == TXKV_OK)
        rc = refuse_existing(backup, err);
    if (rc == TXKV_OK)
        rc = make_tmp_dir(backup, err);
    if (rc == TXKV_OK)
        rc = copy_data(backup, err);
    if (rc == TXKV_OK)
        rc = verify(backup, err);
    if (rc == TXKV_OK)
        rc = give_name(backup, err);
    if (backup->made)
        remove_dir(backup->tmp_dir);
    if (backup->lock_fd >= 0)
        (void)tx_os.close(backup->lock_fd);
    tx_free(backup->tables);
    tx_free(backup->data);
    tx_free(backup->tmp_dir);
    tx_free(backup->parent);
    tx_free(backup->target);
    return rc;
}

enum txkv_rc
txkv_backup(struct txkv *store, const char *target, struct txkv_backup_report *report,
            struct txkv_error *err)
{
    struct backup backup = { .store = store, .lock_fd = -1 };
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
