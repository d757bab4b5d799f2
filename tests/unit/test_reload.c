/*
 * test_reload.c - entering the log's operations into a memtable, without a thread and with one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../src/reload.h"

enum { KEYS = 120000, MANY = 200000 /* operations: enough for a thread */ };

static uint64_t numbers[KEYS];
static uint64_t last[KEYS]; /* the LSN of the key's newest operation; 0: none */

struct fixture {
    struct tx_memtable *memtable;
    struct tx_reload *reload;
};

static struct tx_key
key_of(uint64_t i)
{
    return (struct tx_key){ (const uint8_t *)&numbers[i], sizeof(numbers[i]), 1 };
}

static int
set_up(void **state)
{
    static struct fixture fixture;

    memset(last, 0, sizeof last);
    for (uint64_t i = 0; i < KEYS; i++)
        numbers[i] = i * 0x9e3779b97f4a7c15u;
    *state = &fixture;
    return tx_memtable_create(0, false, &fixture.memtable, NULL) != TXKV_OK ||
           tx_reload_create(fixture.memtable, &fixture.reload) != TXKV_OK;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;

    tx_mem_fail_at(0, false);
    tx_reload_free(fixture->reload);
    tx_memtable_free(fixture->memtable);
    return tx_mem_live() != 0;
}

/* Operations at from_lsn.., a key again after every 7th, and deletions among them. */
static enum txkv_rc
add(struct fixture *fixture, uint64_t from_lsn, uint64_t count)
{
    enum txkv_rc rc = TXKV_OK;

    for (uint64_t lsn = from_lsn; lsn < from_lsn + count && rc == TXKV_OK; lsn++) {
        const uint64_t i = (lsn % 7 == 0 ? lsn / 2 : lsn) % KEYS;
        const struct tx_key key = key_of(i);

        last[i] = lsn;
        if (lsn % 16384 == 0)
            tx_reload_expect(fixture->reload, 2 * MANY);
        rc = tx_reload_add(fixture->reload, &key, lsn, lsn % 5 == 0 ? NULL : key.data, 8);
    }
    return rc;
}

/* Every key has one version, that of its last operation. */
static void
check(const struct fixture *fixture)
{
    uint64_t keys = 0;

    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);
        const struct tx_node *node = tx_memtable_get(fixture->memtable, &key, tx_key_hash(&key));

        assert_int_equal(node != NULL, last[i] != 0);
        if (node == NULL)
            continue;
        keys++;
        assert_int_equal(node->newest->lsn, last[i]);
        assert_ptr_equal(node->newest->value, last[i] % 5 == 0 ? NULL : key.data);
        assert_null(node->newest->older);
    }
    assert_int_equal(fixture->memtable->keys, keys);
}

static void
of_few_operations_the_last_one_of_each_key_counts(void **state)
{
    assert_int_equal(tx_reload_finish(((struct fixture *)*state)->reload), TXKV_OK);
    check(*state);
    assert_int_equal(add(*state, 1, 3000), TXKV_OK);
    assert_int_equal(tx_reload_finish(((struct fixture *)*state)->reload), TXKV_OK);
    check(*state);
}

static void
of_many_operations_the_last_one_of_each_key_counts(void **state)
{
    assert_int_equal(add(*state, 1, MANY), TXKV_OK);
    assert_int_equal(tx_reload_finish(((struct fixture *)*state)->reload), TXKV_OK);
    check(*state);
}

static void
more_can_be_added_after_all_was_entered(void **state)
{
    uint64_t lsn = 1;

    for (uint64_t count = 1; count <= MANY; count = count * 5 + 3) {
        assert_int_equal(add(*state, lsn, count), TXKV_OK);
        assert_int_equal(tx_reload_finish(((struct fixture *)*state)->reload), TXKV_OK);
        check(*state);
        lsn += count;
    }
}

static void
what_is_not_finished_is_left_without_a_leak(void **state)
{
    assert_int_equal(add(*state, 1, MANY), TXKV_OK);
}

static void
a_thread_without_memory_is_reported(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(add(fixture, 1, MANY / 4), TXKV_OK);
    tx_mem_fail_at(1, true);
    (void)!add(fixture, MANY / 4 + 1, MANY);                         /* it may be told here, */
    assert_int_equal(tx_reload_finish(fixture->reload), TXKV_NOMEM); /* or at the end */
}

static void
without_memory_for_a_thread_all_is_entered_or_reported(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t n = 1; n < 40; n++) {
        enum txkv_rc rc;

        tx_mem_fail_at(n, false);
        rc = add(fixture, 1, MANY / 4);
        if (rc == TXKV_OK)
            rc = tx_reload_finish(fixture->reload);
        tx_mem_fail_at(0, false);
        if (rc == TXKV_OK)
            check(fixture);
        assert_true(rc == TXKV_OK || rc == TXKV_NOMEM);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_few_operations_the_last_one_of_each_key_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_many_operations_the_last_one_of_each_key_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_can_be_added_after_all_was_entered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_finished_is_left_without_a_leak, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_thread_without_memory_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_for_a_thread_all_is_entered_or_reported,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
