/*
 * archiver.c - the store's archive: the log's files are put there before they are removed.
 */
#include "archiver.h"

#include <stdio.h>
#include <string.h>

#include "os.h"

enum { NOTE_WAIT_US = 100000 }; /* for a lock that is held over the copying of a sentence */

enum txkv_rc
tx_archiver_sync(struct tx_core *core, uint64_t lsn, struct tx_tree_archive *archive,
                 struct txkv_error *err)
{
    const enum txkv_rc rc = tx_tree_archive(core->tree, archive, err);

    return rc == TXKV_OK && archive->dir != NULL ? tx_log_sync(core->log, lsn, err) : rc;
}

static void
note(struct tx_core *core, const char *text, uint64_t waiting)
{
    struct tx_shared *shared = core->shared;

    tx_store_relaxed_64(&shared->archive_waiting, waiting);
    if (tx_shared_lock(shared, TX_LOCK_ARCHIVE, NOTE_WAIT_US, NULL, NULL) != TXKV_OK)
        return;
    (void)snprintf(shared->archive_note, sizeof shared->archive_note, "%s", text);
    tx_shared_unlock(shared, TX_LOCK_ARCHIVE);
}

void
tx_archiver_note(struct tx_core *core, char text[TX_ARCHIVE_NOTE_BYTES], uint64_t *waiting)
{
    struct tx_shared *shared = core->shared;

    text[0] = '\0';
    *waiting = tx_load_relaxed_64(&shared->archive_waiting);
    if (core->readonly ||
        tx_shared_lock(shared, TX_LOCK_ARCHIVE, NOTE_WAIT_US, NULL, NULL) != TXKV_OK)
        return;
    memcpy(text, shared->archive_note, sizeof shared->archive_note);
    tx_shared_unlock(shared, TX_LOCK_ARCHIVE);
    text[TX_ARCHIVE_NOTE_BYTES - 1] = '\0'; /* of one who died while writing it */
}

void
tx_archiver_clear(struct tx_core *core)
{
    note(core, "", 0);
}

/* Archive, count, and keep word of what happened. */
static enum txkv_rc
run(struct tx_core *core, const char *dir, uint64_t lsn, bool tail,
    struct tx_archive_report *report, struct txkv_error *err)
{
    struct txkv_error why = { TXKV_OK, "" }, full;
    enum txkv_rc rc = tx_archive_log(dir, core->log, lsn, tail, report, &why);

    tx_count(&core->counters.archived_files, report->files);
    tx_count(&core->counters.archived_bytes, report->bytes);
    if (rc == TXKV_OK) {
        note(core, "", 0);
        return TXKV_OK;
    }
    tx_count(&core->counters.archives_failed, 1);
    rc = tx_fail(&full, rc,
                 "store %.80s: %.260s; the log's files stay, nothing is lost, and the next "
                 "checkpoint tries again: free space there, or give permission, or end archiving "
                 "with archive_dir=off",
                 core->dir, why.text);
    note(core, full.text, report->waiting);
    if (err != NULL)
        *err = full;
    return rc;
}

enum txkv_rc
tx_archiver_trim(struct tx_core *core, const char *dir, uint64_t lsn, uint64_t *deleted,
                 struct tx_archive_report *archived, struct txkv_error *err)
{
    struct tx_archive_report own;

    if (dir == NULL)
        return tx_log_trim(core->log, lsn, deleted, err);
    if (archived == NULL)
        archived = &own;
    (void)!run(core, dir, lsn, false, archived, NULL);
    return tx_log_trim_archived(core->log, lsn, archived->removable_lsn, deleted, err);
}

enum txkv_rc
tx_archiver_put(struct tx_core *core, const char *dir, uint64_t lsn,
                struct tx_archive_report *archived, struct txkv_error *err)
{
    return run(core, dir, lsn, true, archived, err);
}
