/*
 * tree_ahead.c - tells the kernel how the map of data.mdb will be read.
 *
 * LMDB does not say where its map lies. A page begins with its own number, so any page that LMDB
 * gives a pointer into does.
 */
#include "tree_ahead.h"

#include <string.h>
#include <sys/mman.h>

#include "atomic.h"
#include "bytes.h"
#include "mem.h"
#include "os.h"
#include "pages_private.h"

enum {
    NEAR_PAGES = 8,  /* leaves that follow each other may have others between them */
    AHEAD_FIRST = 8, /* pages; twice as many with each leaf that follows */
    AHEAD_MOST = 64, /* 256 KiB */
};

/* The map's first byte as a transaction sees it, or NULL. */
static uint8_t *
find_map(const struct tx_tree *tree, MDB_txn *txn)
{
    MDB_val key =
        tx_tree_val((const uint8_t *)TX_TREE_KEY_CHECKPOINT, sizeof TX_TREE_KEY_CHECKPOINT - 1);
    MDB_val value;
    uint8_t *page;

    if (mdb_get(txn, tree->meta_dbi, &key, &value) != 0)
        return NULL;
    page = (uint8_t *)value.mv_data - (uintptr_t)value.mv_data % TX_PAGE_BYTES;
    return page - tx_get_u64(page) * TX_PAGE_BYTES;
}

uint8_t *
tx_tree_map(const struct tx_tree_read *read, uint64_t *pages)
{
    const struct tx_tree *tree = read->tree;
    MDB_envinfo info;

    assert(read->active == 1);
    if (!tree->known_pages)
        return NULL;
    (void)mdb_env_info(tree->env, &info);
    *pages = tx_min_u64(info.me_last_pgno + 1, info.me_mapsize / TX_PAGE_BYTES);
    return find_map(tree, read->txn);
}

/* Under the lock. */
static void
advise(struct tx_tree *tree)
{
    MDB_envinfo info;
    uint32_t scarce, scattered;
    MDB_txn *txn;
    uint8_t *map;

    if (tree->map_lost)
        return;
    (void)mdb_env_info(tree->env, &info);
    scarce = (info.me_last_pgno + 1) * TX_PAGE_BYTES > tree->memory_bytes / 2;
    tx_store_relaxed_32(&tree->scarce, scarce);
    scattered = scarce && tx_load_relaxed_64(&tree->copies) == 0;
    if (!tree->known_pages || scattered == tree->scattered)
        return;
    if (mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    map = find_map(tree, txn);
    mdb_txn_abort(txn);
    if (map == NULL)
        return;
    (void)tx_os.advise(map, info.me_mapsize, scattered ? MADV_RANDOM : MADV_NORMAL);
    tx_store_relaxed_32(&tree->scattered, scattered);
}

void
tx_tree_advise(struct tx_tree *tree)
{
    if (pthread_mutex_trylock(&tree->lock) != 0)
        return;
    advise(tree);
    (void)pthread_mutex_unlock(&tree->lock);
}

uint64_t
tx_tree_scarce_memory(const struct tx_tree *tree)
{
    return tx_load_relaxed_32(&tree->scarce) != 0 ? tree->memory_bytes : 0;
}

void
tx_tree_advise_copy(struct tx_tree *tree, bool begins)
{
    (void)tx_fetch_add_64(&tree->copies, begins ? 1 : UINT64_MAX);
    tx_tree_advise(tree);
}

void
tx_tree_visit_none(struct tx_tree *tree)
{
    const uint64_t block_bytes = (uint64_t)TX_TREE_BLOCK_PAGES * TX_PAGE_BYTES;
    MDB_envinfo info;
    uint64_t words;

    if (!tree->sees_memory)
        return;
    (void)mdb_env_info(tree->env, &info);
    words = info.me_mapsize / block_bytes / TX_TREE_BLOCKS_WORD + 1;
    tx_free(tree->visited);
    tree->visited = tx_zalloc(words * sizeof *tree->visited); /* without it only slower */
}

/* Whether all pages of a range of the map, at most a block, are in memory. */
static bool
is_resident(uint8_t *from, size_t bytes)
{
    uint8_t resident[TX_TREE_BLOCK_PAGES];

    if (mincore(from, bytes, resident) != 0)
        return false;
    for (size_t i = 0; i < bytes / TX_PAGE_BYTES; i++)
        if ((resident[i] & 1) == 0)
            return false;
    return true;
}

void
tx_tree_visit_block(const struct tx_tree_pages *pages, uint64_t number)
{
    const uint64_t block = number / TX_TREE_BLOCK_PAGES, first = block * TX_TREE_BLOCK_PAGES;
    const uint64_t count = tx_min_u64(pages->count - first, TX_TREE_BLOCK_PAGES);
    uint8_t *from = (uint8_t *)(uintptr_t)pages->map + first * TX_PAGE_BYTES;

    tx_or_64(&pages->visited[block / TX_TREE_BLOCKS_WORD], UINT64_C(1)
                                                               << block % TX_TREE_BLOCKS_WORD);
    if (is_resident(from, count * TX_PAGE_BYTES))
        (void)tx_os.advise(from, count * TX_PAGE_BYTES, MADV_POPULATE_READ);
}

static void
ask_for(const uint8_t *from, const uint8_t *to)
{
    /* The part of it that lies behind the map's end, if any, is refused or of no consequence. */
    (void)tx_os.advise((uint8_t *)(uintptr_t)from, (size_t)(to - from), MADV_WILLNEED);
}

/* Ask for what is missing of that many pages behind this one, when it is half of them. */
static void
ask_forward(struct tx_tree_run *run, uint64_t pages)
{
    const uint8_t *next = run->page + TX_PAGE_BYTES, *to = next + pages * TX_PAGE_BYTES;
    const uint8_t *from = run->asked > next && run->asked <= to ? run->asked : next;

    if ((uint64_t)(to - from) < pages * TX_PAGE_BYTES / 2)
        return;
    ask_for(from, to);
    run->asked = to;
}

static void
ask_backward(struct tx_tree_run *run, uint64_t pages)
{
    const uint8_t *from = run->page - pages * TX_PAGE_BYTES;
    const uint8_t *to = run->asked < run->page && run->asked >= from ? run->asked : run->page;

    if ((uint64_t)(to - from) < pages * TX_PAGE_BYTES / 2)
        return;
    ask_for(from, to);
    run->asked = from;
}

/* Whether the page goes on a run that has come to `last`. */
static bool
goes_on(const uint8_t *last, const uint8_t *page, bool backward)
{
    const uintptr_t here = (uintptr_t)page, there = (uintptr_t)last;
    const uintptr_t way = backward ? there - here : here - there; /* the wrong way: very large */

    return way > 0 && way <= NEAR_PAGES * TX_PAGE_BYTES;
}

void
tx_tree_read_ahead(struct tx_tree_cursor *cursor, bool backward)
{
    const uint8_t *page = cursor->walk.leaf;
    struct tx_tree_run *runs = cursor->runs, run;
    size_t at = 0;

    while (at < TX_TREE_RUNS && !goes_on(runs[at].page, page, backward))
        at++;
    if (at == TX_TREE_RUNS) { /* a new one, in place of that not seen for longest */
        at--;
        run = (struct tx_tree_run){ .page = page };
    } else {
        run = runs[at];
        run.page = page;
        run.pages =
            (uint32_t)tx_min_u64(tx_max_u64(AHEAD_FIRST, 2 * (uint64_t)run.pages), AHEAD_MOST);
        if (backward) /* a page's number is how many there are before it */
            ask_backward(&run, tx_min_u64(run.pages, tx_get_u64(page)));
        else
            ask_forward(&run, run.pages);
    }
    memmove(&runs[1], runs, at * sizeof *runs);
    runs[0] = run;
}

void
tx_tree_ask_for(const uint8_t *value, uint32_t bytes)
{
    ask_for(value - (uintptr_t)value % TX_PAGE_BYTES, value + bytes);
}
