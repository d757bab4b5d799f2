/*
 * fuzz_segment.c - any log directory: every reader of the log ends, and they agree.
 *
 * Looking changes nothing and says what recovery then does; recovery gives the same records; what
 * has been recovered, or salvaged, is recovered again in full, with what was appended to it; all
 * intact records, in order, are what a harvest gives.
 *
 * Input: a byte for where reading starts, and pieces: files, records with right checksums or with
 * one field wrong, seals, and raw bytes. So what stands behind the checksums is reached.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/bytes.h"
#include "../../src/log_harvest.h"
#include "../../src/log_peek.h"
#include "../../src/log.h"
#include "../../src/mem.h"
#include "../../src/shared.h"
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FILES_MAX = 6, FILE_BYTES_MAX = 8192, APPEND_SEGMENT_BYTES = 65536, STEPS_MAX = 10000 };
enum { AT_FORMAT = 8, AT_FIRST_LSN = 24, AT_BYTES = 32, AT_PREV_CHECK = 40, AT_SEGMENT_CHECK = 56 };
#define STORE   UINT64_C(0x0123456789abcdef)
#define FOREIGN UINT64_C(0xfedcba9876543210)

/* The log as it is being made. */
struct maker {
    struct image *file; /* the current one; NULL: none yet */
    size_t at;
    uint64_t check, durable_lsn;
    uint64_t marks[4], mark_checks[4]; /* ends of records: where reading can start */
};

static struct {
    const char *dir;
    char wal[TEST_PATH_BYTES];
    struct image files[FILES_MAX];
    uint32_t count;
} fuzz;

/* ---- making it ---- */

static void
put_header(struct maker *m, uint64_t store_id, uint32_t format)
{
    uint8_t *header = m->file->bytes;

    memcpy(header, "txkvwal1", 8);
    tx_put_u32(header + AT_FORMAT, format);
    tx_put_u64(header + 16, store_id);
    tx_put_u64(header + AT_FIRST_LSN, m->file->first_lsn);
    tx_put_u64(header + AT_BYTES, m->file->size);
    tx_put_u64(header + AT_PREV_CHECK, m->check);
    tx_put_u64(header + AT_SEGMENT_CHECK, tx_record_hash(header, AT_SEGMENT_CHECK, store_id));
}

/* Behind the last one mostly, else anywhere. */
static void
begin_file(struct maker *m, struct input *input)
{
    const uint8_t how = take_u8(input), size = take_u8(input), lsn = take_u8(input);
    uint64_t first_lsn = m->file == NULL ? 0 : m->file->first_lsn + (m->file->size & ~(size_t)7);
    char name[TX_SEGMENT_NAME_BYTES];

    if (fuzz.count == FILES_MAX)
        return;
    if (how & 1)
        first_lsn = (uint64_t)lsn * 64;
    if ((how & 7) == 7)
        first_lsn = (take_u64(input) & ~UINT64_C(7)) % TX_SEGMENT_LSN_LIMIT;
    for (uint32_t i = 0; i < fuzz.count; i++)
        if (fuzz.files[i].first_lsn == first_lsn)
            return;
    m->file = &fuzz.files[fuzz.count++];
    m->file->first_lsn = first_lsn;
    m->file->size = TX_SEGMENT_HEADER_BYTES + TX_RECORD_HEADER_BYTES + (size_t)size * 8;
    if (how & 8)
        m->file->size += 4096;
    memset(m->file->bytes, 0, FILE_BYTES_MAX);
    m->file->is_present = true;
    tx_segment_name(first_lsn, name);
    (void)snprintf(m->file->name, sizeof m->file->name, "%s", name);
    m->at = TX_SEGMENT_HEADER_BYTES;
    put_header(m, how & 16 ? FOREIGN : STORE, how & 32 ? lsn : TX_SEGMENT_FORMAT);
    if (how & 64)
        m->file->bytes[lsn % TX_SEGMENT_HEADER_BYTES] ^= 0x20;
}

static void
put_record(struct maker *m, struct input *input)
{
    const uint8_t type = take_u8(input), how = take_u8(input);
    const size_t want = how & 1 ? take_u16(input) : take_u8(input);
    size_t body_bytes;
    const uint8_t *body = take_bytes(input, want, &body_bytes);
    const uint64_t length = tx_record_length(body_bytes);
    uint8_t *record;
    uint64_t lsn, durable_lsn, check;

    if (m->file == NULL || length > m->file->size - m->at || m->at % 8 != 0)
        return;
    record = m->file->bytes + m->at;
    lsn = m->file->first_lsn + m->at;
    if (body_bytes > 0)
        memcpy(record + TX_RECORD_HEADER_BYTES, body, body_bytes);
    tx_record_finish_body(record, (enum tx_record_type)(type % 12), (uint32_t)body_bytes, STORE);
    durable_lsn = how & 2 ? lsn : m->durable_lsn;
    if (how & 4) /* one that could not be */
        durable_lsn = lsn + (uint64_t)type * 16;
    check = tx_record_finish_header(record, how & 8 ? lsn + 8 : lsn, durable_lsn,
                                    how & 16 ? 1 : m->check, STORE);
    if (how & 32)
        record[type % length] ^= 0x10;
    m->durable_lsn = durable_lsn;
    m->check = check;
    m->at += length;
    m->marks[type % 4] = lsn + length;
    m->mark_checks[type % 4] = check;
}

static void
put_seal(struct maker *m)
{
    if (m->file == NULL || m->file->size - m->at < TX_RECORD_HEADER_BYTES || m->at % 8 != 0)
        return;
    tx_record_finish_body(m->file->bytes + m->at, TX_RECORD_SEAL, 0, STORE);
    m->check = tx_record_finish_header(m->file->bytes + m->at, m->file->first_lsn + m->at,
                                       m->durable_lsn, m->check, STORE);
    m->at += TX_RECORD_HEADER_BYTES;
}

static void
put_raw(struct maker *m, struct input *input)
{
    size_t bytes;
    const uint8_t *raw = take_bytes(input, take_u8(input), &bytes);

    if (m->file == NULL || bytes > m->file->size - m->at)
        return;
    if (bytes > 0)
        memcpy(m->file->bytes + m->at, raw, bytes);
    m->at += tx_round_up(bytes, 8) <= m->file->size - m->at ? tx_round_up(bytes, 8) : bytes;
}

/* The file loses its end, or gets a longer one; its header does not know. */
static void
cut_file(struct maker *m, struct input *input)
{
    const size_t size = take_u16(input) % FILE_BYTES_MAX;

    if (m->file == NULL)
        return;
    m->file->size = size;
    m->at = m->at < size ? m->at : size;
}

static void
skip(struct maker *m, struct input *input)
{
    const size_t bytes = (size_t)take_u8(input) * 8;

    if (m->file != NULL && bytes <= m->file->size - m->at)
        m->at += bytes;
}

static void
make_log(struct maker *m, struct input *input)
{
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        if (fuzz.files[i].bytes == NULL)
            fuzz.files[i].bytes = calloc(1, FILE_BYTES_MAX);
        require(fuzz.files[i].bytes != NULL);
        fuzz.files[i].room = FILE_BYTES_MAX;
        fuzz.files[i].is_present = false;
    }
    fuzz.count = 0;
    while (!take_end(input)) {
        switch (take_u8(input) % 8) {
        case 0:
            begin_file(m, input);
            break;
        case 1:
            put_seal(m);
            break;
        case 2:
            put_raw(m, input);
            break;
        case 3:
            cut_file(m, input);
            break;
        case 4:
            skip(m, input);
            break;
        default:
            put_record(m, input);
            break;
        }
    }
}

/* Remove what is there, salvaged directories too, and write the files. */
static void
write_log(void)
{
    const struct dirent *entry;
    char path[TEST_PATH_BYTES];
    DIR *stream = opendir(fuzz.wal);

    require(stream != NULL);
    /* The target's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        test_path(path, fuzz.wal, entry->d_name);
        if (unlink(path) != 0)
            test_dir_remove(path);
    }
    (void)closedir(stream);
    for (uint32_t i = 0; i < fuzz.count; i++)
        image_write(&fuzz.files[i], fuzz.wal);
}

/* ---- reading it ---- */

struct seen {
    uint64_t records, sum, last_lsn;
};

static void
read_body(const struct tx_record *record)
{
    const uint8_t *p = record->body, *end = p + record->body_bytes;
    struct tx_table_change change;
    struct tx_table_def def;
    struct txkv_bytes note;
    struct tx_record txn;
    struct tx_op op;

    touch(p, record->body_bytes);
    while (tx_op_next(&p, end, &op) == TXKV_OK)
        touch(op.value, op.value_bytes);
    if (tx_record_decides(record))
        (void)tx_decision_lsn(record);
    if (tx_prepared_decode(record, &note, &txn) == TXKV_OK)
        touch(note.data, note.bytes);
    if (tx_table_def_decode(record->body, record->body_bytes, &def) == TXKV_OK)
        touch(def.shape, def.shape_bytes);
    p = record->body;
    while (tx_table_change_next(TX_RECORD_RENAMED, &p, end, &change) == TXKV_OK)
        touch(change.name, change.name_bytes);
}

static enum txkv_rc
visit(void *arg, const struct tx_record *record, struct tx_segment *segment, struct txkv_error *err)
{
    struct seen *seen = arg;

    (void)err;
    require(record->body >= segment->map &&
            record->body + record->body_bytes <= segment->map + segment->file_bytes);
    require(seen->records == 0 || record->lsn > seen->last_lsn);
    require(record->type != TX_RECORD_SEAL);
    read_body(record);
    seen->records++;
    seen->sum += record->check;
    seen->last_lsn = record->lsn;
    return TXKV_OK;
}

struct outcome {
    enum txkv_rc rc;
    struct seen seen;
    struct tx_log_scan scan;
    struct tx_log *log;
    struct txkv_error err;
};

enum mode { LOOK, RECOVER, SALVAGE };

static void
run(enum mode mode, uint64_t start_lsn, uint64_t start_check, struct outcome *o)
{
    const struct tx_log_config config = { .dir = fuzz.wal,
                                          .store_id = STORE,
                                          .segment_bytes = APPEND_SEGMENT_BYTES,
                                          .start_lsn = start_lsn,
                                          .start_check = start_check,
                                          .look = mode == LOOK,
                                          .salvage = mode == SALVAGE };

    memset(o, 0, sizeof *o);
    o->rc = tx_log_recover(&config, visit, &o->seen, &o->scan, &o->log, &o->err);
    require((o->log != NULL) == (o->rc == TXKV_OK && mode != LOOK));
    require(o->scan.end_lsn >= start_lsn || o->rc != TXKV_OK);
}

static bool
is_same_seen(const struct outcome *a, const struct outcome *b)
{
    return a->seen.records == b->seen.records && a->seen.sum == b->seen.sum &&
           a->scan.end_lsn == b->scan.end_lsn && a->scan.end_check == b->scan.end_check;
}

/* A recovered log takes a record and gives all of them again. */
static void
go_on(struct outcome *o, uint64_t start_lsn, uint64_t start_check)
{
    uint8_t record[TX_RECORD_HEADER_BYTES + 16] = { 0 };
    const uint32_t length = (uint32_t)tx_record_length(10);
    struct tx_log_place place;
    struct outcome again;

    memset(record + TX_RECORD_HEADER_BYTES, 'x', 10);
    tx_record_finish_body(record, TX_RECORD_TXN, 10, STORE);
    if (tx_log_place(o->log, record, length, &place, &o->err) != TXKV_OK) {
        /* There are no LSNs left, or no room in a file of that name. */
        tx_log_close(o->log);
        return;
    }
    tx_log_finish(o->log, record, &place, false);
    require(tx_log_sync(o->log, place.lsn + length, &o->err) == TXKV_OK);
    tx_log_close(o->log);
    run(RECOVER, start_lsn, start_check, &again);
    require(again.rc == TXKV_OK && again.seen.records == o->seen.records + 1);
    require(again.seen.last_lsn == place.lsn && again.scan.bytes_discarded == 0);
    tx_log_close(again.log);
}

static void
harvest(void)
{
    struct tx_harvest h;
    struct tx_record record;
    struct txkv_error err;
    uint64_t end = 0;
    const enum txkv_rc rc = tx_harvest(fuzz.wal, STORE, &h, &err);

    if (rc == TXKV_FORMAT) { /* an intact header of another format */
        tx_harvest_free(&h);
        return;
    }
    require(rc == TXKV_OK);
    require(h.unreadable_files == 0);
    for (size_t i = 0; i < h.count; i++) {
        tx_harvest_record(&h, i, &record);
        require(record.lsn == h.records[i].lsn && record.lsn >= end);
        require(record.lsn + record.length <= h.end_lsn);
        end = record.lsn + record.length;
        if (i > 0)
            (void)tx_harvest_follows(&h, i);
        read_body(&record);
    }
    tx_harvest_free(&h);
}

/* What txkv_log shows, up to where the log ends. */
static void
peek(const struct outcome *looked, uint64_t start_lsn, uint64_t start_check)
{
    struct tx_record record;
    struct tx_peek *p;
    struct txkv_error err;
    enum txkv_rc rc;
    uint64_t count = 0, steps = 0;

    require(tx_peek_open(fuzz.wal, STORE, &p, &err) == TXKV_OK);
    tx_peek_start(p, start_lsn, looked->scan.end_lsn, start_lsn, start_check);
    while ((rc = tx_peek_next(p, &record, &err)) == TXKV_OK) {
        require(++steps < STEPS_MAX);
        count += record.type != TX_RECORD_SEAL;
        read_body(&record);
    }
    /* A look begins where the segment does, and may find a seal before the place where recovery
     * begins: no store has that. */
    require(rc == TXKV_CORRUPT || rc == TXKV_NOTFOUND);
    require(rc == TXKV_CORRUPT || count == looked->seen.records ||
            (start_lsn > 0 && count < looked->seen.records));
    tx_peek_close(p);
    require(tx_peek_open(fuzz.wal, STORE, &p, &err) == TXKV_OK);
    tx_peek_start(p, 0, UINT64_MAX, start_lsn, start_check);
    while (tx_peek_next(p, &record, &err) == TXKV_OK)
        require(++steps < STEPS_MAX);
    tx_peek_close(p);
}

/* Beside processes that have the store open: the first record that is missed ends it. */
static void
follow(const struct outcome *looked, uint64_t start_lsn, uint64_t start_check)
{
    struct tx_shared *shared = tx_shared_private();
    const struct tx_log_config config = { .dir = fuzz.wal,
                                          .store_id = STORE,
                                          .segment_bytes = APPEND_SEGMENT_BYTES,
                                          .start_lsn = start_lsn,
                                          .start_check = start_check,
                                          .shared = shared };
    struct seen seen = { 0 };
    struct tx_log *log = NULL;
    struct txkv_error err;
    enum txkv_rc rc;

    require(shared != NULL && tx_log_attach(&config, &log, &err) == TXKV_OK);
    rc = tx_log_read(log, looked->scan.end_lsn, visit, &seen, &err);
    require(rc == TXKV_OK || rc == TXKV_CORRUPT || rc == TXKV_NOTFOUND || rc == TXKV_CANTOPEN);
    require(rc != TXKV_OK || seen.sum == looked->seen.sum);
    (void)!tx_log_read(log, UINT64_MAX, visit, &seen, &err);
    tx_log_close(log);
    tx_free(shared);
}

static void
recover(const struct outcome *looked, uint64_t start_lsn, uint64_t start_check)
{
    struct outcome o, again;

    run(RECOVER, start_lsn, start_check, &o);
    require(o.rc == looked->scan.verdict.rc);
    require(is_same_seen(&o, looked));
    if (o.rc == TXKV_OK) {
        go_on(&o, start_lsn, start_check);
        return;
    }
    for (uint32_t i = 0; i < fuzz.count; i++)
        require(image_is_in(&fuzz.files[i], fuzz.wal));
    run(SALVAGE, start_lsn, start_check, &o);
    require(is_same_seen(&o, looked));
    if (o.rc != TXKV_OK) { /* foreign files, which no salvage touches */
        require(strcmp(o.err.text, looked->scan.verdict.text) == 0);
        require(strstr(o.err.text, "the log is damaged") == NULL);
        return;
    }
    require(looked->scan.damaged);
    tx_log_close(o.log);
    run(RECOVER, start_lsn, start_check, &again);
    require(again.rc == TXKV_OK && again.seen.sum == o.seen.sum);
    tx_log_close(again.log);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };
    const uint8_t start = take_u8(&input);
    const uint64_t live = tx_mem_live();
    struct maker m = { .file = NULL };
    uint64_t start_lsn = 0, start_check = 0;
    struct outcome looked;

    if (fuzz.dir == NULL) {
        fuzz.dir = files_dir();
        test_path(fuzz.wal, fuzz.dir, "wal");
        require(mkdir(fuzz.wal, 0700) == 0);
    }
    make_log(&m, &input);
    write_log();
    if (start & 4) {
        start_lsn = m.marks[start & 3];
        start_check = start & 8 ? 1 : m.mark_checks[start & 3];
    } else if (start & 8) {
        start_lsn = (uint64_t)start * 64;
    }
    run(LOOK, start_lsn, start_check, &looked);
    require(looked.rc == TXKV_OK || looked.rc == TXKV_CORRUPT);
    for (uint32_t i = 0; i < fuzz.count; i++)
        require(image_is_in(&fuzz.files[i], fuzz.wal));
    harvest();
    if (strstr(looked.scan.verdict.text, "cannot be a checkpoint's") == NULL) {
        peek(&looked, start_lsn, start_check);
        follow(&looked, start_lsn, start_check);
    }
    if (looked.rc == TXKV_OK)
        recover(&looked, start_lsn, start_check);
    require(tx_mem_live() == live);
    return 0;
}
