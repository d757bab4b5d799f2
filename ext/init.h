/*
 * init.h - the extension's entry point.
 *
 * SQLite finds it by its name in txkv.so. Linked statically (everything in ext/ compiled with
 * -DSQLITE_CORE) it is called by the application for one connection, with NULL for api, or given to
 * sqlite3_auto_extension for all that are opened later.
 *
 * Returns SQLITE_OK_LOAD_PERMANENTLY from txkv.so, for the store's threads run its code; SQLITE_OK
 * when linked statically; else an error with *message to be freed with sqlite3_free. Loading it
 * again does nothing.
 */
#ifndef TX_INIT_H
#define TX_INIT_H

#include "sqlite.h"

__attribute__((visibility("default"))) int sqlite3_txkv_init(sqlite3 *db, char **message,
                                                             const sqlite3_api_routines *api);

#endif /* TX_INIT_H */
