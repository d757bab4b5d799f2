/*
 * inspect.c - a store that is not opened: what stands in its data.mdb, and who else has it.
 */
#include "inspect.h"

#include <string.h>

#include "bytes.h"
#include "log_private.h"
#include "os.h"
#include "shared.h"
#include "tree.h"

static const char table_prefix[] = "table/";

static bool
is_key(const struct tx_pages_pair *pair, const char *key, uint64_t value_bytes)
{
    return pair->key_bytes == strlen(key) && memcmp(pair->key, key, pair->key_bytes) == 0 &&
           (value_bytes == 0 || pair->value_bytes == value_bytes);
}

static char *
copy_bytes(struct tx_arena *arena, const void *bytes, size_t n)
{
    char *copy = tx_arena_alloc(arena, n + 1);

    if (copy != NULL) {
        memcpy(copy, bytes, n);
        copy[n] = '\0';
    }
    return copy;
}

static enum txkv_rc
note_table(struct tx_inspection *inspection, const struct tx_pages_pair *pair,
           struct txkv_error *err)
{
    struct tx_inspected_table *table;
    struct tx_table_def def;

    if (pair->value_bytes > UINT32_MAX ||
        tx_table_entry_decode(pair->value, (uint32_t)pair->value_bytes, &def) != TXKV_OK ||
        !tx_table_possible(def.table) || pair->key_bytes != sizeof table_prefix - 1 + 4 ||
        pair->key[pair->key_bytes - 1] != (tx_table_slot(def.table) & 0xff) ||
        pair->key[pair->key_bytes - 2] != tx_table_slot(def.table) >> 8 ||
        (def.name_bytes > 0 && memchr(def.name, '\0', def.name_bytes) != NULL)) {
        inspection->problems++;
        return TXKV_OK;
    }
    table = tx_arena_alloc(&inspection->arena, sizeof *table);
    if (table == NULL)
        return tx_fail_nomem(err);
    *table = (struct tx_inspected_table){ inspection->tables, def };
    table->def.name = copy_bytes(&inspection->arena, def.name, def.name_bytes);
    table->def.shape = copy_bytes(&inspection->arena, def.shape, def.shape_bytes);
    if (table->def.name == NULL || table->def.shape == NULL)
        return tx_fail_nomem(err);
    inspection->tables = table;
    return TXKV_OK;
}

static enum txkv_rc
note_pair(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    struct tx_inspection *inspection = arg;

    if (pair->key_bytes >= sizeof table_prefix - 1 &&
        memcmp(pair->key, table_prefix, sizeof table_prefix - 1) == 0)
        return note_table(inspection, pair, err);
    if (is_key(pair, "format", 4)) {
        inspection->format = tx_get_u32(pair->value);
    } else if (is_key(pair, "store_id", 8)) {
        inspection->store_id = tx_get_u64(pair->value);
    } else if (is_key(pair, "checkpoint", 24)) {
        inspection->checkpoint_lsn = tx_get_u64(pair->value);
        inspection->checkpoint_check = tx_get_u64(pair->value + 8);
        inspection->has_checkpoint = inspection->checkpoint_lsn % 8 == 0 &&
                                     inspection->checkpoint_lsn < TX_SEGMENT_LSN_LIMIT;
    } else if (is_key(pair, "wal_dir", 0)) {
        inspection->wal_dir = copy_bytes(&inspection->arena, pair->value, pair->value_bytes);
        if (inspection->wal_dir == NULL)
            return tx_fail_nomem(err);
    } else if (is_key(pair, "archive_dir", 0)) {
        inspection->archive_dir = copy_bytes(&inspection->arena, pair->value, pair->value_bytes);
        if (inspection->archive_dir == NULL)
            return tx_fail_nomem(err);
    }
    return TXKV_OK;
}

enum txkv_rc
tx_inspect(struct tx_pages *pages, struct tx_inspection *out, struct txkv_error *err)
{
    enum txkv_rc rc;

    memset(out, 0, sizeof *out);
    tx_arena_init(&out->arena);
    rc = tx_pages_each(pages, "meta", note_pair, out, err);
    if (rc != TXKV_OK && rc != TXKV_NOTFOUND)
        return rc;
    if (out->store_id == 0 || !out->has_checkpoint ||
        tx_tree_check_format("", out->format, NULL) != TXKV_OK)
        out->problems++;
    return TXKV_OK;
}

void
tx_inspection_free(struct tx_inspection *inspection)
{
    tx_arena_free(&inspection->arena);
}

enum txkv_rc
tx_inspect_unused(const char *dir, struct txkv_error *err)
{
    return tx_share_in_use(dir)
               ? tx_fail(err, TXKV_LOCKED,
                         "store %s is open, and what is open is not damaged: close "
                         "it everywhere first",
                         dir)
               : TXKV_OK;
}

enum txkv_rc
tx_inspect_log_id(const char *wal_dir, uint64_t *store_id, struct txkv_error *err)
{
    struct tx_log_names names;
    enum txkv_rc rc = tx_log_list(wal_dir, &names, err);

    *store_id = 0;
    for (size_t i = 0; i < names.count && rc == TXKV_OK && *store_id == 0; i++)
        rc = tx_segment_peek_id(wal_dir, names.lsns[i], store_id, err);
    tx_free(names.lsns);
    return rc;
}
