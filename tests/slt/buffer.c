/*
 * buffer.c - see buffer.h.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

static void
reserve(struct buffer *b, size_t bytes)
{
    if (b->used + bytes < b->room)
        return;
    b->room = 2 * (b->used + bytes) + 256;
    b->data = realloc(b->data, b->room);
    if (b->data == NULL)
        test_die("out of memory");
}

void
buffer_bytes(struct buffer *b, const void *data, size_t bytes)
{
    reserve(b, bytes);
    if (bytes > 0)
        memcpy(b->data + b->used, data, bytes);
    b->used += bytes;
    b->data[b->used] = '\0';
}

void
buffer_add(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    int bytes;

    va_start(args, format);
    va_copy(again, args);
    bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0)
        test_die("%s: no such format", format);
    reserve(b, (size_t)bytes + 1);
    (void)vsnprintf(b->data + b->used, (size_t)bytes + 1, format, again);
    va_end(again);
    b->used += (size_t)bytes;
}

void
buffer_clear(struct buffer *b)
{
    b->used = 0;
    reserve(b, 1);
    b->data[0] = '\0';
}
