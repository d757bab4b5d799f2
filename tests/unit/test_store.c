/*
 * test_store.c - opening and closing: the registry, options, tables, the log's directory, damage.
 */
#include "store_fixture.h"

static enum txkv_rc
count_name(void *arg, const char *name, struct txkv_error *e)
{
    (void)name;
    (void)e;
    ++*(int *)arg;
    return TXKV_OK;
}

static int
entries_in(const char *path)
{
    int count = 0;

    OK(tx_os_list_dir(path, count_name, &count, &err));
    return count;
}

static void
write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fputs(content, file) >= 0, true);
    assert_int_equal(fclose(file), 0);
}

static void
openers_of_a_directory_share_one_store(void **state)
{
    struct txkv_session *session;
    struct txkv_bytes value;

    (void)state;
    OK(symlink(dir, "/tmp/txkv-unit-link"));
    OK(try_open("/tmp/txkv-unit-link", NULL));
    OK(unlink("/tmp/txkv-unit-link"));
    assert_ptr_equal(other, db);
    assert_string_equal(txkv_dir(other), dir);
    set(s1, "k", "1");
    OK(close_all()); /* the other handle stays */
    OK(txkv_session_open(other, &session, &err));
    OK(txkv_get(session, table, text("k"), &value, &err));
    txkv_session_close(session);
    OK(txkv_close(other, &err));
    OK(txkv_close(NULL, &err));
    reopen();
    assert_true(has(s1, "k", "1"));
}

static void
a_second_opener_changes_limits_and_nothing_else(void **state)
{
    struct txkv_options options = { .overlay_limit = 5 * MIB, .map_size = small_store.map_size };

    (void)state;
    OK(try_open(dir, &options));
    assert_int_equal(tx_load_relaxed_64(&db->core.limits.overlay_limit), 5 * MIB);
    assert_int_equal(tx_load_relaxed_64(&db->core.limits.stall_timeout_us), 10000000);
    OK(txkv_close(other, &err));
    options.map_size = 2 * small_store.map_size;
    assert_int_equal(try_open(dir, &options), TXKV_MISUSE);
    assert_null(other);
    options = (struct txkv_options){ .segment_bytes = 64 * KIB };
    assert_int_equal(try_open(dir, &options), TXKV_MISUSE);
    options = (struct txkv_options){ .wal_dir = "/tmp" };
    assert_int_equal(try_open(dir, &options), TXKV_MISUSE);
    options = (struct txkv_options){ .wal_dir = in_dir("wal") };
    OK(try_open(dir, &options));
    OK(txkv_close(other, &err));
    assert_int_equal(db->handles, 1);
}

static void
what_cannot_be_opened_is_refused_with_the_reason(void **state)
{
    struct txkv_options options = { .segment_bytes = 1 };

    (void)state;
    assert_int_equal(try_open("", NULL), TXKV_MISUSE);
    assert_int_equal(try_open(NULL, NULL), TXKV_MISUSE);
    assert_int_equal(try_open(in_dir("s"), &options), TXKV_MISUSE);
    assert_int_equal(entries_in(dir), 0);
    assert_int_equal(try_open(in_dir("no/parent"), NULL), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "no/parent"));
    options = (struct txkv_options){ .must_exist = true };
    assert_int_equal(try_open(in_dir("missing"), &options), TXKV_CANTOPEN);
    assert_int_equal(try_open(dir, &options), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "not a txkv store"));
    assert_int_equal(entries_in(dir), 0);
    OK(try_open(in_dir("new"), &small_store));
    OK(txkv_close(other, &err));
    options.map_size = small_store.map_size;
    OK(try_open(in_dir("new"), &options));
    OK(txkv_close(other, &err));
}

static void
files_in_the_way_are_not_touched(void **state)
{
    char line[8] = "";
    FILE *file;

    (void)state;
    write_file(in_dir("file"), "mine");
    assert_int_equal(try_open(in_dir("file"), NULL), TXKV_EXISTS);
    OK(mkdir(in_dir("a"), 0700));
    write_file(in_dir("a/wal"), "mine");
    assert_int_equal(try_open(in_dir("a"), &small_store), TXKV_EXISTS);
    OK(mkdir(in_dir("b"), 0700));
    write_file(in_dir("b/data.mdb"), "this is no LMDB file, and not the store's to overwrite");
    assert_int_equal(try_open(in_dir("b"), &small_store), TXKV_FORMAT);
    file = fopen(in_dir("b/data.mdb"), "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "this is");
    OK(fclose(file));
    OK(mkdir(in_dir("c"), 0700));
    OK(symlink(in_dir("file"), in_dir("c/txkv.shm")));
    assert_int_equal(try_open(in_dir("c"), &small_store), TXKV_CANTOPEN);
    OK(mkdir(in_dir("d"), 0700));
    OK(mkdir(in_dir("d/txkv.shm"), 0700));
    assert_int_not_equal(try_open(in_dir("d"), &small_store), TXKV_OK);
    assert_null(other);
}

static void
closing_leaves_an_empty_log_directory(void **state)
{
    (void)state;
    set(s1, "k", "1");
    assert_true(entries_in(in_dir("wal")) > 0);
    OK(close_all());
    assert_int_equal(entries_in(in_dir("wal")), 0);
    reopen();
    assert_true(has(s1, "k", "1"));
    assert_int_equal(stat_of("checkpoint_lsn"), stat_of("published_lsn"));
    OK(close_all()); /* nothing was written */
    assert_int_equal(entries_in(in_dir("wal")), 0);
}

static void
tables_keep_their_numbers_and_shapes(void **state)
{
    uint32_t a, b, again = 0;
    char name[TXKV_TABLE_NAME_BYTES_MAX + 2];

    (void)state;
    OK(txkv_table(db, "a", "(x)", true, &a, &err));
    OK(txkv_table(db, "b", NULL, true, &b, &err));
    assert_int_not_equal(a, b);
    OK(txkv_table(db, "a", "(x)", true, &again, &err));
    assert_int_equal(again, a);
    OK(txkv_table(db, "a", NULL, false, &again, &err));
    assert_int_equal(txkv_table(db, "a", "(y)", true, &again, &err), TXKV_SCHEMA);
    assert_non_null(strstr(err.text, "(x)"));
    assert_non_null(strstr(err.text, "(y)"));
    assert_int_equal(txkv_table(db, "c", "", false, &again, &err), TXKV_SCHEMA);
    assert_int_equal(txkv_table(db, "", "", true, &again, &err), TXKV_MISUSE);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(txkv_table(db, name, "", true, &again, &err), TXKV_MISUSE);
    name[TXKV_TABLE_NAME_BYTES_MAX] = '\0';
    OK(txkv_table(db, name, "", true, &again, &err));
    OK(close_all());
    reopen();
    OK(txkv_table(db, "b", "", false, &again, &err));
    assert_int_equal(again, b);
}

/* The record of a table that could not be entered would give its number to two tables. */
static void
a_table_without_memory_is_not_made(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;
    uint32_t number, next = 0;
    char name[16];

    (void)state;
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_mem_fail_at(n, false);
        rc = txkv_table(db, "wanted", "", true, &number, &err);
        tx_mem_fail_at(0, false);
        (void)snprintf(name, sizeof name, "other%d", (int)n);
        OK(txkv_table(db, name, "", true, &next, &err));
        assert_true(n < 20);
    }
    OK(rc);
    copy_store();
    OK(try_open(copy_dir, &small_store)); /* replays all of it */
    OK(txkv_table(other, name, "", false, &number, &err));
    assert_int_equal(number, next);
    OK(txkv_close(other, &err));
}

static void
an_open_without_memory_can_be_tried_again(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;
    uint64_t n;

    (void)state;
    set(s1, "k", "1");
    copy_store(); /* with a log to be replayed */
    for (n = 1; rc == TXKV_NOMEM; n++) {
        const uint64_t live = tx_mem_live();

        tx_mem_fail_at(n, false);
        rc = try_open(copy_dir, &small_store);
        tx_mem_fail_at(0, false);
        if (rc == TXKV_NOMEM) {
            assert_null(other);
            assert_int_equal(err.rc, TXKV_NOMEM); /* with a sentence */
            assert_int_equal(tx_mem_live(), live);
        }
    }
    OK(rc);
    assert_true(n > 10);
    OK(txkv_close(other, &err));
}

static uint32_t opener_errors; /* atomic */

static void *
open_and_close(void *arg)
{
    (void)arg;
    for (int i = 0; i < 25; i++) {
        struct txkv *store;
        struct txkv_session *session = NULL;
        enum txkv_rc rc = txkv_open(dir, &small_store, &store, NULL);

        if (rc == TXKV_OK)
            rc = txkv_session_open(store, &session, NULL);
        if (rc == TXKV_OK)
            rc = txkv_begin(session, NULL);
        if (rc == TXKV_OK)
            rc = txkv_put(session, table, text("k"), text("v"), NULL);
        if (rc == TXKV_OK)
            rc = txkv_commit(session, TXKV_SYNC_OFF, NULL);
        txkv_session_close(session);
        if (rc != TXKV_OK || txkv_close(store, NULL) != TXKV_OK)
            tx_store_release_32(&opener_errors, 1);
    }
    return NULL;
}

static void
threads_may_open_and_close_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    OK(close_all());
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(tx_load_acquire_32(&opener_errors), 0);
    reopen();
    assert_true(has(s1, "k", "v"));
}

/* ---- the log's directory ---- */

static void
the_store_remembers_where_its_log_is(void **state)
{
    struct txkv_options options = small_store;
    char store[128];

    (void)state;
    (void)strcpy(store, in_dir("store")); // NOLINT(clang-analyzer-security*): the same size
    options.wal_dir = in_dir("log");
    OK(try_open(store, &options));
    OK(txkv_table(other, "t", "", true, &table, &err));
    assert_true(entries_in(in_dir("log")) > 0);
    OK(txkv_close(other, &err));
    OK(try_open(store, &small_store)); /* without saying so */
    assert_string_equal(other->wal_dir, in_dir("log"));
    OK(txkv_close(other, &err));
    options.wal_dir = in_dir("elsewhere");
    assert_int_equal(try_open(store, &options), TXKV_MISUSE);
    OK(rmdir(in_dir("log")));
    assert_int_equal(try_open(store, &small_store), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "log"));
    OK(try_open(in_dir("usual"), &small_store));
    OK(txkv_close(other, &err));
    assert_int_equal(try_open(in_dir("usual"), &options), TXKV_MISUSE);
}

/* The second store's segments would take the names of the first one's. */
static void
two_open_stores_cannot_share_a_log_directory(void **state)
{
    struct txkv_options options = small_store;
    struct txkv *first;

    (void)state;
    options.wal_dir = in_dir("log");
    OK(try_open(in_dir("one"), &options));
    first = other;
    assert_int_equal(try_open(in_dir("two"), &options), TXKV_LOCKED);
    assert_non_null(strstr(err.text, "wal_dir"));
    OK(txkv_table(first, "t", "", true, &table, &err));
    OK(txkv_close(first, &err));
    OK(try_open(in_dir("one"), &options));
    OK(txkv_table(other, "t", "", false, &table, &err));
    OK(txkv_close(other, &err));
}

/* The new store's segments have the names of the old one's. */
static void
a_store_whose_directory_was_replaced_leaves_the_new_one_alone(void **state)
{
    struct txkv *first;
    int files;

    (void)state;
    OK(try_open(in_dir("store"), &small_store));
    first = other;
    OK(txkv_table(first, "t", "", true, &table, &err));
    OK(rename(in_dir("store"), in_dir("moved")));
    OK(try_open(in_dir("store"), &small_store));
    OK(txkv_table(other, "t", "", true, &table, &err));
    files = entries_in(in_dir("store/wal"));
    assert_true(files > 0);
    assert_int_equal(txkv_checkpoint(first, NULL, &err), TXKV_CANTOPEN);
    assert_int_equal(txkv_close(first, &err), TXKV_CANTOPEN);
    assert_non_null(strstr(err.text, "store/wal was removed or replaced"));
    assert_int_equal(entries_in(in_dir("store/wal")), files);
    OK(txkv_close(other, &err));
}

/* A store's file that is a link, to the store's own file even, is not opened through it. */
static void
symbolic_links_within_a_store_are_not_followed(void **state)
{
    static const char *const names[] = { "data.mdb", "lock.mdb", "txkv.shm",
                                         "wal/0000000000000000.wal" };
    char file[192], away[192];

    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    copy_store();
    (void)snprintf(away, sizeof away, "%s/away", dir);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", copy_dir, names[i]);
        if (access(file, F_OK) != 0)
            write_file(file, "");
        OK(rename(file, away));
        OK(symlink(away, file));
        assert_int_not_equal(try_open(copy_dir, &small_store), TXKV_OK);
        assert_non_null(strstr(err.text, names[i]));
        assert_null(other);
        OK(unlink(file));
        if (i < 2) { /* LMDB's: its open() of a pipe would wait for somebody at the other end */
            OK(mkfifo(file, 0600));
            assert_int_equal(try_open(copy_dir, &small_store), TXKV_CANTOPEN);
            OK(unlink(file));
        }
        OK(rename(away, file));
    }
    OK(try_open(copy_dir, &small_store));
    OK(txkv_close(other, &err));
}

/* ---- damage ---- */

static void
damage_is_refused_and_can_be_salvaged(void **state)
{
    struct txkv_options salvage = small_store;
    struct txkv_recovery_report report;
    struct txkv_session *session;
    struct txkv_bytes value;
    uint64_t second_lsn;
    char file[192];
    int fd;

    (void)state;
    begin(s1);
    put(s1, "a", "1");
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    begin(s1);
    put(s1, "b", "1");
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    second_lsn = txkv_last_lsn(s1);
    begin(s1);
    put(s1, "c", "1");
    OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    copy_store();
    (void)snprintf(file, sizeof file, "%s/wal/0000000000000000.wal", copy_dir);
    fd = open(file, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "X", 1, (off_t)second_lsn + 50), 1);
    OK(close(fd));
    for (int i = 0; i < 2; i++)
        assert_int_equal(try_open(copy_dir, &small_store), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000000.wal"));
    salvage.salvage = true;
    OK(try_open(copy_dir, &salvage));
    txkv_recovery(other, &report);
    assert_true(report.salvaged);
    assert_int_equal(report.transactions_replayed, 1);
    assert_true(report.bytes_discarded > 0);
    OK(txkv_session_open(other, &session, &err));
    OK(txkv_get(session, table, text("a"), &value, &err));
    assert_int_equal(txkv_get(session, table, text("b"), &value, &err), TXKV_NOTFOUND);
    assert_int_equal(txkv_get(session, table, text("c"), &value, &err), TXKV_NOTFOUND);
    txkv_session_close(session);
    OK(txkv_close(other, &err));
    OK(try_open(copy_dir, &salvage)); /* nothing to salvage now */
    txkv_recovery(other, &report);
    assert_false(report.salvaged);
    OK(txkv_close(other, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(openers_of_a_directory_share_one_store),
        STORE_TEST(a_second_opener_changes_limits_and_nothing_else),
        DIR_TEST(what_cannot_be_opened_is_refused_with_the_reason),
        DIR_TEST(files_in_the_way_are_not_touched),
        STORE_TEST(closing_leaves_an_empty_log_directory),
        STORE_TEST(tables_keep_their_numbers_and_shapes),
        STORE_TEST(a_table_without_memory_is_not_made),
        STORE_TEST(an_open_without_memory_can_be_tried_again),
        STORE_TEST(threads_may_open_and_close_at_once),
        DIR_TEST(the_store_remembers_where_its_log_is),
        DIR_TEST(two_open_stores_cannot_share_a_log_directory),
        DIR_TEST(a_store_whose_directory_was_replaced_leaves_the_new_one_alone),
        STORE_TEST(symbolic_links_within_a_store_are_not_followed),
        STORE_TEST(damage_is_refused_and_can_be_salvaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
