/*
 * scene.c - verdicts and the ledger: see scene.h.
 */
#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene_state *scene_state;
const struct scene *scene;
char scene_dir[TEST_PATH_BYTES];
char scene_store[TEST_PATH_BYTES];
const struct txkv_options scene_options = { .segment_bytes = 64 * 1024,
                                            .map_size = 16 * 1024 * 1024,
                                            .flush_interval_ms = 1,
                                            .stall_timeout_ms = 200 };

static enum cause cause_now;
static struct held {
    uint64_t handles, maps, allocations;
    int64_t sqlite_bytes;
} held_before;

void
scene_path(char path[TEST_PATH_BYTES], const char *name)
{
    test_path(path, scene_dir, name);
}

/* ---- verdicts ---- */

void
scene_cause(enum cause cause)
{
    cause_now = cause;
}

enum cause
scene_cause_now(void)
{
    return cause_now;
}

void
scene_end(enum verdict verdict, const char *format, ...)
{
    va_list args;

    failing_disarm();
    (void)snprintf(scene_state->failed_call, sizeof scene_state->failed_call, "%s", failing_call());
    va_start(args, format);
    (void)vsnprintf(scene_state->text, sizeof scene_state->text, format, args);
    va_end(args);
    _exit((int)verdict);
}

static bool
says(const struct txkv_error *err, const char *words)
{
    return strstr(err->text, words) != NULL;
}

/* Which codes are answers to which cause. */
static bool
is_answer(enum txkv_rc rc, const struct txkv_error *err)
{
    const bool no_sync = rc == TXKV_STOPPED || (rc == TXKV_IOERR && says(err, "cannot sync"));

    switch (cause_now) {
    case CAUSE_NONE:
        return false;
    case CAUSE_FILE:
        return rc == TXKV_IOERR || rc == TXKV_STOPPED;
    case CAUSE_SHORT: /* LMDB takes a short write for a full disk */
        return rc == TXKV_FULL || rc == TXKV_IOERR;
    case CAUSE_SPACE: /* a sync that finds no room is final; LMDB's answer to a short write is EIO
                       */
        return rc == TXKV_FULL || no_sync ||
               (rc == TXKV_IOERR &&
                (says(err, "look for free space") || says(err, "an earlier write")));
    case CAUSE_MEMORY: /* where a sentence helps more than the code */
        return rc == TXKV_NOMEM || (rc == TXKV_FULL && says(err, "no memory for a map")) ||
               (rc == TXKV_CANTOPEN && says(err, "cannot start "));
    case CAUSE_HANDLES:
    case CAUSE_THREAD:
        return rc == TXKV_CANTOPEN;
    }
    return false;
}

bool
answered_or(enum txkv_rc rc, enum txkv_rc also, struct txkv_error *err, const char *what)
{
    if (rc == TXKV_OK)
        return true;
    if (rc == also)
        return false;
    if (err->rc != rc || err->text[0] == '\0')
        wrong("%s returned %s and left no sentence", what, txkv_rc_name(rc));
    scene_state->failed = true;
    if (!is_answer(rc, err))
        wrong("%s: %s is no answer to this: %s", what, txkv_rc_name(rc), err->text);
    if ((rc == TXKV_IOERR || rc == TXKV_FULL || rc == TXKV_CANTOPEN) &&
        !says(err, "cannot start ") && !says(err, scene_dir))
        wrong("%s: %s does not say where: %s", what, txkv_rc_name(rc), err->text);
    memset(err, 0, sizeof *err);
    return false;
}

bool
answered(enum txkv_rc rc, struct txkv_error *err, const char *what)
{
    return answered_or(rc, TXKV_OK, err, what);
}

static uint64_t
count_handles(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;

    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

/* Maps of the scene's files; their first one is left in `which`. */
static uint64_t
count_maps(char which[TEST_PATH_BYTES])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    static char line[1024];
    uint64_t n = 0;

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        const char *path = strstr(line, scene_dir);
        if (path == NULL)
            continue;
        if (n++ == 0)
            (void)snprintf(which, TEST_PATH_BYTES, "%.*s", (int)strcspn(path, "\n"), path);
    }
    if (maps != NULL)
        (void)fclose(maps);
    return n;
}

static struct held
count_held(char which[TEST_PATH_BYTES])
{
    return (struct held){ count_handles(), count_maps(which), failing_live(),
                          sqlite3_memory_used() };
}

void
scene_holds(void)
{
    char which[TEST_PATH_BYTES];

    held_before = count_held(which);
}

void
scene_leaks(void)
{
    char which[TEST_PATH_BYTES] = "";
    const struct held now = count_held(which);

    if (now.handles != held_before.handles)
        leaked("%lld file descriptors are left open",
               (long long)(now.handles - held_before.handles));
    if (now.maps != held_before.maps)
        leaked("%lld maps are left: %s", (long long)(now.maps - held_before.maps), which);
    if (now.allocations != held_before.allocations)
        leaked("%lld allocations of the store are left",
               (long long)(now.allocations - held_before.allocations));
    if (now.sqlite_bytes != held_before.sqlite_bytes)
        leaked("%lld bytes of SQLite's are left",
               (long long)(now.sqlite_bytes - held_before.sqlite_bytes));
}

bool
scene_has(const char *name)
{
    char path[TEST_PATH_BYTES];

    scene_path(path, name);
    return access(path, F_OK) == 0;
}

static const char *looked_for;
static uint64_t looked_at;

static int
look(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    looked_at += strstr(path + at->base, looked_for) != NULL;
    return 0;
}

uint64_t
scene_names(const char *part)
{
    looked_for = part;
    looked_at = 0;
    if (nftw(scene_dir, look, 8, FTW_PHYS) != 0)
        test_die("cannot look into %s", scene_dir);
    return looked_at;
}

static int
digest(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    static uint8_t bytes[1 << 16];
    uint64_t sum = (uint64_t)st->st_size;
    ssize_t n;
    int fd;

    (void)at;
    if (kind != FTW_F)
        return 0;
    for (const char *c = path; *c != '\0'; c++)
        sum = mix64(sum + (uint8_t)*c);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ bytes[i]) * 0x100000001b3;
    (void)close(fd);
    looked_at += mix64(sum); /* whatever the order of the files */
    return 0;
}

uint64_t
scene_digest(void)
{
    looked_at = 0;
    if (nftw(scene_dir, digest, 8, FTW_PHYS) != 0)
        test_die("cannot look into %s", scene_dir);
    return looked_at;
}
