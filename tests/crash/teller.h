/*
 * teller.h - one user of a table of blobs, through the C API or through SQL: the same rows.
 *
 * A process uses one of the two: the extension brings a store library of its own. TELLER_AGAIN
 * stands for all that a program has to expect beside others: a conflict, or a store that is busy;
 * the transaction is then rolled back. Whatever else fails ends the process, with the reason on
 * standard error. Threads: a teller belongs to one.
 */
#ifndef TXKV_TEST_TELLER_H
#define TXKV_TEST_TELLER_H

#include "../support/sql.h"
#include "../support/support.h"

enum teller_rc { TELLER_OK, TELLER_AGAIN };

enum { TELLER_KEY_BYTES = 3, TELLER_VALUE_BYTES_MAX = 8000 };

struct teller_limits {
    uint64_t checkpoint_bytes;
    uint32_t stall_timeout_ms;
};

/* Open the store in this process, for tellers of the C API or of SQL. SQL makes the table. */
void tellers_open(const char *dir, bool sql, const struct teller_limits *limits);
/* After all its tellers are closed. */
void tellers_close(void);

struct teller {
    enum txkv_sync sync;
    enum txkv_isolation isolation;
    uint64_t conflicts, busy; /* counted by TELLER_AGAIN's cause */
    /* One of the two. */
    struct txkv_session *session;
    sqlite3 *db;
    sqlite3_stmt *get, *put, *scan[2];
};

void teller_open(struct teller *t, enum txkv_sync sync, enum txkv_isolation isolation);
void teller_close(struct teller *t);

enum teller_rc teller_begin(struct teller *t);
/* Copy a value; *bytes is 0 for a missing key. */
enum teller_rc teller_get(struct teller *t, const uint8_t key[TELLER_KEY_BYTES],
                          uint8_t value[TELLER_VALUE_BYTES_MAX], size_t *bytes);
enum teller_rc teller_put(struct teller *t, const uint8_t key[TELLER_KEY_BYTES],
                          const uint8_t *value, size_t bytes);
/* Every row in the order of the keys, or against it. Inside a transaction or outside one. */
typedef void teller_row(void *arg, const uint8_t *key, const uint8_t *value, size_t bytes);
enum teller_rc teller_scan(struct teller *t, bool descending, teller_row *row, void *arg);
enum teller_rc teller_commit(struct teller *t);
enum teller_rc teller_checkpoint(struct teller *t);
enum teller_rc teller_backup(struct teller *t, const char *target);

/* What tellers_open has opened; NULL when it is for SQL. */
struct txkv *tellers_store(void);

/* Every row in the store in dir, which this process does not have open otherwise. */
void teller_scan_copy(const char *dir, teller_row *row, void *arg);

#endif /* TXKV_TEST_TELLER_H */
