/*
 * test_tables.c - dropping, renaming, listing and measuring tables of a store.
 */
#include "child_fixture.h"

static uint32_t
find(const char *name)
{
    uint32_t number = 0;
    const enum txkv_rc rc = txkv_table(db, name, NULL, false, &number, &err);

    return rc == TXKV_OK ? number : 0;
}

static uint32_t
make(const char *name)
{
    uint32_t number;

    OK(txkv_table(db, name, "s", true, &number, &err));
    return number;
}

static void
drop(uint32_t number)
{
    const enum txkv_rc rc = txkv_table_drop(db, &number, 1, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

static enum txkv_rc
rename_to(uint32_t number, const char *name)
{
    return txkv_table_rename(db, &number, &name, 1, &err);
}

/* "t u ": all tables' names, in the order of their numbers. */
static const char *
names(void)
{
    static char text[1024];
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;

    text[0] = '\0';
    while (txkv_table_next(db, &number, name))
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", name);
    return text;
}

static enum txkv_rc
read_one(struct txkv_session *s, const char *key)
{
    struct txkv_bytes value;

    return txkv_get(s, table, text(key), &value, &err);
}

/* The store as recovery finds it in a copy of the files, or after a close. */
static void
come_back(bool killed)
{
    if (killed) {
        char command[256];

        copy_store();
        (void)close_all();
        (void)snprintf(command, sizeof command,
                       "cd %s && rm -rf wal data.mdb txkv.shm && mv copy/* . && rmdir copy", dir);
        assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    } else {
        OK(close_all());
    }
    OK(txkv_open(dir, &small_store, &db, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
}

/* ---- dropping ---- */

static void
a_dropped_table_is_gone_for_later_reads_and_writes(void **state)
{
    struct txkv_cursor *cursor;

    (void)state;
    set(s1, "a", "1");
    cursor = new_cursor(s1);
    drop(table);
    assert_int_equal(read_one(s1, "a"), TXKV_SCHEMA);
    assert_non_null(strstr(err.text, "table t was dropped"));
    assert_int_equal(seek(cursor, "(,)"), TXKV_SCHEMA);
    txkv_cursor_close(cursor);
    begin(s1);
    assert_int_equal(txkv_put(s1, table, text("b"), text("2"), &err), TXKV_SCHEMA);
    assert_int_equal(txkv_delete(s1, table, text("a"), &err), TXKV_SCHEMA);
    txkv_rollback(s1);
    assert_int_equal(txkv_table_drop(db, &table, 1, &err), TXKV_SCHEMA);
    assert_int_equal(find("t"), 0);
    assert_string_equal(names(), "");
}

static void
a_snapshot_that_is_older_than_the_drop_keeps_the_rows(void **state)
{
    struct txkv_cursor *cursor;
    uint32_t again;

    (void)state;
    set(s1, "a", "1");
    checkpoint();
    set(s1, "b", "2");
    begin(s1);
    assert_true(has(s1, "a", "1"));
    cursor = new_cursor(s2);
    OK(seek(cursor, "(,)"));
    drop(table);
    checkpoint();
    again = make("t");
    assert_true(again != table);
    begin(s2);
    OK(txkv_put(s2, again, text("n"), text("new"), &err));
    checkpoint();
    assert_true(has(s1, "b", "2"));
    expect_scan(s1, "(,)", "a=1 b=2 ");
    assert_string_equal(rest_of(cursor, TXKV_OK), "a=1 b=2 ");
    txkv_cursor_close(cursor);
    txkv_rollback(s1);
    commit(s2);
    assert_int_equal(read_one(s1, "a"), TXKV_SCHEMA);
}

static void
a_table_of_the_same_name_is_another_one_and_empty(void **state)
{
    const uint32_t dropped = table;

    (void)state;
    for (int killed = 0; killed <= 1; killed++) {
        set(s1, "a", "old");
        checkpoint();
        set(s1, "b", "old");
        drop(table);
        if (killed == 0)
            checkpoint();
        table = make("t");
        assert_true(table != dropped);
        expect_scan(s1, "(,)", "");
        set(s1, "c", "new");
        come_back(killed == 1);
        assert_int_equal(find("t"), table);
        expect_scan(s1, "(,)", "c=new ");
        checkpoint();
        expect_scan(s1, "(,)", "c=new ");
    }
}

static void
a_drop_outlives_a_crash_and_a_close(void **state)
{
    (void)state;
    set(s1, "a", "1");
    (void)make("u");
    checkpoint();
    set(s1, "b", "2");
    drop(table);
    come_back(true);
    assert_string_equal(names(), "u ");
    assert_int_equal(read_one(s1, "a"), TXKV_SCHEMA);
    checkpoint();
    come_back(true);
    assert_string_equal(names(), "u ");
    come_back(false);
    assert_string_equal(names(), "u ");
    assert_int_equal(read_one(s1, "b"), TXKV_SCHEMA);
}

static void
a_transaction_that_used_a_dropped_table_does_not_commit(void **state)
{
    const uint32_t t = table, u = make("u");

    (void)state;
    begin(s1); /* has written to it */
    put(s1, "a", "1");
    OK(txkv_put(s1, u, text("a"), text("1"), &err));
    drop(t);
    assert_int_equal(try_commit(s1), TXKV_SCHEMA);
    assert_non_null(strstr(err.text, "table t was dropped"));
    txkv_rollback(s1);
    table = u;
    assert_true(has(s1, "a", NULL));
    begin(s1); /* has read it, and writes elsewhere */
    expect_scan(s1, "(,)", "");
    table = make("v");
    put(s1, "a", "1");
    drop(u);
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    txkv_rollback(s1);
    begin(s1); /* has nothing to do with it */
    put(s1, "a", "1");
    assert_true(has(s1, "b", NULL));
    drop(make("w"));
    commit(s1);
    assert_true(has(s1, "a", "1"));
}

static void
the_rows_leave_lmdb_with_the_next_checkpoint(void **state)
{
    struct txkv_table_size size;
    char key[16];

    (void)state;
    begin(s1);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        put(s1, key, "0123456789012345678901234567890123456789");
    }
    commit(s1);
    checkpoint();
    OK(txkv_table_measure(s1, table, &size, &err));
    assert_int_equal(size.rows, 5000);
    assert_true(size.tree_bytes > 5000 * 46 && size.tree_bytes < 5000 * 120);
    drop(table);
    checkpoint();
    /* A table of the other name takes the slot, and with it the database, which is empty. */
    table = make("u");
    checkpoint();
    OK(txkv_table_measure(s1, table, &size, &err));
    assert_int_equal(size.rows, 0);
    assert_int_equal(size.tree_bytes, 0);
    expect_scan(s1, "(,)", "");
}

static void
a_thousand_tables_can_be_made_and_dropped_again_and_again(void **state)
{
    static uint32_t numbers[400];
    uint32_t last = 0;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 400; i++) {
            char name[16];

            (void)snprintf(name, sizeof name, "x%d", i);
            last = numbers[i] = make(name);
        }
        table = last;
        set(s1, "a", "1");
        if (round % 2 == 0)
            checkpoint();
        OK(txkv_table_drop(db, numbers, 400, &err));
        checkpoint();
    }
    assert_string_equal(names(), "t ");
    assert_true(last > TX_TABLE_SLOTS_MAX); /* slots were used again, and no number */
    come_back(false);
    assert_string_equal(names(), "t ");
    assert_int_equal(read_one(s1, "a"), TXKV_SCHEMA);
}

/* ---- renaming ---- */

static void
a_renamed_table_keeps_number_and_rows(void **state)
{
    const uint32_t number = table;

    (void)state;
    set(s1, "a", "1");
    begin(s2);
    put(s2, "b", "2");
    OK(rename_to(number, "u"));
    assert_int_equal(find("t"), 0);
    assert_int_equal(find("u"), number);
    commit(s2);
    expect_scan(s1, "(,)", "a=1 b=2 ");
    OK(rename_to(number, "u")); /* its own name */
    for (int killed = 1; killed >= 0; killed--) {
        come_back(killed == 1);
        assert_string_equal(names(), "u ");
        assert_int_equal(find("u"), number);
        expect_scan(s1, "(,)", "a=1 b=2 ");
    }
    OK(rename_to(number, "w"));
    checkpoint();
    come_back(true);
    assert_string_equal(names(), "w ");
}

static void
a_name_that_is_taken_is_refused_and_nothing_is_renamed(void **state)
{
    const uint32_t both[] = { table, make("u") };
    const char *const to[] = { "x", "taken" };
    const char *const swapped[] = { "a", "b" };
    const char *const same[] = { "x", "x" };
    const uint32_t twice[] = { both[0], both[0] };

    (void)state;
    (void)make("taken");
    assert_int_equal(txkv_table_rename(db, both, same, 2, &err), TXKV_EXISTS);
    assert_int_equal(txkv_table_rename(db, twice, swapped, 2, &err), TXKV_MISUSE);
    assert_int_equal(txkv_table_rename(db, both, to, 2, &err), TXKV_EXISTS);
    assert_non_null(strstr(err.text, "taken"));
    assert_string_equal(names(), "t u taken ");
    OK(txkv_table_rename(db, both, swapped, 2, &err));
    assert_string_equal(names(), "a b taken ");
    assert_int_equal(rename_to(table, ""), TXKV_MISUSE);
    assert_int_equal(rename_to(77, "z"), TXKV_MISUSE);
    drop(both[1]);
    assert_int_equal(rename_to(both[1], "z"), TXKV_SCHEMA);
    OK(rename_to(both[0], "b")); /* the dropped table's name is free */
    assert_int_equal(find("b"), both[0]);
}

/* ---- other processes ---- */

static int
child_follows(void)
{
    CHILD_DOES(child_opens(&small_store));
    go_to_step(1);
    wait_for_step(2); /* t was dropped */
    CHILD_NEEDS(child_sets("a", "1", TXKV_SYNC_OFF) == TXKV_SCHEMA);
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &table, &err) == TXKV_SCHEMA);
    CHILD_NEEDS(txkv_table(db, "u", NULL, false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(child_has("k", "u"));
    go_to_step(3);
    wait_for_step(4); /* u is v, others have checkpointed, and t is another one in the old's slot */
    CHILD_NEEDS(child_sets("k", "v", TXKV_SYNC_OFF) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "u", NULL, false, &table, &err) == TXKV_SCHEMA);
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(child_has("k", "new"));
    CHILD_NEEDS(child_has("old", NULL));
    CHILD_NEEDS(child_sets("k", "newer", TXKV_SYNC_OFF) == TXKV_OK);
    go_to_step(5);
    return child_closes();
}

static void
other_processes_follow_drops_and_renames(void **state)
{
    const uint32_t first = 1;
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(child_follows);
    wait_for_step(1);
    reopen();
    set(s1, "old", "row");
    checkpoint();
    table = make("u");
    set(s1, "k", "u");
    drop(first);
    go_to_step(2);
    wait_for_step(3);
    OK(rename_to(table, "v"));
    checkpoint();
    checkpoint();
    table = make("t");
    assert_int_equal(table, first + (1u << TX_TABLE_SLOT_BITS));
    set(s1, "k", "new");
    checkpoint();
    go_to_step(4);
    wait_for_step(5);
    assert_true(has(s1, "k", "newer"));
    table = find("v");
    assert_true(has(s1, "k", "v"));
    expect_child_well(child);
}

/* Asks for names that meanwhile mean other tables, and does nothing else. */
static int
child_asks(void)
{
    uint32_t number = 0;

    CHILD_DOES(child_opens(&small_store));
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &number, &err) == TXKV_OK && number == 1);
    go_to_step(1);
    wait_for_step(2); /* t is u, and another one is t */
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &number, &err) == TXKV_OK && number != 1);
    go_to_step(3);
    wait_for_step(4); /* and that was dropped, and made again with another shape */
    CHILD_NEEDS(txkv_table(db, "t", "another", true, &number, &err) == TXKV_OK);
    go_to_step(5);
    return child_closes();
}

static void
a_name_means_what_it_means_now_in_every_process(void **state)
{
    uint32_t number;
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(child_asks);
    wait_for_step(1);
    reopen();
    OK(rename_to(1, "u"));
    number = make("t");
    go_to_step(2);
    wait_for_step(3);
    drop(number);
    OK(txkv_table(db, "t", "another", true, &number, &err));
    go_to_step(4);
    wait_for_step(5);
    expect_child_well(child);
}

/* Sleeps while others drop, rename, remake and checkpoint it all away. */
static int
child_sleeps(void)
{
    static const struct txkv_options small_segments = { .map_size = 64 * MIB,
                                                        .segment_bytes = 64 * KIB };
    uint32_t other_table;

    CHILD_DOES(child_opens(&small_segments));
    CHILD_NEEDS(txkv_table(db, "u", "", true, &other_table, &err) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    CHILD_NEEDS(child_sets("a", "1", TXKV_SYNC_OFF) == TXKV_SCHEMA);
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(table == other_table); /* u has the name now */
    CHILD_NEEDS(txkv_table(db, "u", NULL, false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(child_has("k", "new u"));
    return child_closes();
}

static void
a_process_that_slept_behind_the_log_takes_lmdbs_catalog_over(void **state)
{
    static char big[30000];
    pid_t child;
    uint32_t u;

    (void)state;
    new_steps();
    child = start_child(child_sleeps);
    wait_for_step(1);
    OK(txkv_open(dir, &small_store, &db, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
    u = find("u");
    drop(find("t"));
    OK(rename_to(u, "t"));
    checkpoint();
    table = make("u");
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 10; i++) {
        set(s1, "k", big);
        checkpoint();
    }
    set(s1, "k", "new u");
    checkpoint();
    go_to_step(2);
    expect_child_well(child);
}

/* ---- measuring ---- */

static void
rows_are_counted_exactly_whatever_the_checkpoint_has_moved(void **state)
{
    struct txkv_table_size size;

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "2");
    set(s1, "c", "3");
    checkpoint();
    set(s1, "a", "new"); /* one more version */
    set(s1, "b", NULL);
    set(s1, "d", "4");
    set(s1, "e", "5");
    set(s1, "e", NULL); /* never was in LMDB */
    begin(s2);
    put(s2, "f", "6"); /* not committed */
    OK(txkv_table_measure(s1, table, &size, &err));
    assert_int_equal(size.rows, 3);
    assert_int_equal(size.overlay_bytes, 4 + 2);
    txkv_rollback(s2);
    checkpoint();
    OK(txkv_table_measure(s1, table, &size, &err));
    assert_int_equal(size.rows, 3);
    assert_int_equal(size.overlay_bytes, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_dropped_table_is_gone_for_later_reads_and_writes),
        STORE_TEST(a_snapshot_that_is_older_than_the_drop_keeps_the_rows),
        STORE_TEST(a_table_of_the_same_name_is_another_one_and_empty),
        STORE_TEST(a_drop_outlives_a_crash_and_a_close),
        STORE_TEST(a_transaction_that_used_a_dropped_table_does_not_commit),
        STORE_TEST(the_rows_leave_lmdb_with_the_next_checkpoint),
        STORE_TEST(a_thousand_tables_can_be_made_and_dropped_again_and_again),
        STORE_TEST(a_renamed_table_keeps_number_and_rows),
        STORE_TEST(a_name_that_is_taken_is_refused_and_nothing_is_renamed),
        DIR_TEST(other_processes_follow_drops_and_renames),
        DIR_TEST(a_name_means_what_it_means_now_in_every_process),
        DIR_TEST(a_process_that_slept_behind_the_log_takes_lmdbs_catalog_over),
        STORE_TEST(rows_are_counted_exactly_whatever_the_checkpoint_has_moved),
    };

    return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
