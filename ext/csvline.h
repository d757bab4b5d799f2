/*
 * csvline.h - reading CSV, as RFC 4180 has it: a record into fields, a field into a value.
 *
 * Pure; any thread that owns the bytes.
 */
#ifndef TX_CSVLINE_H
#define TX_CSVLINE_H

#include "cell.h"

/* Points into the record, and ends with a NUL there. */
struct tx_csv_field {
    char *data;
    size_t bytes;
    bool quoted;
};

/*
 * The place of the line feed that ends the record, from `from` on; `bytes` when there is none yet.
 * *quoted, false at first, is whether the place is between quotes.
 */
size_t tx_csv_end(const char *data, size_t bytes, size_t from, bool *quoted);

/*
 * tx_csv_split -- take a record apart, without the line feed; a carriage return at its end is left
 * out. It is changed: quotes are taken away, and data[bytes] is written as well.
 *
 * problem  out: what is wrong with it, on -1.
 *
 * Returns how many fields there are, or max + 1 when there are more than that; or -1.
 */
int tx_csv_split(char *data, size_t bytes, struct tx_csv_field *fields, int max,
                 const char **problem);

/*
 * A field as the value of a column. Between quotes it is a text. Without, it is NULL when it is the
 * null text, a blob when it is X'hex digits', a text in a column of TEXT affinity, a number when it
 * has the form of one, and else a text. Changes the field.
 */
void tx_csv_cell(struct tx_csv_field *field, enum tx_affinity affinity, const char *null_text,
                 struct tx_cell *out);

/* Turn hex digits into bytes, in place; how many, or (size_t)-1 for other text. */
size_t tx_hex_decode(char *text, size_t bytes);

#endif /* TX_CSVLINE_H */
