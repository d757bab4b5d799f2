/*
 * kv.h - key-value libraries that do what the SQL works do, without SQL.
 *
 * A library is one file, kv_<name>.c, with a table of functions. kv.c has what a worker does with
 * any of them, and the checks; the rows are those of db.c. A library whose header was not there
 * when the program was built is NULL here and is left out.
 *
 * Nothing returns an error: a function that cannot do its work ends the run. A store is opened once
 * in a process; each thread attaches a session to it. What is written is durable as the work's
 * `sync` says, and each file says what it makes of "normal".
 */
#ifndef TX_BENCH_KV_H
#define TX_BENCH_KV_H

#include "worker.h"

enum kv_mode {
    KV_READ,   /* one snapshot for all reads */
    KV_WRITE,  /* writes only */
    KV_UPDATE, /* reads what it then writes: nothing may come in between */
};

/* Borrowed from the session until its next call. */
struct kv_row {
    const char *key, *value;
    size_t key_bytes, value_bytes;
};

struct kv_library {
    void *(*open)(struct run *r);
    /* Everything written so far is where reads find it after a restart without a log. */
    void (*checkpoint)(struct run *r, void *store);
    void (*close)(struct run *r, void *store);
    void *(*attach)(struct run *r, void *store);
    void (*detach)(void *session);
    void (*begin)(void *session, enum kv_mode mode);
    /* False: another transaction came first, and nothing of this one was written. */
    bool (*commit)(void *session);
    /* Within KV_WRITE or KV_UPDATE. */
    void (*put)(void *session, struct kv_row row);
    /* In a transaction that reads, or by itself; false: there is no such key. */
    bool (*get)(void *session, const char *key, size_t key_bytes, struct kv_row *row);
    /* The first row at or behind the key, then the one behind the last; false: no more. A scan
     * that is not read to its end is ended by `end`. */
    bool (*seek)(void *session, const char *key, size_t key_bytes, struct kv_row *row);
    bool (*next)(void *session, struct kv_row *row);
    void (*end)(void *session);
};

extern const struct kv_library *const kv_lmdb, *const kv_rocksdb, *const kv_leveldb;

/* The library of an engine; NULL: it is none of them, or was left out. */
const struct kv_library *kv_library(enum engine engine);

/* Zeroed memory, to be freed. */
void *kv_new(struct run *r, size_t bytes) __attribute__((returns_nonnull));

/* The store of the run, for all sessions of the process. */
void kv_open(struct run *r);
void kv_close(struct run *r);
void kv_fixture_make(struct run *r);

/* What a worker does in the place of an op of ops.c; NULL: this work has no such thing. */
worker_op kv_op(worker_op op);
void kv_attach(struct worker *w);
void kv_detach(struct worker *w);
/* Around a timed loop that is one transaction. */
void kv_begin_reading(struct worker *w);
void kv_end_reading(struct worker *w);
/* worker_read, worker_update and worker_increment of ops.c. */
void kv_read(struct worker *w);
void kv_put(struct worker *w);
void kv_increment(struct worker *w);
/* Whether there is a row of w->key. */
bool kv_is_there(struct worker *w);
/* The value of a row; false: there is none of the right length. */
bool kv_fetch(struct run *r, void *session, const char *key, char value[VALUE_BYTES]);
/* The checks of db.c, through that session. */
void kv_verify_totals(struct run *r, void *session, uint32_t rows);
int64_t kv_counters(struct run *r, void *session);

/* All rows in one transaction, or batch; then the checkpoint, timed by itself. */
void kv_measure_load(struct run *r);
/* In the order of their keys, in one transaction. */
void kv_load_sorted(struct run *r, void *session, uint32_t rows);

#endif /* TX_BENCH_KV_H */
