/*
 * mem.c - allocation and arenas.
 *
 * The count of live allocations is split over cache lines, one for each group of threads, so that
 * counting does not make allocating threads wait for each other. An allocation may be freed by
 * another thread than made it: one stripe alone may wrap below zero, their sum is right.
 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "atomic.h"

enum {
    STRIPES = 16,
    CHUNK_BYTES_MIN = 4096,
    CHUNK_BYTES_MAX = 1 << 20,
    LARGE_MIN_PAGES = 4,
    LARGE_CHUNK_BYTES_MAX = 32 << 20
};

struct stripe {
    uint64_t live TX_ALIGNED; /* atomic */
};

static struct stripe stripes[STRIPES];
static uint64_t threads_seen; /* atomic */

/* Atomic. Allocations since tx_mem_fail_at are counted only while fail_at is not 0. */
static uint64_t fail_at;
static uint64_t fail_count;
static uint64_t fail_forever;

static void
count_live(uint64_t change)
{
    static _Thread_local uint64_t stripe_plus_1;

    if (stripe_plus_1 == 0)
        stripe_plus_1 = tx_fetch_add_64(&threads_seen, 1) % STRIPES + 1;
    (void)tx_fetch_add_64(&stripes[stripe_plus_1 - 1].live, change);
}

static bool
must_fail(void)
{
    const uint64_t at = tx_load_relaxed_64(&fail_at);
    uint64_t n;

    if (at == 0)
        return false;
    n = tx_fetch_add_64(&fail_count, 1) + 1;
    return n == at || (n > at && tx_load_relaxed_64(&fail_forever) != 0);
}

static void *
counted(void *p)
{
    if (p != NULL)
        count_live(1);
    return p;
}

void *
tx_malloc(size_t bytes)
{
    return must_fail() ? NULL : counted(malloc(bytes > 0 ? bytes : 1));
}

void *
tx_zalloc(size_t bytes)
{
    return must_fail() ? NULL : counted(calloc(1, bytes > 0 ? bytes : 1));
}

void *
tx_realloc(void *p, size_t bytes)
{
    void *moved;

    if (p == NULL)
        return tx_malloc(bytes);
    if (must_fail())
        return NULL;
    moved = realloc(p, bytes > 0 ? bytes : 1);
    return moved; /* the same allocation, as far as counting goes */
}

void *
tx_aligned_zalloc(size_t bytes)
{
    void *p;

    if (bytes > SIZE_MAX - TX_CACHELINE || must_fail())
        return NULL;
    bytes = tx_round_up(bytes > 0 ? bytes : 1, TX_CACHELINE);
    p = counted(aligned_alloc(TX_CACHELINE, bytes));
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

void
tx_free(void *p)
{
    if (p == NULL)
        return;
    count_live(UINT64_MAX); /* minus one */
    free(p);
}

char *
tx_strdup(const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = tx_malloc(bytes);

    if (copy != NULL)
        memcpy(copy, s, bytes);
    return copy;
}

/* ---- arrays ---- */

static bool
is_large(size_t bytes)
{
    return bytes >= TX_LARGE_PAGE_BYTES;
}

/* So many bytes, a multiple of a large page's, that begin on one. Of what is mapped around them
 * nothing is kept. */
static uint8_t *
map_large(size_t bytes)
{
    uint8_t *map = mmap(NULL, bytes + TX_LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (map == MAP_FAILED)
        return NULL;
    before = tx_round_up((uintptr_t)map, TX_LARGE_PAGE_BYTES) - (uintptr_t)map;
    if (before > 0)
        (void)munmap(map, before);
    (void)munmap(map + before + bytes, TX_LARGE_PAGE_BYTES - before);
    (void)madvise(map + before, bytes, MADV_HUGEPAGE); /* advice */
    return map + before;
}

void *
tx_array_alloc(size_t bytes)
{
    if (!is_large(bytes))
        return tx_malloc(bytes);
    if (bytes > SIZE_MAX / 2 || must_fail())
        return NULL;
    return counted(map_large(tx_round_up(bytes, TX_LARGE_PAGE_BYTES)));
}

void *
tx_array_zalloc(size_t bytes)
{
    return is_large(bytes) ? tx_array_alloc(bytes) : tx_zalloc(bytes); /* a new map is zero */
}

/* The pages move, and not what is in them. */
static void *
resize_large(uint8_t *p, size_t bytes_before, size_t bytes)
{
    uint8_t *moved;

    if (bytes <= bytes_before) {
        if (bytes < bytes_before)
            (void)munmap(p + bytes, bytes_before - bytes);
        return p;
    }
    moved = map_large(bytes);
    if (moved == NULL)
        return NULL;
    if (mremap(p, bytes_before, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == MAP_FAILED) {
        (void)munmap(moved, bytes);
        return NULL;
    }
    return moved;
}

void *
tx_array_resize(void *p, size_t bytes_before, size_t bytes)
{
    void *moved;

    if (p == NULL)
        return tx_array_alloc(bytes);
    if (!is_large(bytes_before) && !is_large(bytes))
        return tx_realloc(p, bytes);
    if (is_large(bytes_before) && is_large(bytes))
        return bytes > SIZE_MAX / 2 || must_fail()
                   ? NULL
                   : resize_large(p, tx_round_up(bytes_before, TX_LARGE_PAGE_BYTES),
                                  tx_round_up(bytes, TX_LARGE_PAGE_BYTES));
    moved = tx_array_alloc(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, tx_min_u64(bytes_before, bytes));
    tx_array_free(p, bytes_before);
    return moved;
}

void
tx_array_free(void *p, size_t bytes)
{
    if (p == NULL || !is_large(bytes)) {
        tx_free(p);
        return;
    }
    count_live(UINT64_MAX);
    (void)munmap(p, tx_round_up(bytes, TX_LARGE_PAGE_BYTES));
}

void
tx_mem_fail_at(uint64_t n, bool forever)
{
    tx_store_relaxed_64(&fail_at, 0);
    tx_store_relaxed_64(&fail_count, 0);
    tx_store_relaxed_64(&fail_forever, forever);
    tx_store_relaxed_64(&fail_at, n);
}

uint64_t
tx_mem_fail_count(void)
{
    return tx_load_relaxed_64(&fail_count);
}

uint64_t
tx_mem_live(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < STRIPES; i++)
        sum += tx_load_relaxed_64(&stripes[i].live);
    return sum;
}

struct tx_arena_chunk {
    struct tx_arena_chunk *older;
    size_t bytes; /* with this header, where it is not on large pages */
};

static void
enter_chunk(struct tx_arena *arena, struct tx_arena_chunk *chunk)
{
    arena->chunks = chunk;
    arena->next = (uint8_t *)(chunk + 1);
    arena->end = (uint8_t *)chunk + chunk->bytes;
}

/* A chunk of at least so many bytes, handed out from the first large page on. Of what lies around
 * it nothing is looked at but the header, so that it takes no memory and is not counted. */
static bool
add_large_chunk(struct tx_arena *arena, size_t bytes_wanted)
{
    const size_t bytes = tx_round_up(bytes_wanted, TX_LARGE_PAGE_BYTES);
    struct tx_arena_chunk *chunk = tx_malloc(sizeof *chunk + bytes + TX_LARGE_PAGE_BYTES);

    if (chunk == NULL)
        return false;
    chunk->older = arena->chunks;
    chunk->bytes = bytes;
    arena->chunks = chunk;
    arena->next = (uint8_t *)chunk + sizeof *chunk;
    arena->next +=
        tx_round_up((uintptr_t)arena->next, TX_LARGE_PAGE_BYTES) - (uintptr_t)arena->next;
    arena->end = arena->next + bytes;
    (void)madvise(arena->next, bytes, MADV_HUGEPAGE); /* advice */
    tx_store_relaxed_64(&arena->bytes, arena->bytes + bytes);
    return true;
}

static bool
add_chunk(struct tx_arena *arena, size_t bytes_wanted)
{
    struct tx_arena_chunk *chunk;
    size_t bytes = CHUNK_BYTES_MIN;

    if (arena->large) {
        bytes = tx_max_u64(bytes_wanted, tx_min_u64(arena->bytes / 4, LARGE_CHUNK_BYTES_MAX));
        if (add_large_chunk(arena, bytes))
            return true;
        bytes = CHUNK_BYTES_MIN; /* there may be memory for a small one */
    }
    if (arena->chunks != NULL)
        bytes = tx_min_u64(arena->chunks->bytes * 2, CHUNK_BYTES_MAX);
    bytes = tx_max_u64(bytes, bytes_wanted + sizeof *chunk);
    chunk = tx_malloc(bytes);
    if (chunk == NULL)
        return false;
    chunk->older = arena->chunks;
    chunk->bytes = bytes;
    enter_chunk(arena, chunk);
    tx_store_relaxed_64(&arena->bytes, arena->bytes + bytes);
    return true;
}

static void
free_chunks(struct tx_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct tx_arena_chunk *older = chunk->older;

        tx_free(chunk);
        chunk = older;
    }
}

void
tx_arena_init(struct tx_arena *arena)
{
    *arena = (struct tx_arena){ 0 };
}

void *
tx_arena_alloc(struct tx_arena *arena, size_t bytes)
{
    uint8_t *p;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = tx_round_up(bytes, 8);
    if ((size_t)(arena->end - arena->next) < bytes && !add_chunk(arena, bytes))
        return NULL;
    p = arena->next;
    if (p != NULL)
        arena->next = p + bytes;
    return p;
}

void
tx_arena_prepare(struct tx_arena *arena, size_t bytes)
{
    if (bytes >= LARGE_MIN_PAGES * TX_LARGE_PAGE_BYTES && bytes <= SIZE_MAX / 2)
        (void)add_large_chunk(arena, bytes);
}

void
tx_arena_free(struct tx_arena *arena)
{
    free_chunks(arena->chunks);
    *arena = (struct tx_arena){ 0 };
}

void
tx_arena_reset(struct tx_arena *arena)
{
    struct tx_arena_chunk *newest = arena->chunks;

    /* A chunk made for one large piece would be memory held for nothing. */
    if (newest == NULL || newest->bytes > CHUNK_BYTES_MAX) {
        tx_arena_free(arena);
        return;
    }
    free_chunks(newest->older);
    newest->older = NULL;
    enter_chunk(arena, newest);
    tx_store_relaxed_64(&arena->bytes, newest->bytes);
}
