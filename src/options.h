/*
 * options.h - defaults and ranges of struct txkv_options.
 *
 * Pure. Layer 7: txkv.h, core.h (struct tx_limits).
 */
#ifndef TX_OPTIONS_H
#define TX_OPTIONS_H

#include "core.h"

/* TXKV_MISUSE naming the option, its value and its range; zero fields are fine. */
TX_MUST_CHECK enum txkv_rc tx_options_check(const struct txkv_options *options,
                                            struct txkv_error *err);

/* Replace zeros by the defaults; that of snapshot_timeout_s is 0, none. */
void tx_options_fill(struct txkv_options *options);

/* Take over the intervals and limits that are not zero. Any thread. */
void tx_options_apply(const struct txkv_options *options, struct tx_limits *limits);

#endif /* TX_OPTIONS_H */
