/*
 * rescue.c - txkv_rescue: a new store out of all that is intact of a damaged one.
 *
 * A recovery promises a prefix of what was committed. Where that is not enough to be had, a rescue
 * gives the promise up: it takes every row that can be read of data.mdb, then every intact record
 * of the log in the order of their LSNs, holes or not.
 *
 * Steps: build a store from them in DIR/rescue.tmp, closed, so that all of it is in its data.mdb,
 * with the id of the old one and a checkpoint LSN beyond its log; give the old files second names
 * in rescued-<n>; sync; rename the new data.mdb over the old one; take the old log's names away.
 *
 * Invariants: up to the rename the store is as it was, and each of its files has a second name
 * before its first one goes. Behind it the old log is below the checkpoint LSN, where nobody reads.
 *
 * Threads: any; the store is locked as its first opener locks it, so nobody has it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "inspect.h"
#include "log_harvest.h"
#include "os.h"
#include "rescue.h"
#include "shared.h"
#include "store.h"

enum { SAVED_MAX = 10000, LOCK_WAIT_US = 1000000, LSN_STEP = 1 << 20 };
static const char tmp_name[] = "rescue.tmp";

struct rescue {
    char *dir; /* absolute */
    char *wal_dir, *tmp_dir, *data, *new_data;
    char *saved, *saved_wal; /* where the old files are kept */
    struct tx_share share;
    int wal_lock_fd;
    struct tx_pages *pages; /* NULL: data.mdb is missing, or is none */
    struct tx_inspection meta;
    struct tx_harvest harvest;
    uint64_t store_id, end_lsn;
    uint64_t unreadable; /* reads of data.mdb that failed when it was looked at */
    struct txkv_rescue_report report;
};

/* ---- the old store ---- */

static enum txkv_rc
lock_store(struct rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = tx_share_open(r->dir, LOCK_WAIT_US, &r->share, err);

    if (rc == TXKV_OK && r->share.readonly)
        rc = tx_fail(err, TXKV_READONLY, "store %s: no permission to write in it", r->dir);
    if (rc == TXKV_OK && !r->share.first)
        rc = tx_fail(err, TXKV_LOCKED,
                     "store %s is open, and what is open is not damaged: close it everywhere first",
                     r->dir);
    return rc;
}

static enum txkv_rc
open_data(struct rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = tx_pages_open(r->data, 0, &r->pages, err);

    if (rc == TXKV_CANTOPEN || rc == TXKV_FORMAT)
        return TXKV_OK;
    /* Once to see whether it is damaged, and once to read: a page is entered once. */
    if (rc == TXKV_OK)
        rc = tx_pages_check(r->pages, err);
    if (rc == TXKV_OK) {
        r->report.page_problems = tx_pages_report(r->pages)->found.problems;
        r->unreadable = tx_pages_report(r->pages)->unreadable;
        tx_pages_close(r->pages);
        rc = tx_pages_open(r->data, 0, &r->pages, err);
    }
    if (rc == TXKV_OK)
        rc = tx_inspect(r->pages, &r->meta, err);
    /* Another format in a store that is whole is no damage. Of an older one, whatever else is
     * damaged, the keys and rows would be taken for what they are not. */
    if (rc == TXKV_OK && r->meta.format != 0 &&
        (r->meta.format < TX_TREE_FORMAT ||
         (r->meta.problems == 1 && tx_pages_report(r->pages)->found.problems == 0)))
        rc = tx_tree_check_format(r->dir, r->meta.format, err);
    return rc;
}

/* Where the log is, as far as that is known. */
static enum txkv_rc
find_log(struct rescue *r, const char *asked, struct txkv_error *err)
{
    r->wal_dir = asked != NULL             ? tx_strdup(asked)
                 : r->meta.wal_dir != NULL ? tx_strdup(r->meta.wal_dir)
                                           : tx_os_join(r->dir, "wal");
    if (r->wal_dir == NULL)
        return tx_fail_nomem(err);
    r->wal_lock_fd = tx_os.open(r->wal_dir, O_RDONLY | O_DIRECTORY, 0);
    if (r->wal_lock_fd < 0 && errno == ENOENT && asked == NULL && r->meta.wal_dir == NULL)
        return tx_os_make_dir(r->wal_dir, err);
    if (r->wal_lock_fd < 0)
        return tx_fail_errno(err, errno, "store %s: log directory %s", r->dir, r->wal_dir);
    if (flock(r->wal_lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return tx_fail(err, TXKV_LOCKED, "store %s: another open store keeps its log in %s", r->dir,
                       r->wal_dir);
    return TXKV_OK;
}

static enum txkv_rc
read_log(struct rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    r->store_id = r->meta.store_id;
    if (r->store_id == 0)
        rc = tx_inspect_log_id(r->wal_dir, &r->store_id, err);
    if (rc == TXKV_OK && r->store_id == 0 && r->pages == NULL)
        rc =
            tx_fail(err, TXKV_CANTOPEN,
                    "%s is not a txkv store, or nothing is left of it: neither data.mdb nor a file "
                    "of the log can be read",
                    r->dir);
    if (rc == TXKV_OK)
        rc = tx_harvest(r->wal_dir, r->store_id, &r->harvest, err);
    if (rc != TXKV_OK)
        return rc;
    r->report.files_skipped = r->harvest.foreign_files + r->harvest.unreadable_files;
    r->report.bytes_skipped = r->harvest.bytes_skipped;
    return TXKV_OK;
}

/* ---- the new store ---- */

static enum txkv_rc
remove_file_in(void *arg, const char *name, struct txkv_error *err)
{
    const char *dir = arg;
    char *path = tx_os_join(dir, name);
    enum txkv_rc rc = TXKV_OK;

    if (path == NULL)
        return tx_fail_nomem(err);
    if (tx_os.unlink(path) != 0 && errno != EISDIR && errno != EPERM && errno != ENOENT)
        rc = tx_fail_errno(err, errno, "cannot remove %s", path);
    tx_free(path);
    return rc;
}

/* A directory with the files in it; what is none, a link say, is left alone. */
static enum txkv_rc
remove_dir(char *path, struct txkv_error *err)
{
    enum txkv_rc rc;
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? TXKV_OK : tx_fail_errno(err, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return tx_fail(err, TXKV_EXISTS, "%s is in the way, and no directory: move it away", path);
    rc = tx_os_list_dir(path, remove_file_in, path, err);
    if (rc == TXKV_OK && tx_os.rmdir(path) != 0)
        rc = tx_fail_errno(err, errno, "cannot remove directory %s", path);
    return rc;
}

/* What an earlier one has left that was killed, too. */
static enum txkv_rc
remove_tmp(const struct rescue *r, struct txkv_error *err)
{
    char *wal = tx_os_join(r->tmp_dir, "wal");
    enum txkv_rc rc = TXKV_OK;
    struct stat st;

    if (wal == NULL)
        return tx_fail_nomem(err);
    if (lstat(r->tmp_dir, &st) == 0 && S_ISDIR(st.st_mode))
        rc = remove_dir(wal, err);
    tx_free(wal);
    return rc == TXKV_OK ? remove_dir(r->tmp_dir, err) : rc;
}

/*
 * What is older comes first, and what is newer over it: where pages are damaged, what the log has
 * left from before the checkpoint; the pages; the log from the checkpoint on.
 */
static enum txkv_rc
fill(struct rescue *r, struct tx_refill *refill, struct txkv_error *err)
{
    const uint64_t lsn = r->meta.has_checkpoint ? r->meta.checkpoint_lsn : 0;
    enum txkv_rc rc = tx_rescue_tables(refill, &r->meta, err);

    refill->is_past = true;
    if (rc == TXKV_OK && r->report.page_problems > 0)
        rc = tx_rescue_log(refill, &r->harvest, 0, lsn, err);
    refill->is_past = false;
    if (rc == TXKV_OK && r->pages != NULL)
        rc = tx_rescue_pages(refill, r->pages, &r->meta, err);
    /* What could be read a moment ago is not lost, and nothing else is in its place. */
    if (rc == TXKV_OK && r->pages != NULL && tx_pages_report(r->pages)->unreadable > r->unreadable)
        rc =
            tx_fail(err, TXKV_IOERR,
                    "%s could be read before, and now it cannot: look at the kernel's log, and try "
                    "again; nothing was changed",
                    r->data);
    return rc == TXKV_OK ? tx_rescue_log(refill, &r->harvest, lsn, UINT64_MAX, err) : rc;
}

static enum txkv_rc
refill(struct rescue *r, struct txkv_error *err)
{
    struct tx_refill refill;
    enum txkv_rc rc = tx_refill_begin(&refill, r->tmp_dir, &r->report, err), ended;

    if (rc == TXKV_OK)
        rc = fill(r, &refill, err);
    if (rc == TXKV_OK)
        rc = tx_refill_count(&refill, err);
    ended = tx_refill_end(&refill, rc == TXKV_OK ? err : NULL);
    return rc == TXKV_OK ? ended : rc;
}

/* Give it the old one's id, and a place in the log behind all that there was. */
static enum txkv_rc
become(struct rescue *r, struct txkv_error *err)
{
    const uint64_t above =
        tx_max_u64(r->harvest.end_lsn, r->meta.has_checkpoint ? r->meta.checkpoint_lsn : 0);
    struct tx_tree *tree;
    enum txkv_rc rc;

    r->end_lsn = tx_round_up(above + 1, LSN_STEP);
    if (r->end_lsn >= TX_SEGMENT_LSN_LIMIT / 2) /* of a damaged number */
        r->end_lsn = tx_round_up(r->harvest.end_lsn + 1, LSN_STEP);
    r->report.lsn = r->end_lsn;
    rc = tx_tree_open(r->tmp_dir, LSN_STEP, NULL, TX_TREE_ALONE, &tree, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_become(tree,
                        &(struct tx_tree_identity){ .store_id = r->store_id,
                                                    .lsn = r->end_lsn,
                                                    .wal_dir = r->meta.wal_dir,
                                                    .archive_dir = r->meta.archive_dir },
                        err);
    tx_tree_close(tree);
    return rc;
}

/* ---- putting it in the old one's place ---- */

/* rescued-1, or the first number that is free in both directories. */
static enum txkv_rc
make_saved_dirs(struct rescue *r, struct txkv_error *err)
{
    for (unsigned n = 1; n < SAVED_MAX; n++) {
        (void)snprintf(r->report.saved, sizeof r->report.saved, "rescued-%u", n);
        tx_free(r->saved);
        tx_free(r->saved_wal);
        r->saved = tx_os_join(r->dir, r->report.saved);
        r->saved_wal = tx_os_join(r->wal_dir, r->report.saved);
        if (r->saved == NULL || r->saved_wal == NULL)
            return tx_fail_nomem(err);
        if (tx_os.mkdir(r->saved, 0700) == 0) {
            if (tx_os.mkdir(r->saved_wal, 0700) == 0)
                return TXKV_OK;
            (void)tx_os.rmdir(r->saved);
        }
        if (errno != EEXIST)
            return tx_fail_errno(err, errno, "cannot make directory %s", r->saved);
    }
    return tx_fail(err, TXKV_EXISTS, "store %s: all names from rescued-1 on are taken", r->dir);
}

static enum txkv_rc
save_file(const char *dir, const char *saved, const char *name, struct txkv_error *err)
{
    char *from = tx_os_join(dir, name), *to = tx_os_join(saved, name);
    enum txkv_rc rc = TXKV_OK;

    if (from == NULL || to == NULL)
        rc = tx_fail_nomem(err);
    else if (tx_os.link(from, to) != 0 && errno != ENOENT)
        rc = tx_fail_errno(err, errno, "cannot keep %s as %s", from, to);
    tx_free(from);
    tx_free(to);
    return rc;
}

static enum txkv_rc
save_segment(void *arg, const char *name, struct txkv_error *err)
{
    const struct rescue *r = arg;
    uint64_t lsn;

    return tx_segment_parse_name(name, &lsn) ? save_file(r->wal_dir, r->saved_wal, name, err)
                                             : TXKV_OK;
}

static enum txkv_rc
remove_segment(void *arg, const char *name, struct txkv_error *err)
{
    const struct rescue *r = arg;
    uint64_t lsn;

    return tx_segment_parse_name(name, &lsn) || tx_segment_is_tmp_name(name)
               ? remove_file_in(r->wal_dir, name, err)
               : TXKV_OK;
}

static enum txkv_rc
save_all(struct rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = make_saved_dirs(r, err);

    if (rc == TXKV_OK)
        rc = save_file(r->dir, r->saved, "data.mdb", err);
    if (rc == TXKV_OK)
        rc = tx_os_list_dir(r->wal_dir, save_segment, r, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(r->saved, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(r->saved_wal, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(r->wal_dir, err);
    return rc == TXKV_OK ? tx_os_sync_dir(r->dir, err) : rc;
}

static enum txkv_rc
replace(struct rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = save_all(r, err);

    if (rc != TXKV_OK)
        return rc;
    if (tx_os.rename(r->new_data, r->data) != 0)
        return tx_fail_errno(err, errno, "cannot rename %s to %s", r->new_data, r->data);
    rc = tx_os_sync_dir(r->dir, err);
    if (rc == TXKV_OK)
        rc = tx_os_list_dir(r->wal_dir, remove_segment, r, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(r->wal_dir, err);
    if (rc == TXKV_OK)
        rc = remove_file_in(r->dir, "lock.mdb", err); /* of readers that there are none of */
    return rc;
}

/* ---- the whole ---- */

static enum txkv_rc
name_files(struct rescue *r, struct txkv_error *err)
{
    r->data = tx_os_join(r->dir, "data.mdb");
    r->tmp_dir = tx_os_join(r->dir, tmp_name);
    r->new_data = r->tmp_dir == NULL ? NULL : tx_os_join(r->tmp_dir, "data.mdb");
    return r->data == NULL || r->new_data == NULL ? tx_fail_nomem(err) : TXKV_OK;
}

static enum txkv_rc
run(struct rescue *r, const char *wal_dir, struct txkv_error *err)
{
    enum txkv_rc rc = name_files(r, err);

    if (rc == TXKV_OK)
        rc = lock_store(r, err);
    if (rc == TXKV_OK)
        rc = open_data(r, err);
    if (rc == TXKV_OK)
        rc = find_log(r, wal_dir, err);
    if (rc == TXKV_OK)
        rc = read_log(r, err);
    if (rc == TXKV_OK)
        rc = remove_tmp(r, err);
    if (rc != TXKV_OK)
        return rc;
    rc = refill(r, err);
    if (rc == TXKV_OK)
        rc = become(r, err);
    if (rc == TXKV_OK)
        rc = replace(r, err);
    (void)!remove_tmp(r, NULL);
    return rc;
}

static void
let_go(struct rescue *r)
{
    tx_harvest_free(&r->harvest);
    tx_inspection_free(&r->meta);
    tx_pages_close(r->pages);
    if (r->wal_lock_fd >= 0)
        (void)tx_os.close(r->wal_lock_fd);
    tx_share_close(&r->share);
    tx_free(r->saved_wal);
    tx_free(r->saved);
    tx_free(r->new_data);
    tx_free(r->tmp_dir);
    tx_free(r->data);
    tx_free(r->wal_dir);
}

enum txkv_rc
txkv_rescue(const char *dir, const char *wal_dir, struct txkv_rescue_report *report,
            struct txkv_error *err)
{
    struct rescue r = { .share = { .fd = -1, .hold_fd = -1 }, .wal_lock_fd = -1 };
    struct stat st;
    enum txkv_rc rc;

    if (stat(dir, &st) != 0)
        return tx_fail_errno(err, errno, "store %s", dir);
    r.dir = tx_strdup(dir);
    tx_arena_init(&r.meta.arena);
    rc = r.dir == NULL ? tx_fail_nomem(err) : run(&r, wal_dir, err);
    let_go(&r);
    tx_free(r.dir);
    if (rc == TXKV_OK && report != NULL)
        *report = r.report;
    return rc;
}
