/*
 * rowcodec.h - the columns that are not the key, as the value of a row.
 *
 *   byte 0  the key's note (enum tx_key_note) in bits 0 and 1, the number of columns in bits 2 to 7
 *   then    only when that number is 63: what the number of columns has above 63, a varint
 *   then    one varint a column, its type: 0 NULL; 1 to 8 an integer of that many bytes, two's
 *           complement, little-endian, the fewest that hold it; 9 a real, 8 bytes, IEEE 754,
 *           little-endian; 10 and 11 the integers 0 and 1; 12 + 4k + n - 1 a real that is the
 *           integer of n bytes divided by 10^k, k at most 7 and n at most 4, the least k and then
 *           the least n; 44 + 2n a blob of n bytes; 45 + 2n text of n bytes, UTF-8
 *   then    the columns' bytes, in the same order
 *
 * A row with fewer columns than asked for has NULL in the rest. Every value comes back exactly as
 * it was stored: a real is written as a decimal only when the division gives all of its bits. A
 * varint is LEB128. Pure; any thread that owns the values.
 */
#ifndef TX_ROWCODEC_H
#define TX_ROWCODEC_H

#include "keycodec.h"

#define TX_ROW_COLUMNS_MAX 2000

/* Bytes that tx_row_encode will write. */
size_t tx_row_bytes(int count, const struct tx_cell *cells);

/* Write the row at `out`, tx_row_bytes long. */
void tx_row_encode(uint8_t *out, enum tx_key_note note, int count, const struct tx_cell *cells);

/* The key's note of a row; tx_key_result refuses one that a damaged row has. */
enum tx_key_note tx_row_note(const uint8_t *row, size_t bytes);

/* All `count` columns as cells, whose bytes are the row's. */
bool tx_row_cells(const uint8_t *row, size_t bytes, int count, struct tx_cell *out);

#endif /* TX_ROWCODEC_H */
