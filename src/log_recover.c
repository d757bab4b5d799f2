/*
 * log_recover.c - reading the log back when a store is opened: recovery and salvage.
 *
 * Where the chain breaks (log_walk.c) is the end of the log. A crash leaves any mixture of old and
 * new bytes behind the durable LSN, so what follows the end is either a torn tail, to be discarded,
 * or proof of damage: an intact record that was written when more than the end was durable already.
 *
 * A crash can also leave a new segment whose header or records never reached the disk; it is a torn
 * tail like any other. Nothing is changed before the verdict.
 *
 * Threads: tx_log_recover has the log to itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log_private.h"
#include "mem.h"
#include "os.h"

/*
 * Make what the walk has read in s durable. A sync that failed earlier may have left pages that the
 * kernel takes for written and that are not on the disk: each page that is not known to be durable
 * is written to, unchanged, so that this sync writes it again.
 */
static enum txkv_rc
sync_walked(const struct tx_log_walk *w, const struct tx_segment *s, struct txkv_error *err)
{
    const uint64_t from = tx_max_u64(w->durable_lsn, s->first_lsn) - s->first_lsn;
    const uint64_t to = tx_min_u64(tx_max_u64(w->lsn, s->first_lsn) - s->first_lsn, s->file_bytes);

    tx_segment_rewrite(s, from, to);
    return tx_log_sync_file(s, err);
}

/* ---- recovery ---- */

enum { OPEN_FILES_MAX = 16 };

struct recovery {
    struct tx_log *log;
    struct tx_log_walk walk;
    uint64_t start_lsn;
    bool look;
    struct tx_log_names names;
    bool entered;            /* the chain has been followed into a segment */
    bool broken;             /* the chain has ended in, or before, a segment */
    struct tx_segment *last; /* the last one that stays, or NULL */
    struct tx_segment *tail; /* the one in which the chain ended, or NULL when between two */
    struct tx_segment *mend; /* the first one, when its header is damaged, else NULL */
    struct tx_segment *open; /* the first one that was read to its end and is not known to be
                                durable, or NULL; open_files of them, up to `last` */
    uint32_t open_files;
    uint64_t break_first_lsn; /* of the file where a record was missed */
    /* Proof of damage, or 0: a record at proof_lsn shows that the log was good up to proven_lsn. */
    uint64_t proof_lsn, proven_lsn;
};

/* A record that cannot be there unless the log went on behind the break. */
static bool
is_proof(const struct recovery *r, const struct tx_record *record, uint64_t *proven_lsn)
{
    const struct tx_log_walk *w = &r->walk;

    *proven_lsn = record->durable_lsn;
    if (record->durable_lsn > w->lsn)
        return true;
    /* It continues the chain, but its segment's header, in the same sector, is damaged. */
    *proven_lsn = record->lsn + record->length;
    return record->lsn == w->lsn + TX_SEGMENT_HEADER_BYTES && record->prev_check == w->check;
}

/* Look at what a segment holds behind the break: count it, and search it for proof of damage. */
static enum txkv_rc
search_behind(struct recovery *r, const struct tx_segment *s, struct txkv_error *err)
{
    uint64_t from = TX_SEGMENT_HEADER_BYTES;
    uint64_t used = s->file_bytes;
    enum txkv_rc rc = tx_segment_load(s, s->file_bytes, err);

    if (rc != TXKV_OK)
        return rc;
    if (r->walk.lsn > s->first_lsn)
        from = tx_max_u64(from, r->walk.lsn - s->first_lsn);
    while (used >= from + 8 && tx_get_u64(s->map + used - 8) == 0)
        used -= 8;
    while (used > from && s->map[used - 1] == 0)
        used--;
    if (used <= from)
        return TXKV_OK;
    r->walk.scan->bytes_discarded += used - from;
    for (uint64_t at = from; at < used && at + TX_RECORD_HEADER_BYTES <= s->file_bytes; at += 8) {
        struct tx_record record;
        uint64_t proven_lsn;

        /* Nearly every position ends here; the field is `lsn`. */
        if (tx_get_u64(s->map + at + 16) != s->first_lsn + at)
            continue;
        if (tx_record_decode(s->map + at, s->map + s->file_bytes, r->walk.store_id, &record) !=
            TX_RECORD_INTACT)
            continue;
        r->walk.scan->records_behind += record.type != TX_RECORD_SEAL;
        if (!is_proof(r, &record, &proven_lsn))
            continue;
        r->proof_lsn = record.lsn;
        r->proven_lsn = tx_max_u64(r->proven_lsn, proven_lsn);
    }
    return TXKV_OK;
}

/*
 * Whether the chain leads into the segment. Only the first file may be entered in its middle; after
 * that a file that overlaps another one ends the chain. It is entered whatever its header says: the
 * chain's value there is LMDB's, and a power cut may have kept the records and not the header, in a
 * file that was never synced.
 */
static bool
is_entered(struct recovery *r, struct tx_segment *s, enum tx_segment_state state)
{
    if (r->broken || (r->entered && r->walk.lsn != s->first_lsn))
        return false;
    if (state == TX_SEGMENT_INTACT)
        return true;
    if (r->entered || r->start_lsn <= s->first_lsn || s->bytes % 8 != 0 ||
        r->start_lsn > tx_segment_end_lsn(s))
        return false;
    r->mend = s;
    return true;
}

/* No record ends in a header. A seal there would be destroyed by the header that is mended. */
static enum txkv_rc
refuse_start(const struct recovery *r, const struct tx_segment *s, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "LSN %llu cannot be a checkpoint's: it lies in the header of log file %s; the "
                   "store's files do not belong together, or data.mdb is damaged: restore the "
                   "store from a backup, or rescue what can be read",
                   (unsigned long long)r->start_lsn, s->path);
}

/* All of the file before the one in which recovery starts is in LMDB, or one of them is a stray. */
static enum txkv_rc
refuse_overlap(const struct tx_segment *s, uint64_t next_lsn, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];

    tx_segment_name(next_lsn, name);
    return tx_fail(err, TXKV_CORRUPT,
                   "log file %s reaches up to LSN %llu, and %s begins before that: one of them is "
                   "no file of this log; move that one away, restore the store from a backup, or "
                   "rescue what can be read",
                   s->path, (unsigned long long)tx_segment_end_lsn(s), name);
}

/*
 * Records tell of what had been synced when they were written, so that a file is known to be
 * durable a little later than it has been read. It is kept open until then, or until it is one of
 * more than `most`, and is synced then.
 */
static enum txkv_rc
sync_unproven(struct recovery *r, uint32_t most, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    while (r->open_files > 0 && rc == TXKV_OK) {
        struct tx_segment *s = r->open;

        if (tx_segment_end_lsn(s) > r->walk.durable_lsn) {
            if (r->open_files <= most)
                break;
            rc = sync_walked(&r->walk, s, err);
        }
        if (s != r->mend)
            tx_segment_close_fd(s);
        r->open = s->next;
        r->open_files--;
    }
    return rc;
}

/* The chain leads through all of the file. */
static enum txkv_rc
keep_for_sync(struct recovery *r, struct tx_segment *s, struct txkv_error *err)
{
    if (r->look)
        return TXKV_OK;
    if (r->open_files++ == 0)
        r->open = s;
    return sync_unproven(r, OPEN_FILES_MAX, err);
}

/* Follow the chain into the next file, or search it when the chain has ended. */
static enum txkv_rc
examine_segment(struct recovery *r, struct tx_segment *s, enum tx_segment_state state,
                struct txkv_error *err)
{
    enum txkv_rc rc;

    if (r->start_lsn > s->first_lsn && r->start_lsn - s->first_lsn < TX_SEGMENT_HEADER_BYTES)
        return refuse_start(r, s, err);
    if (is_entered(r, s, state)) {
        r->entered = true;
        rc = tx_segment_load(s, s->file_bytes, err);
        if (rc == TXKV_OK)
            rc = tx_log_walk_segment(&r->walk, s, UINT64_MAX, err);
        if (rc != TXKV_OK)
            return rc;
        if (r->walk.lsn > s->first_lsn && r->walk.lsn <= tx_segment_end_lsn(s)) {
            r->last = s;
            if (r->walk.lsn == tx_segment_end_lsn(s))
                return keep_for_sync(r, s, err);
            r->tail = s;
        }
    }
    if (!r->broken)
        r->break_first_lsn = r->walk.lsn < tx_segment_end_lsn(s) && r->walk.lsn > s->first_lsn
                                 ? s->first_lsn
                                 : r->walk.lsn;
    r->broken = true;
    return search_behind(r, s, err);
}

static enum txkv_rc
open_segment(struct recovery *r, size_t i, struct txkv_error *err)
{
    const uint64_t first_lsn = r->names.lsns[i];
    const bool is_followed = i + 1 < r->names.count && r->names.lsns[i + 1] <= r->start_lsn;
    enum tx_segment_state state;
    struct tx_segment *s;
    enum txkv_rc rc =
        tx_segment_open(r->log->dir, r->log->store_id, first_lsn, !r->look, &s, &state, err);

    if (rc != TXKV_OK)
        return rc;
    tx_log_link(r->log, s);
    if (state == TX_SEGMENT_FOREIGN)
        return tx_fail(
            err, TXKV_CORRUPT,
            "log file %s belongs to another store: put back the data.mdb that was made with it, or "
            "move the file away",
            s->path);
    if (state == TX_SEGMENT_OTHER_FORMAT)
        return tx_segment_fail_format(s, err);
    if (!is_followed && (first_lsn >= r->start_lsn || tx_segment_end_lsn(s) > r->start_lsn))
        rc = examine_segment(r, s, state, err);
    else if (state == TX_SEGMENT_INTACT && tx_segment_end_lsn(s) > r->start_lsn)
        rc = refuse_overlap(s, r->names.lsns[i + 1], err);
    else if (state == TX_SEGMENT_INTACT && s->file_bytes == s->bytes)
        r->last =
            s; /* All of it is in LMDB. One that lost its bytes goes, or others may enter it. */
    if (s != r->tail && s != r->mend && (r->open_files == 0 || s != r->last))
        tx_segment_close_fd(s);
    return rc;
}

static enum txkv_rc
fail_damaged(const struct recovery *r, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];
    const uint64_t lsn = r->walk.lsn;
    const uint64_t first_lsn = r->break_first_lsn;

    tx_segment_name(first_lsn, name);
    return tx_fail(
        err, TXKV_CORRUPT,
        "the log is damaged: no valid record in %s/%s at offset %llu (LSN %llu), but the "
        "record at LSN %llu shows that the log was complete up to LSN %llu; nothing was "
        "changed; salvaging keeps what is before LSN %llu and a copy of the rest",
        r->log->dir, name, (unsigned long long)(lsn - first_lsn), (unsigned long long)lsn,
        (unsigned long long)r->proof_lsn, (unsigned long long)r->proven_lsn,
        (unsigned long long)lsn);
}

/* ---- salvage ---- */

static enum txkv_rc
write_whole(int fd, const struct tx_segment *s, const char *path, struct txkv_error *err)
{
    const ssize_t n = tx_os_write(fd, s->map, s->file_bytes, 0);

    if (n < 0 || (uint64_t)n < s->file_bytes)
        return tx_fail_errno(err, n < 0 ? errno : EIO, "cannot write %s", path);
    if (tx_os.fsync(fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync %s", path);
    return TXKV_OK;
}

static enum txkv_rc
copy_segment(const struct tx_segment *s, const char *dir, struct txkv_error *err)
{
    char name[TX_SEGMENT_NAME_BYTES];
    enum txkv_rc rc;
    char *path;
    int fd;

    tx_segment_name(s->first_lsn, name);
    path = tx_os_join(dir, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    fd = tx_os.open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        rc = tx_fail_errno(err, errno, "cannot create %s", path);
    } else {
        rc = write_whole(fd, s, path, err);
        (void)tx_os.close(fd);
    }
    tx_free(path);
    return rc;
}

/* A directory that no earlier salvage has used, in new memory. */
static enum txkv_rc
make_salvage_dir(const struct recovery *r, char **out, struct txkv_error *err)
{
    char name[64];
    unsigned n = 1;

    (void)snprintf(name, sizeof name, "salvaged-%llx", (unsigned long long)r->walk.lsn);
    for (;;) {
        char *path = tx_os_join(r->log->dir, name);
        enum txkv_rc rc;

        *out = path;
        if (path == NULL)
            return tx_fail_nomem(err);
        if (tx_os.mkdir(path, 0700) == 0)
            return TXKV_OK;
        if (errno != EEXIST) {
            rc = tx_fail_errno(err, errno, "cannot make directory %s", path);
            tx_free(path);
            return rc;
        }
        tx_free(path);
        (void)snprintf(name, sizeof name, "salvaged-%llx-%u", (unsigned long long)r->walk.lsn, ++n);
    }
}

/* Copy the files from the break on, before they are cut. */
static enum txkv_rc
salvage_files(struct recovery *r, struct txkv_error *err)
{
    const struct tx_segment *s = r->last == NULL ? r->log->head : r->last->next;
    char *dir = NULL;
    enum txkv_rc rc = make_salvage_dir(r, &dir, err);

    if (rc != TXKV_OK)
        return rc;
    if (r->tail != NULL)
        s = r->tail; /* which is r->last: it stays, but for what is behind the break */
    for (; s != NULL && rc == TXKV_OK; s = s->next) {
        rc = copy_segment(s, dir, err);
        r->walk.scan->salvaged_files++;
    }
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(dir, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(r->log->dir, err);
    tx_free(dir);
    return rc;
}

/* ---- cutting the log at its end ---- */

static enum txkv_rc
remove_tmp(void *arg, const char *name, struct txkv_error *err)
{
    const struct recovery *r = arg;
    enum txkv_rc rc = TXKV_OK;
    char *path;

    if (!tx_segment_is_tmp_name(name))
        return TXKV_OK;
    path = tx_os_join(r->log->dir, name);
    if (path == NULL)
        return tx_fail_nomem(err);
    if (tx_os.unlink(path) != 0)
        rc = tx_fail_errno(err, errno, "cannot remove %s", path);
    tx_free(path);
    return rc;
}

/* Remove the segments after the last one that stays. */
static enum txkv_rc
remove_later(struct recovery *r, struct txkv_error *err)
{
    struct tx_log *log = r->log;
    struct tx_segment **link = r->last == NULL ? &log->head : &r->last->next;

    log->tail = r->last;
    while (*link != NULL) {
        struct tx_segment *s = *link;

        if (tx_os.unlink(s->path) != 0)
            return tx_fail_errno(err, errno, "cannot remove log file %s", s->path);
        *link = s->next;
        tx_segment_unref(s);
    }
    return TXKV_OK;
}

/*
 * Write a seal where the chain ended, and move the walk behind it. It claims no more to be durable
 * than what LMDB has, though the records before it have been synced by now.
 */
static enum txkv_rc
seal_tail(struct recovery *r, struct txkv_error *err)
{
    struct tx_segment *s = r->tail;
    struct tx_log_walk *w = &r->walk;
    const uint64_t end_lsn = tx_segment_end_lsn(s);
    uint8_t seal[TX_RECORD_HEADER_BYTES];
    enum txkv_rc rc;
    int e = 0;

    if (s->file_bytes < s->bytes)
        e = tx_os_allocate(s->fd, s->bytes);
    if (e != 0)
        return tx_fail_errno(err, e, "cannot allocate space for log file %s", s->path);
    s->file_bytes = s->bytes;
    if (end_lsn - w->lsn >= TX_RECORD_HEADER_BYTES) {
        tx_record_finish_body(seal, TX_RECORD_SEAL, 0, w->store_id);
        w->check = tx_record_finish_header(seal, w->lsn, r->start_lsn, w->check, w->store_id);
        tx_log_put(s->map + (w->lsn - s->first_lsn), seal);
    }
    rc = tx_log_sync_file(s, err);
    w->lsn = end_lsn;
    return rc;
}

/* Give the first segment its header back, as far as anybody looks at it again. */
static enum txkv_rc
mend_header(struct tx_segment *s, const struct tx_log *log, struct txkv_error *err)
{
    enum txkv_rc rc;

    tx_segment_put_header(s, log->store_id);
    rc = tx_log_sync_file(s, err);
    tx_segment_close_fd(s);
    return rc;
}

/* Later files go for good before the seal is there, or it might continue into one of them. */
static enum txkv_rc
cut_log(struct recovery *r, struct txkv_error *err)
{
    struct tx_log *log = r->log;
    enum txkv_rc rc = remove_later(r, err);

    if (rc == TXKV_OK)
        rc = tx_os_list_dir(log->dir, remove_tmp, r, err);
    if (rc == TXKV_OK)
        rc = tx_os_sync_dir(log->dir, err);
    if (rc == TXKV_OK && r->tail != NULL) {
        rc = seal_tail(r, err);
        if (r->tail != r->mend)
            tx_segment_close_fd(r->tail);
    }
    if (rc == TXKV_OK && r->mend != NULL)
        rc = mend_header(r->mend, log, err);
    if (rc != TXKV_OK)
        return rc;
    log->end_lsn = r->walk.lsn;
    log->end_check = r->walk.check;
    log->shared->durable_lsn = log->shared->named_lsn = r->walk.lsn;
    tx_shared_append(log->shared, log->end_lsn, log->end_check);
    return TXKV_OK;
}

/* Of damage the scan tells; the log is as it was. */
static enum txkv_rc
report_look(const struct recovery *r, enum txkv_rc rc, struct txkv_error *err)
{
    struct tx_log_scan *scan = r->walk.scan;

    scan->damaged = r->proven_lsn > 0;
    scan->break_first_lsn = r->broken ? r->break_first_lsn : r->walk.lsn;
    if (rc == TXKV_OK && scan->damaged)
        rc = fail_damaged(r, err);
    if (rc != TXKV_CORRUPT && rc != TXKV_FORMAT)
        return rc;
    scan->verdict = *err;
    return TXKV_OK;
}

static enum txkv_rc
change_files(struct recovery *r, const struct tx_log_config *config, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (r->proven_lsn > 0 && !config->salvage)
        rc = fail_damaged(r, err);
    /* Who enters what was read may be at it still. */
    if (rc == TXKV_OK)
        rc = sync_unproven(r, 0, err);
    if (rc == TXKV_OK && r->tail != NULL)
        rc = sync_walked(&r->walk, r->tail, err);
    if (rc == TXKV_OK && config->before_cut != NULL)
        rc = config->before_cut(r->walk.arg, err);
    if (rc == TXKV_OK && r->proven_lsn > 0)
        rc = salvage_files(r, err);
    return rc == TXKV_OK ? cut_log(r, err) : rc;
}

enum txkv_rc
tx_log_recover(const struct tx_log_config *config, tx_log_visit *visit, void *arg,
               struct tx_log_scan *scan, struct tx_log **out, struct txkv_error *err)
{
    const uint64_t start_lsn = config->start_lsn;
    struct recovery r = { .start_lsn = start_lsn,
                          .look = config->look,
                          .walk = { .store_id = config->store_id,
                                    .lsn = start_lsn,
                                    .check = config->start_check,
                                    .visit = visit,
                                    .arg = arg,
                                    .scan = scan } };
    enum txkv_rc rc;

    *out = NULL;
    *scan = (struct tx_log_scan){ .end_lsn = start_lsn, .end_check = config->start_check };
    if (start_lsn % 8 != 0 || start_lsn >= TX_SEGMENT_LSN_LIMIT)
        return tx_fail(err, TXKV_CORRUPT, "LSN %llu cannot be a checkpoint's",
                       (unsigned long long)start_lsn);
    rc = tx_log_new(config, &r.log, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_log_list(r.log->dir, &r.names, err);
    if (r.names.count > 0)
        scan->last_file = r.names.lsns[r.names.count - 1];
    for (size_t i = 0; i < r.names.count && rc == TXKV_OK; i++)
        rc = open_segment(&r, i, err);
    scan->end_lsn = r.walk.lsn;
    scan->end_check = r.walk.check;
    if (r.look)
        rc = report_look(&r, rc, err);
    else if (rc == TXKV_OK)
        rc = change_files(&r, config, err);
    tx_free(r.names.lsns);
    if (rc != TXKV_OK || r.look) {
        tx_log_close(r.log);
        return rc;
    }
    *out = r.log;
    return TXKV_OK;
}
