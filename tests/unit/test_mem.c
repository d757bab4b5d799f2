/*
 * test_mem.c - allocation, its faults, and arenas.
 *
 * Worker threads never assert: they leave what they found where the test's own thread checks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/heap.h"
#include "../../src/mem.h"

static void
the_live_count_follows_every_kind_of_allocation(void **state)
{
    const uint64_t before = tx_mem_live();
    void *p[5];

    (void)state;
    p[0] = tx_malloc(10);
    p[1] = tx_zalloc(10);
    p[2] = tx_realloc(NULL, 10);
    p[3] = tx_aligned_zalloc(100);
    p[4] = tx_strdup("text");
    assert_int_equal(tx_mem_live(), before + 5);
    assert_int_equal((uintptr_t)p[3] % TX_CACHELINE, 0);
    assert_string_equal(p[4], "text");
    p[2] = tx_realloc(p[2], 100000);
    assert_int_equal(tx_mem_live(), before + 5);
    for (int i = 0; i < 5; i++)
        tx_free(p[i]);
    tx_free(NULL);
    assert_int_equal(tx_mem_live(), before);
}

static void
the_nth_allocation_fails_once_or_for_good(void **state)
{
    void *p;

    (void)state;
    tx_mem_fail_at(2, false);
    p = tx_malloc(1);
    assert_non_null(p);
    assert_null(tx_zalloc(1));
    assert_non_null(p = tx_realloc(p, 2));
    tx_mem_fail_at(1, true);
    assert_null(tx_strdup("x"));
    assert_null(tx_realloc(p, 3));
    assert_null(tx_aligned_zalloc(1));
    tx_mem_fail_at(0, false);
    tx_free(p);
    p = tx_malloc(1);
    assert_non_null(p);
    tx_free(p);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *made[THREADS][ROUNDS];

static void *
allocate(void *arg)
{
    void **mine = arg;

    for (int i = 0; i < ROUNDS; i++)
        mine[i] = tx_malloc(16);
    return NULL;
}

static void
memory_freed_by_another_thread_is_counted_right(void **state)
{
    const uint64_t before = tx_mem_live();
    pthread_t threads[THREADS];

    (void)state;
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, allocate, made[t]), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(tx_mem_live(), before + (uint64_t)THREADS * ROUNDS);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < ROUNDS; i++)
            tx_free(made[t][i]);
    }
    assert_int_equal(tx_mem_live(), before);
}

static void
arena_pieces_are_aligned_apart_and_keep_their_bytes(void **state)
{
    enum { PIECES = 3000 };
    static uint8_t *piece[PIECES];
    const uint64_t before = tx_mem_live();
    struct tx_arena arena;

    (void)state;
    tx_arena_init(&arena);
    for (size_t i = 0; i < PIECES; i++) {
        piece[i] = tx_arena_alloc(&arena, i + 1);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 8, 0);
        memset(piece[i], (int)(i % 251), i + 1);
    }
    for (size_t i = 0; i < PIECES; i++) {
        assert_int_equal(piece[i][0], i % 251);
        assert_int_equal(piece[i][i], i % 251);
    }
    tx_arena_free(&arena);
    assert_int_equal(tx_mem_live(), before);
}

static void
a_small_arena_stays_small_and_a_reset_one_keeps_one_chunk(void **state)
{
    const uint64_t before = tx_mem_live();
    struct tx_arena arena;

    (void)state;
    tx_arena_init(&arena);
    assert_int_equal(arena.bytes, 0);
    assert_non_null(tx_arena_alloc(&arena, 100));
    assert_int_equal(arena.bytes, 4096);
    for (int i = 0; i < 100; i++)
        assert_non_null(tx_arena_alloc(&arena, 1000));
    assert_true(arena.bytes > 100000);
    tx_arena_reset(&arena);
    assert_int_equal(tx_mem_live(), before + 1);
    assert_non_null(tx_arena_alloc(&arena, 1000));
    assert_int_equal(tx_mem_live(), before + 1);
    assert_non_null(tx_arena_alloc(&arena, 5 << 20));
    tx_arena_reset(&arena);
    assert_int_equal(tx_mem_live(), before);
    assert_int_equal(arena.bytes, 0);
    tx_arena_free(&arena);
}

/* Goal: an array keeps its bytes on the way from small to large and back, and is given back.
 * Method: sizes around 2 MiB, each byte at the ends compared; a failure at each step. */
static void
an_array_keeps_what_fits_when_it_is_resized(void **state)
{
    static const size_t sizes[] = { 100,     1 << 20, (2 << 20) - 1, 2 << 20,       (2 << 20) + 1,
                                    5 << 20, 9 << 20, 4 << 20,       (2 << 20) - 8, 3 << 20,
                                    64 };
    const uint64_t live = tx_mem_live();
    size_t bytes = sizes[0], kept = sizes[0];
    uint8_t *array = tx_array_alloc(bytes), *moved;

    (void)state;
    assert_non_null(array);
    memset(array, 7, bytes);
    for (size_t i = 1; i < sizeof sizes / sizeof sizes[0]; i++) {
        tx_mem_fail_at(1, true);
        assert_null(tx_array_resize(array, bytes, sizes[i]));
        tx_mem_fail_at(0, false);
        assert_int_equal(array[0], 7);
        assert_int_equal(array[kept - 1], 7);
        moved = tx_array_resize(array, bytes, sizes[i]);
        assert_non_null(moved);
        array = moved;
        kept = tx_min_u64(kept, sizes[i]);
        for (size_t at = 0; at < kept; at++)
            assert_true(array[at] == 7);
        bytes = kept = sizes[i];
        memset(array, 7, bytes);
        if (bytes >= 2 << 20)
            assert_int_equal((uintptr_t)array % (2 << 20), 0);
        assert_int_equal(tx_mem_live(), live + 1);
    }
    tx_array_free(array, bytes);
    for (bytes = 100; bytes <= 3 << 20; bytes *= 30000) {
        array = tx_array_zalloc(bytes);
        assert_non_null(array);
        for (size_t at = 0; at < bytes; at++)
            assert_true(array[at] == 0);
        tx_array_free(array, bytes);
    }
    assert_null(tx_array_alloc(SIZE_MAX));
    assert_int_equal(tx_mem_live(), live);
}

/* Goal: memory made ready is malloc's, and is not held twice. */
static void
a_heap_made_ready_hands_out_pieces_as_before(void **state)
{
    void *keep = NULL, *pieces[1000];

    (void)state;
    for (int round = 0; round < 3; round++)
        tx_heap_ready(&keep);
    for (int i = 0; i < 1000; i++) {
        pieces[i] = malloc(4096);
        assert_non_null(pieces[i]);
        memset(pieces[i], i & 255, 4096);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(((uint8_t *)pieces[i])[4095], i & 255);
        free(pieces[i]);
    }
    tx_heap_done(&keep);
    assert_null(keep);
    tx_heap_done(&keep);
}

static void
an_arena_out_of_memory_keeps_what_it_has(void **state)
{
    struct tx_arena arena;
    uint8_t *p;

    (void)state;
    tx_arena_init(&arena);
    p = tx_arena_alloc(&arena, 8);
    p[0] = 7;
    assert_null(tx_arena_alloc(&arena, SIZE_MAX));
    tx_mem_fail_at(1, false);
    assert_null(tx_arena_alloc(&arena, 10000));
    assert_non_null(tx_arena_alloc(&arena, 8));
    assert_int_equal(p[0], 7);
    tx_mem_fail_at(0, false);
    tx_arena_free(&arena);
}

/* Whether the kernel has been asked for large pages there. */
static bool
is_marked_huge(const void *p)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    unsigned long from, to;
    char line[512];
    bool here = false, marked = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (strncmp(line, "VmFlags:", 8) == 0 && here)
            marked = strstr(line, " hg") != NULL;
    }
    (void)fclose(f);
    return marked;
}

static void
what_is_prepared_is_one_piece_on_large_pages(void **state)
{
    enum { PIECE = 2 << 20, PIECES = 8 };
    struct tx_arena arena;
    uint8_t *first, *last;
    uint64_t bytes;

    (void)state;
    tx_arena_init(&arena);
    tx_arena_prepare(&arena, 7 << 20);
    assert_int_equal(arena.bytes, 0); /* not worth it */
    tx_mem_fail_at(1, false);
    tx_arena_prepare(&arena, PIECES * PIECE);
    tx_mem_fail_at(0, false);
    assert_int_equal(arena.bytes, 0);
    tx_arena_prepare(&arena, SIZE_MAX);
    assert_int_equal(arena.bytes, 0);
    tx_arena_prepare(&arena, PIECES * PIECE);
    bytes = arena.bytes;
    assert_true(bytes >= PIECES * PIECE);
    first = last = tx_arena_alloc(&arena, PIECE);
    for (int i = 1; i < PIECES; i++)
        last = tx_arena_alloc(&arena, PIECE);
    assert_int_equal(last - first, (PIECES - 1) * PIECE);
    assert_int_equal(arena.bytes, bytes);
    assert_true(is_marked_huge(first + PIECES / 2 * PIECE));
    memset(first, 1, PIECES * PIECE);
    tx_arena_free(&arena);
}

static void
large_chunks_grow_with_the_arena_and_count_what_they_hand_out(void **state)
{
    enum { PAGE = 2 << 20, PIECE = 100000, MOST = 32 << 20 };
    struct tx_arena arena;
    uint64_t handed_out = 0;
    const uint8_t *p;

    (void)state;
    tx_arena_init(&arena);
    assert_non_null(tx_arena_alloc(&arena, 8));
    arena.large = true;
    p = tx_arena_alloc(&arena, PIECE); /* of a new chunk, since the small one has no room */
    assert_int_equal((uintptr_t)p % PAGE, 0);
    assert_true(is_marked_huge(p));
    assert_int_equal(arena.bytes, 4096 + PAGE);
    while (handed_out < 20 * (uint64_t)MOST) {
        uint8_t *piece = tx_arena_alloc(&arena, PIECE);

        assert_non_null(piece);
        *piece = piece[PIECE - 1] = 1;
        handed_out += PIECE;
    }
    assert_in_range(arena.bytes, handed_out, handed_out + MOST + handed_out / 10);
    p = tx_arena_alloc(&arena, MOST + 1);
    assert_int_equal((uintptr_t)p % PAGE, 0);
    tx_mem_fail_at(1, false); /* no memory for a large chunk is none for that alone */
    while (tx_mem_fail_count() == 0)
        assert_non_null(tx_arena_alloc(&arena, PIECE));
    tx_mem_fail_at(0, false);
    assert_true((uint64_t)(arena.end - arena.next) < MOST / 32);
    arena.large = false;
    tx_mem_fail_at(1, true);
    while (tx_arena_alloc(&arena, PIECE) != NULL)
        ;
    tx_mem_fail_at(0, false);
    handed_out = arena.bytes;
    assert_non_null(tx_arena_alloc(&arena, PIECE));
    assert_true(arena.bytes <= handed_out + MOST / 32);
    tx_arena_reset(&arena);
    assert_int_equal(arena.bytes, MOST / 32);
    tx_arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_live_count_follows_every_kind_of_allocation),
        cmocka_unit_test(the_nth_allocation_fails_once_or_for_good),
        cmocka_unit_test(memory_freed_by_another_thread_is_counted_right),
        cmocka_unit_test(arena_pieces_are_aligned_apart_and_keep_their_bytes),
        cmocka_unit_test(a_small_arena_stays_small_and_a_reset_one_keeps_one_chunk),
        cmocka_unit_test(what_is_prepared_is_one_piece_on_large_pages),
        cmocka_unit_test(large_chunks_grow_with_the_arena_and_count_what_they_hand_out),
        cmocka_unit_test(an_array_keeps_what_fits_when_it_is_resized),
        cmocka_unit_test(a_heap_made_ready_hands_out_pieces_as_before),
        cmocka_unit_test(an_arena_out_of_memory_keeps_what_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
