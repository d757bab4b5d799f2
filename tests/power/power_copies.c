/*
 * power_copies.c - the power fails while a store is copied by txkv_backup and txkv_export.
 *
 *   power_copies [CUTS]      SEED=n
 *
 * Goal: a backup, and a file, is there as a whole or not at all, at every step; it is there when
 * the call had returned; it holds what was committed when the call began, and nothing that never
 * was. The store itself has lost nothing.
 *
 * Method: a machine (machine.h) commits numbered transactions, makes backups and files, each with a
 * name of its own, and checkpoints. The judge opens every backup that is there and brings every
 * file in, and counts.
 */
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../support/process.h"
#include "../support/sql.h"
#include "machine.h"

enum { EPOCHS = 4, STEPS_MAX = 30, COPIES_MAX = 10, CUT_PERCENT = 25 };

enum copy_kind { BACKUP, EXPORT_SQL, EXPORT_CSV, EXPORT_JSONL, COPY_KINDS };

static const char *const endings[COPY_KINDS] = { "", ".sql", ".csv", ".jsonl" };

/* A backup or a file. */
struct copy {
    enum copy_kind kind;
    uint64_t floor;   /* committed when it was begun */
    atomic_bool done; /* the call has returned */
};

struct shared {
    atomic_uint_fast64_t begun, committed;
    struct copy copies[COPIES_MAX];
    atomic_uint copies_begun;
    /* Of the cut that is judged. */
    uint64_t least, most;
    bool must_be[COPIES_MAX];
};

static struct shared *shared;
static uint64_t found, backups_judged, files_judged;
static char store[TEST_PATH_BYTES];

static sqlite3 *
open_connection(void)
{
    sqlite3 *db;

    if (sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init) != SQLITE_OK ||
        sqlite3_open(":memory:", &db) != SQLITE_OK)
        test_die("cannot open a connection");
    return db;
}

/* In C there can be small segments: the store is opened so before SQL finds it open. */
static struct txkv *
open_small(const char *path)
{
    const struct txkv_options options = { .segment_bytes = 64 * 1024, .map_size = 1 << 20 };
    struct txkv_error err;
    struct txkv *opened;

    test_ok(txkv_open(path, &options, &opened, &err), &err, path);
    return opened;
}

static void
close_both(sqlite3 *db, struct txkv *opened)
{
    struct txkv_error err;

    if (sqlite3_close(db) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(db));
    test_ok(txkv_close(opened, &err), &err, "close");
}

static uint64_t
ask(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement = sql_prepare(db, text);
    uint64_t n = 0;

    if (sqlite3_step(statement) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(statement, 0);
    if (sqlite3_reset(statement) != SQLITE_OK)
        test_die("%s: %s", text, sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    return n;
}

static void
name_copy(char path[TEST_PATH_BYTES], const char *root, unsigned number)
{
    char name[32];

    (void)snprintf(name, sizeof name, "copy-%u%s", number, endings[shared->copies[number].kind]);
    test_path(path, root, name);
}

/* ---- the machine ---- */

static void
before_cut(void)
{
    shared->least = atomic_load(&shared->committed);
    for (unsigned i = 0; i < COPIES_MAX; i++)
        shared->must_be[i] = atomic_load(&shared->copies[i].done);
}

static void
after_cut(void)
{
    shared->most = atomic_load(&shared->begun);
}

/* Row n of each table, and how many there are; a row may span pages. */
static void
commit_one(sqlite3 *db)
{
    const uint64_t n = atomic_load(&shared->begun) + 1;

    atomic_store(&shared->begun, n);
    sql_run(db,
            "BEGIN; REPLACE INTO kv VALUES('n', %llu); INSERT INTO kv VALUES(%llu, zeroblob(%llu));"
            "INSERT INTO t VALUES(%llu, 'number ' || %llu); COMMIT",
            (unsigned long long)n, (unsigned long long)n, (unsigned long long)(n % 7 * 900),
            (unsigned long long)n, (unsigned long long)n);
    atomic_store(&shared->committed, n);
}

static void
copy_one(sqlite3 *db, const char *root, struct rng *rng)
{
    const unsigned number = atomic_load(&shared->copies_begun);
    struct copy *copy = &shared->copies[number];
    char path[TEST_PATH_BYTES];

    if (number == COPIES_MAX)
        return;
    copy->kind = (enum copy_kind)rng_below(rng, COPY_KINDS);
    copy->floor = atomic_load(&shared->committed);
    atomic_store(&shared->copies_begun, number + 1);
    name_copy(path, root, number);
    if (copy->kind == BACKUP)
        sql_run(db, "SELECT txkv_backup('kv', '%s')", path);
    else
        sql_run(db, "SELECT txkv_export('%s', '%s', 'dir=restored %s')", store, path,
                copy->kind == EXPORT_CSV ? "table=kv" : "");
    atomic_store(&copy->done, true);
}

static void
make_tables(sqlite3 *db)
{
    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', checkpoint_bytes='64KiB');"
            "CREATE VIRTUAL TABLE temp.t USING txkv('%s', id INTEGER PRIMARY KEY, name, "
            "UNIQUE(name))",
            store, store);
}

static void
work(const char *root, struct rng *rng)
{
    test_path(store, root, "store");
    do {
        struct txkv *opened = open_small(store);
        sqlite3 *db = open_connection();

        make_tables(db);
        for (uint32_t i = rng_below(rng, STEPS_MAX); i > 0; i--) {
            if (rng_chance(rng, 15))
                copy_one(db, root, rng);
            else
                commit_one(db);
            if (rng_chance(rng, 5))
                sql_run(db, "SELECT txkv_checkpoint('kv')");
        }
        if (rng_chance(rng, 30))
            break; /* the power goes while it is open */
        close_both(db, opened);
    } while (rng_chance(rng, 50));
    machine_power_off();
}

/* ---- the judge ---- */

/* What the connection's tables hold: the counter's rows, no other. */
static uint64_t
judge_tables(sqlite3 *db, const char *what, bool has_both)
{
    const uint64_t n = ask(db, "SELECT value FROM kv WHERE key = 'n'");

    if (ask(db, "SELECT count(*) FROM kv WHERE length(value) = key % 7 * 900") != n ||
        ask(db, "SELECT count(*) FROM kv") != n + (n > 0))
        test_die("%s has other rows than %llu in kv", what, (unsigned long long)n);
    if (has_both && (ask(db, "SELECT count(*) FROM t WHERE name = 'number ' || id") != n ||
                     ask(db, "SELECT max(id) FROM t") != n))
        test_die("%s has other rows than %llu in t", what, (unsigned long long)n);
    return n;
}

static bool
is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static void
judge_backup(const char *path, uint64_t *n)
{
    struct txkv *opened = open_small(path);
    sqlite3 *db = open_connection();

    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s');"
            "CREATE VIRTUAL TABLE temp.t USING txkv('%s')",
            path, path);
    *n = judge_tables(db, path, true);
    if (ask(db, "SELECT txkv_check('kv') ->> 'problem_count'") != 0)
        test_die("%s: txkv_check finds something", path);
    close_both(db, opened);
    backups_judged++;
}

/* A script is whole when its last line is; what is in it, others look at. */
static void
judge_script(const char *path, uint64_t floor, uint64_t *n)
{
    char end[16] = "";
    FILE *in = fopen(path, "rb");

    if (in == NULL || fseek(in, -9, SEEK_END) != 0 || fread(end, 1, 9, in) != 9 ||
        strcmp(end, "\nCOMMIT;\n") != 0)
        test_die("%s is not whole", path);
    (void)fclose(in);
    *n = floor;
    files_judged++;
}

static void
judge_file(const char *path, const char *root, bool has_both, uint64_t *n)
{
    sqlite3 *db = open_connection();
    char other[TEST_PATH_BYTES];
    struct txkv *opened;

    test_path(other, root, "imported");
    opened = open_small(other);
    sql_run(db, "SELECT txkv_import('%s', '%s', '%s')", other, path,
            has_both ? "" : "table=kv columns=\"\"");
    sql_run(db, "CREATE VIRTUAL TABLE temp.kv USING txkv('%s')", other);
    if (has_both)
        sql_run(db, "CREATE VIRTUAL TABLE temp.t USING txkv('%s')", other);
    *n = judge_tables(db, path, has_both);
    close_both(db, opened);
    test_dir_remove(other);
    files_judged++;
}

static void
judge_copy(const char *root, unsigned number)
{
    const struct copy *copy = &shared->copies[number];
    char path[TEST_PATH_BYTES];
    uint64_t n = 0;

    name_copy(path, root, number);
    if (!is_there(path)) {
        if (shared->must_be[number])
            test_die("%s was made, and is not there", path);
        return;
    }
    if (copy->kind == BACKUP)
        judge_backup(path, &n);
    else if (copy->kind == EXPORT_SQL)
        judge_script(path, copy->floor, &n);
    else
        judge_file(path, root, copy->kind == EXPORT_JSONL, &n);
    if (n < copy->floor || n > shared->most)
        test_die("%s is at %llu; %llu was committed when it was begun, and %llu had begun", path,
                 (unsigned long long)n, (unsigned long long)copy->floor,
                 (unsigned long long)shared->most);
}

static void
judge(const char *root, struct rng *rng)
{
    const unsigned copies = atomic_load(&shared->copies_begun);
    sqlite3 *db = open_connection();
    struct txkv *opened;

    test_path(store, root, "store");
    opened = open_small(store);
    make_tables(db);
    found = judge_tables(db, "the store", true);
    if (found < shared->least || found > shared->most)
        test_die("the store is at %llu; committed was %llu, begun %llu", (unsigned long long)found,
                 (unsigned long long)shared->least, (unsigned long long)shared->most);
    close_both(db, opened);
    for (unsigned i = 0; i < copies; i++) /* the newest always, older ones now and then */
        if (i + 1 == copies || rng_chance(rng, 10))
            judge_copy(root, i);
}

/* What is not whole never will be: its name is free. */
static void
next(void)
{
    atomic_store(&shared->begun, found);
    atomic_store(&shared->committed, found);
}

static void
live(uint64_t seed, const char *base, struct rng *rng)
{
    (void)seed;
    memset(shared, 0, sizeof *shared);
    machine_run(&(struct machine){ .work = work,
                                   .before_cut = before_cut,
                                   .after_cut = after_cut,
                                   .judge = judge,
                                   .next = next,
                                   .cut_percent = CUT_PERCENT },
                EPOCHS, base, rng);
}

int
main(int argc, char **argv)
{
    shared = test_shared_memory(sizeof *shared);
    machine_lives(argc, argv, "power_copies", 500, live);
    machine_report();
    printf("%llu power cuts; %llu backups and %llu files were there, whole; lost: 0, wrong: 0\n",
           (unsigned long long)machine_cuts(), (unsigned long long)backups_judged,
           (unsigned long long)files_judged);
    return test_summary(machine_cuts(), 0);
}
