/*
 * validate.c - may a transaction commit?
 *
 * Two ways to the same answer. A transaction that has read a few single keys and no range looks
 * each of them up in the memtables. Any other one goes through what was committed since its
 * snapshot, newest first, and asks of each key whether it has been read: the log records say which
 * keys those are.
 */
#include "validate.h"

#include <stdio.h>
#include <string.h>

enum { KEY_TEXT_BYTES = 80, CONFLICT_KEY_SPARE = 64 };

static enum txkv_rc
fail_on(struct txkv_session *session, const struct tx_key *key, bool written,
        struct txkv_error *err)
{
    struct tx_counters *counters = &session->core->counters;

    tx_count(written ? &counters->conflicts_written : &counters->conflicts_read, 1);
    session->conflict_table = key->table;
    if (key->bytes > session->conflict_key_room) {
        uint8_t *room = tx_realloc(session->conflict_key, key->bytes + CONFLICT_KEY_SPARE);

        if (room == NULL) /* a conflict all the same */
            return tx_fail(err, TXKV_CONFLICT,
                           "a key was changed by another transaction after this one read it (no "
                           "memory to say which); run the transaction again");
        session->conflict_key = room;
        session->conflict_key_room = key->bytes + CONFLICT_KEY_SPARE;
    }
    session->conflict_key_bytes = key->bytes;
    memcpy(session->conflict_key, key->data, key->bytes);
    return TXKV_CONFLICT;
}

/* A key that was read has a version that the snapshot lacks: does that matter? */
static enum txkv_rc
judge(struct txkv_session *session, const struct tx_key *key, uint64_t hash, struct txkv_error *err)
{
    const bool written = tx_writeset_find(&session->current->writes, key, hash) != NULL;

    if (!written && session->isolation == TXKV_SNAPSHOT)
        return TXKV_OK;
    return fail_on(session, key, written, err);
}

static enum txkv_rc
check_points(struct txkv_session *session, const struct tx_view *view, struct txkv_error *err)
{
    const struct tx_txn *txn = session->current;
    const uint64_t snap = txn->snapshot.snap;
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t i = 0; i < txn->reads.point_count && rc == TXKV_OK; i++) {
        const struct tx_key *key = &txn->reads.point_keys[i];
        const uint64_t hash = tx_key_hash(key);

        /* Older memtables end before newer ones. */
        for (uint32_t m = 0; m < view->count && view->memtables[m]->end_lsn > snap; m++) {
            const struct tx_node *node = tx_memtable_get(view->memtables[m], key, hash);
            const struct tx_version *newest = node == NULL ? NULL : tx_node_newest(node);

            if (newest == NULL || newest->lsn < snap)
                continue;
            rc = judge(session, key, hash, err);
            break;
        }
    }
    return rc;
}

/* One transaction that was committed after the snapshot. */
static enum txkv_rc
check_record(struct txkv_session *session, const uint8_t *body, const uint8_t *end,
             struct txkv_error *err)
{
    const struct tx_readset *reads = &session->current->reads;
    struct tx_op op;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && tx_op_next(&body, end, &op) == TXKV_OK) {
        const struct tx_key key = { op.key, op.key_bytes, op.table };
        const uint64_t hash = tx_key_hash(&key);

        if (tx_readset_covers(reads, &key, hash))
            rc = judge(session, &key, hash, err);
    }
    return rc;
}

static enum txkv_rc
check_history(struct txkv_session *session, const struct tx_view *view, struct txkv_error *err)
{
    const uint64_t snap = session->current->snapshot.snap;
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t m = 0; m < view->count && view->memtables[m]->end_lsn > snap; m++) {
        const struct tx_recent *recent = view->memtables[m]->recent;

        for (; recent != NULL && recent->lsn >= snap; recent = recent->older) {
            rc = check_record(session, recent->body, recent->body + recent->body_bytes, err);
            if (rc != TXKV_OK)
                return rc;
        }
    }
    return rc;
}

static bool
wrote_what_it_read(const struct tx_txn *txn)
{
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct tx_write *write = &txn->writes.writes[i];
        const struct tx_key key = tx_write_key(&txn->writes, write);

        if (tx_readset_covers(&txn->reads, &key, write->hash))
            return true;
    }
    return false;
}

/* Tables were dropped since the transaction began: it must not have written one of them, nor, to be
 * serializable, have read one. */
static enum txkv_rc
check_drops(struct txkv_session *session, struct txkv_error *err)
{
    struct tx_catalog *catalog = &session->core->catalog;
    const struct tx_txn *txn = session->current;
    const struct tx_readset *reads = &txn->reads;
    const uint32_t points = reads->point_count <= TX_READSET_SMALL ? reads->point_count : 0;
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t i = 0; i < txn->writes.count && rc == TXKV_OK; i++)
        rc =
            tx_catalog_check_alive(catalog, tx_write_op(&txn->writes, &txn->writes.writes[i]).table,
                                   TX_CATALOG_ALIVE, err);
    if (rc != TXKV_OK || tx_readset_empty(reads) || session->isolation == TXKV_SNAPSHOT)
        return rc;
    for (uint32_t i = 0; i < points && rc == TXKV_OK; i++)
        rc = tx_catalog_check_alive(catalog, reads->point_keys[i].table, TX_CATALOG_ALIVE, err);
    /* Of many points the hashes alone are kept: any table may have been read. */
    if (rc == TXKV_OK && points == reads->point_count)
        for (uint32_t i = 0; i < reads->count && rc == TXKV_OK; i++)
            rc = tx_catalog_check_alive(catalog, reads->ranges[i].lo.table, TX_CATALOG_ALIVE, err);
    else if (rc == TXKV_OK)
        rc = TXKV_SCHEMA;
    return rc == TXKV_OK
               ? rc
               : tx_fail(err, TXKV_CONFLICT,
                         "a table that the transaction has read, or may have read, was dropped "
                         "since; run it again");
}

enum txkv_rc
tx_validate(struct txkv_session *session, struct txkv_error *err)
{
    const struct tx_txn *txn = session->current;
    const struct tx_view *view = tx_views_current(&session->core->views);
    const uint64_t snap = txn->snapshot.snap;

    if (txn->drops != tx_load_acquire_32(&session->core->catalog.drops)) {
        const enum txkv_rc rc = check_drops(session, err);

        if (rc != TXKV_OK)
            return rc;
    }
    if (tx_readset_empty(&txn->reads) || view->memtables[0]->end_lsn <= snap)
        return TXKV_OK;
    if (snap < view->history_lsn) {
        if (session->isolation == TXKV_SNAPSHOT && !wrote_what_it_read(txn))
            return TXKV_OK;
        tx_count(&session->core->counters.conflicts_history, 1);
        return tx_fail(err, TXKV_CONFLICT,
                       "the transaction is older than the history that is kept to check it (its "
                       "snapshot is LSN %llu, history starts at %llu); run it again",
                       (unsigned long long)snap, (unsigned long long)view->history_lsn);
    }
    if (tx_readset_is_small(&txn->reads))
        return check_points(session, view, err);
    return check_history(session, view, err);
}

/* A key for a message: printable characters as they are, the rest as \xNN. */
static void
key_text(const struct tx_key *key, char text[KEY_TEXT_BYTES])
{
    size_t used = 0;

    for (uint32_t i = 0; i < key->bytes && used + 8 < KEY_TEXT_BYTES; i++) {
        if (key->data[i] >= 0x20 && key->data[i] < 0x7f)
            text[used++] = (char)key->data[i];
        else
            used += (size_t)snprintf(text + used, KEY_TEXT_BYTES - used, "\\x%02x", key->data[i]);
    }
    text[used] = '\0';
}

enum txkv_rc
tx_validate_message(const struct txkv_session *session, struct txkv_error *err)
{
    const struct tx_key key = { session->conflict_key, session->conflict_key_bytes,
                                session->conflict_table };
    struct tx_catalog *catalog = &session->core->catalog;
    const struct tx_catalog_entry *table;
    char text[KEY_TEXT_BYTES];
    enum txkv_rc rc;

    key_text(&key, text);
    (void)pthread_mutex_lock(&catalog->mutex);
    table = tx_catalog_by_number(catalog, key.table);
    rc = tx_fail(err, TXKV_CONFLICT,
                 "table %s: key %s was changed by another transaction after this one read it; run "
                 "the transaction again",
                 table == NULL ? "?" : table->name, text);
    (void)pthread_mutex_unlock(&catalog->mutex);
    return rc;
}
