/*
 * test_writeset.c - a transaction's own writes: the record, the index, the list, undo.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../../src/hashidx.h"
#include "../../src/mem.h"
#include "../../src/writeset.h"

static struct tx_writeset set;
static struct txkv_error err;
static uint64_t live_before;

static int
setup(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    tx_writeset_init(&set, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    tx_writeset_free(&set);
    return tx_mem_live() == live_before ? 0 : -1;
}

static struct tx_key
key_of(const char *text)
{
    return (struct tx_key){ (const uint8_t *)text, (uint32_t)strlen(text), 1 };
}

/* value NULL: a delete. */
static enum txkv_rc
try_write(const char *key, const char *value)
{
    const struct tx_key k = key_of(key);
    const uint32_t bytes = value == NULL ? 0 : (uint32_t)strlen(value);
    uint8_t *at;
    const enum txkv_rc rc =
        tx_writeset_add(&set, value == NULL ? TX_OP_DELETE : TX_OP_PUT, &k, bytes, &at, &err);

    if (rc == TXKV_OK && bytes > 0)
        memcpy(at, value, bytes);
    return rc;
}

static void
write_one(const char *key, const char *value)
{
    assert_int_equal(try_write(key, value), TXKV_OK);
}

enum found { MISSING, DELETED, DIFFERENT, EQUAL };

static enum found
find(const char *key, const char *value)
{
    const struct tx_key k = key_of(key);
    const struct tx_write *write = tx_writeset_find(&set, &k, tx_key_hash(&k));
    struct tx_op op;

    if (write == NULL)
        return MISSING;
    op = tx_write_op(&set, write);
    if (op.value == NULL)
        return DELETED;
    return op.value_bytes == strlen(value) && memcmp(op.value, value, op.value_bytes) == 0
               ? EQUAL
               : DIFFERENT;
}

/* The list's keys that are not undone, each with the number of its write: "a0 b3 ". */
static const char *
list_text(void)
{
    static char out[256];
    const struct tx_skiplist *list = tx_writeset_list(&set);

    assert_non_null(list);
    out[0] = '\0';
    for (struct tx_node *n = tx_skiplist_first(list); n != NULL; n = tx_node_next(n)) {
        const struct tx_version *v = tx_node_newest(n);
        const size_t used = strlen(out);

        if (v != NULL)
            (void)snprintf(out + used, sizeof out - used, "%.*s%u ", (int)n->key.bytes,
                           (const char *)n->key.data, v->tag);
    }
    return out;
}

static void
the_newest_write_of_a_key_is_found(void **state)
{
    (void)state;
    assert_int_equal(find("a", ""), MISSING);
    write_one("a", "1");
    write_one("b", "");
    write_one("a", "22");
    write_one("c", NULL);
    assert_int_equal(find("a", "22"), EQUAL);
    assert_int_equal(find("b", ""), EQUAL); /* an empty value is no delete */
    assert_int_equal(find("c", ""), DELETED);
    assert_int_equal(find("d", ""), MISSING);
    assert_true(set.writes[0].superseded);
    assert_false(set.writes[2].superseded);
}

static void
the_same_key_in_two_tables_is_two_keys(void **state)
{
    struct tx_key k = key_of("a");
    uint8_t *at;

    (void)state;
    write_one("a", "1");
    k.table = 2;
    assert_null(tx_writeset_find(&set, &k, tx_key_hash(&k)));
    assert_int_equal(tx_writeset_add(&set, TX_OP_DELETE, &k, 0, &at, &err), TXKV_OK);
    assert_int_equal(find("a", "1"), EQUAL);
    assert_false(set.writes[0].superseded);
}

static void
the_record_holds_every_write_in_order(void **state)
{
    const uint8_t *p, *end;
    struct tx_op op;
    char key[16];

    (void)state;
    for (int i = 0; i < 3000; i++) { /* the record moves several times */
        (void)snprintf(key, sizeof key, "key%d", i % 1000);
        write_one(key, i % 7 == 0 ? NULL : key);
    }
    p = set.record.at + TX_RECORD_HEADER_BYTES;
    end = set.record.at + set.record_used;
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "key%d", i % 1000);
        assert_int_equal(tx_op_next(&p, end, &op), TXKV_OK);
        assert_int_equal(op.kind, i % 7 == 0 ? TX_OP_DELETE : TX_OP_PUT);
        assert_int_equal(op.key_bytes, strlen(key));
        assert_memory_equal(op.key, key, op.key_bytes);
    }
    assert_int_equal(tx_op_next(&p, end, &op), TXKV_NOTFOUND);
}

static void
undo_brings_the_older_write_back(void **state)
{
    struct tx_writeset_mark mark;

    (void)state;
    write_one("a", "1");
    mark = tx_writeset_mark(&set);
    write_one("a", "2");
    write_one("a", NULL);
    write_one("b", "3");
    tx_writeset_undo(&set, mark);
    assert_int_equal(find("a", "1"), EQUAL);
    assert_int_equal(find("b", "3"), MISSING);
    assert_false(set.writes[0].superseded);
    assert_int_equal(set.record_used, mark.record_used);
    assert_int_equal(set.slots_used, 1);
}

/* Random writes and undos against a plain array: linear probing must close its gaps. */
static void
undo_loses_no_other_key(void **state)
{
    enum { KEYS = 60 };
    int model[KEYS], saved[KEYS];
    struct tx_writeset_mark mark = tx_writeset_mark(&set);
    uint32_t random = 12345;
    char key[16], value[16];

    (void)state;
    for (int i = 0; i < KEYS; i++)
        model[i] = saved[i] = -1;
    for (int step = 0; step < 20000; step++) {
        random = random * 1103515245 + 12345;
        if (random >> 16 & 15) {
            const int i = (int)(random >> 20) % KEYS;

            (void)snprintf(key, sizeof key, "k%d", i);
            (void)snprintf(value, sizeof value, "v%d", step);
            write_one(key, value);
            model[i] = step;
        } else if (random >> 20 & 1) {
            tx_writeset_undo(&set, mark);
            memcpy(model, saved, sizeof model);
        } else if (set.count < 2000) {
            mark = tx_writeset_mark(&set);
            memcpy(saved, model, sizeof saved);
        }
        for (int i = 0; step % 50 == 0 && i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "k%d", i);
            (void)snprintf(value, sizeof value, "v%d", model[i]);
            assert_int_equal(find(key, value), model[i] < 0 ? MISSING : EQUAL);
        }
    }
}

static void
the_list_follows_later_writes_and_undo(void **state)
{
    struct tx_writeset_mark mark;

    (void)state;
    write_one("m", "");
    write_one("c", "");
    write_one("m", "");
    assert_string_equal(list_text(), "c1 m2 ");
    mark = tx_writeset_mark(&set);
    write_one("a", NULL);
    write_one("m", "");
    assert_string_equal(list_text(), "a3 c1 m4 ");
    tx_writeset_undo(&set, mark);
    assert_string_equal(list_text(), "c1 m2 ");
    write_one("a", "");
    assert_string_equal(list_text(), "a3 c1 m2 ");
    tx_writeset_undo(&set, (struct tx_writeset_mark){ TX_RECORD_HEADER_BYTES, 0 });
    assert_string_equal(list_text(), "");
}

static void
a_list_made_after_an_undo_is_right(void **state)
{
    struct tx_writeset_mark mark;

    (void)state;
    write_one("b", "");
    mark = tx_writeset_mark(&set);
    write_one("a", "");
    tx_writeset_undo(&set, mark);
    write_one("c", "");
    assert_string_equal(list_text(), "b0 c1 ");
}

static void
the_lists_keys_stay_when_the_record_moves(void **state)
{
    const struct tx_skiplist *list;
    const struct tx_node *node;
    char key[16];

    (void)state;
    write_one("anchor", "");
    list = tx_writeset_list(&set);
    node = tx_skiplist_first(list);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        write_one(key, "some value");
    }
    assert_memory_equal(node->key.data, "anchor", 6);
    assert_int_equal(list->count, 5001);
}

static void
a_large_set_is_prepared_in_key_order_without_superseded_writes(void **state)
{
    char key[16];

    (void)state;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "same%d", (i * 7919) % 200);
        write_one(key, "");
    }
    tx_writeset_prepare(&set);
    assert_non_null(set.order);
    assert_int_equal(set.order_count, 200);
    for (uint32_t i = 0; i < set.order_count; i++) {
        const struct tx_key b = tx_write_key(&set, &set.writes[set.order[i]]);

        assert_false(set.writes[set.order[i]].superseded);
        if (i > 0) {
            const struct tx_key a = tx_write_key(&set, &set.writes[set.order[i - 1]]);

            assert_true(tx_key_compare(&a, &b) < 0);
        }
    }
    tx_mem_fail_at(1, true); /* without memory it is not sorted, and that is no error */
    tx_writeset_prepare(&set);
    assert_null(set.order);
}

/* Goal: a large set that was about to be committed, and was not, goes on as any other.
 * Method: its hash table is given back; then it is asked, without memory too, undone and added to.
 */
static void
a_large_set_has_no_table_after_prepare_and_makes_one_when_it_is_asked(void **state)
{
    enum { KEYS = 40000 };
    struct tx_writeset_mark mark = { 0 };
    char key[16];

    (void)state;
    for (int i = 0; i < KEYS + 2000; i++) {
        if (i == KEYS)
            mark = tx_writeset_mark(&set);
        (void)snprintf(key, sizeof key, "k%d", i < KEYS ? i : i - KEYS + 1000);
        write_one(key, i < KEYS ? key : "later");
    }
    tx_writeset_prepare(&set);
    assert_null(set.order);
    assert_null(set.slots);
    tx_mem_fail_at(1, true);
    assert_int_equal(find("k39999", "k39999"), EQUAL);
    assert_int_equal(find("k1000", "later"), EQUAL);
    assert_int_equal(find("k40000", ""), MISSING);
    assert_int_equal(try_write("new", ""), TXKV_NOMEM);
    tx_writeset_undo(&set, mark);
    assert_int_equal(find("k1000", "k1000"), EQUAL);
    tx_mem_fail_at(0, false);
    assert_int_equal(find("k2999", "k2999"), EQUAL);
    assert_non_null(set.slots);
    assert_int_equal(set.slots_used, KEYS);
    tx_writeset_prepare(&set);
    assert_null(set.slots);
    write_one("k5", "newest");
    write_one("new", "");
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(find(key, i == 5 ? "newest" : key), EQUAL);
    }
    assert_int_equal(find("new", ""), EQUAL);
    tx_writeset_prepare(&set);
    tx_writeset_undo(&set, (struct tx_writeset_mark){ TX_RECORD_HEADER_BYTES, 0 });
    assert_int_equal(find("k5", "newest"), MISSING);
}

static void
a_set_in_order_needs_no_order(void **state)
{
    char key[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "k%03d", i);
        write_one(key, "");
        write_one(key, "x");
    }
    tx_writeset_prepare(&set);
    assert_null(set.order);
}

static void
a_record_beyond_4_gib_is_too_big(void **state)
{
    const struct tx_key k = key_of("k");
    uint8_t *at = (uint8_t *)&err;

    (void)state;
    write_one("a", "1");
    set.record_used += 0xf0000000u; /* as if it held that much */
    assert_int_equal(tx_writeset_add(&set, TX_OP_PUT, &k, TXKV_VALUE_BYTES_MAX, &at, &err),
                     TXKV_TOOBIG);
    set.record_used -= 0xf0000000u;
    assert_null(at);
    assert_int_equal(set.count, 1);
    assert_int_equal(find("k", ""), MISSING);
}

static void
a_write_without_memory_changes_nothing(void **state)
{
    uint32_t failures = 0;
    char key[16], value[600];

    (void)state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    write_one("first", "1");
    assert_non_null(tx_writeset_list(&set));
    for (int i = 0; i < 400; i++) {
        const struct tx_writeset_mark before = tx_writeset_mark(&set);
        enum txkv_rc rc = TXKV_NOMEM;

        (void)snprintf(key, sizeof key, "k%d", i / 2);
        for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
            tx_mem_fail_at(n, false);
            rc = try_write(key, value);
            tx_mem_fail_at(0, false);
            if (rc == TXKV_OK)
                break;
            failures++;
            assert_int_equal(rc, TXKV_NOMEM);
            assert_int_equal(set.count, before.count);
            assert_int_equal(set.record_used, before.record_used);
            assert_int_equal(find(key, value), i % 2 == 0 ? MISSING : EQUAL);
        }
    }
    assert_true(failures > 10);
    assert_int_equal(set.list.count, 201);
}

static void
a_list_without_memory_can_be_made_later(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    write_one("b", "");
    write_one("a", "");
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_mem_fail_at(n, false);
        rc = tx_writeset_list(&set) == NULL ? TXKV_NOMEM : TXKV_OK;
        tx_mem_fail_at(0, false);
        assert_true(n < 10);
    }
    assert_string_equal(list_text(), "a1 b0 ");
}

static void
a_reset_set_is_empty_and_usable(void **state)
{
    static char large[2 << 20];

    (void)state;
    write_one("a", "1");
    assert_non_null(tx_writeset_list(&set));
    tx_writeset_reset(&set);
    assert_int_equal(find("a", "1"), MISSING);
    assert_string_equal(list_text(), "");
    write_one("b", "2");
    assert_string_equal(list_text(), "b0 ");
    memset(large, 'x', sizeof large - 1);
    write_one("a", large);
    tx_writeset_reset(&set);
    assert_null(set.record.at); /* a large buffer is given back */
    write_one("a", "1");
    assert_int_equal(find("a", "1"), EQUAL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_newest_write_of_a_key_is_found),
        TEST(the_same_key_in_two_tables_is_two_keys),
        TEST(the_record_holds_every_write_in_order),
        TEST(undo_brings_the_older_write_back),
        TEST(undo_loses_no_other_key),
        TEST(the_list_follows_later_writes_and_undo),
        TEST(a_list_made_after_an_undo_is_right),
        TEST(the_lists_keys_stay_when_the_record_moves),
        TEST(a_large_set_is_prepared_in_key_order_without_superseded_writes),
        TEST(a_large_set_has_no_table_after_prepare_and_makes_one_when_it_is_asked),
        TEST(a_set_in_order_needs_no_order),
        TEST(a_record_beyond_4_gib_is_too_big),
        TEST(a_write_without_memory_changes_nothing),
        TEST(a_list_without_memory_can_be_made_later),
        TEST(a_reset_set_is_empty_and_usable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
