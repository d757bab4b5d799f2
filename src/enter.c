/*
 * enter.c - a transaction's writes, from its own record into a memtable.
 */
#include "enter.h"

enum {
    PREFETCH_STEPS = 8,
    LET_GO_STEPS = 1 << 16, /* writes, after which their record is let go of */
    LARGE_FROM = 8192       /* writes: their nodes fill a large page, or nearly so */
};

/* The index's slots are spread over memory, and in key order the writes and their keys as well: ask
 * for them ahead. */
static void
prefetch_ahead(const struct tx_memtable *memtable, const struct tx_writeset *set, uint32_t i)
{
    const uint32_t steps = tx_writeset_steps(set), next = i + PREFETCH_STEPS;
    const struct tx_write *write;

    if (set->order != NULL && next + PREFETCH_STEPS < steps)
        __builtin_prefetch(&set->writes[set->order[next + PREFETCH_STEPS]]);
    if (next >= steps)
        return;
    write = &set->writes[set->order == NULL ? next : set->order[next]];
    if (set->order != NULL)
        __builtin_prefetch(set->record.at + write->op_at);
    tx_hashidx_prefetch(memtable->index, write->hash);
}

/* Enter one write, whose bytes stand at `mapped` as in set->record. */
static enum txkv_rc
enter_write(struct tx_memtable *memtable, const struct tx_writeset *set,
            const struct tx_write *write, uint64_t lsn, const uint8_t *mapped)
{
    const struct tx_op op = tx_write_op(set, write);
    const struct tx_key key = tx_op_key(&op);
    const uint8_t *record = set->record.at;

    return tx_memtable_insert_from(memtable, &key, mapped + (op.key - record), write->hash, lsn,
                                   op.value == NULL ? NULL : mapped + (op.value - record),
                                   op.value_bytes);
}

/* Take back the first of the steps. */
static void
retract_writes(struct tx_memtable *memtable, const struct tx_writeset *set, uint64_t lsn,
               uint32_t steps)
{
    while (steps-- > 0) {
        const struct tx_write *write = tx_writeset_step(set, steps);
        struct tx_key key;

        if (write == NULL)
            continue;
        key = tx_write_key(set, write);
        tx_memtable_retract(memtable, &key, lsn);
    }
}

enum txkv_rc
tx_enter(struct tx_memtable *memtable, const struct tx_writeset *set, uint64_t lsn,
         const uint8_t *mapped)
{
    const uint32_t steps = tx_writeset_steps(set);
    enum txkv_rc rc = tx_memtable_remember(memtable, lsn, mapped + TX_RECORD_HEADER_BYTES,
                                           set->record_used - TX_RECORD_HEADER_BYTES);

    if (rc != TXKV_OK)
        return rc;
    memtable->keeps = steps >= TX_WRITES_MANY;
    memtable->arena.large = steps >= LARGE_FROM;
    if (memtable->keeps)
        tx_hashidx_reserve(memtable->index, steps);
    for (uint32_t i = 0; i < steps && rc == TXKV_OK; i++) {
        const struct tx_write *write = tx_writeset_step(set, i);

        if (steps > PREFETCH_STEPS)
            prefetch_ahead(memtable, set, i);
        if (i % LET_GO_STEPS == 0)
            tx_writeset_let_go(set);
        if (write != NULL)
            rc = enter_write(memtable, set, write, lsn, mapped);
        if (rc != TXKV_OK)
            retract_writes(memtable, set, lsn, i);
    }
    memtable->keeps = memtable->arena.large = false;
    if (rc != TXKV_OK)
        tx_memtable_forget(memtable);
    return rc;
}
