/*
 * example.c - a store used from C, without SQLite: the page docs/c-api.md in one program.
 *
 *   cc example.c $(pkg-config --cflags --libs txkv) -o example && ./example
 *
 * Two sessions move money between two accounts. They get into each other's way on purpose, so that
 * one commit is refused and its transaction is run again. `make check` runs this and compares what
 * it prints with example.expected.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/txkv.h" /* <txkv.h> once it is installed */

static struct txkv_error err;

/* Good enough for an example: every unexpected error ends the program with the store's own
 * sentence. */
static void
must(enum txkv_rc rc)
{
    if (rc == TXKV_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", txkv_rc_name(rc), err.text);
    exit(1);
}

static struct txkv_bytes
text(const char *s)
{
    return (struct txkv_bytes){ (const uint8_t *)s, strlen(s) };
}

/* A balance as it is stored: decimal digits. 0 for an account that is not there. */
static long
balance_of(struct txkv_session *session, uint32_t table, const char *account)
{
    struct txkv_bytes value;
    char digits[24] = "0";
    const enum txkv_rc rc = txkv_get(session, table, text(account), &value, &err);

    if (rc == TXKV_NOTFOUND)
        return 0;
    must(rc);
    if (value.bytes < sizeof digits) {
        memcpy(digits, value.data, value.bytes); /* borrowed until the session's next call */
        digits[value.bytes] = '\0';
    }
    return strtol(digits, NULL, 10);
}

static void
set_balance(struct txkv_session *session, uint32_t table, const char *account, long balance)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%ld", balance);
    must(txkv_put(session, table, text(account), text(digits), &err));
}

/*
 * Move money in a transaction, and run it again for as long as somebody else commits first.
 * `meanwhile`, when not NULL, stands for that somebody: it is called once, between the reads and
 * the commit. Returns the number of times that the transaction was run.
 */
static int
move_money(struct txkv_session *session, uint32_t table, long amount,
           void (*meanwhile)(uint32_t table, void *arg), void *arg)
{
    for (int runs = 1;; runs++) {
        enum txkv_rc rc;

        must(txkv_begin(session, &err));
        set_balance(session, table, "ann", balance_of(session, table, "ann") - amount);
        set_balance(session, table, "bob", balance_of(session, table, "bob") + amount);
        if (meanwhile != NULL && runs == 1)
            meanwhile(table, arg);
        rc = txkv_commit(session, TXKV_SYNC_FULL, &err);
        if (rc == TXKV_OK)
            return runs;
        txkv_rollback(session); /* after an error the transaction is still open */
        if (rc != TXKV_CONFLICT && rc != TXKV_BUSY)
            must(rc);
    }
}

static void
pay_bob(uint32_t table, void *other_session)
{
    struct txkv_session *session = other_session;

    must(txkv_begin(session, &err));
    set_balance(session, table, "bob", balance_of(session, table, "bob") + 7);
    must(txkv_commit(session, TXKV_SYNC_FULL, &err));
}

/* All keys from lo on, in order, as one snapshot has them. */
static void
print_from(struct txkv_session *session, uint32_t table, const char *lo)
{
    const struct txkv_range range = { .lo = text(lo) };
    struct txkv_cursor *cursor;
    enum txkv_rc rc;

    must(txkv_cursor_open(session, table, &cursor, &err));
    for (rc = txkv_cursor_seek(cursor, &range, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);

        printf("  %.*s = %.*s\n", (int)key.bytes, (const char *)key.data, (int)value.bytes,
               (const char *)value.data);
    }
    if (rc != TXKV_NOTFOUND)
        must(rc);
    txkv_cursor_close(cursor);
}

static void
print_stats(struct txkv *store)
{
    static const char *const shown[] = { "commits", "conflicts", "checkpoints" };
    struct txkv_stat stats[TXKV_STATS_MAX];
    const size_t count = txkv_stats(store, stats);

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof shown / sizeof shown[0]; j++)
            if (strcmp(stats[i].name, shown[j]) == 0)
                printf("  %s: %.0f %s\n", stats[i].name, stats[i].value, stats[i].unit);
}

int
main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "example-store";
    const struct txkv_options options = { .checkpoint_interval_s = 300 }; /* the rest: defaults */
    struct txkv_checkpoint_report report;
    struct txkv_session *session, *other;
    struct txkv *store;
    uint32_t table;
    int runs;

    must(txkv_open(dir, &options, &store, &err));
    must(txkv_table(store, "accounts", "name: bytes -> decimal digits", true, &table, &err));
    must(txkv_session_open(store, &session, &err));
    must(txkv_session_open(store, &other, &err));

    must(txkv_begin(session, &err));
    set_balance(session, table, "ann", 100);
    set_balance(session, table, "bob", 20);
    must(txkv_savepoint(session, 0, &err));
    set_balance(session, table, "carol", 1000000);
    must(txkv_rollback_to(session, 0, &err)); /* carol was a mistake */
    must(txkv_commit(session, TXKV_SYNC_FULL, &err));

    runs = move_money(session, table, 30, pay_bob, other);
    printf("moved 30 from ann to bob; the transaction was run %d times\n", runs);
    print_from(session, table, "a");

    must(txkv_checkpoint(store, &report, &err));
    printf("checkpoint: %llu transactions, %llu rows, now in LMDB\n",
           (unsigned long long)report.transactions, (unsigned long long)report.rows_put);
    print_from(session, table, "b");
    print_stats(store);

    txkv_session_close(other);
    txkv_session_close(session);
    must(txkv_close(store, &err));
    return 0;
}
