/*
 * sltfile.h - reads files of the sqllogictest format (https://www.sqlite.org/sqllogictest).
 *
 * A file is records with empty lines between them, and lines that begin with #, which are comments:
 *
 *   statement ok|error          the lines behind it are SQL
 *   query TYPES [SORT] [LABEL]  SQL, "----", and the values that are expected, one a line; or
 *                               "N values hashing to MD5". TYPES: T, I or R for each column; SORT:
 *                               nosort, rowsort, valuesort. Queries with one LABEL have one result
 *   hash-threshold N            results of more than N values are given by their hash
 *   halt                        the rest is not looked at
 *   skipif NAME, onlyif NAME    before a record: for whom it is
 */
#ifndef TXKV_TEST_SLTFILE_H
#define TXKV_TEST_SLTFILE_H

#include <stdbool.h>
#include <stddef.h>

enum slt_kind { SLT_STATEMENT, SLT_QUERY, SLT_HALT };
enum slt_sort { SLT_NOSORT, SLT_ROWSORT, SLT_VALUESORT };

enum { SLT_CONDITIONS_MAX = 8, SLT_COLUMNS_MAX = 64, SLT_LABEL_BYTES = 40 };

struct slt_condition {
    bool only; /* else: skip */
    char name[20];
};

struct slt_record {
    enum slt_kind kind;
    int line; /* of its first line, from 1 */
    int condition_count;
    struct slt_condition conditions[SLT_CONDITIONS_MAX];
    bool fails; /* statement error */
    char types[SLT_COLUMNS_MAX];
    enum slt_sort sort;
    char label[SLT_LABEL_BYTES];
    char *sql;      /* within the file's text */
    char *expected; /* the lines behind ----, each with its end; NULL: none given */
};

struct slt_file {
    const char *name;
    char *text;
    char *rest; /* what was not read yet */
    int line;
    char complaint[120]; /* what is wrong with the record that slt_read refused */
};

/* Reads the file; false when it cannot be read. slt_close in both cases. */
bool slt_open(struct slt_file *file, const char *name);
void slt_close(struct slt_file *file);

/* 1: a record; 0: the end; -1: the file is wrong, `complaint` and `line` say where. */
int slt_read(struct slt_file *file, struct slt_record *out);

/* Whether a record is for whoever has one of these names (two, or one twice). */
bool slt_applies(const struct slt_record *record, const char *name, const char *other);

#endif /* TXKV_TEST_SLTFILE_H */
