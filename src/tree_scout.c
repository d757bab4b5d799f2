/*
 * tree_scout.c - asks for the leaf pages that a batch is going to write to.
 */
#include "tree_scout.h"

#include <sys/mman.h>

#include "mem.h"
#include "os.h"
#include "tree_ahead.h"
#include "tree_long.h"
#include "tree_walk.h"

enum { NEAR_PAGES = 4 }; /* the disk reads what lies between as quickly as it would pass over it */

struct tx_tree_scout {
    struct tx_tree_read *read;
    struct tx_tree_pages pages; /* of the table looked at last */
    uint64_t from, to;          /* pages remembered */
};

struct tx_tree_scout *
tx_tree_scout_begin(struct tx_tree *tree)
{
    struct tx_tree_scout *scout;
    uint64_t base;

    if (tx_tree_scarce_memory(tree) == 0 || !tree->known_pages)
        return NULL;
    scout = tx_zalloc(sizeof *scout);
    if (scout == NULL)
        return NULL;
    if (tx_tree_read_create(tree, &scout->read, NULL) != TXKV_OK) {
        tx_free(scout);
        return NULL;
    }
    if (tx_tree_read_begin(scout->read, &base, NULL) != TXKV_OK) {
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

void
tx_tree_scout_look(struct tx_tree_scout *scout, uint32_t table, const uint8_t *key,
                   uint32_t key_bytes)
{
    /* Of a long key the table has the beginning alone. */
    const struct txkv_bytes entry = { key, tx_min_u64(key_bytes, TX_TREE_ENTRY_BYTES) };
    uint64_t page;

    if (!tx_tree_walk_pages(scout->read, table, &scout->pages))
        return;
    page = tx_tree_walk_leaf(&scout->pages, entry);
    if (page == TX_NO_PAGE || (page >= scout->from && page < scout->to))
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
        (void)tx_os.advise((uint8_t *)(uintptr_t)scout->pages.map + scout->from * TX_PAGE_BYTES,
                           (scout->to - scout->from) * TX_PAGE_BYTES, MADV_WILLNEED);
    scout->from = scout->to = 0;
}
