/*
 * archives.c - where a store's archive is, txkv_archive, and what becomes of it at close.
 */
#include "archives.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archiver.h"
#include "mem.h"
#include "os.h"

enum { GROW_WAIT_MS = 1000 };

/* ---- where it is ---- */

/* What realpath would make of a path whose last part need not exist; *out in new memory. */
static enum txkv_rc
absolute(const char *path, char **out, struct txkv_error *err)
{
    char *copy = tx_strdup(path), *slash;
    char resolved[PATH_MAX];
    const char *parent = ".", *base = copy;
    enum txkv_rc rc = TXKV_OK;

    *out = NULL;
    if (copy == NULL)
        return tx_fail_nomem(err);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    if (realpath(copy, resolved) != NULL) {
        *out = tx_strdup(resolved);
    } else if (errno != ENOENT) {
        rc = tx_fail_errno(err, errno, "archive_dir %s", path);
    } else {
        slash = strrchr(copy, '/');
        if (slash != NULL) {
            base = slash + 1;
            parent = slash == copy ? "/" : copy;
            *slash = '\0';
        }
        if (realpath(parent, resolved) == NULL)
            rc = tx_fail_errno(err, errno, "archive_dir %s", path);
        else
            *out = tx_os_join(strcmp(resolved, "/") == 0 ? "" : resolved, base);
    }
    tx_free(copy);
    return rc == TXKV_OK && *out == NULL ? tx_fail_nomem(err) : rc;
}

/* One transaction on LMDB's meta; what is checkpointed stays as it is. */
static enum txkv_rc
write_dir(struct tx_core *core, const char *dir, bool *map_full, struct txkv_error *err)
{
    struct tx_tree_batch *batch = NULL;
    uint64_t lsn, check;
    enum txkv_rc rc = tx_tree_checkpoint(core->tree, &lsn, &check, err);

    *map_full = false;
    if (rc == TXKV_OK)
        rc = tx_tree_batch_begin(core->tree, &batch, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_batch_archive(batch, dir, map_full, err);
    if (rc == TXKV_OK)
        return tx_tree_batch_commit(batch, lsn, check, map_full, err);
    tx_tree_batch_abort(batch);
    return rc;
}

static enum txkv_rc
set_dir(struct tx_core *core, const char *dir, struct txkv_error *err)
{
    bool map_full;
    enum txkv_rc rc = dir == NULL ? TXKV_OK : tx_os_make_dir(dir, err);

    if (rc == TXKV_OK && dir != NULL)
        rc = tx_archive_begin(dir, core->store_id, err);
    if (rc != TXKV_OK)
        return rc;
    while ((rc = write_dir(core, dir, &map_full, err)) == TXKV_FULL && map_full) {
        rc = tx_tree_grow(core->tree, GROW_WAIT_MS, err);
        if (rc != TXKV_OK)
            return rc;
    }
    if (rc == TXKV_OK)
        tx_archiver_clear(core);
    return rc;
}

/* `locked`: with the checkpoint's locks, so that nobody removes a file of the log meanwhile. Else
 * TXKV_NOTFOUND when something is to be changed. */
static enum txkv_rc
look_and_set(struct txkv *store, const char *asked, bool locked, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct tx_tree_archive now;
    enum txkv_rc rc = tx_tree_archive(core->tree, &now, err);
    char *dir = NULL;

    if (rc == TXKV_OK && strcmp(asked, "off") == 0) {
        if (now.dir != NULL)
            rc = locked ? set_dir(core, NULL, err) : TXKV_NOTFOUND;
    } else if (rc == TXKV_OK && (now.dir == NULL || strcmp(asked, now.dir) != 0)) {
        rc = absolute(asked, &dir, err); /* not of what is known: it may be out of reach now */
        if (rc == TXKV_OK && strcmp(dir, store->wal_dir) == 0)
            rc = tx_fail(err, TXKV_MISUSE,
                         "archive_dir %s is the log's own directory: name another one", dir);
        else if (rc == TXKV_OK && now.dir == NULL)
            rc = locked ? set_dir(core, dir, err) : TXKV_NOTFOUND;
        else if (rc == TXKV_OK && strcmp(dir, now.dir) != 0)
            rc = tx_fail(err, TXKV_MISUSE,
                         "store %s is archived in %s, not in archive_dir=%s; leave the option out, "
                         "or, to begin a new archive, give archive_dir=off first",
                         core->dir, now.dir, asked);
    }
    tx_free(dir);
    tx_tree_archive_free(&now);
    return rc;
}

enum txkv_rc
tx_archives_set(struct txkv *store, const char *asked, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    enum txkv_rc rc;

    if (asked == NULL)
        return TXKV_OK;
    /* Mostly it is what the store has already, and no checkpoint needs to be waited for. */
    rc = look_and_set(store, asked, false, err);
    if (rc != TXKV_NOTFOUND)
        return rc;
    rc = tx_refuse_readonly(core, err);
    if (rc == TXKV_OK)
        rc = tx_checkpoint_pause(&store->checkpoint, err);
    if (rc != TXKV_OK)
        return rc;
    rc = look_and_set(store, asked, true, err);
    tx_checkpoint_resume(&store->checkpoint);
    return rc;
}

/* ---- bringing it up to date ---- */

/* With the checkpoint's locks. */
static enum txkv_rc
put_all(struct tx_core *core, bool needs_archive, struct txkv_archive_report *report,
        struct txkv_error *err)
{
    const uint64_t lsn = tx_checkpoint_lsn(core);
    struct tx_archive_report archived = { .files = 0 };
    struct tx_tree_archive archive;
    enum txkv_rc rc = tx_tree_archive(core->tree, &archive, err);

    if (rc == TXKV_OK && archive.dir != NULL)
        rc = tx_archiver_put(core, archive.dir, lsn, &archived, err);
    else if (rc == TXKV_OK && needs_archive)
        rc = tx_fail(err, TXKV_MISUSE,
                     "store %s has no archive: give the option archive_dir='/a/directory' once, "
                     "then make a backup",
                     core->dir);
    tx_tree_archive_free(&archive);
    report->lsn = lsn;
    report->segments = archived.files;
    report->bytes = archived.bytes;
    return rc;
}

enum txkv_rc
tx_archives_finish(struct txkv *store, struct txkv_error *err)
{
    struct txkv_archive_report report;

    return put_all(&store->core, false, &report, err);
}

enum txkv_rc
txkv_archive(struct txkv *store, struct txkv_archive_report *out, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct txkv_archive_report report = { .lsn = 0 };
    const uint64_t started = tx_os_now_us();
    enum txkv_rc rc = tx_check_fork(core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(core, err);
    if (rc == TXKV_OK)
        rc = tx_checkpoint_run(&store->checkpoint, TX_LSN_NONE, NULL, err);
    if (rc == TXKV_OK)
        rc = tx_checkpoint_pause(&store->checkpoint, err);
    if (rc != TXKV_OK)
        return rc;
    rc = put_all(core, true, &report, err);
    tx_checkpoint_resume(&store->checkpoint);
    report.duration_us = tx_os_now_us() - started;
    if (rc == TXKV_OK && out != NULL)
        *out = report;
    return rc;
}

enum txkv_rc
txkv_archive_state(struct txkv *store, struct txkv_archive_state *state, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct tx_tree_archive archive;
    enum txkv_rc rc = tx_check_fork(core, err);

    memset(state, 0, sizeof *state);
    if (rc == TXKV_OK)
        rc = tx_tree_archive(core->tree, &archive, err);
    if (rc != TXKV_OK)
        return rc;
    if (archive.dir != NULL)
        (void)snprintf(state->dir, sizeof state->dir, "%s", archive.dir);
    tx_tree_archive_free(&archive);
    tx_archiver_note(core, state->error, &state->waiting);
    return TXKV_OK;
}
