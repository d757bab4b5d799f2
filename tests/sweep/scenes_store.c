/*
 * scenes_store.c - opening, committing, checkpoints, tables and two-step commits: see scene.h.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"

enum { BEFORE = 3, LAST = 9 }; /* transactions of `prepare`, and the first one that no run makes */

static void
prepare_closed(void)
{
    ledger_fill(0, BEFORE, false);
}

static void
prepare_killed(void)
{
    ledger_fill(0, BEFORE, true);
}

static void
check_ledger(void)
{
    ledger_check(scene_store, NULL);
}

/* ---- create ---- */

static void
run_create(void)
{
    struct use use;

    for (int i = 0; i < 2; i++)
        if (use_open(&use, NULL))
            use_close(&use);
}

/* ---- commits ---- */

static void
commit_all(enum txkv_sync sync, uint64_t pause_us)
{
    struct use use;

    if (!use_open(&use, NULL))
        return;
    for (uint32_t i = BEFORE; i < LAST; i++) {
        ledger_commit(&use, i, sync);
        test_sleep_us(pause_us); /* the flusher's turn */
        ledger_visible(&use);
    }
    ledger_scan(&use);
    use_close(&use);
}

static void
run_full(void)
{
    commit_all(TXKV_SYNC_FULL, 0);
}

static void
run_normal(void)
{
    commit_all(TXKV_SYNC_NORMAL, 2000);
}

static void
run_off(void)
{
    commit_all(TXKV_SYNC_OFF, 0);
}

static void
run_large(void)
{
    struct use use;

    if (!use_open(&use, NULL))
        return;
    ledger_commit(&use, 3, TXKV_SYNC_FULL);
    ledger_commit(&use, 4, TXKV_SYNC_NORMAL);
    ledger_visible(&use);
    use_close(&use);
}

/* ---- checkpoints ---- */

static void
checkpoint(struct use *use)
{
    struct txkv_error err = { TXKV_OK, "" };

    (void)answered(txkv_checkpoint(use->store, NULL, &err), &err, "txkv_checkpoint");
}

static void
run_checkpoint(void)
{
    struct use use;

    if (!use_open(&use, NULL))
        return;
    for (uint32_t i = 3; i < 6; i++)
        ledger_commit(&use, i, TXKV_SYNC_NORMAL);
    checkpoint(&use);
    ledger_erase(&use, 1, TXKV_SYNC_FULL);
    ledger_erase(&use, 4, TXKV_SYNC_FULL);
    ledger_commit(&use, 6, TXKV_SYNC_FULL);
    checkpoint(&use);
    ledger_visible(&use);
    ledger_scan(&use);
    use_close(&use);
}

/* The background's own checkpoints, as the log grows. */
static const struct txkv_options busy_options = { .segment_bytes = 64 * 1024,
                                                  .map_size = 16 * 1024 * 1024,
                                                  .flush_interval_ms = 1,
                                                  .checkpoint_bytes = 64 * 1024,
                                                  .stall_timeout_ms = 200 };

static void
run_background(void)
{
    struct use use;

    if (!use_open(&use, &busy_options))
        return;
    for (uint32_t i = BEFORE; i < 16; i++) {
        ledger_commit(&use, i, TXKV_SYNC_NORMAL);
        test_sleep_us(1000);
    }
    ledger_visible(&use);
    use_close(&use);
}

/* ---- tables ---- */

/* Steps that have been acknowledged, and one more that may have happened. */
struct steps {
    uint32_t done;
    bool perhaps;
};

static struct steps steps;

static bool
step(enum txkv_rc rc, struct txkv_error *err, const char *what)
{
    if (rc == TXKV_OK)
        steps.done++;
    else
        steps.perhaps = rc == TXKV_IOERR;
    return answered(rc, err, what);
}

/* The names that there are after a number of steps. */
static const struct {
    bool u, v, w;
} after_step[] = { { false, false, false },
                   { true, false, false },
                   { false, true, false },
                   { false, true, true },
                   { false, false, false } };

static void
run_tables(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    static const char *const names[] = { "v", "w" };
    uint32_t numbers[2];
    struct use use;

    steps = (struct steps){ 0, false };
    if (!use_open(&use, NULL))
        return;
    (void)(step(txkv_table(use.store, "u", "", true, &numbers[0], &err), &err, "txkv_table") &&
           step(txkv_table_rename(use.store, numbers, names, 1, &err), &err, "txkv_table_rename") &&
           step(txkv_table(use.store, "w", "", true, &numbers[1], &err), &err, "txkv_table") &&
           step(txkv_table_drop(use.store, numbers, 2, &err), &err, "txkv_table_drop"));
    ledger_commit(&use, BEFORE, TXKV_SYNC_FULL);
    checkpoint(&use);
    use_close(&use);
}

static bool
has_table(struct use *use, const char *name)
{
    struct txkv_error err = { TXKV_OK, "" };
    uint32_t number;

    return answered_or(txkv_table(use->store, name, NULL, false, &number, &err), TXKV_SCHEMA, &err,
                       "txkv_table");
}

static void
check_tables(void)
{
    bool fits = false;
    struct use use;

    if (!use_open(&use, NULL))
        wrong("the store does not open when the cause is gone");
    for (uint32_t i = steps.done; i <= steps.done + (steps.perhaps ? 1 : 0); i++)
        fits = fits ||
               (has_table(&use, "u") == after_step[i].u &&
                has_table(&use, "v") == after_step[i].v && has_table(&use, "w") == after_step[i].w);
    if (!fits)
        lost("after %u steps the tables are not what they were", steps.done);
    use_close(&use);
    ledger_check(scene_store, NULL);
}

/* ---- two-step commits ---- */

static enum txkv_decision decision;
static uint32_t asked;

static enum txkv_decision
decide(void *arg, const char *dir, uint64_t store_id, uint64_t lsn, struct txkv_bytes note)
{
    (void)arg;
    (void)dir;
    (void)store_id;
    (void)lsn;
    asked++;
    if (note.bytes != 4 || memcmp(note.data, "note", 4) != 0)
        wrong("the note of a prepared transaction is another one");
    return decision;
}

static const struct txkv_options asking_options = { .segment_bytes = 64 * 1024,
                                                    .map_size = 16 * 1024 * 1024,
                                                    .flush_interval_ms = 1,
                                                    .stall_timeout_ms = 200,
                                                    .resolve = decide };

static bool
prepare_one(struct use *use, uint32_t i)
{
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc;

    if (!ledger_write(use, i))
        return false;
    rc = txkv_prepare(use->session, bytes_of("note", 4), &err);
    if (rc != TXKV_OK)
        txkv_rollback(use->session);
    return answered(rc, &err, "txkv_prepare");
}

/* The second step cannot fail: what it says is so. Without an answer the resolver says no. */
static void
run_two_steps(void)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct use use;

    decision = TXKV_DECIDED_ABORT;
    if (!use_open(&use, &asking_options))
        return;
    if (prepare_one(&use, 3)) {
        txkv_commit_prepared(use.session);
        scene_state->fates[3] = PRESENT;
    }
    if (prepare_one(&use, 4))
        txkv_rollback(use.session);
    if (prepare_one(&use, 5)) {
        if (answered(txkv_unprepare(use.session, &err), &err, "txkv_unprepare")) {
            const enum txkv_rc rc = txkv_commit(use.session, TXKV_SYNC_FULL, &err);
            ledger_note(5, rc, PRESENT);
            (void)answered(rc, &err, "txkv_commit");
        }
        txkv_rollback(use.session);
    }
    ledger_commit(&use, 6, TXKV_SYNC_FULL);
    use_close(&use);
}

static void
check_two_steps(void)
{
    decision = TXKV_DECIDED_ABORT;
    ledger_check(scene_store, &asking_options);
}

/* A process that died between the two steps: the resolver says that it was committed. */
static void
prepare_in_doubt(void)
{
    struct use use;

    if (!use_open(&use, &asking_options))
        wrong("no store");
    for (uint32_t i = 0; i < BEFORE; i++)
        ledger_commit(&use, i, TXKV_SYNC_FULL);
    if (!prepare_one(&use, BEFORE))
        wrong("no prepared transaction");
    scene_state->fates[BEFORE] = PRESENT;
    _exit(VERDICT_WELL);
}

static void
run_in_doubt(void)
{
    struct use use;

    decision = TXKV_DECIDED_COMMIT;
    asked = 0;
    if (!use_open(&use, &asking_options))
        return;
    if (asked == 0)
        wrong("nobody was asked about the prepared transaction");
    ledger_visible(&use);
    ledger_commit(&use, 4, TXKV_SYNC_FULL);
    use_close(&use);
}

static void
check_in_doubt(void)
{
    decision = TXKV_DECIDED_COMMIT;
    ledger_check(scene_store, &asking_options);
}

/* ---- recovery ---- */

static void
run_recovery(void)
{
    struct use use;

    for (uint32_t i = 0; i < 2; i++) {
        if (!use_open(&use, NULL))
            continue;
        ledger_visible(&use);
        ledger_commit(&use, BEFORE + i, TXKV_SYNC_FULL);
        use_close(&use);
    }
}

static void
prepare_long_log(void)
{
    ledger_fill(0, 12, true);
}

static void
run_long_recovery(void)
{
    struct use use;

    if (!use_open(&use, NULL))
        return;
    ledger_visible(&use);
    ledger_commit(&use, 12, TXKV_SYNC_FULL);
    checkpoint(&use);
    use_close(&use);
}

const struct scene scenes_store[] = {
    { "create", "a store is made, and opened again", NULL, run_create, check_ledger, 0, 0 },
    { "full", "commits with sync=full, over several segments", prepare_closed, run_full,
      check_ledger, 0, 0 },
    { "normal", "the same with sync=normal, and the flusher", prepare_closed, run_normal,
      check_ledger, 0, 0 },
    { "off", "the same with sync=off, on the log of a killed process", prepare_killed, run_off,
      check_ledger, 0, 0 },
    { "large", "transactions larger than a segment", prepare_closed, run_large, check_ledger, 40,
      0 },
    { "checkpoint", "checkpoints with rows put and deleted", prepare_closed, run_checkpoint,
      check_ledger, 0, 0 },
    { "background", "checkpoints in the background, as the log grows", prepare_closed,
      run_background, check_ledger, 0, 0 },
    { "long-keys", "checkpoints of keys that LMDB cannot hold", prepare_closed, run_checkpoint,
      check_ledger, 3, 3000 },
    { "tables", "tables made, renamed and dropped", prepare_closed, run_tables, check_tables, 0,
      0 },
    { "two-steps", "txkv_prepare and what can follow", prepare_closed, run_two_steps,
      check_two_steps, 0, 0 },
    { "in-doubt", "recovery with a prepared transaction", prepare_in_doubt, run_in_doubt,
      check_in_doubt, 0, 0 },
    { "recovery", "the log of a killed process", prepare_killed, run_recovery, check_ledger, 0, 0 },
    { "long-recovery", "the same with several segments", prepare_long_log, run_long_recovery,
      check_ledger, 0, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0, 0 },
};
