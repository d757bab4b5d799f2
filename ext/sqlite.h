/*
 * sqlite.h - SQLite's API: through the extension's table of pointers, or by name when linked
 * statically (compiled with -DSQLITE_CORE).
 */
#ifndef TX_SQLITE_H
#define TX_SQLITE_H

#include <sqlite3ext.h>

#ifndef SQLITE_CORE
extern const sqlite3_api_routines *sqlite3_api; /* SQLITE_EXTENSION_INIT1 stands in init.c */
#endif

#endif /* TX_SQLITE_H */
