/*
 * sltgen.c - see sltgen.h: tables, indexes, rows, and the file.
 */
#include "sltgen.h"

#include <stdlib.h>
#include <string.h>

#include "../support/sql.h"
#include "sltresult.h"

enum { HASH_THRESHOLD = 12, ROWS_AT_FIRST = 25, IDS_MAX = 60, LONG_TEXT = 2000 };

uint32_t
gen_roll(struct gen *g, uint32_t n)
{
    return rng_below(&g->rng, n);
}

const char *
gen_table(struct gen *g, int i)
{
    static const char *const names[GEN_TABLES] = { "t0", "t1", "t2", "t3" };

    i = i < 0 ? (int)gen_roll(g, GEN_TABLES) : i;
    return i == GEN_TABLES - 1 && g->has_native ? "native3" : names[i];
}

void
gen_value(struct gen *g, char column, bool may_be_null)
{
    static const char *const texts[] = { "''",    "'a'",  "'ab'",  "'abc'", "'abd'", "'b'",
                                         "'ba'",  "'B'",  "'Ab'",  "'10'",  "'9'",   "'a%c'",
                                         "'a_c'", "'zz'", "'a b'", "'~'",   "'-1'",  "'1.5'" };
    static const char *const names[] = { "'Ann'", "'Bob'",  "'Cyd'", "'Dan'", "'eve'",
                                         "'Fay'", "'anna'", "'BO'",  "'x y'" };

    if (may_be_null && gen_roll(g, 8) == 0)
        buffer_add(&g->sql, "NULL");
    else if (column == 's' && gen_roll(g, 15) == 0) /* two that begin alike, one shorter */
        buffer_add(&g->sql, "printf('%%.%dc', 'k')%s", LONG_TEXT - (int)gen_roll(g, 2),
                   gen_roll(g, 2) == 0 ? " || 'a'" : "");
    else if (column == 's')
        buffer_add(&g->sql, "%s", texts[gen_roll(g, sizeof texts / sizeof texts[0])]);
    else if (column == 'n')
        buffer_add(&g->sql, "%s", names[gen_roll(g, sizeof names / sizeof names[0])]);
    else if (column == 'r')
        buffer_add(&g->sql, "%d.%s", (int)gen_roll(g, 12) - 2,
                   gen_roll(g, 2) == 0 ? "0" : (gen_roll(g, 2) == 0 ? "25" : "5"));
    else if (gen_roll(g, 40) == 0)
        buffer_add(&g->sql, "%s", gen_roll(g, 2) == 0 ? "1000000000000" : "-1000000");
    else if (gen_roll(g, 12) == 0)
        buffer_add(&g->sql, "'%u'", gen_roll(g, 16));
    else
        buffer_add(&g->sql, "%d", (int)gen_roll(g, column == 'j' ? 6 : 18) - 2);
}

/* ---- records ---- */

static bool
write_statement(struct gen *g)
{
    const int rc = sqlite3_exec(g->db, g->sql.data, NULL, NULL, NULL);

    (void)fprintf(g->out, "statement %s\n%s\n\n", rc == SQLITE_OK ? "ok" : "error", g->sql.data);
    return rc == SQLITE_OK;
}

static void
write_query(struct gen *g)
{
    struct slt_record record = { .kind = SLT_QUERY };
    struct buffer values = { NULL, 0, 0 }, summary = { NULL, 0, 0 };
    const char *sort;
    size_t count;

    buffer_clear(&g->sql);
    gen_query(g, record.types, &sort);
    record.sql = g->sql.data;
    record.sort = strcmp(sort, "rowsort") == 0 ? SLT_ROWSORT : SLT_NOSORT;
    if (slt_query(g->db, &record, &values, &count)) {
        slt_summarize(&values, count, HASH_THRESHOLD, &summary);
        (void)fprintf(g->out, "query %s %s\n%s\n----\n%s\n", record.types, sort, record.sql,
                      summary.data);
    } else {
        if (strstr(values.data, "overflow") == NULL) /* the only error that a query may have */
            test_die("%s: %s", record.sql, values.data);
        (void)fprintf(g->out, "statement error\n%s\n\n", record.sql);
    }
    free(values.data);
    free(summary.data);
}

/* ---- tables ---- */

static void
create_table(struct gen *g, int i)
{
    static const char *const integers[] = { "INT", "INTEGER", "BIGINT", "NUMERIC" };
    static const char *const reals[] = { "REAL", "DOUBLE", "FLOAT" };
    static const char *const keys[] = { ", PRIMARY KEY(id)) WITHOUT ROWID",
                                        ", PRIMARY KEY(s, id)) WITHOUT ROWID",
                                        ", PRIMARY KEY(i, j, id)) WITHOUT ROWID",
                                        ", PRIMARY KEY(n, j, id)) WITHOUT ROWID",
                                        ")",
                                        ", UNIQUE(id))",
                                        ", UNIQUE(j, id))" };
    const uint32_t kind = gen_roll(g, 9);
    const char *key = kind < 2 ? ")" : keys[kind - 2];

    g->keyed_by_id[i] = kind < 3 || kind == 7;
    g->texts_are_key[i] = kind == 3 || kind == 5;
    g->numbers_are_key[i] = kind == 4 || kind == 5 || kind == 8;
    buffer_clear(&g->sql);
    buffer_add(&g->sql,
               "CREATE TABLE %s(id %s, i %s%s, j %s, s %s%s, n TEXT COLLATE NOCASE, r %s%s",
               gen_table(g, i), kind < 2 ? "INTEGER PRIMARY KEY" : "INT", integers[gen_roll(g, 4)],
               gen_roll(g, 6) == 0 ? " NOT NULL" : "", integers[gen_roll(g, 4)],
               gen_roll(g, 2) == 0 ? "TEXT" : "VARCHAR(10)", gen_roll(g, 6) == 0 ? " NOT NULL" : "",
               reals[gen_roll(g, 3)], key);
    write_statement(g);
}

static void
create_index(struct gen *g)
{
    static const char *const columns[] = { "i",      "j",         "s",    "n",    "r",
                                           "i, j",   "j, i",      "n, i", "s, j", "j, s, i",
                                           "r DESC", "i DESC, s", "s, n", "j, r", "n, s, j",
                                           "id",     "id, i",     "i, id" };

    const char *column = columns[gen_roll(g, sizeof columns / sizeof columns[0])];
    const int table = (int)gen_roll(g, GEN_TABLES);
    const bool unique = gen_roll(g, 6) == 0; /* it may be contradicted */

    buffer_clear(&g->sql);
    if (gen_roll(g, 3) == 0) {
        buffer_add(&g->sql, "DROP INDEX IF EXISTS x%u", gen_roll(g, (uint32_t)g->next_index + 1));
        (void)write_statement(g);
        return;
    }
    buffer_add(&g->sql, "CREATE %sINDEX x%d ON %s(%s)", unique ? "UNIQUE " : "", g->next_index++,
               gen_table(g, table), column);
    if (!write_statement(g) || !unique)
        return;
    for (const char *c = "ijsnr"; *c != '\0'; c++)
        if (strchr(column, *c) != NULL && strchr(g->unique[table], *c) == NULL)
            g->unique[table][strlen(g->unique[table])] = *c;
}

/* ---- rows ---- */

static void
add_row(struct gen *g, bool new_id)
{
    static const char columns[] = "ijsnr";

    buffer_add(&g->sql, "(%d",
               new_id ? ++g->next_id : 1 + (int)gen_roll(g, (uint32_t)g->next_id + 3));
    for (const char *c = columns; *c != '\0'; c++) {
        buffer_add(&g->sql, ", ");
        gen_value(g, *c, true);
    }
    buffer_add(&g->sql, ")");
}

static void
insert_rows(struct gen *g)
{
    static const char *const words[] = { "INSERT",         "INSERT OR IGNORE", "INSERT OR REPLACE",
                                         "INSERT OR FAIL", "INSERT OR ABORT",  "REPLACE" };
    const char *word = words[gen_roll(g, sizeof words / sizeof words[0])];
    const uint32_t rows = 1 + gen_roll(g, 4);

    buffer_add(&g->sql, "%s INTO %s VALUES", word, gen_table(g, -1));
    for (uint32_t i = 0; i < rows; i++) {
        buffer_add(&g->sql, "%s", i == 0 ? "" : ", ");
        add_row(g, gen_roll(g, 3) != 0);
    }
}

/* From a table, also from the one that is written. */
static void
insert_select(struct gen *g)
{
    buffer_add(&g->sql, "INSERT OR IGNORE INTO %s SELECT id + %u, i, j, s, n, r FROM %s",
               gen_table(g, -1), 100 + gen_roll(g, 3), gen_table(g, -1));
    buffer_add(&g->sql, " WHERE id < %d AND ", IDS_MAX);
    gen_predicate(g, "", 1);
    buffer_add(&g->sql, " ORDER BY id, i, j, s, n, r LIMIT %u", 1 + gen_roll(g, 8));
}

static void
delete_rows(struct gen *g)
{
    buffer_add(&g->sql, "DELETE FROM %s WHERE ", gen_table(g, -1));
    gen_predicate(g, "", 1);
    buffer_add(&g->sql, " AND ");
    gen_predicate(g, "", 1);
    buffer_add(&g->sql, " AND id %% 3 = %u", gen_roll(g, 3));
}

/* An UPDATE of several rows that moves them over each other in a UNIQUE depends on their order. */
static bool
may_change(const struct gen *g, int table, const char *columns)
{
    const bool key = (g->texts_are_key[table] && strpbrk(columns, "s") != NULL) ||
                     (g->numbers_are_key[table] && strpbrk(columns, "ij") != NULL);

    return !key && strpbrk(g->unique[table], columns) == NULL;
}

static void
update_rows(struct gen *g)
{
    const int i = (int)gen_roll(g, GEN_TABLES);
    const uint32_t kind = gen_roll(g, g->keyed_by_id[i] ? 5 : 4);
    const char *table = gen_table(g, i);

    if (kind == 4) { /* one row, and anything of it */
        buffer_add(&g->sql,
                   "UPDATE OR %s %s SET id = %u, i = ", gen_roll(g, 2) == 0 ? "REPLACE" : "IGNORE",
                   table, 1 + gen_roll(g, IDS_MAX));
        gen_value(g, 'i', true);
        buffer_add(&g->sql, " WHERE id = %u", 1 + gen_roll(g, IDS_MAX));
        return;
    }
    if (kind == 0 && may_change(g, i, "s")) {
        buffer_add(&g->sql, "UPDATE %s SET s = coalesce(s, '') || 'a' WHERE length(s) < 5 AND ",
                   table);
    } else if (kind == 1 && may_change(g, i, "ij")) {
        buffer_add(&g->sql, "UPDATE %s SET i = j, j = i %% 6 WHERE i < 1000 AND ", table);
    } else if (kind == 2 && may_change(g, i, "r")) {
        buffer_add(&g->sql,
                   "UPDATE %s SET r = (SELECT max(y.r) FROM %s AS y WHERE y.i = %s.i) WHERE ",
                   table, gen_table(g, -1), table);
    } else if (may_change(g, i, "r")) {
        buffer_add(&g->sql, "UPDATE %s SET r = coalesce(r, 0) + 0.25 WHERE ", table);
    } else {
        delete_rows(g);
        return;
    }
    gen_predicate(g, "", 1);
}

static void
change(struct gen *g)
{
    static const char *const control[] = { "BEGIN",  "COMMIT",        "ROLLBACK", "SAVEPOINT a",
                                           "COMMIT", "ROLLBACK TO a", "RELEASE a" };

    buffer_clear(&g->sql);
    switch (gen_roll(g, 10)) {
    case 0:
    case 1:
    case 2:
        insert_rows(g);
        break;
    case 3:
        insert_select(g);
        break;
    case 4:
    case 5:
    case 6:
        update_rows(g);
        break;
    case 7:
        delete_rows(g);
        break;
    case 8:
        buffer_add(&g->sql, "%s", control[gen_roll(g, sizeof control / sizeof control[0])]);
        break;
    default:
        if (sqlite3_get_autocommit(g->db)) {
            create_index(g);
            return;
        }
        buffer_add(&g->sql, "COMMIT");
    }
    write_statement(g);
}

void
slt_generate(uint64_t seed, uint64_t records, FILE *out)
{
    struct gen g = { .db = sql_open(0), .out = out, .has_native = seed % 2 == 0 };

    rng_seed(&g.rng, seed);
    (void)fprintf(out, "# seed %llu, SQLite %s\nhash-threshold %d\n\n", (unsigned long long)seed,
                  sqlite3_libversion(), HASH_THRESHOLD);
    for (int i = 0; i < GEN_TABLES; i++) {
        create_table(&g, i);
        for (int row = 0; row < ROWS_AT_FIRST; row++) {
            buffer_clear(&g.sql);
            buffer_add(&g.sql, "INSERT OR IGNORE INTO %s VALUES", gen_table(&g, i));
            add_row(&g, true);
            write_statement(&g);
        }
        g.next_id -= (int)gen_roll(&g, ROWS_AT_FIRST);
        create_index(&g);
    }
    for (uint64_t i = 0; i < records; i++)
        if (gen_roll(&g, 5) == 0)
            change(&g);
        else
            write_query(&g);
    (void)sqlite3_close(g.db);
    free(g.sql.data);
}
