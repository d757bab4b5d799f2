/*
 * scenes_care.c - salvage, rescue, dry-run and the reading of the log: see scene.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"

enum { DAMAGED = 3, WRITTEN = 8 }; /* a transaction whose record is damaged, and all of them */

static const struct txkv_options salvage_options = { .segment_bytes = 64 * 1024,
                                                     .map_size = 16 * 1024 * 1024,
                                                     .flush_interval_ms = 1,
                                                     .stall_timeout_ms = 200,
                                                     .must_exist = true,
                                                     .salvage = true };

/* ---- a log that is damaged in the middle ---- */

/* One bit of the record at that LSN; segments follow each other at their sizes. */
static void
damage_record(uint64_t lsn)
{
    const uint64_t segment = scene_options.segment_bytes;
    char path[TEST_PATH_BYTES];
    char name[64];
    uint8_t byte = 0;
    int fd;

    (void)snprintf(name, sizeof name, "store/wal/%016" PRIx64 ".wal", lsn - lsn % segment);
    scene_path(path, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &byte, 1, (off_t)(lsn % segment + 500)) != 1)
        wrong("cannot damage %s: %s", path, strerror(errno));
    byte ^= 4;
    if (pwrite(fd, &byte, 1, (off_t)(lsn % segment + 500)) != 1)
        wrong("cannot damage %s: %s", path, strerror(errno));
    (void)close(fd);
}

static void
prepare_damaged(void)
{
    uint64_t damaged = 0;
    struct use use;

    if (!use_open(&use, NULL))
        wrong("no store");
    for (uint32_t i = 0; i < WRITTEN; i++) {
        ledger_commit(&use, i, TXKV_SYNC_FULL);
        if (i == DAMAGED)
            damaged = txkv_last_lsn(use.session);
    }
    damage_record(damaged); /* the map shows it too, and nobody looks there any more */
    _exit(VERDICT_WELL);
}

/* What is left of the transactions when the log was cut at the damage. */
static void
expect_prefix(void)
{
    for (uint32_t i = DAMAGED; i < WRITTEN; i++)
        scene_state->fates[i] = ABSENT;
}

/* True when it was salvaged. Without `salvage` it is refused. */
static bool
salvage(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv *store = NULL;
    bool done;

    if (answered_or(txkv_open(scene_store, &scene_options, &store, &err), TXKV_CORRUPT, &err,
                    "txkv_open"))
        wrong("a store whose log is damaged opens");
    done = answered(txkv_open(scene_store, &salvage_options, &store, &err), &err, "salvaging");
    if (done)
        (void)answered(txkv_close(store, &err), &err, "txkv_close");
    return done;
}

static bool salvaged;

static void
run_salvage(void)
{
    salvaged = salvage();
}

static void
check_salvage(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv *store = NULL;

    /* One that failed behind the cut is done. */
    if (!salvaged && answered_or(txkv_open(scene_store, &scene_options, &store, &err), TXKV_CORRUPT,
                                 &err, "txkv_open")) {
        (void)answered(txkv_close(store, &err), &err, "txkv_close");
        salvaged = true;
    }
    if (!salvaged && !salvage())
        wrong("no salvage when the cause is gone");
    if (scene_names("salvaged-") == 0)
        lost("what was cut off was not kept");
    expect_prefix();
    ledger_check(scene_store, NULL);
}

/* ---- rescue ---- */

/* A file of the log that could not be read is left out, and counted. */
static void
rescue(void)
{
    struct txkv_rescue_report report;
    struct txkv_error err = { TXKV_OK, "" };

    if (!answered(txkv_rescue(scene_store, NULL, &report, &err), &err, "txkv_rescue"))
        return;
    if (report.files_skipped > 0 && scene_cause_now() != CAUSE_NONE)
        for (uint32_t i = 0; i < WRITTEN; i++)
            scene_state->fates[i] = EITHER;
    else if (scene_state->fates[0] == PRESENT && report.rows != (WRITTEN - 1) * ledger_parts())
        lost("a rescue brought %llu rows", (unsigned long long)report.rows);
}

static void
run_rescue(void)
{
    rescue();
}

static void
check_rescue(void)
{
    rescue();
    if (scene_names("rescue.tmp") != 0)
        wrong("rescue.tmp is left behind");
    scene_state->fates[DAMAGED] = ABSENT;
    ledger_check(scene_store, NULL);
}

/* ---- dry-run ---- */

static void
run_examine(void)
{
    struct txkv_examination report;
    struct txkv_error err = { TXKV_OK, "" };

    if (!answered(txkv_examine(scene_store, NULL, &report, &err), &err, "txkv_examine"))
        return;
    if (report.opens)
        wrong("a store that is damaged is said to open");
}

static void
check_examine(void)
{
    struct txkv_examination report;
    struct txkv_error err = { TXKV_OK, "" };

    if (scene_digest() != scene_state->digest)
        wrong("a dry-run has changed a file");
    if (answered(txkv_examine(scene_store, NULL, &report, &err), &err, "txkv_examine") &&
        (report.opens || !report.log_damaged || report.records_behind == 0))
        wrong("a dry-run does not see the damage");
    check_rescue();
}

/* ---- reading the log ---- */

static void
prepare_killed(void)
{
    ledger_fill(0, 6, true);
}

static void
run_log(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv_recovery_report verified;
    struct txkv_pages_report pages;
    struct txkv_log_record record;
    struct txkv_log *log = NULL;
    uint64_t transactions = 0;
    struct use use;
    enum txkv_rc rc;

    if (!use_open(&use, NULL))
        return;
    ledger_commit(&use, 6, TXKV_SYNC_FULL);
    (void)answered(txkv_verify(use.store, &verified, &err), &err, "txkv_verify");
    (void)answered(txkv_check_pages(use.store, &pages, &err), &err, "txkv_check_pages");
    if (answered(txkv_log_open(use.store, 0, UINT64_MAX, &log, &err), &err, "txkv_log_open")) {
        while ((rc = txkv_log_next(log, &record, &err)) == TXKV_OK)
            transactions += strcmp(record.type, "transaction") == 0;
        (void)answered_or(rc, TXKV_NOTFOUND, &err, "txkv_log_next");
        /* A full disk makes a checkpoint, which removes files of the log. */
        if (rc == TXKV_NOTFOUND && transactions < 6 && !scene_state->failed)
            wrong("the log shows %llu transactions", (unsigned long long)transactions);
        txkv_log_close(log);
    }
    use_close(&use);
}

static void
check_log(void)
{
    ledger_check(scene_store, NULL);
}

const struct scene scenes_care[] = {
    { "salvage", "a log with damage in the middle is refused, and then cut", prepare_damaged,
      run_salvage, check_salvage, 0, 0 },
    { "rescue", "the same store, rescued", prepare_damaged, run_rescue, check_rescue, 0, 0 },
    { "rescue-long", "the same with keys that LMDB cannot hold", prepare_damaged, run_rescue,
      check_rescue, 2, 3000 },
    { "dry-run", "the same store, examined", prepare_damaged, run_examine, check_examine, 0, 0 },
    { "log", "txkv_log_next, txkv_verify and txkv_check_pages on the log of a killed process",
      prepare_killed, run_log, check_log, 0, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0, 0 },
};
