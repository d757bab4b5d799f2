/*
 * test_tree_processes.c - what another process has left in the tree that died as it committed.
 *
 * LMDB writes a commit's meta page and then tells readers of it, by the transaction's number in
 * lock.mdb. Between the two is a sync, a good moment to be killed; until somebody takes the
 * writer's mutex, of which he is told that its owner died, reads see the state before. A child
 * brings this about: it commits, winds the number back, and dies while it holds the mutex.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "tree_fixture.h"

#include "../../src/tree_private.h"

enum {
    OWN = 1, /* tables: one that all know, one that the child made, one that comes after it */
    OTHERS = 2,
    NEW = 3,
    NUMBER_AT = 8 + sizeof(pthread_mutex_t) /* of LMDB's lock file: mtb_txnid */
};

/* Wind the last transaction's number back by one. */
static bool
wind_back(uint64_t newest)
{
    uint64_t number = 0;
    char path[80];
    int fd;
    bool ok;

    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    fd = open(path, O_RDWR);
    ok = fd >= 0 && pread(fd, &number, sizeof number, NUMBER_AT) == sizeof number &&
         number == newest;
    number--;
    return ok && pwrite(fd, &number, sizeof number, NUMBER_AT) == sizeof number;
}

/* Never returns. */
static void
commit_and_die(int go)
{
    struct tx_tree_batch *batch;
    struct tx_tree *tree;
    MDB_txn *txn;
    uint64_t newest;
    char byte;

    if (read(go, &byte, 1) != 1 ||
        tx_tree_open(dir, MIB, NULL, TX_TREE_JOINS, &tree, &err) != TXKV_OK ||
        tx_tree_batch_begin(tree, &batch, &err) != TXKV_OK || define(batch, OTHERS) != TXKV_OK ||
        put(batch, OTHERS, "k", "others") != TXKV_OK || commit(batch, 200) != TXKV_OK ||
        mdb_txn_begin(tree->env, NULL, 0, &txn) != 0)
        _exit(1);
    newest = mdb_txn_id(txn) - 1;
    _exit(wind_back(newest) ? 0 : 2);
}

/* A tree with table OWN, opened before the child has committed OTHERS and died. */
static struct tx_tree *
open_beside_the_dead(void)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree;
    int go[2], status;
    pid_t pid;

    assert_int_equal(pipe(go), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        commit_and_die(go[0]);
    tree = open_tree(MIB);
    fill(tree, OWN, 100, keys, 1);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(go[0]);
    (void)close(go[1]);
    return tree;
}

static void
a_batch_knows_the_tables_of_a_process_that_died_in_its_commit(void **state)
{
    struct tx_tree *tree = open_beside_the_dead();
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;
    bool full;

    (void)state;
    assert_int_equal(begin(read), 100); /* as was said above */
    tx_tree_read_end(read);
    batch = begin_batch(tree);
    assert_int_equal(begin(read), 200);
    assert_true(sees(read, OTHERS, "k", "others"));
    OK(tx_tree_batch_drop(batch, OTHERS, &full, &err));
    OK(commit(batch, 300));
    tx_tree_read_end(read);
    assert_int_equal(begin(read), 300);
    assert_true(sees(read, OTHERS, "k", NULL));
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
a_table_that_a_batch_makes_is_not_taken_for_one_of_the_dead(void **state)
{
    struct tx_tree *tree = open_beside_the_dead();
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch = begin_batch(tree);

    (void)state;
    OK(define(batch, NEW));
    assert_int_equal(begin(read), 200); /* would open a handle, if there was none */
    OK(put(batch, NEW, "k", "new"));
    OK(commit(batch, 300));
    tx_tree_read_end(read);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(begin(read), 300);
        assert_true(sees(read, OWN, "k", "k"));
        assert_true(sees(read, OTHERS, "k", "others"));
        assert_true(sees(read, NEW, "k", "new"));
        tx_tree_read_free(read);
        if (again == 0) {
            tx_tree_close(tree);
            tree = open_tree(MIB);
            read = new_read(tree);
        }
    }
    tx_tree_close(tree);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_batch_knows_the_tables_of_a_process_that_died_in_its_commit),
        TEST(a_table_that_a_batch_makes_is_not_taken_for_one_of_the_dead),
    };

    return cmocka_run_group_tests_name("the tree of several processes", tests, NULL, NULL);
}
