/*
 * sqlgen.h - random SQL statements about `kv(key PRIMARY KEY, value)` and `j(id, ref)`.
 *
 * Their results are well defined: rows are ordered, and an UPDATE of many keys moves them where no
 * row is.
 */
#ifndef TXKV_TEST_SQLGEN_H
#define TXKV_TEST_SQLGEN_H

#include "../support/support.h"
#include "text.h"

/* Make one statement; `number` is another for each. */
void sql_random(struct rng *from, uint64_t number, struct text *t);

#endif /* TXKV_TEST_SQLGEN_H */
