/*
 * buffer.h - bytes that grow. `data` is followed by a zero byte once something was added.
 */
#ifndef TXKV_TEST_BUFFER_H
#define TXKV_TEST_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data; /* free() it */
    size_t used, room;
};

void buffer_bytes(struct buffer *b, const void *data, size_t bytes);
__attribute__((format(printf, 2, 3))) void buffer_add(struct buffer *b, const char *format, ...);
void buffer_clear(struct buffer *b); /* keeps the memory */

#endif /* TXKV_TEST_BUFFER_H */
