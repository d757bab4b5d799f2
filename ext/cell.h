/*
 * cell.h - one value of SQLite's, as a column's affinity makes it.
 *
 * The bytes of a text or blob belong to whoever the cell was read from: the sqlite3_value, or the
 * row. Pure; any thread that owns those.
 */
#ifndef TX_CELL_H
#define TX_CELL_H

#include <stdbool.h>

#include "sqlite.h"
#include "../src/txkv.h"

enum tx_affinity {
    TX_AFFINITY_BLOB, /* also of a column without a type: values stay as they are */
    TX_AFFINITY_TEXT,
    TX_AFFINITY_NUMERIC,
    TX_AFFINITY_INTEGER,
    TX_AFFINITY_REAL
};

enum tx_collation { TX_COLLATION_BINARY, TX_COLLATION_NOCASE, TX_COLLATION_RTRIM };

struct tx_cell {
    int type; /* SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB, SQLITE_NULL */
    int64_t integer;
    double real;
    const uint8_t *data; /* of a text, in UTF-8, or a blob */
    size_t bytes;
};

/* The affinity that a declared type gives, by SQLite's rules. */
enum tx_affinity tx_affinity_of_type(const char *type);

/*
 * Read a value as a column of this affinity would store it. May convert the value itself, as
 * sqlite3_value_text does; nothing may touch it while the cell is in use. False: no memory.
 */
TXKV_MUST_CHECK bool tx_cell_read(sqlite3_value *value, enum tx_affinity affinity,
                                  struct tx_cell *out);

/* Give a text to SQLite as a result; its bytes are copied. */
void tx_text_result(sqlite3_context *context, const uint8_t *text, size_t bytes);

/* Give the cell to SQLite as a result; bytes are copied. */
void tx_cell_result(sqlite3_context *context, const struct tx_cell *cell);

static inline bool
tx_affinity_is_numeric(enum tx_affinity affinity)
{
    return affinity >= TX_AFFINITY_NUMERIC;
}

#endif /* TX_CELL_H */
