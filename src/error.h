/*
 * error.h - filling struct txkv_error.
 *
 * Layer 0: txkv.h, base.h.
 */
#ifndef TX_ERROR_H
#define TX_ERROR_H

#include "base.h"
#include "txkv.h"

/* Write rc and the formatted sentence into *err (which may be NULL); returns rc. */
enum txkv_rc tx_fail(struct txkv_error *err, enum txkv_rc rc, const char *format, ...)
    TX_PRINTF(3, 4);

/* As tx_fail, for a system call that failed with errno value e: picks the code from e, appends
 * strerror. */
enum txkv_rc tx_fail_errno(struct txkv_error *err, int e, const char *format, ...) TX_PRINTF(3, 4);

/* TXKV_NOMEM with its sentence. */
enum txkv_rc tx_fail_nomem(struct txkv_error *err);

#endif /* TX_ERROR_H */
