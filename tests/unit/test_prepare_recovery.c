/*
 * test_prepare_recovery.c - opening a store whose last transaction was prepared and not decided.
 */
#include "prepare_fixture.h"

/* The copy of the store as a crash between the two steps would leave it. */
static void
prepare_and_copy(void)
{
    set(s1, "k", "old");
    prepare_write(s1, "k", "new");
    copy_store();
}

static uint64_t
directory_hash(const char *path)
{
    char command[256], line[64] = "";
    uint64_t hash = 0;
    FILE *f;

    (void)snprintf(command, sizeof command, "cat %s/wal/* | cksum | tr -d ' '", path);
    f = popen(command, "r"); // NOLINT(cert-env33-c)
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    (void)pclose(f);
    hash = strtoull(line, NULL, 10);
    return hash;
}

static void
expect_copy(const char *value)
{
    struct txkv_session *session;
    struct txkv_bytes found;
    uint32_t number;

    OK(txkv_table(other, "t", NULL, false, &number, &err));
    OK(txkv_session_open(other, &session, &err));
    OK(txkv_get(session, number, text("k"), &found, &err));
    assert_int_equal(found.bytes, strlen(value));
    assert_memory_equal(found.data, value, found.bytes);
    /* and it goes on */
    OK(txkv_begin(session, &err));
    OK(txkv_put(session, number, text("more"), text("1"), &err));
    OK(txkv_commit(session, TXKV_SYNC_FULL, &err));
    txkv_session_close(session);
}

static void
recovery_asks_and_does_what_it_is_told(void **state)
{
    (void)state;
    for (int commits = 0; commits < 2; commits++) {
        const struct txkv_options options = options_of(50);
        uint64_t lsn;

        prepare_and_copy();
        lsn = txkv_prepared_lsn(s1);
        answer(commits ? TXKV_DECIDED_COMMIT : TXKV_DECIDED_ABORT);
        OK(try_open(copy_dir, &options));
        assert_int_equal(resolver.asked, 1);
        assert_int_equal(resolver.lsn, lsn);
        assert_int_equal(resolver.store_id, txkv_store_id(db));
        assert_int_equal(resolver.store_id, txkv_store_id(other));
        assert_string_equal(resolver.note, "note");
        expect_copy(commits ? "new" : "old");
        OK(txkv_close(other, &err));
        OK(try_open(copy_dir, &options)); /* from LMDB */
        expect_copy(commits ? "new" : "old");
        OK(txkv_close(other, &err));
        assert_int_equal(resolver.asked, 1);
        txkv_rollback(s1);
        run("rm -r $a", copy_dir, "");
    }
}

/* What recovery was told stands in the log: a crash after it is not in doubt again. */
static void
an_answer_is_asked_for_once(void **state)
{
    const struct txkv_options options = options_of(50);

    (void)state;
    prepare_and_copy();
    answer(TXKV_DECIDED_COMMIT);
    OK(try_open(copy_dir, &options));
    answer(TXKV_DECIDED_ABORT);
    run("mkdir $b && cp -r $a/wal $a/data.mdb $b", copy_dir, in_dir("2"));
    OK(txkv_close(other, &err));
    OK(try_open(in_dir("2"), &options));
    assert_int_equal(resolver.asked, 0);
    expect_copy("new");
    OK(txkv_close(other, &err));
    txkv_rollback(s1);
}

static void
a_store_in_doubt_does_not_open_and_stays_as_it_is(void **state)
{
    struct txkv_options options = options_of(50);
    uint64_t before;

    (void)state;
    prepare_and_copy();
    before = directory_hash(copy_dir);
    for (int with_resolver = 0; with_resolver < 2; with_resolver++) {
        options.resolve = with_resolver ? resolve : NULL;
        assert_int_equal(try_open(copy_dir, &options), TXKV_INDOUBT);
        assert_int_equal(resolver.asked, with_resolver);
        assert_non_null(strstr(err.text, "together with note"));
        assert_non_null(strstr(err.text, "txkv_recover("));
        assert_non_null(strstr(err.text, copy_dir));
        assert_int_equal(directory_hash(copy_dir), before);
    }
    options.decide = TXKV_DECIDED_COMMIT; /* a person's word */
    OK(try_open(copy_dir, &options));
    assert_int_equal(resolver.asked, 1);
    expect_copy("new");
    OK(txkv_close(other, &err));
    txkv_rollback(s1);
}

/* A decision that no prepared record comes before, and a transaction between the two. */
static void
records_out_of_their_places_are_corruption(void **state)
{
    const struct txkv_options options = options_of(50);

    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        uint8_t record[TX_DECISION_BYTES];
        struct tx_log_place place;
        char one[64 + TX_RECORD_HEADER_BYTES] = { 0 };
        uint8_t *txn = (uint8_t *)one, *key_at, *value_at;

        if (damage == 1)
            prepare_write(s1, "k", "1");
        OK(tx_apply_take_log(&db->core, 0, &err));
        if (damage == 0) {
            tx_decision_encode(record, true, 64, db->core.store_id);
            OK(tx_log_place(db->core.log, record, sizeof record, &place, &err));
            tx_log_finish(db->core.log, record, &place, false);
        } else {
            uint8_t *end = tx_op_encode(txn + TX_RECORD_HEADER_BYTES, TX_OP_DELETE, table,
                                        (const uint8_t *)"k", 1, 0, &key_at, &value_at);
            const uint32_t bytes = (uint32_t)(end - txn) - TX_RECORD_HEADER_BYTES;

            tx_record_finish_body(txn, TX_RECORD_TXN, bytes, db->core.store_id);
            OK(tx_log_place(db->core.log, txn, (uint32_t)tx_record_length(bytes), &place, &err));
            tx_log_finish(db->core.log, txn, &place, false);
        }
        tx_apply_give_log(&db->core);
        copy_store();
        assert_int_equal(try_open(copy_dir, &options), TXKV_CORRUPT);
        assert_non_null(strstr(err.text, "cannot stand"));
        run("rm -r $a", copy_dir, "");
        (void)close_all();
        run("rm -r $a/*", dir, "");
        open_with_stall(50);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IMPATIENT_TEST(recovery_asks_and_does_what_it_is_told),
        IMPATIENT_TEST(an_answer_is_asked_for_once),
        IMPATIENT_TEST(a_store_in_doubt_does_not_open_and_stays_as_it_is),
        IMPATIENT_TEST(records_out_of_their_places_are_corruption),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
