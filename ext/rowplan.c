/*
 * rowplan.c - xBestIndex: how a query of one table is answered.
 */
#include "rowplan.h"

#include <math.h>

#include "rowstat.h"

enum { NONE = -2 };

/* As what a table is taken at least: a prepared statement may be kept while the table grows, and a
 * join that walks over it for each row of another table cannot be made good then. */
static const double rows_min = 100.0;

/* Placing a cursor, and fetching the row of an index's entry, in steps over a row. */
static const double seek_cost = 5.0;
static const double fetch_cost = 3.0;

/* A step over an entry of an index, which is shorter than a row. */
static const double entry_cost = 0.9;

/* One row in so many is taken to be within a bound: a little less than would make a search as dear
 * as a scan, since a wrong search costs some times the scan, a wrong scan any number of searches.
 */
static const double rows_of_bound = 5.0;

/* One row in so many is taken to pass an equality that no key helps with, as in SQLite. */
static const double rows_of_check = 4.0;

/* How many values a list is taken to have: SQLite does not tell. */
static const double values_of_list = 10.0;

/* What is looked at within one xBestIndex. */
struct planner {
    sqlite3_index_info *info;
    struct tx_table *table;
    const struct tx_shape *shape;
    double rows_now, table_rows; /* as there are, and as are to be reckoned with */
    double limit;                /* rows that are wanted at most */
    bool has_groups;             /* the order is for GROUP BY or DISTINCT */
    bool own_like, own_glob;     /* SQLite's own functions are asked for */
};

/* One way to do it. */
struct candidate {
    struct tx_rowplan plan;
    int equal_terms[TX_KEY_COLUMNS_MAX];
    int low_term, high_term; /* IS NOT NULL is a low one */
    bool certain;            /* every equality means the one value that xFilter gets */
    bool has_list;
    bool one_row, ordered;
    double rows, cost;
};

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

static double
smaller(double a, double b)
{
    return a < b ? a : b;
}

static bool
is_in_key(const struct tx_key *key, int column)
{
    for (int i = 0; i < key->count; i++)
        if (key->columns[i] == column)
            return true;
    return false;
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

/* Whether it is a term of this kind on the column, and SQLite has its value. */
static bool
is_usable(const struct planner *p, int term, int column, int op)
{
    const struct sqlite3_index_constraint *c = &p->info->aConstraint[term];

    return c->usable && c->op == op && column_of(p, c->iColumn) == column;
}

/* The first usable term of one of two kinds on the column, or NONE. */
static int
find_term(const struct planner *p, int column, int op, int other_op)
{
    for (int i = 0; i < p->info->nConstraint; i++)
        if ((is_usable(p, i, column, op) || is_usable(p, i, column, other_op)) &&
            same_collation(p, i, column))
            return i;
    return NONE;
}

/* The first usable term on the column that does not depend on its collation, or NONE. */
static int
find_any_term(const struct planner *p, int column, int op)
{
    for (int i = 0; i < p->info->nConstraint; i++)
        if (is_usable(p, i, column, op))
            return i;
    return NONE;
}

/* The term that makes the column equal to something: to one value rather than to a list. */
static int
find_equality(const struct planner *p, int column, enum tx_rowplan_kind *kind)
{
    int list = NONE, term;

    for (int i = 0; i < p->info->nConstraint; i++) {
        if (!is_usable(p, i, column, SQLITE_INDEX_CONSTRAINT_EQ) || !same_collation(p, i, column))
            continue;
        *kind = TX_EQUALS;
        if (!sqlite3_vtab_in(p->info, i, -1))
            return i;
        if (list == NONE)
            list = i;
    }
    *kind = TX_IS;
    term = find_term(p, column, SQLITE_INDEX_CONSTRAINT_IS, SQLITE_INDEX_CONSTRAINT_IS);
    if (term == NONE)
        term = find_any_term(p, column, SQLITE_INDEX_CONSTRAINT_ISNULL);
    if (term == NONE) {
        *kind = TX_IN;
        term = list;
    }
    return term;
}

/* Whether the term can only mean the value that xFilter gets: see rowplan.h. */
static bool
is_certain(const struct planner *p, int term, int column)
{
    sqlite3_value *value;

    if (tx_shape_affinity(p->shape, column) != TX_AFFINITY_TEXT ||
        p->info->aConstraint[term].op == SQLITE_INDEX_CONSTRAINT_ISNULL)
        return true;
    return sqlite3_vtab_rhs_value(p->info, term, &value) == SQLITE_OK &&
           (sqlite3_value_type(value) == SQLITE_TEXT || sqlite3_value_type(value) == SQLITE_BLOB);
}

static void
find_equalities(const struct planner *p, const struct tx_key *key, struct candidate *c)
{
    for (int i = 0; i < key->count; i++) {
        enum tx_rowplan_kind kind;
        const int term = find_equality(p, key->columns[i], &kind);

        if (term == NONE)
            return;
        c->certain = c->certain && is_certain(p, term, key->columns[i]);
        c->has_list = c->has_list || kind == TX_IN;
        c->plan.kind[i] = kind;
        c->equal_terms[c->plan.equal++] = term;
    }
}

/*
 * A pattern whose beginning is a range of the column's texts. SQLite makes ranges of patterns, too,
 * but of those alone that it knows when it plans, and of a virtual table's alone that begin with
 * nothing that could be a number.
 */
static int
find_pattern(const struct planner *p, int column, enum tx_rowplan_pattern *pattern)
{
    const enum tx_collation collation = tx_shape_collation(p->shape, column);
    int term = NONE;

    if (tx_shape_affinity(p->shape, column) != TX_AFFINITY_TEXT)
        return NONE;
    if (collation == TX_COLLATION_NOCASE && p->own_like) {
        *pattern = TX_LIKE;
        term = find_any_term(p, column, SQLITE_INDEX_CONSTRAINT_LIKE);
    } else if (collation == TX_COLLATION_BINARY && p->own_glob) {
        *pattern = TX_GLOB;
        term = find_any_term(p, column, SQLITE_INDEX_CONSTRAINT_GLOB);
    }
    if (term == NONE)
        *pattern = TX_NO_PATTERN;
    return term;
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
    if (c->low_term != NONE || c->high_term != NONE)
        return;
    c->low_term = find_pattern(p, column, &c->plan.pattern);
    if (c->low_term != NONE)
        return;
    c->low_term = find_any_term(p, column, SQLITE_INDEX_CONSTRAINT_ISNOTNULL);
    c->plan.not_null = c->low_term != NONE;
}

/* ---- order ---- */

/*
 * The columns that the path is ordered by: an index's, and then those of the primary key. One that
 * comes a second time orders nothing there, which OF_NO_USE says.
 */
enum { OF_NO_USE = -3 };

static int
order_column(const struct planner *p, int path, int place)
{
    const struct tx_key *key = tx_shape_path(p->shape, path);
    int column;

    if (place < key->count)
        return key->columns[place];
    place -= key->count;
    if (path == 0 || place >= p->shape->primary.count)
        return NONE;
    column = p->shape->primary.columns[place];
    return is_in_key(key, column) ? OF_NO_USE : column;
}

/*
 * Whether all rows of the path have one value in the column, as far as their order counts. Groups
 * tell texts apart that are equal to one number.
 */
static bool
is_constant(const struct planner *p, const struct candidate *c, int column)
{
    const struct tx_key *key = tx_shape_path(p->shape, c->plan.path);

    for (int i = 0; i < c->plan.equal && (c->certain || !p->has_groups); i++)
        if (key->columns[i] == column)
            return c->plan.kind[i] != TX_IN;
    return false;
}

/*
 * Whether the path, forwards or backwards, has the order that is asked for. Columns that are equal
 * to one value count neither way; behind the path's last column no two rows are left to order.
 *
 * For GROUP BY, any order that has equal rows beside each other would do, says SQLite; but 3.40
 * takes it for that of ORDER BY, too, when the two have the same columns.
 */
static void
find_order(const struct planner *p, struct candidate *c)
{
    int place = 0, directed = 0;

    c->ordered = true;
    for (int i = 0; i < p->info->nOrderBy && !c->one_row; i++) {
        const int column = column_of(p, p->info->aOrderBy[i].iColumn);
        const bool reverse = p->info->aOrderBy[i].desc != 0;
        int next;

        if (is_constant(p, c, column))
            continue;
        do
            next = order_column(p, c->plan.path, place++);
        while (next == OF_NO_USE || (next != NONE && next != column && is_constant(p, c, next)));
        if (next == NONE)
            break;
        if (next != column || (directed++ > 0 && c->plan.reverse != reverse)) {
            c->ordered = false;
            c->plan.reverse = false;
            return;
        }
        c->plan.reverse = reverse;
    }
    c->plan.merge = !c->certain && !p->has_groups && p->info->nOrderBy > 0;
}

/* ---- cost ---- */

/* The most columns of a row that SQLite tells apart when it says which it uses. */
enum { COLUMNS_TOLD = 63 };

/* Whether the index's entries have all that is asked for, unless a value is an odd one. */
static bool
is_covering(const struct planner *p, int path)
{
    const int told = p->shape->column_count < COLUMNS_TOLD ? p->shape->column_count : COLUMNS_TOLD;

    if (path == 0 || (p->shape->column_count >= COLUMNS_TOLD && p->info->colUsed >> 63 != 0))
        return false;
    for (int i = 0; i < told; i++)
        if ((p->info->colUsed >> i & 1) != 0 &&
            !(tx_shape_restores(p->shape, i) &&
              (is_in_key(tx_shape_path(p->shape, path), i) || is_in_key(&p->shape->primary, i))))
            return false;
    return true;
}

static void
set_cost(const struct planner *p, struct candidate *c)
{
    const struct tx_key *key = tx_shape_path(p->shape, c->plan.path);
    bool is_unique = c->plan.path == 0 || key->unique;
    double rows = p->table_rows, seeks = 1.0, step = 1.0;

    for (int i = 0; i < c->plan.equal; i++) {
        is_unique = is_unique && (c->plan.path == 0 || c->plan.kind[i] != TX_IS);
        if (c->plan.kind[i] == TX_IN)
            seeks *= values_of_list;
    }
    is_unique = is_unique && c->plan.equal == key->count;
    if (is_unique)
        rows = 1.0;
    else if (c->plan.equal > 0)
        rows = tx_rowstat_rows(p->table, c->plan.path, c->plan.equal, p->rows_now);
    rows = smaller(rows * seeks, p->table_rows);
    if (c->plan.low || c->plan.pattern != TX_NO_PATTERN)
        rows /= rows_of_bound;
    if (c->plan.high || c->plan.pattern != TX_NO_PATTERN)
        rows /= rows_of_bound;
    c->one_row = is_unique && c->certain && !c->has_list;
    c->rows = larger(rows, 1.0);
    c->plan.covering = is_covering(p, c->plan.path);
    if (c->plan.path > 0)
        step = c->plan.covering ? entry_cost : 1.0 + fetch_cost;
    c->cost = seek_cost * smaller(seeks, larger(c->rows, 1.0)) + c->rows * step;
}

/* Whether no term is left for SQLite to check. */
static bool
takes_all_terms(const struct planner *p, const struct candidate *c)
{
    int given = 0;

    for (int i = 0; i < p->info->nConstraint; i++)
        given += p->info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_LIMIT &&
                 p->info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_OFFSET;
    return given == c->plan.equal + (c->low_term != NONE) + (c->high_term != NONE);
}

/* The rows that are left when SQLite has checked what the scan does not. */
static double
rows_left(const struct planner *p, const struct candidate *c)
{
    for (int i = 0; i < p->info->nConstraint; i++)
        if (p->info->aConstraint[i].usable && p->info->aConstraintUsage[i].argvIndex == 0 &&
            p->info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_EQ)
            return larger(c->rows / rows_of_check, 1.0);
    return c->rows;
}

/* The cost with what SQLite would take to sort the rows, and without rows that it will not want. */
static double
total_cost(const struct planner *p, const struct candidate *c)
{
    if (p->info->nOrderBy > 0 && !c->ordered && c->rows >= 2.0)
        return c->cost + c->rows * (64 - __builtin_clzll((unsigned long long)c->rows));
    if (p->limit < c->rows && takes_all_terms(p, c))
        return c->cost * p->limit / c->rows;
    return c->cost;
}

/* ---- the choice ---- */

static struct candidate
try_path(const struct planner *p, int path)
{
    const struct tx_key *key = tx_shape_path(p->shape, path);
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

/* Whether the path is a key all of whose columns are equal to one value. */
static bool
finds_one_row(const struct planner *p, int path)
{
    const struct tx_key *key = tx_shape_path(p->shape, path);
    struct candidate c = { .plan = { .path = path } };

    if (path > 0 && !key->unique)
        return false;
    find_equalities(p, key, &c);
    for (int i = 0; i < c.plan.equal; i++)
        if (c.plan.kind[i] != TX_EQUALS)
            return false;
    return c.plan.equal == key->count;
}

/* Where one row is found nothing is better; no other index is looked at for what it would cost. */
static struct candidate
choose(const struct planner *p)
{
    struct candidate best;

    for (int path = 0; path <= p->shape->index_count; path++)
        if (finds_one_row(p, path))
            return try_path(p, path);
    best = try_path(p, 0);
    for (int path = 1; path <= p->shape->index_count; path++) {
        const struct candidate c = try_path(p, path);

        if (total_cost(p, &c) < total_cost(p, &best))
            best = c;
    }
    return best;
}

/*
 * SQLite leaves out its own check of a term that is exact. None is behind an equality that xFilter
 * may widen, for it then leaves out the terms behind.
 */
static void
take(const struct planner *p, int term, bool is_narrow, int *arguments)
{
    struct sqlite3_index_constraint_usage *usage = &p->info->aConstraintUsage[term];
    int column;

    if (term == NONE)
        return;
    column = column_of(p, p->info->aConstraint[term].iColumn);
    usage->argvIndex = ++*arguments;
    usage->omit = is_narrow && tx_shape_affinity(p->shape, column) != TX_AFFINITY_TEXT;
}

static void
take_all(const struct planner *p, const struct candidate *c)
{
    int arguments = 0;

    for (int i = 0; i < c->plan.equal; i++) {
        take(p, c->equal_terms[i], c->certain, &arguments);
        if (c->plan.kind[i] == TX_IN)
            (void)sqlite3_vtab_in(p->info, c->equal_terms[i], 1);
    }
    take(p, c->low_term, c->certain, &arguments);
    take(p, c->high_term, c->certain, &arguments);
}

/*
 * Whether the query has such a pattern and it is for SQLite's own function: an application may have
 * put another in its place.
 */
static bool
is_for_own(const struct tx_table *table, const sqlite3_index_info *info, int op,
           const char *function)
{
    sqlite3_stmt *query;
    bool is_own = false;
    int term = 0;

    while (term < info->nConstraint && info->aConstraint[term].op != op)
        term++;
    if (term == info->nConstraint ||
        sqlite3_prepare_v2(
            table->connection->db,
            "SELECT min(builtin) FROM pragma_function_list WHERE name = ? AND narg = 2", -1, &query,
            NULL) != SQLITE_OK)
        return false;
    (void)sqlite3_bind_text(query, 1, function, -1, SQLITE_STATIC);
    if (sqlite3_step(query) == SQLITE_ROW)
        is_own = sqlite3_column_int(query, 0) == 1;
    (void)sqlite3_finalize(query);
    return is_own;
}

/* What LIMIT says, with OFFSET; SQLite tells of it when it is about this table's rows alone. */
static double
find_limit(sqlite3_index_info *info)
{
    double limit = 0;

    for (int i = 0; i < info->nConstraint; i++) {
        const int op = info->aConstraint[i].op;
        sqlite3_value *value;

        if (op != SQLITE_INDEX_CONSTRAINT_LIMIT && op != SQLITE_INDEX_CONSTRAINT_OFFSET)
            continue;
        if (sqlite3_vtab_rhs_value(info, i, &value) != SQLITE_OK || sqlite3_value_int64(value) < 0)
            return HUGE_VAL;
        limit += sqlite3_value_double(value);
    }
    return limit > 0 ? limit : HUGE_VAL;
}

int
tx_rowplan_make(sqlite3_index_info *info, struct tx_table *table)
{
    const double rows = (double)txkv_row_estimate(table->link->session, table->number);
    const struct planner p = { .info = info,
                               .table = table,
                               .shape = tx_table_shape(table),
                               .rows_now = rows,
                               .table_rows = larger(rows, rows_min),
                               .limit = find_limit(info),
                               .has_groups = sqlite3_vtab_distinct(info) != 0,
                               .own_like =
                                   is_for_own(table, info, SQLITE_INDEX_CONSTRAINT_LIKE, "like"),
                               .own_glob =
                                   is_for_own(table, info, SQLITE_INDEX_CONSTRAINT_GLOB, "glob") };
    const struct candidate best = choose(&p);

    take_all(&p, &best);
    info->idxNum = tx_rowplan_pack(&best.plan);
    info->idxStr = tx_rowplan_words(&best.plan, p.shape, table->name);
    info->needToFreeIdxStr = 1;
    info->orderByConsumed = info->nOrderBy > 0 && best.ordered;
    if (best.one_row)
        info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
    info->estimatedRows = (sqlite3_int64)rows_left(&p, &best);
    info->estimatedCost = best.cost;
    return info->idxStr == NULL ? SQLITE_NOMEM : SQLITE_OK;
}
