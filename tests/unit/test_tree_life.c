/*
 * test_tree_life.c - what reads see of tables that come, change and go, through the pages and by
 * LMDB.
 *
 * A life is a tree with a small map. Each round has one batch, which drops and defines tables, of
 * which one may follow another in its slot, writes to them, and commits or not; when the map is
 * full it grows. Reads begin and end meanwhile, so they are at different states. Of each of them
 * the tables, those of its time and others, are read in two ways: as they are, where a walk goes
 * through the pages (tree_walk.h), and with known_pages false, where LMDB's cursors do. Both must
 * find the same bytes of the map.
 *
 * Nothing depends on the time. SEED=n begins with the life of that seed, which is told at a
 * failure.
 */
#include "long_fixture.h"

#include "../../src/tree_private.h"

/* More slots than a read remembers the roots of: some share a place there. */
enum { SLOTS = TX_TREE_ROOTS + 3, READS = 4 };
enum { LIVES = 6, ROUNDS = 50, MOVES = 60, GETS = 20, WRITES_MAX = 600, VALUE_MAX = 20000 };

/* By slot: the table that is in it and the one that was there before, 0 for none; and the
 * generation that was given to one last. */
struct tables {
    uint32_t now[SLOTS + 1], before[SLOTS + 1], generation[SLOTS + 1];
};

struct life {
    unsigned seed;
    uint32_t round;
    struct tx_tree *tree;
    struct tables tables; /* as of the last commit */
    uint64_t lsn;
    struct tx_tree_read *reads[READS]; /* a begun one is active */
    uint32_t commits, reused, growths, walks;
};

/* ---- chance ---- */

static uint32_t
below(uint32_t n)
{
    return (uint32_t)rand() % n;
}

static bool
one_in(uint32_t n)
{
    return below(n) == 0;
}

/*
 * A key of one letter but for a few bytes, so that many have much in common; a third of them is of
 * any length, up to those of which LMDB has several chunks.
 */
static struct key
random_key(void)
{
    static const uint32_t lengths[] = { 1,
                                        2,
                                        3,
                                        8,
                                        9,
                                        16,
                                        17,
                                        100,
                                        ENTRY - 2,
                                        ENTRY - 1,
                                        ENTRY,
                                        ENTRY + 1,
                                        ENTRY + 2,
                                        700,
                                        ENTRY + CHUNK - 1,
                                        ENTRY + CHUNK,
                                        ENTRY + CHUNK + 1,
                                        1500,
                                        ENTRY + 4 * CHUNK };
    enum { SHORT = 8, ALL = sizeof lengths / sizeof *lengths };
    const uint32_t bytes = lengths[below(one_in(3) ? ALL : SHORT)];
    const struct key key = make_key(NULL, 0, bytes, one_in(2) ? 'a' : 'b');

    for (int i = 0; i < 3; i++) {
        const uint32_t at = below(bytes);

        key.data[at] = (uint8_t)below(256);
    }
    if (bytes > 8 && one_in(2)) /* and some differ at their end */
        for (int i = 0; i < 3; i++) {
            const uint32_t at = bytes - 1 - below(8);

            key.data[at] = (uint8_t)below(4);
        }
    return key;
}

/* ---- the batches ---- */

/* Drop the table of a slot, or define one there, or neither, or one after the other. */
static enum txkv_rc
change_slot(struct tx_tree_batch *batch, struct tables *tables, uint32_t slot, bool *full)
{
    enum txkv_rc rc = TXKV_OK;

    if (tables->now[slot] != 0) {
        if (!one_in(12))
            return TXKV_OK;
        rc = tx_tree_batch_drop(batch, tables->now[slot], full, &err);
        tables->before[slot] = tables->now[slot];
        tables->now[slot] = 0;
    }
    if (rc != TXKV_OK || !one_in(4))
        return rc;
    tables->now[slot] = ++tables->generation[slot] << TX_TABLE_SLOT_BITS | slot;
    return define_in_map(batch, tables->now[slot], full);
}

static enum txkv_rc
write_pair(struct tx_tree_batch *batch, uint32_t table, const struct key *key, bool *full)
{
    static uint8_t value[VALUE_MAX];
    uint32_t value_bytes;

    if (one_in(5))
        return tx_tree_batch_delete(batch, table, key->data, key->bytes, full, &err);
    value_bytes = one_in(30) ? below(VALUE_MAX) : below(60);
    memset(value, (int)below(256), value_bytes);
    return tx_tree_batch_put(batch, table, key->data, key->bytes, value, value_bytes, full, &err);
}

/* Pairs of a table: a few, or enough for some leaves. */
static enum txkv_rc
write_table(struct tx_tree_batch *batch, uint32_t table, bool *full)
{
    static struct key keys[WRITES_MAX];
    uint32_t count = one_in(4) ? below(WRITES_MAX) : below(8);
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t i = 0; i < count; i++)
        keys[i] = random_key();
    count = tidy(keys, count);
    for (uint32_t i = 0; i < count && rc == TXKV_OK; i++)
        rc = write_pair(batch, table, &keys[i], full);
    free_keys(keys, count);
    return rc;
}

static enum txkv_rc
fill_batch(struct tx_tree_batch *batch, struct tables *tables, bool *full)
{
    enum txkv_rc rc = TXKV_OK;

    for (uint32_t slot = 1; slot <= SLOTS && rc == TXKV_OK; slot++)
        rc = change_slot(batch, tables, slot, full);
    for (uint32_t slot = 1; slot <= SLOTS && rc == TXKV_OK; slot++)
        if (tables->now[slot] != 0)
            rc = write_table(batch, tables->now[slot], full);
    return rc;
}

/* The map grows while no read is active. */
static void
grow(struct life *life)
{
    for (int i = 0; i < READS; i++)
        if (life->reads[i]->active == 1)
            tx_tree_read_end(life->reads[i]);
    OK(tx_tree_grow(life->tree, 1000, &err));
    life->growths++;
}

/* One batch, which is committed, or given up, by chance or because the map is full: whichever call
 * says so. */
static void
run_batch(struct life *life)
{
    struct tx_tree_batch *batch = begin_batch(life->tree);
    struct tables tables = life->tables;
    bool full = false;
    enum txkv_rc rc = fill_batch(batch, &tables, &full);

    if (rc != TXKV_OK || one_in(10)) {
        tx_tree_batch_abort(batch);
    } else {
        life->lsn += 8;
        rc = tx_tree_batch_commit(batch, life->lsn, life->lsn + 1, &full, &err);
        if (rc == TXKV_OK) {
            for (uint32_t slot = 1; slot <= SLOTS; slot++)
                life->reused +=
                    tables.now[slot] != life->tables.now[slot] && tables.generation[slot] > 1;
            life->tables = tables;
            life->commits++;
        }
    }
    if (full)
        grow(life);
    else if (rc != TXKV_OK)
        fail_msg("%s", err.text);
}

/* ---- the reads ---- */

/* What a look-up, a seek or a step gives. */
struct answer {
    enum txkv_rc rc;
    struct tx_tree_pair pair; /* of a look-up the value alone */
};

/* The values are the same bytes of the map; long keys are put together by each cursor. */
static void
expect_same(const struct answer *own, const struct answer *lmdb)
{
    const struct tx_tree_pair *a = &own->pair, *b = &lmdb->pair;

    if (own->rc != lmdb->rc)
        fail_msg("%d and not %d (last error: %s)", (int)own->rc, (int)lmdb->rc, err.text);
    if (own->rc != TXKV_OK)
        return;
    if (a->key_bytes != b->key_bytes || memcmp(a->key, b->key, a->key_bytes) != 0)
        fail_msg("another key");
    if (a->value != b->value || a->value_bytes != b->value_bytes)
        fail_msg("another value");
}

static struct answer
seek(struct tx_tree_cursor *cursor, const struct key *key, bool backward)
{
    const uint8_t *data = key != NULL ? key->data : NULL;
    const uint32_t bytes = key != NULL ? key->bytes : 0;
    struct answer answer = { 0 };

    answer.rc = backward ? tx_tree_cursor_seek_le(cursor, data, bytes, &answer.pair, &err)
                         : tx_tree_cursor_seek_ge(cursor, data, bytes, &answer.pair, &err);
    return answer;
}

static struct answer
step(struct tx_tree_cursor *cursor, bool backward)
{
    struct answer answer = { 0 };

    answer.rc = backward ? tx_tree_cursor_prev(cursor, &answer.pair, &err)
                         : tx_tree_cursor_next(cursor, &answer.pair, &err);
    return answer;
}

static void
compare_steps(struct tx_tree_cursor *own, struct tx_tree_cursor *lmdb)
{
    const bool backward = one_in(2);

    for (uint32_t steps = 1 + below(6); steps > 0; steps--) {
        const struct answer a = step(own, backward), b = step(lmdb, backward);

        expect_same(&a, &b);
    }
}

/* To a key that there may be, or to an end. Sometimes our own cursor comes from somewhere else. */
static void
compare_seeks(struct tx_tree_cursor *own, struct tx_tree_cursor *lmdb)
{
    struct key key = random_key();
    const struct key *wanted = one_in(8) ? NULL : &key;
    const bool backward = one_in(2);
    struct answer a, b;

    if (one_in(3))
        (void)seek(own, one_in(2) ? NULL : &key, !backward);
    a = seek(own, wanted, backward);
    b = seek(lmdb, wanted, backward);
    expect_same(&a, &b);
    free_keys(&key, 1);
}

/* Steps follow a seek, and may lead off an end, from where no step leads back. */
static void
compare_moves(struct tx_tree_cursor *own, struct tx_tree_cursor *lmdb)
{
    for (int i = 0; i < MOVES; i++) {
        if (i > 0 && !one_in(3))
            compare_steps(own, lmdb);
        else
            compare_seeks(own, lmdb);
    }
}

static struct answer
look_up(const struct life *life, struct tx_tree_read *read, uint32_t table, const struct key *key,
        bool known_pages)
{
    struct answer answer = { 0 };

    life->tree->known_pages = known_pages;
    answer.rc = tx_tree_get(read, table, key->data, key->bytes, &answer.pair.value,
                            &answer.pair.value_bytes, &err);
    life->tree->known_pages = true;
    answer.pair.key = key->data;
    return answer;
}

static void
compare_gets(const struct life *life, struct tx_tree_read *read, uint32_t table)
{
    for (int i = 0; i < GETS; i++) {
        struct key key = random_key();
        const struct answer a = look_up(life, read, table, &key, true);
        const struct answer b = look_up(life, read, table, &key, false);

        expect_same(&a, &b);
        free_keys(&key, 1);
    }
}

static struct tx_tree_cursor *
open_cursor(const struct life *life, struct tx_tree_read *read, uint32_t table, bool known_pages)
{
    struct tx_tree_cursor *cursor;

    life->tree->known_pages = known_pages;
    OK(tx_tree_cursor_open(read, table, &cursor, &err));
    life->tree->known_pages = true;
    return cursor;
}

/* With one or two cursors that walk. They are closed in either order, so that which of the kept
 * ones does what next is a matter of chance. */
static void
compare_cursors(struct life *life, struct tx_tree_read *read, uint32_t table)
{
    struct tx_tree_cursor *own = open_cursor(life, read, table, true);
    struct tx_tree_cursor *other = one_in(2) ? open_cursor(life, read, table, true) : NULL;
    struct tx_tree_cursor *lmdb = open_cursor(life, read, table, false);
    const bool own_first = one_in(2);

    assert_false(lmdb->walks);
    assert_int_equal(own->walks, lmdb->mdb != NULL);
    life->walks += own->walks;
    compare_steps(own, lmdb); /* from nowhere, whatever a kept one did before */
    compare_moves(own, lmdb);
    if (other != NULL)
        compare_moves(other, lmdb);
    tx_tree_cursor_close(other);
    tx_tree_cursor_close(own_first ? own : lmdb);
    tx_tree_cursor_close(own_first ? lmdb : own);
}

/* All tables of now, and some of earlier: the read may see them or not. */
static void
compare_tables(struct life *life, struct tx_tree_read *read)
{
    for (uint32_t slot = 1; slot <= SLOTS; slot++) {
        const uint32_t table = one_in(4) ? life->tables.before[slot] : life->tables.now[slot];

        if (table == 0)
            continue;
        compare_cursors(life, read, table);
        compare_gets(life, read, table);
    }
}

/* A read ends, begins, is looked at, and gives way to another one, each or not. */
static void
use_read(struct life *life, struct tx_tree_read **read)
{
    if ((*read)->active == 1 && one_in(3))
        tx_tree_read_end(*read);
    if ((*read)->active == 0 && one_in(2))
        (void)begin(*read);
    if ((*read)->active == 1 && one_in(2))
        compare_tables(life, *read);
    if (one_in(60)) {
        tx_tree_read_free(*read);
        *read = new_read(life->tree);
    }
}

/* ---- the test ---- */

/* The life that has not come to its end. */
static const struct life *alive;

/* Also after a failure, be it a crash, for which it says how to have it again. */
static int
end_test(void **state)
{
    if (alive != NULL)
        print_error("SEED=%u, round %u\n", alive->seed, alive->round);
    return remove_dir(state);
}

static void
live(struct life *life)
{
    alive = life;
    srand(life->seed);
    life->tree = open_tree(MIB / 4);
    assert_true(life->tree->known_pages);
    for (int i = 0; i < READS; i++)
        life->reads[i] = new_read(life->tree);
    for (life->round = 0; life->round < ROUNDS; life->round++) {
        run_batch(life);
        for (int i = 0; i < READS; i++)
            use_read(life, &life->reads[i]);
    }
    for (int i = 0; i < READS; i++)
        tx_tree_read_free(life->reads[i]);
    tx_tree_close(life->tree);
    assert_true(life->commits > 0 && life->reused > 0 && life->growths > 0 && life->walks > 0);
    alive = NULL;
}

/*
 * Invariant: whatever became of the tables, the slots and the map, and whichever state a read is
 * at, a walk answers as LMDB does. Method: lives, each from a seed of its own; every answer to a
 * look-up, a seek or a step is compared. What the lives are for must have happened in each.
 */
static void
a_walk_answers_as_lmdb_does_whatever_has_happened(void **state)
{
    const char *given = getenv("SEED");
    const unsigned first = given != NULL ? (unsigned)atoi(given) : 1;

    print_message("SEED=%u, %d lives\n", first, LIVES);
    for (unsigned seed = first; seed < first + LIVES; seed++) {
        static struct life life;

        life = (struct life){ .seed = seed };
        live(&life);
        assert_int_equal(remove_dir(state), 0);
        assert_int_equal(make_dir(state), 0);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, end_test)
    const struct CMUnitTest tests[] = {
        TEST(a_walk_answers_as_lmdb_does_whatever_has_happened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
