/*
 * rowplan.c - xBestIndex for a table with declared columns.
 */
#include "rowplan.h"

enum { NONE = -2, MASK_SHIFT = 10, MASK_BITS = TX_KEY_COLUMNS_MAX, FLAG_SHIFT = 20 };

/* As plan.c: what a prepared statement may meet later. */
static const double rows_min = 1000.0;

/* Placing a cursor, and fetching the row of an index's entry, in steps over a row. */
static const double seek_cost = 5.0;
static const double fetch_cost = 3.0;

/* How many rows one value of an index's first column is taken to have, without statistics. */
static const double rows_of_value = 10.0;

/* What is looked at within one xBestIndex. */
struct planner {
    sqlite3_index_info *info;
    const struct tx_table *table;
    const struct tx_shape *shape;
    double table_rows;
};

/* One way to do it. */
struct candidate {
    struct tx_rowplan plan;
    int equal_terms[TX_KEY_COLUMNS_MAX];
    int low_term, high_term;
    bool certain; /* every equality means the one value that xFilter gets */
    bool one_row, ordered;
    double rows, cost;
};

int
tx_rowplan_pack(const struct tx_rowplan *plan)
{
    const unsigned flags = (unsigned)plan->low | (unsigned)plan->low_open << 1 |
                           (unsigned)plan->high << 2 | (unsigned)plan->high_open << 3 |
                           (unsigned)plan->reverse << 4;

    return (int)((unsigned)plan->path | (unsigned)plan->equal << 6 | plan->is_mask << MASK_SHIFT |
                 flags << FLAG_SHIFT);
}

void
tx_rowplan_unpack(int number, struct tx_rowplan *out)
{
    const unsigned bits = (unsigned)number, flags = bits >> FLAG_SHIFT;

    *out = (struct tx_rowplan){ .path = (int)(bits & 63),
                                .equal = (int)(bits >> 6 & 15),
                                .is_mask = bits >> MASK_SHIFT & ((1u << MASK_BITS) - 1),
                                .low = (flags & 1) != 0,
                                .low_open = (flags & 2) != 0,
                                .high = (flags & 4) != 0,
                                .high_open = (flags & 8) != 0,
                                .reverse = (flags & 16) != 0 };
}

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

static const struct tx_key *
path_key(const struct tx_shape *shape, int path)
{
    return path == 0 ? &shape->primary : &shape->indexes[path - 1];
}

/* ---- terms ---- */

/* The rowid and the column that shows it are one. */
static int
column_of(const struct planner *p, int column)
{
    if (column == TX_ROWID_COLUMN && p->shape->row_key == TX_ROW_KEY_ROWID)
        return p->shape->primary.columns[0];
    return column;
}

/* A key has one collation; a term that compares by another is left to SQLite. */
static bool
same_collation(const struct planner *p, int term, int column)
{
    static const char *const names[] = { "BINARY", "NOCASE", "RTRIM" };
    const char *collation = sqlite3_vtab_collation(p->info, term);

    return sqlite3_stricmp(collation == NULL ? "BINARY" : collation,
                           names[tx_shape_collation(p->shape, column)]) == 0;
}

/* The first usable term of one of two kinds on the column, or NONE. */
static int
find_term(const struct planner *p, int column, int op, int other_op)
{
    for (int i = 0; i < p->info->nConstraint; i++) {
        const struct sqlite3_index_constraint *term = &p->info->aConstraint[i];

        if (term->usable && (term->op == op || term->op == other_op) &&
            column_of(p, term->iColumn) == column && same_collation(p, i, column))
            return i;
    }
    return NONE;
}

static int
find_null_term(const struct planner *p, int column)
{
    for (int i = 0; i < p->info->nConstraint; i++) {
        const struct sqlite3_index_constraint *term = &p->info->aConstraint[i];

        if (term->usable && term->op == SQLITE_INDEX_CONSTRAINT_ISNULL &&
            column_of(p, term->iColumn) == column)
            return i;
    }
    return NONE;
}

/* Whether the term can only mean the value that xFilter gets: see rowplan.h. */
static bool
is_certain(const struct planner *p, int term, int column)
{
    sqlite3_value *value;

    if (tx_shape_affinity(p->shape, column) != TX_AFFINITY_TEXT)
        return true;
    return sqlite3_vtab_rhs_value(p->info, term, &value) == SQLITE_OK &&
           (sqlite3_value_type(value) == SQLITE_TEXT || sqlite3_value_type(value) == SQLITE_BLOB);
}

static void
find_equalities(const struct planner *p, const struct tx_key *key, struct candidate *c)
{
    for (int i = 0; i < key->count; i++) {
        const int column = key->columns[i];
        int term = find_term(p, column, SQLITE_INDEX_CONSTRAINT_EQ, SQLITE_INDEX_CONSTRAINT_EQ);

        if (term == NONE) {
            term = find_term(p, column, SQLITE_INDEX_CONSTRAINT_IS, SQLITE_INDEX_CONSTRAINT_IS);
            if (term == NONE)
                term = find_null_term(p, column);
            if (term != NONE)
                c->plan.is_mask |= 1u << i;
        }
        if (term == NONE)
            return;
        c->certain =
            c->certain && (p->info->aConstraint[term].op == SQLITE_INDEX_CONSTRAINT_ISNULL ||
                           is_certain(p, term, column));
        c->equal_terms[c->plan.equal++] = term;
    }
}

static void
find_range(const struct planner *p, const struct tx_key *key, struct candidate *c)
{
    const int column = key->columns[c->plan.equal];

    c->low_term = find_term(p, column, SQLITE_INDEX_CONSTRAINT_GT, SQLITE_INDEX_CONSTRAINT_GE);
    c->high_term = find_term(p, column, SQLITE_INDEX_CONSTRAINT_LT, SQLITE_INDEX_CONSTRAINT_LE);
    if (c->low_term != NONE) {
        c->plan.low = true;
        c->plan.low_open = p->info->aConstraint[c->low_term].op == SQLITE_INDEX_CONSTRAINT_GT;
    }
    if (c->high_term != NONE) {
        c->plan.high = true;
        c->plan.high_open = p->info->aConstraint[c->high_term].op == SQLITE_INDEX_CONSTRAINT_LT;
    }
}

/* ---- order ---- */

/* The columns that the path is ordered by: an index's, and then those of the primary key. */
static int
order_column(const struct planner *p, int path, int place)
{
    const struct tx_key *key = path_key(p->shape, path);

    if (place < key->count)
        return key->columns[place];
    place -= key->count;
    return path > 0 && place < p->shape->primary.count ? p->shape->primary.columns[place] : NONE;
}

static bool
is_equal_column(const struct candidate *c, const struct tx_key *key, int column)
{
    for (int i = 0; c->certain && i < c->plan.equal; i++)
        if (key->columns[i] == column)
            return true;
    return false;
}

/*
 * Whether the path, forwards or backwards, has the order that is asked for. Columns that are equal
 * to one value count neither way; behind the path's last column no two rows are left to order.
 */
static void
find_order(const struct planner *p, struct candidate *c)
{
    const struct tx_key *key = path_key(p->shape, c->plan.path);
    int place = 0, directed = 0;

    c->ordered = true;
    for (int i = 0; i < p->info->nOrderBy && !c->one_row; i++) {
        const int column = column_of(p, p->info->aOrderBy[i].iColumn);
        const bool reverse = p->info->aOrderBy[i].desc != 0;
        int next;

        if (is_equal_column(c, key, column))
            continue;
        do
            next = order_column(p, c->plan.path, place++);
        while (next != NONE && next != column && is_equal_column(c, key, next));
        if (next == NONE)
            break;
        if (next != column || (directed++ > 0 && c->plan.reverse != reverse)) {
            c->ordered = false;
            c->plan.reverse = false;
            return;
        }
        c->plan.reverse = reverse;
    }
}

/* ---- cost ---- */

static void
set_cost(const struct planner *p, struct candidate *c)
{
    const struct tx_key *key = path_key(p->shape, c->plan.path);
    const bool is_unique = c->plan.path == 0 || (key->unique && c->plan.is_mask == 0);
    double rows = p->table_rows;

    if (c->plan.equal == key->count && is_unique)
        rows = 1.0;
    else if (c->plan.equal > 0)
        rows = larger(rows_of_value - c->plan.equal + 1, 2.0);
    if (c->plan.low)
        rows /= 4; /* SQLite's own guess for one inequality */
    if (c->plan.high)
        rows /= 4;
    c->one_row = c->plan.equal == key->count && is_unique && c->certain;
    c->rows = larger(rows, 1.0);
    c->cost = seek_cost + c->rows * (c->plan.path == 0 ? 1.0 : 1.0 + fetch_cost);
}

/* The cost with what SQLite would take to sort the rows. */
static double
total_cost(const struct planner *p, const struct candidate *c)
{
    if (p->info->nOrderBy == 0 || c->ordered || c->rows < 2.0)
        return c->cost;
    return c->cost + c->rows * (64 - __builtin_clzll((unsigned long long)c->rows));
}

/* ---- the words ---- */

static void
append_column(sqlite3_str *out, const struct planner *p, int column, const char *compare,
              int *terms)
{
    sqlite3_str_appendf(out, "%s%s%s", *terms == 0 ? " (" : " AND ",
                        tx_shape_column_name(p->shape, column), compare);
    ++*terms;
}

/* "SEARCH users INDEX(name, age) (name=? AND age>?)"; NULL: no memory. */
static char *
describe(const struct planner *p, const struct candidate *c)
{
    const struct tx_key *key = path_key(p->shape, c->plan.path);
    sqlite3_str *out = sqlite3_str_new(NULL);
    const bool is_search = c->plan.equal > 0 || c->plan.low || c->plan.high;
    int terms = 0;

    sqlite3_str_appendf(out, "%s %s", is_search ? "SEARCH" : "SCAN", p->table->name);
    if (c->plan.path > 0) {
        sqlite3_str_appendall(out, key->unique ? " UNIQUE(" : " INDEX(");
        for (int i = 0; i < key->count; i++)
            sqlite3_str_appendf(out, "%s%s", i == 0 ? "" : ", ",
                                tx_shape_column_name(p->shape, key->columns[i]));
        sqlite3_str_appendchar(out, 1, ')');
    } else if (is_search) {
        sqlite3_str_appendall(out, " KEY");
    }
    for (int i = 0; i < c->plan.equal; i++)
        append_column(out, p, key->columns[i], (c->plan.is_mask >> i & 1) != 0 ? " IS ?" : "=?",
                      &terms);
    if (c->plan.low)
        append_column(out, p, key->columns[c->plan.equal], c->plan.low_open ? ">?" : ">=?", &terms);
    if (c->plan.high)
        append_column(out, p, key->columns[c->plan.equal], c->plan.high_open ? "<?" : "<=?",
                      &terms);
    if (terms > 0)
        sqlite3_str_appendchar(out, 1, ')');
    if (c->plan.reverse)
        sqlite3_str_appendall(out, " DESC");
    return sqlite3_str_finish(out);
}

/* ---- the choice ---- */

static struct candidate
try_path(const struct planner *p, int path)
{
    const struct tx_key *key = path_key(p->shape, path);
    struct candidate c = {
        .plan = { .path = path }, .low_term = NONE, .high_term = NONE, .certain = true
    };

    find_equalities(p, key, &c);
    if (c.plan.equal < key->count)
        find_range(p, key, &c);
    set_cost(p, &c);
    find_order(p, &c);
    return c;
}

/*
 * SQLite leaves out its own check of a term that is exact. None is behind an equality that xFilter
 * may widen, for it then leaves out the terms behind.
 */
static void
take(const struct planner *p, int term, bool is_narrow, int *arguments)
{
    const int column = column_of(p, p->info->aConstraint[term].iColumn);

    p->info->aConstraintUsage[term].argvIndex = ++*arguments;
    p->info->aConstraintUsage[term].omit =
        is_narrow && tx_affinity_is_numeric(tx_shape_affinity(p->shape, column));
}

static void
take_all(const struct planner *p, const struct candidate *c)
{
    int arguments = 0;

    for (int i = 0; i < c->plan.equal; i++)
        take(p, c->equal_terms[i], c->certain, &arguments);
    if (c->low_term != NONE)
        take(p, c->low_term, c->certain, &arguments);
    if (c->high_term != NONE)
        take(p, c->high_term, c->certain, &arguments);
}

int
tx_rowplan_make(sqlite3_index_info *info, const struct tx_table *table, uint64_t rows)
{
    const struct planner p = { .info = info,
                               .table = table,
                               .shape = table->relation->shape,
                               .table_rows = larger((double)rows, rows_min) };
    struct candidate best = try_path(&p, 0);

    for (int path = 1; path <= p.shape->index_count; path++) {
        const struct candidate c = try_path(&p, path);

        if (total_cost(&p, &c) < total_cost(&p, &best))
            best = c;
    }
    take_all(&p, &best);
    info->idxNum = tx_rowplan_pack(&best.plan);
    info->idxStr = describe(&p, &best);
    info->needToFreeIdxStr = 1;
    info->orderByConsumed = info->nOrderBy > 0 && best.ordered;
    if (best.one_row)
        info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
    info->estimatedRows = (sqlite3_int64)best.rows;
    info->estimatedCost = best.cost;
    return info->idxStr == NULL ? SQLITE_NOMEM : SQLITE_OK;
}
