/*
 * order.c - puts a memtable's keys in order, when somebody asks for the order.
 *
 * Under overlay_mutex the loose nodes are taken from the writer. They are sorted under order_mutex
 * alone, which keeps a second thread from looking for the same nodes. They are linked a stretch at
 * a time, under overlay_mutex too while the writer may link as well. Who walks over the list
 * meanwhile has a snapshot that is older than all of them, or would have asked for them first.
 *
 * Ordering: [M16] the writer stores has_loose = 1 before the node's version is published, and here
 * 0 is stored after the last link, when no more have come. So a scan that loads 0, after its
 * snapshot was taken, finds every node that the snapshot sees in the list.
 */
#include "order.h"

#include "keysort.h"

enum {
    STRETCH = 4096, /* nodes: commits wait for them, for less than a millisecond */
    LET_GO_KEYS = 1 << 16,
    PREFETCH_AHEAD = 8
};

/* Nodes to be linked. */
struct loose {
    const struct tx_memtable *frozen; /* theirs, if it is a large one that takes no writes */
    struct tx_node *chain;  /* by `prev`; the array's nodes, unless there was no memory for it */
    struct tx_node **nodes; /* or NULL */
    struct tx_sort_item *items; /* the array's order */
    uint32_t room, count, done;
    struct tx_node *last; /* linked: below the next one, where the array is sorted */
};

/* Keys are asked for in the array's order, most of them once: what was looked at in the log need
 * not stay in memory. */
static struct tx_key
key_of(const void *arg, uint32_t index)
{
    const struct loose *loose = arg;

    if (index % LET_GO_KEYS == LET_GO_KEYS - 1 && loose->frozen != NULL)
        tx_memtable_let_go(loose->frozen);
    return loose->nodes[index]->key;
}

/* What of a memtable is not linked, not collected yet. */
static struct loose
loose_of(const struct tx_memtable *memtable, bool takes_writes)
{
    return (struct loose){
        .frozen = takes_writes || !tx_memtable_is_large(memtable) ? NULL : memtable,
        .chain = memtable->loose,
        .room = (uint32_t)tx_load_relaxed_64(&memtable->keys),
    };
}

static size_t
items_bytes(const struct loose *loose)
{
    return loose->room * sizeof *loose->items;
}

static void
free_nodes(const struct loose *loose)
{
    tx_array_free(loose->nodes, loose->room * sizeof(struct tx_node *));
}

/* Without memory they are counted, and linked in the order in which they come, which takes
 * longer. */
static void
collect(struct loose *loose)
{
    struct tx_node *node;

    loose->nodes = tx_array_alloc(loose->room * sizeof(struct tx_node *));
    loose->items = tx_array_alloc(items_bytes(loose));
    if (loose->nodes == NULL || loose->items == NULL) {
        free_nodes(loose);
        loose->nodes = NULL;
    }
    for (node = loose->chain; node != NULL; node = node->prev) {
        assert(loose->count < loose->room);
        if (loose->nodes != NULL) {
            loose->nodes[loose->count] = node;
            loose->items[loose->count].index = loose->count;
        }
        loose->count++;
    }
}

static inline struct tx_node *
node_at(const struct loose *loose, uint32_t i)
{
    return loose->nodes[loose->items[i].index];
}

static struct tx_node *
next_node(struct loose *loose)
{
    struct tx_node *node;

    if (loose->nodes == NULL) {
        node = loose->chain;
        loose->chain = node->prev; /* linking changes it */
        return node;
    }
    if (loose->done + PREFETCH_AHEAD < loose->count) {
        node = node_at(loose, loose->done + PREFETCH_AHEAD);
        __builtin_prefetch(&node->key, 1);
        __builtin_prefetch(&node->next[1], 1);
    }
    return node_at(loose, loose->done);
}

static void
link_stretch(struct tx_memtable *memtable, struct loose *loose)
{
    for (uint32_t i = 0; i < STRETCH && loose->done < loose->count; i++) {
        struct tx_node *node = next_node(loose);

        if (loose->nodes != NULL && loose->done > 0)
            tx_skiplist_link_above(&memtable->linked, loose->last, node);
        else
            tx_skiplist_link(&memtable->linked, node);
        loose->last = node;
        loose->done++;
    }
}

/* Under order_mutex. */
static void
link_loose(struct tx_core *core, struct tx_memtable *memtable)
{
    struct loose loose;
    bool takes_writes;

    (void)pthread_mutex_lock(&core->overlay_mutex);
    takes_writes = tx_views_current(&core->views)->memtables[0] == memtable;
    loose = loose_of(memtable, takes_writes);
    memtable->loose = NULL;
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    collect(&loose);
    if (loose.nodes != NULL)
        tx_keysort(loose.items, loose.count, key_of, &loose);
    while (loose.done < loose.count) {
        if (takes_writes)
            (void)pthread_mutex_lock(&core->overlay_mutex);
        link_stretch(memtable, &loose);
        if (takes_writes)
            (void)pthread_mutex_unlock(&core->overlay_mutex);
    }
    free_nodes(&loose);
    tx_array_free(loose.items, items_bytes(&loose));
    (void)pthread_mutex_lock(&core->overlay_mutex);
    /* A large transaction that came meanwhile is nothing that this scan's snapshot sees. */
    if (memtable->loose == NULL)
        tx_store_release_32(&memtable->has_loose, 0); /* [M16] */
    (void)pthread_mutex_unlock(&core->overlay_mutex);
}

static void
complete(struct tx_core *core, struct tx_memtable *memtable)
{
    if (tx_load_acquire_32(&memtable->has_loose) == 0) /* [M16] */
        return;
    (void)pthread_mutex_lock(&core->order_mutex);
    if (tx_load_acquire_32(&memtable->has_loose) != 0) /* nobody was quicker */
        link_loose(core, memtable);
    (void)pthread_mutex_unlock(&core->order_mutex);
}

const struct tx_skiplist *
tx_order_for_scan(struct tx_core *core, struct tx_memtable *memtable)
{
    /* First: from then on the writer links, so that nothing becomes loose behind the last look. */
    if (tx_load_relaxed_32(&memtable->scanned) == 0)
        tx_store_relaxed_32(&memtable->scanned, 1);
    complete(core, memtable);
    return &memtable->linked;
}

/* ---- a walk without a list ---- */

/* The nodes in the items' order, in the items' memory. */
static void
put_in_order(struct loose *loose, struct tx_order_walk *walk)
{
    struct tx_node **nodes = (struct tx_node **)(void *)loose->items, **smaller;
    const size_t bytes = loose->count * sizeof(struct tx_node *);

    static_assert(sizeof(struct tx_node *) <= sizeof *loose->items, "behind the item that is read");
    for (uint32_t i = 0; i < loose->count; i++)
        nodes[i] = node_at(loose, i);
    smaller = tx_array_resize(nodes, items_bytes(loose), bytes);
    walk->nodes = smaller != NULL ? smaller : nodes;
    walk->nodes_bytes = smaller != NULL ? bytes : items_bytes(loose);
    walk->count = loose->count;
}

/* A scan may link the nodes meanwhile: that changes none of what is looked at here. */
void
tx_order_walk_begin(struct tx_core *core, struct tx_memtable *memtable, struct tx_order_walk *walk)
{
    struct loose loose = { .count = 0 };

    *walk = (struct tx_order_walk){ 0 };
    if (tx_load_acquire_32(&memtable->has_loose) != 0) { /* [M16] */
        (void)pthread_mutex_lock(&core->order_mutex);
        if (tx_load_acquire_32(&memtable->has_loose) != 0 &&
            tx_skiplist_first(&memtable->linked) == NULL) {
            loose = loose_of(memtable, false);
            collect(&loose);
        }
        (void)pthread_mutex_unlock(&core->order_mutex);
    }
    if (loose.nodes != NULL) {
        assert(loose.count > 0);
        tx_keysort_by_two(loose.items, loose.count, key_of, &loose);
        put_in_order(&loose, walk);
        free_nodes(&loose);
    } else {
        tx_array_free(loose.items, items_bytes(&loose));
        complete(core, memtable);
        walk->first = tx_skiplist_first(&memtable->linked);
    }
    tx_order_walk_rewind(walk);
}

void
tx_order_walk_end(struct tx_order_walk *walk)
{
    tx_array_free(walk->nodes, walk->nodes_bytes);
}

void
tx_order_walk_rewind(struct tx_order_walk *walk)
{
    walk->at = 0;
    walk->node = walk->nodes != NULL ? walk->nodes[0] : walk->first;
}

/* In key order the nodes, and their keys and values in the log, are spread over memory: ask for
 * what the next steps need. */
static void
prefetch_node(const struct tx_node *node)
{
    __builtin_prefetch(&node->first);
    __builtin_prefetch(&node->key.table);
}

static void
prefetch_row(const struct tx_node *node)
{
    __builtin_prefetch(node->key.data);
    if (node->first.value == NULL) /* a deletion */
        return;
    __builtin_prefetch(node->first.value);
    __builtin_prefetch(node->first.value + 64);
}

void
tx_order_walk_step(struct tx_order_walk *walk)
{
    if (walk->nodes == NULL) {
        walk->node = tx_node_next(walk->node);
        if (walk->node != NULL && tx_node_next(walk->node) != NULL) {
            prefetch_node(tx_node_next(walk->node));
            __builtin_prefetch(&tx_node_next(walk->node)->next[0]);
            prefetch_row(walk->node);
        }
        return;
    }
    walk->at++;
    walk->node = walk->at < walk->count ? walk->nodes[walk->at] : NULL;
    if (walk->at + 2 * PREFETCH_AHEAD < walk->count)
        prefetch_node(walk->nodes[walk->at + 2 * PREFETCH_AHEAD]);
    if (walk->at + PREFETCH_AHEAD < walk->count)
        prefetch_row(walk->nodes[walk->at + PREFETCH_AHEAD]);
}
