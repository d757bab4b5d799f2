/*
 * rowlists.h - ranges of keys that lists of values ask for, one after another.
 *
 * There is a list for each of the first columns of a key; what stands behind them is the same in
 * all ranges. Each list is sorted and its values made different, so that the ranges, one for each
 * combination, come in the order of the keys. They are put together when a scan comes to them.
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_ROWLISTS_H
#define TX_ROWLISTS_H

#include "shape.h"
#include "tuple.h"

/* One range. */
struct tx_ends {
    struct tx_tuple low, high;
    bool low_open, high_open;
    bool no_row;
    unsigned unsure; /* bit i: the value of equal column i is a number, and the column's are texts
                        of which several may be equal to it */
};

struct tx_lists;

void tx_ends_init(struct tx_ends *ends);
void tx_ends_clear(struct tx_ends *ends);
void tx_ends_free(struct tx_ends *ends);

static inline bool
tx_ends_lack_memory(const struct tx_ends *ends)
{
    return ends->low.no_memory || ends->high.no_memory;
}

/* Make *out, or empty it to be used again. SQLITE_OK or SQLITE_NOMEM. */
int tx_lists_begin(struct tx_lists **out);

/* Add a value to the list that is open, the first one at the beginning; close it and open the next.
 */
int tx_lists_add(struct tx_lists *lists, const struct tx_tuple *tuple);
void tx_lists_close(struct tx_lists *lists);

/* How many have been closed. */
int tx_lists_count(const struct tx_lists *lists);

/* What stands behind the values, to be set; at the beginning nothing. */
struct tx_ends *tx_lists_tail(struct tx_lists *lists);

/*
 * Instead of lists: keys to be visited one by one, in the order of what is left of each without
 * those of its first `columns` values that `unsure` names. Add each, then sort.
 */
int tx_lists_add_key(struct tx_lists *lists, struct txkv_bytes key, unsigned unsure, int columns);
void tx_lists_sort_keys(struct tx_lists *lists);

/* The next range, in either direction; false when there is none. */
bool tx_lists_next(struct tx_lists *lists, bool reverse, struct tx_ends *ends);

/* NULL is allowed. */
void tx_lists_free(struct tx_lists *lists);

#endif /* TX_ROWLISTS_H */
