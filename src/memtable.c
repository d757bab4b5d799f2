/*
 * memtable.c - one generation of the overlay.
 *
 * An insert finds the key's node through the hash index. A new node is made, put into the index and
 * linked into the list, now or later, in that order: linking cannot fail, so running out of memory
 * leaves nothing behind that a reader could find. In between, a reader can find the node in the
 * index before it is in the list.
 */
#include "memtable.h"

enum txkv_rc
tx_memtable_create(uint64_t first_lsn, bool links, struct tx_memtable **out, struct txkv_error *err)
{
    struct tx_memtable *memtable = tx_zalloc(sizeof(*memtable));

    *out = NULL;
    if (memtable == NULL)
        return tx_fail_nomem(err);
    memtable->first_lsn = first_lsn;
    memtable->end_lsn = first_lsn;
    memtable->links = links;
    tx_arena_init(&memtable->arena);
    memtable->index = tx_hashidx_create(&memtable->arena);
    if (memtable->index == NULL ||
        tx_skiplist_init(&memtable->linked, &memtable->arena, (uint32_t)first_lsn) != TXKV_OK) {
        tx_memtable_free(memtable);
        return tx_fail_nomem(err);
    }
    *out = memtable;
    return TXKV_OK;
}

void
tx_memtable_free(struct tx_memtable *memtable)
{
    assert(memtable->refs == 0);
    for (uint32_t i = 0; i < memtable->segment_count; i++)
        tx_segment_unref(memtable->segments[i]);
    tx_free(memtable->segments);
    tx_arena_free(&memtable->arena);
    tx_free(memtable);
}

/* Into the list, or to those that wait until somebody asks for it. A large transaction's nodes wait
 * also where somebody has: in no order they would keep the writer for longer than a scan takes to
 * sort them. */
static void
link_or_keep(struct tx_memtable *memtable, struct tx_node *node)
{
    if (!memtable->keeps && (memtable->links || tx_load_relaxed_32(&memtable->scanned) != 0)) {
        tx_skiplist_link(&memtable->linked, node);
        return;
    }
    node->prev = memtable->loose;
    memtable->loose = node;
    if (node->prev == NULL)
        tx_store_release_32(&memtable->has_loose, 1); /* [M16] */
}

/* A node for a key that has none. */
static enum txkv_rc
add_node(struct tx_memtable *memtable, const struct tx_key *key, const uint8_t *stays,
         uint64_t hash, const struct tx_version *first)
{
    struct tx_node *node;
    uint64_t *of_table;

    memtable->linked.sparse = memtable->keeps;
    node = tx_skiplist_make(&memtable->linked, key, first);
    if (node == NULL)
        return TXKV_NOMEM;
    node->key.data = stays; /* no reader has it yet */
    if (tx_hashidx_put(memtable->index, node, hash) != TXKV_OK)
        return TXKV_NOMEM;
    tx_store_relaxed_64(&memtable->keys, memtable->keys + 1);
    of_table = &memtable->table_keys[key->table % TX_MEMTABLE_COUNTS];
    tx_store_relaxed_64(of_table, *of_table + 1);
    link_or_keep(memtable, node);
    return TXKV_OK;
}

enum txkv_rc
tx_memtable_insert(struct tx_memtable *memtable, const struct tx_key *key, uint64_t hash,
                   uint64_t lsn, const uint8_t *value, uint32_t value_bytes)
{
    return tx_memtable_insert_from(memtable, key, key->data, hash, lsn, value, value_bytes);
}

enum txkv_rc
tx_memtable_insert_from(struct tx_memtable *memtable, const struct tx_key *key,
                        const uint8_t *stays, uint64_t hash, uint64_t lsn, const uint8_t *value,
                        uint32_t value_bytes)
{
    const struct tx_version first = { .lsn = lsn, .value = value, .value_bytes = value_bytes };
    struct tx_node *node = tx_hashidx_get(memtable->index, key, hash);
    struct tx_version *version;

    assert(lsn >= memtable->first_lsn);
    if (node == NULL)
        return add_node(memtable, key, stays, hash, &first);
    version = tx_arena_alloc(&memtable->arena, sizeof(*version));
    if (version == NULL)
        return TXKV_NOMEM;
    *version = first;
    tx_node_push(node, version);
    return TXKV_OK;
}

enum txkv_rc
tx_memtable_replay(struct tx_memtable *memtable, const struct tx_key *key, uint64_t hash,
                   uint64_t lsn, const uint8_t *value, uint32_t value_bytes)
{
    const struct tx_version only = { .lsn = lsn, .value = value, .value_bytes = value_bytes };
    struct tx_node *node = tx_hashidx_get(memtable->index, key, hash);

    if (node == NULL)
        return add_node(memtable, key, key->data, hash, &only);
    node->first = only;
    return TXKV_OK;
}

void
tx_memtable_retract(struct tx_memtable *memtable, const struct tx_key *key, uint64_t lsn)
{
    struct tx_node *node = tx_hashidx_get(memtable->index, key, tx_key_hash(key));
    struct tx_version *newest = node == NULL ? NULL : tx_node_newest(node);

    if (newest != NULL && newest->lsn == lsn)
        tx_store_release_ptr((void **)&node->newest, newest->older); /* [M4] */
}

enum txkv_rc
tx_memtable_remember(struct tx_memtable *memtable, uint64_t lsn, const uint8_t *body,
                     uint32_t body_bytes)
{
    struct tx_recent *recent = tx_arena_alloc(&memtable->arena, sizeof(*recent));

    if (recent == NULL)
        return TXKV_NOMEM;
    *recent = (struct tx_recent){ memtable->recent, lsn, body, body_bytes };
    memtable->recent = recent;
    return TXKV_OK;
}

void
tx_memtable_forget(struct tx_memtable *memtable)
{
    memtable->recent = memtable->recent->older;
}

enum txkv_rc
tx_memtable_pin_segment(struct tx_memtable *memtable, struct tx_segment *segment)
{
    const uint32_t count = memtable->segment_count;

    if (count > 0 && memtable->segments[count - 1] == segment)
        return TXKV_OK;
    if (count == memtable->segment_room) {
        const uint32_t room = count == 0 ? 8 : 2 * count;
        struct tx_segment **segments =
            tx_realloc(memtable->segments, room * sizeof(struct tx_segment *));

        if (segments == NULL)
            return TXKV_NOMEM;
        memtable->segments = segments;
        memtable->segment_room = room;
    }
    tx_segment_ref(segment);
    memtable->segments[count] = segment;
    memtable->segment_count = count + 1;
    return TXKV_OK;
}

void
tx_memtable_let_go(const struct tx_memtable *memtable)
{
    for (uint32_t i = 0; i < memtable->segment_count; i++)
        tx_segment_unmap_pages(memtable->segments[i], 0, memtable->segments[i]->bytes);
}

struct tx_node *
tx_memtable_get(struct tx_memtable *memtable, const struct tx_key *key, uint64_t hash)
{
    return tx_hashidx_get(memtable->index, key, hash);
}

void
tx_memtable_account(struct tx_memtable *memtable, uint64_t lsn, uint64_t bytes,
                    uint32_t transactions)
{
    tx_store_release_64(&memtable->end_lsn, lsn + bytes); /* [M13] */
    tx_store_relaxed_64(&memtable->records, memtable->records + transactions);
    tx_store_relaxed_64(&memtable->log_bytes, memtable->log_bytes + bytes);
    tx_store_relaxed_64(&memtable->largest, tx_max_u64(memtable->largest, bytes));
}

uint64_t
tx_memtable_bytes(const struct tx_memtable *memtable)
{
    return sizeof(*memtable) + tx_load_relaxed_64(&memtable->arena.bytes) +
           tx_load_relaxed_64(&memtable->log_bytes);
}
