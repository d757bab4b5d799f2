/*
 * rowrange.h - the ranges of keys that a plan and its values ask for, in the order of the keys.
 *
 * Most plans ask for one range. Lists (IN) make several: one for each combination of their values,
 * which are sorted and made different first, so that the ranges come one behind the other and a
 * scan of them all has the order of the keys. They are put together when the scan comes to them.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWRANGE_H
#define TX_ROWRANGE_H

#include "rowplan.h"

/* One range. */
struct tx_ends {
    struct tx_tuple low, high;
    bool low_open, high_open;
    bool no_row;
    unsigned unsure; /* bit i: the value of equal column i is a number, and the column's are texts
                        of which several may be equal to it */
};

struct tx_lists;

/*
 * tx_rowrange_make -- read the values that xFilter gets.
 *
 * ends   out: the range, unless there are lists, or the range that has all that may match when a
 *        value is unsure.
 * lists  in and out: *lists may be one to be used again; free it with tx_rowrange_free.
 * more   out: whether there are lists; then *ends is set by tx_rowrange_next.
 *
 * Returns SQLITE_OK or what SQLite answered when it was asked for a list's values.
 */
int tx_rowrange_make(const struct tx_shape *shape, const struct tx_rowplan *plan,
                     sqlite3_value **values, struct tx_ends *ends, struct tx_lists **lists,
                     bool *more);

/* The next range of the lists, in either direction; false when there is none. */
bool tx_rowrange_next(struct tx_lists *lists, bool reverse, struct tx_ends *ends);

/*
 * Keys to be visited one by one, in the order of what is left of each without the columns of
 * `unsure`: begin, add each, sort; then tx_rowrange_next.
 */
int tx_rowrange_begin(struct tx_lists **lists);
int tx_rowrange_add(struct tx_lists *lists, struct txkv_bytes key, unsigned unsure, int columns);
void tx_rowrange_sort(struct tx_lists *lists);

/* What the ends mean to the store, which copies the bytes. */
struct txkv_range tx_rowrange_of(const struct tx_ends *ends, bool reverse);

/* NULL is allowed. */
void tx_rowrange_free(struct tx_lists *lists);

#endif /* TX_ROWRANGE_H */
