/*
 * os.c - the system's file, map, lock and clock calls.
 */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

static int
system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int
system_fstat(int fd, struct stat *st)
{
    return fstat(fd, st);
}

static void *
system_mmap(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    return mmap(NULL, bytes, prot, flags, fd, offset);
}

/* An OFD lock belongs to the open file, so that closing another descriptor of it keeps the lock. */
static int
system_lock(int fd, off_t byte, short type)
{
    struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &range);
}

static int
system_locked(int fd, off_t byte)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    if (fcntl(fd, F_OFD_GETLK, &range) != 0)
        return -1;
    return range.l_type != F_UNLCK;
}

static uint64_t
system_time_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t
system_memory_bytes(void)
{
    return tx_os_memory_limit("");
}

/* The table's initial contents, twice: a struct cannot be initialized from another one. */
#define SYSTEM_CALLS                                                                               \
    {                                                                                              \
        .open = system_open, .close = close, .fstat = system_fstat, .fallocate = posix_fallocate,  \
        .ftruncate = ftruncate, .pread = pread, .pwrite = pwrite, .fdatasync = fdatasync,          \
        .fsync = fsync, .mmap = system_mmap, .munmap = munmap, .advise = madvise,                  \
        .memory_bytes = system_memory_bytes, .unlink = unlink, .rename = rename, .link = link,     \
        .mkdir = mkdir, .rmdir = rmdir, .lock = system_lock, .locked = system_locked,              \
        .statfs = statfs, .time_ms = system_time_ms                                                \
    }

struct tx_os tx_os = SYSTEM_CALLS;
const struct tx_os tx_os_system = SYSTEM_CALLS;

static uint64_t
read_clock_us(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
tx_os_now_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

uint64_t
tx_os_coarse_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC_COARSE);
}

int
tx_os_allocate(int fd, uint64_t bytes)
{
    int e;

    do
        e = tx_os.fallocate(fd, 0, (off_t)bytes);
    while (e == EINTR);
    return e;
}

ssize_t
tx_os_read(int fd, void *buffer, size_t bytes, off_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        const ssize_t n =
            tx_os.pread(fd, (uint8_t *)buffer + done, bytes - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t
tx_os_write(int fd, const void *bytes, size_t count, off_t offset)
{
    size_t done = 0;

    while (done < count) {
        const ssize_t n =
            tx_os.pwrite(fd, (const uint8_t *)bytes + done, count - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

enum txkv_rc
tx_os_sync_open_dir(int fd, const char *path, struct txkv_error *err)
{
    if (tx_os.fsync(fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync directory %s", path);
    return TXKV_OK;
}

/* When only `if_readable`, one that this user may not read is left alone. */
static enum txkv_rc
sync_dir(const char *path, bool if_readable, struct txkv_error *err)
{
    enum txkv_rc rc;
    const int fd = tx_os.open(path, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 && errno == EACCES && if_readable)
        return TXKV_OK;
    if (fd < 0)
        return tx_fail_errno(err, errno, "cannot open directory %s", path);
    rc = tx_os_sync_open_dir(fd, path, err);
    (void)tx_os.close(fd);
    return rc;
}

enum txkv_rc
tx_os_sync_dir(const char *path, struct txkv_error *err)
{
    return sync_dir(path, false, err);
}

/* Make a new name durable in the directory that holds it. */
static enum txkv_rc
sync_parent(const char *path, bool if_readable, struct txkv_error *err)
{
    char *parent = tx_os_join(path, "..");
    enum txkv_rc rc = parent == NULL ? tx_fail_nomem(err) : sync_dir(parent, if_readable, err);

    tx_free(parent);
    return rc;
}

enum txkv_rc
tx_os_keep_dir(const char *path, struct txkv_error *err)
{
    enum txkv_rc rc = sync_dir(path, false, err);

    return rc == TXKV_OK ? sync_parent(path, true, err) : rc;
}

enum txkv_rc
tx_os_make_dir(const char *path, struct txkv_error *err)
{
    struct stat st;

    if (tx_os.mkdir(path, 0700) == 0)
        return sync_parent(path, false, err);
    if (errno == ENOENT)
        return tx_fail(
            err, TXKV_CANTOPEN,
            "cannot make directory %s: the one that should hold it is missing; make that "
            "one first",
            path);
    if (errno != EEXIST)
        return tx_fail_errno(err, errno, "cannot make directory %s", path);
    if (stat(path, &st) != 0)
        return tx_fail_errno(err, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return tx_fail(err, TXKV_EXISTS, "%s exists and is not a directory", path);
    return TXKV_OK;
}

enum txkv_rc
tx_os_list_dir(const char *path,
               enum txkv_rc (*fn)(void *arg, const char *name, struct txkv_error *err), void *arg,
               struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;
    DIR *dir = opendir(path);

    if (dir == NULL)
        return tx_fail_errno(err, errno, "cannot open directory %s", path);
    while (rc == TXKV_OK) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(dir); /* this DIR belongs to this call alone */
        if (entry == NULL) {
            if (errno != 0)
                rc = tx_fail_errno(err, errno, "cannot read directory %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = fn(arg, entry->d_name, err);
    }
    (void)closedir(dir);
    return rc;
}

char *
tx_os_join(const char *dir, const char *name)
{
    const size_t bytes = strlen(dir) + 1 + strlen(name) + 1;
    char *path = tx_malloc(bytes);

    if (path != NULL)
        (void)snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

enum txkv_rc
tx_os_thread(pthread_t *thread, void *(*run)(void *), void *arg, const char *name,
             struct txkv_error *err)
{
    sigset_t all, before;
    int e;

    /* The thread inherits the mask: signals stay with the program's own threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(thread, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e != 0)
        return tx_fail(err, TXKV_CANTOPEN,
                       "cannot start thread %s: %s; end other programs, or raise ulimit -u and -v",
                       name, strerror(e));
    (void)pthread_setname_np(*thread, name);
    return TXKV_OK;
}

struct tx_os_forks tx_os_forks;
static uint32_t own_pid;

static void
count_fork(void)
{
    tx_os_forks.generation++; /* the child has this one thread */
    own_pid = (uint32_t)getpid();
}

static void
hook_fork(void)
{
    own_pid = (uint32_t)getpid();
    tx_os_forks.hooked = pthread_atfork(NULL, NULL, count_fork) == 0;
}

static bool
knows_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, hook_fork);
    return tx_os_forks.hooked;
}

uint32_t
tx_os_fork_generation(void)
{
    return knows_forks() ? tx_os_forks.generation : (uint32_t)getpid();
}

uint32_t
tx_os_pid(void)
{
    return knows_forks() ? own_pid : (uint32_t)getpid();
}
