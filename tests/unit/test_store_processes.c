/*
 * test_store_processes.c - what one process finds: permissions, and handles that fork() copied.
 */
#include "child_fixture.h"

/* ---- permissions ---- */

enum { NOBODY = 65534 };

/* Root may write everywhere, so look as somebody else. */
static int
become_nobody(void)
{
    return geteuid() == 0 ? seteuid(NOBODY) : 0;
}

static int
expect_readonly(void)
{
    CHILD_NEEDS(become_nobody() == 0);
    CHILD_NEEDS(try_open(dir, &small_store) == TXKV_READONLY);
    CHILD_NEEDS(strstr(err.text, "permission") != NULL);
    return 0;
}

static int
expect_cantopen(void)
{
    CHILD_NEEDS(become_nobody() == 0);
    CHILD_NEEDS(try_open(in_dir("new"), &small_store) == TXKV_CANTOPEN);
    CHILD_NEEDS(try_open(in_dir("store"), &small_store) == TXKV_CANTOPEN);
    return 0;
}

static void
a_directory_without_permission_is_readonly_or_cannot_be_opened(void **state)
{
    const uid_t owner = geteuid() == 0 ? NOBODY : geteuid();

    (void)state;
    OK(chown(dir, owner, (gid_t)-1));
    OK(chmod(dir, 0500)); /* an empty directory that cannot be written */
    expect_child_well(start_child(expect_readonly));
    OK(chmod(dir, 0700));
    OK(try_open(in_dir("store"), &small_store));
    OK(txkv_close(other, &err));
    OK(chmod(dir, 0));
    expect_child_well(start_child(expect_cantopen));
    OK(chmod(dir, 0700));
}

/* ---- reading without permission to write ---- */

static void
let_others_read(void)
{
    char command[256];

    OK(chmod(dir, 0755));
    (void)snprintf(command, sizeof command,
                   "cd %s && chmod 755 wal && chmod 644 data.mdb txkv.shm && chmod 666 lock.mdb && "
                   "{ chmod -f 644 wal/* || true; }",
                   dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

static int
open_as_nobody(void)
{
    CHILD_NEEDS(become_nobody() == 0);
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    return 0;
}

static bool
nobody_reads(const char *key, const char *value)
{
    struct txkv_bytes found;

    return txkv_get(s1, table, text(key), &found, &err) == TXKV_OK &&
           found.bytes == strlen(value) && memcmp(found.data, value, found.bytes) == 0;
}

/* Whatever would write says so, and nothing happens. */
static int
nobody_writes(void)
{
    uint32_t number;
    struct txkv_recovery_report report;

    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_put(s1, table, text("k"), text("mine"), &err) == TXKV_OK);
    CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_OFF, &err) == TXKV_READONLY);
    CHILD_NEEDS(strstr(err.text, "permission") != NULL);
    txkv_rollback(s1);
    CHILD_NEEDS(txkv_table(db, "u", "(k, v)", true, &number, &err) == TXKV_READONLY);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_READONLY);
    CHILD_NEEDS(txkv_verify(db, &report, &err) == TXKV_READONLY);
    return 0;
}

static int
read_beside_a_writer(void)
{
    int line;

    wait_for_step(1);
    line = open_as_nobody();
    if (line == 0)
        line = nobody_writes();
    if (line != 0)
        return line;
    CHILD_NEEDS(nobody_reads("k", "1"));
    go_to_step(2);
    wait_for_step(3); /* meanwhile the log went on in new files, and LMDB took the first part */
    CHILD_NEEDS(nobody_reads("k", "2"));
    CHILD_NEEDS(nobody_reads("row 899", "in a new file, which others may read as well"));
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

static void
who_may_not_write_reads_beside_one_who_may(void **state)
{
    pid_t child;

    (void)state;
    if (geteuid() != 0)
        skip(); /* it takes two users */
    new_steps();
    child = start_child(read_beside_a_writer);
    reopen();
    set(s1, "k", "1");
    let_others_read();
    OK(close_all()); /* so that new files follow data.mdb */
    reopen();
    set(s1, "k", "1");
    go_to_step(1);
    wait_for_step(2);
    for (int i = 0; i < 900; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "row %d", i);
        set(s1, key, "in a new file, which others may read as well");
        if (i == 300)
            checkpoint();
    }
    set(s1, "k", "2");
    go_to_step(3);
    expect_child_well(child);
    set(s1, "k", "3");
}

static int
read_alone(void)
{
    int line = open_as_nobody();

    if (line == 0)
        line = nobody_writes();
    if (line != 0)
        return line;
    CHILD_NEEDS(nobody_reads("k", "1"));
    go_to_step(1);
    wait_for_step(2); /* a writer has come */
    CHILD_NEEDS(!nobody_reads("k", "2"));
    CHILD_NEEDS(err.rc == TXKV_BUSY);
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

static int
find_it_unclosed(void)
{
    CHILD_NEEDS(become_nobody() == 0);
    CHILD_NEEDS(try_open(dir, &small_store) == TXKV_READONLY);
    CHILD_NEEDS(strstr(err.text, "recovered") != NULL);
    return 0;
}

static int
write_and_die(void)
{
    CHILD_NEEDS(txkv_open(dir, &small_store, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_put(s1, table, text("k"), text("4"), &err) == TXKV_OK);
    CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_OFF, &err) == TXKV_OK);
    return 0;
}

static void
who_may_not_write_reads_a_closed_store_until_somebody_opens_it(void **state)
{
    pid_t child;

    (void)state;
    if (geteuid() != 0)
        skip(); /* it takes two users */
    new_steps();
    reopen();
    set(s1, "k", "1");
    let_others_read();
    OK(close_all());
    child = start_child(read_alone);
    wait_for_step(1);
    reopen();
    set(s1, "k", "2");
    go_to_step(2);
    expect_child_well(child);
    OK(close_all());
    expect_child_well(start_child(write_and_die));
    expect_child_well(start_child(find_it_unclosed));
    reopen();
    assert_true(has(s1, "k", "4"));
}

/* ---- fork ---- */

static struct txkv_cursor *parents_cursor;

static int
use_handles_of_the_parent(void)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_session *session;
    struct txkv_cursor *cursor;
    struct txkv_bytes value;
    struct txkv_stat stats[TXKV_STATS_MAX];
    struct txkv_recovery_report report;
    uint32_t number;

    CHILD_NEEDS(txkv_session_open(db, &session, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_table(db, "t", NULL, true, &number, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_verify(db, &report, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_stats(db, stats) == 0);
    CHILD_NEEDS(txkv_begin(s2, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_get(s1, table, text("k"), &value, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_put(s1, table, text("k"), text("2"), &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_delete(s1, table, text("k"), &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_savepoint(s1, 0, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_rollback_to(s1, 0, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_release(s1, 0, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_FULL, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_cursor_open(s1, table, &cursor, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_cursor_seek(parents_cursor, &all, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_cursor_next(parents_cursor, &err) == TXKV_FORKED);
    CHILD_NEEDS(txkv_row_estimate(s1, table) == 0);
    txkv_rollback(s1);
    txkv_cursor_close(parents_cursor);
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_FORKED);
    return 0;
}

/* The store itself may be opened: the child is a process like any other. */
static int
open_what_the_parent_has(void)
{
    struct txkv_session *session;
    struct txkv_bytes value;
    uint32_t number;

    CHILD_NEEDS(try_open(dir, &small_store) == TXKV_OK);
    CHILD_NEEDS(txkv_table(other, "t", NULL, false, &number, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(other, &session, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_get(session, number, text("k"), &value, &err) == TXKV_OK);
    txkv_session_close(session);
    CHILD_NEEDS(txkv_close(other, &err) == TXKV_OK);
    return 0;
}

static int
open_what_the_parent_closed(void)
{
    wait_for_step(1);
    CHILD_NEEDS(try_open(dir, &small_store) == TXKV_OK);
    CHILD_NEEDS(txkv_close(other, &err) == TXKV_OK);
    return 0;
}

static void
a_forked_child_can_do_nothing_with_its_parents_store(void **state)
{
    pid_t child;

    (void)state;
    set(s1, "k", "1");
    begin(s1);
    put(s1, "own", "1");
    parents_cursor = new_cursor(s1);
    OK(seek(parents_cursor, "(,)"));
    expect_child_well(start_child(use_handles_of_the_parent));
#ifndef TX_TSAN /* which starts no threads in a child of a process with threads */
    expect_child_well(start_child(open_what_the_parent_has));
#else
    (void)open_what_the_parent_has;
#endif
    assert_string_equal(rest_of(parents_cursor, TXKV_OK), "k=1 own=1 ");
    txkv_cursor_close(parents_cursor);
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    checkpoint();
#ifndef TX_TSAN
    new_steps();
    child = start_child(open_what_the_parent_closed); /* must not keep the lock alive */
    OK(close_all());
    go_to_step(1);
    expect_child_well(child);
    reopen();
    expect_scan(s1, "(,)", "k=1 own=1 ");
#else
    (void)child;
    (void)open_what_the_parent_closed;
#endif
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_directory_without_permission_is_readonly_or_cannot_be_opened),
        DIR_TEST(who_may_not_write_reads_beside_one_who_may),
        DIR_TEST(who_may_not_write_reads_a_closed_store_until_somebody_opens_it),
        STORE_TEST(a_forked_child_can_do_nothing_with_its_parents_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
