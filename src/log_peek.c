/*
 * log_peek.c - the log's records one by one, for somebody who only looks.
 *
 * A file that another process removes between the listing and its opening was the oldest one, or
 * older ones than it are going as well: the listing is made again.
 */
#include "log_peek.h"

#include "log_private.h"
#include "mem.h"
#include "os.h"

enum { TRIES_MAX = 100 };

struct tx_peek {
    uint64_t store_id;
    struct tx_segment **segments; /* by LSN; all of this store */
    size_t count, at;             /* at: the one in which lsn stands, or that comes next */
    uint64_t lsn, end_lsn, from_lsn;
    uint64_t check; /* the chain's value at lsn, if it is known */
    bool knows_check, loaded;
    uint64_t checkpoint_lsn, checkpoint_check;
    uint64_t ms; /* of the newest time that was passed; 0: none */
};

static void
drop_segments(struct tx_peek *peek)
{
    for (size_t i = 0; i < peek->count; i++)
        tx_segment_unref(peek->segments[i]);
    tx_free(peek->segments);
    peek->segments = NULL;
    peek->count = 0;
}

/* Files that are not this store's, or whose header is lost, are left out: tx_peek_next tells where
 * a record is missed for it. */
static enum txkv_rc
open_listed(struct tx_peek *peek, const char *dir, const struct tx_log_names *names,
            struct txkv_error *err)
{
    peek->segments = tx_malloc((names->count + 1) * sizeof *peek->segments);
    if (peek->segments == NULL)
        return tx_fail_nomem(err);
    for (size_t i = 0; i < names->count; i++) {
        enum tx_segment_state state;
        struct tx_segment *s;
        const enum txkv_rc rc =
            tx_segment_open(dir, peek->store_id, names->lsns[i], false, &s, &state, err);

        if (rc != TXKV_OK)
            return rc;
        tx_segment_close_fd(s);
        if (state == TX_SEGMENT_INTACT)
            peek->segments[peek->count++] = s;
        else
            tx_segment_unref(s);
    }
    return TXKV_OK;
}

enum txkv_rc
tx_peek_open(const char *dir, uint64_t store_id, struct tx_peek **out, struct txkv_error *err)
{
    struct tx_peek *peek = tx_zalloc(sizeof *peek);
    enum txkv_rc rc = TXKV_CANTOPEN;

    *out = NULL;
    if (peek == NULL)
        return tx_fail_nomem(err);
    peek->store_id = store_id;
    for (int i = 0; i < TRIES_MAX && rc == TXKV_CANTOPEN; i++) {
        struct tx_log_names names;

        drop_segments(peek);
        rc = tx_log_list(dir, &names, err);
        if (rc == TXKV_OK)
            rc = open_listed(peek, dir, &names, err);
        tx_free(names.lsns);
    }
    if (rc != TXKV_OK) {
        tx_peek_close(peek);
        return rc;
    }
    *out = peek;
    return TXKV_OK;
}

void
tx_peek_close(struct tx_peek *peek)
{
    if (peek == NULL)
        return;
    drop_segments(peek);
    tx_free(peek);
}

uint64_t
tx_peek_ms(const struct tx_peek *peek)
{
    return peek->ms;
}

/* Stand before the record at lsn, or at the beginning of the first segment behind it. */
static void
place(struct tx_peek *peek, uint64_t lsn)
{
    while (peek->at < peek->count && tx_segment_end_lsn(peek->segments[peek->at]) <= lsn)
        peek->at++;
    peek->loaded = false;
    peek->lsn = lsn;
}

void
tx_peek_start(struct tx_peek *peek, uint64_t from_lsn, uint64_t end_lsn, uint64_t checkpoint_lsn,
              uint64_t checkpoint_check)
{
    peek->from_lsn = from_lsn;
    peek->end_lsn = end_lsn;
    peek->checkpoint_lsn = checkpoint_lsn;
    peek->checkpoint_check = checkpoint_check;
    place(peek, from_lsn);
    /* Records are found from the beginning of a segment on. */
    if (peek->at < peek->count)
        peek->lsn = peek->segments[peek->at]->first_lsn;
}

/*
 * No record stands at peek->lsn. Below the checkpoint LSN the walk goes on there; behind it
 * something is wrong.
 */
static enum txkv_rc
skip_or_fail(struct tx_peek *peek, struct txkv_error *err)
{
    if (peek->lsn < peek->checkpoint_lsn) {
        place(peek, peek->checkpoint_lsn);
        peek->ms = 0;
        peek->check = peek->checkpoint_check;
        peek->knows_check = true;
        return TXKV_OK;
    }
    if (peek->at == peek->count)
        return tx_fail(err, TXKV_CORRUPT, "the log file with LSN %llu is missing",
                       (unsigned long long)peek->lsn);
    return tx_fail(err, TXKV_CORRUPT, "no valid record at LSN %llu (log file %s)",
                   (unsigned long long)peek->lsn, peek->segments[peek->at]->path);
}

/* Where the position is a segment's first: behind its header, if the chain leads there. False: a
 * record is missed. */
static bool
enter(struct tx_peek *peek, const struct tx_segment *s)
{
    if (peek->lsn > s->first_lsn)
        return true;
    if (peek->lsn < s->first_lsn || (peek->knows_check && s->first_prev_check != peek->check))
        return false;
    peek->lsn += TX_SEGMENT_HEADER_BYTES;
    return true;
}

/* One step: TXKV_OK with record->length 0 says that there was none to give. */
static enum txkv_rc
step(struct tx_peek *peek, struct tx_record *record, struct txkv_error *err)
{
    const struct tx_segment *s = peek->at < peek->count ? peek->segments[peek->at] : NULL;
    uint64_t offset;
    enum txkv_rc rc;

    record->length = 0;
    if (s == NULL || !enter(peek, s))
        return skip_or_fail(peek, err);
    if (peek->lsn >= peek->end_lsn) /* the log can end where the first record will stand */
        return TXKV_OK;
    if (tx_segment_end_lsn(s) - peek->lsn < TX_RECORD_HEADER_BYTES) {
        place(peek, tx_segment_end_lsn(s));
        return TXKV_OK;
    }
    rc = peek->loaded ? TXKV_OK : tx_segment_load(s, peek->end_lsn - s->first_lsn, err);
    if (rc != TXKV_OK)
        return rc;
    peek->loaded = true;
    offset = tx_min_u64(peek->lsn - s->first_lsn, s->file_bytes);
    if (tx_record_decode(s->map + offset, s->map + s->file_bytes, peek->store_id, record) !=
            TX_RECORD_INTACT ||
        record->lsn != peek->lsn || (peek->knows_check && record->prev_check != peek->check)) {
        record->length = 0;
        return skip_or_fail(peek, err);
    }
    peek->check = record->check;
    peek->knows_check = true;
    peek->lsn += record->length;
    if (record->type == TX_RECORD_TIME)
        peek->ms = tx_time_ms(record);
    if (record->type == TX_RECORD_SEAL)
        place(peek, tx_segment_end_lsn(s));
    return TXKV_OK;
}

enum txkv_rc
tx_peek_next(struct tx_peek *peek, struct tx_record *record, struct txkv_error *err)
{
    enum txkv_rc rc;

    *record = (struct tx_record){ .length = 0 };
    /* From the list's end there is nowhere to go but to the checkpoint LSN. */
    while (peek->lsn < peek->end_lsn) {
        if (peek->at == peek->count && peek->checkpoint_lsn >= peek->end_lsn)
            break;
        rc = step(peek, record, err);
        if (rc != TXKV_OK || (record->length > 0 && record->lsn >= peek->from_lsn))
            return rc;
    }
    record->length = 0;
    return TXKV_NOTFOUND;
}
