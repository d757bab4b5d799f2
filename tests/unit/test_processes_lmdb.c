/*
 * test_processes_lmdb.c - LMDB's map and tables as another process leaves them.
 *
 * Goal: who has not looked at LMDB for a while takes over what others have made of it, whichever of
 * its threads comes first.
 * Method: a child enlarges the map while the parent only writes.
 */
#include "child_fixture.h"

static const struct txkv_options tiny = { .map_size = MIB };

static int
enlarge_the_map(void)
{
    static char value[60000];

    memset(value, 'x', sizeof value - 1);
    wait_for_step(1);
    CHILD_DOES(child_opens(&tiny));
    for (int i = 0; i < 100; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "big %d", i);
        CHILD_NEEDS(child_sets(key, value, TXKV_SYNC_OFF) == TXKV_OK);
    }
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    return child_closes();
}

static void
who_only_writes_can_checkpoint_after_another_process_enlarged_the_map(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(enlarge_the_map);
    reopen_with(&tiny);
    go_to_step(1);
    expect_child_well(child);
    set(s1, "k", "v");
    checkpoint();
    assert_true(stat_of("lmdb_map_bytes") > 6 * MIB);
    assert_true(has(s1, "k", "v"));
}

/* ---- what one process does to LMDB and the log is seen by the others ---- */

static int
grow_the_map(void)
{
    static char value[60000];

    memset(value, 'x', sizeof value - 1);
    CHILD_NEEDS(txkv_open(dir, &(struct txkv_options){ .map_size = MIB }, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    go_to_step(1);
    wait_for_step(2);
    for (int i = 0; i < 100; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "big %d", i);
        CHILD_NEEDS(child_sets(key, value, TXKV_SYNC_OFF) == TXKV_OK);
    }
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    go_to_step(3);
    wait_for_step(4);
    CHILD_NEEDS(child_has("k", "v"));
    return child_closes();
}

static void
a_map_that_another_process_enlarged_is_taken_over(void **state)
{
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(grow_the_map);
    wait_for_step(1);
    reopen_with(&tiny);
    assert_null(get(s1, "k"));
    go_to_step(2);
    wait_for_step(3);
    assert_true(get_bytes(s1, "big 99") == 59999);
    assert_true(stat_of("lmdb_map_bytes") > 6 * MIB);
    set(s1, "k", "v");
    checkpoint();
    go_to_step(4);
    expect_child_well(child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(who_only_writes_can_checkpoint_after_another_process_enlarged_the_map),
        DIR_TEST(a_map_that_another_process_enlarged_is_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
