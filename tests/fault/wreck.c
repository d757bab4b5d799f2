/*
 * wreck.c - see wreck.h.
 */
#include "wreck.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALARM_S = 30 };

struct wreck_counts wreck_counts;

static struct {
    uint64_t number;
    char dir[TEST_PATH_BYTES], spare[TEST_PATH_BYTES];
    struct harmed harm;
} now;

/* Exit code 0: it will open; 2: it will not. */
static int
examine(void)
{
    struct txkv_examination e;
    struct txkv_error err = { TXKV_OK, "" };
    const uint64_t before = harm_fingerprint(now.dir);
    const enum txkv_rc rc = txkv_examine(now.dir, NULL, &e, &err);

    if (harm_fingerprint(now.dir) != before)
        test_die("looking at the store has changed it");
    if (rc == TXKV_OK && e.opens != (e.problems == 0))
        test_die("%llu problems, and it opens: %d", (unsigned long long)e.problems, e.opens);
    return rc == TXKV_OK && e.opens ? 0 : 2;
}

/* A store that was open: read everything, check, write, close. */
static void
use(struct txkv *store, bool is_prefix, bool must_fit)
{
    struct txkv_recovery_report verified;
    struct txkv_pages_report pages;
    struct txkv_session *s;
    struct txkv_error err = { TXKV_OK, "" };

    test_ok(txkv_check_pages(store, &pages, &err), &err, "check_pages");
    if (pages.problems > 0)
        test_die("it is open, and its pages are damaged: %s", pages.first);
    test_ok(txkv_verify(store, &verified, &err), &err, "verify");
    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    if (must_fit) {
        open_tables(store);
        shared->state = read_state(s);
        if (is_prefix)
            check_state(s, shared->state);
        else if (shared->state < shared->prefix)
            test_die("rescued up to %u, and a recovery gives %u", shared->state, shared->prefix);
        check_rows(s, true);
        commit_one(s, shared->state + 1, TXKV_SYNC_FULL);
    } else if (txkv_table(store, "t", NULL, true, &table, &err) == TXKV_OK &&
               txkv_table(store, "w", NULL, true, &wide_table, &err) == TXKV_OK) {
        /* Values and keys may have changed in a way that nobody can tell; reading may say so. */
        check_rows(s, false);
        commit_one(s, 1, TXKV_SYNC_FULL);
    }
    txkv_session_close(s);
    if (txkv_close(store, &err) != TXKV_OK && must_fit)
        test_die("close: %s", err.text);
}

/* Exit code 0: it opened; 2: it was refused. */
static int
open_and_use(bool salvage)
{
    struct txkv *store = NULL;

    open_store(now.dir, &store, false, salvage);
    if (shared->opened != TXKV_OK)
        return 2;
    use(store, true, !now.harm.touches_data);
    return 0;
}

static int
open_plainly(void)
{
    return open_and_use(false);
}

static int
salvage_it(void)
{
    return open_and_use(true);
}

/* On a copy as it was damaged: whatever is left is taken. Exit code 2: nothing was. */
static int
rescue_it(void)
{
    struct txkv_rescue_report report;
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv *store = NULL;
    const enum txkv_rc rc = txkv_rescue(now.dir, NULL, &report, &err);

    shared->rescued = 0;
    if (rc == TXKV_CANTOPEN)
        return 2;
    test_ok(rc, &err, "rescue");
    open_store(now.dir, &store, false, false);
    if (shared->opened != TXKV_OK)
        test_die("what was rescued does not open: %s", shared->text);
    use(store, false, !now.harm.touches_data);
    shared->rescued = shared->rows;
    return 0;
}

/* ---- children ---- */

static void
count_end(int status, const char *step)
{
    const char *how = "wrong";

    if (WIFEXITED(status)) {
        wreck_counts.wrong++;
    } else if (WTERMSIG(status) == SIGALRM) {
        wreck_counts.hung++;
        how = "hung";
    } else {
        wreck_counts.crashed++;
        how = strsignal(WTERMSIG(status));
    }
    (void)fprintf(stderr, "case %llu, %s: %s: %s\n", (unsigned long long)now.number, now.harm.what,
                  step, how);
    if (getenv("KEEP") != NULL) {
        char kept[TEST_PATH_BYTES];

        (void)snprintf(kept, sizeof kept, "%s/%llu", getenv("KEEP"),
                       (unsigned long long)now.number);
        if (access(kept, F_OK) != 0 && access(now.spare, F_OK) == 0)
            test_dir_copy(now.spare, kept);
    }
}

/* The step's exit code, 0 or 2; -1 when it went wrong, which is then counted. */
static int
in_child(int (*step)(void), const char *name)
{
    int status = 0;
    pid_t child;

    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)alarm(ALARM_S);
        exit(step());
    }
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            test_die("waitpid: %s", strerror(errno));
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2))
        return WEXITSTATUS(status);
    count_end(status, name);
    return -1;
}

static void
try_all(void)
{
    const int seen = in_child(examine, "dry-run");
    const int opened = in_child(open_plainly, "opening");

    if (seen >= 0 && opened >= 0 && seen != opened) {
        wreck_counts.wrong++;
        (void)fprintf(stderr, "case %llu, %s: dry-run said that it %s, and it %s: %s\n",
                      (unsigned long long)now.number, now.harm.what,
                      seen == 0 ? "opens" : "does not open", opened == 0 ? "does" : "does not",
                      shared->text);
    }
    wreck_counts.opened += opened == 0;
    wreck_counts.refused += opened == 2;
    if (opened == 2)
        wreck_counts.salvaged += in_child(salvage_it, "salvaging") == 0;
    /* Of what was opened or salvaged without damaged pages. */
    shared->prefix = shared->opened == TXKV_OK && !now.harm.touches_data ? shared->state : 0;
    test_dir_remove(now.dir);
    test_dir_copy(now.spare, now.dir);
    if (in_child(rescue_it, "rescuing") == 0) {
        wreck_counts.rescued++;
        wreck_counts.rows_rescued += shared->rescued;
    }
}

void
wreck_run(const struct wreck_places *places, struct rng *rng, uint64_t number)
{
    now.number = number;
    test_path(now.dir, places->base, "case");
    test_path(now.spare, places->base, "spare");
    test_dir_remove(now.dir);
    test_dir_remove(now.spare);
    test_dir_copy(places->origin, now.dir);
    harm_store(places, now.dir, rng, &now.harm);
    test_dir_copy(now.dir, now.spare);
    try_all();
    wreck_counts.stores++;
    test_dir_remove(now.dir);
}

void
wreck_print(uint64_t other_stores)
{
    const struct wreck_counts *c = &wreck_counts;
    const uint64_t stores = c->stores + other_stores;

    (void)printf("[  OK  ] anything: %llu opened, %llu refused, %llu of them salvaged, %llu of all "
                 "rescued with %llu rows\n",
                 (unsigned long long)c->opened, (unsigned long long)c->refused,
                 (unsigned long long)c->salvaged, (unsigned long long)c->rescued,
                 (unsigned long long)c->rows_rescued);
    (void)printf("%llu damaged stores, wrong %llu, crashed %llu, hung %llu\n",
                 (unsigned long long)stores, (unsigned long long)c->wrong,
                 (unsigned long long)c->crashed, (unsigned long long)c->hung);
}
