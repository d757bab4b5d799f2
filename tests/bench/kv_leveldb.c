/*
 * kv_leveldb.c - LevelDB through its C interface: a log-structured merge tree, whose writers queue
 * for one that writes for all.
 *
 * full: sync. normal: without, so killing the process loses nothing and a power failure what the
 * kernel has not written. It has batches but no transactions that read, and so no KV_UPDATE.
 *
 * Its defaults, but what its users set for such data: a bloom filter, and a block cache that holds
 * all of it. No compression, which would make nothing of values that are mostly filling.
 */
#include "kv.h"

#if __has_include(<leveldb/c.h>) && !defined(WITHOUT_leveldb)

#include <leveldb/c.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)256 << 20)
#define BLOOM_BITS  10

struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_writeoptions_t *write;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
};

struct session {
    struct run *run;
    struct store *store;
    leveldb_readoptions_t *read;
    leveldb_writebatch_t *batch;
    const leveldb_snapshot_t *snapshot; /* of KV_READ */
    leveldb_iterator_t *iterator;
    char *value; /* the last one that get found */
};

static void
check(struct run *r, char *error)
{
    if (error)
        run_fail(r, "leveldb: %s", error);
}

static void *
open_store(struct run *r)
{
    struct store *s = kv_new(r, sizeof(*s));
    char *error = NULL;
    s->cache = leveldb_cache_create_lru(CACHE_BYTES);
    s->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    s->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->filter);
    s->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->write, strcmp(r->work->sync, "full") == 0);
    s->db = leveldb_open(s->options, r->store, &error);
    check(r, error);
    return s;
}

/* What is in memory becomes a sorted file, and the files one level. */
static void
checkpoint(struct run *r, void *store)
{
    const struct store *s = store;
    (void)r;
    leveldb_compact_range(s->db, NULL, 0, NULL, 0);
}

static void
close_store(struct run *r, void *store)
{
    struct store *s = store;
    (void)r;
    leveldb_close(s->db);
    leveldb_writeoptions_destroy(s->write);
    leveldb_options_destroy(s->options);
    leveldb_filterpolicy_destroy(s->filter);
    leveldb_cache_destroy(s->cache);
    free(s);
}

static void *
attach(struct run *r, void *store)
{
    struct session *s = kv_new(r, sizeof(*s));
    s->run = r;
    s->store = store;
    s->read = leveldb_readoptions_create();
    s->batch = leveldb_writebatch_create();
    return s;
}

static void
drop_value(struct session *s)
{
    if (s->value)
        leveldb_free(s->value);
    s->value = NULL;
}

static void
end(void *session)
{
    struct session *s = session;
    if (s->iterator)
        leveldb_iter_destroy(s->iterator);
    s->iterator = NULL;
}

static void
detach(void *session)
{
    struct session *s = session;
    end(s);
    drop_value(s);
    leveldb_writebatch_destroy(s->batch);
    leveldb_readoptions_destroy(s->read);
    free(s);
}

static void
begin(void *session, enum kv_mode mode)
{
    struct session *s = session;
    if (mode == KV_UPDATE)
        run_fail(s->run, "leveldb has no transactions that read and write");
    if (mode == KV_WRITE) {
        leveldb_writebatch_clear(s->batch);
        return;
    }
    s->snapshot = leveldb_create_snapshot(s->store->db);
    leveldb_readoptions_set_snapshot(s->read, s->snapshot);
}

static bool
commit(void *session)
{
    struct session *s = session;
    char *error = NULL;
    if (s->snapshot) {
        leveldb_readoptions_set_snapshot(s->read, NULL);
        leveldb_release_snapshot(s->store->db, s->snapshot);
        s->snapshot = NULL;
        return true;
    }
    leveldb_write(s->store->db, s->store->write, s->batch, &error);
    check(s->run, error);
    return true;
}

static void
put(void *session, struct kv_row row)
{
    struct session *s = session;
    leveldb_writebatch_put(s->batch, row.key, row.key_bytes, row.value, row.value_bytes);
}

static bool
get(void *session, const char *key, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    char *error = NULL;
    drop_value(s);
    s->value = leveldb_get(s->store->db, s->read, key, key_bytes, &row->value_bytes, &error);
    check(s->run, error);
    row->key = key;
    row->key_bytes = key_bytes;
    row->value = s->value;
    return s->value != NULL;
}

static bool
row_here(struct session *s, struct kv_row *row)
{
    char *error = NULL;
    if (!leveldb_iter_valid(s->iterator)) {
        leveldb_iter_get_error(s->iterator, &error);
        check(s->run, error);
        return false;
    }
    row->key = leveldb_iter_key(s->iterator, &row->key_bytes);
    row->value = leveldb_iter_value(s->iterator, &row->value_bytes);
    return true;
}

static bool
seek(void *session, const char *key, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    end(s);
    s->iterator = leveldb_create_iterator(s->store->db, s->read);
    leveldb_iter_seek(s->iterator, key, key_bytes);
    return row_here(s, row);
}

static bool
next(void *session, struct kv_row *row)
{
    struct session *s = session;
    leveldb_iter_next(s->iterator);
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

const struct kv_library *const kv_leveldb = &library;

#else

const struct kv_library *const kv_leveldb = NULL;

#endif
