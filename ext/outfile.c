/*
 * outfile.c - a file that is there when it is complete, and not before.
 *
 * Whoever writes one holds a lock on it (flock), by which the next one knows a file that a dead
 * process has left behind.
 */
#include "outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlerror.h"

enum { BUFFER_BYTES = 1 << 16, DIGITS = 16, NAME_TRIES = 8 };

static const char infix[] = ".tmp-";

static int
fail(const struct tx_outfile *out, int error, const char *what, char **message)
{
    int code = SQLITE_IOERR;

    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        code = SQLITE_FULL;
    else if (error == EACCES || error == EPERM || error == EROFS)
        code = SQLITE_READONLY;
    else if (error == ENOENT || error == ENOTDIR || error == EEXIST || error == ENAMETOOLONG ||
             error == EISDIR)
        code = SQLITE_CANTOPEN;
    else if (error == ENOMEM)
        return SQLITE_NOMEM;
    return tx_sql_refuse(message, code, "%s: cannot %s \"%s\": %s", out->who, what, out->target,
                         strerrordesc_np(error));
}

static int
refuse_existing(const struct tx_outfile *out, char **message)
{
    return tx_sql_refuse(message, SQLITE_CANTOPEN,
                         "%s: \"%s\" is there already: give another name, or the option "
                         "overwrite=yes",
                         out->who, out->target);
}

static void
let_go(struct tx_outfile *out)
{
    if (out->fd >= 0)
        (void)close(out->fd);
    out->fd = -1;
    sqlite3_free(out->target);
    sqlite3_free(out->temporary);
    sqlite3_free(out->buffer);
    out->target = out->temporary = NULL;
    out->buffer = NULL;
}

/* ---- the directory ---- */

/* Whether it is NAME.tmp-<16 hex digits>. */
static bool
is_temporary(const char *entry, const char *name)
{
    const size_t bytes = strlen(name);

    if (strncmp(entry, name, bytes) != 0 || strncmp(entry + bytes, infix, sizeof(infix) - 1) != 0)
        return false;
    entry += bytes + sizeof(infix) - 1;
    return strlen(entry) == DIGITS && strspn(entry, "0123456789abcdef") == DIGITS;
}

static void
remove_if_dead(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlink(path);
    (void)close(fd);
}

/* What killed processes have left. Nothing depends on it. */
static void
remove_dead(const char *target)
{
    const char *slash = strrchr(target, '/'), *name = slash == NULL ? target : slash + 1;
    char *parent = sqlite3_mprintf("%.*s", (int)(name - target), target);
    DIR *dir = parent == NULL ? NULL : opendir(*parent == '\0' ? "." : parent);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *path = is_temporary(entry->d_name, name)
                         ? sqlite3_mprintf("%s%s", parent, entry->d_name)
                         : NULL;

        if (path != NULL)
            remove_if_dead(path);
        sqlite3_free(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
    sqlite3_free(parent);
}

/* ---- opening ---- */

/* The file with its lock, or -1 with errno. Who removes dead ones may come between the two. */
static int
make_temporary(struct tx_outfile *out)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        sqlite3_uint64 number;
        struct stat st;
        int fd;

        sqlite3_randomness((int)sizeof(number), &number);
        sqlite3_free(out->temporary);
        out->temporary = sqlite3_mprintf("%s%s%016llx", out->target, infix, number);
        if (out->temporary == NULL) {
            errno = ENOMEM;
            return -1;
        }
        fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            return -1;
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        if (fd >= 0) {
            (void)unlink(out->temporary);
            (void)close(fd);
        }
    }
    errno = EEXIST;
    return -1;
}

int
tx_outfile_open(struct tx_outfile *out, const char *who, const char *target, bool overwrite,
                char **message)
{
    struct stat st;
    int error;

    *out = (struct tx_outfile){ .who = who, .fd = -1, .overwrite = overwrite };
    out->target = sqlite3_mprintf("%s", target);
    out->buffer = sqlite3_malloc(BUFFER_BYTES);
    if (out->target == NULL || out->buffer == NULL) {
        let_go(out);
        return SQLITE_NOMEM;
    }
    if (lstat(target, &st) == 0 && (!overwrite || !S_ISREG(st.st_mode))) {
        const int rc =
            overwrite ? tx_sql_refuse(message, SQLITE_CANTOPEN,
                                      "%s: \"%s\" is no file, and is not overwritten", who, target)
                      : refuse_existing(out, message);

        let_go(out);
        return rc;
    }
    remove_dead(target);
    out->fd = make_temporary(out);
    if (out->fd < 0) {
        error = fail(out, errno, "make", message);
        let_go(out);
        return error;
    }
    return SQLITE_OK;
}

/* ---- writing ---- */

static void
write_all(struct tx_outfile *out, const uint8_t *data, size_t bytes)
{
    while (bytes > 0 && out->error == 0) {
        const ssize_t done = write(out->fd, data, bytes);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            out->error = done < 0 ? errno : EIO;
            return;
        }
        data += done;
        bytes -= (size_t)done;
    }
}

static void
flush(struct tx_outfile *out)
{
    write_all(out, out->buffer, out->used);
    out->used = 0;
}

void
tx_outfile_write(struct tx_outfile *out, const void *data, size_t bytes)
{
    if (bytes > BUFFER_BYTES - out->used)
        flush(out);
    if (bytes > BUFFER_BYTES) {
        write_all(out, data, bytes);
        return;
    }
    if (bytes > 0)
        memcpy(out->buffer + out->used, data, bytes);
    out->used += bytes;
}

void
tx_outfile_text(struct tx_outfile *out, const char *text)
{
    tx_outfile_write(out, text, strlen(text));
}

void
tx_outfile_hex(struct tx_outfile *out, const uint8_t *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    char text[512];

    while (bytes > 0) {
        const size_t part = bytes < sizeof(text) / 2 ? bytes : sizeof(text) / 2;

        for (size_t i = 0; i < part; i++) {
            text[2 * i] = digits[data[i] >> 4];
            text[2 * i + 1] = digits[data[i] & 15];
        }
        tx_outfile_write(out, text, 2 * part);
        data += part;
        bytes -= part;
    }
}

/* ---- the end ---- */

/* An errno, or 0. A name that somebody else has taken meanwhile is not taken from them. */
static int
give_name(struct tx_outfile *out)
{
    int rc = out->overwrite
                 ? rename(out->temporary, out->target)
                 : renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->target, RENAME_NOREPLACE);

    if (rc != 0 && !out->overwrite && (errno == EINVAL || errno == ENOSYS)) {
        rc = link(out->temporary, out->target); /* a file system without that rename */
        if (rc == 0)
            (void)unlink(out->temporary);
    }
    return rc == 0 ? 0 : errno;
}

static int
sync_directory(const struct tx_outfile *out)
{
    const char *slash = strrchr(out->target, '/');
    char *parent = slash == NULL
                       ? sqlite3_mprintf(".")
                       : sqlite3_mprintf("%.*s", (int)(slash - out->target) + 1, out->target);
    const int dir = parent == NULL ? -1 : open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = parent == NULL ? ENOMEM : dir < 0 ? errno : 0;

    if (dir >= 0 && fsync(dir) != 0)
        error = errno;
    if (dir >= 0)
        (void)close(dir);
    sqlite3_free(parent);
    return error;
}

int
tx_outfile_finish(struct tx_outfile *out, char **message)
{
    bool named = false;
    int rc = SQLITE_OK;

    flush(out);
    if (out->error == 0 && fsync(out->fd) != 0)
        out->error = errno;
    if (out->error == 0) {
        out->error = give_name(out);
        named = out->error == 0;
        if (out->error == EEXIST && !out->overwrite)
            rc = refuse_existing(out, message);
    }
    if (named)
        out->error = sync_directory(out);
    if (out->error != 0 && rc == SQLITE_OK)
        rc = fail(out, out->error, "write", message);
    if (!named)
        (void)unlink(out->temporary);
    else if (rc != SQLITE_OK && !out->overwrite)
        (void)unlink(out->target); /* a power failure could take the name away */
    let_go(out);
    return rc;
}

void
tx_outfile_abandon(struct tx_outfile *out)
{
    if (out->temporary != NULL)
        (void)unlink(out->temporary);
    let_go(out);
}
