/*
 * oom_fixture.h - an allocator for SQLite that fails once, at a chosen allocation.
 *
 * The store has a hook for the same, tx_mem_fail_at.
 */
#ifndef OOM_FIXTURE_H
#define OOM_FIXTURE_H

#include "sql_fixture.h"

#include "../../src/mem.h"

static sqlite3_mem_methods memory;
static long allocations_left = -1; /* -1: memory does not run out */
static bool allocation_failed;

static inline bool
runs_out(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_left = -1; /* once */
    allocation_failed = true;
    return true;
}

static inline void *
failing_malloc(int bytes)
{
    return runs_out() ? NULL : memory.xMalloc(bytes);
}

static inline void *
failing_realloc(void *p, int bytes)
{
    return runs_out() ? NULL : memory.xRealloc(p, bytes);
}

static inline void
install_memory(void)
{
    sqlite3_mem_methods failing;

    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
    failing = memory;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
}

#endif /* OOM_FIXTURE_H */
