/*
 * kv_rocksdb.c - RocksDB through its C interface: a log-structured merge tree with group commit.
 *
 * full: the write-ahead log with sync. normal: the log without it, so killing the process loses
 * nothing and a power failure what the kernel has not written. KV_UPDATE is a transaction of its
 * OptimisticTransactionDB, which is refused at COMMIT when another wrote what it had read.
 *
 * Its defaults, but what its users set for such data: a bloom filter, and a block cache that holds
 * all of it. No compression, which would make nothing of values that are mostly filling.
 */
#include "kv.h"

#if __has_include(<rocksdb/c.h>) && !defined(WITHOUT_rocksdb)

#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)256 << 20)
#define BLOOM_BITS  10

struct store {
    rocksdb_optimistictransactiondb_t *transactions;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    rocksdb_optimistictransaction_options_t *update;
};

struct session {
    struct run *run;
    struct store *store;
    rocksdb_readoptions_t *read;
    rocksdb_writebatch_t *batch;
    rocksdb_transaction_t *txn;         /* of KV_UPDATE */
    const rocksdb_snapshot_t *snapshot; /* of KV_READ */
    rocksdb_iterator_t *iterator;
    rocksdb_pinnableslice_t *slice; /* the last value that get found */
};

static void
check(struct run *r, char *error)
{
    if (error)
        run_fail(r, "rocksdb: %s", error);
}

static void *
open_store(struct run *r)
{
    struct store *s = kv_new(r, sizeof(*s));
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(CACHE_BYTES);
    char *error = NULL;
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom(BLOOM_BITS));
    s->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(s->options, 1);
    rocksdb_options_set_compression(s->options, rocksdb_no_compression);
    rocksdb_options_set_block_based_table_factory(s->options, table);
    s->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->write, strcmp(r->work->sync, "full") == 0);
    s->update = rocksdb_optimistictransaction_options_create();
    s->transactions = rocksdb_optimistictransactiondb_open(s->options, r->store, &error);
    check(r, error);
    s->db = rocksdb_optimistictransactiondb_get_base_db(s->transactions);
    rocksdb_cache_destroy(cache); /* the store holds it */
    rocksdb_block_based_options_destroy(table);
    return s;
}

/* What is in memory becomes a sorted file. */
static void
checkpoint(struct run *r, void *store)
{
    const struct store *s = store;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    char *error = NULL;
    rocksdb_flush(s->db, flush, &error);
    check(r, error);
    rocksdb_flushoptions_destroy(flush);
}

static void
close_store(struct run *r, void *store)
{
    struct store *s = store;
    (void)r;
    rocksdb_optimistictransactiondb_close_base_db(s->db);
    rocksdb_optimistictransactiondb_close(s->transactions);
    rocksdb_optimistictransaction_options_destroy(s->update);
    rocksdb_writeoptions_destroy(s->write);
    rocksdb_options_destroy(s->options);
    free(s);
}

static void *
attach(struct run *r, void *store)
{
    struct session *s = kv_new(r, sizeof(*s));
    s->run = r;
    s->store = store;
    s->read = rocksdb_readoptions_create();
    s->batch = rocksdb_writebatch_create();
    return s;
}

static void
drop_slice(struct session *s)
{
    if (s->slice)
        rocksdb_pinnableslice_destroy(s->slice);
    s->slice = NULL;
}

static void
end(void *session)
{
    struct session *s = session;
    if (s->iterator)
        rocksdb_iter_destroy(s->iterator);
    s->iterator = NULL;
}

static void
detach(void *session)
{
    struct session *s = session;
    end(s);
    drop_slice(s);
    rocksdb_writebatch_destroy(s->batch);
    rocksdb_readoptions_destroy(s->read);
    free(s);
}

static void
begin(void *session, enum kv_mode mode)
{
    struct session *s = session;
    if (mode == KV_READ) {
        s->snapshot = rocksdb_create_snapshot(s->store->db);
        rocksdb_readoptions_set_snapshot(s->read, s->snapshot);
    } else if (mode == KV_WRITE) {
        rocksdb_writebatch_clear(s->batch);
    } else {
        s->txn = rocksdb_optimistictransaction_begin(s->store->transactions, s->store->write,
                                                     s->store->update, NULL);
    }
}

static bool
commit_update(struct session *s)
{
    static const char *const refused[] = { "Resource busy", "Operation failed. Try again" };
    char *error = NULL;
    drop_slice(s);
    rocksdb_transaction_commit(s->txn, &error);
    rocksdb_transaction_destroy(s->txn);
    s->txn = NULL;
    if (!error)
        return true;
    if (strncmp(error, refused[0], strlen(refused[0])) != 0 &&
        strncmp(error, refused[1], strlen(refused[1])) != 0)
        check(s->run, error);
    rocksdb_free(error);
    return false;
}

static bool
commit(void *session)
{
    struct session *s = session;
    char *error = NULL;
    if (s->txn)
        return commit_update(s);
    if (s->snapshot) {
        drop_slice(s);
        rocksdb_readoptions_set_snapshot(s->read, NULL);
        rocksdb_release_snapshot(s->store->db, s->snapshot);
        s->snapshot = NULL;
        return true;
    }
    rocksdb_write(s->store->db, s->store->write, s->batch, &error);
    check(s->run, error);
    return true;
}

static void
put(void *session, struct kv_row row)
{
    struct session *s = session;
    char *error = NULL;
    if (!s->txn) {
        rocksdb_writebatch_put(s->batch, row.key, row.key_bytes, row.value, row.value_bytes);
        return;
    }
    rocksdb_transaction_put(s->txn, row.key, row.key_bytes, row.value, row.value_bytes, &error);
    check(s->run, error);
}

static bool
get(void *session, const char *key, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    char *error = NULL;
    drop_slice(s);
    s->slice = s->txn ? rocksdb_transaction_get_pinned_for_update(s->txn, s->read, key, key_bytes,
                                                                  1, &error)
                      : rocksdb_get_pinned(s->store->db, s->read, key, key_bytes, &error);
    check(s->run, error);
    if (!s->slice)
        return false;
    row->key = key;
    row->key_bytes = key_bytes;
    row->value = rocksdb_pinnableslice_value(s->slice, &row->value_bytes);
    return row->value != NULL;
}

static bool
row_here(struct session *s, struct kv_row *row)
{
    char *error = NULL;
    if (!rocksdb_iter_valid(s->iterator)) {
        rocksdb_iter_get_error(s->iterator, &error);
        check(s->run, error);
        return false;
    }
    row->key = rocksdb_iter_key(s->iterator, &row->key_bytes);
    row->value = rocksdb_iter_value(s->iterator, &row->value_bytes);
    return true;
}

static bool
seek(void *session, const char *key, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    end(s);
    s->iterator = rocksdb_create_iterator(s->store->db, s->read);
    rocksdb_iter_seek(s->iterator, key, key_bytes);
    return row_here(s, row);
}

static bool
next(void *session, struct kv_row *row)
{
    struct session *s = session;
    rocksdb_iter_next(s->iterator);
    return row_here(s, row);
}

static const struct kv_library library = { .open = open_store,
                                           .checkpoint = checkpoint,
                                           .close = close_store,
                                           .attach = attach,
                                           .detach = detach,
                                           .begin = begin,
                                           .commit = commit,
                                           .put = put,
                                           .get = get,
                                           .seek = seek,
                                           .next = next,
                                           .end = end };

const struct kv_library *const kv_rocksdb = &library;

#else

const struct kv_library *const kv_rocksdb = NULL;

#endif
