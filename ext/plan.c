/*
 * plan.c - xBestIndex: which of a query's terms on the key the scan takes over.
 */
#include "plan.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEY_COLUMN = 0, NONE = -1 };

/*
 * A table is never taken for smaller than this: a prepared statement may be kept while the table
 * grows, and a join that walks over it for each row of another table cannot be made good then.
 */
static const double rows_min = 1000.0;

/* Placing a cursor costs about as much as stepping over this many rows. */
static const double seek_cost = 5.0;

/* The first usable term of each kind, or NONE. */
struct terms {
    int equal, low, high;
};

static bool
is_binary(sqlite3_index_info *info, int term)
{
    const char *collation = sqlite3_vtab_collation(info, term);

    return collation == NULL || sqlite3_stricmp(collation, "BINARY") == 0;
}

static void
note_first(int *place, int term)
{
    if (*place == NONE)
        *place = term;
}

static struct terms
find_terms(sqlite3_index_info *info)
{
    struct terms terms = { NONE, NONE, NONE };

    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *term = &info->aConstraint[i];

        if (!term->usable || term->iColumn != KEY_COLUMN)
            continue;
        switch (term->op) {
        case SQLITE_INDEX_CONSTRAINT_EQ:
        case SQLITE_INDEX_CONSTRAINT_IS: /* no key is NULL, so it is the same */
            if (is_binary(info, i))
                note_first(&terms.equal, i);
            break;
        case SQLITE_INDEX_CONSTRAINT_GT:
        case SQLITE_INDEX_CONSTRAINT_GE:
            if (is_binary(info, i))
                note_first(&terms.low, i);
            break;
        case SQLITE_INDEX_CONSTRAINT_LT:
        case SQLITE_INDEX_CONSTRAINT_LE:
            if (is_binary(info, i))
                note_first(&terms.high, i);
            break;
        default:
            break;
        }
    }
    return terms;
}

static void
take(sqlite3_index_info *info, int term, int *arguments)
{
    info->aConstraintUsage[term].argvIndex = ++*arguments;
    info->aConstraintUsage[term].omit = 1;
}

static void
take_range(sqlite3_index_info *info, const struct terms *terms, double *rows)
{
    int arguments = 0;

    if (terms->low != NONE) {
        info->idxNum |= TX_PLAN_LOW;
        if (info->aConstraint[terms->low].op == SQLITE_INDEX_CONSTRAINT_GT)
            info->idxNum |= TX_PLAN_LOW_OPEN;
        take(info, terms->low, &arguments);
        *rows /= 4; /* SQLite's own guess for one inequality */
    }
    if (terms->high != NONE) {
        info->idxNum |= TX_PLAN_HIGH;
        if (info->aConstraint[terms->high].op == SQLITE_INDEX_CONSTRAINT_LT)
            info->idxNum |= TX_PLAN_HIGH_OPEN;
        take(info, terms->high, &arguments);
        *rows /= 4;
    }
}

void
tx_plan_make(sqlite3_index_info *info, sqlite3_uint64 rows)
{
    const struct terms terms = find_terms(info);
    double wanted = (double)rows < rows_min ? rows_min : (double)rows;
    int arguments = 0;

    info->idxNum = 0;
    if (terms.equal != NONE) {
        info->idxNum = TX_PLAN_EQUAL;
        take(info, terms.equal, &arguments);
        info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
        info->orderByConsumed = 1; /* one row is in any order */
        wanted = 1.0;
    } else {
        take_range(info, &terms, &wanted);
        /* Keys are unique, so what comes after the key in ORDER BY decides nothing. */
        if (info->nOrderBy > 0 && info->aOrderBy[0].iColumn == KEY_COLUMN) {
            info->orderByConsumed = 1;
            if (info->aOrderBy[0].desc)
                info->idxNum |= TX_PLAN_REVERSE;
        }
    }
    info->estimatedCost = seek_cost + wanted;
    info->estimatedRows = (sqlite3_int64)wanted;
}
