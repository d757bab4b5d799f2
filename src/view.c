/*
 * view.c - the immutable list of memtables that readers see.
 *
 * A view lives through three states.
 *   1. Current. Readers pin it: an epoch section is open while they go from the pointer to the pin
 *      counter, so the memory is there.
 *   2. Replaced, and with the epoch: a reader may have loaded the pointer and not counted itself
 *      yet.
 *   3. Retired: the epoch's callback has run, so every section that was open when the view was
 *      replaced has ended, and later ones load another view. Nobody can pin it any more. It is
 *      freed when its pins are gone.
 *
 * Why the sixteen counters may be read one after the other in state 3. A pin is taken back on the
 * stripe that it was made on, so a counter is the number of pins that stand on its stripe. All pins
 * were made before the callback, so from then on each counter only falls. One that is read as zero
 * therefore stays zero while the others are read, and when the last is read as zero all are.
 *
 * Ordering: [M8] the pointer to the current view. [M7] a pin is made before its section is left, so
 * the leader sees it after the callback. [M12] unpin's decrement releases what the reader did; the
 * leader's load that finds zero acquires it before the memtables are freed.
 */
#include "view.h"

static inline uint64_t *
pin_count(struct tx_view *view, uint32_t stripe)
{
    return &view->pins[stripe % TX_VIEW_STRIPES].count;
}

static bool
lists_memtable(const struct tx_view *view, const struct tx_memtable *memtable)
{
    for (uint32_t i = 0; i < view->count; i++)
        if (view->memtables[i] == memtable)
            return true;
    return false;
}

static struct tx_view *
make_view(struct tx_views *views, struct tx_memtable *const *memtables, uint32_t count,
          uint64_t history_lsn)
{
    struct tx_view *view = tx_aligned_zalloc(sizeof(*view) + count * sizeof(struct tx_memtable *));

    if (view == NULL)
        return NULL;
    view->owner = views;
    view->history_lsn = history_lsn;
    view->count = count;
    for (uint32_t i = 0; i < count; i++) {
        view->memtables[i] = memtables[i];
        memtables[i]->refs++;
    }
    return view;
}

/* Frees the view; memtables that no other view lists go to *unseen. Returns the bytes of those. */
static uint64_t
free_view(struct tx_view *view, struct tx_memtable **unseen)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < view->count; i++) {
        struct tx_memtable *memtable = view->memtables[i];

        if (--memtable->refs == 0) {
            bytes += tx_memtable_bytes(memtable);
            memtable->next_unseen = *unseen;
            *unseen = memtable;
        }
    }
    tx_free(view);
    return bytes;
}

/* The epoch's callback: state 2 to state 3. */
static void
retire(struct tx_epoch_entry *entry)
{
    struct tx_view *view = TX_CONTAINER(entry, struct tx_view, deferred);

    view->next_retired = view->owner->retired;
    view->owner->retired = view;
    view->owner->deferred_count--;
}

/* For a retired view only: see the top of the file. */
static bool
is_pinned(struct tx_view *view)
{
    for (uint32_t stripe = 0; stripe < TX_VIEW_STRIPES; stripe++)
        if (tx_load_acquire_64(pin_count(view, stripe)) != 0) /* [M12] */
            return true;
    return false;
}

enum txkv_rc
tx_views_init(struct tx_views *views, struct tx_memtable *active, uint64_t history_lsn)
{
    struct tx_view *view;

    views->retired = NULL;
    views->retired_count = 0;
    views->deferred_count = 0;
    views->retired_bytes = 0;
    view = make_view(views, &active, 1, history_lsn);
    if (view == NULL)
        return TXKV_NOMEM;
    tx_epoch_init(&views->epoch);
    tx_store_release_ptr((void **)&views->current, view);
    return TXKV_OK;
}

void
tx_views_destroy(struct tx_views *views)
{
    const bool all_free = tx_views_collect(views);
    struct tx_memtable *unseen = NULL;

    assert(all_free && !is_pinned(views->current));
    (void)all_free;
    (void)free_view(views->current, &unseen);
    tx_views_free(unseen);
    views->current = NULL;
    tx_epoch_destroy(&views->epoch);
}

struct tx_view *
tx_view_pin(struct tx_views *views, ck_epoch_record_t *record, uint32_t stripe)
{
    struct tx_view *view;

    tx_epoch_enter(record);
    view = tx_views_current(views); /* [M8] */
    (void)tx_fetch_add_64(pin_count(view, stripe), 1);
    tx_epoch_leave(record); /* [M7] */
    return view;
}

void
tx_view_unpin(struct tx_view *view, uint32_t stripe)
{
    const uint64_t before = tx_fetch_add_64(pin_count(view, stripe), UINT64_MAX); /* [M12] */

    assert(before > 0);
    (void)before;
}

enum txkv_rc
tx_views_replace(struct tx_views *views, struct tx_memtable *const *memtables, uint32_t count,
                 uint64_t history_lsn)
{
    struct tx_view *old = views->current;
    struct tx_view *view = make_view(views, memtables, count, history_lsn);
    uint64_t bytes = views->retired_bytes;

    if (view == NULL)
        return TXKV_NOMEM;
    for (uint32_t i = 0; i < old->count; i++)
        if (!lists_memtable(view, old->memtables[i]))
            bytes += tx_memtable_bytes(old->memtables[i]);
    tx_store_relaxed_64(&views->retired_bytes, bytes);
    tx_store_relaxed_64(&views->retired_count, views->retired_count + 1);
    views->deferred_count++;

    tx_epoch_writer_enter(&views->epoch);
    tx_store_release_ptr((void **)&views->current, view); /* [M8] */
    tx_epoch_defer(&views->epoch, &old->deferred, retire);
    tx_epoch_writer_leave(&views->epoch);
    return TXKV_OK;
}

bool
tx_views_release(struct tx_views *views, struct tx_memtable **unseen)
{
    struct tx_view **link = &views->retired;
    struct tx_view *view;

    *unseen = NULL;
    if (views->retired_count == 0)
        return true;
    tx_epoch_poll(&views->epoch);
    while ((view = *link) != NULL) {
        if (is_pinned(view)) {
            link = &view->next_retired;
            continue;
        }
        *link = view->next_retired;
        tx_store_relaxed_64(&views->retired_bytes, views->retired_bytes - free_view(view, unseen));
        tx_store_relaxed_64(&views->retired_count, views->retired_count - 1);
    }
    return views->retired_count == 0;
}

void
tx_views_free(struct tx_memtable *unseen)
{
    while (unseen != NULL) {
        struct tx_memtable *next = unseen->next_unseen;

        tx_memtable_free(unseen);
        unseen = next;
    }
}

bool
tx_views_collect(struct tx_views *views)
{
    struct tx_memtable *unseen;
    const bool all_free = tx_views_release(views, &unseen);

    tx_views_free(unseen);
    return all_free;
}
