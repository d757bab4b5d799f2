/*
 * life.c - see life.h.
 */
#include "life.h"

#include <stdio.h>
#include <string.h>

#include "../support/process.h"

enum { EPOCHS = 12 };

struct shared {
    struct record record;
    struct progress least, most; /* of the cut that is judged */
};

/* The same for the machine and the judge. */
struct setting {
    struct txkv_options options;
    uint32_t full_percent, normal_percent;
};

static struct shared *shared;
static struct setting setting;
static struct progress found; /* by the judge, last */
static uint64_t recoveries, long_logs, grown_maps;

static void
choose_setting(struct rng *rng)
{
    static const uint32_t percents[] = { 100, 100, 60, 20, 0 };

    setting = (struct setting){ .options = { .segment_bytes = 64 * 1024,
                                             .map_size = 1 << 20,
                                             .checkpoint_bytes =
                                                 rng_chance(rng, 50) ? 64 * 1024 : 1 << 20,
                                             .checkpoint_interval_s = 86400,
                                             .flush_interval_ms = rng_chance(rng, 50) ? 1 : 60000 },
                                .full_percent = percents[rng_below(rng, 5)],
                                .normal_percent = rng_chance(rng, 50) ? 100 : 0 };
    shared->record.all_full = setting.full_percent == 100;
    shared->record.is_large = rng_chance(rng, 15);
}

/* ---- the machine ---- */

static void
before_cut(void)
{
    shared->least = work_durable(&shared->record);
}

/* After the cut, since the other threads go on. */
static void
after_cut(void)
{
    shared->most = work_started(&shared->record);
}

static enum txkv_sync
choose_sync(struct rng *random)
{
    if (rng_chance(random, setting.full_percent))
        return TXKV_SYNC_FULL;
    return rng_chance(random, setting.normal_percent) ? TXKV_SYNC_NORMAL : TXKV_SYNC_OFF;
}

void
life_checkpoint(struct txkv *store)
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

void
life_write(struct writer *writer)
{
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
            life_checkpoint(writer->store);
        if (writer->number == 1 && !atomic_load(&shared->record.late_started) &&
            rng_chance(&writer->rng, 3))
            make_late_table(writer->store);
        if (rng_chance(&writer->rng, 20))
            machine_pause();
    }
    txkv_session_close(session);
}

void
life_find_writer(struct writer *writer)
{
    struct txkv_session *session;
    struct txkv_error err;

    test_ok(txkv_table(writer->store, "rows", "shape", true, &writer->table, &err), &err, "table");
    test_ok(txkv_session_open(writer->store, &session, &err), &err, "session");
    work_find(&shared->record, session, writer->table, writer->number);
    txkv_session_close(session);
}

void
life_close(struct txkv *store)
{
    const struct progress before = work_acknowledged(&shared->record);
    struct txkv_error err;

    test_ok(txkv_close(store, &err), &err, "close");
    work_raise_durable(&shared->record, &before);
}

void
life_store(char path[TEST_PATH_BYTES], const char *root)
{
    test_path(path, root, "store");
}

const struct txkv_options *
life_options(void)
{
    return &setting.options;
}

/* ---- the judge ---- */

static bool
has_grown(struct txkv *store)
{
    struct txkv_stat stats[TXKV_STATS_MAX];
    const size_t count = txkv_stats(store, stats);

    for (size_t i = 0; i < count; i++)
        if (strcmp(stats[i].name, "lmdb_map_bytes") == 0)
            return stats[i].value > (double)setting.options.map_size;
    return false;
}

static void
judge_once(const char *root)
{
    char path[TEST_PATH_BYTES];
    struct txkv_recovery_report report;
    struct txkv *store;
    struct txkv_error err;

    life_store(path, root);
    test_ok(txkv_open(path, &setting.options, &store, &err), &err,
            "opening what the power failure has left");
    txkv_recovery(store, &report);
    recoveries += report.transactions_replayed > 0;
    long_logs += report.segments > 1;
    grown_maps += has_grown(store);
    found = work_judge(&shared->record, store, &shared->least, &shared->most);
    test_ok(txkv_verify(store, &report, &err), &err, "verify");
    test_ok(txkv_close(store, &err), &err, "close");
}

static void
judge(const char *root, struct rng *rng)
{
    judge_once(root);
    if (!rng_chance(rng, 10))
        return;
    shared->least = shared->most = found;
    judge_once(root);
}

static void
next(void)
{
    work_resume(&shared->record, &found);
    shared->record.epoch++;
}

/* ---- lives ---- */

static void
begin(struct machine *machine, uint64_t seed, struct rng *rng)
{
    static const uint32_t cut_percents[] = { 5, 20, 60 };

    memset(&shared->record, 0, sizeof shared->record);
    shared->record.seed = seed;
    choose_setting(rng);
    machine->cut_percent = cut_percents[rng_below(rng, 3)];
}

int
life_main(int argc, char **argv, const char *name, uint64_t cuts,
          void (*work)(const char *root, struct rng *rng))
{
    struct machine machine = { .begin = begin,
                               .work = work,
                               .before_cut = before_cut,
                               .after_cut = after_cut,
                               .judge = judge,
                               .next = next };

    shared = test_shared_memory(sizeof *shared);
    machine_lives(argc, argv, name, cuts, EPOCHS, &machine);
    printf("  %llu times a log of several segments, %llu times a map that had grown\n",
           (unsigned long long)long_logs, (unsigned long long)grown_maps);
    printf("%llu power cuts, after %llu of them transactions were recovered; lost: 0, wrong: 0\n",
           (unsigned long long)machine_cuts(), (unsigned long long)recoveries);
    return test_summary(machine_cuts(), 0);
}
