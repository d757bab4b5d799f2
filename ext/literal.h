/*
 * literal.h - values as text that can be read back with their types: in SQL, CSV and JSON.
 *
 *            SQL                     CSV                        JSON
 *   NULL     NULL                    the null text, bare        null
 *   integer  12                      12                         12
 *   real     0.5                     0.5                        0.5
 *   text     'a''b'                  "a""b", always quoted      "a\"b"
 *   blob     X'00ff'                 X'00ff', bare              {"blob":"00ff"}
 *
 * Whole reals have a point: 1.0. A text that has a NUL is CAST(X'..' AS TEXT) in SQL; one that is
 * not UTF-8 is that, too, and {"text":"hex digits"} in JSON.
 *
 * Pure but for the file; any thread.
 */
#ifndef TX_LITERAL_H
#define TX_LITERAL_H

#include "cell.h"
#include "outfile.h"

void tx_literal_sql(struct tx_outfile *out, const struct tx_cell *cell);
void tx_literal_csv(struct tx_outfile *out, const struct tx_cell *cell, const char *null_text);
void tx_literal_json(struct tx_outfile *out, const struct tx_cell *cell);

/* Bytes that tx_literal_sql will write, at most. */
uint64_t tx_literal_sql_bytes(const struct tx_cell *cell);

/* The text between two of `quote`, which is doubled in it. */
void tx_literal_quoted(struct tx_outfile *out, char quote, const void *text, size_t bytes);

#endif /* TX_LITERAL_H */
