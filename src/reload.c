/*
 * reload.c - enters the log's operations into a memtable that no reader has yet.
 *
 * Entering one is waiting for memory: a slot of the hash index, then a new node. The slots of a
 * block's operations are asked for before the first one is entered, in a loop that does nothing
 * else: each waits for the way through the page tables, and there several wait at once. When the
 * index is too small it is made as large in one step as the log will need it, since making it anew
 * takes a look at every node that it has.
 *
 * The blocks go round: the adder fills one while the thread enters others. All that both look at is
 * under the mutex.
 */
#include "reload.h"

#include <string.h>

#include "os.h"

enum {
    BLOCK_OPS = 1024,
    BLOCKS = 8,
    THREAD_FROM = 32 * BLOCK_OPS, /* operations: fewer are not worth a thread */
    LARGE_FROM = 8 * BLOCK_OPS,   /* or large pages */
    GROW_TIMES = 8 /* at most, in one step: what is expected may be far from what comes */
};

struct op {
    const uint8_t *key, *value;
    uint64_t hash, lsn;
    uint32_t table, key_bytes, value_bytes;
};

struct block {
    struct op ops[BLOCK_OPS];
    uint32_t count;
};

struct tx_reload {
    struct tx_memtable *memtable;
    struct block *blocks; /* BLOCKS of them while there is a thread, else one; NULL at first */
    uint64_t added;       /* the adder's: operations */
    pthread_t thread;
    bool has_thread, had_no_thread; /* had_no_thread: it could not be started */

    /* Who enters: the thread while there is one, else the adder. */
    uint64_t entered, room; /* room: keys that the index was made for */

    pthread_mutex_t mutex;
    pthread_cond_t filled_more, entered_more;
    /* Under it. Blocks are numbered from 0 on; number n is blocks[n % BLOCKS]. */
    uint64_t blocks_filled, blocks_entered;
    uint64_t expected;
    bool ending, no_memory;
};

enum txkv_rc
tx_reload_create(struct tx_memtable *memtable, struct tx_reload **out)
{
    struct tx_reload *reload = tx_zalloc(sizeof *reload);

    *out = reload;
    if (reload == NULL)
        return TXKV_NOMEM;
    reload->memtable = memtable;
    (void)pthread_mutex_init(&reload->mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&reload->filled_more, NULL);
    (void)pthread_cond_init(&reload->entered_more, NULL);
    return TXKV_OK;
}

/* ---- entering ---- */

/* Of the operations so far some had new keys; of those to come as many may have. */
static void
make_room(struct tx_reload *reload, uint64_t expected)
{
    const uint64_t keys = reload->memtable->keys;
    uint64_t wanted;

    if (keys + BLOCK_OPS <= reload->room || reload->entered < THREAD_FROM)
        return;
    wanted = (uint64_t)((double)expected * (double)keys / (double)reload->entered);
    wanted += wanted / 16; /* shards differ */
    wanted = tx_min_u64(wanted, GROW_TIMES * keys);
    reload->room = tx_max_u64(wanted, keys + keys / 2);
    tx_hashidx_reserve(reload->memtable->index,
                       (uint32_t)tx_min_u64(reload->room - keys, UINT32_MAX));
}

static enum txkv_rc
enter_block(struct tx_reload *reload, const struct block *block, uint64_t expected)
{
    struct tx_memtable *memtable = reload->memtable;

    make_room(reload, expected);
    memtable->arena.large = memtable->keeps = reload->entered >= LARGE_FROM;
    for (uint32_t i = 0; i < block->count; i++)
        tx_hashidx_prefetch(memtable->index, block->ops[i].hash);
    for (uint32_t i = 0; i < block->count; i++) {
        const struct op *op = &block->ops[i];
        const struct tx_key key = { op->key, op->key_bytes, op->table };

        if (tx_memtable_replay(memtable, &key, op->hash, op->lsn, op->value, op->value_bytes) !=
            TXKV_OK)
            return TXKV_NOMEM;
    }
    reload->entered += block->count;
    return TXKV_OK;
}

static void *
thread_main(void *arg)
{
    struct tx_reload *reload = arg;

    (void)pthread_mutex_lock(&reload->mutex);
    for (;;) {
        struct block *block = &reload->blocks[reload->blocks_entered % BLOCKS];
        const uint64_t expected = reload->expected;
        enum txkv_rc rc;

        if (reload->blocks_entered == reload->blocks_filled) {
            if (reload->ending)
                break;
            (void)pthread_cond_wait(&reload->filled_more, &reload->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&reload->mutex);
        rc = enter_block(reload, block, expected);
        block->count = 0;
        (void)pthread_mutex_lock(&reload->mutex);
        reload->no_memory |= rc != TXKV_OK;
        reload->blocks_entered++;
        (void)pthread_cond_signal(&reload->entered_more);
        if (reload->no_memory)
            break;
    }
    (void)pthread_mutex_unlock(&reload->mutex);
    return NULL;
}

/* ---- adding ---- */

/* The block that is being filled. */
static struct block *
current(struct tx_reload *reload)
{
    return reload->has_thread ? &reload->blocks[reload->blocks_filled % BLOCKS] : reload->blocks;
}

/* From here on a thread enters the blocks. Without memory or threads it goes on without. */
static void
start_thread(struct tx_reload *reload)
{
    struct block *blocks = tx_malloc(BLOCKS * sizeof *blocks);

    reload->had_no_thread = true;
    if (blocks == NULL)
        return;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i].count = 0;
    tx_free(reload->blocks);
    reload->blocks = blocks;
    reload->blocks_filled = reload->blocks_entered = 0;
    reload->ending = false;
    reload->has_thread =
        tx_os_thread(&reload->thread, thread_main, reload, "txkv-reload", NULL) == TXKV_OK;
    reload->had_no_thread = !reload->has_thread;
}

/* Hand the current block, which is full, to whoever enters it. */
static enum txkv_rc
pass_on(struct tx_reload *reload)
{
    enum txkv_rc rc;

    if (!reload->has_thread) {
        rc = enter_block(reload, reload->blocks, reload->expected);
        reload->no_memory |= rc != TXKV_OK;
        reload->blocks->count = 0;
        if (rc == TXKV_OK && reload->added >= THREAD_FROM && !reload->had_no_thread)
            start_thread(reload);
        return rc;
    }
    (void)pthread_mutex_lock(&reload->mutex);
    reload->blocks_filled++;
    (void)pthread_cond_signal(&reload->filled_more);
    while (reload->blocks_filled - reload->blocks_entered == BLOCKS && !reload->no_memory)
        (void)pthread_cond_wait(&reload->entered_more, &reload->mutex);
    rc = reload->no_memory ? TXKV_NOMEM : TXKV_OK;
    (void)pthread_mutex_unlock(&reload->mutex);
    return rc;
}

enum txkv_rc
tx_reload_add(struct tx_reload *reload, const struct tx_key *key, uint64_t lsn,
              const uint8_t *value, uint32_t value_bytes)
{
    struct block *block;

    if (reload->blocks == NULL) {
        reload->blocks = tx_malloc(sizeof *reload->blocks);
        if (reload->blocks == NULL)
            return TXKV_NOMEM;
        reload->blocks->count = 0;
    }
    block = current(reload);
    assert(block->count < BLOCK_OPS);
    block->ops[block->count++] = (struct op){ .key = key->data,
                                              .value = value,
                                              .hash = tx_key_hash(key),
                                              .lsn = lsn,
                                              .table = key->table,
                                              .key_bytes = key->bytes,
                                              .value_bytes = value_bytes };
    reload->added++;
    return block->count == BLOCK_OPS ? pass_on(reload) : TXKV_OK;
}

void
tx_reload_expect(struct tx_reload *reload, uint64_t operations)
{
    (void)pthread_mutex_lock(&reload->mutex);
    reload->expected = operations;
    (void)pthread_mutex_unlock(&reload->mutex);
}

static void
end_thread(struct tx_reload *reload)
{
    if (!reload->has_thread)
        return;
    (void)pthread_mutex_lock(&reload->mutex);
    reload->ending = true;
    (void)pthread_cond_signal(&reload->filled_more);
    (void)pthread_mutex_unlock(&reload->mutex);
    (void)pthread_join(reload->thread, NULL);
    reload->has_thread = false;
    reload->blocks->count = 0; /* from now on the current one */
}

enum txkv_rc
tx_reload_finish(struct tx_reload *reload)
{
    enum txkv_rc rc = TXKV_OK;

    if (reload->blocks != NULL && current(reload)->count > 0)
        rc = pass_on(reload);
    end_thread(reload);
    reload->memtable->arena.large = reload->memtable->keeps = false;
    return rc == TXKV_OK && reload->no_memory ? TXKV_NOMEM : rc;
}

void
tx_reload_free(struct tx_reload *reload)
{
    if (reload == NULL)
        return;
    end_thread(reload);
    (void)pthread_mutex_destroy(&reload->mutex);
    (void)pthread_cond_destroy(&reload->filled_more);
    (void)pthread_cond_destroy(&reload->entered_more);
    tx_free(reload->blocks);
    tx_free(reload);
}
