/*
 * stamp.c - when the log's transactions were committed.
 */
#include "stamp.h"

#include "os.h"

static bool
is_due(const struct tx_shared *shared, uint64_t ms)
{
    const uint64_t last_ms = shared->stamp_ms;

    return last_ms == 0 || ms >= last_ms + TX_STAMP_MS || ms + TX_STAMP_MS <= last_ms ||
           shared->stamp_lsn < tx_load_relaxed_64(&shared->freeze_lsn);
}

static enum txkv_rc
append(struct tx_core *core, uint64_t ms, struct txkv_error *err)
{
    struct tx_shared *shared = core->shared;
    uint8_t record[TX_TIME_BYTES];
    struct tx_log_place place;
    enum txkv_rc rc;

    tx_time_encode(record, ms, core->store_id);
    rc = tx_log_place(core->log, record, sizeof record, &place, err);
    if (rc != TXKV_OK)
        return rc;
    tx_log_finish(core->log, record, &place, false);
    tx_memtable_account(tx_views_current(&core->views)->memtables[0], place.lsn, sizeof record, 0);
    shared->stamp_lsn = place.lsn;
    shared->stamp_ms = ms;
    return TXKV_OK;
}

enum txkv_rc
tx_stamp(struct tx_core *core, bool *done, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (!*done) {
        const uint64_t ms = tx_os.time_ms();

        if (is_due(core->shared, ms))
            rc = append(core, ms, err);
    }
    *done = rc == TXKV_OK;
    return rc;
}
