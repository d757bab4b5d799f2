/*
 * support.c - see support.h.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY_ROOM_MIN = 64 << 20 };

static uint64_t seed_in_use;

uint64_t
mix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t
rotate_left(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

void
rng_seed(struct rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        rng->s[i] = mix64(seed + i * 0x9e3779b97f4a7c15u);
    rng->next = rng->end = NULL;
}

void
rng_from_bytes(struct rng *rng, const uint8_t *data, size_t bytes)
{
    rng_seed(rng, 1);
    rng->next = data;
    rng->end = data + bytes;
}

static uint64_t
take_number(struct rng *rng, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes && rng->next < rng->end; i++)
        v = v << 8 | *rng->next++;
    return v;
}

uint64_t
rng_next(struct rng *rng)
{
    const uint64_t result = rotate_left(rng->s[1] * 5, 7) * 9;
    const uint64_t t = rng->s[1] << 17;

    if (rng->next < rng->end)
        return take_number(rng, 8);
    rng->s[2] ^= rng->s[0];
    rng->s[3] ^= rng->s[1];
    rng->s[1] ^= rng->s[2];
    rng->s[0] ^= rng->s[3];
    rng->s[2] ^= t;
    rng->s[3] = rotate_left(rng->s[3], 45);
    return result;
}

uint32_t
rng_below(struct rng *rng, uint32_t n)
{
    if (rng->next < rng->end)
        return n == 0 ? 0 : (uint32_t)take_number(rng, n <= 256 ? 1 : 4) % n;
    return (uint32_t)(((rng_next(rng) >> 32) * n) >> 32);
}

bool
rng_chance(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

static uint64_t
parse_number(const char *text)
{
    char *end = NULL;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') {
        (void)fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return n;
}

uint64_t
test_seed(uint64_t fallback)
{
    const char *text = getenv("SEED");

    seed_in_use = text != NULL ? parse_number(text) : fallback;
    return seed_in_use;
}

void
test_seed_is(uint64_t seed)
{
    seed_in_use = seed;
}

uint64_t
test_argument(int argc, char **argv, int i, uint64_t fallback)
{
    return i < argc ? parse_number(argv[i]) : fallback;
}

void (*test_at_death)(void);

void
test_die(const char *format, ...)
{
    va_list args;

    (void)fflush(stdout);
    (void)fprintf(stderr, "FAILED: ");
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\n  run again with SEED=%llu\n", (unsigned long long)seed_in_use);
    (void)fflush(stderr);
    if (test_at_death != NULL)
        test_at_death();
    _exit(1);
}

void
test_ok(enum txkv_rc rc, const struct txkv_error *err, const char *what)
{
    if (rc != TXKV_OK)
        test_die("%s: %s: %s", what, txkv_rc_name(rc), err != NULL ? err->text : "");
}

void
test_path(char out[TEST_PATH_BYTES], const char *dir, const char *name)
{
    const int n = snprintf(out, TEST_PATH_BYTES, "%s/%s", dir, name);

    if (n < 0 || n >= TEST_PATH_BYTES)
        test_die("path too long: %s/%s", dir, name);
}

static void
make_dir(char path[TEST_PATH_BYTES], const char *base, const char *name)
{
    char leaf[128];

    (void)snprintf(leaf, sizeof leaf, "txkv-%s-XXXXXX", name);
    test_path(path, base, leaf);
    if (mkdtemp(path) == NULL)
        test_die("mkdtemp %s: %s", path, strerror(errno));
}

void
test_dir_make(char path[TEST_PATH_BYTES], const char *name)
{
    const char *base = getenv("TMPDIR");

    if (base == NULL || *base == '\0') {
        base = "build";
        (void)mkdir(base, 0755);
    }
    make_dir(path, base, name);
}

void
test_dir_make_in_memory(char path[TEST_PATH_BYTES], const char *name)
{
    static const char memory[] = "/dev/shm";
    struct statvfs fs;

    if (access(memory, W_OK) == 0 && statvfs(memory, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize > MEMORY_ROOM_MIN)
        make_dir(path, memory, name);
    else
        test_dir_make(path, name);
}

void
test_dir_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char child[TEST_PATH_BYTES];

    if (dir == NULL)
        return;
    /* The test's main thread alone reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        test_path(child, path, entry->d_name);
        if (unlink(child) != 0)
            test_dir_remove(child);
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

static bool
all_zero(const char *p, size_t bytes)
{
    return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

static void
copy_file(const char *from, const char *to)
{
    static char buffer[64 * 1024];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t at = 0;
    ssize_t n;

    if (in < 0 || out < 0)
        test_die("copy %s to %s: %s", from, to, strerror(errno));
    while ((n = read(in, buffer, sizeof buffer)) > 0) {
        if (!all_zero(buffer, (size_t)n) && pwrite(out, buffer, (size_t)n, at) != n)
            test_die("write %s: %s", to, strerror(errno));
        at += n;
    }
    if (n < 0 || ftruncate(out, at) != 0)
        test_die("copy %s to %s: %s", from, to, strerror(errno));
    (void)close(in);
    (void)close(out);
}

void
test_dir_copy(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    struct dirent *entry;
    struct stat st;
    char a[TEST_PATH_BYTES];
    char b[TEST_PATH_BYTES];

    if (dir == NULL || mkdir(to, 0700) != 0)
        test_die("copy %s to %s: %s", from, to, strerror(errno));
    /* The test's main thread alone reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        test_path(a, from, entry->d_name);
        test_path(b, to, entry->d_name);
        if (stat(a, &st) != 0)
            test_die("stat %s: %s", a, strerror(errno));
        if (S_ISDIR(st.st_mode))
            test_dir_copy(a, b);
        else
            copy_file(a, b);
    }
    (void)closedir(dir);
}

uint64_t
test_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void
test_sleep_us(uint64_t us)
{
    const struct timespec time = { .tv_sec = (time_t)(us / 1000000u),
                                   .tv_nsec = (long)(us % 1000000u) * 1000 };

    (void)nanosleep(&time, NULL);
}

bool
test_child_ended_well(int pid, int may_die_of)
{
    int status = 0;

    while (waitpid(pid, &status, 0) != pid) {
        if (errno != EINTR)
            test_die("waitpid: %s", strerror(errno));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == may_die_of)
        return true;
    if (WIFSIGNALED(status))
        (void)fprintf(stderr, "the child died of signal %d\n", WTERMSIG(status));
    else
        (void)fprintf(stderr, "the child ended with code %d\n", WEXITSTATUS(status));
    return false;
}

void
test_kills(uint64_t kills)
{
    (void)printf("kills %llu\n", (unsigned long long)kills);
}

int
test_summary(uint64_t passed, uint64_t failed)
{
    (void)printf("%llu passed, %llu failed\n", (unsigned long long)passed,
                 (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
