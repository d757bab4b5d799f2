/*
 * killpoint.c - see killpoint.h.
 *
 * The VFS is a layer over the default one, and becomes the default itself. Each of its files has
 * the lower one's file right behind its own struct.
 */
#include "killpoint.h"

#include <dlfcn.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../src/os.h"
#include "../support/support.h"

static atomic_uint_fast64_t passed;
static atomic_uint_fast64_t kill_at = UINT64_MAX; /* not armed */

static void
point(void)
{
    const uint64_t at = atomic_load(&kill_at);

    if (at != UINT64_MAX && atomic_fetch_add(&passed, 1) + 1 == at)
        (void)kill(getpid(), SIGKILL);
}

void
killpoint_arm(uint64_t n)
{
    atomic_store(&passed, 0);
    atomic_store(&kill_at, n);
}

uint64_t
killpoint_disarm(void)
{
    atomic_store(&kill_at, UINT64_MAX);
    return atomic_load(&passed);
}

/* ---- SQLite's calls ---- */

struct file {
    sqlite3_file base;
    sqlite3_file *lower;
};

static sqlite3_vfs *lower_vfs;

static sqlite3_file *
lower_of(sqlite3_file *file)
{
    return ((struct file *)(void *)file)->lower;
}

#define METHOD(name, method, parameters, ...)                                                      \
    static int name parameters                                                                     \
    {                                                                                              \
        int rc;                                                                                    \
                                                                                                   \
        point();                                                                                   \
        rc = lower_of(file)->pMethods->method(lower_of(file), __VA_ARGS__);                        \
        point();                                                                                   \
        return rc;                                                                                 \
    }

METHOD(file_read, xRead, (sqlite3_file * file, void *p, int n, sqlite3_int64 at), p, n, at)
METHOD(file_write, xWrite, (sqlite3_file * file, const void *p, int n, sqlite3_int64 at), p, n, at)
METHOD(file_truncate, xTruncate, (sqlite3_file * file, sqlite3_int64 n), n)
METHOD(file_sync, xSync, (sqlite3_file * file, int flags), flags)
METHOD(file_lock, xLock, (sqlite3_file * file, int lock), lock)
METHOD(file_unlock, xUnlock, (sqlite3_file * file, int lock), lock)
METHOD(file_shm_map, xShmMap,
       (sqlite3_file * file, int page, int bytes, int extend, void volatile **p), page, bytes,
       extend, p)
METHOD(file_shm_lock, xShmLock, (sqlite3_file * file, int first, int n, int flags), first, n, flags)
METHOD(file_shm_unmap, xShmUnmap, (sqlite3_file * file, int remove), remove)

static int
file_close(sqlite3_file *file)
{
    return lower_of(file)->pMethods == NULL ? SQLITE_OK
                                            : lower_of(file)->pMethods->xClose(lower_of(file));
}

static int
file_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return lower_of(file)->pMethods->xFileSize(lower_of(file), bytes);
}

static int
file_check_reserved(sqlite3_file *file, int *out)
{
    return lower_of(file)->pMethods->xCheckReservedLock(lower_of(file), out);
}

static int
file_control(sqlite3_file *file, int op, void *arg)
{
    return lower_of(file)->pMethods->xFileControl(lower_of(file), op, arg);
}

static int
file_sector_size(sqlite3_file *file)
{
    return lower_of(file)->pMethods->xSectorSize(lower_of(file));
}

static int
file_characteristics(sqlite3_file *file)
{
    return lower_of(file)->pMethods->xDeviceCharacteristics(lower_of(file));
}

static void
file_shm_barrier(sqlite3_file *file)
{
    point();
    lower_of(file)->pMethods->xShmBarrier(lower_of(file));
    point();
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static int
vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    struct file *own = (struct file *)(void *)file;
    int rc;

    (void)vfs;
    own->lower = (sqlite3_file *)(void *)(own + 1);
    point();
    rc = lower_vfs->xOpen(lower_vfs, name, own->lower, flags, out_flags);
    point();
    own->base.pMethods = own->lower->pMethods == NULL ? NULL : &methods;
    return rc;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    int rc;

    (void)vfs;
    point();
    rc = lower_vfs->xDelete(lower_vfs, name, sync_dir);
    point();
    return rc;
}

static void
install_vfs(void)
{
    static sqlite3_vfs own;

    lower_vfs = sqlite3_vfs_find(NULL);
    own = *lower_vfs; /* what it does not replace takes no file, and works with its pAppData */
    own.pNext = NULL;
    own.zName = "killpoint";
    own.szOsFile = (int)sizeof(struct file) + lower_vfs->szOsFile;
    own.xOpen = vfs_open;
    own.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&own, 1) != SQLITE_OK)
        test_die("sqlite3_vfs_register");
}

/* ---- calls of the C library: LMDB's, and the store's that are the same ---- */

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's names have
 * underscores. */

/* The dynamic linker looks into the program first. dlsym returns a pointer to an object, and C has
 * no cast from that to a function. */
#define LIBRARY_CALL(type, name, parameters, ...)                                                  \
    __attribute__((visibility("default"))) type name parameters                                    \
    {                                                                                              \
        type(*real) parameters;                                                                    \
        void *symbol = dlsym(RTLD_NEXT, #name);                                                    \
        type result;                                                                               \
                                                                                                   \
        memcpy(&real, &symbol, sizeof symbol);                                                     \
        point();                                                                                   \
        result = real(__VA_ARGS__);                                                                \
        point();                                                                                   \
        return result;                                                                             \
    }

LIBRARY_CALL(ssize_t, pwrite, (int fd, const void *data, size_t bytes, off_t offset), fd, data,
             bytes, offset)
LIBRARY_CALL(ssize_t, writev, (int fd, const struct iovec *parts, int count), fd, parts, count)
LIBRARY_CALL(int, ftruncate, (int fd, off_t bytes), fd, bytes)
LIBRARY_CALL(int, fdatasync, (int fd), fd)
LIBRARY_CALL(int, fsync, (int fd), fd)
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* ---- the store's other calls ---- */

#define STORE_CALL(name, parameters, ...)                                                          \
    static int os_##name parameters                                                                \
    {                                                                                              \
        int result;                                                                                \
                                                                                                   \
        point();                                                                                   \
        result = tx_os_system.name(__VA_ARGS__);                                                   \
        point();                                                                                   \
        return result;                                                                             \
    }

STORE_CALL(open, (const char *path, int flags, mode_t mode), path, flags, mode)
STORE_CALL(fallocate, (int fd, off_t offset, off_t bytes), fd, offset, bytes)
STORE_CALL(unlink, (const char *path), path)
STORE_CALL(rename, (const char *from, const char *to), from, to)
STORE_CALL(lock, (int fd, off_t byte, short type), fd, byte, type)

void
killpoint_install(void)
{
    install_vfs();
    tx_os.open = os_open;
    tx_os.fallocate = os_fallocate;
    tx_os.unlink = os_unlink;
    tx_os.rename = os_rename;
    tx_os.lock = os_lock;
}
