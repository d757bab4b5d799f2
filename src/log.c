/*
 * log.c - appending to the log and making it durable.
 *
 * The writer copies records into the mapped tail segment: no lock of its own until a segment is
 * full, and no system call but where tx_log_write_by_calls asks for them. A sync takes the segments
 * between the durable LSN and its target one by one, holding a reference on each and never the
 * list's mutex while the disk works, so the writer goes on appending. On Linux fdatasync writes the
 * dirty pages of every shared mapping of the file, whichever process wrote to them; the log depends
 * on that and never calls msync.
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
#include "event.h"
#include "log_private.h"
#include "mem.h"
#include "os.h"

enum {
    SYNC_WAIT_US = 1000000,     /* for another process's sync; then this one syncs beside it */
    SYNC_WAIT_AGAIN_US = 10000, /* for one that has been waited for in vain */
    SYNC_LOOK_US = 2000,        /* in case that one died, who wakes nobody */
    CALL_BYTES_MAX = 4096       /* a call that writes more makes pages that syncs write as one */
};

enum txkv_rc
tx_log_new(const struct tx_log_config *config, struct tx_log **out, struct txkv_error *err)
{
    struct tx_log *log = tx_aligned_zalloc(sizeof *log);
    struct stat st;
    enum txkv_rc rc;

    *out = NULL;
    if (log == NULL)
        return tx_fail_nomem(err);
    (void)pthread_mutex_init(&log->sync_mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&log->list_mutex, NULL);
    log->shared = config->shared;
    log->owns_shared = config->shared == NULL;
    log->readonly = config->readonly;
    log->others = config->others;
    if (log->owns_shared)
        log->shared = tx_shared_private();
    log->dir = tx_strdup(config->dir);
    if (log->shared == NULL || log->dir == NULL) {
        tx_log_close(log);
        return tx_fail_nomem(err);
    }
    if (stat(log->dir, &st) != 0) {
        rc = tx_fail_errno(err, errno, "log directory %s", log->dir);
        tx_log_close(log);
        return rc;
    }
    log->dir_device = st.st_dev;
    log->dir_inode = st.st_ino;
    log->store_id = config->store_id;
    log->segment_bytes = config->segment_bytes;
    log->dir_fd = config->dir_fd;
    log->prepare_at_lsn = UINT64_MAX; /* a log that is only read makes no files */
    *out = log;
    return TXKV_OK;
}

enum txkv_rc
tx_log_attach(const struct tx_log_config *config, struct tx_log **out, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_log_new(config, out, err);

    assert(config->shared != NULL);
    if (rc == TXKV_OK)
        tx_log_skip(*out, config->start_lsn, config->start_check);
    return rc;
}

/*
 * When the directory is removed or moved while the log is open, another store may take its place;
 * that one's files have the same names, and must not be replaced or removed. The number cannot have
 * been given to another directory: the store keeps this one open.
 */
enum txkv_rc
tx_log_check_dir(const struct tx_log *log, struct txkv_error *err)
{
    struct stat st;
    const int failed = stat(log->dir, &st) == 0 ? 0 : errno;

    if (failed == 0 && st.st_dev == log->dir_device && st.st_ino == log->dir_inode)
        return TXKV_OK;
    if (failed != 0 && failed != ENOENT && failed != ENOTDIR)
        return tx_fail_errno(err, failed, "cannot look at log directory %s", log->dir);
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
    tx_log_skip(log, 0, 0);
    (void)pthread_mutex_destroy(&log->list_mutex);
    (void)pthread_mutex_destroy(&log->sync_mutex);
    if (log->owns_shared)
        tx_free(log->shared);
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

void
tx_log_go_on(struct tx_log *log, struct tx_segment *segment)
{
    (void)pthread_mutex_lock(&log->list_mutex);
    tx_log_link(log, segment);
    log->current = segment;
    (void)pthread_mutex_unlock(&log->list_mutex);
}

uint64_t
tx_log_end_lsn(const struct tx_log *log)
{
    return tx_load_relaxed_64(&log->end_lsn);
}

uint64_t
tx_log_end_check(const struct tx_log *log)
{
    return log->end_check;
}

uint64_t
tx_log_durable_lsn(const struct tx_log *log)
{
    return tx_load_acquire_64(&log->shared->durable_lsn); /* [M2] with tx_log_sync */
}

bool
tx_log_stopped(const struct tx_log *log)
{
    return tx_load_acquire_64(&log->shared->stopped) != 0; /* [M2] with tx_log_sync */
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

/* Who may read the store's data may read its log. Who cannot, when this fails, says so. */
static void
let_others(const struct tx_log *log, const struct tx_segment *s)
{
    if (log->others != 0)
        (void)!fchmod(s->fd, 0600 | log->others);
}

/* The file made ahead of time, as a segment, or *out NULL: there is none, or none large enough. */
static enum txkv_rc
take_prepared(struct tx_log *log, uint64_t need, struct tx_segment **out, struct txkv_error *err)
{
    const uint64_t bytes = tx_load_acquire_64(&log->shared->prepared_bytes);
    enum txkv_rc rc;

    *out = NULL;
    if (bytes < need)
        return TXKV_OK;
    rc = tx_segment_take(log->dir, TX_SEGMENT_PREPARED_NAME, bytes, out, err);
    if (rc != TXKV_CANTOPEN)
        return rc;
    /* Whoever took it died between giving it its name and saying so. */
    tx_store_release_64(&log->shared->prepared_bytes, 0);
    return TXKV_OK;
}

/* Space for records of that many bytes in a segment that begins at first_lsn. */
static enum txkv_rc
next_segment(struct tx_log *log, uint64_t first_lsn, uint64_t record_bytes, uint64_t prev_check,
             struct txkv_error *err)
{
    const uint64_t need = TX_SEGMENT_HEADER_BYTES + record_bytes;
    const uint64_t bytes = tx_max_u64(log->segment_bytes, tx_round_up(need, 4096));
    struct tx_segment *s = NULL;
    enum txkv_rc rc = tx_log_check_dir(log, err);

    if (rc == TXKV_OK && first_lsn >= TX_SEGMENT_LSN_LIMIT - bytes) /* nobody would find it */
        rc = tx_fail(err, TXKV_FULL,
                     "the log cannot go on at LSN %llu: there are no larger ones, so data.mdb must "
                     "be damaged; restore the store from a backup",
                     (unsigned long long)first_lsn);
    if (rc == TXKV_OK)
        rc = take_prepared(log, need, &s, err);
    if (rc != TXKV_OK)
        return rc;
    if (s != NULL) {
        rc = tx_segment_start(s, log->dir, log->store_id, first_lsn, prev_check, err);
        if (rc != TXKV_OK) {
            tx_segment_unref(s);
            return rc;
        }
        /* Now that the file has its new name, another one may be prepared under the old. */
        tx_store_release_64(&log->shared->prepared_bytes, 0);
    } else {
        rc = tx_segment_create(log->dir, log->store_id, first_lsn, bytes, prev_check, &s, err);
        if (rc != TXKV_OK)
            return rc;
        let_others(log, s);
    }
    tx_log_go_on(log, s);
    return TXKV_OK;
}

/* The writer's own place and the one that all processes see. */
static void
move_end(struct tx_log *log, uint64_t lsn, uint64_t check)
{
    log->end_check = check;
    tx_store_relaxed_64(&log->end_lsn, lsn);
    tx_shared_append(log->shared, lsn, check); /* [P1] */
}

/* Seal the current segment, if there is one, and go on in a new one that has room for a record. */
static enum txkv_rc
roll(struct tx_log *log, uint64_t record_bytes, struct txkv_error *err)
{
    uint8_t seal[TX_RECORD_HEADER_BYTES];
    const struct tx_segment *old = log->current;
    const uint64_t lsn = log->end_lsn;
    const uint64_t first_lsn = old != NULL ? tx_segment_end_lsn(old) : lsn;
    const bool has_room = first_lsn - lsn >= TX_RECORD_HEADER_BYTES;
    uint64_t check = log->end_check;
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
        tx_log_put(old->map + (lsn - old->first_lsn), seal);
    move_end(log, first_lsn + TX_SEGMENT_HEADER_BYTES, check);
    return TXKV_OK;
}

enum txkv_rc
tx_log_reserve(struct tx_log *log, uint64_t bytes, struct txkv_error *err)
{
    enum txkv_rc rc = tx_log_enter(log, err);

    if (rc == TXKV_OK &&
        (log->current == NULL || tx_segment_end_lsn(log->current) - log->end_lsn < bytes))
        rc = roll(log, bytes, err);
    return rc;
}

void
tx_log_write_by_calls(struct tx_log *log, bool by_calls)
{
    log->by_calls = by_calls;
}

enum txkv_rc
tx_log_place(struct tx_log *log, const uint8_t *record, uint32_t record_bytes,
             struct tx_log_place *place, struct txkv_error *err)
{
    const uint8_t *body = record + TX_RECORD_HEADER_BYTES;
    const uint32_t body_bytes = record_bytes - TX_RECORD_HEADER_BYTES;
    uint64_t body_at;
    enum txkv_rc rc;

    *place = (struct tx_log_place){ .bytes = record_bytes };
    assert(record_bytes >= TX_RECORD_HEADER_BYTES && record_bytes % 8 == 0);
    assert(log->end_lsn == tx_shared_append_lsn(log->shared));
    if (tx_log_stopped(log))
        return tx_log_fail_stopped(log, err);
    rc = tx_log_reserve(log, record_bytes, err);
    if (rc != TXKV_OK)
        return rc;
    place->lsn = log->end_lsn;
    place->segment = log->current;
    place->mapped = log->current->map + (place->lsn - log->current->first_lsn);
    place->by_call = log->by_calls && record_bytes <= CALL_BYTES_MAX;
    body_at = place->lsn - log->current->first_lsn + TX_RECORD_HEADER_BYTES;
    if (!place->by_call || !tx_segment_write(log->current, body_at, body, body_bytes))
        tx_segment_fill(log->current, body_at, body, body_bytes);
    return TXKV_OK;
}

void
tx_log_finish(struct tx_log *log, const uint8_t *record, const struct tx_log_place *place,
              bool is_void)
{
    const struct tx_segment *s = log->current;
    uint8_t header[TX_RECORD_HEADER_BYTES];
    uint64_t check;

    memcpy(header, record, sizeof header);
    if (is_void)
        tx_record_make_void(header);
    check = tx_record_finish_header(header, place->lsn, tx_log_durable_lsn(log), log->end_check,
                                    log->store_id);
    if (!place->by_call || !tx_segment_write(s, place->lsn - s->first_lsn, header, sizeof header))
        tx_log_put(place->mapped, header);
    move_end(log, place->lsn + place->bytes, check);
    tx_store_relaxed_64(&log->prepare_at_lsn, s->first_lsn + s->bytes / 2);
    tx_store_relaxed_64(&log->appended_bytes, log->appended_bytes + place->bytes);
    tx_store_relaxed_64(&log->appended_records, log->appended_records + 1);
}

bool
tx_log_wants_prepare(const struct tx_log *log)
{
    return tx_load_relaxed_64(&log->end_lsn) >= tx_load_relaxed_64(&log->prepare_at_lsn) &&
           tx_load_acquire_64(&log->shared->prepared_bytes) == 0;
}

/* Under TX_LOCK_PREPARE, with nothing prepared: the name is nobody's. */
static enum txkv_rc
prepare(struct tx_log *log, struct txkv_error *err)
{
    struct tx_segment *s;
    char *path = tx_os_join(log->dir, TX_SEGMENT_PREPARED_NAME);
    enum txkv_rc rc;

    if (path == NULL)
        return tx_fail_nomem(err);
    /* What a process left that died. It is not cut to length: another one may have it mapped. */
    (void)tx_os.unlink(path);
    tx_free(path);
    rc = tx_segment_allocate(log->dir, TX_SEGMENT_PREPARED_NAME, log->segment_bytes, &s, err);
    if (rc != TXKV_OK)
        return rc;
    let_others(log, s);
    tx_segment_unref(s);
    tx_store_release_64(&log->shared->prepared_bytes, log->segment_bytes);
    return TXKV_OK;
}

enum txkv_rc
tx_log_prepare(struct tx_log *log, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (!tx_log_wants_prepare(log))
        return TXKV_OK;
    rc = tx_log_check_dir(log, err);
    if (rc != TXKV_OK)
        return rc;
    if (tx_shared_lock(log->shared, TX_LOCK_PREPARE, 0, NULL, NULL) != TXKV_OK)
        return TXKV_OK; /* another process is at it */
    if (tx_load_acquire_64(&log->shared->prepared_bytes) == 0)
        rc = prepare(log, err);
    tx_shared_unlock(log->shared, TX_LOCK_PREPARE);
    return rc;
}

/* ---- syncing ---- */

enum txkv_rc
tx_log_sync_file(const struct tx_segment *segment, struct txkv_error *err)
{
    if (tx_os.fdatasync(segment->fd) != 0)
        return tx_fail_errno(err, errno, "cannot sync log file %s", segment->path);
    return TXKV_OK;
}

/* The first segment that ends after lsn, begins before end_lsn and has something to sync; with a
 * reference, or NULL. Under sync_mutex. */
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

/* Everything from the durable LSN to lsn. Under sync_mutex. */
static enum txkv_rc
sync_segments(struct tx_log *log, uint64_t lsn, bool rewrite, struct txkv_error *err)
{
    struct tx_shared *shared = log->shared;
    uint64_t done_lsn = tx_log_durable_lsn(log);
    struct tx_segment *s;

    while ((s = segment_after(log, done_lsn, lsn)) != NULL) {
        const bool is_named = s->first_lsn < tx_load_acquire_64(&shared->named_lsn);
        const uint64_t from = tx_max_u64(done_lsn, s->first_lsn) - s->first_lsn;
        const uint64_t to = tx_min_u64(lsn, tx_segment_end_lsn(s)) - s->first_lsn;
        enum txkv_rc rc;

        if (rewrite)
            tx_segment_rewrite(s, from, to);
        tx_segment_unmap_pages(s, from, to);
        rc = tx_log_sync_file(s, err);
        if (rc == TXKV_OK && !is_named)
            rc = log->dir_fd > 0 ? tx_os_sync_open_dir(log->dir_fd, log->dir, err)
                                 : tx_os_sync_dir(log->dir, err);
        if (rc == TXKV_OK && !is_named)
            tx_raise_64(&shared->named_lsn, lsn);
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

/*
 * How far a sync that begins now reaches: what has been appended, by whatever process, to the
 * segments that this one has open.
 */
static uint64_t
sync_target(struct tx_log *log, uint64_t lsn)
{
    const uint64_t append_lsn = tx_shared_append_lsn(log->shared); /* [P1] */
    uint64_t open_lsn;

    (void)pthread_mutex_lock(&log->list_mutex);
    open_lsn = log->tail == NULL ? 0 : tx_segment_end_lsn(log->tail);
    (void)pthread_mutex_unlock(&log->list_mutex);
    return tx_max_u64(lsn, tx_min_u64(append_lsn, open_lsn));
}

enum turn { TURN_TAKEN, TURN_NOT_NEEDED, TURN_BESIDE };

/*
 * Wait for TX_LOCK_SYNC, or until another process's sync has covered lsn. Not in the mutex's own
 * queue: who is served there last would wait for the syncs of all that come before, durable long
 * since.
 */
static enum turn
wait_for_turn(struct tx_log *log, uint64_t lsn, bool *abandoned)
{
    struct tx_shared *shared = log->shared;
    const uint64_t until = tx_os_now_us() + (log->sync_hurries ? SYNC_WAIT_AGAIN_US : SYNC_WAIT_US);

    for (;;) {
        const uint32_t seen = tx_load_acquire_32(&shared->sync_turn);

        if (tx_log_durable_lsn(log) >= lsn)
            return TURN_NOT_NEEDED;
        if (tx_shared_lock(shared, TX_LOCK_SYNC, 0, abandoned, NULL) == TXKV_OK)
            return TURN_TAKEN;
        if (tx_os_now_us() >= until)
            return TURN_BESIDE;
        (void)tx_fetch_add_64(&shared->sync_sleepers, 1);
        tx_event_sleep_shared(&shared->sync_turn, seen, SYNC_LOOK_US);
        (void)tx_fetch_add_64(&shared->sync_sleepers, UINT64_MAX);
    }
}

static void
end_turn(struct tx_shared *shared)
{
    uint32_t turn;

    tx_shared_unlock(shared, TX_LOCK_SYNC);
    do {
        turn = tx_load_acquire_32(&shared->sync_turn);
    } while (!tx_cas_32(&shared->sync_turn, turn, turn + 1));
    if (tx_load_acquire_64(&shared->sync_sleepers) != 0)
        tx_event_wake_shared(&shared->sync_turn);
}

/* Under sync_mutex, and TX_LOCK_SYNC but for who syncs beside its holder. */
static enum txkv_rc
sync_now(struct tx_log *log, uint64_t lsn, bool rewrite, struct txkv_error *err)
{
    struct tx_shared *shared = log->shared;
    uint64_t us = tx_os_now_us();
    enum txkv_rc rc;

    if (tx_log_durable_lsn(log) >= lsn)
        return TXKV_OK; /* another process's sync covered it */
    if (tx_log_stopped(log))
        return tx_log_fail_stopped(log, err);
    lsn = sync_target(log, lsn);
    rc = sync_segments(log, lsn, rewrite, err);
    us = tx_os_now_us() - us;
    if (rc == TXKV_OK) {
        tx_raise_64(&shared->durable_lsn, lsn); /* [M2] with tx_log_durable_lsn */
    } else {
        tx_store_release_64(&shared->stopped, 1); /* [M2] with tx_log_stopped */
        rc = TXKV_IOERR; /* whatever the system said: nothing that waiting could cure */
        if (err != NULL)
            err->rc = rc;
    }
    tx_store_relaxed_64(&log->syncs, log->syncs + 1);
    tx_store_relaxed_64(&log->sync_us_total, log->sync_us_total + us);
    tx_store_relaxed_64(&log->sync_us_max, tx_max_u64(log->sync_us_max, us));
    return rc;
}

/* Under sync_mutex: sync, unless another process does it meanwhile. */
static enum txkv_rc
sync_once(struct tx_log *log, uint64_t lsn, struct txkv_error *err)
{
    bool abandoned = false;
    const enum turn turn = wait_for_turn(log, lsn, &abandoned);
    enum txkv_rc rc;

    log->sync_hurries = turn == TURN_BESIDE;
    if (turn == TURN_NOT_NEEDED)
        return TXKV_OK;
    /* A syncer that died, or does not go on, may have seen a failure and not told of it: the kernel
     * takes pages that it could not write for clean. */
    rc = sync_now(log, lsn, abandoned || turn == TURN_BESIDE, err);
    if (turn == TURN_TAKEN)
        end_turn(log->shared);
    return rc;
}

enum txkv_rc
tx_log_sync(struct tx_log *log, uint64_t lsn, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (tx_log_durable_lsn(log) >= lsn)
        return TXKV_OK;
    (void)pthread_mutex_lock(&log->sync_mutex);
    if (tx_log_durable_lsn(log) < lsn)
        rc = sync_once(log, lsn, err);
    (void)pthread_mutex_unlock(&log->sync_mutex);
    return rc;
}

/* ---- figures ---- */

void
tx_log_stats(struct tx_log *log, struct tx_log_stats *stats)
{
    uint64_t prepared_bytes;

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
    (void)pthread_mutex_unlock(&log->list_mutex);
    prepared_bytes = tx_load_relaxed_64(&log->shared->prepared_bytes);
    stats->segments += prepared_bytes > 0;
    stats->segment_bytes += prepared_bytes;
}
