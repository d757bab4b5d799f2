/*
 * base.h - a small store that has all kinds of things in it, as a process leaves it that is killed.
 *
 * In data.mdb: tables of several pages, values on overflow pages, long keys, free pages, a slot
 * whose table was dropped. In the log behind the checkpoint: transactions, durable ones and others,
 * tables made, renamed and dropped, a prepared transaction and its decision. The same in every
 * process, but for the store's id and the checksums that depend on it.
 *
 * Threads: one.
 */
#ifndef TXKV_FUZZ_BASE_H
#define TXKV_FUZZ_BASE_H

#include "files.h"

enum { BASE_FILES_MAX = 8, BASE_SEGMENT_BYTES = 64 * 1024, BASE_MAP_BYTES = 1 << 20 };

struct base {
    uint64_t store_id;
    size_t count;                       /* files */
    struct image files[BASE_FILES_MAX]; /* data.mdb is the first */
};

/* What a store is opened with: no background thread has anything to do. */
struct txkv_options base_options(void);

/* Make the store in dir/name, take the images, and remove it. */
void base_make(struct base *base, const char *dir, const char *name);

/*
 * Read every row of every table in an open store, both ways and by key: each must be there again.
 * A failure other than TXKV_CORRUPT is a finding; false when there was one of that.
 */
bool base_read(struct txkv *store);

/* Put and delete rows in the table of that name, in one transaction; true when that was possible.
 */
bool base_write(struct txkv *store, const char *name);

#endif /* TXKV_FUZZ_BASE_H */
