/*
 * fault.c - every file system call and every allocation of the store fails once, and for good.
 *
 * Goal: no crash, no leak, no lost commit, no wrong row, and a store that works again when the
 * fault is gone. Method: a small scenario (open, commits over several segments, checkpoints, reads,
 * close, open again) runs in a child process with the n-th call of one kind failing, n = 1, 2, ...
 * until the scenario ends without reaching the n-th call. It notes what every commit answered. Then
 * the fault is taken away, the store opened, and each commit's keys compared with its answer.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../support/support.h"
#include "inject.h"

enum { COMMITS = 24, VALUE_BYTES = 7000, MEMORY_QUIET_RUNS = 40 };

/* What must be true of a commit's keys when the store is opened without the fault. */
enum fate { ABSENT, PRESENT, EITHER };

/* The fault of a run. */
struct plan {
    bool memory; /* an allocation, else a call of `kind` */
    enum inject_kind kind;
    int error;
    bool forever;
    uint64_t n;
};

/* The parent reads it after the child has ended. */
struct report {
    bool fired;  /* the fault was reached */
    bool failed; /* some call of the scenario returned an error */
};

static struct plan plan;
static struct report *report;
static enum fate fates[COMMITS];
static uint32_t table;
static char store_dir[TEST_PATH_BYTES];
static const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                             .checkpoint_bytes = 128 * 1024,
                                             .flush_interval_ms = 1,
                                             .stall_timeout_ms = 200 };

__attribute__((format(printf, 1, 2))) static void
wrong(const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    test_die("%s number %llu%s%s (%s): %s", plan.memory ? "allocation" : inject_name(plan.kind),
             (unsigned long long)plan.n, plan.forever ? " and all after it" : "",
             plan.memory ? "" : " fails", plan.memory ? "out of memory" : strerror(plan.error),
             text);
}

/* An error must have its sentence and, as long as the fault has not been reached, must not be. */
static bool
answered(enum txkv_rc rc, struct txkv_error *err, const char *what)
{
    if (rc == TXKV_OK)
        return true;
    if (err->rc != rc || err->text[0] == '\0')
        wrong("%s returned %s and left no sentence", what, txkv_rc_name(rc));
    if (!plan.memory && !inject_fired())
        wrong("%s failed before the fault: %s: %s", what, txkv_rc_name(rc), err->text);
    if (plan.memory && rc != TXKV_NOMEM)
        wrong("%s: %s: %s", what, txkv_rc_name(rc), err->text);
    if (rc == TXKV_CORRUPT || rc == TXKV_MISUSE || rc == TXKV_FORKED || rc == TXKV_CONFLICT ||
        rc == TXKV_TOOBIG || rc == TXKV_FORMAT)
        wrong("%s: %s is no answer to this fault: %s", what, txkv_rc_name(rc), err->text);
    report->failed = true;
    memset(err, 0, sizeof *err);
    return false;
}

/* ---- keys and values: transaction i writes two keys ---- */

static struct txkv_bytes
key_of(uint32_t i, uint32_t which, char key[32])
{
    (void)snprintf(key, 32, "%c%05u", which == 0 ? 'a' : 'z', i);
    return bytes_of(key, strlen(key));
}

static struct txkv_bytes
value_of(uint32_t i)
{
    static uint8_t value[VALUE_BYTES];

    memset(value, (int)(i + 1), sizeof value);
    return bytes_of(value, sizeof value);
}

static bool
holds(struct txkv_bytes got, uint32_t i)
{
    const struct txkv_bytes want = value_of(i);

    return got.bytes == want.bytes && memcmp(got.data, want.data, want.bytes) == 0;
}

/* 0, 1, or 2 of a transaction's keys; -1 when a read failed for want of memory. */
static int
count_keys(struct txkv_session *s, uint32_t i)
{
    int found = 0;
    char key[32];

    for (uint32_t which = 0; which < 2; which++) {
        struct txkv_bytes got = { NULL, 0 };
        struct txkv_error err = { TXKV_OK, "" };
        const enum txkv_rc rc = txkv_get(s, table, key_of(i, which, key), &got, &err);

        if (rc == TXKV_NOTFOUND)
            continue;
        if (plan.memory && rc == TXKV_NOMEM)
            return -1;
        if (rc != TXKV_OK)
            wrong("reads do not go on: %s: %s", txkv_rc_name(rc), err.text);
        if (!holds(got, i))
            wrong("key %s has a wrong value", key);
        found++;
    }
    return found;
}

/* ---- the scenario ---- */

/* What is visible now must fit what the commits have answered. */
static void
check_visible(struct txkv_session *s, uint32_t i)
{
    const int found = count_keys(s, i);

    if (found < 0)
        return;
    if (found != (fates[i] == PRESENT ? 2 : 0))
        wrong("transaction %u, which %s, shows %d of its 2 keys", i,
              fates[i] == PRESENT ? "was acknowledged" : "failed", found);
}

static enum txkv_rc
write_one(struct txkv_session *s, uint32_t i)
{
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc = txkv_begin(s, &err);
    char key[32];

    for (uint32_t which = 0; rc == TXKV_OK && which < 2; which++)
        rc = txkv_put(s, table, key_of(i, which, key), value_of(i), &err);
    if (rc != TXKV_OK) {
        txkv_rollback(s);
        (void)answered(rc, &err, "a write");
        return rc;
    }
    rc = txkv_commit(s, TXKV_SYNC_FULL, &err);
    if (rc == TXKV_OK && txkv_in_transaction(s))
        wrong("a commit left its transaction open");
    if (rc != TXKV_OK && !txkv_in_transaction(s))
        wrong("a commit that failed with %s ended its transaction", txkv_rc_name(rc));
    txkv_rollback(s);
    (void)answered(rc, &err, "commit");
    return rc;
}

/*
 * After a failed fdatasync no commit succeeds any more. Other faults may pass: making a segment is
 * tried again by the next commit.
 */
static void
write_all(struct txkv *store, struct txkv_session *s)
{
    struct txkv_error err = { TXKV_OK, "" };
    bool stopped = false;

    for (uint32_t i = 0; i < COMMITS; i++) {
        const enum txkv_rc rc = write_one(s, i);

        if (stopped && rc != TXKV_STOPPED)
            wrong("a commit after the log had stopped answered %s", txkv_rc_name(rc));
        stopped = rc == TXKV_STOPPED ||
                  (!plan.memory && plan.kind == INJECT_FDATASYNC && rc == TXKV_IOERR);
        fates[i] = rc == TXKV_OK ? PRESENT : (rc == TXKV_IOERR ? EITHER : ABSENT);
        for (uint32_t j = 0; j <= i; j += 3)
            check_visible(s, j);
        check_visible(s, i);
        if (i == COMMITS / 3 || i == 2 * COMMITS / 3)
            (void)answered(txkv_checkpoint(store, NULL, &err), &err, "checkpoint");
    }
}

/* Rows come in order, and are acknowledged ones. */
static void
scan_all(struct txkv_session *s)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_cursor *cursor = NULL;
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc = txkv_cursor_open(s, table, &cursor, &err);
    char last[32] = "";
    uint32_t rows = 0;
    uint32_t want = 0;

    if (rc == TXKV_OK)
        rc = txkv_cursor_seek(cursor, &all, &err);
    for (; rc == TXKV_OK; rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor);
        if (strncmp(last, (const char *)key.data, key.bytes) >= 0)
            wrong("a scan is out of order");
        memcpy(last, key.data, key.bytes < sizeof last ? key.bytes : sizeof last - 1);
        rows++;
    }
    txkv_cursor_close(cursor);
    for (uint32_t i = 0; i < COMMITS; i++)
        want += fates[i] == PRESENT ? 2 : 0;
    if (rc != TXKV_NOTFOUND)
        (void)answered(rc, &err, "scan");
    else if (rows != want)
        wrong("a scan shows %u rows, %u were acknowledged", rows, want);
}

/* The store as its user sees it, from open to close. */
static void
use_store(bool write)
{
    struct txkv *store = NULL;
    struct txkv_session *s = NULL;
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv_recovery_report verified;

    if (!answered(txkv_open(store_dir, &options, &store, &err), &err, "open")) {
        if (store != NULL)
            wrong("a failed open left a handle");
        return;
    }
    if (answered(txkv_table(store, "t", NULL, true, &table, &err), &err, "table") &&
        answered(txkv_session_open(store, &s, &err), &err, "session_open") && write) {
        write_all(store, s);
        scan_all(s);
        (void)answered(txkv_verify(store, &verified, &err), &err, "verify");
    }
    txkv_session_close(s);
    (void)answered(txkv_close(store, &err), &err, "close");
}

/* With the fault gone: what was acknowledged is there, and the store takes commits. */
static void
check_afterwards(void)
{
    struct txkv *store = NULL;
    struct txkv_session *s = NULL;
    struct txkv_error err = { TXKV_OK, "" };
    enum txkv_rc rc = txkv_open(store_dir, &options, &store, &err);

    if (rc == TXKV_OK)
        rc = txkv_table(store, "t", NULL, true, &table, &err);
    if (rc == TXKV_OK)
        rc = txkv_session_open(store, &s, &err);
    if (rc != TXKV_OK)
        wrong("the store does not open when the fault is gone: %s: %s", txkv_rc_name(rc), err.text);
    for (uint32_t i = 0; i < COMMITS; i++) {
        const int found = count_keys(s, i);
        if (found == 1)
            wrong("half of transaction %u is there", i);
        if (fates[i] != EITHER && found != (fates[i] == PRESENT ? 2 : 0))
            wrong("transaction %u, which %s, has %d keys after reopening", i,
                  fates[i] == PRESENT ? "was acknowledged" : "failed", found);
    }
    rc = write_one(s, 0);
    if (rc != TXKV_OK)
        wrong("the store takes no commits when the fault is gone: %s", txkv_rc_name(rc));
    txkv_session_close(s);
    rc = txkv_close(store, &err);
    if (rc != TXKV_OK)
        wrong("close: %s: %s", txkv_rc_name(rc), err.text);
}

static void
arm(void)
{
    if (plan.memory)
        tx_mem_fail_at(plan.n, plan.forever);
    else
        inject_arm(plan.kind, plan.n, plan.error, plan.forever);
}

static void
disarm(void)
{
    tx_mem_fail_at(0, false);
    inject_disarm();
}

/* The child's life. */
static void
run_scenario(void)
{
    const uint64_t live = tx_mem_live();

    arm();
    use_store(true);
    use_store(false);
    report->fired = inject_fired();
    disarm();
    check_afterwards();
    if (tx_mem_live() != live)
        wrong("%lld allocations were leaked", (long long)(tx_mem_live() - live));
}

/* ---- all faults ---- */

static bool
run_child(void)
{
    pid_t child;
    bool ok;

    memset(report, 0, sizeof *report);
    test_dir_make_in_memory(store_dir, "fault");
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        run_scenario();
        exit(0);
    }
    ok = test_child_ended_well(child, 0);
    if (ok)
        test_dir_remove(store_dir);
    return ok;
}

/* One kind of fault, for n = 1, 2, ...; true when all runs were right. */
static bool
run_kind(const struct plan *kind, uint64_t *runs)
{
    uint64_t quiet = 0;
    bool ok = true;

    plan = *kind;
    plan.n = 1;
    while (ok) {
        ok = run_child();
        *runs += 1;
        if (plan.memory)
            quiet = report->failed ? 0 : quiet + 1;
        if (plan.memory ? quiet == MEMORY_QUIET_RUNS : !report->fired)
            break;
        plan.n++;
    }
    (void)printf("[%s] %s: %s%s, up to number %llu\n", ok ? "  OK  " : "FAILED",
                 kind->memory ? "allocation" : inject_name(kind->kind),
                 kind->memory ? "out of memory" : strerror(kind->error),
                 kind->forever ? " from then on" : " once", (unsigned long long)plan.n);
    return ok;
}

int
main(void)
{
    static const struct plan kinds[] = {
        { .kind = INJECT_OPEN, .error = EIO },
        { .kind = INJECT_OPEN, .error = EMFILE },
        { .kind = INJECT_CLOSE, .error = EIO },
        { .kind = INJECT_FSTAT, .error = EIO },
        { .kind = INJECT_FALLOCATE, .error = ENOSPC },
        { .kind = INJECT_FALLOCATE, .error = EIO },
        { .kind = INJECT_FTRUNCATE, .error = EIO },
        { .kind = INJECT_PREAD, .error = EIO },
        { .kind = INJECT_PWRITE, .error = ENOSPC },
        { .kind = INJECT_PWRITE, .error = EIO },
        { .kind = INJECT_FDATASYNC, .error = EIO },
        { .kind = INJECT_FDATASYNC, .error = ENOSPC },
        { .kind = INJECT_FSYNC, .error = EIO },
        { .kind = INJECT_MMAP, .error = ENOMEM },
        { .kind = INJECT_MUNMAP, .error = EINVAL },
        { .kind = INJECT_UNLINK, .error = EIO },
        { .kind = INJECT_RENAME, .error = EIO },
        { .kind = INJECT_MKDIR, .error = ENOSPC },
        { .kind = INJECT_LOCK, .error = EIO },
        { .memory = true },
    };
    const size_t count = sizeof kinds / sizeof kinds[0];
    uint64_t passed = 0;
    uint64_t runs = 0;

    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        test_die("mmap failed");
    for (size_t i = 0; i < 2 * count; i++) {
        struct plan kind = kinds[i / 2];
        kind.forever = i % 2 == 1;
        passed += run_kind(&kind, &runs);
    }
    (void)printf("%llu runs\n", (unsigned long long)runs);
    return test_summary(passed, 2 * count - passed);
}
