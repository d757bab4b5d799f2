/*
 * tree_scout.c - asks for the leaf pages that a batch is going to write to.
 */
#include "tree_scout.h"

#include <string.h>
#include <sys/mman.h>

#include "bytes.h"
#include "mem.h"
#include "os.h"
#include "pages_private.h"
#include "tree_ahead.h"
#include "tree_long.h"

enum { NEAR_PAGES = 4 }; /* the disk reads what lies between as quickly as it would pass over it */

struct tx_tree_scout {
    struct tx_tree_read *read;
    uint8_t *map;
    uint64_t map_pages;
    uint32_t table; /* whose these are */
    uint32_t depth;
    uint64_t root;     /* TX_NO_PAGE: there is nothing to look for */
    uint64_t from, to; /* pages remembered */
};

struct tx_tree_scout *
tx_tree_scout_begin(struct tx_tree *tree)
{
    struct tx_tree_scout *scout;
    uint64_t base;

    if (tx_tree_scarce_memory(tree) == 0)
        return NULL;
    scout = tx_zalloc(sizeof *scout);
    if (scout == NULL)
        return NULL;
    if (tx_tree_read_create(tree, &scout->read, NULL) != TXKV_OK) {
        tx_free(scout);
        return NULL;
    }
    scout->root = TX_NO_PAGE;
    if (tx_tree_read_begin(scout->read, &base, NULL) == TXKV_OK)
        scout->map = tx_tree_map(scout->read, &scout->map_pages);
    if (scout->map == NULL) {
        tx_tree_scout_end(scout);
        return NULL;
    }
    return scout;
}

void
tx_tree_scout_end(struct tx_tree_scout *scout)
{
    if (scout == NULL)
        return;
    tx_tree_read_free(scout->read);
    tx_free(scout);
}

/* Find the root of a table's pages, which LMDB keeps under the name of its database. */
static void
enter_table(struct tx_tree_scout *scout, uint32_t table)
{
    const struct tx_tree *tree = scout->read->tree;
    char name[TX_TREE_DB_NAME_BYTES];
    struct tx_pages_db db;
    MDB_val key, value;

    scout->table = table;
    scout->root = TX_NO_PAGE;
    tx_tree_db_name(name, table);
    key = tx_tree_val((const uint8_t *)name, (uint32_t)strlen(name));
    if (mdb_get(scout->read->txn, tree->main_dbi, &key, &value) != 0 ||
        value.mv_size != TX_DB_BYTES || !tx_pages_read_db(value.mv_data, scout->map_pages - 1, &db))
        return;
    scout->root = db.root;
    scout->depth = db.depth;
}

/* Node `at` of a page, or NULL: it does not lie within it. */
static const uint8_t *
node_within(const uint8_t *page, uint32_t at)
{
    const uint8_t *node = tx_pages_node(page, at), *end = page + TX_PAGE_BYTES;

    return node <= end - TX_NODE_HEADER && node + TX_NODE_HEADER + tx_pages_key_bytes(node) <= end
               ? node
               : NULL;
}

/* Whether a node's key is above this one. */
static bool
is_above(const uint8_t *node, const uint8_t *key, uint32_t key_bytes)
{
    const uint32_t bytes = tx_pages_key_bytes(node);
    const int order = memcmp(node + TX_NODE_HEADER, key, tx_min_u64(bytes, key_bytes));

    return order != 0 ? order > 0 : bytes > key_bytes;
}

/* The child of a branch page under which the key belongs, or TX_NO_PAGE. */
static uint64_t
child_for(const uint8_t *page, const uint8_t *key, uint32_t key_bytes)
{
    const uint32_t lower = tx_get_u16(page + TX_AT_LOWER);
    uint32_t low = 0, high;
    const uint8_t *node;

    if (tx_get_u16(page + TX_AT_PAGE_FLAGS) != TX_PAGE_BRANCH || lower < TX_PAGE_HEADER + 2 ||
        lower > TX_PAGE_BYTES)
        return TX_NO_PAGE;
    high = tx_pages_nodes(page);
    while (high - low > 1) { /* the first node's key is empty: less than all */
        const uint32_t middle = low + (high - low) / 2;

        node = node_within(page, middle);
        if (node == NULL || is_above(node, key, key_bytes))
            high = middle;
        else
            low = middle;
    }
    node = node_within(page, low);
    return node == NULL ? TX_NO_PAGE : tx_pages_child(node);
}

void
tx_tree_scout_look(struct tx_tree_scout *scout, uint32_t table, const uint8_t *key,
                   uint32_t key_bytes)
{
    uint64_t page;

    if (table != scout->table)
        enter_table(scout, table);
    if (key_bytes >= TX_TREE_ENTRY_BYTES) /* of which the table has the beginning alone */
        key_bytes = TX_TREE_ENTRY_BYTES;
    page = scout->root;
    for (uint32_t level = 1; level < scout->depth && page < scout->map_pages; level++)
        page = child_for(scout->map + page * TX_PAGE_BYTES, key, key_bytes);
    if (page >= scout->map_pages || (page >= scout->from && page < scout->to))
        return;
    if (page >= scout->to && page < scout->to + NEAR_PAGES && scout->to > scout->from) {
        scout->to = page + 1;
        return;
    }
    tx_tree_scout_flush(scout);
    scout->from = page;
    scout->to = page + 1;
}

void
tx_tree_scout_flush(struct tx_tree_scout *scout)
{
    if (scout->to > scout->from)
        (void)tx_os.advise(scout->map + scout->from * TX_PAGE_BYTES,
                           (scout->to - scout->from) * TX_PAGE_BYTES, MADV_WILLNEED);
    scout->from = scout->to = 0;
}
