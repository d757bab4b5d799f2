/*
 * test_large.c - keys of 64 KiB and more and values of 100 MB through the calls of txkv.h: the log,
 * the overlay, LMDB, recovery, conflicts. How long keys stand in LMDB is in test_tree_long.c.
 */
#include "store_fixture.h"

#include "../../src/tree_private.h"

enum { LONG = 65536, ROWS = 5, LARGE = 100 * 1000 * 1000 };

/* A key as long as it says, that ends with a digit. */
static struct txkv_bytes
long_key(char *room, size_t bytes, unsigned digit)
{
    memset(room, 'k', bytes - 1);
    room[bytes - 1] = (char)('0' + digit);
    return (struct txkv_bytes){ (const uint8_t *)room, bytes };
}

static void
put_long(uint32_t first, uint32_t end, const char *value)
{
    static char room[TXKV_KEY_BYTES_MAX];

    begin(s1);
    for (uint32_t i = first; i < end; i++)
        OK(txkv_put(s1, table, long_key(room, LONG, i), text(value), &err));
    commit(s1);
}

/* The last bytes of the keys and the values between two of them, in the order of the walk. */
static const char *
scan_long(uint32_t lo, uint32_t hi, bool descending)
{
    static char lo_room[LONG], hi_room[LONG], rows[200];
    const struct txkv_range range = { .lo = long_key(lo_room, LONG, lo),
                                      .hi = long_key(hi_room, LONG, hi),
                                      .descending = descending };
    struct txkv_cursor *cursor = new_cursor(s2);
    enum txkv_rc rc = txkv_cursor_seek(cursor, &range, &err);

    rows[0] = '\0';
    for (; rc == TXKV_OK; rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);

        assert_int_equal(key.bytes, LONG);
        assert_memory_equal(key.data, lo_room, LONG - 1);
        (void)snprintf(rows + strlen(rows), 20, "%c=%.*s ", key.data[LONG - 1], (int)value.bytes,
                       (const char *)value.data);
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
    txkv_cursor_close(cursor);
    return rows;
}

static void
expect_long(void)
{
    assert_string_equal(scan_long(0, 9, false), "0=old 1=new 2=new 3=old 4=old ");
    assert_string_equal(scan_long(1, 3, true), "3=old 2=new 1=new ");
    assert_string_equal(scan_long(5, 9, false), "");
    assert_int_equal(txkv_row_estimate(s2, table), ROWS);
}

static void
long_keys_are_the_same_in_memory_in_lmdb_and_after_a_crash(void **state)
{
    struct txkv_options options = small_store;

    (void)state;
    put_long(0, ROWS, "old");
    checkpoint();
    put_long(1, 3, "new"); /* merged from both */
    assert_string_equal(scan_long(0, 9, false), "0=old 1=new 2=new 3=old 4=old ");
    copy_store();
    checkpoint();
    expect_long();
    OK(close_all());
    reopen();
    expect_long();
    OK(close_all());
    OK(txkv_open(copy_dir, &options, &db, &err)); /* which recovery replays */
    OK(txkv_table(db, "t", "(k, v)", true, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
    assert_string_equal(scan_long(0, 9, false), "0=old 1=new 2=new 3=old 4=old ");
    checkpoint();
    expect_long();
}

static void
a_conflict_over_a_long_key_names_it_whole_and_says_its_start(void **state)
{
    static char room[LONG], *const key = room;
    struct txkv_bytes about, value;
    uint32_t number;

    (void)state;
    put_long(7, 8, "1");
    for (int i = 0; i < 3; i++) {
        const size_t bytes = LONG >> i;

        begin(s2);
        assert_int_equal(txkv_get(s2, table, long_key(key, bytes, 7), &value, &err),
                         i == 0 ? TXKV_OK : TXKV_NOTFOUND);
        OK(txkv_put(s2, table, long_key(key, bytes, 7), text("mine"), &err));
        begin(s1);
        OK(txkv_put(s1, table, long_key(key, bytes, 7), text("theirs"), &err));
        commit(s1);
        assert_int_equal(try_commit(s2), TXKV_CONFLICT);
        assert_true(strlen(err.text) < 200);
        assert_non_null(strstr(err.text, "key kkkk"));
        assert_true(txkv_conflict(s2, &number, &about));
        assert_int_equal(about.bytes, bytes);
        assert_memory_equal(about.data, key, bytes);
        txkv_rollback(s2);
    }
}

/* Goal: a conflict stays one when there is no memory for the key that it is about. */
static void
a_conflict_without_memory_for_its_key_is_a_conflict(void **state)
{
    static char room[LONG];
    struct txkv_bytes value;
    enum txkv_rc rc = TXKV_OK;
    bool unnamed = false;

    (void)state;
    for (uint64_t n = 1; n < 100 && !unnamed; n++) {
        struct txkv_bytes about;
        uint32_t number;

        begin(s2);
        (void)long_key(room, LONG, 1);
        OK(txkv_put(s2, table, long_key(room, LONG, 1), text("mine"), &err));
        rc = txkv_get(s2, table, long_key(room, LONG, 2), &value, &err);
        assert_true(rc == TXKV_OK || rc == TXKV_NOTFOUND);
        put_long(2, 3, "theirs");
        tx_mem_fail_at(n, false);
        rc = try_commit(s2);
        tx_mem_fail_at(0, false);
        assert_true(rc == TXKV_CONFLICT || rc == TXKV_NOMEM);
        unnamed = rc == TXKV_CONFLICT && !txkv_conflict(s2, &number, &about);
        assert_true(!unnamed || strstr(err.text, "run the transaction again") != NULL);
        txkv_rollback(s2);
    }
    assert_true(unnamed);
}

/* Take the nodes away from a store that is closed. */
static void
drop_nodes(void)
{
    struct tx_tree *tree;
    MDB_txn *txn;

    OK(tx_tree_open(dir, 64 * MIB, NULL, TX_TREE_ALONE, &tree, &err));
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, tree->long_dbi, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    tx_tree_close(tree);
}

static void
damaged_nodes_are_corrupt_and_other_keys_are_read_and_written(void **state)
{
    static char room[LONG];
    const struct txkv_range all = { .descending = false };
    struct txkv_cursor *cursor;
    struct txkv_bytes value;

    (void)state;
    put_long(0, ROWS, "1");
    set(s1, "short", "1");
    OK(close_all());
    drop_nodes();
    reopen();
    assert_int_equal(txkv_get(s1, table, long_key(room, LONG, 1), &value, &err), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, "restore the store from a backup"));
    cursor = new_cursor(s1);
    assert_int_equal(txkv_cursor_seek(cursor, &all, &err), TXKV_CORRUPT);
    txkv_cursor_close(cursor);
    assert_true(has(s1, "short", "1"));
    set(s1, "short", "2");
    checkpoint();
    assert_true(has(s1, "short", "2"));
}

/* Whether the row is as put_large made it, looked at here and there. */
static bool
is_large(const struct txkv_bytes *value, uint8_t seed)
{
    if (value->bytes != LARGE)
        return false;
    for (size_t at = 0; at < LARGE; at += 4093)
        if (value->data[at] != (uint8_t)(seed + at / 4093))
            return false;
    return true;
}

static void
put_large(const char *key, uint8_t seed)
{
    uint8_t *into;

    begin(s1);
    OK(txkv_put_into(s1, table, text(key), LARGE, &into, &err));
    for (size_t at = 0; at < LARGE; at += 4093)
        into[at] = (uint8_t)(seed + at / 4093);
    commit(s1);
}

static void
values_of_100_mb_come_back_from_everywhere(void **state)
{
    struct txkv_bytes value;

    (void)state;
    put_large("large", 1);
    begin(s2);
    OK(txkv_get(s2, table, text("large"), &value, &err));
    assert_true(is_large(&value, 1));
    txkv_rollback(s2); /* or the map could not grow */
    checkpoint();
    put_large("large", 2);
    begin(s2);
    OK(txkv_get(s2, table, text("large"), &value, &err));
    assert_true(is_large(&value, 2));
    txkv_rollback(s2);
    OK(close_all());
    reopen();
    begin(s2);
    OK(txkv_get(s2, table, text("large"), &value, &err));
    assert_true(is_large(&value, 2));
    txkv_rollback(s2);
}

/* A transaction's record has 32 bits for its length; nothing is written on the way there. */
static void
what_is_larger_than_a_record_is_refused_and_the_rest_goes_on(void **state)
{
    uint8_t *into;

    (void)state;
    begin(s1);
    put(s1, "a", "1");
    assert_int_equal(
        txkv_put_into(s1, table, text("b"), (size_t)TXKV_VALUE_BYTES_MAX + 1, &into, &err),
        TXKV_TOOBIG);
    assert_non_null(strstr(err.text, "limit is 2147418112"));
    commit(s1);
    assert_true(has(s2, "a", "1"));
    assert_true(has(s2, "b", NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(long_keys_are_the_same_in_memory_in_lmdb_and_after_a_crash),
        STORE_TEST(a_conflict_over_a_long_key_names_it_whole_and_says_its_start),
        STORE_TEST(a_conflict_without_memory_for_its_key_is_a_conflict),
        STORE_TEST(damaged_nodes_are_corrupt_and_other_keys_are_read_and_written),
        STORE_TEST(values_of_100_mb_come_back_from_everywhere),
        STORE_TEST(what_is_larger_than_a_record_is_refused_and_the_rest_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
