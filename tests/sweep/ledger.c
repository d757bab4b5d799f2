/*
 * ledger.c - numbered transactions, and what must be there of them: see scene.h.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"

enum { AFTER = SCENE_TRANSACTIONS - 1 }; /* the transaction that `ledger_check` commits */

bool
use_open(struct use *use, const struct txkv_options *options)
{
    struct txkv_error err = { TXKV_OK, "" };
    const enum txkv_rc rc =
        txkv_open(scene_store, options != NULL ? options : &scene_options, &use->store, &err);

    use->session = NULL;
    if (rc != TXKV_OK && use->store != NULL)
        wrong("a failed open left a handle");
    if (!answered(rc, &err, "txkv_open"))
        return false;
    if (answered(txkv_table(use->store, "t", "", true, &use->table, &err), &err, "txkv_table") &&
        answered(txkv_session_open(use->store, &use->session, &err), &err, "txkv_session_open"))
        return true;
    use_close(use);
    return false;
}

void
use_close(struct use *use)
{
    struct txkv_error err = { TXKV_OK, "" };

    txkv_session_close(use->session);
    (void)answered(txkv_close(use->store, &err), &err, "txkv_close");
    use->store = NULL;
}

uint32_t
ledger_parts(void)
{
    return scene->parts != 0 ? scene->parts : 2;
}

struct txkv_bytes
ledger_key(uint32_t i, uint32_t part, char key[SCENE_KEY_BYTES_MAX])
{
    size_t bytes = (size_t)snprintf(key, SCENE_KEY_BYTES_MAX, "%02u-%03u", part, i);

    for (; bytes < scene->key_bytes; bytes++)
        key[bytes] = 'k';
    return bytes_of(key, bytes);
}

struct txkv_bytes
ledger_value(uint32_t i)
{
    static uint8_t value[SCENE_VALUE_BYTES];

    memset(value, (int)(i + 1), sizeof value);
    return bytes_of(value, sizeof value);
}

static bool
same(struct txkv_bytes a, struct txkv_bytes b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* How many of a transaction's keys are there; -1 when reading has failed. */
static int
count_parts(struct use *use, uint32_t i)
{
    static char key[SCENE_KEY_BYTES_MAX];
    int found = 0;

    for (uint32_t part = 0; part < ledger_parts(); part++) {
        struct txkv_bytes got = { NULL, 0 };
        struct txkv_error err = { TXKV_OK, "" };
        const enum txkv_rc rc =
            txkv_get(use->session, use->table, ledger_key(i, part, key), &got, &err);

        if (rc == TXKV_NOTFOUND)
            continue;
        if (!answered(rc, &err, "txkv_get"))
            return -1;
        if (!same(got, ledger_value(i)))
            lost("key %.6s has a wrong value", key);
        found++;
    }
    return found;
}

static const char *
fate_name(enum fate fate)
{
    return fate == PRESENT ? "was acknowledged" : fate == ABSENT ? "failed, or was deleted" : "is";
}

static void
compare(uint32_t i, int found, bool exactly)
{
    const enum fate fate = scene_state->fates[i];
    const int all = (int)ledger_parts();

    if (found < 0)
        return;
    if (found != 0 && found != all)
        lost("transaction %u is there with %d of its %d keys", i, found, all);
    if (fate == PRESENT && found != all)
        lost("transaction %u, which %s, is not there", i, fate_name(fate));
    if (fate == ABSENT && found != 0)
        wrong("transaction %u, which %s, is there", i, fate_name(fate));
    if (exactly && fate == EITHER && found != 0)
        wrong("transaction %u was not acknowledged, and is visible", i);
}

/* ---- writing ---- */

bool
ledger_write(struct use *use, uint32_t i)
{
    static char key[SCENE_KEY_BYTES_MAX];
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc = txkv_begin(use->session, &err);

    for (uint32_t part = 0; rc == TXKV_OK && part < ledger_parts(); part++)
        rc = txkv_put(use->session, use->table, ledger_key(i, part, key), ledger_value(i), &err);
    if (rc != TXKV_OK)
        txkv_rollback(use->session);
    return answered(rc, &err, "a write");
}

void
ledger_note(uint32_t i, enum txkv_rc rc, enum fate when_ok)
{
    if (rc == TXKV_OK)
        scene_state->fates[i] = when_ok;
    else if (rc == TXKV_IOERR)
        scene_state->fates[i] = EITHER;
}

static void
commit(struct use *use, uint32_t i, enum txkv_sync sync, enum fate when_ok)
{
    struct txkv_error err = { TXKV_OK, "" };
    const enum txkv_rc rc = txkv_commit(use->session, sync, &err);

    if ((rc == TXKV_OK) == txkv_in_transaction(use->session))
        wrong("after a commit that answered %s the transaction is %s", txkv_rc_name(rc),
              rc == TXKV_OK ? "open" : "ended");
    txkv_rollback(use->session);
    ledger_note(i, rc, when_ok);
    (void)answered(rc, &err, "txkv_commit");
}

void
ledger_commit(struct use *use, uint32_t i, enum txkv_sync sync)
{
    if (ledger_write(use, i))
        commit(use, i, sync, PRESENT);
}

void
ledger_erase(struct use *use, uint32_t i, enum txkv_sync sync)
{
    static char key[SCENE_KEY_BYTES_MAX];
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc = txkv_begin(use->session, &err);

    for (uint32_t part = 0; rc == TXKV_OK && part < ledger_parts(); part++)
        rc = txkv_delete(use->session, use->table, ledger_key(i, part, key), &err);
    if (rc == TXKV_OK) {
        commit(use, i, sync, ABSENT);
        return;
    }
    txkv_rollback(use->session);
    (void)answered(rc, &err, "txkv_delete");
}

/* ---- reading ---- */

/* A commit that failed with TXKV_IOERR is not visible; a deletion that did may be EITHER too. */
void
ledger_visible(struct use *use)
{
    for (uint32_t i = 0; i < SCENE_TRANSACTIONS; i++)
        compare(i, count_parts(use, i), false);
}

void
ledger_scan(struct use *use)
{
    const struct txkv_range all = { .descending = false };
    static char last[SCENE_KEY_BYTES_MAX];
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv_cursor *cursor = NULL;
    struct txkv_bytes before = bytes_of("", 0);
    enum txkv_rc rc = txkv_cursor_open(use->session, use->table, &cursor, &err);
    uint32_t rows = 0, most = 0;

    if (rc == TXKV_OK)
        rc = txkv_cursor_seek(cursor, &all, &err);
    for (; rc == TXKV_OK; rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor);
        const size_t both = key.bytes < before.bytes ? key.bytes : before.bytes;

        if (memcmp(before.data, key.data, both) > 0 || key.bytes > sizeof last)
            wrong("a scan is out of order");
        memcpy(last, key.data, key.bytes);
        before = bytes_of(last, key.bytes);
        rows++;
    }
    txkv_cursor_close(cursor);
    for (uint32_t i = 0; i < SCENE_TRANSACTIONS; i++)
        most += scene_state->fates[i] != ABSENT ? ledger_parts() : 0;
    if (rows > most)
        wrong("a scan shows %u rows, and there can be %u", rows, most);
    if (rc != TXKV_NOTFOUND)
        (void)answered(rc, &err, "a scan");
}

/* ---- before and after ---- */

void
ledger_check(const char *dir, const struct txkv_options *options)
{
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv_recovery_report verified;
    struct txkv_pages_report pages;
    struct use use = { NULL, NULL, 0 };
    char store_dir[TEST_PATH_BYTES];

    (void)snprintf(store_dir, sizeof store_dir, "%s", scene_store);
    if (dir != scene_store)
        (void)snprintf(scene_store, sizeof scene_store, "%s", dir);
    if (!use_open(&use, options))
        wrong("the store does not open when the cause is gone");
    ledger_visible(&use);
    ledger_scan(&use);
    scene_state->fates[AFTER] = ABSENT;
    ledger_commit(&use, AFTER, TXKV_SYNC_FULL);
    (void)answered(txkv_verify(use.store, &verified, &err), &err, "txkv_verify");
    (void)answered(txkv_checkpoint(use.store, NULL, &err), &err, "txkv_checkpoint");
    (void)answered(txkv_check_pages(use.store, &pages, &err), &err, "txkv_check_pages");
    if (pages.problems != 0)
        wrong("%s", pages.first);
    ledger_visible(&use);
    use_close(&use);
    memcpy(scene_store, store_dir, sizeof store_dir);
}

void
ledger_fill(uint32_t from, uint32_t to, bool crash)
{
    struct use use = { NULL, NULL, 0 };

    (void)use_open(&use, NULL);
    for (uint32_t i = from; i < to; i++)
        ledger_commit(&use, i, TXKV_SYNC_FULL);
    if (crash)
        _exit(VERDICT_WELL); /* of the child that prepares */
    use_close(&use);
}
