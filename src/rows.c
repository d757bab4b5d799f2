/*
 * rows.c - the rows that a checkpoint moves.
 *
 * The stretches go round: the thread fills one while the caller reads another. All that both look
 * at is under the mutex.
 */
#include "rows.h"

#include <string.h>

#include "mem.h"
#include "os.h"

enum {
    STRETCHES = 2,         /* while there is a thread, else one */
    THREAD_FROM = 16384,   /* keys: fewer are not worth a thread */
    FEW_BYTES = 256 << 10, /* of a stretch, where it may be as short as that */
    LAST_BYTES =
        8 << 20,      /* else, or a part of the log; and a part of what LMDB's dirty pages have */
    LAST_OF_LOG = 32, /* not taken yet */
    OF_DIRTY = 4,     /* of a log that is shorter than all that they take */
    OF_DIRTY_LONG = 6,
    DIRTY_BYTES = 512 << 20, /* LMDB's limit */
    NEAR_BYTES = 64 << 10,   /* from one row to the next, in the log's order */
    LET_GO_BYTES = 16 << 20  /* of rows that are read in their place, before the log is let go of */
};

struct tx_rows {
    struct tx_memtable *const *memtables;
    uint32_t count;
    uint64_t from_lsn, keys, log_bytes;
    bool large; /* the log is not to be in memory as a whole */
    struct tx_stretch stretches[STRETCHES];
    uint32_t stretch_count;
    pthread_t thread;
    bool has_thread;
    bool started, ended; /* the caller's, as the next */
    uint64_t read;       /* stretches */

    /* Who fills stretches: the thread while there is one, else the caller. */
    struct tx_order_walk *walks; /* of each memtable */
    uint64_t bytes_filled;       /* of rows */
    bool few;                    /* the next stretch is short */
    uint64_t bytes_uncopied;     /* of rows since the log's pages were let go of */

    pthread_mutex_t mutex;
    pthread_cond_t filled_more, read_more;
    /* Under it. Stretches are numbered from 0 on; number n is stretches[n % STRETCHES]. */
    uint64_t filled, freed;
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

/* Rows that are too long to be copied are read by the caller, and soon after this. */
static void
let_go_of_log(struct tx_rows *rows, const struct tx_row *row)
{
    rows->bytes_uncopied += tx_row_bytes(row);
    if (rows->bytes_uncopied < LET_GO_BYTES)
        return;
    rows->bytes_uncopied = 0;
    for (uint32_t i = 0; i < rows->count; i++)
        tx_memtable_let_go(rows->memtables[i]);
}

/*
 * Each stretch maps and reads all of the log anew, so they are to be few. The rows that have been
 * read are LMDB's dirty pages by then, up to a limit: what these have not taken yet the stretches
 * may take, and all together it is hardly more than at the end.
 */
static uint64_t
stretch_bytes(const struct tx_rows *rows)
{
    const uint64_t dirty = tx_min_u64(rows->log_bytes, DIRTY_BYTES);
    const uint64_t last = tx_max_u64(LAST_BYTES, rows->log_bytes / LAST_OF_LOG);

    if (!rows->large)
        return FEW_BYTES;
    return tx_min_u64(last, DIRTY_BYTES) + (dirty - tx_min_u64(rows->bytes_filled, dirty)) /
                                               (dirty < DIRTY_BYTES ? OF_DIRTY : OF_DIRTY_LONG);
}

/* The first stretch tells whether rows come in the log's order. Then each maps its own part of the
 * log alone, and short ones stay in the processor's cache. */
static void
fill(struct tx_rows *rows, struct tx_stretch *stretch)
{
    const uint8_t *last = NULL;
    uint32_t near = 0;
    struct tx_row row;

    tx_stretch_shrink(stretch, stretch_bytes(rows));
    tx_stretch_clear(stretch, rows->few ? FEW_BYTES : stretch_bytes(rows));
    while (tx_stretch_has_room(stretch) && next_row(rows, &row)) {
        tx_stretch_add(stretch, &row);
        if (!tx_stretch_is_copied(stretch, &row))
            let_go_of_log(rows, &row);
        near += (uintptr_t)row.key - (uintptr_t)last < NEAR_BYTES;
        last = row.key;
    }
    rows->few = near > stretch->count / 2;
    rows->bytes_filled += stretch->bytes;
    tx_stretch_copy(stretch);
}

static void *
thread_main(void *arg)
{
    struct tx_rows *rows = arg;

    (void)pthread_mutex_lock(&rows->mutex);
    while (!rows->all_filled && !rows->ending) {
        struct tx_stretch *stretch = &rows->stretches[rows->filled % STRETCHES];

        if (rows->filled - rows->freed == STRETCHES) {
            (void)pthread_cond_wait(&rows->read_more, &rows->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&rows->mutex);
        fill(rows, stretch);
        (void)pthread_mutex_lock(&rows->mutex);
        rows->filled++;
        rows->all_filled = stretch->count == 0;
        (void)pthread_cond_signal(&rows->filled_more);
    }
    (void)pthread_mutex_unlock(&rows->mutex);
    return NULL;
}

/* ---- the caller ---- */

static void
free_stretches(struct tx_rows *rows)
{
    for (uint32_t i = 0; i < STRETCHES; i++)
        tx_stretch_free(&rows->stretches[i]);
}

/* Without memory for copies the rows are read where they stand. */
static enum txkv_rc
make_stretches(struct tx_rows *rows)
{
    enum txkv_rc rc = TXKV_OK;

    rows->stretch_count = rows->keys >= THREAD_FROM ? STRETCHES : 1;
    if (rows->keys >= THREAD_FROM || rows->large) {
        for (uint32_t i = 0; i < rows->stretch_count && rc == TXKV_OK; i++)
            rc = tx_stretch_init(&rows->stretches[i], rows->memtables, rows->count,
                                 stretch_bytes(rows));
        if (rc == TXKV_OK)
            return rc;
        free_stretches(rows);
        rows->stretch_count = 1;
    }
    return tx_stretch_init(&rows->stretches[0], rows->memtables, rows->count, 0);
}

/* From here on a thread fills the stretches, if there are two; if there is none the caller does. */
static void
start(struct tx_rows *rows)
{
    rows->started = true;
    rows->has_thread = rows->stretch_count == STRETCHES &&
                       tx_os_thread(&rows->thread, thread_main, rows, "txkv-rows", NULL) == TXKV_OK;
}

static void
end_thread(struct tx_rows *rows)
{
    if (!rows->has_thread)
        return;
    (void)pthread_mutex_lock(&rows->mutex);
    rows->ending = true;
    (void)pthread_cond_signal(&rows->read_more);
    (void)pthread_mutex_unlock(&rows->mutex);
    (void)pthread_join(rows->thread, NULL);
    rows->has_thread = false;
}

/* The stretch that the thread has filled after the last one, which is given back. */
static const struct tx_stretch *
next_stretch(struct tx_rows *rows)
{
    (void)pthread_mutex_lock(&rows->mutex);
    rows->freed = rows->read;
    (void)pthread_cond_signal(&rows->read_more);
    while (rows->filled == rows->read)
        (void)pthread_cond_wait(&rows->filled_more, &rows->mutex);
    (void)pthread_mutex_unlock(&rows->mutex);
    return &rows->stretches[rows->read++ % STRETCHES];
}

uint64_t
tx_rows_log_bytes(const struct tx_rows *rows)
{
    return rows->log_bytes;
}

uint32_t
tx_rows_next(struct tx_rows *rows, const struct tx_row **out)
{
    const struct tx_stretch *stretch = &rows->stretches[0];

    if (rows->ended)
        return 0;
    if (!rows->started)
        start(rows);
    if (rows->has_thread)
        stretch = next_stretch(rows);
    else
        fill(rows, &rows->stretches[0]);
    rows->ended = stretch->count == 0;
    *out = stretch->rows;
    return stretch->count;
}

void
tx_rows_rewind(struct tx_rows *rows)
{
    end_thread(rows);
    rows->started = rows->ended = rows->all_filled = rows->ending = false;
    rows->read = rows->filled = rows->freed = 0;
    rows->few = true;
    rows->bytes_filled = rows->bytes_uncopied = 0;
    for (uint32_t i = 0; i < rows->count; i++)
        tx_order_walk_rewind(&rows->walks[i]);
}

enum txkv_rc
tx_rows_create(struct tx_core *core, struct tx_memtable *const *memtables, uint32_t count,
               uint64_t from_lsn, struct tx_rows **out)
{
    struct tx_rows *rows = tx_zalloc(sizeof *rows);

    *out = NULL;
    if (rows == NULL)
        return TXKV_NOMEM;
    (void)pthread_mutex_init(&rows->mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&rows->filled_more, NULL);
    (void)pthread_cond_init(&rows->read_more, NULL);
    rows->memtables = memtables;
    rows->from_lsn = from_lsn;
    rows->count = count;
    rows->large = tx_stretch_is_large(memtables, count);
    for (uint32_t i = 0; i < count; i++) {
        rows->keys += tx_load_relaxed_64(&memtables[i]->keys);
        rows->log_bytes += tx_load_relaxed_64(&memtables[i]->log_bytes);
    }
    rows->walks = tx_zalloc(count * sizeof *rows->walks);
    if (rows->walks == NULL || make_stretches(rows) != TXKV_OK) {
        tx_rows_free(rows);
        return TXKV_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        tx_order_walk_begin(core, memtables[i], &rows->walks[i]);
    rows->few = true;
    *out = rows;
    return TXKV_OK;
}

void
tx_rows_free(struct tx_rows *rows)
{
    if (rows == NULL)
        return;
    end_thread(rows);
    for (uint32_t i = 0; i < rows->count && rows->walks != NULL; i++)
        tx_order_walk_end(&rows->walks[i]);
    free_stretches(rows);
    (void)pthread_mutex_destroy(&rows->mutex);
    (void)pthread_cond_destroy(&rows->filled_more);
    (void)pthread_cond_destroy(&rows->read_more);
    tx_free(rows->walks);
    tx_free(rows);
}
