/*
 * base.h - compiler and assertion helpers shared by every file.
 *
 * Layer 0: includes nothing of ours.
 */
#ifndef TX_BASE_H
#define TX_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#error                                                                                             \
    "txkv needs a CPU with total store order: ck_epoch 0.7.1 is too weak elsewhere (docs/architecture.md)"
#endif

#define TX_CACHELINE    64
#define TX_ALIGNED      __attribute__((aligned(TX_CACHELINE)))
#define TX_MUST_CHECK   __attribute__((warn_unused_result))
#define TX_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* The struct that contains member `m` at address p. */
#define TX_CONTAINER(p, type, m) ((type *)(void *)((char *)(p)-offsetof(type, m)))

static inline uint64_t
tx_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
tx_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* n rounded up to a multiple of `to`, a power of two. */
static inline uint64_t
tx_round_up(uint64_t n, uint64_t to)
{
    assert((to & (to - 1)) == 0);
    return (n + to - 1) & ~(to - 1);
}

#endif /* TX_BASE_H */
