/*
 * check.h - is a history of list-append transactions serializable?
 *
 * After K. Kingsbury and P. Alvaro, "Elle: inferring isolation anomalies from experimental
 * observations", 2020. Transactions append unique numbers to lists and read whole lists. The
 * longest list that anybody read of a key is the order of its versions, and every read says which
 * of them it saw; so the dependencies between transactions are known without knowing anything of
 * the store:
 *
 *   ww  the next number of a list is another transaction's
 *   wr  the last number that a transaction read is another one's
 *   rw  the first number that a transaction missed is another one's
 *   rt  a transaction ended before another began
 *
 * A serial order exists exactly when they form no cycle. Cycles have the names that A. Adya gave
 * them (1999): G0 has ww edges only, G1c also wr, G-single one rw, G2 several.
 *
 * Threads: one.
 */
#ifndef TXKV_TEST_HISTORY_CHECK_H
#define TXKV_TEST_HISTORY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYS = 8, OPERATIONS_MAX = 5, EVENTS_MAX = OPERATIONS_MAX * KEYS, DESCRIPTION_BYTES = 4096 };

enum event_kind { EVENT_READ, EVENT_APPEND };

struct event {
    enum event_kind kind;
    uint32_t key;
    uint32_t number; /* appended */
    uint32_t length; /* of the list that was read, own appends included */
    uint32_t *list;
};

enum outcome { OUTCOME_OK, OUTCOME_ABORTED, OUTCOME_UNKNOWN };

struct txn {
    uint32_t thread;
    uint64_t start, end; /* on one clock, no two alike */
    enum outcome outcome;
    uint32_t event_count;
    struct event events[EVENTS_MAX];
};

struct history {
    struct txn *txns; /* the last one has read every key after all others had ended */
    uint32_t count;
    uint32_t number_max; /* numbers are 1 to this */
};

enum anomaly {
    INTERNAL,          /* a transaction did not see its own append */
    INCOMPATIBLE,      /* two reads of a key of which none continues the other; a number twice */
    ABORTED_READ,      /* G1a */
    INTERMEDIATE_READ, /* G1b: not the last of what a transaction appended to a key */
    LOST_APPEND,       /* of a transaction that was acknowledged */
    G0,
    G1C,
    G_SINGLE,
    G2,
    ANOMALIES
};

struct findings {
    uint64_t count[ANOMALIES]; /* of histories, for cycles */
    char first[ANOMALIES][DESCRIPTION_BYTES];
};

const char *anomaly_name(enum anomaly anomaly);

/* Add what is wrong with a history. Ends the program when memory runs out. */
void check_history(const struct history *history, struct findings *findings);

#endif /* TXKV_TEST_HISTORY_CHECK_H */
