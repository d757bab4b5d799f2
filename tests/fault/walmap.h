/*
 * walmap.h - the records of a store's log, read from its files before and after damage.
 *
 * Threads: one.
 */
#ifndef TXKV_TEST_WALMAP_H
#define TXKV_TEST_WALMAP_H

#include "../support/support.h"

enum { WAL_FILES_MAX = 64, WAL_RECORDS_MAX = 512 };

struct wal_file {
    char name[64];
    uint64_t first_lsn;
    size_t bytes;
    uint8_t *data; /* malloc */
};

struct wal_record {
    uint32_t file;
    size_t offset;
    uint32_t length;
    uint64_t lsn, durable_lsn;
};

/* In LSN order. */
struct wal {
    struct wal_file files[WAL_FILES_MAX];
    struct wal_record records[WAL_RECORDS_MAX];
    uint32_t file_count, record_count;
};

/* Read the log of store directory `dir` and decode its chain of records. */
void wal_load(const char *dir, struct wal *wal);
void wal_free(struct wal *wal);

/* Write file number `file` back, with its bytes and size as they are now. */
void wal_save(const char *dir, const struct wal *wal, uint32_t file);

/* True when both directories' logs are the same, byte for byte. */
bool wal_same(const struct wal *a, const struct wal *b);

#endif /* TXKV_TEST_WALMAP_H */
