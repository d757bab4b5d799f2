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
    CHILD_NEEDS(txkv_open(dir, &tiny, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", NULL, false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    for (int i = 0; i < 100; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "big %d", i);
        CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
        CHILD_NEEDS(txkv_put(s1, table, text(key), text(value), &err) == TXKV_OK);
        CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_OFF, &err) == TXKV_OK);
    }
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(who_only_writes_can_checkpoint_after_another_process_enlarged_the_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
