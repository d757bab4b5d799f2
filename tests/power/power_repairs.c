/*
 * power_repairs.c - the power fails while a damaged store is salvaged or rescued.
 *
 *   power_repairs [CUTS]      SEED=n
 *
 * Goal: at every step there is the store as it was, which does not open, or the repaired one, which
 * opens by itself; done again, the repair brings back exactly what it brings back when nothing
 * disturbs it. When the call had returned, the store is the repaired one, and keeps what is
 * committed to it from then on.
 *
 * Method: a process fills a store, with a checkpoint on the way, and dies; a bit of a record in its
 * log is flipped, behind which others are known to be durable. What salvage, or rescue, makes of a
 * copy is what each cut's must be. A machine (machine.h) does it, and commits to what it has.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/process.h"
#include "calls.h"
#include "machine.h"

enum { EPOCHS = 4, ROWS_MAX = 400, CUT_PERCENT = 40, NEW_ROWS_MAX = 10 };

struct shared {
    bool rescues; /* else it salvages */
    atomic_bool done;
    atomic_uint begun, committed; /* rows that were put after the repair */
    /* Of what a repair brings back: how many rows, and the sum of their hashes. */
    uint64_t rows, sum;
    /* Of the cut that is judged. */
    bool must_be_done;
    unsigned least, most;
};

static struct shared *shared;
static uint64_t repaired, untouched;

static struct txkv_options
options_of(bool salvages)
{
    return (struct txkv_options){ .segment_bytes = 64 * 1024,
                                  .map_size = 1 << 20,
                                  .checkpoint_interval_s = 86400,
                                  .salvage = salvages };
}

static enum txkv_rc
open_store(const char *root, bool salvages, struct txkv **out, struct txkv_error *err)
{
    const struct txkv_options options = options_of(salvages);
    char path[TEST_PATH_BYTES];

    test_path(path, root, "store");
    return txkv_open(path, &options, out, err);
}

static void
close_store(struct txkv *store)
{
    struct txkv_error err;

    test_ok(txkv_close(store, &err), &err, "close");
}

/* Row `number` of a table; its value follows from the number. */
static void
put_row(struct txkv *store, const char *name, uint32_t number)
{
    uint8_t key[4], value[2000];
    const size_t bytes = 1 + mix64(number) % sizeof value;
    struct txkv_session *session;
    struct txkv_error err;
    uint32_t table;

    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(number >> (24 - 8 * i));
    memset(value, (int)number, bytes);
    test_ok(txkv_table(store, name, "shape", true, &table, &err), &err, "table");
    test_ok(txkv_session_open(store, &session, &err), &err, "session");
    test_ok(txkv_begin(session, &err), &err, "begin");
    test_ok(txkv_put(session, table, bytes_of(key, 4), bytes_of(value, bytes), &err), &err, "put");
    test_ok(txkv_commit(session, TXKV_SYNC_FULL, &err), &err, "commit");
    txkv_session_close(session);
}

/* The rows of a table, each as it was put, and the sum of the hashes of their numbers. */
static uint64_t
read_rows(struct txkv *store, const char *name, uint64_t *sum)
{
    const struct txkv_range all = { .lo_open = false };
    struct txkv_session *session;
    struct txkv_cursor *cursor;
    struct txkv_error err;
    uint64_t rows = 0;
    uint32_t table;
    enum txkv_rc rc = txkv_table(store, name, NULL, false, &table, &err);

    *sum = 0;
    if (rc == TXKV_SCHEMA)
        return 0;
    test_ok(rc, &err, "table");
    test_ok(txkv_session_open(store, &session, &err), &err, "session");
    test_ok(txkv_cursor_open(session, table, &cursor, &err), &err, "cursor");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);
        uint32_t number = 0;

        for (size_t i = 0; i < key.bytes; i++)
            number = number << 8 | key.data[i];
        if (key.bytes != 4 || value.bytes != 1 + mix64(number) % 2000 ||
            value.data[0] != (uint8_t)number || value.data[value.bytes - 1] != (uint8_t)number)
            test_die("row %u of %s is not as it was put", number, name);
        rows++;
        *sum += mix64(number);
    }
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "scan");
    txkv_cursor_close(cursor);
    txkv_session_close(session);
    return rows;
}

/* ---- the damaged store ---- */

/* Dies with the store open: the log stays. */
static void
fill(const char *root, struct rng *rng)
{
    const uint32_t rows = 50 + rng_below(rng, ROWS_MAX - 50), at = rng_below(rng, rows / 2);
    struct txkv *store;
    struct txkv_error err;

    test_ok(open_store(root, false, &store, &err), &err, "open");
    for (uint32_t i = 0; i < rows; i++) {
        put_row(store, "rows", i);
        if (i == at)
            test_ok(txkv_checkpoint(store, NULL, &err), &err, "checkpoint");
    }
    _exit(0);
}

/* A bit of some segment that has not been used up by the checkpoint. */
static void
flip(const char *dir, struct rng *rng)
{
    char path[TEST_PATH_BYTES], wal[TEST_PATH_BYTES];
    uint32_t seen = 0;
    struct stat st;
    uint8_t byte;
    off_t at;
    DIR *list;
    int fd;

    test_path(wal, dir, "wal");
    list = opendir(wal);
    if (list == NULL)
        test_die("cannot open %s", wal);
    for (const struct dirent *d = readdir(list); d != NULL; d = readdir(list))
        if (strstr(d->d_name, ".wal") != NULL && rng_below(rng, ++seen) == 0)
            test_path(path, wal, d->d_name);
    (void)closedir(list);
    fd = seen == 0 ? -1 : calls_real.open(path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0 || fstat(fd, &st) != 0)
        test_die("no segment in %s", wal);
    at = (off_t)rng_below(rng, (uint32_t)st.st_size);
    if (pread(fd, &byte, 1, at) != 1)
        test_die("cannot read %s", path);
    byte ^= 1;
    if (calls_real.pwrite(fd, &byte, 1, at) != 1)
        test_die("cannot write %s", path);
    (void)calls_real.close(fd);
}

/* Repair it; the same way in the machine and in the judge. */
static void
repair(const char *root)
{
    char path[TEST_PATH_BYTES];
    struct txkv *store;
    struct txkv_error err;

    if (shared->rescues) {
        test_path(path, root, "store");
        test_ok(txkv_rescue(path, NULL, NULL, &err), &err, "rescue");
    } else {
        test_ok(open_store(root, true, &store, &err), &err, "salvage");
        close_store(store);
    }
}

static enum txkv_rc
try_to_open(const char *root, struct txkv **store)
{
    struct txkv_error err;
    const enum txkv_rc rc = open_store(root, false, store, &err);

    if (rc != TXKV_OK && rc != TXKV_CORRUPT)
        test_ok(rc, &err, "opening what the power failure has left");
    return rc;
}

/* Below `root`: a store that does not open, and what a repair makes of it. */
static void
prepare(const char *root, struct rng *rng)
{
    char filled[TEST_PATH_BYTES], target[TEST_PATH_BYTES], probe[TEST_PATH_BYTES],
        probed[TEST_PATH_BYTES];
    struct txkv *store;
    const pid_t pid = test_fork();

    if (pid == 0)
        fill(root, rng);
    (void)rng_next(rng);
    test_wait_well(pid, 60, "filling the store");
    test_path(target, root, "store");
    test_path(filled, root, "filled");
    test_path(probe, root, "probe");
    test_path(probed, probe, "store");
    (void)calls_real.rename(target, filled);
    for (;;) {
        test_dir_copy(filled, target);
        flip(target, rng);
        (void)calls_real.mkdir(probe, 0700);
        test_dir_copy(target, probed);
        if (try_to_open(probe, &store) == TXKV_CORRUPT)
            break;
        close_store(store); /* the bit was in nothing that counts */
        test_dir_remove(probe);
        test_dir_remove(target);
    }
    repair(probe);
    if (try_to_open(probe, &store) != TXKV_OK)
        test_die("a repair that nothing disturbed leaves a store that does not open");
    shared->rows = read_rows(store, "rows", &shared->sum);
    close_store(store);
    test_dir_remove(probe);
    test_dir_remove(filled);
}

/* ---- the machine ---- */

static void
before_cut(void)
{
    shared->must_be_done = atomic_load(&shared->done);
    shared->least = atomic_load(&shared->committed);
}

static void
after_cut(void)
{
    shared->most = atomic_load(&shared->begun);
}

static void
work(const char *root, struct rng *rng)
{
    struct txkv *store;

    if (try_to_open(root, &store) == TXKV_CORRUPT) {
        if (atomic_load(&shared->done))
            test_die("a store that was repaired does not open");
        repair(root);
        atomic_store(&shared->done, true);
        if (try_to_open(root, &store) != TXKV_OK)
            test_die("a repaired store does not open");
    }
    for (uint32_t i = rng_below(rng, NEW_ROWS_MAX); i > 0; i--) {
        const unsigned number = atomic_load(&shared->begun);

        atomic_store(&shared->begun, number + 1);
        put_row(store, "new", number);
        atomic_store(&shared->committed, number + 1);
    }
    close_store(store);
    machine_power_off();
}

/* ---- the judge ---- */

static void
judge(const char *root, struct rng *rng)
{
    uint64_t rows, sum;
    struct txkv *store;

    (void)rng;
    if (try_to_open(root, &store) == TXKV_CORRUPT) {
        if (shared->must_be_done)
            test_die("the store was repaired, and does not open");
        repair(root);
        if (try_to_open(root, &store) != TXKV_OK)
            test_die("the second repair leaves a store that does not open");
        untouched++;
    } else {
        repaired++;
    }
    rows = read_rows(store, "rows", &sum);
    if (rows != shared->rows || sum != shared->sum)
        test_die("%llu rows are back, and not the %llu that there should be",
                 (unsigned long long)rows, (unsigned long long)shared->rows);
    rows = read_rows(store, "new", &sum);
    if (rows < shared->least || rows > shared->most)
        test_die("%llu new rows are there; %u were committed, and %u begun",
                 (unsigned long long)rows, shared->least, shared->most);
    close_store(store);
    shared->least = (unsigned)rows;
}

static void
next(void)
{
    atomic_store(&shared->begun, shared->least);
    atomic_store(&shared->committed, shared->least);
}

static void
begin(struct machine *machine, uint64_t seed, struct rng *rng)
{
    (void)machine;
    (void)rng;
    memset(shared, 0, sizeof *shared);
    shared->rescues = seed % 2 == 0;
}

int
main(int argc, char **argv)
{
    struct machine machine = { .begin = begin,
                               .prepare = prepare,
                               .work = work,
                               .before_cut = before_cut,
                               .after_cut = after_cut,
                               .judge = judge,
                               .next = next,
                               .cut_percent = CUT_PERCENT };

    shared = test_shared_memory(sizeof *shared);
    machine_lives(argc, argv, "power_repairs", 500, EPOCHS, &machine);
    printf("%llu power cuts; %llu stores were repaired, %llu as before; lost: 0, wrong: 0\n",
           (unsigned long long)machine_cuts(), (unsigned long long)repaired,
           (unsigned long long)untouched);
    return test_summary(machine_cuts(), 0);
}
