/*
 * atomic.h - the atomic loads and stores txkv uses, and the only file that includes ck_pr.h.
 *
 * Concurrency Kit's x86-64 primitives are inline assembly, which ThreadSanitizer cannot see, so the
 * sanitizer build maps the same names onto compiler builtins. Every access names its order.
 * tx_hb_release/tx_hb_acquire tell ThreadSanitizer of an order that a library it cannot see
 * (libck, the kernel) provides; they are nothing in other builds.
 *
 * Layer 0: base.h.
 */
#ifndef TX_ATOMIC_H
#define TX_ATOMIC_H

#include <ck_pr.h>
#include <stdbool.h>
#include <stdint.h>

#include "base.h"

#if defined(__SANITIZE_THREAD__)
#define TX_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TX_TSAN 1
#endif
#endif

#ifdef TX_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define tx_hb_acquire(p) __tsan_acquire(p)
#define tx_hb_release(p) __tsan_release(p)
#else
#define tx_hb_acquire(p) ((void)(p))
#define tx_hb_release(p) ((void)(p))
#endif

static inline uint64_t
tx_load_acquire_64(const uint64_t *p)
{
#ifdef TX_TSAN
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#else
    uint64_t v = ck_pr_load_64(p);
    ck_pr_fence_acquire();
    return v;
#endif
}

static inline void
tx_store_release_64(uint64_t *p, uint64_t v)
{
#ifdef TX_TSAN
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
#else
    ck_pr_fence_release();
    ck_pr_store_64(p, v);
#endif
}

/* For counters and hints that order nothing. */
static inline uint64_t
tx_load_relaxed_64(const uint64_t *p)
{
#ifdef TX_TSAN
    return __atomic_load_n(p, __ATOMIC_RELAXED);
#else
    return ck_pr_load_64(p);
#endif
}

static inline void
tx_store_relaxed_64(uint64_t *p, uint64_t v)
{
#ifdef TX_TSAN
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
#else
    ck_pr_store_64(p, v);
#endif
}

static inline uint32_t
tx_load_relaxed_32(const uint32_t *p)
{
#ifdef TX_TSAN
    return __atomic_load_n(p, __ATOMIC_RELAXED);
#else
    return ck_pr_load_32(p);
#endif
}

static inline void
tx_store_relaxed_32(uint32_t *p, uint32_t v)
{
#ifdef TX_TSAN
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
#else
    ck_pr_store_32(p, v);
#endif
}

/* Adds and returns the value before. A full barrier. */
static inline uint64_t
tx_fetch_add_64(uint64_t *p, uint64_t v)
{
#ifdef TX_TSAN
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
#else
    return ck_pr_faa_64(p, v);
#endif
}

/* Sets bits. A full barrier. */
static inline void
tx_or_64(uint64_t *p, uint64_t bits)
{
#ifdef TX_TSAN
    (void)__atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
#else
    ck_pr_or_64(p, bits);
#endif
}

static inline uint32_t
tx_load_acquire_32(const uint32_t *p)
{
#ifdef TX_TSAN
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#else
    uint32_t v = ck_pr_load_32(p);
    ck_pr_fence_acquire();
    return v;
#endif
}

static inline void
tx_store_release_32(uint32_t *p, uint32_t v)
{
#ifdef TX_TSAN
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
#else
    ck_pr_fence_release();
    ck_pr_store_32(p, v);
#endif
}

/* True when *p was `from` and is now `to`. A full barrier. */
static inline bool
tx_cas_32(uint32_t *p, uint32_t from, uint32_t to)
{
#ifdef TX_TSAN
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#else
    return ck_pr_cas_32(p, from, to);
#endif
}

/* True when *p was `from` and is now `to`. A full barrier. */
static inline bool
tx_cas_64(uint64_t *p, uint64_t from, uint64_t to)
{
#ifdef TX_TSAN
    return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#else
    return ck_pr_cas_64(p, from, to);
#endif
}

/* Raises *p to v unless it is there or beyond already. A full barrier when it does. */
static inline void
tx_raise_64(uint64_t *p, uint64_t v)
{
    uint64_t now = tx_load_acquire_64(p);

    while (now < v && !tx_cas_64(p, now, v))
        now = tx_load_acquire_64(p);
}

/* Stores and returns the value before. A full barrier. */
static inline uint32_t
tx_swap_32(uint32_t *p, uint32_t v)
{
#ifdef TX_TSAN
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
#else
    return ck_pr_fas_32(p, v);
#endif
}

static inline void *
tx_load_acquire_ptr(void *const *p)
{
#ifdef TX_TSAN
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#else
    void *v = ck_pr_load_ptr(p);
    ck_pr_fence_acquire();
    return v;
#endif
}

static inline void
tx_store_release_ptr(void **p, void *v)
{
#ifdef TX_TSAN
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
#else
    ck_pr_fence_release();
    ck_pr_store_ptr(p, v);
#endif
}

/* Orders a store before a later load; nothing weaker does. */
static inline void
tx_fence_full(void)
{
#ifdef TX_TSAN
    __asm__ __volatile__("mfence" ::: "memory"); /* gcc refuses its own fence in this build */
#else
    ck_pr_fence_memory();
#endif
}

/* One turn of a spin loop. */
static inline void
tx_pause(void)
{
    ck_pr_stall();
}

#endif /* TX_ATOMIC_H */
