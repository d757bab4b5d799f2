/*
 * rescue_refill.c - filling a new store with tables and rows that were found.
 *
 * Through the public calls, in transactions of many rows, which need not be durable before the end.
 * A row or a table that the store refuses is counted, and the next one goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "rescue.h"

enum { OPERATIONS_MAX = 4096, BYTES_MAX = 8 << 20, TRIES_MAX = 100 };

/* ---- the store ---- */

enum txkv_rc
tx_refill_begin(struct tx_refill *refill, const char *dir, struct txkv_rescue_report *report,
                struct txkv_error *err)
{
    enum txkv_rc rc;

    *refill = (struct tx_refill){ .report = report };
    rc = txkv_open(dir, NULL, &refill->store, err);
    return rc == TXKV_OK ? txkv_session_open(refill->store, &refill->session, err) : rc;
}

/* Backpressure is no reason to give up. */
enum txkv_rc
tx_refill_flush(struct tx_refill *refill, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    if (!txkv_in_transaction(refill->session))
        return TXKV_OK;
    for (int i = 0; i < TRIES_MAX; i++) {
        rc = txkv_commit(refill->session, TXKV_SYNC_OFF, err);
        if (rc != TXKV_BUSY)
            break;
        rc = txkv_checkpoint(refill->store, NULL, err);
        if (rc != TXKV_OK)
            break;
    }
    refill->waiting_operations = refill->waiting_bytes = 0;
    return rc;
}

enum txkv_rc
tx_refill_end(struct tx_refill *refill, struct txkv_error *err)
{
    enum txkv_rc rc = refill->session != NULL ? tx_refill_flush(refill, err) : TXKV_OK;
    enum txkv_rc closed;

    /* data.mdb alone becomes the new store, and closing need not move all into it. */
    if (rc == TXKV_OK && refill->session != NULL)
        rc = txkv_checkpoint(refill->store, NULL, err);
    txkv_session_close(refill->session);
    closed = txkv_close(refill->store, rc == TXKV_OK ? err : NULL);
    tx_free(refill->tables);
    return rc == TXKV_OK ? closed : rc;
}

/* ---- tables ---- */

static struct tx_refilled *
find(const struct tx_refill *refill, uint32_t table)
{
    /* The newest first: a record is mostly about the tables of the one before. */
    for (size_t i = refill->count; i > 0; i--)
        if (refill->tables[i - 1].was == table)
            return &refill->tables[i - 1];
    return NULL;
}

/* "rescued-<number>" when the table has no name, or another one has it. */
static void
choose_name(const struct tx_refill *refill, uint32_t was, const char *name, uint32_t name_bytes,
            char out[TXKV_TABLE_NAME_BYTES_MAX + 1])
{
    uint32_t number;

    (void)snprintf(out, TXKV_TABLE_NAME_BYTES_MAX + 1, "%.*s", (int)name_bytes,
                   name_bytes > 0 ? name : "");
    for (unsigned n = 0;
         out[0] == '\0' || txkv_table(refill->store, out, NULL, false, &number, NULL) == TXKV_OK;
         n++)
        (void)snprintf(out, TXKV_TABLE_NAME_BYTES_MAX + 1,
                       n == 0 ? "rescued-%" PRIu32 : "rescued-%" PRIu32 "-%u", was, n);
}

/* A table that is known from now on, and not made yet. */
static enum txkv_rc
add_table(struct tx_refill *refill, uint32_t was, struct tx_refilled **out, struct txkv_error *err)
{
    if (refill->count == refill->room) {
        const size_t room = refill->room * 2 + 64;
        struct tx_refilled *tables = tx_realloc(refill->tables, room * sizeof *tables);

        if (tables == NULL)
            return tx_fail_nomem(err);
        refill->tables = tables;
        refill->room = room;
    }
    *out = &refill->tables[refill->count++];
    **out = (struct tx_refilled){ .was = was };
    return TXKV_OK;
}

static enum txkv_rc
make_table(struct tx_refill *refill, const struct tx_table_def *def, struct tx_refilled **out,
           struct txkv_error *err)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    char *shape = tx_zalloc((size_t)def->shape_bytes + 1);
    enum txkv_rc rc;

    if (shape == NULL)
        return tx_fail_nomem(err);
    if (def->shape_bytes > 0)
        memcpy(shape, def->shape, def->shape_bytes);
    choose_name(refill, def->table, def->name, def->name_bytes, name);
    rc = add_table(refill, def->table, out, err);
    if (rc == TXKV_OK)
        rc = tx_refill_flush(refill, err);
    if (rc == TXKV_OK)
        rc = txkv_table(refill->store, name, shape, true, &(*out)->is, err);
    tx_free(shape);
    if (rc == TXKV_OK)
        (*out)->unnamed = def->name_bytes == 0;
    if (rc == TXKV_FULL) /* a thousand tables; or the disk, which shows soon */
        rc = TXKV_OK;
    return rc;
}

void
tx_refill_settle(struct tx_refill *refill)
{
    for (size_t i = 0; i < refill->count; i++)
        refill->tables[i].settled = true;
}

enum txkv_rc
tx_refill_define(struct tx_refill *refill, const struct tx_table_def *def, struct txkv_error *err)
{
    struct tx_refilled *table = find(refill, def->table);

    if (table == NULL)
        return make_table(refill, def, &table, err);
    if (!table->unnamed || def->name_bytes == 0)
        return TXKV_OK;
    return tx_refill_rename(refill, def->table, def->name, def->name_bytes, err);
}

enum txkv_rc
tx_refill_drop(struct tx_refill *refill, uint32_t number, struct txkv_error *err)
{
    struct tx_refilled *table = find(refill, number);
    enum txkv_rc rc = tx_refill_flush(refill, err);

    if (rc == TXKV_OK && table == NULL)
        return add_table(refill, number, &table, err);
    if (rc != TXKV_OK || table->is == 0 || (refill->is_past && table->settled))
        return rc;
    rc = txkv_table_drop(refill->store, &table->is, 1, err);
    table->is = 0;
    return rc;
}

static bool
has_name(const struct tx_refill *refill, const struct tx_refilled *table, const char *name,
         uint32_t name_bytes)
{
    char now[TXKV_TABLE_NAME_BYTES_MAX + 1];

    return txkv_table_name(refill->store, table->is, now) && strlen(now) == name_bytes &&
           memcmp(now, name, name_bytes) == 0;
}

enum txkv_rc
tx_refill_rename(struct tx_refill *refill, uint32_t number, const char *name, uint32_t name_bytes,
                 struct txkv_error *err)
{
    const struct tx_table_def def = { .table = number, .name = name, .name_bytes = name_bytes };
    struct tx_refilled *table = find(refill, number);
    char chosen[TXKV_TABLE_NAME_BYTES_MAX + 1];
    const char *names[1] = { chosen };
    enum txkv_rc rc = tx_refill_flush(refill, err);

    if (rc != TXKV_OK)
        return rc;
    if (table == NULL)
        return make_table(refill, &def, &table, err);
    if (table->is == 0 || (refill->is_past && table->settled) ||
        has_name(refill, table, name, name_bytes))
        return TXKV_OK;
    choose_name(refill, number, name, name_bytes, chosen);
    table->unnamed = false;
    return txkv_table_rename(refill->store, &table->is, names, 1, err);
}

/* ---- rows ---- */

enum txkv_rc
tx_refill_row(struct tx_refill *refill, uint32_t number, struct txkv_bytes key,
              struct txkv_bytes value, struct txkv_error *err)
{
    const struct tx_table_def unknown = { .table = number };
    struct tx_refilled *table = find(refill, number);
    enum txkv_rc rc = TXKV_OK;

    if (table == NULL)
        rc = make_table(refill, &unknown, &table, err);
    if (rc != TXKV_OK)
        return rc;
    if (table->is == 0 || key.bytes == 0 || key.bytes > TXKV_KEY_BYTES_MAX ||
        value.bytes > TXKV_VALUE_BYTES_MAX) {
        refill->report->rows_refused++;
        return TXKV_OK;
    }
    if (!txkv_in_transaction(refill->session))
        rc = txkv_begin(refill->session, err);
    if (rc == TXKV_OK)
        rc = value.data != NULL ? txkv_put(refill->session, table->is, key, value, err)
                                : txkv_delete(refill->session, table->is, key, err);
    if (rc != TXKV_OK)
        return rc;
    refill->waiting_bytes += key.bytes + value.bytes;
    if (++refill->waiting_operations < OPERATIONS_MAX && refill->waiting_bytes < BYTES_MAX)
        return TXKV_OK;
    return tx_refill_flush(refill, err);
}

enum txkv_rc
tx_refill_count(struct tx_refill *refill, struct txkv_error *err)
{
    struct txkv_table_size size;
    enum txkv_rc rc = tx_refill_flush(refill, err);

    for (size_t i = 0; i < refill->count && rc == TXKV_OK; i++) {
        const struct tx_refilled *table = &refill->tables[i];

        if (table->is == 0)
            continue;
        rc = txkv_table_measure(refill->session, table->is, &size, err);
        refill->report->tables++;
        refill->report->tables_unnamed += table->unnamed;
        refill->report->rows += size.rows;
    }
    return rc;
}
