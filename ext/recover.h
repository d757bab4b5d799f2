/*
 * recover.h - the modes of txkv_recover for stores that are not opened: 'dry-run' and 'rescue'.
 *
 * Threads: any.
 */
#ifndef TX_RECOVER_H
#define TX_RECOVER_H

#include "sqlite.h"

/* Append the report on the store in that directory. An SQLite code; *message is set on an error. */
int tx_recover_dry_run(const char *dir, sqlite3_str *out, char **message);

/* The same, of what was rescued; indexes are made anew from the rows. */
int tx_recover_rescue(const char *dir, sqlite3_str *out, char **message);

#endif /* TX_RECOVER_H */
