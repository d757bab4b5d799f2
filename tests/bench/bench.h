/*
 * bench.h - what the parts of the benchmark share.
 *
 * bench compares a virtual table of txkv with a native SQLite table, statement by statement the
 * same SQL, and with what the disk alone can do. Each run of one engine is a process of its own, so
 * that no run inherits memory, caches or threads; the parent never touches SQLite. A run that
 * cannot verify what it wrote or read is a failure, not a number.
 *
 *   bench.c    options, and the order of the runs
 *   works.c    the table of works and their goals, and what is not a timed loop
 *   workers.c  the timed loop: threads, barrier, latencies
 *   db.c       both engines opened and filled, rows made and checked
 *   hist.c     latency histogram
 *   report.c   machine, tables, JSON
 */
#ifndef TX_BENCH_H
#define TX_BENCH_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES    16
#define VALUE_BYTES  100
#define RECORD_BYTES 176 /* txkv's log record of one such row: what the bare appends write */
#define PATH_BYTES   512
#define RUNS_MAX     15

/* ---- hist.c ---- */

#define HIST_SUB_BITS 5 /* 32 buckets for each power of two: values are right within 3 % */
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t count, max;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that the given share (0 to 1) of all values does not pass; 0 when there are none. */
uint64_t hist_at(const struct hist *h, double share);

/* ---- runs ---- */

enum engine { ENGINE_SQLITE, ENGINE_TXKV, ENGINE_APPEND, ENGINE_PREALLOCATED, ENGINE_COUNT };

#define ENGINES_SQL  ((1u << ENGINE_SQLITE) | (1u << ENGINE_TXKV))
#define ENGINES_BARE ((1u << ENGINE_APPEND) | (1u << ENGINE_PREALLOCATED))
#define ENGINES_TXKV (1u << ENGINE_TXKV)

enum fixture {
    FIXTURE_EMPTY,  /* a new directory for every run */
    FIXTURE_LOADED, /* all rows in the database file or in LMDB, the log empty */
    FIXTURE_LOGGED, /* all rows in the log, never checkpointed: txkv serves them from its overlay */
    FIXTURE_KILLED, /* made anew for every run by a process killed with its rows in the log */
    FIXTURE_COUNT
};

struct config {
    char dir[PATH_BYTES]; /* scratch; results.jsonl goes there as well */
    char extension[PATH_BYTES];
    const char *only;
    const char *engine; /* NULL: all */
    uint32_t rows;
    uint32_t killed_rows;
    double seconds;
    int runs;
};

/* Filled by the child in memory that it shares with the parent. */
struct result {
    bool ok;
    char error[400];
    char txkv_version[64];
    double value;       /* in the work's unit */
    double seconds;     /* measured time */
    double cpu_seconds; /* of all threads of the process, in it */
    uint64_t count;     /* operations or rows in it */
    double after_ms;    /* what work->after names */
    long commit_peak_kb, peak_kb, anon_kb, file_kb, shmem_kb;
    long child_peak_kb; /* ru_maxrss, verification included */
    struct hist latency;
};

struct run {
    const struct config *config;
    const struct work *work;
    enum engine engine;
    int round;
    char store[PATH_BYTES]; /* directory of this run's files */
    struct result *result;
};

struct worker;

/* What is asked of txkv; 0 where nothing is. */
struct goal {
    double sqlite_ratio_min;
    double bare_ratio_min; /* to the bare append */
    double p999_ms_max;
    double peak_to_data_max;
    double value_max;
};

struct work {
    const char *name, *title, *unit;
    unsigned engines;
    enum fixture fixture;
    const char *sync; /* txkv's word; SQLite's synchronous is FULL for full, else NORMAL */
    int threads;
    const char *sql;
    bool in_transaction;   /* the whole timed loop is one transaction */
    bool writes;           /* the workers' last writes and the totals are checked afterwards */
    unsigned sample_every; /* operations for one latency; a power of two */
    const char *after;     /* what after_ms is; NULL: nothing */
    void (*op)(struct worker *w);   /* one step of the timed loop; NULL: measure does it all */
    void (*measure)(struct run *r); /* runs in the child */
    bool random_keys;
    struct goal goal;
};

extern const struct work bench_works[];
extern const size_t bench_works_count;

/* Ends the child: the run has failed, the text says why. Any thread of the child. */
_Noreturn void run_fail(struct run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Monotonic nanoseconds. */
uint64_t now_ns(void);
/* CPU time that this process has used. */
double cpu_now(void);

/* ---- db.c ---- */

/* A connection to the run's store; options is appended to txkv's and may be "". */
sqlite3 *db_open(struct run *r, const char *options);
void db_close(struct run *r, sqlite3 *db);
void db_exec(struct run *r, sqlite3 *db, const char *sql);
sqlite3_stmt *db_prepare(struct run *r, sqlite3 *db, const char *sql);
/* The single integer that the statement gives. */
int64_t db_integer(struct run *r, sqlite3 *db, const char *sql);
/* Move the log into the database file, or into LMDB. */
void db_checkpoint(struct run *r, sqlite3 *db);

/* Options that keep txkv's log from being checkpointed. */
extern const char db_no_checkpoint[];

/* Insert rows 0..rows-1, that many in a transaction, in random order when asked. */
void db_load(struct run *r, sqlite3 *db, uint32_t rows, uint32_t per_transaction);

/* The table holds exactly the rows 0..rows-1, each with a value of the right length. */
void db_verify_totals(struct run *r, sqlite3 *db, uint32_t rows);
/* Some rows hold exactly what db_load wrote. */
void db_verify_spots(struct run *r, sqlite3 *db, uint32_t rows);

void row_key(char key[KEY_BYTES], uint32_t row);
/* The value of a row: its key, who wrote it, and filling. */
void row_value(char value[VALUE_BYTES], const char key[KEY_BYTES], uint64_t stamp);
/* The i-th of all rows in a random order that is always the same; i < rows. */
uint32_t row_shuffled(uint32_t i, uint32_t rows);

/* Make the fixture of the run's engine in r->store; runs in a child. FIXTURE_LOGGED and
 * FIXTURE_KILLED end in SIGKILL. */
void fixture_make(struct run *r);

/* ---- workers.c ---- */

void workers_measure(struct run *r);
void op_upsert(struct worker *w);
void op_point(struct worker *w);
void op_range(struct worker *w);
void op_scan(struct worker *w);
/* VmHWM, RssAnon, RssFile and RssShmem of this process, into the result. */
void memory_now(struct run *r);

/* ---- report.c ---- */

struct report; /* all results */

struct report *report_open(const struct config *config);
void report_add(struct report *p, const struct run *r);
void report_print(const struct report *p, const struct config *config);
void report_close(struct report *p);
const char *engine_name(enum engine engine);

#endif /* TX_BENCH_H */
