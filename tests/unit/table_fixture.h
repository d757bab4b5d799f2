/*
 * table_fixture.h - the test's store from C, beside the connections of sql_fixture.h.
 */
#ifndef TABLE_FIXTURE_H
#define TABLE_FIXTURE_H

#include "sql_fixture.h"

#include "../../src/txkv.h"

static struct txkv *store; /* a handle of the test's store, from C */
static struct txkv_session *session;
static struct txkv_error err;

#define OK(call) assert_int_equal((call), TXKV_OK)

static inline const char *
store_dir(void)
{
    static char path[TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%u", dir, stores);
    return path;
}

static inline void
open_store(void)
{
    OK(txkv_open(store_dir(), NULL, &store, &err));
    OK(txkv_session_open(store, &session, &err));
}

static inline void
close_store(void)
{
    txkv_session_close(session);
    OK(txkv_close(store, &err));
}

static inline void
close_both(sqlite3 *db)
{
    close_store();
    sqlite3_close(db);
}

static inline uint32_t
number_of(const char *name)
{
    uint32_t number = 0;

    OK(txkv_table(store, name, NULL, false, &number, &err));
    return number;
}

/* The statement with the store's directory for each @. */
static inline const char *
with_dir(const char *sql)
{
    static char texts[4][2 * TEXT_BYTES];
    static unsigned next;
    char *text = texts[next++ % 4];

    text[0] = '\0';
    for (const char *p = sql; *p != '\0'; p++) {
        const char letter[] = { *p, '\0' };

        (void)strncat(text, *p == '@' ? store_dir() : letter, sizeof texts[0] - strlen(text) - 1);
    }
    return text;
}

static const char *const declared =
    "CREATE VIRTUAL TABLE temp.u USING txkv('@', id INTEGER PRIMARY KEY, n TEXT UNIQUE, INDEX(n));"
    "INSERT INTO u VALUES(1, 'x')";

#endif /* TABLE_FIXTURE_H */
