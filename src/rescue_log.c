/*
 * rescue_log.c - what the log's intact records say, applied in the order of their LSNs.
 *
 * A record stands for itself here: one that is missing between two others takes only its own
 * changes with it. A prepared transaction counts when its commit is there too.
 */
#include <string.h>

#include "log_harvest.h"
#include "rescue.h"

static enum txkv_rc
apply_operations(struct tx_refill *refill, const struct tx_record *txn, struct txkv_error *err)
{
    static const uint8_t empty[1] = { 0 };
    const uint8_t *p = txn->body, *end = p + txn->body_bytes;
    struct tx_op op;

    while (tx_op_next(&p, end, &op) == TXKV_OK) {
        const struct txkv_bytes key = { op.key, op.key_bytes };
        const uint8_t *data = op.kind == TX_OP_DELETE ? NULL
                              : op.value_bytes > 0    ? op.value
                                                      : empty;
        enum txkv_rc rc;

        if (!tx_table_possible(op.table)) {
            refill->report->rows_refused++;
            continue;
        }
        rc = tx_refill_row(refill, op.table, key, (struct txkv_bytes){ data, op.value_bytes }, err);
        if (rc != TXKV_OK)
            return rc;
    }
    refill->report->transactions++;
    return TXKV_OK;
}

static enum txkv_rc
apply_changes(struct tx_refill *refill, const struct tx_record *record, struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = p + record->body_bytes;
    struct tx_table_change change;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && tx_table_change_next(record->type, &p, end, &change) == TXKV_OK) {
        if (record->type == TX_RECORD_DROPPED)
            rc = tx_refill_drop(refill, change.table, err);
        else if (memchr(change.name, '\0', change.name_bytes) == NULL)
            rc = tx_refill_rename(refill, change.table, change.name, change.name_bytes, err);
    }
    return rc;
}

static enum txkv_rc
apply_table(struct tx_refill *refill, const struct tx_record *record, struct txkv_error *err)
{
    struct tx_table_def def;

    if (tx_table_def_decode(record->body, record->body_bytes, &def) != TXKV_OK ||
        !tx_table_possible(def.table) || memchr(def.name, '\0', def.name_bytes) != NULL ||
        (def.shape_bytes > 0 && memchr(def.shape, '\0', def.shape_bytes) != NULL))
        return TXKV_OK;
    return tx_refill_define(refill, &def, err);
}

/* Record i is prepared: whether the next one commits it. */
static bool
is_committed(const struct tx_harvest *harvest, size_t i)
{
    struct tx_record next;

    for (size_t k = i + 1; k < harvest->count; k++) {
        if (harvest->records[k].type == TX_RECORD_SEAL)
            continue;
        tx_harvest_record(harvest, k, &next);
        return next.type == TX_RECORD_COMMITTED &&
               tx_decision_lsn(&next) == harvest->records[i].lsn;
    }
    return false;
}

static bool
is_aborted(const struct tx_harvest *harvest, size_t i)
{
    return i + 1 < harvest->count && harvest->records[i + 1].type == TX_RECORD_ABORTED;
}

static enum txkv_rc
apply_prepared(struct tx_refill *refill, const struct tx_harvest *harvest, size_t i,
               struct txkv_error *err)
{
    struct tx_record record, txn;
    struct txkv_bytes note;

    tx_harvest_record(harvest, i, &record);
    if (tx_prepared_decode(&record, &note, &txn) != TXKV_OK || is_aborted(harvest, i))
        return TXKV_OK;
    if (is_committed(harvest, i))
        return apply_operations(refill, &txn, err);
    refill->report->undecided++;
    return TXKV_OK;
}

enum txkv_rc
tx_rescue_log(struct tx_refill *refill, const struct tx_harvest *harvest, uint64_t from_lsn,
              uint64_t to_lsn, struct txkv_error *err)
{
    struct txkv_rescue_report *report = refill->report;
    enum txkv_rc rc = TXKV_OK;

    for (size_t i = 0; i < harvest->count && harvest->records[i].lsn < to_lsn && rc == TXKV_OK;
         i++) {
        struct tx_record record;

        if (i > 0 && harvest->records[i].lsn > from_lsn && !tx_harvest_follows(harvest, i))
            report->holes++;
        if (harvest->records[i].lsn < from_lsn)
            continue;
        report->records += harvest->records[i].type != TX_RECORD_SEAL;
        tx_harvest_record(harvest, i, &record);
        if (record.type == TX_RECORD_TXN)
            rc = apply_operations(refill, &record, err);
        else if (record.type == TX_RECORD_PREPARED)
            rc = apply_prepared(refill, harvest, i, err);
        else if (record.type == TX_RECORD_TABLE)
            rc = apply_table(refill, &record, err);
        else if (record.type == TX_RECORD_DROPPED || record.type == TX_RECORD_RENAMED)
            rc = apply_changes(refill, &record, err);
    }
    return rc;
}
