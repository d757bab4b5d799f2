/*
 * kill9.c - a store whose process is killed at random moments, again and again.
 *
 *   kill9 [ROUNDS [SEED]]
 *
 * Goal: after SIGKILL at any moment (in commits, checkpoints, the creation of segments, open and
 * recovery), in every sync mode, each acknowledged transaction is there, none is half there, and
 * nothing is there that was not submitted.
 * Method: a child opens the store, through the C API and through SQL in turn, and runs four writers
 * and a thread that checkpoints at random moments. Transaction number s of writer t writes s into
 * several cells and adds a journal row s, dropping the one that is JOURNAL older: so the cells must
 * agree, and the journal must be exactly the last JOURNAL numbers. Each commit that returned is
 * acknowledged through a pipe; what is submitted is noted in shared memory before. The parent kills
 * the child, and other children open the store and check it. The store is kept over the rounds.
 *
 * The C API and SQL have a table each, which is always checked by the side that wrote it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/sql.h"
#include "../support/support.h"

enum {
    WRITERS = 4,
    CELLS = 3,
    JOURNAL = 60,
    SIDES = 2, /* 0: the C API, 1: SQL */
    KILL_AFTER_US_MAX = 60000,
    PAYLOAD_BYTES_MAX = 20000
};

struct ack {
    uint32_t writer;
    uint32_t padding;
    uint64_t seq;
};

/* Outlives the children. Of each side and writer: */
struct shared {
    atomic_uint_fast64_t submitted[SIDES][WRITERS]; /* the newest that was handed to commit */
    uint64_t acked[SIDES][WRITERS];                 /* the parent's: the newest acknowledged */
    uint64_t seen[SIDES][WRITERS];                  /* the newest that a checking child found */
    atomic_uint_fast64_t checkpoints, run_again;
    atomic_bool opened;
    uint64_t replayed;
};

struct writer {
    pthread_t thread;
    uint32_t number;
    uint64_t seed;
};

static const char *const sync_names[] = { "off", "normal", "full" };
static const char *const side_names[] = { "C API", "SQL" };
static struct shared *shared;
static char store_dir[TEST_PATH_BYTES];
static int ack_fd;
static int side;
static enum txkv_sync sync_mode;
static struct txkv *store;
static uint32_t table_c;

/* ---- both sides: keys and values ---- */

/* Cells and journal rows share one table: "c<writer>:<cell>" and "j<writer>:<seq>". */
static void
cell_key(char key[40], uint32_t writer, uint32_t cell)
{
    (void)snprintf(key, 40, "c%u:%u", writer, cell);
}

static void
journal_key(char key[40], uint32_t writer, uint64_t seq)
{
    (void)snprintf(key, 40, "j%u:%012llu", writer, (unsigned long long)seq);
}

/* The value of transaction `seq`: its number, and now and then a long tail that is a function of
 * it. */
static uint32_t
make_value(uint8_t *out, uint32_t writer, uint64_t seq)
{
    const uint64_t h = mix64(seq * WRITERS + writer);
    const uint32_t tail = (uint32_t)(h >> 32) % (h % 16 == 0 ? PAYLOAD_BYTES_MAX : 100);

    memcpy(out, &seq, sizeof seq);
    memset(out + sizeof seq, (int)(h >> 8 & 0xff), tail);
    return (uint32_t)sizeof seq + tail;
}

static void
acknowledge(uint32_t writer, uint64_t seq)
{
    const struct ack ack = { .writer = writer, .seq = seq };

    if (write(ack_fd, &ack, sizeof ack) != (ssize_t)sizeof ack)
        test_die("write to the pipe: %s", strerror(errno));
}

/* ---- the C API ---- */

static void
open_c(void)
{
    const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                          .checkpoint_bytes = 512 * 1024 };
    struct txkv_recovery_report report;
    struct txkv_error err;

    test_ok(txkv_open(store_dir, &options, &store, &err), &err, "open");
    txkv_recovery(store, &report);
    shared->replayed += report.transactions_replayed;
    test_ok(txkv_table(store, "c", NULL, true, &table_c, &err), &err, "table");
}

static void
put_c(struct txkv_session *s, const char *key, const uint8_t *value, uint32_t bytes)
{
    struct txkv_error err;

    test_ok(txkv_put(s, table_c, bytes_of(key, strlen(key)), bytes_of(value, bytes), &err), &err,
            "put");
}

static void
write_c(struct txkv_session *s, uint32_t writer, uint64_t seq)
{
    static _Thread_local uint8_t value[PAYLOAD_BYTES_MAX + 8];
    const uint32_t bytes = make_value(value, writer, seq);
    struct txkv_error err;
    char key[40];

    test_ok(txkv_begin(s, &err), &err, "begin");
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        cell_key(key, writer, cell);
        put_c(s, key, value, bytes);
    }
    journal_key(key, writer, seq);
    put_c(s, key, value, bytes);
    if (seq > JOURNAL) {
        journal_key(key, writer, seq - JOURNAL);
        test_ok(txkv_delete(s, table_c, bytes_of(key, strlen(key)), &err), &err, "delete");
    }
    atomic_store(&shared->submitted[side][writer], seq);
    test_ok(txkv_commit(s, sync_mode, &err), &err, "commit");
    acknowledge(writer, seq);
}

static void *
run_writer_c(void *arg)
{
    const struct writer *w = arg;
    struct txkv_session *s;
    struct txkv_error err;

    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    for (uint64_t seq = shared->seen[side][w->number] + 1;; seq++)
        write_c(s, w->number, seq);
    return NULL;
}

/* ---- SQL ---- */

static sqlite3 *
open_sql(void)
{
    sqlite3 *db = sql_open(1);

    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', table=s, sync=%s, "
            "checkpoint_bytes=524288)",
            store_dir, sync_names[sync_mode]);
    return db;
}

static void
execute(sqlite3_stmt *stmt, const char *key, const uint8_t *value, uint32_t bytes)
{
    (void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    if (value != NULL)
        (void)sqlite3_bind_blob(stmt, 2, value, (int)bytes, SQLITE_STATIC);
    sql_execute(stmt);
}

/* One transaction up to its COMMIT, whose result code is returned. */
static int
write_sql(sqlite3 *db, sqlite3_stmt *put, sqlite3_stmt *drop, uint32_t writer, uint64_t seq)
{
    static _Thread_local uint8_t value[PAYLOAD_BYTES_MAX + 8];
    const uint32_t bytes = make_value(value, writer, seq);
    char key[40];

    sql_run(db, "BEGIN");
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        cell_key(key, writer, cell);
        execute(put, key, value, bytes);
    }
    journal_key(key, writer, seq);
    execute(put, key, value, bytes);
    if (seq > JOURNAL) {
        journal_key(key, writer, seq - JOURNAL);
        execute(drop, key, NULL, 0);
    }
    atomic_store(&shared->submitted[side][writer], seq);
    return sql_try(db, "COMMIT");
}

/*
 * DELETE reads, and a transaction that is older than the history kept may be told to run again,
 * though no other writer has its keys.
 */
static void *
run_writer_sql(void *arg)
{
    const struct writer *w = arg;
    sqlite3 *db = open_sql();
    sqlite3_stmt *put = sql_prepare(db, "REPLACE INTO kv VALUES(?, ?)");
    sqlite3_stmt *drop = sql_prepare(db, "DELETE FROM kv WHERE key = ?");

    for (uint64_t seq = shared->seen[side][w->number] + 1;; seq++) {
        int rc = write_sql(db, put, drop, w->number, seq);
        while (rc == SQLITE_BUSY_SNAPSHOT) {
            atomic_fetch_add(&shared->run_again, 1); /* SQLite has rolled it back */
            rc = write_sql(db, put, drop, w->number, seq);
        }
        if (rc != SQLITE_OK)
            test_die("COMMIT: error %d: %s", rc, sqlite3_errmsg(db));
        acknowledge(w->number, seq);
    }
    return NULL;
}

/* ---- the child that is killed ---- */

static void
checkpoint_for_ever(uint64_t seed)
{
    sqlite3 *db = side == 1 ? open_sql() : NULL;
    struct txkv_error err;
    struct rng rng;

    rng_seed(&rng, seed);
    for (;;) {
        test_sleep_us(rng_below(&rng, 20000));
        if (db != NULL)
            sql_run(db, "SELECT txkv_checkpoint('kv')");
        else
            test_ok(txkv_checkpoint(store, NULL, &err), &err, "checkpoint");
        atomic_fetch_add(&shared->checkpoints, 1);
    }
}

__attribute__((noreturn)) static void
work_until_killed(uint64_t seed)
{
    static struct writer writers[WRITERS];

    if (side == 0)
        open_c();
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        if (pthread_create(&writers[i].thread, NULL, side == 0 ? run_writer_c : run_writer_sql,
                           &writers[i]) != 0)
            test_die("pthread_create failed");
    }
    checkpoint_for_ever(seed);
    _exit(1);
}

/* ---- the child that checks ---- */

/* What one walk over a table found of each writer. */
struct found {
    uint64_t cells[WRITERS], cell_seq[WRITERS];
    uint64_t rows[WRITERS], first[WRITERS], last[WRITERS];
};

static void
check_value(uint32_t writer, uint64_t seq, const void *data, size_t bytes)
{
    static uint8_t want[PAYLOAD_BYTES_MAX + 8];

    if (make_value(want, writer, seq) != bytes || memcmp(want, data, bytes) != 0)
        test_die("%s: transaction %llu of writer %u has a wrong value", side_names[side],
                 (unsigned long long)seq, writer);
}

static void
find_row(struct found *f, const char *key, const void *value, size_t bytes)
{
    const uint32_t writer = (uint32_t)(key[1] - '0');
    uint64_t seq = 0;

    if (writer >= WRITERS || key[2] != ':' || bytes < sizeof seq)
        test_die("a row that nobody wrote: %s", key);
    memcpy(&seq, value, sizeof seq);
    check_value(writer, seq, value, bytes);
    if (key[0] == 'c') {
        if (f->cells[writer]++ > 0 && f->cell_seq[writer] != seq)
            test_die("%s: half a transaction: cells of writer %u say %llu and %llu",
                     side_names[side], writer, (unsigned long long)f->cell_seq[writer],
                     (unsigned long long)seq);
        f->cell_seq[writer] = seq;
        return;
    }
    if (strtoull(key + 3, NULL, 10) != seq)
        test_die("journal row %s has the value of %llu", key, (unsigned long long)seq);
    if (f->rows[writer]++ == 0)
        f->first[writer] = seq;
    else if (seq != f->last[writer] + 1)
        test_die("%s: writer %u: journal row %llu follows %llu", side_names[side], writer,
                 (unsigned long long)seq, (unsigned long long)f->last[writer]);
    f->last[writer] = seq;
}

static void
walk_c(struct found *f)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_session *s;
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;
    char key[64];

    open_c();
    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    test_ok(txkv_cursor_open(s, table_c, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes k = txkv_cursor_key(cursor);
        const struct txkv_bytes v = txkv_cursor_value(cursor);
        (void)snprintf(key, sizeof key, "%.*s", (int)k.bytes, (const char *)k.data);
        find_row(f, key, v.data, v.bytes);
    }
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "scan");
    txkv_cursor_close(cursor);
    txkv_session_close(s);
}

static sqlite3 *
walk_sql(struct found *f)
{
    sqlite3 *db = open_sql();
    sqlite3_stmt *stmt = sql_prepare(db, "SELECT key, value FROM kv ORDER BY key");
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(stmt, 1);
        find_row(f, (const char *)sqlite3_column_text(stmt, 0), value,
                 (size_t)sqlite3_column_bytes(stmt, 1));
    }
    if (rc != SQLITE_DONE)
        test_die("SELECT: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    return db;
}

static void
judge(const struct found *f, uint32_t writer)
{
    const uint64_t seq = f->cell_seq[writer];
    const uint64_t acked = shared->acked[side][writer];
    const uint64_t submitted = atomic_load(&shared->submitted[side][writer]);

    if (seq < acked)
        test_die("%s: writer %u: %llu was acknowledged, the store has %llu", side_names[side],
                 writer, (unsigned long long)acked, (unsigned long long)seq);
    if (seq < shared->seen[side][writer])
        test_die("%s: writer %u: %llu had been recovered before, the store has %llu",
                 side_names[side], writer, (unsigned long long)shared->seen[side][writer],
                 (unsigned long long)seq);
    if (seq > submitted)
        test_die("%s: writer %u: the store has %llu, only %llu was submitted", side_names[side],
                 writer, (unsigned long long)seq, (unsigned long long)submitted);
    if (f->cells[writer] != (seq == 0 ? 0 : CELLS))
        test_die("%s: half a transaction: writer %u has %llu cells", side_names[side], writer,
                 (unsigned long long)f->cells[writer]);
    if (f->last[writer] != seq || f->rows[writer] != (seq < JOURNAL ? seq : JOURNAL))
        test_die("%s: half a transaction: writer %u is at %llu, its journal has %llu rows up to "
                 "%llu",
                 side_names[side], writer, (unsigned long long)seq,
                 (unsigned long long)f->rows[writer], (unsigned long long)f->last[writer]);
    shared->seen[side][writer] = seq;
}

/* Now and then the checker closes the store well; else it just ends, and the log stays. */
static void
check_store(bool close_well)
{
    static struct found f;
    sqlite3 *db = NULL;
    struct txkv_error err;

    memset(&f, 0, sizeof f);
    if (side == 0)
        walk_c(&f);
    else
        db = walk_sql(&f);
    for (uint32_t i = 0; i < WRITERS; i++)
        judge(&f, i);
    if (close_well && side == 0)
        test_ok(txkv_close(store, &err), &err, "close");
    else if (close_well && sqlite3_close(db) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(db));
    _exit(0);
}

/* ---- rounds ---- */

/* Take what is in the pipe; false at its end. */
static bool
take_acks(int fd, uint64_t *count)
{
    static struct ack acks[1024];
    const ssize_t n = read(fd, acks, sizeof acks);

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    for (size_t i = 0; i < (size_t)n / sizeof acks[0]; i++) {
        uint64_t *acked = &shared->acked[side][acks[i].writer];
        if (acks[i].seq > *acked)
            *acked = acks[i].seq;
        *count += 1;
    }
    return true;
}

/* Let the child work, kill it, and return how many commits it acknowledged. */
static uint64_t
kill_one(struct rng *rng, uint64_t seed)
{
    const bool early = rng_chance(rng, 15); /* in open and recovery */
    const uint64_t wait_us = rng_below(rng, early ? 8000 : KILL_AFTER_US_MAX);
    uint64_t count = 0;
    uint64_t kill_at = test_now_us() + (early ? wait_us : 20 * 1000000);
    bool seen_one = false;
    int fds[2];
    pid_t child;

    if (pipe2(fds, O_CLOEXEC) != 0)
        test_die("pipe: %s", strerror(errno));
    child = fork();
    if (child == 0) {
        (void)close(fds[0]);
        ack_fd = fds[1];
        work_until_killed(seed);
    }
    (void)close(fds[1]);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    while (test_now_us() < kill_at) {
        if (!take_acks(fds[0], &count))
            break;
        if (count > 0 && !seen_one && !early)
            kill_at = test_now_us() + wait_us;
        seen_one |= count > 0;
        test_sleep_us(200);
    }
    (void)kill(child, SIGKILL);
    if (!test_child_ended_well(child, SIGKILL))
        test_die("the writing child failed before it was killed");
    while (take_acks(fds[0], &count))
        ;
    (void)close(fds[0]);
    if (!early && count == 0)
        test_die("nothing was committed within 20 seconds");
    return count;
}

static void
check_both(struct rng *rng)
{
    for (side = 0; side < SIDES; side++) {
        const bool close_well = rng_chance(rng, 15);
        const pid_t child = fork();
        if (child == 0)
            check_store(close_well);
        if (!test_child_ended_well(child, 0))
            test_die("the store in %s is not what it should be", store_dir);
    }
}

int
main(int argc, char **argv)
{
    const uint64_t rounds = test_argument(argc, argv, 1, 40);
    const uint64_t seed = test_argument(argc, argv, 2, test_seed(test_now_us()));
    const uint64_t start_us = test_now_us();
    uint64_t acked = 0;
    struct rng rng;

    test_seed_is(seed);
    rng_seed(&rng, seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        test_die("mmap failed");
    test_dir_make(store_dir, "kill9");
    (void)printf("kill9: %llu rounds, SEED=%llu\n", (unsigned long long)rounds,
                 (unsigned long long)seed);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t count;
        (void)fflush(stdout);
        side = (int)(round % SIDES);
        sync_mode = (enum txkv_sync)(round / SIDES % 3);
        count = kill_one(&rng, seed + round);
        (void)printf("[  OK  ] round %llu: %s, sync=%s: %llu acknowledged before the kill\n",
                     (unsigned long long)round + 1, side_names[side], sync_names[sync_mode],
                     (unsigned long long)count);
        acked += count;
        (void)fflush(stdout);
        check_both(&rng);
    }
    test_dir_remove(store_dir);
    (void)printf("%llu rounds in %.1f s: %llu transactions acknowledged, %llu checkpoints forced, "
                 "%llu transactions run again, %llu replayed; none missing, none half there\n",
                 (unsigned long long)rounds, (double)(test_now_us() - start_us) / 1e6,
                 (unsigned long long)acked, (unsigned long long)atomic_load(&shared->checkpoints),
                 (unsigned long long)atomic_load(&shared->run_again),
                 (unsigned long long)shared->replayed);
    test_kills(rounds);
    return test_summary(rounds, 0);
}
