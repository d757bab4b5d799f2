/*
 * power_copies.c - the power fails while a store is copied by txkv_backup and txkv_export, its log
 * is archived, and other stores are restored from that.
 *
 *   power_copies [CUTS]      SEED=n
 *
 * Goal: a backup, a file and a restored store is there as a whole or not at all, at every step; it
 * is there when the call had returned; it holds what was committed when the call began, and nothing
 * that never was. A backup and the archive give all that the store has. The store itself has lost
 * nothing that was durable.
 *
 * Method: a machine (machine.h) commits numbered transactions, makes backups and files, each with a
 * name of its own, and checkpoints. In half of the lives the store has an archive, in some of these
 * sync=normal. The judge opens every backup that is there and brings every file in, restores the
 * newest backup, and counts.
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

enum { EPOCHS = 4, STEPS_MAX = 30, COPIES_MAX = 10, CUT_PERCENT = 25, NO_COPY = COPIES_MAX };

enum copy_kind { BACKUP, EXPORT_SQL, EXPORT_CSV, EXPORT_JSONL, RESTORE, COPY_KINDS };

static const char *const endings[COPY_KINDS] = { "", ".sql", ".csv", ".jsonl", "" };

/* A backup, a file, or a store that was restored. */
struct copy {
    enum copy_kind kind;
    uint64_t floor;   /* committed when it was begun; of a restored store: what must be in it */
    atomic_bool done; /* the call has returned */
};

struct shared {
    bool has_archive, is_normal;           /* the store's settings in this life */
    atomic_uint_fast64_t begun, committed; /* committed: and durable */
    struct copy copies[COPIES_MAX];
    atomic_uint copies_begun;
    /* Of the cut that is judged. */
    uint64_t least, most;
    bool must_be[COPIES_MAX];
    uint64_t ever; /* begun by this machine or one before: copies may have what the store lost */
};

static struct shared *shared;
static uint64_t found, backups_judged, files_judged, restores_judged;
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
    shared->ever = shared->ever > shared->most ? shared->ever : shared->most;
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
    if (!shared->is_normal)
        atomic_store(&shared->committed, n);
}

/* All that this process has committed is in LMDB then, and that is durable. */
static void
checkpoint(sqlite3 *db, const char *function)
{
    const uint64_t n = atomic_load(&shared->begun);

    sql_run(db, "SELECT %s('kv')", function);
    atomic_store(&shared->committed, n);
}

/* The newest backup whose call has returned, or NO_COPY. */
static unsigned
newest_backup(void)
{
    for (unsigned i = atomic_load(&shared->copies_begun); i-- > 0;)
        if (shared->copies[i].kind == BACKUP && atomic_load(&shared->copies[i].done))
            return i;
    return NO_COPY;
}

/* From that backup, up to what is archived. */
static void
restore_one(sqlite3 *db, const char *root, unsigned source, const char *path)
{
    char backup[TEST_PATH_BYTES];

    name_copy(backup, root, source);
    sql_run(db, "SELECT txkv_restore('%s', '%s')", backup, path);
}

static void
copy_one(sqlite3 *db, const char *root, struct rng *rng)
{
    const unsigned number = atomic_load(&shared->copies_begun), source = newest_backup();
    struct copy *copy = &shared->copies[number];
    char path[TEST_PATH_BYTES];

    if (number == COPIES_MAX)
        return;
    copy->kind = (enum copy_kind)rng_below(rng, COPY_KINDS);
    if (copy->kind == RESTORE && (source == NO_COPY || !shared->has_archive))
        copy->kind = BACKUP;
    if (copy->kind == RESTORE && rng_chance(rng, 50)) {
        checkpoint(db, "txkv_archive");
        copy->floor = atomic_load(&shared->committed);
    } else {
        copy->floor =
            copy->kind == RESTORE ? shared->copies[source].floor : atomic_load(&shared->begun);
    }
    atomic_store(&shared->copies_begun, number + 1);
    name_copy(path, root, number);
    if (copy->kind == BACKUP)
        sql_run(db, "SELECT txkv_backup('kv', '%s')", path);
    else if (copy->kind == RESTORE)
        restore_one(db, root, source, path);
    else
        sql_run(db, "SELECT txkv_export('%s', '%s', 'dir=restored %s')", store, path,
                copy->kind == EXPORT_CSV ? "table=kv" : "");
    atomic_store(&copy->done, true);
}

static void
make_tables(sqlite3 *db)
{
    const char *sync = shared->is_normal ? "normal" : "full";

    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', checkpoint_bytes='64KiB', sync=%s);"
            "CREATE VIRTUAL TABLE temp.t USING txkv('%s', id INTEGER PRIMARY KEY, name, "
            "UNIQUE(name), sync=%s)",
            store, sync, store, sync);
}

/* A store with an archive, both there for good. */
static void
prepare(const char *root, struct rng *rng)
{
    char archive[TEST_PATH_BYTES];
    struct txkv *opened;
    sqlite3 *db;

    (void)rng;
    test_path(store, root, "store");
    if (!shared->has_archive)
        return;
    test_path(archive, root, "archive");
    if (mkdir(archive, 0700) != 0)
        test_die("cannot make %s", archive);
    opened = open_small(store);
    db = open_connection();
    sql_run(db, "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', archive_dir='%s')", store, archive);
    close_both(db, opened);
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
                checkpoint(db, "txkv_checkpoint");
            else if (shared->has_archive && rng_chance(rng, 5))
                checkpoint(db, "txkv_archive");
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

/* A backup, or a store that was restored. */
static void
judge_store(const char *path, uint64_t *n)
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
    if (copy->kind == BACKUP || copy->kind == RESTORE)
        judge_store(path, &n);
    else if (copy->kind == EXPORT_SQL)
        judge_script(path, copy->floor, &n);
    else
        judge_file(path, root, copy->kind == EXPORT_JSONL, &n);
    if (n < copy->floor || n > shared->ever)
        test_die("%s is at %llu; %llu was committed when it was begun, and %llu had begun", path,
                 (unsigned long long)n, (unsigned long long)copy->floor,
                 (unsigned long long)shared->ever);
    backups_judged += copy->kind == BACKUP;
    restores_judged += copy->kind == RESTORE;
}

/* The newest backup and the archive, brought up to date, give what the store has. */
static void
judge_archive(sqlite3 *db, const char *root)
{
    const unsigned source = newest_backup();
    char path[TEST_PATH_BYTES];
    uint64_t n;

    sql_run(db, "SELECT txkv_archive('kv')");
    if (source == NO_COPY)
        return;
    test_path(path, root, "restored by the judge");
    restore_one(db, root, source, path);
    judge_store(path, &n);
    if (n != found)
        test_die("%s is at %llu, and the store at %llu", path, (unsigned long long)n,
                 (unsigned long long)found);
    test_dir_remove(path);
    restores_judged++;
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
    if (shared->has_archive)
        judge_archive(db, root);
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
begin(struct machine *machine, uint64_t seed, struct rng *rng)
{
    (void)machine;
    (void)rng;
    memset(shared, 0, sizeof *shared);
    shared->has_archive = seed % 2 == 0;
    shared->is_normal = seed % 4 == 0;
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
    machine_lives(argc, argv, "power_copies", 500, EPOCHS, &machine);
    printf("%llu power cuts; %llu backups, %llu files and %llu restored stores were there, whole; "
           "lost: 0, wrong: 0\n",
           (unsigned long long)machine_cuts(), (unsigned long long)backups_judged,
           (unsigned long long)files_judged, (unsigned long long)restores_judged);
    return test_summary(machine_cuts(), 0);
}
