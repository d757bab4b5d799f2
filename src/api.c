/*
 * api.c - the public calls that need more of a store than a session has: commits, checkpoints,
 * verification.
 */
#include <string.h>

#include "apply.h"
#include "expire.h"
#include "prepare.h"
#include "store.h"

const char *
txkv_dir(const struct txkv *store)
{
    return store->core.dir;
}

enum txkv_rc
txkv_session_open(struct txkv *store, struct txkv_session **out, struct txkv_error *err)
{
    return tx_session_open(&store->core, out, err);
}

/* ---- commits and maintenance ---- */

enum txkv_rc
txkv_commit(struct txkv_session *session, enum txkv_sync sync, struct txkv_error *err)
{
    struct txkv *store = TX_CONTAINER(session->core, struct txkv, core);
    enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (session->current->prepared_lsn != 0)
        return tx_fail(err, TXKV_MISUSE,
                       "the transaction is prepared: call txkv_commit_prepared, or roll it back");
    tx_guard_enter(session);
    rc = tx_expire_check_commit(session->current, err);
    if (rc == TXKV_OK)
        rc = tx_commit_transaction(&store->commit, session, sync, err);
    if (rc == TXKV_OK)
        tx_txn_end(session);
    tx_guard_leave(session);
    return rc;
}

static enum txkv_rc
prepare(struct txkv_session *session, struct txkv_bytes note, struct txkv_error *err)
{
    struct tx_core *core = session->core;
    struct txkv *store = TX_CONTAINER(core, struct txkv, core);
    enum txkv_rc rc = tx_prepare_claim(core, err);

    if (rc != TXKV_OK)
        return rc;
    rc = tx_commit_prepare(&store->commit, session, note, err);
    if (rc != TXKV_OK && session->current->prepared_lsn != 0)
        tx_prepare_end(session, false);
    else if (rc != TXKV_OK)
        tx_prepare_unclaim(core);
    return rc;
}

enum txkv_rc
txkv_prepare(struct txkv_session *session, struct txkv_bytes note, struct txkv_error *err)
{
    struct tx_core *core = session->core;
    enum txkv_rc rc = tx_check_fork(core, err);

    if (rc != TXKV_OK)
        return rc;
    if (!txkv_in_transaction(session))
        return tx_fail(err, TXKV_MISUSE, "no transaction is open: call txkv_begin first");
    if (session->current->prepared_lsn != 0 || session->current->writes.count == 0)
        return TXKV_OK;
    rc = tx_refuse_readonly(core, err);
    if (rc != TXKV_OK)
        return rc;
    tx_guard_enter(session);
    rc = tx_expire_check_commit(session->current, err);
    if (rc == TXKV_OK)
        rc = prepare(session, note, err);
    tx_guard_leave(session);
    return rc;
}

uint64_t
txkv_store_id(const struct txkv *store)
{
    return store->core.store_id;
}

enum txkv_rc
txkv_checkpoint(struct txkv *store, struct txkv_checkpoint_report *report, struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(&store->core, err);
    return rc == TXKV_OK ? tx_checkpoint_run(&store->checkpoint, TX_LSN_NONE, report, err) : rc;
}

void
txkv_recovery(const struct txkv *store, struct txkv_recovery_report *report)
{
    *report = store->recovery;
}

enum txkv_rc
txkv_verify(struct txkv *store, struct txkv_recovery_report *report, struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(&store->core, err);

    if (rc == TXKV_OK)
        rc = tx_refuse_readonly(&store->core, err);
    return rc == TXKV_OK ? tx_checkpoint_verify(&store->checkpoint, report, err) : rc;
}

enum txkv_rc
txkv_check_pages(struct txkv *store, struct txkv_pages_report *report, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_check_fork(&store->core, err);
    uint64_t unreadable;

    return rc == TXKV_OK ? tx_tree_check(store->core.tree, report, &unreadable, err) : rc;
}
