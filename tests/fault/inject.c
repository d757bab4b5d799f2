/*
 * inject.c - see inject.h.
 */
#include "inject.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/os.h"

static atomic_int armed_kind;
static atomic_int armed_error;
static atomic_bool armed_forever;
static atomic_uint_fast64_t calls_left; /* calls of the kind up to and with the one that fails */
static atomic_bool fired;

const char *
inject_name(enum inject_kind kind)
{
    static const char *const names[INJECT_KINDS] = { "open",      "close", "fstat",  "fallocate",
                                                     "ftruncate", "pread", "pwrite", "fdatasync",
                                                     "fsync",     "mmap",  "munmap", "unlink",
                                                     "rename",    "mkdir", "lock" };

    return names[kind];
}

/* The errno value that this call is to fail with, or 0. */
static int
fault_of(enum inject_kind kind)
{
    uint64_t left;

    if (atomic_load(&armed_kind) != (int)kind)
        return 0;
    left = atomic_load(&calls_left);
    while (left > 0 && !atomic_compare_exchange_weak(&calls_left, &left, left - 1))
        ;
    if (left != 1 && !(left == 0 && atomic_load(&armed_forever)))
        return 0;
    atomic_store(&fired, true);
    return atomic_load(&armed_error);
}

static bool
fails(enum inject_kind kind)
{
    const int error = fault_of(kind);

    if (error != 0)
        errno = error;
    return error != 0;
}

static int
open_or_fail(const char *path, int flags, mode_t mode)
{
    return fails(INJECT_OPEN) ? -1 : tx_os_system.open(path, flags, mode);
}

/* Linux has closed the descriptor when close reports an error. */
static int
close_or_fail(int fd)
{
    const int error = fault_of(INJECT_CLOSE);
    const int rc = tx_os_system.close(fd);

    if (error == 0)
        return rc;
    errno = error;
    return -1;
}

static int
fstat_or_fail(int fd, struct stat *st)
{
    return fails(INJECT_FSTAT) ? -1 : tx_os_system.fstat(fd, st);
}

static int
fallocate_or_fail(int fd, off_t offset, off_t bytes)
{
    const int error = fault_of(INJECT_FALLOCATE);

    return error != 0 ? error : tx_os_system.fallocate(fd, offset, bytes);
}

static int
ftruncate_or_fail(int fd, off_t bytes)
{
    return fails(INJECT_FTRUNCATE) ? -1 : tx_os_system.ftruncate(fd, bytes);
}

static ssize_t
pread_or_fail(int fd, void *buffer, size_t bytes, off_t offset)
{
    return fails(INJECT_PREAD) ? -1 : tx_os_system.pread(fd, buffer, bytes, offset);
}

static ssize_t
pwrite_or_fail(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return fails(INJECT_PWRITE) ? -1 : tx_os_system.pwrite(fd, buffer, bytes, offset);
}

static int
fdatasync_or_fail(int fd)
{
    return fails(INJECT_FDATASYNC) ? -1 : tx_os_system.fdatasync(fd);
}

static int
fsync_or_fail(int fd)
{
    return fails(INJECT_FSYNC) ? -1 : tx_os_system.fsync(fd);
}

static void *
mmap_or_fail(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    return fails(INJECT_MMAP) ? MAP_FAILED : tx_os_system.mmap(bytes, prot, flags, fd, offset);
}

static int
munmap_or_fail(void *address, size_t bytes)
{
    return fails(INJECT_MUNMAP) ? -1 : tx_os_system.munmap(address, bytes);
}

static int
unlink_or_fail(const char *path)
{
    return fails(INJECT_UNLINK) ? -1 : tx_os_system.unlink(path);
}

static int
rename_or_fail(const char *from, const char *to)
{
    return fails(INJECT_RENAME) ? -1 : tx_os_system.rename(from, to);
}

static int
mkdir_or_fail(const char *path, mode_t mode)
{
    return fails(INJECT_MKDIR) ? -1 : tx_os_system.mkdir(path, mode);
}

static int
lock_or_fail(int fd, off_t byte, short type)
{
    return fails(INJECT_LOCK) ? -1 : tx_os_system.lock(fd, byte, type);
}

static int
locked_or_fail(int fd, off_t byte)
{
    return fails(INJECT_LOCK) ? -1 : tx_os_system.locked(fd, byte);
}

void
inject_arm(enum inject_kind kind, uint64_t n, int error, bool forever)
{
    atomic_store(&armed_kind, (int)kind);
    atomic_store(&armed_error, error);
    atomic_store(&armed_forever, forever);
    atomic_store(&calls_left, n);
    atomic_store(&fired, false);
    tx_os = (struct tx_os){ .open = open_or_fail,
                            .close = close_or_fail,
                            .fstat = fstat_or_fail,
                            .fallocate = fallocate_or_fail,
                            .ftruncate = ftruncate_or_fail,
                            .pread = pread_or_fail,
                            .pwrite = pwrite_or_fail,
                            .fdatasync = fdatasync_or_fail,
                            .fsync = fsync_or_fail,
                            .mmap = mmap_or_fail,
                            .munmap = munmap_or_fail,
                            .advise = tx_os_system.advise,
                            .memory_bytes = tx_os_system.memory_bytes,
                            .unlink = unlink_or_fail,
                            .rename = rename_or_fail,
                            .link = link,
                            .mkdir = mkdir_or_fail,
                            .rmdir = rmdir,
                            .lock = lock_or_fail,
                            .locked = locked_or_fail,
                            .statfs = statfs,
                            .time_ms = tx_os_system.time_ms };
}

void
inject_disarm(void)
{
    tx_os = tx_os_system;
}

bool
inject_fired(void)
{
    return atomic_load(&fired);
}
