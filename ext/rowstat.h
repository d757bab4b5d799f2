/*
 * rowstat.h - how many rows a value of a key or an index has, for the planner.
 *
 * Found by a few seeks and steps when a plan first asks for it, and again when the table has grown
 * to twice its size or shrunk to half. They are made outside of the connection's transaction: a
 * plan is no read that a commit could be in conflict with.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWSTAT_H
#define TX_ROWSTAT_H

#include "relation.h"

/* Rows that agree in the first `columns` columns of the path, NULLs left out, on average. */
double tx_rowstat_rows(struct tx_table *table, int path, int columns, double table_rows);

#endif /* TX_ROWSTAT_H */
