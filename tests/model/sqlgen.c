/*
 * sqlgen.c - see sqlgen.h.
 */
#include "sqlgen.h"

#include <stdio.h>
#include <string.h>

static struct rng *rng;

static uint32_t
roll(uint32_t n)
{
    return rng_below(rng, n);
}

/* A key out of few, so that statements meet; the types and their borders all occur. */
static void
add_key(struct text *t)
{
    static const char *const odd[] = { "9007199254740991",
                                       "9007199254740992",
                                       "9007199254740993",
                                       "9007199254740992.0",
                                       "-9007199254740993",
                                       "9223372036854775807",
                                       "9223372036854775806",
                                       "9223372036854775807.0",
                                       "-9223372036854775807",
                                       "(-9223372036854775807 - 1)",
                                       "-9223372036854775808.0",
                                       "-0.0",
                                       "0.0",
                                       "0",
                                       "1e300",
                                       "-1e300",
                                       "9e999",
                                       "-9e999",
                                       "5e-324",
                                       "0.1",
                                       "1e18",
                                       "1000000000000000000" };
    static const char *const texts[] = { "''",       "'a'",        "'ab'",      "'abc'", "'A'",
                                         "'b'",      "'user:1'",   "'user:12'", "'1'",   "'1.0'",
                                         "'user:2'", "'\xc3\xa9'", "'us'",      "'~'",   "'Z'" };
    static const char *const blobs[] = { "x''",     "x'00'", "x'0000'", "x'61'",
                                         "x'6162'", "x'ff'", "x'ffff'" };

    switch (roll(20)) {
    case 0:
    case 1:
        text_add(t, "%s", odd[roll(sizeof odd / sizeof odd[0])]);
        break;
    case 2:
    case 3:
    case 4:
        text_add(t, "%s", texts[roll(sizeof texts / sizeof texts[0])]);
        break;
    case 5:
        text_add(t, "%s", blobs[roll(sizeof blobs / sizeof blobs[0])]);
        break;
    case 6:
    case 7:
        text_add(t, "%d.%d", (int)roll(20) - 5, (int)roll(2) * 5);
        break;
    case 8:
        text_add(t, "'k%u'", roll(30));
        break;
    default:
        text_add(t, "%d", (int)roll(40) - 8);
    }
}

static void
add_insert_key(struct text *t)
{
    if (roll(60) == 0)
        text_add(t, "NULL");
    else
        add_key(t);
}

static void
add_value(struct text *t)
{
    switch (roll(9)) {
    case 0:
        text_add(t, "NULL");
        break;
    case 1:
        text_add(t, "''");
        break;
    case 2:
        text_add(t, "zeroblob(%u)", roll(40));
        break;
    case 3:
        text_add(t, "CAST(hex(zeroblob(%u)) AS BLOB)", roll(3) == 0 ? roll(6000) : roll(10));
        break;
    case 4:
        text_add(t, "'v%u'", roll(1000));
        break;
    case 5:
        text_add(t, "%u.25", roll(100));
        break;
    default:
        add_key(t);
    }
}

static const char *
conflict_word(void)
{
    static const char *const words[] = { "",         "",          " OR REPLACE", " OR IGNORE",
                                         " OR FAIL", " OR ABORT", " OR ROLLBACK" };

    return words[roll(sizeof words / sizeof words[0])];
}

static void
add_where(struct text *t)
{
    static const char *const compare[] = { "=", "<", "<=", ">", ">=", "=", "IS", "<>" };
    static const char *const globs[] = {
        "'user:*'", "'a*'", "'k1*'", "'*1'", "'1*'", "'k?'", "'*'"
    };

    switch (roll(9)) {
    case 0:
    case 1:
    case 2:
        text_add(t, "key %s ", compare[roll(sizeof compare / sizeof compare[0])]);
        add_key(t);
        break;
    case 3:
    case 4:
        text_add(t, "key %s ", roll(2) == 0 ? ">" : ">=");
        add_key(t);
        text_add(t, " AND key %s ", roll(2) == 0 ? "<" : "<=");
        add_key(t);
        break;
    case 5:
        text_add(t, "key BETWEEN ");
        add_key(t);
        text_add(t, " AND ");
        add_key(t);
        break;
    case 6:
        text_add(t, "key IN (");
        for (uint32_t i = roll(4); i > 0; i--) {
            add_key(t);
            text_add(t, ", ");
        }
        add_key(t);
        text_add(t, ")");
        break;
    case 7:
        text_add(t, "key GLOB %s", globs[roll(sizeof globs / sizeof globs[0])]);
        break;
    default:
        text_add(t, "typeof(value) = '%s'", roll(2) == 0 ? "text" : "blob");
    }
}

static void
make_insert(struct text *t)
{
    const uint32_t rows = roll(3) == 0 ? 2 + roll(5) : 1;

    if (roll(12) == 0) {
        text_add(t, "INSERT%s INTO kv SELECT key || 'x', value FROM kv WHERE ", conflict_word());
        add_where(t);
        text_add(t, " ORDER BY key LIMIT %u", roll(5));
        return;
    }
    if (roll(12) == 0) {
        text_add(t, "INSERT%s INTO kv SELECT id, ref FROM j WHERE id < %u ORDER BY id",
                 conflict_word(), roll(8));
        return;
    }
    if (roll(5) == 0)
        text_add(t, "REPLACE INTO kv VALUES");
    else
        text_add(t, "INSERT%s INTO kv(key, value) VALUES", conflict_word());
    for (uint32_t i = 0; i < rows; i++) {
        text_add(t, "%s(", i == 0 ? "" : ", ");
        add_insert_key(t);
        text_add(t, ", ");
        add_value(t);
        text_add(t, ")");
    }
}

static void
make_update(struct text *t, uint64_t number)
{
    switch (roll(6)) {
    case 0: /* One row gets another key, which may be taken. */
        text_add(t, "UPDATE%s kv SET key = ", conflict_word());
        add_insert_key(t);
        text_add(t, " WHERE key = ");
        add_key(t);
        break;
    case 1: /* Many rows move where no row is. */
        text_add(t,
                 "UPDATE kv SET key = 'moved' || %llu || '.' || substr(quote(key), 1, 40) WHERE ",
                 (unsigned long long)number);
        add_where(t);
        break;
    case 2: /* Key and value of one row. */
        text_add(t, "UPDATE%s kv SET key = ", conflict_word());
        add_key(t);
        text_add(t, ", value = ");
        add_value(t);
        text_add(t, " WHERE key = ");
        add_key(t);
        break;
    case 3:
        text_add(
            t, "UPDATE kv SET value = typeof(key) || quote(value) WHERE length(value) < 100 AND ");
        add_where(t);
        break;
    default:
        text_add(t, "UPDATE%s kv SET value = ", conflict_word());
        add_value(t);
        text_add(t, " WHERE ");
        add_where(t);
    }
}

static void
make_delete(struct text *t)
{
    if (roll(40) == 0) {
        text_add(t, "DELETE FROM kv");
    } else if (roll(6) == 0) {
        text_add(t, "DELETE FROM kv WHERE key IN (SELECT key FROM kv WHERE ");
        add_where(t);
        text_add(t, " ORDER BY key DESC LIMIT %u)", roll(6));
    } else if (roll(3) == 0) {
        text_add(t, "DELETE FROM kv WHERE key GLOB 'moved*' OR key GLOB '*x'");
    } else {
        text_add(t, "DELETE FROM kv WHERE ");
        add_where(t);
    }
}

static void
make_select(struct text *t)
{
    static const char *const aggregates[] = {
        "count(*), min(key), max(key)",
        "count(value), sum(length(value)), total(length(key))",
        "min(value), max(value), count(DISTINCT typeof(key))",
        "group_concat(DISTINCT typeof(value))",
        "avg(length(key)), max(length(value))",
        "min(key)",
        "max(key)",
    };
    const char *direction = roll(2) == 0 ? "ASC" : "DESC";

    switch (roll(9)) {
    case 0:
        text_add(t, "SELECT %s FROM kv WHERE ",
                 aggregates[roll(sizeof aggregates / sizeof aggregates[0])]);
        add_where(t);
        break;
    case 1:
        text_add(t, "SELECT %s FROM kv",
                 aggregates[roll(sizeof aggregates / sizeof aggregates[0])]);
        break;
    case 2:
        text_add(t,
                 "SELECT kv.key, j.id, j.ref, value FROM j %s JOIN kv ON kv.key = j.ref ORDER BY "
                 "j.id, kv.key",
                 roll(2) == 0 ? "LEFT" : "");
        break;
    case 3:
        text_add(t,
                 "SELECT a.key, b.key FROM kv a JOIN kv b ON b.key > a.key WHERE typeof(a.key) = "
                 "'real' ORDER BY a.key %s, b.key %s LIMIT 20",
                 direction, direction);
        break;
    case 4:
        text_add(t, "SELECT typeof(value), count(*), min(key), max(key) FROM kv WHERE ");
        add_where(t);
        text_add(t, " GROUP BY 1 ORDER BY 1");
        break;
    case 5:
        text_add(t, "SELECT value FROM kv WHERE key = ");
        add_key(t);
        break;
    case 6:
        text_add(t, "SELECT DISTINCT typeof(key), value FROM kv WHERE ");
        add_where(t);
        text_add(t, " ORDER BY 1, 2 LIMIT 10");
        break;
    default:
        text_add(t, "SELECT key, typeof(key), value FROM kv WHERE ");
        add_where(t);
        if (roll(3) == 0) {
            text_add(t, " AND ");
            add_where(t);
        }
        text_add(t, " ORDER BY key %s", direction);
        if (roll(2) == 0)
            text_add(t, " LIMIT %u", roll(6));
        if (roll(4) == 0 && strstr(t->data, "LIMIT") != NULL)
            text_add(t, " OFFSET %u", roll(5));
    }
}

static void
make_control(struct text *t)
{
    static const char *const begins[] = { "BEGIN", "BEGIN IMMEDIATE", "BEGIN" };
    const char point = (char)('a' + roll(3));

    switch (roll(10)) {
    case 0:
    case 1:
    case 2:
        text_add(t, "%s", begins[roll(3)]);
        break;
    case 3:
    case 4:
        text_add(t, "COMMIT");
        break;
    case 5:
        text_add(t, "ROLLBACK");
        break;
    case 6:
    case 7:
        text_add(t, "SAVEPOINT %c", point);
        break;
    case 8:
        text_add(t, "ROLLBACK TO %c", point);
        break;
    default:
        text_add(t, "RELEASE %c", point);
    }
}

void
sql_random(struct rng *from, uint64_t number, struct text *t)
{
    uint32_t dice;

    rng = from;
    dice = roll(100);
    t->used = 0;
    t->data[0] = '\0';
    if (dice < 30)
        make_insert(t);
    else if (dice < 42)
        make_update(t, number);
    else if (dice < 50)
        make_delete(t);
    else if (dice < 82)
        make_select(t);
    else if (dice < 97)
        make_control(t);
    else
        text_add(t, "REPLACE INTO j VALUES(%u, %u)", roll(10), roll(30));
}
