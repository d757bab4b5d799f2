/*
 * csvline.c - reading CSV.
 */
#include "csvline.h"

#include <string.h>

#include "decimal.h"

size_t
tx_csv_end(const char *data, size_t bytes, size_t from, bool *quoted)
{
    for (size_t i = from; i < bytes; i++) {
        if (data[i] == '"')
            *quoted = !*quoted; /* a doubled one does so twice */
        else if (data[i] == '\n' && !*quoted)
            return i;
    }
    return bytes;
}

/* The field behind a quote, at `at`: its end is where the next comma is, or the record's. */
static char *
take_quoted(char *at, const char *end, struct tx_csv_field *field, const char **problem)
{
    char *to = at;

    field->data = at;
    while (at < end && !(at[0] == '"' && (at + 1 == end || at[1] != '"'))) {
        at += at[0] == '"'; /* the first of two */
        *to++ = *at++;
    }
    if (at == end) {
        *problem = "a quote is not closed";
        return NULL;
    }
    field->bytes = (size_t)(to - field->data);
    at++;
    if (at < end && *at != ',') {
        *problem = "there is text behind a closing quote";
        return NULL;
    }
    *to = '\0';
    return at;
}

static char *
take_bare(char *at, const char *end, struct tx_csv_field *field, const char **problem)
{
    field->data = at;
    while (at < end && *at != ',' && *at != '"')
        at++;
    if (at < end && *at == '"') {
        *problem = "there is a quote in a field that does not begin with one";
        return NULL;
    }
    field->bytes = (size_t)(at - field->data);
    return at;
}

int
tx_csv_split(char *data, size_t bytes, struct tx_csv_field *fields, int max, const char **problem)
{
    const char *end = data + bytes;
    char *at = data;
    int count = 0;

    if (bytes > 0 && end[-1] == '\r')
        end--;
    for (;;) {
        struct tx_csv_field field = { .quoted = at < end && *at == '"' };

        at = field.quoted ? take_quoted(at + 1, end, &field, problem)
                          : take_bare(at, end, &field, problem);
        if (at == NULL)
            return -1;
        if (count == max)
            return max + 1;
        fields[count++] = field;
        if (at == end)
            break;
        *at++ = '\0';
    }
    *at = '\0';
    return count;
}

/* 16 for what is none. */
static unsigned
digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

size_t
tx_hex_decode(char *text, size_t bytes)
{
    if (bytes % 2 != 0)
        return (size_t)-1;
    for (size_t i = 0; i < bytes; i++)
        if (digit_of(text[i]) > 15)
            return (size_t)-1;
    for (size_t i = 0; i < bytes / 2; i++)
        text[i] = (char)(digit_of(text[2 * i]) << 4 | digit_of(text[2 * i + 1]));
    return bytes / 2;
}

static bool
read_blob(struct tx_csv_field *field, struct tx_cell *out)
{
    size_t decoded;

    if (field->bytes < 3 || (field->data[0] | 0x20) != 'x' || field->data[1] != '\'' ||
        field->data[field->bytes - 1] != '\'')
        return false;
    decoded = tx_hex_decode(field->data + 2, field->bytes - 3);
    if (decoded == (size_t)-1)
        return false;
    *out = (struct tx_cell){ .type = SQLITE_BLOB,
                             .data = (const uint8_t *)field->data + 2,
                             .bytes = decoded };
    return true;
}

/* What is no number of 64 bits stays a text: a numeric column makes of it what it can. */
static bool
read_number(const struct tx_csv_field *field, struct tx_cell *out)
{
    long long integer;
    bool integral;

    if (strlen(field->data) != field->bytes || !tx_decimal_is_number(field->data, &integral))
        return false;
    *out = (struct tx_cell){ .type = integral ? SQLITE_INTEGER : SQLITE_FLOAT };
    if (!integral)
        return tx_decimal_read(field->data, &out->real);
    if (!tx_decimal_integer(field->data, &integer))
        return false;
    out->integer = integer;
    return true;
}

void
tx_csv_cell(struct tx_csv_field *field, enum tx_affinity affinity, const char *null_text,
            struct tx_cell *out)
{
    if (!field->quoted) {
        if (strlen(null_text) == field->bytes &&
            memcmp(field->data, null_text, field->bytes) == 0) {
            *out = (struct tx_cell){ .type = SQLITE_NULL };
            return;
        }
        if (read_blob(field, out) || (affinity != TX_AFFINITY_TEXT && read_number(field, out)))
            return;
    }
    *out = (struct tx_cell){ .type = SQLITE_TEXT,
                             .data = (const uint8_t *)field->data,
                             .bytes = field->bytes };
}
