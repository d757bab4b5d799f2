/*
 * fuzz_transfer.c - any bytes as CSV, as lines of JSON, and as the options of txkv_import: each is
 * taken or refused with words, and nothing is touched but the bytes themselves.
 *
 * Input: a byte that says which, then the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef SQLITE_CORE
#define SQLITE_CORE 1
#endif
#include "../../ext/csvline.h"
#include "../../ext/jsonline.h"
#include "../../ext/transfer.h"
#include "../../ext/utf8.h"

enum { FIELDS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

/* The bytes of a cell are the text's. */
static void
check_cell(const struct tx_cell *cell, const char *text, size_t bytes)
{
    if (cell->type != SQLITE_TEXT && cell->type != SQLITE_BLOB)
        return;
    check(cell->bytes <= bytes);
    check((const char *)cell->data >= text &&
          (const char *)cell->data + cell->bytes <= text + bytes);
}

static void
read_record(char *text, size_t bytes)
{
    struct tx_csv_field fields[FIELDS_MAX];
    const char *problem = NULL;
    const int count = tx_csv_split(text, bytes, fields, FIELDS_MAX, &problem);

    check(count >= -1 && count != 0 && count <= FIELDS_MAX + 1);
    check((count == -1) == (problem != NULL));
    for (int i = 0; i < count && i < FIELDS_MAX; i++) {
        struct tx_cell cell;

        check(fields[i].data[fields[i].bytes] == '\0');
        tx_csv_cell(&fields[i], (enum tx_affinity)(i % 5), i % 2 == 0 ? "" : "NULL", &cell);
        check_cell(&cell, text, bytes);
        check(cell.type == SQLITE_TEXT || !fields[i].quoted);
    }
}

/* Records end where no quote is open; each is looked at. */
static void
read_csv(char *text, size_t bytes)
{
    size_t begin = 0;

    while (begin < bytes) {
        bool quoted = false, in_parts = false;
        const size_t rest = bytes - begin, end = tx_csv_end(text + begin, rest, 0, &quoted);
        const size_t half = tx_csv_end(text + begin, rest / 2, 0, &in_parts);

        /* The same when it comes in two parts. */
        check((half < rest / 2 ? half : tx_csv_end(text + begin, rest, half, &in_parts)) == end);
        check(end == rest || text[begin + end] == '\n');
        read_record(text + begin, end);
        begin += end + 1;
    }
}

static void
read_json(char *text, size_t bytes, bool plain)
{
    static struct tx_json_line line; /* its memory is used again */

    if (tx_jsonline_read(text, bytes, plain, &line)) {
        check(line.problem == NULL && !line.no_memory);
        check_cell(&line.table, text, bytes);
        check_cell(&line.columns, text, bytes);
        for (int i = 0; i < line.count; i++) {
            check_cell(&line.members[i].cell, text, bytes);
            check(line.members[i].name[line.members[i].name_bytes] == '\0');
            check(tx_utf8_is_valid((const uint8_t *)line.members[i].name,
                                   line.members[i].name_bytes));
        }
    } else {
        check((line.problem != NULL && line.at <= bytes) || line.no_memory);
    }
    tx_jsonline_free(&line);
}

static void
read_options(char *text)
{
    const char *end = text + strlen(text);
    char *at = text, *name, *value;

    while (tx_transfer_word(&at, &name, &value))
        check(*name != '\0' || value != NULL);
    check(at <= end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 4) {
    case 0:
        read_csv(text, size - 1);
        break;
    case 1:
        read_options(text);
        break;
    default:
        read_json(text, size - 1, data[0] % 4 == 3);
        break;
    }
    free(text);
    return 0;
}
