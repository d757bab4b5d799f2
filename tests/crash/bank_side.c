/*
 * bank_side.c - what goes on beside the transfers of bank.c: backups, and tables that are made and
 * dropped.
 *
 * Each slot has a target and a table of its own, and one thread that cares for them; so what a
 * process has left that was killed is found by the next one in its slot, or by the check after the
 * round. A backup counts when its target is there, whoever lived to see it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bank.h"

enum { SIDE_ROWS = 25, SIDE_VALUE_BYTES = 300 };

/* ---- backups ---- */

static void
path_of(uint32_t slot, const char *what, char path[TEST_PATH_BYTES])
{
    char name[32];

    (void)snprintf(name, sizeof name, "%s-%u", what, slot);
    test_path(path, bank->dir, name);
}

void
bank_side_check_backup(uint32_t slot)
{
    char target[TEST_PATH_BYTES], done[TEST_PATH_BYTES];

    path_of(slot, "backup", target);
    path_of(slot, "checked", done);
    test_dir_remove(done);
    if (access(target, F_OK) != 0)
        return;
    bank_check_copy(target, bank->backup_acked[slot]);
    /* Removing it may be cut off, and what is left then is no backup. */
    if (rename(target, done) != 0)
        test_die("rename %s", target);
    test_dir_remove(done);
    atomic_fetch_add(&bank->backups, 1);
}

void
bank_side_backup(uint32_t slot, struct teller *teller)
{
    char target[TEST_PATH_BYTES];

    bank_side_check_backup(slot);
    for (uint32_t i = 0; i < WRITERS; i++)
        bank->backup_acked[slot][i] = atomic_load(&bank->acked[i]);
    path_of(slot, "backup", target);
    if (teller_backup(teller, target) == TELLER_OK)
        bank_side_check_backup(slot);
}

/* ---- tables ---- */

static void
name_of(uint32_t slot, char name[32])
{
    (void)snprintf(name, 32, "side%u", slot);
}

/* 0: there is none. */
static uint32_t
find(uint32_t slot)
{
    struct txkv_error err;
    uint32_t number = 0;
    char name[32];
    enum txkv_rc rc;

    name_of(slot, name);
    rc = txkv_table(tellers_store(), name, NULL, false, &number, &err);
    if (rc == TXKV_SCHEMA)
        return 0;
    test_ok(rc, &err, "finding the table");
    return number;
}

/* A store that is busy may be so because of a stopped process: the step is taken later. */
static bool
is_done(enum txkv_rc rc, const struct txkv_error *err, const char *what)
{
    if (rc != TXKV_BUSY)
        test_ok(rc, err, what);
    return rc == TXKV_OK;
}

static bool
make_table(uint32_t slot)
{
    struct txkv_error err;
    uint32_t number;
    char name[32];

    name_of(slot, name);
    return is_done(txkv_table(tellers_store(), name, "", true, &number, &err), &err, "making it");
}

static bool
drop_table(uint32_t number)
{
    struct txkv_error err;

    return is_done(txkv_table_drop(tellers_store(), &number, 1, &err), &err, "dropping it");
}

/* All rows in one transaction. */
static bool
fill_table(uint32_t number)
{
    static const uint8_t value[SIDE_VALUE_BYTES];
    struct txkv_session *session;
    struct txkv_error err;
    bool done;

    test_ok(txkv_session_open(tellers_store(), &session, &err), &err, "session_open");
    test_ok(txkv_begin(session, &err), &err, "begin");
    for (uint32_t i = 0; i < SIDE_ROWS; i++)
        test_ok(
            txkv_put(session, number, bytes_of(&i, sizeof i), bytes_of(value, sizeof value), &err),
            &err, "put");
    done = is_done(txkv_commit(session, TXKV_SYNC_FULL, &err), &err, "commit");
    txkv_session_close(session);
    return done;
}

static uint32_t
count_rows(uint32_t number)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_session *session;
    struct txkv_cursor *cursor;
    struct txkv_error err;
    uint32_t rows = 0;
    enum txkv_rc rc;

    test_ok(txkv_session_open(tellers_store(), &session, &err), &err, "session_open");
    test_ok(txkv_cursor_open(session, number, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err))
        rows++;
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "scan");
    txkv_cursor_close(cursor);
    txkv_session_close(session);
    return rows;
}

/* Odd steps leave a table with all rows, even ones none. */
void
bank_side_step(uint32_t slot)
{
    const uint64_t ended = atomic_load(&bank->side_ended[slot]);
    const uint64_t step = ended + 1;
    const uint32_t number = find(slot);

    /* The table that is there may wait for its rows, since the store was busy. */
    if (step % 2 == 0 && number == 0)
        test_die("table side%u is not there any more", slot);
    atomic_store(&bank->side_begun[slot], step);
    if (step % 2 == 1 ? !make_table(slot) || !fill_table(find(slot)) : !drop_table(number))
        return;
    atomic_store(&bank->side_ended[slot], step);
    atomic_fetch_add(step % 2 == 1 ? &bank->tables_made : &bank->tables_dropped, 1);
}

void
bank_side_settle(uint32_t slot)
{
    const uint64_t ended = atomic_load(&bank->side_ended[slot]);
    const uint64_t begun = atomic_load(&bank->side_begun[slot]);
    const uint32_t number = find(slot);
    const uint32_t rows = number == 0 ? 0 : count_rows(number);
    const bool is_full = number != 0 && rows == SIDE_ROWS, is_gone = number == 0;
    const bool may_be_empty = begun > ended && begun % 2 == 1 && number != 0 && rows == 0;

    if (!is_full && !is_gone && !may_be_empty)
        test_die("table side%u has %u rows", slot, rows);
    if (begun == ended && is_full != (ended % 2 == 1))
        test_die("table side%u is %s, and step %llu was acknowledged", slot,
                 is_full ? "there" : "missing", (unsigned long long)ended);
    if (may_be_empty) /* it still is under way: the next step fills it */
        return;
    if (begun > ended && (begun % 2 == 1 ? is_full : is_gone))
        atomic_store(&bank->side_ended[slot], begun);
    atomic_store(&bank->side_begun[slot], atomic_load(&bank->side_ended[slot]));
}
