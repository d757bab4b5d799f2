/*
 * restore.c - txkv_restore: a new store from a backup and the archive of its source, as of a point.
 *
 * The backup's data.mdb is copied, and what the archived records say is written to the copy
 * (restore_replay.c). The directory gets its name at the end (newdir.h).
 *
 * A transaction that was prepared is decided by the next record, also when the point lies between
 * the two: it has the LSN, and the time, of its prepared record.
 *
 * The new store has another id, so that nothing which it writes can be taken for the source's: not
 * its log, nor its archive, nor what a native table's file knows of its transactions.
 *
 * Threads: any; nothing is shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "archive.h"
#include "newdir.h"
#include "os.h"
#include "restore.h"
#include "shared.h"

enum { BLOCK_BYTES = 1 << 20 };
static const uint64_t MAP_ROOM = 1 << 30;

struct restore {
    const struct txkv_restore_options *options;
    struct tx_newdir dir;
    struct tx_tree *tree;
    struct tx_archive_reader *reader;
    struct tx_replay replay;
    struct txkv_restore_report report;
};

/* ---- the copy ---- */

static enum txkv_rc
copy_bytes(int from, int to, const char *path, struct txkv_error *err)
{
    uint8_t *buffer = tx_malloc(BLOCK_BYTES);
    enum txkv_rc rc = buffer == NULL ? tx_fail_nomem(err) : TXKV_OK;
    off_t offset = 0;
    ssize_t n = 1;

    while (rc == TXKV_OK && n != 0) {
        ssize_t written = 0;

        n = tx_os_read(from, buffer, BLOCK_BYTES, offset);
        if (n < 0)
            rc = tx_fail_errno(err, errno, "cannot read %s", path);
        else
            written = tx_os_write(to, buffer, (size_t)n, offset);
        if (rc == TXKV_OK && written != n)
            rc = tx_fail_errno(err, written < 0 ? errno : EIO, "cannot copy %s", path);
        offset += n;
    }
    if (rc == TXKV_OK && tx_os.fsync(to) != 0)
        rc = tx_fail_errno(err, errno, "cannot sync the copy of %s", path);
    tx_free(buffer);
    return rc;
}

static enum txkv_rc
copy_data(const struct restore *r, const char *backup, struct txkv_error *err)
{
    char *path = tx_os_join(backup, "data.mdb");
    enum txkv_rc rc = TXKV_OK;
    int from, to = -1;

    if (path == NULL)
        return tx_fail_nomem(err);
    from = tx_os.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (from < 0)
        rc = tx_fail_errno(err, errno, "%s is no backup: %s", backup, path);
    if (rc == TXKV_OK)
        to = tx_os.open(r->dir.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (rc == TXKV_OK && to < 0)
        rc = tx_fail_errno(err, errno, "cannot create %s", r->dir.data);
    if (rc == TXKV_OK)
        rc = copy_bytes(from, to, path, err);
    if (to >= 0)
        (void)tx_os.close(to);
    if (from >= 0)
        (void)tx_os.close(from);
    tx_free(path);
    return rc;
}

static enum txkv_rc
refuse_log_file(void *arg, const char *name, struct txkv_error *err)
{
    const char *backup = arg;
    uint64_t lsn;

    if (!tx_segment_parse_name(name, &lsn))
        return TXKV_OK;
    return tx_fail(err, TXKV_MISUSE,
                   "%s has a log of its own (%s): it was written to since the backup was made, and "
                   "not closed; take another backup",
                   backup, name);
}

/* A backup has no log, or an empty directory for one. */
static enum txkv_rc
check_backup(const char *backup, struct txkv_error *err)
{
    char *copy = tx_strdup(backup), *wal = tx_os_join(backup, "wal");
    enum txkv_rc rc = TXKV_OK;
    struct stat st;

    if (copy == NULL || wal == NULL)
        rc = tx_fail_nomem(err);
    else if (tx_share_in_use(backup))
        rc = tx_fail(err, TXKV_LOCKED, "backup %s is open as a store: close it everywhere first",
                     backup);
    else if (stat(wal, &st) == 0)
        rc = tx_os_list_dir(wal, refuse_log_file, copy, err);
    tx_free(copy);
    tx_free(wal);
    return rc;
}

/* ---- up to the point ---- */

/* Whether a record lies behind it. A decision belongs to the record before it. */
static bool
is_behind(const struct restore *r, const struct tx_record *record)
{
    const struct txkv_restore_options *o = r->options;

    if (r->replay.pending.lsn != 0)
        return false;
    return (o->until_lsn != 0 && record->lsn > o->until_lsn) ||
           (o->until_ms != 0 && record->type == TX_RECORD_TIME && tx_time_ms(record) > o->until_ms);
}

static enum txkv_rc
fail_not_reached(const struct restore *r, const char *archive, struct txkv_error *err)
{
    return tx_fail(err, TXKV_NOTFOUND,
                   "archive %s ends at LSN %" PRIu64 ", before LSN %" PRIu64
                   ": txkv_archive on the source, if it can be opened, archives the rest; without "
                   "'until' what is there is restored",
                   archive, tx_archive_lsn(r->reader), r->options->until_lsn);
}

/* A break of the chain, and how to have what comes before it. */
static enum txkv_rc
fail_broken(const struct restore *r, enum txkv_rc rc, const struct txkv_error *why,
            struct txkv_error *err)
{
    if (rc != TXKV_CORRUPT || r->report.last_lsn == 0)
        return tx_fail(err, rc, "%.500s", why->text);
    return tx_fail(err, rc, "%.400s; 'until lsn=%" PRIu64 "' restores what is before it", why->text,
                   r->report.last_lsn);
}

static enum txkv_rc
take_records(struct restore *r, const char *archive, struct txkv_error *err)
{
    struct txkv_error why = { TXKV_OK, "" };
    struct tx_segment *segment;
    struct tx_record record;
    enum txkv_rc rc;

    while ((rc = tx_archive_next(r->reader, &record, &segment, &why)) == TXKV_OK) {
        if (is_behind(r, &record))
            break;
        rc = tx_replay_take(&r->replay, &record, segment, err);
        if (rc != TXKV_OK)
            return rc;
    }
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND)
        return fail_broken(r, rc, &why, err);
    if (rc == TXKV_NOTFOUND && r->options->until_lsn >= tx_archive_lsn(r->reader))
        return fail_not_reached(r, archive, err);
    r->report.segments = tx_archive_files(r->reader);
    return tx_replay_finish(&r->replay, err);
}

/* A point that the backup lies behind. */
static enum txkv_rc
check_point(const struct restore *r, const char *backup, uint64_t backup_ms, struct txkv_error *err)
{
    const struct txkv_restore_options *o = r->options;
    const uint64_t lsn = r->report.backup_lsn;

    if (o->until_lsn != 0 && o->until_lsn + 1 < lsn)
        return tx_fail(err, TXKV_MISUSE,
                       "backup %s has all before LSN %" PRIu64 ", which is behind LSN %" PRIu64
                       ": take an older backup",
                       backup, lsn, o->until_lsn);
    if (o->until_ms != 0 && o->until_ms < backup_ms) {
        const time_t seconds = (time_t)(backup_ms / 1000);
        char text[32] = "";
        struct tm utc;

        if (gmtime_r(&seconds, &utc) != NULL)
            (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
        return tx_fail(err, TXKV_MISUSE,
                       "backup %s has what was committed up to %s.%03u (UTC), which is later: take "
                       "an older backup",
                       backup, text, (unsigned)(backup_ms % 1000));
    }
    return TXKV_OK;
}

static enum txkv_rc
open_archive(struct restore *r, const char *backup, const struct tx_tree_archive *known,
             const char **archive, struct txkv_error *err)
{
    const struct tx_tree_meta *meta = tx_tree_meta(r->tree);

    *archive = r->options->archive_dir != NULL ? r->options->archive_dir
               : known->dir != NULL            ? known->dir
                                               : known->was;
    if (*archive == NULL)
        return tx_fail(err, TXKV_MISUSE,
                       "backup %s does not say where its source is archived: name the directory "
                       "(archive=DIR)",
                       backup);
    return tx_archive_open(*archive, meta->store_id, meta->checkpoint_lsn, meta->checkpoint_check,
                           &r->reader, err);
}

/* ---- the whole ---- */

static enum txkv_rc
check_result(struct restore *r, struct txkv_error *err)
{
    struct txkv_pages_report pages;
    struct tx_tree_read *read = NULL;
    uint64_t lsn, unreadable;
    enum txkv_rc rc = tx_tree_check(r->tree, &pages, &unreadable, err);

    if (rc == TXKV_OK && pages.problems > 0)
        rc = tx_fail(err, unreadable > 0 ? TXKV_IOERR : TXKV_CORRUPT,
                     "%s is damaged: %s; check the disk that it is on", r->dir.data, pages.first);
    if (rc == TXKV_OK)
        rc = tx_tree_read_create(r->tree, &read, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_read_begin(read, &lsn, err);
    for (uint32_t slot = 1; rc == TXKV_OK && slot <= TX_TREE_TABLES_MAX; slot++) {
        if (!r->replay.tables[slot].alive)
            continue;
        r->report.tables++;
        r->report.rows += tx_tree_rows(read, r->replay.tables[slot].def.table);
    }
    tx_tree_read_free(read);
    return rc;
}

static enum txkv_rc
replay(struct restore *r, const char *backup, struct txkv_error *err)
{
    const struct tx_tree_meta *meta = tx_tree_meta(r->tree);
    struct tx_tree_archive known = { .dir = NULL };
    const char *archive = NULL;
    enum txkv_rc rc = tx_replay_begin(&r->replay, r->tree, &r->report, err);

    r->report.backup_lsn = meta->checkpoint_lsn;
    if (rc == TXKV_OK)
        rc = tx_tree_archive(r->tree, &known, err);
    if (rc == TXKV_OK)
        rc = check_point(r, backup, known.ms, err);
    if (rc == TXKV_OK)
        rc = open_archive(r, backup, &known, &archive, err);
    if (rc == TXKV_OK)
        rc = take_records(r, archive, err);
    tx_tree_archive_free(&known);
    if (rc == TXKV_OK)
        rc = tx_tree_become(r->tree, &(struct tx_tree_identity){ .lsn = r->replay.end_lsn }, err);
    r->report.lsn = r->replay.end_lsn;
    return rc == TXKV_OK ? check_result(r, err) : rc;
}

static enum txkv_rc
make_store(struct restore *r, const char *backup, struct txkv_error *err)
{
    struct stat st;
    enum txkv_rc rc = copy_data(r, backup, err);

    if (rc == TXKV_OK && stat(r->dir.data, &st) != 0)
        rc = tx_fail_errno(err, errno, "cannot look at %s", r->dir.data);
    if (rc == TXKV_OK)
        rc = tx_tree_open(r->dir.tmp_dir, (uint64_t)st.st_size + MAP_ROOM, NULL, TX_TREE_ALONE,
                          &r->tree, err);
    if (rc == TXKV_OK) {
        rc = replay(r, backup, err);
        tx_replay_end(&r->replay);
    }
    tx_archive_close(r->reader);
    tx_tree_close(r->tree);
    if (rc == TXKV_OK)
        tx_newdir_remove(&r->dir, "lock.mdb"); /* the next opener makes it anew */
    return rc;
}

enum txkv_rc
txkv_restore(const char *backup, const char *target, const struct txkv_restore_options *options,
             struct txkv_restore_report *report, struct txkv_error *err)
{
    static const struct txkv_restore_options none = { 0 };
    struct restore r = { .options = options == NULL ? &none : options };
    const uint64_t started = tx_os_now_us();
    enum txkv_rc rc = check_backup(backup, err);

    if (rc != TXKV_OK)
        return rc;
    rc = tx_newdir_make(&r.dir, "restore", target, err);
    if (rc == TXKV_OK)
        rc = make_store(&r, backup, err);
    if (rc == TXKV_OK)
        rc = tx_newdir_name(&r.dir, err);
    tx_newdir_end(&r.dir);
    r.report.duration_us = tx_os_now_us() - started;
    if (rc == TXKV_OK && report != NULL)
        *report = r.report;
    return rc;
}
