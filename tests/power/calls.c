/*
 * calls.c - see calls.h.
 *
 * The definitions here come before those of the C library for every caller in the process, since
 * the dynamic linker looks into the program first.
 */
#include "calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

struct calls calls_real;

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's names have
 * underscores. */

#define OVERRIDE __attribute__((visibility("default")))

/* dlsym returns a pointer to an object, and C has no cast from that to a function. */
static void
find(const char *name, void *out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    if (symbol == NULL)
        test_die("the C library has no %s", name);
    memcpy(out, &symbol, sizeof symbol);
}

__attribute__((constructor)) void
calls_install(void)
{
    if (calls_real.open != NULL)
        return;
    find("close", &calls_real.close);
    find("write", &calls_real.write);
    find("writev", &calls_real.writev);
    find("pwrite", &calls_real.pwrite);
    find("ftruncate", &calls_real.ftruncate);
    find("posix_fallocate", &calls_real.posix_fallocate);
    find("rename", &calls_real.rename);
    find("unlink", &calls_real.unlink);
    find("mkdir", &calls_real.mkdir);
    find("open", &calls_real.open);
}

static int
open_followed(const char *path, int flags, mode_t mode)
{
    int fd;

    calls_install();
    disk_stop((flags & (O_CREAT | O_TRUNC)) != 0);
    fd = calls_real.open(path, flags, mode);
    disk_opened(path, fd, flags);
    disk_go_on();
    return fd;
}

#define OPEN(name)                                                                                 \
    OVERRIDE int name(const char *path, int flags, ...)                                            \
    {                                                                                              \
        va_list arguments;                                                                         \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(arguments, flags);                                                                \
        mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;                             \
        va_end(arguments);                                                                         \
        return open_followed(path, flags, mode);                                                   \
    }

OPEN(open)
OPEN(open64)

OVERRIDE int
close(int fd)
{
    int rc;

    calls_install();
    disk_stop(false);
    disk_closed(fd);
    rc = calls_real.close(fd);
    disk_go_on();
    return rc;
}

static ssize_t
pwrite_followed(int fd, const void *data, size_t bytes, off_t offset)
{
    ssize_t written;

    calls_install();
    disk_stop(true);
    written = calls_real.pwrite(fd, data, bytes, offset);
    if (written > 0)
        disk_written(fd, offset, (size_t)written);
    disk_go_on();
    return written;
}

OVERRIDE ssize_t
pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    return pwrite_followed(fd, data, bytes, offset);
}

OVERRIDE ssize_t
pwrite64(int fd, const void *data, size_t bytes, off64_t offset)
{
    return pwrite_followed(fd, data, bytes, offset);
}

/* Another call that changes a file's bytes. */
#define CHANGING(type, name, real, parameters, ...)                                                \
    OVERRIDE type name parameters                                                                  \
    {                                                                                              \
        type result;                                                                               \
                                                                                                   \
        calls_install();                                                                           \
        disk_stop(true);                                                                           \
        result = calls_real.real(__VA_ARGS__);                                                     \
        disk_changed(fd);                                                                          \
        disk_go_on();                                                                              \
        return result;                                                                             \
    }

CHANGING(ssize_t, writev, writev, (int fd, const struct iovec *parts, int count), fd, parts, count)
CHANGING(ssize_t, write, write, (int fd, const void *data, size_t bytes), fd, data, bytes)
CHANGING(int, ftruncate, ftruncate, (int fd, off_t bytes), fd, bytes)
CHANGING(int, ftruncate64, ftruncate, (int fd, off64_t bytes), fd, bytes)
CHANGING(int, posix_fallocate, posix_fallocate, (int fd, off_t offset, off_t bytes), fd, offset,
         bytes)

/* Takes a moment, in which others go on writing. */
static int
sync_followed(int fd)
{
    const struct timespec moment = { 0, 20000 };
    struct disk_sync *sync;

    disk_stop(true);
    sync = disk_sync_begin(fd);
    disk_go_on();
    if (sync == NULL)
        return 0;
    (void)nanosleep(&moment, NULL);
    disk_stop(true);
    disk_sync_end(sync);
    disk_go_on();
    return 0;
}

OVERRIDE int
fsync(int fd)
{
    return sync_followed(fd);
}

OVERRIDE int
fdatasync(int fd)
{
    return sync_followed(fd);
}

OVERRIDE int
rename(const char *from, const char *to)
{
    int rc;

    disk_stop(true);
    rc = calls_real.rename(from, to);
    if (rc == 0) {
        disk_named(to);
        disk_unnamed(from);
    }
    disk_go_on();
    return rc;
}

OVERRIDE int
unlink(const char *path)
{
    int rc;

    disk_stop(true);
    rc = calls_real.unlink(path);
    if (rc == 0)
        disk_unnamed(path);
    disk_go_on();
    return rc;
}

OVERRIDE int
mkdir(const char *path, mode_t mode)
{
    int rc;

    disk_stop(true);
    rc = calls_real.mkdir(path, mode);
    if (rc == 0)
        disk_named(path);
    disk_go_on();
    return rc;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
