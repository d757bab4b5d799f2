/*
 * epoch.c - safe memory reclamation, on ck_epoch.
 *
 * ck_epoch keeps what is deferred in the writer's record, by the epoch in which it was deferred,
 * and polling moves the epoch on once all readers have seen the present one. What is due is taken
 * as a list (ck_epoch_poll_deferred) and run here.
 *
 * Ordering: [M7] a reader's leave releases all it did, and a poll that finds it gone, or in a later
 * section, acquires that before anything is run. ck_epoch does this inside libck, which
 * ThreadSanitizer cannot see: hence tx_hb_release and tx_hb_acquire, on the epoch.
 */
#include "epoch.h"

#include "mem.h"

CK_STACK_CONTAINER(struct tx_epoch_entry, entry.stack_entry, entry_of)
CK_STACK_CONTAINER(ck_epoch_record_t, record_next, record_of)

void
tx_epoch_init(struct tx_epoch *epoch)
{
    ck_epoch_init(&epoch->global);
    ck_epoch_register(&epoch->global, &epoch->writer, NULL);
}

ck_epoch_record_t *
tx_epoch_register(struct tx_epoch *epoch)
{
    ck_epoch_record_t *record = ck_epoch_recycle(&epoch->global, NULL);

    if (record != NULL) {
        tx_hb_acquire(record);
        return record;
    }
    record = tx_aligned_zalloc(sizeof(*record));
    if (record != NULL)
        ck_epoch_register(&epoch->global, record, NULL);
    return record;
}

void
tx_epoch_unregister(ck_epoch_record_t *record)
{
    assert(record->active == 0);
    tx_hb_release(record);
    ck_epoch_unregister(record);
}

void
tx_epoch_destroy(struct tx_epoch *epoch)
{
    ck_stack_entry_t *next;

    tx_epoch_poll(epoch);
    for (ck_stack_entry_t *at = CK_STACK_FIRST(&epoch->global.records); at != NULL; at = next) {
        next = CK_STACK_NEXT(at);
        if (record_of(at) != &epoch->writer)
            tx_free(record_of(at));
    }
}

void
tx_epoch_enter(ck_epoch_record_t *record)
{
    ck_epoch_begin(record, NULL);
}

void
tx_epoch_leave(ck_epoch_record_t *record)
{
    tx_hb_release(record->global); /* [M7] */
    (void)ck_epoch_end(record, NULL);
}

void
tx_epoch_writer_enter(struct tx_epoch *epoch)
{
    ck_epoch_begin(&epoch->writer, NULL);
}

void
tx_epoch_writer_leave(struct tx_epoch *epoch)
{
    (void)ck_epoch_end(&epoch->writer, NULL);
}

void
tx_epoch_defer(struct tx_epoch *epoch, struct tx_epoch_entry *entry,
               void (*run)(struct tx_epoch_entry *entry))
{
    assert(epoch->writer.active != 0);
    entry->run = run;
    ck_epoch_call(&epoch->writer, &entry->entry, NULL);
}

void
tx_epoch_poll(struct tx_epoch *epoch)
{
    ck_stack_t due = CK_STACK_INITIALIZER;
    ck_stack_entry_t *next;

    assert(epoch->writer.active == 0);
    (void)ck_epoch_poll_deferred(&epoch->writer, &due);
    tx_hb_acquire(&epoch->global); /* [M7] */
    for (ck_stack_entry_t *at = CK_STACK_FIRST(&due); at != NULL; at = next) {
        struct tx_epoch_entry *entry = entry_of(at);

        next = CK_STACK_NEXT(at); /* run may free the entry */
        entry->run(entry);
    }
}
