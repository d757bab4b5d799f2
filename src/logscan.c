/*
 * logscan.c - txkv_log_open and its companions: what stands in the log, record by record.
 *
 * What is committed is looked up before the files are listed, so that all of it is in them or was
 * checkpointed; the checkpoint LSN after it, so that files that are gone are known to be below it.
 *
 * Threads: one at a time for each struct txkv_log.
 */
#include "apply.h"
#include "log_peek.h"
#include "store.h"

struct txkv_log {
    const struct tx_core *core;
    struct tx_peek *peek;
    uint64_t to_lsn, durable_lsn, checkpoint_lsn;
    uint32_t *tables; /* of the record given last */
    size_t count, room;
};

/* ---- what a record says ---- */

static const char *
type_name(uint8_t type)
{
    static const char *const names[] = {
        [TX_RECORD_TXN] = "transaction",   [TX_RECORD_TABLE] = "table",
        [TX_RECORD_SEAL] = "seal",         [TX_RECORD_VOID] = "void",
        [TX_RECORD_PREPARED] = "prepared", [TX_RECORD_COMMITTED] = "committed",
        [TX_RECORD_ABORTED] = "aborted",   [TX_RECORD_DROPPED] = "dropped",
        [TX_RECORD_RENAMED] = "renamed",   [TX_RECORD_TIME] = "time",
    };

    return type < sizeof names / sizeof names[0] && names[type] != NULL ? names[type] : "unknown";
}

/* The table is looked for from the newest on: operations on one table mostly follow each other. */
static enum txkv_rc
note_table(struct txkv_log *log, uint32_t table, struct txkv_error *err)
{
    for (size_t i = log->count; i > 0; i--)
        if (log->tables[i - 1] == table)
            return TXKV_OK;
    if (log->count == log->room) {
        const size_t room = log->room * 2 + 16;
        uint32_t *tables = tx_realloc(log->tables, room * sizeof *tables);

        if (tables == NULL)
            return tx_fail_nomem(err);
        log->tables = tables;
        log->room = room;
    }
    log->tables[log->count++] = table;
    return TXKV_OK;
}

static enum txkv_rc
count_operations(struct txkv_log *log, const struct tx_record *txn, uint64_t *count,
                 struct txkv_error *err)
{
    const uint8_t *p = txn->body, *end = p + txn->body_bytes;
    struct tx_op op;
    enum txkv_rc rc;

    while ((rc = tx_op_next(&p, end, &op)) == TXKV_OK) {
        ++*count;
        rc = note_table(log, op.table, err);
        if (rc != TXKV_OK)
            return rc;
    }
    return rc;
}

static enum txkv_rc
count_changes(struct txkv_log *log, const struct tx_record *record, uint64_t *count,
              struct txkv_error *err)
{
    const uint8_t *p = record->body, *end = p + record->body_bytes;
    struct tx_table_change change;
    enum txkv_rc rc;

    while ((rc = tx_table_change_next(record->type, &p, end, &change)) == TXKV_OK) {
        ++*count;
        rc = note_table(log, change.table, err);
        if (rc != TXKV_OK)
            return rc;
    }
    return rc;
}

/* TXKV_NOTFOUND: all of the body has been read. */
static enum txkv_rc
read_body(struct txkv_log *log, const struct tx_record *record, uint64_t *count,
          struct txkv_error *err)
{
    struct tx_record txn = *record;
    struct tx_table_def def = { 0 };
    struct txkv_bytes note;
    enum txkv_rc rc = TXKV_NOTFOUND;

    switch (record->type) {
    case TX_RECORD_PREPARED:
        rc = tx_prepared_decode(record, &note, &txn);
        return rc == TXKV_OK ? count_operations(log, &txn, count, err) : rc;
    case TX_RECORD_TXN:
        return count_operations(log, record, count, err);
    case TX_RECORD_DROPPED:
    case TX_RECORD_RENAMED:
        return count_changes(log, record, count, err);
    case TX_RECORD_TABLE:
        rc = tx_table_def_decode(record->body, record->body_bytes, &def);
        if (rc == TXKV_OK)
            rc = note_table(log, def.table, err);
        *count = 1;
        return rc == TXKV_OK ? TXKV_NOTFOUND : rc;
    default:
        return TXKV_NOTFOUND;
    }
}

/* ---- the calls ---- */

/* Everything before `lsn` has been through fdatasync, or is LMDB's. */
static uint64_t
durable_lsn(const struct tx_core *core, uint64_t checkpoint_lsn)
{
    return tx_max_u64(tx_load_acquire_64(&core->shared->durable_lsn), checkpoint_lsn); /* [M2] */
}

static enum txkv_rc
open_log(struct txkv *store, uint64_t from_lsn, uint64_t to_lsn, struct txkv_log *log,
         struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    const uint64_t published_lsn = tx_published_lsn(core);
    uint64_t check = 0;
    /* Tables that other processes have made become known. */
    enum txkv_rc rc = tx_apply_published(core, published_lsn, err);

    if (rc == TXKV_OK)
        rc = tx_peek_open(store->wal_dir, core->store_id, &log->peek, err);
    if (rc == TXKV_OK)
        rc = tx_tree_checkpoint(core->tree, &log->checkpoint_lsn, &check, err);
    if (rc != TXKV_OK)
        return rc;
    log->core = core;
    log->durable_lsn = durable_lsn(core, log->checkpoint_lsn);
    log->to_lsn = to_lsn;
    tx_peek_start(log->peek, from_lsn, published_lsn, log->checkpoint_lsn, check);
    return TXKV_OK;
}

enum txkv_rc
txkv_log_open(struct txkv *store, uint64_t from_lsn, uint64_t to_lsn, struct txkv_log **out,
              struct txkv_error *err)
{
    struct txkv_log *log;
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    *out = NULL;
    if (rc != TXKV_OK)
        return rc;
    log = tx_zalloc(sizeof *log);
    if (log == NULL)
        return tx_fail_nomem(err);
    rc = open_log(store, from_lsn, to_lsn, log, err);
    if (rc != TXKV_OK) {
        txkv_log_close(log);
        return rc;
    }
    *out = log;
    return TXKV_OK;
}

enum txkv_rc
txkv_log_next(struct txkv_log *log, struct txkv_log_record *out, struct txkv_error *err)
{
    struct tx_record record;
    struct txkv_error failed = { TXKV_OK, "" };
    enum txkv_rc rc = tx_check_fork(log->core, err);

    *out = (struct txkv_log_record){ .type = "" };
    if (rc != TXKV_OK)
        return rc;
    rc = tx_peek_next(log->peek, &record, &failed);
    if (rc == TXKV_OK && record.lsn >= log->to_lsn)
        return TXKV_NOTFOUND;
    if (rc == TXKV_CORRUPT)
        return tx_fail(err, rc, "store %s: the log is damaged: %s", log->core->dir, failed.text);
    if (rc != TXKV_OK) {
        if (err != NULL && rc != TXKV_NOTFOUND)
            *err = failed;
        return rc;
    }
    log->count = 0;
    rc = read_body(log, &record, &out->operations, err);
    if (rc == TXKV_NOMEM)
        return rc;
    if (rc != TXKV_NOTFOUND)
        return tx_fail(err, TXKV_CORRUPT,
                       "store %s: the log record at LSN %llu is intact but cannot be read; it was "
                       "not written by this program",
                       log->core->dir, (unsigned long long)record.lsn);
    out->lsn = record.lsn;
    out->bytes = record.length;
    out->type = type_name(record.type);
    out->tables = log->tables;
    out->table_count = log->count;
    out->time_ms = tx_peek_ms(log->peek);
    out->durable = record.lsn + record.length <= log->durable_lsn;
    out->checkpointed = record.lsn < log->checkpoint_lsn;
    return TXKV_OK;
}

void
txkv_log_close(struct txkv_log *log)
{
    if (log == NULL)
        return;
    tx_peek_close(log->peek);
    tx_free(log->tables);
    tx_free(log);
}
