/*
 * test_backup.c - what a backup holds.
 *
 * Goal: a backup holds exactly the transactions before its LSN, whoever commits and checkpoints
 * meanwhile, and it is a store by itself.
 * Method: backups in the test's own thread; threads and a process that move money beside them,
 * checkpoint, and write down the LSN of every commit.
 */
#include "backup_fixture.h"

enum { ACCOUNTS = 50, MONEY = 1000, MOVES_MAX = 200000, BACKUPS = 12 };

/* ---- what is in it ---- */

static void
a_backup_is_a_store_with_what_was_committed(void **state)
{
    static uint8_t long_key[20000];
    struct txkv_session *s;
    struct txkv_bytes value;
    uint32_t second, third, found;

    (void)state;
    fill(s1, 0, ROWS);
    checkpoint();
    fill(s1, ROWS, ROWS + 100); /* in the log alone */
    OK(txkv_table(db, "second", "(b)", true, &second, &err));
    OK(txkv_table(db, "dropped", "(c)", true, &third, &err));
    OK(txkv_table_drop(db, &third, 1, &err));
    begin(s1);
    OK(txkv_put(s1, second, (struct txkv_bytes){ long_key, sizeof long_key }, text("long"), &err));
    commit(s1);
    begin(s2);
    put(s2, "not committed", "1");
    backup("b");
    txkv_rollback(s2);
    assert_int_equal(report.rows, ROWS + 100 + 1);
    assert_int_equal(report.tables, 2);
    assert_true(report.lsn > txkv_last_lsn(s1));
    assert_false(is_there(".tmp-"));
    set(s1, "after it", "1");
    expect_store("b", ROWS + 100);
    OK(txkv_open(in_dir("b"), NULL, &other, &err));
    OK(txkv_session_open(other, &s, &err));
    OK(txkv_table(other, "second", "(b)", false, &found, &err));
    OK(txkv_get(s, found, (struct txkv_bytes){ long_key, sizeof long_key }, &value, &err));
    assert_int_equal(value.bytes, 4);
    assert_int_equal(txkv_table(other, "dropped", NULL, false, &found, &err), TXKV_SCHEMA);
    assert_int_equal(txkv_store_id(other), txkv_store_id(db));
    txkv_session_close(s);
    OK(txkv_close(other, &err));
    assert_false(has(s1, "written to the backup", "1"));
}

static void
an_empty_store_can_be_backed_up(void **state)
{
    (void)state;
    backup("b");
    assert_int_equal(report.rows, 0);
    expect_store("b", 0);
}

static void
a_backup_does_not_share_the_log_directory(void **state)
{
    struct txkv_options options = small_store;

    (void)state;
    OK(close_all());
    options.wal_dir = in_dir("a log");
    OK(txkv_open(in_dir("apart"), &options, &db, &err));
    OK(txkv_table(db, "t", "(k, v)", true, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    s2 = NULL;
    fill(s1, 0, 100);
    backup("b");
    expect_store("b", 100); /* while the source is open */
    assert_int_equal(count_rows(s1), 100);
}

static void
the_statistics_tell_how_far_it_is(void **state)
{
    (void)state;
    fill(s1, 0, ROWS);
    backup("b");
    assert_true(stat_of("backups") == 1);
    assert_true(stat_of("backup_bytes_done") == (double)report.bytes);
    assert_true(stat_of("backup_bytes_total") == (double)report.bytes);
    assert_int_equal(try_backup("b"), TXKV_EXISTS);
    assert_true(stat_of("backups_failed") == 1);
}

/* ---- what is refused ---- */

static void
a_target_that_exists_is_refused(void **state)
{
    (void)state;
    fill(s1, 0, 10);
    assert_int_equal(mkdir(in_dir("empty"), 0700), 0);
    assert_int_equal(symlink("nowhere", in_dir("link")), 0);
    assert_int_equal(try_backup("empty"), TXKV_EXISTS);
    assert_non_null(strstr(err.text, in_dir("empty")));
    assert_int_equal(try_backup("link"), TXKV_EXISTS);
    assert_int_equal(try_backup("data.mdb"), TXKV_EXISTS);
    assert_int_equal(try_backup("empty/"), TXKV_EXISTS);
    assert_int_equal(try_backup("no such/b"), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, in_dir("no such")));
    assert_int_equal(txkv_backup(db, "", NULL, &err), TXKV_MISUSE);
    assert_int_equal(txkv_backup(db, NULL, NULL, &err), TXKV_MISUSE);
    assert_int_equal(txkv_backup(db, "/", NULL, &err), TXKV_MISUSE);
    assert_int_equal(txkv_backup(db, "..", NULL, &err), TXKV_MISUSE);
    assert_false(is_there(".tmp-"));
    backup("b//");
    expect_store("b", 10);
}

/* ---- beside writers ---- */

/* What a writer has committed: the LSN of its n-th transaction. Shared with a child. */
struct moves {
    uint32_t stop, fails;
    uint64_t count; /* the writer stores it with release, after the LSN */
    uint64_t lsns[MOVES_MAX];
};
static struct moves *moves[3];

static uint64_t
number_in(struct txkv_session *s, const char *key)
{
    struct txkv_bytes value;
    char digits[32] = "";

    if (txkv_get(s, table, text(key), &value, &err) == TXKV_OK && value.bytes < sizeof digits)
        memcpy(digits, value.data, value.bytes);
    return strtoull(digits, NULL, 10);
}

static enum txkv_rc
put_number(struct txkv_session *s, const char *key, uint64_t n, struct txkv_error *e)
{
    char digits[32];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, n);
    return txkv_put(s, table, text(key), text(digits), e);
}

static uint64_t
balance(struct txkv_session *s, unsigned account, char key[32])
{
    struct txkv_bytes value;
    char digits[32] = "";

    (void)snprintf(key, 32, "account %02u", account);
    if (txkv_get(s, table, text(key), &value, NULL) == TXKV_OK && value.bytes < sizeof digits)
        memcpy(digits, value.data, value.bytes);
    return strtoull(digits, NULL, 10);
}

/* One from an account to another, and the number of the transaction. */
static enum txkv_rc
move_money(struct txkv_session *s, unsigned writer, uint64_t n)
{
    struct txkv_error e;
    char from[32], to[32], mine[32];
    uint64_t rich, poor;
    enum txkv_rc rc = txkv_begin(s, &e);

    if (rc != TXKV_OK)
        return rc;
    rich = balance(s, (unsigned)(n * 7 + writer * 13) % ACCOUNTS, from);
    poor = balance(s, (unsigned)(n * 11 + writer * 3 + 1) % ACCOUNTS, to);
    (void)snprintf(mine, sizeof mine, "writer %u", writer);
    rc = put_number(s, mine, n, &e);
    if (rc == TXKV_OK && rich > 0 && strcmp(from, to) != 0) {
        rc = put_number(s, from, rich - 1, &e);
        if (rc == TXKV_OK)
            rc = put_number(s, to, poor + 1, &e);
    }
    if (rc == TXKV_OK)
        rc = txkv_commit(s, TXKV_SYNC_OFF, &e);
    if (rc != TXKV_OK)
        txkv_rollback(s);
    return rc;
}

static void
move_until_stopped(struct txkv *store, unsigned writer)
{
    struct moves *m = moves[writer];
    struct txkv_session *s;

    if (txkv_session_open(store, &s, NULL) != TXKV_OK) {
        m->fails = 1;
        return;
    }
    while (tx_load_acquire_32(&m->stop) == 0 && m->count < MOVES_MAX) {
        const enum txkv_rc rc = move_money(s, writer, m->count + 1);

        if (rc == TXKV_OK) {
            m->lsns[m->count] = txkv_last_lsn(s);
            tx_store_release_64(&m->count, m->count + 1);
        } else if (rc != TXKV_CONFLICT && rc != TXKV_BUSY) {
            m->fails = 1;
            break;
        }
        /* Others' checkpoints change LMDB while it is being copied. */
        if (writer > 0 && m->count % 16 == 0 && txkv_checkpoint(store, NULL, NULL) != TXKV_OK)
            m->fails = 1;
        if (m->count % 16 == 0)
            nap(); /* the machine has others to serve */
    }
    txkv_session_close(s);
}

static void *
move_in_thread(void *arg)
{
    move_until_stopped(db, *(unsigned *)arg);
    return NULL;
}

static int
move_in_process(void)
{
    wait_for_step(1);
    CHILD_DOES(child_opens(&impatient));
    move_until_stopped(db, 2);
    return child_closes();
}

static void
new_moves(void)
{
    for (int i = 0; i < 3; i++) {
        moves[i] =
            mmap(NULL, sizeof *moves[i], PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(moves[i], MAP_FAILED);
    }
}

/* It has the money, and of each writer all transactions before its LSN. */
static void
expect_prefix(const char *name, const uint64_t known[3])
{
    struct txkv_session *s;
    struct txkv *store;
    uint64_t sum = 0;
    char key[32];

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += balance(s, i, key);
    assert_int_equal(sum, ACCOUNTS * MONEY);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t n;

        (void)snprintf(key, sizeof key, "writer %u", i);
        n = number_in(s, key);
        assert_true(n >= known[i]); /* committed before the call */
        while (tx_load_acquire_64(&moves[i]->count) < n)
            nap(); /* it commits first, and then writes it down */
        assert_true(n == 0 || moves[i]->lsns[n - 1] < report.lsn);
        assert_true(n == tx_load_acquire_64(&moves[i]->count) || moves[i]->lsns[n] >= report.lsn);
    }
    txkv_session_close(s);
    OK(txkv_close(store, &err));
}

static void
every_backup_beside_writers_is_the_prefix_that_its_lsn_names(void **state)
{
    unsigned numbers[] = { 0, 1 };
    pthread_t threads[2];
    char name[32];
    pid_t child;

    (void)state;
    new_steps();
    new_moves();
    child = start_child(move_in_process);
    reopen();
    begin(s1);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        (void)balance(s1, i, name);
        OK(put_number(s1, name, MONEY, &err));
    }
    commit(s1);
    go_to_step(1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, move_in_thread, &numbers[i]), 0);
    for (int i = 0; i < BACKUPS; i++) {
        uint64_t known[3];

        for (int w = 0; w < 3; w++)
            known[w] = tx_load_acquire_64(&moves[w]->count);
        (void)snprintf(name, sizeof name, "b%d", i);
        backup(name);
        expect_prefix(name, known);
    }
    for (int i = 0; i < 3; i++)
        tx_store_release_32(&moves[i]->stop, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    expect_child_well(child);
    for (int i = 0; i < 3; i++) {
        assert_true(moves[i]->count > 0);
        assert_int_equal(moves[i]->fails, 0);
        (void)munmap(moves[i], sizeof *moves[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_backup_is_a_store_with_what_was_committed),
        STORE_TEST(an_empty_store_can_be_backed_up),
        STORE_TEST(a_backup_does_not_share_the_log_directory),
        STORE_TEST(the_statistics_tell_how_far_it_is),
        STORE_TEST(a_target_that_exists_is_refused),
        DIR_TEST(every_backup_beside_writers_is_the_prefix_that_its_lsn_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
