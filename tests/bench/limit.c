/*
 * limit.c - a run in less memory than its data take.
 *
 * The run's process is put into a control group with a limit, to which the kernel charges the pages
 * of files as well that it brings into memory; those that are there already are let go of before.
 * That takes root, and the memory controller in either of its two versions.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* A group's directory and the file that takes its limit. */
static const struct {
    const char *parent, *file;
} hierarchies[] = { { "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
                    { "/sys/fs/cgroup", "memory.max" } };

static bool
write_number(const char *path, int64_t number)
{
    FILE *f = fopen(path, "we");
    bool good = f && fprintf(f, "%" PRId64, number) > 0;
    if (f)
        good &= fclose(f) == 0;
    return good;
}

bool
limit_make(char group[PATH_BYTES], uint32_t mb)
{
    char path[PATH_BYTES + 64];
    for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++) {
        (void)snprintf(group, PATH_BYTES, "%s/txkv-bench-%d", hierarchies[i].parent, (int)getpid());
        if (mkdir(group, 0700) != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", group, hierarchies[i].file);
        if (access(path, W_OK) == 0 && write_number(path, (int64_t)mb << 20))
            return true;
        (void)rmdir(group);
    }
    group[0] = 0;
    return false;
}

bool
limit_enter(const char *group)
{
    char path[PATH_BYTES + 64];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    return write_number(path, (int64_t)getpid());
}

void
limit_remove(const char *group)
{
    const struct timespec moment = { 0, 10000000 };
    /* The kernel may still be at taking the process down. */
    for (int i = 0; i < 100 && rmdir(group) != 0 && errno == EBUSY; i++)
        (void)nanosleep(&moment, NULL);
}

static void
each_file(const char *dir, void (*fn)(int fd))
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[2 * PATH_BYTES];
    /* One thread reads it. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (d && (entry = readdir(d)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0) {
            fn(fd);
            (void)close(fd);
        }
    }
    if (d)
        (void)closedir(d);
}

static void
forget(int fd)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void
recall(int fd)
{
    static char buffer[1 << 20];
    while (read(fd, buffer, sizeof(buffer)) > 0)
        continue;
}

void
limit_forget(const char *dir)
{
    each_file(dir, forget);
}

void
limit_recall(const char *dir)
{
    each_file(dir, recall);
}
