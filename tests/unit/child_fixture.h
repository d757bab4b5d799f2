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

#endif /* CHILD_FIXTURE_H */
