/*
 * skiplist.c - an ordered map from (table, key) to version chains.
 *
 * A node has one level more with probability 1/2: two links a node on average. Almost all of a
 * search is waiting for memory, and this way it looks at fewer nodes than with the usual 1/4, for
 * two thirds of a link more a node.
 *
 * A comparison first looks at the table and at the key's first sixteen bytes, which stand in the
 * node: with those zero-filled and read as big-endian numbers, different numbers are ordered as the
 * keys are. For let the first different byte be at position i. When both keys are longer than i,
 * memcmp decides by that byte as well. Otherwise one key has ended, its filled byte is the zero,
 * and it is the smaller number and the shorter key. Only equal numbers need the rest of the keys
 * and their lengths.
 *
 * The writer starts from its finger, the place of the insert before. It climbs while the key lies
 * behind the next node of the level and descends from there, so a run in order costs one or two
 * comparisons a key, and a key that is close by the logarithm of its distance.
 *
 * Ordering: see the invariants in skiplist.h; [M3] next pointers, [M4] version chains.
 */
#include "skiplist.h"

#include <endian.h>
#include <string.h>

enum { SPARSE_BITS = 2 };

/* Two neighbours in the list with a key between them, or equal to the second. */
struct gap {
    struct tx_node *before; /* below the key; the head when nothing else is */
    struct tx_node *after;  /* not below the key, or NULL */
};

/* A key that is looked for. */
struct target {
    struct tx_key key;
    uint64_t prefix[TX_PREFIX_WORDS];
};

static inline struct tx_node *
load_node(struct tx_node *const *link)
{
    return tx_load_acquire_ptr((void *const *)link); /* [M3] */
}

static inline void
store_node(struct tx_node **link, struct tx_node *node)
{
    tx_store_release_ptr((void **)link, node);
}

/* Order of two keys whose first `skip` bytes, as far as they have them, are equal. */
static inline int
compare_from(const struct tx_key *a, const struct tx_key *b, uint32_t skip)
{
    const uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;

    if (common > skip) {
        const int order = memcmp(a->data + skip, b->data + skip, common - skip);

        if (order != 0)
            return order;
    }
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

int
tx_key_compare(const struct tx_key *a, const struct tx_key *b)
{
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    return compare_from(a, b, 0);
}

void
tx_key_prefix(const struct tx_key *key, uint64_t prefix[TX_PREFIX_WORDS])
{
    if (key->bytes >= TX_PREFIX_BYTES) {
        memcpy(prefix, key->data, TX_PREFIX_BYTES);
    } else {
        memset(prefix, 0, TX_PREFIX_BYTES);
        if (key->bytes > 0)
            memcpy(prefix, key->data, key->bytes);
    }
    for (int i = 0; i < TX_PREFIX_WORDS; i++)
        prefix[i] = be64toh(prefix[i]);
}

static inline bool
is_same(const struct tx_node *node, const struct tx_key *key,
        const uint64_t prefix[TX_PREFIX_WORDS])
{
    for (int i = 0; i < TX_PREFIX_WORDS; i++)
        if (node->prefix[i] != prefix[i])
            return false;
    return node->key.table == key->table && node->key.bytes == key->bytes &&
           compare_from(&node->key, key, TX_PREFIX_BYTES) == 0;
}

bool
tx_node_same_key(const struct tx_node *a, const struct tx_node *b)
{
    return is_same(a, &b->key, b->prefix);
}

static inline bool
is_below(const struct tx_node *node, const struct target *target)
{
    if (node->key.table != target->key.table)
        return node->key.table < target->key.table;
    for (int i = 0; i < TX_PREFIX_WORDS; i++)
        if (node->prefix[i] != target->prefix[i])
            return node->prefix[i] < target->prefix[i];
    return compare_from(&node->key, &target->key, TX_PREFIX_BYTES) < 0;
}

static inline bool
is_found(struct gap gap, const struct target *target)
{
    return gap.after != NULL && is_same(gap.after, &target->key, target->prefix);
}

/*
 * From a node that is below the target, find the target's place on the levels under `level`;
 * path, when not NULL, gets the last node below the target for each of them.
 */
static inline struct gap
descend(struct tx_node *node, uint32_t level, const struct target *target, struct tx_node **path)
{
    struct tx_node *after = NULL;

    while (level-- > 0) {
        struct tx_node *next = load_node(&node->next[level]);

        /* A node that stopped the level above stops this one too, without a comparison. */
        while (next != NULL && next != after && is_below(next, target)) {
            node = next;
            next = load_node(&node->next[level]);
        }
        after = next;
        if (path != NULL)
            path[level] = node;
    }
    return (struct gap){ node, after };
}

/* A reader's search, from the top. */
static struct gap
find_gap(const struct tx_skiplist *list, const struct tx_key *key, struct target *target)
{
    target->key = *key;
    tx_key_prefix(key, target->prefix);
    return descend(list->head, tx_load_acquire_32(&list->height), target, NULL);
}

/* The writer's search. Leaves the finger at the target's place. */
static struct gap
move_finger(struct tx_skiplist *list, const struct target *target)
{
    struct tx_node **finger = list->finger;
    const uint32_t height = list->height;
    uint32_t level = 0;

    if (!is_below(finger[0], target))
        return descend(list->head, height, target, finger);
    while (level < height) {
        struct tx_node *next = finger[level]->next[level];

        /* The levels above have the target in the same gap as the finger, as this one has. */
        if (next == NULL || !is_below(next, target))
            break;
        level++;
    }
    if (level == 0)
        return (struct gap){ finger[0], finger[0]->next[0] };
    return descend(finger[level - 1], level, target, finger);
}

/* 1 with probability 1/2, 2 with 1/4, and so on, or in a sparse list 1/4 and 1/16 for one more; at
 * most one more than any before. */
static uint32_t
random_height(struct tx_skiplist *list)
{
    uint32_t height;

    /* Marsaglia's xorshift; the state is never 0. */
    list->random ^= list->random << 13;
    list->random ^= list->random >> 17;
    list->random ^= list->random << 5;
    height = 1 + (uint32_t)__builtin_ctz(list->random) / (list->sparse ? SPARSE_BITS : 1);
    if (height <= list->tallest)
        return height;
    if (list->tallest < TX_SKIPLIST_HEIGHT_MAX)
        list->tallest++;
    return list->tallest;
}

static struct tx_node *
make_node(struct tx_skiplist *list, const struct target *target, const struct tx_version *first)
{
    const uint32_t height = random_height(list);
    struct tx_node *node =
        tx_arena_alloc(list->arena, sizeof(*node) + height * sizeof(node->next[0]));

    if (node == NULL)
        return NULL;
    node->first = *first;
    node->first.older = NULL;
    node->newest = &node->first;
    node->prev = NULL;
    node->key = target->key;
    memcpy(node->prefix, target->prefix, sizeof(node->prefix));
    node->height = height;
    node->hash = 0;
    return node;
}

/* The finger is at the node's place. */
static void
link_node(struct tx_skiplist *list, struct tx_node *node)
{
    struct tx_node **finger = list->finger;
    struct tx_node *after = finger[0]->next[0];

    assert(after == NULL || tx_key_compare(&node->key, &after->key) < 0);
    node->prev = finger[0];
    for (uint32_t level = 0; level < node->height; level++)
        node->next[level] = finger[level]->next[level];

    /* [M3] bottom up: a node that is reachable at a level is reachable below it. */
    for (uint32_t level = 0; level < node->height; level++) {
        store_node(&finger[level]->next[level], node);
        finger[level] = node;
    }
    store_node(after != NULL ? &after->prev : &list->tail, node);
    if (node->height > list->height)
        tx_store_release_32(&list->height, node->height);
    tx_store_relaxed_64(&list->count, list->count + 1);
}

enum txkv_rc
tx_skiplist_init(struct tx_skiplist *list, struct tx_arena *arena, uint32_t seed)
{
    const size_t bytes = sizeof(*list->head) + TX_SKIPLIST_HEIGHT_MAX * sizeof(list->head->next[0]);
    struct tx_node *head = tx_arena_alloc(arena, bytes);

    if (head == NULL)
        return TXKV_NOMEM;
    memset(head, 0, bytes);
    head->height = TX_SKIPLIST_HEIGHT_MAX;
    *list = (struct tx_skiplist){
        .arena = arena, .head = head, .tail = head, .height = 1, .random = seed | 1
    };
    for (int i = 0; i < TX_SKIPLIST_HEIGHT_MAX; i++)
        list->finger[i] = head;
    return TXKV_OK;
}

struct tx_node *
tx_skiplist_insert(struct tx_skiplist *list, const struct tx_key *key,
                   const struct tx_version *first, bool *made)
{
    struct target target = { .key = *key };
    struct tx_node *node;
    struct gap gap;

    *made = false;
    tx_key_prefix(key, target.prefix);
    gap = move_finger(list, &target);
    if (is_found(gap, &target))
        return gap.after;
    node = make_node(list, &target, first);
    if (node == NULL)
        return NULL;
    link_node(list, node);
    *made = true;
    return node;
}

struct tx_node *
tx_skiplist_make(struct tx_skiplist *list, const struct tx_key *key, const struct tx_version *first)
{
    struct target target = { .key = *key };

    tx_key_prefix(key, target.prefix);
    return make_node(list, &target, first);
}

void
tx_skiplist_link(struct tx_skiplist *list, struct tx_node *node)
{
    struct target target = { .key = node->key };

    memcpy(target.prefix, node->prefix, sizeof(target.prefix));
    (void)move_finger(list, &target);
    link_node(list, node);
}

void
tx_skiplist_link_above(struct tx_skiplist *list, const struct tx_node *below, struct tx_node *node)
{
    /* The finger at the list's end is at every level's end. */
    if (below == list->tail && below == list->finger[0])
        link_node(list, node);
    else
        tx_skiplist_link(list, node);
}

void
tx_node_push(struct tx_node *node, struct tx_version *version)
{
    version->older = node->newest;
    assert(version->older == NULL || version->older->lsn <= version->lsn);
    tx_store_release_ptr((void **)&node->newest, version); /* [M4] */
}

struct tx_node *
tx_skiplist_find(const struct tx_skiplist *list, const struct tx_key *key)
{
    struct target target;
    const struct gap gap = find_gap(list, key, &target);

    return is_found(gap, &target) ? gap.after : NULL;
}

struct tx_node *
tx_skiplist_first_ge(const struct tx_skiplist *list, const struct tx_key *key)
{
    struct target target;

    return find_gap(list, key, &target).after;
}

struct tx_node *
tx_skiplist_last_le(const struct tx_skiplist *list, const struct tx_key *key)
{
    struct target target;
    const struct gap gap = find_gap(list, key, &target);

    if (is_found(gap, &target))
        return gap.after;
    return gap.before == list->head ? NULL : gap.before;
}

struct tx_node *
tx_skiplist_first(const struct tx_skiplist *list)
{
    return load_node(&list->head->next[0]);
}

struct tx_node *
tx_node_next(const struct tx_node *node)
{
    return load_node(&node->next[0]);
}

struct tx_node *
tx_node_prev(const struct tx_skiplist *list, const struct tx_node *node)
{
    struct tx_node *prev = load_node(&node->prev);

    return prev == list->head ? NULL : prev;
}
