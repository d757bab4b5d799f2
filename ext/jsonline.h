/*
 * jsonline.h - reading a line of JSON: an object that is a row, or that has one.
 *
 *   {"table":"t","columns":"id INTEGER PRIMARY KEY, a"}     a table; "columns":null: key and value
 *   {"table":"t","row":{"id":1,"a":"x"}}                    a row of it
 *   {"table":"t","rowid":7,"row":{"a":"x"}}                 of a table without a PRIMARY KEY
 *   {"id":1,"a":"x"}                                        a plain row
 *
 * The values are those of literal.h, and true and false, which are 1 and 0. Whole numbers have to
 * fit 64 bits, and texts to be UTF-8.
 *
 * Pure; any thread that owns the line.
 */
#ifndef TX_JSONLINE_H
#define TX_JSONLINE_H

#include "cell.h"

/* Its bytes are the line's; the name ends with a NUL there. */
struct tx_json_member {
    const char *name;
    size_t name_bytes;
    struct tx_cell cell;
};

struct tx_json_line {
    /* Of the object around the row; SQLITE_NULL when it is not there. */
    struct tx_cell table, columns, rowid;
    bool has_columns, has_row;
    struct tx_json_member *members; /* of the row */
    int count;
    int room;            /* for members */
    const char *problem; /* what is wrong with it */
    const char *where;   /* the name of the member that it is in, or NULL */
    size_t at;           /* byte of the line */
    bool no_memory;
};

/*
 * tx_jsonline_read -- read one, which is changed; line[bytes] is written, too.
 *
 * plain  it is the row itself.
 * out    all 0 before the first one; free it with tx_jsonline_free behind the last one.
 *
 * False: out->problem says why, or out->no_memory is true.
 */
bool tx_jsonline_read(char *line, size_t bytes, bool plain, struct tx_json_line *out);

void tx_jsonline_free(struct tx_json_line *line);

#endif /* TX_JSONLINE_H */
