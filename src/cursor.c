/*
 * cursor.c - the merged scan: own writes, memtables and LMDB, in key order, in either direction.
 */
#include "cursor_private.h"

#include <string.h>

#include "bytes.h"
#include "expire.h"

/* ---- the LMDB source ---- */

static enum txkv_rc
tree_result(struct txkv_cursor *cursor, enum txkv_rc rc)
{
    if (rc == TXKV_OK)
        return TXKV_OK;
    cursor->pair.key = NULL;
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

static inline enum txkv_rc
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
    cursor->pair_taken = false;
    return tree_result(cursor, rc);
}

/* ---- stepping ---- */

/* Remember where an own write's value stands in the record rather than in memory. */
static void
anchor_value(struct txkv_cursor *cursor)
{
    const struct tx_writeset *writes = &cursor->txn->writes;
    const uintptr_t at = (uintptr_t)cursor->value.data - (uintptr_t)writes->record.at;

    cursor->own_value = writes->count > 0 && at < writes->record_used;
    cursor->own_value_at = cursor->own_value ? (uint32_t)at : 0;
}

/* Whether the row lies outside the lower bound of the range, or the upper one. */
static inline bool
is_outside(const struct txkv_cursor *cursor, bool lower)
{
    const struct tx_key *key = &cursor->key, *bound = lower ? &cursor->lo : &cursor->hi;
    int c;

    if (bound->data == NULL)
        return false;
    c = memcmp(key->data, bound->data, tx_min_u64(key->bytes, bound->bytes));
    if (c == 0 && key->bytes == bound->bytes)
        return lower ? cursor->lo_open : cursor->hi_open;
    return (c != 0 ? c < 0 : key->bytes < bound->bytes) == lower;
}

static enum txkv_rc
end_walk(struct txkv_cursor *cursor)
{
    cursor->place = AT_END;
    cursor->near = NULL;
    return TXKV_NOTFOUND;
}

static enum txkv_rc
lose_place(struct txkv_cursor *cursor, enum txkv_rc rc)
{
    cursor->place = UNPLACED;
    cursor->near = NULL;
    cursor->txn->incomplete = true; /* what it has read is forgotten */
    return rc;
}

static inline void
copy_pair(struct txkv_cursor *cursor, const struct tx_tree_pair *pair)
{
    cursor->key.data = pair->key;
    cursor->key.bytes = pair->key_bytes;
    cursor->value = (struct txkv_bytes){ pair->value, pair->value_bytes };
}

/* Stand on LMDB's pair. */
static enum txkv_rc
take_pair(struct txkv_cursor *cursor)
{
    if (cursor->pair.key == NULL)
        return end_walk(cursor);
    copy_pair(cursor, &cursor->pair);
    cursor->own_value = false;
    if (is_outside(cursor, cursor->descending))
        return end_walk(cursor);
    cursor->pair_taken = true;
    cursor->place = ON_ROW;
    return TXKV_OK;
}

/* Whether LMDB's pair comes before the overlay's next row, which is known. */
static inline bool
is_pair_first(const struct txkv_cursor *cursor)
{
    const struct tx_node *ahead = cursor->ahead;
    const struct tx_tree_pair *pair = &cursor->pair;
    const struct tx_key in_tree = { pair->key, pair->key_bytes, cursor->table };
    int c;

    if (pair->key == NULL)
        return false;
    if (pair->key_bytes >= TX_PREFIX_BYTES) {
        for (uint32_t i = 0; i < TX_PREFIX_WORDS; i++) {
            const uint64_t word = tx_get_be64(pair->key + i * sizeof word); /* as tx_key_prefix */

            if (word != ahead->prefix[i])
                return (word < ahead->prefix[i]) != cursor->descending;
        }
    }
    c = tx_key_compare(&in_tree, &ahead->key);
    return c != 0 && (c < 0) != cursor->descending;
}

/* take_pair where LMDB alone has rows: txkv_cursor_next may take the next ones of the page. */
static enum txkv_rc
take_pair_alone(struct txkv_cursor *cursor)
{
    const enum txkv_rc rc = take_pair(cursor);

    if (rc == TXKV_OK)
        cursor->near = tx_tree_cursor_walk(cursor->tree);
    return rc;
}

/* next_row where LMDB alone has rows, as it has for many scans; not the first one after a seek. */
static inline enum txkv_rc
next_in_tree(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const enum txkv_rc rc = step_tree(cursor, err);

    return rc == TXKV_OK ? take_pair_alone(cursor) : lose_place(cursor, rc);
}

/* The first one, the only one that can be the end that the range leaves out. */
static enum txkv_rc
first_in_tree(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const bool first_open = cursor->descending ? cursor->hi_open : cursor->lo_open;
    const enum txkv_rc rc = take_pair_alone(cursor);

    if (rc != TXKV_OK || !first_open || !is_outside(cursor, !cursor->descending))
        return rc;
    return next_in_tree(cursor, err);
}

/* The next row of all sources. */
static enum txkv_rc
merge_row(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const bool first_open = cursor->descending ? cursor->hi_open : cursor->lo_open;
    bool deleted;

    for (;;) {
        if (cursor->pair_taken) {
            const enum txkv_rc rc = step_tree(cursor, err);

            if (rc != TXKV_OK)
                return lose_place(cursor, rc);
        }
        if (cursor->ahead != NULL && is_pair_first(cursor))
            return take_pair(cursor);
        if (!tx_cursor_take_next(cursor, &deleted) || is_outside(cursor, cursor->descending))
            return end_walk(cursor);
        if (!deleted && !(first_open && is_outside(cursor, !cursor->descending))) {
            cursor->place = ON_ROW;
            anchor_value(cursor);
            return TXKV_OK;
        }
    }
}

/* The first row after a seek. */
static enum txkv_rc
first_row(struct txkv_cursor *cursor, struct txkv_error *err)
{
    return cursor->source_count == 0 ? first_in_tree(cursor, err) : merge_row(cursor, err);
}

/*
 * The next row. The cursor over LMDB's rows steps when its next pair is asked for, not before: who
 * wants one row has it from the seek.
 */
static inline enum txkv_rc
next_row(struct txkv_cursor *cursor, struct txkv_error *err)
{
    return cursor->source_count == 0 ? next_in_tree(cursor, err) : merge_row(cursor, err);
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
    cursor = session->spare_cursor;
    session->spare_cursor = NULL;
    if (cursor == NULL)
        cursor = tx_zalloc(sizeof *cursor);
    if (cursor == NULL)
        return tx_fail_nomem(err);
    cursor->session = session;
    cursor->table = cursor->key.table = table;
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

static void
enter_txn(struct txkv_cursor *cursor, struct tx_txn *txn)
{
    tx_txn_ref(txn);
    cursor->txn = txn;
    cursor->previous = NULL;
    cursor->next = txn->cursors;
    if (cursor->next != NULL)
        cursor->next->previous = cursor;
    txn->cursors = cursor;
}

/* Belong to the session's current transaction, or, `stay`, go on in the one it is in. */
static enum txkv_rc
join_txn(struct txkv_cursor *cursor, bool stay, struct txkv_error *err)
{
    struct tx_txn *txn;
    enum txkv_rc rc;

    if (cursor->txn != NULL && (stay || cursor->txn == cursor->session->current))
        return TXKV_OK;
    leave_txn(cursor);
    rc = tx_txn_current(cursor->session, &txn, err);
    if (rc == TXKV_OK)
        enter_txn(cursor, txn);
    return rc;
}

enum txkv_rc
txkv_cursor_open_beside(struct txkv_cursor *other, uint32_t table, struct txkv_cursor **out,
                        struct txkv_error *err)
{
    struct txkv_session *session = other->session;
    const enum txkv_rc rc = txkv_cursor_open(session, table, out, err);

    if (rc != TXKV_OK || other->txn == NULL)
        return rc;
    tx_guard_enter(session);
    enter_txn(*out, other->txn);
    tx_guard_leave(session);
    return TXKV_OK;
}

static void
let_go_of_memory(struct txkv_cursor *cursor)
{
    tx_free(cursor->copy);
    cursor->copy = NULL;
    cursor->copy_room = 0;
    tx_bound_free(&cursor->lo_bound);
    tx_bound_init(&cursor->lo_bound);
    tx_bound_free(&cursor->hi_bound);
    tx_bound_init(&cursor->hi_bound);
    tx_free(cursor->sources);
    cursor->sources = NULL;
    cursor->source_count = cursor->source_room = 0;
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
    let_go_of_memory(cursor);
    cursor->place = UNPLACED;
    cursor->near = NULL;
    cursor->point = cursor->own_value = false;
    tx_free(session->spare_cursor);
    session->spare_cursor = cursor; /* it is large: the next statement need not allocate one */
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
            (void)lose_place(cursor, TXKV_NOMEM);
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
    cursor->near = NULL;
    rc = join_txn(cursor, range->stay, err);
    if (rc == TXKV_OK)
        rc = tx_txn_snapshot(cursor->txn, err);
    if (rc == TXKV_OK)
        rc = tx_catalog_check_alive(&cursor->session->core->catalog, cursor->table,
                                    cursor->txn->snapshot.snap, err);
    if (rc == TXKV_OK)
        rc = tx_bound_copy(&cursor->lo_bound, range->lo, cursor->table, &cursor->lo, err);
    if (rc == TXKV_OK)
        rc = tx_bound_copy(&cursor->hi_bound, range->hi, cursor->table, &cursor->hi, err);
    if (rc != TXKV_OK)
        return rc;
    cursor->lo_open = range->lo_open;
    cursor->hi_open = range->hi_open;
    cursor->descending = range->descending;
    cursor->near_step = range->descending ? TX_TREE_BACKWARD : TX_TREE_FORWARD;
    cursor->has_end = (range->descending ? cursor->lo.data : cursor->hi.data) != NULL;
    cursor->point = false;
    if (cursor->lo.data != NULL && cursor->hi.data != NULL && !cursor->lo_open &&
        !cursor->hi_open && cursor->lo.bytes == cursor->hi.bytes &&
        memcmp(cursor->lo.data, cursor->hi.data, cursor->lo.bytes) == 0)
        return seek_point(cursor, err);
    rc = tx_cursor_seek_sources(cursor, err);
    if (rc == TXKV_OK)
        rc = seek_tree(cursor, err);
    return rc == TXKV_OK ? first_row(cursor, err) : rc;
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

static enum txkv_rc
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

/* Any step. Not inline, or it takes registers from those within a page. */
__attribute__((noinline)) static enum txkv_rc
step_far(struct txkv_cursor *cursor, struct txkv_error *err)
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
    if (tx_guarded(cursor->session))
        return next_row_guarded(cursor, err);
    return next_row(cursor, err);
}

/* Whether the row, of a range that has an end, lies behind it. */
__attribute__((noinline)) static enum txkv_rc
look_for_end(struct txkv_cursor *cursor)
{
    return is_outside(cursor, cursor->descending) ? end_walk(cursor) : TXKV_OK;
}

/*
 * Most steps are to the next node of a page, and with `near` all that take_pair keeps is so already
 * but for the row: the fewest instructions count here. The pair is as it was, which nobody looks at
 * before the tree's cursor has stepped.
 */
enum txkv_rc
txkv_cursor_next(struct txkv_cursor *cursor, struct txkv_error *err)
{
    struct tx_tree_pair pair;

    if (cursor->near == NULL || !tx_is_not_forked(cursor->session->core) ||
        tx_guarded(cursor->session) || !tx_tree_walk_step(cursor->near, cursor->near_step, &pair))
        return step_far(cursor, err);
    copy_pair(cursor, &pair);
    return cursor->has_end ? look_for_end(cursor) : TXKV_OK;
}

struct txkv_bytes
txkv_cursor_key(const struct txkv_cursor *cursor)
{
    assert(cursor->place == ON_ROW);
    return (struct txkv_bytes){ cursor->key.data, cursor->key.bytes };
}

/* Not inline, so that the way of others' values is short. */
__attribute__((noinline)) static struct txkv_bytes
own_value(const struct txkv_cursor *cursor)
{
    return (struct txkv_bytes){ cursor->txn->writes.record.at + cursor->own_value_at,
                                cursor->value.bytes };
}

struct txkv_bytes
txkv_cursor_value(const struct txkv_cursor *cursor)
{
    assert(cursor->place == ON_ROW);
    return cursor->own_value ? own_value(cursor) : cursor->value;
}
