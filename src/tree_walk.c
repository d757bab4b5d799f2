/*
 * tree_walk.c - the way from a table's root to its leaves, and along them.
 */
#include "tree_walk.h"

#include <string.h>

#include "tree_ahead.h"

#define NOT_FOUND UINT32_MAX /* a place in a page */
enum { MARKS = 16 };         /* a leaf's nodes that are asked for together divide it by so many */

/* ---- where a table's pages are ---- */

/* The map as the read sees it, and nothing known of the tables. */
static bool
enter_map(struct tx_tree_read *read)
{
    memset(read->roots, 0, sizeof read->roots);
    read->map_txn = read->txn_id;
    read->map_moves = tx_load_relaxed_64(&read->tree->map_moves);
    read->map = tx_tree_map(read, &read->map_pages);
    return read->map != NULL;
}

/* Whether the page that has these bytes stands where its number says. */
static bool
is_in_place(const struct tx_tree_read *read, const uint8_t *bytes)
{
    const uint8_t *page = bytes - (uintptr_t)bytes % TX_PAGE_BYTES;
    const uint64_t number = tx_get_u64(page);

    return number < read->map_pages &&
           (uintptr_t)page == (uintptr_t)read->map + number * TX_PAGE_BYTES;
}

/*
 * Find the root of a table's pages, which LMDB keeps under the name of its database. Where the map
 * lies was told by a page of another database, and if that has a wrong number, this one denies it.
 */
static bool
find_root(struct tx_tree_read *read, uint32_t table, struct tx_tree_root *root)
{
    char name[TX_TREE_DB_NAME_BYTES];
    struct tx_pages_db db;
    MDB_val key, value;
    int e;

    tx_tree_db_name(name, table);
    key = tx_tree_val(name, strlen(name));
    e = mdb_get(read->txn, read->tree->main_dbi, &key, &value);
    if (e == MDB_NOTFOUND)
        db = (struct tx_pages_db){ .root = TX_NO_PAGE };
    else if (e != 0 || value.mv_size != TX_DB_BYTES || !is_in_place(read, value.mv_data) ||
             !tx_pages_read_db(value.mv_data, read->map_pages - 1, &db) || db.flags != 0)
        return false;
    *root = (struct tx_tree_root){ .page = db.root, .table = table, .depth = db.depth };
    return true;
}

bool
tx_tree_walk_pages(struct tx_tree_read *read, uint32_t table, struct tx_tree_pages *pages)
{
    struct tx_tree_root *root = &read->roots[table % TX_TREE_ROOTS];

    assert(read->active == 1 && table != 0);
    if (!read->tree->known_pages)
        return false;
    /* The map moves only while no read is active [T1]. */
    if ((read->map == NULL || read->map_txn != read->txn_id ||
         read->map_moves != tx_load_relaxed_64(&read->tree->map_moves)) &&
        !enter_map(read))
        return false;
    if (root->table != table && !find_root(read, table, root))
        return false;
    *pages = (struct tx_tree_pages){ .map = read->map,
                                     .count = read->map_pages,
                                     .root = root->page,
                                     .depth = root->depth,
                                     .scattered = tx_load_relaxed_32(&read->tree->scattered) != 0,
                                     .visited = read->tree->visited };
    return true;
}

/* ---- a page ---- */

/* The page of that number, if it can be one of this kind with nodes, or NULL. */
static const uint8_t *
page_at(const struct tx_tree_pages *pages, uint64_t number, uint32_t kind, uint32_t *count)
{
    const uint8_t *page;
    uint32_t lower;

    if (number >= pages->count)
        return NULL;
    tx_tree_visit(pages, number);
    page = pages->map + number * TX_PAGE_BYTES;
    lower = tx_get_u16(page + TX_AT_LOWER);
    if (tx_get_u64(page) != number || tx_get_u16(page + TX_AT_PAGE_FLAGS) != kind ||
        lower < TX_PAGE_HEADER + 2 || lower > TX_PAGE_BYTES)
        return NULL;
    *count = tx_pages_nodes(page);
    return page;
}

/* Node `at` of a page with its key, or NULL: it does not lie within it. */
static inline const uint8_t *
node_within(const uint8_t *page, uint32_t at)
{
    const uint8_t *node = tx_pages_node(page, at), *end = page + TX_PAGE_BYTES;

    return node <= end - TX_NODE_HEADER &&
                   tx_pages_key_bytes(node) <= (uint32_t)(end - node) - TX_NODE_HEADER
               ? node
               : NULL;
}

/* memcmp's order of two ranges of the same size, for the few bytes that keys have. */
static inline int
order_bytes(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    uint32_t i = 0;

    if (bytes < 8)
        return memcmp(a, b, bytes);
    for (;;) {
        uint64_t x, y;

        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y) {
            x = be64toh(x);
            y = be64toh(y);
            return x < y ? -1 : 1;
        }
        if (i == bytes - 8)
            return 0;
        i = i + 16 <= bytes ? i + 8 : bytes - 8; /* the last eight may be looked at in part twice */
    }
}

static inline int
order_keys(const uint8_t *node, struct txkv_bytes key)
{
    const uint32_t bytes = tx_pages_key_bytes(node), key_bytes = (uint32_t)key.bytes;
    const int order =
        order_bytes(node + TX_NODE_HEADER, key.data, bytes < key_bytes ? bytes : key_bytes);

    return order != 0 ? order : bytes < key_bytes ? -1 : bytes > key_bytes;
}

/* Look at a node between *low and *high, which close in on the key's place: on that node, if it has
 * the key. *order: the node's key's. False: the page is damaged. */
static inline bool
look(const uint8_t *page, uint32_t at, struct txkv_bytes key, uint32_t *low, uint32_t *high,
     int *order)
{
    const uint8_t *node = node_within(page, at);

    if (node == NULL)
        return false;
    *order = order_keys(node, key);
    if (*order < 0)
        *low = at + 1;
    else
        *high = at;
    if (*order == 0)
        *low = at;
    return true;
}

/*
 * The place of the first node from `low` on whose key is not less, or `count`; *equal: it is that
 * key. NOT_FOUND: the page is damaged.
 */
static inline uint32_t
search(const uint8_t *page, uint32_t low, uint32_t count, struct txkv_bytes key, bool *equal)
{
    uint32_t high = count;
    int order = 1;

    while (low < high && order != 0)
        if (!look(page, low + (high - low) / 2, key, &low, &high, &order))
            return NOT_FOUND;
    *equal = order == 0;
    return low;
}

/* Ask for the nodes that divide a page into so many parts. Inline as tx_tree_walk_fetch is. */
__attribute__((always_inline)) static inline void
fetch_marks(const uint8_t *page, uint32_t count, uint32_t parts)
{
    for (uint32_t i = 1; i < parts; i++)
        __builtin_prefetch(tx_pages_node(page, count * i / parts));
}

/* In a leaf, whose nodes are seldom in the cache: the first four looks are at its marks, and at no
 * node beside them, so that what has been asked for is what is looked at. */
static uint32_t
search_leaf(const uint8_t *page, uint32_t count, struct txkv_bytes key, bool *equal)
{
    uint32_t low = 0, high = count, mark = 0;
    int order;

    if (count < MARKS)
        return search(page, 0, count, key, equal);
    fetch_marks(page, count, MARKS);
    for (uint32_t half = MARKS / 2; half > 0; half /= 2) {
        if (!look(page, count * (mark + half) / MARKS, key, &low, &high, &order))
            return NOT_FOUND;
        if (order == 0) {
            *equal = true;
            return low;
        }
        mark += order < 0 ? half : 0;
    }
    return search(page, low, high, key, equal);
}

/* The child of a branch under which the key belongs. The first node's key has no meaning: it is
 * less than all. */
static uint32_t
search_branch(const uint8_t *page, uint32_t count, struct txkv_bytes key)
{
    bool equal;
    uint32_t at;

    if (count >= MARKS)
        fetch_marks(page, count, MARKS / 2);
    at = search(page, 1, count, key, &equal);
    return at == NOT_FOUND || equal ? at : at - 1;
}

/* The pair of a leaf's node. */
static int
read_node(const struct tx_tree_pages *pages, const uint8_t *page, uint32_t at,
          struct tx_tree_pair *pair)
{
    const uint8_t *node, *overflow;
    uint64_t number;

    if (tx_tree_walk_plain(page, at, pair))
        return 0;
    node = node_within(page, at);
    if (node == NULL || tx_pages_key_bytes(node) > TX_PAGES_KEY_BYTES_MAX)
        return MDB_CORRUPTED;
    pair->key = node + TX_NODE_HEADER;
    pair->key_bytes = tx_pages_key_bytes(node);
    pair->value = pair->key + pair->key_bytes;
    pair->value_bytes = tx_get_u32(node);
    if (tx_get_u16(node + 4) == 0)
        return pair->value_bytes <= (uint64_t)(page + TX_PAGE_BYTES - pair->value) ? 0
                                                                                   : MDB_CORRUPTED;
    if (tx_get_u16(node + 4) != TX_NODE_BIG || page + TX_PAGE_BYTES - pair->value < 8)
        return MDB_CORRUPTED;
    number = tx_get_u64(pair->value);
    if (number >= pages->count ||
        (pages->count - number) * TX_PAGE_BYTES < (uint64_t)TX_PAGE_HEADER + pair->value_bytes)
        return MDB_CORRUPTED;
    tx_tree_visit(pages, number);
    overflow = pages->map + number * TX_PAGE_BYTES;
    if (tx_get_u64(overflow) != number ||
        tx_get_u16(overflow + TX_AT_PAGE_FLAGS) != TX_PAGE_OVERFLOW)
        return MDB_CORRUPTED;
    pair->value = overflow + TX_PAGE_HEADER;
    return 0;
}

/* ---- a way ---- */

/* How a way down chooses its children: by a key, or along an end. */
enum way { BY_KEY, FIRST, LAST };
#define NO_KEY ((struct txkv_bytes){ 0 })

/* Down from a page to the number of a leaf. */
static int
go_down(struct tx_tree_walk *walk, uint32_t level, uint64_t *number, enum way way,
        struct txkv_bytes key)
{
    for (; level + 1 < walk->pages.depth; level++) {
        struct tx_tree_branch *branch = &walk->way[level];
        const uint8_t *node = NULL;

        branch->page = page_at(&walk->pages, *number, TX_PAGE_BRANCH, &branch->count);
        if (branch->page == NULL)
            return MDB_CORRUPTED;
        if (way == BY_KEY)
            branch->at = search_branch(branch->page, branch->count, key);
        else
            branch->at = way == FIRST ? 0 : branch->count - 1;
        if (branch->at != NOT_FOUND)
            node = node_within(branch->page, branch->at);
        if (node == NULL)
            return MDB_CORRUPTED;
        *number = tx_pages_child(node);
    }
    return 0;
}

/* Down from a page into a leaf, at no node yet; *count: how many it has. */
static int
enter_leaf(struct tx_tree_walk *walk, uint32_t level, uint64_t number, enum way way,
           struct txkv_bytes key, uint32_t *count)
{
    const int e = go_down(walk, level, &number, way, key);

    if (e != 0)
        return e;
    walk->leaf = page_at(&walk->pages, number, TX_PAGE_LEAF, count);
    return walk->leaf != NULL ? 0 : MDB_CORRUPTED;
}

/* From the root. */
static int
begin(struct tx_tree_walk *walk, enum way way, struct txkv_bytes key, uint32_t *count)
{
    walk->count = 0;
    if (walk->pages.root == TX_NO_PAGE)
        return MDB_NOTFOUND;
    return enter_leaf(walk, 0, walk->pages.root, way, key, count);
}

/* The walk's child of a branch that comes next, if the branch has it. */
static const uint8_t *
next_child(const struct tx_tree_branch *branch, bool backward)
{
    const uint32_t at = backward ? branch->at - 1 : branch->at + 1; /* before 0: too large */

    return at < branch->count ? node_within(branch->page, at) : NULL;
}

/* To the first node of the leaf that follows, or, backward, the last. */
static int
leave_leaf(struct tx_tree_walk *walk, bool backward, uint32_t *count)
{
    const enum way way = backward ? LAST : FIRST;
    uint32_t level = walk->pages.depth - 1;

    while (level-- > 0) {
        struct tx_tree_branch *branch = &walk->way[level];
        const uint8_t *node;
        int e;

        if (backward ? branch->at == 0 : branch->at + 1 == branch->count)
            continue;
        node = next_child(branch, backward);
        if (node == NULL)
            return MDB_CORRUPTED;
        branch->at = backward ? branch->at - 1 : branch->at + 1;
        e = enter_leaf(walk, level + 1, tx_pages_child(node), way, NO_KEY, count);
        if (e == 0)
            walk->at = backward ? *count - 1 : 0;
        return e;
    }
    return MDB_NOTFOUND;
}

/* Ask for the leaf that follows, if it has the same parent: it is needed as soon as this one's
 * nodes have been visited. Inline, as tx_tree_walk_fetch is. Not where it may have to come from the
 * disk, from where nothing comes for being asked so. */
__attribute__((always_inline)) static inline void
look_ahead(const struct tx_tree_walk *walk, bool backward)
{
    const uint8_t *node = NULL, *page;

    if (walk->pages.depth > 1 && !walk->pages.scattered)
        node = next_child(&walk->way[walk->pages.depth - 2], backward);
    if (node == NULL || tx_pages_child(node) >= walk->pages.count)
        return;
    page = walk->pages.map + tx_pages_child(node) * TX_PAGE_BYTES;
    __builtin_prefetch(page);
    __builtin_prefetch(page + 64);
}

int
tx_tree_walk_on(struct tx_tree_walk *walk, bool backward, struct tx_tree_pair *pair)
{
    const uint8_t *leaf = walk->leaf;
    uint32_t count = tx_pages_nodes(leaf);
    int e;

    if (backward ? walk->at > 0 : walk->at + 1 < count) {
        walk->at = backward ? walk->at - 1 : walk->at + 1;
    } else {
        e = leave_leaf(walk, backward, &count);
        if (e != 0)
            return e;
    }
    if (walk->count == 0 || walk->leaf != leaf)
        look_ahead(walk, backward);
    walk->count = count;
    return read_node(&walk->pages, walk->leaf, walk->at, pair);
}

int
tx_tree_walk_end(struct tx_tree_walk *walk, bool backward, struct tx_tree_pair *pair)
{
    uint32_t count;
    const int e = begin(walk, backward ? LAST : FIRST, NO_KEY, &count);

    if (e != 0)
        return e;
    walk->at = backward ? count - 1 : 0;
    /* There is little behind such a place that must be asked for with the first step. */
    if (!walk->pages.scattered)
        walk->count = count;
    return read_node(&walk->pages, walk->leaf, walk->at, pair);
}

int
tx_tree_walk_seek(struct tx_tree_walk *walk, struct txkv_bytes key, struct tx_tree_pair *pair)
{
    uint32_t count;
    bool equal;
    int e = begin(walk, BY_KEY, key, &count);

    if (e != 0)
        return e;
    walk->at = search_leaf(walk->leaf, count, key, &equal);
    if (walk->at == NOT_FOUND)
        return MDB_CORRUPTED;
    if (walk->at == count) /* all in this leaf are less */
        e = leave_leaf(walk, false, &count);
    return e == 0 ? read_node(&walk->pages, walk->leaf, walk->at, pair) : e;
}

/* ---- look-ups ---- */

uint64_t
tx_tree_walk_leaf(const struct tx_tree_pages *pages, struct txkv_bytes key)
{
    struct tx_tree_walk walk;
    uint64_t number = pages->root;

    walk.pages = *pages;
    return go_down(&walk, 0, &number, BY_KEY, key) == 0 && number < pages->count ? number
                                                                                 : TX_NO_PAGE;
}

int
tx_tree_walk_get(const struct tx_tree_pages *pages, struct txkv_bytes key,
                 struct tx_tree_pair *pair)
{
    struct tx_tree_walk walk;
    uint32_t at, count;
    bool equal;
    int e;

    walk.pages = *pages;
    e = begin(&walk, BY_KEY, key, &count);
    if (e != 0)
        return e;
    at = search_leaf(walk.leaf, count, key, &equal);
    if (at == NOT_FOUND)
        return MDB_CORRUPTED;
    return equal ? read_node(pages, walk.leaf, at, pair) : MDB_NOTFOUND;
}
