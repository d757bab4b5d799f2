/*
 * view.h - the immutable list of memtables that readers see; replaced whole.
 *
 * A reader pins a view: in an epoch section it loads the current one and counts itself in one of
 * the view's striped pin counters, and leaves the section. From then on the pin alone keeps the
 * view, so a reader that stays for an hour keeps the memtables that it sees and no others. A view
 * that was replaced is first handed to the epoch: once its callback runs nobody can pin it any
 * more; it is then freed when its pins have come to zero.
 *
 * Threads: pin and unpin by any thread; replace and collect by the leader, or who holds its place,
 * only. Layer 3: memtable.h, epoch.h.
 */
#ifndef TX_VIEW_H
#define TX_VIEW_H

#include "epoch.h"
#include "memtable.h"

#define TX_VIEW_STRIPES 16

struct tx_view_pins {
    uint64_t count TX_ALIGNED; /* atomic */
};

struct tx_view {
    struct tx_view_pins pins[TX_VIEW_STRIPES];
    struct tx_epoch_entry deferred;
    struct tx_views *owner;
    struct tx_view *next_retired; /* leader's */
    /* Every version with lsn >= history_lsn is in one of the memtables. */
    uint64_t history_lsn;
    uint32_t count;
    struct tx_memtable *memtables[]; /* newest first; [0] is the active one */
};

struct tx_views {
    struct tx_epoch epoch;
    struct tx_view
        *current; /* atomic [M8]: leader stores with release, readers load with acquire */
    struct tx_view *retired; /* leader's: past their epoch, waiting for pins to go */
    uint64_t retired_count;  /* atomic: replaced views not freed yet */
    uint64_t deferred_count; /* leader's: of those, still with the epoch */
    uint64_t retired_bytes;  /* atomic: bytes of memtables that only retired views keep */
};

/* Starts with a view of one memtable, which it takes over. TXKV_NOMEM. */
TX_MUST_CHECK enum txkv_rc tx_views_init(struct tx_views *views, struct tx_memtable *active,
                                         uint64_t history_lsn);

/* Frees all views and memtables; none may be pinned. */
void tx_views_destroy(struct tx_views *views);

/* Pin the current view. record: the caller's own; stripe: any number, best one few others use. */
struct tx_view *tx_view_pin(struct tx_views *views, ck_epoch_record_t *record, uint32_t stripe);
/* On the stripe of the pin. Order: [M12] release: what the caller reads is not freed before. */
void tx_view_unpin(struct tx_view *view, uint32_t stripe);

/*
 * tx_views_replace -- publish a new view of `count` memtables (newest first, each in the current
 * view, or new). The old one is retired; memtables that no view lists are freed with the last view
 * that did. TXKV_NOMEM: no change.
 */
TX_MUST_CHECK enum txkv_rc tx_views_replace(struct tx_views *views,
                                            struct tx_memtable *const *memtables, uint32_t count,
                                            uint64_t history_lsn);

/*
 * tx_views_release -- free the views that nobody pins any more. *unseen: the memtables that none is
 * left of, for tx_views_free by any thread: giving back the memory of a large one takes tens of
 * milliseconds, for which no lock needs to be held. Never waits. True when no retired view is left.
 */
bool tx_views_release(struct tx_views *views, struct tx_memtable **unseen);
void tx_views_free(struct tx_memtable *unseen); /* NULL is allowed */

/* Both at once. */
bool tx_views_collect(struct tx_views *views);

/* The current view, for the leader itself, without a pin. */
static inline struct tx_view *
tx_views_current(const struct tx_views *views)
{
    return tx_load_acquire_ptr((void *const *)&views->current);
}

#endif /* TX_VIEW_H */
