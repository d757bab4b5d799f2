/*
 * error.c - filling struct txkv_error.
 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
txkv_rc_name(enum txkv_rc rc)
{
    static const char *const names[] = {
        [TXKV_OK] = "TXKV_OK",
        [TXKV_NOTFOUND] = "TXKV_NOTFOUND",
        [TXKV_EXISTS] = "TXKV_EXISTS",
        [TXKV_SCHEMA] = "TXKV_SCHEMA",
        [TXKV_BUSY] = "TXKV_BUSY",
        [TXKV_LOCKED] = "TXKV_LOCKED",
        [TXKV_CONFLICT] = "TXKV_CONFLICT",
        [TXKV_EXPIRED] = "TXKV_EXPIRED",
        [TXKV_NOMEM] = "TXKV_NOMEM",
        [TXKV_FULL] = "TXKV_FULL",
        [TXKV_TOOBIG] = "TXKV_TOOBIG",
        [TXKV_READONLY] = "TXKV_READONLY",
        [TXKV_CANTOPEN] = "TXKV_CANTOPEN",
        [TXKV_FORMAT] = "TXKV_FORMAT",
        [TXKV_CORRUPT] = "TXKV_CORRUPT",
        [TXKV_IOERR] = "TXKV_IOERR",
        [TXKV_STOPPED] = "TXKV_STOPPED",
        [TXKV_INDOUBT] = "TXKV_INDOUBT",
        [TXKV_FORKED] = "TXKV_FORKED",
        [TXKV_MISUSE] = "TXKV_MISUSE",
    };

    return (size_t)rc < sizeof names / sizeof names[0] ? names[rc] : "TXKV_UNKNOWN";
}

enum txkv_rc
tx_fail(struct txkv_error *err, enum txkv_rc rc, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return rc;
    err->rc = rc;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return rc;
}

static enum txkv_rc
rc_of_errno(int e)
{
    switch (e) {
    case ENOMEM:
        return TXKV_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return TXKV_FULL;
    case EACCES:
    case EPERM:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EMFILE:
    case ENFILE:
        return TXKV_CANTOPEN;
    case EROFS:
        return TXKV_READONLY;
    default:
        return TXKV_IOERR;
    }
}

enum txkv_rc
tx_fail_errno(struct txkv_error *err, int e, const char *format, ...)
{
    va_list args;
    size_t used;

    if (err == NULL)
        return rc_of_errno(e);
    err->rc = rc_of_errno(e);
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(e));
    return err->rc;
}

enum txkv_rc
tx_fail_nomem(struct txkv_error *err)
{
    return tx_fail(err, TXKV_NOMEM, "out of memory");
}
