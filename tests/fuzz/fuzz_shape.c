/*
 * fuzz_shape.c - any text as column definitions: it is refused with a message, or it has a
 * canonical text that gives the same shape again.
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
