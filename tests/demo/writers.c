/*
 * writers.c - four threads write to a store while a fifth reads it, until the process is killed.
 *
 * usage: writers STORE ACKNOWLEDGED_FILE
 *
 * A transaction is two rows, order:T:N and invoice:T:N. When its COMMIT has returned, and never
 * before, a line T:N goes to the file in one write(): what stands there was promised and must be
 * found after the kill. The reader counts both kinds of rows in one statement: at every moment they
 * must be equal, since a transaction is there whole or not at all.
 *
 * Each thread has a connection of its own. It ends by SIGKILL, or with code 1 when something is
 * wrong.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "../support/sql.h"
#include "../support/support.h"

#define WRITERS 4

struct writer {
    pthread_t thread;
    const char *store;
    int number;
    int acknowledged_fd;
    uint64_t commits; /* atomic: the main thread reads it */
};

/* Small thresholds, so that checkpoints run while the threads write. */
static sqlite3 *
open_store(const char *store)
{
    sqlite3 *db = sql_open(1);

    sql_run(db,
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', table=work, checkpoint_bytes='1MiB')",
            store);
    return db;
}

static void *
write_until_killed(void *arg)
{
    struct writer *writer = arg;
    sqlite3 *db = open_store(writer->store);
    sqlite3_stmt *begin = sql_prepare(db, "BEGIN");
    sqlite3_stmt *insert = sql_prepare(db, "INSERT INTO kv VALUES(?1, json_object('number', ?2))");
    sqlite3_stmt *commit = sql_prepare(db, "COMMIT");

    for (uint64_t n = 1;; n++) {
        static const char *const kinds[] = { "order", "invoice" };
        char text[64];
        int bytes;

        sql_execute(begin);
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            bytes = snprintf(text, sizeof text, "%s:%d:%" PRIu64, kinds[i], writer->number, n);
            (void)sqlite3_bind_text(insert, 1, text, bytes, SQLITE_TRANSIENT);
            (void)sqlite3_bind_int64(insert, 2, (sqlite3_int64)n);
            sql_execute(insert);
        }
        sql_execute(commit);
        bytes = snprintf(text, sizeof text, "%d:%" PRIu64 "\n", writer->number, n);
        if (write(writer->acknowledged_fd, text, (size_t)bytes) != bytes)
            test_die("cannot write the list of acknowledged transactions");
        (void)__atomic_add_fetch(&writer->commits, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Count orders and invoices in one statement; returns the orders. */
static uint64_t
read_once(sqlite3_stmt *count)
{
    sqlite3_int64 orders, invoices;

    if (sqlite3_step(count) != SQLITE_ROW)
        test_die("%s: %s", sqlite3_sql(count), sqlite3_errmsg(sqlite3_db_handle(count)));
    orders = sqlite3_column_int64(count, 0);
    invoices = sqlite3_column_int64(count, 1);
    (void)sqlite3_reset(count);
    if (orders != invoices)
        test_die("a read saw %lld orders and %lld invoices: half a transaction", orders, invoices);
    return (uint64_t)orders;
}

static void
read_until_killed(const char *store, struct writer *writers)
{
    sqlite3 *db = open_store(store);
    sqlite3_stmt *count = sql_prepare(db, "SELECT count(*) FILTER (WHERE key GLOB 'order:*'),"
                                          " count(*) FILTER (WHERE key GLOB 'invoice:*') FROM kv");
    const uint64_t begin_us = test_now_us();
    uint64_t reads = 0;

    for (unsigned second = 1;; second++) {
        uint64_t commits = 0;
        uint64_t orders = 0;

        while (test_now_us() < begin_us + second * UINT64_C(1000000)) {
            orders = read_once(count);
            reads++;
            test_sleep_us(10000);
        }
        for (int i = 0; i < WRITERS; i++)
            commits += __atomic_load_n(&writers[i].commits, __ATOMIC_RELAXED);
        printf("   %u s: %" PRIu64 " transactions acknowledged; %" PRIu64
               " reads so far, the last saw %" PRIu64 " orders, each with its invoice\n",
               second, commits, reads, orders);
        (void)fflush(stdout);
    }
}

int
main(int argc, char **argv)
{
    struct writer writers[WRITERS];
    int fd;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: writers STORE ACKNOWLEDGED_FILE\n");
        return 2;
    }
    fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        test_die("cannot create %s", argv[2]);
    memset(writers, 0, sizeof writers);
    for (int i = 0; i < WRITERS; i++) {
        writers[i].store = argv[1];
        writers[i].number = i + 1;
        writers[i].acknowledged_fd = fd;
        if (pthread_create(&writers[i].thread, NULL, write_until_killed, &writers[i]) != 0)
            test_die("cannot start a thread");
    }
    read_until_killed(argv[1], writers);
    return 1;
}
