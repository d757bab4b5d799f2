/*
 * epoch.h - safe memory reclamation, on ck_epoch; the only file that includes ck_epoch.h.
 *
 * A reader enters a section, loads a shared pointer, and is sure that what it points to is not
 * freed until it leaves. The one thread that unlinks defers the free inside its own section, and
 * runs it with tx_epoch_poll once every reader that could have seen the old pointer has left.
 *
 * Threads: a reader record belongs to one thread at a time. All of tx_epoch_defer and tx_epoch_poll
 * is done by the writer (the leader, or who holds its place): ck_epoch 0.7.1 is sound in that form.
 * Layer 1: base.h, atomic.h, mem.h.
 */
#ifndef TX_EPOCH_H
#define TX_EPOCH_H

#include <ck_epoch.h>

#include "atomic.h"
#include "base.h"

struct tx_epoch {
    ck_epoch_t global;
    ck_epoch_record_t writer;
} TX_ALIGNED;

/* Put into whatever is to be freed later. */
struct tx_epoch_entry {
    ck_epoch_entry_t entry;
    void (*run)(struct tx_epoch_entry *entry);
};

void tx_epoch_init(struct tx_epoch *epoch);

/* A reader record; NULL when out of memory. Records are recycled, and freed by tx_epoch_destroy
 * only. Any thread. */
ck_epoch_record_t *tx_epoch_register(struct tx_epoch *epoch);
void tx_epoch_unregister(ck_epoch_record_t *record);
void tx_epoch_destroy(struct tx_epoch *epoch);

void tx_epoch_enter(ck_epoch_record_t *record);
/* [M7] release: pairs with tx_epoch_poll's callback. */
void tx_epoch_leave(ck_epoch_record_t *record);

void tx_epoch_writer_enter(struct tx_epoch *epoch);
void tx_epoch_writer_leave(struct tx_epoch *epoch);
/* Writer: run(entry) will be called by a later tx_epoch_poll. The thing must have been unlinked in
 * the writer's section that is open. */
void tx_epoch_defer(struct tx_epoch *epoch, struct tx_epoch_entry *entry,
                    void (*run)(struct tx_epoch_entry *entry));
/* Writer, outside a section: run what is due. Never waits. */
void tx_epoch_poll(struct tx_epoch *epoch);

#endif /* TX_EPOCH_H */
