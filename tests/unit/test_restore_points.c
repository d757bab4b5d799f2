/*
 * test_restore_points.c - restores to random points, compared with what was remembered there.
 *
 * Goal: a restore from any backup to any LSN or time at or behind it gives exactly the state that
 * the store had then.
 * Method: random transactions, tables made, renamed and dropped, transactions in two steps,
 * checkpoints, backups, closes and crashes (the files as they are, put back after the close); the
 * state behind each transaction is remembered. SEED gives another run.
 */
#include "archive_fixture.h"

enum { KEYS = 40, STEPS = 700, BACKUPS_MAX = 12, RESTORES = 60, LONG_BYTES = 9000 };

struct moment {
    uint64_t lsn, ms; /* lsn 0: not a transaction's */
    uint32_t rows[KEYS];
    bool has_other;
    uint32_t other_name;
    uint32_t other_rows[KEYS];
};

static struct moment now, *history;
static uint32_t history_count;
static struct {
    uint64_t lsn;
    uint32_t moment; /* how many were there before */
} backups[BACKUPS_MAX];
static uint32_t backup_count;
static uint32_t other_table;
static uint64_t random_state;

static uint32_t
random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % n);
}

/* The bytes that stand for a number; 0 stands for no row. */
static struct txkv_bytes
value_of(uint32_t number)
{
    static uint8_t bytes[LONG_BYTES];
    size_t count;

    memset(bytes, (int)(number & 0xff), sizeof bytes);
    count = (size_t)snprintf((char *)bytes, sizeof bytes, "%u", number);
    return (struct txkv_bytes){ bytes, number % 5 == 0 ? sizeof bytes : count };
}

static const char *
key_text(uint32_t i)
{
    static char key[16];

    (void)snprintf(key, sizeof key, "key %02u", i);
    return key;
}

static const char *
other_name(uint32_t n)
{
    static char name[16];

    (void)snprintf(name, sizeof name, "other %u", n);
    return name;
}

static void
remember(uint64_t lsn)
{
    now.lsn = lsn;
    now.ms = tx_load_relaxed_64(&hooked_ms);
    history[history_count++] = now;
}

/* ---- what happens ---- */

static void
write_some(uint32_t number, struct moment *after)
{
    const uint32_t writes = 1 + random_below(6);

    for (uint32_t i = 0; i < writes; i++) {
        const bool in_other = after->has_other && random_below(3) == 0;
        const uint32_t key = random_below(KEYS);
        uint32_t *row = in_other ? &after->other_rows[key] : &after->rows[key];
        const uint32_t where = in_other ? other_table : table;

        *row = random_below(4) == 0 ? 0 : number * 8 + i + 1;
        if (*row == 0)
            OK(txkv_delete(s1, where, text(key_text(key)), &err));
        else
            OK(txkv_put(s1, where, text(key_text(key)), value_of(*row), &err));
    }
}

static void
do_transaction(uint32_t number)
{
    struct moment after = now;
    const bool two_steps = random_below(5) == 0;

    begin(s1);
    write_some(number, &after);
    if (!two_steps) {
        OK(txkv_commit(s1, random_below(3) == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_OFF, &err));
        now = after;
        remember(txkv_last_lsn(s1));
        return;
    }
    OK(txkv_prepare(s1, text("note"), &err));
    if (random_below(2) == 0) {
        txkv_rollback(s1);
        return;
    }
    now = after;
    remember(txkv_prepared_lsn(s1));
    txkv_commit_prepared(s1);
}

static void
change_tables(void)
{
    const char *name = other_name(now.other_name + 1);

    if (!now.has_other) {
        OK(txkv_table(db, name, "(o)", true, &other_table, &err));
        memset(now.other_rows, 0, sizeof now.other_rows);
        now.has_other = true;
        now.other_name++;
    } else if (random_below(2) == 0) {
        OK(txkv_table_rename(db, &other_table, &name, 1, &err));
        now.other_name++;
    } else {
        OK(txkv_table_drop(db, &other_table, 1, &err));
        now.has_other = false;
    }
    remember(0);
}

static void
do_backup(void)
{
    struct txkv_backup_report report;
    char name[32];

    if (backup_count == BACKUPS_MAX)
        return;
    (void)snprintf(name, sizeof name, "backup %u", backup_count);
    OK(txkv_backup(db, in_dir(name), &report, &err));
    backups[backup_count].lsn = report.lsn;
    backups[backup_count++].moment = history_count;
}

static void
open_again(void)
{
    open_archived();
    if (now.has_other)
        OK(txkv_table(db, other_name(now.other_name), NULL, false, &other_table, &err));
}

static void
crash(void)
{
    shell("cp -r store crashed");
    OK(close_all());
    shell("rm -r store && mv crashed store");
    open_again();
}

static void
do_step(uint32_t number)
{
    const uint32_t what = random_below(100);

    (void)tx_fetch_add_64(&hooked_ms, random_below(40));
    if (what < 80)
        do_transaction(number);
    else if (what < 86)
        change_tables();
    else if (what < 93)
        checkpoint();
    else if (what < 95)
        do_backup();
    else if (what < 97)
        OK(txkv_archive(db, NULL, &err));
    else if (what < 99)
        crash();
    else {
        OK(close_all());
        open_again();
    }
}

/* ---- what must be there ---- */

static void
expect_rows(struct txkv *store, struct txkv_session *s, const char *name, const uint32_t *rows)
{
    struct txkv_table_size size;
    uint64_t count = 0;
    uint32_t number;

    OK(txkv_table(store, name, NULL, false, &number, &err));
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct txkv_bytes expected = value_of(rows[i]);
        struct txkv_bytes value;
        const enum txkv_rc rc = txkv_get(s, number, text(key_text(i)), &value, &err);

        count += rows[i] != 0;
        assert_int_equal(rc, rows[i] == 0 ? TXKV_NOTFOUND : TXKV_OK);
        if (rc == TXKV_OK) {
            assert_int_equal(value.bytes, expected.bytes);
            assert_memory_equal(value.data, expected.data, value.bytes);
        }
    }
    OK(txkv_table_measure(s, number, &size, &err));
    assert_int_equal(size.rows, count);
}

static void
expect_moment(const char *name, const struct moment *moment)
{
    char found[TXKV_TABLE_NAME_BYTES_MAX + 1];
    struct txkv_session *s;
    struct txkv *store;
    uint32_t number = 0, tables = 0;

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    assert_true(txkv_store_id(store) != txkv_store_id(db));
    expect_rows(store, s, "t", moment->rows);
    if (moment->has_other)
        expect_rows(store, s, other_name(moment->other_name), moment->other_rows);
    while (txkv_table_next(store, &number, found))
        tables++;
    assert_int_equal(tables, moment->has_other ? 2 : 1);
    set(s, "written to it", "1");
    assert_true(has(s, "written to it", "1"));
    txkv_session_close(s);
    OK(txkv_close(store, &err));
}

/* The last moment at that time; a time is exact to 10 ms, so that only gaps can be asked for. */
static bool
find_gap(uint32_t from, uint32_t *moment, uint64_t *ms)
{
    for (uint32_t i = from + random_below(history_count - from); i + 1 < history_count; i++) {
        if (history[i + 1].ms < history[i].ms + 22)
            continue;
        *moment = i;
        *ms = history[i].ms + 11;
        return true;
    }
    return false;
}

static void
restore_once(void)
{
    const uint32_t which = random_below(backup_count);
    const uint32_t first = backups[which].moment;
    struct txkv_restore_options options = { .archive_dir = NULL };
    uint32_t moment;
    char backup[32];

    if (first >= history_count)
        return;
    moment = first + random_below(history_count - first);
    if (random_below(3) == 0) {
        if (!find_gap(first, &moment, &options.until_ms))
            return;
    } else if (random_below(10) == 0) {
        moment = history_count - 1; /* all that there is */
    } else {
        while (history[moment].lsn == 0) /* tables are told of by the transaction before */
            if (moment-- == first)
                return;
        /* It, or anything before the next one. */
        options.until_lsn = history[moment].lsn + random_below(2) * 8;
    }
    (void)snprintf(backup, sizeof backup, "backup %u", which);
    restore(backup, "restored", &options);
    assert_int_equal(restored.backup_lsn, backups[which].lsn);
    expect_moment("restored", &history[moment]);
    shell("rm -r restored");
}

static void
every_point_gives_what_was_there(void **state)
{
    const char *seed = getenv("SEED"); // NOLINT(concurrency-mt-unsafe)

    (void)state;
    random_state = seed == NULL ? UINT64_C(0x9e3779b97f4a7c15) : strtoull(seed, NULL, 10) * 2 + 1;
    history = calloc(STEPS + 1, sizeof *history);
    assert_non_null(history);
    print_message("seed %s\n", seed == NULL ? "none" : seed);
    history_count = backup_count = 0;
    memset(&now, 0, sizeof now);
    do_transaction(STEPS + 1);
    do_backup();
    for (uint32_t i = 1; i < STEPS; i++)
        do_step(i);
    OK(txkv_archive(db, NULL, &err));
    assert_true(backup_count > 3 && count_segments("archive") > 10);
    for (uint32_t i = 0; i < RESTORES; i++)
        restore_once();
    free(history);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(every_point_gives_what_was_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
