/*
 * analyzer.h - included before every file of src/ by the static analyzers, never by a build.
 *
 * They read one file at a time, and so do not know that tx_fail returns the code it is given, which
 * is never TXKV_OK: each failure would go on as if it were a success.
 */
#ifndef TX_LINT_ANALYZER_H
#define TX_LINT_ANALYZER_H

#include "../../src/error.h"

#define tx_fail(err, rc, ...)      ((void)(tx_fail)(err, rc, __VA_ARGS__), (rc))
#define tx_fail_errno(err, e, ...) ((void)(tx_fail_errno)(err, e, __VA_ARGS__), TXKV_IOERR)
#define tx_fail_nomem(err)         ((void)(tx_fail_nomem)(err), TXKV_NOMEM)

#endif /* TX_LINT_ANALYZER_H */
