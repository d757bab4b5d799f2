/*
 * hist.c - a histogram whose buckets grow with the values, in the manner of HdrHistogram.
 *
 * Values below 32 have a bucket each; above, every power of two is cut into 32 equal buckets. One
 * thread adds; histograms of several threads are merged when they have ended.
 */
#include "bench.h"

#define SUB (1u << HIST_SUB_BITS)

size_t
hist_bucket(uint64_t value)
{
    if (value < SUB)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
    return ((size_t)(shift + 1) << HIST_SUB_BITS) + (size_t)(value >> shift) - SUB;
}

/* The largest value of a bucket. */
static uint64_t
bucket_end(size_t bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = (unsigned)(bucket >> HIST_SUB_BITS) - 1;
    uint64_t first = ((uint64_t)SUB + (bucket & (SUB - 1))) << shift;
    return first + ((uint64_t)1 << shift) - 1;
}

void
hist_add(struct hist *h, uint64_t value)
{
    h->buckets[hist_bucket(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void
hist_merge(struct hist *into, const struct hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t
hist_at(const struct hist *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count + 0.5);
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t end = bucket_end(i);
            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}
