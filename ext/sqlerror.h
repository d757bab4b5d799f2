/*
 * sqlerror.h - the store's errors as SQLite's: result codes and messages.
 *
 * A message reads "<table>: <what went wrong and the way out>"; the sentence after the name is the
 * store's own. Pure; the thread that owns the virtual table.
 */
#ifndef TX_SQLERROR_H
#define TX_SQLERROR_H

#include "sqlite.h"
#include "../src/txkv.h"

/* The SQLite result code, extended where SQLite has one, for a code of the store. */
int tx_sql_code(enum txkv_rc rc);

/*
 * tx_sql_fail -- report a failed call of the store: *message becomes "<who>: <err's sentence>", any
 * earlier message is freed.
 *
 * rc   what the call returned, not TXKV_OK.
 * err  what the call filled in.
 *
 * Returns tx_sql_code(rc). Without memory for the message it stays NULL and SQLite says what the
 * code means.
 */
int tx_sql_fail(char **message, const char *who, enum txkv_rc rc, const struct txkv_error *err);

/* As tx_sql_fail for an error that is not the store's; returns code. */
int tx_sql_refuse(char **message, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* TX_SQLERROR_H */
