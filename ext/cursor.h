/*
 * cursor.h - a cursor of SQLite's on a table, shared by scan.c and rowscan.c.
 */
#ifndef TX_CURSOR_H
#define TX_CURSOR_H

#include "connection.h"
#include "rowlists.h"
#include "rowmap.h"
#include "rowplan.h"

enum tx_row_state {
    TX_ROW_NONE, /* before the first row or behind the last */
    TX_ROW_LIVE, /* the store's cursor has it */
    TX_ROW_KEPT, /* copied: key and value point into copy */
    TX_ROW_LOST  /* there was no memory to copy it */
};

/* Where walk on the table has a column of a live row from. */
enum tx_source {
    TX_SOURCE_ROW,     /* it stands in the row */
    TX_SOURCE_KEY,     /* an integer that is the key */
    TX_SOURCE_PART,    /* an integer in a key of several values */
    TX_SOURCE_ANY_KEY, /* it is the key of a table without declared columns, */
    TX_SOURCE_ONLY,    /* or the value, all that the row has */
    TX_SOURCE_ANY
};

struct tx_cursor {
    sqlite3_vtab_cursor base;          /* first: SQLite's view of it */
    struct tx_cursor *next, *previous; /* in the link's list */
    struct txkv_cursor *walk;          /* NULL before the first xFilter */
    enum tx_row_state row;
    struct txkv_bytes key, value; /* of a kept row */
    uint8_t *copy;
    size_t copy_bytes_max;
    struct tx_ends ends;    /* of walk, while they are made */
    struct tx_lists *lists; /* NULL: not needed yet */
    bool has_lists;         /* when walk's range has ended the next one of lists follows */
    struct tx_rowplan plan; /* of xFilter, unpacked from: */
    int plan_number;        /* -1: none yet */
    bool may_update;        /* xColumn may be called for an UPDATE */
    uint8_t *sources;       /* one for each column and the hidden one, an enum tx_source */
    const uint8_t *ways;    /* sources, while they hold: walk is on the table, and has the row, and
                               nobody asks for an UPDATE. Else NULL: each column is looked for */

    /* Of a table with declared columns. */
    int path;                 /* what walk is on: 0 the table, else an index, from 1 */
    struct txkv_cursor *rows; /* on the table, where walk is on an index; NULL: not opened yet */
    bool row_found;           /* rows stands on the row that walk's entry is of */
    bool disturbed;           /* the connection has written since walk was placed */
    bool decoded;             /* map is of the row */
    struct tx_row_map map;

    struct txkv_error
        err; /* of the store's calls for a row: not in their frames, which are short */
};

/* Where walk has the row, or will have it. */
static inline void
tx_cursor_set_ways(struct tx_cursor *cursor)
{
    cursor->ways = cursor->path == 0 && !cursor->may_update ? cursor->sources : NULL;
}

static inline struct tx_table *
tx_cursor_table(const struct tx_cursor *cursor)
{
    return (struct tx_table *)cursor->base.pVtab;
}

#endif /* TX_CURSOR_H */
