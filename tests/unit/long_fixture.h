/*
 * long_fixture.h - keys that are longer than LMDB's, for the tests of the tree.
 */
#ifndef LONG_FIXTURE_H
#define LONG_FIXTURE_H

#include "tree_fixture.h"

#include "../../src/tree_long.h"

enum { ENTRY = TX_TREE_ENTRY_BYTES, CHUNK = TX_TREE_CHUNK_BYTES, MAX = TXKV_KEY_BYTES_MAX };

/* ---- keys ---- */

struct key {
    uint8_t *data;
    uint32_t bytes;
    uint32_t value; /* 0: not there */
};

static inline int
compare(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    const uint32_t bytes = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = memcmp(a->data, b->data, bytes);

    if (order != 0)
        return order;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Sort, and drop those that are there twice. */
static inline uint32_t
tidy(struct key *keys, uint32_t count)
{
    uint32_t kept = 0;

    qsort(keys, count, sizeof *keys, compare);
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && compare(&keys[kept - 1], &keys[i]) == 0)
            free(keys[i].data);
        else
            keys[kept++] = keys[i];
    }
    return kept;
}

/* As many first bytes of `base` (NULL: of 'k's), and the rest of `fill`. */
static inline struct key
make_key(const struct key *base, uint32_t same, uint32_t bytes, int fill)
{
    struct key key = { .data = malloc(bytes), .bytes = bytes };

    assert_non_null(key.data);
    memset(key.data, fill, bytes);
    if (base == NULL)
        memset(key.data, 'k', same < bytes ? same : bytes);
    else
        memcpy(key.data, base->data, same < bytes ? same : bytes);
    return key;
}

static inline void
free_keys(struct key *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(keys[i].data);
}

/* ---- short forms ---- */

static inline void
write_key(struct tx_tree_batch *batch, struct key *key, uint32_t value)
{
    char text[16];
    bool full;

    key->value = value;
    if (value == 0) {
        OK(tx_tree_batch_delete(batch, 1, key->data, key->bytes, &full, &err));
        return;
    }
    (void)snprintf(text, sizeof text, "%u", value);
    OK(tx_tree_batch_put(batch, 1, key->data, key->bytes, u8(text), (uint32_t)strlen(text), &full,
                         &err));
}

static inline uint32_t
number(const uint8_t *value, uint32_t bytes)
{
    char text[16] = "";

    assert_true(bytes < sizeof text);
    memcpy(text, value, bytes);
    return (uint32_t)strtoul(text, NULL, 10);
}

static inline void
expect_pair(enum txkv_rc rc, const struct tx_tree_pair *pair, const struct key *key)
{
    if (key == NULL) {
        assert_int_equal(rc, TXKV_NOTFOUND);
        return;
    }
    OK(rc);
    assert_int_equal(pair->key_bytes, key->bytes);
    assert_memory_equal(pair->key, key->data, key->bytes);
    assert_int_equal(number(pair->value, pair->value_bytes), key->value);
}

static inline void
write_all(struct tx_tree *tree, struct key *keys, uint32_t count, uint64_t lsn, uint32_t value)
{
    struct tx_tree_batch *batch = begin_batch(tree);

    OK(define(batch, 1));
    for (uint32_t i = 0; i < count; i++)
        write_key(batch, &keys[i], value == 0 ? 0 : value + i);
    OK(commit(batch, lsn));
}

#endif /* LONG_FIXTURE_H */
