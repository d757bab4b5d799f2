/*
 * fuzz_shape.c - any text as column definitions: it is refused with a message, or it has a
 * canonical text that gives the same shape again, and SQLite takes its declaration for a table with
 * these columns.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef SQLITE_CORE
#define SQLITE_CORE 1
#endif
#include "../../ext/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

/* Whether a type is a keyword, which SQLite may refuse: the table is then not made. */
static bool
has_keyword(const struct tx_shape *shape)
{
    for (int i = 0; i < shape->column_count; i++)
        for (const char *word = shape->columns[i].type; *word != '\0';) {
            const int bytes = (int)strcspn(word, " (,)");

            if (bytes > 0 && sqlite3_keyword_check(word, bytes))
                return true;
            word += bytes + (word[bytes] != '\0');
        }
    return false;
}

/* SQLite has the columns of the declaration, with their names, and at most the hidden one more. */
static void
check_declaration(const struct tx_shape *shape, const char *declaration)
{
    static sqlite3 *db;
    sqlite3_stmt *all;
    int columns;

    if (db == NULL)
        check(sqlite3_open(":memory:", &db) == SQLITE_OK);
    if (sqlite3_exec(db, declaration, NULL, NULL, NULL) != SQLITE_OK) {
        check(has_keyword(shape));
        return;
    }
    check(sqlite3_prepare_v2(db, "SELECT * FROM x", -1, &all, NULL) == SQLITE_OK);
    columns = sqlite3_column_count(all);
    check(columns == shape->column_count || columns == shape->column_count + 1);
    for (int i = 0; i < shape->column_count; i++)
        check(strcmp(sqlite3_column_name(all, i), shape->columns[i].name) == 0);
    sqlite3_finalize(all);
    check(sqlite3_exec(db, "DROP TABLE x", NULL, NULL, NULL) == SQLITE_OK);
}

static void
check_shape(const struct tx_shape *shape)
{
    struct tx_shape *again;
    char *message;
    char *declaration = tx_shape_declaration(shape);

    check(shape->column_count > 0 && shape->primary.count > 0 && declaration != NULL);
    check(tx_shape_parse(shape->text, &again, &message) == SQLITE_OK);
    check(strcmp(again->text, shape->text) == 0);
    tx_shape_free(again);
    check_declaration(shape, declaration);
    sqlite3_free(declaration);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *message;
    struct tx_shape *shape;
    int rc;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    rc = tx_shape_parse(text, &shape, &message);
    check(rc == SQLITE_OK || rc == SQLITE_ERROR);
    check((rc == SQLITE_OK) == (message == NULL) && (rc == SQLITE_OK) == (shape != NULL));
    if (shape != NULL)
        check_shape(shape);
    tx_shape_free(shape);
    sqlite3_free(message);
    free(text);
    return 0;
}
