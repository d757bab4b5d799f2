/*
 * tree_copy.c - copies data.mdb into another file while it is in use, without its free pages.
 *
 * LMDB's own copy writes to a descriptor and tells nobody how far it is. So it gets one end of a
 * pair of sockets, in a thread of its own; whoever asked for the copy reads the other end, writes
 * the file, counts, and afterwards compares the file with what it has received. The first bytes
 * that arrive say that LMDB's read has begun. Either side ends it with a shutdown: a child that was
 * forked meanwhile holds both ends too, and a close would not be noticed.
 *
 * The thread's own read goes through no gate: tx_tree_grow does not see it. The caller's read,
 * which is active all the time, keeps the map where it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "os.h"
#include "tree_ahead.h"

enum { BLOCK_BYTES = 1 << 18 };

struct copy {
    struct tx_tree *tree;
    const char *path;
    int in, out;  /* the ends of the sockets: to read, for LMDB */
    int result;   /* LMDB's; its thread writes, valid after the join */
    uint64_t sum; /* of the blocks received, chained */
};

static void *
run_copy(void *arg)
{
    struct copy *copy = arg;

    copy->result = mdb_env_copyfd2(copy->tree->env, copy->out, MDB_CP_COMPACT);
    (void)shutdown(copy->out, SHUT_WR);
    return NULL;
}

static enum txkv_rc
write_block(const struct copy *copy, int fd, const uint8_t *data, size_t bytes, uint64_t offset,
            struct txkv_error *err)
{
    const ssize_t n = tx_os_write(fd, data, bytes, (off_t)offset);

    if (n < 0 || (size_t)n < bytes)
        return tx_fail_errno(err, n < 0 ? errno : ENOSPC, "cannot write %s", copy->path);
    return TXKV_OK;
}

/* Fill the buffer with what arrives; fewer bytes than that are the last ones. -1 and errno. */
static ssize_t
receive_block(const struct copy *copy, uint8_t *buffer)
{
    size_t have = 0;

    while (have < BLOCK_BYTES) {
        const ssize_t n = read(copy->in, buffer + have, BLOCK_BYTES - have);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0)
            break;
        if (n > 0)
            have += (size_t)n;
    }
    return (ssize_t)have;
}

/* Write what arrives, until there is no more. */
static enum txkv_rc
receive(struct copy *copy, int fd, uint8_t *buffer, const struct tx_tree_copy_watch *watch,
        uint64_t *bytes, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;
    bool begun = false;
    ssize_t n;

    do {
        n = receive_block(copy, buffer);
        if (!begun)
            watch->begun(watch->arg);
        begun = true;
        if (n < 0)
            return tx_fail_errno(err, errno, "cannot copy to %s", copy->path);
        rc = write_block(copy, fd, buffer, (size_t)n, *bytes, err);
        copy->sum = tx_record_hash(buffer, (size_t)n, copy->sum);
        *bytes += (uint64_t)n;
        watch->written(watch->arg, *bytes);
    } while (rc == TXKV_OK && n == BLOCK_BYTES);
    return rc;
}

static enum txkv_rc
read_block(const struct copy *copy, int fd, uint8_t *buffer, size_t bytes, uint64_t offset,
           struct txkv_error *err)
{
    const ssize_t n = tx_os_read(fd, buffer, bytes, (off_t)offset);

    if (n < 0 || (size_t)n < bytes)
        return tx_fail_errno(err, n < 0 ? errno : EIO, "cannot read %s again", copy->path);
    return TXKV_OK;
}

/* Sync the file, and read it again, from the disk where the system lets go of its pages. */
static enum txkv_rc
sync_and_compare(const struct copy *copy, int fd, uint8_t *buffer, uint64_t bytes,
                 struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;
    uint64_t sum = 0;
    size_t n;

    if (tx_os.fdatasync(fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync %s", copy->path);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    for (uint64_t offset = 0; rc == TXKV_OK && offset <= bytes; offset += BLOCK_BYTES) {
        n = (size_t)tx_min_u64(bytes - offset, BLOCK_BYTES);
        rc = read_block(copy, fd, buffer, n, offset, err);
        if (rc == TXKV_OK)
            sum = tx_record_hash(buffer, n, sum);
    }
    if (rc == TXKV_OK && sum != copy->sum)
        rc = tx_fail(err, TXKV_IOERR,
                     "%s does not hold what was written to it: look at the disk and the kernel's "
                     "log",
                     copy->path);
    return rc;
}

static enum txkv_rc
fail_copy(const struct copy *copy, struct txkv_error *err)
{
    if (copy->result == EAGAIN) /* LMDB writes from another thread */
        return tx_fail(err, TXKV_CANTOPEN,
                       "copying %s/data.mdb: cannot start a thread: %s; end other programs, or "
                       "raise ulimit -u and -v",
                       copy->tree->dir, strerror(EAGAIN));
    if (copy->result != MDB_INCOMPATIBLE)
        return tx_tree_fail(err, copy->result, copy->tree->dir, "copying data.mdb");
    return tx_fail(err, TXKV_CORRUPT,
                   "%s/data.mdb has pages that are neither in use nor free, and cannot be copied "
                   "while it is in use; close the store everywhere and copy its directory",
                   copy->tree->dir);
}

/* With the sockets and the file. */
static enum txkv_rc
copy_with_thread(struct copy *copy, int fd, const struct tx_tree_copy_watch *watch, uint64_t *bytes,
                 struct txkv_error *err)
{
    uint8_t *buffer = tx_malloc(BLOCK_BYTES);
    pthread_t thread = 0;
    enum txkv_rc rc = buffer == NULL ? tx_fail_nomem(err) : TXKV_OK;

    if (rc == TXKV_OK)
        rc = tx_os_thread(&thread, run_copy, copy, "txkv-backup", err);
    if (rc != TXKV_OK) {
        watch->begun(watch->arg);
        tx_free(buffer);
        return rc;
    }
    tx_tree_advise_copy(copy->tree, true);
    rc = receive(copy, fd, buffer, watch, bytes, err);
    tx_tree_advise_copy(copy->tree, false);
    (void)shutdown(copy->in, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    if (rc == TXKV_OK && copy->result != 0)
        rc = fail_copy(copy, err);
    if (rc == TXKV_OK)
        rc = sync_and_compare(copy, fd, buffer, *bytes, err);
    tx_free(buffer);
    return rc;
}

enum txkv_rc
tx_tree_copy(struct tx_tree_read *read, const char *path, const struct tx_tree_copy_watch *watch,
             uint64_t *bytes, struct txkv_error *err)
{
    struct copy copy = { .tree = read->tree, .path = path };
    int ends[2], fd;
    enum txkv_rc rc;

    assert(read->active == 1);
    *bytes = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        watch->begun(watch->arg);
        return tx_fail_errno(err, errno, "cannot copy to %s: no pair of sockets", path);
    }
    copy.in = ends[0];
    copy.out = ends[1];
    fd = tx_os.open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        watch->begun(watch->arg);
        rc = tx_fail_errno(err, errno, "cannot make %s", path);
    } else {
        rc = copy_with_thread(&copy, fd, watch, bytes, err);
        (void)tx_os.close(fd);
    }
    (void)close(copy.in);
    (void)close(copy.out);
    return rc;
}
