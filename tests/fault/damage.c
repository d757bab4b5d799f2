/*
 * damage.c - stores with flipped bits, zeroed, overwritten, cut, exchanged and missing parts.
 *
 *   damage [STORES [CASES]]      SEED=n
 *
 * Every other case damages anything, and is wreck.h's. The rest is about the log, and exact.
 *
 * Goal: opening a damaged store gives a correct prefix of what was committed, and only when nothing
 * known to be durable is missing from it; else it is refused as corrupt and no file changes. Never
 * a wrong row, never a crash.
 * Method: a child commits numbered transactions, some durable, some not, and is killed, so that the
 * log stays. The state after each transaction is known. The log's records are decoded from the
 * files; then, for each case, a copy of the store is damaged in one place and opened by another
 * child. What the log can know is computed here: the break is the first record that the damage
 * touches; if an intact record after it says that something beyond the break was durable, the store
 * must be refused; else it must hold exactly the transactions before the break. A store that was
 * refused is then opened with `salvage`.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../support/support.h"
#include "subject.h"
#include "walmap.h"
#include "wreck.h"

enum damage { FLIP, ZERO, GARBAGE, COPY, HEADER, CUT, REMOVE, DAMAGES };

/* What one case did to the log. */
struct harm {
    enum damage kind;
    uint32_t file;
    size_t from, to; /* bytes of the file */
};

static const char *const damage_names[DAMAGES] = { "flip a bit",      "zero a range",
                                                   "garbage",         "copy a record",
                                                   "segment header",  "cut a file",
                                                   "remove a segment" };
static struct rng rng;
static struct wal intact;
static struct wal damaged;
static char origin[TEST_PATH_BYTES];
static char old[TEST_PATH_BYTES];     /* the store before its checkpoint */
static char foreign[TEST_PATH_BYTES]; /* the store of before */
static char victim[TEST_PATH_BYTES];
static uint64_t salvaged;
static uint64_t outcomes[DAMAGES][2]; /* [..][0] a prefix, [..][1] refused */

/* ---- the child that opens a damaged store ---- */

static void
open_damaged(bool salvage)
{
    struct txkv *store = NULL;
    struct txkv_session *s;
    struct txkv_error err;

    open_store(victim, &store, false, salvage);
    if (shared->opened != TXKV_OK)
        return;
    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    open_tables(store); /* damage may have cut off their own records */
    shared->state = read_state(s);
    check_state(s, shared->state);
    commit_one(s, shared->state + 1, TXKV_SYNC_FULL);
    check_state(s, shared->state + 1);
    txkv_session_close(s);
    test_ok(txkv_close(store, &err), &err, "close");
}

/* ---- damage ---- */

static void
damage_range(struct harm *harm, struct wal_file *file)
{
    const struct wal_record *source = &damaged.records[rng_below(&rng, damaged.record_count)];
    const size_t length = 1 + rng_below(&rng, rng_chance(&rng, 50) ? 16 : 5000);

    if (harm->kind == HEADER)
        harm->from = rng_below(&rng, 64);
    harm->to = harm->kind == FLIP || harm->kind == HEADER ? harm->from + 1 : harm->from + length;
    if (harm->kind == COPY) {
        harm->from = (harm->from + 7) & ~(size_t)7;
        harm->to = harm->from + source->length;
    }
    if (harm->to > file->bytes)
        harm->to = file->bytes;
    if (harm->kind == COPY && harm->from < harm->to) {
        memmove(file->data + harm->from, damaged.files[source->file].data + source->offset,
                harm->to - harm->from);
        return;
    }
    for (size_t i = harm->from; i < harm->to; i++) {
        if (harm->kind == FLIP || harm->kind == HEADER)
            file->data[i] ^= (uint8_t)(1u << rng_below(&rng, 8));
        else
            file->data[i] = harm->kind == ZERO ? 0 : (uint8_t)rng_next(&rng);
    }
}

/* Most places are inside of a record, some behind the last one. */
static void
do_damage(struct harm *harm)
{
    const struct wal_record *record = &damaged.records[rng_below(&rng, damaged.record_count)];
    struct wal_file *file;
    char path[TEST_PATH_BYTES];
    char name[80];

    harm->kind = (enum damage)(rng_chance(&rng, 40) ? FLIP : rng_below(&rng, DAMAGES));
    harm->file = record->file;
    harm->from = record->offset + rng_below(&rng, record->length);
    if (rng_chance(&rng, 10)) {
        harm->file = rng_below(&rng, damaged.file_count);
        harm->from = rng_below(&rng, (uint32_t)damaged.files[harm->file].bytes);
    }
    file = &damaged.files[harm->file];
    if (harm->kind == REMOVE) {
        (void)snprintf(name, sizeof name, "wal/%s", file->name);
        test_path(path, victim, name);
        (void)unlink(path);
        return;
    }
    if (harm->kind == CUT)
        file->bytes = harm->from;
    else
        damage_range(harm, file);
    wal_save(victim, &damaged, harm->file);
}

/* ---- the judgement ---- */

static bool
is_touched(const struct harm *harm, const struct wal_record *record)
{
    const struct wal_file *before = &intact.files[record->file];
    const struct wal_file *after = &damaged.files[record->file];

    if (record->file != harm->file)
        return false;
    if (harm->kind == REMOVE || record->offset + record->length > after->bytes)
        return true;
    return memcmp(before->data + record->offset, after->data + record->offset, record->length) != 0;
}

/* The last transaction that must be there, and whether the store must be refused. */
static uint32_t
expect(const struct harm *harm, bool *must_refuse)
{
    uint64_t break_lsn = UINT64_MAX;
    uint64_t durable_lsn = 0;
    uint32_t state = 0;

    for (uint32_t i = 0; i < intact.record_count; i++) {
        const struct wal_record *record = &intact.records[i];
        if (record->lsn < shared->checkpoint_lsn)
            continue;
        if (is_touched(harm, record)) {
            if (break_lsn == UINT64_MAX)
                break_lsn = record->lsn;
        } else if (break_lsn != UINT64_MAX && record->durable_lsn > durable_lsn) {
            durable_lsn = record->durable_lsn;
        }
    }
    *must_refuse = durable_lsn > break_lsn;
    for (uint32_t i = 1; i <= TRANSACTIONS; i++) {
        if (shared->lsn[i] < break_lsn || shared->lsn[i] < shared->checkpoint_lsn)
            state = i;
    }
    return state;
}

/* Damage to a file as such: its header, its length, its name. It may be refused at any place. */
static bool
is_whole_file(const struct harm *harm)
{
    return harm->kind == HEADER || harm->kind == CUT || harm->kind == REMOVE || harm->from < 64;
}

static void
judge(const struct harm *harm, uint64_t number)
{
    const bool whole_file = is_whole_file(harm);
    static struct wal now;
    bool must_refuse;
    const uint32_t state = expect(harm, &must_refuse);
    const char *name = damage_names[harm->kind];

    if (shared->opened == TXKV_OK) {
        outcomes[harm->kind][0]++;
        if (must_refuse)
            test_die(
                "case %llu, %s at %zu..%zu of %s: durable transactions are lost, and the store "
                "opened in state %u",
                (unsigned long long)number, name, harm->from, harm->to,
                intact.files[harm->file].name, shared->state);
        if (shared->state != state && !(whole_file && shared->state > state))
            test_die("case %llu, %s at %zu..%zu of %s: state %u, expected %u",
                     (unsigned long long)number, name, harm->from, harm->to,
                     intact.files[harm->file].name, shared->state, state);
        return;
    }
    outcomes[harm->kind][1]++;
    if (shared->opened != TXKV_CORRUPT && !(whole_file && shared->opened == TXKV_FORMAT))
        test_die("case %llu, %s: refused with %s: %s", (unsigned long long)number, name,
                 txkv_rc_name(shared->opened), shared->text);
    if (!must_refuse && !whole_file)
        test_die("case %llu, %s at %zu..%zu of %s: refused, though nothing durable is missing "
                 "(state %u): %s",
                 (unsigned long long)number, name, harm->from, harm->to,
                 intact.files[harm->file].name, state, shared->text);
    wal_load(victim, &now);
    if (harm->kind != REMOVE && !wal_same(&now, &damaged))
        test_die("case %llu, %s: refused, but the log was changed", (unsigned long long)number,
                 name);
    wal_free(&now);
}

/* ---- cases ---- */

static void
open_in_child(const struct harm *harm, uint64_t number, bool salvage)
{
    pid_t child;

    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        open_damaged(salvage);
        exit(0);
    }
    if (!test_child_ended_well(child, 0))
        test_die("case %llu: %s at %zu..%zu of %s: the store in %s", (unsigned long long)number,
                 damage_names[harm->kind], harm->from, harm->to, intact.files[harm->file].name,
                 victim);
}

/* A store refused as corrupt opens with `salvage` in the state before the damage. */
static void
salvage_it(const struct harm *harm, uint64_t number)
{
    bool must_refuse;
    const uint32_t state = expect(harm, &must_refuse);

    open_in_child(harm, number, true);
    if (shared->opened != TXKV_OK)
        test_die("case %llu: salvaging: %s: %s", (unsigned long long)number,
                 txkv_rc_name(shared->opened), shared->text);
    if (shared->state != state && !is_whole_file(harm))
        test_die("case %llu: salvaging gives state %u, expected %u", (unsigned long long)number,
                 shared->state, state);
    salvaged++;
}

static void
run_case(uint64_t number)
{
    struct harm harm = { FLIP, 0, 0, 0 };

    test_path(victim, origin, "../case");
    test_dir_remove(victim);
    test_dir_copy(origin, victim);
    wal_load(victim, &damaged);
    do_damage(&harm);
    open_in_child(&harm, number, false);
    judge(&harm, number);
    if (shared->opened == TXKV_CORRUPT)
        salvage_it(&harm, number);
    wal_free(&damaged);
    test_dir_remove(victim);
}

static void
run_store(const char *base, uint64_t number, uint64_t cases)
{
    pid_t child;

    const struct wreck_places places = { origin, old, foreign, base };

    memset(shared, 0, sizeof *shared);
    test_path(origin, base, "origin");
    test_path(old, base, "old");
    test_path(foreign, base, "foreign");
    test_dir_remove(foreign);
    if (number > 0 && rename(origin, foreign) != 0)
        test_die("cannot rename %s", origin);
    test_dir_remove(old);
    child = fork();
    if (child == 0) {
        fill_store(&rng, origin, old);
        _exit(1);
    }
    if (!test_child_ended_well(child, SIGKILL) || shared->lsn[TRANSACTIONS] == 0)
        test_die("the store could not be filled");
    /* The child's numbers were its own: go on with others. */
    (void)rng_next(&rng);
    wal_load(origin, &intact);
    if (intact.record_count < 3)
        test_die("only %u records in the log", intact.record_count);
    for (uint64_t i = 0; i < cases; i++) {
        if (i % 2 == 0)
            run_case(number * cases + i);
        else
            wreck_run(&places, &rng, number * cases + i);
    }
    wal_free(&intact);
}

int
main(int argc, char **argv)
{
    const uint64_t stores = test_argument(argc, argv, 1, 5);
    const uint64_t cases = test_argument(argc, argv, 2, 60);
    const uint64_t seed = test_seed(test_now_us());
    char base[TEST_PATH_BYTES];
    uint64_t failed;

    rng_seed(&rng, seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        test_die("mmap failed");
    (void)printf("damage: %llu stores, %llu cases each, SEED=%llu\n", (unsigned long long)stores,
                 (unsigned long long)cases, (unsigned long long)seed);
    test_dir_make_in_memory(base, "damage");
    for (uint64_t i = 0; i < stores; i++)
        run_store(base, i, cases);
    test_dir_remove(base);
    for (uint32_t i = 0; i < DAMAGES; i++)
        (void)printf("[  OK  ] %s: %llu opened with the right prefix, %llu refused as corrupt\n",
                     damage_names[i], (unsigned long long)outcomes[i][0],
                     (unsigned long long)outcomes[i][1]);
    (void)printf("%llu refused stores salvaged\n", (unsigned long long)salvaged);
    wreck_print(stores * cases - wreck_counts.stores);
    failed = wreck_counts.wrong + wreck_counts.crashed + wreck_counts.hung;
    if (failed > 0)
        (void)printf("run again with SEED=%llu\n", (unsigned long long)seed);
    return test_summary(stores * cases - failed, failed);
}
