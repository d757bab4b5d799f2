/*
 * rowplan.h - xBestIndex: the primary key or an index, a prefix of it that is equal to something,
 * and a range of the column behind. A table of keys and values is one with one key column.
 *
 * idxNum carries the plan to xFilter (struct tx_rowplan, packed); idxStr says it in words, for
 * EXPLAIN QUERY PLAN. The values come in the order of the columns, the lower bound first.
 *
 * A comparison applies an affinity to its sides that depends on both, and SQLite does not tell a
 * virtual table the other side's. A column of a numeric type makes any other side numeric, and one
 * without a type is compared as it is, so their terms are exact. A TEXT column may be compared as
 * text or, with the number of a numeric column, as numbers; xFilter sees the value and widens the
 * range where it is a number, so SQLite checks such terms again.
 *
 * Pure but for tx_rowplan_make's reading of the table. Only within xBestIndex.
 */
#ifndef TX_ROWPLAN_H
#define TX_ROWPLAN_H

#include "relation.h"

enum tx_rowplan_kind {
    TX_EQUALS,
    TX_IS, /* the value may be NULL, and means it */
    TX_IN, /* the value is a list */
    TX_KINDS
};

/* What the text of a pattern begins with is a range of its own. */
enum tx_rowplan_pattern { TX_NO_PATTERN, TX_LIKE, TX_GLOB };

struct tx_rowplan {
    int path;  /* 0: the primary key; else an index, from 1 */
    int equal; /* columns of it that are equal to a value */
    enum tx_rowplan_kind kind[TX_KEY_COLUMNS_MAX];
    bool low, low_open, high, high_open;
    bool not_null;                   /* instead of bounds */
    enum tx_rowplan_pattern pattern; /* likewise */
    bool reverse;
    bool covering; /* for the words: the index has all columns that are asked for */
    bool merge;    /* the order leaves out equal columns, also where one means several texts */
};

/* The plan as idxNum, and back, without what is for the words alone. */
int tx_rowplan_pack(const struct tx_rowplan *plan);
void tx_rowplan_unpack(int packed, struct tx_rowplan *out);

/* The plan as idxStr, to be freed with sqlite3_free; NULL: no memory. */
char *tx_rowplan_words(const struct tx_rowplan *plan, const struct tx_shape *shape,
                       const char *table);

/* Returns SQLITE_OK or SQLITE_NOMEM. */
int tx_rowplan_make(sqlite3_index_info *info, struct tx_table *table);

#endif /* TX_ROWPLAN_H */
