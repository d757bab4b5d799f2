/*
 * test_archive.c - what is archived, and whose an archive is.
 *
 * Goal: no file of the log is removed before the archive has it, whichever process removes it and
 * whatever it was told; an archive that cannot be written stops nobody and loses nothing.
 * Method: an archive that is moved away and put back, or holds other files; a child process that
 * opens the store without the option.
 */
#include "archive_fixture.h"

/* The number of transactions in the archive from its first record on, up to its end. */
static int
count_archived(void)
{
    struct tx_archive_reader *reader;
    struct tx_segment *segment;
    struct tx_record record;
    int count = 0;
    enum txkv_rc rc;

    OK(tx_archive_open(in_dir("archive"), txkv_store_id(db), 0, 0, &reader, &err));
    while ((rc = tx_archive_next(reader, &record, &segment, &err)) == TXKV_OK)
        count += record.type == TX_RECORD_TXN;
    if (rc != TXKV_NOTFOUND)
        print_error("%s\n", err.text);
    assert_int_equal(rc, TXKV_NOTFOUND);
    tx_archive_close(reader);
    return count;
}

static void
a_file_is_archived_before_it_is_removed(void **state)
{
    struct txkv_checkpoint_report report;

    (void)state;
    fill_segments('a', 3);
    shell("cp -r store/wal before");
    OK(txkv_checkpoint(db, &report, &err));
    assert_true(report.segments_deleted >= 2);
    assert_int_equal(report.segments_archived, report.segments_deleted);
    assert_int_equal(report.segments_waiting, 0);
    assert_int_equal(count_segments("archive"), report.segments_deleted);
    /* They are what they were, up to the seal. */
    shell("for f in archive/*.wal; do cmp -n $(stat -c %s $f) $f before/${f#*/}; done");
    assert_int_equal(count_archived(), 12 - 4 * (3 - (int)report.segments_deleted));
    look_at_archive();
    assert_string_equal(archive_state.dir, in_dir("archive"));
    assert_string_equal(archive_state.error, "");
    /* Nothing new: nothing is archived again. */
    OK(txkv_checkpoint(db, &report, &err));
    assert_int_equal(report.segments_archived, 0);
}

static void
the_end_of_the_log_is_archived_on_demand_and_at_close(void **state)
{
    struct txkv_archive_report report;

    (void)state;
    set(s1, "a", "1");
    OK(txkv_archive(db, &report, &err));
    assert_int_equal(report.segments, 1);
    assert_true(report.lsn > txkv_last_lsn(s1));
    assert_int_equal(count_archived(), 1);
    OK(txkv_archive(db, &report, &err));
    assert_int_equal(report.segments, 0);
    /* The same file, longer. */
    set(s1, "b", "2");
    OK(txkv_archive(db, &report, &err));
    assert_int_equal(report.segments, 1);
    assert_int_equal(count_archived(), 2);
    set(s1, "c", "3");
    OK(close_all());
    assert_int_equal(count_segments("store/wal"), 0);
    assert_int_equal(count_segments("archive"), 1);
    /* The next file begins where the store was closed, in the middle of that one. */
    open_archived();
    set(s1, "d", "4");
    OK(txkv_archive(db, &report, &err));
    assert_int_equal(count_segments("archive"), 2);
    assert_int_equal(count_archived(), 4);
}

/* What a process that died between archiving and removing leaves: the file is sealed then. */
static void
a_close_that_was_cut_off_goes_on(void **state)
{
    (void)state;
    set(s1, "a", "1");
    checkpoint();
    shell("cp -r store crashed");
    OK(close_all());
    shell("rm -r store && mv crashed store");
    open_archived();
    set(s1, "b", "2");
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_archived(), 2);
    look_at_archive();
    assert_string_equal(archive_state.error, "");
}

static void
an_archive_that_cannot_be_written_stops_nobody(void **state)
{
    struct txkv_checkpoint_report report;
    int files;

    (void)state;
    shell("mv archive away");
    fill_segments('a', 3);
    files = count_segments("store/wal");
    OK(txkv_checkpoint(db, &report, &err));
    assert_int_equal(report.segments_deleted, 0);
    assert_int_equal(report.segments_waiting, files - 1);
    fill_segments('b', 1);
    checkpoint();
    assert_true(count_segments("store/wal") > files);
    look_at_archive();
    assert_true(archive_state.waiting >= (uint64_t)files);
    assert_non_null(strstr(archive_state.error, in_dir("archive")));
    assert_non_null(strstr(archive_state.error, "archive_dir=off"));
    assert_int_equal(txkv_archive(db, NULL, &err), TXKV_CANTOPEN);
    /* A directory with the name is not the archive: something may be to be mounted there. */
    shell("mkdir archive");
    assert_int_equal(txkv_archive(db, NULL, &err), TXKV_CANTOPEN);
    assert_int_equal(count_segments("archive"), 0);
    /* Closing and opening keeps them, too; the option may name what is not there. */
    shell("rmdir archive");
    assert_int_equal(close_all(), TXKV_CANTOPEN);
    open_archived();
    look_at_archive();
    shell("mv away archive");
    OK(txkv_checkpoint(db, &report, &err));
    assert_true(report.segments_archived > 0 && report.segments_waiting == 0);
    look_at_archive();
    assert_string_equal(archive_state.error, "");
    assert_int_equal(archive_state.waiting, 0);
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_archived(), 16);
}

static void
another_file_in_the_archive_is_never_replaced(void **state)
{
    struct txkv_checkpoint_report report;

    (void)state;
    fill_segments('a', 3);
    shell("cp store/wal/0000000000000000.wal archive");
    shell("printf x | dd of=archive/0000000000000000.wal bs=1 seek=3000 conv=notrunc 2>/dev/null");
    shell("cp archive/0000000000000000.wal other");
    OK(txkv_checkpoint(db, &report, &err));
    assert_int_equal(report.segments_deleted, 0);
    assert_true(report.segments_waiting > 1);
    look_at_archive();
    assert_non_null(strstr(archive_state.error, "another file"));
    shell("cmp other archive/0000000000000000.wal");
    /* Once it is out of the way, all goes on. */
    shell("rm archive/*.wal");
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_archived(), 12);
    /* A longer one is another one, too: it has what this store has not. */
    shell("for f in archive/*.wal; do last=$f; done; echo more >>$last");
    assert_int_equal(txkv_archive(db, NULL, &err), TXKV_EXISTS);
    assert_non_null(strstr(err.text, "another file"));
}

/* ---- whose it is ---- */

static void
an_archive_is_given_up_only_in_so_many_words(void **state)
{
    struct txkv_options options = archived_store();
    int before;

    (void)state;
    options.archive_dir = NULL;
    OK(close_all());
    before = count_segments("archive");
    open_as(&options);
    look_at_archive();
    assert_string_equal(archive_state.dir, in_dir("archive"));
    options.archive_dir = in_dir("elsewhere");
    assert_int_equal(try_open(in_dir("store"), &options), TXKV_MISUSE);
    assert_non_null(strstr(err.text, in_dir("archive")));
    assert_non_null(strstr(err.text, "archive_dir=off"));
    assert_false(is_there("elsewhere"));
    options.archive_dir = "";
    assert_int_equal(try_open(in_dir("store"), &options), TXKV_MISUSE);
    options.archive_dir = "off";
    OK(try_open(in_dir("store"), &options));
    OK(txkv_close(other, &err));
    look_at_archive();
    assert_string_equal(archive_state.dir, "");
    assert_int_equal(txkv_archive(db, NULL, &err), TXKV_MISUSE);
    fill_segments('a', 3);
    checkpoint();
    assert_int_equal(count_segments("archive"), before);
    assert_int_equal(count_segments("store/wal"), 1);
    options.archive_dir = in_dir("elsewhere");
    OK(try_open(in_dir("store"), &options));
    OK(txkv_close(other, &err));
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_segments("elsewhere"), 1);
}

static void
an_archive_belongs_to_one_store(void **state)
{
    struct txkv_options options = archived_store();

    (void)state;
    options.archive_dir = in_dir("archive");
    assert_int_equal(try_open(in_dir("second"), &options), TXKV_MISUSE);
    assert_non_null(strstr(err.text, in_dir("archive")));
    /* Without the mark its files tell. */
    fill_segments('a', 2);
    checkpoint();
    shell("rm archive/txkv-archive");
    options.archive_dir = in_dir("archive");
    assert_int_equal(try_open(in_dir("second"), &options), TXKV_MISUSE);
    assert_non_null(strstr(err.text, "0000000000000000.wal"));
    options.archive_dir = in_dir("second/wal");
    assert_int_equal(try_open(in_dir("second"), &options), TXKV_MISUSE);
    options.archive_dir = in_dir("file");
    shell("echo >file");
    assert_int_equal(try_open(in_dir("second"), &options), TXKV_EXISTS);
    options.archive_dir = in_dir("no such/archive");
    assert_int_equal(try_open(in_dir("second"), &options), TXKV_CANTOPEN);
    options.archive_dir = NULL;
    OK(try_open(in_dir("second"), &options));
    OK(txkv_archive_state(other, &archive_state, &err));
    assert_string_equal(archive_state.dir, "");
    OK(txkv_close(other, &err));
}

static void
a_backup_is_not_archived(void **state)
{
    const struct txkv_options options = { .map_size = 64 * MIB };

    (void)state;
    set(s1, "a", "1");
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    OK(try_open(in_dir("backup"), &options));
    OK(txkv_archive_state(other, &archive_state, &err));
    assert_string_equal(archive_state.dir, "");
    OK(txkv_close(other, &err));
}

static void
a_rescued_store_keeps_its_archive(void **state)
{
    (void)state;
    set(s1, "a", "1");
    OK(close_all());
    OK(txkv_rescue(in_dir("store"), NULL, NULL, &err));
    open_archived();
    assert_true(has(s1, "a", "1"));
    look_at_archive();
    assert_string_equal(archive_state.dir, in_dir("archive"));
    set(s1, "b", "2");
    OK(txkv_archive(db, NULL, &err));
    assert_int_equal(count_segments("archive"), 2);
}

/* One that knows nothing of archives refuses a store that has one. */
static void
the_format_tells_of_the_archive(void **state)
{
    struct txkv_options options = archived_store();

    (void)state;
    shell("mdb_dump -s meta store | grep -A1 666f726d6174 | grep -q 05000000");
    options.archive_dir = "off";
    OK(try_open(in_dir("store"), &options));
    OK(txkv_close(other, &err));
    shell("mdb_dump -s meta store | grep -A1 666f726d6174 | grep -q 04000000");
}

/* ---- several processes ---- */

static int
trim_without_the_option(void)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .segment_bytes = 64 * KIB };

    wait_for_step(1);
    CHILD_NEEDS(txkv_open(in_dir("store"), &options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    go_to_step(2);
    wait_for_step(3);
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_archive_state(db, &archive_state, &err) == TXKV_OK);
    CHILD_NEEDS(archive_state.waiting > 0 && archive_state.error[0] != '\0');
    go_to_step(4);
    wait_for_step(5);
    return txkv_close(db, &err) == TXKV_OK ? 0 : __LINE__;
}

/* It has the store open before the archive is set, and does the checkpoints after it. */
static void
a_process_without_the_option_archives_as_well(void **state)
{
    struct txkv_options options = archived_store();
    pid_t child;

    (void)state;
    new_steps();
    child = start_child(trim_without_the_option);
    options.archive_dir = NULL;
    open_as(&options);
    go_to_step(1);
    wait_for_step(2);
    options.archive_dir = in_dir("archive");
    OK(try_open(in_dir("store"), &options));
    OK(txkv_close(other, &err));
    fill_segments('a', 3);
    shell("mv archive away");
    go_to_step(3);
    wait_for_step(4);
    look_at_archive(); /* what the other one found */
    assert_true(archive_state.waiting > 0);
    assert_non_null(strstr(archive_state.error, in_dir("archive")));
    assert_true(count_segments("store/wal") >= 3);
    shell("mv away archive");
    checkpoint();
    assert_int_equal(count_segments("store/wal"), 1);
    go_to_step(5);
    expect_child_well(child);
    OK(close_all()); /* the last one */
    open_archived();
    assert_int_equal(count_archived(), 12);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(a_file_is_archived_before_it_is_removed),
        ARCHIVE_TEST(the_end_of_the_log_is_archived_on_demand_and_at_close),
        ARCHIVE_TEST(a_close_that_was_cut_off_goes_on),
        ARCHIVE_TEST(an_archive_that_cannot_be_written_stops_nobody),
        ARCHIVE_TEST(another_file_in_the_archive_is_never_replaced),
        ARCHIVE_TEST(an_archive_is_given_up_only_in_so_many_words),
        ARCHIVE_TEST(an_archive_belongs_to_one_store),
        ARCHIVE_TEST(a_backup_is_not_archived),
        ARCHIVE_TEST(a_rescued_store_keeps_its_archive),
        ARCHIVE_TEST(the_format_tells_of_the_archive),
        DIR_TEST(a_process_without_the_option_archives_as_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
