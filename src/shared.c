/*
 * shared.c - the page that a store's processes share: opening, leaving, its robust mutexes.
 *
 * Opening. Who gets the exclusive lock on TX_BYTE_LIVE is alone: it makes the page anew and
 * recovers. Turning an exclusive OFD lock into a shared one is one step, so nobody comes in
 * between. Who gets only the shared lock looks at the page. It is ready and another process uses
 * it, and all is well; or not, because the first opener failed, the last closer is at work, or two
 * openers hold the shared lock and so keep each other from the exclusive one: let go and try again.
 *
 * Closing. A closer takes TX_BYTE_CLOSE, then tries to turn its shared lock into the exclusive one.
 * If it cannot, others have the store open, and it gives its shared lock back before it lets the
 * next closer try.
 *
 * Threads: a share is opened and closed by one thread; the locks by any.
 */
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"
#include "os.h"

enum {
    BYTE_LIVE = 0,
    BYTE_CLOSE = 1,
    BYTE_OPEN = 2,
    BYTE_PREPARED = 3,
    FILE_BYTES = 4096,
    RETRY_NS = 500 * 1000,
    CLOSE_WAIT_US = 1000000 /* for other closers, which hold the byte for microseconds */
};
static_assert(sizeof(struct tx_shared) <= FILE_BYTES, "the page holds it");

#define MAGIC UINT64_C(0x6d68732d766b7874) /* "txkv-shm" */

/* ---- mutexes ---- */

static void
init_locks(struct tx_shared *shared)
{
    pthread_mutexattr_t attributes;

    /* None of these can fail on Linux with these arguments. */
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < TX_LOCKS; i++)
        (void)pthread_mutex_init(&shared->locks[i].mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
}

struct tx_shared *
tx_shared_private(void)
{
    struct tx_shared *shared = tx_aligned_zalloc(sizeof *shared);

    if (shared != NULL)
        init_locks(shared);
    return shared;
}

static enum txkv_rc
fail_held(const struct tx_shared_mutex *lock, enum tx_shared_lock which, uint64_t timeout_us,
          struct txkv_error *err)
{
    static const char *const doing[TX_LOCKS] = { "a commit", "a sync of the log", "a checkpoint",
                                                 "making a log file", "asking for right of way" };

    return tx_fail(err, TXKV_BUSY,
                   "process %u has been in %s for more than %llu ms; it may be stopped: let it go "
                   "on (kill -CONT) or end it, and try again",
                   tx_load_acquire_32(&lock->holder), doing[which],
                   (unsigned long long)timeout_us / 1000);
}

/* By the monotonic clock, so that setting the time changes nothing. */
static int
lock_until(pthread_mutex_t *mutex, uint64_t timeout_us)
{
#ifdef TX_TSAN /* which knows neither pthread_mutex_clocklock nor a timed lock whose holder died   \
                */
    const struct timespec pause = { 0, 50000 };
    const uint64_t until = tx_os_now_us() + timeout_us;
    int e;

    while ((e = pthread_mutex_trylock(mutex)) == EBUSY && tx_os_now_us() < until)
        (void)nanosleep(&pause, NULL);
    return e;
#else
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_us / 1000000);
    until.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#endif
}

enum txkv_rc
tx_shared_lock(struct tx_shared *shared, enum tx_shared_lock which, uint64_t timeout_us,
               bool *abandoned, struct txkv_error *err)
{
    struct tx_shared_mutex *lock = &shared->locks[which];
    int e = pthread_mutex_trylock(&lock->mutex);

    if (abandoned != NULL)
        *abandoned = e == EOWNERDEAD;
    if (e == EBUSY && timeout_us > 0) {
        e = lock_until(&lock->mutex, timeout_us);
        if (abandoned != NULL)
            *abandoned = e == EOWNERDEAD;
    }
    if (e == EOWNERDEAD)
        e = pthread_mutex_consistent(&lock->mutex);
    if (e == ETIMEDOUT || e == EBUSY)
        return fail_held(lock, which, timeout_us, err);
    if (e != 0)
        return tx_fail_errno(err, e, "a lock in txkv.shm");
    tx_hb_acquire(lock);
    tx_store_release_32(&lock->holder, tx_os_pid());
    return TXKV_OK;
}

void
tx_shared_unlock(struct tx_shared *shared, enum tx_shared_lock which)
{
    struct tx_shared_mutex *lock = &shared->locks[which];

    tx_store_release_32(&lock->holder, 0);
    tx_hb_release(lock);
    (void)pthread_mutex_unlock(&lock->mutex);
}

/* ---- opening ---- */

/* Why a lock was refused: held by somebody, TXKV_LOCKED without a message; or no locks there. */
static enum txkv_rc
lock_byte(const struct tx_share *share, off_t byte, short type, struct txkv_error *err)
{
    if (tx_os.lock(share->fd, byte, type) == 0)
        return TXKV_OK;
    if (errno == EAGAIN || errno == EACCES)
        return TXKV_LOCKED;
    if (errno == ENOLCK || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
        return tx_fail(err, TXKV_CANTOPEN,
                       "%s cannot be locked (%s): a store needs a file system with locks and "
                       "shared memory maps, a local one: not NFS, not every FUSE",
                       share->path, strerror(errno));
    return tx_fail_errno(err, errno, "cannot lock %s", share->path);
}

/* Where maps of one file on two machines differ, a store would be destroyed in silence. */
static enum txkv_rc
refuse_network(const char *dir, struct txkv_error *err)
{
    static const struct {
        uint32_t type;
        const char *name;
    } refused[] = { { 0x6969, "NFS" },      { 0x517b, "SMB" },        { 0xff534d42, "CIFS" },
                    { 0xfe534d42, "SMB" },  { 0x5346414f, "AFS" },    { 0x01021997, "9P" },
                    { 0x00c36400, "Ceph" }, { 0x0bd00bd0, "Lustre" }, { 0x564c, "NCP" } };
    struct statfs st;

    if (tx_os.statfs(dir, &st) != 0)
        return tx_fail_errno(err, errno, "store %s", dir);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if ((uint32_t)st.f_type == refused[i].type)
            return tx_fail(
                err, TXKV_CANTOPEN,
                "store %s is on %s: a store needs a local file system, whose memory maps "
                "and locks are the same for all processes; keep it on a local disk",
                dir, refused[i].name);
    return TXKV_OK;
}

static bool
is_no_permission(int e)
{
    return e == EROFS || e == EACCES || e == EPERM;
}

/* For reading only, where there is no permission to write; *fd -1 when the file is not there then.
 */
static enum txkv_rc
open_file(const char *path, int *fd, bool *readonly, struct txkv_error *err)
{
    *readonly = false;
    *fd = tx_os.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (*fd < 0 && is_no_permission(errno)) {
        *readonly = true;
        *fd = tx_os.open(path, O_RDONLY | O_NOFOLLOW, 0);
        if (*fd < 0 && errno == ENOENT)
            return TXKV_OK;
    }
    return *fd >= 0 ? TXKV_OK : tx_fail_errno(err, errno, "%s", path);
}

/*
 * Through an open file of its own: a map keeps its open file, and so its locks, alive, also in a
 * child made by fork, which cannot know that it should unmap it.
 */
static enum txkv_rc
map_page(struct tx_share *share, struct txkv_error *err)
{
    struct stat locked, mapped;
    bool readonly;
    void *map;
    int fd, e;
    enum txkv_rc rc = open_file(share->path, &fd, &readonly, err);

    if (rc != TXKV_OK)
        return rc;
    map = tx_os.mmap(FILE_BYTES, share->readonly ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED,
                     fd, 0);
    e = errno;
    if (map != MAP_FAILED && (tx_os.fstat(share->fd, &locked) != 0 ||
                              tx_os.fstat(fd, &mapped) != 0 || locked.st_ino != mapped.st_ino)) {
        (void)tx_os.munmap(map, FILE_BYTES);
        map = MAP_FAILED;
        e = ESTALE; /* replaced in between */
    }
    if (fd >= 0)
        (void)tx_os.close(fd);
    errno = e;
    if (map == MAP_FAILED && (errno == ENODEV || errno == EINVAL || errno == EOPNOTSUPP))
        return tx_fail(
            err, TXKV_CANTOPEN,
            "%s: its file system cannot map files as shared memory (%s); a store needs a "
            "local one: not NFS, not every FUSE",
            share->path, strerror(errno));
    if (map == MAP_FAILED)
        return tx_fail_errno(err, errno, "cannot map %s", share->path);
    share->shared = map;
    return TXKV_OK;
}

/* The exclusive lock is held: whatever the file says, nobody uses it. */
static enum txkv_rc
make_page(struct tx_share *share, struct txkv_error *err)
{
    enum txkv_rc rc;
    const int e = tx_os_allocate(share->fd, FILE_BYTES);

    if (e != 0)
        return tx_fail_errno(err, e, "cannot allocate space for %s", share->path);
    rc = map_page(share, err);
    if (rc != TXKV_OK)
        return rc;
    memset(share->shared, 0, FILE_BYTES);
    init_locks(share->shared);
    share->shared->magic = MAGIC;
    share->shared->layout = TX_SHARED_LAYOUT;
    share->shared->bytes = sizeof(struct tx_shared);
    share->shared->opener = (uint32_t)getpid();
    share->first = true;
    return TXKV_OK;
}

/* Read what the page says about itself: a file that is too short must not be mapped. */
static void
read_page(const struct tx_share *share, struct tx_shared *page)
{
    const size_t bytes = offsetof(struct tx_shared, published_lsn);

    memset(page, 0, sizeof *page);
    if (tx_os_read(share->fd, page, bytes, 0) != (ssize_t)bytes)
        memset(page, 0, sizeof *page);
}

static bool
is_ours(const struct tx_shared *page)
{
    return page->magic == MAGIC && page->layout == TX_SHARED_LAYOUT &&
           page->bytes == sizeof(struct tx_shared);
}

/* Others have it open, and went on having it for the whole timeout. */
static enum txkv_rc
fail_not_ready(const char *dir, const struct tx_shared *page, struct txkv_error *err)
{
    if (page->magic == MAGIC && !is_ours(page))
        return tx_fail(err, TXKV_FORMAT,
                       "store %s is open in process %u with another version of txkv (its txkv.shm "
                       "has layout %u, this one shares layout %u); close it there first",
                       dir, page->opener, page->layout, TX_SHARED_LAYOUT);
    if (page->magic != MAGIC)
        return tx_fail(err, TXKV_FORMAT,
                       "store %s is in use, and its txkv.shm is damaged; end the processes that "
                       "have the store open, and the next one to open it makes the file anew",
                       dir);
    return tx_fail(err, TXKV_LOCKED,
                   "store %s is being recovered or closed by another process (it was opened by %u) "
                   "and was not ready in time; try again",
                   dir, page->opener);
}

/* Nobody has the store open who may write it, and this process may not. */
static enum txkv_rc
go_offline(struct tx_share *share, struct txkv_error *err)
{
    share->offline = true;
    share->shared = tx_shared_private();
    return share->shared == NULL ? tx_fail_nomem(err) : TXKV_OK;
}

/*
 * Whether the page can be used. One that says so may be as old as a power failure, or come from
 * another store that was copied; it counts when a process counts on it. From then on, with a shared
 * lock on TX_BYTE_LIVE held here, it remains good, also when that process dies.
 */
static bool
is_ready(const struct tx_share *share, const struct tx_shared *page)
{
    return is_ours(page) && tx_load_acquire_32(&page->ready) != 0 &&
           tx_os.locked(share->fd, BYTE_OPEN) == 1;
}

/* One try. TXKV_LOCKED: not now. */
static enum txkv_rc
try_open(struct tx_share *share, struct tx_shared *page, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (share->fd < 0)
        return go_offline(share, err);
    rc = share->readonly ? TXKV_LOCKED : lock_byte(share, BYTE_LIVE, F_WRLCK, err);
    if (rc == TXKV_OK)
        return make_page(share, err);
    if (rc == TXKV_LOCKED)
        rc = lock_byte(share, BYTE_LIVE, F_RDLCK, err);
    if (rc != TXKV_OK)
        return rc;
    read_page(share, page);
    if (is_ready(share, page)) {
        rc = lock_byte(share, BYTE_OPEN, F_RDLCK, err);
        return rc == TXKV_OK ? map_page(share, err) : rc;
    }
    rc = lock_byte(share, BYTE_LIVE, F_UNLCK, err);
    if (rc == TXKV_OK)
        return share->readonly ? go_offline(share, err) : TXKV_LOCKED;
    return rc;
}

/* Of the file that is open already: one of its name that is not it would lock nobody out. */
static enum txkv_rc
open_hold(struct tx_share *share, struct txkv_error *err)
{
    struct stat locked, held;
    bool readonly;
    const enum txkv_rc rc = open_file(share->path, &share->hold_fd, &readonly, err);

    if (rc != TXKV_OK)
        return rc;
    if (tx_os.fstat(share->fd, &locked) != 0 || tx_os.fstat(share->hold_fd, &held) != 0)
        return tx_fail_errno(err, errno, "%s", share->path);
    if (locked.st_ino != held.st_ino)
        return tx_fail_errno(err, ESTALE, "%s", share->path);
    return TXKV_OK;
}

static enum txkv_rc
open_with_retries(const char *dir, uint64_t timeout_us, struct tx_share *share,
                  struct txkv_error *err)
{
    const struct timespec pause = { 0, RETRY_NS };
    const uint64_t until = tx_os_now_us() + timeout_us;
    struct tx_shared page;
    enum txkv_rc rc;

    memset(&page, 0, sizeof page);
    while ((rc = try_open(share, &page, err)) == TXKV_LOCKED) {
        if (tx_os_now_us() >= until) {
            read_page(share, &page);
            return fail_not_ready(dir, &page, err);
        }
        (void)nanosleep(&pause, NULL);
    }
    return rc;
}

enum txkv_rc
tx_share_open(const char *dir, uint64_t timeout_us, struct tx_share *share, struct txkv_error *err)
{
    enum txkv_rc rc = refuse_network(dir, err);

    *share = (struct tx_share){ .fd = -1, .hold_fd = -1 };
    if (rc != TXKV_OK)
        return rc;
    share->path = tx_os_join(dir, "txkv.shm");
    rc = share->path == NULL ? tx_fail_nomem(err)
                             : open_file(share->path, &share->fd, &share->readonly, err);
    if (rc == TXKV_OK)
        rc = open_with_retries(dir, timeout_us, share, err);
    if (rc == TXKV_OK && !share->readonly)
        rc = open_hold(share, err);
    if (rc != TXKV_OK)
        tx_share_close(share);
    return rc;
}

bool
tx_share_went_live(const struct tx_share *share)
{
    struct tx_share now = { .fd = tx_os.open(share->path, O_RDONLY | O_NOFOLLOW, 0) };
    struct tx_shared page;
    bool live;

    if (now.fd < 0)
        return false;
    read_page(&now, &page);
    live = page.magic == MAGIC && tx_load_acquire_32(&page.ready) != 0 &&
           tx_os.locked(now.fd, BYTE_OPEN) == 1;
    (void)tx_os.close(now.fd);
    return live;
}

bool
tx_share_in_use(const char *dir)
{
    char *path = tx_os_join(dir, "txkv.shm");
    const int fd = path == NULL ? -1 : tx_os.open(path, O_RDONLY | O_NOFOLLOW, 0);
    const bool used = fd >= 0 && tx_os.locked(fd, BYTE_LIVE) == 1;

    if (fd >= 0)
        (void)tx_os.close(fd);
    tx_free(path);
    return used;
}

void
tx_share_open_to_others(struct tx_share *share, uint64_t store_id)
{
    struct tx_shared *shared = share->shared;

    assert(share->first);
    shared->store_id = store_id;
    (void)!tx_os.lock(share->fd, BYTE_OPEN, F_RDLCK); /* or, as below, others would only wait */
    tx_store_release_32(&shared->ready, 1);
    /* Making a lock weaker cannot fail; and if it did, others would only wait. */
    (void)!tx_os.lock(share->fd, BYTE_LIVE, F_RDLCK);
    share->first = false;
}

/* ---- closing ---- */

bool
tx_share_leave(struct tx_share *share)
{
    const struct timespec pause = { 0, RETRY_NS };
    const uint64_t until = tx_os_now_us() + CLOSE_WAIT_US;
    bool alone;

    while (lock_byte(share, BYTE_CLOSE, F_WRLCK, NULL) == TXKV_LOCKED && tx_os_now_us() < until)
        (void)nanosleep(&pause, NULL);
    alone = share->first || lock_byte(share, BYTE_LIVE, F_WRLCK, NULL) == TXKV_OK;
    if (alone) {
        tx_store_release_32(&share->shared->ready, 0);
    } else {
        (void)!tx_os.lock(share->fd, BYTE_OPEN, F_UNLCK);
        (void)!tx_os.lock(share->fd, BYTE_LIVE, F_UNLCK);
    }
    (void)!tx_os.lock(share->fd, BYTE_CLOSE, F_UNLCK);
    return alone;
}

void
tx_share_close(struct tx_share *share)
{
    if (share->offline)
        tx_free(share->shared);
    else if (share->shared != NULL)
        (void)tx_os.munmap(share->shared, FILE_BYTES);
    tx_free(share->path);
    share->path = NULL;
    if (share->hold_fd >= 0)
        (void)tx_os.close(share->hold_fd);
    if (share->fd >= 0)
        (void)tx_os.close(share->fd); /* which gives its locks back */
    share->shared = NULL;
    share->fd = share->hold_fd = -1;
}

/* ---- the prepared transaction ---- */

bool
tx_share_claim(int hold_fd)
{
    return tx_os.lock(hold_fd, BYTE_PREPARED, F_WRLCK) == 0;
}

void
tx_share_unclaim(int hold_fd)
{
    (void)!tx_os.lock(hold_fd, BYTE_PREPARED, F_UNLCK);
}
