/*
 * shapegen.h - random tables with declared columns, and random SQL about them.
 *
 * The results are well defined: rows are ordered by something unique or compared as a bag, and an
 * UPDATE of several rows changes nothing that a constraint depends on the order of.
 */
#ifndef TXKV_TEST_SHAPEGEN_H
#define TXKV_TEST_SHAPEGEN_H

#include "sqlgen.h"

enum { SHAPE_COLUMNS_MAX = 7, SHAPE_KEYS_MAX = 4 };

enum shape_class { CLASS_NONE, CLASS_NUMBER, CLASS_TEXT };

struct shape_column {
    char name[16]; /* as SQL, with its quotes */
    const char *type;
    const char *collation;
    enum shape_class class;
    bool not_null;
};

struct shape_key {
    int count;
    int columns[3];
};

struct shape {
    int columns;
    struct shape_column column[SHAPE_COLUMNS_MAX];
    bool has_rowid, rowid_is_column; /* INTEGER PRIMARY KEY */
    struct shape_key primary;        /* count 0: none */
    bool primary_last;               /* written behind the UNIQUE constraints */
    int uniques, indexes;
    struct shape_key unique[SHAPE_KEYS_MAX], index[SHAPE_KEYS_MAX];
};

void shape_random(struct rng *from, struct shape *shape);

/* "c0 INT, ..., UNIQUE(c0)", with INDEX(...) or without. */
void shape_definitions(const struct shape *shape, bool with_indexes, struct text *t);

/* One statement about table t; *flags are enum answer_flags. */
void shape_statement(struct rng *from, const struct shape *shape, struct text *t, unsigned *flags);

#endif /* TXKV_TEST_SHAPEGEN_H */
