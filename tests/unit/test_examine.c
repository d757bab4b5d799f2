/*
 * test_examine.c - txkv_examine and txkv_check_pages: what is damaged is found and told, and
 * nothing is changed.
 */
#include "store_fixture.h"

#include "../../src/bytes.h"
#include "../../src/record.h"
#include "../../src/segment.h"

static struct txkv_examination seen;

/* Names, bytes, sizes, modes and times of change of all that is below copy_dir, as one text. */
static char *
state_of_copy(void)
{
    static char texts[2][1 << 16];
    static unsigned next;
    char *into = texts[next++ % 2];
    char command[512];
    size_t bytes;
    FILE *pipe;

    (void)snprintf(command, sizeof command,
                   "cd %s && find . -printf '%%p %%s %%m %%T@ %%C@\\n' | sort && "
                   "find . -type f | sort | xargs md5sum",
                   copy_dir);
    pipe = popen(command, "r"); // NOLINT(cert-env33-c)
    assert_non_null(pipe);
    bytes = fread(into, 1, sizeof texts[0] - 1, pipe);
    into[bytes] = '\0';
    assert_int_equal(pclose(pipe), 0);
    assert_non_null(strstr(into, "data.mdb"));
    return into;
}

/* Look at the copy: it is as it was, and what is said about opening it comes true. */
static void
examine_copy(bool opens)
{
    const char *before = state_of_copy();

    memset(&err, 0, sizeof err);
    OK(txkv_examine(copy_dir, NULL, &seen, &err));
    assert_string_equal(state_of_copy(), before);
    assert_int_equal(seen.opens, opens);
    assert_int_equal(seen.problems > 0, !opens);
    assert_int_equal(strlen(seen.first) > 0, !opens);
}

static void
expect_open(enum txkv_rc rc)
{
    const struct txkv_options options = { .must_exist = true };

    assert_int_equal(try_open(copy_dir, &options), rc);
    if (rc == TXKV_OK)
        OK(txkv_close(other, &err));
}

static const char first_segment[] = "wal/0000000000000000.wal";

/* Three rows in LMDB, three in the log, all of it durable. */
static uint64_t
make_store(void)
{
    uint64_t lsn;

    set(s1, "a", "1");
    set(s1, "b", "2");
    set(s1, "c", "3");
    OK(txkv_checkpoint(db, NULL, &err));
    set(s1, "d", "4");
    lsn = txkv_last_lsn(s1);
    for (int i = 0; i < 2; i++) {
        begin(s1);
        put(s1, i == 0 ? "e" : "f", "5");
        OK(txkv_commit(s1, TXKV_SYNC_FULL, &err));
    }
    copy_store();
    return lsn;
}

static void
a_good_store_is_counted_and_not_touched(void **state)
{
    (void)state;
    (void)make_store();
    examine_copy(true);
    assert_int_equal(seen.tables, 1);
    assert_int_equal(seen.rows, 3);
    assert_int_equal(seen.transactions, 3);
    assert_int_equal(seen.operations, 3);
    assert_int_equal(seen.records_behind, 0);
    assert_int_equal(seen.store_id, txkv_store_id(db));
    assert_false(seen.log_damaged);
    expect_open(TXKV_OK);
}

static void
damage_to_the_log_is_placed_and_what_salvage_would_cut_is_counted(void **state)
{
    const uint64_t lsn = make_store();

    (void)state;
    damage_copy(first_segment, lsn + 50);
    examine_copy(false);
    assert_true(seen.log_damaged);
    assert_string_equal(seen.break_file, first_segment + 4);
    assert_int_equal(seen.break_offset, lsn);
    assert_int_equal(seen.end_lsn, lsn);
    assert_int_equal(seen.transactions, 0);
    assert_int_equal(seen.records_behind, 2);
    assert_true(seen.bytes_behind > 100);
    expect_open(TXKV_CORRUPT);
}

static void
a_torn_tail_is_no_damage(void **state)
{
    (void)state;
    (void)make_store();
    damage_copy(first_segment, txkv_last_lsn(s1) + 50);
    examine_copy(true);
    assert_false(seen.log_damaged);
    assert_int_equal(seen.transactions, 2);
    assert_true(seen.bytes_behind > 0);
    expect_open(TXKV_OK);
}

static void
a_log_that_belongs_to_another_store_is_told(void **state)
{
    char command[512];

    (void)state;
    (void)make_store();
    (void)snprintf(command, sizeof command, "rm %s/data.mdb", copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    OK(try_open(in_dir("second"), NULL));
    OK(txkv_close(other, &err));
    (void)snprintf(command, sizeof command, "cp %s %s/data.mdb", in_dir("second/data.mdb"),
                   copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    examine_copy(false);
    assert_non_null(strstr(seen.first, "another store"));
    expect_open(TXKV_CORRUPT);
}

static void
remove_copy(void)
{
    char command[256];

    (void)snprintf(command, sizeof command, "rm -r %s", copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

/* Every bit of both meta pages' contents that LMDB looks at, and every byte of the header of every
 * page in use: either it is found, or the store opens and its rows can be read. */
static void
no_damaged_number_in_a_page_reaches_lmdb(void **state)
{
    uint64_t found = 0, pages;

    (void)state;
    (void)make_store();
    examine_copy(true);
    pages = seen.pages.pages + 2;
    for (uint64_t page = 0; page < pages; page++) {
        for (uint64_t at = 0; at < (page < 2 ? 152 : 24); at++) {
            damage_copy("data.mdb", page * 4096 + at);
            OK(txkv_examine(copy_dir, NULL, &seen, &err));
            found += seen.pages.problems > 0;
            if (!seen.opens)
                expect_open(TXKV_CORRUPT);
            if (seen.opens && at % 4 == 0) { /* closing changes the file */
                expect_open(TXKV_OK);
                remove_copy();
                copy_store();
            } else {
                damage_copy("data.mdb", page * 4096 + at);
            }
        }
    }
    assert_true(found > 200);
}

/* All of the copy's data.mdb. */
static size_t
read_data(uint8_t *file, size_t room)
{
    char path[160];
    ssize_t bytes;
    int fd;

    (void)snprintf(path, sizeof path, "%s/data.mdb", copy_dir);
    fd = open(path, O_RDONLY);
    bytes = read(fd, file, room);
    (void)close(fd);
    assert_true(bytes > 0 && (size_t)bytes < room);
    return (size_t)bytes;
}

/* In the copy's data.mdb, whose bytes these are: change those bits of a byte so far from the
 * beginning of each place of the name, or change them back. */
static void
change_at(const uint8_t *file, size_t bytes, const char *name, int64_t byte, uint8_t bits)
{
    const uint8_t *at = file;

    while ((at = memmem(at, (size_t)(file + bytes - at), name, strlen(name))) != NULL) {
        damage_copy_bits("data.mdb", (uint64_t)(at - file + byte), bits);
        at += strlen(name);
    }
}

/*
 * Goal: what LMDB is told of a database is looked at, too: its flags, and its counts when it is
 * empty. Method: each such byte of what stands behind its name, wherever in the file that is.
 */
static void
a_database_that_no_store_has_is_damage(void **state)
{
    static uint8_t file[1 << 20];
    static const char name[] = "table-2"; /* has no rows */
    uint32_t empty;
    size_t bytes;

    (void)state;
    OK(txkv_table(db, "empty", NULL, true, &empty, &err));
    (void)make_store();
    bytes = read_data(file, sizeof file);
    for (int64_t field = 4; field < 40; field++) {
        change_at(file, bytes, name, (int64_t)strlen(name) + field, 0x04);
        examine_copy(false);
        expect_open(TXKV_CORRUPT);
        change_at(file, bytes, name, (int64_t)strlen(name) + field, 0x04);
    }
    examine_copy(true);
}

/* Goal: a store without one of its databases is damaged. Method: LMDB's mark of a database goes
 * from an entry, which is a value then; a bit of its name changes. */
static void
a_database_that_is_missing_is_damage(void **state)
{
    static const char *const names[] = { "meta", "long", "table-1" };
    static uint8_t file[1 << 20];
    size_t bytes;

    (void)state;
    (void)make_store();
    bytes = read_data(file, sizeof file);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        change_at(file, bytes, names[i], -4, 0x02);
        examine_copy(false);
        expect_open(TXKV_FORMAT);
        change_at(file, bytes, names[i], -4, 0x02);
        if (i == 0)
            continue; /* without "meta" it is no store, but another program's file */
        change_at(file, bytes, names[i], (int64_t)strlen(names[i]) - 1, 0x01);
        examine_copy(false);
        expect_open(TXKV_CORRUPT);
        change_at(file, bytes, names[i], (int64_t)strlen(names[i]) - 1, 0x01);
    }
    examine_copy(true);
}

/* Goal: another format is told as what it is, and no rescue takes it for damage. Method: bits of
 * the format, which stands behind its name, change. */
static void
a_store_of_another_format_is_no_damaged_one(void **state)
{
    static const struct {
        uint8_t bits;
        const char *format, *way_out;
    } cases[] = { { 4 ^ 2, "format 2", "txkv_export" }, { 4 ^ 12, "format 12", "made it" } };
    static uint8_t file[1 << 20];
    size_t bytes;

    (void)state;
    (void)make_store();
    bytes = read_data(file, sizeof file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        change_at(file, bytes, "format", 6, cases[i].bits);
        examine_copy(false);
        assert_non_null(strstr(seen.first, cases[i].format));
        assert_non_null(strstr(seen.first, cases[i].way_out));
        expect_open(TXKV_FORMAT);
        assert_int_equal(txkv_rescue(copy_dir, NULL, NULL, &err), TXKV_FORMAT);
        assert_non_null(strstr(err.text, cases[i].way_out));
        change_at(file, bytes, "format", 6, cases[i].bits);
    }
    examine_copy(true);
    expect_open(TXKV_OK);
}

/* Goal: no rescue takes the keys of an older format for today's, however damaged the rest is.
 * Method: as above, and the entry of a table in the catalog is damaged as well. */
static void
what_is_damaged_of_an_older_format_is_not_rescued(void **state)
{
    static uint8_t file[1 << 20];
    size_t bytes;

    (void)state;
    (void)make_store();
    bytes = read_data(file, sizeof file);
    change_at(file, bytes, "table/", 10, 0x40);
    change_at(file, bytes, "format", 6, 4 ^ 2);
    examine_copy(false);
    assert_int_equal(txkv_rescue(copy_dir, NULL, NULL, &err), TXKV_FORMAT);
    assert_non_null(strstr(err.text, "txkv_export"));
    change_at(file, bytes, "format", 6, 4 ^ 2);
    examine_copy(false);
    OK(txkv_rescue(copy_dir, NULL, NULL, &err));
    remove_copy();
}

/* Writes an intact header of that format. */
static void
write_format(int fd, uint32_t format)
{
    uint8_t header[TX_SEGMENT_HEADER_BYTES];

    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    tx_put_u32(header + 8, format);
    tx_put_u64(header + 56, tx_record_hash(header, 56, tx_get_u64(header + 16)));
    assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
}

/* Goal: nor where the log alone is left. Method: a file of it says that it is of another format. */
static void
a_log_of_another_format_is_not_rescued(void **state)
{
    char path[512];
    int fd;

    (void)state;
    (void)make_store();
    (void)snprintf(path, sizeof path, "%s/data.mdb", copy_dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/%s", copy_dir, first_segment);
    fd = open(path, O_RDWR);
    for (uint32_t format = 1; format <= TX_SEGMENT_FORMAT + 1; format++) {
        write_format(fd, format);
        if (format != TX_SEGMENT_FORMAT)
            assert_int_equal(txkv_rescue(copy_dir, NULL, NULL, &err), TXKV_FORMAT);
    }
    write_format(fd, TX_SEGMENT_FORMAT);
    (void)close(fd);
    OK(txkv_rescue(copy_dir, NULL, NULL, &err));
    remove_copy();
}

static void
what_is_open_is_not_examined(void **state)
{
    (void)state;
    assert_int_equal(txkv_examine(dir, NULL, &seen, &err), TXKV_LOCKED);
    assert_int_equal(txkv_examine(in_dir("nowhere"), NULL, &seen, &err), TXKV_CANTOPEN);
}

/* Long values, long keys, many tables, and pages that were freed and used again. */
static void
a_store_of_every_kind_of_page_has_no_problems(void **state)
{
    static uint8_t value[20000];
    static uint8_t key[2000];
    struct txkv_pages_report report;
    uint32_t tables[8];
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "t%u", i);
        OK(txkv_table(db, name, NULL, true, &tables[i], &err));
    }
    for (uint32_t round = 0; round < 40; round++) {
        begin(s1);
        for (uint32_t i = 0; i < 200; i++) {
            const uint32_t n = round * 7919 + i * 104729;
            const struct txkv_bytes k = { key, n % 11 == 0 ? 500 + n % 1500 : 4 + n % 40 };

            memset(key, 'k', sizeof key);
            memcpy(key + (k.bytes > 600 ? 590 : 0), &n, 4);
            if (n % 3 == 0)
                OK(txkv_delete(s1, tables[n % 8], k, &err));
            else
                OK(txkv_put(s1, tables[n % 8], k,
                            (struct txkv_bytes){ value, n % 17 == 0 ? n % 20000 : n % 60 }, &err));
        }
        commit(s1);
        OK(txkv_checkpoint(db, NULL, &err));
        OK(txkv_check_pages(db, &report, &err));
        if (report.problems > 0)
            print_error("%s\n", report.first);
        assert_int_equal(report.problems, 0);
    }
    assert_true(report.pages > 100);
    OK(txkv_table_drop(db, tables, 4, &err));
    OK(txkv_checkpoint(db, NULL, &err));
    OK(txkv_check_pages(db, &report, &err));
    assert_int_equal(report.problems, 0);
}

/*
 * LMDB, when it cannot write the last page of a commit, puts the older meta page back but for its
 * databases. A number in one of these that cannot be is no damage: LMDB goes by the newer page.
 */
static void
an_older_meta_page_that_lmdb_gave_up_is_no_damage(void **state)
{
    enum { MAIN_ROOT = 128, TXN = 144 };
    static uint8_t pages[2][4096];
    char path[160];
    uint64_t txn[2];
    int fd, newer;

    (void)state;
    (void)make_store();
    (void)snprintf(path, sizeof path, "%s/data.mdb", copy_dir);
    fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, pages, sizeof pages, 0), (ssize_t)sizeof pages);
    for (int i = 0; i < 2; i++)
        memcpy(&txn[i], pages[i] + TXN, 8);
    newer = txn[0] > txn[1] ? 0 : 1;
    assert_true(txn[newer] > txn[1 - newer]);
    memset(pages[1 - newer] + MAIN_ROOT, 0x7f, 4); /* beyond the last page */
    damage_copy("data.mdb", (uint64_t)newer * 4096 + MAIN_ROOT + 3);
    examine_copy(false);
    expect_open(TXKV_CORRUPT);
    damage_copy("data.mdb", (uint64_t)newer * 4096 + MAIN_ROOT + 3); /* back again */
    assert_int_equal(pwrite(fd, pages[1 - newer], 4096, (1 - newer) * 4096L), 4096);
    (void)close(fd);
    examine_copy(true);
    expect_open(TXKV_OK);
}

static void
prepare_one(const char *key)
{
    begin(s1);
    put(s1, key, "1");
    OK(txkv_prepare(s1, (struct txkv_bytes){ (const uint8_t *)"note", 4 }, &err));
}

static void
what_is_prepared_is_in_doubt_until_it_is_decided(void **state)
{
    static const char *const names[] = { "second" };
    uint32_t number;

    (void)state;
    prepare_one("a");
    copy_store();
    examine_copy(true);
    assert_true(seen.in_doubt);
    assert_int_equal(seen.transactions, 0);
    assert_int_equal(seen.operations, 0);
    txkv_commit_prepared(s1);
    prepare_one("b");
    txkv_rollback(s1);
    OK(txkv_table(db, "first", "", true, &number, &err));
    OK(txkv_table_rename(db, &number, names, 1, &err));
    OK(txkv_table_drop(db, &number, 1, &err));
    remove_copy();
    copy_store();
    examine_copy(true);
    assert_false(seen.in_doubt);
    assert_int_equal(seen.transactions, 1);
    assert_true(seen.records >= 8);
}

static void
a_log_directory_that_is_missing_is_told(void **state)
{
    const char *wal = in_dir("elsewhere");
    char missing[160];
    const struct txkv_options options = { .wal_dir = wal };

    (void)state;
    (void)snprintf(missing, sizeof missing, "mv %s %s.away", wal, wal);
    (void)snprintf(copy_dir, sizeof copy_dir, "%s/separate", dir);
    OK(try_open(copy_dir, &options));
    OK(txkv_close(other, &err));
    OK(txkv_examine(copy_dir, NULL, &seen, &err));
    assert_true(seen.opens);
    assert_int_equal(system(missing), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    OK(txkv_examine(copy_dir, NULL, &seen, NULL));
    assert_false(seen.opens);
    assert_string_equal(seen.first, "the log's directory is missing");
    assert_int_equal(txkv_examine(copy_dir, NULL, &seen, &err), TXKV_OK);
    expect_open(TXKV_CANTOPEN);
}

static void
without_memory_examining_fails_and_leaves_nothing(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    (void)make_store();
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_mem_fail_at(n, false);
        rc = txkv_examine(copy_dir, NULL, &seen, &err);
        tx_mem_fail_at(0, false);
        assert_true(rc == TXKV_OK || n < 200);
    }
    OK(rc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_good_store_is_counted_and_not_touched),
        STORE_TEST(damage_to_the_log_is_placed_and_what_salvage_would_cut_is_counted),
        STORE_TEST(a_torn_tail_is_no_damage),
        STORE_TEST(a_log_that_belongs_to_another_store_is_told),
        STORE_TEST(no_damaged_number_in_a_page_reaches_lmdb),
        STORE_TEST(a_database_that_no_store_has_is_damage),
        STORE_TEST(a_database_that_is_missing_is_damage),
        STORE_TEST(a_store_of_another_format_is_no_damaged_one),
        STORE_TEST(what_is_damaged_of_an_older_format_is_not_rescued),
        STORE_TEST(a_log_of_another_format_is_not_rescued),
        STORE_TEST(what_is_open_is_not_examined),
        STORE_TEST(what_is_prepared_is_in_doubt_until_it_is_decided),
        STORE_TEST(a_log_directory_that_is_missing_is_told),
        STORE_TEST(an_older_meta_page_that_lmdb_gave_up_is_no_damage),
        STORE_TEST(a_store_of_every_kind_of_page_has_no_problems),
        STORE_TEST(without_memory_examining_fails_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
