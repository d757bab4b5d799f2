/*
 * test_tree_ahead.c - what the kernel is told about how data.mdb is going to be read.
 *
 * The advice itself is recorded; that it has reached the kernel is looked up in /proc/self/smaps.
 */
#include "tree_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../../src/tree_ahead.h"

enum { ROWS = 20000, VALUE = 100, CALLS_MAX = 4096, PAGE = 4096, LARGE = 40000, STRETCH = 100 };

static struct {
    const uint8_t *from;
    size_t bytes;
    int advice;
} calls[CALLS_MAX];
static size_t call_count;
/* MADV_POPULATE_READ stands here, and not among the calls. */
static struct {
    const uint8_t *from;
    size_t bytes;
} mapped[CALLS_MAX];
static size_t mapped_count;
static pthread_mutex_t calls_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t memory = UINT64_MAX;

static int
record_advice(void *address, size_t bytes, int advice)
{
    (void)pthread_mutex_lock(&calls_mutex);
    assert_true(call_count < CALLS_MAX && mapped_count < CALLS_MAX);
    if (advice == MADV_POPULATE_READ) {
        mapped[mapped_count].from = address;
        mapped[mapped_count++].bytes = bytes;
    } else {
        calls[call_count].from = address;
        calls[call_count].bytes = bytes;
        calls[call_count++].advice = advice;
    }
    (void)pthread_mutex_unlock(&calls_mutex);
    return madvise(address, bytes, advice);
}

static uint64_t
fixed_memory(void)
{
    return memory;
}

/* A store in memory of that size, with its advice recorded. */
static struct tx_tree *
open_with_memory(uint64_t bytes, uint64_t map_size)
{
    memory = bytes;
    call_count = mapped_count = 0;
    tx_os.advise = record_advice;
    tx_os.memory_bytes = fixed_memory;
    return open_tree(map_size);
}

static size_t
count_calls(int advice)
{
    size_t n = 0;

    for (size_t i = 0; i < call_count; i++)
        n += calls[i].advice == advice;
    return n;
}

/* Write the rows, of 16 and VALUE bytes: in each `step` stretches of STRETCH rows that number
 * `which`. */
static void
fill_rows(struct tx_tree *tree, uint64_t lsn, uint32_t which, uint32_t step)
{
    struct tx_tree_batch *batch = begin_batch(tree);
    uint8_t value[VALUE];
    bool full;

    if (lsn == 8)
        OK(define(batch, 1));
    for (uint32_t i = 0; i < ROWS; i++) {
        char key[17];

        if (i / STRETCH % step != which)
            continue;
        (void)snprintf(key, sizeof key, "%016u", i);
        memset(value, (int)(lsn + i), sizeof value);
        OK(tx_tree_batch_put(batch, 1, u8(key), 16, value, sizeof value, &full, &err));
    }
    OK(commit(batch, lsn));
}

/* Whether the kernel takes the map of data.mdb for one that is read at random. */
static bool
is_marked(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    bool ours = false, marked = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strstr(line, "data.mdb") != NULL)
            ours = true;
        else if (strncmp(line, "VmFlags:", 8) == 0) {
            marked |= ours && strstr(line, " rr") != NULL;
            ours = false;
        }
    }
    (void)fclose(f);
    return marked;
}

/* ---- the whole map ---- */

static void
a_file_that_fits_is_left_to_the_kernel(void **state)
{
    struct tx_tree *tree = open_with_memory(64 * MIB, 16 * MIB);
    struct tx_tree_read *read = new_read(tree);

    (void)state;
    fill_rows(tree, 8, 0, 1);
    (void)begin(read);
    tx_tree_read_end(read);
    assert_int_equal(call_count, 0);
    assert_false(is_marked());
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static void
one_that_has_outgrown_half_of_the_memory_is_marked_once(void **state)
{
    struct tx_tree *tree = open_with_memory(2 * MIB, 16 * MIB);

    (void)state;
    assert_false(is_marked());
    fill_rows(tree, 8, 0, 1);
    assert_true(is_marked());
    fill_rows(tree, 16, 0, 3);
    assert_int_equal(call_count, 1);
    assert_int_equal(calls[0].advice, MADV_RANDOM);
    assert_int_equal(calls[0].bytes, 16 * MIB);
    tx_tree_close(tree);

    tree = open_with_memory(2 * MIB, 16 * MIB);
    assert_int_equal(call_count, 1); /* already when it is opened */
    assert_true(is_marked());
    tx_tree_close(tree);
}

static void
a_map_made_anew_is_marked_anew(void **state)
{
    struct tx_tree *tree = open_with_memory(2 * MIB, 8 * MIB);

    (void)state;
    fill_rows(tree, 8, 0, 1);
    OK(tx_tree_grow(tree, 100, &err));
    assert_true(is_marked());
    assert_int_equal(call_count, 2);
    assert_int_equal(calls[1].bytes, 16 * MIB);
    tx_tree_close(tree);
}

/* Another process's checkpoint is seen by the next read. */
static void
a_reader_alone_notices_that_the_file_has_grown(void **state)
{
    struct tx_tree *tree = open_with_memory(2 * MIB, 16 * MIB);
    struct tx_tree_read *read = new_read(tree);

    (void)state;
    (void)pthread_mutex_lock(&tree->lock);
    tree->scattered = 2; /* as if the batch had not looked */
    (void)pthread_mutex_unlock(&tree->lock);
    call_count = 0;
    (void)begin(read);
    tx_tree_read_end(read);
    assert_int_equal(count_calls(MADV_NORMAL), 1);
    (void)begin(read); /* of the same state: nothing to look at */
    tx_tree_read_end(read);
    assert_int_equal(call_count, 1);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

static bool marked_in_copy, scarce_in_copy;
static struct tx_tree *copied_tree;

static void
look_at_mark(void *arg, uint64_t bytes)
{
    (void)arg;
    (void)bytes;
    marked_in_copy |= is_marked();
    scarce_in_copy &= tx_tree_scarce_memory(copied_tree) == 2 * MIB;
}

static void
nothing_to_do(void *arg)
{
    (void)arg;
}

static void
a_copy_is_read_in_order(void **state)
{
    const struct tx_tree_copy_watch watch = { nothing_to_do, look_at_mark, NULL };
    struct tx_tree *tree = open_with_memory(2 * MIB, 16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    char path[96];
    uint64_t bytes;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/copy", dir);
    fill_rows(tree, 8, 0, 1);
    assert_true(is_marked());
    (void)begin(read);
    marked_in_copy = false;
    scarce_in_copy = true;
    copied_tree = tree;
    OK(tx_tree_copy(read, path, &watch, &bytes, &err));
    assert_false(marked_in_copy);
    assert_true(scarce_in_copy); /* commits and checkpoints go on beside it */
    assert_true(is_marked());
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    assert_int_equal(unlink(path), 0);
}

/* ---- cursors ---- */

static bool
is_asked_for(const uint8_t *page)
{
    for (size_t i = 0; i < call_count; i++) {
        if (calls[i].advice == MADV_WILLNEED && page >= calls[i].from &&
            page + PAGE <= calls[i].from + calls[i].bytes)
            return true;
    }
    return false;
}

/* All rows; the share of the leaf pages that had been asked for when they were entered, in percent,
 * and how many pages were asked for each of them. */
static uint32_t
walk(struct tx_tree *tree, bool backward, double *asked_for_each)
{
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;
    const uint8_t *page = NULL;
    uint32_t rows = 1, pages = 0, early = 0;
    size_t before = 0;
    uint64_t asked = 0;

    (void)begin(read);
    call_count = 0;
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    OK(backward ? tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err)
                : tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err));
    while ((backward ? tx_tree_cursor_prev(c, &pair, &err) : tx_tree_cursor_next(c, &pair, &err)) ==
           TXKV_OK) {
        rows++;
        if (c->walk.count > 0 && c->walk.leaf != page) {
            const size_t now = call_count;

            page = c->walk.leaf;
            pages++;
            call_count = before; /* what had been asked for then */
            early += is_asked_for(page);
            call_count = before = now;
        }
    }
    assert_int_equal(rows, ROWS);
    for (size_t i = 0; i < call_count; i++) {
        assert_int_equal(calls[i].advice, MADV_WILLNEED);
        assert_int_equal((uintptr_t)calls[i].from % PAGE, 0);
        asked += calls[i].bytes / PAGE;
    }
    *asked_for_each = (double)asked / pages;
    tx_tree_cursor_close(c);
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    return early * 100 / pages;
}

static void
a_scan_of_a_marked_map_asks_for_what_comes(void **state)
{
    struct tx_tree *tree = open_with_memory(MIB, 16 * MIB);
    double each;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    for (int backward = 0; backward < 2; backward++) {
        assert_true(walk(tree, backward, &each) >= 95);
        assert_true(each < 1.3);
    }
    tx_tree_close(tree);
}

/* A page that is written to moves, and its neighbours stay where they are. */
static void
a_scan_follows_several_runs_of_pages(void **state)
{
    struct tx_tree *tree = open_with_memory(MIB, 16 * MIB);
    double each;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    for (uint32_t n = 1; n < 4; n++)
        fill_rows(tree, 8 + 8 * (uint64_t)n, n, 4);
    for (int backward = 0; backward < 2; backward++) {
        assert_true(walk(tree, backward, &each) >= 85);
        assert_true(each < 3);
    }
    tx_tree_close(tree);
}

static void
a_scan_of_a_file_that_fits_asks_for_nothing(void **state)
{
    struct tx_tree *tree = open_with_memory(UINT64_MAX, 16 * MIB);
    double each;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    assert_int_equal(walk(tree, false, &each), 0);
    assert_int_equal(call_count, 0);
    tx_tree_close(tree);
}

static void
single_rows_ask_only_for_large_values(void **state)
{
    static uint8_t large[LARGE];
    struct tx_tree *tree = open_with_memory(MIB, 16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;
    const uint8_t *value;
    uint32_t bytes;
    bool full;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    batch = begin_batch(tree);
    OK(tx_tree_batch_put(batch, 1, u8("large"), 5, large, LARGE, &full, &err));
    OK(commit(batch, 16));
    (void)begin(read);
    call_count = 0;
    for (uint32_t i = 0; i < ROWS; i += 100) {
        char key[17];

        (void)snprintf(key, sizeof key, "%016u", i);
        OK(tx_tree_get(read, 1, u8(key), 16, &value, &bytes, &err));
    }
    assert_int_equal(call_count, 0);
    OK(tx_tree_get(read, 1, u8("large"), 5, &value, &bytes, &err));
    assert_int_equal(bytes, LARGE);
    assert_int_equal(call_count, 1);
    assert_int_equal(calls[0].advice, MADV_WILLNEED);
    assert_true(calls[0].from <= value && calls[0].from + PAGE > value);
    assert_true(calls[0].from + calls[0].bytes == value + LARGE);
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* ---- blocks that have been visited ---- */

/* Returns where the map is. */
static const uint8_t *
look_up_rows(struct tx_tree *tree)
{
    struct tx_tree_read *read = new_read(tree);
    const uint8_t *value, *map;
    uint32_t bytes;

    (void)begin(read);
    for (uint32_t i = 0; i < ROWS; i += 10) {
        char key[17];

        (void)snprintf(key, sizeof key, "%016u", i);
        OK(tx_tree_get(read, 1, u8(key), 16, &value, &bytes, &err));
    }
    map = read->map;
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    return map;
}

static void
the_first_visit_maps_all_of_a_block(void **state)
{
    const size_t block = (size_t)TX_TREE_BLOCK_PAGES * PAGE;
    struct tx_tree *tree = open_with_memory(UINT64_MAX, 16 * MIB);
    struct tx_tree_stats stats;
    const uint8_t *map;
    size_t before;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    map = look_up_rows(tree);
    tx_tree_stats(tree, &stats);
    assert_true(mapped_count > 4 && mapped_count <= stats.used_bytes / block + 1);
    for (size_t i = 0; i < mapped_count; i++) {
        const uint64_t offset = (uint64_t)(mapped[i].from - map);

        assert_int_equal(offset % block, 0);
        assert_int_equal(mapped[i].bytes, tx_min_u64(stats.used_bytes - offset, block));
        for (size_t j = 0; j < i; j++)
            assert_true(mapped[i].from != mapped[j].from);
    }
    before = mapped_count;
    (void)look_up_rows(tree);
    assert_int_equal(mapped_count, before);
    tx_tree_close(tree);
}

static void
a_map_made_anew_has_not_been_visited(void **state)
{
    struct tx_tree *tree = open_with_memory(UINT64_MAX, 8 * MIB);
    size_t before;

    (void)state;
    fill_rows(tree, 8, 0, 1);
    (void)look_up_rows(tree);
    before = mapped_count;
    OK(tx_tree_grow(tree, 100, &err));
    (void)look_up_rows(tree);
    assert_int_equal(mapped_count, 2 * before);
    tx_tree_close(tree);
}

/* Whether the file's pages have left the memory, as they are not in use, nor to be written. */
static bool
leave_memory(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t resident = 1;
    void *map;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore((uint8_t *)map + st.st_size / 2 / PAGE * PAGE, 1, &resident), 0);
    assert_int_equal(munmap(map, (size_t)st.st_size), 0);
    assert_int_equal(close(fd), 0);
    return (resident & 1) == 0;
}

static void
what_is_not_in_memory_is_not_read_for_it(void **state)
{
    struct tx_tree *tree = open_with_memory(UINT64_MAX, 16 * MIB);
    char path[96];

    (void)state;
    fill_rows(tree, 8, 0, 1);
    tx_tree_close(tree);
    tree = open_with_memory(MIB, 16 * MIB); /* else reads of the map bring neighbours */
    assert_true(is_marked());
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    if (leave_memory(path)) { /* not on a file system that is the memory */
        (void)look_up_rows(tree);
        assert_int_equal(mapped_count, 0);
    }
    tx_tree_close(tree);
}

/* Goal: nor is it by a user who is not told what is in memory. Method: a reader that does not own
 * the file, nor may write to it. */
static void
nor_by_a_user_who_may_only_read(void **state)
{
    struct tx_tree *tree = open_with_memory(UINT64_MAX, 16 * MIB);
    char path[96];

    (void)state;
    fill_rows(tree, 8, 0, 1);
    tx_tree_close(tree);
    if (geteuid() != 0)
        skip();
    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    assert_int_equal(chmod(path, 0666), 0);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    (void)leave_memory(path);
    assert_int_equal(seteuid(65534), 0);
    memory = MIB;
    assert_int_equal(tx_tree_open(dir, 16 * MIB, NULL, TX_TREE_READONLY, &tree, &err), TXKV_OK);
    assert_true(is_marked());
    (void)look_up_rows(tree);
    tx_tree_close(tree);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(mapped_count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_fits_is_left_to_the_kernel, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(one_that_has_outgrown_half_of_the_memory_is_marked_once,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_map_made_anew_is_marked_anew, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_reader_alone_notices_that_the_file_has_grown, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_copy_is_read_in_order, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_scan_of_a_marked_map_asks_for_what_comes, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_scan_follows_several_runs_of_pages, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_scan_of_a_file_that_fits_asks_for_nothing, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(single_rows_ask_only_for_large_values, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(the_first_visit_maps_all_of_a_block, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_map_made_anew_has_not_been_visited, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_not_in_memory_is_not_read_for_it, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(nor_by_a_user_who_may_only_read, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
