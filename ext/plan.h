/*
 * plan.h - xBestIndex: which of a query's terms on the key the scan takes over.
 *
 * idxNum carries the plan to xFilter as a set of bits:
 *
 *   TX_PLAN_EQUAL    argv[0] is the one key; no other bound is set
 *   TX_PLAN_LOW      argv[0] is the lower bound; with TX_PLAN_LOW_OPEN it is not in the range
 *   TX_PLAN_HIGH     the next argument is the upper bound; with TX_PLAN_HIGH_OPEN likewise
 *   TX_PLAN_REVERSE  the rows come in descending order of the key
 *
 * No bit: the whole table, ascending. Keys are compared as SQLite compares values of no affinity
 * with the BINARY collation; a term with another collation is left to SQLite. Every bound taken is
 * exact, so SQLite does not check it again.
 *
 * Pure: reads and writes the sqlite3_index_info alone. Only within xBestIndex.
 */
#ifndef TX_PLAN_H
#define TX_PLAN_H

#include "sqlite.h"

enum tx_plan_bits {
    TX_PLAN_EQUAL = 1,
    TX_PLAN_LOW = 2,
    TX_PLAN_LOW_OPEN = 4,
    TX_PLAN_HIGH = 8,
    TX_PLAN_HIGH_OPEN = 16,
    TX_PLAN_REVERSE = 32
};

/* Fill in the plan for a table of about `rows` rows whose key is column 0. */
void tx_plan_make(sqlite3_index_info *info, sqlite3_uint64 rows);

#endif /* TX_PLAN_H */
