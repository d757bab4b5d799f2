/*
 * sltddl.h - native definitions as txkv tables: CREATE TABLE becomes CREATE VIRTUAL TABLE temp.NAME
 * USING txkv(...), and CREATE INDEX an INDEX(...) or UNIQUE(...) of it.
 *
 * A txkv table has its indexes from the beginning. One that gets another, or loses one, is made
 * anew with it and the rows are copied, so that an index comes and goes where the file says so, and
 * a UNIQUE that the rows contradict is refused there. Results do not depend on an index that txkv
 * cannot have (on an expression, with a collation, partial); it is left out and counted, unless it
 * is UNIQUE: then the table is. A table whose name begins with "native" stays a native one, to be
 * joined with the others.
 */
#ifndef TXKV_TEST_SLTDDL_H
#define TXKV_TEST_SLTDDL_H

#include <sqlite3.h>
#include <stdbool.h>

enum { SLT_NAME_BYTES = 80, SLT_TABLES_MAX = 200, SLT_INDEXES_MAX = 64, SLT_REASON_BYTES = 200 };

struct slt_index {
    char name[SLT_NAME_BYTES];
    char *definition; /* "UNIQUE(a, b)" */
};

struct slt_table {
    char name[SLT_NAME_BYTES];
    char *columns; /* what stands in the parentheses of CREATE TABLE */
    int index_count;
    struct slt_index indexes[SLT_INDEXES_MAX];
};

struct slt_schema {
    sqlite3 *db;
    const char *dir;
    int made; /* each gets a table of its own in the store */
    int count;
    struct slt_table *tables[SLT_TABLES_MAX];
};

enum slt_ddl {
    SLT_DDL_OTHER, /* no definition: run it as it is */
    SLT_DDL_DONE,
    SLT_DDL_FAILED, /* as it might on a native table: `reason` is the message */
    SLT_DDL_REFUSED /* no txkv table can be so: `reason` says why */
};

/* What the statement defines, done for txkv. `name` is the table (or index) that it is about. */
enum slt_ddl slt_define(struct slt_schema *schema, const char *sql, char name[SLT_NAME_BYTES],
                        char reason[SLT_REASON_BYTES]);

void slt_schema_free(struct slt_schema *schema);

/* Whether the name stands in the statement as a word. */
bool slt_mentions(const char *sql, const char *name);

/* The next word of a statement, or its next sign; false at the end. Comments are passed by. */
bool slt_word(const char **sql, char word[SLT_NAME_BYTES]);

#endif /* TXKV_TEST_SLTDDL_H */
