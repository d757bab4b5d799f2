/*
 * tree.c - opens and closes the LMDB environment, grows its map, words its errors.
 *
 * What stands in it: tree_meta.c.
 *
 * Threads: see tree.h. tree->lock is taken by tx_tree_grow, by reads that find the gate closed,
 * where reads are made and freed, and where handles are opened; nothing else is locked while it is
 * held.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "mem.h"
#include "os.h"
#include "pages_private.h"
#include "tree_ahead.h"

enum {
    READERS_MAX = 4096,
    LOCK_FILE_BYTES = (READERS_MAX + 2) * 64, /* a cache line a reader, and two of LMDB's own */
    WRITE_PAGES_MAX = 64,
    GROW_POLL_NS = 200 * 1000,
    ADOPT_WAIT_MS = 1000
};

/* ---- errors ---- */

static enum txkv_rc
fail_lmdb(struct txkv_error *err, int e, const char *dir, const char *doing)
{
    switch (e) {
    case MDB_MAP_FULL:
        return tx_fail(err, TXKV_FULL, "%s: the memory map is full while %s; it must grow", dir,
                       doing);
    case MDB_READERS_FULL:
        return tx_fail(err, TXKV_BUSY,
                       "%s: all %d reader slots are taken; close sessions that are not in use", dir,
                       READERS_MAX);
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return tx_fail(err, TXKV_FORMAT,
                       "%s/data.mdb is not a txkv store (%s); name another directory, or move the "
                       "file away",
                       dir, mdb_strerror(e));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
    case MDB_BAD_TXN:
        return tx_fail(err, TXKV_CORRUPT,
                       "%s/data.mdb is damaged (%s while %s); restore the store from a backup", dir,
                       mdb_strerror(e), doing);
    case MDB_TXN_FULL:
    case MDB_BAD_VALSIZE:
        return tx_fail(err, TXKV_TOOBIG, "%s: %s while %s", dir, mdb_strerror(e), doing);
    case MDB_KEYEXIST:
        return tx_fail(err, TXKV_MISUSE, "%s: keys out of order while %s", dir, doing);
    case MDB_MAP_RESIZED:
        return tx_fail(
            err, TXKV_BUSY,
            "%s: another program has enlarged data.mdb; close the store and open it again", dir);
    case MDB_PANIC:
        return tx_fail(err, TXKV_IOERR,
                       "%s: an earlier write to data.mdb failed; close the store and open it again",
                       dir);
    default:
        return tx_fail(err, TXKV_IOERR, "%s: %s while %s", dir, mdb_strerror(e), doing);
    }
}

/* Less than a write of LMDB's can be long. */
static bool
is_full(const char *dir)
{
    struct statfs fs;

    return tx_os.statfs(dir, &fs) == 0 && fs.f_bavail < WRITE_PAGES_MAX;
}

enum txkv_rc
tx_tree_fail(struct txkv_error *err, int e, const char *dir, const char *doing)
{
    assert(e != 0);
    switch (e) {
    case ENOMEM:
        return tx_fail_nomem(err);
    case EAGAIN:
        return tx_fail(err, TXKV_LOCKED,
                       "%s: another process is opening or closing data.mdb; try again", dir);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return tx_fail_errno(err, e, "%s: no room while %s; free some and try again", dir, doing);
    case EIO: /* LMDB's answer to a short write, too */
        if (is_full(dir))
            return tx_fail_errno(err, ENOSPC, "%s: no room while %s; free some and try again", dir,
                                 doing);
        return tx_fail_errno(err, e, "%s: %s failed; look for free space and at the kernel's log",
                             dir, doing);
    default:
        if (e > 0)
            return tx_fail_errno(err, e, "%s: %s failed", dir, doing);
        return fail_lmdb(err, e, dir, doing);
    }
}

enum txkv_rc
tx_tree_fail_lost(const struct tx_tree *tree, struct txkv_error *err)
{
    return tx_fail(
        err, TXKV_IOERR,
        "%s: data.mdb could not be mapped again after it grew; close the store and open it again",
        tree->dir);
}

/* For an open that failed with e: no permission to write is not the same as none to read. */
static enum txkv_rc
fail_open(struct txkv_error *err, int e, const char *dir)
{
    char *file;
    bool readable;

    if (e != EACCES && e != EPERM && e != EROFS)
        return tx_tree_fail(err, e, dir, "opening data.mdb");
    file = tx_os_join(dir, "data.mdb");
    if (file == NULL)
        return tx_fail_nomem(err);
    readable = faccessat(AT_FDCWD, dir, R_OK | X_OK, AT_EACCESS) == 0 &&
               (faccessat(AT_FDCWD, file, R_OK, AT_EACCESS) == 0 || errno == ENOENT);
    tx_free(file);
    if (!readable)
        return tx_fail(err, TXKV_CANTOPEN, "%s: no permission to read the store: %s", dir,
                       strerror(e));
    return tx_fail(
        err, TXKV_READONLY,
        "%s: no permission to write lock.mdb, where readers say what they look at: %s; give "
        "this user write permission on that file, or on the directory if it is not there",
        dir, strerror(e));
}

/* ---- open and close ---- */

/*
 * LMDB makes its table of readers as a file with holes and writes it through a map, where a full
 * disk is a SIGBUS; so the file gets its space before. Returns an errno value. To be called before
 * LMDB opens the file: closing it here would take LMDB's locks away.
 */
static int
reserve_lock_file(const char *dir)
{
    char *path = tx_os_join(dir, "lock.mdb");
    int fd, e;

    if (path == NULL)
        return ENOMEM;
    fd = tx_os.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    e = fd < 0 ? errno : tx_os_allocate(fd, LOCK_FILE_BYTES);
    if (fd >= 0)
        (void)tx_os.close(fd);
    tx_free(path);
    return e;
}

/* A store's files are its own: LMDB would follow a link, and write to a file of somebody else. */
static enum txkv_rc
refuse_foreign(const char *dir, const char *name, struct txkv_error *err)
{
    char *path = tx_os_join(dir, name);
    enum txkv_rc rc = TXKV_OK;
    struct stat st;

    if (path == NULL)
        return tx_fail_nomem(err);
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        rc = tx_fail(err, TXKV_CANTOPEN, "%s is %s; put the store's own file there", path,
                     S_ISLNK(st.st_mode) ? "a symbolic link, which is not followed"
                                         : "no regular file");
    tx_free(path);
    return rc;
}

/* Whether the library and its pages are those that pages_private.h describes. */
static bool
knows_pages(const struct tx_tree *tree)
{
    MDB_stat stat;
    int major, minor, patch;

    (void)mdb_version(&major, &minor, &patch);
    return major == 0 && minor == 9 && mdb_env_stat(tree->env, &stat) == 0 &&
           stat.ms_psize == TX_PAGE_BYTES;
}

static enum txkv_rc
open_env(struct tx_tree *tree, uint64_t map_size, bool readonly, struct txkv_error *err)
{
    int dead, e;

    e = mdb_env_create(&tree->env);
    if (e == 0)
        e = mdb_env_set_mapsize(tree->env, tx_round_up(map_size, TX_PAGE_BYTES));
    if (e == 0)
        e = mdb_env_set_maxdbs(tree->env, TX_TREE_TABLES_MAX + TX_TREE_OWN_DBS);
    if (e == 0)
        e = mdb_env_set_maxreaders(tree->env, READERS_MAX);
    if (e == 0 && !readonly && (e = reserve_lock_file(tree->dir)) != 0)
        return fail_open(err, e, tree->dir);
    if (e == 0)
        e = mdb_env_open(tree->env, tree->dir, MDB_NOTLS | (readonly ? MDB_RDONLY : 0), 0600);
    if (e == 0)
        e = mdb_reader_check(tree->env, &dead);
    tree->known_pages = e == 0 && knows_pages(tree);
    if (e == ENOMEM)
        /* Not TXKV_NOMEM: SQLite would drop the sentence. */
        return tx_fail(err, TXKV_FULL,
                       "%s: no memory for a map of %" PRIu64
                       " bytes; open with a smaller map_size, or raise ulimit -v",
                       tree->dir, map_size);
    return e == 0 ? TXKV_OK : fail_open(err, e, tree->dir);
}

/*
 * LMDB reads through the map, where a page behind the end of the file is a SIGBUS. A file can be
 * shorter than its last page in use says without harm, when its last pages were freed before they
 * were written, so it is made longer: pages that were really cut off then read as zeros, which LMDB
 * reports as damage.
 */
static enum txkv_rc
lengthen_file(struct tx_tree *tree, struct txkv_error *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat st;
    uint64_t bytes;
    int fd;

    (void)mdb_env_info(tree->env, &info);
    (void)mdb_env_stat(tree->env, &stat);
    (void)mdb_env_get_fd(tree->env, &fd);
    bytes = (info.me_last_pgno + 1) * stat.ms_psize;
    if (tx_os.fstat(fd, &st) != 0)
        return tx_fail_errno(err, errno, "%s: fstat of data.mdb failed", tree->dir);
    if ((uint64_t)st.st_size >= bytes || tx_os.ftruncate(fd, (off_t)bytes) == 0)
        return TXKV_OK;
    return tx_fail_errno(err, errno, "%s: making data.mdb %" PRIu64 " bytes long failed", tree->dir,
                         bytes);
}

/* An empty store in a file of that name. */
static enum txkv_rc
make_file(const char *dir, const char *path, uint64_t map_size, const char *wal_dir,
          struct txkv_error *err)
{
    MDB_env *env = NULL;
    enum txkv_rc rc;
    int e = mdb_env_create(&env);

    if (e == 0)
        e = mdb_env_set_mapsize(env, tx_round_up(map_size, TX_PAGE_BYTES));
    if (e == 0)
        e = mdb_env_set_maxdbs(env, TX_TREE_OWN_DBS);
    if (e == 0)
        e = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    rc = e == 0 ? tx_tree_put_meta(env, dir, wal_dir, err) : fail_open(err, e, dir);
    if (env != NULL)
        mdb_env_close(env);
    return rc;
}

/*
 * Put a new file under another name first: LMDB does not open one that a power cut has left half
 * made, and it does not sync the pages that it begins with before the first commit's.
 */
static enum txkv_rc
replace_file(const char *dir, const char *path, uint64_t map_size, const char *wal_dir,
             struct txkv_error *err)
{
    char *tmp_path = tx_os_join(dir, "data.tmp");
    enum txkv_rc rc = TXKV_OK;

    if (tmp_path == NULL)
        return tx_fail_nomem(err);
    if (tx_os.unlink(tmp_path) != 0 && errno != ENOENT)
        rc = fail_open(err, errno, dir);
    if (rc == TXKV_OK)
        rc = make_file(dir, tmp_path, map_size, wal_dir, err);
    if (rc == TXKV_OK && tx_os.rename(tmp_path, path) != 0)
        rc = tx_fail_errno(err, errno, "cannot rename %s to %s", tmp_path, path);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(dir, err); /* else a power cut can lose the name */
    tx_free(tmp_path);
    return rc;
}

/* Make data.mdb, when it is missing or, `is_empty`, there is nothing in it. */
static enum txkv_rc
create_file(const char *dir, bool is_empty, uint64_t map_size, const char *wal_dir,
            struct txkv_error *err)
{
    char *path = tx_os_join(dir, "data.mdb");
    enum txkv_rc rc = TXKV_OK;

    if (path == NULL)
        return tx_fail_nomem(err);
    if (is_empty || (access(path, F_OK) != 0 && errno == ENOENT))
        rc = replace_file(dir, path, map_size, wal_dir, err);
    tx_free(path);
    return rc;
}

/* *is_new: there is nothing in it, whoever made it. */
static enum txkv_rc
open_file(struct tx_tree *tree, uint64_t map_size, enum tx_tree_use use, bool *is_new,
          struct txkv_error *err)
{
    enum txkv_rc rc = use == TX_TREE_ALONE ? tx_tree_look(tree->dir, err) : TXKV_OK;
    struct stat st;
    int fd;

    if (rc == TXKV_OK)
        rc = open_env(tree, map_size, use == TX_TREE_READONLY, err);
    if (rc == TXKV_OK && mdb_env_get_fd(tree->env, &fd) == 0 && tx_os.fstat(fd, &st) == 0) {
        tree->meta.others = st.st_mode & 077;
        /* To who neither owns a file nor may write to it, mincore calls all of it resident. */
        tree->sees_memory = use != TX_TREE_READONLY || st.st_uid == geteuid();
    }
    if (rc == TXKV_OK && use == TX_TREE_ALONE)
        rc = lengthen_file(tree, err);
    if (rc == TXKV_OK)
        rc = tx_tree_load(tree, is_new, err);
    if (rc == TXKV_OK && *is_new && use != TX_TREE_ALONE)
        rc = tx_fail(err, TXKV_CORRUPT,
                     "%s/data.mdb was replaced by an empty one while the store is in use; put it "
                     "back, or close the store everywhere first",
                     tree->dir);
    return rc;
}

enum txkv_rc
tx_tree_open(const char *dir, uint64_t map_size, const char *wal_dir, enum tx_tree_use use,
             struct tx_tree **out, struct txkv_error *err)
{
    struct tx_tree *tree = tx_aligned_zalloc(sizeof *tree);
    bool is_new = false;
    enum txkv_rc rc = TXKV_OK;

    *out = NULL;
    if (tree == NULL)
        return tx_fail_nomem(err);
    (void)pthread_mutex_init(&tree->lock, NULL);
    tree->commit_txn = &tree->own_commit_txn;
    tree->dir = tx_strdup(dir);
    if (tree->dir == NULL)
        rc = tx_fail_nomem(err);
    if (rc == TXKV_OK)
        rc = refuse_foreign(dir, "data.mdb", err);
    if (rc == TXKV_OK)
        rc = refuse_foreign(dir, "lock.mdb", err);
    if (rc == TXKV_OK && use == TX_TREE_ALONE)
        rc = create_file(dir, false, map_size, wal_dir, err);
    if (rc == TXKV_OK)
        rc = open_file(tree, map_size, use, &is_new, err);
    if (rc == TXKV_OK && is_new) {
        mdb_env_close(tree->env);
        tree->env = NULL;
        rc = create_file(dir, true, map_size, wal_dir, err);
        if (rc == TXKV_OK)
            rc = open_file(tree, map_size, use, &is_new, err);
    }
    if (rc != TXKV_OK) {
        tx_tree_close(tree);
        return rc;
    }
    tree->memory_bytes = tx_os.memory_bytes();
    tx_tree_advise(tree);
    tx_tree_visit_none(tree);
    *out = tree;
    return TXKV_OK;
}

void
tx_tree_close(struct tx_tree *tree)
{
    if (tree == NULL)
        return;
    assert(tree->reads == NULL);
    if (tree->env != NULL)
        mdb_env_close(tree->env);
    (void)pthread_mutex_destroy(&tree->lock);
    tx_free(tree->visited);
    tx_free(tree->meta.wal_dir);
    tx_free(tree->meta.archive_dir);
    tx_free(tree->dir);
    tx_free(tree);
}

void
tx_tree_share(struct tx_tree *tree, uint64_t *commit_txn)
{
    assert(tree->reads == NULL);
    tree->commit_txn = commit_txn;
}

const struct tx_tree_meta *
tx_tree_meta(const struct tx_tree *tree)
{
    return &tree->meta;
}

/* ---- the map ---- */

/* Wait until no read is active; false when the time is over. Gate closed, lock held. */
static bool
wait_for_reads(const struct tx_tree *tree, uint32_t wait_ms)
{
    const struct timespec poll = { 0, GROW_POLL_NS };
    const uint64_t end_us = tx_os_now_us() + (uint64_t)wait_ms * 1000;

    for (const struct tx_tree_read *r = tree->reads; r != NULL; r = r->next) {
        while (tx_load_acquire_32(&r->active) != 0) { /* [T1] */
            if (tx_os_now_us() >= end_us)
                return false;
            (void)nanosleep(&poll, NULL);
        }
    }
    return true;
}

/* Map as many bytes, 0: as another process has. Gate closed, no read active, lock held. */
static enum txkv_rc
remap(struct tx_tree *tree, uint64_t bytes, struct txkv_error *err)
{
    void *probe;
    int e;

    /* LMDB unmaps before it maps, so look first whether the address space has room. */
    if (bytes > 0) {
        probe = tx_os.mmap(bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (probe == MAP_FAILED)
            return tx_fail(err, TXKV_NOMEM,
                           "%s: no address space for a map of %" PRIu64 " bytes; raise ulimit -v",
                           tree->dir, bytes);
        (void)tx_os.munmap(probe, bytes);
    }
    tx_store_relaxed_64(&tree->map_moves, tree->map_moves + 1);
    e = mdb_env_set_mapsize(tree->env, bytes);
    if (e == 0) {
        tx_store_relaxed_32(&tree->scattered, 0); /* nobody has told anything of this map */
        tx_tree_visit_none(tree);
        return TXKV_OK;
    }
    if (e == EINVAL)
        return tx_fail(err, TXKV_MISUSE, "%s: the map cannot grow inside a batch", tree->dir);
    tree->map_lost = true;
    return tx_tree_fail_lost(tree, err);
}

/* Whether all pages that are in use fit into the map. Under the lock. */
static bool
is_all_mapped(const struct tx_tree *tree)
{
    MDB_envinfo info;
    MDB_stat stat;

    (void)mdb_env_info(tree->env, &info);
    (void)mdb_env_stat(tree->env, &stat);
    return info.me_last_pgno < info.me_mapsize / stat.ms_psize;
}

/*
 * Close the gate, wait for the reads, map anew: twice as much, or as much as another process. Of
 * several threads that find the map too small the first one does it, and the others must not do it
 * again: reads and a batch may have begun since.
 */
static enum txkv_rc
map_anew(struct tx_tree *tree, bool twice, uint32_t wait_ms, struct txkv_error *err)
{
    enum txkv_rc rc;

    (void)pthread_mutex_lock(&tree->lock);
    if (tree->map_lost) {
        rc = tx_tree_fail_lost(tree, err);
    } else if (!twice && is_all_mapped(tree)) {
        rc = TXKV_OK;
    } else {
        MDB_envinfo info;

        (void)tx_swap_32(&tree->growing, 1); /* [T1] */
        (void)mdb_env_info(tree->env, &info);
        if (wait_for_reads(tree, wait_ms))
            rc = remap(tree, twice ? (uint64_t)info.me_mapsize * 2 : 0, err);
        else
            rc = tx_fail(err, TXKV_BUSY,
                         "%s: the map must grow, and a read has been open for %" PRIu32
                         " ms; end long reads and try again",
                         tree->dir, wait_ms);
        if (!tree->map_lost)
            tx_store_release_32(&tree->growing, 0);
    }
    (void)pthread_mutex_unlock(&tree->lock);
    tx_tree_advise(tree);
    return rc;
}

enum txkv_rc
tx_tree_grow(struct tx_tree *tree, uint32_t wait_ms, struct txkv_error *err)
{
    return map_anew(tree, true, wait_ms, err);
}

enum txkv_rc
tx_tree_adopt_size(struct tx_tree *tree, struct txkv_error *err)
{
    return map_anew(tree, false, ADOPT_WAIT_MS, err);
}

void
tx_tree_stats(struct tx_tree *tree, struct tx_tree_stats *stats)
{
    MDB_envinfo info = { 0 };
    MDB_stat stat = { 0 };

    (void)pthread_mutex_lock(&tree->lock); /* LMDB looks into the map */
    stats->readers = tree->read_count;
    if (!tree->map_lost) {
        (void)mdb_env_info(tree->env, &info);
        (void)mdb_env_stat(tree->env, &stat);
    }
    (void)pthread_mutex_unlock(&tree->lock);
    stats->map_bytes = info.me_mapsize;
    stats->used_bytes = (info.me_last_pgno + 1) * stat.ms_psize;
}
