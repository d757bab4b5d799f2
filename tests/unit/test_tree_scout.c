/*
 * test_tree_scout.c - which pages are asked for ahead of a batch.
 *
 * What is asked for is compared with where the pages are: a cursor on each key says.
 */
#include "tree_fixture.h"

#include <sys/mman.h>

#include "../../src/tree_ahead.h"
#include "../../src/tree_scout.h"

enum { ROWS = 30000, VALUE = 100, CALLS_MAX = 4096, PAGE = 4096 };

static struct {
    const uint8_t *from;
    size_t bytes;
} calls[CALLS_MAX];
static size_t call_count;

static int
record_advice(void *address, size_t bytes, int advice)
{
    if (advice != MADV_WILLNEED)
        return madvise(address, bytes, advice);
    assert_true(call_count < CALLS_MAX);
    calls[call_count].from = address;
    calls[call_count++].bytes = bytes;
    return 0;
}

static uint64_t
little_memory(void)
{
    return MIB;
}

static void
make_key(char key[17], uint32_t i)
{
    (void)snprintf(key, 17, "%016u", i);
}

static struct tx_tree *
open_filled(bool scarce)
{
    struct tx_tree *tree;
    struct tx_tree_batch *batch;
    uint8_t value[VALUE];
    bool full;

    tx_os.advise = record_advice;
    if (scarce)
        tx_os.memory_bytes = little_memory;
    tree = open_tree(16 * MIB);
    batch = begin_batch(tree);
    OK(define(batch, 1));
    OK(define(batch, 2));
    memset(value, 7, sizeof value);
    for (uint32_t i = 0; i < ROWS; i++) {
        char key[17];

        make_key(key, 2 * i);
        OK(tx_tree_batch_put(batch, 1, u8(key), 16, value, sizeof value, &full, &err));
    }
    OK(put(batch, 2, "only", "one"));
    OK(commit(batch, 8));
    call_count = 0;
    return tree;
}

/* The page that the first key stands on which is not less. */
static const uint8_t *
page_of(struct tx_tree_read *read, uint32_t table, const char *text)
{
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;

    OK(tx_tree_cursor_open(read, table, &c, &err));
    OK(tx_tree_cursor_seek_ge(c, u8(text), (uint32_t)strlen(text), &pair, &err));
    tx_tree_cursor_close(c);
    return pair.key - (uintptr_t)pair.key % PAGE;
}

static bool
is_asked_for(const uint8_t *page)
{
    for (size_t i = 0; i < call_count; i++)
        if (page >= calls[i].from && page < calls[i].from + calls[i].bytes)
            return true;
    return false;
}

static size_t
asked_pages(void)
{
    size_t bytes = 0;

    for (size_t i = 0; i < call_count; i++)
        bytes += calls[i].bytes;
    return bytes / PAGE;
}

static void
each_key_has_its_page_asked_for(void **state)
{
    struct tx_tree *tree = open_filled(true);
    struct tx_tree_scout *scout = tx_tree_scout_begin(tree);
    struct tx_tree_read *read = new_read(tree);
    char key[17];

    (void)state;
    assert_non_null(scout);
    (void)begin(read);
    for (uint32_t i = 0; i < ROWS; i += 997) {
        call_count = 0;
        make_key(key, 2 * i);
        tx_tree_scout_look(scout, 1, u8(key), 16);
        tx_tree_scout_flush(scout);
        assert_int_equal(asked_pages(), 1);
        assert_true(is_asked_for(page_of(read, 1, key)));
    }
    /* Before the first, and behind the last: where those would be put. */
    call_count = 0;
    tx_tree_scout_look(scout, 1, u8("!"), 1);
    tx_tree_scout_flush(scout);
    make_key(key, 0);
    assert_true(is_asked_for(page_of(read, 1, key)));
    tx_tree_scout_look(scout, 1, u8("zzz"), 3);
    tx_tree_scout_flush(scout);
    make_key(key, 2 * (ROWS - 1));
    assert_true(is_asked_for(page_of(read, 1, key)));
    tx_tree_scout_look(scout, 2, u8("other"), 5); /* its only page */
    tx_tree_scout_flush(scout);
    assert_true(is_asked_for(page_of(read, 2, "only")));
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    tx_tree_scout_end(scout);
    tx_tree_close(tree);
}

static void
neighbours_are_asked_for_at_once(void **state)
{
    struct tx_tree *tree = open_filled(true);
    struct tx_tree_scout *scout = tx_tree_scout_begin(tree);
    char key[17];

    (void)state;
    for (uint32_t i = 0; i < ROWS; i++) {
        make_key(key, 2 * i + 1);
        tx_tree_scout_look(scout, 1, u8(key), 16);
    }
    tx_tree_scout_flush(scout);
    tx_tree_scout_flush(scout); /* nothing is left */
    assert_true(asked_pages() >= ROWS / 40 && asked_pages() < ROWS / 20);
    assert_true(call_count < 50); /* the pages of a table filled in order stand in order */
    tx_tree_scout_end(scout);
    tx_tree_close(tree);
}

static void
what_is_not_there_is_left_alone(void **state)
{
    struct tx_tree *tree = open_filled(true);
    struct tx_tree_scout *scout = tx_tree_scout_begin(tree);
    static uint8_t long_key[2000];

    (void)state;
    tx_tree_scout_look(scout, 3, u8("x"), 1); /* no such table */
    tx_tree_scout_flush(scout);
    assert_int_equal(call_count, 0);
    memset(long_key, '1', sizeof long_key);
    tx_tree_scout_look(scout, 1, long_key, sizeof long_key);
    tx_tree_scout_look(scout, 1, u8(""), 0);
    tx_tree_scout_flush(scout);
    assert_int_equal(asked_pages(), 2);
    tx_tree_scout_end(scout);
    tx_tree_scout_end(NULL);
    tx_tree_close(tree);
}

static void
there_is_none_where_it_would_be_of_no_use_or_memory_is_out(void **state)
{
    struct tx_tree *tree = open_filled(false);

    (void)state;
    assert_null(tx_tree_scout_begin(tree));
    tx_tree_close(tree);
    tx_os.memory_bytes = little_memory;
    tree = open_tree(16 * MIB);
    for (uint64_t n = 1; n <= 2; n++) {
        tx_mem_fail_at(n, false);
        assert_null(tx_tree_scout_begin(tree));
    }
    tx_mem_fail_at(0, false);
    tree->known_pages = false; /* it would look at nothing, and keep the map from growing */
    assert_null(tx_tree_scout_begin(tree));
    tx_tree_close(tree);
}

/* Pages with any bytes: it asks for nothing or for a page that is there, and ends. */
static void
a_damaged_page_leads_nowhere_else(void **state)
{
    struct tx_tree *tree = open_filled(true);
    struct tx_tree_scout *scout = tx_tree_scout_begin(tree);
    struct tx_tree_read *read = new_read(tree);
    uint64_t pages, seed = 1;
    uint8_t *map, *copy;
    char key[17];

    (void)state;
    (void)begin(read);
    map = tx_tree_map(read, &pages);
    assert_non_null(map);
    copy = mmap(map, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
                -1, 0);
    assert_true(copy == map);
    {
        FILE *f = fopen(data_file, "re");

        assert_non_null(f);
        assert_true(fread(map, PAGE, pages, f) > 0);
        (void)fclose(f);
    }
    make_key(key, 0);
    tx_tree_scout_look(scout, 1, u8(key), 16); /* finds the root while all is well */
    for (uint32_t round = 0; round < 20000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        map[2 * PAGE + (seed >> 20) % ((pages - 2) * PAGE)] = (uint8_t)(seed >> 56);
        call_count = 0;
        make_key(key, (uint32_t)(seed >> 33) % (2 * ROWS));
        tx_tree_scout_look(scout, 1, u8(key), 16);
        tx_tree_scout_flush(scout);
        assert_true(call_count <= 2);
        for (size_t i = 0; i < call_count; i++)
            assert_true(calls[i].from >= map &&
                        calls[i].from + calls[i].bytes <= map + pages * PAGE);
    }
    tx_tree_scout_end(scout);
    tx_tree_read_end(read);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_key_has_its_page_asked_for, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(neighbours_are_asked_for_at_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_left_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(there_is_none_where_it_would_be_of_no_use_or_memory_is_out,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_damaged_page_leads_nowhere_else, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
