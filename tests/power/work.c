/*
 * work.c - see work.h.
 */
#include "work.h"

#include <assert.h>
#include <string.h>

enum { ROWS = 12, OPERATIONS_MAX = 4, VALUE_BYTES_MAX = 100000, HEADER_BYTES = 16 };

struct operation {
    uint32_t row;
    bool is_delete;
    size_t bytes;
};

/* What stands at the beginning of each value. */
struct header {
    uint32_t writer, number, epoch, row;
};
static_assert(sizeof(struct header) == HEADER_BYTES, "no gaps");

static uint64_t
hash_of(const struct record *record, uint32_t writer, uint32_t number, uint32_t epoch)
{
    return mix64(record->seed ^ mix64((uint64_t)writer << 48 ^ (uint64_t)epoch << 32 ^ number));
}

/* Mostly short; one in a while spans pages, or is larger than a segment. When they are large, what
 * is there takes more than LMDB's map has at first. */
static size_t
value_bytes(const struct record *record, uint64_t h)
{
    switch (record->is_large ? h % 4 : h % 64) {
    case 0:
        return HEADER_BYTES + (h >> 8) % (VALUE_BYTES_MAX - HEADER_BYTES);
    case 1:
    case 2:
    case 3:
        return HEADER_BYTES + (h >> 8) % 9000;
    default:
        return HEADER_BYTES + (h >> 8) % 300;
    }
}

static uint32_t
operations_of(const struct record *record, uint32_t writer, uint32_t number, uint32_t epoch,
              struct operation out[OPERATIONS_MAX])
{
    const uint64_t h = hash_of(record, writer, number, epoch);
    const uint32_t count = (uint32_t)(h % (OPERATIONS_MAX + 1));

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t each = mix64(h + i);

        out[i] = (struct operation){ .row = (uint32_t)(each % ROWS),
                                     .is_delete = (each >> 8) % 5 == 0,
                                     .bytes = value_bytes(record, each >> 16) };
    }
    return count;
}

static struct txkv_bytes
value_of(const struct header *header, size_t bytes, uint8_t value[VALUE_BYTES_MAX])
{
    memcpy(value, header, sizeof *header);
    memset(value + HEADER_BYTES, (int)(header->number + header->row), bytes - HEADER_BYTES);
    return bytes_of(value, bytes);
}

/* Row ROWS is the writer's counter. */
static struct txkv_bytes
key_of(uint32_t writer, uint32_t row, uint8_t key[2])
{
    key[0] = (uint8_t)('a' + writer);
    key[1] = (uint8_t)row;
    return bytes_of(key, 2);
}

static void
put(struct txkv_session *session, uint32_t table, const struct header *header, size_t bytes)
{
    static _Thread_local uint8_t value[VALUE_BYTES_MAX];
    uint8_t key[2];
    struct txkv_error err;

    test_ok(txkv_put(session, table, key_of(header->writer, header->row, key),
                     value_of(header, bytes, value), &err),
            &err, "put");
}

void
work_commit(struct record *record, struct txkv_session *session, uint32_t table,
            uint32_t late_table, uint32_t writer, enum txkv_sync sync)
{
    const uint32_t number = atomic_load(&record->started[writer]) + 1;
    const struct progress before = work_acknowledged(record);
    struct deed *deed = &record->deeds[writer][number];
    struct header header = { writer, number, record->epoch, ROWS };
    struct operation operations[OPERATIONS_MAX];
    const uint32_t count = operations_of(record, writer, number, record->epoch, operations);
    struct txkv_error err;

    if (number + 1 >= TRANSACTIONS_MAX)
        test_die("more than %d transactions", TRANSACTIONS_MAX);
    if (!record->again[writer]) { /* else what the first run has seen and done holds for both */
        deed->epoch = record->epoch;
        deed->has_late = before.late;
        memcpy(deed->others, before.count, sizeof deed->others);
    }
    atomic_store(&record->started[writer], number);
    test_ok(txkv_begin(session, &err), &err, "begin");
    put(session, table, &header, HEADER_BYTES);
    if (deed->has_late)
        put(session, late_table, &header, HEADER_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[2];

        header.row = operations[i].row;
        if (operations[i].is_delete)
            test_ok(txkv_delete(session, table, key_of(writer, header.row, key), &err), &err,
                    "delete");
        else
            put(session, table, &header, operations[i].bytes);
    }
    test_ok(txkv_commit(session, sync, &err), &err, "commit");
    record->again[writer] = false;
    atomic_store(&record->acknowledged[writer], number);
    if (sync == TXKV_SYNC_FULL) {
        struct progress reached = before;

        reached.count[writer] = number;
        work_raise_durable(record, &reached);
    }
}

struct progress
work_acknowledged(const struct record *record)
{
    struct progress progress = { .late = atomic_load(&record->late_acknowledged) };

    for (uint32_t i = 0; i < WRITERS; i++)
        progress.count[i] = atomic_load(&record->acknowledged[i]);
    return progress;
}

void
work_raise_durable(struct record *record, const struct progress *to)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        unsigned now = atomic_load(&record->durable[i]);

        while (now < to->count[i] &&
               !atomic_compare_exchange_weak(&record->durable[i], &now, to->count[i])) {
            /* now has what another thread stored */
        }
    }
}

struct progress
work_durable(const struct record *record)
{
    struct progress progress = { .late = atomic_load(&record->late_acknowledged) };

    for (uint32_t i = 0; i < WRITERS; i++)
        progress.count[i] = atomic_load(&record->durable[i]);
    return progress;
}

struct progress
work_started(const struct record *record)
{
    struct progress progress = { .late = atomic_load(&record->late_started) };

    for (uint32_t i = 0; i < WRITERS; i++)
        progress.count[i] = atomic_load(&record->started[i]);
    return progress;
}

void
work_resume(struct record *record, const struct progress *at)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        atomic_store(&record->started[i], at->count[i]);
        atomic_store(&record->acknowledged[i], at->count[i]);
        atomic_store(&record->durable[i], at->count[i]);
        record->again[i] = false;
    }
    atomic_store(&record->late_started, at->late);
    atomic_store(&record->late_acknowledged, at->late);
}

/* ---- judging ---- */

/* A row's value, or NULL. */
static struct txkv_bytes
read_row(struct txkv_session *session, uint32_t table, uint32_t writer, uint32_t row)
{
    struct txkv_bytes value = { NULL, 0 };
    struct txkv_error err;
    uint8_t key[2];
    const enum txkv_rc rc = txkv_get(session, table, key_of(writer, row, key), &value, &err);

    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "get");
    return value;
}

/* The counter of a writer, which must have been written in the epoch that the record says. */
static uint32_t
read_counter(const struct record *record, struct txkv_session *session, uint32_t table,
             uint32_t writer)
{
    const struct txkv_bytes value = read_row(session, table, writer, ROWS);
    struct header header;

    if (value.data == NULL)
        return 0;
    if (value.bytes != sizeof header)
        test_die("writer %u's counter has %zu bytes", writer, value.bytes);
    memcpy(&header, value.data, sizeof header);
    if (header.writer != writer || header.row != ROWS || header.number >= TRANSACTIONS_MAX ||
        header.epoch != record->deeds[writer][header.number].epoch)
        test_die("writer %u's counter is at %u of epoch %u, which never was", writer, header.number,
                 header.epoch);
    return header.number;
}

void
work_find(struct record *record, struct txkv_session *session, uint32_t table, uint32_t writer)
{
    const uint32_t number = read_counter(record, session, table, writer);
    const uint32_t started = atomic_load(&record->started[writer]);

    if (number != started && number + 1 != started)
        test_die("writer %u is at %u, and had begun %u", writer, number, started);
    if (number < atomic_load(&record->acknowledged[writer]))
        test_die("writer %u is at %u, and %u was acknowledged", writer, number,
                 atomic_load(&record->acknowledged[writer]));
    record->again[writer] = number != started;
    atomic_store(&record->acknowledged[writer], number);
    atomic_store(&record->started[writer], number);
}

/* The rows of one writer after its transaction n; returns how many there are. */
static uint64_t
judge_rows(const struct record *record, struct txkv_session *session, uint32_t table,
           uint32_t writer, uint32_t n)
{
    static uint8_t value[VALUE_BYTES_MAX];
    bool known[ROWS] = { false };
    uint64_t rows = n > 0 ? 1 : 0;

    for (uint32_t number = n; number > 0; number--) {
        struct operation operations[OPERATIONS_MAX];
        const uint32_t epoch = record->deeds[writer][number].epoch;
        const uint32_t count = operations_of(record, writer, number, epoch, operations);

        for (uint32_t i = count; i-- > 0;) {
            const struct operation *op = &operations[i];
            const struct header header = { writer, number, epoch, op->row };
            struct txkv_bytes got, want;

            if (known[op->row])
                continue;
            known[op->row] = true;
            got = read_row(session, table, writer, op->row);
            if (op->is_delete ? got.data != NULL : got.data == NULL)
                test_die("row %u of writer %u, at %u: %s", op->row, writer, n,
                         op->is_delete ? "was deleted and is there" : "is missing");
            if (op->is_delete)
                continue;
            want = value_of(&header, op->bytes, value);
            if (got.bytes != want.bytes || memcmp(got.data, want.data, want.bytes) != 0)
                test_die("row %u of writer %u, at %u: not the value of transaction %u", op->row,
                         writer, n, number);
            rows++;
        }
    }
    return rows;
}

static void
judge_count(struct txkv_session *session, uint32_t table, uint64_t expected)
{
    const struct txkv_range all = { .lo_open = false };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    uint64_t rows = 0;
    enum txkv_rc rc;

    test_ok(txkv_cursor_open(session, table, &cursor, &err), &err, "cursor");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err))
        rows++;
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "scan");
    txkv_cursor_close(cursor);
    if (rows != expected)
        test_die("the table has %llu rows, and should have %llu", (unsigned long long)rows,
                 (unsigned long long)expected);
}

/* One commit order for all: what a writer had seen acknowledged is there when its own is. */
static void
judge_order(const struct record *record, const struct progress *found)
{
    for (uint32_t i = 0; i < WRITERS; i++)
        for (uint32_t j = 0; j < WRITERS && found->count[i] > 0; j++) {
            const struct deed *deed = &record->deeds[i][found->count[i]];

            if (deed->others[j] > found->count[j])
                test_die("transaction %u of writer %u is there, and %u of writer %u, which came "
                         "before it, is not",
                         found->count[i], i, deed->others[j], j);
        }
}

static void
judge_late(const struct record *record, struct txkv_session *session, uint32_t late_table,
           const struct progress *found)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        const uint32_t number = read_counter(record, session, late_table, i);
        const bool is_there = found->count[i] > 0 && record->deeds[i][found->count[i]].has_late;

        if (is_there ? number != found->count[i] : number != 0)
            test_die("writer %u is at %u in one table and at %u in the other", i, found->count[i],
                     number);
    }
}

static bool
find_table(struct txkv *store, const char *name, uint32_t *table)
{
    struct txkv_error err;
    const enum txkv_rc rc = txkv_table(store, name, NULL, false, table, &err);

    if (rc != TXKV_SCHEMA)
        test_ok(rc, &err, "table");
    return rc == TXKV_OK;
}

struct progress
work_judge(const struct record *record, struct txkv *store, const struct progress *least,
           const struct progress *most)
{
    struct progress found = { .late = false };
    uint32_t table, late_table;
    struct txkv_session *session;
    struct txkv_error err;
    uint64_t rows = 0;

    test_ok(txkv_session_open(store, &session, &err), &err, "session");
    if (find_table(store, "rows", &table)) {
        for (uint32_t i = 0; i < WRITERS; i++) {
            found.count[i] = read_counter(record, session, table, i);
            rows += judge_rows(record, session, table, i, found.count[i]);
        }
        judge_count(session, table, rows);
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        if (found.count[i] < least->count[i] || found.count[i] > most->count[i])
            test_die("writer %u is at %u; it must be at %u at least, and had begun %u", i,
                     found.count[i], least->count[i], most->count[i]);
    judge_order(record, &found);
    found.late = find_table(store, "late", &late_table);
    if (found.late)
        judge_late(record, session, late_table, &found);
    if (found.late ? !most->late : least->late)
        test_die("the table that was made late is %s", found.late ? "there too soon" : "missing");
    txkv_session_close(session);
    return found;
}
