/*
 * test_commit_large.c - transactions whose record has a file of its own (room.h), through the calls
 * of txkv.h.
 */
#include "child_fixture.h"

#include "../../src/room.h"
#include "../../src/writeset.h"

enum { FILE_FROM = 64 * KIB, VALUE_BYTES = 100, KEYS = 3000 };

/* What a key's value was made of, or NONE. */
enum { NONE = 0 };
static uint32_t model[KEYS], saved[KEYS], committed[KEYS];
static uint64_t random_state;

static uint32_t
roll(uint32_t sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % sides;
}

static struct txkv_bytes
key_of(uint32_t k, char room[16])
{
    (void)snprintf(room, 16, "key%07u", k);
    return text(room);
}

static struct txkv_bytes
value_of(uint32_t version)
{
    static uint8_t value[VALUE_BYTES];

    for (uint32_t i = 0; i < VALUE_BYTES; i++)
        value[i] = (uint8_t)(version >> i % 4 * 8) ^ (uint8_t)i;
    return (struct txkv_bytes){ value, VALUE_BYTES };
}

static bool
is_value(struct txkv_bytes value, uint32_t version)
{
    return value.bytes == VALUE_BYTES &&
           memcmp(value.data, value_of(version).data, VALUE_BYTES) == 0;
}

static enum txkv_rc
try_write(uint32_t k, uint32_t version)
{
    char room[16];

    if (version == NONE)
        return txkv_delete(s1, table, key_of(k, room), &err);
    return txkv_put(s1, table, key_of(k, room), value_of(version), &err);
}

static void
expect_key(struct txkv_session *s, const uint32_t state[KEYS], uint32_t k)
{
    struct txkv_bytes value;
    char room[16];
    const enum txkv_rc rc = txkv_get(s, table, key_of(k, room), &value, &err);

    assert_int_equal(rc, state[k] == NONE ? TXKV_NOTFOUND : TXKV_OK);
    assert_true(state[k] == NONE || is_value(value, state[k]));
}

static void
expect_all(struct txkv_session *s, const uint32_t state[KEYS], bool descending)
{
    const struct txkv_range all = { .descending = descending };
    struct txkv_cursor *cursor = new_cursor(s);
    enum txkv_rc rc = txkv_cursor_seek(cursor, &all, &err);

    for (uint32_t i = 0; i < KEYS; i++) {
        const uint32_t k = descending ? KEYS - 1 - i : i;
        char room[16];

        if (state[k] == NONE)
            continue;
        assert_int_equal(rc, TXKV_OK);
        assert_memory_equal(txkv_cursor_key(cursor).data, key_of(k, room).data, 10);
        assert_true(is_value(txkv_cursor_value(cursor), state[k]));
        rc = txkv_cursor_next(cursor, &err);
    }
    assert_int_equal(rc, TXKV_NOTFOUND);
    txkv_cursor_close(cursor);
}

/* Whether the open transaction's record has a file. */
static bool
has_file(void)
{
    return s1->current->writes.record.fd >= 0;
}

static void
need_files(void)
{
    if (!temp_dir_takes_unnamed(dir))
        skip();
}

static int
set_up_lowered(void **state)
{
    tx_room_file_from = FILE_FROM;
    return setup(state);
}

static int
tear_down_lowered(void **state)
{
    const int rc = teardown(state);

    tx_room_file_from = 32 * MIB;
    return rc;
}

/* One transaction of `count` random steps; savepoints nest one deep. */
static void
run_steps(uint32_t count, uint32_t *version)
{
    bool has_savepoint = false;

    begin(s1);
    memcpy(model, committed, sizeof model);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t k = roll(KEYS), what = roll(1000);

        if (what < 3) {
            OK(txkv_savepoint(s1, 0, &err));
            memcpy(saved, model, sizeof saved);
            has_savepoint = true;
        } else if (what == 3 && has_savepoint) {
            OK(txkv_rollback_to(s1, 0, &err));
            memcpy(model, saved, sizeof model);
        } else if (what == 4) {
            expect_all(s1, model, roll(2) == 0);
        } else if (what < 200) {
            expect_key(s1, model, k);
        } else {
            model[k] = roll(5) == 0 ? NONE : ++*version;
            OK(try_write(k, model[k]));
        }
    }
    expect_all(s1, model, false);
}

/* Goal: own writes are read, changed, taken back and committed as those of a small transaction.
 * Method: random steps against an array, across the point where the record gets its file. */
static void
own_writes_and_savepoints_are_as_in_a_small_transaction(void **state)
{
    uint32_t version = NONE;

    (void)state;
    need_files();
    memset(committed, 0, sizeof committed);
    random_state = 1;
    for (uint32_t round = 0; round < 10; round++) {
        run_steps(round < 2 ? 300 : 4000, &version);
        assert_int_equal(has_file(), round >= 2);
        if (round % 4 == 3) {
            txkv_rollback(s1);
        } else {
            commit(s1);
            memcpy(committed, model, sizeof committed);
        }
        if (round == 5)
            checkpoint();
        if (round == 7) {
            OK(close_all());
            reopen();
        }
        expect_all(s2, committed, round % 2 == 0);
    }
    copy_store();
    OK(close_all());
    OK(txkv_open(copy_dir, &small_store, &db, &err)); /* which recovery replays */
    OK(txkv_table(db, "t", "(k, v)", true, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
    expect_all(s2, committed, false);
}

static void
a_prepared_one_is_decided_as_any_other(void **state)
{
    uint32_t version = NONE;

    (void)state;
    need_files();
    memset(committed, 0, sizeof committed);
    random_state = 2;
    for (uint32_t round = 0; round < 3; round++) {
        run_steps(3000, &version);
        assert_true(has_file());
        OK(txkv_prepare(s1, text("a note"), &err));
        if (round == 1) {
            txkv_rollback(s1);
        } else {
            txkv_commit_prepared(s1);
            memcpy(committed, model, sizeof committed);
        }
        expect_all(s2, committed, false);
    }
}

static void
a_value_read_from_its_own_writes_can_be_written_again_while_they_move(void **state)
{
    struct txkv_bytes value;
    char room[16];
    uint32_t k = 0;

    (void)state;
    need_files();
    begin(s1);
    OK(try_write(0, 7));
    while (!has_file() || k < KEYS) {
        OK(txkv_get(s1, table, key_of(k, room), &value, &err));
        OK(txkv_put(s1, table, key_of(++k, room), value, &err));
    }
    OK(txkv_get(s1, table, key_of(k, room), &value, &err));
    assert_true(is_value(value, 7));
    commit(s1);
}

/* Whether there is room on the disk. Space is asked for by offset: of a file that is there already,
 * for more. */
static bool disk_full;

static int
full_fallocate(int fd, off_t offset, off_t bytes)
{
    return disk_full ? ENOSPC : posix_fallocate(fd, offset, bytes);
}

/* Take a savepoint and write keys until the disk is full; the first that was not written. */
static uint32_t
write_until_full(uint32_t from)
{
    uint32_t k = from;
    enum txkv_rc rc = txkv_savepoint(s1, 0, &err);

    memcpy(saved, model, sizeof saved);
    for (; rc == TXKV_OK && k < KEYS; k++) {
        rc = try_write(k, k + 1);
        model[k] = rc == TXKV_OK ? k + 1 : NONE;
    }
    assert_int_equal(rc, TXKV_FULL);
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, "free space"));
    return k - 1;
}

/* Goal: a full disk fails the one write that needed it; the transaction goes on from there.
 * Method: no room when the file is made, and when it grows; then room again. */
static void
a_full_disk_fails_one_write_and_loses_nothing(void **state)
{
    uint32_t k;

    (void)state;
    need_files();
    tx_os.fallocate = full_fallocate;
    for (int grows = 0; grows < 2; grows++) {
        memset(model, 0, sizeof model);
        begin(s1);
        for (k = 0; grows != 0 && !has_file(); k++) {
            OK(try_write(k, k + 1));
            model[k] = k + 1;
        }
        disk_full = true;
        k = write_until_full(grows != 0 ? k : 0);
        assert_int_equal(has_file(), grows != 0);
        expect_all(s1, model, true);
        assert_int_equal(try_write(k, k + 1), TXKV_FULL);
        OK(txkv_rollback_to(s1, 0, &err));
        OK(try_write(0, 12345)); /* there is room for it again */
        saved[0] = 12345;
        expect_all(s1, saved, false);
        disk_full = false;
        for (; k < KEYS; k++) {
            OK(try_write(k, k + 1));
            saved[k] = k + 1;
        }
        commit(s1);
        expect_all(s2, saved, false);
        begin(s1);
        for (k = 0; k < KEYS; k++)
            OK(try_write(k, NONE));
        commit(s1);
    }
    checkpoint();
}

/* Goal: a large transaction that cannot be committed stays open as it was, without its hash table.
 */
static void
a_commit_that_fails_leaves_it_open_as_it_was(void **state)
{
    enum { MANY = 40000 };
    struct txkv_bytes value;
    char room[16];

    (void)state;
    begin(s1);
    assert_int_equal(txkv_get(s1, table, text("read"), &value, &err), TXKV_NOTFOUND);
    for (uint32_t k = 0; k < MANY; k++)
        OK(try_write(k, k + 1));
    tx_mem_fail_at(1, true);
    assert_int_equal(try_commit(s1), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    assert_null(s1->current->writes.slots);
    OK(txkv_get(s1, table, key_of(MANY - 1, room), &value, &err));
    assert_true(is_value(value, MANY));
    set(s2, "read", "since");
    assert_int_equal(try_commit(s1), TXKV_CONFLICT);
    OK(txkv_get(s1, table, key_of(5, room), &value, &err));
    assert_true(is_value(value, 6));
    txkv_rollback(s1);
    begin(s1);
    for (uint32_t k = 0; k < MANY; k++)
        OK(try_write(k, k + 1));
    commit(s1);
    OK(txkv_get(s2, table, key_of(7, room), &value, &err));
    assert_true(is_value(value, 8));
}

/* ---- memory ---- */

enum { ROWS = 2000000, ROW_BYTES = 16 + VALUE_BYTES };

/* The most memory that the process has had, in MiB. */
static uint64_t
peak_mib(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long kb = 0;
    char line[200];

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "VmHWM: %llu", &kb);
    if (f != NULL)
        (void)fclose(f);
    return kb / 1024;
}

/* Rows in no order, in one transaction; then the checkpoint. */
static int
load_rows(void)
{
    const struct txkv_options options = { .map_size = UINT64_C(4) << 30 };
    char room[32];

    CHILD_NEEDS(txkv_open(dir, &options, &db, &err) == TXKV_OK &&
                txkv_table(db, "t", "(k, v)", true, &table, &err) == TXKV_OK &&
                txkv_session_open(db, &s1, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        (void)snprintf(room, sizeof room, "user%012u", (uint32_t)(i * 7919ull % ROWS));
        CHILD_NEEDS(txkv_put(s1, table, text(room), value_of(i), &err) == TXKV_OK);
    }
    CHILD_NEEDS(txkv_commit(s1, TXKV_SYNC_FULL, &err) == TXKV_OK);
    steps->number = peak_mib();
    CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
    steps->step = (uint32_t)peak_mib();
    txkv_session_close(s1);
    CHILD_NEEDS(txkv_close(db, &err) == TXKV_OK);
    return 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MEMORY_ONLY false
#elif defined(__has_feature)
#define OWN_MEMORY_ONLY (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
#else
#define OWN_MEMORY_ONLY true
#endif

static void
a_large_transaction_and_its_checkpoint_take_less_than_three_times_its_bytes(void **state)
{
    (void)state;
    if (!OWN_MEMORY_ONLY)
        skip(); /* a sanitizer's would count as well */
    need_files();
    new_steps();
    expect_child_well(start_child(load_rows));
    print_message("%u MiB of rows: %u MiB at the commit, %u at the checkpoint\n",
                  (unsigned)((uint64_t)ROWS * ROW_BYTES / MIB), (unsigned)steps->number,
                  (unsigned)steps->step);
    assert_true(steps->number * MIB < (uint64_t)ROWS * ROW_BYTES * 2);
    assert_true(steps->step * (uint64_t)MIB < (uint64_t)ROWS * ROW_BYTES * 3);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_lowered, tear_down_lowered)
    const struct CMUnitTest tests[] = {
        TEST(own_writes_and_savepoints_are_as_in_a_small_transaction),
        TEST(a_prepared_one_is_decided_as_any_other),
        TEST(a_value_read_from_its_own_writes_can_be_written_again_while_they_move),
        TEST(a_full_disk_fails_one_write_and_loses_nothing),
        TEST(a_commit_that_fails_leaves_it_open_as_it_was),
        DIR_TEST(a_large_transaction_and_its_checkpoint_take_less_than_three_times_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
