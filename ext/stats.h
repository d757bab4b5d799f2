/*
 * stats.h - txkv_stats, a table that is there without being created: what the connection's stores
 * are doing.
 *
 *   CREATE TABLE txkv_stats(store TEXT, name TEXT, value NUMERIC, unit TEXT, meaning TEXT)
 *
 * One row a statistic and store, as of the start of the scan. Read-only.
 */
#ifndef TX_EXT_STATS_H
#define TX_EXT_STATS_H

#include "connection.h"

int tx_stats_table_register(struct tx_connection *connection);

#endif /* TX_EXT_STATS_H */
