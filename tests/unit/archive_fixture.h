/*
 * archive_fixture.h - a store with an archive beside it in the test's directory, and restores.
 */
#ifndef ARCHIVE_FIXTURE_H
#define ARCHIVE_FIXTURE_H

#include <inttypes.h>

#include "../../src/archive.h"
#include "child_fixture.h"

static struct txkv_archive_state archive_state;
static struct txkv_restore_report restored;

/* A store in "store", archived in "archive": segments of 64 KiB, and nothing happens by itself. */
static inline struct txkv_options
archived_store(void)
{
    return (struct txkv_options){ .map_size = 64 * MIB,
                                  .segment_bytes = 64 * KIB,
                                  .checkpoint_interval_s = 86400,
                                  .archive_dir = in_dir("archive") };
}

static inline void
open_as(const struct txkv_options *options)
{
    const enum txkv_rc rc = txkv_open(in_dir("store"), options, &db, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
    OK(txkv_table(db, "t", "(k, v)", true, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
}

static inline void
open_archived(void)
{
    const struct txkv_options options = archived_store();

    open_as(&options);
}

static inline int
setup_archived(void **state)
{
    (void)alarm(LIMIT_S * 4);
    if (make_dir(state) != 0)
        return -1;
    open_archived();
    return 0;
}

#define ARCHIVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup_archived, teardown)

/* One row of that many bytes. */
static inline void
set_bytes(struct txkv_session *s, const char *key, size_t bytes)
{
    static uint8_t value[256 * KIB];

    assert_true(bytes <= sizeof value);
    memset(value, key[0], bytes);
    begin(s);
    OK(txkv_put(s, table, text(key), (struct txkv_bytes){ value, bytes }, &err));
    commit(s);
}

/* Rows that fill that many segments, more or less, named by a letter. */
static inline void
fill_segments(char letter, int segments)
{
    char key[16];

    for (int i = 0; i < segments * 4; i++) {
        (void)snprintf(key, sizeof key, "%c%03d", letter, i);
        set_bytes(s1, key, 15 * KIB);
    }
}

static inline void
look_at_archive(void)
{
    OK(txkv_archive_state(db, &archive_state, &err));
}

static inline enum txkv_rc
count_segment(void *arg, const char *name, struct txkv_error *e)
{
    int *count = arg;
    uint64_t lsn;

    (void)e;
    *count += tx_segment_parse_name(name, &lsn);
    return TXKV_OK;
}

/* Segments in a directory inside the test's. */
static inline int
count_segments(const char *name)
{
    int count = 0;

    OK(tx_os_list_dir(in_dir(name), count_segment, &count, &err));
    return count;
}

/* In the test's directory. */
static inline void
shell(const char *command)
{
    char line[512];

    (void)snprintf(line, sizeof line, "cd %s && %s", dir, command);
    assert_int_equal(system(line), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

static inline enum txkv_rc
try_restore(const char *backup, const char *target, const struct txkv_restore_options *options)
{
    memset(&err, 0, sizeof err);
    return txkv_restore(in_dir(backup), in_dir(target), options, &restored, &err);
}

static inline void
restore(const char *backup, const char *target, const struct txkv_restore_options *options)
{
    const enum txkv_rc rc = try_restore(backup, target, options);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

static inline void
restore_lsn(const char *backup, const char *target, uint64_t lsn)
{
    restore(backup, target, &(struct txkv_restore_options){ .until_lsn = lsn });
}

#endif /* ARCHIVE_FIXTURE_H */
