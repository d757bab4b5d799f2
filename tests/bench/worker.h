/*
 * worker.h - one worker of a timed loop, for workers.c, which runs it, and ops.c, which gives it
 * something to do.
 *
 * A worker is a thread or a process. All workers of a run stand in one mapping that its processes
 * share, and so are counted in the same way whatever they are. The pointers in a worker are its
 * own: nobody else may follow them.
 */
#ifndef TX_BENCH_WORKER_H
#define TX_BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

#define LAST_WRITES 64
#define RANGE_ROWS  100
#define TXN_UPSERTS 10

typedef void (*worker_op)(struct worker *w);

struct worker {
    /* Fixed before it starts. */
    struct run *run;
    struct crew *crew;
    worker_op op;
    worker_op inner;       /* what op_alone runs */
    bool beside;           /* one of work->beside */
    uint32_t index;        /* among all workers */
    uint32_t place, peers; /* among those with the same op, and how many these are */
    pthread_t thread;      /* unless it is a process */
    /* The worker's own. */
    sqlite3 *db;
    sqlite3_stmt *stmt, *second, *begin, *commit;
    void *session;   /* of a key-value library */
    int fd;          /* of the bare engines */
    uint64_t random; /* state of xorshift64 */
    uint64_t writes;
    _Atomic uint32_t inserting;      /* no row below it is on its way from here: ycsb.c */
    uint32_t last_rows[LAST_WRITES]; /* row of write n at n % LAST_WRITES */
    char key[KEY_BYTES], key_end[KEY_BYTES], value[VALUE_BYTES];
    char record[RECORD_BYTES];
    char *sized; /* a value of sizes.c */
    /* Read by the others after the barrier that ends the loop. */
    uint64_t done;       /* operations, or rows */
    uint64_t increments; /* of counters in rows */
    uint64_t retries;    /* transactions begun again, commits asked for again */
    uint64_t begin_ns, end_ns;
    double cpu_seconds;   /* of a process */
    struct memory memory; /* of a process */
    struct hist latency;
};

/* In memory that all processes of the run share. */
struct crew {
    pthread_barrier_t barrier; /* of all workers and the run's own thread */
    atomic_bool stop;
    atomic_uint running; /* workers not beside that are in their loop */
    int64_t counted;     /* the counters before the first operation: worker 0 */
    uint32_t count;
    struct worker workers[];
};

/* ---- ops.c ---- */

/* Any number below the limit. */
uint32_t worker_random(struct worker *w, uint32_t limit);
/* One operation on the row of w->key, by SQL or through a library, in a transaction of its own. */
void worker_read(struct worker *w);      /* it must be there */
void worker_update(struct worker *w);    /* the second statement; again when others came first */
void worker_increment(struct worker *w); /* of its counter; the same */
/* Any value of w->key of this worker's; the row is noted down for op_verify_writes. */
void worker_note_write(struct worker *w, uint32_t row);
/* A new value for one of the rows that only this worker writes, in key and value. */
void worker_next_write(struct worker *w);
/* What was read under a key is a value of it, whoever wrote it. */
void worker_check_value(struct worker *w, const void *key, const void *value, size_t value_bytes);
/* What one worker needs for its op, before the clock runs. */
void op_open(struct worker *w);
/* Finalizes the statements; the connection stays. */
void op_close(struct worker *w);
/* The op of the bare engines, whatever the work is. */
void op_append(struct worker *w);
/* Runs w->inner, one thread of the process at a time: SQLite's own lock makes the others sleep. */
void op_alone(struct worker *w);
/* The worker's last acknowledged writes are what the table holds, or later ones of this run where
 * the work's rows are shared. */
void op_verify_writes(struct worker *w);

/* ---- sizes.c ---- */

void sized_open(struct worker *w);
void sized_close(struct worker *w);
/* The value of w->key is that of the worker's write of that number. */
bool sized_holds(struct worker *w, uint32_t row, uint64_t write);

#endif /* TX_BENCH_WORKER_H */
