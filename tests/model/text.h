/*
 * text.h - a statement that is being put together, and those that were run.
 */
#ifndef TXKV_TEST_TEXT_H
#define TXKV_TEST_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char data[4096];
    size_t used;
};

/* Append as printf does; a text that becomes too long ends the program. */
__attribute__((format(printf, 2, 3))) void text_add(struct text *t, const char *format, ...);

/* The statements run so far, for whoever must show them: copies. */
extern char **history;
extern uint64_t history_count;
void history_add(const char *sql);
void history_forget(void); /* frees all */

#endif /* TXKV_TEST_TEXT_H */
