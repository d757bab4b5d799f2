/*
 * heap.c - memory that malloc hands out next, made ready many pages at a time.
 *
 * Pieces small enough not to be mapped one by one are asked for and freed again. They lie side by
 * side at the heap's end, and so become one free piece, of which malloc cuts what comes next.
 */
#include "heap.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "mem.h"

enum {
    PIECE_BYTES = 64 << 10, /* glibc maps what has 128 KiB or more, unless it was told otherwise */
    BETWEEN_BYTES = 256,    /* from one piece's end to the next one, at most */
    PIECES = TX_HEAP_STEP_BYTES / PIECE_BYTES
};

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older kernels refuse it */
#endif

/* Put large pages under a stretch of the heap. */
static void
collapse(uintptr_t from, uintptr_t to)
{
    from = tx_round_up(from, TX_LARGE_PAGE_BYTES);
    to = to / TX_LARGE_PAGE_BYTES * TX_LARGE_PAGE_BYTES;
    if (from < to)
        (void)madvise((void *)from, to - from, MADV_COLLAPSE); /* advice */
}

void
tx_heap_ready(void **keep)
{
    void *pieces[PIECES + 1], *last = *keep;
    uintptr_t from = 0, end = 0;
    int count = 0, highest = 0;

    while (count <= PIECES && (pieces[count] = malloc(PIECE_BYTES)) != NULL) {
        if ((uintptr_t)pieces[count] > (uintptr_t)pieces[highest])
            highest = count;
        count++;
    }
    for (int i = 0; i < count; i++) {
        const uintptr_t at = (uintptr_t)pieces[i];

        if (at < end || at > end + BETWEEN_BYTES) {
            collapse(from, end);
            from = at;
        }
        end = at + PIECE_BYTES;
    }
    collapse(from, end);
    *keep = count > 0 ? pieces[highest] : NULL;
    for (int i = 0; i < count; i++)
        if (i != highest)
            free(pieces[i]);
    free(last);
}

void
tx_heap_done(void **keep)
{
    free(*keep);
    *keep = NULL;
}
