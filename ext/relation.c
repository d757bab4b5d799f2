/*
 * relation.c - a table with declared columns, as a connection has it open.
 */
#include "relation.h"

#include <stdlib.h>
#include <string.h>

#include "rowcodec.h"
#include "sqlerror.h"

/* Room for it and two digits. */
enum { INDEX_SUFFIX_BYTES = 3 };

/* ---- rows ---- */

bool
tx_row_make(struct tx_row *row, const struct tx_shape *shape)
{
    tx_tuple_init(&row->key);
    row->data = NULL;
    row->data_bytes_max = 0;
    row->cells = sqlite3_malloc64((sqlite3_uint64)shape->column_count * sizeof(*row->cells));
    row->rooms = sqlite3_malloc64((sqlite3_uint64)shape->primary.count * sizeof(*row->rooms));
    for (int i = 0; row->rooms != NULL && i < shape->primary.count; i++)
        tx_tuple_init(&row->rooms[i]);
    return row->cells != NULL && row->rooms != NULL;
}

void
tx_row_free(struct tx_row *row, const struct tx_shape *shape)
{
    tx_tuple_free(&row->key);
    for (int i = 0; row->rooms != NULL && i < shape->primary.count; i++)
        tx_tuple_free(&row->rooms[i]);
    sqlite3_free(row->data);
    sqlite3_free(row->cells);
    sqlite3_free(row->rooms);
}

int
tx_row_read(struct tx_row *row, const struct tx_shape *shape, struct txkv_bytes key,
            struct txkv_bytes value)
{
    if (!tx_relation_cells(shape, value, row->cells))
        return SQLITE_CORRUPT_VTAB;
    for (int i = 0; shape->row_key != TX_ROW_KEY_HIDDEN_ROWID && i < shape->primary.count; i++) {
        const int column = shape->primary.columns[i];

        if (!tx_relation_complete(shape, key, column, &row->rooms[i], &row->cells[column]))
            return row->rooms[i].no_memory ? SQLITE_NOMEM : SQLITE_CORRUPT_VTAB;
    }
    return SQLITE_OK;
}

/* ---- opening ---- */

/* Takes the shape over, also when there is no memory. */
static struct tx_relation *
make_relation(struct tx_shape *shape)
{
    struct tx_relation *relation = sqlite3_malloc(sizeof(*relation));
    const sqlite3_uint64 bytes = (sqlite3_uint64)shape->column_count * sizeof(struct tx_cell);
    bool rows;

    if (relation == NULL) {
        tx_shape_free(shape);
        return NULL;
    }
    *relation = (struct tx_relation){ .shape = shape };
    tx_tuple_init(&relation->key);
    tx_tuple_init(&relation->entry);
    tx_tuple_init(&relation->old_entry);
    relation->cells = sqlite3_malloc64(bytes);
    relation->stored = sqlite3_malloc64(bytes);
    rows = tx_row_make(&relation->old, shape);
    rows = tx_row_make(&relation->victim, shape) && rows;
    if (relation->cells != NULL && relation->stored != NULL && rows)
        return relation;
    tx_relation_free(relation);
    return NULL;
}

void
tx_relation_free(struct tx_relation *relation)
{
    if (relation == NULL)
        return;
    tx_tuple_free(&relation->key);
    tx_tuple_free(&relation->entry);
    tx_tuple_free(&relation->old_entry);
    tx_row_free(&relation->old, relation->shape);
    tx_row_free(&relation->victim, relation->shape);
    tx_shape_free(relation->shape);
    sqlite3_free(relation->statistics);
    sqlite3_free(relation->cells);
    sqlite3_free(relation->stored);
    sqlite3_free(relation);
}

char *
tx_relation_stored_name(const char *name, int index)
{
    if (index == 0)
        return sqlite3_mprintf("%s", name);
    return sqlite3_mprintf("%s%c%d", name, TX_INDEX_SEPARATOR, index);
}

bool
tx_relation_is_index(const char *name)
{
    return strchr(name, TX_INDEX_SEPARATOR) != NULL;
}

bool
tx_relation_is_index_of(const char *name, const char *table, int *index)
{
    const size_t bytes = strlen(table);

    if (strncmp(name, table, bytes) != 0 || name[bytes] != TX_INDEX_SEPARATOR)
        return false;
    *index = (int)strtol(name + bytes + 1, NULL, 10);
    return true;
}

bool
tx_relation_name_fits(const struct tx_table *table, const char *name)
{
    const bool has_indexes = table->relation != NULL && table->relation->shape->index_count > 0;

    return strchr(name, TX_INDEX_SEPARATOR) == NULL &&
           strlen(name) + (has_indexes ? INDEX_SUFFIX_BYTES : 0) <= TXKV_TABLE_NAME_BYTES_MAX;
}

const struct tx_shape *
tx_table_shape(const struct tx_table *table)
{
    static char key[] = "key", value[] = "value", no_type[] = "";
    static struct tx_column columns[] = {
        { .name = key, .type = no_type, .not_null = true, .is_indexed = true, .key_place = 0 },
        { .name = value, .type = no_type, .key_place = -1 }
    };
    static const struct tx_shape key_value = { .column_count = 2,
                                               .columns = columns,
                                               .row_key = TX_ROW_KEY_COLUMN,
                                               .primary = { .count = 1, .columns = { 0 } } };

    return table->relation == NULL ? &key_value : table->relation->shape;
}

static int
open_indexes(struct tx_table *table, const char *name, char **message)
{
    struct tx_relation *relation = table->relation;

    for (int i = 0; i < relation->shape->index_count; i++) {
        char *index = tx_relation_stored_name(name, i + 1);
        struct txkv_error err;
        enum txkv_rc rc;

        if (index == NULL)
            return SQLITE_NOMEM;
        rc =
            txkv_table(table->link->store, index, "index", true, &relation->index_numbers[i], &err);
        sqlite3_free(index);
        if (rc != TXKV_OK)
            return tx_sql_fail(message, table->name, rc, &err);
    }
    return SQLITE_OK;
}

static int
declare(struct tx_table *table, char **message)
{
    sqlite3 *db = table->connection->db;
    char *text = table->relation == NULL ? sqlite3_mprintf("%s", TX_KEY_VALUE_SHAPE)
                                         : tx_shape_declaration(table->relation->shape);
    int rc;

    if (text == NULL)
        return SQLITE_NOMEM;
    rc = sqlite3_declare_vtab(db, text);
    sqlite3_free(text);
    if (rc == SQLITE_OK)
        return sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
    return tx_sql_refuse(message, rc,
                         "%s: SQLite does not take the columns: %s: give the column "
                         "another type",
                         table->name, sqlite3_errmsg(db));
}

int
tx_relation_define(struct tx_table *table, const char *name, const char *columns, char **message)
{
    struct tx_shape *shape;
    const int rc = tx_shape_parse(columns, &shape, message);

    if (shape == NULL)
        return rc;
    if (shape->index_count > 0 && strlen(name) + INDEX_SUFFIX_BYTES > TXKV_TABLE_NAME_BYTES_MAX) {
        tx_shape_free(shape);
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: the name of a table with indexes has at most %d bytes: give "
                             "another with table=",
                             table->name, (int)TXKV_TABLE_NAME_BYTES_MAX - INDEX_SUFFIX_BYTES);
    }
    table->relation = make_relation(shape);
    return table->relation == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

/* The relation of a table that is there already, when it has declared columns. */
static int
define_as_stored(struct tx_table *table, const char *name, char **message)
{
    struct txkv *store = table->link->store;
    const char *columns;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_table(store, name, NULL, false, &table->number, &err);

    if (rc == TXKV_SCHEMA) /* it is not there */
        return SQLITE_OK;
    if (rc != TXKV_OK)
        return tx_sql_fail(message, table->name, rc, &err);
    columns = txkv_table_shape(store, table->number);
    if (columns == NULL || strcmp(columns, TX_KEY_VALUE_SHAPE) == 0)
        return SQLITE_OK;
    return tx_relation_define(table, name, columns, message);
}

int
tx_relation_open(struct tx_table *table, const char *name, bool create, char **message)
{
    struct txkv_error err;
    enum txkv_rc store_rc;
    int rc = SQLITE_OK;

    if (strchr(name, TX_INDEX_SEPARATOR) != NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: the table's name in the store has a control character: give "
                             "another with table=",
                             table->name);
    if (table->relation == NULL)
        rc = define_as_stored(table, name, message);
    if (rc == SQLITE_OK)
        rc = declare(table, message); /* first, so that the store never has what SQLite refuses */
    if (rc != SQLITE_OK)
        return rc;
    store_rc =
        txkv_table(table->link->store, name,
                   table->relation == NULL ? TX_KEY_VALUE_SHAPE : table->relation->shape->text,
                   create, &table->number, &err);
    if (store_rc == TXKV_SCHEMA && !create &&
        txkv_table(table->link->store, name, NULL, false, &table->number, NULL) == TXKV_SCHEMA)
        return tx_sql_refuse(
            message, SQLITE_ERROR,
            "%s: %s: it was dropped or renamed there; make an empty one with CREATE "
            "VIRTUAL TABLE temp.t USING txkv('%s', table='%s', the columns), or "
            "rename it back",
            table->name, err.text, txkv_dir(table->link->store), name);
    if (store_rc != TXKV_OK)
        return tx_sql_fail(message, table->name, store_rc, &err);
    return table->relation == NULL ? SQLITE_OK : open_indexes(table, name, message);
}

/* ---- keys and columns ---- */

bool
tx_relation_key(const struct tx_shape *shape, const struct tx_cell *cells, int64_t rowid,
                struct tx_tuple *out)
{
    const struct tx_key *primary = &shape->primary;

    tx_tuple_clear(out);
    if (tx_shape_has_rowid(shape)) {
        const struct tx_cell cell = { .type = SQLITE_INTEGER, .integer = rowid };

        tx_tuple_add_last(out, &cell, TX_COLLATION_BINARY);
        return true;
    }
    for (int i = 0; i < primary->count; i++) {
        const int column = primary->columns[i];

        if (i == primary->count - 1)
            tx_tuple_add_last(out, &cells[column], shape->columns[column].collation);
        else
            tx_tuple_add(out, &cells[column], shape->columns[column].collation);
    }
    return !out->too_big && !out->no_memory;
}

bool
tx_relation_entry(const struct tx_shape *shape, int index, const struct tx_cell *cells,
                  const struct tx_tuple *key, struct tx_tuple *out)
{
    const struct tx_key *columns = &shape->indexes[index];
    bool is_unique = columns->unique;

    tx_tuple_clear(out);
    for (int i = 0; i < columns->count; i++) {
        const struct tx_cell *cell = &cells[columns->columns[i]];

        tx_tuple_add(out, cell, shape->columns[columns->columns[i]].collation);
        is_unique = is_unique && cell->type != SQLITE_NULL;
    }
    if (!is_unique)
        tx_tuple_append(out, key->data, key->bytes);
    return is_unique;
}

bool
tx_relation_cells(const struct tx_shape *shape, struct txkv_bytes value, struct tx_cell *cells)
{
    return tx_row_cells(value.data, value.bytes, shape->column_count, cells);
}

bool
tx_relation_complete(const struct tx_shape *shape, struct txkv_bytes key, int column,
                     struct tx_tuple *room, struct tx_cell *cell)
{
    const int place = shape->columns[column].key_place;

    return place < 0 || cell->type != SQLITE_NULL ||
           tx_tuple_cell(key, shape->primary.count, place, room, cell);
}

bool
tx_relation_rowid(struct txkv_bytes key, int64_t *rowid)
{
    struct tx_cell cell;

    if (tx_key_integer(key.data, key.bytes, rowid))
        return true;
    if (!tx_key_cell(key.data, key.bytes, TX_KEY_AS_IS, &cell) || cell.type != SQLITE_INTEGER)
        return false;
    *rowid = cell.integer;
    return true;
}

/* ---- messages ---- */

/* The index that the store's table is, or -1. */
static int
index_of(const struct tx_table *table, uint32_t number)
{
    int i = table->relation == NULL ? 0 : table->relation->shape->index_count;

    while (--i >= 0 && table->relation->index_numbers[i] != number)
        continue;
    return i;
}

bool
tx_relation_owns(const struct tx_table *table, uint32_t number)
{
    return table->number == number || index_of(table, number) >= 0;
}

void
tx_relation_describe(const struct tx_table *table, uint32_t number, struct txkv_bytes key,
                     char *out, size_t out_bytes)
{
    const int index = index_of(table, number);
    const int count = table->relation == NULL ? 1
                      : index < 0             ? table->relation->shape->primary.count
                                              : table->relation->shape->indexes[index].count;
    struct tx_tuple value;
    size_t used = 1;

    if (index < 0 && count == 1) {
        tx_key_describe(key.data, key.bytes, out, out_bytes);
        return;
    }
    tx_tuple_init(&value);
    out[0] = '(';
    for (int i = 0; i < count && used + 40 < out_bytes; i++) {
        if (!tx_tuple_value(key, index < 0 ? count : count + 1, i, &value))
            break;
        if (i > 0) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        if (value.bytes == 1) /* the one value that is a tag alone and has no key */
            memcpy(out + used, "NULL", 5);
        else
            tx_key_describe(value.data, value.bytes, out + used, out_bytes - used - 2);
        used += strlen(out + used);
    }
    memcpy(out + used, ")", 2);
    tx_tuple_free(&value);
}
