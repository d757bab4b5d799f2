/*
 * log_walk.c - reading the log along its chain: what other processes append, and verification.
 *
 * A walk follows the chain: a record counts if it is intact, stands where it says, and names the
 * check of the record before it. The first position where that fails is where the chain ends.
 *
 * Threads: see log.h.
 */
#include <errno.h>

#include "log_private.h"
#include "mem.h"
#include "os.h"

static enum txkv_rc
take_record(struct tx_log_walk *w, const struct tx_record *record, struct tx_segment *s,
            struct txkv_error *err)
{
    const bool is_seal = record->type == TX_RECORD_SEAL;

    if (!is_seal && w->visit != NULL) {
        const enum txkv_rc rc = w->visit(w->arg, record, s, err);

        if (rc != TXKV_OK)
            return rc;
    }
    w->check = record->check;
    w->durable_lsn = tx_max_u64(w->durable_lsn, record->durable_lsn);
    w->lsn = is_seal ? tx_segment_end_lsn(s) : record->lsn + record->length;
    w->scan->bytes_verified += record->length;
    w->scan->records += !is_seal;
    return TXKV_OK;
}

enum txkv_rc
tx_log_walk_segment(struct tx_log_walk *w, struct tx_segment *s, uint64_t limit_lsn,
                    struct txkv_error *err)
{
    const uint64_t end_lsn = tx_segment_end_lsn(s);
    uint64_t lsn = w->lsn;

    if (lsn < s->first_lsn || lsn > end_lsn)
        return TXKV_OK;
    if (lsn == s->first_lsn) {
        if (s->first_prev_check != w->check)
            return TXKV_OK;
        lsn += TX_SEGMENT_HEADER_BYTES;
    }
    w->scan->segments++;
    while (lsn < limit_lsn && end_lsn - lsn >= TX_RECORD_HEADER_BYTES) {
        const uint64_t offset = tx_min_u64(lsn - s->first_lsn, s->file_bytes);
        struct tx_record record;
        enum txkv_rc rc;

        if (tx_record_decode(s->map + offset, s->map + s->file_bytes, w->store_id, &record) !=
                TX_RECORD_INTACT ||
            record.lsn != lsn || record.prev_check != w->check)
            return TXKV_OK;
        rc = take_record(w, &record, s, err);
        if (rc != TXKV_OK)
            return rc;
        lsn = w->lsn;
    }
    /* No room for a seal means a seal. The log can also end where the first record will stand. */
    if (lsn < limit_lsn)
        w->lsn = end_lsn;
    else if (w->lsn == s->first_lsn)
        w->lsn = lsn;
    return TXKV_OK;
}

/* ---- following other processes ---- */

/* The file that holds lsn, by the names: the last one that does not begin behind it. */
static enum txkv_rc
find_file(const struct tx_log *log, uint64_t lsn, uint64_t *first_lsn, struct txkv_error *err)
{
    struct tx_log_names names;
    enum txkv_rc rc = tx_log_list(log->dir, &names, err);

    *first_lsn = UINT64_MAX;
    for (size_t i = 0; i < names.count && names.lsns[i] <= lsn; i++)
        *first_lsn = names.lsns[i];
    tx_free(names.lsns);
    if (rc == TXKV_OK && *first_lsn == UINT64_MAX)
        rc = TXKV_NOTFOUND;
    return rc;
}

static bool
is_gone(const struct tx_log *log, uint64_t first_lsn)
{
    char name[TX_SEGMENT_NAME_BYTES];
    struct stat st;
    char *path;
    bool gone;

    tx_segment_name(first_lsn, name);
    path = tx_os_join(log->dir, name);
    gone = path != NULL && stat(path, &st) != 0 && errno == ENOENT;
    tx_free(path);
    return gone;
}

/*
 * Open the segment in which the log goes on at lsn, and make it the current one. TXKV_NOTFOUND when
 * it is gone. Only the first one is entered in its middle.
 */
static enum txkv_rc
enter_segment(struct tx_log *log, uint64_t lsn, struct txkv_error *err)
{
    enum tx_segment_state state = TX_SEGMENT_DAMAGED;
    struct tx_segment *s = NULL;
    uint64_t first_lsn = lsn;
    enum txkv_rc rc = TXKV_OK;

    if (log->tail == NULL)
        rc = find_file(log, lsn, &first_lsn, err);
    if (rc == TXKV_OK)
        rc = tx_segment_open(log->dir, log->store_id, first_lsn, !log->readonly, &s, &state, err);
    if (rc == TXKV_CANTOPEN && is_gone(log, first_lsn))
        return TXKV_NOTFOUND; /* by a checkpoint of another process */
    if (rc != TXKV_OK)
        return rc;
    if (state != TX_SEGMENT_INTACT || s->file_bytes != s->bytes) {
        rc = tx_fail(err, TXKV_CORRUPT,
                     "log file %s was damaged while the store was in use; close the store "
                     "everywhere and open it again",
                     s->path);
        tx_segment_unref(s);
        return rc;
    }
    if (lsn >= tx_segment_end_lsn(s)) {
        tx_segment_unref(s);
        return TXKV_NOTFOUND;
    }
    tx_log_go_on(log, s);
    return TXKV_OK;
}

static void
leave_segment(struct tx_log *log)
{
    (void)pthread_mutex_lock(&log->list_mutex);
    log->current = NULL;
    (void)pthread_mutex_unlock(&log->list_mutex);
}

enum txkv_rc
tx_log_read(struct tx_log *log, uint64_t upto_lsn, tx_log_visit *visit, void *arg,
            struct txkv_error *err)
{
    struct tx_log_scan scan = { 0 };
    struct tx_log_walk w = { .store_id = log->store_id,
                             .lsn = log->end_lsn,
                             .check = log->end_check,
                             .visit = visit,
                             .arg = arg,
                             .scan = &scan };
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && w.lsn < upto_lsn) {
        if (log->current == NULL)
            rc = enter_segment(log, w.lsn, err);
        if (rc == TXKV_OK)
            rc = tx_log_walk_segment(&w, log->current, upto_lsn, err);
        if (rc == TXKV_OK && w.lsn == tx_segment_end_lsn(log->current))
            leave_segment(log);
        else if (rc == TXKV_OK && w.lsn < upto_lsn)
            rc = tx_fail(err, TXKV_CORRUPT,
                         "log file %s was damaged while the store was in use: no valid record at "
                         "LSN %llu; close the store everywhere and open it again",
                         log->current->path, (unsigned long long)w.lsn);
    }
    log->end_check = w.check;
    tx_store_relaxed_64(&log->end_lsn, w.lsn);
    return rc;
}

enum txkv_rc
tx_log_enter(struct tx_log *log, struct txkv_error *err)
{
    uint64_t first_lsn;
    enum txkv_rc rc;

    if (log->tail != NULL)
        return TXKV_OK;
    rc = find_file(log, log->end_lsn, &first_lsn, err);
    /* A file of that very name is one that a process has left that died before it went on in it. */
    if (rc == TXKV_OK && first_lsn < log->end_lsn)
        rc = enter_segment(log, log->end_lsn, err);
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

void
tx_log_skip(struct tx_log *log, uint64_t lsn, uint64_t check)
{
    (void)pthread_mutex_lock(&log->list_mutex);
    log->current = NULL;
    while (log->head != NULL) {
        struct tx_segment *next = log->head->next;

        tx_segment_unref(log->head);
        log->head = next;
    }
    log->tail = NULL;
    log->end_check = check;
    tx_store_relaxed_64(&log->end_lsn, lsn);
    (void)pthread_mutex_unlock(&log->list_mutex);
}

/* ---- verification ---- */

/* References on all segments, so that a trim cannot take them away. */
static enum txkv_rc
hold_segments(struct tx_log *log, struct tx_segment ***out, size_t *count, struct txkv_error *err)
{
    struct tx_segment **held;
    size_t n = 0;

    *out = NULL;
    *count = 0;
    (void)pthread_mutex_lock(&log->list_mutex);
    for (const struct tx_segment *s = log->head; s != NULL; s = s->next)
        n++;
    held = tx_malloc((n + 1) * sizeof *held);
    for (struct tx_segment *s = log->head; s != NULL && held != NULL; s = s->next) {
        tx_segment_ref(s);
        held[(*count)++] = s;
    }
    (void)pthread_mutex_unlock(&log->list_mutex);
    *out = held;
    return held != NULL ? TXKV_OK : tx_fail_nomem(err);
}

static enum txkv_rc
verify_segment(struct tx_log_walk *w, struct tx_segment *s, uint64_t limit_lsn,
               struct txkv_error *err)
{
    enum txkv_rc rc;

    if (w->lsn >= limit_lsn || tx_segment_end_lsn(s) <= w->lsn || s->first_lsn > w->lsn)
        return TXKV_OK;
    rc = tx_segment_load(s, limit_lsn - s->first_lsn, err);
    if (rc == TXKV_OK)
        rc = tx_log_walk_segment(w, s, limit_lsn, err);
    if (rc != TXKV_OK || w->lsn >= limit_lsn || w->lsn == tx_segment_end_lsn(s))
        return rc;
    return tx_fail(err, TXKV_CORRUPT,
                   "the log is damaged: no valid record in %s at offset %llu (LSN %llu)", s->path,
                   (unsigned long long)(w->lsn - s->first_lsn), (unsigned long long)w->lsn);
}

enum txkv_rc
tx_log_verify(struct tx_log *log, uint64_t start_lsn, uint64_t start_check, uint64_t end_lsn,
              tx_log_visit *visit, void *arg, struct tx_log_scan *scan, struct txkv_error *err)
{
    struct tx_log_walk w = { .store_id = log->store_id,
                             .lsn = start_lsn,
                             .check = start_check,
                             .visit = visit,
                             .arg = arg,
                             .scan = scan };
    struct tx_segment **held;
    size_t count;
    enum txkv_rc rc;

    *scan = (struct tx_log_scan){ 0 };
    rc = hold_segments(log, &held, &count, err);
    if (rc != TXKV_OK)
        return rc;
    if (start_lsn < end_lsn && (count == 0 || held[0]->first_lsn > start_lsn))
        rc = tx_fail(err, TXKV_BUSY,
                     "a checkpoint removed the log from LSN %llu on: verify again from the new one",
                     (unsigned long long)start_lsn);
    for (size_t i = 0; i < count && rc == TXKV_OK; i++)
        rc = verify_segment(&w, held[i], end_lsn, err);
    if (rc == TXKV_OK && w.lsn != end_lsn && start_lsn < end_lsn)
        rc = tx_fail(err, TXKV_CORRUPT, "the log ends at LSN %llu instead of %llu",
                     (unsigned long long)w.lsn, (unsigned long long)end_lsn);
    scan->end_lsn = w.lsn;
    scan->end_check = w.check;
    for (size_t i = 0; i < count; i++)
        tx_segment_unref(held[i]);
    tx_free(held);
    return rc;
}
