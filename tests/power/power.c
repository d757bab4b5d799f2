/*
 * power.c - a machine loses its power, again and again, and the store that is left is judged.
 *
 *   power [CUTS]      SEED=n
 *
 * Goal: whatever the disk has kept of that which was not synced, the store opens, by itself, and
 * holds a prefix of what was committed: with everything that a sync=full commit, a checkpoint, a
 * close or an earlier recovery has promised, and nothing that was never committed. No hole, no half
 * transaction, nothing back that was lost before.
 *
 * Method: a child, the machine, opens a store, commits with a few threads, checkpoints, makes a
 * table, closes and opens, with disk.c between it and the files. Before any change of the disk and
 * in the midst of syncs it may be stopped, and a state that a power failure could leave is written
 * to another directory. This process, the judge, opens that one, compares it with the record
 * (work.h), and lets the machine go on. At the end of an epoch the machine really loses its power:
 * the next epoch begins with what was left, so that recoveries, too, are cut off at every step.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/process.h"
#include "../support/support.h"
#include "calls.h"
#include "disk.h"
#include "work.h"

enum { EPOCHS = 12, COMMITS_MAX = 40 };

/* What the judge is asked. */
struct cut {
    enum disk_cut how;
    struct progress least, most;
    bool is_last; /* of this epoch */
};

struct shared {
    struct record record;
    struct cut cut;
};

/* The same for the machine and the judge. */
struct setting {
    struct txkv_options options;
    uint32_t full_percent, normal_percent, cut_percent;
};

static struct shared *shared;
static struct setting setting;
static struct rng rng;     /* the judge's; of the machine: the main thread's */
static struct rng cut_rng; /* the machine's, with the disk stopped */
static int to_judge[2], to_machine[2];
static char base[TEST_PATH_BYTES], cut_dir[TEST_PATH_BYTES], judged_dir[TEST_PATH_BYTES];
static atomic_bool power_off; /* the machine: the next point is its last */
static uint64_t cuts_by_kind[DISK_CUTS], recoveries;
static const char *const cut_names[DISK_CUTS] = { "nothing", "all",    "sectors",  "pages",
                                                  "prefix",  "suffix", "contents", "names" };

static void
choose_setting(void)
{
    static const uint32_t percents[] = { 100, 100, 60, 20, 0 }, cut_percents[] = { 5, 20, 60 };

    setting =
        (struct setting){ .options = { .segment_bytes = 64 * 1024,
                                       .map_size = 1 << 20,
                                       .checkpoint_bytes =
                                           rng_chance(&rng, 50) ? 64 * 1024 : 1 << 20,
                                       .checkpoint_interval_s = 86400,
                                       .flush_interval_ms = rng_chance(&rng, 50) ? 1 : 60000 },
                          .full_percent = percents[rng_below(&rng, 5)],
                          .normal_percent = rng_chance(&rng, 50) ? 100 : 0,
                          .cut_percent = cut_percents[rng_below(&rng, 3)] };
    shared->record.all_full = setting.full_percent == 100;
}

/* ---- the machine ---- */

/* Sectors are where most can go wrong. */
static enum disk_cut
choose_cut(void)
{
    return rng_chance(&cut_rng, 40) ? DISK_CUT_SECTORS
                                    : (enum disk_cut)rng_below(&cut_rng, DISK_CUTS);
}

static void
maybe_cut(void *unused)
{
    const bool is_last = atomic_load(&power_off);
    struct cut *cut = &shared->cut;
    char answer = 0;

    (void)unused;
    if (!is_last && !rng_chance(&cut_rng, setting.cut_percent))
        return;
    cut->how = choose_cut();
    cut->is_last = is_last;
    cut->least = work_durable(&shared->record); /* before, and most after: others go on */
    disk_cut(&cut_rng, cut->how, cut_dir);
    cut->most = work_started(&shared->record);
    if (calls_real.write(to_judge[1], &answer, 1) != 1 || read(to_machine[0], &answer, 1) != 1)
        _exit(1); /* the judge has spoken */
    if (is_last)
        _exit(0);
}

struct writer {
    struct txkv *store;
    struct rng rng;
    uint32_t number, commits, table;
};

static enum txkv_sync
choose_sync(struct rng *random)
{
    if (rng_chance(random, setting.full_percent))
        return TXKV_SYNC_FULL;
    return rng_chance(random, setting.normal_percent) ? TXKV_SYNC_NORMAL : TXKV_SYNC_OFF;
}

static void
checkpoint(struct txkv *store)
{
    const struct progress before = work_acknowledged(&shared->record);
    struct txkv_error err;

    test_ok(txkv_checkpoint(store, NULL, &err), &err, "checkpoint");
    work_raise_durable(&shared->record, &before);
}

static void
make_late_table(struct txkv *store)
{
    const struct progress before = work_acknowledged(&shared->record);
    struct txkv_error err;
    uint32_t table;

    atomic_store(&shared->record.late_started, true);
    test_ok(txkv_table(store, "late", "shape", true, &table, &err), &err, "table");
    atomic_store(&shared->record.late_acknowledged, true);
    work_raise_durable(&shared->record, &before);
}

/* With every commit synced nobody ever sees what a power failure could take. */
static void
look_at(struct txkv_session *session, uint32_t table, uint32_t writer)
{
    const uint8_t key[2] = { (uint8_t)('a' + writer), 12 };
    struct progress seen = { .late = false };
    struct txkv_bytes value;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_get(session, table, bytes_of(key, 2), &value, &err);

    if (rc == TXKV_NOTFOUND)
        return;
    test_ok(rc, &err, "get");
    memcpy(&seen.count[writer], value.data + sizeof(uint32_t), sizeof(uint32_t));
    work_raise_durable(&shared->record, &seen);
}

static void *
write_on(void *arg)
{
    struct writer *writer = arg;
    struct txkv_session *session;
    struct txkv_error err;

    test_ok(txkv_session_open(writer->store, &session, &err), &err, "session");
    for (uint32_t i = 0; i < writer->commits; i++) {
        uint32_t late_table = 0;

        if (work_acknowledged(&shared->record).late)
            test_ok(txkv_table(writer->store, "late", NULL, false, &late_table, &err), &err,
                    "table");
        if (shared->record.all_full && rng_chance(&writer->rng, 30))
            look_at(session, writer->table, rng_below(&writer->rng, WRITERS));
        if (late_table != 0 || !work_acknowledged(&shared->record).late)
            work_commit(&shared->record, session, writer->table, late_table, writer->number,
                        choose_sync(&writer->rng));
        if (writer->number == 0 && rng_chance(&writer->rng, 10))
            checkpoint(writer->store);
        if (writer->number == 1 && !atomic_load(&shared->record.late_started) &&
            rng_chance(&writer->rng, 3))
            make_late_table(writer->store);
        if (rng_chance(&writer->rng, 20))
            disk_pause();
    }
    txkv_session_close(session);
    return NULL;
}

static void
run_writers(struct txkv *store)
{
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct txkv_error err;
    uint32_t table;

    test_ok(txkv_table(store, "rows", "shape", true, &table, &err), &err, "table");
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .store = store, .number = i, .commits = rng_below(&rng, COMMITS_MAX), .table = table
        };
        rng_seed(&writers[i].rng, rng_next(&rng));
        if (pthread_create(&threads[i], NULL, write_on, &writers[i]) != 0)
            test_die("no thread");
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
}

static void
run_machine(const char *root)
{
    char path[TEST_PATH_BYTES];
    struct txkv *store;
    struct txkv_error err;

    test_path(path, root, "store");
    disk_start(root, maybe_cut, NULL);
    for (bool again = true; again;) {
        struct progress before;

        test_ok(txkv_open(path, &setting.options, &store, &err), &err, "open");
        run_writers(store);
        again = rng_chance(&rng, 50);
        if (!again && rng_chance(&rng, 50))
            break; /* the power goes while the store is open */
        before = work_acknowledged(&shared->record);
        test_ok(txkv_close(store, &err), &err, "close");
        work_raise_durable(&shared->record, &before);
    }
    atomic_store(&power_off, true);
    disk_pause();
}

/* ---- the judge ---- */

static struct progress
judge_once(const char *root)
{
    char path[TEST_PATH_BYTES];
    struct txkv_recovery_report report;
    struct progress found;
    struct txkv *store;
    struct txkv_error err;

    test_path(path, root, "store");
    test_ok(txkv_open(path, &setting.options, &store, &err), &err,
            "opening what the power failure has left");
    txkv_recovery(store, &report);
    recoveries += report.transactions_replayed > 0;
    found = work_judge(&shared->record, store, &shared->cut.least, &shared->cut.most);
    test_ok(txkv_verify(store, &report, &err), &err, "verify");
    test_ok(txkv_close(store, &err), &err, "close");
    return found;
}

static struct progress
judge(void)
{
    struct progress found;

    cuts_by_kind[shared->cut.how]++;
    test_dir_copy(cut_dir, judged_dir); /* what was left stays as it was, in case */
    found = judge_once(judged_dir);
    if (rng_chance(&rng, 10)) {
        shared->cut.least = shared->cut.most = found;
        (void)judge_once(judged_dir);
    }
    test_dir_remove(judged_dir);
    return found;
}

/* One epoch, on the disk below `root`; what it leaves is below `next`. */
static void
run_epoch(const char *root, const char *next)
{
    struct progress found = { .late = false };
    char signal = 0;
    pid_t pid;

    if (pipe(to_judge) != 0 || pipe(to_machine) != 0)
        test_die("no pipe");
    rng_seed(&cut_rng, rng_next(&rng));
    pid = test_fork();
    if (pid == 0) {
        (void)close(to_judge[0]);
        (void)close(to_machine[1]);
        run_machine(root);
        _exit(1);
    }
    (void)close(to_judge[1]);
    (void)close(to_machine[0]);
    (void)rng_next(&rng);
    while (read(to_judge[0], &signal, 1) == 1) {
        if (shared->cut.is_last)
            test_dir_copy(cut_dir, next);
        found = judge();
        test_dir_remove(cut_dir);
        if (calls_real.write(to_machine[1], &signal, 1) != 1)
            test_die("the machine is gone");
    }
    test_wait_well(pid, 10, "the machine");
    (void)close(to_judge[0]);
    (void)close(to_machine[1]);
    work_resume(&shared->record, &found);
}

static void
run_life(uint64_t seed)
{
    char root[TEST_PATH_BYTES], next[TEST_PATH_BYTES];

    test_seed_is(seed);
    rng_seed(&rng, seed);
    memset(&shared->record, 0, sizeof shared->record);
    shared->record.seed = seed;
    choose_setting();
    test_path(root, base, "disk0");
    if (calls_real.mkdir(root, 0700) != 0)
        test_die("cannot make %s", root);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        char name[32];

        shared->record.epoch = epoch;
        (void)snprintf(name, sizeof name, "disk%u", epoch + 1);
        test_path(next, base, name);
        run_epoch(root, next);
        test_dir_remove(root);
        memcpy(root, next, sizeof root);
    }
    test_dir_remove(root);
}

static uint64_t
count_cuts(void)
{
    uint64_t cuts = 0;

    for (int i = 0; i < DISK_CUTS; i++)
        cuts += cuts_by_kind[i];
    return cuts;
}

int
main(int argc, char **argv)
{
    const uint64_t wanted = test_argument(argc, argv, 1, 2000);
    uint64_t seed = test_seed(test_now_us());

    printf("power: %llu cuts, SEED=%llu\n", (unsigned long long)wanted, (unsigned long long)seed);
    (void)fflush(stdout);
    test_dir_make_in_memory(base, "power");
    test_path(cut_dir, base, "cut");
    test_path(judged_dir, base, "judged");
    shared = test_shared_memory(sizeof *shared);
    while (count_cuts() < wanted)
        run_life(seed++);
    test_dir_remove(base);
    for (int i = 0; i < DISK_CUTS; i++)
        printf("  %-9s %llu\n", cut_names[i], (unsigned long long)cuts_by_kind[i]);
    printf("%llu power cuts, after %llu of them transactions were recovered; lost: 0, wrong: 0\n",
           (unsigned long long)count_cuts(), (unsigned long long)recoveries);
    return test_summary(count_cuts(), 0);
}
