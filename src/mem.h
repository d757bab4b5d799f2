/*
 * mem.h - allocation, where tests make it fail, and arenas.
 *
 * Layer 1: base.h, error.h.
 */
#ifndef TX_MEM_H
#define TX_MEM_H

#include "base.h"
#include "error.h"

/* malloc, realloc and free; NULL when out of memory or when a test says so. Thread-safe. */
void *tx_malloc(size_t bytes);
void *tx_zalloc(size_t bytes); /* zeroed */
void *tx_realloc(void *p, size_t bytes);
/* Zeroed, on a cache line; for structs with TX_ALIGNED members. */
void *tx_aligned_zalloc(size_t bytes);
void tx_free(void *p);
char *tx_strdup(const char *s);

#define TX_LARGE_PAGE_BYTES ((size_t)2 << 20) /* on x86-64 */

/*
 * An array that is to be filled, or looked into at random. Of 2 MiB or more it is a piece of memory
 * of its own, on large pages where the system has them, and goes back to the system when it is
 * freed. Who has it knows how many bytes were asked for last. tx_array_resize keeps what fits, and
 * on failure (NULL) all is as it was.
 */
void *tx_array_alloc(size_t bytes);
void *tx_array_zalloc(size_t bytes); /* zeroed */
void *tx_array_resize(void *p, size_t bytes_before, size_t bytes);
void tx_array_free(void *p, size_t bytes);

/* Test hook: the n-th allocation from now on fails (1 = the next), `forever` all after it too; 0
 * switches it off. */
void tx_mem_fail_at(uint64_t n, bool forever);
/* Allocations since then, while it was on. */
uint64_t tx_mem_fail_count(void);
/* Allocations not yet freed, for leak checks. */
uint64_t tx_mem_live(void);

/*
 * An arena hands out memory that is freed all at once. One thread allocates; what it handed out may
 * be read by others. Chunks start at 4 KiB and double up to 1 MiB, so a small arena stays small.
 */
struct tx_arena {
    struct tx_arena_chunk *chunks; /* newest first */
    uint8_t *next, *end;
    /* The allocating thread writes, any reads [relaxed]: bytes taken from the system. */
    uint64_t bytes;
    /* The allocating thread's: chunks to come are of 2 to 32 MiB, on large pages where the system
     * has them. For what will be filled without anybody waiting for a part of it: a page fault is
     * taken, and 2 MiB are cleared, for all of it at once. */
    bool large;
};

void tx_arena_init(struct tx_arena *arena);
/* 8-byte aligned, not zeroed; NULL when out of memory. */
void *tx_arena_alloc(struct tx_arena *arena, size_t bytes);
/* What is asked for next, up to so many bytes, comes out of one piece of memory if that is large,
 * on large pages where the system has them: for what will be looked into at random, where the way
 * through the page tables costs as much as the look. When there is no memory nothing changes. */
void tx_arena_prepare(struct tx_arena *arena, size_t bytes);
void tx_arena_free(struct tx_arena *arena);
/* Forget what was handed out, keep the newest chunk for the next use. */
void tx_arena_reset(struct tx_arena *arena);

#endif /* TX_MEM_H */
