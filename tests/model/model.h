/*
 * model.h - what the parts of the model test share: see model.c for how it works.
 *
 * Threads: one.
 */
#ifndef TXKV_TEST_MODEL_H
#define TXKV_TEST_MODEL_H

#include <stdio.h>

#include "../support/support.h"

enum {
    TABLES = 3,
    KEYS = 48,
    KEY_BYTES_MAX = 3000, /* beyond LMDB's 511, several times */
    SESSIONS = 3,
    SAVEPOINTS_MAX = 5,
    VALUE_BYTES_MAX = 100000,
    PATTERN_BYTES = VALUE_BYTES_MAX + 4096
};

/* What a transaction did with a key. */
enum {
    READ = 1,       /* from its snapshot: by get, or passed by a scan, present or absent */
    READ_MAYBE = 2, /* an own write that a scan passed, an excluded bound, a read before begin */
    WRITE_EVER = 4  /* also when a savepoint undid it */
};

struct state {
    uint32_t value[TABLES][KEYS];
};

struct counters {
    uint64_t operations, gets, rows, commits, conflicts, checkpoints, crashes, reopens;
};

/* Outlives a crash. */
struct knowledge {
    struct rng rng;
    struct state committed;
    uint64_t last_write[TABLES][KEYS]; /* number of the commit */
    uint64_t commit_no, last_lsn;
    uint32_t next_value;
    bool crash_expected;
    struct counters count;
};

/* A transaction's own writes. */
struct writes {
    struct state to;
    bool written[TABLES][KEYS];
};

struct savepoint {
    int n;
    struct writes writes;
};

/* A cursor that stays open while other things happen. */
struct held {
    struct txkv_cursor *cursor;
    uint32_t table;
    struct state view;
    bool fuzzy[KEYS]; /* written by its own session while it was open: old or new may be seen */
    uint32_t lo, hi;  /* keys lo <= k < hi are still to come */
    bool descending;
    bool stale; /* its transaction has ended */
};

struct session {
    struct txkv_session *s;
    enum txkv_isolation isolation;
    bool open, has_snapshot;
    uint64_t snapshot_no;
    struct state snapshot;
    struct writes own;
    uint8_t did[TABLES][KEYS];
    struct savepoint saves[SAVEPOINTS_MAX];
    uint32_t save_count;
    struct held held;
    uint64_t held_no;
};

struct bounds {
    struct txkv_range range;
    uint32_t lo, hi; /* key numbers lo <= k < hi are inside */
    uint8_t lo_bytes[KEY_BYTES_MAX], hi_bytes[KEY_BYTES_MAX];
};

/* What outlives a crash, in shared memory. */
extern struct knowledge *know;
extern struct session sessions[SESSIONS];
extern uint32_t tables[TABLES];
extern bool verbose;

#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (verbose)                                                                               \
            (void)printf(__VA_ARGS__);                                                             \
    } while (0)

#define DIE(...)                                                                                   \
    do {                                                                                           \
        (void)fprintf(stderr, "operation %llu: ", (unsigned long long)know->count.operations);     \
        test_die(__VA_ARGS__);                                                                     \
    } while (0)

static inline uint32_t
roll(uint32_t n)
{
    return rng_below(&know->rng, n);
}

/* A key number; half the time one of a few that all sessions meet at. */
static inline uint32_t
roll_key(void)
{
    return roll(2) == 0 ? 5 * roll(4) : roll(KEYS);
}

/* ---- keys.c ---- */

/* Make the seed's keys, sorted, and the bytes that values are cut from. */
void make_keys(struct rng *rng);
struct txkv_bytes key_bytes(uint32_t k);
/* The number of the key with these bytes; KEYS when there is none. */
uint32_t key_number(struct txkv_bytes k);
/* A value's length and contents are functions of its number. */
uint32_t value_length(uint32_t id);
void value_fill(uint32_t id, uint8_t *out);
bool value_is(uint32_t id, struct txkv_bytes got);
/* A random range of one table. */
void make_bounds(struct bounds *b);

/* ---- model.c ---- */

/* What key k of table t is for the transaction: its own write, else its snapshot. */
uint32_t seen_by(const struct session *x, uint32_t t, uint32_t k);
/* The first read of a transaction fixes its snapshot; reading an own write does not. */
void take_snapshot(struct session *x);
/* The transaction, if one is open, has read key k of table t. */
void note_read(struct session *x, uint32_t t, uint32_t k, uint8_t how);

/* ---- scan.c ---- */

/* Check one answer of seek or next against what is still to come, and move on; false at the end. */
bool check_row(struct session *x, struct held *h, enum txkv_rc rc, const struct txkv_error *err);
void end_scan(struct held *h);
/* A whole scan, or its first rows. */
void op_scan(struct session *x);
/* Open, step or close the cursor that stays open while other things happen. */
void op_held(struct session *x);

#endif /* TXKV_TEST_MODEL_H */
