/*
 * decimal.h - reals as decimal text, and back, without the program's locale.
 *
 * Pure; any thread.
 */
#ifndef TX_DECIMAL_H
#define TX_DECIMAL_H

#include <stdbool.h>

enum { TX_DECIMAL_BYTES = 40 };

/*
 * The shortest of 15, 16 and 17 digits that is this real and no other, always with a point: 0.1,
 * 1.0e+20, -0.0. Infinity is 9.0e+999, which every reader takes for it; NaN is none of SQLite's
 * values.
 */
void tx_decimal_print(double real, char out[TX_DECIMAL_BYTES]);

/*
 * The same for readers that round a little wrong, as SQLite does. With 17 digits the text is so
 * much nearer to the real than to its neighbours that this does not matter; nor does it with up to
 * three digits behind the point, which such readers divide by 1000 at most.
 */
void tx_decimal_print_safe(double real, char out[TX_DECIMAL_BYTES]);

/* The real that is nearest to the text, which must be a whole number or decimal of JSON's form, and
 * end with a NUL. False for other text. */
bool tx_decimal_read(const char *text, double *out);

/* Whether the text has the form of one of JSON's numbers, without white space; *integral: it has no
 * point and no exponent. */
bool tx_decimal_is_number(const char *text, bool *integral);

/* The whole number that a text is; false for other text, and beyond 64 bits. */
bool tx_decimal_integer(const char *text, long long *out);

#endif /* TX_DECIMAL_H */
