/*
 * rows.c - the rows that a checkpoint moves.
 *
 * The blocks go round: the thread fills one while the caller reads another. All that both look at
 * is under the mutex.
 */
#include "rows.h"

#include <string.h>

#include "mem.h"
#include "os.h"
#include "tree_scout.h"

enum {
    BLOCK_ROWS = 512,
    BLOCK_BYTES = 64 << 10,  /* of copied rows */
    COPY_MAX = 4096,         /* bytes of a row: what is longer is read where it stands */
    BLOCKS = 16,             /* while there is a thread, else one */
    WAKE_FOR = BLOCKS / 2,   /* who waits does so for as many: waking up takes its time */
    THREAD_FROM = 16384,     /* keys: fewer are not worth a thread */
    SCOUT_FROM = 256,        /* keys: of fewer each may as well be waited for */
    LET_GO_BYTES = 16 << 20, /* of rows, at least, before the log's pages are let go of */
    LET_GO_TIMES = 4,        /* at most */
    NEAR_BYTES = 64 << 10    /* from one row to the next, in the log's order */
};

struct block {
    struct tx_row rows[BLOCK_ROWS];
    uint32_t count;
    uint8_t copies[]; /* BLOCK_BYTES of keys and values, while there is a thread */
};

enum { BLOCK_ROOM = sizeof(struct block) + BLOCK_BYTES };

struct tx_rows {
    struct tx_tree *tree;
    struct tx_memtable *const *memtables;
    uint32_t count;
    uint64_t from_lsn, keys, let_go_at;
    struct block *blocks[BLOCKS];
    pthread_t thread;
    bool has_thread;
    bool started, ended; /* the caller's, as the next */
    uint64_t blocks_read;

    /* Who fills blocks: the thread while there is one, else the caller. */
    struct tx_order_walk *walks; /* of each memtable */
    const uint8_t *last;         /* key of the last row, where it stands in the log */
    /* Since the log's pages were let go of, or could have been. */
    uint64_t seen, seen_in_order, bytes;
    struct tx_tree_scout *scout; /* or NULL */

    pthread_mutex_t mutex;
    pthread_cond_t filled_more, read_more;
    /* Under it. Blocks are numbered from 0 on; number n is blocks[n % BLOCKS]. */
    uint64_t blocks_filled, blocks_freed;
    bool all_filled, ending;
};

/* ---- collecting ---- */

/* The smallest key among the walks, and its newest version (NULL when every one of them was taken
 * back). */
static const struct tx_key *
next_key(struct tx_rows *rows, const struct tx_version **newest)
{
    const struct tx_node *smallest = NULL;

    *newest = NULL;
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct tx_node *node = tx_order_walk_node(&rows->walks[i]);

        if (node != NULL && (smallest == NULL || tx_key_compare(&node->key, &smallest->key) < 0))
            smallest = node;
    }
    for (uint32_t i = 0; smallest != NULL && i < rows->count; i++) {
        const struct tx_node *node = tx_order_walk_node(&rows->walks[i]);

        if (node == NULL || (node != smallest && !tx_node_same_key(node, smallest)))
            continue;
        if (*newest == NULL)
            *newest = tx_node_newest(node);
        tx_order_walk_step(&rows->walks[i]);
    }
    return smallest == NULL ? NULL : &smallest->key;
}

/* False: there are no more. */
static bool
next_row(struct tx_rows *rows, struct tx_row *row)
{
    const struct tx_version *version;
    const struct tx_key *key;

    /* A memtable can reach back behind the last checkpoint, when that was another process's. */
    do
        key = next_key(rows, &version);
    while (key != NULL && (version == NULL || version->lsn < rows->from_lsn));
    if (key == NULL)
        return false;
    *row = (struct tx_row){ .key = key->data,
                            .value = version->value,
                            .table = key->table,
                            .key_bytes = key->bytes,
                            .value_bytes = version->value_bytes };
    return true;
}

static void
let_go_of_pages(const struct tx_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct tx_memtable *memtable = rows->memtables[i];

        for (uint32_t n = 0; n < memtable->segment_count; n++)
            tx_segment_unmap_pages(memtable->segments[n], 0, memtable->segments[n]->bytes);
    }
}

/*
 * The log's pages that were read leave this process's memory now and then; they stay in the
 * kernel's cache, and LMDB's dirty pages come in their place. Not when rows come in another order
 * than they were logged in, which brings all of the pages back at once.
 */
static void
count_row(struct tx_rows *rows, const struct tx_row *row)
{
    const uint64_t step = (uint64_t)(uintptr_t)row->key - (uint64_t)(uintptr_t)rows->last;

    rows->last = row->key;
    rows->seen++;
    rows->seen_in_order += step < NEAR_BYTES;
    rows->bytes += (uint64_t)row->key_bytes + row->value_bytes;
    if (rows->bytes < rows->let_go_at)
        return;
    if (2 * rows->seen_in_order > rows->seen)
        let_go_of_pages(rows);
    rows->bytes = rows->seen = rows->seen_in_order = 0;
}

static uint8_t *
copy(uint8_t **to, const uint8_t *from, uint32_t bytes)
{
    uint8_t *const at = *to;

    memcpy(at, from, bytes);
    *to += bytes;
    return at;
}

static void
fill(struct tx_rows *rows, struct block *block)
{
    uint8_t *next = block->copies, *const end = next + BLOCK_BYTES - COPY_MAX;

    block->count = 0;
    while (block->count < BLOCK_ROWS && next <= end && next_row(rows, &block->rows[block->count])) {
        struct tx_row *row = &block->rows[block->count++];

        count_row(rows, row);
        if (rows->scout != NULL)
            tx_tree_scout_look(rows->scout, row->table, row->key, row->key_bytes);
        if (rows->has_thread && (uint64_t)row->key_bytes + row->value_bytes <= COPY_MAX) {
            row->key = copy(&next, row->key, row->key_bytes);
            if (row->value != NULL)
                row->value = copy(&next, row->value, row->value_bytes);
        }
    }
    if (rows->scout != NULL)
        tx_tree_scout_flush(rows->scout);
}

static void *
thread_main(void *arg)
{
    struct tx_rows *rows = arg;
    bool more = true;

    (void)pthread_mutex_lock(&rows->mutex);
    while (more && !rows->ending) {
        struct block *block = rows->blocks[rows->blocks_filled % BLOCKS];

        if (rows->blocks_filled - rows->blocks_freed == BLOCKS) {
            while (rows->blocks_filled - rows->blocks_freed > BLOCKS - WAKE_FOR && !rows->ending)
                (void)pthread_cond_wait(&rows->read_more, &rows->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&rows->mutex);
        fill(rows, block);
        more = block->count > 0;
        (void)pthread_mutex_lock(&rows->mutex);
        rows->blocks_filled++;
        rows->all_filled = !more;
        if (rows->blocks_filled - rows->blocks_freed == WAKE_FOR || !more)
            (void)pthread_cond_signal(&rows->filled_more);
    }
    (void)pthread_mutex_unlock(&rows->mutex);
    return NULL;
}

/* ---- the caller ---- */

static void
free_blocks(struct tx_rows *rows, uint32_t from)
{
    for (uint32_t i = from; i < BLOCKS; i++) {
        tx_free(rows->blocks[i]);
        rows->blocks[i] = NULL;
    }
}

/* From here on a thread fills the blocks. Without memory or a thread the caller does it. */
static void
start(struct tx_rows *rows)
{
    rows->started = true;
    if (rows->keys >= SCOUT_FROM)
        rows->scout = tx_tree_scout_begin(rows->tree);
    rows->has_thread = rows->keys >= THREAD_FROM;
    for (uint32_t i = 1; i < BLOCKS && rows->has_thread; i++) {
        rows->blocks[i] = tx_malloc(BLOCK_ROOM);
        rows->has_thread = rows->blocks[i] != NULL;
    }
    if (rows->has_thread &&
        tx_os_thread(&rows->thread, thread_main, rows, "txkv-rows", NULL) != TXKV_OK)
        rows->has_thread = false; /* which a thread that runs looks at, so not else */
    if (!rows->has_thread)
        free_blocks(rows, 1);
}

static void
end_thread(struct tx_rows *rows)
{
    (void)pthread_mutex_lock(&rows->mutex);
    rows->ending = true;
    (void)pthread_cond_signal(&rows->read_more);
    (void)pthread_mutex_unlock(&rows->mutex);
    (void)pthread_join(rows->thread, NULL);
    rows->has_thread = false;
    free_blocks(rows, 1);
}

static void
stop(struct tx_rows *rows)
{
    if (rows->has_thread)
        end_thread(rows);
    tx_tree_scout_end(rows->scout);
    rows->scout = NULL;
}

/* The block that the thread has filled after the last one, which is given back. */
static const struct block *
next_block(struct tx_rows *rows)
{
    (void)pthread_mutex_lock(&rows->mutex);
    rows->blocks_freed = rows->blocks_read;
    if (rows->blocks_filled - rows->blocks_freed == BLOCKS - WAKE_FOR)
        (void)pthread_cond_signal(&rows->read_more);
    if (rows->blocks_filled == rows->blocks_read)
        while (rows->blocks_filled - rows->blocks_read < WAKE_FOR && !rows->all_filled)
            (void)pthread_cond_wait(&rows->filled_more, &rows->mutex);
    (void)pthread_mutex_unlock(&rows->mutex);
    return rows->blocks[rows->blocks_read++ % BLOCKS];
}

uint32_t
tx_rows_next(struct tx_rows *rows, const struct tx_row **out)
{
    const struct block *block = rows->blocks[0];

    if (rows->ended)
        return 0;
    if (!rows->started)
        start(rows);
    if (rows->has_thread)
        block = next_block(rows);
    else
        fill(rows, rows->blocks[0]);
    rows->ended = block->count == 0;
    *out = block->rows;
    return block->count;
}

void
tx_rows_rewind(struct tx_rows *rows)
{
    stop(rows);
    rows->started = rows->ended = rows->all_filled = rows->ending = false;
    rows->blocks_read = rows->blocks_filled = rows->blocks_freed = 0;
    rows->bytes = rows->seen = rows->seen_in_order = 0;
    for (uint32_t i = 0; i < rows->count; i++)
        tx_order_walk_rewind(&rows->walks[i]);
}

enum txkv_rc
tx_rows_create(struct tx_core *core, struct tx_memtable *const *memtables, uint32_t count,
               uint64_t from_lsn, struct tx_rows **out)
{
    struct tx_rows *rows = tx_zalloc(sizeof *rows);
    uint64_t log_bytes = 0;

    *out = rows;
    if (rows == NULL)
        return TXKV_NOMEM;
    (void)pthread_mutex_init(&rows->mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&rows->filled_more, NULL);
    (void)pthread_cond_init(&rows->read_more, NULL);
    rows->tree = core->tree;
    rows->memtables = memtables;
    rows->from_lsn = from_lsn;
    rows->blocks[0] = tx_malloc(BLOCK_ROOM);
    rows->walks = tx_zalloc(count * sizeof *rows->walks);
    if (rows->blocks[0] == NULL || rows->walks == NULL) {
        tx_rows_free(rows);
        *out = NULL;
        return TXKV_NOMEM;
    }
    rows->count = count;
    for (uint32_t i = 0; i < count; i++) {
        tx_order_walk_begin(core, memtables[i], &rows->walks[i]);
        rows->keys += tx_load_relaxed_64(&memtables[i]->keys);
        log_bytes += tx_load_relaxed_64(&memtables[i]->log_bytes);
    }
    rows->let_go_at = tx_max_u64(LET_GO_BYTES, log_bytes / LET_GO_TIMES);
    return TXKV_OK;
}

void
tx_rows_free(struct tx_rows *rows)
{
    if (rows == NULL)
        return;
    stop(rows);
    for (uint32_t i = 0; i < rows->count; i++)
        tx_order_walk_end(&rows->walks[i]);
    free_blocks(rows, 0);
    (void)pthread_mutex_destroy(&rows->mutex);
    (void)pthread_cond_destroy(&rows->filled_more);
    (void)pthread_cond_destroy(&rows->read_more);
    tx_free(rows->walks);
    tx_free(rows);
}
