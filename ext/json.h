/*
 * json.h - JSON for the reports of functions and for rows; times as text.
 *
 * Pure; any thread.
 */
#ifndef TX_JSON_H
#define TX_JSON_H

#include "cell.h"

void tx_json_string(sqlite3_str *out, const char *text, size_t bytes);

/* ,"name":count */
void tx_json_count(sqlite3_str *out, const char *name, uint64_t count);

/* Milliseconds since 1970 as SQLite's strftime('%F %H:%M:%f') writes them, in UTC. */
#define TX_TIME_TEXT_BYTES 40
void tx_time_text(uint64_t ms, char text[TX_TIME_TEXT_BYTES]);

/*
 * A value: integers and reals as numbers, a real always with a point or an exponent, so that JSON's
 * readers in SQLite give back the same type and value; a text as a string, NULL as null, a blob as
 * {"blob":"hex digits"}.
 */
void tx_json_cell(sqlite3_str *out, const struct tx_cell *cell);

#endif /* TX_JSON_H */
