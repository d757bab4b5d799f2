/*
 * test_tree_long_files.c - keys that are longer than LMDB's as they stand in the file: their bytes,
 * what damage to them does, and memory that runs out.
 */
#include "long_fixture.h"

/* ---- damage ---- */

/* Two keys that part behind three nodes, written; and what `damage` does to LMDB. */
static void
expect_damage(int (*damage)(struct tx_tree *tree, MDB_txn *txn))
{
    struct key keys[2] = { make_key(NULL, ENTRY + 3 * CHUNK, ENTRY + 3 * CHUNK + 9, 'a'),
                           make_key(NULL, ENTRY + 3 * CHUNK, ENTRY + 3 * CHUNK + 9, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    struct tx_tree_batch *batch;
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;
    const uint8_t *v;
    MDB_txn *txn;
    uint32_t n;
    bool full;
    void *none = NULL;
    enum txkv_rc rc;

    write_all(tree, keys, 2, 8, 1);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    assert_int_equal(damage(tree, txn), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    read = new_read(tree);
    (void)begin(read);
    assert_int_equal(tx_tree_get(read, 1, keys[0].data, keys[0].bytes, &v, &n, &err), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, dir));
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    assert_int_equal(tx_tree_cursor_next(c, &pair, &err), TXKV_NOTFOUND);
    assert_int_equal(tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tx_tree_cursor_seek_ge(c, keys[i].data, keys[i].bytes, &pair, &err),
                         TXKV_CORRUPT);
        assert_int_equal(tx_tree_cursor_seek_le(c, keys[i].data, keys[i].bytes, &pair, &err),
                         TXKV_CORRUPT);
    }
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    /* Writing may find it or not, but neither crashes nor loops. */
    batch = begin_batch(tree);
    rc = tx_tree_batch_put(batch, 1, keys[0].data, keys[0].bytes, u8("x"), 1, &full, &err);
    assert_true(rc == TXKV_OK || rc == TXKV_CORRUPT);
    rc = tx_tree_batch_delete(batch, 1, keys[1].data, keys[1].bytes, &full, &err);
    assert_true(rc == TXKV_OK || rc == TXKV_CORRUPT);
    tx_tree_batch_abort(batch);
    tx_tree_close(tree);
    free_keys(keys, 2);
    assert_int_equal(remove_dir(&none), 0);
    assert_int_equal(make_dir(&none), 0);
}

/* Write `bytes` as what the table's entry says. */
static int
write_entry(struct tx_tree *tree, MDB_txn *txn, const void *bytes, size_t n)
{
    uint8_t key[ENTRY];
    MDB_val k = tx_tree_val(key, sizeof key), v = tx_tree_val(bytes, n);

    memset(key, 'k', sizeof key);
    return mdb_put(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v, 0);
}

static int
damage_to_nothing(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "", 0);
}

static int
damage_kind(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\3\1\0\0\0\0\0\0\0", 9);
}

static int
damage_length(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\1\0\0\0\0\0\0", 8);
}

static int
damage_tail(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\1\x20kkk", 5);
}

static int
damage_number_zero(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\0\0\0\0\0\0\0\0", 9);
}

static int
damage_number(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\x77\0\0\0\0\0\0\0", 9);
}

static int
damage_no_nodes(struct tx_tree *tree, MDB_txn *txn)
{
    return mdb_drop(txn, tree->long_dbi, 0);
}

static void
nodes_that_are_damaged_are_refused(void **state)
{
    (void)state;
    expect_damage(damage_to_nothing);
    expect_damage(damage_kind);
    expect_damage(damage_length);
    expect_damage(damage_tail);
    expect_damage(damage_number_zero);
    expect_damage(damage_number);
    expect_damage(damage_no_nodes);
}

/* The innermost entry leads to the outermost node again. */
static void
nodes_in_a_circle_are_a_key_that_is_too_long(void **state)
{
    struct key keys[2] = { make_key(NULL, ENTRY + 2 * CHUNK, ENTRY + 2 * CHUNK + 9, 'a'),
                           make_key(NULL, ENTRY + 2 * CHUNK, ENTRY + 2 * CHUNK + 9, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;
    uint8_t room[ENTRY];
    const uint8_t *v;
    MDB_val k, value = tx_tree_val("\2\1\0\0\0\0\0\0\0", 9);
    MDB_txn *txn;
    uint32_t n;

    (void)state;
    write_all(tree, keys, 2, 8, 1);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    k = tx_tree_node_key(room, 1, 2, keys[0].data, CHUNK);
    assert_int_equal(mdb_put(txn, tree->long_dbi, &k, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    read = new_read(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    assert_int_equal(tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    tx_tree_cursor_close(c);
    assert_int_equal(tx_tree_get(read, 1, keys[0].data, keys[0].bytes, &v, &n, &err),
                     TXKV_NOTFOUND);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free_keys(keys, 2);
}

static void
no_memory_for_a_long_key_is_said_and_the_next_try_works(void **state)
{
    struct key keys[2] = { make_key(NULL, 2000, 2001, 'a'), make_key(NULL, 2000, 2001, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    uint64_t failed = 0;

    (void)state;
    write_all(tree, keys, 2, 8, 1);
    read = new_read(tree);
    (void)begin(read);
    for (uint64_t n = 1;; n++) {
        struct tx_tree_cursor *c = NULL;
        struct tx_tree_pair pair;
        enum txkv_rc rc;

        tx_mem_fail_at(n, false);
        rc = tx_tree_cursor_open(read, 1, &c, &err);
        if (rc == TXKV_OK)
            rc = tx_tree_cursor_seek_ge(c, keys[0].data, keys[0].bytes, &pair, &err);
        if (rc == TXKV_OK)
            rc = tx_tree_cursor_next(c, &pair, &err);
        tx_mem_fail_at(0, false);
        if (rc == TXKV_OK)
            expect_pair(rc, &pair, &keys[1]);
        tx_tree_cursor_close(c);
        if (rc == TXKV_OK)
            break;
        assert_int_equal(rc, TXKV_NOMEM);
        failed++;
        tx_tree_read_free(read); /* with what its cursors keep */
        read = new_read(tree);
        (void)begin(read);
    }
    assert_true(failed >= 3);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free_keys(keys, 2);
}

/* ---- bytes ---- */

static void
the_bytes_of_long_keys_are_those_of_the_file_format(void **state)
{
    struct key keys[2] = { make_key(NULL, ENTRY + CHUNK, ENTRY + CHUNK + 2, 'a'),
                           make_key(NULL, ENTRY + CHUNK + 1, ENTRY + CHUNK + 1, 0) };
    struct tx_tree *tree = open_tree(MIB);
    uint8_t room[ENTRY];
    struct tx_tree_batch *batch;
    MDB_val k, v;
    MDB_txn *txn;

    (void)state;
    batch = begin_batch(tree);
    OK(define(batch, 1));
    write_key(batch, &keys[0], 7);
    OK(commit(batch, 8));
    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    k = tx_tree_val(keys[0].data, ENTRY);
    assert_int_equal(mdb_get(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v), 0);
    assert_int_equal(v.mv_size, 3 + CHUNK + 2 + 1); /* 0x01, f5 03, the tail, the row */
    assert_memory_equal(v.mv_data, "\x01\xf5\x03kk", 5);
    assert_memory_equal((uint8_t *)v.mv_data + 3 + CHUNK, "aa7", 3);
    mdb_txn_abort(txn);
    batch = begin_batch(tree);
    write_key(batch, &keys[1], 8);
    OK(commit(batch, 16));
    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_get(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v), 0);
    assert_int_equal(v.mv_size, 9);
    assert_memory_equal(v.mv_data, "\2\1\0\0\0\0\0\0\0", 9);
    memset(room, 'k', sizeof room);
    memcpy(room, "\0\0\0\1\0\0\0\0\0\0\0\1", 12);
    k = tx_tree_val(room, sizeof room);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_memory_equal(v.mv_data, "\2\2\0\0\0\0\0\0\0", 9);
    memcpy(room, "\0\0\0\1\0\0\0\0\0\0\0\2kk", 14);
    k = tx_tree_val(room, 13);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_int_equal(*(uint8_t *)v.mv_data, '8');
    memcpy(room + 12, "aa", 2);
    k = tx_tree_val(room, 14);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_int_equal(*(uint8_t *)v.mv_data, '7');
    memcpy(room, "extra/\0\0\0\1", 10);
    k = tx_tree_val(room, 10);
    assert_int_equal(mdb_get(txn, tree->meta_dbi, &k, &v), 0);
    assert_int_equal(v.mv_size, 8);
    assert_memory_equal(v.mv_data, "\1\0\0\0\0\0\0\0", 8);
    mdb_txn_abort(txn);
    tx_tree_close(tree);
    free_keys(keys, 2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(nodes_that_are_damaged_are_refused),
        TEST(nodes_in_a_circle_are_a_key_that_is_too_long),
        TEST(no_memory_for_a_long_key_is_said_and_the_next_try_works),
        TEST(the_bytes_of_long_keys_are_those_of_the_file_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
