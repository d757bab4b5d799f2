/*
 * test_ext_shape.c - column definitions: what is read, the canonical text, what is refused; and the
 * affinity of a type, with SQLite as the judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sqlite_values.h"

#include "../../ext/shape.h"

static void
assert_canonical(const char *text, const char *expected)
{
    struct tx_shape *shape, *again;
    char *message;

    if (tx_shape_parse(text, &shape, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
    assert_string_equal(shape->text, expected);
    assert_int_equal(tx_shape_parse(shape->text, &again, &message), SQLITE_OK);
    assert_string_equal(again->text, expected);
    assert_int_equal(again->row_key, shape->row_key);
    assert_int_equal(again->index_count, shape->index_count);
    assert_int_equal(again->indexes_before_primary, shape->indexes_before_primary);
    tx_shape_free(again);
    tx_shape_free(shape);
}

static void
definitions_have_one_canonical_text(void **state)
{
    (void)state;
    assert_canonical("id integer  primary\tkey, name", "id INTEGER PRIMARY KEY, name");
    assert_canonical("id INTEGER, name TEXT, PRIMARY KEY(id)", "id INTEGER PRIMARY KEY, name TEXT");
    assert_canonical("a VARCHAR ( 10 , 2 ) NOT NULL UNIQUE COLLATE nocase NULL, INDEX(a)",
                     "a VARCHAR(10,2) NOT NULL COLLATE NOCASE, UNIQUE(a), INDEX(a)");
    assert_canonical("a TEXT PRIMARY KEY NOT NULL", "a TEXT, PRIMARY KEY(a)");
    assert_canonical("\"a b\", `c\"d`, [x], 'y''z', \"primary\"",
                     "\"a b\", \"c\"\"d\", x, \"y'z\", \"primary\"");
    assert_canonical("a, b, PRIMARY KEY(b, a ASC), UNIQUE(b,a), UNIQUE(a), UNIQUE(A)",
                     "a, b, PRIMARY KEY(b, a), UNIQUE(a)");
    assert_canonical("a UNIQUE, b, CONSTRAINT k PRIMARY KEY(b), UNIQUE(a,b)",
                     "a, b, UNIQUE(a), PRIMARY KEY(b), UNIQUE(a, b)");
    assert_canonical("-- the key\n a /* why */ INT, b CONSTRAINT c NOT NULL", "a INT, b NOT NULL");
    assert_canonical("\xc3\xa9", "\"\xc3\xa9\"");
    assert_canonical("key, value", "key, value");
}

static void
assert_refused(const char *text, const char *part)
{
    struct tx_shape *shape;
    char *message;

    assert_int_equal(tx_shape_parse(text, &shape, &message), SQLITE_ERROR);
    assert_null(shape);
    assert_non_null(message);
    if (strstr(message, part) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, message, part);
    sqlite3_free(message);
}

static void
what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused("a DEFAULT 5", "a has DEFAULT");
    assert_refused("a INT CHECK(a > 1)", "a has CHECK");
    assert_refused("a, CHECK(a > 1)", "the table has CHECK");
    assert_refused("a, CONSTRAINT c CHECK(a > 1)", "the table has CHECK");
    assert_refused("a REFERENCES b(c)", "REFERENCES");
    assert_refused("a, FOREIGN KEY(a) REFERENCES b(c)", "FOREIGN KEY");
    assert_refused("a INT GENERATED ALWAYS AS (1)", "GENERATED");
    assert_refused("a INT AS (1)", "AS");
    assert_refused("a INTEGER PRIMARY KEY AUTOINCREMENT", "AUTOINCREMENT");
    assert_refused("a PRIMARY KEY DESC", "DESC");
    assert_refused("a, PRIMARY KEY(a DESC)", "DESC");
    assert_refused("a NOT NULL ON CONFLICT IGNORE", "ON CONFLICT");
    assert_refused("a, UNIQUE(a) ON CONFLICT IGNORE", "ON CONFLICT");
    assert_refused("a, UNIQUE(a COLLATE NOCASE)", "UNIQUE has COLLATE");
    assert_refused("a COLLATE german", "BINARY, NOCASE and RTRIM");
    assert_refused("a TEXT HIDDEN", "HIDDEN");
}

static void
what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    assert_refused("a X(1, 2V)", "\"2V\" stands where a number is expected");
    assert_refused("a X(0x, 1)", "\"0x\" stands where a number is expected");
    assert_refused("a X(1e, 1)", "\"1e\" stands where a number is expected");
    assert_refused("", "a column's name");
    assert_refused("a,", "a column's name");
    assert_refused("a, a", "given twice");
    assert_refused("\"\"", "is empty");
    assert_refused("txkv_key", "txkv's own");
    assert_refused("a PRIMARY KEY, b PRIMARY KEY", "more than one PRIMARY KEY");
    assert_refused("a, UNIQUE(b)", "\"b\"");
    assert_refused("a, INDEX(a, a)", "twice");
    assert_refused("a, UNIQUE()", "a column's name");
    assert_refused("a, UNIQUE(a), b", "behind a table constraint");
    assert_refused("a, INDEX i(a)", "\"(\"");
    assert_refused("a, CONSTRAINT c", "PRIMARY KEY, UNIQUE or INDEX");
    assert_refused("a INT(", "a number");
    assert_refused("a INT(1,2,3)", "\")\"");
    assert_refused("a \"INT", "no end");
    assert_refused("a /* b", "no end");
    assert_refused("UNIQUE(a)", "\"a\"");
    assert_refused("a b c )", "the end");
    assert_refused("a, b, c, d, e, f, g, h, i, j, k, INDEX(a, b, c, d, e, f, g, h, i, j, k)",
                   "at most 10");
}

static void
the_key_is_that_of_a_native_table(void **state)
{
    static const struct {
        const char *text;
        enum tx_row_key row_key;
    } cases[] = {
        { "a", TX_ROW_KEY_HIDDEN_ROWID },
        { "a INTEGER PRIMARY KEY", TX_ROW_KEY_ROWID },
        { "a INT PRIMARY KEY", TX_ROW_KEY_COLUMN },
        { "a, b INTEGER, PRIMARY KEY(b)", TX_ROW_KEY_ROWID },
        { "a INTEGER, b, PRIMARY KEY(a, b)", TX_ROW_KEY_COLUMNS },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tx_shape *shape;
        char *message;

        assert_int_equal(tx_shape_parse(cases[i].text, &shape, &message), SQLITE_OK);
        assert_int_equal(shape->row_key, cases[i].row_key);
        tx_shape_free(shape);
    }
}

static void
assert_same_cell(const struct tx_cell *cell, const struct tx_cell *want, const char *what)
{
    if (cell->type != want->type)
        fail_msg("%s: type %d, not %d", what, cell->type, want->type);
    if (cell->type == SQLITE_INTEGER)
        assert_true(cell->integer == want->integer);
    if (cell->type == SQLITE_FLOAT)
        assert_memory_equal(&cell->real, &want->real, sizeof(cell->real));
    if (cell->type == SQLITE_TEXT || cell->type == SQLITE_BLOB) {
        assert_int_equal(cell->bytes, want->bytes);
        if (cell->bytes > 0)
            assert_memory_equal(cell->data, want->data, cell->bytes);
    }
}

static void
check_conversion(struct values *values, const char *type, const char *literal)
{
    sqlite3_stmt *native, *plain;
    struct tx_cell cell, want;
    char sql[200];

    sqlite3_snprintf(sizeof(sql), sql,
                     "DROP TABLE IF EXISTS t; CREATE TABLE t(c %s); INSERT INTO t VALUES(%s)", type,
                     literal);
    assert_int_equal(sqlite3_exec(values->db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_snprintf(sizeof(sql), sql, "SELECT %s", literal);
    assert_int_equal(sqlite3_prepare_v2(values->db, "SELECT c FROM t", -1, &native, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(values->db, sql, -1, &plain, NULL), SQLITE_OK);
    /* A value of the statement, as modules are given: newer versions (3.53) crash in
     * sqlite3_value_numeric_type on what sqlite3_value_dup has made, which has no connection. */
    assert_int_equal(sqlite3_step(plain), SQLITE_ROW);
    assert_true(tx_cell_read(sqlite3_column_value(plain, 0), tx_affinity_of_type(type), &cell));
    assert_int_equal(sqlite3_step(native), SQLITE_ROW);
    assert_true(tx_cell_read(sqlite3_column_value(native, 0), TX_AFFINITY_BLOB, &want));
    sqlite3_snprintf(sizeof(sql), sql, "%s in %s", literal, type);
    assert_same_cell(&cell, &want, sql);
    sqlite3_finalize(native);
    sqlite3_finalize(plain);
}

/* Goal: values are converted as SQLite's own columns do. Method: store each in a native column of
 * the type, and compare it with the cell. */
static void
a_type_converts_as_a_native_column_does(void **state)
{
    static const char *const types[] = {
        "",     "INT",  "TEXT",       "BLOB",           "REAL",   "NUMERIC", "CHARINT", "BLOBTEXT",
        "date", "CLOB", "VARCHAR(3)", "FLOATING POINT", "DOUBLE", "BOOLEAN", "floa",    "REALBLOB",
    };
    static const char *const literals[] = {
        "NULL",
        "1",
        "1.0",
        "-0.0",
        "1.5",
        "'1'",
        "'1.0'",
        "' 1 '",
        "'1x'",
        "'1e3'",
        "'0x10'",
        "'9223372036854775807'",
        "'9223372036854775808'",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775807.0",
        "-9223372036854775808.0",
        "1e300",
        "9e999",
        "'9e999'",
        "x'31'",
        "x''",
        "''",
        "'abc'",
        "9007199254740993",
        "'-0'",
        "'.5'",
        "'+7'",
        "0.1",
        "zeroblob(3)",
    };
    struct values values;

    (void)state;
    assert_true(values_open(&values, "UTF-8"));
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
        for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
            check_conversion(&values, types[t], literals[i]);
    values_close(&values);
}

/* What numbers look like, and nearly do: sign, digits, point, exponent, space, at random. */
static void
random_literal(char *out, size_t room)
{
    static const char *const parts[] = { "0",  "1",  "9",      "12", "007",
                                         ".",  "e",  "E+",     "e-", "-",
                                         "+",  " ",  "x",      "5e", "99",
                                         "00", "25", "123456", "",   "\t",
                                         "1e", ".5", "e1",     "3.", "9223372036854775807" };
    const bool is_text = random_below(3) != 0;
    size_t used;

    if (!is_text) {
        sqlite3_snprintf((int)room, out, "%s%d.%de%d", random_below(2) == 0 ? "-" : "",
                         (int)random_below(2000), (int)random_below(1000),
                         (int)random_below(44) - 22);
        return;
    }
    sqlite3_snprintf((int)room, out, "'");
    for (size_t i = 1 + random_below(5); i > 0; i--) {
        used = strlen(out);
        sqlite3_snprintf((int)(room - used), out + used, "%s",
                         parts[random_below(sizeof(parts) / sizeof(parts[0]))]);
    }
    used = strlen(out);
    sqlite3_snprintf((int)(room - used), out + used, "'");
}

static void
random_numbers_and_texts_convert_as_in_native_columns(void **state)
{
    static const char *const types[] = { "INT", "TEXT", "REAL", "NUMERIC", "BLOB" };
    struct values values;
    char literal[120];

    (void)state;
    assert_true(values_open(&values, "UTF-8"));
    for (int i = 0; i < 4000; i++) {
        random_literal(literal, sizeof(literal));
        check_conversion(&values, types[random_below(5)], literal);
    }
    values_close(&values);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions_have_one_canonical_text),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(the_key_is_that_of_a_native_table),
        cmocka_unit_test(a_type_converts_as_a_native_column_does),
        cmocka_unit_test(random_numbers_and_texts_convert_as_in_native_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
