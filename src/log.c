/*
 * log.c - appending to the log and making it durable.
 *
 * The leader copies records into the mapped tail segment: no system call and no lock, until a
 * segment is full. A sync takes the segments between the durable LSN and its target one by one,
 * holding a reference on each and never the list's mutex while the disk works, so the leader goes
 * on appending. On Linux fdatasync writes the dirty pages of every shared mapping of the file; the
 * log depends on that and never calls msync.
 *
 * A new segment's name must be durable before its records are acknowledged: the first sync that
 * reaches past named_lsn syncs the directory.
 *
 * Threads: log.h. Order of locks: sync_mutex, then list_mutex.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "log_private.h"
#include "mem.h"
#include "os.h"

enum txkv_rc
tx_log_new(const struct tx_log_config *config, struct tx_log **out, struct txkv_error *err)
{
    struct tx_log *log = tx_aligned_zalloc(sizeof *log);
    struct stat st;

    *out = NULL;
    if (log == NULL)
        return tx_fail_nomem(err);
    log->dir = tx_strdup(config->dir);
    if (log->dir == NULL) {
        tx_free(log);
        return tx_fail_nomem(err);
    }
    if (stat(log->dir, &st) != 0) {
        const enum txkv_rc rc = tx_fail_errno(err, errno, "log directory %s", log->dir);

        tx_free(log->dir);
        tx_free(log);
        return rc;
    }
    log->dir_device = st.st_dev;
    log->dir_inode = st.st_ino;
    log->store_id = config->store_id;
    log->segment_bytes = config->segment_bytes;
    log->prepare_at_lsn = UINT64_MAX;                 /* a log that is only read makes no files */
    (void)pthread_mutex_init(&log->sync_mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&log->list_mutex, NULL);
    *out = log;
    return TXKV_OK;
}

/*
 * When the directory is removed or moved while the log is open, another store may take its place;
 * that one's files have the same names, and must not be replaced or removed. The number cannot have
 * been given to another directory: the store keeps this one open.
 */
static enum txkv_rc
check_dir(const struct tx_log *log, struct txkv_error *err)
{
    struct stat st;

    if (stat(log->dir, &st) == 0 && st.st_dev == log->dir_device && st.st_ino == log->dir_inode)
        return TXKV_OK;
    return tx_fail(err, TXKV_CANTOPEN,
                   "log directory %s was removed or replaced while the store was open; put it back "
                   "to save what was committed, or close every connection and open the store again",
                   log->dir);
}

void
tx_log_close(struct tx_log *log)
{
    if (log == NULL)
        return;
    if (check_dir(log, NULL) == TXKV_OK)
        tx_segment_discard(log->prepared);
    else
        tx_segment_unref(log->prepared);
    while (log->head != NULL) {
        struct tx_segment *next = log->head->next;

        tx_segment_unref(log->head);
        log->head = next;
    }
    (void)pthread_mutex_destroy(&log->list_mutex);
    (void)pthread_mutex_destroy(&log->sync_mutex);
    tx_free(log->dir);
    tx_free(log);
}

void
tx_log_link(struct tx_log *log, struct tx_segment *segment)
{
    segment->next = NULL;
    if (log->tail == NULL)
        log->head = segment;
    else
        log->tail->next = segment;
    log->tail = segment;
}

uint64_t
tx_log_end_lsn(const struct tx_log *log)
{
    return log->append_lsn;
}

uint64_t
tx_log_end_check(const struct tx_log *log)
{
    return log->append_check;
}

uint64_t
tx_log_durable_lsn(const struct tx_log *log)
{
    return tx_load_acquire_64(&log->durable_lsn); /* [M2] with tx_log_sync */
}

bool
tx_log_stopped(const struct tx_log *log)
{
    return tx_load_acquire_64(&log->stopped) != 0; /* [M2] with tx_log_sync */
}

enum txkv_rc
tx_log_fail_stopped(const struct tx_log *log, struct txkv_error *err)
{
    return tx_fail(
        err, TXKV_STOPPED,
        "log directory %s: an earlier sync of the log failed, and what it should have written may "
        "be "
        "lost: no more commits and no checkpoints until every connection is closed and the "
        "store is opened again",
        log->dir);
}

/* ---- appending ---- */

void
tx_log_put(uint8_t *at, const uint8_t *header, const uint8_t *body, uint32_t body_bytes)
{
    uint64_t check;

    if (body_bytes > 0)
        memcpy(at + TX_RECORD_HEADER_BYTES, body, body_bytes);
    memcpy(at + sizeof check, header + sizeof check, TX_RECORD_HEADER_BYTES - sizeof check);
    memcpy(&check, header, sizeof check);
    /* For whoever finds the pages after this process is gone: all of the rest is there first. */
    tx_store_release_64((uint64_t *)(void *)at, check);
}

/* Space for a record of that many bytes in a segment that begins at first_lsn. */
static enum txkv_rc
next_segment(struct tx_log *log, uint64_t first_lsn, uint32_t record_bytes, uint64_t prev_check,
             struct txkv_error *err)
{
    const uint64_t need = TX_SEGMENT_HEADER_BYTES + (uint64_t)record_bytes;
    const uint64_t bytes = tx_max_u64(log->segment_bytes, tx_round_up(need, 4096));
    struct tx_segment *s = NULL;
    enum txkv_rc rc = check_dir(log, err);

    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&log->list_mutex);
    if (log->prepared != NULL && log->prepared->bytes >= need)
        s = log->prepared;
    /* Started under the mutex: until the file has its name nobody may prepare another one. */
    if (s != NULL) {
        rc = tx_segment_start(s, log->dir, log->store_id, first_lsn, prev_check, err);
        if (rc == TXKV_OK)
            tx_store_release_ptr((void **)&log->prepared, NULL);
    }
    (void)pthread_mutex_unlock(&log->list_mutex);
    if (rc == TXKV_OK && s == NULL)
        rc = tx_segment_create(log->dir, log->store_id, first_lsn, bytes, prev_check, &s, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&log->list_mutex);
    tx_log_link(log, s);
    log->current = s;
    (void)pthread_mutex_unlock(&log->list_mutex);
    return TXKV_OK;
}

/* Seal the current segment, if there is one, and go on in a new one that has room for a record. */
static enum txkv_rc
roll(struct tx_log *log, uint32_t record_bytes, struct txkv_error *err)
{
    uint8_t seal[TX_RECORD_HEADER_BYTES];
    const struct tx_segment *old = log->current;
    const uint64_t lsn = log->append_lsn;
    const uint64_t first_lsn = old != NULL ? tx_segment_end_lsn(old) : lsn;
    const bool has_room = first_lsn - lsn >= TX_RECORD_HEADER_BYTES;
    uint64_t check = log->append_check;
    enum txkv_rc rc;

    if (has_room) {
        tx_record_finish_body(seal, TX_RECORD_SEAL, 0, log->store_id);
        check = tx_record_finish_header(seal, lsn, tx_log_durable_lsn(log), check, log->store_id);
    }
    /* The seal is written once nothing can fail any more. */
    rc = next_segment(log, first_lsn, record_bytes, check, err);
    if (rc != TXKV_OK)
        return rc;
    if (has_room)
        tx_log_put(old->map + (lsn - old->first_lsn), seal, NULL, 0);
    log->append_check = check;
    tx_store_relaxed_64(&log->append_lsn, first_lsn + TX_SEGMENT_HEADER_BYTES);
    tx_store_relaxed_64(&log->prepare_at_lsn, first_lsn + log->current->bytes / 2);
    return TXKV_OK;
}

enum txkv_rc
tx_log_append(struct tx_log *log, const uint8_t *record, uint32_t record_bytes, uint64_t *lsn,
              uint8_t **mapped, struct tx_segment **segment, struct txkv_error *err)
{
    uint8_t header[TX_RECORD_HEADER_BYTES];
    uint64_t at_lsn;
    uint8_t *at;

    *lsn = 0;
    *mapped = NULL;
    *segment = NULL;
    assert(record_bytes >= TX_RECORD_HEADER_BYTES && record_bytes % 8 == 0);
    if (tx_log_stopped(log))
        return tx_log_fail_stopped(log, err);
    if (log->current == NULL || tx_segment_end_lsn(log->current) - log->append_lsn < record_bytes) {
        const enum txkv_rc rc = roll(log, record_bytes, err);

        if (rc != TXKV_OK)
            return rc;
    }
    at_lsn = log->append_lsn;
    at = log->current->map + (at_lsn - log->current->first_lsn);
    memcpy(header, record, sizeof header);
    log->append_check = tx_record_finish_header(header, at_lsn, tx_log_durable_lsn(log),
                                                log->append_check, log->store_id);
    tx_log_put(at, header, record + sizeof header, record_bytes - (uint32_t)sizeof header);
    tx_store_relaxed_64(&log->append_lsn, at_lsn + record_bytes);
    tx_store_relaxed_64(&log->appended_bytes, log->appended_bytes + record_bytes);
    tx_store_relaxed_64(&log->appended_records, log->appended_records + 1);
    *lsn = at_lsn;
    *mapped = at;
    *segment = log->current;
    return TXKV_OK;
}

void
tx_log_void(struct tx_log *log, uint8_t *mapped)
{
    log->append_check = tx_record_void(mapped, log->store_id);
}

bool
tx_log_wants_prepare(const struct tx_log *log)
{
    return tx_load_relaxed_64(&log->append_lsn) >= tx_load_relaxed_64(&log->prepare_at_lsn) &&
           tx_load_acquire_ptr((void *const *)&log->prepared) == NULL;
}

enum txkv_rc
tx_log_prepare(struct tx_log *log, struct txkv_error *err)
{
    struct tx_segment *s;
    enum txkv_rc rc;

    if (!tx_log_wants_prepare(log))
        return TXKV_OK;
    rc = check_dir(log, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_segment_allocate(log->dir, TX_SEGMENT_PREPARED_NAME, log->segment_bytes, &s, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&log->list_mutex);
    tx_store_release_ptr((void **)&log->prepared, s);
    (void)pthread_mutex_unlock(&log->list_mutex);
    return TXKV_OK;
}

/* ---- syncing ---- */

enum txkv_rc
tx_log_sync_file(const struct tx_segment *segment, struct txkv_error *err)
{
    if (tx_os.fdatasync(segment->fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync log file %s", segment->path);
    return TXKV_OK;
}

/*
 * The first segment that ends after lsn, begins before end_lsn and has something to sync; with a
 * reference, or NULL. Under sync_mutex.
 */
static struct tx_segment *
segment_after(struct tx_log *log, uint64_t lsn, uint64_t end_lsn)
{
    struct tx_segment *s;

    (void)pthread_mutex_lock(&log->list_mutex);
    s = log->head;
    while (s != NULL && (tx_segment_end_lsn(s) <= lsn || s->fd < 0))
        s = s->next;
    if (s != NULL && s->first_lsn >= end_lsn)
        s = NULL;
    if (s != NULL)
        tx_segment_ref(s);
    (void)pthread_mutex_unlock(&log->list_mutex);
    return s;
}

/* Under sync_mutex. */
static enum txkv_rc
sync_segments(struct tx_log *log, uint64_t lsn, struct txkv_error *err)
{
    uint64_t done_lsn = tx_log_durable_lsn(log);
    struct tx_segment *s;

    while ((s = segment_after(log, done_lsn, lsn)) != NULL) {
        const bool is_named = s->first_lsn < log->named_lsn;
        enum txkv_rc rc = tx_log_sync_file(s, err);

        if (rc == TXKV_OK && !is_named)
            rc = tx_os_sync_dir(log->dir, err);
        if (rc == TXKV_OK && !is_named)
            log->named_lsn = lsn;
        done_lsn = tx_segment_end_lsn(s);
        /* A segment that is durable to its end is never synced again. */
        if (rc == TXKV_OK && done_lsn <= lsn)
            tx_segment_close_fd(s);
        tx_segment_unref(s);
        if (rc != TXKV_OK)
            return rc;
    }
    return TXKV_OK;
}

enum txkv_rc
tx_log_sync(struct tx_log *log, uint64_t lsn, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;
    uint64_t us;

    if (tx_log_durable_lsn(log) >= lsn)
        return TXKV_OK;
    (void)pthread_mutex_lock(&log->sync_mutex);
    if (tx_log_durable_lsn(log) >= lsn)
        goto out; /* another thread's sync covered it */
    if (tx_log_stopped(log)) {
        rc = tx_log_fail_stopped(log, err);
        goto out;
    }
    us = tx_os_now_us();
    rc = sync_segments(log, lsn, err);
    us = tx_os_now_us() - us;
    if (rc == TXKV_OK) {
        tx_store_release_64(&log->durable_lsn, lsn); /* [M2] with tx_log_durable_lsn */
    } else {
        tx_store_release_64(&log->stopped, 1); /* [M2] with tx_log_stopped */
        rc = TXKV_IOERR; /* whatever the system said: nothing that waiting could cure */
        if (err != NULL)
            err->rc = rc;
    }
    tx_store_relaxed_64(&log->syncs, log->syncs + 1);
    tx_store_relaxed_64(&log->sync_us_total, log->sync_us_total + us);
    tx_store_relaxed_64(&log->sync_us_max, tx_max_u64(log->sync_us_max, us));
out:
    (void)pthread_mutex_unlock(&log->sync_mutex);
    return rc;
}

/* ---- trimming and figures ---- */

/* Takes the list's first segment out if it ends at or below lsn and takes no more records. */
static struct tx_segment *
unlink_head(struct tx_log *log, uint64_t lsn)
{
    struct tx_segment *s;

    (void)pthread_mutex_lock(&log->list_mutex);
    s = log->head;
    if (s != NULL && (s == log->current || tx_segment_end_lsn(s) > lsn))
        s = NULL;
    if (s != NULL) {
        log->head = s->next;
        if (log->head == NULL)
            log->tail = NULL;
    }
    (void)pthread_mutex_unlock(&log->list_mutex);
    return s;
}

enum txkv_rc
tx_log_trim(struct tx_log *log, uint64_t lsn, uint64_t *deleted, struct txkv_error *err)
{
    const enum txkv_rc dir_rc = check_dir(log, err);
    enum txkv_rc rc = dir_rc;
    struct tx_segment *s;

    *deleted = 0;
    /* The directory is not synced: a file that comes back is below the checkpoint LSN. */
    while ((s = unlink_head(log, lsn)) != NULL) {
        if (dir_rc == TXKV_OK && tx_os.unlink(s->path) == 0)
            (*deleted)++;
        else if (dir_rc == TXKV_OK && errno != ENOENT && rc == TXKV_OK)
            rc = tx_fail_errno(err, errno, "cannot remove log file %s", s->path);
        tx_segment_unref(s);
    }
    return rc;
}

enum txkv_rc
tx_log_remove(struct tx_log *log, struct txkv_error *err)
{
    uint64_t deleted;

    (void)pthread_mutex_lock(&log->list_mutex);
    log->current = NULL;
    (void)pthread_mutex_unlock(&log->list_mutex);
    return tx_log_trim(log, UINT64_MAX, &deleted, err);
}

void
tx_log_stats(struct tx_log *log, struct tx_log_stats *stats)
{
    *stats = (struct tx_log_stats){ 0 };
    stats->appended_bytes = tx_load_relaxed_64(&log->appended_bytes);
    stats->appended_records = tx_load_relaxed_64(&log->appended_records);
    stats->syncs = tx_load_relaxed_64(&log->syncs);
    stats->sync_us_total = tx_load_relaxed_64(&log->sync_us_total);
    stats->sync_us_max = tx_load_relaxed_64(&log->sync_us_max);
    (void)pthread_mutex_lock(&log->list_mutex);
    for (const struct tx_segment *s = log->head; s != NULL; s = s->next) {
        stats->segments++;
        stats->segment_bytes += s->file_bytes;
    }
    if (log->prepared != NULL) {
        stats->segments++;
        stats->segment_bytes += log->prepared->bytes;
    }
    (void)pthread_mutex_unlock(&log->list_mutex);
}
