/*
 * sqlerror.c - the store's errors as SQLite's: result codes and messages.
 */
#include "sqlerror.h"

#include <stdarg.h>

int
tx_sql_code(enum txkv_rc rc)
{
    switch (rc) {
    case TXKV_OK:
        return SQLITE_OK;
    case TXKV_BUSY:
    case TXKV_LOCKED:
        return SQLITE_BUSY;
    case TXKV_CONFLICT:
    case TXKV_EXPIRED:
        return SQLITE_BUSY_SNAPSHOT;
    case TXKV_NOMEM:
        return SQLITE_NOMEM;
    case TXKV_FULL:
        return SQLITE_FULL;
    case TXKV_TOOBIG:
        return SQLITE_TOOBIG;
    case TXKV_READONLY:
        return SQLITE_READONLY;
    case TXKV_EXISTS:
    case TXKV_CANTOPEN:
        return SQLITE_CANTOPEN;
    case TXKV_FORMAT:
        return SQLITE_NOTADB;
    case TXKV_CORRUPT:
        return SQLITE_CORRUPT_VTAB;
    case TXKV_IOERR:
        return SQLITE_IOERR;
    case TXKV_STOPPED:
        return SQLITE_IOERR_FSYNC;
    case TXKV_INDOUBT:
        return SQLITE_BUSY_RECOVERY;
    case TXKV_NOTFOUND:
    case TXKV_SCHEMA:
    case TXKV_FORKED:
    case TXKV_MISUSE:
        return SQLITE_ERROR;
    }
    return SQLITE_ERROR;
}

int
tx_sql_fail(char **message, const char *who, enum txkv_rc rc, const struct txkv_error *err)
{
    return tx_sql_refuse(message, tx_sql_code(rc), "%s: %s", who, err->text);
}

int
tx_sql_refuse(char **message, int code, const char *format, ...)
{
    va_list arguments;

    sqlite3_free(*message);
    va_start(arguments, format);
    *message = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    return code;
}
