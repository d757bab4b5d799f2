/*
 * order.c - puts a memtable's keys in order, when somebody asks for the order.
 *
 * Under overlay_mutex the loose nodes are taken from the writer. They are sorted under order_mutex
 * alone, which keeps a second thread from looking for the same nodes. They are linked a stretch at
 * a time, under overlay_mutex too while the writer may link as well. Who walks over the list
 * meanwhile has a snapshot that is older than all of them, or would have asked for them first.
 *
 * Ordering: [M16] the writer stores has_loose = 1 before the node's version is published, and here
 * 0 is stored after the last link. So a scan that loads 0, after its snapshot was taken, finds
 * every node that the snapshot sees in the list.
 */
#include "order.h"

#include "keysort.h"

enum {
    STRETCH = 4096, /* nodes: commits wait for them, for less than a millisecond */
    PREFETCH_AHEAD = 8
};

/* Nodes to be linked. */
struct loose {
    struct tx_node *chain;  /* by `prev`; the array's nodes, unless there was no memory for it */
    struct tx_node **nodes; /* or NULL */
    struct tx_sort_item *items; /* the array's order */
    uint32_t room, count, done;
    struct tx_node *last; /* linked: below the next one, where the array is sorted */
};

static struct tx_key
key_of(const void *arg, uint32_t index)
{
    struct tx_node *const *nodes = arg;

    return nodes[index]->key;
}

/* Without memory they are linked in the order in which they come, which takes longer. */
static void
sort(struct loose *loose)
{
    struct tx_node *node;

    loose->nodes = tx_malloc(loose->room * sizeof(struct tx_node *));
    loose->items = tx_malloc(loose->room * sizeof *loose->items);
    if (loose->nodes == NULL || loose->items == NULL) {
        tx_free(loose->nodes);
        loose->nodes = NULL;
        for (node = loose->chain; node != NULL; node = node->prev)
            loose->count++;
        return;
    }
    for (node = loose->chain; node != NULL; node = node->prev) {
        assert(loose->count < loose->room);
        loose->nodes[loose->count] = node;
        loose->items[loose->count].index = loose->count;
        loose->count++;
    }
    tx_keysort(loose->items, loose->count, key_of, loose->nodes);
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
    struct loose loose = { .count = 0 };
    bool takes_writes;

    (void)pthread_mutex_lock(&core->overlay_mutex);
    takes_writes = tx_views_current(&core->views)->memtables[0] == memtable;
    loose.chain = memtable->loose;
    loose.room = (uint32_t)tx_load_relaxed_64(&memtable->keys);
    memtable->loose = NULL;
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    sort(&loose);
    while (loose.done < loose.count) {
        if (takes_writes)
            (void)pthread_mutex_lock(&core->overlay_mutex);
        link_stretch(memtable, &loose);
        if (takes_writes)
            (void)pthread_mutex_unlock(&core->overlay_mutex);
    }
    tx_free(loose.nodes);
    tx_free(loose.items);
    (void)pthread_mutex_lock(&core->overlay_mutex);
    assert(memtable->loose == NULL); /* the writer has known of the scan since the first lock */
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

const struct tx_skiplist *
tx_order_frozen(struct tx_core *core, struct tx_memtable *memtable)
{
    complete(core, memtable);
    return &memtable->linked;
}
