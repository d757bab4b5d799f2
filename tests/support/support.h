/*
 * support.h - what the system tests share: seeded random numbers, temporary directories, failures.
 *
 * Every program prints its seed when it starts and again when it fails; SEED=n in the environment
 * runs that seed again. Threads: each struct rng belongs to one thread; test_die may be called by
 * any, the rest by the main thread of a process.
 */
#ifndef TXKV_TEST_SUPPORT_H
#define TXKV_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/txkv.h"

#define TEST_PATH_BYTES 512

/* xoshiro256**, seeded through splitmix64. */
struct rng {
    uint64_t s[4];
    const uint8_t *next, *end; /* numbers to come first */
};

void rng_seed(struct rng *rng, uint64_t seed);
/* A fuzzer's bytes are the numbers, one for each choice among up to 256, as long as there are any.
 */
void rng_from_bytes(struct rng *rng, const uint8_t *data, size_t bytes);
uint64_t rng_next(struct rng *rng);
/* 0 to n - 1; 0 for n == 0. */
uint32_t rng_below(struct rng *rng, uint32_t n);
/* True `percent` times in a hundred. */
bool rng_chance(struct rng *rng, uint32_t percent);

/* A well-mixed number that is a function of x alone. */
uint64_t mix64(uint64_t x);

/* SEED from the environment, else `fallback`. Sets the seed that test_die prints. */
uint64_t test_seed(uint64_t fallback);
/* The seed that test_die prints from now on. */
void test_seed_is(uint64_t seed);
/* Argument number i as a number, else `fallback`. Ends the program when it is not a number. */
uint64_t test_argument(int argc, char **argv, int i, uint64_t fallback);

/* Print the sentence and the seed, and end the process (exit code 1, no exit handlers). */
__attribute__((format(printf, 1, 2), noreturn)) void test_die(const char *format, ...);
/* NULL, or what test_die calls last: abort, say, for a fuzzer to notice. */
extern void (*test_at_death)(void);

/* test_die unless rc is TXKV_OK; `what` names the call. */
void test_ok(enum txkv_rc rc, const struct txkv_error *err, const char *what);

/* Make a fresh directory under $TMPDIR, else under build/. */
void test_dir_make(char path[TEST_PATH_BYTES], const char *name);
/* The same in memory (/dev/shm) where there is room, for tests that nothing but time depends on. */
void test_dir_make_in_memory(char path[TEST_PATH_BYTES], const char *name);
/* Remove a directory with all that is in it; a missing one is fine. */
void test_dir_remove(const char *path);
/* Copy a directory with all that is in it to a name that does not exist; holes stay holes. */
void test_dir_copy(const char *from, const char *to);
/* "dir/name". */
void test_path(char out[TEST_PATH_BYTES], const char *dir, const char *name);

uint64_t test_now_us(void);
void test_sleep_us(uint64_t us);

/* Wait for a child; true when it ended with code 0, or by signal `may_die_of` (0: none). */
bool test_child_ended_well(int pid, int may_die_of);

/* "kills N", the line that tests/crash.sh adds up: so many processes were killed. */
void test_kills(uint64_t kills);

/* The closing line, "N passed, N failed"; returns the exit code. */
int test_summary(uint64_t passed, uint64_t failed);

static inline struct txkv_bytes
bytes_of(const void *data, size_t bytes)
{
    return (struct txkv_bytes){ .data = data, .bytes = bytes };
}

#endif /* TXKV_TEST_SUPPORT_H */
