/*
 * log_trim.c - which files the log has, and removing those that nobody needs any more.
 *
 * Threads: see log.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "log_private.h"
#include "mem.h"
#include "os.h"

/* ---- names ---- */

static enum txkv_rc
note_name(void *arg, const char *name, struct txkv_error *err)
{
    struct tx_log_names *names = arg;
    uint64_t lsn;

    if (!tx_segment_parse_name(name, &lsn))
        return TXKV_OK;
    if (names->count == names->room) {
        const size_t room = names->room * 2 + 64;
        uint64_t *lsns = tx_realloc(names->lsns, room * sizeof *lsns);

        if (lsns == NULL)
            return tx_fail_nomem(err);
        names->lsns = lsns;
        names->room = room;
    }
    names->lsns[names->count++] = lsn;
    return TXKV_OK;
}

static int
compare_lsns(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

enum txkv_rc
tx_log_list(const char *dir, struct tx_log_names *names, struct txkv_error *err)
{
    enum txkv_rc rc;

    *names = (struct tx_log_names){ NULL, 0, 0 };
    rc = tx_os_list_dir(dir, note_name, names, err);
    if (rc == TXKV_OK && names->count > 0)
        qsort(names->lsns, names->count, sizeof *names->lsns, compare_lsns);
    return rc;
}

/* ---- removing them ---- */

/* Takes the list's first segment out if it ends at or below lsn and takes no more records. */
static struct tx_segment *
unlink_head(struct tx_log *log, uint64_t lsn)
{
    struct tx_segment *s;

    (void)pthread_mutex_lock(&log->list_mutex);
    s = log->head;
    if (s != NULL && (s == log->current || tx_segment_end_lsn(s) > lsn))
        s = NULL;
    if (s != NULL) {
        log->head = s->next;
        if (log->head == NULL)
            log->tail = NULL;
    }
    (void)pthread_mutex_unlock(&log->list_mutex);
    return s;
}

void
tx_log_forget(struct tx_log *log, uint64_t lsn)
{
    struct tx_segment *s;

    while ((s = unlink_head(log, lsn)) != NULL)
        tx_segment_unref(s);
}

static enum txkv_rc
remove_file(const char *path, uint64_t *deleted, struct txkv_error *err)
{
    if (tx_os.unlink(path) == 0)
        (*deleted)++;
    else if (errno != ENOENT)
        return tx_fail_errno(err, errno, "cannot remove log file %s", path);
    return TXKV_OK;
}

/* Files that this process does not know: another one, which is gone, did not come to remove them.
 */
static enum txkv_rc
remove_below(const struct tx_log *log, uint64_t lsn, uint64_t *deleted, struct txkv_error *err)
{
    struct tx_log_names names;
    enum txkv_rc rc = tx_log_list(log->dir, &names, err);

    for (size_t i = 0; rc == TXKV_OK && i + 1 < names.count && names.lsns[i + 1] <= lsn; i++) {
        char name[TX_SEGMENT_NAME_BYTES];
        char *path;

        tx_segment_name(names.lsns[i], name);
        path = tx_os_join(log->dir, name);
        rc = path == NULL ? tx_fail_nomem(err) : remove_file(path, deleted, err);
        tx_free(path);
    }
    tx_free(names.lsns);
    return rc;
}

enum txkv_rc
tx_log_trim(struct tx_log *log, uint64_t lsn, uint64_t *deleted, struct txkv_error *err)
{
    const enum txkv_rc dir_rc = tx_log_check_dir(log, err);
    enum txkv_rc rc = dir_rc;
    struct tx_segment *s;

    *deleted = 0;
    /* The directory is not synced: a file that comes back is below the checkpoint LSN. */
    while ((s = unlink_head(log, lsn)) != NULL) {
        if (dir_rc == TXKV_OK && rc == TXKV_OK)
            rc = remove_file(s->path, deleted, err);
        tx_segment_unref(s);
    }
    return rc == TXKV_OK ? remove_below(log, lsn, deleted, err) : rc;
}

enum txkv_rc
tx_log_trim_archived(struct tx_log *log, uint64_t lsn, uint64_t archived_lsn, uint64_t *deleted,
                     struct txkv_error *err)
{
    const enum txkv_rc rc = tx_log_check_dir(log, err);

    *deleted = 0;
    tx_log_forget(log, lsn);
    return rc == TXKV_OK ? remove_below(log, tx_min_u64(lsn, archived_lsn), deleted, err) : rc;
}

static enum txkv_rc
remove_if_ours(void *arg, const char *name, struct txkv_error *err)
{
    const struct tx_log *log = arg;
    uint64_t lsn, deleted = 0;
    enum txkv_rc rc;
    char *path;

    if (!tx_segment_parse_name(name, &lsn) && !tx_segment_is_tmp_name(name))
        return TXKV_OK;
    path = tx_os_join(log->dir, name);
    rc = path == NULL ? tx_fail_nomem(err) : remove_file(path, &deleted, err);
    tx_free(path);
    return rc;
}

enum txkv_rc
tx_log_remove(struct tx_log *log, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_log_check_dir(log, err);

    tx_log_skip(log, log->end_lsn, log->end_check);
    return rc == TXKV_OK ? tx_os_list_dir(log->dir, remove_if_ours, log, err) : rc;
}
