/*
 * subject.h - the store that tests/fault/damage.c damages: its transactions, and its state after
 * each of them.
 *
 * Transaction i writes "count" and row i of table t, drops row i - WINDOW, and puts WIDE rows into
 * table w, some of them with keys or values that are long. So the whole store can be told from
 * "count", and each row by itself shows whether it was ever written.
 *
 * Threads: one in each process.
 */
#ifndef TXKV_TEST_SUBJECT_H
#define TXKV_TEST_SUBJECT_H

#include "../support/support.h"

enum { TRANSACTIONS = 60, WINDOW = 5, WIDE = 8 };

/* Shared by the test and its children. */
struct shared {
    uint64_t lsn[TRANSACTIONS + 1]; /* of each transaction's record; [0] is unused */
    uint64_t checkpoint_lsn;        /* 0: none was made */
    enum txkv_rc opened;
    uint32_t state;         /* the transaction whose state the store shows */
    uint32_t prefix;        /* the same, of an earlier step */
    uint64_t rows, rescued; /* that were read */
    char text[508];
};

extern struct shared *shared;

/* The two tables, and open one with the test's options: shared->opened and text say how it went. */
extern uint32_t table, wide_table;
void open_store(const char *dir, struct txkv **store, bool create, bool salvage);
void open_tables(struct txkv *store);

/* Fill a new store with all transactions, some durable, and die of SIGKILL. Before its checkpoint,
 * if it makes one, it copies the store to old_dir. In a child. */
void fill_store(struct rng *rng, const char *dir, const char *old_dir);

void commit_one(struct txkv_session *s, uint32_t i, enum txkv_sync sync);

/* What "count" says; 0: there is none. */
uint32_t read_state(struct txkv_session *s);

/* The store must be as after that transaction. */
void check_state(struct txkv_session *s, uint32_t state);

/* Read all rows, and count them. With `must_fit` each must be one that some transaction wrote. */
void check_rows(struct txkv_session *s, bool must_fit);

#endif /* TXKV_TEST_SUBJECT_H */
