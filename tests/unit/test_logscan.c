/*
 * test_logscan.c - txkv_log_open: the records that stand in the log, while it is written, removed
 * and damaged.
 */
#include "store_fixture.h"

static struct txkv_log *log_now;
static struct txkv_log_record record;

static void
open_log(uint64_t from_lsn, uint64_t to_lsn)
{
    OK(txkv_log_open(db, from_lsn, to_lsn, &log_now, &err));
}

static void
close_log(void)
{
    txkv_log_close(log_now);
    log_now = NULL;
}

/* The types of all records from here to the end, and how many transactions are among them. */
static const char *
types_of_rest(uint64_t *transactions)
{
    static char types[512];
    uint64_t last_lsn = 0;
    enum txkv_rc rc;

    types[0] = '\0';
    *transactions = 0;
    while ((rc = txkv_log_next(log_now, &record, &err)) == TXKV_OK) {
        assert_true(record.lsn > last_lsn);
        last_lsn = record.lsn;
        *transactions += strcmp(record.type, "transaction") == 0;
        if (strlen(types) < sizeof types / 2)
            (void)snprintf(types + strlen(types), sizeof types - strlen(types), "%s ", record.type);
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
    return types;
}

/* A row so long that three of them fill a segment. */
static void
set_long(uint32_t i)
{
    static uint8_t value[80 * KIB];
    char key[16];

    (void)snprintf(key, sizeof key, "long%u", i);
    begin(s1);
    OK(txkv_put(s1, table, text(key), (struct txkv_bytes){ value, sizeof value }, &err));
    commit(s1);
}

static void
every_record_is_told_with_its_tables_and_operations(void **state)
{
    uint64_t transactions, first;
    uint32_t second;
    const char *name = "third";

    (void)state;
    OK(txkv_table(db, "second", NULL, true, &second, &err));
    begin(s1);
    put(s1, "a", "1");
    erase(s1, "b");
    OK(txkv_put(s1, second, text("c"), text("3"), &err));
    commit(s1);
    first = txkv_last_lsn(s1);
    OK(txkv_table_rename(db, &second, &name, 1, &err));
    OK(txkv_table_drop(db, &second, 1, &err));
    open_log(0, UINT64_MAX);
    assert_string_equal(types_of_rest(&transactions), "table table transaction renamed dropped ");
    close_log();
    open_log(first, first + 1);
    OK(txkv_log_next(log_now, &record, &err));
    assert_int_equal(record.lsn, first);
    assert_int_equal(record.operations, 3);
    assert_int_equal(record.table_count, 2);
    assert_int_equal(record.tables[0], table);
    assert_int_equal(record.tables[1], second);
    assert_true(record.durable); /* what made tables after it was synced */
    assert_false(record.checkpointed);
    assert_int_equal(txkv_log_next(log_now, &record, &err), TXKV_NOTFOUND);
    close_log();
}

static void
what_is_not_synced_is_not_durable_and_what_is_moved_is_checkpointed(void **state)
{
    uint64_t lsn;

    (void)state;
    set(s1, "a", "1");
    lsn = txkv_last_lsn(s1);
    open_log(lsn, lsn + 1);
    OK(txkv_log_next(log_now, &record, &err));
    assert_false(record.durable);
    close_log();
    OK(txkv_checkpoint(db, NULL, &err));
    open_log(lsn, lsn + 1);
    OK(txkv_log_next(log_now, &record, &err));
    assert_true(record.durable);
    assert_true(record.checkpointed);
    close_log();
}

/* The files go away behind it, and what is committed after the call is not in it. */
static void
an_open_log_is_read_to_its_end_beside_checkpoints_and_commits(void **state)
{
    struct txkv_checkpoint_report report;
    uint64_t transactions;

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        set_long(i);
    open_log(0, UINT64_MAX);
    set(s1, "later", "1");
    OK(txkv_checkpoint(db, &report, &err));
    assert_true(report.segments_deleted >= 3);
    assert_non_null(strstr(types_of_rest(&transactions), "seal"));
    assert_int_equal(transactions, 10);
    close_log();
    open_log(0, UINT64_MAX); /* what is left */
    (void)types_of_rest(&transactions);
    assert_in_range(transactions, 1, 4);
    close_log();
}

static void
flip(const char *path, off_t at)
{
    const int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void
damage_is_an_error_that_says_where(void **state)
{
    char where[64];
    uint64_t lsn;

    (void)state;
    set(s1, "a", "1");
    set(s1, "b", "2");
    lsn = txkv_last_lsn(s1);
    set(s1, "c", "3");
    flip(in_dir("wal/0000000000000000.wal"), (off_t)lsn + 50);
    open_log(lsn - 1, UINT64_MAX);
    assert_int_equal(txkv_log_next(log_now, &record, &err), TXKV_CORRUPT);
    (void)snprintf(where, sizeof where, "LSN %llu ", (unsigned long long)lsn);
    assert_non_null(strstr(err.text, where));
    close_log();
    /* Nobody reads below the checkpoint LSN: it is passed over, and the log goes on behind it. */
    flip(in_dir("wal/0000000000000000.wal"), (off_t)lsn + 50);
    OK(txkv_checkpoint(db, NULL, &err));
    flip(in_dir("wal/0000000000000000.wal"), (off_t)lsn + 50);
    set(s1, "d", "4");
    open_log(lsn, UINT64_MAX);
    OK(txkv_log_next(log_now, &record, &err));
    assert_int_equal(record.lsn, txkv_last_lsn(s1));
    assert_int_equal(txkv_log_next(log_now, &record, &err), TXKV_NOTFOUND);
    close_log();
}

/* A prepared transaction is not committed, so it is told with its decision. */
static void
a_prepared_transaction_comes_with_its_decision(void **state)
{
    uint64_t transactions;

    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_prepare(s1, text("note"), &err));
    open_log(0, UINT64_MAX);
    assert_string_equal(types_of_rest(&transactions), "table ");
    close_log();
    txkv_commit_prepared(s1);
    open_log(0, UINT64_MAX);
    assert_string_equal(types_of_rest(&transactions), "table prepared committed ");
    close_log();
}

/* Every allocation on the way fails once. */
static void
without_memory_nothing_is_left(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    set(s1, "a", "1");
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_mem_fail_at(n, false);
        rc = txkv_log_open(db, 0, UINT64_MAX, &log_now, &err);
        while (rc == TXKV_OK)
            rc = txkv_log_next(log_now, &record, &err);
        tx_mem_fail_at(0, false);
        close_log();
        assert_true(rc == TXKV_NOTFOUND || n < 50);
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(every_record_is_told_with_its_tables_and_operations),
        STORE_TEST(what_is_not_synced_is_not_durable_and_what_is_moved_is_checkpointed),
        STORE_TEST(an_open_log_is_read_to_its_end_beside_checkpoints_and_commits),
        STORE_TEST(damage_is_an_error_that_says_where),
        STORE_TEST(a_prepared_transaction_comes_with_its_decision),
        STORE_TEST(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
