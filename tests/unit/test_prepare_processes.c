/*
 * test_prepare_processes.c - a transaction that one process has prepared, and the others.
 *
 * Children are forked before the parent opens the store; wait_for_step makes them take turns.
 */
#include "prepare_fixture.h"

static const struct txkv_options *
child_options(void)
{
    static struct txkv_options options;

    options = options_of(50);
    return &options;
}

static int
child_prepares(const char *key, const char *value)
{
    CHILD_DOES(child_opens(child_options()));
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_put(s1, table, text(key), text(value), &err) == TXKV_OK);
    CHILD_NEEDS(txkv_prepare(s1, text("the file"), &err) == TXKV_OK);
    return 0;
}

/* ---- an owner that lives ---- */

static bool child_commits;

static int
prepare_and_decide(void)
{
    const int line = child_prepares("k", "new");

    if (line != 0)
        return line;
    go_to_step(1);
    wait_for_step(2);
    if (child_commits)
        txkv_commit_prepared(s1);
    else
        txkv_rollback(s1);
    go_to_step(3);
    wait_for_step(4);
    return child_closes();
}

static void
others_do_not_see_it_and_wait_for_its_decision(void **state)
{
    (void)state;
    for (int commits = 0; commits < 2; commits++) {
        char pid[16];
        pid_t child;

        new_steps();
        child_commits = commits != 0;
        child = start_child(prepare_and_decide);
        (void)snprintf(pid, sizeof pid, " %d ", (int)child);
        wait_for_step(1);
        open_with_stall(100);
        assert_true(has(s1, "k", NULL));
        begin(s2);
        put(s2, "mine", "1");
        assert_int_equal(try_commit(s2), TXKV_BUSY);
        assert_non_null(strstr(err.text, pid));
        assert_int_equal(txkv_prepare(s2, NO_NOTE, &err), TXKV_BUSY);
        assert_non_null(strstr(err.text, pid));
        assert_true(has(s1, "k", NULL));
        go_to_step(2);
        wait_for_step(3);
        assert_true(has(s1, "k", commits ? "new" : NULL));
        commit(s2);
        assert_true(has(s1, "k", commits ? "new" : NULL));
        checkpoint();
        assert_true(has(s1, "k", commits ? "new" : NULL));
        assert_int_equal(resolver.asked, 0);
        go_to_step(4);
        expect_child_well(child);
        OK(close_all());
    }
}

/* Adds one to the sum in the transaction that is open. */
static enum txkv_rc
add_to_sum(void)
{
    struct txkv_bytes value = { NULL, 0 };
    uint64_t sum = 0;
    enum txkv_rc rc = txkv_get(s1, table, text("sum"), &value, &err);

    if (rc == TXKV_OK)
        memcpy(&sum, value.data, sizeof sum);
    else if (rc != TXKV_NOTFOUND)
        return rc;
    sum++;
    value = (struct txkv_bytes){ (const uint8_t *)&sum, sizeof sum };
    return txkv_put(s1, table, text("sum"), value, &err);
}

/* In one step or two; once in a while it thinks again between them. */
static enum txkv_rc
commit_somehow(uint64_t n)
{
    enum txkv_rc rc;

    if (n % 3 == 2)
        return txkv_commit(s1, TXKV_SYNC_OFF, &err);
    rc = txkv_prepare(s1, NO_NOTE, &err);
    if (rc == TXKV_OK && n % 7 == 0)
        rc = txkv_unprepare(s1, &err);
    if (rc == TXKV_OK)
        rc = txkv_prepare(s1, NO_NOTE, &err);
    if (rc == TXKV_OK)
        txkv_commit_prepared(s1);
    return rc;
}

static int
add_in_two_steps(void)
{
    const struct txkv_options options = options_of(20000);
    uint64_t n = 0;

    CHILD_NEEDS(txkv_open(dir, &options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    while (n < 100) {
        enum txkv_rc rc;

        CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
        CHILD_NEEDS(add_to_sum() == TXKV_OK);
        rc = commit_somehow(n);
        CHILD_NEEDS(rc == TXKV_OK || rc == TXKV_CONFLICT);
        txkv_rollback(s1);
        n += rc == TXKV_OK;
    }
    return child_closes();
}

static void
sums_come_out_right_with_both_kinds_of_commit(void **state)
{
    enum { CHILDREN = 3 };
    pid_t children[CHILDREN];
    struct txkv_bytes value;
    uint64_t sum;

    (void)state;
    for (int i = 0; i < CHILDREN; i++)
        children[i] = start_child(add_in_two_steps);
    for (int i = 0; i < CHILDREN; i++)
        expect_child_well(children[i]);
    reopen();
    OK(txkv_get(s1, table, text("sum"), &value, &err));
    memcpy(&sum, value.data, sizeof sum);
    assert_int_equal(sum, CHILDREN * 100);
}

/* ---- an owner that dies ---- */

static int
prepare_and_wait(void)
{
    const int line = child_prepares("k", "new");

    if (line != 0)
        return line;
    go_to_step(1);
    wait_for_step(99);
    return 0;
}

/* A child has prepared, the parent has the store open beside it, and then the child is killed. */
static void
leave_in_doubt(enum txkv_decision decision)
{
    pid_t child;
    int status;

    new_steps();
    child = start_child(prepare_and_wait);
    wait_for_step(1);
    answer(decision);
    open_with_stall(5000);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void
a_dead_owners_transaction_is_decided_by_the_next_commit(void **state)
{
    (void)state;
    for (int commits = 0; commits < 2; commits++) {
        uint64_t started;

        leave_in_doubt(commits ? TXKV_DECIDED_COMMIT : TXKV_DECIDED_ABORT);
        assert_true(has(s2, "k", NULL));
        started = tx_os_now_us();
        if (commits)
            set(s1, "mine", "1");
        else
            prepare_write(s1, "mine", "1"); /* which takes the same lock as the dead one had */
        assert_true(tx_os_now_us() - started < 100000);
        assert_int_equal(resolver.asked, 1);
        assert_string_equal(resolver.note, "the file");
        assert_true(has(s2, "k", commits ? "new" : NULL));
        if (!commits)
            txkv_commit_prepared(s1);
        assert_true(has(s2, "mine", "1"));
        OK(close_all());
        reopen();
        assert_true(has(s2, "k", commits ? "new" : NULL));
        assert_true(has(s2, "mine", "1"));
        assert_int_equal(resolver.asked, 1);
        OK(close_all());
    }
}

static void
who_commits_in_doubt_is_told_so_and_reads_go_on(void **state)
{
    const struct txkv_options told = { .decide = TXKV_DECIDED_COMMIT };

    (void)state;
    leave_in_doubt(TXKV_UNDECIDED);
    begin(s1);
    put(s1, "mine", "1");
    assert_int_equal(try_commit(s1), TXKV_INDOUBT);
    assert_non_null(strstr(err.text, "together with the file"));
    assert_int_equal(txkv_prepare(s1, NO_NOTE, &err), TXKV_INDOUBT);
    assert_int_equal(txkv_checkpoint(db, NULL, &err), TXKV_INDOUBT);
    assert_true(has(s2, "k", NULL));
    OK(try_open(dir, &told)); /* a person's word, on the store that is open */
    OK(txkv_close(other, &err));
    assert_true(has(s2, "k", "new"));
    commit(s1);
    expect_scan(s2, "(,)", "k=new mine=1 ");
}

static void
a_store_that_is_opened_beside_others_decides_too(void **state)
{
    (void)state;
    leave_in_doubt(TXKV_DECIDED_ABORT);
    OK(close_all()); /* the last one: its checkpoint decides */
    assert_int_equal(resolver.asked, 1);
    reopen();
    assert_true(has(s2, "k", NULL));
}

/* Each system call of the two steps is where the child dies. */
static uint32_t calls_left;

static void
count_down(void)
{
    if (steps->step == 1 && --calls_left == 0)
        (void)kill(getpid(), SIGKILL);
}

static int
dying_fdatasync(int fd)
{
    int rc;

    count_down();
    rc = fdatasync(fd);
    count_down();
    return rc;
}

static int
dying_lock(int fd, off_t byte, short type)
{
    int rc;

    count_down();
    rc = tx_os_system.lock(fd, byte, type);
    count_down();
    return rc;
}

static int
prepare_and_commit_dying(void)
{
    const struct txkv_options *options = child_options();

    tx_os.fdatasync = dying_fdatasync;
    tx_os.lock = dying_lock;
    CHILD_NEEDS(txkv_open(dir, options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    go_to_step(1);
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_put(s1, table, text("k"), text("new"), &err) == TXKV_OK);
    CHILD_NEEDS(txkv_prepare(s1, text("the file"), &err) == TXKV_OK);
    tx_store_release_64(&steps->number, 1); /* the native file's commit, so to say */
    txkv_commit_prepared(s1);
    go_to_step(2);
    return child_closes();
}

static void
wherever_the_owner_dies_the_store_does_what_the_resolver_says(void **state)
{
    bool survived = false;
    uint32_t n;

    (void)state;
    for (n = 1; !survived; n++) {
        pid_t child;
        int status;
        bool committed;

        OK(mkdir(in_dir("x"), 0700)); /* so that the directory is not empty */
        new_steps();
        calls_left = n;
        child = start_child(prepare_and_commit_dying);
        assert_int_equal(waitpid(child, &status, 0), child);
        survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        assert_true(survived || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        committed = steps->number == 1;
        answer(committed ? TXKV_DECIDED_COMMIT : TXKV_DECIDED_ABORT);
        open_with_stall(1000);
        assert_true(has(s1, "k", committed ? "new" : NULL));
        set(s1, "mine", "1");
        assert_true(has(s1, "k", committed ? "new" : NULL));
        OK(close_all());
        run("rm -r $a/*", dir, "");
    }
    print_message("%u points\n", n - 2);
    assert_true(n > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(others_do_not_see_it_and_wait_for_its_decision),
        DIR_TEST(sums_come_out_right_with_both_kinds_of_commit),
        DIR_TEST(a_dead_owners_transaction_is_decided_by_the_next_commit),
        DIR_TEST(who_commits_in_doubt_is_told_so_and_reads_go_on),
        DIR_TEST(a_store_that_is_opened_beside_others_decides_too),
        DIR_TEST(wherever_the_owner_dies_the_store_does_what_the_resolver_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
