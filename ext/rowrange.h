/*
 * rowrange.h - the ranges of keys that a plan and its values ask for.
 *
 * Most plans ask for one range; lists (IN) make several.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWRANGE_H
#define TX_ROWRANGE_H

#include "rowlists.h"
#include "rowplan.h"

/*
 * tx_rowrange_make -- read the values that xFilter gets.
 *
 * ends       out: the range, unless there are lists; one that has all that may match when a value
 *            is unsure.
 * lists      in and out: *lists may be NULL, or lists to be used again; for tx_lists_free.
 * has_lists  out: the ranges are those of *lists, and *ends is not set.
 *
 * Returns SQLITE_OK or what SQLite answered when it was asked for a list's values.
 */
int tx_rowrange_make(const struct tx_shape *shape, const struct tx_rowplan *plan,
                     sqlite3_value **values, struct tx_ends *ends, struct tx_lists **lists,
                     bool *has_lists);

/* What the ends mean to the store, which copies the bytes. */
struct txkv_range tx_rowrange_of(const struct tx_ends *ends, bool reverse);

#endif /* TX_ROWRANGE_H */
