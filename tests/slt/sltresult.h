/*
 * sltresult.h - what a query answers, as files of the sqllogictest format have it.
 */
#ifndef TXKV_TEST_SLTRESULT_H
#define TXKV_TEST_SLTRESULT_H

#include <sqlite3.h>

#include "buffer.h"
#include "sltfile.h"

/*
 * Runs a query. `out` becomes the values, one a line, sorted as the record says; *count their
 * number. An integer is written in decimal, a real with three digits, text with @ for what cannot
 * be printed; NULL as NULL, '' as (empty). False with the reason in `out` when it fails or has
 * another number of columns.
 */
bool slt_query(sqlite3 *db, const struct slt_record *record, struct buffer *out, size_t *count);

/* The values as a file gives them: themselves, or their hash when they are more than `threshold`.
 */
void slt_summarize(const struct buffer *values, size_t count, size_t threshold, struct buffer *out);

/* Whether the values are what the record expects, of whichever kind. */
bool slt_expected(const struct slt_record *record, const struct buffer *values, size_t count);

#endif /* TXKV_TEST_SLTRESULT_H */
