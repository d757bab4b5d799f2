/*
 * kv_lmdb.c - LMDB through its own interface: the limit of what txkv can read, which keeps its rows
 * there, and what one writer at a time with a sync for each transaction comes to.
 *
 * full: each commit waits for the disk, twice: for the data, then for the meta page. normal:
 * MDB_NOSYNC, nothing waits and the kernel writes when it likes. That promises less than txkv's
 * normal: killing the process loses nothing, but a power failure may take more than the last
 * commits, and as the pages may reach the disk in any order, the whole file.
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kv.h"

#define MAP_BYTES   ((size_t)64 << 30)
#define READERS_MAX 256

struct store {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct run *run;
    struct store *store;
    MDB_txn *reader, *writer; /* reader: renewed, never freed before the end */
    MDB_cursor *cursor;       /* of the reader */
    bool reading;             /* the reader is in a transaction of its own */
    bool reader_is_live;
};

static void
check(struct run *r, int rc, const char *what)
{
    if (rc != MDB_SUCCESS)
        run_fail(r, "lmdb: %s: %s", what, mdb_strerror(rc));
}

static void *
open_store(struct run *r)
{
    struct store *s = kv_new(r, sizeof(*s));
    unsigned flags = MDB_NOTLS | (strcmp(r->work->sync, "full") == 0 ? 0 : MDB_NOSYNC);
    MDB_txn *txn = NULL;
    (void)mkdir(r->store, 0700);
    check(r, mdb_env_create(&s->env), "create");
    check(r, mdb_env_set_mapsize(s->env, MAP_BYTES), "map size");
    check(r, mdb_env_set_maxreaders(s->env, READERS_MAX), "readers");
    check(r, mdb_env_open(s->env, r->store, flags, 0600), r->store);
    check(r, mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    check(r, mdb_dbi_open(txn, NULL, 0, &s->dbi), "open");
    check(r, mdb_txn_commit(txn), "commit");
    return s;
}

static void
checkpoint(struct run *r, void *store)
{
    const struct store *s = store;
    check(r, mdb_env_sync(s->env, 1), "sync");
}

static void
close_store(struct run *r, void *store)
{
    struct store *s = store;
    checkpoint(r, s);
    mdb_env_close(s->env);
    free(s);
}

static void *
attach(struct run *r, void *store)
{
    struct session *s = kv_new(r, sizeof(*s));
    s->run = r;
    s->store = store;
    check(r, mdb_txn_begin(s->store->env, NULL, MDB_RDONLY, &s->reader), "begin");
    check(r, mdb_cursor_open(s->reader, s->store->dbi, &s->cursor), "cursor");
    mdb_txn_reset(s->reader);
    return s;
}

static void
detach(void *session)
{
    struct session *s = session;
    mdb_cursor_close(s->cursor);
    mdb_txn_abort(s->reader);
    free(s);
}

static void
start_reading(struct session *s)
{
    if (s->reader_is_live)
        return;
    check(s->run, mdb_txn_renew(s->reader), "renew");
    s->reader_is_live = true;
}

static void
stop_reading(struct session *s)
{
    if (s->reading || !s->reader_is_live)
        return;
    mdb_txn_reset(s->reader);
    s->reader_is_live = false;
}

static void
begin(void *session, enum kv_mode mode)
{
    struct session *s = session;
    stop_reading(s);
    if (mode == KV_READ) {
        start_reading(s);
        s->reading = true;
    } else {
        check(s->run, mdb_txn_begin(s->store->env, NULL, 0, &s->writer), "begin");
    }
}

static bool
commit(void *session)
{
    struct session *s = session;
    if (s->writer)
        check(s->run, mdb_txn_commit(s->writer), "commit");
    s->writer = NULL;
    s->reading = false;
    stop_reading(s);
    return true;
}

static MDB_val
val(const char *data, size_t bytes)
{
    /* LMDB has no type for what it only reads. */
    return (MDB_val){ .mv_size = bytes, .mv_data = (void *)(uintptr_t)data };
}

static void
put(void *session, struct kv_row row)
{
    struct session *s = session;
    MDB_val key = val(row.key, row.key_bytes);
    MDB_val value = val(row.value, row.value_bytes);
    check(s->run, mdb_put(s->writer, s->store->dbi, &key, &value, 0), "put");
}

static bool
found(struct session *s, int rc, MDB_val key, MDB_val value, struct kv_row *row)
{
    if (rc == MDB_NOTFOUND)
        return false;
    check(s->run, rc, "get");
    *row = (struct kv_row){ key.mv_data, value.mv_data, key.mv_size, value.mv_size };
    return true;
}

/* A value found outside a transaction stays readable until the next call: its page is not freed
 * before the reader is renewed or reset, which is done then. */
static bool
get(void *session, const char *key_data, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    MDB_val key = val(key_data, key_bytes);
    MDB_val value = { 0, NULL };
    if (s->writer) {
        int rc = mdb_get(s->writer, s->store->dbi, &key, &value);
        return found(s, rc, key, value, row);
    }
    stop_reading(s);
    start_reading(s);
    int rc = mdb_get(s->reader, s->store->dbi, &key, &value);
    return found(s, rc, key, value, row);
}

static bool
seek(void *session, const char *key_data, size_t key_bytes, struct kv_row *row)
{
    struct session *s = session;
    MDB_val key = val(key_data, key_bytes);
    MDB_val value = { 0, NULL };
    stop_reading(s);
    start_reading(s);
    check(s->run, mdb_cursor_renew(s->reader, s->cursor), "renew");
    int rc = mdb_cursor_get(s->cursor, &key, &value, key_bytes > 0 ? MDB_SET_RANGE : MDB_FIRST);
    return found(s, rc, key, value, row);
}

static bool
next(void *session, struct kv_row *row)
{
    struct session *s = session;
    MDB_val key = { 0, NULL };
    MDB_val value = { 0, NULL };
    int rc = mdb_cursor_get(s->cursor, &key, &value, MDB_NEXT);
    return found(s, rc, key, value, row);
}

static void
end(void *session)
{
    stop_reading(session);
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

const struct kv_library *const kv_lmdb = &library;
