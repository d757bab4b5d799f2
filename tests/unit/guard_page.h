/*
 * guard_page.h - a page of memory before one that nobody may look at: group setup and teardown.
 */
#ifndef GUARD_PAGE_H
#define GUARD_PAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096 };

static uint8_t *pages; /* one that can be read, and one that cannot */

static inline int
map_pages(void **state)
{
    (void)state;
    pages = mmap(NULL, (size_t)2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    return pages == MAP_FAILED || mprotect(pages + PAGE_BYTES, PAGE_BYTES, PROT_NONE) != 0;
}

static inline int
unmap_pages(void **state)
{
    (void)state;
    return munmap(pages, (size_t)2 * PAGE_BYTES);
}

#endif /* GUARD_PAGE_H */
