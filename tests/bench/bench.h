/*
 * bench.h - what the parts of the benchmark share.
 *
 * bench compares a virtual table of txkv with a native SQLite table, statement by statement the
 * same SQL, and with what the disk alone can do. Each run of one engine is a process of its own, so
 * that no run inherits memory, caches or threads; the parent never touches SQLite. A run that
 * cannot verify what it wrote or read is a failure, not a number.
 *
 *   bench.c    options, and the order of the runs
 *   works.c    the table of works and their goals
 *   measure.c  what is not a timed loop
 *   workers.c  the timed loop: threads or processes, barrier, latencies
 *   ops.c      what a worker does in one turn of the loop, and checks
 *   db.c       both engines opened and filled, rows made and checked
 *   kv.c       the same works through a key-value library, without SQL; kv_*.c: one each
 *   empty.c    a virtual table that stores nothing
 *   sizes.c    values of other sizes
 *   timeline.c one work second by second
 *   ycsb.c     the YCSB core workloads
 *   columns.c  tables with declared columns: made, read, checked
 *   limit.c    less memory than the data take
 *   hist.c     latency histogram
 *   report.c   machine, tables, JSON
 */
#ifndef TX_BENCH_H
#define TX_BENCH_H

#include <sqlite3.h>
#include <stdatomic.h>
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

size_t hist_bucket(uint64_t value);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that the given share (0 to 1) of all values does not pass; 0 when there are none. */
uint64_t hist_at(const struct hist *h, double share);

/* ---- runs ---- */

enum engine {
    ENGINE_SQLITE,
    ENGINE_TXKV,
    ENGINE_SNAPSHOT, /* txkv with isolation=snapshot, on the same store */
    ENGINE_APPEND,
    ENGINE_PREALLOCATED,
    ENGINE_IMMEDIATE, /* SQLite, its writers queueing for a mutex, on the same store */
    ENGINE_LMDB,
    ENGINE_ROCKSDB,
    ENGINE_LEVELDB,
    ENGINE_EMPTY, /* a virtual table that stores nothing: the limit of reading through SQLite */
    ENGINE_PEER,  /* any other extension with a virtual table: --peer */
    ENGINE_COUNT
};

#define ENGINE_BIT(name)    (1u << ENGINE_##name)
#define ENGINES_SQL         (ENGINE_BIT(SQLITE) | ENGINE_BIT(TXKV))
#define ENGINES_BARE        (ENGINE_BIT(APPEND) | ENGINE_BIT(PREALLOCATED))
#define ENGINES_TXKV        ENGINE_BIT(TXKV)
#define ENGINES_BOTH_LEVELS (ENGINES_SQL | ENGINE_BIT(SNAPSHOT))
#define ENGINES_KV          (ENGINE_BIT(LMDB) | ENGINE_BIT(ROCKSDB) | ENGINE_BIT(LEVELDB))
#define ENGINES_READ        (ENGINES_SQL | ENGINES_KV | ENGINE_BIT(PEER))
#define ENGINES_POINT       (ENGINES_READ | ENGINE_BIT(EMPTY))
#define ENGINES_WRITE       (ENGINES_READ | ENGINE_BIT(IMMEDIATE))
#define ENGINES_EXTRA                                                                              \
    (ENGINES_KV | ENGINE_BIT(IMMEDIATE) | ENGINE_BIT(EMPTY) | ENGINE_BIT(PREALLOCATED))
#define ENGINES_UPDATE (ENGINES_WRITE & ~ENGINE_BIT(LEVELDB)) /* it has no transactions */

enum fixture {
    FIXTURE_EMPTY,   /* a new directory for every run */
    FIXTURE_LOADED,  /* all rows in the database file or in LMDB, the log empty */
    FIXTURE_SIZED,   /* as LOADED, with the rows and the size of values that the work has */
    FIXTURE_GROWING, /* as LOADED, made anew for every run: the work adds rows */
    FIXTURE_LOGGED, /* all rows in the log, never checkpointed: txkv serves them from its overlay */
    FIXTURE_COLUMNS, /* tables with declared columns, a tenth of the rows each, as in LOADED */
    FIXTURE_KILLED,  /* made anew for every run by a process killed with its rows in the log: as
                        many as the work has, or a fifth of what the options say */
    FIXTURE_COUNT
};

struct config {
    char dir[PATH_BYTES]; /* scratch; results.jsonl goes there as well */
    char extension[PATH_BYTES];
    char peer_extension[PATH_BYTES]; /* "": no peer */
    const char *peer_name;
    char *peer_sql; /* what makes its table kv(key, value), see db.c */
    const char *only;
    const char *engine; /* NULL: all */
    const char *args;   /* what txkv's tables get besides, ", name=value"; "": nothing */
    uint32_t rows;
    double seconds;
    int runs;
    bool full; /* also what only --full runs */
};

struct memory {
    long peak_kb, anon_kb, file_kb, shmem_kb;
};

/* Filled by the child in memory that it shares with the parent, and with processes of its own. */
struct result {
    bool ok;
    atomic_bool failed; /* the first failure writes the error */
    char error[400];
    char txkv_version[64];
    double value;         /* in the work's unit */
    double seconds;       /* measured time */
    double cpu_seconds;   /* of all threads of the process, in it */
    uint64_t count;       /* operations or rows in it */
    uint64_t retries;     /* transactions that others made run again */
    double beside_value;  /* of the workers beside, in their unit */
    uint64_t switches;    /* context switches that the process asked for */
    double group_size;    /* commits of txkv in one sync or publication; 0: not looked at */
    double after_ms;      /* what work->after names */
    double disk_mb;       /* of the store's files once it is closed; 0: not looked at */
    struct memory memory; /* the sum of those of all processes */
    long commit_peak_kb;
    /* Of timeline.c: the most in the last third of the time, to the most in the third before. */
    double memory_growth, log_growth, data_growth;
    long child_peak_kb; /* ru_maxrss, verification included */
    struct hist latency;
};

struct run {
    const struct config *config;
    const struct work *work;
    enum engine engine;
    uint32_t rows, value_bytes;
    enum fixture fixture; /* the work's, as this engine has it */
    int round;
    uint16_t serial;           /* of this run among all, never 0 */
    _Atomic uint32_t inserted; /* rows that workers have begun to add */
    char store[PATH_BYTES];    /* directory of this run's files */
    struct result *result;
    const struct kv_library *library; /* of a key-value engine; NULL: it takes SQL */
    void *kv;                         /* its store, while it is open */
};

struct worker;

#define RATIOS_MAX 3

/* What is asked of txkv; 0 where nothing is. */
struct goal {
    struct {
        enum engine engine;
        double min;
    } ratios[RATIOS_MAX];    /* to the rate of another engine in the same run */
    double beside_ratio_min; /* to SQLite's, for the workers beside */
    double p999_ms_max, max_ms_max;
    double growth_max; /* of memory, and of the files, in the last third of the time */
    double peak_to_data_max;
    double peak_mb_max;
    double disk_ratio_max; /* to SQLite's file */
    double value_max;
    /* Of its own rate in another work of the same run of the program. */
    const char *like_work;
    double like_min;
};

/* Workers that do another thing at the same time; their verification is that of the work. */
struct beside {
    const char *name, *unit, *sql;
    void (*op)(struct worker *w);
    int workers;
};

struct work {
    const char *name, *title, *unit;
    unsigned engines;
    enum fixture fixture;
    const char *sync; /* txkv's word; SQLite's synchronous is FULL for full, else NORMAL */
    int workers;
    bool processes; /* each worker is one, not a thread */
    const char *sql;
    const char *second_sql; /* NULL: one statement does it */
    int reads_percent;      /* of ycsb.c's operations; the others write */
    bool warm;              /* all rows are read once before, by each process */
    bool in_transaction;    /* the whole timed loop is one transaction */
    bool writes;            /* the workers' last writes and the totals are checked afterwards */
    bool shared;            /* the rows are written by all workers */
    bool counts;            /* ... and that the counters rose by as much as was acknowledged */
    unsigned sample_every;  /* operations for one latency; a power of two */
    const char *after;      /* what after_ms is; NULL: nothing */
    void (*op)(struct worker *w);   /* one step of the timed loop; NULL: measure does it all */
    void (*prepare)(struct run *r); /* before the workers start; NULL: nothing */
    void (*measure)(struct run *r); /* runs in the child */
    void (*look)(struct run *r);    /* once a second of the timed loop; NULL: nothing */
    uint32_t rows;                  /* 0: as many as the options say */
    uint32_t value_bytes;           /* 0: VALUE_BYTES; else the values are those of sizes.c */
    bool random_keys;
    bool counts_switches;
    uint32_t memory_mb; /* the limit for the measuring process and its files; 0: none */
    bool large;         /* only who asks for it by name runs it */
    bool extra;         /* only --full runs it, or who asks for it by name */
    bool columns;       /* a fixture that is made anew has tables with declared columns, not kv */
    struct beside beside;
    struct goal goal;
};

extern const struct work bench_works[];
extern const size_t bench_works_count;
/* Of that work. */
uint32_t work_rows(const struct config *config, const struct work *work);

/* Ends the process: the run has failed, the text says why. Any thread, and any process, of it. */
_Noreturn void run_fail(struct run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Monotonic nanoseconds. */
uint64_t now_ns(void);
/* CPU time that this process has used. */
double cpu_now(void);

/* Whether the program has that engine: libraries may be missing, and a peer must be given. */
bool bench_has(const struct config *config, enum engine engine);

/* ---- measure.c ---- */

void measure_load(struct run *r);
void measure_reopen(struct run *r);
void measure_checkpoint(struct run *r);
void measure_idle(struct run *r);

/* ---- db.c ---- */

/* A connection to the run's store; options is appended to txkv's and may be "". */
sqlite3 *db_open(struct run *r, const char *options);
/* Whether its tables are SQLite's own, in a file. */
bool db_is_native(const struct run *r);
void db_close(struct run *r, sqlite3 *db);
void db_exec(struct run *r, sqlite3 *db, const char *sql);
sqlite3_stmt *db_prepare(struct run *r, sqlite3 *db, const char *sql);
/* The single integer that the statement gives. */
int64_t db_integer(struct run *r, sqlite3 *db, const char *sql);
/* How a transaction begins that reads what it is going to write. */
const char *db_begin(const struct run *r);
/* The sum of the counters of all rows. */
int64_t db_counters(struct run *r, sqlite3 *db);
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
/* What row_value was given. */
uint64_t row_stamp(const char value[VALUE_BYTES]);
/* Add one to the counter in a row's value; it is 0 in what row_value makes. */
void row_count_up(char value[VALUE_BYTES]);
int64_t row_counter(const char value[VALUE_BYTES]);
/* The i-th of all rows in a random order that is always the same; i < rows. */
uint32_t row_shuffled(uint32_t i, uint32_t rows);

/* Make the fixture of the run's engine in r->store; runs in a child. FIXTURE_LOGGED and
 * FIXTURE_KILLED end in SIGKILL. */
void fixture_make(struct run *r);

/* ---- columns.c ---- */

/* Fill a new store for FIXTURE_COLUMNS, and close it. */
void columns_make(struct run *r, sqlite3 *db);
/* Open its tables, and make a native one beside them. */
void columns_open(struct run *r, sqlite3 *db);
/* All rows in one INSERT ... SELECT; then the checkpoint; then what stands on the disk. */
void columns_measure_insert(struct run *r);

/* ---- empty.c ---- */

/* Registers the module "empty": its tables answer every key with a value of 100 bytes. */
int empty_register(sqlite3 *db);

/* ---- sizes.c ---- */

/* Fill a new store for FIXTURE_SIZED with values that are not those of db.c, and close it. */
void sized_make(struct run *r);

/* ---- timeline.c ---- */

void timeline_measure(struct run *r);
void timeline_look(struct run *r);

/* ---- workers.c ---- */

void workers_measure(struct run *r);
/* VmHWM, RssAnon, RssFile and RssShmem of this process. */
struct memory memory_now(void);

/* ---- ops.c ---- */

void op_upsert(struct worker *w);
void op_upsert_txn(struct worker *w);
void op_mix(struct worker *w);
void op_increment(struct worker *w);
void op_point(struct worker *w);
void op_point_miss(struct worker *w);
void op_range(struct worker *w);
void op_scan(struct worker *w);

/* Of timeline.c. */
void op_timeline(struct worker *w);

/* Of sizes.c. */
void op_sized_upsert(struct worker *w);
void op_sized_read(struct worker *w);

/* Of ycsb.c. */
void ycsb_prepare(struct run *r);
void op_ycsb_update(struct worker *w);
void op_ycsb_latest(struct worker *w);
void op_ycsb_scan(struct worker *w);
void op_ycsb_increment(struct worker *w);

/* Of columns.c. */
void op_order(struct worker *w);
void op_customer(struct worker *w);
void op_list(struct worker *w);
void op_lines(struct worker *w);
void op_last(struct worker *w);
void op_orders(struct worker *w);
void op_join(struct worker *w);

/* ---- limit.c ---- */

/* Make a control group with that limit, and say where; false: it cannot be done here. */
bool limit_make(char group[PATH_BYTES], uint32_t mb);
/* Put the calling process into it. */
bool limit_enter(const char *group);
/* Once all its processes have ended. */
void limit_remove(const char *group);
/* Let go of the pages in memory of the directory's files, which must be synced. */
void limit_forget(const char *dir);
/* Bring them into memory. */
void limit_recall(const char *dir);

/* ---- report.c ---- */

struct report; /* all results */

struct report *report_open(const struct config *config);
void report_add(struct report *p, const struct run *r);
void report_print(const struct report *p, const struct config *config);
void report_close(struct report *p);
/* Of the peer it is the name that --peer gave. */
const char *engine_name(const struct config *config, enum engine engine);

#endif /* TX_BENCH_H */
