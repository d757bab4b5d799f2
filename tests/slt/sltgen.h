/*
 * sltgen.h - writes files of the sqllogictest format: random tables, indexes, rows, and queries of
 * all kinds on them, with what native SQLite answers.
 *
 * Every result is well defined: a query is compared as a bag of rows, or ordered by all that it
 * returns; numbers are integers or quarters, so that sums do not depend on the order; a NOCASE
 * column has no two texts that are equal and not the same.
 */
#ifndef TXKV_TEST_SLTGEN_H
#define TXKV_TEST_SLTGEN_H

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "../support/support.h"
#include "buffer.h"

enum { GEN_TABLES = 4, GEN_TYPES_BYTES = 64 };

struct gen {
    struct rng rng;
    sqlite3 *db; /* native */
    FILE *out;
    struct buffer sql;
    bool has_native;
    int next_id; /* of rows */
    int next_index;
    bool no_patterns, no_collations; /* none in conditions, for now */
    char unique[GEN_TABLES][8];      /* columns that have been in a UNIQUE index, some of "ijsnr" */
    bool keyed_by_id[GEN_TABLES], texts_are_key[GEN_TABLES], numbers_are_key[GEN_TABLES];
};

/* The same seed gives the same file with the same SQLite. */
void slt_generate(uint64_t seed, uint64_t records, FILE *out);

/* ---- for the files of the generator ---- */

uint32_t gen_roll(struct gen *g, uint32_t n);
bool gen_chance(struct gen *g, uint32_t one_in);
char gen_one_of(struct gen *g, const char *columns);
/* The table's name for number i, at random when i < 0: "t0". In every other file the last one is
 * native on both sides. */
const char *gen_table(struct gen *g, int i);
/* A constant that fits the column ('i', 'j', 's', 'n', 'r'). */
void gen_value(struct gen *g, char column, bool may_be_null);
/* "x.i" */
void gen_column(struct gen *g, const char *alias, char column);
/* "(1, 2, NULL)": some constants that fit the column. */
void gen_list(struct gen *g, char column);
const char *gen_comparison(struct gen *g);
/* A condition on the table with this alias ("" for none). */
void gen_predicate(struct gen *g, const char *alias, int depth);

/* A query in g->sql; its types and "nosort" or "rowsort". */
void gen_query(struct gen *g, char types[GEN_TYPES_BYTES], const char **sort);

#endif /* TXKV_TEST_SLTGEN_H */
