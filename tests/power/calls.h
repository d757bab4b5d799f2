/*
 * calls.h - the C library's file calls, as the tests of power failures see them.
 *
 * calls.c defines open, pwrite, fdatasync and the others of their kind, so that every call of the
 * program and of the libraries in it comes there first, tells follow.c, and goes on to the C
 * library. Nothing is really synced: a kill is not a power failure, and the disk of the test is
 * memory.
 *
 * Threads: any.
 */
#ifndef TXKV_TEST_CALLS_H
#define TXKV_TEST_CALLS_H

#include <sys/types.h>
#include <sys/uio.h>

/* The C library's own. */
struct calls {
    int (*open)(const char *path, int flags, ...);
    int (*close)(int fd);
    ssize_t (*write)(int fd, const void *data, size_t bytes);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
    ssize_t (*pwrite)(int fd, const void *data, size_t bytes, off_t offset);
    int (*ftruncate)(int fd, off_t bytes);
    int (*posix_fallocate)(int fd, off_t offset, off_t bytes);
    int (*rename)(const char *from, const char *to);
    int (*renameat2)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
    int (*link)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*rmdir)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
};

extern struct calls calls_real;

/* Find the C library's calls. By the main thread, before there is another one. */
void calls_install(void);

#endif /* TXKV_TEST_CALLS_H */
