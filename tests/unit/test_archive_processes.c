/*
 * test_archive_processes.c - many processes commit, checkpoint and archive, and are killed.
 *
 * Goal: whoever archives and whoever dies, the archive with an old backup gives what the store
 * itself has, and of each moment a state that the store has been in.
 * Method: children count in rows of their own, in pairs that must be equal, checkpoint and archive;
 * the parent kills one after the other and starts another in its place.
 */
#include "archive_fixture.h"

#include <time.h>

enum { CHILDREN = 3, KILLS = 24, ROUNDS_MAX = 100000 };

struct progress {
    uint64_t committed[CHILDREN]; /* acknowledged; each child stores its own */
    uint32_t stop;
};
static struct progress *progress;
static unsigned my_number;

static int
count_once(unsigned who, uint64_t n)
{
    static uint8_t filling[6000];
    char key[32], digits[32];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, n);
    CHILD_NEEDS(txkv_begin(s1, &err) == TXKV_OK);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(key, sizeof key, "%s of %u", i == 0 ? "count" : "again", who);
        CHILD_NEEDS(txkv_put(s1, table, text(key), text(digits), &err) == TXKV_OK);
    }
    (void)snprintf(key, sizeof key, "filling %u", (unsigned)(n % 8));
    CHILD_NEEDS(txkv_put(s1, table, text(key), (struct txkv_bytes){ filling, sizeof filling },
                         &err) == TXKV_OK);
    CHILD_NEEDS(txkv_commit(s1, n % 3 == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_OFF, &err) == TXKV_OK);
    return 0;
}

/* Without the option: the store knows. */
static int
count_until_killed(void)
{
    const struct txkv_options options = { .map_size = 64 * MIB, .segment_bytes = 64 * KIB };
    const unsigned who = my_number;

    CHILD_NEEDS(txkv_open(in_dir("store"), &options, &db, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_table(db, "t", "(k, v)", false, &table, &err) == TXKV_OK);
    CHILD_NEEDS(txkv_session_open(db, &s1, &err) == TXKV_OK);
    for (uint64_t n = progress->committed[who] + 1; n < ROUNDS_MAX; n++) {
        CHILD_DOES(count_once(who, n));
        tx_store_release_64(&progress->committed[who], n);
        if (n % 8 == who)
            CHILD_NEEDS(txkv_checkpoint(db, NULL, &err) == TXKV_OK);
        if (n % 20 == who)
            CHILD_NEEDS(txkv_archive(db, NULL, &err) == TXKV_OK);
        if (tx_load_acquire_32(&progress->stop) != 0)
            break;
        nap();
    }
    txkv_session_close(s1);
    return txkv_close(db, &err) == TXKV_OK ? 0 : __LINE__;
}

static pid_t
start_counting(unsigned who)
{
    my_number = who;
    return start_child(count_until_killed);
}

static uint64_t
count_of(struct txkv_session *s, uint32_t number, const char *what, unsigned who)
{
    struct txkv_bytes value;
    char key[32], digits[32] = "";

    (void)snprintf(key, sizeof key, "%s of %u", what, who);
    if (txkv_get(s, number, text(key), &value, &err) == TXKV_OK && value.bytes < sizeof digits)
        memcpy(digits, value.data, value.bytes);
    return strtoull(digits, NULL, 10);
}

/* Each child's two rows are equal; the counts are these, or where `least` is NULL any. */
static void
expect_counts(const char *name, const uint64_t *least, const uint64_t *most, uint64_t *found)
{
    struct txkv_session *s;
    struct txkv *store;
    uint32_t number;

    OK(txkv_open(in_dir(name), &small_store, &store, &err));
    OK(txkv_session_open(store, &s, &err));
    OK(txkv_table(store, "t", NULL, false, &number, &err));
    for (unsigned who = 0; who < CHILDREN; who++) {
        const uint64_t n = count_of(s, number, "count", who);

        assert_int_equal(n, count_of(s, number, "again", who));
        assert_true(n >= least[who] && n <= most[who]);
        if (found != NULL)
            found[who] = n;
    }
    txkv_session_close(s);
    OK(txkv_close(store, &err));
}

static void
whoever_dies_the_archive_has_what_the_store_has(void **state)
{
    const struct timespec while_they_count = { 0, 60000000 };
    static const uint64_t none[CHILDREN], any[CHILDREN] = { ROUNDS_MAX, ROUNDS_MAX, ROUNDS_MAX };
    uint64_t counts[CHILDREN], known[CHILDREN];
    pid_t children[CHILDREN];
    uint64_t lsn;

    (void)state;
    (void)alarm(LIMIT_S * 4);
    progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(progress, MAP_FAILED);
    open_archived();
    OK(txkv_backup(db, in_dir("backup"), NULL, &err));
    OK(close_all());
    for (unsigned who = 0; who < CHILDREN; who++)
        children[who] = start_counting(who);
    for (unsigned i = 0; i < KILLS; i++) {
        const unsigned who = i % CHILDREN;
        int status;

        (void)nanosleep(&while_they_count, NULL);
        (void)kill(children[who], SIGKILL);
        assert_int_equal(waitpid(children[who], &status, 0), children[who]);
        assert_true(WIFSIGNALED(status));
        children[who] = start_counting(who);
    }
    tx_store_release_32(&progress->stop, 1);
    for (unsigned who = 0; who < CHILDREN; who++)
        expect_child_well(children[who]);
    for (unsigned who = 0; who < CHILDREN; who++)
        known[who] = progress->committed[who];
    (void)munmap(progress, sizeof *progress);
    /* The last close has archived all of it. */
    assert_int_equal(count_segments("store/wal"), 0);
    restore("backup", "restored", NULL);
    lsn = restored.last_lsn;
    expect_counts("restored", known, any, counts);
    expect_counts("store", counts, counts, NULL);
    /* And in between, states that there were. */
    for (int i = 1; i < 5; i++) {
        shell("rm -r restored");
        restore_lsn("backup", "restored",
                    restored.backup_lsn + (lsn - restored.backup_lsn) / 5 * (uint64_t)i);
        expect_counts("restored", none, counts, NULL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(whoever_dies_the_archive_has_what_the_store_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
