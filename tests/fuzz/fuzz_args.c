/*
 * fuzz_args.c - any text as the arguments of USING txkv(...), one a line: it is taken or refused
 * with a message, and nothing leaks.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SQLITE_CORE 1
#include "../../ext/args.h"

enum { ARGUMENTS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static void
parse(char *text)
{
    const char *argv[ARGUMENTS_MAX];
    int argc = 0;
    char *message, *rest = text;
    struct tx_args args;
    int rc;

    while (argc < ARGUMENTS_MAX && rest != NULL)
        argv[argc++] = strsep(&rest, "\n");
    rc = tx_args_parse(argc, argv, "kv", &args, &message);
    check(rc == SQLITE_OK || rc == SQLITE_ERROR);
    check((rc == SQLITE_OK) == (message == NULL));
    if (rc == SQLITE_OK) {
        check(args.dir[0] != '\0');
        check(args.table[0] != '\0' && strlen(args.table) <= TXKV_TABLE_NAME_BYTES_MAX);
        check(args.options.flush_interval_ms <= 60000);
        check(args.options.map_size == 0 || args.options.map_size >= 1 << 20);
    }
    sqlite3_free(message);
    tx_args_free(&args);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    parse(text);
    free(text);
    return 0;
}
