/*
 * newdir.c - making a store's directory under another name.
 */
#include "newdir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "mem.h"
#include "os.h"

enum { DIGITS = 16 };
static const char tmp_infix[] = ".tmp-";

/* ---- names ---- */

static enum txkv_rc
split_target(struct tx_newdir *newdir, const char *target, struct txkv_error *err)
{
    size_t bytes = target == NULL ? 0 : strlen(target);
    char *slash;

    while (bytes > 1 && target[bytes - 1] == '/')
        bytes--;
    newdir->target = tx_zalloc(bytes + 1);
    newdir->parent = tx_zalloc(bytes + 2);
    if (newdir->target == NULL || newdir->parent == NULL)
        return tx_fail_nomem(err);
    memcpy(newdir->target, bytes == 0 ? "" : target, bytes);
    slash = strrchr(newdir->target, '/');
    newdir->base = slash == NULL ? newdir->target : slash + 1;
    if (slash == NULL)
        newdir->parent[0] = '.';
    else
        memcpy(newdir->parent, newdir->target,
               slash == newdir->target ? 1 : (size_t)(slash - newdir->target));
    if (newdir->base[0] == '\0' || strcmp(newdir->base, ".") == 0 ||
        strcmp(newdir->base, "..") == 0)
        return tx_fail(err, TXKV_MISUSE, "%s to \"%s\": name a directory that does not exist yet",
                       newdir->what, target == NULL ? "" : target);
    return TXKV_OK;
}

static enum txkv_rc
fail_exists(const struct tx_newdir *newdir, struct txkv_error *err)
{
    return tx_fail(err, TXKV_EXISTS,
                   "%s to %s: it exists already, and a %s replaces nothing; name another "
                   "directory, or remove that one",
                   newdir->what, newdir->target, newdir->what);
}

static enum txkv_rc
refuse_existing(const struct tx_newdir *newdir, struct txkv_error *err)
{
    struct stat st;

    if (lstat(newdir->target, &st) == 0)
        return fail_exists(newdir, err);
    if (errno == ENOENT)
        return TXKV_OK;
    return tx_fail_errno(err, errno, "%s to %s", newdir->what, newdir->target);
}

/* ---- the directory under its first name ---- */

static void
remove_in(const char *dir, const char *name)
{
    char *path = tx_os_join(dir, name);

    if (path != NULL)
        (void)tx_os.unlink(path);
    tx_free(path);
}

static void
remove_dir(const char *dir)
{
    remove_in(dir, "lock.mdb");
    remove_in(dir, "data.mdb");
    (void)tx_os.rmdir(dir);
}

/* *fd: the directory, locked until it is closed; -1 and TXKV_BUSY: another process has it. A file
 * system that cannot lock a directory is no reason to refuse it. */
static enum txkv_rc
lock_dir(const char *dir, int *fd, struct txkv_error *err)
{
    *fd = tx_os.open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0)
        return tx_fail_errno(err, errno, "cannot open directory %s", dir);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return TXKV_OK;
    (void)tx_os.close(*fd);
    *fd = -1;
    return tx_fail(err, TXKV_BUSY, "another process is making %s: wait until it is done", dir);
}

static bool
is_leftover(const struct tx_newdir *newdir, const char *name)
{
    const size_t base = strlen(newdir->base), infix = sizeof tmp_infix - 1;

    return strncmp(name, newdir->base, base) == 0 && strncmp(name + base, tmp_infix, infix) == 0 &&
           strlen(name + base + infix) == DIGITS &&
           strspn(name + base + infix, "0123456789abcdef") == DIGITS;
}

static enum txkv_rc
remove_leftover(void *arg, const char *name, struct txkv_error *err)
{
    const struct tx_newdir *newdir = arg;
    enum txkv_rc rc;
    char *path;
    int fd;

    if (!is_leftover(newdir, name))
        return TXKV_OK;
    path = tx_os_join(newdir->parent, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    rc = lock_dir(path, &fd, err);
    if (rc == TXKV_OK) {
        remove_dir(path);
        (void)tx_os.close(fd);
    }
    tx_free(path);
    return rc;
}

static enum txkv_rc
make_dir(struct tx_newdir *newdir, struct txkv_error *err)
{
    const size_t room = strlen(newdir->target) + sizeof tmp_infix + DIGITS;
    struct stat st;
    enum txkv_rc rc;

    if (stat(newdir->parent, &st) != 0)
        return tx_fail_errno(err, errno,
                             "%s to %s: the directory that should hold it, %s, cannot be used",
                             newdir->what, newdir->target, newdir->parent);
    rc = tx_os_list_dir(newdir->parent, remove_leftover, newdir, err);
    if (rc != TXKV_OK)
        return rc;
    newdir->tmp_dir = tx_malloc(room);
    if (newdir->tmp_dir == NULL)
        return tx_fail_nomem(err);
    (void)snprintf(newdir->tmp_dir, room, "%s%s%08" PRIx32 "%08" PRIx32, newdir->target, tmp_infix,
                   tx_os_pid(), (uint32_t)tx_os_now_us());
    newdir->data = tx_os_join(newdir->tmp_dir, "data.mdb");
    if (newdir->data == NULL)
        return tx_fail_nomem(err);
    if (tx_os.mkdir(newdir->tmp_dir, 0700) != 0)
        return tx_fail_errno(err, errno, "cannot make directory %s", newdir->tmp_dir);
    newdir->made = true;
    return lock_dir(newdir->tmp_dir, &newdir->lock_fd, err);
}

/* ---- the whole ---- */

enum txkv_rc
tx_newdir_make(struct tx_newdir *newdir, const char *what, const char *target,
               struct txkv_error *err)
{
    enum txkv_rc rc;

    *newdir = (struct tx_newdir){ .what = what, .lock_fd = -1 };
    rc = split_target(newdir, target, err);
    if (rc == TXKV_OK)
        rc = refuse_existing(newdir, err);
    return rc == TXKV_OK ? make_dir(newdir, err) : rc;
}

enum txkv_rc
tx_newdir_name(struct tx_newdir *newdir, struct txkv_error *err)
{
    enum txkv_rc rc = tx_os_sync_dir(newdir->tmp_dir, err);

    if (rc == TXKV_OK)
        rc = refuse_existing(newdir, err); /* rename replaces an empty directory */
    if (rc != TXKV_OK)
        return rc;
    if (tx_os.rename(newdir->tmp_dir, newdir->target) != 0) {
        if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
            return fail_exists(newdir, err);
        return tx_fail_errno(err, errno, "cannot rename %s to %s", newdir->tmp_dir, newdir->target);
    }
    newdir->made = false;
    return tx_os_sync_dir(newdir->parent, err);
}

void
tx_newdir_remove(const struct tx_newdir *newdir, const char *name)
{
    remove_in(newdir->tmp_dir, name);
}

void
tx_newdir_end(struct tx_newdir *newdir)
{
    if (newdir->made)
        remove_dir(newdir->tmp_dir);
    if (newdir->lock_fd >= 0)
        (void)tx_os.close(newdir->lock_fd);
    tx_free(newdir->data);
    tx_free(newdir->tmp_dir);
    tx_free(newdir->parent);
    tx_free(newdir->target);
}
