/*
 * literal.c - values as text that can be read back with their types.
 *
 * SQLite 3.40 reads some reals near the ends of their range as a neighbour of theirs. In SQL those
 * are written as a whole number times or by powers of two, which is exact at each step.
 */
#include "literal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"
#include "utf8.h"

enum { MANTISSA_BITS = 53, STEP_BITS = 50 };

static const double safe_low = 1e-250, safe_high = 1e250;

static void
write_integer(struct tx_outfile *out, int64_t integer)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, integer);
    tx_outfile_text(out, text);
}

static void
write_real(struct tx_outfile *out, double real)
{
    char text[TX_DECIMAL_BYTES];

    tx_decimal_print(real, text);
    tx_outfile_text(out, text);
}

void
tx_literal_quoted(struct tx_outfile *out, char quote, const void *text, size_t bytes)
{
    const char *p = text, *end = p + bytes;

    tx_outfile_write(out, &quote, 1);
    while (p < end) {
        const char *next = memchr(p, quote, (size_t)(end - p));

        next = next == NULL ? end : next + 1;
        tx_outfile_write(out, p, (size_t)(next - p));
        if (next[-1] == quote)
            tx_outfile_write(out, &quote, 1);
        p = next;
    }
    tx_outfile_write(out, &quote, 1);
}

/* ---- SQL ---- */

static void
write_safe(struct tx_outfile *out, double real)
{
    char text[TX_DECIMAL_BYTES];

    tx_decimal_print_safe(real, text);
    tx_outfile_text(out, text);
}

static void
write_exact(struct tx_outfile *out, double real)
{
    char text[64];
    int exponent;
    const double mantissa = frexp(real, &exponent);

    exponent -= MANTISSA_BITS;
    (void)snprintf(text, sizeof(text), "(%" PRId64 ".0", (int64_t)ldexp(mantissa, MANTISSA_BITS));
    tx_outfile_text(out, text);
    while (exponent != 0) {
        const int step = exponent > STEP_BITS    ? STEP_BITS
                         : exponent < -STEP_BITS ? -STEP_BITS
                                                 : exponent;

        (void)snprintf(text, sizeof(text), "%c%" PRId64 ".0", step < 0 ? '/' : '*',
                       (int64_t)1 << (step < 0 ? -step : step));
        tx_outfile_text(out, text);
        exponent -= step;
    }
    tx_outfile_text(out, ")");
}

static bool
is_plain_text(const struct tx_cell *cell)
{
    return cell->bytes == 0 || (memchr(cell->data, '\0', cell->bytes) == NULL &&
                                tx_utf8_is_valid(cell->data, cell->bytes));
}

static void
write_sql_blob(struct tx_outfile *out, const struct tx_cell *cell)
{
    tx_outfile_text(out, "X'");
    tx_outfile_hex(out, cell->data, cell->bytes);
    tx_outfile_text(out, "'");
}

void
tx_literal_sql(struct tx_outfile *out, const struct tx_cell *cell)
{
    const double size = fabs(cell->real);

    switch (cell->type) {
    case SQLITE_INTEGER:
        write_integer(out, cell->integer);
        break;
    case SQLITE_FLOAT:
        if (isinf(size) || size < 0x1p-1074 || (size > safe_low && size < safe_high))
            write_safe(out, cell->real);
        else
            write_exact(out, cell->real);
        break;
    case SQLITE_TEXT:
        if (is_plain_text(cell)) {
            tx_literal_quoted(out, '\'', cell->data, cell->bytes);
        } else {
            tx_outfile_text(out, "CAST(");
            write_sql_blob(out, cell);
            tx_outfile_text(out, " AS TEXT)");
        }
        break;
    case SQLITE_BLOB:
        write_sql_blob(out, cell);
        break;
    default:
        tx_outfile_text(out, "NULL");
        break;
    }
}

uint64_t
tx_literal_sql_bytes(const struct tx_cell *cell)
{
    enum { NUMBER_BYTES = 600, CAST_BYTES = 20 };

    return cell->type == SQLITE_TEXT || cell->type == SQLITE_BLOB
               ? CAST_BYTES + 2 * (uint64_t)cell->bytes
               : NUMBER_BYTES;
}

/* ---- CSV ---- */

void
tx_literal_csv(struct tx_outfile *out, const struct tx_cell *cell, const char *null_text)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        write_integer(out, cell->integer);
        break;
    case SQLITE_FLOAT:
        write_real(out, cell->real);
        break;
    case SQLITE_TEXT:
        tx_literal_quoted(out, '"', cell->data, cell->bytes);
        break;
    case SQLITE_BLOB:
        write_sql_blob(out, cell);
        break;
    default:
        tx_outfile_text(out, null_text);
        break;
    }
}

/* ---- JSON ---- */

static void
write_json_hex(struct tx_outfile *out, const char *what, const struct tx_cell *cell)
{
    tx_outfile_text(out, "{\"");
    tx_outfile_text(out, what);
    tx_outfile_text(out, "\":\"");
    tx_outfile_hex(out, cell->data, cell->bytes);
    tx_outfile_text(out, "\"}");
}

static void
write_json_text(struct tx_outfile *out, const struct tx_cell *cell)
{
    size_t done = 0;

    tx_outfile_text(out, "\"");
    for (size_t i = 0; i < cell->bytes; i++) {
        const uint8_t c = cell->data[i];
        char escape[8];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        tx_outfile_write(out, cell->data + done, i - done);
        done = i + 1;
        if (c < 0x20)
            (void)snprintf(escape, sizeof(escape), "\\u%04x", c);
        else
            (void)snprintf(escape, sizeof(escape), "\\%c", c);
        tx_outfile_text(out, escape);
    }
    tx_outfile_write(out, cell->data + done, cell->bytes - done);
    tx_outfile_text(out, "\"");
}

void
tx_literal_json(struct tx_outfile *out, const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        write_integer(out, cell->integer);
        break;
    case SQLITE_FLOAT:
        write_real(out, cell->real);
        break;
    case SQLITE_TEXT:
        if (tx_utf8_is_valid(cell->data, cell->bytes))
            write_json_text(out, cell);
        else
            write_json_hex(out, "text", cell);
        break;
    case SQLITE_BLOB:
        write_json_hex(out, "blob", cell);
        break;
    default:
        tx_outfile_text(out, "null");
        break;
    }
}
