/*
 * shape.h - the declared columns of a table: names, types, keys and indexes.
 *
 * Read from the arguments of USING txkv(...) that are column definitions or table constraints, and
 * from the text that the store keeps:
 *
 *   NAME [TYPE] [PRIMARY KEY] [NOT NULL] [UNIQUE] [COLLATE BINARY|NOCASE|RTRIM]
 *   PRIMARY KEY(a, b)   UNIQUE(a, b)   INDEX(a, b)
 *
 * as in a native CREATE TABLE, which has no INDEX. A table is keyed as a native one: a single
 * INTEGER PRIMARY KEY is the rowid; without a PRIMARY KEY there is a rowid that no column shows;
 * any other PRIMARY KEY is the key of a WITHOUT ROWID table, whose columns are NOT NULL. What is
 * not supported is refused by its name.
 *
 * Pure; any thread.
 */
#ifndef TX_SHAPE_H
#define TX_SHAPE_H

#include "cell.h"

enum {
    TX_COLUMNS_MAX = 2000,
    TX_KEY_COLUMNS_MAX = 10, /* of one key or index: as many as a plan can name */
    TX_INDEXES_MAX = 62,
    TX_ROWID_COLUMN = -1 /* in a key: the rowid that no column shows */
};

/* The column that names a row to SQLite when its key is not one column. */
#define TX_HIDDEN_KEY "txkv_key"

/* The shape of a table without declared columns, as the store keeps it. */
#define TX_KEY_VALUE_SHAPE "CREATE TABLE x(key PRIMARY KEY, value) WITHOUT ROWID"

enum tx_row_key {
    TX_ROW_KEY_HIDDEN_ROWID, /* no PRIMARY KEY */
    TX_ROW_KEY_ROWID,        /* INTEGER PRIMARY KEY */
    TX_ROW_KEY_COLUMN,       /* one column of the table */
    TX_ROW_KEY_COLUMNS       /* several: the hidden column has the key's bytes */
};

struct tx_column {
    char *name;
    char *type; /* in capitals, words apart by one space; "" when there is none */
    enum tx_affinity affinity;
    enum tx_collation collation;
    bool not_null;
    bool is_indexed; /* in the primary key or an index */
    int key_place;   /* in the primary key, or -1 */
};

struct tx_key {
    int count;
    int columns[TX_KEY_COLUMNS_MAX];
    bool unique;
};

struct tx_shape {
    int column_count;
    struct tx_column *columns;
    enum tx_row_key row_key;
    struct tx_key primary;
    int index_count;
    struct tx_key indexes[TX_INDEXES_MAX]; /* in the order in which they were declared */
    int indexes_before_primary;            /* declared before the PRIMARY KEY */
    char *text;                            /* canonical: parsing it gives this shape again */
};

/*
 * tx_shape_parse -- read definitions, separated by commas.
 *
 * out      NULL unless SQLITE_OK; free it with tx_shape_free.
 * message  out, set on SQLITE_ERROR: a sentence that names the definition and the way out; free it
 *          with sqlite3_free. NULL otherwise.
 *
 * Returns SQLITE_OK, SQLITE_ERROR, SQLITE_NOMEM.
 */
TXKV_MUST_CHECK int tx_shape_parse(const char *text, struct tx_shape **out, char **message);

/* NULL is allowed. */
void tx_shape_free(struct tx_shape *shape);

/* The canonical text, `text` of a shape that was parsed; free it with sqlite3_free; NULL: no
 * memory. */
TXKV_MUST_CHECK char *tx_shape_text(const struct tx_shape *shape);

/* The CREATE TABLE for sqlite3_declare_vtab, to be freed with sqlite3_free; NULL: no memory. */
TXKV_MUST_CHECK char *tx_shape_declaration(const struct tx_shape *shape);

/* How a key's column compares. TX_ROWID_COLUMN is allowed for both. */
enum tx_affinity tx_shape_affinity(const struct tx_shape *shape, int column);
enum tx_collation tx_shape_collation(const struct tx_shape *shape, int column);
const char *tx_shape_column_name(const struct tx_shape *shape, int column);

/* Whether keys give the column's values back as they were stored, odd ones aside. */
bool tx_shape_restores(const struct tx_shape *shape, int column);

/* The key of a way to the rows: 0 is the primary key, an index from 1. */
static inline const struct tx_key *
tx_shape_path(const struct tx_shape *shape, int path)
{
    return path == 0 ? &shape->primary : &shape->indexes[path - 1];
}

/* Whether the rows have a rowid, that SQLite knows them by. */
bool tx_shape_has_rowid(const struct tx_shape *shape);

/* What SQL can call the rowid that no column shows; NULL: there is none, or columns have taken all
 * of its names. */
const char *tx_shape_rowid_name(const struct tx_shape *shape);

/* A shape that stands for key and value of a table without declared columns. */
#define TX_PAIR_SHAPE "key PRIMARY KEY, value"

#endif /* TX_SHAPE_H */
