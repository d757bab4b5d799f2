/*
 * test_options.c - ranges and defaults of struct txkv_options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../src/options.h"

static struct txkv_error err;

/* One option at a time: the ends of its range, and what lies beside them. */
struct option_case {
    const char *name;
    size_t offset;
    bool is_64;
    uint64_t least, most;
};

#define OPTION_32(m, text, least, most)                                                            \
    {                                                                                              \
        text, offsetof(struct txkv_options, m), false, least, most                                 \
    }
#define OPTION_64(m, text, least, most)                                                            \
    {                                                                                              \
        text, offsetof(struct txkv_options, m), true, least, most                                  \
    }
#define KIB UINT64_C(1024)
#define GIB (KIB * KIB * KIB)

static const struct option_case cases[] = {
    OPTION_32(flush_interval_ms, "flush_interval_ms", 1, 60000),
    OPTION_32(checkpoint_interval_s, "checkpoint_interval", 1, 86400),
    OPTION_64(checkpoint_bytes, "checkpoint_bytes", 64 * KIB, KIB *GIB),
    OPTION_64(map_size, "map_size", KIB *KIB, 64 * KIB * GIB),
    OPTION_64(overlay_limit, "overlay_limit", KIB *KIB, KIB *GIB),
    OPTION_32(stall_timeout_ms, "stall_timeout_ms", 1, 3600000),
    OPTION_32(snapshot_timeout_s, "snapshot_timeout_s", 1, 86400),
    OPTION_32(segment_bytes, "segment_bytes", 64 * KIB, GIB),
};

static enum txkv_rc
check_with(const struct option_case *c, uint64_t value)
{
    struct txkv_options options = { 0 };
    const uint32_t small = (uint32_t)value;

    memset(&err, 0, sizeof err);
    if (c->is_64)
        memcpy((char *)&options + c->offset, &value, sizeof value);
    else
        memcpy((char *)&options + c->offset, &small, sizeof small);
    return tx_options_check(&options, &err);
}

static void
each_option_takes_its_range_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct option_case *c = &cases[i];

        assert_int_equal(check_with(c, 0), TXKV_OK);
        assert_int_equal(check_with(c, c->least), TXKV_OK);
        assert_int_equal(check_with(c, c->most), TXKV_OK);
        assert_int_equal(check_with(c, c->most + 1), TXKV_MISUSE);
        assert_non_null(strstr(err.text, c->name));
        if (c->least > 1)
            assert_int_equal(check_with(c, c->least - 1), TXKV_MISUSE);
        assert_int_equal(check_with(c, c->is_64 ? UINT64_MAX : UINT32_MAX), TXKV_MISUSE);
    }
}

static void
segments_are_whole_pages(void **state)
{
    const struct txkv_options options = { .segment_bytes = 65536 + 512 };

    (void)state;
    assert_int_equal(tx_options_check(&options, &err), TXKV_MISUSE);
    assert_non_null(strstr(err.text, "4096"));
}

static void
the_defaults_are_in_range_and_replace_zeros_only(void **state)
{
    struct txkv_options options = { .flush_interval_ms = 7, .map_size = 1 << 21 };

    (void)state;
    tx_options_fill(&options);
    assert_int_equal(tx_options_check(&options, &err), TXKV_OK);
    assert_int_equal(options.flush_interval_ms, 7);
    assert_int_equal(options.map_size, 1 << 21);
    assert_int_equal(options.checkpoint_interval_s, 60);
    assert_int_equal(options.checkpoint_bytes, 64 * KIB * KIB);
    assert_int_equal(options.overlay_limit, 256 * KIB * KIB);
    assert_int_equal(options.stall_timeout_ms, 10000);
    assert_int_equal(options.snapshot_timeout_s, 0);
    assert_int_equal(options.segment_bytes, 16 * KIB * KIB);
}

static void
only_what_is_given_changes_the_limits(void **state)
{
    struct txkv_options options = { 0 };
    struct tx_limits limits = { 0 };

    (void)state;
    tx_options_fill(&options);
    tx_options_apply(&options, &limits);
    assert_int_equal(limits.flush_interval_us, 10000);
    assert_int_equal(limits.checkpoint_interval_us, 60000000);
    options = (struct txkv_options){ .stall_timeout_ms = 5,
                                     .overlay_limit = 1 << 20,
                                     .snapshot_timeout_s = 3 };
    tx_options_apply(&options, &limits);
    assert_int_equal(limits.stall_timeout_us, 5000);
    assert_int_equal(limits.snapshot_timeout_us, 3000000);
    assert_int_equal(limits.overlay_limit, 1 << 20);
    assert_int_equal(limits.flush_interval_us, 10000);
    assert_int_equal(limits.checkpoint_bytes, 64 * KIB * KIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_takes_its_range_and_nothing_else),
        cmocka_unit_test(segments_are_whole_pages),
        cmocka_unit_test(the_defaults_are_in_range_and_replace_zeros_only),
        cmocka_unit_test(only_what_is_given_changes_the_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
