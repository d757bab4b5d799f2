/*
 * process.h - what tests with several processes share: memory and children.
 *
 * Children are forked before their parent has opened anything, and meet in memory that was mapped
 * before. Threads: the main thread of the parent, unless it says otherwise.
 */
#ifndef TXKV_TEST_PROCESS_H
#define TXKV_TEST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How many processes may have one store open at once, so far as `make check` asks; programs take
 * another number as an argument. */
enum { TEST_PROCESSES = 4 };

/* Zeroed memory that children share, at one address in all of them. Pages cost when touched. */
void *test_shared_memory(size_t bytes);

/* fork, of a child that is killed when its parent ends. */
pid_t test_fork(void);

/* Kill a child with SIGKILL and wait for it. */
void test_kill(pid_t pid);

/* True when the child has ended, by itself or otherwise; *well when that was with code 0. */
bool test_has_ended(pid_t pid, bool *well);

/* Wait for a child to end with code 0; dies when it does not, or not within so many seconds. */
void test_wait_well(pid_t pid, uint64_t seconds, const char *what);

#endif /* TXKV_TEST_PROCESS_H */
