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

#include "follow.h"

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
    find("renameat2", &calls_real.renameat2);
    find("link", &calls_real.link);
    find("unlink", &calls_real.unlink);
    find("rmdir", &calls_real.rmdir);
    find("mkdir", &calls_real.mkdir);
    find("open", &calls_real.open);
}

static int
open_followed(const char *path, int flags, mode_t mode)
{
    int fd;

    calls_install();
    follow_stop((flags & (O_CREAT | O_TRUNC)) != 0);
    fd = calls_real.open(path, flags, mode);
    follow_opened(path, fd, flags);
    follow_go_on();
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
    follow_stop(false);
    follow_closed(fd);
    rc = calls_real.close(fd);
    follow_go_on();
    return rc;
}

static ssize_t
pwrite_followed(int fd, const void *data, size_t bytes, off_t offset)
{
    ssize_t written;

    calls_install();
    follow_stop(true);
    written = calls_real.pwrite(fd, data, bytes, offset);
    if (written > 0)
        follow_written(fd, offset, (size_t)written);
    follow_go_on();
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
        follow_stop(true);                                                                         \
        result = calls_real.real(__VA_ARGS__);                                                     \
        follow_changed(fd);                                                                        \
        follow_go_on();                                                                            \
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

    follow_stop(true);
    sync = follow_sync_begin(fd);
    follow_go_on();
    if (sync == NULL)
        return 0;
    (void)nanosleep(&moment, NULL);
    follow_stop(true);
    follow_sync_end(sync);
    follow_go_on();
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

    follow_stop(true);
    rc = calls_real.rename(from, to);
    if (rc == 0) {
        follow_named(to);
        follow_unnamed(from);
    }
    follow_go_on();
    return rc;
}

OVERRIDE int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    int rc;

    if (from_dir != AT_FDCWD || to_dir != AT_FDCWD || (flags & ~(unsigned)RENAME_NOREPLACE) != 0)
        test_die("a renameat2 that the disk's model does not know");
    follow_stop(true);
    rc = calls_real.renameat2(from_dir, from, to_dir, to, flags);
    if (rc == 0) {
        follow_named(to);
        follow_unnamed(from);
    }
    follow_go_on();
    return rc;
}

OVERRIDE int
link(const char *from, const char *to)
{
    int rc;

    follow_stop(true);
    rc = calls_real.link(from, to);
    if (rc == 0)
        follow_named(to);
    follow_go_on();
    return rc;
}

/* A call that takes a name away. */
#define REMOVING(name)                                                                             \
    OVERRIDE int name(const char *path)                                                            \
    {                                                                                              \
        int rc;                                                                                    \
                                                                                                   \
        follow_stop(true);                                                                         \
        rc = calls_real.name(path);                                                                \
        if (rc == 0)                                                                               \
            follow_unnamed(path);                                                                  \
        follow_go_on();                                                                            \
        return rc;                                                                                 \
    }

REMOVING(unlink)
REMOVING(rmdir)

OVERRIDE int
mkdir(const char *path, mode_t mode)
{
    int rc;

    follow_stop(true);
    rc = calls_real.mkdir(path, mode);
    if (rc == 0)
        follow_named(path);
    follow_go_on();
    return rc;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
