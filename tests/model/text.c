/*
 * text.c - see text.h.
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

char **history;
uint64_t history_count;
static uint64_t history_room;

void
text_add(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->data + t->used, sizeof t->data - t->used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof t->data - t->used)
        test_die("the statement is too long: %s", t->data);
    t->used += (size_t)n;
}

void
history_add(const char *sql)
{
    if (history_count == history_room) {
        history_room = 2 * history_room + 1024;
        history = realloc(history, history_room * sizeof *history);
        if (history == NULL)
            test_die("out of memory");
    }
    history[history_count] = strdup(sql);
    if (history[history_count++] == NULL)
        test_die("out of memory");
}

void
history_forget(void)
{
    while (history_count > 0)
        free(history[--history_count]);
    free(history);
    history = NULL;
    history_room = 0;
}
