/*
 * answer.h - what a statement did, as text that can be compared. One thread.
 */
#ifndef TXKV_TEST_ANSWER_H
#define TXKV_TEST_ANSWER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

enum answer_flags {
    ANSWER_UNORDERED = 1, /* the rows are compared as a bag */
    ANSWER_MESSAGE = 2,   /* error texts are compared */
    ANSWER_ROWID = 4      /* last_insert_rowid() is compared */
};

struct answer {
    char *text;
    size_t used, room;
    int code; /* SQLITE_DONE, or the extended code of the error */
    char message[256];
};

/* Runs the first statement of `sql`: rows, extended code, changes() and the autocommit state. */
void answer_run(struct answer *a, sqlite3 *db, const char *sql, unsigned flags);

bool answer_same(const struct answer *a, const struct answer *b);

#endif /* TXKV_TEST_ANSWER_H */
