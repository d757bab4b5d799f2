/*
 * archive.c - keeping files of the log in an archive.
 *
 * A file is written under the name <first LSN>.tmp, synced, and renamed; then the directory is
 * synced. Who is killed in between leaves a .tmp that the next try writes over, or a file that the
 * next try finds to be what it would write.
 */
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log_private.h"
#include "mem.h"
#include "os.h"

enum { BLOCK_BYTES = 1 << 20, MARK_BYTES = 64 };

static const char mark_name[] = "txkv-archive";
static const char mark_tmp_name[] = "txkv-archive.tmp";

/* ---- files ---- */

static enum txkv_rc
write_all(int fd, const uint8_t *bytes, uint64_t count, const char *path, struct txkv_error *err)
{
    const ssize_t n = tx_os_write(fd, bytes, count, 0);

    if (n < 0 || (uint64_t)n < count)
        return tx_fail_errno(err, n < 0 ? errno : EIO, "cannot write %s", path);
    if (tx_os.fsync(fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync %s", path);
    return TXKV_OK;
}

/* Write a file under tmp_name, synced, and give it its name, which may be another's now. */
static enum txkv_rc
write_file(const char *dir, const char *tmp_name, const char *name, const uint8_t *bytes,
           uint64_t count, uint32_t others, struct txkv_error *err)
{
    char *tmp = tx_os_join(dir, tmp_name), *path = tx_os_join(dir, name);
    enum txkv_rc rc;
    int fd = -1;

    if (tmp == NULL || path == NULL) {
        rc = tx_fail_nomem(err);
        goto out;
    }
    fd = tx_os.open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        rc = tx_fail_errno(err, errno, "cannot create %s", tmp);
        goto out;
    }
    if (others != 0)
        (void)!fchmod(fd, 0600 | others); /* who cannot read it says so */
    rc = write_all(fd, bytes, count, tmp, err);
    if (rc == TXKV_OK && tx_os.rename(tmp, path) != 0)
        rc = tx_fail_errno(err, errno, "cannot rename %s to %s", tmp, path);
    if (rc != TXKV_OK)
        (void)tx_os.unlink(tmp);
    else
        rc = tx_os_sync_dir(dir, err);
out:
    if (fd >= 0)
        (void)tx_os.close(fd);
    tx_free(tmp);
    tx_free(path);
    return rc;
}

/* What the mark says, or its beginning. TXKV_NOTFOUND: there is none. */
static enum txkv_rc
read_mark(const char *dir, char text[MARK_BYTES], struct txkv_error *err)
{
    char *path = tx_os_join(dir, mark_name);
    enum txkv_rc rc = TXKV_OK;
    ssize_t n = 0;
    int fd;

    memset(text, 0, MARK_BYTES);
    if (path == NULL)
        return tx_fail_nomem(err);
    fd = tx_os.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0)
        n = tx_os_read(fd, text, MARK_BYTES - 1, 0);
    if (fd < 0 && errno == ENOENT)
        rc = TXKV_NOTFOUND;
    else if (fd < 0 || n < 0)
        rc = tx_fail_errno(err, errno, "cannot read %s", path);
    if (fd >= 0)
        (void)tx_os.close(fd);
    tx_free(path);
    return rc;
}

/* ---- whose it is ---- */

static void
mark_text(uint64_t store_id, char text[MARK_BYTES])
{
    (void)snprintf(text, MARK_BYTES, "txkv: the log of store %016" PRIx64 "\n", store_id);
}

static enum txkv_rc
fail_taken(const char *dir, const char *name, struct txkv_error *err)
{
    return tx_fail(err, TXKV_MISUSE,
                   "archive_dir %s is the archive of another store (%s): give each store a "
                   "directory of its own",
                   dir, name);
}

enum txkv_rc
tx_archive_owner(const char *dir, uint64_t store_id, struct txkv_error *err)
{
    char own[MARK_BYTES], found[MARK_BYTES];
    enum txkv_rc rc = read_mark(dir, found, err);

    if (rc != TXKV_OK)
        return rc;
    mark_text(store_id, own);
    return strcmp(own, found) == 0 ? TXKV_OK : fail_taken(dir, mark_name, err);
}

/* Segments that are there without the mark must be the store's. */
static enum txkv_rc
check_segments(const char *dir, uint64_t store_id, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];
    struct tx_log_names names;
    enum txkv_rc rc = tx_log_list(dir, &names, err);

    for (size_t i = 0; i < names.count && rc == TXKV_OK; i++) {
        uint64_t id;

        rc = tx_segment_peek_id(dir, names.lsns[i], &id, err);
        tx_segment_name(names.lsns[i], name);
        if (rc == TXKV_OK && id != store_id)
            rc = fail_taken(dir, name, err);
    }
    tx_free(names.lsns);
    return rc;
}

enum txkv_rc
tx_archive_begin(const char *dir, uint64_t store_id, struct txkv_error *err)
{
    char text[MARK_BYTES];
    enum txkv_rc rc = tx_archive_owner(dir, store_id, err);

    if (rc != TXKV_NOTFOUND)
        return rc;
    rc = check_segments(dir, store_id, err);
    if (rc != TXKV_OK)
        return rc;
    mark_text(store_id, text);
    return write_file(dir, mark_tmp_name, mark_name, (const uint8_t *)text, strlen(text), 044, err);
}

/* ---- one segment ---- */

/* What is there already. */
enum existing { EXISTING_NONE, EXISTING_PART, EXISTING_SAME, EXISTING_OTHER };

static enum txkv_rc
compare_bytes(int fd, const char *path, const uint8_t *bytes, uint64_t count, bool *same,
              struct txkv_error *err)
{
    uint8_t *buffer = tx_malloc(BLOCK_BYTES);
    enum txkv_rc rc = buffer == NULL ? tx_fail_nomem(err) : TXKV_OK;
    uint64_t done = 0;

    *same = true;
    while (rc == TXKV_OK && *same && done < count) {
        const size_t step = tx_min_u64(count - done, BLOCK_BYTES);
        const ssize_t n = tx_os_read(fd, buffer, step, (off_t)done);

        if (n < 0 || (size_t)n < step)
            rc = tx_fail_errno(err, n < 0 ? errno : EIO, "cannot read %s", path);
        else
            *same = memcmp(buffer, bytes + done, step) == 0;
        done += step;
    }
    tx_free(buffer);
    return rc;
}

static enum txkv_rc
look_at_existing(const char *path, const uint8_t *bytes, uint64_t count, enum existing *existing,
                 struct txkv_error *err)
{
    const int fd = tx_os.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat st;
    bool same = false;
    enum txkv_rc rc = TXKV_OK;

    *existing = EXISTING_NONE;
    if (fd < 0)
        return errno == ENOENT ? TXKV_OK : tx_fail_errno(err, errno, "cannot open %s", path);
    if (tx_os.fstat(fd, &st) != 0)
        rc = tx_fail_errno(err, errno, "cannot look at %s", path);
    else if ((uint64_t)st.st_size <= count)
        rc = compare_bytes(fd, path, bytes, (uint64_t)st.st_size, &same, err);
    (void)tx_os.close(fd);
    if (rc != TXKV_OK)
        return rc;
    *existing = !same                          ? EXISTING_OTHER
                : (uint64_t)st.st_size < count ? EXISTING_PART
                                               : EXISTING_SAME;
    return TXKV_OK;
}

/*
 * How much of a segment is of use: up to lsn, or to the seal. Where the chain does not lead there,
 * all of the file: before the archive was begun a power failure may have left holes.
 */
static uint64_t
useful_bytes(const struct tx_segment *s, uint64_t store_id, uint64_t lsn)
{
    struct tx_log_scan scan = { 0 };
    struct tx_log_walk walk = {
        .store_id = store_id, .lsn = s->first_lsn, .check = s->first_prev_check, .scan = &scan
    };

    if (lsn < tx_segment_end_lsn(s))
        return tx_min_u64(lsn - s->first_lsn, s->file_bytes);
    /* The walk changes nothing, and without a visitor it cannot fail. */
    (void)!tx_log_walk_segment(&walk, (struct tx_segment *)(uintptr_t)s, UINT64_MAX, NULL);
    if (walk.lsn != tx_segment_end_lsn(s))
        return s->file_bytes;
    return tx_min_u64(TX_SEGMENT_HEADER_BYTES + scan.bytes_verified, s->file_bytes);
}

/* Write a segment's first `count` bytes, unless they are there. */
static enum txkv_rc
put_bytes(const char *dir, const struct tx_segment *s, uint64_t count, uint32_t others,
          struct tx_archive_report *report, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES], tmp_name[TX_SEGMENT_NAME_BYTES];
    enum existing existing = EXISTING_NONE;
    enum txkv_rc rc;
    char *path;

    tx_segment_name(s->first_lsn, name);
    (void)snprintf(tmp_name, sizeof tmp_name, "%016llx.tmp", (unsigned long long)s->first_lsn);
    path = tx_os_join(dir, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    rc = look_at_existing(path, s->map, count, &existing, err);
    if (rc == TXKV_OK && existing == EXISTING_OTHER)
        rc = tx_fail(err, TXKV_EXISTS,
                     "%s is another file than %s, which was archived by a copy of this store, or "
                     "by this one before an older state of it was put back: set archive_dir=off, "
                     "then give an empty directory, and make a new backup",
                     path, s->path);
    tx_free(path);
    /* The name may have come from a process that did not live to sync it. */
    if (rc == TXKV_OK && existing == EXISTING_SAME)
        return tx_os_sync_dir(dir, err);
    if (rc == TXKV_OK)
        rc = write_file(dir, tmp_name, name, s->map, count, others, err);
    if (rc == TXKV_OK) {
        report->files++;
        report->bytes += count;
    }
    return rc;
}

static enum txkv_rc
put_segment(const char *dir, const struct tx_log *log, uint64_t first_lsn, uint64_t lsn,
            struct tx_archive_report *report, struct txkv_error *err)
{
    enum tx_segment_state state;
    struct tx_segment *s;
    enum txkv_rc rc = tx_segment_open(log->dir, log->store_id, first_lsn, false, &s, &state, err);

    if (rc != TXKV_OK)
        return rc;
    if (state == TX_SEGMENT_FOREIGN)
        rc = tx_fail(err, TXKV_CORRUPT, "log file %s belongs to another store: move it away",
                     s->path);
    if (rc == TXKV_OK)
        rc = tx_segment_load(s, s->file_bytes, err);
    if (rc == TXKV_OK)
        rc = put_bytes(dir, s, useful_bytes(s, log->store_id, lsn), log->others, report, err);
    tx_segment_unref(s);
    return rc;
}

/* ---- the log ---- */

static enum txkv_rc
put_listed(const char *dir, const struct tx_log *log, const struct tx_log_names *names,
           uint64_t lsn, bool tail, struct tx_archive_report *report, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (size_t i = 0; i < names->count && names->lsns[i] < lsn; i++) {
        /* Of the last file only its header could tell whether it ends below lsn: it can wait. */
        const bool whole = i + 1 < names->count && names->lsns[i + 1] <= lsn;

        if (rc == TXKV_OK && i == 0)
            rc = tx_archive_owner(dir, log->store_id, err);
        if (rc == TXKV_NOTFOUND)
            rc = tx_fail(err, TXKV_CANTOPEN,
                         "there is no file %s in %s: it is not mounted, or not the archive",
                         mark_name, dir);
        if (rc == TXKV_OK && (whole || tail))
            rc = put_segment(dir, log, names->lsns[i], lsn, report, err);
        report->waiting += whole && rc != TXKV_OK;
        if (rc == TXKV_OK && whole)
            report->removable_lsn = names->lsns[i + 1];
    }
    return rc;
}

enum txkv_rc
tx_archive_log(const char *dir, const struct tx_log *log, uint64_t lsn, bool tail,
               struct tx_archive_report *report, struct txkv_error *err)
{
    struct tx_log_names names;
    enum txkv_rc rc = tx_log_check_dir(log, err);

    *report = (struct tx_archive_report){ .removable_lsn = 0 };
    if (rc != TXKV_OK)
        return rc;
    rc = tx_log_list(log->dir, &names, err);
    if (rc == TXKV_OK)
        rc = put_listed(dir, log, &names, lsn, tail, report, err);
    tx_free(names.lsns);
    return rc;
}
