/*
 * cursor.c - the merged scan: own writes, memtables and LMDB, in key order, in either direction.
 */
#include "cursor.h"

#include <string.h>

#include "expire.h"

enum place {
    UNPLACED, /* before the first seek, or after one that failed */
    ON_ROW,
    AT_END
};

/* An overlay source: one skip list. */
struct source {
    const struct tx_skiplist *list;
    struct tx_node *node;             /* the row it stands on, or NULL at its end */
    const struct tx_version *version; /* what the cursor sees of it */
    bool own;                         /* the transaction's writes, not a memtable */
};

struct txkv_cursor {
    struct txkv_session *session;
    uint32_t table;
    struct tx_txn *txn;                  /* NULL until placed */
    struct txkv_cursor *next, *previous; /* in txn's list */
    enum place place;
    bool descending, point;
    struct tx_key key; /* the row */
    struct txkv_bytes value;
    bool own_value;        /* value.data is in the transaction's record, which may move: */
    uint32_t own_value_at; /* so it is looked up again from here */

    struct tx_tree_cursor *tree;
    struct tx_tree_pair pair; /* the row LMDB stands on; key NULL at its end */

    struct source *sources; /* newest first */
    uint32_t source_count, source_room;

    /* The range; data points into the buffers, NULL for an open end. */
    struct tx_key lo, hi;
    bool lo_open, hi_open;

    uint8_t *copy; /* of key and value, where the session has a guard */
    size_t copy_room;
    uint8_t lo_buffer[TXKV_KEY_BYTES_MAX + 1], hi_buffer[TXKV_KEY_BYTES_MAX + 1];
};

/* ---- overlay sources ---- */

static const struct tx_version *
visible(const struct txkv_cursor *cursor, const struct source *source, const struct tx_node *node)
{
    if (source->own)
        return tx_node_newest(node);
    return tx_node_visible(node, cursor->txn->snapshot.base, cursor->txn->snapshot.snap);
}

/* Move on from `node`, it included, to the first row that the cursor sees. */
static void
settle(const struct txkv_cursor *cursor, struct source *source, struct tx_node *node)
{
    source->version = NULL;
    while (node != NULL && node->key.table == cursor->table) {
        source->version = visible(cursor, source, node);
        if (source->version != NULL)
            break;
        node = cursor->descending ? tx_node_prev(source->list, node) : tx_node_next(node);
    }
    source->node = source->version == NULL ? NULL : node;
}

static void
seek_source(const struct txkv_cursor *cursor, struct source *source)
{
    const struct tx_key table_start = { (const uint8_t *)"", 0, cursor->table };
    const struct tx_key next_table = { (const uint8_t *)"", 0, cursor->table + 1 };
    struct tx_node *node;

    if (!cursor->descending)
        node = tx_skiplist_first_ge(source->list,
                                    cursor->lo.data == NULL ? &table_start : &cursor->lo);
    else
        node =
            tx_skiplist_last_le(source->list, cursor->hi.data == NULL ? &next_table : &cursor->hi);
    settle(cursor, source, node);
}

static void
step_source(const struct txkv_cursor *cursor, struct source *source)
{
    settle(cursor, source,
           cursor->descending ? tx_node_prev(source->list, source->node)
                              : tx_node_next(source->node));
}

static void
source_value(const struct txkv_cursor *cursor, const struct source *source,
             struct txkv_bytes *value)
{
    if (source->own) {
        const struct tx_writeset *writes = &cursor->txn->writes;
        const struct tx_write *write = &writes->writes[source->version->tag];

        *value = (struct txkv_bytes){ tx_write_value(writes, write), write->value_bytes };
    } else {
        *value = (struct txkv_bytes){ source->version->value, source->version->value_bytes };
    }
}

static enum txkv_rc
add_source(struct txkv_cursor *cursor, const struct tx_skiplist *list, bool own,
           struct txkv_error *err)
{
    if (cursor->source_count == cursor->source_room) {
        const uint32_t room = cursor->source_room == 0 ? 4 : cursor->source_room * 2;
        struct source *sources = tx_realloc(cursor->sources, room * sizeof *sources);

        if (sources == NULL)
            return tx_fail_nomem(err);
        cursor->sources = sources;
        cursor->source_room = room;
    }
    cursor->sources[cursor->source_count] = (struct source){ .list = list, .own = own };
    seek_source(cursor, &cursor->sources[cursor->source_count]);
    /* A source that is at its end already never comes back: own writes made later may be missed, as
     * in SQLite. */
    cursor->source_count += cursor->sources[cursor->source_count].node != NULL;
    return TXKV_OK;
}

static enum txkv_rc
seek_sources(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const struct tx_snapshot *snapshot = &cursor->txn->snapshot;
    enum txkv_rc rc = TXKV_OK;

    cursor->source_count = 0;
    if (cursor->txn->writes.count > 0) {
        const struct tx_skiplist *list = tx_writeset_list(&cursor->txn->writes);

        if (list == NULL)
            return tx_fail_nomem(err);
        rc = add_source(cursor, list, true, err);
    }
    for (uint32_t i = 0; rc == TXKV_OK && i < snapshot->view->count; i++)
        if (tx_snapshot_sees(snapshot, snapshot->view->memtables[i]))
            rc = add_source(cursor, &snapshot->view->memtables[i]->list, false, err);
    return rc;
}

/* ---- the LMDB source ---- */

static enum txkv_rc
tree_result(struct txkv_cursor *cursor, enum txkv_rc rc)
{
    if (rc == TXKV_OK)
        return TXKV_OK;
    cursor->pair.key = NULL;
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

static enum txkv_rc
step_tree(struct txkv_cursor *cursor, struct txkv_error *err)
{
    return tree_result(cursor, cursor->descending
                                   ? tx_tree_cursor_prev(cursor->tree, &cursor->pair, err)
                                   : tx_tree_cursor_next(cursor->tree, &cursor->pair, err));
}

static enum txkv_rc
seek_tree(struct txkv_cursor *cursor, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (cursor->tree == NULL)
        rc = tx_tree_cursor_open(cursor->txn->snapshot.read, cursor->table, &cursor->tree, err);
    if (rc != TXKV_OK)
        return rc;
    if (cursor->descending)
        rc = tx_tree_cursor_seek_le(cursor->tree, cursor->hi.data, cursor->hi.bytes, &cursor->pair,
                                    err);
    else
        rc = tx_tree_cursor_seek_ge(cursor->tree, cursor->lo.data, cursor->lo.bytes, &cursor->pair,
                                    err);
    return tree_result(cursor, rc);
}

/* ---- merging ---- */

static struct tx_key
tree_key(const struct txkv_cursor *cursor)
{
    return (struct tx_key){ cursor->pair.key, cursor->pair.key_bytes, cursor->table };
}

/* True when the cursor would return a before b. */
static bool
comes_first(const struct txkv_cursor *cursor, const struct tx_key *a, const struct tx_key *b)
{
    const int c = tx_key_compare(a, b);

    return cursor->descending ? c > 0 : c < 0;
}

/*
 * Take the next key from the sources into cursor->key and ->value, and move all that stand on it.
 * *deleted is true for a tombstone. False at the end of all sources.
 */
static bool
take_next(struct txkv_cursor *cursor, bool *deleted, bool *tree_moves)
{
    const struct source *winner = NULL;
    struct tx_key key = { NULL, 0, 0 };

    /* The transaction may have written, or undone, the row since the cursor came to it. */
    if (cursor->source_count > 0 && cursor->sources[0].own)
        settle(cursor, &cursor->sources[0], cursor->sources[0].node);
    for (uint32_t i = 0; i < cursor->source_count; i++) {
        const struct source *source = &cursor->sources[i];

        if (source->node != NULL &&
            (winner == NULL || comes_first(cursor, &source->node->key, &key))) {
            winner = source;
            key = source->node->key;
        }
    }
    *tree_moves = false;
    if (cursor->pair.key != NULL) {
        const struct tx_key in_tree = tree_key(cursor);
        const int c = winner == NULL ? -1 : tx_key_compare(&in_tree, &key);

        *tree_moves = winner == NULL || c == 0 || (c < 0) != cursor->descending;
        if (winner == NULL || (*tree_moves && c != 0)) {
            winner = NULL;
            key = in_tree;
        }
    } else if (winner == NULL) {
        return false;
    }
    cursor->key = key;
    *deleted = false;
    if (winner == NULL) {
        cursor->value = (struct txkv_bytes){ cursor->pair.value, cursor->pair.value_bytes };
        return true;
    }
    source_value(cursor, winner, &cursor->value);
    *deleted = cursor->value.data == NULL;
    for (uint32_t i = 0; i < cursor->source_count; i++) {
        struct source *source = &cursor->sources[i];

        if (source->node != NULL &&
            (source == winner || tx_key_compare(&source->node->key, &key) == 0))
            step_source(cursor, source);
    }
    return true;
}

/* Remember where an own write's value stands in the record rather than in memory. */
static void
anchor_value(struct txkv_cursor *cursor)
{
    const struct tx_writeset *writes = &cursor->txn->writes;
    const uintptr_t at = (uintptr_t)cursor->value.data - (uintptr_t)writes->record;

    cursor->own_value = writes->count > 0 && at < writes->record_used;
    cursor->own_value_at = cursor->own_value ? (uint32_t)at : 0;
}

/* True when the key lies before the range's first key in the direction of the walk: an excluded
 * bound. */
static bool
before_range(const struct txkv_cursor *cursor)
{
    if (cursor->descending)
        return cursor->hi.data != NULL && cursor->hi_open &&
               tx_key_compare(&cursor->key, &cursor->hi) >= 0;
    return cursor->lo.data != NULL && cursor->lo_open &&
           tx_key_compare(&cursor->key, &cursor->lo) <= 0;
}

static bool
beyond_range(const struct txkv_cursor *cursor)
{
    int c;

    if (cursor->descending) {
        if (cursor->lo.data == NULL)
            return false;
        c = tx_key_compare(&cursor->key, &cursor->lo);
        return c < 0 || (c == 0 && cursor->lo_open);
    }
    if (cursor->hi.data == NULL)
        return false;
    c = tx_key_compare(&cursor->key, &cursor->hi);
    return c > 0 || (c == 0 && cursor->hi_open);
}

static enum txkv_rc
next_row(struct txkv_cursor *cursor, struct txkv_error *err)
{
    bool deleted, tree_moves;

    for (;;) {
        enum txkv_rc rc;

        if (!take_next(cursor, &deleted, &tree_moves) || beyond_range(cursor)) {
            cursor->place = AT_END;
            return TXKV_NOTFOUND;
        }
        /* LMDB's bytes stay where they are until the read ends, so its cursor may move on now. */
        if (tree_moves) {
            rc = step_tree(cursor, err);
            if (rc != TXKV_OK) {
                cursor->place = UNPLACED;
                cursor->txn->incomplete = true; /* what it has read is forgotten */
                return rc;
            }
        }
        if (!deleted && !before_range(cursor)) {
            cursor->place = ON_ROW;
            anchor_value(cursor);
            return TXKV_OK;
        }
    }
}

/* ---- what was read ---- */

/* Add what this placing of the cursor has read to the transaction's read set. */
static enum txkv_rc
flush_reads(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const struct tx_key *lo = &cursor->lo, *hi = &cursor->hi;

    if (cursor->place == UNPLACED || cursor->point || !cursor->txn->begun)
        return TXKV_OK;
    if (cursor->place == ON_ROW && cursor->descending)
        lo = &cursor->key;
    else if (cursor->place == ON_ROW)
        hi = &cursor->key;
    return tx_readset_add(&cursor->txn->reads, lo, hi, err);
}

enum txkv_rc
tx_cursor_flush_reads(struct tx_txn *txn, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (struct txkv_cursor *cursor = txn->cursors; cursor != NULL && rc == TXKV_OK;
         cursor = cursor->next)
        rc = flush_reads(cursor, err);
    return rc;
}

/* ---- the public calls ---- */

enum txkv_rc
txkv_cursor_open(struct txkv_session *session, uint32_t table, struct txkv_cursor **out,
                 struct txkv_error *err)
{
    enum txkv_rc rc = tx_check_fork(session->core, err);
    struct txkv_cursor *cursor;

    *out = NULL;
    if (rc == TXKV_OK)
        rc = tx_catalog_check(&session->core->catalog, table, err);
    if (rc != TXKV_OK)
        return rc;
    cursor = tx_malloc(sizeof *cursor);
    if (cursor == NULL)
        return tx_fail_nomem(err);
    /* The two key buffers at the end need no clearing. */
    memset(cursor, 0, offsetof(struct txkv_cursor, lo_buffer));
    cursor->session = session;
    cursor->table = table;
    *out = cursor;
    return TXKV_OK;
}

static void
leave_txn(struct txkv_cursor *cursor)
{
    struct tx_txn *txn = cursor->txn;

    if (txn == NULL)
        return;
    if (cursor->tree != NULL)
        tx_tree_cursor_close(cursor->tree);
    cursor->tree = NULL;
    if (cursor->next != NULL)
        cursor->next->previous = cursor->previous;
    if (cursor->previous != NULL)
        cursor->previous->next = cursor->next;
    else
        txn->cursors = cursor->next;
    cursor->txn = NULL;
    tx_txn_unref(txn);
}

/* Belong to the session's current transaction. */
static enum txkv_rc
join_txn(struct txkv_cursor *cursor, struct txkv_error *err)
{
    struct tx_txn *txn;
    enum txkv_rc rc;

    if (cursor->txn != NULL && cursor->txn == cursor->session->current)
        return TXKV_OK;
    leave_txn(cursor);
    rc = tx_txn_current(cursor->session, &txn, err);
    if (rc != TXKV_OK)
        return rc;
    tx_txn_ref(txn);
    cursor->txn = txn;
    cursor->previous = NULL;
    cursor->next = txn->cursors;
    if (cursor->next != NULL)
        cursor->next->previous = cursor;
    txn->cursors = cursor;
    return TXKV_OK;
}

void
txkv_cursor_close(struct txkv_cursor *cursor)
{
    struct txkv_session *session;

    if (cursor == NULL || tx_check_fork(cursor->session->core, NULL) != TXKV_OK)
        return;
    session = cursor->session;
    tx_guard_enter(session);
    /* A range that could not be kept must not let a commit through that depends on it. */
    if (cursor->txn != NULL && flush_reads(cursor, NULL) != TXKV_OK)
        cursor->txn->incomplete = true;
    leave_txn(cursor);
    tx_guard_leave(session);
    tx_free(cursor->copy);
    tx_free(cursor->sources);
    tx_free(cursor);
}

static enum txkv_rc
copy_bound(struct txkv_bytes bound, uint32_t table, uint8_t *buffer, struct tx_key *key,
           struct txkv_error *err)
{
    *key = (struct tx_key){ NULL, 0, table };
    if (bound.data == NULL)
        return TXKV_OK;
    if (bound.bytes == 0 || bound.bytes > TXKV_KEY_BYTES_MAX)
        return tx_fail(err, TXKV_MISUSE, "a bound has 1 to %u bytes, not %zu", TXKV_KEY_BYTES_MAX,
                       bound.bytes);
    memcpy(buffer, bound.data, bound.bytes);
    *key = (struct tx_key){ buffer, (uint32_t)bound.bytes, table };
    return TXKV_OK;
}

static enum txkv_rc
seek_point(struct txkv_cursor *cursor, struct txkv_error *err)
{
    enum txkv_rc rc;

    cursor->point = true;
    cursor->key = cursor->lo;
    rc = tx_txn_get(cursor->txn, &cursor->key, &cursor->value, err);
    cursor->place = rc == TXKV_OK ? ON_ROW : rc == TXKV_NOTFOUND ? AT_END : UNPLACED;
    if (rc == TXKV_OK)
        anchor_value(cursor);
    return rc;
}

/* Keep the row where it stays when the snapshot is ended. */
static enum txkv_rc
keep_row(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const size_t value_bytes = cursor->own_value ? 0 : cursor->value.bytes;
    const size_t bytes = cursor->key.bytes + value_bytes;

    if (bytes > cursor->copy_room) {
        uint8_t *copy = tx_realloc(cursor->copy, bytes + 64);

        if (copy == NULL) {
            cursor->place = UNPLACED;
            cursor->txn->incomplete = true; /* what it has read is forgotten */
            return tx_fail_nomem(err);
        }
        cursor->copy = copy;
        cursor->copy_room = bytes + 64;
    }
    memcpy(cursor->copy, cursor->key.data, cursor->key.bytes);
    cursor->key.data = cursor->copy;
    if (cursor->own_value)
        return TXKV_OK;
    memcpy(cursor->copy + cursor->key.bytes, cursor->value.data, value_bytes);
    cursor->value.data = cursor->copy + cursor->key.bytes;
    return TXKV_OK;
}

static enum txkv_rc
place_on(struct txkv_cursor *cursor, const struct txkv_range *range, struct txkv_error *err)
{
    enum txkv_rc rc = cursor->txn == NULL ? TXKV_OK : flush_reads(cursor, err);

    if (rc != TXKV_OK)
        return rc; /* what it has read is still to be kept */
    cursor->place = UNPLACED;
    rc = join_txn(cursor, err);
    if (rc == TXKV_OK)
        rc = tx_txn_snapshot(cursor->txn, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(&cursor->session->core->catalog, cursor->table,
                                    cursor->txn->snapshot.snap, err);
    if (rc == TXKV_OK)
        rc = copy_bound(range->lo, cursor->table, cursor->lo_buffer, &cursor->lo, err);
    if (rc == TXKV_OK)
        rc = copy_bound(range->hi, cursor->table, cursor->hi_buffer, &cursor->hi, err);
    if (rc != TXKV_OK)
        return rc;
    cursor->lo_open = range->lo_open;
    cursor->hi_open = range->hi_open;
    cursor->descending = range->descending;
    cursor->point = false;
    if (cursor->lo.data != NULL && cursor->hi.data != NULL && !cursor->lo_open &&
        !cursor->hi_open && cursor->lo.bytes == cursor->hi.bytes &&
        memcmp(cursor->lo.data, cursor->hi.data, cursor->lo.bytes) == 0)
        return seek_point(cursor, err);
    rc = seek_sources(cursor, err);
    if (rc == TXKV_OK)
        rc = seek_tree(cursor, err);
    return rc == TXKV_OK ? next_row(cursor, err) : rc;
}

enum txkv_rc
txkv_cursor_seek(struct txkv_cursor *cursor, const struct txkv_range *range, struct txkv_error *err)
{
    struct txkv_session *session = cursor->session;
    enum txkv_rc rc = tx_check_fork(session->core, err);

    if (rc != TXKV_OK)
        return rc;
    tx_guard_enter(session);
    rc = place_on(cursor, range, err);
    if (rc == TXKV_OK && tx_guarded(session))
        rc = keep_row(cursor, err);
    tx_guard_leave(session);
    return rc;
}

/* Not inline, or it takes registers from the way without a guard. */
__attribute__((noinline)) static enum txkv_rc
next_row_guarded(struct txkv_cursor *cursor, struct txkv_error *err)
{
    enum txkv_rc rc;

    tx_guard_enter(cursor->session);
    rc = tx_expire_check(cursor->txn, err);
    if (rc == TXKV_OK)
        rc = next_row(cursor, err);
    if (rc == TXKV_OK)
        rc = keep_row(cursor, err);
    tx_guard_leave(cursor->session);
    return rc;
}

enum txkv_rc
txkv_cursor_next(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const enum txkv_rc rc = tx_check_fork(cursor->session->core, err);

    if (rc != TXKV_OK)
        return rc;
    if (cursor->place == AT_END)
        return TXKV_NOTFOUND;
    if (cursor->place == UNPLACED)
        return tx_fail(err, TXKV_MISUSE, "the cursor has not been placed");
    if (cursor->point) {
        cursor->place = AT_END;
        return TXKV_NOTFOUND;
    }
    return tx_guarded(cursor->session) ? next_row_guarded(cursor, err) : next_row(cursor, err);
}

struct txkv_bytes
txkv_cursor_key(const struct txkv_cursor *cursor)
{
    assert(cursor->place == ON_ROW);
    return (struct txkv_bytes){ cursor->key.data, cursor->key.bytes };
}

struct txkv_bytes
txkv_cursor_value(const struct txkv_cursor *cursor)
{
    assert(cursor->place == ON_ROW);
    if (cursor->own_value)
        return (struct txkv_bytes){ cursor->txn->writes.record + cursor->own_value_at,
                                    cursor->value.bytes };
    return cursor->value;
}
