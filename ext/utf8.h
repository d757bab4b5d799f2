/*
 * utf8.h - is a text UTF-8? SQLite does not ask.
 *
 * Pure; any thread.
 */
#ifndef TX_UTF8_H
#define TX_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of it is: no surrogates, nothing longer than it must be, nothing above U+10FFFF. */
bool tx_utf8_is_valid(const uint8_t *text, size_t bytes);

/* Write a code point, up to U+10FFFF, at `out`; how many bytes it took, 1 to 4. */
size_t tx_utf8_put(uint32_t point, uint8_t *out);

#endif /* TX_UTF8_H */
