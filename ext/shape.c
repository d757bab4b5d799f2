/*
 * shape.c - the declared columns of a table: names, types, keys and indexes.
 *
 * The order of UNIQUE and PRIMARY KEY is kept, since SQLite checks them in it, the last one first,
 * and so it decides which of two broken constraints a message names. The canonical text has every
 * constraint behind the columns, in that order; only INTEGER PRIMARY KEY, which is checked before
 * all others wherever it stands, remains at its column.
 */
#include "shape.h"

#include <stdarg.h>
#include <string.h>

#include "token.h"

/* What is known while the definitions are read. */
struct reader {
    struct tx_shape *shape;
    struct tx_token token; /* the next one */
    char **message;
    int rc;
    int columns_max;
    bool has_primary;
};

__attribute__((format(printf, 2, 3))) static void
refuse(struct reader *r, const char *format, ...)
{
    va_list arguments;

    if (r->rc != SQLITE_OK)
        return;
    va_start(arguments, format);
    *r->message = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    r->rc = *r->message == NULL ? SQLITE_NOMEM : SQLITE_ERROR;
}

static void
fail_nomem(struct reader *r)
{
    if (r->rc == SQLITE_OK)
        r->rc = SQLITE_NOMEM;
}

/* ---- tokens ---- */

static void
step(struct reader *r)
{
    if (r->token.kind != TX_TOKEN_END)
        r->token = tx_token_next(r->token.at + r->token.bytes);
}

static bool
take_word(struct reader *r, const char *word)
{
    const bool is = r->rc == SQLITE_OK && tx_token_is(&r->token, word);

    if (is)
        step(r);
    return is;
}

static bool
take_sign(struct reader *r, char sign)
{
    const bool is = r->rc == SQLITE_OK && tx_token_is_sign(&r->token, sign);

    if (is)
        step(r);
    return is;
}

static void
refuse_token(struct reader *r, const char *expected)
{
    if (r->token.kind == TX_TOKEN_END)
        refuse(r, "txkv: the column definitions end where %s is expected", expected);
    else if (r->token.kind == TX_TOKEN_BROKEN)
        refuse(r, "txkv: a quote or a comment has no end: %.40s", r->token.at);
    else
        refuse(r, "txkv: \"%.*s\" stands where %s is expected", r->token.bytes, r->token.at,
               expected);
}

static void
need_word(struct reader *r, const char *word)
{
    if (!take_word(r, word))
        refuse_token(r, word);
}

static void
need_sign(struct reader *r, char sign, const char *name)
{
    if (!take_sign(r, sign))
        refuse_token(r, name);
}

/* NULL after an error. */
static char *
take_name(struct reader *r, const char *expected)
{
    char *name;

    if (r->rc != SQLITE_OK)
        return NULL;
    if (r->token.kind != TX_TOKEN_WORD && r->token.kind != TX_TOKEN_QUOTED) {
        refuse_token(r, expected);
        return NULL;
    }
    name = tx_token_name(&r->token);
    if (name == NULL)
        fail_nomem(r);
    step(r);
    return name;
}

/* ---- what is refused ---- */

/* Refuses a clause that txkv does not have; true when the next token begins one. */
static bool
refuse_clause(struct reader *r, const char *where)
{
    static const struct {
        const char *word, *clause, *way_out;
    } clauses[] = {
        { "DEFAULT", "DEFAULT",
          "name the value in the INSERT, or insert through a view with an INSTEAD OF trigger that "
          "fills it in" },
        { "CHECK", "CHECK",
          "insert through a view with an INSTEAD OF trigger that calls RAISE(ABORT, ...)" },
        { "REFERENCES", "REFERENCES",
          "check the other table in the transaction that writes: it is serializable" },
        { "FOREIGN", "FOREIGN KEY",
          "check the other table in the transaction that writes: it is serializable" },
        { "GENERATED", "GENERATED", "compute the column in a view" },
        { "AS", "AS", "compute the column in a view" },
        { "AUTOINCREMENT", "AUTOINCREMENT",
          "leave it out: an INTEGER PRIMARY KEY that is NULL becomes the largest one plus 1" },
        { "ON", "ON CONFLICT", "say it in the statement: INSERT OR REPLACE, UPDATE OR IGNORE" },
        { "DESC", "DESC", "leave it out: every key is read in both directions" },
    };

    for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++) {
        if (!tx_token_is(&r->token, clauses[i].word))
            continue;
        refuse(r, "txkv: %s has %s, which a txkv table does not support: %s", where,
               clauses[i].clause, clauses[i].way_out);
        return true;
    }
    return false;
}

/* ---- columns ---- */

static int
find_column(const struct tx_shape *shape, const char *name)
{
    int i = shape->column_count;

    while (--i >= 0 && sqlite3_stricmp(shape->columns[i].name, name) != 0)
        continue;
    return i;
}

static struct tx_column *
add_column(struct reader *r, char *name)
{
    struct tx_shape *shape = r->shape;

    if (find_column(shape, name) >= 0 || *name == '\0')
        refuse(r, "txkv: the column name \"%s\" %s", name,
               *name == '\0' ? "is empty" : "is given twice");
    else if (sqlite3_stricmp(name, TX_HIDDEN_KEY) == 0)
        refuse(r, "txkv: the column name \"%s\" is txkv's own: choose another", name);
    else if (shape->column_count == TX_COLUMNS_MAX)
        refuse(r, "txkv: a table has at most %d columns", TX_COLUMNS_MAX);
    if (r->rc == SQLITE_OK && shape->column_count == r->columns_max) {
        const int room = 2 * r->columns_max + 8;
        struct tx_column *more =
            sqlite3_realloc64(shape->columns, (sqlite3_uint64)room * sizeof(*more));

        if (more == NULL) {
            fail_nomem(r);
        } else {
            shape->columns = more;
            r->columns_max = room;
        }
    }
    if (r->rc != SQLITE_OK) {
        sqlite3_free(name);
        return NULL;
    }
    shape->columns[shape->column_count] = (struct tx_column){ .name = name, .key_place = -1 };
    return &shape->columns[shape->column_count++];
}

static bool
ends_type(const struct tx_token *token)
{
    static const char *const words[] = { "CONSTRAINT", "PRIMARY", "NOT",          "NULL",
                                         "UNIQUE",     "CHECK",   "DEFAULT",      "COLLATE",
                                         "REFERENCES", "AS",      "GENERATED",    "ON",
                                         "DESC",       "ASC",     "AUTOINCREMENT" };

    if (token->kind != TX_TOKEN_WORD && token->kind != TX_TOKEN_QUOTED)
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (tx_token_is(token, words[i]))
            return true;
    return false;
}

/* "(10, 2)" behind a type's words. */
static void
read_type_size(struct reader *r, sqlite3_str *type)
{
    int numbers = 0;

    if (!take_sign(r, '('))
        return;
    do {
        if (r->token.kind != TX_TOKEN_NUMBER || numbers == 2) {
            refuse_token(r, numbers == 2 ? "\")\"" : "a number");
            return;
        }
        sqlite3_str_appendf(type, "%s%.*s", numbers++ == 0 ? "(" : ",", r->token.bytes,
                            r->token.at);
        step(r);
    } while (take_sign(r, ','));
    need_sign(r, ')', "\")\"");
    sqlite3_str_appendchar(type, 1, ')');
}

static char *
read_type(struct reader *r)
{
    sqlite3_str *type = sqlite3_str_new(NULL);
    char *text;

    while (r->rc == SQLITE_OK && !ends_type(&r->token)) {
        if (sqlite3_str_length(type) > 0)
            sqlite3_str_appendchar(type, 1, ' ');
        if (r->token.kind == TX_TOKEN_QUOTED)
            refuse(r, "txkv: the type %.*s is quoted: write it without quotes", r->token.bytes,
                   r->token.at);
        if (tx_token_is(&r->token, "HIDDEN"))
            refuse(r, "txkv: a column's type is HIDDEN, which a txkv table does not support: "
                      "leave the word out");
        sqlite3_str_append(type, r->token.at, r->token.bytes);
        step(r);
    }
    if (sqlite3_str_length(type) > 0)
        read_type_size(r, type);
    if (sqlite3_str_errcode(type) != SQLITE_OK)
        fail_nomem(r);
    text = sqlite3_str_finish(type);
    for (char *c = text; c != NULL && *c != '\0'; c++) /* the same type in any case */
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c & ~0x20 : *c);
    if (text == NULL && r->rc == SQLITE_OK) {
        text = sqlite3_mprintf("");
        if (text == NULL)
            fail_nomem(r);
    }
    return text;
}

static void
read_collation(struct reader *r, struct tx_column *column)
{
    char *name = take_name(r, "a collation");

    if (name == NULL)
        return;
    if (sqlite3_stricmp(name, "BINARY") == 0)
        column->collation = TX_COLLATION_BINARY;
    else if (sqlite3_stricmp(name, "NOCASE") == 0)
        column->collation = TX_COLLATION_NOCASE;
    else if (sqlite3_stricmp(name, "RTRIM") == 0)
        column->collation = TX_COLLATION_RTRIM;
    else
        refuse(r, "txkv: column %s has the collation %s: there are BINARY, NOCASE and RTRIM",
               column->name, name);
    sqlite3_free(name);
}

/* ---- keys ---- */

static bool
same_key(const struct tx_key *a, const struct tx_key *b)
{
    return a->count == b->count &&
           memcmp(a->columns, b->columns, (size_t)a->count * sizeof(a->columns[0])) == 0;
}

static void
set_primary(struct reader *r, const struct tx_key *key)
{
    if (r->has_primary)
        refuse(r, "txkv: the table has more than one PRIMARY KEY");
    r->has_primary = true;
    r->shape->primary = *key;
    r->shape->indexes_before_primary = r->shape->index_count;
}

static void
add_index(struct reader *r, const struct tx_key *key)
{
    struct tx_shape *shape = r->shape;

    for (int i = 0; i < shape->index_count; i++) /* SQLite, too, keeps one of the same kind */
        if (shape->indexes[i].unique == key->unique && same_key(&shape->indexes[i], key))
            return;
    if (shape->index_count == TX_INDEXES_MAX)
        refuse(r, "txkv: a table has at most %d indexes", TX_INDEXES_MAX);
    else
        shape->indexes[shape->index_count++] = *key;
}

static void
add_key_column(struct reader *r, struct tx_key *key, const char *name, const char *what)
{
    const int column = find_column(r->shape, name);

    if (column < 0)
        refuse(r, "txkv: %s names the column \"%s\", which is not defined before it", what, name);
    for (int i = 0; i < key->count; i++)
        if (key->columns[i] == column)
            refuse(r, "txkv: %s names the column %s twice", what, name);
    if (key->count == TX_KEY_COLUMNS_MAX)
        refuse(r, "txkv: %s has too many columns: at most %d", what, TX_KEY_COLUMNS_MAX);
    if (r->rc == SQLITE_OK)
        key->columns[key->count++] = column;
}

static void
read_key(struct reader *r, const char *what, struct tx_key *key)
{
    need_sign(r, '(', "\"(\"");
    do {
        char *name = take_name(r, "a column's name");

        if (name == NULL)
            return;
        if (tx_token_is(&r->token, "COLLATE"))
            refuse(r, "txkv: %s has COLLATE: write it in the definition of the column %s", what,
                   name);
        add_key_column(r, key, name, what);
        sqlite3_free(name);
        if (!take_word(r, "ASC"))
            (void)refuse_clause(r, what);
    } while (take_sign(r, ','));
    need_sign(r, ')', "\")\"");
    (void)refuse_clause(r, what);
}

/* A constraint of the table; false when the next tokens are none. */
static bool
read_table_constraint(struct reader *r)
{
    struct tx_key key = { .count = 0 };
    const bool is_named = take_word(r, "CONSTRAINT"); /* a name that nothing can refer to */

    if (is_named)
        sqlite3_free(take_name(r, "the constraint's name"));
    if (take_word(r, "PRIMARY")) {
        need_word(r, "KEY");
        read_key(r, "PRIMARY KEY", &key);
        set_primary(r, &key);
    } else if (take_word(r, "UNIQUE")) {
        key.unique = true;
        read_key(r, "UNIQUE", &key);
        add_index(r, &key);
    } else if (take_word(r, "INDEX")) {
        read_key(r, "INDEX", &key);
        add_index(r, &key);
    } else if (tx_token_is(&r->token, "CHECK") || tx_token_is(&r->token, "FOREIGN")) {
        (void)refuse_clause(r, "the table");
    } else if (is_named) {
        refuse_token(r, "PRIMARY KEY, UNIQUE or INDEX");
    } else {
        return false;
    }
    return true;
}

/* A constraint of the column that was added last; false when there is no more. */
static bool
read_column_constraint(struct reader *r)
{
    const int number = r->shape->column_count - 1;
    struct tx_column *column = &r->shape->columns[number];
    struct tx_key key = { .count = 1, .columns = { number } };

    if (take_word(r, "CONSTRAINT"))
        sqlite3_free(take_name(r, "the constraint's name"));
    if (take_word(r, "PRIMARY")) {
        need_word(r, "KEY");
        (void)take_word(r, "ASC");
        set_primary(r, &key);
    } else if (take_word(r, "NOT")) {
        need_word(r, "NULL");
        column->not_null = true;
    } else if (take_word(r, "UNIQUE")) {
        key.unique = true;
        add_index(r, &key);
    } else if (take_word(r, "COLLATE")) {
        read_collation(r, column);
    } else if (!take_word(r, "NULL")) { /* which SQLite accepts too: the column may be NULL */
        return refuse_clause(r, column->name);
    }
    return r->rc == SQLITE_OK;
}

static void
read_column(struct reader *r)
{
    char *name = take_name(r, "a column's name");
    struct tx_column *column = name == NULL ? NULL : add_column(r, name);

    if (column == NULL)
        return;
    column->type = read_type(r);
    if (column->type != NULL)
        column->affinity = tx_affinity_of_type(column->type);
    while (r->rc == SQLITE_OK && read_column_constraint(r))
        continue;
}

/* ---- the whole ---- */

/* Drops a UNIQUE that says what the PRIMARY KEY says; the key then stands where the first of them
 * did, as SQLite has it. */
static void
drop_double_primary(struct tx_shape *shape)
{
    for (int i = 0; i < shape->index_count; i++) {
        if (!shape->indexes[i].unique || !same_key(&shape->indexes[i], &shape->primary))
            continue;
        for (int j = i + 1; j < shape->index_count; j++)
            shape->indexes[j - 1] = shape->indexes[j];
        shape->index_count--;
        if (i < shape->indexes_before_primary)
            shape->indexes_before_primary = i;
        return;
    }
}

static void
note_indexed(struct tx_shape *shape)
{
    for (int i = 0; i < shape->column_count; i++)
        shape->columns[i].is_indexed = shape->columns[i].key_place >= 0;
    for (int i = 0; i < shape->index_count; i++)
        for (int j = 0; j < shape->indexes[i].count; j++)
            shape->columns[shape->indexes[i].columns[j]].is_indexed = true;
}

static void
settle_primary(struct reader *r)
{
    struct tx_shape *shape = r->shape;
    struct tx_key *primary = &shape->primary;

    if (!r->has_primary) {
        shape->row_key = TX_ROW_KEY_HIDDEN_ROWID;
        *primary = (struct tx_key){ .count = 1, .columns = { TX_ROWID_COLUMN } };
        return;
    }
    for (int i = 0; i < primary->count; i++)
        shape->columns[primary->columns[i]].key_place = i;
    if (primary->count > 1)
        shape->row_key = TX_ROW_KEY_COLUMNS;
    else if (sqlite3_stricmp(shape->columns[primary->columns[0]].type, "INTEGER") == 0)
        shape->row_key = TX_ROW_KEY_ROWID;
    else
        shape->row_key = TX_ROW_KEY_COLUMN;
    if (shape->row_key == TX_ROW_KEY_ROWID) {
        shape->columns[primary->columns[0]].not_null = false; /* NULL asks for the next one */
        shape->columns[primary->columns[0]].collation = TX_COLLATION_BINARY;
        shape->indexes_before_primary = 0;
    } else {
        for (int i = 0; i < primary->count; i++)
            shape->columns[primary->columns[i]].not_null = true;
    }
    drop_double_primary(shape);
}

static void
read_all(struct reader *r)
{
    bool behind_columns = false;

    do {
        if (read_table_constraint(r))
            behind_columns = true;
        else if (behind_columns)
            refuse(r, "txkv: a column is defined behind a table constraint: put PRIMARY KEY(...), "
                      "UNIQUE(...) and INDEX(...) behind the columns");
        else
            read_column(r);
    } while (take_sign(r, ','));
    if (r->rc == SQLITE_OK && r->token.kind != TX_TOKEN_END)
        refuse_token(r, "\",\" or the end");
    if (r->rc == SQLITE_OK && r->shape->column_count == 0)
        refuse(r, "txkv: the table has no columns");
}

int
tx_shape_parse(const char *text, struct tx_shape **out, char **message)
{
    struct reader r = { .message = message, .token = tx_token_next(text) };

    *out = NULL;
    *message = NULL;
    r.shape = sqlite3_malloc(sizeof(*r.shape));
    if (r.shape == NULL)
        return SQLITE_NOMEM;
    *r.shape = (struct tx_shape){ .columns = NULL };
    read_all(&r);
    if (r.rc == SQLITE_OK) {
        settle_primary(&r);
        note_indexed(r.shape);
        r.shape->text = tx_shape_text(r.shape);
        if (r.shape->text == NULL)
            r.rc = SQLITE_NOMEM;
    }
    if (r.rc == SQLITE_OK)
        *out = r.shape;
    else
        tx_shape_free(r.shape);
    return r.rc;
}

void
tx_shape_free(struct tx_shape *shape)
{
    if (shape == NULL)
        return;
    for (int i = 0; i < shape->column_count; i++) {
        sqlite3_free(shape->columns[i].name);
        sqlite3_free(shape->columns[i].type);
    }
    sqlite3_free(shape->columns);
    sqlite3_free(shape->text);
    sqlite3_free(shape);
}
