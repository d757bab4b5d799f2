/*
 * test_ext_args.c - what is taken and what is refused in the arguments of USING txkv(...).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/args.h"

static struct tx_args args;
static char *message;

/* Parses the arguments up to a NULL; the table's own name is "kv". */
static int
parse_list(const char *const *argv)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    sqlite3_free(message);
    tx_args_free(&args);
    return tx_args_parse(argc, argv, "kv", &args, &message);
}

#define PARSE(...) parse_list((const char *const[]){ __VA_ARGS__, NULL })

static int
tear_down(void **state)
{
    (void)state;
    sqlite3_free(message);
    tx_args_free(&args);
    message = NULL;
    return 0;
}

/* The one argument after 'd' is refused with exactly this message, and nothing is left behind. */
static void
assert_refused(const char *argument, const char *expected)
{
    assert_int_equal(PARSE("'d'", argument), SQLITE_ERROR);
    assert_string_equal(message, expected);
    assert_null(args.dir);
    assert_null(args.table);
    assert_null(args.wal_dir);
}

static void
a_directory_alone_leaves_every_option_at_its_default(void **state)
{
    const struct txkv_options none = { 0 };

    (void)state;
    assert_int_equal(PARSE("'data/store'"), SQLITE_OK);
    assert_string_equal(args.dir, "data/store");
    assert_string_equal(args.table, "kv");
    assert_null(args.wal_dir);
    assert_int_equal(args.sync, TXKV_SYNC_FULL);
    assert_int_equal(args.isolation, TXKV_SERIALIZABLE);
    assert_memory_equal(&args.options, &none, sizeof(none));
    assert_null(message);
}

static void
the_directory_may_be_quoted_in_three_ways(void **state)
{
    (void)state;
    assert_int_equal(PARSE(" 'it''s \"here\", a=b' "), SQLITE_OK);
    assert_string_equal(args.dir, "it's \"here\", a=b");
    assert_int_equal(PARSE("\"a \"\"b\"\" 'c'\""), SQLITE_OK);
    assert_string_equal(args.dir, "a \"b\" 'c'");
    assert_int_equal(PARSE("/var/lib/store-1.0"), SQLITE_OK);
    assert_string_equal(args.dir, "/var/lib/store-1.0");
}

static void
every_option_reaches_its_field(void **state)
{
    (void)state;
    assert_int_equal(PARSE("'d'", "sync=normal", "table='my table'", "flush_interval_ms = 60000",
                           "checkpoint_interval=1", "checkpoint_bytes=65536", "map_size=64TiB",
                           "overlay_limit='1 GiB'", "stall_timeout_ms=3600000",
                           "snapshot_timeout_s=86400", "wal_dir='/fast/wal'"),
                     SQLITE_OK);
    assert_int_equal(args.sync, TXKV_SYNC_NORMAL);
    assert_string_equal(args.table, "my table");
    assert_string_equal(args.wal_dir, "/fast/wal");
    assert_ptr_equal(args.options.wal_dir, args.wal_dir);
    assert_int_equal(args.options.flush_interval_ms, 60000);
    assert_int_equal(args.options.checkpoint_interval_s, 1);
    assert_int_equal(args.options.checkpoint_bytes, 65536);
    assert_int_equal(args.options.map_size, UINT64_C(64) << 40);
    assert_int_equal(args.options.overlay_limit, 1 << 30);
    assert_int_equal(args.options.stall_timeout_ms, 3600000);
    assert_int_equal(args.options.snapshot_timeout_s, 86400);
    assert_int_equal(args.options.segment_bytes, 0);
}

static void
names_values_and_white_space_may_be_written_freely(void **state)
{
    (void)state;
    assert_int_equal(PARSE("d", "\n SYNC\t=  \"Off\" ", "Table = T"), SQLITE_OK);
    assert_int_equal(args.sync, TXKV_SYNC_OFF);
    assert_string_equal(args.table, "T");
    assert_int_equal(PARSE("d", "sync='FULL'", "Isolation=SNAPSHOT"), SQLITE_OK);
    assert_int_equal(args.sync, TXKV_SYNC_FULL);
    assert_int_equal(args.isolation, TXKV_SNAPSHOT);
}

static void
assert_size(const char *argument, uint64_t expected)
{
    assert_int_equal(PARSE("d", argument), SQLITE_OK);
    assert_int_equal(args.options.map_size, expected);
}

static void
sizes_take_units_that_are_powers_of_1024(void **state)
{
    (void)state;
    assert_size("map_size=1048576", 1 << 20);
    assert_size("map_size=2000KiB", 2000 << 10);
    assert_size("map_size=2000k", 2000 << 10);
    assert_size("map_size=3M", 3 << 20);
    assert_size("map_size=3mib", 3 << 20);
    assert_size("map_size=5G", UINT64_C(5) << 30);
    assert_size("map_size=5GIB", UINT64_C(5) << 30);
    assert_size("map_size=7t", UINT64_C(7) << 40);
    assert_size("map_size='7 TiB'", UINT64_C(7) << 40);
}

#define NOT_A_SIZE(name, value, range)                                                             \
    "txkv: " name "=\"" value "\" is not a size: give bytes or a number with KiB, MiB, GiB or "    \
    "TiB, from " range

static void
what_is_not_a_number_or_a_size_is_refused(void **state)
{
    (void)state;
    assert_refused("checkpoint_bytes=12q", NOT_A_SIZE("checkpoint_bytes", "12q", "64KiB to 1TiB"));
    assert_refused("map_size=-1", NOT_A_SIZE("map_size", "-1", "1MiB to 64TiB"));
    assert_refused("map_size=''", NOT_A_SIZE("map_size", "", "1MiB to 64TiB"));
    assert_refused("map_size=K", NOT_A_SIZE("map_size", "K", "1MiB to 64TiB"));
    assert_refused("map_size='1 '",
                   "txkv: map_size=\"1 \" is out of range: it takes 1MiB to 64TiB");
    assert_refused("map_size=1.5G", NOT_A_SIZE("map_size", "1.5G", "1MiB to 64TiB"));
    assert_refused("map_size=1GB", NOT_A_SIZE("map_size", "1GB", "1MiB to 64TiB"));
    assert_refused("map_size=1GiBs", NOT_A_SIZE("map_size", "1GiBs", "1MiB to 64TiB"));
    assert_refused("map_size=18446744073709551616",
                   NOT_A_SIZE("map_size", "18446744073709551616", "1MiB to 64TiB"));
    assert_refused("map_size=16777216T", NOT_A_SIZE("map_size", "16777216T", "1MiB to 64TiB"));
    assert_refused(
        "flush_interval_ms=10ms",
        "txkv: flush_interval_ms=\"10ms\" is not a whole number: give digits only, from 1 to "
        "60000");
    assert_refused(
        "checkpoint_interval=1K",
        "txkv: checkpoint_interval=\"1K\" is not a whole number: give digits only, from 1 to "
        "86400 seconds");
}

static void
what_is_out_of_range_is_refused_with_the_range(void **state)
{
    static const char *const cases[][2] = {
        { "flush_interval_ms=\"0\"", "1 to 60000" },
        { "flush_interval_ms=\"60001\"", "1 to 60000" },
        { "flush_interval_ms=\"4294967297\"", "1 to 60000" },
        { "checkpoint_interval=\"0\"", "1 to 86400 seconds" },
        { "checkpoint_interval=\"86401\"", "1 to 86400 seconds" },
        { "stall_timeout_ms=\"0\"", "1 to 3600000" },
        { "stall_timeout_ms=\"3600001\"", "1 to 3600000" },
        { "snapshot_timeout_s=\"0\"", "1 to 86400 seconds" },
        { "snapshot_timeout_s=\"86401\"", "1 to 86400 seconds" },
        { "checkpoint_bytes=\"65535\"", "64KiB to 1TiB" },
        { "checkpoint_bytes=\"1025G\"", "64KiB to 1TiB" },
        { "map_size=\"1023K\"", "1MiB to 64TiB" },
        { "map_size=\"65T\"", "1MiB to 64TiB" },
        { "overlay_limit=\"1048575\"", "1MiB to 1TiB" },
        { "overlay_limit=\"2T\"", "1MiB to 1TiB" },
    };
    char expected[200];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sqlite3_snprintf(sizeof(expected), expected, "txkv: %s is out of range: it takes %s",
                         cases[i][0], cases[i][1]);
        assert_refused(cases[i][0], expected);
    }
}

static void
an_unknown_option_is_refused_with_the_nearest_name(void **state)
{
    (void)state;
    assert_refused("snyc=full", "txkv: unknown option \"snyc\" (did you mean \"sync\"?)");
    assert_refused("flush_interval=1", "txkv: unknown option \"flush_interval\": there are sync, "
                                       "isolation, table, wal_dir, archive_dir, flush_interval_ms, "
                                       "checkpoint_interval, "
                                       "checkpoint_bytes, map_size, overlay_limit, "
                                       "stall_timeout_ms and snapshot_timeout_s");
    assert_refused("Waldir=1", "txkv: unknown option \"Waldir\" (did you mean \"wal_dir\"?)");
    assert_refused("checkpoint_byte=1",
                   "txkv: unknown option \"checkpoint_byte\" (did you mean \"checkpoint_bytes\"?)");
    assert_int_equal(PARSE("d", "x=1"), SQLITE_ERROR);
    assert_null(strstr(message, "did you mean"));
}

static void
an_option_given_twice_is_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("d", "table=a", "sync=off", "TABLE=b"), SQLITE_ERROR);
    assert_string_equal(message, "txkv: option \"table\" is given twice");
}

static void
a_missing_directory_is_refused_with_an_example(void **state)
{
    static const char *const wrong[] = { "sync=full", "",           "''",  "'a' 'b'",
                                         "'a",        "id INTEGER", "a'b'" };

    (void)state;
    assert_int_equal(PARSE(NULL), SQLITE_ERROR);
    assert_string_equal(message, "txkv: the store's directory is missing: write USING "
                                 "txkv('data/store', sync=full)");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char expected[200];

        sqlite3_snprintf(sizeof(expected), expected,
                         "txkv: the first argument is the store's directory, not \"%s\": write "
                         "USING txkv('data/store', sync=full)",
                         wrong[i]);
        assert_int_equal(PARSE(wrong[i]), SQLITE_ERROR);
        assert_string_equal(message, expected);
    }
}

static void
what_is_no_option_is_a_definition(void **state)
{
    (void)state;
    assert_int_equal(PARSE("'d'", " id INTEGER PRIMARY KEY -- the key", "sync=off", "name TEXT",
                           "UNIQUE(id, name)", "\"a=b\" INT"),
                     SQLITE_OK);
    assert_string_equal(args.columns, "id INTEGER PRIMARY KEY -- the key\n, name TEXT\n, "
                                      "UNIQUE(id, name)\n, \"a=b\" INT");
    assert_int_equal(args.sync, TXKV_SYNC_OFF);
    assert_int_equal(PARSE("'d'"), SQLITE_OK);
    assert_null(args.columns);
}

static void
values_that_are_no_single_word_are_refused(void **state)
{
    (void)state;
    assert_refused("sync=", "txkv: sync=\"\" is none of full, normal, off");
    assert_refused("sync=fast", "txkv: sync=\"fast\" is none of full, normal, off");
    assert_refused("isolation=none", "txkv: isolation=\"none\" is none of serializable, snapshot");
    assert_refused("sync='full", "txkv: sync='full is not one value: put it in quotes, and double "
                                 "those inside");
    assert_refused("table=a b", "txkv: table=a b is not one value: put it in quotes, and double "
                                "those inside");
    assert_refused("table='", "txkv: table=' is not one value: put it in quotes, and double those "
                              "inside");
    assert_refused("table='a'b'",
                   "txkv: table='a'b' is not one value: put it in quotes, and double "
                   "those inside");
    assert_refused("table=''", "txkv: table=\"\" is empty: give a name");
    assert_refused("wal_dir=\"\"", "txkv: wal_dir=\"\" is empty: give a name");
    assert_refused(" ", "txkv: an argument is empty: write USING txkv('data/store', sync=full)");
}

static void
a_table_name_takes_255_bytes_and_no_more(void **state)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 2], argument[sizeof(name) + 6] = "table=";
    const char *dir = "d";

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memcpy(argument + 6, name, sizeof(name));
    assert_int_equal(PARSE("d", argument), SQLITE_ERROR);
    assert_non_null(strstr(message, "is too long: at most 255 bytes"));
    sqlite3_free(message);
    assert_int_equal(tx_args_parse(1, &dir, name, &args, &message), SQLITE_ERROR);
    assert_non_null(strstr(message, "is too long: at most 255 bytes"));
    argument[sizeof(argument) - 2] = '\0';
    assert_int_equal(PARSE("d", argument), SQLITE_OK);
    assert_int_equal(strlen(args.table), TXKV_TABLE_NAME_BYTES_MAX);
}

static int allocations_left;
static sqlite3_mem_methods real_memory;

static void *
failing_malloc(int bytes)
{
    return allocations_left-- > 0 ? real_memory.xMalloc(bytes) : NULL;
}

/* Goal: every allocation may fail. Method: fail the first, then the second, and so on. */
static void
running_out_of_memory_leaves_nothing_behind(void **state)
{
    sqlite3_mem_methods failing;
    int rc = SQLITE_NOMEM;

    (void)state;
    tear_down(state);
    sqlite3_shutdown();
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    failing = real_memory;
    failing.xMalloc = failing_malloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
    allocations_left = 1000;
    sqlite3_initialize();
    for (int n = 0; rc == SQLITE_NOMEM; n++) {
        allocations_left = n;
        rc = PARSE("'d'", "table=t", "wal_dir=w", "map_size=1");
        assert_true((rc == SQLITE_NOMEM) == (message == NULL));
        assert_null(args.dir);
        assert_true(n < 100);
    }
    assert_int_equal(rc, SQLITE_ERROR);
    tear_down(state);
    sqlite3_shutdown();
    sqlite3_config(SQLITE_CONFIG_MALLOC, &real_memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_alone_leaves_every_option_at_its_default),
        cmocka_unit_test(the_directory_may_be_quoted_in_three_ways),
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(names_values_and_white_space_may_be_written_freely),
        cmocka_unit_test(sizes_take_units_that_are_powers_of_1024),
        cmocka_unit_test(what_is_not_a_number_or_a_size_is_refused),
        cmocka_unit_test(what_is_out_of_range_is_refused_with_the_range),
        cmocka_unit_test(an_unknown_option_is_refused_with_the_nearest_name),
        cmocka_unit_test(an_option_given_twice_is_refused),
        cmocka_unit_test(a_missing_directory_is_refused_with_an_example),
        cmocka_unit_test(what_is_no_option_is_a_definition),
        cmocka_unit_test(values_that_are_no_single_word_are_refused),
        cmocka_unit_test(a_table_name_takes_255_bytes_and_no_more),
        cmocka_unit_test(running_out_of_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
