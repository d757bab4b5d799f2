/*
 * model.c - random operations on a store, every result checked against a plain sorted array.
 *
 *   model [SEEDS [OPERATIONS]]      SEED=n: start at seed n; VERBOSE=1: print every operation
 *
 * The model: keys are numbered in memcmp order, so a state of all tables is an array of value
 * numbers (0: no such key), the committed state is one such array, and a transaction is two copies
 * of it: its snapshot, and the same with its own writes. Several sessions in one thread interleave
 * their transactions, at either isolation level, so the model knows every outcome, conflicts too.
 *
 * A seed is run as a chain of child processes. What the model knows lives in shared memory; a child
 * that "crashes" kills itself, and the next one opens the store and goes on from the same model.
 */
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/room.h"
#include "model.h"

/* In every other life the records of larger transactions have a file: room.h. */
enum { FILE_FROM = 5000 };

struct knowledge *know;
struct session sessions[SESSIONS];
uint32_t tables[TABLES];
bool verbose;
static uint8_t scratch[VALUE_BYTES_MAX];
static char store_dir[TEST_PATH_BYTES];
static struct txkv *handles[2];

/* ---- snapshots ---- */

uint32_t
seen_by(const struct session *x, uint32_t t, uint32_t k)
{
    return x->own.written[t][k] ? x->own.to.value[t][k] : x->snapshot.value[t][k];
}

void
take_snapshot(struct session *x)
{
    if (x->has_snapshot)
        return;
    x->has_snapshot = true;
    x->snapshot = know->committed;
    x->snapshot_no = know->commit_no;
}

void
note_read(struct session *x, uint32_t t, uint32_t k, uint8_t how)
{
    if (x->open)
        x->did[t][k] |= x->own.written[t][k] ? (uint8_t)READ_MAYBE : how;
}

static void
end_transaction(struct session *x)
{
    x->open = false;
    x->has_snapshot = false;
    x->save_count = 0;
    if (x->held.cursor == NULL)
        return;
    x->held.stale = true;
    for (uint32_t k = 0; k < KEYS; k++)
        x->held.fuzzy[k] |= x->did[x->held.table][k] >= WRITE_EVER;
}

/* ---- operations on one session ---- */

static void
op_begin(struct session *x)
{
    struct txkv_error err;

    test_ok(txkv_begin(x->s, &err), &err, "begin");
    if (roll(2) == 0) {
        x->isolation = roll(3) == 0 ? TXKV_SNAPSHOT : TXKV_SERIALIZABLE;
        txkv_set_isolation(x->s, x->isolation);
    }
    x->open = true;
    memset(&x->own, 0, sizeof x->own);
    memset(x->did, 0, sizeof x->did);
    x->save_count = 0;
    if (x->held.cursor != NULL) {
        x->has_snapshot = true;
        x->snapshot = x->held.view;
        /* What the cursor has read already may count as the transaction's. */
        memset(x->did[x->held.table], READ_MAYBE, KEYS);
        x->snapshot_no = x->held_no;
    }
}

static void
get_key(struct session *x, uint32_t t, uint32_t k)
{
    struct txkv_bytes got = { NULL, 0 };
    struct txkv_error err;
    const enum txkv_rc rc = txkv_get(x->s, tables[t], key_bytes(k), &got, &err);
    uint32_t want = know->committed.value[t][k];

    if (x->open) {
        if (!x->own.written[t][k]) {
            take_snapshot(x);
            note_read(x, t, k, READ);
        }
        want = seen_by(x, t, k);
    }
    know->count.gets++;
    TRACE("get t%u k%u: %s\n", t, k, txkv_rc_name(rc));
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND)
        DIE("get: %s: %s", txkv_rc_name(rc), err.text);
    /* Outside a transaction an open cursor's snapshot may serve the read as well. */
    if (!x->open && x->held.cursor != NULL) {
        const uint32_t held = x->held.view.value[t][k];
        if (rc == TXKV_NOTFOUND ? held == 0 : held != 0 && value_is(held, got))
            return;
    }
    if ((rc == TXKV_OK) != (want != 0))
        DIE("get t%u k%u: %s, the model has value %u", t, k, txkv_rc_name(rc), want);
    if (rc == TXKV_OK && !value_is(want, got))
        DIE("get t%u k%u: wrong value, the model has %u", t, k, want);
}

/* One key; now and then most of a table, which is more than the store checks one by one. */
static void
op_get(struct session *x)
{
    const uint32_t t = roll(TABLES);

    if (roll(25) == 0) {
        for (uint32_t k = roll(12); k < KEYS; k++)
            get_key(x, t, k);
    } else {
        get_key(x, t, roll_key());
    }
}

static void
op_write(struct session *x, bool put)
{
    const uint32_t t = roll(TABLES);
    const uint32_t k = roll_key();
    const uint32_t id = put ? ++know->next_value : 0;
    struct txkv_error err;
    enum txkv_rc rc;
    uint8_t *into = NULL;

    TRACE("%s t%u k%u value %u (%u bytes)\n", put ? "put" : "delete", t, k, id,
          put ? value_length(id) : 0);
    if (!put) {
        rc = txkv_delete(x->s, tables[t], key_bytes(k), &err);
    } else if (rng_chance(&know->rng, 50)) {
        value_fill(id, scratch);
        rc = txkv_put(x->s, tables[t], key_bytes(k), bytes_of(scratch, value_length(id)), &err);
    } else {
        rc = txkv_put_into(x->s, tables[t], key_bytes(k), value_length(id), &into, &err);
        if (rc == TXKV_OK)
            value_fill(id, into);
    }
    test_ok(rc, &err, put ? "put" : "delete");
    x->own.to.value[t][k] = id;
    x->own.written[t][k] = true;
    x->did[t][k] |= WRITE_EVER;
    if (x->held.cursor != NULL && x->held.table == t)
        x->held.fuzzy[k] = true;
}

static void
op_savepoint(struct session *x)
{
    struct savepoint *sp = &x->saves[x->save_count];
    struct txkv_error err;

    if (x->save_count == SAVEPOINTS_MAX)
        return;
    sp->n =
        x->save_count == 0 ? 1 + (int)roll(3) : x->saves[x->save_count - 1].n + 1 + (int)roll(2);
    TRACE("savepoint %d\n", sp->n);
    test_ok(txkv_savepoint(x->s, sp->n, &err), &err, "savepoint");
    sp->writes = x->own;
    x->save_count++;
}

/* A number that was set, or one between, before or after those. */
static int
any_savepoint(const struct session *x)
{
    return (int)roll(x->save_count == 0 ? 2 : (uint32_t)x->saves[x->save_count - 1].n + 2);
}

/* Forget the savepoints numbered n or above. */
static void
forget_savepoints(struct session *x, int n)
{
    while (x->save_count > 0 && x->saves[x->save_count - 1].n >= n)
        x->save_count--;
}

static void
op_rollback_to(struct session *x)
{
    static const struct writes nothing;
    const int n = any_savepoint(x);
    struct txkv_error err;

    TRACE("rollback to %d\n", n);
    test_ok(txkv_rollback_to(x->s, n, &err), &err, "rollback to");
    for (uint32_t k = 0; x->held.cursor != NULL && k < KEYS; k++)
        x->held.fuzzy[k] |= x->own.written[x->held.table][k];
    forget_savepoints(x, n + 1);
    x->own = x->save_count > 0 ? x->saves[x->save_count - 1].writes : nothing;
}

static void
op_release(struct session *x)
{
    const int n = any_savepoint(x);
    struct txkv_error err;

    TRACE("release %d\n", n);
    test_ok(txkv_release(x->s, n, &err), &err, "release");
    forget_savepoints(x, n);
}

/* Who has read nothing from its snapshot, or has nothing to write, never conflicts. */
static bool
is_checked(const struct session *x)
{
    return x->has_snapshot && memchr(x->own.written, 1, sizeof x->own.written) != NULL;
}

/* How the transaction has read a key whose change by another one since its snapshot matters to it:
 * READ, READ_MAYBE, both, or 0. */
static uint8_t
endangered(const struct session *x, uint32_t t, uint32_t k)
{
    if (know->last_write[t][k] <= x->snapshot_no)
        return 0;
    if (x->isolation == TXKV_SNAPSHOT && !x->own.written[t][k])
        return 0;
    return x->did[t][k] & (READ | READ_MAYBE);
}

/* Two answers for one commit: it must conflict, or it may. */
static void
predict(const struct session *x, bool *must, bool *may)
{
    uint8_t dangers = 0;

    for (uint32_t t = 0; is_checked(x) && t < TABLES; t++)
        for (uint32_t k = 0; k < KEYS; k++)
            dangers |= endangered(x, t, k);
    *must = (dangers & READ) != 0;
    *may = dangers != 0;
}

/* The key that a conflict names is one that it can be about, and a second try ends as the first. */
static void
check_conflict(const struct session *x)
{
    struct txkv_bytes key;
    struct txkv_error err;
    uint32_t number;
    uint32_t t = 0;
    uint32_t k;

    if (roll(3) == 0 && txkv_commit(x->s, TXKV_SYNC_OFF, &err) != TXKV_CONFLICT)
        DIE("the second commit of a transaction in conflict went another way");
    if (!txkv_conflict(x->s, &number, &key))
        DIE("a conflict is about no key");
    while (t < TABLES && tables[t] != number)
        t++;
    k = key_number(key);
    if (t == TABLES || k == KEYS || endangered(x, t, k) == 0)
        DIE("a conflict about t%u k%u, which is none of that transaction's", t, k);
}

static void
apply_commit(struct session *x)
{
    bool wrote = false;

    know->commit_no++;
    for (uint32_t t = 0; t < TABLES; t++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            if (!x->own.written[t][k])
                continue;
            know->committed.value[t][k] = x->own.to.value[t][k];
            know->last_write[t][k] = know->commit_no;
            wrote = true;
        }
    }
    if (!wrote)
        return;
    if (txkv_last_lsn(x->s) <= know->last_lsn)
        DIE("last_lsn %llu does not grow", (unsigned long long)txkv_last_lsn(x->s));
    know->last_lsn = txkv_last_lsn(x->s);
    know->count.commits++;
}

static void
op_commit(struct session *x)
{
    const enum txkv_sync sync = roll(5) == 0 ? TXKV_SYNC_FULL : (enum txkv_sync)roll(2);
    struct txkv_error err;
    enum txkv_rc rc;
    bool must;
    bool may;

    predict(x, &must, &may);
    rc = txkv_commit(x->s, sync, &err);
    TRACE("commit: %s\n", txkv_rc_name(rc));
    if (rc != TXKV_OK && rc != TXKV_CONFLICT)
        DIE("commit: %s: %s", txkv_rc_name(rc), err.text);
    if (rc == TXKV_OK && must)
        DIE("a %s transaction committed that had read what another one changed",
            x->isolation == TXKV_SNAPSHOT ? "snapshot" : "serializable");
    if (rc == TXKV_CONFLICT && !may)
        DIE("a conflict that the model does not know: %s", err.text);
    if (rc == TXKV_OK) {
        apply_commit(x);
    } else {
        know->count.conflicts++;
        check_conflict(x);
        if (!txkv_in_transaction(x->s))
            DIE("a conflict ended the transaction");
        txkv_rollback(x->s);
    }
    if (txkv_in_transaction(x->s))
        DIE("the transaction is still open");
    end_transaction(x);
}

static void
op_rollback(struct session *x)
{
    TRACE("rollback\n");
    txkv_rollback(x->s);
    if (txkv_in_transaction(x->s))
        DIE("rollback left the transaction open");
    end_transaction(x);
}

/* ---- operations on the store ---- */

static void
open_store(void)
{
    static const char *const names[TABLES] = { "one", "two", "three" };
    const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                          .checkpoint_bytes = 256 * 1024,
                                          .flush_interval_ms = 2 };
    struct txkv_error err;

    for (uint32_t i = 0; i < 2; i++)
        test_ok(txkv_open(store_dir, &options, &handles[i], &err), &err, "open");
    for (uint32_t t = 0; t < TABLES; t++)
        test_ok(txkv_table(handles[0], names[t], "model", true, &tables[t], &err), &err, "table");
    memset(sessions, 0, sizeof sessions);
    for (uint32_t i = 0; i < SESSIONS; i++)
        test_ok(txkv_session_open(handles[i % 2], &sessions[i].s, &err), &err, "session_open");
}

static void
close_store(void)
{
    struct txkv_error err;

    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (sessions[i].held.cursor != NULL)
            end_scan(&sessions[i].held);
        txkv_session_close(sessions[i].s);
    }
    for (uint32_t i = 0; i < 2; i++)
        test_ok(txkv_close(handles[i], &err), &err, "close");
}

/* Everything that was committed is there, and nothing else. */
static void
check_all(void)
{
    static struct held h;
    const struct txkv_range all = { .descending = roll(2) == 0 };
    struct session fresh = { .open = false };
    struct txkv_error err;
    enum txkv_rc rc;

    test_ok(txkv_session_open(handles[0], &fresh.s, &err), &err, "session_open");
    for (uint32_t t = 0; t < TABLES; t++) {
        memset(&h, 0, sizeof h);
        h.table = t;
        h.hi = KEYS;
        h.descending = all.descending;
        h.view = know->committed;
        test_ok(txkv_cursor_open(fresh.s, tables[t], &h.cursor, &err), &err, "cursor_open");
        rc = txkv_cursor_seek(h.cursor, &all, &err);
        while (check_row(&fresh, &h, rc, &err))
            rc = txkv_cursor_next(h.cursor, &err);
        end_scan(&h);
    }
    txkv_session_close(fresh.s);
}

static void
op_store(void)
{
    const uint32_t dice = roll(20);
    struct txkv_recovery_report report;
    struct txkv_error err;

    if (dice == 0) {
        TRACE("crash\n");
        know->count.crashes++;
        know->crash_expected = true;
        (void)fflush(stdout);
        (void)raise(SIGKILL);
    } else if (dice <= 2) {
        TRACE("reopen\n");
        know->count.reopens++;
        close_store();
        open_store();
        check_all();
    } else if (dice <= 9) {
        TRACE("checkpoint\n");
        know->count.checkpoints++;
        test_ok(txkv_checkpoint(handles[0], NULL, &err), &err, "checkpoint");
    } else if (dice <= 11) {
        test_ok(txkv_verify(handles[0], &report, &err), &err, "verify");
    } else {
        check_all();
    }
}

static void
op_in_transaction(struct session *x)
{
    const uint32_t dice = roll(100);

    if (dice < 30)
        op_write(x, true);
    else if (dice < 40)
        op_write(x, false);
    else if (dice < 58)
        op_get(x);
    else if (dice < 65)
        op_scan(x);
    else if (dice < 71)
        op_savepoint(x);
    else if (dice < 75)
        op_rollback_to(x);
    else if (dice < 77)
        op_release(x);
    else if (dice < 87)
        op_held(x);
    else if (dice < 97)
        op_commit(x);
    else
        op_rollback(x);
}

static void
op_session(struct session *x)
{
    TRACE("session %d: ", (int)(x - sessions));
    if (x->open)
        op_in_transaction(x);
    else if ((x->held.cursor != NULL && x->held.stale) || roll(5) == 0)
        op_held(x);
    else if (roll(2) == 0)
        op_begin(x);
    else if (roll(2) == 0)
        op_scan(x);
    else
        op_get(x);
    TRACE("\n");
}

/* ---- one seed ---- */

static void
live(uint64_t operations)
{
    open_store();
    check_all();
    while (know->count.operations < operations) {
        know->count.operations++;
        if (roll(200) == 0)
            op_store();
        else
            op_session(&sessions[roll(SESSIONS)]);
    }
    close_store();
}

static bool
run_seed(uint64_t seed, uint64_t operations)
{
    bool ok = true;
    bool ended = false;

    memset(know, 0, sizeof *know);
    test_seed_is(seed);
    rng_seed(&know->rng, seed);
    make_keys(&know->rng);
    test_dir_make_in_memory(store_dir, "model");
    while (ok && !ended) {
        pid_t child;
        (void)fflush(stdout);
        know->crash_expected = false;
        child = fork();
        if (child < 0)
            test_die("fork failed");
        if (child == 0) {
            if (seed % 2 == 0)
                tx_room_file_from = FILE_FROM;
            live(operations);
            exit(0);
        }
        ok = test_child_ended_well(child, SIGKILL);
        ended = !know->crash_expected;
    }
    if (ok)
        test_dir_remove(store_dir);
    (void)printf("[%s] SEED=%llu: %llu operations, %llu commits, %llu conflicts, %llu gets, %llu "
                 "rows scanned, %llu checkpoints, %llu reopens, %llu crashes\n",
                 ok ? "  OK  " : "FAILED", (unsigned long long)seed,
                 (unsigned long long)know->count.operations,
                 (unsigned long long)know->count.commits, (unsigned long long)know->count.conflicts,
                 (unsigned long long)know->count.gets, (unsigned long long)know->count.rows,
                 (unsigned long long)know->count.checkpoints,
                 (unsigned long long)know->count.reopens, (unsigned long long)know->count.crashes);
    return ok;
}

int
main(int argc, char **argv)
{
    const uint64_t seeds = test_argument(argc, argv, 1, 8);
    const uint64_t operations = test_argument(argc, argv, 2, 20000);
    const uint64_t first = test_seed(1);
    uint64_t passed = 0;

    verbose = getenv("VERBOSE") != NULL;
    know = mmap(NULL, sizeof *know, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (know == MAP_FAILED)
        test_die("mmap failed");
    (void)printf("model: %llu seeds from SEED=%llu, %llu operations each\n",
                 (unsigned long long)seeds, (unsigned long long)first,
                 (unsigned long long)operations);
    for (uint64_t i = 0; i < seeds; i++)
        passed += run_seed(first + i, operations);
    return test_summary(passed, seeds - passed);
}
