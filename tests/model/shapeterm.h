/*
 * shapeterm.h - random values, and terms of a WHERE, for shapegen.c.
 */
#ifndef TXKV_TEST_SHAPETERM_H
#define TXKV_TEST_SHAPETERM_H

#include "shapegen.h"

/*
 * What the calls below are about. `changes` is for a statement that changes rows: SQLite may run
 * a query on them amidst of it, so none is made.
 */
void shape_begin(struct rng *from, const struct shape *shape, bool changes);

uint32_t shape_roll(uint32_t n);
const struct shape_column *shape_any_column(void);

void shape_add_value(struct text *t, bool may_be_null);
void shape_add_column(struct text *t);
void shape_add_term(struct text *t);

/* " WHERE ..." of some terms, or nothing. */
void shape_add_where(struct text *t);

#endif /* TXKV_TEST_SHAPETERM_H */
