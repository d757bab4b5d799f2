/*
 * relation.h - a table with declared columns, as a connection has it open.
 *
 * A row is stored under its primary key (tuple.h), or under its rowid as a key of one value; its
 * value holds every column (rowcodec.h). A column of the primary key is NULL there when the key
 * restores it, which no such column is otherwise.
 *
 * Each index is a store table of its own, named after the table, a byte 0x01 and the index's
 * number. An entry of an index that is not UNIQUE, or that has a NULL, has the indexed columns and
 * then the primary key as its key, and no value. Other entries of a UNIQUE index have the indexed
 * columns as their key and the primary key as their value, so that two transactions that add the
 * same write the same key, at any isolation.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_RELATION_H
#define TX_RELATION_H

#include "connection.h"
#include "shape.h"
#include "tuple.h"

/* A row's bytes, copied, and its columns, which point into them. */
struct tx_row {
    struct tx_tuple key;
    uint8_t *data;
    size_t data_bytes_max;
    struct tx_cell *cells;  /* one for each column */
    struct tx_tuple *rooms; /* one for each column of the primary key */
};

/* False: no memory; tx_row_free is for that row, too. */
TXKV_MUST_CHECK bool tx_row_make(struct tx_row *row, const struct tx_shape *shape);
void tx_row_free(struct tx_row *row, const struct tx_shape *shape);

/* All columns of a row, those of the key too, into row->cells, which point into the value and the
 * rooms. SQLITE_OK, SQLITE_CORRUPT_VTAB, SQLITE_NOMEM. */
TXKV_MUST_CHECK int tx_row_read(struct tx_row *row, const struct tx_shape *shape,
                                struct txkv_bytes key, struct txkv_bytes value);

struct tx_relation {
    struct tx_shape *shape;
    uint32_t index_numbers[TX_INDEXES_MAX]; /* in the store */
    struct tx_rowstat *statistics;          /* of each index (rowstat.h); NULL: none needed yet */

    /* For the one xUpdate that runs. */
    struct tx_tuple key, entry, old_entry; /* of the new row, and entries in an index */
    struct tx_cell *cells;                 /* the new row's columns */
    struct tx_cell *stored;                /* the same as the row's value has them */
    struct tx_row old;                     /* the row that is updated */
    struct tx_row victim;                  /* a row that REPLACE removes */
};

/* Give the table the columns that the definitions say; `name` is the one in the store. */
int tx_relation_define(struct tx_table *table, const char *name, const char *columns,
                       char **message);

/*
 * Find or make the table named `name` in the store of table->link, and its indexes; and declare it
 * to SQLite. A table whose columns are not defined yet takes the stored shape where it is there
 * already, and the columns key and value where it is new. Sets table->number. Without `create` a
 * table that is missing is an error.
 */
int tx_relation_open(struct tx_table *table, const char *name, bool create, char **message);

/* The name in the store of the table (0), or of its index of that number; NULL: no memory. */
char *tx_relation_stored_name(const char *name, int index);

/* Whether the name in the store is one of an index; and of an index of that table, which one. */
bool tx_relation_is_index(const char *name);
bool tx_relation_is_index_of(const char *name, const char *table, int *index);

/* Whether the table may have that name in the store. */
bool tx_relation_name_fits(const struct tx_table *table, const char *name);

/* The table's shape; without declared columns, that of one key and one value. */
const struct tx_shape *tx_table_shape(const struct tx_table *table);

/* NULL is allowed. */
void tx_relation_free(struct tx_relation *relation);

/* The key of a row; false when it is longer than a key may be, or out->no_memory is true. */
bool tx_relation_key(const struct tx_shape *shape, const struct tx_cell *cells, int64_t rowid,
                     struct tx_tuple *out);

/* An index's entry for a row: its key, and whether the primary key is its value. `out` says whether
 * there is room for it. */
bool tx_relation_entry(const struct tx_shape *shape, int index, const struct tx_cell *cells,
                       const struct tx_tuple *key, struct tx_tuple *out);

/*
 * All columns of a row but those of the primary key that only the key has: these are NULL. False
 * when the row is damaged.
 */
bool tx_relation_cells(const struct tx_shape *shape, struct txkv_bytes value,
                       struct tx_cell *cells);

/*
 * A column as tx_relation_cells gave it, or from the key. `room` is where bytes of the key go; it
 * is not used for a column that is not in the primary key. False when the key is damaged, or
 * room->no_memory is true.
 */
bool tx_relation_complete(const struct tx_shape *shape, struct txkv_bytes key, int column,
                          struct tx_tuple *room, struct tx_cell *cell);

/* The rowid that a key is; false when it is none. */
bool tx_relation_rowid(struct txkv_bytes key, int64_t *rowid);

/* Whether the store's table is this one, or one of its indexes. */
bool tx_relation_owns(const struct tx_table *table, uint32_t number);

/*
 * A key of that store table in words, for messages: 42, ('a', 7), and for an index the indexed
 * columns alone. out_bytes is at least 32; always NUL-terminated.
 */
void tx_relation_describe(const struct tx_table *table, uint32_t number, struct txkv_bytes key,
                          char *out, size_t out_bytes);

#endif /* TX_RELATION_H */
