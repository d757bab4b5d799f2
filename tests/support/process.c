/*
 * process.c - see process.h.
 */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

void *
test_shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        test_die("mmap of %zu bytes: %s", bytes, strerror(errno));
    return memory;
}

pid_t
test_fork(void)
{
    pid_t pid;

    (void)fflush(stdout); /* or the child has it too */
    pid = fork();
    if (pid < 0)
        test_die("fork: %s", strerror(errno));
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

void
test_kill(pid_t pid)
{
    if (kill(pid, SIGKILL) != 0)
        test_die("kill: %s", strerror(errno));
    if (!test_child_ended_well(pid, SIGKILL))
        test_die("a process failed before it was killed");
}

bool
test_has_ended(pid_t pid, bool *well)
{
    int status = 0;
    const pid_t ended = waitpid(pid, &status, WNOHANG);

    *well = false;
    if (ended < 0 && errno != EINTR)
        test_die("waitpid: %s", strerror(errno));
    if (ended != pid)
        return false;
    *well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status))
        (void)fprintf(stderr, "a process died of signal %d\n", WTERMSIG(status));
    return true;
}

void
test_wait_well(pid_t pid, uint64_t seconds, const char *what)
{
    const uint64_t until_us = test_now_us() + seconds * 1000000;
    bool well;

    while (!test_has_ended(pid, &well)) {
        if (test_now_us() > until_us)
            test_die("%s: process %d has not ended after %llu s", what, (int)pid,
                     (unsigned long long)seconds);
        test_sleep_us(300);
    }
    if (!well)
        test_die("%s: process %d did not end well", what, (int)pid);
}
