/*
 * test_prepare.c - transactions that are committed in two steps, in one process.
 */
#include "prepare_fixture.h"

/* ---- one process ---- */

static void
a_prepared_transaction_is_invisible_until_it_is_committed(void **state)
{
    uint64_t lsn;

    (void)state;
    set(s1, "k", "old");
    prepare_write(s1, "k", "new");
    lsn = txkv_prepared_lsn(s1);
    assert_true(tx_log_durable_lsn(db->core.log) > lsn); /* whatever the mode of the others */
    assert_true(has(s2, "k", "old"));
    assert_true(has(s1, "k", "new")); /* its own */
    OK(txkv_prepare(s1, text("again"), &err));
    assert_int_equal(txkv_prepared_lsn(s1), lsn);
    txkv_commit_prepared(s1);
    assert_false(txkv_in_transaction(s1));
    assert_int_equal(txkv_prepared_lsn(s1), 0);
    assert_int_equal(txkv_last_lsn(s1), lsn);
    assert_true(has(s2, "k", "new"));
    set(s2, "k", "newer");
    OK(close_all());
    reopen();
    assert_true(has(s1, "k", "newer"));
}

static void
a_snapshot_taken_before_the_decision_stays_without_it(void **state)
{
    (void)state;
    set(s1, "k", "old");
    prepare_write(s1, "k", "new");
    begin(s2);
    assert_true(has(s2, "k", "old"));
    txkv_commit_prepared(s1);
    assert_true(has(s2, "k", "old"));
    txkv_rollback(s2);
    assert_true(has(s2, "k", "new"));
}

static void
rolling_back_leaves_no_version_behind(void **state)
{
    (void)state;
    set(s1, "k", "old");
    begin(s2);
    assert_true(has(s2, "k", "old"));
    begin(s1);
    put(s1, "k", "1");
    put(s1, "k", "2");
    erase(s1, "other");
    prepare(s1, "note");
    txkv_rollback(s1);
    assert_false(txkv_in_transaction(s1));
    put(s2, "k", "from s2");
    commit(s2); /* no conflict with what never was */
    expect_scan(s1, "(,)", "k=from s2 ");
    checkpoint();
    expect_scan(s1, "(,)", "k=from s2 ");
}

static void
a_prepared_transaction_that_is_taken_back_can_go_on(void **state)
{
    uint64_t first;

    (void)state;
    prepare_write(s1, "a", "1");
    first = txkv_prepared_lsn(s1);
    assert_int_equal(txkv_put(s1, table, text("b"), text("2"), &err), TXKV_MISUSE);
    assert_int_equal(txkv_delete(s1, table, text("b"), &err), TXKV_MISUSE);
    assert_int_equal(txkv_savepoint(s1, 1, &err), TXKV_MISUSE);
    assert_int_equal(txkv_rollback_to(s1, 1, &err), TXKV_MISUSE);
    assert_int_equal(try_commit(s1), TXKV_MISUSE);
    OK(txkv_unprepare(s1, &err));
    assert_int_equal(txkv_prepared_lsn(s1), 0);
    set(s2, "c", "3"); /* nobody waits */
    put(s1, "b", "2");
    prepare(s1, "note");
    assert_true(txkv_prepared_lsn(s1) > first);
    txkv_commit_prepared(s1);
    expect_scan(s2, "(,)", "a=1 b=2 c=3 ");
    prepare_write(s1, "d", "4");
    OK(txkv_unprepare(s1, &err));
    commit(s1); /* in one step */
    expect_scan(s2, "(,)", "a=1 b=2 c=3 d=4 ");
}

static void
a_transaction_without_writes_is_not_prepared(void **state)
{
    (void)state;
    assert_int_equal(txkv_prepare(s1, NO_NOTE, &err), TXKV_MISUSE);
    assert_int_equal(txkv_unprepare(s1, &err), TXKV_MISUSE);
    begin(s1);
    assert_true(has(s1, "k", NULL));
    OK(txkv_prepare(s1, NO_NOTE, &err));
    assert_int_equal(txkv_prepared_lsn(s1), 0);
    set(s2, "k", "1");
    txkv_commit_prepared(s1);
    assert_false(txkv_in_transaction(s1));
}

static void
conflicts_are_found_when_preparing(void **state)
{
    (void)state;
    set(s1, "k", "0");
    begin(s1);
    assert_true(has(s1, "k", "0"));
    put(s1, "k", "1");
    set(s2, "k", "2");
    assert_int_equal(txkv_prepare(s1, NO_NOTE, &err), TXKV_CONFLICT);
    assert_int_equal(txkv_prepared_lsn(s1), 0);
    assert_true(txkv_in_transaction(s1));
    set(s2, "x", "the log is free");
    txkv_rollback(s1);
    /* and one that is prepared wins against whoever commits after it */
    begin(s2);
    assert_true(has(s2, "k", "2"));
    put(s2, "k", "lost");
    prepare_write(s1, "k", "won");
    txkv_commit_prepared(s1);
    assert_int_equal(try_commit(s2), TXKV_CONFLICT);
    txkv_rollback(s2);
    assert_true(has(s2, "k", "won"));
}

static void
others_get_busy_with_the_process_id_while_one_is_prepared(void **state)
{
    struct txkv_session *s3;
    uint32_t number;
    char pid[16];

    (void)state;
    (void)snprintf(pid, sizeof pid, " %d ", (int)getpid());
    prepare_write(s1, "k", "1");
    begin(s2);
    put(s2, "other", "1");
    assert_int_equal(try_commit(s2), TXKV_BUSY);
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, "between the two steps"));
    assert_int_equal(txkv_prepare(s2, NO_NOTE, &err), TXKV_BUSY);
    assert_non_null(strstr(err.text, pid));
    assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_BUSY);
    assert_int_equal(txkv_table(db, "new", NULL, true, &number, &err), TXKV_BUSY);
    OK(txkv_session_open(db, &s3, &err));
    assert_true(has(s3, "k", NULL)); /* reads go on */
    txkv_session_close(s3);
    txkv_commit_prepared(s1);
    commit(s2); /* the same transaction, again */
    checkpoint();
    expect_scan(s1, "(,)", "k=1 other=1 ");
}

static void
closing_the_session_takes_a_prepared_transaction_back(void **state)
{
    (void)state;
    prepare_write(s1, "k", "1");
    txkv_session_close(s1);
    s1 = NULL;
    set(s2, "other", "1");
    expect_scan(s2, "(,)", "other=1 ");
}

static void
verification_counts_a_prepared_transaction_once_it_is_committed(void **state)
{
    struct txkv_recovery_report report;

    (void)state;
    checkpoint();
    prepare_write(s1, "k", "1");
    OK(txkv_verify(db, &report, &err));
    assert_int_equal(report.operations_replayed, 0);
    txkv_commit_prepared(s1);
    prepare_write(s1, "l", "1");
    txkv_rollback(s1);
    OK(txkv_verify(db, &report, &err));
    assert_int_equal(report.transactions_replayed, 1);
    assert_int_equal(report.operations_replayed, 1);
}

/* The decision must have room in the prepared record's segment, wherever that ends. */
static void
the_decision_always_follows_directly(void **state)
{
    static const struct txkv_options tiny = { .map_size = 64 * MIB, .segment_bytes = 64 * KIB };
    static char value[4096];
    uint64_t segments = 0, before;

    (void)state;
    OK(close_all());
    reopen_with(&tiny);
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 400; i++) {
        struct txkv_bytes bytes = { (const uint8_t *)value, (size_t)(i % 37) * 8 + 1500 };

        before = tx_log_end_lsn(db->core.log);
        begin(s1);
        OK(txkv_put(s1, table, text("k"), bytes, &err));
        prepare(s1, "note");
        segments += txkv_prepared_lsn(s1) != before;
        before = tx_log_end_lsn(db->core.log);
        if (i % 5 == 0)
            txkv_rollback(s1);
        else
            txkv_commit_prepared(s1);
        assert_int_equal(tx_log_end_lsn(db->core.log), before + TX_DECISION_BYTES);
        assert_int_equal(tx_published_lsn(&db->core), before + TX_DECISION_BYTES);
    }
    assert_true(segments > 8);
    begin(s1); /* and one that is larger than a segment */
    for (int i = 0; i < 40; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%d", i);
        OK(txkv_put(s1, table, text(key), (struct txkv_bytes){ (const uint8_t *)value, 4000 },
                    &err));
    }
    prepare(s1, "note");
    txkv_commit_prepared(s1);
    set(s2, "after", "1");
    OK(close_all());
    reopen_with(&tiny);
    assert_true(has(s1, "after", "1"));
}

/* Whatever room a segment has left: the record fits, and its decision would not. */
static void
the_decision_has_room_when_the_record_just_fits(void **state)
{
    static const struct txkv_options tiny = { .map_size = 64 * MIB, .segment_bytes = 64 * KIB };
    enum { BEFORE_VALUE = TX_RECORD_HEADER_BYTES + 1 + 4 + 6 }; /* the note; the operation's head */
    static uint8_t value[5000];
    uint64_t first;

    (void)state;
    OK(close_all());
    reopen_with(&tiny);
    first = tx_log_end_lsn(db->core.log); /* the log is empty: a segment begins here */
    for (uint64_t spare = 0; spare <= 64; spare += 8) {
        struct txkv_bytes bytes = { value, 2000 };
        uint64_t left, end;

        do {
            begin(s1);
            OK(txkv_put(s1, table, text("k"), bytes, &err));
            commit(s1);
            left = 64 * KIB - (tx_log_end_lsn(db->core.log) - first) % (64 * KIB);
        } while (left > sizeof value || left < 1000);
        bytes.bytes = left - spare - BEFORE_VALUE;
        begin(s1);
        OK(txkv_put(s1, table, text("k"), bytes, &err));
        prepare(s1, "note");
        end = s1->current->prepared_end;
        assert_int_equal(end - txkv_prepared_lsn(s1), left - spare);
        txkv_commit_prepared(s1);
        assert_int_equal(tx_log_end_lsn(db->core.log), end + TX_DECISION_BYTES);
    }
}

/* Its stores in a row, as a death between any two of them leaves them. */
static void
what_a_process_left_that_died_while_it_prepared_or_decided_counts_for_nothing(void **state)
{
    struct tx_shared *shared = db->core.shared;
    const uint64_t end = tx_log_end_lsn(db->core.log);

    (void)state;
    shared->hold_end = end + 64; /* the record is not finished: prepared before it is appended */
    shared->hold_decision = TX_HOLD_UNDECIDED;
    shared->hold_lsn = end;
    set(s1, "k", "1");
    assert_int_equal(shared->hold_lsn, 0);
    prepare_write(s1, "l", "1");
    txkv_commit_prepared(s1);
    shared->hold_end = tx_log_end_lsn(db->core.log) - TX_DECISION_BYTES; /* its decision is */
    shared->hold_lsn = shared->hold_end - 64;
    prepare_write(s1, "m", "1");
    txkv_commit_prepared(s1);
    expect_scan(s2, "(,)", "k=1 l=1 m=1 ");
    assert_int_equal(resolver.asked, 0);
}

/* ---- the leader ---- */

struct step {
    pthread_t thread;
    struct txkv_session *session;
    bool prepares;
    enum txkv_rc rc;
    struct txkv_error err;
};

static void *
run_step(void *arg)
{
    struct step *step = arg;

    step->rc = step->prepares ? txkv_prepare(step->session, NO_NOTE, &step->err)
                              : txkv_commit(step->session, TXKV_SYNC_FULL, &step->err);
    return NULL;
}

static void *
submitted_head(void)
{
    return tx_load_acquire_ptr((void *const *)&db->commit.submitted.stack.head);
}

static void
start_step(struct step *step, bool prepares, const char *key)
{
    void *before = submitted_head();

    step->prepares = prepares;
    OK(txkv_session_open(db, &step->session, &err));
    begin(step->session);
    put(step->session, key, "1");
    assert_int_equal(pthread_create(&step->thread, NULL, run_step, step), 0);
    while (submitted_head() == before && tx_load_acquire_32(&sync_waits) == 0)
        nap();
}

static void
join_step(struct step *step)
{
    assert_int_equal(pthread_join(step->thread, NULL), 0);
}

static void
a_group_ends_with_a_prepared_transaction_and_the_rest_waits(void **state)
{
    static struct step leader, before, prepares, after[3];
    char key[8];

    (void)state;
    OK(close_all());
    open_with_stall(20000);
    tx_store_release_32(&sync_held, 1);
    start_step(&leader, false, "leader");
    while (tx_load_acquire_32(&sync_waits) == 0)
        nap();
    /* One group of the rest: the leader, whoever it is, must not wait for what it has prepared. */
    {
        void *head = submitted_head();

        tx_store_release_32(&sync_waits, 0);
        start_step(&before, false, "before");
        while (submitted_head() == head)
            nap();
        head = submitted_head();
        start_step(&prepares, true, "prepared");
        while (submitted_head() == head)
            nap();
        for (int i = 0; i < 3; i++) {
            head = submitted_head();
            (void)snprintf(key, sizeof key, "z%d", i);
            start_step(&after[i], false, key);
            while (submitted_head() == head)
                nap();
        }
    }
    tx_store_release_32(&sync_held, 0);
    join_step(&leader);
    join_step(&before);
    join_step(&prepares);
    OK(leader.rc);
    OK(before.rc);
    OK(prepares.rc);
    for (int i = 0; i < 20; i++)
        nap();
    expect_scan(s1, "(,)", "before=1 leader=1 ");
    txkv_commit_prepared(prepares.session);
    for (int i = 0; i < 3; i++) {
        join_step(&after[i]);
        OK(after[i].rc);
        txkv_session_close(after[i].session);
    }
    expect_scan(s1, "(,)", "before=1 leader=1 prepared=1 z0=1 z1=1 z2=1 ");
    txkv_session_close(leader.session);
    txkv_session_close(before.session);
    txkv_session_close(prepares.session);
}

static void *
end_prepared(void *arg)
{
    struct step *step = arg;

    if (step->prepares)
        txkv_commit_prepared(s1);
    else
        txkv_rollback(s1);
    return NULL;
}

/* The second step finds the log taken, by a process that does not go on. */
static void
a_decision_that_finds_the_log_taken_is_finished_by_the_next_commit(void **state)
{
    (void)state;
    for (int commits = 0; commits < 2; commits++) {
        struct step step = { .prepares = commits != 0 };

        prepare_write(s1, "k", commits ? "1" : "never");
        OK(tx_shared_lock(db->core.shared, TX_LOCK_APPEND, 0, NULL, &err));
        assert_int_equal(pthread_create(&step.thread, NULL, end_prepared, &step), 0);
        join_step(&step);
        assert_false(txkv_in_transaction(s1));
        assert_true(has(s2, "k", NULL));
        tx_shared_unlock(db->core.shared, TX_LOCK_APPEND);
        set(s2, "other", "1");
        assert_true(has(s2, "k", commits ? "1" : NULL));
    }
    assert_int_equal(resolver.asked, 0);
}

static void
a_prepare_whose_sync_fails_is_not_prepared(void **state)
{
    (void)state;
    set(s1, "k", "old");
    begin(s1);
    put(s1, "k", "new");
    tx_store_release_32(&sync_fails, 1);
    assert_int_equal(txkv_prepare(s1, NO_NOTE, &err), TXKV_IOERR);
    assert_int_equal(txkv_prepared_lsn(s1), 0);
    txkv_rollback(s1);
    assert_true(has(s1, "k", "old"));
    begin(s2);
    put(s2, "k", "newer");
    assert_int_equal(try_commit(s2), TXKV_STOPPED);
    txkv_rollback(s2);
    tx_store_release_32(&sync_fails, 0);
    (void)close_all();
    answer(TXKV_DECIDED_ABORT);
    open_with_stall(50);
    assert_int_equal(resolver.asked, 1);
    assert_true(has(s1, "k", "old"));
}

static void
a_prepare_without_memory_leaves_the_store_as_it_was(void **state)
{
    bool failed = true;

    (void)state;
    for (uint64_t n = 1; failed; n++) {
        enum txkv_rc rc;

        begin(s1);
        put(s1, "k", "1");
        put(s1, "l", "1");
        tx_mem_fail_at(n, false);
        rc = txkv_prepare(s1, NO_NOTE, &err);
        tx_mem_fail_at(0, false);
        failed = rc != TXKV_OK;
        if (failed)
            assert_int_equal(rc, TXKV_NOMEM);
        txkv_rollback(s1);
        set(s2, "x", "1");
        expect_scan(s2, "(,)", "x=1 ");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IMPATIENT_TEST(a_prepared_transaction_is_invisible_until_it_is_committed),
        IMPATIENT_TEST(a_snapshot_taken_before_the_decision_stays_without_it),
        IMPATIENT_TEST(rolling_back_leaves_no_version_behind),
        IMPATIENT_TEST(a_prepared_transaction_that_is_taken_back_can_go_on),
        IMPATIENT_TEST(a_transaction_without_writes_is_not_prepared),
        IMPATIENT_TEST(conflicts_are_found_when_preparing),
        IMPATIENT_TEST(others_get_busy_with_the_process_id_while_one_is_prepared),
        IMPATIENT_TEST(closing_the_session_takes_a_prepared_transaction_back),
        IMPATIENT_TEST(verification_counts_a_prepared_transaction_once_it_is_committed),
        IMPATIENT_TEST(the_decision_always_follows_directly),
        IMPATIENT_TEST(the_decision_has_room_when_the_record_just_fits),
        IMPATIENT_TEST(
            what_a_process_left_that_died_while_it_prepared_or_decided_counts_for_nothing),
        IMPATIENT_TEST(a_group_ends_with_a_prepared_transaction_and_the_rest_waits),
        IMPATIENT_TEST(a_decision_that_finds_the_log_taken_is_finished_by_the_next_commit),
        IMPATIENT_TEST(a_prepare_whose_sync_fails_is_not_prepared),
        IMPATIENT_TEST(a_prepare_without_memory_leaves_the_store_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
