/*
 * os.h - file, map, lock and clock calls, behind one table where tests inject faults.
 *
 * Every call of src/ that opens, reads, writes, maps, syncs, names or removes a file goes through
 * tx_os, so a test can make any of them fail, be short or stop the process. The entries have the
 * system calls' own contracts: -1 (or MAP_FAILED) and errno on failure. Not covered are calls that
 * only look (stat, realpath, readdir), advice on the log's maps, the flock of the log's directory,
 * and LMDB, which makes its own calls.
 *
 * Layer 1: base.h, error.h.
 */
#ifndef TX_OS_H
#define TX_OS_H

#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include "base.h"
#include "error.h"

struct tx_os {
    int (*open)(const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
    int (*close)(int fd);
    int (*fstat)(int fd, struct stat *st);
    /* posix_fallocate: returns an errno value, 0 for success. */
    int (*fallocate)(int fd, off_t offset, off_t bytes);
    int (*ftruncate)(int fd, off_t bytes);
    ssize_t (*pread)(int fd, void *buffer, size_t bytes, off_t offset);
    ssize_t (*pwrite)(int fd, const void *buffer, size_t bytes, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    void *(*mmap)(size_t bytes, int prot, int flags, int fd, off_t offset);
    int (*munmap)(void *address, size_t bytes);
    int (*advise)(void *address, size_t bytes, int advice); /* madvise, on LMDB's map */
    /* What the page cache can take at most: tx_os_memory_limit("") */
    uint64_t (*memory_bytes)(void);
    int (*unlink)(const char *path);
    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    /* One byte of the file, an OFD lock, without waiting: F_WRLCK, F_RDLCK (both also turn one kind
     * into the other in one step) or F_UNLCK. */
    int (*lock)(int fd, off_t byte, short type);
    /* 1 when another open file holds a lock of any kind on the byte, else 0. */
    int (*locked)(int fd, off_t byte);
    int (*statfs)(const char *path, struct statfs *st);
    /* The time of day: milliseconds since 1970, up to a few behind, without a system call. */
    uint64_t (*time_ms)(void);
};

/* The calls in use. Tests replace entries before a store is opened, and put them back after. */
extern struct tx_os tx_os;
extern const struct tx_os tx_os_system;

/*
 * The memory that this process may use, in bytes: the machine's, or what its control group or one
 * above it is given, if that is less. root is put before the paths that are looked at ("/proc/...",
 * "/sys/..."), for tests. What cannot be read does not limit.
 */
uint64_t tx_os_memory_limit(const char *root);

/* Monotonic time in microseconds. */
uint64_t tx_os_now_us(void);

/* The same, up to a few milliseconds behind, at a fraction of the cost. */
uint64_t tx_os_coarse_us(void);

/* Give the first `bytes` bytes of a file their space; 0 or an errno. A signal does not end it. */
TX_MUST_CHECK int tx_os_allocate(int fd, uint64_t bytes);

/* pread of all of that, or of what there is up to the end of the file; -1 and errno. A signal does
 * not end it. */
TX_MUST_CHECK ssize_t tx_os_read(int fd, void *buffer, size_t bytes, off_t offset);

/* pwrite of all of that; fewer bytes where a call took none; -1 and errno. A signal does not end
 * it.
 */
TX_MUST_CHECK ssize_t tx_os_write(int fd, const void *bytes, size_t count, off_t offset);

/* fsync of a directory, so that names made or removed in it survive a power loss. */
TX_MUST_CHECK enum txkv_rc tx_os_sync_dir(const char *path, struct txkv_error *err);

/* The same of one that is open: a process may have used up its file descriptors. */
TX_MUST_CHECK enum txkv_rc tx_os_sync_open_dir(int fd, const char *path, struct txkv_error *err);
/* The same, and the directory's own name; not when the directory above is one that this user may
 * not read, and so has made nothing in. */
TX_MUST_CHECK enum txkv_rc tx_os_keep_dir(const char *path, struct txkv_error *err);

/* mkdir if missing, 0700; a directory of that name is fine, anything else TXKV_EXISTS. */
TX_MUST_CHECK enum txkv_rc tx_os_make_dir(const char *path, struct txkv_error *err);

/*
 * Calls fn with each name in directory path, "." and ".." left out, in no order; stops at the first
 * result that is not TXKV_OK and returns it.
 */
TX_MUST_CHECK enum txkv_rc tx_os_list_dir(const char *path,
                                          enum txkv_rc (*fn)(void *arg, const char *name,
                                                             struct txkv_error *err),
                                          void *arg, struct txkv_error *err);

/* "a/b" in new memory (tx_free), or NULL. */
char *tx_os_join(const char *dir, const char *name);

/* Start a thread with all signals blocked in it. */
TX_MUST_CHECK enum txkv_rc tx_os_thread(pthread_t *thread, void *(*run)(void *), void *arg,
                                        const char *name, struct txkv_error *err);

/* Grows by one in a child made by fork(); a handle whose own copy differs belongs to the parent. */
uint32_t tx_os_fork_generation(void);

/* What that function knows once it has been called; `generation` counts when `hooked`. */
struct tx_os_forks {
    bool hooked;
    uint32_t generation;
};

extern struct tx_os_forks tx_os_forks;

/* getpid, without the system call: a commit that does not sync makes none. */
uint32_t tx_os_pid(void);

#endif /* TX_OS_H */
