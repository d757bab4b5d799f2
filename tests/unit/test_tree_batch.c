/*
 * test_tree_batch.c - the checkpoint's write transaction, the growing map, and reads beside them.
 *
 * Worker threads count what they find wrong; the test's own thread asserts.
 */
#include "tree_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../../src/atomic.h"

static enum txkv_rc
put_bytes(struct tx_tree_batch *batch, uint32_t table, const char *key, const void *value,
          uint32_t bytes, bool *map_full)
{
    return tx_tree_batch_put(batch, table, u8(key), (uint32_t)strlen(key), value, bytes, map_full,
                             &err);
}

static enum txkv_rc
erase(struct tx_tree_batch *batch, uint32_t table, const char *key)
{
    bool full;

    return tx_tree_batch_delete(batch, table, u8(key), (uint32_t)strlen(key), &full, &err);
}

static void
deleted_keys_are_gone_and_absent_ones_may_be_deleted(void **state)
{
    static const char *const keys[] = { "a", "b", "c" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    fill(tree, 1, 8, keys, 3);
    batch = begin_batch(tree);
    OK(erase(batch, 1, "a"));
    OK(erase(batch, 1, "aa"));
    OK(erase(batch, 1, "c"));
    OK(put(batch, 1, "d", "d"));
    OK(erase(batch, 1, "e"));
    OK(commit(batch, 16));
    (void)begin(read);
    assert_true(sees(read, 1, "a", NULL));
    assert_true(sees(read, 1, "b", "b"));
    assert_true(sees(read, 1, "c", NULL));
    assert_true(sees(read, 1, "d", "d"));
    assert_int_equal(tx_tree_rows(read, 1), 2);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
the_longest_key_an_empty_value_and_a_large_one_come_back(void **state)
{
    static uint8_t large[3 * MIB];
    static char key[TXKV_KEY_BYTES_MAX + 2];
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch = begin_batch(tree);
    const uint8_t *v;
    uint32_t n;
    bool full;

    (void)state;
    memset(large, 0xa5, sizeof large);
    memset(key, 'k', sizeof key);
    key[TXKV_KEY_BYTES_MAX + 1] = 0;
    OK(define(batch, 1));
    OK(put(batch, 1, "empty", ""));
    OK(put_bytes(batch, 1, "large", large, sizeof large, &full));
    assert_int_equal(put(batch, 1, key, "x"), TXKV_TOOBIG); /* one byte too many */
    tx_tree_batch_abort(batch);

    key[TXKV_KEY_BYTES_MAX] = 0;
    batch = begin_batch(tree);
    OK(define(batch, 1));
    OK(put(batch, 1, "empty", ""));
    OK(put(batch, 1, key, "x"));
    OK(put_bytes(batch, 1, "large", large, sizeof large, &full));
    OK(commit(batch, 8));
    (void)begin(read);
    assert_true(sees(read, 1, "empty", ""));
    assert_true(sees(read, 1, key, "x"));
    OK(tx_tree_get(read, 1, u8("large"), 5, &v, &n, &err));
    assert_int_equal(n, sizeof large);
    assert_memory_equal(v, large, n);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
an_aborted_batch_leaves_no_row_and_no_table(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    batch = begin_batch(tree);
    OK(put(batch, 1, "l", "l"));
    OK(define(batch, 2));
    OK(put(batch, 2, "k", "k"));
    tx_tree_batch_abort(batch);
    tx_tree_batch_abort(NULL);
    assert_int_equal(begin(read), 8);
    assert_true(sees(read, 1, "l", NULL));
    assert_true(sees(read, 2, "k", NULL));
    tx_tree_read_end(read);
    batch = begin_batch(tree);
    assert_int_equal(put(batch, 2, "k", "k"), TXKV_MISUSE);
    tx_tree_batch_abort(batch);
    fill(tree, 3, 16, keys, 1); /* may get the handle that table 2 had */
    fill(tree, 2, 24, keys, 0);
    assert_int_equal(begin(read), 24);
    assert_true(sees(read, 2, "k", NULL));
    assert_true(sees(read, 3, "k", "k"));
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
defining_a_table_again_changes_nothing(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);

    (void)state;
    fill(tree, 1, 8, keys, 1);
    fill(tree, 1, 16, keys, 0);
    assert_int_equal(begin(read), 16);
    assert_int_equal(tx_tree_rows(read, 1), 1);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
wrong_tables_and_keys_out_of_order_are_refused(void **state)
{
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_batch *batch = begin_batch(tree);

    (void)state;
    assert_int_equal(put(batch, 1, "k", "k"), TXKV_MISUSE);
    assert_int_equal(erase(batch, 0, "k"), TXKV_TOOBIG);
    assert_int_equal(define(batch, TX_TREE_TABLES_MAX + 1), TXKV_TOOBIG);
    OK(define(batch, TX_TREE_TABLES_MAX));
    OK(put(batch, TX_TREE_TABLES_MAX, "b", "b"));
    assert_int_equal(put(batch, TX_TREE_TABLES_MAX, "a", "a"), TXKV_MISUSE);
    tx_tree_batch_abort(batch);
    tx_tree_close(tree);
}

/* Compare the table with the model: model[i] is the value's tag of key i, 0 without the key. */
static void
check_model(struct tx_tree_read *read, uint32_t table, const uint32_t *model, uint32_t n)
{
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;
    enum txkv_rc rc;
    uint64_t rows = 0;

    OK(tx_tree_cursor_open(read, table, &c, &err));
    rc = tx_tree_cursor_seek_ge(c, NULL, 0, &p, &err);
    for (uint32_t i = 0; i < n; i++) {
        char key[16], value[16];

        if (model[i] == 0)
            continue;
        (void)snprintf(key, sizeof key, "%08u", i);
        (void)snprintf(value, sizeof value, "%u", model[i]);
        OK(rc);
        assert_int_equal(p.key_bytes, 8);
        assert_memory_equal(p.key, key, 8);
        assert_true(sees(read, table, key, value));
        rc = tx_tree_cursor_next(c, &p, &err);
        rows++;
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
    assert_int_equal(tx_tree_rows(read, table), rows);
    tx_tree_cursor_close(c);
}

/*
 * Goal: appending and plain puts, between deletes that empty the table too, leave what a plain map
 * holds. Method: two tables side by side, random sorted batches, each checked from end to end.
 */
static void
random_batches_leave_what_a_plain_map_holds(void **state)
{
    enum { KEYS = 3000, BATCHES = 60 };
    static uint32_t model[2][KEYS];
    struct tx_tree *tree = open_tree(64 * MIB);
    struct tx_tree_read *read = new_read(tree);
    uint32_t tag = 0;

    (void)state;
    srand(7);
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct tx_tree_batch *batch = begin_batch(tree);
        const int percent = rand() % 40, put_share = b % 7 == 6 ? 0 : rand() % 100;
        const uint32_t reach = (uint32_t)(KEYS * (b + 1) / BATCHES);

        OK(define(batch, 1));
        OK(define(batch, 2));
        for (uint32_t i = 0; i < 2 * reach; i++) {
            uint32_t *m = &model[i % 2][i / 2];
            char key[16], value[16];

            if (b % 7 != 6 && rand() % 100 >= percent)
                continue;
            *m = rand() % 100 < put_share ? ++tag : 0;
            (void)snprintf(key, sizeof key, "%08u", i / 2);
            (void)snprintf(value, sizeof value, "%u", *m);
            OK(*m != 0 ? put(batch, 1 + i % 2, key, value) : erase(batch, 1 + i % 2, key));
        }
        OK(commit(batch, b + 1));
        assert_int_equal(begin(read), b + 1);
        check_model(read, 1, model[0], KEYS);
        check_model(read, 2, model[1], KEYS);
        tx_tree_read_end(read);
    }
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* ---- the map ---- */

enum { BIG_ROWS = 96, BIG_BYTES = 65536 };

/* Try to write BIG_ROWS rows of BIG_BYTES bytes at once. */
static enum txkv_rc
write_big(struct tx_tree *tree, uint32_t table, uint64_t lsn, bool *map_full)
{
    static uint8_t value[BIG_BYTES];
    struct tx_tree_batch *batch = begin_batch(tree);
    enum txkv_rc rc = define(batch, table);

    *map_full = false;
    for (uint32_t i = 0; rc == TXKV_OK && i < BIG_ROWS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%08u", i);
        memset(value, (int)(lsn + i), sizeof value);
        rc = put_bytes(batch, table, key, value, sizeof value, map_full);
    }
    if (rc == TXKV_OK)
        return tx_tree_batch_commit(batch, lsn, lsn, map_full, &err);
    tx_tree_batch_abort(batch);
    return rc;
}

static uint32_t
write_big_growing(struct tx_tree *tree, uint32_t table, uint64_t lsn)
{
    uint32_t grown = 0;
    bool map_full;
    enum txkv_rc rc;

    while ((rc = write_big(tree, table, lsn, &map_full)) != TXKV_OK) {
        assert_int_equal(rc, TXKV_FULL);
        assert_true(map_full);
        OK(tx_tree_grow(tree, 1000, &err));
        grown++;
    }
    return grown;
}

static void
idle_reads_and_cursors_outlive_a_map_that_grows_many_times(void **state)
{
    enum { READS = 8, TABLES = 6 };
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *reads[READS];
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;
    struct tx_tree_stats stats;
    uint32_t grown = 0;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    for (int i = 0; i < READS; i++)
        reads[i] = new_read(tree);
    for (uint32_t t = 2; t < 2 + TABLES; t++) {
        for (int i = 0; i < READS; i++) {
            (void)begin(reads[i]);
            for (uint32_t u = 1; u <= t; u++) {
                OK(tx_tree_cursor_open(reads[i], u, &c, &err));
                assert_int_equal(tx_tree_cursor_seek_le(c, NULL, 0, &p, &err),
                                 u < t ? TXKV_OK : TXKV_NOTFOUND);
                assert_true(u == 1 || u == t ||
                            p.value[BIG_BYTES - 1] == (uint8_t)(u + BIG_ROWS - 1));
                tx_tree_cursor_close(c);
            }
            tx_tree_read_end(reads[i]);
        }
        grown += write_big_growing(tree, t, t);
    }
    assert_true(grown >= 4);
    tx_tree_stats(tree, &stats);
    assert_int_equal(stats.map_bytes, (uint64_t)MIB << grown);
    assert_true(stats.used_bytes > (uint64_t)TABLES * BIG_ROWS * BIG_BYTES);
    assert_true(stats.used_bytes <= stats.map_bytes);
    for (int i = 0; i < READS; i++)
        tx_tree_read_free(reads[i]);
    tx_tree_close(tree);
    tree = open_tree(MIB); /* smaller than the file: the file decides */
    reads[0] = new_read(tree);
    assert_int_equal(begin(reads[0]), 1 + TABLES);
    assert_int_equal(tx_tree_rows(reads[0], 1 + TABLES), BIG_ROWS);
    tx_tree_read_free(reads[0]);
    tx_tree_close(tree);
}

static void
growing_is_busy_while_a_read_is_begun_and_all_goes_on(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree), *other = new_read(tree);
    struct tx_tree_stats stats;
    bool map_full;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    (void)begin(read);
    assert_int_equal(write_big(tree, 2, 16, &map_full), TXKV_FULL);
    assert_true(map_full);
    assert_int_equal(tx_tree_grow(tree, 20, &err), TXKV_BUSY);
    assert_true(sees(read, 1, "k", "k"));
    assert_int_equal(begin(other), 8); /* the gate is open again */
    tx_tree_read_end(other);
    fill(tree, 3, 24, keys, 1);
    tx_tree_read_end(read);
    OK(tx_tree_grow(tree, 0, &err));
    tx_tree_stats(tree, &stats);
    assert_int_equal(stats.map_bytes, 2 * MIB);
    assert_int_equal(begin(read), 24);
    tx_tree_read_free(read);
    tx_tree_read_free(other);
    tx_tree_close(tree);
}

static void *
no_address_space(size_t bytes, int prot, int flags, int fd, off_t offset)
{
    (void)bytes, (void)prot, (void)flags, (void)fd, (void)offset;
    return MAP_FAILED;
}

static void
growing_without_address_space_leaves_the_map_as_it_was(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    tx_os.mmap = no_address_space;
    assert_int_equal(tx_tree_grow(tree, 0, &err), TXKV_NOMEM);
    assert_int_equal(begin(read), 8);
    assert_true(sees(read, 1, "k", "k"));
    tx_tree_read_end(read);
    tx_os = tx_os_system;
    batch = begin_batch(tree);
    assert_int_equal(tx_tree_grow(tree, 0, &err),
                     TXKV_MISUSE); /* LMDB would lose the batch's map */
    tx_tree_batch_abort(batch);
    OK(tx_tree_grow(tree, 0, &err));
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* The limit on a file's size stands for a full disk. */
static void
a_full_disk_fails_the_batch_and_the_next_one_works(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(64 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct rlimit before, low;
    enum txkv_rc rc;
    bool map_full;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = MIB;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    rc = write_big(tree, 2, 16, &map_full);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(rc == TXKV_FULL || rc == TXKV_IOERR); /* LMDB calls a short write EIO */
    assert_false(map_full);
    assert_non_null(strstr(err.text, "free"));
    assert_int_equal(begin(read), 8);
    assert_true(sees(read, 2, "00000000", NULL));
    tx_tree_read_end(read);
    OK(write_big(tree, 2, 16, &map_full));
    assert_int_equal(begin(read), 16);
    assert_int_equal(tx_tree_rows(read, 2), BIG_ROWS);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* ---- threads ---- */

struct reader {
    struct tx_tree *tree;
    uint64_t stop; /* the test's thread writes */
    uint64_t errors, states;
};

/*
 * Batch n, at LSN n, makes table n, puts n into it and into table 1. So a read with base n finds n
 * in tables 1 and n, and table n + 1 empty.
 */
static void *
read_all_the_time(void *arg)
{
    struct reader *r = arg;
    struct tx_tree_read *read;
    uint64_t base, last = 0;

    if (tx_tree_read_create(r->tree, &read, NULL) != TXKV_OK)
        return NULL;
    while (tx_load_acquire_64(&r->stop) == 0) {
        char text[16];

        if (tx_tree_read_begin(read, &base, NULL) != TXKV_OK) {
            r->errors++;
            continue;
        }
        (void)snprintf(text, sizeof text, "%u", (unsigned)base);
        r->errors += base < last;
        r->errors += !sees(read, 1, "k", text);
        r->errors += !sees(read, (uint32_t)base, "k", text);
        r->errors += base < TX_TREE_TABLES_MAX && !sees(read, (uint32_t)base + 1, "k", NULL);
        r->states += base != last;
        last = base;
        tx_tree_read_end(read);
    }
    tx_tree_read_free(read);
    return NULL;
}

static void
reads_beside_batches_that_make_tables_see_whole_states(void **state)
{
    enum { BATCHES = 250, GROW_EVERY = 50, THREADS = 2 };
    struct tx_tree *tree = open_tree(4 * MIB);
    struct reader readers[THREADS] = { { .tree = tree }, { .tree = tree } };
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned n = 1; n <= BATCHES; n++) {
        struct tx_tree_batch *batch = begin_batch(tree);
        char text[16];

        (void)snprintf(text, sizeof text, "%u", n);
        OK(define(batch, n));
        OK(put(batch, 1, "k", text));
        if (n > 1)
            OK(put(batch, n, "k", text));
        OK(commit(batch, n));
        for (int i = 0; n == 1 && i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &readers[i]), 0);
        if (n % GROW_EVERY == 0)
            OK(tx_tree_grow(tree, 5000, &err));
    }
    for (int i = 0; i < THREADS; i++)
        tx_store_release_64(&readers[i].stop, 1);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].errors, 0);
        assert_true(readers[i].states > 1);
    }
    tx_tree_close(tree);
}

/* ---- memory ---- */

/* Everything once; the first failure. */
static enum txkv_rc
use_tree(void)
{
    struct tx_tree *tree;
    struct tx_tree_read *read = NULL;
    struct tx_tree_cursor *c = NULL;
    struct tx_tree_batch *batch = NULL;
    uint64_t base;
    bool full;
    enum txkv_rc rc;

    rc = tx_tree_open(dir, MIB, "/wal", TX_TREE_ALONE, &tree, &err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_tree_batch_begin(tree, &batch, &err);
    if (rc == TXKV_OK)
        rc = define(batch, 1);
    if (rc == TXKV_OK)
        rc = put_bytes(batch, 1, "k", "v", 1, &full);
    if (rc == TXKV_OK)
        rc = commit(batch, 8);
    else
        tx_tree_batch_abort(batch);
    if (rc == TXKV_OK)
        rc = tx_tree_read_create(tree, &read, &err);
    if (rc == TXKV_OK)
        rc = tx_tree_read_begin(read, &base, &err);
    if (rc == TXKV_OK)
        rc = tx_tree_cursor_open(read, 1, &c, &err);
    if (rc == TXKV_OK)
        tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    return rc;
}

static void
running_out_of_memory_anywhere_leaks_nothing(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc != TXKV_OK; n++) {
        assert_true(n < 100);
        assert_int_equal(rc, TXKV_NOMEM);
        tx_mem_fail_at(n, false);
        rc = use_tree();
        tx_mem_fail_at(0, false);
        assert_int_equal(tx_mem_live(), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deleted_keys_are_gone_and_absent_ones_may_be_deleted,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(the_longest_key_an_empty_value_and_a_large_one_come_back,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_aborted_batch_leaves_no_row_and_no_table, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(defining_a_table_again_changes_nothing, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(wrong_tables_and_keys_out_of_order_are_refused, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(random_batches_leave_what_a_plain_map_holds, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(idle_reads_and_cursors_outlive_a_map_that_grows_many_times,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(growing_is_busy_while_a_read_is_begun_and_all_goes_on,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(growing_without_address_space_leaves_the_map_as_it_was,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_full_disk_fails_the_batch_and_the_next_one_works,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(reads_beside_batches_that_make_tables_see_whole_states,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(running_out_of_memory_anywhere_leaks_nothing, make_dir,
                                        remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
