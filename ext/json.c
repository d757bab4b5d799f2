/*
 * json.c - JSON for the reports of functions and for rows.
 */
#include "json.h"

#include <time.h>

#include "decimal.h"

void
tx_json_string(sqlite3_str *out, const char *text, size_t bytes)
{
    sqlite3_str_appendchar(out, 1, '"');
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            sqlite3_str_appendf(out, "\\%c", c);
        else if (c < 0x20)
            sqlite3_str_appendf(out, "\\u%04x", c);
        else
            sqlite3_str_appendchar(out, 1, (char)c);
    }
    sqlite3_str_appendchar(out, 1, '"');
}

void
tx_json_count(sqlite3_str *out, const char *name, uint64_t count)
{
    sqlite3_str_appendf(out, ",\"%s\":%llu", name, (unsigned long long)count);
}

static void
append_real(sqlite3_str *out, double real)
{
    char text[TX_DECIMAL_BYTES];

    tx_decimal_print(real, text);
    sqlite3_str_appendall(out, text);
}

void
tx_json_cell(sqlite3_str *out, const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        sqlite3_str_appendf(out, "%lld", (long long)cell->integer);
        break;
    case SQLITE_FLOAT:
        append_real(out, cell->real);
        break;
    case SQLITE_TEXT:
        tx_json_string(out, (const char *)cell->data, cell->bytes);
        break;
    case SQLITE_BLOB:
        sqlite3_str_appendall(out, "{\"blob\":\"");
        for (size_t i = 0; i < cell->bytes; i++)
            sqlite3_str_appendf(out, "%02x", cell->data[i]);
        sqlite3_str_appendall(out, "\"}");
        break;
    default:
        sqlite3_str_appendall(out, "null");
        break;
    }
}

void
tx_time_text(uint64_t ms, char text[TX_TIME_TEXT_BYTES])
{
    const time_t seconds = (time_t)(ms / 1000);
    size_t used = 0;
    struct tm utc;

    if (gmtime_r(&seconds, &utc) != NULL)
        used = strftime(text, TX_TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &utc);
    sqlite3_snprintf((int)(TX_TIME_TEXT_BYTES - used), text + used, ".%03d", (int)(ms % 1000));
}
