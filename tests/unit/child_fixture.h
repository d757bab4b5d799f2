/*
 * child_fixture.h - a store and other processes.
 *
 * A child process never uses cmocka: it ends with _exit(0) when all was well, else it says in which
 * line it was not. Children are forked before the parent opens a store, so that they have no
 * threads and no handles of it.
 */
#ifndef CHILD_FIXTURE_H
#define CHILD_FIXTURE_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "store_fixture.h"

#define CHILD_NEEDS(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static inline pid_t
start_child(int (*run)(void))
{
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int line;

        (void)alarm(LIMIT_S);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a stopped child must not outlive a failed test */
        line = run();
        if (line != 0)
            (void)fprintf(stderr, "child: line %d: %s\n", line, err.text);
        _exit(line != 0);
    }
    return pid;
}

static inline void
expect_child_well(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Shared with children: a step that each side waits for, and a number that one tells the other. */
struct steps {
    uint32_t step;
    uint64_t number;
};
static struct steps *steps;

static inline void
new_steps(void)
{
    if (steps == NULL)
        steps =
            mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(steps, MAP_FAILED);
    memset(steps, 0, sizeof *steps);
}

static inline void
go_to_step(uint32_t n)
{
    tx_store_release_32(&steps->step, n);
}

static inline void
wait_for_step(uint32_t n)
{
    while (tx_load_acquire_32(&steps->step) < n)
        nap();
}

static const struct txkv_options impatient = { .map_size = 64 * MIB,
                                               .segment_bytes = 64 * KIB,
                                               .stall_timeout_ms = 300 };

/* How long a value is; 0 when there is none. */
static inline size_t
get_bytes(struct txkv_session *s, const char *key)
{
    struct txkv_bytes value;
    const enum txkv_rc rc = txkv_get(s, table, text(key), &value, &err);

    return rc == TXKV_OK ? value.bytes : 0;
}

/* ---- what a child does ---- */

static inline int
child_opens(const struct txkv_options *options)
{
    CHILD_NEEDS(txkv_open(dir, options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    return 0;
}

static inline enum txkv_rc
child_sets(const char *key, const char *value, enum txkv_sync sync)
{
    enum txkv_rc rc = txkv_begin(s1, &err);

    if (rc == TXKV_OK)
        rc = txkv_put(s1, table, text(key), text(value), &err);
    if (rc == TXKV_OK)
        rc = txkv_commit(s1, sync, &err);
    if (rc != TXKV_OK)
        txkv_rollback(s1);
    return rc;
}

static inline bool
child_has(const char *key, const char *value)
{
    struct txkv_bytes found;
    const enum txkv_rc rc = txkv_get(s1, table, text(key), &found, &err);

    if (value == NULL)
        return rc == TXKV_NOTFOUND;
    return rc == TXKV_OK && found.bytes == strlen(value) &&
           memcmp(found.data, value, found.bytes) == 0;
}

static inline int
child_closes(void)
{
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

#define CHILD_DOES(call)                                                                           \
    do {                                                                                           \
        const int line_ = (call);                                                                  \
        if (line_ != 0)                                                                            \
            return line_;                                                                          \
    } while (0)

#endif /* CHILD_FIXTURE_H */
