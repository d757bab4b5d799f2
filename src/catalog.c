/*
 * catalog.c - the tables of a store by name and number, in memory.
 */
#include "catalog.h"

#include <string.h>

#include "atomic.h"
#include "mem.h"

void
tx_catalog_init(struct tx_catalog *catalog)
{
    (void)pthread_mutex_init(&catalog->mutex, NULL);
    catalog->entries = NULL;
    catalog->table_max = 0;
}

static void
free_entry(struct tx_catalog_entry *entry)
{
    if (entry == NULL)
        return;
    tx_free(entry->name);
    tx_free(entry->shape);
    tx_free(entry);
}

void
tx_catalog_destroy(struct tx_catalog *catalog)
{
    while (catalog->entries != NULL) {
        struct tx_catalog_entry *entry = catalog->entries;

        catalog->entries = entry->next;
        free_entry(entry);
    }
    (void)pthread_mutex_destroy(&catalog->mutex);
}

struct tx_catalog_entry *
tx_catalog_find(struct tx_catalog *catalog, const char *name)
{
    struct tx_catalog_entry *entry = catalog->entries;

    while (entry != NULL && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

struct tx_catalog_entry *
tx_catalog_by_number(struct tx_catalog *catalog, uint32_t table)
{
    struct tx_catalog_entry *entry = catalog->entries;

    while (entry != NULL && entry->table != table)
        entry = entry->next;
    return entry;
}

static char *
copy_text(const char *text, uint32_t bytes)
{
    char *copy = tx_malloc((size_t)bytes + 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

enum txkv_rc
tx_catalog_add(struct tx_catalog *catalog, const struct tx_table_def *def, uint64_t define_lsn,
               bool in_tree, struct txkv_error *err)
{
    struct tx_catalog_entry *entry = tx_zalloc(sizeof *entry);
    const struct tx_catalog_entry *there;

    if (entry == NULL)
        return tx_fail_nomem(err);
    entry->table = def->table;
    entry->define_lsn = define_lsn;
    entry->in_tree = in_tree;
    entry->name = copy_text(def->name, def->name_bytes);
    entry->shape = copy_text(def->shape, def->shape_bytes);
    if (entry->name == NULL || entry->shape == NULL) {
        free_entry(entry);
        return tx_fail_nomem(err);
    }
    there = tx_catalog_by_number(catalog, def->table);
    if (there == NULL)
        there = tx_catalog_find(catalog, entry->name);
    if (there != NULL) {
        const bool same = there->table == entry->table && strcmp(there->name, entry->name) == 0 &&
                          strcmp(there->shape, entry->shape) == 0;

        free_entry(entry);
        if (!same)
            return tx_fail(
                err, TXKV_CORRUPT,
                "the log defines table %u again, differently; the store's files do not belong "
                "together: restore it from a backup",
                def->table);
        return TXKV_OK;
    }
    entry->next = catalog->entries;
    catalog->entries = entry;
    if (entry->table > catalog->table_max)
        tx_store_release_32(&catalog->table_max, entry->table);
    return TXKV_OK;
}

void
tx_catalog_take_back(struct tx_catalog *catalog)
{
    struct tx_catalog_entry *entry = catalog->entries;
    uint32_t table_max = 0;

    catalog->entries = entry->next;
    free_entry(entry);
    for (entry = catalog->entries; entry != NULL; entry = entry->next)
        table_max = entry->table > table_max ? entry->table : table_max;
    tx_store_release_32(&catalog->table_max, table_max);
}

enum txkv_rc
tx_catalog_check(const struct tx_catalog *catalog, uint32_t table, struct txkv_error *err)
{
    if (table >= 1 && table <= tx_load_acquire_32(&catalog->table_max))
        return TXKV_OK;
    return tx_fail(err, TXKV_MISUSE, "no table has the number %u: take it from txkv_table", table);
}
