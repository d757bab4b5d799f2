/*
 * cursor_merge.c - the overlay's part of a scan: own writes and memtables, merged with LMDB's
 * pairs.
 */
#include "cursor_private.h"
#include "order.h"

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

/* Between two rows of the overlay lie many of LMDB's, in which what the next steps look at can come
 * from memory: it stands in a node, in the one behind, and in the log. */
static void
prefetch_row(const struct txkv_cursor *cursor, const struct source *source)
{
    const struct tx_node *node = source->node, *next;

    if (node == NULL || source->own)
        return;
    __builtin_prefetch(source->version->value);
    next = cursor->descending ? tx_node_prev(source->list, node) : tx_node_next(node);
    if (next == NULL)
        return;
    __builtin_prefetch(&next->first);
    __builtin_prefetch(&next->key);
    __builtin_prefetch(&next->next[0]);
}

static void
step_source(const struct txkv_cursor *cursor, struct source *source)
{
    settle(cursor, source,
           cursor->descending ? tx_node_prev(source->list, source->node)
                              : tx_node_next(source->node));
    prefetch_row(cursor, source);
}

static void
source_value(const struct txkv_cursor *cursor, const struct source *source,
             struct txkv_bytes *value)
{
    if (source->own) {
        const struct tx_writeset *writes = &cursor->txn->writes;
        const struct tx_op op = tx_write_op(writes, &writes->writes[source->version->tag]);

        *value = (struct txkv_bytes){ op.value, op.value_bytes };
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

enum txkv_rc
tx_cursor_seek_sources(struct txkv_cursor *cursor, struct txkv_error *err)
{
    const struct tx_snapshot *snapshot = &cursor->txn->snapshot;
    enum txkv_rc rc = TXKV_OK;

    cursor->source_count = 0;
    cursor->ahead = NULL;
    if (cursor->txn->writes.count > 0) {
        const struct tx_skiplist *list = tx_writeset_list(&cursor->txn->writes);

        if (list == NULL)
            return tx_fail_nomem(err);
        rc = add_source(cursor, list, true, err);
    }
    for (uint32_t i = 0; rc == TXKV_OK && i < snapshot->view->count; i++)
        if (tx_snapshot_sees(snapshot, snapshot->view->memtables[i]))
            rc = add_source(cursor,
                            tx_order_for_scan(cursor->session->core, snapshot->view->memtables[i]),
                            false, err);
    return rc;
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

bool
tx_cursor_take_next(struct txkv_cursor *cursor, bool *deleted)
{
    const struct source *winner = NULL;
    struct tx_key key = { NULL, 0, 0 };

    *deleted = false;
    cursor->ahead = NULL;
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
    cursor->pair_taken = false;
    if (cursor->pair.key != NULL) {
        const struct tx_key in_tree = tree_key(cursor);
        const int c = winner == NULL ? -1 : tx_key_compare(&in_tree, &key);

        cursor->pair_taken = winner == NULL || c == 0 || (c < 0) != cursor->descending;
        if (winner == NULL || (cursor->pair_taken && c != 0)) {
            if (winner == NULL)
                cursor->source_count = 0; /* and so it remains */
            else if (!cursor->sources[0].own)
                cursor->ahead = winner->node;
            winner = NULL;
            key = in_tree;
        }
    } else if (winner == NULL) {
        return false;
    }
    cursor->key = key;
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
