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
    *catalog = (struct tx_catalog){ .entries = NULL };
    (void)pthread_mutex_init(&catalog->mutex, NULL);
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

    while (entry != NULL && (entry->drop_lsn != TX_CATALOG_ALIVE || strcmp(entry->name, name) != 0))
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
        if (bytes > 0)
            memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

/* ---- changes ---- */

static struct tx_catalog_entry *
new_entry(const struct tx_table_def *def, uint64_t define_lsn, struct txkv_error *err)
{
    struct tx_catalog_entry *entry = tx_zalloc(sizeof *entry);

    if (entry != NULL) {
        entry->table = def->table;
        entry->define_lsn = entry->name_lsn = define_lsn;
        entry->drop_lsn = TX_CATALOG_ALIVE;
        entry->name = copy_text(def->name, def->name_bytes);
        entry->shape = copy_text(def->shape, def->shape_bytes);
        if (entry->name != NULL && entry->shape != NULL)
            return entry;
    }
    free_entry(entry);
    (void)tx_fail_nomem(err);
    return NULL;
}

static void
mark_dropped(struct tx_catalog *catalog, struct tx_catalog_entry *entry, uint64_t lsn)
{
    const uint32_t slot = tx_table_slot(entry->table);

    if (entry->drop_lsn != TX_CATALOG_ALIVE)
        return;
    entry->drop_lsn = lsn;
    if (catalog->latest[slot] == entry->table) {
        catalog->drop_lsns[slot] = lsn;
        tx_store_release_32(&catalog->alive[slot], 0);
    }
    tx_store_release_32(&catalog->drops, catalog->drops + 1);
}

static void
link_entry(struct tx_catalog *catalog, struct tx_catalog_entry *entry)
{
    const uint32_t slot = tx_table_slot(entry->table);

    entry->next = catalog->entries;
    catalog->entries = entry;
    if (entry->table > catalog->latest[slot]) {
        catalog->latest[slot] = entry->table;
        tx_store_release_32(&catalog->alive[slot], entry->table);
    }
}

static enum txkv_rc
fail_number(uint32_t table, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "the store's files name table %u, which cannot be or was never made; they do "
                   "not belong together: restore the store from a backup",
                   table);
}

enum txkv_rc
tx_catalog_add(struct tx_catalog *catalog, const struct tx_table_def *def, uint64_t define_lsn,
               struct txkv_error *err)
{
    struct tx_catalog_entry *entry;
    const struct tx_catalog_entry *there;

    if (!tx_table_possible(def->table))
        return fail_number(def->table, err);
    entry = new_entry(def, define_lsn, err);
    if (entry == NULL)
        return TXKV_NOMEM;
    there = tx_catalog_by_number(catalog, def->table);
    if (there != NULL || (there = tx_catalog_find(catalog, entry->name)) != NULL) {
        const bool same = there->table == entry->table && (there->drop_lsn != TX_CATALOG_ALIVE ||
                                                           strcmp(there->shape, entry->shape) == 0);

        free_entry(entry);
        if (!same)
            return tx_fail(
                err, TXKV_CORRUPT,
                "the log defines table %u again, differently; the store's files do not belong "
                "together: restore it from a backup",
                def->table);
        return TXKV_OK;
    }
    link_entry(catalog, entry);
    return TXKV_OK;
}

void
tx_catalog_take_back(struct tx_catalog *catalog)
{
    struct tx_catalog_entry *entry = catalog->entries;
    const uint32_t slot = tx_table_slot(entry->table);
    uint32_t latest = 0;

    catalog->entries = entry->next;
    free_entry(entry);
    for (entry = catalog->entries; entry != NULL; entry = entry->next)
        if (tx_table_slot(entry->table) == slot && entry->table > latest)
            latest = entry->table;
    catalog->latest[slot] = latest;
    tx_store_release_32(&catalog->alive[slot], 0);
}

static enum txkv_rc
set_name(struct tx_catalog_entry *entry, const char *name, uint32_t name_bytes, uint64_t lsn,
         struct txkv_error *err)
{
    char *copy = copy_text(name, name_bytes);

    if (copy == NULL)
        return tx_fail_nomem(err);
    tx_free(entry->name);
    entry->name = copy;
    entry->name_lsn = lsn;
    return TXKV_OK;
}

/* The table that was in the slot before is gone as well: a slot is used again only then. When it
 * was dropped is not known; snapshots that are older than the checkpoint have their say. */
enum txkv_rc
tx_catalog_adopt(struct tx_catalog *catalog, const struct tx_table_def *def, uint64_t lsn,
                 struct txkv_error *err)
{
    struct tx_catalog_entry *entry = tx_catalog_by_number(catalog, def->table);
    const uint64_t dropped_lsn = lsn > 0 ? lsn - 1 : 0;

    if (!tx_table_possible(def->table))
        return fail_number(def->table, err);
    for (struct tx_catalog_entry *e = catalog->entries; e != NULL; e = e->next)
        if (tx_table_slot(e->table) == tx_table_slot(def->table) && e->table < def->table)
            mark_dropped(catalog, e, dropped_lsn);
    if (entry == NULL) {
        entry = new_entry(def, 0, err);
        if (entry == NULL)
            return TXKV_NOMEM;
        link_entry(catalog, entry);
    } else if (def->name_bytes > 0 && (strlen(entry->name) != def->name_bytes ||
                                       memcmp(entry->name, def->name, def->name_bytes) != 0)) {
        const enum txkv_rc rc = set_name(entry, def->name, def->name_bytes, 0, err);

        if (rc != TXKV_OK)
            return rc;
    }
    if (def->name_bytes == 0)
        mark_dropped(catalog, entry, dropped_lsn);
    return TXKV_OK;
}

enum txkv_rc
tx_catalog_drop(struct tx_catalog *catalog, uint32_t table, uint64_t lsn, struct txkv_error *err)
{
    struct tx_catalog_entry *entry = tx_catalog_by_number(catalog, table);

    if (entry == NULL)
        return fail_number(table, err);
    mark_dropped(catalog, entry, lsn);
    return TXKV_OK;
}

enum txkv_rc
tx_catalog_rename(struct tx_catalog *catalog, uint32_t table, const char *name, uint32_t name_bytes,
                  uint64_t lsn, struct txkv_error *err)
{
    struct tx_catalog_entry *entry = tx_catalog_by_number(catalog, table);

    if (entry == NULL)
        return fail_number(table, err);
    return set_name(entry, name, name_bytes, lsn, err);
}

char *
tx_catalog_swap_name(struct tx_catalog *catalog, uint32_t table, char *name, uint64_t lsn)
{
    struct tx_catalog_entry *entry = tx_catalog_by_number(catalog, table);
    char *before;

    if (entry == NULL)
        return name;
    before = entry->name;
    entry->name = name;
    entry->name_lsn = lsn;
    return before;
}

uint32_t
tx_catalog_new_number(const struct tx_catalog *catalog, uint64_t checkpoint_lsn)
{
    uint32_t fresh = 0;

    for (uint32_t slot = 1; slot <= TX_TABLE_SLOTS_MAX; slot++) {
        const uint32_t latest = catalog->latest[slot];
        const uint32_t next = latest + (1u << TX_TABLE_SLOT_BITS);

        if (latest == 0)
            fresh = fresh == 0 ? slot : fresh;
        else if (catalog->alive[slot] == 0 && tx_table_possible(next) &&
                 catalog->drop_lsns[slot] < checkpoint_lsn)
            return next;
    }
    return fresh;
}

/* ---- questions ---- */

enum txkv_rc
tx_catalog_check(struct tx_catalog *catalog, uint32_t table, struct txkv_error *err)
{
    const uint32_t slot = tx_table_slot(table);
    bool found = false;

    if (tx_table_possible(table)) {
        if (tx_load_acquire_32(&catalog->alive[slot]) == table)
            return TXKV_OK;
        (void)pthread_mutex_lock(&catalog->mutex);
        found = tx_catalog_by_number(catalog, table) != NULL;
        (void)pthread_mutex_unlock(&catalog->mutex);
    }
    if (found)
        return TXKV_OK;
    return tx_fail(err, TXKV_MISUSE, "no table has the number %u: take it from txkv_table", table);
}

enum txkv_rc
tx_catalog_check_alive(struct tx_catalog *catalog, uint32_t table, uint64_t lsn,
                       struct txkv_error *err)
{
    const struct tx_catalog_entry *entry;
    enum txkv_rc rc = TXKV_OK;

    if (tx_load_acquire_32(&catalog->alive[tx_table_slot(table)]) == table)
        return TXKV_OK;
    (void)pthread_mutex_lock(&catalog->mutex);
    entry = tx_catalog_by_number(catalog, table);
    if (entry != NULL && entry->drop_lsn < lsn)
        rc = tx_fail(err, TXKV_SCHEMA,
                     "table %s was dropped from the store; declare it again to make an empty one",
                     entry->name);
    (void)pthread_mutex_unlock(&catalog->mutex);
    return rc;
}

/* ---- for a checkpoint ---- */

static bool
is_between(uint64_t lsn, uint64_t from, uint64_t to)
{
    return lsn > 0 && lsn >= from && lsn < to;
}

/* False: there is nothing to carry over, or no memory (then item->name is NULL and needed). */
static bool
make_item(const struct tx_catalog_entry *e, uint64_t from, uint64_t to,
          struct tx_catalog_item *item)
{
    *item = (struct tx_catalog_item){ .def = { .table = e->table } };
    if (is_between(e->drop_lsn, from, to)) {
        item->dropped = true;
        return true;
    }
    item->defined = is_between(e->define_lsn, from, to);
    item->renamed = e->name_lsn != e->define_lsn && is_between(e->name_lsn, from, to);
    if (e->drop_lsn < to || (!item->defined && !item->renamed))
        return false;
    item->def.shape = e->shape;
    item->def.shape_bytes = (uint32_t)strlen(e->shape);
    item->def.name_bytes = (uint32_t)strlen(e->name);
    item->def.name = item->name = copy_text(e->name, item->def.name_bytes);
    return true;
}

enum txkv_rc
tx_catalog_delta(struct tx_catalog *catalog, uint64_t from, uint64_t to,
                 struct tx_catalog_delta *out, struct txkv_error *err)
{
    uint32_t entries = 0;
    enum txkv_rc rc = TXKV_OK;

    *out = (struct tx_catalog_delta){ .items = NULL };
    (void)pthread_mutex_lock(&catalog->mutex);
    for (const struct tx_catalog_entry *e = catalog->entries; e != NULL; e = e->next)
        entries++;
    out->items = tx_malloc((entries + 1) * sizeof *out->items);
    if (out->items == NULL)
        rc = tx_fail_nomem(err);
    for (int dropped = 1; rc == TXKV_OK && dropped >= 0; dropped--)
        for (const struct tx_catalog_entry *e = catalog->entries; e != NULL && rc == TXKV_OK;
             e = e->next) {
            struct tx_catalog_item *item = &out->items[out->count];

            if (is_between(e->drop_lsn, from, to) != (dropped == 1) ||
                !make_item(e, from, to, item))
                continue;
            out->count++;
            if (!item->dropped && item->name == NULL)
                rc = tx_fail_nomem(err);
        }
    (void)pthread_mutex_unlock(&catalog->mutex);
    return rc;
}

void
tx_catalog_delta_free(struct tx_catalog_delta *delta)
{
    for (uint32_t i = 0; i < delta->count; i++)
        tx_free(delta->items[i].name);
    tx_free(delta->items);
    *delta = (struct tx_catalog_delta){ .items = NULL };
}
