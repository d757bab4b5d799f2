/*
 * failing.c - see failing.h.
 *
 * The definitions here come before those of the C library for every caller in the process, since
 * the dynamic linker looks into the program first. SQLite is told apart by the names with a 64,
 * which it alone calls: of its calls that only look and of its locks none fails, since SQLite takes
 * a file that it cannot look at for one that is not there, and counts on unlocking. LMDB takes a
 * lock that it does not get for that of another process, and a short read for a foreign file: these
 * do not happen either.
 */
/* Some of them are functions in the headers then, and cannot be defined here. */
#undef _FORTIFY_SOURCE

#include "failing.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../support/support.h"

#define OVERRIDE __attribute__((visibility("default")))
#define BIT(way) (1u << (way))

enum { FDS = 4096, STACK = 6 };

/* The ways in which a call can fail that... */
enum {
    LOOKS = BIT(WAY_EIO) | BIT(WAY_EIO_STAYS),
    WAITS = BIT(WAY_EINTR),
    FILLS = BIT(WAY_ENOSPC) | BIT(WAY_ENOSPC_STAYS) | BIT(WAY_EDQUOT),
    OPENS = LOOKS | BIT(WAY_EMFILE),
    READS = LOOKS | WAITS | BIT(WAY_SHORT),
    WRITES = READS | FILLS
};

static char base[PATH_MAX];
static size_t base_bytes;
static atomic_bool followed[FDS];
static atomic_int armed = -1; /* enum failing_kind, or -1: nothing counts */
static atomic_int armed_way;
static atomic_bool armed_stays;
static atomic_bool fired;
static atomic_uint_fast64_t armed_n;
static atomic_uint_fast64_t counts[FAILING_THREAD + 1];
static _Atomic(const char *) failed_call;
static struct failing_point *noted;
static uint64_t noted_room;
static sqlite3_mem_methods sqlite_memory;
static uintptr_t lmdb_begin, lmdb_end;

static struct {
    int (*open)(const char *path, int flags, ...);
    int (*close)(int fd);
    ssize_t (*read)(int fd, void *data, size_t bytes);
    ssize_t (*write)(int fd, const void *data, size_t bytes);
    ssize_t (*pread)(int fd, void *data, size_t bytes, off_t offset);
    ssize_t (*pwrite)(int fd, const void *data, size_t bytes, off_t offset);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
    int (*ftruncate)(int fd, off_t bytes);
    int (*posix_fallocate)(int fd, off_t offset, off_t bytes);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*fstat)(int fd, struct stat *st);
    int (*stat)(const char *path, struct stat *st);
    int (*lstat)(const char *path, struct stat *st);
    int (*statfs)(const char *path, struct statfs *st);
    int (*fstatfs)(int fd, struct statfs *st);
    int (*fchmod)(int fd, mode_t mode);
    int (*flock)(int fd, int how);
    int (*fcntl)(int fd, int command, ...);
    void *(*mmap)(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    DIR *(*opendir)(const char *path);
    struct dirent *(*readdir)(DIR *dir);
    int (*pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
} real;

const char *
failing_way_name(enum failing_way way)
{
    static const char *const names[WAYS] = {
        "EIO",    "EIO from then on", "ENOSPC", "ENOSPC from then on", "EDQUOT", "EINTR",
        "EMFILE", "ENOMEM",           "short",
    };

    return names[way];
}

/* dlsym returns a pointer to an object, and C has no cast from that to a function. */
static void
find(const char *name, void *out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    if (symbol == NULL)
        test_die("the C library has no %s", name);
    memcpy(out, &symbol, sizeof symbol);
}

/* Before main, and before the first of them: the libraries' own beginnings already make calls. */
__attribute__((constructor)) static void
find_calls(void)
{
    if (real.pthread_create != NULL)
        return;
#define FIND(name) find(#name, &real.name)
    FIND(open);
    FIND(close);
    FIND(read);
    FIND(write);
    FIND(pread);
    FIND(pwrite);
    FIND(writev);
    FIND(ftruncate);
    FIND(posix_fallocate);
    FIND(fsync);
    FIND(fdatasync);
    FIND(fstat);
    FIND(stat);
    FIND(lstat);
    FIND(statfs);
    FIND(fstatfs);
    FIND(fchmod);
    FIND(flock);
    FIND(fcntl);
    FIND(mmap);
    FIND(rename);
    FIND(link);
    FIND(unlink);
    FIND(mkdir);
    FIND(rmdir);
    FIND(opendir);
    FIND(readdir);
    FIND(pthread_create);
#undef FIND
}

/* ---- which call fails ---- */

static int
error_of(enum failing_way way)
{
    static const int errors[WAYS] = { EIO, EIO, ENOSPC, ENOSPC, EDQUOT, EINTR, EMFILE, ENOMEM, 0 };

    return errors[way];
}

/* A number for the functions that have called the one that called this. */
static uint64_t
place_of(void)
{
    void *callers[STACK];
    const int depth = backtrace(callers, STACK);
    uint64_t place = 0;

    for (int i = 0; i < depth; i++)
        place = mix64(place ^ (uint64_t)(uintptr_t)callers[i]);
    return place;
}

/* One more of a kind; true when it is the one that is to fail. */
static bool
is_the_one(enum failing_kind kind)
{
    const uint64_t n = atomic_fetch_add(&counts[kind], 1) + 1;

    if (atomic_load(&armed) != (int)kind)
        return false;
    return n == atomic_load(&armed_n) || (n > atomic_load(&armed_n) && atomic_load(&armed_stays));
}

/*
 * A call on a file is about to be made: false, and errno, when it is to fail. *is_short: the call
 * that can be short is to be it, where that is allowed.
 */
static bool
goes_on(bool counts_here, const char *name, unsigned ways, bool *is_short)
{
    const enum failing_way way = (enum failing_way)atomic_load(&armed_way);
    bool first, fails;

    find_calls();
    if (!counts_here || atomic_load(&armed) < 0)
        return true;
    if (atomic_load(&armed) == FAILING_NOTHING) {
        const uint64_t n = atomic_fetch_add(&counts[FAILING_CALL], 1);
        if (n < noted_room) {
            noted[n].ways = ways;
            noted[n].place = place_of();
        }
        return true;
    }
    fails = is_the_one(FAILING_CALL) && (ways & BIT(way)) != 0;
    first = fails && !atomic_exchange(&fired, true);
    if (!fails)
        return true;
    if (first)
        atomic_store(&failed_call, name);
    if (way == WAY_SHORT) {
        *is_short = true;
        return true;
    }
    errno = error_of(way);
    return false;
}

static bool
is_below(const char *path)
{
    return base_bytes > 0 && strncmp(path, base, base_bytes) == 0;
}

static bool
is_followed(int fd)
{
    return fd >= 0 && fd < FDS && atomic_load(&followed[fd]);
}

static void
follow(int fd, bool yes)
{
    if (fd >= 0 && fd < FDS)
        atomic_store(&followed[fd], yes);
}

static bool
is_of_lmdb(const void *caller)
{
    return (uintptr_t)caller >= lmdb_begin && (uintptr_t)caller < lmdb_end;
}

/* ---- the calls ---- */

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name,cert-dcl37-c,
   bugprone-reserved-identifier): the C library's names. */

/* A call that is made or fails: `where` says whether it counts. */
#define CALL(type, name, parameters, failure, where, ways, real_name, ...)                         \
    OVERRIDE type name parameters                                                                  \
    {                                                                                              \
        bool is_short;                                                                             \
                                                                                                   \
        return goes_on(where, #real_name, ways, &is_short) ? real.real_name(__VA_ARGS__)           \
                                                           : (failure);                            \
    }

/* The same with a number of bytes, which can be too few. */
#define TRANSFER(name, parameters, ways, real_name, bytes, ...)                                    \
    OVERRIDE ssize_t name parameters                                                               \
    {                                                                                              \
        bool is_short = false;                                                                     \
                                                                                                   \
        if (!goes_on(is_followed(fd), #real_name, ways, &is_short))                                \
            return -1;                                                                             \
        if (is_short && (bytes) > 1)                                                               \
            (bytes) /= 2;                                                                          \
        return real.real_name(__VA_ARGS__);                                                        \
    }

static int
open_or_fail(const char *path, int flags, mode_t mode)
{
    const bool below = is_below(path);
    bool is_short;
    int fd;

    if (!goes_on(below, "open", OPENS | WAITS | ((flags & O_CREAT) != 0 ? FILLS : 0), &is_short))
        return -1;
    fd = real.open(path, flags, mode);
    follow(fd, below);
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
        return open_or_fail(path, flags, mode);                                                    \
    }

OPEN(open)
OPEN(open64)

/* Linux has closed the descriptor when close reports an error. */
OVERRIDE int
close(int fd)
{
    const bool counts_here = is_followed(fd);
    bool is_short;
    int rc;

    find_calls();
    follow(fd, false);
    rc = real.close(fd);
    return goes_on(counts_here, "close", LOOKS | WAITS, &is_short) ? rc : -1;
}

TRANSFER(read, (int fd, void *data, size_t bytes), READS, read, bytes, fd, data, bytes)
TRANSFER(write, (int fd, const void *data, size_t bytes), WRITES, write, bytes, fd, data, bytes)
TRANSFER(pread, (int fd, void *data, size_t bytes, off_t offset),
         READS & ~(is_of_lmdb(__builtin_return_address(0)) ? BIT(WAY_SHORT) : 0), pread, bytes, fd,
         data, bytes, offset)
TRANSFER(pread64, (int fd, void *data, size_t bytes, off64_t offset), READS, pread, bytes, fd, data,
         bytes, offset)
TRANSFER(pwrite, (int fd, const void *data, size_t bytes, off_t offset), WRITES, pwrite, bytes, fd,
         data, bytes, offset)
TRANSFER(pwrite64, (int fd, const void *data, size_t bytes, off64_t offset), WRITES, pwrite, bytes,
         fd, data, bytes, offset)
TRANSFER(writev, (int fd, const struct iovec *parts, int count), WRITES, writev, count, fd, parts,
         count)

CALL(int, ftruncate, (int fd, off_t bytes), -1, is_followed(fd), LOOKS | WAITS | FILLS, ftruncate,
     fd, bytes)
CALL(int, ftruncate64, (int fd, off64_t bytes), -1, is_followed(fd), LOOKS | WAITS | FILLS,
     ftruncate, fd, bytes)
CALL(int, posix_fallocate, (int fd, off_t offset, off_t bytes), errno, is_followed(fd),
     LOOKS | WAITS | FILLS, posix_fallocate, fd, offset, bytes)
CALL(int, fsync, (int fd), -1, is_followed(fd), LOOKS | WAITS | FILLS, fsync, fd)
CALL(int, fdatasync, (int fd), -1, is_followed(fd), LOOKS | WAITS | FILLS, fdatasync, fd)
CALL(int, fstat, (int fd, struct stat *st), -1, is_followed(fd), LOOKS, fstat, fd, st)
CALL(int, stat, (const char *path, struct stat *st), -1, is_below(path), LOOKS, stat, path, st)
CALL(int, lstat, (const char *path, struct stat *st), -1, is_below(path), LOOKS, lstat, path, st)
CALL(int, statfs, (const char *path, struct statfs *st), -1, is_below(path), LOOKS | WAITS, statfs,
     path, st)
CALL(int, fstatfs, (int fd, struct statfs *st), -1, is_followed(fd), LOOKS | WAITS, fstatfs, fd, st)
CALL(int, fchmod, (int fd, mode_t mode), -1, is_followed(fd), LOOKS, fchmod, fd, mode)
CALL(int, flock, (int fd, int how), -1, is_followed(fd) && how != LOCK_UN, LOOKS | WAITS, flock, fd,
     how)
CALL(void *, mmap, (void *at, size_t bytes, int prot, int flags, int fd, off_t offset), MAP_FAILED,
     is_followed(fd), BIT(WAY_ENOMEM), mmap, at, bytes, prot, flags, fd, offset)
CALL(int, rename, (const char *from, const char *to), -1, is_below(to), LOOKS | FILLS, rename, from,
     to)
CALL(int, link, (const char *from, const char *to), -1, is_below(to), LOOKS | FILLS, link, from, to)
CALL(int, unlink, (const char *path), -1, is_below(path), LOOKS, unlink, path)
CALL(int, mkdir, (const char *path, mode_t mode), -1, is_below(path), LOOKS | FILLS, mkdir, path,
     mode)
CALL(int, rmdir, (const char *path), -1, is_below(path), LOOKS, rmdir, path)
CALL(DIR *, opendir, (const char *path), NULL, is_below(path), OPENS | BIT(WAY_ENOMEM), opendir,
     path)
CALL(struct dirent *, readdir, (DIR * dir), NULL, atomic_load(&armed) >= 0, LOOKS, readdir, dir)

/* What older glibcs call fstat; LMDB of Debian 12 does. */
int __fxstat(int version, int fd, struct stat *st);

OVERRIDE int
__fxstat(int version, int fd, struct stat *st)
{
    (void)version;
    return fstat(fd, st);
}

OVERRIDE int
fcntl(int fd, int command, ...)
{
    bool is_short, locks;
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    find_calls();
    locks = command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK;
    if (locks && ((struct flock *)argument)->l_type != F_UNLCK &&
        !goes_on(is_followed(fd), "fcntl", LOOKS | WAITS, &is_short))
        return -1;
    return real.fcntl(fd, command, argument);
}

OVERRIDE int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
               void *argument)
{
    find_calls();
    if (atomic_load(&armed) >= 0 && is_the_one(FAILING_THREAD)) {
        atomic_store(&fired, true);
        return EAGAIN;
    }
    return real.pthread_create(thread, attributes, run, argument);
}

/* ---- allocations ---- */

/* A sanitizer has an allocator of its own: there LMDB's allocations do not fail. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 1
#endif
#endif

#ifndef OWN_ALLOCATOR
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

static bool
lmdb_runs_out(const void *caller)
{
    if (!is_of_lmdb(caller) || atomic_load(&armed) < 0 || !is_the_one(FAILING_LMDB))
        return false;
    atomic_store(&fired, true);
    errno = ENOMEM;
    return true;
}

OVERRIDE void *
malloc(size_t bytes)
{
    return lmdb_runs_out(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

OVERRIDE void *
calloc(size_t count, size_t bytes)
{
    return lmdb_runs_out(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}

OVERRIDE void *
realloc(void *p, size_t bytes)
{
    return lmdb_runs_out(__builtin_return_address(0)) ? NULL : __libc_realloc(p, bytes);
}

OVERRIDE char *
strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = lmdb_runs_out(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}
#endif
/* NOLINTEND(readability-inconsistent-declaration-parameter-name,cert-dcl37-c,
   bugprone-reserved-identifier) */

static bool
sqlite_runs_out(void)
{
    if (atomic_load(&armed) < 0 || !is_the_one(FAILING_SQLITE))
        return false;
    atomic_store(&fired, true);
    return true;
}

static void *
sqlite_malloc(int bytes)
{
    return sqlite_runs_out() ? NULL : sqlite_memory.xMalloc(bytes);
}

static void *
sqlite_realloc(void *p, int bytes)
{
    return sqlite_runs_out() ? NULL : sqlite_memory.xRealloc(p, bytes);
}

static int
find_lmdb(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    if (strstr(info->dlpi_name, "liblmdb") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        if (info->dlpi_phdr[i].p_type != PT_LOAD || (info->dlpi_phdr[i].p_flags & PF_X) == 0)
            continue;
        lmdb_begin = begin;
        lmdb_end = begin + info->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

/* ---- the test's side ---- */

void
failing_install(const char *directory)
{
    sqlite3_mem_methods failing;
    void *callers[STACK];

    base_bytes = strlen(directory);
    memcpy(base, directory, base_bytes + 1);
    (void)dl_iterate_phdr(find_lmdb, NULL);
    (void)backtrace(callers, STACK); /* loads what it needs */
    (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    failing = sqlite_memory;
    failing.xMalloc = sqlite_malloc;
    failing.xRealloc = sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK)
        test_die("SQLite does not take another allocator");
}

static void
start(enum failing_kind kind, uint64_t n, enum failing_way way, bool stays)
{
    for (int i = 0; i <= FAILING_THREAD; i++)
        atomic_store(&counts[i], 0);
    atomic_store(&fired, false);
    atomic_store(&failed_call, "");
    atomic_store(&armed_n, n);
    atomic_store(&armed_way, way);
    atomic_store(&armed_stays, stays);
    atomic_store(&armed, kind);
}

void
failing_arm(enum failing_kind kind, uint64_t n, enum failing_way way, bool stays)
{
    const bool way_stays = way == WAY_EIO_STAYS || way == WAY_ENOSPC_STAYS;

    start(kind, n, way, kind == FAILING_CALL ? way_stays : stays);
    if (kind == FAILING_MEMORY)
        tx_mem_fail_at(n, stays);
}

void
failing_count(struct failing_point *points, uint64_t room)
{
    noted = points;
    noted_room = room;
    start(FAILING_NOTHING, 0, WAY_EIO, false);
    tx_mem_fail_at(UINT64_MAX, false);
}

void
failing_disarm(void)
{
    atomic_store(&armed, -1);
    tx_mem_fail_at(0, false);
}

bool
failing_fired(void)
{
    return atomic_load(&fired);
}

const char *
failing_call(void)
{
    return atomic_load(&failed_call);
}

uint64_t
failing_counted(enum failing_kind kind)
{
    return kind == FAILING_MEMORY ? tx_mem_fail_count() : atomic_load(&counts[kind]);
}

uint64_t
failing_live(void)
{
    return tx_mem_live();
}
