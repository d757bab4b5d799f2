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

    return tx_catalog_add(&catalog, &def, 8 * table, &err);
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
    assert_int_equal(catalog.alive[2], 2);
}

static void
the_names_bytes_need_no_end(void **state)
{
    const struct tx_table_def def = {
        .table = 1, .name = "abcdef", .shape = "xyz", .name_bytes = 3, .shape_bytes = 1
    };

    (void)state;
    assert_int_equal(tx_catalog_add(&catalog, &def, 0, &err), TXKV_OK);
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
    assert_int_equal(add(2, "a", "s"), TXKV_CORRUPT);
    assert_int_equal(err.rc, TXKV_CORRUPT);
    assert_int_equal(add(TX_TABLE_SLOTS_MAX + 1, "c", "s"), TXKV_CORRUPT);
    assert_null(catalog.entries->next);
}

static void
a_number_is_good_when_a_table_has_or_had_it(void **state)
{
    (void)state;
    assert_int_equal(tx_catalog_check(&catalog, 1, &err), TXKV_MISUSE);
    assert_int_equal(add(1, "a", ""), TXKV_OK);
    assert_int_equal(tx_catalog_check(&catalog, 1, &err), TXKV_OK);
    assert_int_equal(tx_catalog_check(&catalog, 0, &err), TXKV_MISUSE);
    assert_int_equal(tx_catalog_check(&catalog, 2, &err), TXKV_MISUSE);
    assert_int_equal(tx_catalog_drop(&catalog, 1, 80, &err), TXKV_OK);
    assert_int_equal(tx_catalog_check(&catalog, 1, &err), TXKV_OK);
}

static void
an_entry_taken_back_leaves_its_name_and_number_free(void **state)
{
    (void)state;
    assert_int_equal(add(1, "a", ""), TXKV_OK);
    assert_int_equal(add(2, "b", ""), TXKV_OK);
    tx_catalog_take_back(&catalog);
    assert_null(tx_catalog_find(&catalog, "b"));
    assert_int_equal(catalog.alive[2], 0);
    assert_int_equal(tx_catalog_new_number(&catalog, 0), 2);
    assert_int_equal(add(2, "c", ""), TXKV_OK);
    tx_catalog_take_back(&catalog);
    tx_catalog_take_back(&catalog);
    assert_int_equal(catalog.alive[1], 0);
    assert_int_equal(tx_catalog_new_number(&catalog, 0), 1);
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

/* ---- dropping and renaming ---- */

static void
a_dropped_table_has_no_name_and_ends_for_later_snapshots_alone(void **state)
{
    (void)state;
    assert_int_equal(add(1, "a", "s"), TXKV_OK);
    assert_int_equal(tx_catalog_drop(&catalog, 1, 80, &err), TXKV_OK);
    assert_null(tx_catalog_find(&catalog, "a"));
    assert_int_equal(catalog.drops, 1);
    assert_int_equal(tx_catalog_check_alive(&catalog, 1, 80, &err), TXKV_OK);
    assert_int_equal(tx_catalog_check_alive(&catalog, 1, 81, &err), TXKV_SCHEMA);
    assert_int_equal(tx_catalog_drop(&catalog, 1, 88, &err), TXKV_OK); /* again: nothing */
    assert_int_equal(catalog.drops, 1);
    assert_int_equal(tx_catalog_drop(&catalog, 2, 88, &err), TXKV_CORRUPT);
}

static void
a_slot_is_used_again_when_lmdb_has_let_go_of_its_table_and_no_number_is(void **state)
{
    const uint32_t second = 1 + (1u << TX_TABLE_SLOT_BITS);

    (void)state;
    assert_int_equal(add(1, "a", "s"), TXKV_OK);
    assert_int_equal(tx_catalog_drop(&catalog, 1, 80, &err), TXKV_OK);
    assert_int_equal(tx_catalog_new_number(&catalog, 80), 2);
    assert_int_equal(tx_catalog_new_number(&catalog, 88), second);
    assert_int_equal(add(second, "a", "t"), TXKV_OK);
    assert_int_equal(tx_catalog_find(&catalog, "a")->table, second);
    assert_int_equal(tx_catalog_check_alive(&catalog, 1, 81, &err), TXKV_SCHEMA);
    assert_int_equal(tx_catalog_check_alive(&catalog, second, UINT64_MAX, &err), TXKV_OK);
    assert_int_equal(tx_catalog_new_number(&catalog, 888), 2);
}

static void
names_move_among_tables_and_lmdbs_catalog_has_the_last_word(void **state)
{
    const struct tx_table_def one = { .table = 1, .name = "b", .name_bytes = 1 },
                              two = { .table = 2, .name = "a", .name_bytes = 1 },
                              gone = { .table = 1 },
                              later = { .table = 2 + (1u << TX_TABLE_SLOT_BITS),
                                        .name = "z",
                                        .name_bytes = 1 };

    (void)state;
    assert_int_equal(add(1, "a", ""), TXKV_OK);
    assert_int_equal(add(2, "b", ""), TXKV_OK);
    assert_int_equal(tx_catalog_adopt(&catalog, &one, 800, &err), TXKV_OK);
    assert_int_equal(tx_catalog_adopt(&catalog, &two, 800, &err), TXKV_OK);
    assert_int_equal(tx_catalog_find(&catalog, "a")->table, 2);
    assert_int_equal(tx_catalog_find(&catalog, "b")->table, 1);
    assert_int_equal(tx_catalog_rename(&catalog, 1, "c", 1, 808, &err), TXKV_OK);
    assert_int_equal(tx_catalog_find(&catalog, "c")->table, 1);
    assert_int_equal(tx_catalog_adopt(&catalog, &gone, 900, &err), TXKV_OK);
    assert_null(tx_catalog_find(&catalog, "c"));
    assert_int_equal(tx_catalog_check_alive(&catalog, 1, 900, &err), TXKV_SCHEMA);
    assert_int_equal(tx_catalog_adopt(&catalog, &later, 1000, &err), TXKV_OK); /* in 2's slot */
    assert_int_equal(tx_catalog_check_alive(&catalog, 2, 1000, &err), TXKV_SCHEMA);
    assert_int_equal(tx_catalog_check_alive(&catalog, 2, 999, &err), TXKV_OK);
    assert_int_equal(tx_catalog_find(&catalog, "z")->table, later.table);
}

static void
a_checkpoint_carries_over_what_changed_since_the_last(void **state)
{
    struct tx_catalog_delta delta;

    (void)state;
    for (uint32_t t = 1; t <= 4; t++)
        assert_int_equal(add(t, (const char[]){ (char)('a' + t), 0 }, ""), TXKV_OK);
    assert_int_equal(tx_catalog_rename(&catalog, 1, "x", 1, 48, &err), TXKV_OK);
    assert_int_equal(tx_catalog_drop(&catalog, 2, 56, &err), TXKV_OK);
    assert_int_equal(tx_catalog_drop(&catalog, 3, 64, &err), TXKV_OK);
    assert_int_equal(tx_catalog_delta(&catalog, 32, 64, &delta, &err), TXKV_OK);
    assert_int_equal(delta.count, 3);
    assert_true(delta.items[0].dropped && delta.items[0].def.table == 2);
    assert_true(delta.items[1].defined && delta.items[1].def.table == 4);
    assert_true(delta.items[2].renamed && delta.items[2].def.table == 1);
    assert_string_equal(delta.items[2].def.name, "x");
    tx_catalog_delta_free(&delta);
    assert_int_equal(tx_catalog_delta(&catalog, 72, 90, &delta, &err), TXKV_OK);
    assert_int_equal(delta.count, 0);
    tx_catalog_delta_free(&delta);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_table_is_found_by_name_and_by_number),
        TEST(the_names_bytes_need_no_end),
        TEST(an_equal_definition_is_nothing_new_and_a_different_one_is_damage),
        TEST(a_number_is_good_when_a_table_has_or_had_it),
        TEST(an_entry_taken_back_leaves_its_name_and_number_free),
        TEST(a_table_without_memory_is_not_there),
        TEST(a_dropped_table_has_no_name_and_ends_for_later_snapshots_alone),
        TEST(a_slot_is_used_again_when_lmdb_has_let_go_of_its_table_and_no_number_is),
        TEST(names_move_among_tables_and_lmdbs_catalog_has_the_last_word),
        TEST(a_checkpoint_carries_over_what_changed_since_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
