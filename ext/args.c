/*
 * args.c - the arguments of CREATE VIRTUAL TABLE ... USING txkv(...).
 *
 * SQLite splits the text between the parentheses at its top-level commas and hands over each piece
 * as it was written, quotes included. One table below says what each option is called, where its
 * value goes and what is accepted; messages about a value are made from it. The ranges are those of
 * src/options.c, checked here as well for a message in SQL's terms.
 */
#include "args.h"

#include <stdarg.h>
#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

#define EXAMPLE "USING txkv('data/store', sync=full)"

enum kind {
    KIND_SYNC,
    KIND_ISOLATION,
    KIND_TABLE,
    KIND_WAL_DIR,
    KIND_ARCHIVE_DIR,
    KIND_NUMBER,
    KIND_SIZE
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct txkv_options: of a uint32_t for a number, a uint64_t for a size */
    uint64_t min, max;
    const char *range; /* min and max in words */
};

#define FIELD(name) offsetof(struct txkv_options, name)

static const struct option options[] = {
    { "sync", KIND_SYNC, 0, 0, 0, NULL },
    { "isolation", KIND_ISOLATION, 0, 0, 0, NULL },
    { "table", KIND_TABLE, 0, 0, 0, NULL },
    { "wal_dir", KIND_WAL_DIR, 0, 0, 0, NULL },
    { "archive_dir", KIND_ARCHIVE_DIR, 0, 0, 0, NULL },
    { "flush_interval_ms", KIND_NUMBER, FIELD(flush_interval_ms), 1, 60000, "1 to 60000" },
    { "checkpoint_interval", KIND_NUMBER, FIELD(checkpoint_interval_s), 1, 86400,
      "1 to 86400 seconds" },
    { "checkpoint_bytes", KIND_SIZE, FIELD(checkpoint_bytes), 64 * KIB, TIB, "64KiB to 1TiB" },
    { "map_size", KIND_SIZE, FIELD(map_size), MIB, 64 * TIB, "1MiB to 64TiB" },
    { "overlay_limit", KIND_SIZE, FIELD(overlay_limit), MIB, TIB, "1MiB to 1TiB" },
    { "stall_timeout_ms", KIND_NUMBER, FIELD(stall_timeout_ms), 1, 3600000, "1 to 3600000" },
    { "snapshot_timeout_s", KIND_NUMBER, FIELD(snapshot_timeout_s), 1, 86400,
      "1 to 86400 seconds" },
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]), NAME_BYTES_MAX = 24, DIR_BYTES_MAX = 4095 };

/* A piece of an argument; not NUL-terminated. */
struct piece {
    const char *at;
    int bytes;
};

/* What is known while the arguments are read. */
struct parser {
    struct tx_args *out;
    char **message;
    bool seen[OPTIONS];
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct parser *p, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    *p->message = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    return *p->message == NULL ? SQLITE_NOMEM : SQLITE_ERROR;
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static struct piece
trim(const char *text, size_t bytes)
{
    while (bytes > 0 && is_space(text[bytes - 1]))
        bytes--;
    while (bytes > 0 && is_space(*text)) {
        text++;
        bytes--;
    }
    return (struct piece){ text, (int)bytes };
}

/*
 * The text of a quoted or bare value, without its quotes; *out is NULL when the piece is neither: a
 * quote in a bare word or white space in it, something after the closing quote, or none.
 */
static int
unquote(struct piece from, char **out)
{
    const char quote = from.bytes > 0 ? from.at[0] : '\0';
    const bool quoted = quote == '\'' || quote == '"';
    const int end = quoted ? from.bytes - 1 : from.bytes;
    bool good = !quoted || (end > 0 && from.at[end] == quote);
    int used = 0;
    char *text = sqlite3_malloc(from.bytes + 1);

    *out = NULL;
    if (text == NULL)
        return SQLITE_NOMEM;
    for (int i = quoted ? 1 : 0; good && i < end; i++) {
        const char c = from.at[i];

        if (quoted && c == quote)
            good = ++i < end && from.at[i] == quote;
        else if (!quoted)
            good = !is_space(c) && c != '\'' && c != '"';
        text[used++] = c;
    }
    text[used] = '\0';
    if (good)
        *out = text;
    else
        sqlite3_free(text);
    return SQLITE_OK;
}

/* The unit's power of 1024, or -1. */
static int
unit_power(const char *unit)
{
    static const char letters[] = "KMGT";
    const char *letter;

    if (*unit == '\0')
        return 0;
    letter = strchr(letters, *unit & ~0x20); /* as a capital */
    if (letter == NULL || *letter == '\0' ||
        (unit[1] != '\0' && sqlite3_stricmp(unit + 1, "ib") != 0))
        return -1;
    return (int)(letter - letters) + 1;
}

/* Reads digits and, for a size, a unit; false when that is not all there is or it overflows. */
static bool
parse_number(const char *text, bool has_unit, uint64_t *out)
{
    uint64_t v = 0;
    int power = 0;

    if (!is_digit(*text))
        return false;
    for (; is_digit(*text); text++) {
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    if (has_unit) {
        while (is_space(*text))
            text++;
        power = unit_power(text);
    } else if (*text != '\0') {
        return false;
    }
    return power >= 0 && !__builtin_mul_overflow(v, UINT64_C(1) << (10 * power), out);
}

static int
set_number(struct parser *p, const struct option *option, const char *text)
{
    const bool is_size = option->kind == KIND_SIZE;
    char *field = (char *)&p->out->options + option->offset;
    uint64_t v;

    if (!parse_number(text, is_size, &v))
        return refuse(p, "txkv: %s=\"%s\" is not a %s: give %s, from %s", option->name, text,
                      is_size ? "size" : "whole number",
                      is_size ? "bytes or a number with KiB, MiB, GiB or TiB" : "digits only",
                      option->range);
    if (v < option->min || v > option->max)
        return refuse(p, "txkv: %s=\"%s\" is out of range: it takes %s", option->name, text,
                      option->range);
    if (is_size) {
        memcpy(field, &v, sizeof(v));
    } else {
        const uint32_t narrow = (uint32_t)v;

        memcpy(field, &narrow, sizeof(narrow));
    }
    return SQLITE_OK;
}

/* Which of the words `text` is, as *index. */
static int
set_word(struct parser *p, const char *name, const char *text, const char *const *words, int *index)
{
    for (*index = 0; words[*index] != NULL; ++*index)
        if (sqlite3_stricmp(text, words[*index]) == 0)
            return SQLITE_OK;
    return refuse(p, "txkv: %s=\"%s\" is none of %s, %s%s%s", name, text, words[0], words[1],
                  words[2] == NULL ? "" : ", ", words[2] == NULL ? "" : words[2]);
}

static int
set_sync(struct parser *p, const char *text)
{
    static const char *const words[] = { "full", "normal", "off", NULL };
    static const enum txkv_sync values[] = { TXKV_SYNC_FULL, TXKV_SYNC_NORMAL, TXKV_SYNC_OFF };
    int index;
    const int rc = set_word(p, "sync", text, words, &index);

    if (rc == SQLITE_OK)
        p->out->sync = values[index];
    return rc;
}

static int
set_isolation(struct parser *p, const char *text)
{
    static const char *const words[] = { "serializable", "snapshot", NULL };
    int index;
    const int rc = set_word(p, "isolation", text, words, &index);

    if (rc == SQLITE_OK)
        p->out->isolation = index == 0 ? TXKV_SERIALIZABLE : TXKV_SNAPSHOT;
    return rc;
}

/* Hands `text` over to *field, which holds nothing yet. */
static int
set_text(struct parser *p, const char *name, size_t bytes_max, char *text, char **field)
{
    *field = text;
    if (*text == '\0')
        return refuse(p, "txkv: %s=\"\" is empty: give a name", name);
    if (strlen(text) > bytes_max)
        return refuse(p, "txkv: %s=\"%s\" is too long: at most %d bytes", name, text,
                      (int)bytes_max);
    return SQLITE_OK;
}

static int
set_option(struct parser *p, const struct option *option, struct piece value)
{
    char *text;
    int rc = unquote(value, &text);

    if (rc != SQLITE_OK)
        return rc;
    if (text == NULL)
        return refuse(p,
                      "txkv: %s=%.*s is not one value: put it in quotes, and double those inside",
                      option->name, value.bytes, value.at);
    switch (option->kind) {
    case KIND_TABLE:
        p->out->table_given = true;
        return set_text(p, option->name, TXKV_TABLE_NAME_BYTES_MAX, text, &p->out->table);
    case KIND_WAL_DIR:
        rc = set_text(p, option->name, DIR_BYTES_MAX, text, &p->out->wal_dir);
        p->out->options.wal_dir = p->out->wal_dir;
        return rc;
    case KIND_ARCHIVE_DIR:
        rc = set_text(p, option->name, DIR_BYTES_MAX, text, &p->out->archive_dir);
        p->out->options.archive_dir = p->out->archive_dir;
        return rc;
    case KIND_SYNC:
        rc = set_sync(p, text);
        break;
    case KIND_ISOLATION:
        rc = set_isolation(p, text);
        break;
    case KIND_NUMBER:
    case KIND_SIZE:
        rc = set_number(p, option, text);
        break;
    }
    sqlite3_free(text);
    return rc;
}

/* How many letters must be put in, left out or changed to make one name of the other. */
static int
edit_distance(struct piece a, const char *b)
{
    const int b_bytes = (int)strlen(b);
    int row[NAME_BYTES_MAX + 1];

    for (int j = 0; j <= b_bytes; j++)
        row[j] = j;
    for (int i = 0; i < a.bytes; i++) {
        int diagonal = row[0]++;

        for (int j = 0; j < b_bytes; j++) {
            const int changed = diagonal + (sqlite3_strnicmp(a.at + i, b + j, 1) != 0);
            const int moved = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

            diagonal = row[j + 1];
            row[j + 1] = changed < moved ? changed : moved;
        }
    }
    return row[b_bytes];
}

static int
refuse_unknown(struct parser *p, struct piece name)
{
    const struct option *nearest = NULL;
    int least = 3; /* two typing errors; more is another word */

    for (int i = 0; i < OPTIONS && name.bytes <= NAME_BYTES_MAX; i++) {
        const int distance = edit_distance(name, options[i].name);

        if (distance < least && distance < name.bytes) {
            least = distance;
            nearest = &options[i];
        }
    }
    if (nearest != NULL)
        return refuse(p, "txkv: unknown option \"%.*s\" (did you mean \"%s\"?)", name.bytes,
                      name.at, nearest->name);
    return refuse(
        p,
        "txkv: unknown option \"%.*s\": there are sync, isolation, table, wal_dir, "
        "archive_dir, flush_interval_ms, checkpoint_interval, checkpoint_bytes, map_size, "
        "overlay_limit, stall_timeout_ms and snapshot_timeout_s",
        name.bytes, name.at);
}

/* Splits "name = value"; false when the argument is something else. */
static bool
split(struct piece argument, struct piece *name, struct piece *value)
{
    int i = 0;

    while (i < argument.bytes && is_name(argument.at[i]))
        i++;
    *name = (struct piece){ argument.at, i };
    while (i < argument.bytes && is_space(argument.at[i]))
        i++;
    if (name->bytes == 0 || i == argument.bytes || argument.at[i] != '=')
        return false;
    *value = trim(argument.at + i + 1, (size_t)(argument.bytes - i - 1));
    return true;
}

/* On a line of its own, so that a comment at its end hides no comma. */
static int
add_definition(struct parser *p, struct piece definition)
{
    char *before = p->out->columns;

    p->out->columns =
        sqlite3_mprintf("%s%s%.*s", before == NULL ? "" : before, before == NULL ? "" : "\n, ",
                        definition.bytes, definition.at);
    sqlite3_free(before);
    return p->out->columns == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

static int
parse_option(struct parser *p, const char *text)
{
    const struct piece argument = trim(text, strlen(text));
    struct piece name, value;

    if (argument.bytes == 0)
        return refuse(p, "txkv: an argument is empty: write " EXAMPLE);
    if (!split(argument, &name, &value))
        return add_definition(p, argument);
    for (int i = 0; i < OPTIONS; i++) {
        if ((int)strlen(options[i].name) != name.bytes ||
            sqlite3_strnicmp(options[i].name, name.at, name.bytes) != 0)
            continue;
        if (p->seen[i])
            return refuse(p, "txkv: option \"%s\" is given twice", options[i].name);
        p->seen[i] = true;
        return set_option(p, &options[i], value);
    }
    return refuse_unknown(p, name);
}

static int
parse_dir(struct parser *p, const char *text)
{
    const struct piece argument = trim(text, strlen(text));
    struct piece name, value;
    int rc;

    if (!split(argument, &name, &value)) {
        rc = unquote(argument, &p->out->dir);
        if (rc != SQLITE_OK || (p->out->dir != NULL && p->out->dir[0] != '\0'))
            return rc;
    }
    return refuse(p,
                  "txkv: the first argument is the store's directory, not \"%.*s\": write " EXAMPLE,
                  argument.bytes, argument.at);
}

static int
parse(struct parser *p, int argc, const char *const *argv, const char *default_table)
{
    char *table;
    int rc;

    if (argc < 1)
        return refuse(p, "txkv: the store's directory is missing: write " EXAMPLE);
    rc = parse_dir(p, argv[0]);
    for (int i = 1; rc == SQLITE_OK && i < argc; i++)
        rc = parse_option(p, argv[i]);
    if (rc != SQLITE_OK || p->out->table != NULL)
        return rc;
    table = sqlite3_mprintf("%s", default_table);
    if (table == NULL)
        return SQLITE_NOMEM;
    return set_text(p, "table", TXKV_TABLE_NAME_BYTES_MAX, table, &p->out->table);
}

int
tx_args_parse(int argc, const char *const *argv, const char *default_table, struct tx_args *out,
              char **message)
{
    struct parser p = { .out = out, .message = message };
    int rc;

    *out = (struct tx_args){ .sync = TXKV_SYNC_FULL };
    *message = NULL;
    rc = parse(&p, argc, argv, default_table);
    if (rc != SQLITE_OK)
        tx_args_free(out);
    return rc;
}

void
tx_args_free(struct tx_args *args)
{
    sqlite3_free(args->dir);
    sqlite3_free(args->table);
    sqlite3_free(args->wal_dir);
    sqlite3_free(args->archive_dir);
    sqlite3_free(args->columns);
    *args = (struct tx_args){ .sync = TXKV_SYNC_FULL };
}
