/*
 * works.c - what is measured, and what is asked of txkv.
 *
 * The reads come first: they share one loaded store for each engine, which the upserts then change.
 *
 * Where a goal is a multiple of another engine, that one does the same work at the same durability.
 * The writers beside a scan write at full, because that is the default; a scan then competes with
 * them for the store rather than for the processors. The cost of serializable is taken at normal,
 * where no disk hides it, and from transactions that do not conflict: what it costs to keep and
 * check what was read, not to run again.
 */
#include "bench.h"

#define UPSERT "REPLACE INTO kv VALUES(:key, :value)"
#define UPDATE "UPDATE kv SET value = :value WHERE key = :key"
#define POINT  "SELECT value FROM kv WHERE key = :key"
#define RANGE  "SELECT key, value FROM kv WHERE key >= :key AND key < :end ORDER BY key"
#define FROM   "SELECT key, value FROM kv WHERE key >= :key ORDER BY key LIMIT :limit"
#define INSERT "INSERT INTO kv VALUES(:key, :value)"
#define SCAN   "SELECT count(*), sum(length(value)) FROM kv"

#define LIST_10 "?,?,?,?,?,?,?,?,?,?"
#define LIST_100                                                                                   \
    LIST_10 "," LIST_10 "," LIST_10 "," LIST_10 "," LIST_10 "," LIST_10 "," LIST_10 "," LIST_10    \
            "," LIST_10 "," LIST_10

/* A statement on tables with declared columns, all of the timed loop in one transaction. */
#define COLUMNS_WORK(name_, title_, sql_, op_, every_, goal_)                                      \
    {                                                                                              \
        .name = (name_), .title = (title_), .unit = "rows/s", .engines = ENGINES_SQL,              \
        .fixture = FIXTURE_COLUMNS, .sync = "full", .workers = 1, .sql = (sql_),                   \
        .in_transaction = true, .sample_every = (every_), .op = (op_), .measure = workers_measure, \
        .goal = {                                                                                  \
            .ratios = { { ENGINE_SQLITE, (goal_) } }                                               \
        }                                                                                          \
    }

/* Reads and upserts of that many values of another size. */
#define SIZED_READ(name_, bytes_, rows_)                                                           \
    {                                                                                              \
        .name = "size-read-" name_, .title = "point SELECT, values of " name_, .unit = "ops/s",    \
        .engines = ENGINES_READ, .fixture = FIXTURE_SIZED, .sync = "full", .workers = 1,           \
        .sql = POINT, .rows = (rows_), .value_bytes = (bytes_), .sample_every = 1, .extra = true,  \
        .op = op_sized_read, .measure = workers_measure                                            \
    }
#define SIZED_UPSERT(name_, bytes_, rows_)                                                         \
    {                                                                                              \
        .name = "size-upsert-" name_,                                                              \
        .title = "autocommit upsert, 8 threads, full, values of " name_, .unit = "ops/s",          \
        .engines = ENGINES_WRITE, .fixture = FIXTURE_SIZED, .sync = "full", .workers = 8,          \
        .sql = UPSERT, .rows = (rows_), .value_bytes = (bytes_), .sample_every = 1,                \
        .writes = true, .extra = true, .op = op_sized_upsert, .measure = workers_measure           \
    }

/* The same by the number of rows; of the largest, at least half the rate of a million. */
#define LIKE(name_, large_)                                                                        \
    {                                                                                              \
        .like_work = (large_) ? (name_) : NULL, .like_min = 0.5                                    \
    }
#define GROWTH_POINT(name_, rows_, large_)                                                         \
    {                                                                                              \
        .name = "growth-point-" name_, .title = "point SELECT, autocommit, of " name_ " rows",     \
        .unit = "rows/s", .engines = ENGINES_SQL, .fixture = FIXTURE_SIZED, .sync = "normal",      \
        .workers = 1, .sql = POINT, .rows = (rows_), .sample_every = 16, .extra = true,            \
        .warm = true, .op = op_point, .measure = workers_measure, .large = (large_),               \
        .goal = LIKE("growth-point-1000000", large_)                                               \
    }
#define GROWTH_UPSERT(name_, rows_, large_)                                                        \
    {                                                                                              \
        .name = "growth-upsert-" name_,                                                            \
        .title = "autocommit upsert, 1 thread, normal, of " name_ " rows", .unit = "ops/s",        \
        .engines = ENGINES_SQL, .fixture = FIXTURE_SIZED, .sync = "normal", .workers = 1,          \
        .sql = UPSERT, .rows = (rows_), .sample_every = 1, .writes = true, .extra = true,          \
        .op = op_upsert, .measure = workers_measure, .large = (large_),                            \
        .goal = LIKE("growth-upsert-1000000", large_)                                              \
    }
#define GROWTH_COMMITS(name_, rows_, large_)                                                       \
    {                                                                                              \
        .name = "growth-commits-" name_,                                                           \
        .title = "autocommit upsert, 50 threads, full, of " name_ " rows", .unit = "ops/s",        \
        .engines = ENGINES_SQL, .fixture = FIXTURE_SIZED, .sync = "full", .workers = 50,           \
        .sql = UPSERT, .rows = (rows_), .sample_every = 1, .writes = true, .extra = true,          \
        .op = op_upsert, .measure = workers_measure, .large = (large_),                            \
        .goal = LIKE("growth-commits-1000000", large_)                                             \
    }

/* With memory for a third of the rows and their pages. */
#define LIMITED(name_, title_, unit_, sql_, op_, writes_)                                          \
    {                                                                                              \
        .name = "limited-" name_, .title = title_ ", of 10,000,000 rows in 512 MiB of memory",     \
        .unit = (unit_), .engines = ENGINES_SQL, .fixture = FIXTURE_SIZED, .sync = "normal",       \
        .workers = 1, .sql = (sql_), .rows = 10000000, .memory_mb = 512, .extra = true,            \
        .sample_every = 1, .op = (op_), .writes = (writes_), .measure = workers_measure            \
    }

/* A, B, C or F of YCSB by that many threads. */
#define YCSB_WORK(name_, title_, threads_, sync_, reads_, op_, goal_, ...)                         \
    {                                                                                              \
        .name = "ycsb-" name_, .title = "YCSB " title_, .unit = "ops/s",                           \
        .fixture = FIXTURE_LOADED, .workers = (threads_), .sync = (sync_),                         \
        .reads_percent = (reads_), .op = (op_), .sql = POINT,                                      \
        .second_sql = (reads_) < 100 ? UPDATE : NULL, .shared = true, .sample_every = 1,           \
        .prepare = ycsb_prepare, .measure = workers_measure,                                       \
        .goal = { .ratios = { { ENGINE_SQLITE, (goal_) } } }, __VA_ARGS__                          \
    }

/* D or E, which add rows. */
#define YCSB_GROWING(name_, title_, sync_, sql_, op_)                                              \
    {                                                                                              \
        .name = "ycsb-" name_, .title = "YCSB " title_, .unit = "ops/s",                           \
        .fixture = FIXTURE_GROWING, .workers = 8, .sync = (sync_), .reads_percent = 95,            \
        .op = (op_), .sql = (sql_), .second_sql = INSERT,                                          \
        .engines = ENGINES_WRITE & ~ENGINE_BIT(IMMEDIATE), .extra = true, .writes = true,          \
        .shared = true, .sample_every = 1, .prepare = ycsb_prepare, .measure = workers_measure     \
    }

/* clang-format off */
const struct work bench_works[] = {
    { .name = "point-auto", .title = "point SELECT, autocommit", .unit = "rows/s",
      .engines = ENGINES_POINT, .fixture = FIXTURE_LOADED, .sync = "full", .workers = 1,
      .sql = POINT, .sample_every = 16, .op = op_point, .warm = true, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 3.0 } } } },
    { .name = "point-txn", .title = "point SELECT in a transaction", .unit = "rows/s",
      .engines = ENGINES_POINT, .fixture = FIXTURE_LOADED, .sync = "full", .workers = 1,
      .sql = POINT, .in_transaction = true, .sample_every = 16, .op = op_point,
      .warm = true, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.5 } } } },
    { .name = "point-miss", .title = "point SELECT of keys that are not there, autocommit",
      .unit = "ops/s", .engines = ENGINES_READ, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 1, .sql = POINT, .sample_every = 16, .op = op_point_miss, .extra = true,
      .warm = true, .measure = workers_measure },
    { .name = "range-asc", .title = "range of 100 rows, ascending", .unit = "rows/s",
      .engines = ENGINES_READ, .fixture = FIXTURE_LOADED, .sync = "full", .workers = 1,
      .sql = RANGE, .sample_every = 1, .op = op_range, .warm = true, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.3 } } } },
    { .name = "range-desc", .title = "range of 100 rows, descending", .unit = "rows/s",
      .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "full", .workers = 1,
      .sql = RANGE " DESC", .sample_every = 1, .op = op_range, .warm = true,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.3 } } } },
    { .name = "scan", .title = "full scan, count and sum(length)", .unit = "rows/s",
      .engines = ENGINES_READ, .fixture = FIXTURE_LOADED, .sync = "full", .workers = 1,
      .sql = SCAN, .sample_every = 1, .op = op_scan, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.3 } } } },
    COLUMNS_WORK("columns-point", "declared columns: SELECT by INTEGER PRIMARY KEY",
                 "SELECT id, quantity FROM orders WHERE id = ?", op_order, 16, 1.0),
    COLUMNS_WORK("columns-index", "declared columns: the 10 rows of a key of an index",
                 "SELECT id, quantity FROM orders WHERE customer = ?", op_customer, 4, 0.9),
    COLUMNS_WORK("columns-list", "declared columns: IN list of 100 keys",
                 "SELECT count(*), sum(quantity) FROM orders WHERE id IN (" LIST_100 ")", op_list,
                 1, 1.0),
    COLUMNS_WORK("columns-range", "declared columns: 100 rows by two key columns",
                 "SELECT b, text FROM lines WHERE a = ? AND b BETWEEN ? AND ?", op_lines, 1, 0.9),
    COLUMNS_WORK("columns-last", "declared columns: ORDER BY id DESC LIMIT 10",
                 "SELECT id, quantity FROM orders ORDER BY id DESC LIMIT 10", op_last, 4, 1.0),
    COLUMNS_WORK("columns-scan", "declared columns: full scan of 2 of 10 columns",
                 "SELECT sum(quantity), sum(total) FROM orders", op_orders, 1, 0.9),
    COLUMNS_WORK("columns-join", "declared columns: join with a native table",
                 "SELECT count(*), sum(o.quantity * c.weight) FROM customers c JOIN orders o "
                 "ON o.customer = c.id",
                 op_join, 1, 0.9),
    { .name = "columns-insert", .title = "declared columns: all rows in one INSERT ... SELECT",
      .unit = "rows/s", .engines = ENGINES_SQL, .fixture = FIXTURE_EMPTY, .columns = true,
      .sync = "full", .workers = 1, .after = "checkpoint", .measure = columns_measure_insert,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.0 } }, .disk_ratio_max = 1.2 } },
    { .name = "point-auto-overlay", .title = "point SELECT, autocommit, from the overlay",
      .unit = "rows/s", .engines = ENGINES_TXKV, .fixture = FIXTURE_LOGGED, .sync = "normal",
      .workers = 1, .sql = POINT, .sample_every = 16, .op = op_point,
      .measure = workers_measure },
    { .name = "point-txn-overlay", .title = "point SELECT in a transaction, from the overlay",
      .unit = "rows/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOGGED, .sync = "normal",
      .workers = 1, .sql = POINT, .in_transaction = true, .sample_every = 16, .op = op_point,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 2.2 } } } },
    { .name = "range-overlay", .title = "range of 100 rows, from the overlay", .unit = "rows/s",
      .engines = ENGINES_TXKV, .fixture = FIXTURE_LOGGED, .sync = "normal", .workers = 1,
      .sql = RANGE, .sample_every = 1, .op = op_range, .measure = workers_measure },
    { .name = "scan-overlay", .title = "full scan, from the overlay", .unit = "rows/s",
      .engines = ENGINES_TXKV, .fixture = FIXTURE_LOGGED, .sync = "normal", .workers = 1,
      .sql = SCAN, .sample_every = 1, .op = op_scan, .measure = workers_measure },
    { .name = "upsert-full-1", .title = "autocommit upsert, 1 thread, full", .unit = "ops/s",
      .engines = ENGINES_WRITE | ENGINES_BARE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 1, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.1 }, { ENGINE_APPEND, 0.95 } } } },
    { .name = "upsert-full-2", .title = "autocommit upsert, 2 threads, full",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 2, .sql = UPSERT, .writes = true, .sample_every = 1, .extra = true,
      .op = op_upsert, .measure = workers_measure },
    { .name = "upsert-full-8", .title = "autocommit upsert, 8 threads, full",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 8, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 4.0 } } } },
    { .name = "upsert-full-50", .title = "autocommit upsert, 50 threads, full",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 50, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 15.0 }, { ENGINE_ROCKSDB, 3.0 } }, .p999_ms_max = 10 } },
    { .name = "upsert-normal-1", .title = "autocommit upsert, 1 thread, normal",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 1, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 10.0 }, { ENGINE_ROCKSDB, 2.0 } } } },
    { .name = "upsert-normal-2", .title = "autocommit upsert, 2 threads, normal",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 2, .sql = UPSERT, .writes = true, .sample_every = 1, .extra = true,
      .op = op_upsert, .measure = workers_measure },
    { .name = "upsert-normal-8", .title = "autocommit upsert, 8 threads, normal",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 8, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 10.0 } } } },
    { .name = "upsert-normal-50", .title = "autocommit upsert, 50 threads, normal",
      .unit = "ops/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 50, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 8.0 } } } },
    { .name = "processes-full-4", .title = "autocommit upsert, 4 processes, full",
      .unit = "ops/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 4, .processes = true, .sql = UPSERT, .writes = true, .sample_every = 1, .extra = true,
      .op = op_upsert, .measure = workers_measure },
    { .name = "processes-full-8", .title = "autocommit upsert, 8 processes, full",
      .unit = "ops/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 8, .processes = true, .sql = UPSERT, .writes = true, .sample_every = 1,
      .op = op_upsert, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 3.0 } } } },
    { .name = "processes-full-16", .title = "autocommit upsert, 16 processes, full",
      .unit = "ops/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 16, .processes = true, .sql = UPSERT, .writes = true, .sample_every = 1, .extra = true,
      .op = op_upsert, .measure = workers_measure },
    { .name = "txn10-full-50", .title = "transactions of 10 upserts, 50 threads, full",
      .unit = "rows/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 50, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert_txn,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 20.0 } } } },
    { .name = "txn10-normal-50", .title = "transactions of 10 upserts, 50 threads, normal",
      .unit = "rows/s", .engines = ENGINES_WRITE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 50, .sql = UPSERT, .writes = true, .sample_every = 1, .op = op_upsert_txn,
      .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 15.0 } } } },
    { .name = "rmw-full-8", .title = "read, modify, write in a transaction, 8 threads, full",
      .unit = "txns/s", .engines = ENGINES_UPDATE, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 8, .sql = POINT, .second_sql = UPDATE, .writes = true, .counts = true,
      .sample_every = 1, .op = op_increment, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 4.0 } } } },
    { .name = "rmw-normal-8", .title = "read, modify, write in a transaction, 8 threads, normal",
      .unit = "txns/s", .engines = ENGINES_UPDATE, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 8, .sql = POINT, .second_sql = UPDATE, .writes = true, .counts = true,
      .sample_every = 1, .op = op_increment, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SQLITE, 4.0 } } } },
    { .name = "mix-normal-8", .title = "half point SELECT, half UPDATE, 8 threads, normal",
      .unit = "ops/s", .engines = ENGINES_BOTH_LEVELS, .fixture = FIXTURE_LOADED,
      .sync = "normal", .workers = 8, .sql = POINT, .second_sql = UPDATE, .writes = true,
      .sample_every = 4, .op = op_mix, .measure = workers_measure,
      .goal = { .ratios = { { ENGINE_SNAPSHOT, 0.9 } } } },
    { .name = "scan-writers", .title = "full scan beside 2 threads of autocommit upserts, full",
      .unit = "rows/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 1, .sql = SCAN, .writes = true, .sample_every = 1, .op = op_scan,
      .measure = workers_measure,
      .beside = { .name = "writers", .unit = "ops/s", .sql = UPSERT, .op = op_upsert, .workers = 2 },
      .goal = { .ratios = { { ENGINE_SQLITE, 1.5 } }, .beside_ratio_min = 5.0 } },
    { .name = "timeline",
      .title = "half point SELECT, half UPDATE, 8 threads, normal, beside a scan, second by second",
      .unit = "ops/s", .engines = ENGINES_SQL, .fixture = FIXTURE_LOADED, .sync = "normal",
      .workers = 8, .sql = POINT, .second_sql = UPDATE, .writes = true, .sample_every = 1, .extra = true,
      .op = op_timeline, .measure = timeline_measure, .look = timeline_look,
      .beside = { .name = "scan", .unit = "rows/s", .sql = SCAN, .op = op_scan, .workers = 1 },
      .goal = { .max_ms_max = 100, .growth_max = 1.1 } },
    YCSB_WORK("a-full-8", "A: half updates, 8 threads, full", 8, "full", 50, op_ycsb_update, 6.0,
              .engines = ENGINES_WRITE, .writes = true),
    YCSB_WORK("a-normal-8", "A: half updates, 8 threads, normal", 8, "normal", 50, op_ycsb_update,
              5.0, .engines = ENGINES_WRITE, .writes = true),
    YCSB_WORK("b-full-8", "B: 5 % updates, 8 threads, full", 8, "full", 95, op_ycsb_update, 6.0,
              .engines = ENGINES_WRITE, .writes = true),
    YCSB_WORK("b-normal-8", "B: 5 % updates, 8 threads, normal", 8, "normal", 95, op_ycsb_update,
              5.0, .engines = ENGINES_WRITE, .writes = true),
    YCSB_WORK("c-1", "C: reads only, 1 thread", 1, "full", 100, op_ycsb_update, 2.5,
              .engines = ENGINES_POINT, .warm = true),
    YCSB_WORK("c-8", "C: reads only, 8 threads", 8, "full", 100, op_ycsb_update, 2.5,
              .engines = ENGINES_POINT, .warm = true),
    YCSB_GROWING("d-full-8", "D: latest rows, 5 % inserts, 8 threads, full", "full", POINT, op_ycsb_latest),
    YCSB_GROWING("d-normal-8", "D: latest rows, 5 % inserts, 8 threads, normal", "normal", POINT, op_ycsb_latest),
    YCSB_GROWING("e-full-8", "E: short scans, 5 % inserts, 8 threads, full", "full", FROM, op_ycsb_scan),
    YCSB_GROWING("e-normal-8", "E: short scans, 5 % inserts, 8 threads, normal", "normal", FROM, op_ycsb_scan),
    YCSB_WORK("f-full-8", "F: half read-modify-write, 8 threads, full", 8, "full", 50,
              op_ycsb_increment, 6.0, .engines = ENGINES_UPDATE, .writes = true, .counts = true),
    YCSB_WORK("f-normal-8", "F: half read-modify-write, 8 threads, normal", 8, "normal", 50,
              op_ycsb_increment, 5.0, .engines = ENGINES_UPDATE, .writes = true, .counts = true),
    SIZED_READ("10B", 10, 100000),
    SIZED_UPSERT("10B", 10, 100000),
    SIZED_READ("1KiB", 1024, 65536),
    SIZED_UPSERT("1KiB", 1024, 65536),
    SIZED_READ("64KiB", 65536, 1024),
    SIZED_UPSERT("64KiB", 65536, 1024),
    SIZED_READ("1MiB", 1048576, 64),
    SIZED_UPSERT("1MiB", 1048576, 64),
    GROWTH_POINT("10000", 10000, false),
    GROWTH_UPSERT("10000", 10000, false),
    GROWTH_COMMITS("10000", 10000, false),
    GROWTH_POINT("100000", 100000, false),
    GROWTH_UPSERT("100000", 100000, false),
    GROWTH_COMMITS("100000", 100000, false),
    GROWTH_POINT("1000000", 1000000, false),
    GROWTH_UPSERT("1000000", 1000000, false),
    GROWTH_COMMITS("1000000", 1000000, false),
    GROWTH_POINT("10000000", 10000000, false),
    LIMITED("point", "point SELECT, autocommit", "rows/s", POINT, op_point, false),
    LIMITED("range", "range of 100 rows", "rows/s", RANGE, op_range, false),
    LIMITED("scan", "full scan, count and sum(length)", "rows/s", SCAN, op_scan, false),
    LIMITED("upsert", "autocommit upsert, 1 thread, normal", "ops/s", UPSERT, op_upsert, true),
    GROWTH_UPSERT("10000000", 10000000, false),
    GROWTH_COMMITS("10000000", 10000000, false),
    GROWTH_POINT("100000000", 100000000, true),
    GROWTH_UPSERT("100000000", 100000000, true),
    GROWTH_COMMITS("100000000", 100000000, true),
    { .name = "load-seq", .title = "all rows in one transaction, sequential keys",
      .unit = "rows/s", .engines = ENGINES_READ, .fixture = FIXTURE_EMPTY, .sync = "full",
      .workers = 1, .after = "checkpoint", .measure = measure_load,
      .goal = { .ratios = { { ENGINE_SQLITE, 1.2 } }, .peak_to_data_max = 3 } },
    { .name = "load-random", .title = "all rows in one transaction, random keys",
      .unit = "rows/s", .engines = ENGINES_READ, .fixture = FIXTURE_EMPTY, .sync = "full",
      .workers = 1, .random_keys = true, .after = "checkpoint", .measure = measure_load,
      .goal = { .ratios = { { ENGINE_SQLITE, 2.5 } }, .peak_to_data_max = 3 } },
    { .name = "load-10m", .title = "10,000,000 rows in one transaction, random keys",
      .unit = "rows/s", .engines = ENGINES_TXKV, .fixture = FIXTURE_EMPTY, .sync = "full",
      .workers = 1, .rows = 10000000, .random_keys = true, .after = "checkpoint", .extra = true,
      .measure = measure_load, .goal = { .peak_mb_max = 2048 } },
    { .name = "checkpoint", .title = "checkpoint of all rows, logged in random order",
      .unit = "rows/s", .engines = ENGINES_TXKV | ENGINE_BIT(LMDB), .fixture = FIXTURE_EMPTY,
      .sync = "full", .workers = 1, .random_keys = true, .measure = measure_checkpoint,
      .goal = { .ratios = { { ENGINE_LMDB, 1.0 } } } },
    { .name = "idle", .title = "CPU time of 2 s of an open store with nothing to do",
      .unit = "ms", .engines = ENGINES_READ, .fixture = FIXTURE_LOADED, .sync = "full",
      .workers = 1, .counts_switches = true, .measure = measure_idle,
      .goal = { .value_max = 1 } },
    { .name = "reopen", .title = "reopening after SIGKILL, a fifth of the rows in the log",
      .unit = "ms", .engines = ENGINES_SQL, .fixture = FIXTURE_KILLED, .sync = "normal",
      .workers = 1, .after = "full count", .measure = measure_reopen,
      .goal = { .value_max = 100 } },
    { .name = "reopen-1gib", .title = "reopening after SIGKILL, 1 GiB of log",
      .unit = "ms", .engines = ENGINES_SQL, .fixture = FIXTURE_KILLED, .sync = "normal",
      .workers = 1, .rows = 7300000, .after = "full count", .extra = true, .measure = measure_reopen,
      .goal = { .value_max = 2000 } },
};
/* clang-format on */

const size_t bench_works_count = sizeof(bench_works) / sizeof(bench_works[0]);

uint32_t
work_rows(const struct config *config, const struct work *work)
{
    if (work->rows)
        return work->rows;
    return work->fixture == FIXTURE_KILLED ? config->rows / 5 : config->rows;
}
