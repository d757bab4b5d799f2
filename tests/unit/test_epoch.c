/*
 * test_epoch.c - safe memory reclamation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "../../src/epoch.h"
#include "../../src/mem.h"

enum { READERS = 2, SWAPS = 20000 };

struct box {
    struct tx_epoch_entry deferred;
    uint64_t content[4];
};

static struct tx_epoch epoch;
static struct box *shared; /* atomic */
static uint64_t run_count, stop, damaged, reads;

static void
count_run(struct tx_epoch_entry *entry)
{
    (void)entry;
    run_count++;
}

static void
defer_one(struct tx_epoch_entry *entry)
{
    tx_epoch_writer_enter(&epoch);
    tx_epoch_defer(&epoch, entry, count_run);
    tx_epoch_writer_leave(&epoch);
}

static void
nothing_runs_while_a_reader_that_came_before_is_inside(void **state)
{
    ck_epoch_record_t *record;
    struct tx_epoch_entry entry;

    (void)state;
    tx_epoch_init(&epoch);
    record = tx_epoch_register(&epoch);
    assert_non_null(record);
    run_count = 0;
    tx_epoch_enter(record);
    defer_one(&entry);
    for (int i = 0; i < 10; i++)
        tx_epoch_poll(&epoch);
    assert_int_equal(run_count, 0);
    tx_epoch_leave(record);
    tx_epoch_poll(&epoch);
    assert_int_equal(run_count, 1);
    tx_epoch_poll(&epoch);
    assert_int_equal(run_count, 1);
    tx_epoch_unregister(record);
    tx_epoch_destroy(&epoch);
}

/* A reader that is always inside some section must not hold up what older sections could see. */
static void
a_reader_that_came_later_does_not_hold_up_the_run(void **state)
{
    ck_epoch_record_t *a, *b;
    struct tx_epoch_entry entry;

    (void)state;
    tx_epoch_init(&epoch);
    a = tx_epoch_register(&epoch);
    b = tx_epoch_register(&epoch);
    assert_true(a != NULL && b != NULL && a != b);
    run_count = 0;
    tx_epoch_enter(a);
    defer_one(&entry);
    for (int i = 0; i < 4; i++) {
        tx_epoch_enter(b);
        tx_epoch_leave(a);
        tx_epoch_poll(&epoch);
        tx_epoch_enter(a);
        tx_epoch_leave(b);
        tx_epoch_poll(&epoch);
    }
    assert_int_equal(run_count, 1);
    tx_epoch_leave(a);
    tx_epoch_unregister(a);
    tx_epoch_unregister(b);
    tx_epoch_destroy(&epoch);
}

static void
a_record_given_back_is_used_again_and_destroy_frees_all(void **state)
{
    const uint64_t live = tx_mem_live();
    struct tx_epoch_entry entry;
    ck_epoch_record_t *record;

    (void)state;
    tx_epoch_init(&epoch);
    record = tx_epoch_register(&epoch);
    assert_non_null(record);
    tx_epoch_unregister(record);
    assert_ptr_equal(tx_epoch_register(&epoch), record);
    assert_non_null(tx_epoch_register(&epoch));
    run_count = 0;
    defer_one(&entry);
    tx_epoch_destroy(&epoch);
    assert_int_equal(run_count, 1);
    assert_int_equal(tx_mem_live(), live);
}

static void
register_reports_that_memory_ran_out(void **state)
{
    (void)state;
    tx_epoch_init(&epoch);
    tx_mem_fail_at(1, false);
    assert_null(tx_epoch_register(&epoch));
    tx_mem_fail_at(0, false);
    tx_epoch_destroy(&epoch);
}

static void
poison_box(struct tx_epoch_entry *entry)
{
    struct box *box = TX_CONTAINER(entry, struct box, deferred);

    for (int i = 0; i < 4; i++)
        box->content[i] = UINT64_MAX;
    tx_free(box);
}

static struct box *
make_box(uint64_t content)
{
    struct box *box = tx_zalloc(sizeof(*box));

    for (int i = 0; box != NULL && i < 4; i++)
        box->content[i] = content;
    return box;
}

static void *
read_boxes(void *arg)
{
    ck_epoch_record_t *record = arg;

    while (tx_load_acquire_64(&stop) == 0) {
        const struct box *box;

        tx_epoch_enter(record);
        box = tx_load_acquire_ptr((void *const *)&shared);
        for (int i = 1; i < 4; i++)
            if (box->content[i] != box->content[0] || box->content[i] == UINT64_MAX)
                (void)tx_fetch_add_64(&damaged, 1);
        tx_epoch_leave(record);
        (void)tx_fetch_add_64(&reads, 1);
    }
    return NULL;
}

/*
 * Goal: a reader never sees memory that was freed.
 * Method: the writer replaces a box and poisons the old one before it frees it; readers compare the
 * parts of the box. Under ASan and TSan a free that comes too early is reported as well.
 */
static void
readers_never_see_what_was_freed(void **state)
{
    pthread_t threads[READERS];
    bool out_of_memory = false;

    (void)state;
    tx_epoch_init(&epoch);
    shared = make_box(0);
    assert_non_null(shared);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_boxes, tx_epoch_register(&epoch)),
                         0);
    for (uint64_t n = 1; n <= SWAPS || tx_load_relaxed_64(&reads) < 1000; n++) {
        struct box *old = shared, *box = make_box(n);

        out_of_memory |= box == NULL;
        if (box == NULL)
            break;
        tx_epoch_writer_enter(&epoch);
        tx_store_release_ptr((void **)&shared, box);
        tx_epoch_defer(&epoch, &old->deferred, poison_box);
        tx_epoch_writer_leave(&epoch);
        tx_epoch_poll(&epoch);
    }
    tx_store_release_64(&stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    tx_free(shared);
    tx_epoch_destroy(&epoch);
    assert_false(out_of_memory);
    assert_int_equal(damaged, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_runs_while_a_reader_that_came_before_is_inside),
        cmocka_unit_test(a_reader_that_came_later_does_not_hold_up_the_run),
        cmocka_unit_test(a_record_given_back_is_used_again_and_destroy_frees_all),
        cmocka_unit_test(register_reports_that_memory_ran_out),
        cmocka_unit_test(readers_never_see_what_was_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
