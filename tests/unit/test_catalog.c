/*
 * test_catalog.c - the tables of a store in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../src/catalog.h"
#include "../../src/mem.h"

static struct tx_catalog catalog;
static struct txkv_error err;
static uint64_t live_before;

static int
setup(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    tx_catalog_init(&catalog);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    tx_catalog_destroy(&catalog);
    return tx_mem_live() == live_before ? 0 : -1;
}

static enum txkv_rc
add(uint32_t table, const char *name, const char *shape)
{
    const struct tx_table_def def = { .table = table,
                                      .name = name,
                                      .shape = shape,
                                      .name_bytes = (uint32_t)strlen(name),
                                      .shape_bytes = (uint32_t)strlen(shape) };

    return tx_catalog_add(&catalog, &def, 8 * table, false, &err);
}

static void
a_table_is_found_by_name_and_by_number(void **state)
{
    const struct tx_catalog_entry *entry;

    (void)state;
    assert_int_equal(add(1, "users", "(id)"), TXKV_OK);
    assert_int_equal(add(2, "orders", ""), TXKV_OK);
    entry = tx_catalog_find(&catalog, "users");
    assert_ptr_equal(tx_catalog_by_number(&catalog, 1), entry);
    assert_string_equal(entry->shape, "(id)");
    assert_int_equal(entry->define_lsn, 8);
    assert_null(tx_catalog_find(&catalog, "user"));
    assert_null(tx_catalog_by_number(&catalog, 3));
    assert_int_equal(catalog.table_max, 2);
}

static void
the_names_bytes_need_no_end(void **state)
{
    const struct tx_table_def def = {
        .table = 1, .name = "abcdef", .shape = "xyz", .name_bytes = 3, .shape_bytes = 1
    };

    (void)state;
    assert_int_equal(tx_catalog_add(&catalog, &def, 0, true, &err), TXKV_OK);
    assert_non_null(tx_catalog_find(&catalog, "abc"));
    assert_string_equal(catalog.entries->shape, "x");
}

static void
an_equal_definition_is_nothing_new_and_a_different_one_is_damage(void **state)
{
    (void)state;
    assert_int_equal(add(1, "a", "s"), TXKV_OK);
    assert_int_equal(add(1, "a", "s"), TXKV_OK);
    assert_null(catalog.entries->next);
    assert_int_equal(add(1, "a", "t"), TXKV_CORRUPT);
    assert_int_equal(add(1, "b", "s"), TXKV_CORRUPT);
    assert_int_equal(add(2, "a", "s"), TXKV_CORRUPT);
    assert_int_equal(err.rc, TXKV_CORRUPT);
    assert_int_equal(catalog.table_max, 1);
}

static void
a_number_is_good_between_one_and_the_highest(void **state)
{
    (void)state;
    assert_int_equal(tx_catalog_check(&catalog, 1, &err), TXKV_MISUSE);
    assert_int_equal(add(1, "a", ""), TXKV_OK);
    assert_int_equal(tx_catalog_check(&catalog, 1, &err), TXKV_OK);
    assert_int_equal(tx_catalog_check(&catalog, 0, &err), TXKV_MISUSE);
    assert_int_equal(tx_catalog_check(&catalog, 2, &err), TXKV_MISUSE);
}

static void
an_entry_taken_back_leaves_its_name_and_number_free(void **state)
{
    (void)state;
    assert_int_equal(add(1, "a", ""), TXKV_OK);
    assert_int_equal(add(2, "b", ""), TXKV_OK);
    tx_catalog_take_back(&catalog);
    assert_null(tx_catalog_find(&catalog, "b"));
    assert_int_equal(catalog.table_max, 1);
    assert_int_equal(add(2, "c", ""), TXKV_OK);
    tx_catalog_take_back(&catalog);
    tx_catalog_take_back(&catalog);
    assert_int_equal(catalog.table_max, 0);
}

static void
a_table_without_memory_is_not_there(void **state)
{
    enum txkv_rc rc = TXKV_NOMEM;

    (void)state;
    for (uint64_t n = 1; rc == TXKV_NOMEM; n++) {
        tx_mem_fail_at(n, false);
        rc = add(1, "a", "s");
        tx_mem_fail_at(0, false);
        assert_int_equal(tx_catalog_find(&catalog, "a") != NULL, rc == TXKV_OK);
        assert_true(n < 10);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_table_is_found_by_name_and_by_number),
        TEST(the_names_bytes_need_no_end),
        TEST(an_equal_definition_is_nothing_new_and_a_different_one_is_damage),
        TEST(a_number_is_good_between_one_and_the_highest),
        TEST(an_entry_taken_back_leaves_its_name_and_number_free),
        TEST(a_table_without_memory_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
