/*
 * test_tree.c - opening the LMDB environment, and reading it.
 *
 * Foreign and damaged files are made with LMDB itself, or byte by byte.
 */
#include "tree_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "../../src/atomic.h"
#include "../../src/tree_private.h"

enum { NOBODY = 65534 };

static enum txkv_rc
try_open(void)
{
    struct tx_tree *tree;
    const enum txkv_rc rc = tx_tree_open(dir, MIB, NULL, TX_TREE_ALONE, &tree, &err);

    assert_true((rc == TXKV_OK) == (tree != NULL));
    tx_tree_close(tree);
    if (rc != TXKV_OK) {
        assert_int_equal(err.rc, rc);
        assert_non_null(strstr(err.text, dir));
    }
    return rc;
}

/* ---- opening ---- */

static enum txkv_rc
count_table(void *arg, const struct tx_table_def *def, struct txkv_error *e)
{
    char name[16];

    (void)e;
    (void)snprintf(name, sizeof name, "t%u", def->table);
    assert_int_equal(def->name_bytes, strlen(name));
    assert_memory_equal(def->name, name, def->name_bytes);
    assert_int_equal(def->shape_bytes, 5);
    assert_memory_equal(def->shape, "(k,v)", 5);
    ++*(int *)arg;
    return TXKV_OK;
}

static void
a_new_store_has_an_id_no_tables_and_starts_at_lsn_0(void **state)
{
    struct tx_tree *tree = open_tree(MIB);
    const struct tx_tree_meta *meta = tx_tree_meta(tree);
    const uint64_t id = meta->store_id;
    int tables = 0;

    (void)state;
    assert_true(id != 0);
    assert_int_equal(meta->checkpoint_lsn, 0);
    assert_int_equal(meta->checkpoint_check, 0);
    assert_null(meta->wal_dir);
    OK(tx_tree_catalog(tree, count_table, &tables, &(uint64_t){ 0 }, &err));
    assert_int_equal(tables, 0);
    tx_tree_close(tree);
    tree = open_tree(MIB);
    assert_true(tx_tree_meta(tree)->store_id == id);
    tx_tree_close(tree);
}

static int
fail_fallocate(int fd, off_t offset, off_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    return ENOSPC;
}

/* A hole in it is a SIGBUS when LMDB writes there and the disk is full. */
static void
the_table_of_readers_has_its_space_before_lmdb_maps_it(void **state)
{
    char path[128];
    struct stat st;

    (void)state;
    tx_os.fallocate = fail_fallocate;
    assert_int_equal(try_open(), TXKV_FULL);
    tx_os = tx_os_system;
    assert_int_equal(try_open(), TXKV_OK);
    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 0);
    assert_true(st.st_blocks * 512 >= st.st_size);
}

static void
rows_catalog_meta_and_log_directory_survive_reopening(void **state)
{
    static const char *const keys[] = { "a", "b", "c" };
    struct tx_tree *tree;
    struct tx_tree_read *read;
    int tables = 0;

    (void)state;
    OK(tx_tree_open(dir, MIB, "/elsewhere/wal", TX_TREE_ALONE, &tree, &err));
    fill(tree, 1, 100, keys, 3);
    fill(tree, TX_TREE_TABLES_MAX, 200, keys, 2);
    tx_tree_close(tree);
    OK(tx_tree_open(dir, MIB, "/not/looked/at", TX_TREE_ALONE, &tree, &err));
    assert_int_equal(tx_tree_meta(tree)->checkpoint_lsn, 200);
    assert_int_equal(tx_tree_meta(tree)->checkpoint_check, 201);
    assert_string_equal(tx_tree_meta(tree)->wal_dir, "/elsewhere/wal");
    OK(tx_tree_catalog(tree, count_table, &tables, &(uint64_t){ 0 }, &err));
    assert_int_equal(tables, 2);
    read = new_read(tree);
    assert_int_equal(begin(read), 200);
    assert_int_equal(tx_tree_rows(read, 1), 3);
    assert_int_equal(tx_tree_rows(read, TX_TREE_TABLES_MAX), 2);
    assert_int_equal(tx_tree_rows(read, 2), 0);
    assert_true(sees(read, 1, "c", "c"));
    assert_true(sees(read, TX_TREE_TABLES_MAX, "c", NULL));
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
write_file(const void *bytes, size_t n, off_t offset)
{
    const int fd = open(data_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    assert_int_equal(close(fd), 0);
}

/* Put one record with LMDB itself; db NULL: in the main database. */
static void
raw_put(const char *db, const char *key, const void *value, size_t n)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    char k_copy[32];
    uint8_t v_copy[32];
    MDB_val k = { strlen(key), k_copy }, v = { n, v_copy };

    memcpy(k_copy, key, strlen(key));
    memcpy(v_copy, value, n);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, db, db == NULL ? 0 : MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static size_t
slurp(uint8_t *bytes, size_t room)
{
    const int fd = open(data_file, O_RDONLY | O_CLOEXEC);
    const ssize_t n = read(fd, bytes, room);

    assert_true(fd >= 0 && n >= 0 && (size_t)n < room);
    assert_int_equal(close(fd), 0);
    return (size_t)n;
}

static void
refuses_and_leaves_the_file(enum txkv_rc expected)
{
    static uint8_t before[256 * 1024], after[256 * 1024];
    const size_t n = slurp(before, sizeof before);

    assert_int_equal(try_open(), expected);
    assert_int_equal(slurp(after, sizeof after), n);
    assert_memory_equal(before, after, n);
}

static void
an_empty_data_file_is_taken_as_new(void **state)
{
    (void)state;
    write_file("", 0, 0);
    OK(try_open());
}

/* A power cut while the file was made leaves anything of it, under a name that is not data.mdb. */
static void
what_is_left_of_a_creation_that_was_cut_off_is_replaced(void **state)
{
    char tmp_file[80];

    (void)state;
    (void)snprintf(tmp_file, sizeof tmp_file, "%s/data.tmp", dir);
    write_file("half of a meta page", 19, 0);
    assert_int_equal(rename(data_file, tmp_file), 0);
    OK(try_open());
    assert_int_equal(access(tmp_file, F_OK), -1);
    OK(try_open());
}

static void
another_programs_lmdb_file_is_refused_unchanged(void **state)
{
    (void)state;
    raw_put(NULL, "theirs", "x", 1);
    refuses_and_leaves_the_file(TXKV_FORMAT);
    raw_put("meta", "theirs", "x", 1);
    refuses_and_leaves_the_file(TXKV_FORMAT);
}

static void
a_plain_record_named_meta_is_refused_unchanged(void **state)
{
    (void)state;
    raw_put(NULL, "meta", "x", 1);
    refuses_and_leaves_the_file(TXKV_FORMAT);
}

static void
a_file_that_is_not_lmdb_is_refused_unchanged(void **state)
{
    static uint8_t garbage[20000];

    (void)state;
    write_file("short", 5, 0);
    refuses_and_leaves_the_file(TXKV_FORMAT);
    memset(garbage, 0x5a, sizeof garbage);
    write_file(garbage, sizeof garbage, 0);
    refuses_and_leaves_the_file(TXKV_FORMAT);
}

static void
another_lmdb_version_is_refused_unchanged(void **state)
{
    (void)state;
    OK(try_open());
    write_file("\x09", 1, 20); /* behind a 16 byte page header and the magic number */
    write_file("\x09", 1, 4096 + 20);
    refuses_and_leaves_the_file(TXKV_FORMAT);
}

static void
a_newer_format_is_refused_and_the_message_names_both(void **state)
{
    (void)state;
    OK(try_open());
    raw_put("meta", "format", "\x07\0\0", 4);
    refuses_and_leaves_the_file(TXKV_FORMAT);
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, "format 7"));
    assert_non_null(strstr(err.text, "formats 4 and 5"));
    assert_null(strstr(err.text, "txkv_export"));
}

static void
an_older_format_is_refused_and_the_way_out_is_said(void **state)
{
    (void)state;
    OK(try_open());
    for (uint8_t format = 0; format < TX_TREE_FORMAT; format++) {
        const uint8_t bytes[4] = { format };
        char name[16];

        raw_put("meta", "format", bytes, sizeof bytes);
        refuses_and_leaves_the_file(TXKV_FORMAT);
        (void)snprintf(name, sizeof name, "format %d,", format);
        assert_non_null(strstr(err.text, name));
        assert_non_null(strstr(err.text, dir));
        assert_non_null(strstr(err.text, "txkv_export"));
        assert_non_null(strstr(err.text, "txkv_import"));
    }
    raw_put("meta", "format", "\x04\0\0", 4);
    OK(try_open());
}

static void
damaged_meta_is_corrupt(void **state)
{
    static const struct {
        const char *key, *value;
        size_t bytes;
    } damages[] = { { "store_id", "\0\0\0\0\0\0\0", 8 },
                    { "checkpoint", "12345678", 8 },
                    { "table/\1\1\1\1", "?", 1 } };

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        OK(try_open());
        raw_put("meta", damages[i].key, damages[i].value, damages[i].bytes);
        refuses_and_leaves_the_file(TXKV_CORRUPT);
        (void)remove_dir(state);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

static void
a_file_that_was_cut_off_is_corrupt(void **state)
{
    (void)state;
    OK(try_open());
    assert_int_equal(truncate(data_file, 8192), 0);
    assert_int_equal(try_open(), TXKV_CORRUPT);
}

static void
become(uid_t uid)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(uid), 0);
}

static void
missing_unreadable_and_readonly_directories_are_told_apart(void **state)
{
    char home[sizeof dir];
    enum txkv_rc unreadable, readonly_dir, readonly_file;

    (void)state;
    (void)strcpy(home, dir);
    (void)strcat(dir, "/none");
    assert_int_equal(try_open(), TXKV_CANTOPEN);
    (void)strcpy(dir, home);

    assert_int_equal(chmod(dir, getuid() == 0 ? 0700 : 0), 0);
    become(NOBODY);
    unreadable = try_open();
    become(0);
    assert_int_equal(chmod(dir, 0555), 0);
    become(NOBODY);
    readonly_dir = try_open();
    become(0);
    assert_int_equal(chmod(dir, 0777), 0);
    OK(try_open());
    assert_int_equal(chmod(data_file, 0444), 0);
    become(NOBODY);
    readonly_file = try_open();
    become(0);
    assert_int_equal(unreadable, TXKV_CANTOPEN);
    assert_int_equal(readonly_dir, TXKV_READONLY);
    assert_int_equal(readonly_file, TXKV_READONLY);
}

/* ---- reads ---- */

static void
a_cursor_walks_both_ways_and_stops_at_the_ends(void **state)
{
    static const char *const keys[] = { "b", "d", "dd", "f" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;

    (void)state;
    fill(tree, 1, 8, keys, 4);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(tx_tree_cursor_next(c, &p, &err), TXKV_NOTFOUND); /* not placed */
    OK(tx_tree_cursor_seek_ge(c, NULL, 0, &p, &err));
    for (size_t i = 0; i < 4; i++) {
        assert_true(is_pair(&p, keys[i]));
        assert_int_equal(tx_tree_cursor_next(c, &p, &err), i < 3 ? TXKV_OK : TXKV_NOTFOUND);
    }
    assert_int_equal(tx_tree_cursor_prev(c, &p, &err), TXKV_NOTFOUND); /* off the end */
    OK(tx_tree_cursor_seek_le(c, NULL, 0, &p, &err));
    for (size_t i = 4; i-- > 0;) {
        assert_true(is_pair(&p, keys[i]));
        assert_int_equal(tx_tree_cursor_prev(c, &p, &err), i > 0 ? TXKV_OK : TXKV_NOTFOUND);
    }
    OK(tx_tree_cursor_seek_ge(c, u8("d"), 1, &p, &err));
    OK(tx_tree_cursor_next(c, &p, &err));
    OK(tx_tree_cursor_prev(c, &p, &err));
    assert_true(is_pair(&p, "d"));
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
seeking_an_absent_key_finds_its_neighbour(void **state)
{
    static const char *const keys[] = { "b", "d", "dd", "f" };
    static const struct {
        const char *key, *ge, *le;
    } seeks[] = { { "a", "b", NULL }, { "b", "b", "b" },   { "c", "d", "b" },   { "da", "dd", "d" },
                  { "e", "f", "dd" }, { "f", "f", "f" },   { "ff", NULL, "f" }, { "a", "b", NULL },
                  { "z", NULL, "f" }, { "dd", "dd", "dd" } };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;

    (void)state;
    fill(tree, 1, 8, keys, 4);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    for (size_t i = 0; i < sizeof seeks / sizeof seeks[0]; i++) {
        const uint32_t n = (uint32_t)strlen(seeks[i].key);
        enum txkv_rc rc = tx_tree_cursor_seek_ge(c, u8(seeks[i].key), n, &p, &err);

        assert_int_equal(rc, seeks[i].ge != NULL ? TXKV_OK : TXKV_NOTFOUND);
        assert_true(rc != TXKV_OK || is_pair(&p, seeks[i].ge));
        rc = tx_tree_cursor_seek_le(c, u8(seeks[i].key), n, &p, &err);
        assert_int_equal(rc, seeks[i].le != NULL ? TXKV_OK : TXKV_NOTFOUND);
        assert_true(rc != TXKV_OK || is_pair(&p, seeks[i].le));
    }
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static bool
is_empty_table(struct tx_tree_read *read, uint32_t table)
{
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;
    bool empty;

    OK(tx_tree_cursor_open(read, table, &c, &err));
    empty = tx_tree_cursor_seek_ge(c, NULL, 0, &p, &err) == TXKV_NOTFOUND &&
            tx_tree_cursor_seek_le(c, NULL, 0, &p, &err) == TXKV_NOTFOUND &&
            tx_tree_cursor_seek_le(c, u8("k"), 1, &p, &err) == TXKV_NOTFOUND &&
            sees(read, table, "k", NULL) && tx_tree_rows(read, table) == 0;
    tx_tree_cursor_close(c);
    return empty;
}

/*
 * Goal: a read keeps its state and its base while batches commit, and a table that appeared later
 * is empty for it; the same read begun again, its kept cursors too, sees the new state.
 */
static void
a_begun_read_sees_the_old_state_and_a_new_one_the_new(void **state)
{
    static const char *const one[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *old = new_read(tree), *new = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    fill(tree, 1, 8, one, 1);
    assert_int_equal(begin(old), 8);
    assert_true(is_empty_table(old, 2));
    batch = begin_batch(tree);
    OK(put(batch, 1, "k", "changed"));
    OK(define(batch, 2));
    OK(put(batch, 2, "k", "k"));
    assert_true(sees(old, 1, "k", "k"));
    OK(commit(batch, 16));
    assert_true(sees(old, 1, "k", "k"));
    assert_true(is_empty_table(old, 2));
    assert_int_equal(begin(new), 16);
    assert_true(sees(new, 1, "k", "changed"));
    assert_true(sees(new, 2, "k", "k"));
    tx_tree_read_end(old);
    assert_int_equal(begin(old), 16);
    assert_true(sees(old, 1, "k", "changed"));
    assert_true(sees(old, 2, "k", "k"));
    assert_false(is_empty_table(old, 2));
    tx_tree_read_end(new);
    assert_int_equal(begin(new), 16);
    tx_tree_read_free(old);
    tx_tree_read_free(new);
    tx_tree_close(tree);
}

static void
too_many_reads_are_busy_and_a_freed_one_makes_room(void **state)
{
    enum { SLOTS = 4096 };
    static struct tx_tree_read *reads[SLOTS + 1];
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_stats stats;
    uint64_t base;

    (void)state;
    for (size_t i = 0; i <= SLOTS; i++)
        reads[i] = new_read(tree);
    for (size_t i = 0; i < SLOTS; i++) {
        (void)begin(reads[i]);
        tx_tree_read_end(reads[i]);
    }
    assert_int_equal(tx_tree_read_begin(reads[SLOTS], &base, &err), TXKV_BUSY);
    assert_non_null(strstr(err.text, "close sessions"));
    tx_tree_stats(tree, &stats);
    assert_int_equal(stats.readers, SLOTS + 1);
    tx_tree_read_free(reads[0]);
    (void)begin(reads[SLOTS]);
    for (size_t i = 1; i <= SLOTS; i++)
        tx_tree_read_free(reads[i]);
    tx_tree_close(tree);
}

/* ---- beside other threads of the process ---- */

/* Several threads find the map too small at once; who comes late finds reads begun, and a batch. */
static void
a_map_that_is_large_enough_is_not_made_anew(void **state)
{
    static const char *const keys[] = { "k" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    fill(tree, 1, 8, keys, 1);
    assert_int_equal(begin(read), 8);
    OK(tx_tree_adopt_size(tree, &err));
    batch = begin_batch(tree);
    tx_tree_read_end(read);
    OK(tx_tree_adopt_size(tree, &err));
    OK(put(batch, 1, "l", "l"));
    OK(commit(batch, 16));
    assert_int_equal(begin(read), 16);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static uint32_t adopted;

static void *
adopt_tables(void *tree)
{
    struct txkv_error e;
    const enum txkv_rc rc = tx_tree_adopt_tables(tree, &e);

    tx_store_release_32(&adopted, rc == TXKV_OK ? 1 : 2);
    return NULL;
}

static void
nobody_looks_for_tables_while_the_map_is_made_anew(void **state)
{
    struct tx_tree *tree = open_tree(MIB);
    pthread_t thread;

    (void)state;
    tx_store_release_32(&adopted, 0);
    (void)pthread_mutex_lock(&tree->lock); /* as tx_tree_grow does */
    OK(pthread_create(&thread, NULL, adopt_tables, tree));
    (void)usleep(50000);
    assert_int_equal(tx_load_acquire_32(&adopted), 0);
    (void)pthread_mutex_unlock(&tree->lock);
    (void)pthread_join(thread, NULL);
    assert_int_equal(tx_load_acquire_32(&adopted), 1);
    tx_tree_close(tree);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_store_has_an_id_no_tables_and_starts_at_lsn_0,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(the_table_of_readers_has_its_space_before_lmdb_maps_it,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(rows_catalog_meta_and_log_directory_survive_reopening,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_empty_data_file_is_taken_as_new, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_left_of_a_creation_that_was_cut_off_is_replaced,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(another_programs_lmdb_file_is_refused_unchanged, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_plain_record_named_meta_is_refused_unchanged, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_lmdb_is_refused_unchanged, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(another_lmdb_version_is_refused_unchanged, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(an_older_format_is_refused_and_the_way_out_is_said,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused_and_the_message_names_both,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(damaged_meta_is_corrupt, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_that_was_cut_off_is_corrupt, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(missing_unreadable_and_readonly_directories_are_told_apart,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_cursor_walks_both_ways_and_stops_at_the_ends, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(seeking_an_absent_key_finds_its_neighbour, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_begun_read_sees_the_old_state_and_a_new_one_the_new,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(too_many_reads_are_busy_and_a_freed_one_makes_room,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_map_that_is_large_enough_is_not_made_anew, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(nobody_looks_for_tables_while_the_map_is_made_anew,
                                        make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
