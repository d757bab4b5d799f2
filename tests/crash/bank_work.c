/*
 * bank_work.c - see bank.h.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bank.h"

enum { TAIL_BYTES_MAX = 6000, CHECKPOINT_PERMILLE = 5, BACKUP_PERMILLE = 4, SIDE_PERMILLE = 10 };

struct writer_row {
    int64_t transfers;
    int64_t added[ACCOUNTS];
    uint8_t tail[TAIL_BYTES_MAX];
};

enum { ROW_BYTES = sizeof(int64_t) * (1 + ACCOUNTS) };

/* What a snapshot has. */
struct sight {
    int64_t balance[ACCOUNTS], added[ACCOUNTS];
    uint64_t transfers[WRITERS], journal[WRITERS][JOURNAL];
    uint32_t accounts, writers;
};

struct clerk {
    pthread_t thread;
    uint32_t number; /* of the writer; WRITERS: a reader */
    uint32_t slot;
    bool is_first; /* of its process: does what else there is to do */
    struct teller teller;
    struct rng rng;
    struct writer_row row; /* its own, in a transfer */
    struct sight sight, again;
    uint8_t value[TELLER_VALUE_BYTES_MAX];
};

struct bank *bank;

/* ---- rows ---- */

struct key {
    uint8_t data[TELLER_KEY_BYTES];
};

static struct key
key_of(char kind, uint32_t number, uint64_t place)
{
    return (struct key){ { (uint8_t)kind, (uint8_t)number, (uint8_t)place } };
}

/* Fill the tail; returns the row's length. Most are short. */
static size_t
make_tail(struct writer_row *row, uint32_t writer)
{
    const uint64_t h = mix64((uint64_t)row->transfers * WRITERS + writer);
    const size_t bytes = (size_t)(h >> 32) % (h % 8 == 0 ? TAIL_BYTES_MAX : 100);

    memset(row->tail, (int)(h >> 8 & 0xff), bytes);
    return ROW_BYTES + bytes;
}

/* ---- transfers ---- */

static enum teller_rc
add_to_account(struct clerk *c, uint32_t account, int64_t amount)
{
    const struct key key = key_of('a', account, 0);
    size_t bytes;
    int64_t balance;
    enum teller_rc rc;

    rc = teller_get(&c->teller, key.data, c->value, &bytes);
    if (rc != TELLER_OK)
        return rc;
    if (bytes != sizeof balance)
        test_die("account %u has %zu bytes", account, bytes);
    memcpy(&balance, c->value, sizeof balance);
    balance += amount;
    return teller_put(&c->teller, key.data, (const uint8_t *)&balance, sizeof balance);
}

/* Read the writer's own row: it must be what was acknowledged, or one further when the process
 * before was killed in between. */
static enum teller_rc
read_own_row(struct clerk *c)
{
    const struct key key = key_of('w', c->number, 0);
    const uint64_t acked = atomic_load(&bank->acked[c->number]);
    const uint64_t submitted = atomic_load(&bank->submitted[c->number]);
    struct writer_row *row = &c->row;
    size_t bytes;
    enum teller_rc rc;

    rc = teller_get(&c->teller, key.data, c->value, &bytes);
    if (rc != TELLER_OK)
        return rc;
    if (bytes < ROW_BYTES)
        test_die("the row of writer %u has %zu bytes", c->number, bytes);
    memcpy(row, c->value, ROW_BYTES);
    if ((uint64_t)row->transfers < acked || (uint64_t)row->transfers > submitted)
        test_die(
            "writer %u finds %lld transfers in its row; %llu were acknowledged, %llu submitted",
            c->number, (long long)row->transfers, (unsigned long long)acked,
            (unsigned long long)submitted);
    return TELLER_OK;
}

/* Write the writer's row and the journal's. */
static enum teller_rc
put_own_rows(struct clerk *c)
{
    const struct writer_row *row = &c->row;
    const struct key key = key_of('w', c->number, 0);
    const struct key journal = key_of('j', c->number, (uint64_t)row->transfers % JOURNAL);
    const size_t bytes = make_tail(&c->row, c->number);
    const enum teller_rc rc = teller_put(&c->teller, key.data, (const uint8_t *)row, bytes);

    if (rc != TELLER_OK)
        return rc;
    return teller_put(&c->teller, journal.data, (const uint8_t *)&row->transfers,
                      sizeof row->transfers);
}

/* One transfer up to its commit; *number is that of the transfer. */
static enum teller_rc
try_transfer(struct clerk *c, uint64_t *number)
{
    const uint32_t from = rng_below(&c->rng, ACCOUNTS);
    const uint32_t to = (from + 1 + rng_below(&c->rng, ACCOUNTS - 1)) % ACCOUNTS;
    const int64_t amount = rng_below(&c->rng, 100);
    struct writer_row *row = &c->row;
    enum teller_rc rc = teller_begin(&c->teller);

    if (rc == TELLER_OK)
        rc = read_own_row(c);
    if (rc == TELLER_OK)
        rc = add_to_account(c, from, -amount);
    if (rc == TELLER_OK && rng_chance(&c->rng, 10))
        test_sleep_us(rng_below(&c->rng, 500));
    if (rc == TELLER_OK)
        rc = add_to_account(c, to, amount);
    if (rc != TELLER_OK)
        return rc;
    row->transfers++;
    row->added[from] -= amount;
    row->added[to] += amount;
    rc = put_own_rows(c);
    if (rc != TELLER_OK)
        return rc;
    *number = (uint64_t)row->transfers;
    atomic_store(&bank->submitted[c->number], *number);
    rc = teller_commit(&c->teller);
    if (rc != TELLER_OK) /* it was not made, and never will be */
        atomic_store(&bank->submitted[c->number], *number - 1);
    return rc;
}

static void
transfer(struct clerk *c)
{
    uint64_t number = 0;

    if (c->teller.db == NULL)
        c->teller.sync = (enum txkv_sync)rng_below(&c->rng, 3);
    if (try_transfer(c, &number) != TELLER_OK)
        return;
    atomic_store(&bank->acked[c->number], number);
    atomic_store(&bank->acked_us[c->number], test_now_us());
    atomic_fetch_add(&bank->transfers, 1);
}

/* ---- snapshots ---- */

static void
see_row(void *arg, const uint8_t *key, const uint8_t *value, size_t bytes)
{
    struct sight *sight = arg;
    struct writer_row row;
    size_t want;

    if (key[0] == 'a' && key[1] < ACCOUNTS && bytes == sizeof sight->balance[0]) {
        memcpy(&sight->balance[key[1]], value, bytes);
        sight->accounts++;
        return;
    }
    if (key[0] == 'j' && key[1] < WRITERS && key[2] < JOURNAL &&
        bytes == sizeof sight->journal[0][0]) {
        memcpy(&sight->journal[key[1]][key[2]], value, bytes);
        return;
    }
    if (key[0] != 'w' || key[1] >= WRITERS || bytes < ROW_BYTES)
        test_die("a row that nobody wrote: %02x%02x%02x, %zu bytes", key[0], key[1], key[2], bytes);
    memcpy(&row, value, ROW_BYTES);
    want = make_tail(&row, key[1]);
    if (want != bytes || memcmp(row.tail, value + ROW_BYTES, bytes - ROW_BYTES) != 0)
        test_die("the row of writer %u, transfer %lld: wrong bytes", key[1],
                 (long long)row.transfers);
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        sight->added[i] += row.added[i];
    sight->transfers[key[1]] = (uint64_t)row.transfers;
    sight->writers++;
}

static void
check_journal(const struct sight *sight, uint32_t writer)
{
    const uint64_t newest = sight->transfers[writer];
    uint64_t present = 0;

    for (uint64_t n = newest > JOURNAL ? newest - JOURNAL + 1 : 1; n <= newest; n++)
        if (sight->journal[writer][n % JOURNAL] != n)
            test_die("writer %u has made %llu transfers, and in the place of %llu its journal has "
                     "%llu",
                     writer, (unsigned long long)newest, (unsigned long long)n,
                     (unsigned long long)sight->journal[writer][n % JOURNAL]);
    for (uint32_t i = 0; i < JOURNAL; i++)
        present += sight->journal[writer][i] != 0;
    if (present != (newest < JOURNAL ? newest : JOURNAL))
        test_die("writer %u has made %llu transfers, its journal has %llu", writer,
                 (unsigned long long)newest, (unsigned long long)present);
}

static void
check_sight(const struct sight *sight, const uint64_t acked[WRITERS])
{
    int64_t total = 0;

    if (sight->accounts != ACCOUNTS || sight->writers != WRITERS)
        test_die("a snapshot has %u accounts and %u writers", sight->accounts, sight->writers);
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        total += sight->balance[i];
    if (total != (int64_t)ACCOUNTS * BALANCE)
        test_die("a snapshot has %lld in all accounts, not %d", (long long)total,
                 ACCOUNTS * BALANCE);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        const int64_t want = BALANCE + sight->added[i];

        if (sight->balance[i] != want)
            test_die("account %u has %lld, its transfers make it %lld", i,
                     (long long)sight->balance[i], (long long)want);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        const uint64_t submitted = atomic_load(&bank->submitted[i]);

        check_journal(sight, i);
        if (sight->transfers[i] < acked[i])
            test_die("transfer %llu of writer %u was acknowledged, a later snapshot has %llu",
                     (unsigned long long)acked[i], i, (unsigned long long)sight->transfers[i]);
        if (sight->transfers[i] > submitted)
            test_die("a snapshot has transfer %llu of writer %u, only %llu was submitted",
                     (unsigned long long)sight->transfers[i], i, (unsigned long long)submitted);
    }
}

/* Inside a transaction twice, both ways, with the same result; or by one statement. False when it
 * must be done again. */
static bool
look(struct clerk *c)
{
    const bool twice = rng_chance(&c->rng, 50);
    const bool descending = rng_chance(&c->rng, 50);
    struct sight *sight = &c->sight;
    uint64_t acked[WRITERS];

    for (uint32_t i = 0; i < WRITERS; i++)
        acked[i] = atomic_load(&bank->acked[i]);
    memset(sight, 0, sizeof *sight);
    memset(&c->again, 0, sizeof c->again);
    if (twice && teller_begin(&c->teller) != TELLER_OK)
        return false;
    if (teller_scan(&c->teller, descending, see_row, sight) != TELLER_OK)
        return false;
    check_sight(sight, acked);
    if (twice) {
        if (rng_chance(&c->rng, 20))
            test_sleep_us(rng_below(&c->rng, 5000));
        if (teller_scan(&c->teller, !descending, see_row, &c->again) != TELLER_OK)
            return false;
        if (memcmp(sight, &c->again, sizeof *sight) != 0)
            test_die("two scans of one snapshot differ");
        if (teller_commit(&c->teller) != TELLER_OK)
            return false;
    }
    atomic_fetch_add(&bank->snapshots, 1);
    return true;
}

void
bank_check_copy(const char *dir, const uint64_t acked[WRITERS])
{
    static struct sight sight;

    memset(&sight, 0, sizeof sight);
    teller_scan_copy(dir, see_row, &sight);
    check_sight(&sight, acked);
}

/* ---- processes ---- */

static void
count(struct clerk *c)
{
    atomic_fetch_add(&bank->conflicts, c->teller.conflicts);
    atomic_fetch_add(&bank->busy, c->teller.busy);
    c->teller.conflicts = 0;
    c->teller.busy = 0;
}

static void *
work(void *arg)
{
    struct clerk *c = arg;

    teller_open(&c->teller, (enum txkv_sync)rng_below(&c->rng, 3),
                rng_chance(&c->rng, 30) ? TXKV_SNAPSHOT : TXKV_SERIALIZABLE);
    while (!atomic_load(&bank->stop)) {
        if (c->number == WRITERS)
            (void)look(c);
        else
            transfer(c);
        if (rng_below(&c->rng, 1000) < CHECKPOINT_PERMILLE)
            atomic_fetch_add(&bank->checkpoints, teller_checkpoint(&c->teller) == TELLER_OK);
        if (c->is_first && rng_below(&c->rng, 1000) < BACKUP_PERMILLE)
            bank_side_backup(c->slot, &c->teller);
        if (c->is_first && tellers_store() != NULL && rng_below(&c->rng, 1000) < SIDE_PERMILLE)
            bank_side_step(c->slot);
        count(c);
    }
    teller_close(&c->teller);
    return NULL;
}

/* A process alone must do all; else a third of them reads. */
uint32_t
bank_slot_writers(uint32_t slot)
{
    const uint32_t readers = bank->slots == 1 ? 0 : (bank->slots + 1) / 3;

    if (slot >= bank->slots - readers)
        return 0;
    return slot % 2 == 0 ? SLOT_WRITERS : 1;
}

void
bank_work(uint32_t slot, uint64_t generation)
{
    static struct clerk clerks[SLOT_WRITERS + 1];
    const uint32_t writers = bank_slot_writers(slot);
    const uint32_t threads = writers + (writers == 0 || bank->slots == 1);
    struct teller_limits limits = { .stall_timeout_ms = 300 };
    struct rng rng;

    rng_seed(&rng, mix64(bank->seed + slot) + generation);
    limits.checkpoint_bytes = 64ull * 1024 << rng_below(&rng, 4);
    tellers_open(bank->dir, rng_chance(&rng, 50), &limits);
    if (tellers_store() != NULL)
        bank_side_settle(slot);
    for (uint32_t i = 0; i < threads; i++) {
        clerks[i].slot = slot;
        clerks[i].is_first = i == 0;
        clerks[i].number = i < writers ? slot * SLOT_WRITERS + i : WRITERS;
        rng_seed(&clerks[i].rng, rng_next(&rng));
        if (pthread_create(&clerks[i].thread, NULL, work, &clerks[i]) != 0)
            test_die("pthread_create failed");
    }
    for (uint32_t i = 0; i < threads; i++)
        (void)pthread_join(clerks[i].thread, NULL);
    tellers_close();
}

/* ---- before and after ---- */

static const struct teller_limits idle_limits = { .checkpoint_bytes = 1 << 20,
                                                  .stall_timeout_ms = 1000 };

void
bank_make(void)
{
    const int64_t balance = BALANCE;
    static struct writer_row row;
    struct teller t;

    tellers_open(bank->dir, true, &idle_limits);
    teller_open(&t, TXKV_SYNC_FULL, TXKV_SERIALIZABLE);
    (void)teller_begin(&t);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        const struct key key = key_of('a', i, 0);

        (void)teller_put(&t, key.data, (const uint8_t *)&balance, sizeof balance);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        const struct key key = key_of('w', i, 0);

        memset(&row, 0, sizeof row);
        (void)teller_put(&t, key.data, (const uint8_t *)&row, make_tail(&row, i));
    }
    if (teller_commit(&t) != TELLER_OK)
        test_die("the accounts were not made");
    teller_close(&t);
    tellers_close();
}

void
bank_verify(struct rng *rng, bool close_well)
{
    static struct clerk c;

    c.rng = *rng;
    tellers_open(bank->dir, rng_chance(rng, 50), &idle_limits);
    teller_open(&c.teller, TXKV_SYNC_FULL, TXKV_SERIALIZABLE);
    while (!look(&c))
        ;
    for (uint32_t i = 0; i < WRITERS; i++) {
        atomic_store(&bank->submitted[i], c.sight.transfers[i]);
        atomic_store(&bank->acked[i], c.sight.transfers[i]);
    }
    for (uint32_t i = 0; i < bank->slots; i++) {
        bank_side_check_backup(i);
        if (tellers_store() != NULL)
            bank_side_settle(i);
    }
    if (!close_well)
        return;
    teller_close(&c.teller);
    tellers_close();
}
