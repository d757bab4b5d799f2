/*
 * rescue_pages.c - the rows that can be read of a data.mdb, without LMDB.
 *
 * Long keys stand in pieces (tree_long.h): the nodes where they go on are collected in a table of
 * the new store first, and looked up from there, each once, so that damage makes no loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "rescue.h"
#include "tree_long.h"

/* No table of SQL has that name, and none of C is likely to: if one has, the nodes are given up. */
static const char nodes_name[] = "\x02nodes of long keys";

struct pages_rescue {
    struct tx_refill *refill;
    struct tx_pages *pages;
    const struct tx_inspection *meta;
    uint32_t table; /* the number of the one that is read */
    /* The nodes: their table, and a session whose transaction marks those that were used. */
    uint32_t nodes;
    struct txkv_session *session;
    uint8_t *key; /* room for the longest key, and one piece more */
};

/* ---- rows ---- */

static enum txkv_rc
give_row(struct pages_rescue *r, size_t key_bytes, const uint8_t *row, uint64_t row_bytes,
         struct txkv_error *err)
{
    const uint8_t *data = row_bytes > 0 ? row : r->key; /* not NULL, which is a deletion */

    r->refill->report->rows_of_pages++;
    return tx_refill_row(r->refill, r->table, (struct txkv_bytes){ r->key, key_bytes },
                         (struct txkv_bytes){ data, row_bytes }, err);
}

static enum txkv_rc give_node(struct pages_rescue *r, size_t key_bytes, uint64_t node,
                              struct txkv_error *err);

/* What an entry says, whose key's bytes up to here stand in r->key. */
static enum txkv_rc
give_entry(struct pages_rescue *r, size_t key_bytes, const uint8_t *value, uint64_t value_bytes,
           struct txkv_error *err)
{
    const MDB_val v = tx_tree_val(value, value_bytes);
    struct tx_tree_entry entry;

    if (!tx_tree_entry_decode(&v, &entry) || entry.tail_bytes > TXKV_KEY_BYTES_MAX - key_bytes) {
        r->refill->report->rows_refused++;
        return TXKV_OK;
    }
    if (entry.node != 0)
        return give_node(r, key_bytes, entry.node, err);
    if (entry.tail_bytes > 0)
        memcpy(r->key + key_bytes, entry.tail, entry.tail_bytes);
    return give_row(r, key_bytes + entry.tail_bytes, entry.row, entry.row_bytes, err);
}

/* False: it has been used, or there is no memory to note that it is. */
static bool
claim_node(struct pages_rescue *r, uint64_t node)
{
    uint8_t room[1 + TX_TREE_ENTRY_BYTES];
    const MDB_val k = tx_tree_node_key(room + 1, r->table, node, NULL, 0);
    const struct txkv_bytes mark = { room, k.mv_size + 1 };
    struct txkv_bytes value;

    room[0] = 0xff; /* numbers of tables are smaller */
    return txkv_get(r->session, r->nodes, mark, &value, NULL) == TXKV_NOTFOUND &&
           txkv_put(r->session, r->nodes, mark, mark, NULL) == TXKV_OK;
}

/* The pair of a node that the cursor stands on; the key's bytes up to the node stand in r->key. */
static enum txkv_rc
give_piece(struct pages_rescue *r, size_t key_bytes, const struct txkv_cursor *cursor,
           struct txkv_error *err)
{
    const struct txkv_bytes piece = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);
    const size_t more = piece.bytes - TX_TREE_NODE_BYTES;

    memcpy(r->key + key_bytes, piece.data + TX_TREE_NODE_BYTES, more);
    if (more < TX_TREE_CHUNK_BYTES)
        return give_row(r, key_bytes + more, value.data, value.bytes, err);
    return give_entry(r, key_bytes + more, value.data, value.bytes, err);
}

static enum txkv_rc
give_node(struct pages_rescue *r, size_t key_bytes, uint64_t node, struct txkv_error *err)
{
    uint8_t lo[TX_TREE_ENTRY_BYTES], hi[TX_TREE_ENTRY_BYTES];
    const struct txkv_range range = {
        .lo = { lo, tx_tree_node_key(lo, r->table, node, NULL, 0).mv_size },
        .hi = { hi, tx_tree_node_key(hi, r->table, node + 1, NULL, 0).mv_size },
        .hi_open = true
    };
    struct txkv_cursor *cursor;
    enum txkv_rc rc;

    if (key_bytes > TXKV_KEY_BYTES_MAX || r->session == NULL || !claim_node(r, node)) {
        r->refill->report->rows_refused++;
        return TXKV_OK;
    }
    rc = txkv_cursor_open(r->session, r->nodes, &cursor, err);
    if (rc != TXKV_OK)
        return rc;
    for (rc = txkv_cursor_seek(cursor, &range, err); rc == TXKV_OK;) {
        rc = give_piece(r, key_bytes, cursor, err);
        if (rc == TXKV_OK)
            rc = txkv_cursor_next(cursor, err);
    }
    txkv_cursor_close(cursor);
    return rc == TXKV_NOTFOUND ? TXKV_OK : rc;
}

static enum txkv_rc
visit_row(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    struct pages_rescue *r = arg;

    memcpy(r->key, pair->key, pair->key_bytes);
    if (pair->key_bytes < TX_TREE_ENTRY_BYTES)
        return give_row(r, pair->key_bytes, pair->value, pair->value_bytes, err);
    return give_entry(r, pair->key_bytes, pair->value, pair->value_bytes, err);
}

/* ---- nodes ---- */

static enum txkv_rc
visit_node(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    struct pages_rescue *r = arg;
    struct txkv_session *session = r->refill->session;
    enum txkv_rc rc = TXKV_OK;

    if (pair->key_bytes < TX_TREE_NODE_BYTES || pair->value_bytes > TXKV_VALUE_BYTES_MAX)
        return TXKV_OK;
    if (!txkv_in_transaction(session))
        rc = txkv_begin(session, err);
    if (rc == TXKV_OK)
        rc = txkv_put(session, r->nodes, (struct txkv_bytes){ pair->key, pair->key_bytes },
                      (struct txkv_bytes){ pair->value, pair->value_bytes }, err);
    r->refill->waiting_bytes += pair->value_bytes + pair->key_bytes;
    if (rc == TXKV_OK && r->refill->waiting_bytes > 1 << 20)
        rc = tx_refill_flush(r->refill, err);
    return rc;
}

static enum txkv_rc
collect_nodes(struct pages_rescue *r, struct txkv_error *err)
{
    enum txkv_rc rc = txkv_table(r->refill->store, nodes_name, "", true, &r->nodes, err);

    if (rc == TXKV_OK)
        rc = tx_pages_each(r->pages, "long", visit_node, r, err);
    if (rc == TXKV_OK || rc == TXKV_NOTFOUND)
        rc = tx_refill_flush(r->refill, err);
    if (rc == TXKV_OK)
        rc = txkv_session_open(r->refill->store, &r->session, err);
    return rc == TXKV_OK ? txkv_begin(r->session, err) : rc;
}

/* ---- tables ---- */

/* The number of the table that is in the slot; without an entry in the catalog, the first one that
 * can have been. False: it was dropped. */
static bool
number_of(const struct tx_inspection *meta, uint32_t slot, uint32_t *number)
{
    *number = slot;
    for (const struct tx_inspected_table *t = meta->tables; t != NULL; t = t->next) {
        if (tx_table_slot(t->def.table) != slot)
            continue;
        *number = t->def.table;
        return t->def.name_bytes > 0;
    }
    return true;
}

static enum txkv_rc
visit_database(void *arg, const char *name, uint64_t entries, struct txkv_error *err)
{
    struct pages_rescue *r = arg;
    char *end;
    unsigned long slot;

    (void)entries;
    if (strncmp(name, "table-", 6) != 0)
        return TXKV_OK;
    slot = strtoul(name + 6, &end, 10);
    if (*end != '\0' || slot < 1 || slot > TX_TABLE_SLOTS_MAX ||
        !number_of(r->meta, (uint32_t)slot, &r->table))
        return TXKV_OK;
    return tx_pages_each(r->pages, name, visit_row, r, err);
}

enum txkv_rc
tx_rescue_tables(struct tx_refill *refill, const struct tx_inspection *meta, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (const struct tx_inspected_table *t = meta->tables; t != NULL && rc == TXKV_OK; t = t->next)
        rc = t->def.name_bytes > 0 ? tx_refill_define(refill, &t->def, err)
                                   : tx_refill_drop(refill, t->def.table, err);
    tx_refill_settle(refill);
    return rc;
}

enum txkv_rc
tx_rescue_pages(struct tx_refill *refill, struct tx_pages *pages, const struct tx_inspection *meta,
                struct txkv_error *err)
{
    struct pages_rescue r = { .refill = refill, .pages = pages, .meta = meta };
    enum txkv_rc rc;

    r.key = tx_malloc(TXKV_KEY_BYTES_MAX + TX_TREE_ENTRY_BYTES);
    if (r.key == NULL)
        return tx_fail_nomem(err);
    rc = collect_nodes(&r, err);
    if (rc == TXKV_OK)
        rc = tx_pages_names(pages, visit_database, &r, err);
    txkv_session_close(r.session);
    if (rc == TXKV_OK)
        rc = tx_refill_flush(refill, err);
    if (rc == TXKV_OK)
        rc = txkv_table_drop(refill->store, &r.nodes, 1, err);
    tx_free(r.key);
    return rc;
}
