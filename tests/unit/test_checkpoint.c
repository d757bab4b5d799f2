/*
 * test_checkpoint.c - what a checkpoint moves, what it keeps for readers, and how it fails.
 */
#include "store_fixture.h"

static struct txkv_checkpoint_report
report_of_checkpoint(void)
{
    struct txkv_checkpoint_report report;

    OK(txkv_checkpoint(db, &report, &err));
    return report;
}

/* What LMDB alone has: the store's files without the log, opened. */
static void
expect_in_lmdb(const char *rows)
{
    struct txkv *original = db;
    char command[256];

    copy_store();
    (void)snprintf(command, sizeof command, "rm %s/wal/*", copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    close_sessions();
    OK(txkv_open(copy_dir, &small_store, &db, &err));
    OK(txkv_session_open(db, &s1, &err));
    expect_scan(s1, "(,)", rows);
    OK(close_all());
    db = original;
    (void)snprintf(command, sizeof command, "rm -r %s", copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
}

/* ---- what is moved ---- */

static void
the_newest_version_of_each_key_is_moved_and_tombstones_delete(void **state)
{
    struct txkv_checkpoint_report report;

    (void)state;
    set(s1, "a", "0");
    set(s1, "b", "0");
    report = report_of_checkpoint();
    assert_int_equal(report.transactions, 2);
    assert_int_equal(report.rows_put, 2);
    set(s1, "a", "1");
    set(s1, "a", "2");
    set(s1, "b", NULL);
    set(s1, "c", "1");
    set(s1, "c", NULL);
    set(s1, "d", "");
    report = report_of_checkpoint();
    assert_int_equal(report.transactions, 6);
    assert_int_equal(report.rows_put, 2);
    assert_int_equal(report.rows_deleted, 2);
    assert_int_equal(report.to_lsn, stat_of("published_lsn"));
    assert_int_equal(report.bytes, report.to_lsn - report.from_lsn);
    set(s1, "a", "only in the log");
    expect_in_lmdb("a=2 d= ");
}

static void
a_checkpoint_of_nothing_writes_nothing(void **state)
{
    struct txkv_checkpoint_report report;

    (void)state;
    set(s1, "a", "1");
    checkpoint();
    report = report_of_checkpoint();
    assert_int_equal(report.from_lsn, report.to_lsn);
    assert_int_equal(report.rows_put, 0);
    assert_int_equal(stat_of("checkpoints"), 1);
}

static void
table_definitions_alone_are_moved(void **state)
{
    struct txkv_checkpoint_report report;
    uint32_t number, again;

    (void)state;
    checkpoint();
    OK(txkv_table(db, "other", "(x)", true, &number, &err));
    report = report_of_checkpoint();
    assert_int_equal(report.rows_put, 0);
    assert_true(report.to_lsn > report.from_lsn);
    assert_int_equal(report_of_checkpoint().bytes, 0);
    set(s1, "a", "1"); /* into the memtable that was not frozen */
    report = report_of_checkpoint();
    assert_int_equal(report.rows_put, 1);
    expect_in_lmdb("a=1 ");
    OK(close_all());
    reopen();
    OK(txkv_table(db, "other", "(x)", false, &again, &err));
    assert_int_equal(again, number);
}

static void
a_table_made_between_checkpoints_can_be_written_at_once(void **state)
{
    const uint32_t first = table;
    char name[8];

    (void)state;
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        OK(txkv_table(db, name, "", true, &table, &err));
        set(s1, "k", name);
        if (i % 3 == 0)
            checkpoint();
        expect_scan(s2, "(,)", strcat(strcat((char[16]){ "k=" }, name), " "));
    }
    table = first;
}

static void
segments_below_are_deleted(void **state)
{
    static char large[100 * KIB];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 10; i++)
        set(s1, "k", large);
    assert_true(stat_of("wal_segments") > 3);
    assert_true(report_of_checkpoint().segments_deleted >= 3);
    assert_in_range((uint64_t)stat_of("wal_segments"), 1, 2); /* the current and the next one */
    set(s1, "after", "1");
    assert_true(has(s2, "after", "1"));
}

static void
the_log_after_a_checkpoint_is_verified_and_replayed_from_there(void **state)
{
    struct txkv_recovery_report report;
    struct txkv *original;
    char value[8];

    (void)state;
    for (int i = 0; i < 30; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        set(s1, "k", value);
        if (i % 7 == 3)
            checkpoint();
        OK(txkv_verify(db, &report, &err));
        assert_int_equal(report.transactions_replayed, i < 3 ? i + 1 : (i - 3) % 7);
    }
    copy_store();
    original = db;
    close_sessions();
    OK(txkv_open(copy_dir, &small_store, &db, &err));
    txkv_recovery(db, &report);
    assert_int_equal(report.transactions_replayed, 29 - 24);
    OK(txkv_session_open(db, &s1, &err));
    expect_scan(s1, "(,)", "k=29 ");
    OK(close_all());
    db = original;
}

/* ---- readers ---- */

static void
readers_see_their_snapshot_while_checkpoints_pass(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s2, "a", "0");
    set(s2, "b", "0");
    set(s2, "c", "0");
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    set(s2, "b", NULL);
    set(s2, "c", "1");
    checkpoint();
    set(s2, "d", "2");
    checkpoint();
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=0 b=0 c=0 ");
    assert_string_equal(rest_of(cursor, seek(cursor, "<(,)")), "c=0 b=0 a=0 ");
    txkv_cursor_close(cursor);
    expect_scan(s1, "(,)", "a=0 c=1 d=2 ");
}

static void
history_is_kept_while_an_older_snapshot_is_open_and_dropped_after(void **state)
{
    (void)state;
    set(s2, "k", "0");
    begin(s1);
    (void)get(s1, "k");
    for (int i = 0; i < 3; i++) {
        set(s2, "k", "1");
        checkpoint();
    }
    assert_true(stat_of("memtables") >= 4);
    assert_true(stat_of("overlay_bytes_waiting") < stat_of("overlay_bytes"));
    txkv_rollback(s1);
    while (stat_of("memtables") > 1 || stat_of("views_retired") > 0)
        nap(); /* nothing else happens: the last reader itself asks for it */
    assert_int_equal(stat_of("views_retired_bytes"), 0);
}

/* Readers that come and go in the very moment in which views are replaced. */
static uint32_t readers_stop, reader_errors; /* atomic */

static void *
read_on(void *arg)
{
    struct txkv_session *session;
    struct txkv_bytes value;

    (void)arg;
    if (txkv_session_open(db, &session, NULL) != TXKV_OK) {
        tx_store_release_32(&reader_errors, 1);
        return NULL;
    }
    while (tx_load_acquire_32(&readers_stop) == 0)
        if (txkv_get(session, table, text("k"), &value, NULL) != TXKV_OK)
            tx_store_release_32(&reader_errors, 1);
    txkv_session_close(session);
    return NULL;
}

static void
no_view_is_left_behind_when_all_readers_have_gone(void **state)
{
    pthread_t threads[3];

    (void)state;
    tx_store_release_32(&reader_errors, 0);
    set(s1, "k", "0");
    for (int round = 0; round < 8; round++) {
        tx_store_release_32(&readers_stop, 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_on, NULL), 0);
        for (int i = 0; i < 3; i++) {
            set(s1, "k", "1");
            checkpoint();
        }
        tx_store_release_32(&readers_stop, 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (int turn = 0; turn < 5000 && stat_of("views_retired") > 0; turn++)
            nap();
        assert_int_equal(stat_of("views_retired"), 0);
    }
    assert_int_equal(tx_load_acquire_32(&reader_errors), 0);
}

/* ---- failures ---- */

static void
a_checkpoint_without_memory_changes_nothing_and_is_repeated(void **state)
{
    uint32_t failures = 0;
    char key[8];

    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        enum txkv_rc rc;

        (void)snprintf(key, sizeof key, "k%02d", (int)n);
        set(s1, key, "x");
        tx_mem_fail_at(n, false);
        rc = txkv_checkpoint(db, NULL, &err);
        tx_mem_fail_at(0, false);
        assert_true(rc == TXKV_OK || rc == TXKV_NOMEM);
        failures += rc == TXKV_NOMEM;
        assert_true(has(s2, key, "x"));
    }
    assert_true(failures > 5);
    assert_int_equal(stat_of("checkpoints_failed"), failures);
    checkpoint();
    assert_int_equal(txkv_row_estimate(s1, table), 39);
}

/* Each attempt leaves one frozen memtable more; none of them may go before LMDB has it. */
static void
memtables_of_many_failed_checkpoints_are_all_kept(void **state)
{
    enum { ROUNDS = 80 };
    uint64_t n = 1;
    char key[8];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const double before = stat_of("memtables");

        (void)snprintf(key, sizeof key, "k%02d", i);
        set(s1, key, "x");
        while (stat_of("memtables") == before) { /* until it fails after it has frozen one */
            tx_mem_fail_at(n, true);
            assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_NOMEM);
            tx_mem_fail_at(0, false);
            n += stat_of("memtables") == before;
        }
    }
    tx_checkpoint_tidy(&db->checkpoint);
    assert_true(stat_of("memtables") > ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        assert_true(has(s2, key, "x"));
    }
    assert_int_equal(report_of_checkpoint().rows_put, ROUNDS);
    assert_int_equal(stat_of("memtables"), 1);
}

static void
a_full_map_grows_when_no_reader_holds_it(void **state)
{
    const struct txkv_options options = { .map_size = MIB, .segment_bytes = MIB };
    static char large[200 * KIB];
    char key[8];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    OK(close_all());
    reopen_with(&options);
    for (int i = 0; i < 12; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        set(s1, key, large);
    }
    begin(s2);
    (void)get(s2, "none"); /* an open read: the map cannot move */
    assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_BUSY);
    assert_int_equal(txkv_row_estimate(s2, table), 12);
    assert_int_equal(stat_of("checkpoints_failed"), 1);
    set(s1, "meanwhile", "1"); /* commits go on */
    txkv_rollback(s2);
    checkpoint();
    assert_true(stat_of("lmdb_map_grows") >= 2);
    assert_int_equal(txkv_row_estimate(s1, table), 13);
    OK(close_all());
    reopen_with(&options); /* with a file larger than the map asked for */
    assert_int_equal(txkv_row_estimate(s1, table), 13);
    set(s1, "after", "1");
    checkpoint();
    assert_true(has(s2, "after", "1"));
}

/* Goal: so many rows that a second thread collects them are all moved, newest versions and
 * deletions, though the checkpoint has to begin anew each time that the map is full. */
static void
many_rows_are_moved_whole_when_the_map_must_grow(void **state)
{
    enum { MANY = 50000 };
    const struct txkv_options options = { .map_size = MIB, .segment_bytes = MIB };
    struct txkv_checkpoint_report report;
    char key[16], value[64];

    (void)state;
    OK(close_all());
    reopen_with(&options);
    set(s1, "k00003", "in LMDB");
    checkpoint();
    for (int round = 0; round < 2; round++) {
        begin(s1);
        for (int i = 0; i < MANY; i += 1 + round) {
            (void)snprintf(key, sizeof key, "k%05d", i * 7919 % MANY);
            (void)snprintf(value, sizeof value, "%d of %d, and some more bytes", i, round);
            put(s1, key, value);
        }
        if (round == 1)
            erase(s1, "k00003");
        commit(s1);
    }
    report = report_of_checkpoint();
    assert_int_equal(report.rows_put, MANY - 1);
    assert_int_equal(report.rows_deleted, 1);
    assert_true(stat_of("lmdb_map_grows") >= 2);
    assert_int_equal(stat_of("memtables"), 1);
    assert_int_equal(txkv_row_estimate(s1, table), MANY - 1);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i * 7919 % MANY);
        (void)snprintf(value, sizeof value, "%d of %d, and some more bytes", i, i % 2 == 0);
        assert_true(has(s2, key, strcmp(key, "k00003") == 0 ? NULL : value));
    }
}

static void
a_log_file_that_cannot_be_removed_fails_the_report_alone(void **state)
{
    static char large[100 * KIB];
    char command[128];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 5; i++)
        set(s1, "k", large);
    /* A directory in the file's place cannot be unlinked. */
    (void)snprintf(command, sizeof command,
                   "cd %s/wal && rm 0000000000000000.wal && mkdir 0000000000000000.wal", dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    assert_int_not_equal(txkv_checkpoint(db, NULL, &err), TXKV_OK);
    checkpoint(); /* everything was moved: there is nothing to do */
    assert_int_equal(stat_of("checkpoint_lsn"), stat_of("published_lsn"));
}

/* Another process may have enlarged the map, or done the checkpoint, after this one could not. */
static void
nobody_is_told_to_end_his_snapshot_for_a_map_that_has_grown(void **state)
{
    (void)state;
    set(s1, "k", "1");
    for (int i = 0; i < 2; i++) { /* with something to move, and without */
        tx_store_release_32(&db->core.map_must_grow, 1);
        checkpoint();
        assert_int_equal(tx_load_acquire_32(&db->core.map_must_grow), 0);
    }
}

static void
verification_starts_where_lmdb_ends_whatever_a_process_that_died_has_told(void **state)
{
    const uint64_t before_lsn = db->core.shared->checkpoint_lsn;
    struct txkv_recovery_report report;

    (void)state;
    set(s1, "k", "1");
    checkpoint();
    set(s1, "k", "2");
    /* It died between LMDB's commit and saying so. */
    tx_store_release_64(&db->core.shared->checkpoint_lsn, before_lsn);
    OK(txkv_verify(db, &report, &err));
    assert_int_equal(report.transactions_replayed, 1);
    assert_true(has(s1, "k", "2"));
    checkpoint();
    OK(txkv_verify(db, &report, &err));
    assert_int_equal(report.checkpoint_lsn, stat_of("published_lsn"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(the_newest_version_of_each_key_is_moved_and_tombstones_delete),
        STORE_TEST(a_checkpoint_of_nothing_writes_nothing),
        STORE_TEST(table_definitions_alone_are_moved),
        STORE_TEST(a_table_made_between_checkpoints_can_be_written_at_once),
        STORE_TEST(segments_below_are_deleted),
        STORE_TEST(the_log_after_a_checkpoint_is_verified_and_replayed_from_there),
        STORE_TEST(readers_see_their_snapshot_while_checkpoints_pass),
        STORE_TEST(history_is_kept_while_an_older_snapshot_is_open_and_dropped_after),
        STORE_TEST(no_view_is_left_behind_when_all_readers_have_gone),
        STORE_TEST(a_checkpoint_without_memory_changes_nothing_and_is_repeated),
        STORE_TEST(memtables_of_many_failed_checkpoints_are_all_kept),
        STORE_TEST(a_full_map_grows_when_no_reader_holds_it),
        STORE_TEST(many_rows_are_moved_whole_when_the_map_must_grow),
        STORE_TEST(a_log_file_that_cannot_be_removed_fails_the_report_alone),
        STORE_TEST(nobody_is_told_to_end_his_snapshot_for_a_map_that_has_grown),
        STORE_TEST(verification_starts_where_lmdb_ends_whatever_a_process_that_died_has_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
