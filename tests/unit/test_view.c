/*
 * test_view.c - which memtables live for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "../../src/view.h"

enum { READERS = 2, REPLACEMENTS = 10000, HELD = 8 };

static struct tx_views views;
static uint64_t stop, faults, pins_made; /* atomic */

/* A memtable with one key whose version tells its first_lsn, so a reader can check it. */
static struct tx_memtable *
make_memtable(uint64_t first_lsn)
{
    static const struct tx_key key = { (const uint8_t *)"key", 3, 1 };
    struct tx_memtable *memtable;

    if (tx_memtable_create(first_lsn, true, &memtable, NULL) != TXKV_OK)
        return NULL;
    if (tx_memtable_insert(memtable, &key, tx_key_hash(&key), first_lsn, key.data, 3) == TXKV_OK)
        return memtable;
    tx_memtable_free(memtable);
    return NULL;
}

static uint64_t
count_faults(const struct tx_view *view)
{
    static const struct tx_key key = { (const uint8_t *)"key", 3, 1 };
    uint64_t found = 0;

    for (uint32_t i = 0; i < view->count; i++) {
        struct tx_memtable *memtable = view->memtables[i];
        const struct tx_node *node = tx_memtable_get(memtable, &key, tx_key_hash(&key));

        found += node == NULL || tx_node_newest(node)->lsn != memtable->first_lsn;
        found += memtable->first_lsn < view->history_lsn;
    }
    return found;
}

static void
a_pinned_view_keeps_its_memtables_and_no_others(void **state)
{
    const uint64_t live = tx_mem_live();
    struct tx_memtable *one = make_memtable(1), *two = make_memtable(2), *three = make_memtable(3);
    struct tx_memtable *list[2] = { two, one };
    ck_epoch_record_t *record;
    struct tx_view *view;

    (void)state;
    assert_int_equal(tx_views_init(&views, one, 1), TXKV_OK);
    record = tx_epoch_register(&views.epoch);
    assert_non_null(record);
    view = tx_view_pin(&views, record, 3); /* one */
    assert_int_equal(tx_views_replace(&views, list, 2, 1), TXKV_OK);
    assert_int_equal(views.retired_bytes, 0);
    list[0] = three;
    assert_int_equal(tx_views_replace(&views, list, 1, 3), TXKV_OK);
    assert_int_equal(views.retired_count, 2);
    assert_int_equal(views.retired_bytes, tx_memtable_bytes(one) + tx_memtable_bytes(two));
    assert_false(tx_views_collect(&views)); /* frees the second view, and two with it */
    assert_int_equal(views.retired_count, 1);
    assert_int_equal(views.retired_bytes, tx_memtable_bytes(one));
    assert_int_equal(count_faults(view), 0);
    tx_view_unpin(view, 3);
    assert_true(tx_views_collect(&views));
    assert_int_equal(views.retired_bytes, 0);
    assert_ptr_equal(tx_views_current(&views)->memtables[0], three);
    tx_epoch_unregister(record);
    tx_views_destroy(&views);
    assert_int_equal(tx_mem_live(), live);
}

static void
a_reader_between_the_pointer_and_its_pin_keeps_the_view(void **state)
{
    struct tx_memtable *one = make_memtable(1), *two = make_memtable(2);
    ck_epoch_record_t *record;
    const struct tx_view *view;

    (void)state;
    assert_int_equal(tx_views_init(&views, one, 1), TXKV_OK);
    record = tx_epoch_register(&views.epoch);
    assert_non_null(record);
    tx_epoch_enter(record);
    view = tx_views_current(&views);
    assert_int_equal(tx_views_replace(&views, &two, 1, 2), TXKV_OK);
    for (int i = 0; i < 10; i++)
        assert_false(tx_views_collect(&views));
    assert_int_equal(count_faults(view), 0);
    tx_epoch_leave(record);
    assert_true(tx_views_collect(&views));
    tx_views_destroy(&views);
}

static void
pins_on_any_stripe_hold_the_view(void **state)
{
    struct tx_memtable *active = make_memtable(1);
    ck_epoch_record_t *record;

    (void)state;
    assert_int_equal(tx_views_init(&views, active, 1), TXKV_OK);
    record = tx_epoch_register(&views.epoch);
    assert_non_null(record);
    for (uint32_t stripe = 0; stripe < 2 * TX_VIEW_STRIPES; stripe++) {
        struct tx_view *view = tx_view_pin(&views, record, stripe);

        assert_int_equal(tx_views_replace(&views, &active, 1, 1), TXKV_OK);
        assert_false(tx_views_collect(&views));
        tx_view_unpin(view, stripe);
        assert_true(tx_views_collect(&views));
    }
    tx_views_destroy(&views);
}

static void
a_replace_without_memory_changes_nothing(void **state)
{
    struct tx_memtable *one = make_memtable(1), *two = make_memtable(2);

    (void)state;
    assert_int_equal(tx_views_init(&views, one, 1), TXKV_OK);
    tx_mem_fail_at(1, true);
    assert_int_equal(tx_views_replace(&views, &two, 1, 2), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    assert_ptr_equal(tx_views_current(&views)->memtables[0], one);
    assert_int_equal(two->refs, 0);
    assert_int_equal(views.retired_count, 0);
    tx_memtable_free(two);
    tx_views_destroy(&views);
}

/* Pins views, keeps the last few of them, and checks each before it lets go. */
static void *
pin_and_unpin(void *arg)
{
    ck_epoch_record_t *record = arg;
    struct tx_view *held[HELD] = { NULL };
    uint64_t found = 0;
    uint32_t turn = 0;

    while (tx_load_acquire_64(&stop) == 0) {
        const uint32_t at = turn % HELD;

        if (held[at] != NULL) {
            found += count_faults(held[at]);
            tx_view_unpin(held[at], at);
        }
        held[at] = tx_view_pin(&views, record, at);
        found += count_faults(held[at]);
        turn++;
        (void)tx_fetch_add_64(&pins_made, 1);
    }
    for (uint32_t at = 0; at < HELD; at++)
        if (held[at] != NULL)
            tx_view_unpin(held[at], at);
    (void)tx_fetch_add_64(&faults, found);
    return NULL;
}

/*
 * Goal: no memtable is freed while a reader has a view with it.
 * Method: the writer rolls a window of three memtables and collects after each step; readers hold
 * several views and look into all their memtables. ASan and TSan report a free that comes too
 * early.
 */
static void
readers_never_see_a_freed_memtable(void **state)
{
    const uint64_t live = tx_mem_live();
    struct tx_memtable *window[3] = { make_memtable(0), NULL, NULL };
    pthread_t threads[READERS];
    bool failed = false, all_free = false;

    (void)state;
    assert_int_equal(tx_views_init(&views, window[0], 0), TXKV_OK);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, pin_and_unpin, tx_epoch_register(&views.epoch)), 0);
    for (uint64_t n = 1; n <= REPLACEMENTS || tx_load_relaxed_64(&pins_made) < 1000; n++) {
        window[2] = window[1];
        window[1] = window[0];
        window[0] = make_memtable(n);
        failed |= window[0] == NULL;
        if (failed)
            break;
        failed |= tx_views_replace(&views, window, n >= 2 ? 3 : 2, n >= 2 ? n - 2 : 0) != TXKV_OK;
        (void)tx_views_collect(&views);
    }
    tx_store_release_64(&stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    all_free = tx_views_collect(&views);
    assert_false(failed);
    assert_true(all_free);
    assert_int_equal(faults, 0);
    tx_views_destroy(&views);
    assert_int_equal(tx_mem_live(), live);
}

static void
a_released_memtable_is_whole_until_it_is_freed(void **state)
{
    const uint64_t live = tx_mem_live();
    struct tx_memtable *one = make_memtable(1), *two = make_memtable(2), *three = make_memtable(3);
    struct tx_memtable *list[2] = { two, one };
    struct tx_memtable *unseen = NULL;

    (void)state;
    assert_int_equal(tx_views_init(&views, one, 1), TXKV_OK);
    assert_int_equal(tx_views_replace(&views, list, 2, 1), TXKV_OK);
    assert_int_equal(tx_views_replace(&views, &three, 1, 3), TXKV_OK);
    assert_true(tx_views_release(&views, &unseen));
    assert_int_equal(views.retired_bytes, 0);
    assert_true((unseen == one && one->next_unseen == two && two->next_unseen == NULL) ||
                (unseen == two && two->next_unseen == one && one->next_unseen == NULL));
    assert_int_equal(one->keys, 1);
    assert_int_equal(two->keys, 1);
    tx_views_free(unseen);
    tx_views_destroy(&views);
    assert_int_equal(tx_mem_live(), live);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pinned_view_keeps_its_memtables_and_no_others),
        cmocka_unit_test(a_released_memtable_is_whole_until_it_is_freed),
        cmocka_unit_test(a_reader_between_the_pointer_and_its_pin_keeps_the_view),
        cmocka_unit_test(pins_on_any_stripe_hold_the_view),
        cmocka_unit_test(a_replace_without_memory_changes_nothing),
        cmocka_unit_test(readers_never_see_a_freed_memtable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
