/*
 * log_harvest.c - every intact record in a log's files, whatever else is damaged or missing.
 */
#include "log_harvest.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log_private.h"
#include "mem.h"
#include "os.h"

static enum txkv_rc
add_record(struct tx_harvest *h, const struct tx_record *record, const uint8_t *at,
           uint64_t segment_end, struct txkv_error *err)
{
    if (h->count == h->room) {
        const size_t room = h->room * 2 + 256;
        struct tx_harvested *records = tx_realloc(h->records, room * sizeof *records);

        if (records == NULL)
            return tx_fail_nomem(err);
        h->records = records;
        h->room = room;
    }
    h->records[h->count++] = (struct tx_harvested){ .at = at,
                                                    .lsn = record->lsn,
                                                    .check = record->check,
                                                    .prev_check = record->prev_check,
                                                    .segment_end = segment_end,
                                                    .length = record->length,
                                                    .type = record->type };
    return TXKV_OK;
}

/* How many of the file's first `bytes` bytes there are up to the last one that is not 0. */
static uint64_t
used_bytes(const struct tx_segment *s, uint64_t bytes)
{
    uint64_t used = bytes;

    while (used >= 8 && tx_get_u64(s->map + used - 8) == 0)
        used -= 8;
    return used;
}

/* All of a file's records; `base` is the LSN of its first byte. What is behind the segment's end is
 * none of its. */
static enum txkv_rc
search_file(struct tx_harvest *h, const struct tx_segment *s, uint64_t base, uint64_t segment_end,
            struct txkv_error *err)
{
    const uint64_t bytes = tx_min_u64(s->file_bytes, segment_end - base);
    const uint64_t used = used_bytes(s, bytes);
    const uint8_t *end = s->map + bytes;
    struct tx_record record;
    uint64_t at = TX_SEGMENT_HEADER_BYTES;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && at < used && bytes - at >= TX_RECORD_HEADER_BYTES) {
        /* Nearly every position ends here; the field is `lsn`. */
        if (tx_get_u64(s->map + at + 16) != base + at ||
            tx_record_decode(s->map + at, end, h->store_id, &record) != TX_RECORD_INTACT) {
            at += 8;
            h->bytes_skipped += 8;
            continue;
        }
        rc = add_record(h, &record, s->map + at, segment_end, err);
        at += record.length;
    }
    return rc;
}

static enum txkv_rc
harvest_file(struct tx_harvest *h, const char *dir, size_t i, uint64_t name_lsn,
             struct txkv_error *err)
{
    enum tx_segment_state state;
    struct tx_segment *s;
    uint64_t base = name_lsn, bytes, id;
    enum txkv_rc rc = tx_segment_open(dir, h->store_id, name_lsn, false, &s, &state, err);

    if (rc == TXKV_NOMEM)
        return rc;
    h->files++;
    if (rc != TXKV_OK) {
        h->unreadable_files++;
        return TXKV_OK;
    }
    tx_segment_close_fd(s);
    h->segments[i] = s;
    bytes = s->bytes;
    if (s->file_bytes < TX_SEGMENT_HEADER_BYTES)
        return TXKV_OK;
    if (tx_segment_load(s, s->file_bytes, err) != TXKV_OK) {
        h->unreadable_files++;
        return TXKV_OK;
    }
    if (tx_segment_claims(s, &id, &base, &bytes) && id != h->store_id) {
        h->foreign_files++;
        return TXKV_OK;
    }
    if (state == TX_SEGMENT_OTHER_FORMAT)
        return tx_segment_fail_format(s, err);
    if (base >= TX_SEGMENT_LSN_LIMIT - bytes || base % 8 != 0)
        return TXKV_OK;
    h->end_lsn = tx_max_u64(h->end_lsn, base + bytes);
    return search_file(h, s, base, base + bytes, err);
}

/* Seals before other records of the same LSN, which one of them made void. */
static int
compare_records(const void *a, const void *b)
{
    const struct tx_harvested *x = a, *y = b;

    if (x->lsn != y->lsn)
        return x->lsn < y->lsn ? -1 : 1;
    if ((x->type == TX_RECORD_SEAL) != (y->type == TX_RECORD_SEAL))
        return x->type == TX_RECORD_SEAL ? -1 : 1;
    return x->check < y->check ? -1 : x->check > y->check;
}

/* Of several records at one position the one that the record before leads to, else the first. */
static size_t
choose(const struct tx_harvest *h, size_t i, size_t end, uint64_t check)
{
    for (size_t k = i; k < end && h->records[i].type != TX_RECORD_SEAL; k++)
        if (h->records[k].prev_check == check)
            return k;
    return i;
}

/* Keep each LSN once, nothing behind a seal, and nothing inside of another record. */
static void
keep_one_timeline(struct tx_harvest *h)
{
    uint64_t free_lsn = 0, check = 0;
    size_t kept = 0;

    for (size_t i = 0, end; i < h->count; i = end) {
        size_t chosen;

        for (end = i + 1; end < h->count && h->records[end].lsn == h->records[i].lsn;)
            end++;
        if (h->records[i].lsn < free_lsn)
            continue;
        chosen = choose(h, i, end, check);
        h->records[kept] = h->records[chosen];
        check = h->records[kept].check;
        free_lsn = h->records[kept].type == TX_RECORD_SEAL
                       ? h->records[kept].segment_end
                       : h->records[kept].lsn + h->records[kept].length;
        kept++;
    }
    h->count = kept;
}

enum txkv_rc
tx_harvest(const char *dir, uint64_t store_id, struct tx_harvest *out, struct txkv_error *err)
{
    struct tx_log_names names;
    enum txkv_rc rc;

    *out = (struct tx_harvest){ .store_id = store_id };
    rc = tx_log_list(dir, &names, err);
    if (rc == TXKV_OK) {
        out->segments = tx_zalloc((names.count + 1) * sizeof *out->segments);
        if (out->segments == NULL)
            rc = tx_fail_nomem(err);
    }
    for (size_t i = 0; i < names.count && rc == TXKV_OK; i++)
        rc = harvest_file(out, dir, i, names.lsns[i], err);
    tx_free(names.lsns);
    if (rc == TXKV_OK && out->count > 0) {
        qsort(out->records, out->count, sizeof *out->records, compare_records);
        keep_one_timeline(out);
    }
    return rc;
}

void
tx_harvest_free(struct tx_harvest *harvest)
{
    for (size_t i = 0; harvest->segments != NULL && i < harvest->files; i++)
        tx_segment_unref(harvest->segments[i]);
    tx_free(harvest->segments);
    tx_free(harvest->records);
    *harvest = (struct tx_harvest){ .count = 0 };
}

void
tx_harvest_record(const struct tx_harvest *harvest, size_t i, struct tx_record *record)
{
    const struct tx_harvested *r = &harvest->records[i];

    (void)tx_record_decode(r->at, r->at + r->length, harvest->store_id, record);
}

bool
tx_harvest_follows(const struct tx_harvest *harvest, size_t i)
{
    return harvest->records[i].prev_check == harvest->records[i - 1].check;
}
