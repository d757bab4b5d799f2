/*
 * test_validate.c - which transactions may commit: single keys, ranges, both isolation levels.
 *
 * Method: s1 reads, s2 commits something, s1 writes a row of its own and commits. The check has two
 * ways, one for a few single keys and one through the history; most tests go both, and across
 * checkpoints, by reading more beside what they are about.
 */
#include "store_fixture.h"

#include "../../src/validate.h"

/* What s1 reads besides. */
enum ways { FEW_KEYS, MANY_KEYS, A_RANGE, KEYS_AND_RANGES, WAYS };

static void
read_besides(enum ways way)
{
    char key[8];

    for (uint32_t i = 0; (way == MANY_KEYS || way == KEYS_AND_RANGES) && i < 3 * TX_READSET_SMALL;
         i++) {
        (void)snprintf(key, sizeof key, "n%u", i);
        assert_true(has(s1, key, NULL));
    }
    if (way == A_RANGE || way == KEYS_AND_RANGES)
        expect_scan(s1, "[y,z]", "");
    if (way == KEYS_AND_RANGES)
        expect_scan(s1, "<[w,x]", "");
    assert_int_equal(tx_readset_is_small(&s1->current->reads), way == FEW_KEYS);
}

/* What others do that matters to nobody, before and after the commit that a test is about. */
static void
go_on(bool with_checkpoint)
{
    set(s2, "other", "1");
    if (with_checkpoint)
        checkpoint();
    set(s2, "other", NULL);
}

static void
expect_conflict(const char *key)
{
    struct txkv_bytes about;
    uint32_t number;

    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    assert_true(txkv_conflict(s1, &number, &about));
    assert_int_equal(number, table);
    assert_int_equal(about.bytes, strlen(key));
    assert_memory_equal(about.data, key, about.bytes);
    txkv_rollback(s1);
}

/* ---- single keys ---- */

/* s1 reads k, which holds `before`; s2 makes it `after`. */
static void
expect_key_conflict(const char *before, const char *after)
{
    for (uint32_t i = 0; i < 2 * WAYS; i++) {
        set(s2, "k", before);
        begin(s1);
        assert_true(has(s1, "k", before));
        read_besides((enum ways)(i / 2));
        go_on(i % 2 != 0);
        set(s2, "k", after);
        go_on(i % 2 != 0);
        put(s1, "own", "1");
        expect_conflict("k");
        assert_true(has(s1, "k", after));
    }
}

static void
a_key_that_was_read_and_changed_conflicts(void **state)
{
    (void)state;
    expect_key_conflict("0", "1");
}

static void
a_key_that_was_read_and_deleted_conflicts(void **state)
{
    (void)state;
    expect_key_conflict("0", NULL);
}

static void
a_key_that_was_read_as_missing_and_inserted_conflicts(void **state)
{
    (void)state;
    expect_key_conflict(NULL, "1");
}

static void
a_key_that_was_changed_and_changed_back_conflicts(void **state)
{
    (void)state;
    expect_key_conflict("0", "0");
}

/* s2 changes three keys at once, and s1 has read one of them. */
static void
each_key_of_a_transaction_conflicts_with_its_reader(void **state)
{
    static const char *const keys[] = { "j", "k", "l" };

    (void)state;
    for (uint32_t i = 0; i < 3 * WAYS; i++) {
        begin(s1);
        (void)get(s1, keys[i % 3]);
        read_besides((enum ways)(i / 3));
        put(s1, "own", "1");
        begin(s2);
        for (uint32_t k = 0; k < 3; k++)
            put(s2, keys[k], "1");
        commit(s2);
        expect_conflict(keys[i % 3]);
    }
}

static void
a_key_that_was_not_read_never_conflicts(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2 * WAYS; i++) {
        begin(s1);
        assert_true(has(s1, "k", NULL));
        read_besides((enum ways)(i / 2));
        put(s1, "blind", "1");
        set(s2, "j", "2");
        set(s2, "l", "2");
        set(s2, "blind", "2");
        go_on(i % 2 != 0);
        commit(s1);
        assert_true(has(s2, "blind", "1"));
    }
}

static void
a_key_of_another_table_never_conflicts(void **state)
{
    const uint32_t first = table;
    uint32_t second;

    (void)state;
    OK(txkv_table(db, "second", NULL, true, &second, &err));
    for (uint32_t way = 0; way < WAYS; way++) {
        begin(s1);
        assert_true(has(s1, "k", NULL));
        expect_scan(s1, way == FEW_KEYS ? "[k,k]" : "(,)", "");
        read_besides(way == FEW_KEYS ? FEW_KEYS : KEYS_AND_RANGES);
        table = second;
        set(s2, "k", "1");
        set(s2, "n1", "1");
        set(s2, "y", "1");
        put(s1, "own", "1");
        commit(s1);
        table = first;
    }
}

/* ---- ranges ---- */

/* The table holds b and f. s1 scans the range to its end; s2 then changes one key. */
static void
try_range(const char *range, const char *key, bool conflicts, enum ways way)
{
    struct txkv_cursor *cursor;

    set(s2, "b", "0");
    set(s2, "f", "0");
    begin(s1);
    cursor = new_cursor(s1);
    (void)rest_of(cursor, seek(cursor, range));
    txkv_cursor_close(cursor);
    if (way == KEYS_AND_RANGES)
        read_besides(way);
    set(s2, key, has(s2, key, NULL) ? "new" : NULL);
    if (way == KEYS_AND_RANGES)
        checkpoint();
    put(s1, "own", "1");
    if (conflicts)
        expect_conflict(key);
    else
        commit(s1);
    if (strcmp(key, "b") != 0 && strcmp(key, "f") != 0)
        set(s2, key, NULL);
}

static void
a_change_inside_a_range_conflicts_and_one_outside_does_not(void **state)
{
    static const struct {
        const char *range, *inside[6], *outside[4];
    } cases[] = {
        { "[b,f]", { "b", "bb", "c", "f" }, { "a", "ff", "g" } },
        { "(b,f)", { "bb", "c", "e" }, { "a", "ff" } },
        { "[b,)", { "b", "c", "f", "~" }, { "a", "B" } },
        { "(,f]", { "A", "a", "b", "e", "f" }, { "ff", "g" } },
        { "(,)", { "A", "b", "d", "f", "~" }, { NULL } },
        { "[c,e]", { "c", "d", "e" }, { "b", "bz", "ea", "f" } },
        { "[f,b]", { NULL }, { "a", "c", "g" } },
        { "[d,d]", { "d" }, { "c", "dd", "b" } },
    };
    char down[16];

    (void)state;
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(down, sizeof down, "<%s", cases[i].range);
        for (uint32_t way = 0; way < 4; way++) {
            const char *range = way % 2 == 0 ? cases[i].range : down;
            const enum ways besides = way < 2 ? FEW_KEYS : KEYS_AND_RANGES;

            for (uint32_t k = 0; k < 6 && cases[i].inside[k] != NULL; k++)
                try_range(range, cases[i].inside[k], true, besides);
            for (uint32_t k = 0; k < 4 && cases[i].outside[k] != NULL; k++)
                try_range(range, cases[i].outside[k], false, besides);
        }
    }
}

static void
a_range_that_a_cursor_still_stands_in_counts(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s2, "b", "0");
    set(s2, "f", "0");
    begin(s1);
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    OK(txkv_cursor_next(cursor, &err)); /* on f */
    put(s1, "own", "1");
    set(s2, "g", "1"); /* not reached */
    commit(s1);
    txkv_cursor_close(cursor);
    begin(s1);
    cursor = new_cursor(s1);
    OK(seek(cursor, "(,)"));
    OK(txkv_cursor_next(cursor, &err));
    put(s1, "own", "2");
    set(s2, "c", "1"); /* passed */
    expect_conflict("c");
    txkv_cursor_close(cursor);
}

/* ---- who is never in conflict ---- */

static void
a_transaction_that_only_reads_never_conflicts(void **state)
{
    (void)state;
    set(s2, "k", "0");
    for (uint32_t way = 0; way < WAYS; way++) {
        begin(s1);
        assert_true(has(s1, "k", "0"));
        read_besides((enum ways)way);
        set(s2, "k", "1");
        set(s2, "y", "1");
        checkpoint();
        assert_true(has(s1, "k", "0"));
        commit(s1);
        set(s2, "k", "0");
        set(s2, "y", NULL);
    }
    assert_int_equal(stat_of("conflicts"), 0);
}

static void
writes_that_a_savepoint_has_undone_do_not_count(void **state)
{
    (void)state;
    begin(s1);
    assert_true(has(s1, "k", NULL));
    OK(txkv_savepoint(s1, 1, &err));
    put(s1, "own", "1");
    OK(txkv_rollback_to(s1, 1, &err));
    set(s2, "k", "1");
    commit(s1); /* it has nothing to write */
    begin(s1);
    txkv_set_isolation(s1, TXKV_SNAPSHOT);
    assert_true(has(s1, "k", "1"));
    OK(txkv_savepoint(s1, 1, &err));
    put(s1, "k", "2");
    OK(txkv_rollback_to(s1, 1, &err));
    put(s1, "own", "1");
    set(s2, "k", "3");
    commit(s1); /* k is only read */
    assert_true(has(s1, "k", "3"));
}

/* ---- the other level, and the way on ---- */

static void
at_snapshot_only_keys_both_read_and_written_conflict(void **state)
{
    (void)state;
    txkv_set_isolation(s1, TXKV_SNAPSHOT);
    for (uint32_t way = 0; way < WAYS; way++) {
        set(s2, "k", "0");
        set(s2, "y", NULL);
        begin(s1);
        assert_true(has(s1, "k", "0"));
        read_besides((enum ways)way);
        put(s1, "own", "1");
        set(s2, "k", "1");
        set(s2, "y", "1"); /* in a range that may have been read */
        commit(s1);
        set(s2, "y", NULL);
        begin(s1);
        assert_true(has(s1, "k", "1"));
        read_besides((enum ways)way);
        put(s1, "own", "2");
        put(s1, "k", "2");
        set(s2, "k", "3");
        set(s2, "l", "3");
        expect_conflict("k");
    }
    assert_int_equal(stat_of("conflicts_written"), WAYS);
    assert_int_equal(stat_of("conflicts_read"), 0);
}

static void
a_transaction_that_is_run_again_commits(void **state)
{
    (void)state;
    for (uint32_t way = 0; way < WAYS; way++) {
        set(s2, "k", "0");
        for (int again = 0; again < 2; again++) {
            begin(s1);
            assert_true(has(s1, "k", again ? "1" : "0"));
            read_besides((enum ways)way);
            put(s1, "k", "2");
            if (!again) {
                set(s2, "k", "1");
                expect_conflict("k");
                assert_true(has(s1, "k", "1")); /* usable at once */
            }
        }
        commit(s1);
        assert_true(has(s2, "k", "2"));
    }
}

static void
reads_older_than_the_history_conflict_about_no_key(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .overlay_limit = MIB };
    static char large[700 * KIB];
    struct txkv_bytes key;
    uint32_t number;

    (void)state;
    memset(large, 'x', sizeof large - 1);
    OK(close_all());
    reopen_with(&options);
    for (uint32_t way = 0; way < WAYS; way++) {
        begin(s1);
        assert_true(has(s1, "k", NULL));
        read_besides((enum ways)way);
        set(s2, "large", large); /* more than half of overlay_limit: not kept */
        checkpoint();
        put(s1, "own", "1");
        assert_int_equal(try_commit(s1), TXKV_CONFLICT);
        assert_non_null(strstr(err.text, "older than the history"));
        assert_false(txkv_conflict(s1, &number, &key));
        txkv_rollback(s1);
        set(s1, "own", "1");
    }
    assert_int_equal(stat_of("conflicts_history"), WAYS);
}

/* ---- one group ---- */

enum { GROUP = 8 };

struct committer {
    pthread_t thread;
    struct txkv_session *session;
    enum txkv_rc rc;
};

static void *
run_committer(void *arg)
{
    struct committer *c = arg;

    c->rc = txkv_commit(c->session, TXKV_SYNC_FULL, NULL);
    return NULL;
}

/* Start a commit and wait until its request is queued. */
static void
queue_commit(struct committer *c)
{
    void *const *head = (void *const *)&db->commit.submitted.stack.head;
    void *before = tx_load_acquire_ptr(head);

    assert_int_equal(pthread_create(&c->thread, NULL, run_committer, c), 0);
    while (tx_load_acquire_ptr(head) == before)
        nap();
}

/* Commit all sessions in one group, behind a commit of s1 that holds its sync; how many went
 * through. */
static uint32_t
commit_as_a_group(struct committer group[GROUP])
{
    struct committer leader = { .session = s1 };
    const double groups = stat_of("groups");
    uint32_t committed = 0;

    begin(s1);
    put(s1, "leader", "1");
    tx_store_release_32(&sync_held, 1);
    assert_int_equal(pthread_create(&leader.thread, NULL, run_committer, &leader), 0);
    while (tx_load_acquire_32(&sync_waits) == 0)
        nap();
    for (int i = 0; i < GROUP; i++)
        queue_commit(&group[i]);
    tx_store_release_32(&sync_held, 0);
    assert_int_equal(pthread_join(leader.thread, NULL), 0);
    OK(leader.rc);
    for (int i = 0; i < GROUP; i++) {
        assert_int_equal(pthread_join(group[i].thread, NULL), 0);
        assert_true(group[i].rc == TXKV_OK || group[i].rc == TXKV_CONFLICT);
        committed += group[i].rc == TXKV_OK;
        txkv_session_close(group[i].session);
    }
    assert_int_equal(stat_of("groups") - groups, 2);
    return committed;
}

/* Transaction i has read key `reads` and the number of the next one, or a range, and writes
 * `writes` and i. */
static void
make_group(struct committer group[GROUP], bool by_scan, const char *reads, const char *writes)
{
    char key[16];

    for (int i = 0; i < GROUP; i++) {
        struct txkv_session **s = &group[i].session;

        OK(txkv_session_open(db, s, &err));
        begin(*s);
        (void)snprintf(key, sizeof key, "%s%d", reads, (i + 1) % GROUP);
        if (by_scan)
            expect_scan(*s, "[k,l]", "");
        else
            assert_true(has(*s, key, NULL));
        (void)snprintf(key, sizeof key, "%s%d", writes, i);
        put(*s, key, "1");
    }
}

static void
of_a_group_that_inserts_into_the_range_that_all_have_read_one_commits(void **state)
{
    struct committer group[GROUP] = { 0 };

    (void)state;
    make_group(group, true, "", "k");
    assert_int_equal(commit_as_a_group(group), 1);
    assert_int_equal(stat_of("conflicts_written") + stat_of("conflicts_read"), GROUP - 1);
}

/* Each has read what the next one writes, and the last what the first one writes. In the order of
 * the queue only the last comes after a change of its key. */
static void
of_a_ring_of_reads_and_writes_in_one_group_one_conflicts(void **state)
{
    struct committer group[GROUP] = { 0 };

    (void)state;
    make_group(group, false, "k", "k");
    assert_int_equal(commit_as_a_group(group), GROUP - 1);
    assert_int_equal(group[GROUP - 1].rc, TXKV_CONFLICT);
}

static void
of_a_group_of_blind_writes_all_commit(void **state)
{
    struct committer group[GROUP] = { 0 };

    (void)state;
    for (int i = 0; i < GROUP; i++) {
        OK(txkv_session_open(db, &group[i].session, &err));
        begin(group[i].session);
        put(group[i].session, "k", "1");
    }
    assert_int_equal(commit_as_a_group(group), GROUP);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_key_that_was_read_and_changed_conflicts),
        STORE_TEST(a_key_that_was_read_and_deleted_conflicts),
        STORE_TEST(a_key_that_was_read_as_missing_and_inserted_conflicts),
        STORE_TEST(a_key_that_was_changed_and_changed_back_conflicts),
        STORE_TEST(each_key_of_a_transaction_conflicts_with_its_reader),
        STORE_TEST(a_key_that_was_not_read_never_conflicts),
        STORE_TEST(a_key_of_another_table_never_conflicts),
        STORE_TEST(a_change_inside_a_range_conflicts_and_one_outside_does_not),
        STORE_TEST(a_range_that_a_cursor_still_stands_in_counts),
        STORE_TEST(a_transaction_that_only_reads_never_conflicts),
        STORE_TEST(writes_that_a_savepoint_has_undone_do_not_count),
        STORE_TEST(at_snapshot_only_keys_both_read_and_written_conflict),
        STORE_TEST(a_transaction_that_is_run_again_commits),
        STORE_TEST(reads_older_than_the_history_conflict_about_no_key),
        STORE_TEST(of_a_group_that_inserts_into_the_range_that_all_have_read_one_commits),
        STORE_TEST(of_a_ring_of_reads_and_writes_in_one_group_one_conflicts),
        STORE_TEST(of_a_group_of_blind_writes_all_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
