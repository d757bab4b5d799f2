/*
 * columns.c - tables with declared columns, beside native ones of the same columns and indexes.
 *
 * Every value follows from the row's number, so that what a statement gives can be checked without
 * asking anybody. Order i is of customer i * 7919 modulo the number of customers; as that is
 * coprime with the factor, each of them has ORDERS_EACH orders, which lie apart.
 */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "worker.h"

enum {
    ORDERS_EACH = 10,  /* of one customer */
    LINES_EACH = 1000, /* of one `a` */
    RANGE_LINES = 100,
    LIST_KEYS = 100,
    LAST_ORDERS = 10,
    WEIGHT = 3 /* of every customer in the native table */
};

struct table {
    const char *name, *columns, *constraint;
    const char *native_end; /* behind the closing parenthesis */
    const char *indexed;    /* NULL: no index */
    const char *rows;       /* SELECT of row i.i */
};

static const struct table orders = {
    .name = "orders",
    .columns = "id INTEGER PRIMARY KEY, customer INT, day INT, status TEXT, price REAL, city TEXT, "
               "note TEXT, flags INT, quantity INT, total REAL",
    .indexed = "customer",
    .rows = "SELECT i, i * 7919 % (:rows / 10), 19000 + i / 100, "
            "substr('new paid sent done', i % 4 * 5 + 1, 4), i % 1000 / 4.0, "
            "'city ' || i % 500, 'a note about order ' || i, i % 8, i % 97, i % 97 * 0.5"
};

static const struct table lines = { .name = "lines",
                                    .columns = "a INT, b INT, text TEXT",
                                    .constraint = ", PRIMARY KEY(a, b)",
                                    .native_end = " WITHOUT ROWID",
                                    .rows = "SELECT i / 1000, i % 1000, "
                                            "'the text of line number ' || i" };

static const struct table events = {
    .name = "events",
    .columns = "id INTEGER PRIMARY KEY, kind INT, at INT, value REAL, note TEXT",
    .indexed = "kind",
    .rows = "SELECT i + 1, i * 7919 % 1000, 1700000000 + i * 7, i % 1000 / 8.0, "
            "'what happened at ' || i"
};

/* The kv rows are the measure of all works; these tables have a tenth of them. */
static uint32_t
order_count(const struct run *r)
{
    return r->rows / 10;
}

/* The sum of i % 97 for all i below. */
static int64_t
quantities_below(int64_t count)
{
    const int64_t rest = count % 97;

    return count / 97 * (96 * 97 / 2) + rest * (rest - 1) / 2;
}

/* ---- making them ---- */

static void
open_table(struct run *r, sqlite3 *db, const struct table *table, bool create)
{
    const char *constraint = table->constraint ? table->constraint : "";
    bool native = r->engine == ENGINE_SQLITE;
    if (native && !create)
        return;
    char *sql = native ? sqlite3_mprintf("CREATE TABLE %s(%s%s)%s", table->name, table->columns,
                                         constraint, table->native_end ? table->native_end : "")
                       : sqlite3_mprintf("CREATE VIRTUAL TABLE temp.%s USING txkv(%Q, %s%s%s%s%s, "
                                         "sync=%s)",
                                         table->name, r->store, table->columns, constraint,
                                         table->indexed ? ", INDEX(" : "",
                                         table->indexed ? table->indexed : "",
                                         table->indexed ? ")" : "", r->work->sync);
    db_exec(r, db, sql);
    sqlite3_free(sql);
    if (!native || !table->indexed)
        return;
    sql = sqlite3_mprintf("CREATE INDEX %s_%s ON %s(%s)", table->name, table->indexed, table->name,
                          table->indexed);
    db_exec(r, db, sql);
    sqlite3_free(sql);
}

/* Run a statement that begins with what makes rows 0 to rows-1 and has :rows in it. */
static void
make_rows(struct run *r, sqlite3 *db, const char *into, const char *select, uint32_t rows)
{
    char *sql = sqlite3_mprintf("%s WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i "
                                "WHERE i + 1 < :rows) %s FROM i",
                                into, select);
    sqlite3_stmt *stmt = db_prepare(r, db, sql);
    sqlite3_free(sql);
    (void)sqlite3_bind_int64(stmt, 1, rows);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        run_fail(r, "%s: %s", into, sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
}

void
columns_make(struct run *r, sqlite3 *db)
{
    open_table(r, db, &orders, true);
    open_table(r, db, &lines, true);
    make_rows(r, db, "INSERT INTO orders", orders.rows, order_count(r));
    make_rows(r, db, "INSERT INTO lines", lines.rows, order_count(r));
    db_checkpoint(r, db);
    db_close(r, db);
}

void
columns_open(struct run *r, sqlite3 *db)
{
    open_table(r, db, &orders, false);
    open_table(r, db, &lines, false);
    if (db_integer(r, db, "SELECT count(*) FROM orders") != order_count(r) ||
        db_integer(r, db, "SELECT count(*) FROM lines") != order_count(r))
        run_fail(r, "rows are missing before anything was measured");
    db_exec(r, db, "CREATE TEMP TABLE customers(id INTEGER PRIMARY KEY, weight INT)");
    make_rows(r, db, "INSERT INTO customers", "SELECT i, 3", order_count(r) / ORDERS_EACH);
}

/* ---- reading them ---- */

static void
next_row(struct worker *w)
{
    int rc = sqlite3_step(w->stmt);
    if (rc != SQLITE_ROW)
        run_fail(w->run, "%s: a row is missing: %s", sqlite3_sql(w->stmt), sqlite3_errmsg(w->db));
}

static void
no_more_rows(struct worker *w)
{
    if (sqlite3_step(w->stmt) != SQLITE_DONE)
        run_fail(w->run, "%s: too many rows: %s", sqlite3_sql(w->stmt), sqlite3_errmsg(w->db));
    (void)sqlite3_reset(w->stmt);
}

/* Column 0 is the order's number, which the caller expects; column 1 is its quantity. */
static void
check_order(struct worker *w, bool expected)
{
    int64_t id = sqlite3_column_int64(w->stmt, 0);
    if (!expected || sqlite3_column_int64(w->stmt, 1) != id % 97)
        run_fail(w->run, "%s: a wrong order, %" PRId64, sqlite3_sql(w->stmt), id);
}

/* The only row, of a count and a sum. */
static void
check_totals(struct worker *w, int64_t count, int64_t sum)
{
    next_row(w);
    if (sqlite3_column_int64(w->stmt, 0) != count || sqlite3_column_int64(w->stmt, 1) != sum)
        run_fail(w->run, "%s: wrong totals: %lld and %lld", sqlite3_sql(w->stmt),
                 (long long)sqlite3_column_int64(w->stmt, 0),
                 (long long)sqlite3_column_int64(w->stmt, 1));
    no_more_rows(w);
}

void
op_order(struct worker *w)
{
    int64_t id = worker_random(w, order_count(w->run));
    (void)sqlite3_bind_int64(w->stmt, 1, id);
    next_row(w);
    check_order(w, sqlite3_column_int64(w->stmt, 0) == id);
    no_more_rows(w);
    w->done++;
}

void
op_customer(struct worker *w)
{
    int64_t customers = order_count(w->run) / ORDERS_EACH;
    int64_t customer = worker_random(w, (uint32_t)customers);
    (void)sqlite3_bind_int64(w->stmt, 1, customer);
    for (int i = 0; i < ORDERS_EACH; i++) {
        next_row(w);
        check_order(w, sqlite3_column_int64(w->stmt, 0) * 7919 % customers == customer);
    }
    no_more_rows(w);
    w->done += ORDERS_EACH;
}

void
op_list(struct worker *w)
{
    int64_t sum = 0;
    for (int i = 0; i < LIST_KEYS; i++) { /* each in a stretch of its own: none twice */
        uint32_t stretch = order_count(w->run) / LIST_KEYS;
        int64_t id = (int64_t)i * stretch + worker_random(w, stretch);
        (void)sqlite3_bind_int64(w->stmt, 1 + (i * 37) % LIST_KEYS, id);
        sum += id % 97;
    }
    check_totals(w, LIST_KEYS, sum);
    w->done += LIST_KEYS;
}

void
op_lines(struct worker *w)
{
    int64_t a = worker_random(w, order_count(w->run) / LINES_EACH);
    int64_t b = worker_random(w, LINES_EACH - RANGE_LINES);
    char text[64];
    (void)sqlite3_bind_int64(w->stmt, 1, a);
    (void)sqlite3_bind_int64(w->stmt, 2, b);
    (void)sqlite3_bind_int64(w->stmt, 3, b + RANGE_LINES - 1);
    for (int64_t i = b; i < b + RANGE_LINES; i++) {
        next_row(w);
        if (sqlite3_column_int64(w->stmt, 0) != i || !sqlite3_column_text(w->stmt, 1))
            run_fail(w->run, "a wrong line, not %" PRId64 ", %" PRId64, a, i);
    }
    (void)snprintf(text, sizeof(text), "the text of line number %" PRId64,
                   a * LINES_EACH + b + RANGE_LINES - 1);
    if (strcmp((const char *)sqlite3_column_text(w->stmt, 1), text) != 0)
        run_fail(w->run, "a line has the text %s", sqlite3_column_text(w->stmt, 1));
    no_more_rows(w);
    w->done += RANGE_LINES;
}

void
op_last(struct worker *w)
{
    for (uint32_t i = 1; i <= LAST_ORDERS; i++) {
        next_row(w);
        check_order(w, sqlite3_column_int64(w->stmt, 0) == order_count(w->run) - i);
    }
    no_more_rows(w);
    w->done += LAST_ORDERS;
}

void
op_orders(struct worker *w)
{
    uint32_t count = order_count(w->run);
    int64_t sum = quantities_below(count);
    next_row(w);
    if (sqlite3_column_int64(w->stmt, 0) != sum ||
        sqlite3_column_double(w->stmt, 1) != 0.5 * (double)sum)
        run_fail(w->run, "%s: wrong sums", sqlite3_sql(w->stmt));
    no_more_rows(w);
    w->done += count;
}

void
op_join(struct worker *w)
{
    uint32_t count = order_count(w->run);
    check_totals(w, count, WEIGHT * quantities_below(count));
    w->done += count;
}

/* ---- writing one ---- */

static double disk_bytes; /* of the files that the walk has come to */

static int
add_file(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)path;
    (void)type;
    (void)place;
    disk_bytes += (double)st->st_blocks * 512;
    return 0;
}

/* Bytes of all files of the store as they lie on the disk. */
static double
bytes_on_disk(struct run *r)
{
    disk_bytes = 0;
    if (nftw(r->store, add_file, 8, FTW_PHYS) != 0)
        run_fail(r, "cannot walk through %s", r->store);
    return disk_bytes;
}

static void
check_events(struct run *r, sqlite3 *db, int64_t rows)
{
    char sql[200];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) = %" PRId64 " AND sum(id) = %" PRId64
                   " AND sum(length(note)) = (SELECT sum(length(note)) FROM source) FROM events",
                   rows, rows * (rows + 1) / 2);
    if (db_integer(r, db, sql) != 1)
        run_fail(r, "the rows are not those of the SELECT");
    if (db_integer(r, db, "SELECT count(*) FROM events WHERE kind = 7") !=
        db_integer(r, db, "SELECT count(*) FROM source WHERE kind = 7"))
        run_fail(r, "the index is not that of the rows");
}

void
columns_measure_insert(struct run *r)
{
    uint32_t rows = r->rows;
    sqlite3 *db = db_open(r, "");
    db_exec(r, db, "PRAGMA temp_store=MEMORY");
    char *sql = sqlite3_mprintf("CREATE TEMP TABLE source(%s)", events.columns);
    db_exec(r, db, sql);
    sqlite3_free(sql);
    make_rows(r, db, "INSERT INTO source", events.rows, rows);
    open_table(r, db, &events, true);
    uint64_t start = now_ns();
    r->result->cpu_seconds = -cpu_now();
    db_exec(r, db, "INSERT INTO events SELECT * FROM source");
    r->result->cpu_seconds += cpu_now();
    uint64_t committed = now_ns();
    db_checkpoint(r, db);
    r->result->after_ms = (double)(now_ns() - committed) / 1e6;
    r->result->memory = memory_now();
    r->result->count = rows;
    r->result->seconds = (double)(committed - start) / 1e9;
    r->result->value = rows / r->result->seconds;
    check_events(r, db, rows);
    db_close(r, db);
    r->result->disk_mb = bytes_on_disk(r) / (1024 * 1024);
}
