/*
 * shapetable.c - random tables with declared columns; see shapegen.h.
 */
#include "shapegen.h"

#include <stdio.h>
#include <string.h>

static struct rng *rng;

static uint32_t
roll(uint32_t n)
{
    return rng_below(rng, n);
}

static void
random_key(const struct shape *s, struct shape_key *key, int count_max)
{
    key->count = 0;
    for (int tries = 0; tries < count_max + 2 && key->count < count_max; tries++) {
        const int column = (int)roll((uint32_t)s->columns);
        bool is_new = true;

        for (int i = 0; i < key->count; i++)
            is_new = is_new && key->columns[i] != column;
        if (is_new)
            key->columns[key->count++] = column;
    }
}

static void
random_column(struct shape_column *column, int number)
{
    static const struct {
        const char *type;
        enum shape_class class;
    } types[] = { { "INT", CLASS_NUMBER },
                  { "TEXT", CLASS_TEXT },
                  { "REAL", CLASS_NUMBER },
                  { "NUMERIC", CLASS_NUMBER },
                  { "", CLASS_NONE },
                  { "BLOB", CLASS_NONE },
                  { "VARCHAR(20)", CLASS_TEXT },
                  { "INTEGER", CLASS_NUMBER },
                  { "DECIMAL(5,2)", CLASS_NUMBER },
                  { "CLOB", CLASS_TEXT } };
    static const char *const collations[] = {
        "", "", "", " COLLATE NOCASE", " COLLATE RTRIM", " COLLATE BINARY"
    };
    const uint32_t type = roll(sizeof types / sizeof types[0]);

    (void)snprintf(column->name, sizeof column->name, roll(6) == 0 ? "\"C %d\"" : "c%d", number);
    column->type = types[type].type;
    column->class = types[type].class;
    column->collation = collations[roll(sizeof collations / sizeof collations[0])];
    column->not_null = roll(4) == 0;
}

void
shape_random(struct rng *from, struct shape *s)
{
    const uint32_t kind = rng_below(from, 4);

    rng = from;
    *s = (struct shape){ .columns = 2 + (int)roll(SHAPE_COLUMNS_MAX - 1) };
    for (int i = 0; i < s->columns; i++)
        random_column(&s->column[i], i);
    s->has_rowid = kind <= 1;
    if (kind == 1) { /* INTEGER PRIMARY KEY */
        struct shape_column *column = &s->column[roll((uint32_t)s->columns)];

        column->type = "INTEGER";
        column->class = CLASS_NUMBER;
        column->collation = "";
        column->not_null = false;
        s->rowid_is_column = true;
        s->primary = (struct shape_key){ 1, { (int)(column - s->column) } };
    } else if (kind == 2) { /* one column that is no rowid */
        random_key(s, &s->primary, 1);
        if (strcmp(s->column[s->primary.columns[0]].type, "INTEGER") == 0)
            s->column[s->primary.columns[0]].type = "INT";
    } else if (kind == 3) {
        random_key(s, &s->primary, s->columns < 3 ? 2 : 3);
        if (s->primary.count == 1 && strcmp(s->column[s->primary.columns[0]].type, "INTEGER") == 0)
            s->column[s->primary.columns[0]].type = "INT";
    }
    s->primary_last = roll(2) == 0;
    s->uniques = (int)roll(3);
    s->indexes = (int)roll(3);
    for (int i = 0; i < s->uniques; i++)
        random_key(s, &s->unique[i], 1 + (int)roll(2));
    for (int i = 0; i < s->indexes; i++)
        random_key(s, &s->index[i], 1 + (int)roll(3));
}

static void
add_key_definition(struct text *t, const struct shape *s, const char *what,
                   const struct shape_key *key)
{
    text_add(t, ", %s(", what);
    for (int i = 0; i < key->count; i++)
        text_add(t, "%s%s", i == 0 ? "" : ", ", s->column[key->columns[i]].name);
    text_add(t, ")");
}

void
shape_definitions(const struct shape *s, bool with_indexes, struct text *t)
{
    for (int i = 0; i < s->columns; i++)
        text_add(t, "%s%s %s%s%s", i == 0 ? "" : ", ", s->column[i].name, s->column[i].type,
                 s->column[i].not_null ? " NOT NULL" : "", s->column[i].collation);
    if (s->primary.count > 0 && !s->primary_last)
        add_key_definition(t, s, "PRIMARY KEY", &s->primary);
    for (int i = 0; i < s->uniques; i++)
        add_key_definition(t, s, "UNIQUE", &s->unique[i]);
    if (s->primary.count > 0 && s->primary_last)
        add_key_definition(t, s, "PRIMARY KEY", &s->primary);
    for (int i = 0; with_indexes && i < s->indexes; i++)
        add_key_definition(t, s, "INDEX", &s->index[i]);
}
