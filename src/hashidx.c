/*
 * hashidx.c - a hash index over skip list nodes, on ck_hs.
 *
 * How the 64 bits of a key's hash are used: the top 6 choose the shard, the low 32 are kept in the
 * node and choose the slot, so growing a shard hashes no key again. The 16 above those 32 become
 * the top bits of the entry, which a node's address leaves free: a slot taken by another key is
 * passed over without a look at that key's node, which would most likely be a cache miss. Therefore
 * CK_HS_MODE_DIRECT: to ck_hs an entry is a number, and what it means is known here only.
 *
 * Growing (inside ck_hs_put) fills a new table and publishes it with one store; a reader that is in
 * the old one sees what was there when it was left, which is all that was put before that reader's
 * get began. No entry is ever removed, so get never has to start again.
 *
 * Ordering: [M6] put stores the entry after the node is complete, and get reads the node through
 * the entry. ck_hs does that with fences that ThreadSanitizer cannot see: hence tx_hb_release and
 * tx_hb_acquire on the node.
 */
#include "hashidx.h"

#include <ck_hs.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHARD_BITS          6
#define SHARDS              (1 << SHARD_BITS)
#define SHARD_ENTRIES_FIRST 16
#define TABLE_EXTRA_BYTES   256 /* of a table besides its slots, or more */
#define TAG_SHIFT           48  /* user space addresses on x86-64 are shorter */

/* Where a shard's table keeps its slots. */
struct slots {
    const void *const *at; /* on a cache line */
    uint64_t count;        /* a power of two, or 0 */
};

struct tx_hashidx {
    struct tx_arena *arena;
    ck_hs_t *shards[SHARDS];    /* atomic [M6]; NULL until the first put */
    uint64_t rooms[SHARDS];     /* slots that the table was made with, or more; writer only */
    struct slots slots[SHARDS]; /* writer only, for tx_hashidx_prefetch */
};

/* ck_malloc's functions get no context: put leaves its arena here, and the place for what a new
 * table tells of its slots. */
static _Thread_local struct tx_arena *put_arena;
static _Thread_local struct slots *put_slots;

/* A table's memory ends with its slots, which begin on a cache line: there are as many bytes to
 * spare as that can take. Were it otherwise, prefetches would be of no use, and no more. */
static void
note_slots(const uint8_t *table, size_t bytes)
{
    const uint8_t *at;
    uint64_t count = SHARD_ENTRIES_FIRST;

    while (2 * count * sizeof(void *) + 2 * TX_CACHELINE <= bytes)
        count *= 2;
    at = table + bytes - count * sizeof(void *);
    put_slots->at = (const void *const *)(const void *)(at - (uintptr_t)at % TX_CACHELINE);
    put_slots->count = count;
}

static void *
arena_malloc(size_t bytes)
{
    void *p = tx_arena_alloc(put_arena, bytes);

    if (p != NULL)
        note_slots(p, bytes);
    return p;
}

/* A table that was outgrown stays for the readers that are in it, until the arena goes. */
static void
arena_keep(void *p, size_t bytes, bool defer)
{
    (void)p;
    (void)bytes;
    (void)defer;
}

static struct ck_malloc arena_allocator = { .malloc = arena_malloc, .free = arena_keep };

static inline void *
entry_of(const struct tx_node *node, uint64_t hash)
{
    const uint64_t tag = (hash >> 32) << TAG_SHIFT;

    assert((uintptr_t)node >> TAG_SHIFT == 0);
    return (void *)((uintptr_t)node | tag);
}

static inline struct tx_node *
node_of(const void *entry)
{
    return (struct tx_node *)((uintptr_t)entry & (((uintptr_t)1 << TAG_SHIFT) - 1));
}

/* Called for the entries of a table that grows. */
static unsigned long
hash_of(const void *entry, unsigned long seed)
{
    (void)seed;
    return node_of(entry)->hash;
}

static bool
is_same(const void *stored, const void *wanted)
{
    struct tx_node *node = node_of(stored);

    if ((uintptr_t)stored >> TAG_SHIFT != (uintptr_t)wanted >> TAG_SHIFT)
        return false;
    tx_hb_acquire(node); /* [M6] */
    return tx_node_same_key(node, node_of(wanted));
}

/* XXH3 only adds the seed to a short key before it mixes: with small seeds, keys of different
 * tables that differ in a few bits would have the same hash. */
uint64_t
tx_key_hash(const struct tx_key *key)
{
    return XXH3_64bits_withSeed(key->data, key->bytes, key->table * UINT64_C(0x9e3779b97f4a7c15));
}

struct tx_hashidx *
tx_hashidx_create(struct tx_arena *arena)
{
    struct tx_hashidx *index = tx_arena_alloc(arena, sizeof(*index));

    if (index == NULL)
        return NULL;
    memset(index, 0, sizeof(*index));
    index->arena = arena;
    return index;
}

/* The shard for a put, made when it is missing; NULL when out of memory. */
static ck_hs_t *
shard_for_put(struct tx_hashidx *index, uint64_t hash)
{
    ck_hs_t **slot = &index->shards[hash >> (64 - SHARD_BITS)];
    ck_hs_t *shard = *slot;

    put_arena = index->arena;
    put_slots = &index->slots[hash >> (64 - SHARD_BITS)];
    if (shard != NULL)
        return shard;
    shard = tx_arena_alloc(index->arena, sizeof(*shard));
    if (shard == NULL || !ck_hs_init(shard, CK_HS_MODE_SPMC | CK_HS_MODE_DIRECT, hash_of, is_same,
                                     &arena_allocator, SHARD_ENTRIES_FIRST, 0))
        return NULL;
    tx_store_release_ptr((void **)slot, shard); /* [M6] */
    return shard;
}

enum txkv_rc
tx_hashidx_put(struct tx_hashidx *index, struct tx_node *node, uint64_t hash)
{
    ck_hs_t *shard;

    shard = shard_for_put(index, hash);
    if (shard == NULL)
        return TXKV_NOMEM;
    node->hash = (uint32_t)hash;
    tx_hb_release(node); /* [M6] */
    return ck_hs_put_unique(shard, node->hash, entry_of(node, hash)) ? TXKV_OK : TXKV_NOMEM;
}

struct tx_node *
tx_hashidx_get(struct tx_hashidx *index, const struct tx_key *key, uint64_t hash)
{
    ck_hs_t *shard =
        tx_load_acquire_ptr((void *const *)&index->shards[hash >> (64 - SHARD_BITS)]); /* [M6] */
    struct tx_node wanted; /* is_same looks at key and prefix only */
    void *entry;

    if (shard == NULL)
        return NULL;
    wanted.key = *key;
    tx_key_prefix(key, wanted.prefix);
    entry = ck_hs_get(shard, (uint32_t)hash, entry_of(&wanted, hash));
    return entry == NULL ? NULL : node_of(entry);
}

void
tx_hashidx_prefetch(const struct tx_hashidx *index, uint64_t hash)
{
    const struct slots *slots = &index->slots[hash >> (64 - SHARD_BITS)];

    if (slots->count > 0)
        __builtin_prefetch(&slots->at[(uint32_t)hash & (slots->count - 1)]);
}

/* Slots of a table of so many entries: ck_hs doubles it when more than half of them are taken. */
static uint64_t
slots_for(uint64_t entries)
{
    uint64_t slots = SHARD_ENTRIES_FIRST;

    while (slots < 2 * entries)
        slots *= 2;
    return slots;
}

/* What the shard's table has to grow to for so many entries more, in slots; 0: it is large enough.
 * ck_hs_grow makes a table anew that has the asked-for size already, and the old one stays in the
 * arena: it is called only for a table that is smaller. */
static uint64_t
slots_wanted(const struct tx_hashidx *index, uint64_t i, ck_hs_t *shard, uint64_t more)
{
    const uint64_t entries = ck_hs_count(shard), wanted = slots_for(entries + more);

    return wanted > tx_max_u64(index->rooms[i], slots_for(entries)) ? wanted : 0;
}

void
tx_hashidx_reserve(struct tx_hashidx *index, uint32_t more)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < SHARDS; i++) {
        ck_hs_t *shard = shard_for_put(index, i << (64 - SHARD_BITS));

        if (shard == NULL)
            return;
        bytes += slots_wanted(index, i, shard, more / SHARDS) * sizeof(void *) + TABLE_EXTRA_BYTES;
    }
    tx_arena_prepare(index->arena, bytes);
    for (uint64_t i = 0; i < SHARDS; i++) {
        ck_hs_t *shard = shard_for_put(index, i << (64 - SHARD_BITS));
        const uint64_t wanted = slots_wanted(index, i, shard, more / SHARDS);

        if (wanted > 0 && ck_hs_grow(shard, wanted))
            index->rooms[i] = wanted;
    }
}
