/*
 * backup_fixture.h - backups of the test's store into its directory, and what they must hold.
 */
#ifndef BACKUP_FIXTURE_H
#define BACKUP_FIXTURE_H

#include <inttypes.h>

#include "child_fixture.h"

enum { ROWS = 4000 };

static struct txkv_backup_report report;

static inline enum txkv_rc
try_backup(const char *name)
{
    memset(&err, 0, sizeof err);
    return txkv_backup(db, in_dir(name), &report, &err);
}

static inline void
backup(const char *name)
{
    const enum txkv_rc rc = try_backup(name);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

static inline void
fill(struct txkv_session *s, int from, int to)
{
    char key[32];

    begin(s);
    for (int i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "row %06d", i);
        put(s, key, "one hundred bytes would be more, but these will do for a test of backups");
    }
    commit(s);
}

static inline uint64_t
count_rows(struct txkv_session *s)
{
    struct txkv_table_size size;

    OK(txkv_table_measure(s, table, &size, &err));
    return size.rows;
}

/* The backup as a store: its rows, each as in the source as of now; it takes writes. */
static inline void
expect_store(const char *name, uint64_t rows)
{
    struct txkv_session *s;
    struct txkv *store;
    char key[32];

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    assert_int_equal(count_rows(s), rows);
    for (uint64_t i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "row %06" PRIu64, i);
        assert_non_null(get(s, key));
    }
    set(s, "written to the backup", "1");
    assert_true(has(s, "written to the backup", "1"));
    txkv_session_close(s);
    OK(txkv_close(store, &err));
}

#endif /* BACKUP_FIXTURE_H */
