/*
 * scenes_copies.c - backups, the archive and restores: see scene.h.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "scene.h"

/* ---- backup ---- */

enum { BEFORE = 3, ARCHIVED = 8 }; /* transactions that a backup has, and the archive */

static char target[TEST_PATH_BYTES];

static void
prepare_closed(void)
{
    ledger_fill(0, BEFORE, false);
}

static bool
backup(struct use *use, enum txkv_rc also)
{
    struct txkv_error err = { TXKV_OK, "" };

    scene_path(target, "backup");
    return answered_or(txkv_backup(use->store, target, NULL, &err), also, &err, "txkv_backup");
}

static bool backed_up;

static void
run_backup(void)
{
    struct use use;

    backed_up = false;
    if (!use_open(&use, NULL))
        return;
    ledger_commit(&use, 3, TXKV_SYNC_FULL);
    backed_up = backup(&use, TXKV_OK);
    ledger_commit(&use, 4, TXKV_SYNC_FULL);
    use_close(&use);
}

/* A backup that failed behind its name is whole, too. */
static void
check_backup(void)
{
    const enum fate fate = scene_state->fates[4];
    struct use use;

    ledger_check(scene_store, NULL);
    scene_path(target, "backup");
    if (!scene_has("backup")) {
        if (backed_up)
            lost("the backup is not there");
        if (!use_open(&use, NULL))
            wrong("the store does not open when the cause is gone");
        (void)backup(&use, TXKV_OK);
        use_close(&use);
        if (scene_names(".tmp-") != 0)
            wrong("a backup has left another one's files");
    } else {
        scene_state->fates[4] = ABSENT;
        scene_state->fates[SCENE_TRANSACTIONS - 1] = ABSENT;
    }
    ledger_check(target, NULL);
    scene_state->fates[4] = fate;
}

/* ---- archive ---- */

static char archive_path[TEST_PATH_BYTES];

static const struct txkv_options *
archived_options(void)
{
    static struct txkv_options options;

    scene_path(archive_path, "archive");
    options = scene_options;
    options.archive_dir = archive_path;
    return &options;
}

/* Enough for several files of the log, and checkpoints that archive the full ones. */
static void
commit_archived(struct use *use)
{
    struct txkv_error err = { TXKV_OK, "" };

    for (uint32_t i = BEFORE; i < ARCHIVED; i++) {
        ledger_commit(use, i, TXKV_SYNC_FULL);
        (void)answered(txkv_checkpoint(use->store, NULL, &err), &err, "txkv_checkpoint");
    }
}

static void
prepare_archive(void)
{
    struct use use;

    scene_path(archive_path, "archive");
    if (mkdir(archive_path, 0700) != 0 || !use_open(&use, archived_options()))
        wrong("no store with an archive");
    for (uint32_t i = 0; i < BEFORE; i++)
        ledger_commit(&use, i, TXKV_SYNC_FULL);
    (void)backup(&use, TXKV_OK);
    use_close(&use);
}

static void
run_archive(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct use use;

    if (!use_open(&use, archived_options()))
        return;
    commit_archived(&use);
    (void)answered(txkv_archive(use.store, NULL, &err), &err, "txkv_archive");
    ledger_commit(&use, ARCHIVED, TXKV_SYNC_FULL);
    use_close(&use);
}

static bool
restore(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    char source[TEST_PATH_BYTES];

    scene_path(source, "backup");
    scene_path(target, "restored");
    return answered(txkv_restore(source, target, NULL, NULL, &err), &err, "txkv_restore");
}

/* The backup and the archive give what the store has. */
static void
check_archive(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct use use;

    ledger_check(scene_store, NULL);
    if (!use_open(&use, NULL))
        wrong("the store does not open when the cause is gone");
    if (!answered(txkv_archive(use.store, NULL, &err), &err, "txkv_archive") || !restore())
        wrong("no archive, or no restore, when the cause is gone");
    use_close(&use);
    ledger_check(target, NULL);
}

/* ---- restore ---- */

static bool restored;

static void
prepare_restore(void)
{
    struct use use;

    prepare_archive();
    if (!use_open(&use, NULL))
        wrong("no store");
    commit_archived(&use);
    use_close(&use);
}

static void
run_restore(void)
{
    restored = restore();
}

/* One that failed behind the new store's name is whole, too. */
static void
check_restore(void)
{
    scene_path(target, "restored");
    if (!scene_has("restored")) {
        if (restored)
            lost("the restored store is not there");
        if (!restore())
            wrong("no restore when the cause is gone");
        if (scene_names(".tmp-") != 0)
            wrong("a restore has left another one's files");
    }
    ledger_check(target, NULL);
}

const struct scene scenes_copies[] = {
    { "backup", "a backup between commits", prepare_closed, run_backup, check_backup, 0, 0 },
    { "backup-long", "the same with keys that LMDB cannot hold", prepare_closed, run_backup,
      check_backup, 2, 3000 },
    { "archive", "commits and checkpoints that archive the log", prepare_archive, run_archive,
      check_archive, 0, 0 },
    { "restore", "a store made of a backup and an archive", prepare_restore, run_restore,
      check_restore, 0, 0 },
    { "restore-long", "the same with keys that LMDB cannot hold", prepare_restore, run_restore,
      check_restore, 2, 3000 },
    { NULL, NULL, NULL, NULL, NULL, 0, 0 },
};
