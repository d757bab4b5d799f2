/*
 * cell.c - one value of SQLite's, as a column's affinity makes it.
 *
 * SQLite applies no affinity to what it gives to a virtual table, so it is done here, with SQLite's
 * own conversions (sqlite3_value_numeric_type, sqlite3_value_text) wherever text is involved.
 */
#include "cell.h"

#include <string.h>

#include "textcopy.h"

enum { SHORT_TEXT = 512 }; /* with its terminator */

static bool
contains(const char *type, const char *word)
{
    const int bytes = (int)strlen(word);

    for (; *type != '\0'; type++)
        if (sqlite3_strnicmp(type, word, bytes) == 0)
            return true;
    return false;
}

enum tx_affinity
tx_affinity_of_type(const char *type)
{
    if (*type == '\0')
        return TX_AFFINITY_BLOB;
    if (contains(type, "int"))
        return TX_AFFINITY_INTEGER;
    if (contains(type, "char") || contains(type, "clob") || contains(type, "text"))
        return TX_AFFINITY_TEXT;
    if (contains(type, "blob"))
        return TX_AFFINITY_BLOB;
    if (contains(type, "real") || contains(type, "floa") || contains(type, "doub"))
        return TX_AFFINITY_REAL;
    return TX_AFFINITY_NUMERIC;
}

/* A text is asked for as a blob where that cannot fail unseen: sqlite3_value_text copies one that
 * has no terminator, as a bound one, in order to give it one. The length first: it makes UTF-8 of
 * it. */
static bool
read_text(sqlite3_value *value, struct tx_cell *out)
{
    if (out->type == SQLITE_TEXT) {
        out->bytes = (size_t)sqlite3_value_bytes(value);
        out->data = out->bytes == 0 ? NULL : sqlite3_value_blob(value);
        if (out->data != NULL)
            return true;
    }
    out->type = SQLITE_TEXT;
    out->data = sqlite3_value_text(value);
    out->bytes = (size_t)sqlite3_value_bytes(value);
    return out->data != NULL;
}

static bool
read_blob(sqlite3_value *value, struct tx_cell *out)
{
    /* The length first: when a zeroblob finds no memory its value turns into NULL. */
    out->bytes = (size_t)sqlite3_value_bytes(value);
    out->data = sqlite3_value_blob(value);
    return out->bytes == 0 || out->data != NULL;
}

/* A real that is an integer becomes one, except the two ends of int64, as in SQLite. */
static void
prefer_integer(struct tx_cell *cell)
{
    if (cell->real > -0x1p63 && cell->real < 0x1p63 && (double)(int64_t)cell->real == cell->real) {
        cell->integer = (int64_t)cell->real;
        cell->type = SQLITE_INTEGER;
    }
}

static void
read_number(sqlite3_value *value, enum tx_affinity affinity, struct tx_cell *out)
{
    if (out->type == SQLITE_INTEGER) {
        out->integer = sqlite3_value_int64(value);
        if (affinity == TX_AFFINITY_REAL) {
            out->real = (double)out->integer;
            out->type = SQLITE_FLOAT;
        }
        return;
    }
    out->real = sqlite3_value_double(value);
    if (affinity == TX_AFFINITY_REAL && out->real == 0)
        out->real = 0; /* a native column stores it as an integer, which has no -0.0 */
    if (affinity == TX_AFFINITY_NUMERIC || affinity == TX_AFFINITY_INTEGER)
        prefer_integer(out);
}

bool
tx_cell_read(sqlite3_value *value, enum tx_affinity affinity, struct tx_cell *out)
{
    out->type = sqlite3_value_type(value);
    if (out->type == SQLITE_TEXT && tx_affinity_is_numeric(affinity))
        out->type = sqlite3_value_numeric_type(value);
    switch (out->type) {
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        if (affinity == TX_AFFINITY_TEXT)
            return read_text(value, out);
        read_number(value, affinity, out);
        return true;
    case SQLITE_TEXT:
        return read_text(value, out);
    case SQLITE_BLOB:
        return read_blob(value, out);
    default:
        out->type = SQLITE_NULL;
        return true;
    }
}

/* A text as it is: SQLite copies it, and once more when it wants a terminator. */
static void
give_text(sqlite3_context *context, const uint8_t *text, size_t bytes)
{
    sqlite3_result_text64(context, (const char *)text, bytes, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* A short one, by the C library's functions. */
__attribute__((noinline)) static void
give_short_text(sqlite3_context *context, const uint8_t *text, size_t bytes)
{
    char copy[SHORT_TEXT];

    if (memchr(text, '\0', bytes) != NULL) {
        give_text(context, text, bytes);
        return;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    sqlite3_result_text(context, copy, -1, SQLITE_TRANSIENT);
}

/* A short one, for which tx_text_copy works. */
__attribute__((target("avx2"), noinline)) static void
give_short_copy(sqlite3_context *context, const uint8_t *text, size_t bytes)
{
    _Alignas(TX_TEXT_PIECE) uint8_t copy[SHORT_TEXT];

    if (tx_text_copy(copy, text, bytes))
        sqlite3_result_text(context, (const char *)copy, -1, SQLITE_TRANSIENT);
    else
        give_text(context, text, bytes);
}

/*
 * SQLite keeps a text that came with its terminator as it is; any other it gives one, in memory
 * that it asks to grow, as soon as sqlite3_column_text, or length(), looks at it. So short ones
 * without a zero byte are given one here, which is cheaper.
 */
void
tx_text_result(sqlite3_context *context, const uint8_t *text, size_t bytes)
{
    if (bytes >= SHORT_TEXT)
        give_text(context, text, bytes);
    else if (tx_text_copy_works(text, bytes))
        give_short_copy(context, text, bytes);
    else
        give_short_text(context, text, bytes);
}

void
tx_cell_result(sqlite3_context *context, const struct tx_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER:
        sqlite3_result_int64(context, cell->integer);
        break;
    case SQLITE_FLOAT:
        sqlite3_result_double(context, cell->real);
        break;
    case SQLITE_TEXT:
        tx_text_result(context, cell->data, cell->bytes);
        break;
    case SQLITE_BLOB:
        sqlite3_result_blob64(context, cell->data, cell->bytes, SQLITE_TRANSIENT);
        break;
    default:
        sqlite3_result_null(context);
    }
}
