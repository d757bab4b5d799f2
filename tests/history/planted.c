/*
 * planted.c - see planted.h.
 *
 * A transaction is a line: + committed, - aborted, ? unknown, then r<key>:<number>,... for a read
 * and a<key>=<number> for an append. The last line is the final read. All but that one run at the
 * same time, unless the history is sequential.
 */
#include "planted.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { TXNS_MAX = 6, NUMBERS_MAX = 16, LIST_MAX = 8 };

static const struct planted {
    const char *name;
    enum anomaly anomaly; /* ANOMALIES: none */
    bool sequential;
    const char *txns[TXNS_MAX];
} planted[] = {
    { "a serial history", ANOMALIES, true, { "+r0: a0=1", "+r0:1 a0=2 r0:1,2", "+r0:1,2 r1:" } },
    { "concurrent, but serializable",
      ANOMALIES,
      false,
      { "+r0: r1: a1=1", "+r0: a0=2", "+r0:2 r1:1" } },
    { "a reader at an older snapshot",
      ANOMALIES,
      false,
      { "+r0: r1:", "+r0: a0=1 r1: a1=2", "+r0:1 r1:2" } },
    { "an aborted append that nobody saw",
      ANOMALIES,
      false,
      { "-r0: a0=1", "+r0: a0=2", "+r0:2" } },
    { "an unknown append that was kept",
      ANOMALIES,
      false,
      { "?r0: a0=1", "+r0:1 a0=2", "+r0:1,2" } },
    { "an unknown append that was not", ANOMALIES, false, { "?r0: a0=1", "+r0: a0=2", "+r0:2" } },
    { "an own append that is not seen", INTERNAL, false, { "+r0: a0=1 r0:", "+r0:1" } },
    { "reads that branch", INCOMPATIBLE, false, { "+r0: a0=1", "+r0: a0=2", "+r0:1", "+r0:2" } },
    { "a number twice", INCOMPATIBLE, false, { "+r0: a0=1", "+r0:1,1" } },
    { "a number from nowhere", INCOMPATIBLE, false, { "+r0: a0=1", "+r0:1,7" } },
    { "an aborted append that was seen", ABORTED_READ, false, { "-r0: a0=1", "+r0:1" } },
    { "half of a transaction", INTERMEDIATE_READ, false, { "+r0: a0=1 a0=2", "+r0:1", "+r0:1,2" } },
    { "an acknowledged append that is gone",
      LOST_APPEND,
      false,
      { "+r0: a0=1", "+r0: a0=2", "+r0:2" } },
    { "dirty writes", G0, false, { "+a0=1 a1=2", "+a0=3 a1=4", "+r0:1,3 r1:4,2" } },
    { "each read the other's append", G1C, false, { "+a0=1 r1:2", "+a1=2 r0:1", "+r0:1 r1:2" } },
    { "read skew", G_SINGLE, false, { "+r0: r1:2", "+r0: a0=1 r1: a1=2", "+r0:1 r1:2" } },
    { "write skew", G2, false, { "+r0: r1: a1=1", "+r0: r1: a0=2", "+r0:2 r1:1" } },
    { "the read-only anomaly",
      G2,
      false,
      { "+r0: r1: a0=1", "+r0: r1: a1=2", "+r0: r1:2", "+r0:1 r1:2" } },
    { "a stale read", G_SINGLE, true, { "+r0: a0=1", "+r0:", "+r0:1" } },
};

/* Numbers behind `*p`, separated by commas. */
static uint32_t
read_list(const char **p, uint32_t *list)
{
    uint32_t count = 0;

    while (isdigit((unsigned char)**p) && count < LIST_MAX) {
        char *end;

        list[count++] = (uint32_t)strtoul(*p, &end, 10);
        *p = *end == ',' ? end + 1 : end;
    }
    return count;
}

static void
make_txn(const char *p, struct txn *txn, uint32_t lists[EVENTS_MAX][LIST_MAX])
{
    txn->outcome = *p == '+' ? OUTCOME_OK : *p == '-' ? OUTCOME_ABORTED : OUTCOME_UNKNOWN;
    for (p++; *p != '\0'; p += *p == ' ') {
        struct event *e = &txn->events[txn->event_count];
        uint32_t *list = lists[txn->event_count++];

        e->kind = *p == 'a' ? EVENT_APPEND : EVENT_READ;
        e->key = (uint32_t)(p[1] - '0');
        p += 3;
        e->list = list;
        e->length = read_list(&p, list);
        if (e->kind == EVENT_APPEND)
            e->number = list[0];
    }
}

static bool
is_found(const struct planted *plant, struct findings *f)
{
    static uint32_t lists[TXNS_MAX][EVENTS_MAX][LIST_MAX];
    static struct txn txns[TXNS_MAX];
    struct history h = { .txns = txns, .number_max = NUMBERS_MAX };
    uint64_t cycles = 0;

    memset(txns, 0, sizeof txns);
    for (; h.count < TXNS_MAX && plant->txns[h.count] != NULL; h.count++) {
        struct txn *txn = &txns[h.count];

        make_txn(plant->txns[h.count], txn, lists[h.count]);
        txn->start = plant->sequential ? 2 * h.count : h.count;
        txn->end = plant->sequential ? 2 * h.count + 1 : 100 + h.count;
    }
    txns[h.count - 1].start = 1000;
    txns[h.count - 1].end = 1001;
    memset(f, 0, sizeof *f);
    check_history(&h, f);
    for (uint32_t a = 0; a < ANOMALIES; a++)
        cycles += f->count[a];
    return plant->anomaly == ANOMALIES ? cycles == 0 : f->count[plant->anomaly] > 0;
}

void
check_planted(uint64_t *passed, uint64_t *failed)
{
    static struct findings f;

    for (uint32_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        const bool good = is_found(&planted[i], &f);

        ++*(good ? passed : failed);
        if (good)
            continue;
        (void)printf("[FAILED] planted: %s: not found, or something else:\n", planted[i].name);
        for (uint32_t a = 0; a < ANOMALIES; a++)
            (void)printf("%s", f.first[a]);
    }
}
