/*
 * archive_read.c - the records of an archive, along the chain, one file after the other.
 *
 * A file leads to the next one in one of two ways: behind its seal, or too little room for one, the
 * log goes on where the segment ends by its header; and where a store was closed, without a seal,
 * it goes on in a file whose first LSN is that of the end.
 */
#include "archive.h"

#include <inttypes.h>

#include "bytes.h"
#include "log_private.h"
#include "mem.h"
#include "os.h"

struct tx_archive_reader {
    char *dir;
    uint64_t store_id;
    struct tx_log_names names;
    struct tx_segment *segment; /* in which lsn stands, or NULL: the next one is to be found */
    bool entered;               /* one was found; later ones are entered at their beginning */
    uint64_t lsn, check, files;
};

/* Files can be anywhere, also where nothing says whose they are. */
static enum txkv_rc
check_owner(const char *dir, uint64_t store_id, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_archive_owner(dir, store_id, err);

    if (rc == TXKV_MISUSE)
        return tx_fail(err, TXKV_CORRUPT,
                       "%s is the archive of another store than the one of the backup", dir);
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

enum txkv_rc
tx_archive_open(const char *dir, uint64_t store_id, uint64_t lsn, uint64_t check,
                struct tx_archive_reader **out, struct txkv_error *err)
{
    struct tx_archive_reader *reader = tx_zalloc(sizeof *reader);
    enum txkv_rc rc;

    *out = NULL;
    if (reader == NULL)
        return tx_fail_nomem(err);
    reader->store_id = store_id;
    reader->lsn = lsn;
    reader->check = check;
    reader->dir = tx_strdup(dir);
    rc = reader->dir == NULL ? tx_fail_nomem(err) : check_owner(dir, store_id, err);
    if (rc == TXKV_OK)
        rc = tx_log_list(dir, &reader->names, err);
    if (rc != TXKV_OK) {
        tx_archive_close(reader);
        return rc;
    }
    *out = reader;
    return TXKV_OK;
}

void
tx_archive_close(struct tx_archive_reader *reader)
{
    if (reader == NULL)
        return;
    tx_segment_unref(reader->segment);
    tx_free(reader->names.lsns);
    tx_free(reader->dir);
    tx_free(reader);
}

uint64_t
tx_archive_lsn(const struct tx_archive_reader *reader)
{
    return reader->lsn;
}

uint64_t
tx_archive_files(const struct tx_archive_reader *reader)
{
    return reader->files;
}

/* ---- finding files ---- */

/* How many of the names are at or below lsn: the last of these is where it stands. */
static size_t
count_upto(const struct tx_archive_reader *reader, uint64_t lsn)
{
    size_t count = 0;

    while (count < reader->names.count && reader->names.lsns[count] <= lsn)
        count++;
    return count;
}

static bool
has_file(const struct tx_archive_reader *reader, uint64_t first_lsn)
{
    const size_t count = count_upto(reader, first_lsn);

    return count > 0 && reader->names.lsns[count - 1] == first_lsn;
}

/* There is no file for lsn: that is the archive's end, if none comes behind it. */
static enum txkv_rc
end_or_gap(const struct tx_archive_reader *reader, struct txkv_error *err)
{
    const size_t count = count_upto(reader, reader->lsn);
    char name[TX_SEGMENT_NAME_BYTES];

    if (count == reader->names.count)
        return TXKV_NOTFOUND;
    tx_segment_name(reader->names.lsns[count], name);
    return tx_fail(err, TXKV_CORRUPT,
                   "archive %s has a gap: the file with LSN %" PRIu64
                   " is missing, and the next one is %s",
                   reader->dir, reader->lsn, name);
}

static enum txkv_rc
check_state(const struct tx_segment *s, enum tx_segment_state state, struct txkv_error *err)
{
    switch (state) {
    case TX_SEGMENT_INTACT:
        return TXKV_OK;
    case TX_SEGMENT_FOREIGN:
        return tx_fail(err, TXKV_CORRUPT, "archived file %s (LSN %" PRIu64 ") is another store's",
                       s->path, s->first_lsn);
    case TX_SEGMENT_OTHER_FORMAT:
        return tx_fail(err, TXKV_FORMAT,
                       "archived file %s has a format that this version cannot read", s->path);
    case TX_SEGMENT_DAMAGED:
    default:
        return tx_fail(err, TXKV_CORRUPT,
                       "archived file %s is damaged: it does not begin as a segment with LSN "
                       "%" PRIu64 " does",
                       s->path, s->first_lsn);
    }
}

static enum txkv_rc
fail_history(const struct tx_archive_reader *reader, const struct tx_segment *s,
             struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "archived file %s does not go on at LSN %" PRIu64
                   " where what is before it ends: they are of two histories of the store, one of "
                   "which was written to after it was restored or copied",
                   s->path, reader->lsn);
}

/* Stand in the file that holds reader->lsn. TXKV_NOTFOUND at the archive's end. */
static enum txkv_rc
enter_file(struct tx_archive_reader *reader, struct txkv_error *err)
{
    const size_t count = count_upto(reader, reader->lsn);
    const uint64_t first_lsn = count == 0 ? 0 : reader->names.lsns[count - 1];
    enum tx_segment_state state;
    struct tx_segment *s;
    enum txkv_rc rc;

    if (count == 0 || (reader->entered && first_lsn != reader->lsn))
        return end_or_gap(reader, err);
    rc = tx_segment_open(reader->dir, reader->store_id, first_lsn, false, &s, &state, err);
    if (rc != TXKV_OK)
        return rc;
    tx_segment_close_fd(s);
    rc = check_state(s, state, err);
    if (rc == TXKV_OK && reader->lsn == first_lsn && s->first_prev_check != reader->check)
        rc = fail_history(reader, s, err);
    if (rc == TXKV_OK && reader->lsn - first_lsn > s->file_bytes)
        rc = end_or_gap(reader, err); /* it ends before the start */
    if (rc == TXKV_OK)
        rc = tx_segment_load(s, s->file_bytes, err);
    if (rc != TXKV_OK) {
        tx_segment_unref(s);
        return rc;
    }
    if (reader->lsn == first_lsn)
        reader->lsn += TX_SEGMENT_HEADER_BYTES;
    reader->entered = true;
    reader->segment = s;
    reader->files++;
    return TXKV_OK;
}

static void
leave_file(struct tx_archive_reader *reader, uint64_t lsn)
{
    tx_segment_unref(reader->segment);
    reader->segment = NULL;
    reader->lsn = lsn;
}

/* ---- records ---- */

/* Files that were copied from a log by hand have what was not written yet as zeros at their end. */
static bool
is_empty_behind(const struct tx_segment *s, uint64_t offset)
{
    while (offset < s->file_bytes && s->map[offset] == 0)
        offset++;
    return offset == s->file_bytes;
}

/* No record stands at reader->lsn: behind the file's end, or it is damaged. */
static enum txkv_rc
end_of_file(struct tx_archive_reader *reader, bool intact, struct txkv_error *err)
{
    const struct tx_segment *s = reader->segment;
    const uint64_t offset = reader->lsn - s->first_lsn;

    if (intact)
        return fail_history(reader, s, err);
    if (!is_empty_behind(s, offset))
        return tx_fail(err, TXKV_CORRUPT,
                       "archived file %s is damaged: no valid record at offset %" PRIu64
                       " (LSN %" PRIu64 ")",
                       s->path, offset, reader->lsn);
    leave_file(reader, reader->lsn);
    return TXKV_OK;
}

/* One step in a file; TXKV_OK with record->length 0: no record yet. */
static enum txkv_rc
step(struct tx_archive_reader *reader, struct tx_record *record, struct txkv_error *err)
{
    const struct tx_segment *s = reader->segment;
    const uint64_t end_lsn = tx_segment_end_lsn(s), offset = reader->lsn - s->first_lsn;
    enum tx_record_state state;

    record->length = 0;
    if (end_lsn - reader->lsn < TX_RECORD_HEADER_BYTES) {
        leave_file(reader, has_file(reader, reader->lsn) ? reader->lsn : end_lsn);
        return TXKV_OK;
    }
    state = tx_record_decode(s->map + offset, s->map + s->file_bytes, reader->store_id, record);
    if (state != TX_RECORD_INTACT || record->lsn != reader->lsn ||
        record->prev_check != reader->check) {
        const bool intact = state == TX_RECORD_INTACT && record->lsn == reader->lsn;

        record->length = 0;
        return end_of_file(reader, intact, err);
    }
    reader->check = record->check;
    if (record->type == TX_RECORD_SEAL) {
        record->length = 0;
        leave_file(reader, end_lsn);
    } else {
        reader->lsn += record->length;
    }
    return TXKV_OK;
}

enum txkv_rc
tx_archive_next(struct tx_archive_reader *reader, struct tx_record *record,
                struct tx_segment **segment, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    *record = (struct tx_record){ .length = 0 };
    while (rc == TXKV_OK && record->length == 0) {
        if (reader->segment == NULL)
            rc = enter_file(reader, err);
        if (rc == TXKV_OK)
            rc = step(reader, record, err);
    }
    *segment = rc == TXKV_OK ? reader->segment : NULL;
    return rc;
}
