/*
 * jsonline.c - reading a line of JSON.
 *
 * Strings are decoded where they stand: what they mean is never longer than how they are written.
 */
#include "jsonline.h"

#include <assert.h>
#include <string.h>

#include "csvline.h"
#include "decimal.h"
#include "utf8.h"

struct reader {
    char *begin, *at, *end; /* *end is a NUL */
    struct tx_json_line *out;
};

enum { MEMBERS_MAX = 4096 };

static bool
refuse(const struct reader *r, const char *problem)
{
    assert(r->out != NULL);
    if (r->out->problem == NULL) {
        r->out->problem = problem;
        r->out->at = (size_t)(r->at - r->begin);
    }
    return false;
}

static void
skip_space(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n')
        r->at++;
}

/* Whether the next character is this one; then it is behind it. */
static bool
take(struct reader *r, char c)
{
    skip_space(r);
    if (*r->at != c || r->at == r->end)
        return false;
    r->at++;
    return true;
}

/* ---- strings ---- */

/* Four hex digits. */
static bool
read_unit(struct reader *r, uint32_t *unit)
{
    char digits[4];

    if (r->end - r->at < 4)
        return refuse(r, "\\u takes four hex digits");
    memcpy(digits, r->at, sizeof(digits));
    if (tx_hex_decode(digits, sizeof(digits)) == (size_t)-1)
        return refuse(r, "\\u takes four hex digits");
    *unit = (uint32_t)(uint8_t)digits[0] << 8 | (uint8_t)digits[1];
    r->at += 4;
    return true;
}

static bool
read_point(struct reader *r, uint32_t *point)
{
    uint32_t low;

    if (!read_unit(r, point))
        return false;
    if (*point < 0xd800 || *point > 0xdfff)
        return true;
    if (*point > 0xdbff || r->at[0] != '\\' || r->at[1] != 'u')
        return refuse(r, "half of a surrogate pair, which is no character");
    r->at += 2;
    if (!read_unit(r, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return refuse(r, "half of a surrogate pair, which is no character");
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Behind a backslash. */
static bool
read_escape(struct reader *r, char **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found = *r->at == '\0' ? NULL : strchr(names, *r->at);
    uint32_t point;

    if (found != NULL) {
        *(*to)++ = values[found - names];
        r->at++;
        return true;
    }
    if (*r->at != 'u')
        return refuse(r, "an escape that JSON does not have");
    r->at++;
    if (!read_point(r, &point))
        return false;
    *to += tx_utf8_put(point, (uint8_t *)*to);
    return true;
}

/* A string, with a NUL behind it. */
static bool
read_string(struct reader *r, char **text, size_t *bytes)
{
    char *to;

    if (!take(r, '"'))
        return refuse(r, "a string must stand here");
    *text = to = r->at;
    while (r->at < r->end && *r->at != '"') {
        if (*r->at == '\\') {
            r->at++;
            if (!read_escape(r, &to))
                return false;
        } else if ((uint8_t)*r->at < 0x20) {
            return refuse(r, "a control character must be written as \\u00..");
        } else {
            *to++ = *r->at++;
        }
    }
    if (r->at == r->end)
        return refuse(r, "a string does not end");
    r->at++;
    *bytes = (size_t)(to - *text);
    *to = '\0';
    return tx_utf8_is_valid((const uint8_t *)*text, *bytes) ||
           refuse(r, "a text is not UTF-8: write it as {\"text\":\"hex digits\"}");
}

/* ---- values ---- */

static bool
take_word(struct reader *r, const char *word)
{
    const size_t bytes = strlen(word);

    if ((size_t)(r->end - r->at) < bytes || memcmp(r->at, word, bytes) != 0)
        return false;
    r->at += bytes;
    return true;
}

static bool
read_number(struct reader *r, struct tx_cell *out)
{
    const size_t bytes = strspn(r->at, "+-.0123456789eE");
    char *text = r->at, behind = text[bytes];
    bool integral, good;
    long long integer = 0;

    text[bytes] = '\0';
    good = tx_decimal_is_number(text, &integral);
    *out = (struct tx_cell){ .type = good && integral ? SQLITE_INTEGER : SQLITE_FLOAT };
    if (!good)
        (void)refuse(r, bytes == 0 ? "a value must stand here" : "this is no number");
    else if (!integral)
        good = tx_decimal_read(text, &out->real);
    else if (!tx_decimal_integer(text, &integer))
        good = refuse(r, "a whole number beyond 64 bits: write it as a text, or as a real, with "
                         "a point");
    out->integer = integer;
    text[bytes] = behind;
    r->at += bytes;
    return good;
}

/* {"blob":"hex digits"} or {"text":"hex digits"}. */
static bool
read_hex(struct reader *r, struct tx_cell *out)
{
    char *name = NULL, *digits = NULL;
    size_t name_bytes = 0, bytes = 0;

    r->at++;
    if (!read_string(r, &name, &name_bytes))
        return false;
    if (strcmp(name, "blob") == 0)
        out->type = SQLITE_BLOB;
    else if (strcmp(name, "text") == 0)
        out->type = SQLITE_TEXT;
    else
        return refuse(r, "an object as a value is {\"blob\":\"hex digits\"}, or \"text\" in the "
                         "place of \"blob\"; write others as a text");
    if (!take(r, ':'))
        return refuse(r, "a colon must stand here");
    if (!read_string(r, &digits, &bytes))
        return false;
    bytes = tx_hex_decode(digits, bytes);
    if (bytes == (size_t)-1)
        return refuse(r, "hex digits, two for each byte, must stand here");
    out->data = (const uint8_t *)digits;
    out->bytes = bytes;
    return take(r, '}') || refuse(r, "the object of a blob or text ends here");
}

static bool
read_value(struct reader *r, struct tx_cell *out)
{
    char *text = NULL;

    *out = (struct tx_cell){ .type = SQLITE_NULL };
    skip_space(r);
    if (*r->at == '"') {
        out->type = SQLITE_TEXT;
        if (!read_string(r, &text, &out->bytes))
            return false;
        out->data = (const uint8_t *)text;
        return true;
    }
    if (*r->at == '{')
        return read_hex(r, out);
    if (*r->at == '[')
        return refuse(r, "an array is no value of a column: write it as a text");
    if (take_word(r, "null"))
        return true;
    if (take_word(r, "true") || take_word(r, "false")) {
        out->type = SQLITE_INTEGER;
        out->integer = r->at[-2] == 'u'; /* of true */
        return true;
    }
    return read_number(r, out);
}

/* ---- objects ---- */

static bool
add_member(struct tx_json_line *out, const char *name, size_t name_bytes)
{
    if (out->count == out->room) {
        const int room = out->room == 0 ? 16 : 2 * out->room;
        struct tx_json_member *members =
            sqlite3_realloc64(out->members, (sqlite3_uint64)room * sizeof(*members));

        if (members == NULL) {
            out->no_memory = true;
            return false;
        }
        out->members = members;
        out->room = room;
    }
    out->members[out->count++] = (struct tx_json_member){ .name = name, .name_bytes = name_bytes };
    return true;
}

/* Reads what stands behind the name of a member, and the colon. */
typedef bool read_member(struct reader *r, const char *name, size_t bytes);

static bool
read_object(struct reader *r, read_member *member)
{
    if (!take(r, '{'))
        return refuse(r, "an object must stand here");
    if (take(r, '}'))
        return true;
    do {
        char *name = NULL;
        size_t bytes = 0;

        if (!read_string(r, &name, &bytes))
            return false;
        if (!take(r, ':'))
            return refuse(r, "a colon must stand here");
        if (!member(r, name, bytes))
            return false;
    } while (take(r, ','));
    return take(r, '}') || refuse(r, "a comma or the object's end must stand here");
}

static bool
read_column(struct reader *r, const char *name, size_t bytes)
{
    if (r->out->count == MEMBERS_MAX)
        return refuse(r, "a row of more columns than a table can have");
    if (!add_member(r->out, name, bytes))
        return false;
    r->out->where = name;
    if (!read_value(r, &r->out->members[r->out->count - 1].cell))
        return false;
    r->out->where = NULL;
    return true;
}

static bool
read_part(struct reader *r, const char *name, size_t bytes)
{
    struct tx_json_line *out = r->out;
    struct tx_cell *cell = NULL;

    (void)bytes;
    if (strcmp(name, "row") == 0 && !out->has_row) {
        out->has_row = true;
        return read_object(r, read_column);
    }
    if (strcmp(name, "table") == 0)
        cell = &out->table;
    if (strcmp(name, "columns") == 0)
        cell = &out->columns;
    if (strcmp(name, "rowid") == 0)
        cell = &out->rowid;
    if (cell == NULL || cell->type != SQLITE_NULL)
        return refuse(r, "the members of the object are \"table\", \"columns\", \"rowid\" and "
                         "\"row\", each once; the option plain=yes reads lines that are rows "
                         "themselves");
    out->has_columns = out->has_columns || cell == &out->columns;
    out->where = name;
    if (!read_value(r, cell))
        return false;
    out->where = NULL;
    return true;
}

bool
tx_jsonline_read(char *line, size_t bytes, bool plain, struct tx_json_line *out)
{
    struct reader r = { line, line, line + bytes, out };

    *out = (struct tx_json_line){ .members = out->members,
                                  .room = out->room,
                                  .has_row = plain,
                                  .table = { .type = SQLITE_NULL },
                                  .columns = { .type = SQLITE_NULL },
                                  .rowid = { .type = SQLITE_NULL } };
    line[bytes] = '\0';
    if (!read_object(&r, plain ? read_column : read_part))
        return false;
    skip_space(&r);
    return r.at == r.end || refuse(&r, "there is text behind the object");
}

void
tx_jsonline_free(struct tx_json_line *line)
{
    sqlite3_free(line->members);
    line->members = NULL;
    line->room = line->count = 0;
}
