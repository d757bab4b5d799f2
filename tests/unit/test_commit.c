/*
 * test_commit.c - groups, first committer wins, and commits that fail.
 */
#include "store_fixture.h"

/* A commit in a thread of its own; the test's thread joins it and looks at the result. */
struct committer {
    pthread_t thread;
    struct txkv_session *session;
    enum txkv_sync sync;
    enum txkv_rc rc;
    struct txkv_error err;
};

static void *
run_committer(void *arg)
{
    struct committer *c = arg;

    c->rc = txkv_commit(c->session, c->sync, &c->err);
    return NULL;
}

static void *
submitted_head(void)
{
    return tx_load_acquire_ptr((void *const *)&db->commit.submitted.stack.head);
}

/* Start a commit that leads and waits in its sync. */
static void
start_leader(struct committer *c, struct txkv_session *session)
{
    *c = (struct committer){ .session = session, .sync = TXKV_SYNC_FULL };
    tx_store_release_32(&sync_held, 1);
    assert_int_equal(pthread_create(&c->thread, NULL, run_committer, c), 0);
    while (tx_load_acquire_32(&sync_waits) == 0)
        nap();
}

/* Start `run` and wait until it has pushed its request. */
static void
start_behind(pthread_t *thread, void *(*run)(void *), void *arg)
{
    void *before = submitted_head();

    assert_int_equal(pthread_create(thread, NULL, run, arg), 0);
    while (submitted_head() == before)
        nap();
}

/* Transactions that write k0, k1, ... and are still to be committed. */
static void
open_waiting(struct committer *waiting, int count)
{
    char key[8];

    for (int i = 0; i < count; i++) {
        waiting[i] = (struct committer){ .sync = TXKV_SYNC_FULL };
        OK(txkv_session_open(db, &waiting[i].session, &err));
        begin(waiting[i].session);
        (void)snprintf(key, sizeof key, "k%d", i);
        put(waiting[i].session, key, "x");
    }
}

static void
join(struct committer *c)
{
    assert_int_equal(pthread_join(c->thread, NULL), 0);
}

/* ---- groups ---- */

static void
commits_that_wait_for_a_sync_share_the_next_one(void **state)
{
    enum { COUNT = 8 };
    static struct committer leader, waiting[COUNT];
    double syncs, groups;

    (void)state;
    open_waiting(waiting, COUNT);
    begin(s1);
    put(s1, "first", "x");
    syncs = stat_of("fdatasyncs");
    groups = stat_of("groups");
    start_leader(&leader, s1);
    for (int i = 0; i < COUNT; i++)
        start_behind(&waiting[i].thread, run_committer, &waiting[i]);
    assert_true(has(s2, "first", NULL)); /* nothing is visible before its sync */
    tx_store_release_32(&sync_held, 0);
    join(&leader);
    OK(leader.rc);
    for (int i = 0; i < COUNT; i++) {
        join(&waiting[i]);
        OK(waiting[i].rc);
        if (i > 0)
            assert_true(txkv_last_lsn(waiting[i].session) >
                        txkv_last_lsn(waiting[i - 1].session)); /* in the order of arrival */
    }
    for (int i = 0; i < COUNT; i++)
        txkv_session_close(waiting[i].session);
    assert_int_equal(stat_of("fdatasyncs") - syncs, 2);
    assert_int_equal(stat_of("groups") - groups, 2);
    expect_scan(s2, "(,)", "first=x k0=x k1=x k2=x k3=x k4=x k5=x k6=x k7=x ");
}

struct counter_thread {
    pthread_t thread;
    uint32_t number, done, conflicts, errors;
    enum txkv_sync sync;
};

enum { THREADS = 12, ROUNDS = 400 };

/* Adds one to a counter all threads share, again until it wins, and writes a key of its own. */
static void *
count_up(void *arg)
{
    struct counter_thread *t = arg;
    struct txkv_session *session;
    char own[16];

    if (txkv_session_open(db, &session, NULL) != TXKV_OK) {
        t->errors = 1;
        return NULL;
    }
    (void)snprintf(own, sizeof own, "own%u", t->number);
    while (t->done < ROUNDS && t->errors == 0) {
        struct txkv_bytes value;
        uint64_t n = 0;
        enum txkv_rc rc = txkv_begin(session, NULL);

        if (rc == TXKV_OK)
            rc = txkv_get(session, table, text("counter"), &value, NULL);
        if (rc == TXKV_OK)
            memcpy(&n, value.data, sizeof n);
        n++;
        value = (struct txkv_bytes){ (const uint8_t *)&n, sizeof n };
        if (rc == TXKV_OK || rc == TXKV_NOTFOUND)
            rc = txkv_put(session, table, text("counter"), value, NULL);
        if (rc == TXKV_OK)
            rc = txkv_put(session, table, text(own), value, NULL);
        if (rc == TXKV_OK)
            rc = txkv_commit(session, t->number == 0 ? TXKV_SYNC_NORMAL : TXKV_SYNC_OFF, NULL);
        txkv_rollback(session);
        if (rc == TXKV_OK)
            t->done++;
        else if (rc == TXKV_CONFLICT)
            t->conflicts++;
        else
            t->errors++;
    }
    txkv_session_close(session);
    return NULL;
}

static void
many_threads_lose_no_update(void **state)
{
    struct counter_thread threads[THREADS] = { 0 };
    struct txkv_bytes value;
    uint32_t conflicts = 0;
    uint64_t n;

    (void)state;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].number = i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, count_up, &threads[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        checkpoint();
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].errors, 0);
        assert_int_equal(threads[i].done, ROUNDS);
        conflicts += threads[i].conflicts;
    }
    OK(txkv_get(s1, table, text("counter"), &value, &err));
    memcpy(&n, value.data, sizeof n);
    assert_int_equal(n, THREADS * ROUNDS);
    assert_int_equal(stat_of("commits"), THREADS * ROUNDS);
    assert_int_equal(stat_of("conflicts"), conflicts);
}

/* Blind commits without a pause: a leader must hand on, or its own caller would never return. */
static void *
commit_blindly(void *arg)
{
    struct counter_thread *t = arg;
    struct txkv_session *session;
    char key[16];

    if (txkv_session_open(db, &session, NULL) != TXKV_OK) {
        t->errors = 1;
        return NULL;
    }
    for (uint32_t i = 0; i < (t->sync == TXKV_SYNC_OFF ? 5 * ROUNDS : ROUNDS / 2); i++) {
        (void)snprintf(key, sizeof key, "%u-%u", t->number, i % 10);
        if (txkv_begin(session, NULL) != TXKV_OK ||
            txkv_put(session, table, text(key), text("x"), NULL) != TXKV_OK ||
            txkv_commit(session, t->sync, NULL) != TXKV_OK)
            t->errors++;
    }
    txkv_session_close(session);
    return NULL;
}

static void
leadership_is_handed_on_among_many_threads(void **state)
{
    struct counter_thread threads[THREADS] = { 0 };

    (void)state;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].number = i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, commit_blindly, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].errors, 0);
    }
    assert_int_equal(stat_of("commits"), THREADS * 5 * ROUNDS);
    assert_int_equal(tx_load_acquire_32(&db->commit.leading), 0);
}

/* ---- rooms ---- */

enum { MANY = TX_GATHER_FEW_MAX + 4 };

/*
 * Goal: many committers of a group are woken by one signal of the room that they sleep in; one that
 * has read, and may have to be told that it lost, by its own.
 */
static void
many_that_wait_for_a_sync_are_woken_in_one_room(void **state)
{
    static struct committer leader, waiting[MANY];
    double groups;

    (void)state;
    open_waiting(waiting, MANY);
    assert_true(has(waiting[0].session, "missing", NULL));
    begin(s1);
    put(s1, "first", "x");
    groups = stat_of("groups");
    db->commit.gather.last = MANY; /* nobody is waited for: wait_us is 0 */
    start_leader(&leader, s1);
    assert_int_equal(tx_load_acquire_32(&db->commit.room), 1);
    for (int i = 0; i < MANY; i++)
        start_behind(&waiting[i].thread, run_committer, &waiting[i]);
    tx_store_release_32(&sync_held, 0);
    join(&leader);
    OK(leader.rc);
    for (int i = 0; i < MANY; i++) {
        join(&waiting[i]);
        OK(waiting[i].rc);
        assert_int_equal(tx_event_value(&waiting[i].session->done), i == 0);
        txkv_session_close(waiting[i].session);
    }
    assert_int_equal(stat_of("groups") - groups, 2);
    assert_int_equal(tx_event_value(&db->commit.rooms[0]), 1);
    assert_int_equal(tx_event_value(&db->commit.rooms[1]), 0);
}

/* Goal: nobody sleeps on in a room, also when the leader's place is handed on to one in it. */
static void
of_many_that_sync_all_return(void **state)
{
    static struct counter_thread threads[2 * MANY];

    (void)state;
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        threads[i] = (struct counter_thread){ .number = i, .sync = TXKV_SYNC_FULL };
        assert_int_equal(pthread_create(&threads[i].thread, NULL, commit_blindly, &threads[i]), 0);
    }
    for (int i = 0; i < 2 * MANY; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].errors, 0);
    }
    assert_int_equal(stat_of("commits"), 2 * MANY * (ROUNDS / 2));
    assert_true(tx_event_value(&db->commit.rooms[0]) > 0);
    assert_true(tx_event_value(&db->commit.rooms[1]) > 0);
}

/* ---- conflicts ---- */

static void
the_first_committer_wins(void **state)
{
    (void)state;
    set(s1, "k", "0");
    begin(s1);
    begin(s2);
    assert_true(has(s1, "k", "0"));
    assert_true(has(s2, "k", "0"));
    put(s1, "k", "1");
    put(s2, "k", "2");
    commit(s2);
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    assert_int_equal(err.rc, TXKV_CONFLICT);
    assert_non_null(strstr(err.text, "table t: key k was changed"));
    assert_true(txkv_in_transaction(s1));
    assert_true(has(s1, "k", "1")); /* still open, as it was */
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_rollback(s1);
    assert_true(has(s1, "k", "2"));
    assert_int_equal(stat_of("conflicts_written"), 2);
}

static void
blind_writes_and_plain_reads_never_conflict(void **state)
{
    (void)state;
    set(s1, "a", "0");
    set(s1, "b", "0");
    begin(s1);
    put(s1, "b", "1"); /* not read */
    set(s2, "a", "2");
    set(s2, "b", "2");
    assert_true(has(s1, "b", "1")); /* its own write: no read of the store */
    commit(s1);
    expect_scan(s1, "(,)", "a=2 b=1 ");
    begin(s1);
    assert_true(has(s1, "a", "2"));
    set(s2, "a", "3");
    assert_true(has(s1, "a", "2"));
    commit(s1); /* it wrote nothing: it stands at its snapshot */
}

static void
a_key_that_was_only_read_conflicts_unless_a_snapshot_is_enough(void **state)
{
    (void)state;
    set(s1, "a", "0");
    begin(s1);
    assert_true(has(s1, "a", "0"));
    put(s1, "b", "1");
    set(s2, "a", "2");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    assert_int_equal(stat_of("conflicts_read"), 1);
    txkv_set_isolation(s1, TXKV_SNAPSHOT);
    commit(s1);
    expect_scan(s1, "(,)", "a=2 b=1 ");
}

static void
a_key_read_as_missing_conflicts_with_its_insert(void **state)
{
    (void)state;
    begin(s1);
    assert_true(has(s1, "k", NULL));
    put(s1, "k", "1");
    set(s2, "k", "2");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_rollback(s1);
    begin(s1);
    assert_true(has(s1, "k", "2"));
    erase(s1, "k");
    set(s2, "k", NULL);
    set(s2, "k", "3");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_rollback(s1);
}

static void
a_scan_reads_as_far_as_it_went(void **state)
{
    static const struct {
        const char *range, *key; /* two rows of b, d, f, h are taken, then key is written */
        enum txkv_rc rc;
    } cases[] = {
        { "(,)", "a", TXKV_CONFLICT },   { "(,)", "c", TXKV_CONFLICT },
        { "(,)", "e", TXKV_OK },         { "<(,)", "i", TXKV_CONFLICT },
        { "<(,)", "e", TXKV_OK },        { "[c,)", "b", TXKV_OK },
        { "[c,)", "c", TXKV_CONFLICT },  { "[c,)", "g", TXKV_OK },
        { "[e,g]", "g", TXKV_CONFLICT }, { "[e,g]", "h", TXKV_OK },
        { "[c,c]", "c", TXKV_CONFLICT },
    };

    (void)state;
    set(s1, "b", "0");
    set(s1, "d", "0");
    checkpoint();
    set(s1, "f", "0");
    set(s1, "h", "0");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct txkv_cursor *cursor = new_cursor(s1);

        begin(s1);
        if (seek(cursor, cases[i].range) == TXKV_OK)
            (void)!txkv_cursor_next(cursor, &err);
        begin(s2);
        put(s2, cases[i].key, "0");
        commit(s2);
        put(s1, cases[i].key, "0");
        if (i % 2 == 0) /* with the cursor open or closed */
            txkv_cursor_close(cursor);
        assert_int_equal(try_commit(s1), cases[i].rc);
        txkv_rollback(s1);
        if (i % 2 != 0)
            txkv_cursor_close(cursor);
        if (strchr("bdfh", cases[i].key[0]) == NULL)
            set(s2, cases[i].key, NULL);
    }
}

static void
a_conflict_is_found_in_the_history_after_a_checkpoint(void **state)
{
    (void)state;
    set(s1, "k", "0");
    set(s1, "other", "0");
    begin(s1);
    assert_true(has(s1, "k", "0"));
    put(s1, "k", "1");
    set(s2, "other", "1");
    checkpoint();
    set(s2, "other", "2");
    checkpoint();
    commit(s1); /* nobody wrote k: the memtables were kept for this check */
    begin(s1);
    assert_true(has(s1, "k", "1"));
    put(s1, "k", "2");
    set(s2, "k", "3");
    checkpoint();
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    assert_int_equal(stat_of("conflicts_history"), 0);
    txkv_rollback(s1);
}

static void
a_snapshot_older_than_the_history_is_refused_if_what_it_read_matters(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .overlay_limit = MIB };
    static char large[700 * KIB];

    (void)state;
    memset(large, 'x', sizeof large - 1);
    OK(close_all());
    reopen_with(&options);
    begin(s1);
    assert_true(has(s1, "k", NULL));
    set(s2, "large", large); /* more than half of overlay_limit: not kept */
    checkpoint();
    put(s1, "blind", "1");
    put(s1, "k", "1");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    assert_non_null(strstr(err.text, "history"));
    assert_int_equal(stat_of("conflicts_history"), 1);
    txkv_rollback(s1);
    begin(s1);
    assert_true(has(s1, "k", NULL));
    set(s2, "large", large);
    checkpoint();
    put(s1, "blind", "1");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_set_isolation(s1, TXKV_SNAPSHOT); /* it wrote nothing that it read */
    commit(s1);
    begin(s1);
    put(s1, "blind", "2"); /* and this one read nothing */
    set(s2, "large", large);
    checkpoint();
    commit(s1);
}

/* Who makes a table waits for the leader with the catalog locked, and the leader finds a conflict,
 * whose message names a table. */
static enum txkv_rc table_rc;

static void *
make_table(void *arg)
{
    uint32_t number;

    (void)arg;
    table_rc = txkv_table(db, "other", "", true, &number, NULL);
    return NULL;
}

static void
a_conflict_beside_a_new_table_does_not_hang(void **state)
{
    struct committer leader, loser = { .sync = TXKV_SYNC_OFF };
    pthread_t maker;

    (void)state;
    OK(txkv_session_open(db, &loser.session, &err));
    begin(loser.session);
    (void)get(loser.session, "k");
    put(loser.session, "k", "1");
    set(s2, "k", "2");
    begin(s1);
    put(s1, "x", "1");
    start_leader(&leader, s1);
    start_behind(&loser.thread, run_committer, &loser);
    start_behind(&maker, make_table, NULL);
    tx_store_release_32(&sync_held, 0);
    join(&leader);
    join(&loser);
    assert_int_equal(pthread_join(maker, NULL), 0);
    OK(leader.rc);
    assert_int_equal(loser.rc, TXKV_CONFLICT);
    assert_non_null(strstr(loser.err.text, "key k"));
    OK(table_rc);
    txkv_session_close(loser.session);
}

/* Goal: a group that does not sync is not waited with for company, whatever the last sync's had. */
static void
commits_that_do_not_sync_forget_who_shared_the_last_sync(void **state)
{
    (void)state;
    db->commit.gather.last = 50;
    OK(txkv_begin(s1, &err));
    OK(txkv_put(s1, table, (struct txkv_bytes){ (const uint8_t *)"k", 1 },
                (struct txkv_bytes){ (const uint8_t *)"v", 1 }, &err));
    OK(txkv_commit(s1, TXKV_SYNC_NORMAL, &err));
    assert_int_equal(db->commit.gather.last, 0);
}

static pthread_t last_syncer;

static int
noted_fdatasync(int fd)
{
    const int e = hooked_fdatasync(fd);

    last_syncer = pthread_self(); /* one sync at a time; looked at when all have been joined */
    return e;
}

/* Goal: of two committers the one whose commit is done does not lead the other's, in which time it
 * could come along. */
static void
a_leader_among_few_gives_its_place_away_when_it_is_served(void **state)
{
    struct committer leader, second = { .sync = TXKV_SYNC_FULL };
    double syncs;

    (void)state;
    OK(txkv_session_open(db, &second.session, &err));
    begin(second.session);
    put(second.session, "b", "1");
    begin(s1);
    put(s1, "a", "1");
    syncs = stat_of("fdatasyncs");
    tx_os.fdatasync = noted_fdatasync;
    start_leader(&leader, s1);
    start_behind(&second.thread, run_committer, &second);
    tx_store_release_32(&sync_held, 0);
    join(&leader);
    join(&second);
    tx_os.fdatasync = hooked_fdatasync;
    OK(leader.rc);
    OK(second.rc);
    assert_int_equal(stat_of("fdatasyncs") - syncs, 2);
    assert_true(pthread_equal(last_syncer, second.thread));
    txkv_session_close(second.session);
    expect_scan(s2, "(,)", "a=1 b=1 ");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(commits_that_wait_for_a_sync_share_the_next_one),
        STORE_TEST(many_threads_lose_no_update),
        STORE_TEST(leadership_is_handed_on_among_many_threads),
        STORE_TEST(many_that_wait_for_a_sync_are_woken_in_one_room),
        STORE_TEST(of_many_that_sync_all_return),
        STORE_TEST(the_first_committer_wins),
        STORE_TEST(blind_writes_and_plain_reads_never_conflict),
        STORE_TEST(a_key_that_was_only_read_conflicts_unless_a_snapshot_is_enough),
        STORE_TEST(a_key_read_as_missing_conflicts_with_its_insert),
        STORE_TEST(a_scan_reads_as_far_as_it_went),
        STORE_TEST(a_conflict_is_found_in_the_history_after_a_checkpoint),
        STORE_TEST(a_snapshot_older_than_the_history_is_refused_if_what_it_read_matters),
        STORE_TEST(a_conflict_beside_a_new_table_does_not_hang),
        STORE_TEST(commits_that_do_not_sync_forget_who_shared_the_last_sync),
        STORE_TEST(a_leader_among_few_gives_its_place_away_when_it_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
