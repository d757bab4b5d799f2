/*
 * store.c - opening and closing a store; the process's registry of open stores.
 *
 * LMDB must not be opened twice in one process, so all openers of a directory share one store,
 * found by device and inode. Processes meet at txkv.shm (shared.h): the first one recovers the
 * store while the others wait, the last one checkpoints. The log's directory may be given to two
 * stores by mistake: a lock on the directory itself keeps the second one out, which would replace
 * the first one's files.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "archives.h"
#include "os.h"
#include "pace.h"
#include "recovery.h"

enum { WAL_LOCK_WAIT_US = 500000 };

static struct {
    pthread_once_t once;
    pthread_mutex_t mutex; /* held over a whole open or close */
    struct txkv *stores;
} registry = { PTHREAD_ONCE_INIT, PTHREAD_MUTEX_INITIALIZER, NULL };

/* ---- fork ---- */

static void
before_fork(void)
{
    (void)pthread_mutex_lock(&registry.mutex);
}

static void
after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&registry.mutex);
}

/* The child must not keep the parent's lock alive; the rest of the stores is left alone. */
static void
after_fork_in_child(void)
{
    for (struct txkv *store = registry.stores; store != NULL; store = store->next) {
        (void)tx_os.close(store->wal_lock_fd);
        (void)tx_os.close(store->share.fd);
        (void)tx_os.close(store->share.hold_fd);
    }
    registry.stores = NULL;
    (void)pthread_mutex_unlock(&registry.mutex);
}

static void
start_registry(void)
{
    (void)tx_os_fork_generation();
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- opening ---- */

static enum txkv_rc
identify(const char *dir, uint64_t *device, uint64_t *inode, struct txkv_error *err)
{
    struct stat st;

    if (stat(dir, &st) != 0)
        return tx_fail_errno(err, errno, "store %s", dir);
    if (!S_ISDIR(st.st_mode))
        return tx_fail(err, TXKV_EXISTS,
                       "store %s: a file of that name is in the way; name a directory", dir);
    *device = st.st_dev;
    *inode = st.st_ino;
    return TXKV_OK;
}

static struct txkv *
find_open(uint64_t device, uint64_t inode)
{
    struct txkv *store = registry.stores;

    while (store != NULL && (store->device != device || store->inode != inode))
        store = store->next;
    return store;
}

/* "path" made absolute, in new memory. */
static enum txkv_rc
absolute(const char *path, char **out, struct txkv_error *err)
{
    char resolved[PATH_MAX];

    if (realpath(path, resolved) == NULL)
        return tx_fail_errno(err, errno, "%s", path);
    *out = tx_strdup(resolved);
    return *out == NULL ? tx_fail_nomem(err) : TXKV_OK;
}

/* Where the log lives, as the caller says: an existing absolute directory in new memory. */
static enum txkv_rc
resolve_wal_dir(struct txkv *store, const char *asked, struct txkv_error *err)
{
    char *path = asked == NULL ? tx_os_join(store->core.dir, "wal") : tx_strdup(asked);
    enum txkv_rc rc;

    if (path == NULL)
        return tx_fail_nomem(err);
    rc = store->share.readonly ? TXKV_OK : tx_os_make_dir(path, err);
    if (rc == TXKV_OK)
        rc = absolute(path, &store->wal_dir, err);
    tx_free(path);
    return rc;
}

/* The store remembers where its log is: another place would look like an empty log. */
static enum txkv_rc
check_wal_dir(struct txkv *store, const char *asked, struct txkv_error *err)
{
    const char *stored = tx_tree_meta(store->core.tree)->wal_dir;
    struct stat st;

    if (stored == NULL && asked != NULL) {
        char *usual = tx_os_join(store->core.dir, "wal");
        const bool same = usual != NULL && strcmp(usual, store->wal_dir) == 0;

        tx_free(usual);
        if (!same)
            return tx_fail(
                err, TXKV_MISUSE,
                "store %s keeps its log in its own directory, not in wal_dir=%s; leave the "
                "option out (wal_dir is chosen when a store is created)",
                store->core.dir, asked);
    }
    if (stored == NULL)
        return TXKV_OK;
    if (asked != NULL && strcmp(stored, store->wal_dir) != 0)
        return tx_fail(err, TXKV_MISUSE,
                       "store %s keeps its log in %s, not in wal_dir=%s; leave the option out",
                       store->core.dir, stored, asked);
    if (stat(stored, &st) != 0 && errno != ENOENT && errno != ENOTDIR)
        return tx_fail_errno(err, errno, "store %s: log directory %s", store->core.dir, stored);
    if (stat(stored, &st) != 0 || !S_ISDIR(st.st_mode))
        return tx_fail(
            err, TXKV_CANTOPEN,
            "store %s: its log directory %s is missing; mount or restore it, commits may be "
            "in it",
            store->core.dir, stored);
    tx_free(store->wal_dir);
    store->wal_dir = tx_strdup(stored);
    return store->wal_dir == NULL ? tx_fail_nomem(err) : TXKV_OK;
}

/*
 * All processes of a store hold the lock shared; the first one takes it exclusively, to find out
 * that no other store's do. A process that dies gives its locks back one by one, so this waits a
 * little.
 */
static enum txkv_rc
lock_wal_dir(struct txkv *store, bool first, struct txkv_error *err)
{
    const struct timespec pause = { 0, 1000000 };
    const uint64_t until = tx_os_now_us() + WAL_LOCK_WAIT_US;
    int rc;

    if (store->wal_lock_fd < 0)
        store->wal_lock_fd = tx_os.open(store->wal_dir, O_RDONLY | O_DIRECTORY, 0);
    if (store->wal_lock_fd < 0)
        return tx_fail_errno(err, errno, "store %s: log directory %s", store->core.dir,
                             store->wal_dir);
    /* A file system that cannot lock a directory is no reason to refuse it. */
    while ((rc = flock(store->wal_lock_fd, (first ? LOCK_EX : LOCK_SH) | LOCK_NB)) != 0 &&
           errno == EWOULDBLOCK && tx_os_now_us() < until)
        (void)nanosleep(&pause, NULL);
    if (rc != 0 && errno == EWOULDBLOCK)
        return tx_fail(err, TXKV_LOCKED,
                       "store %s: another open store keeps its log in %s; give each its own "
                       "wal_dir",
                       store->core.dir, store->wal_dir);
    return TXKV_OK;
}

static void
init_core(struct tx_core *core)
{
    core->fork_generation = tx_os_fork_generation();
    tx_catalog_init(&core->catalog);
    tx_event_init(&core->drained);
    tx_event_init(&core->flusher_wake);
    tx_event_init(&core->checkpointer_wake);
    (void)pthread_mutex_init(&core->overlay_mutex, NULL);
    (void)pthread_mutex_init(&core->order_mutex, NULL);
    (void)pthread_mutex_init(&core->sessions_mutex, NULL);
    (void)pthread_mutex_init(&core->failure_mutex, NULL);
}

/* Undo open_parts as far as it came. */
static void
close_parts(struct txkv *store)
{
    if (store->core.log != NULL) {
        tx_views_destroy(&store->core.views);
        tx_log_close(store->core.log);
    }
    if (store->core.tree != NULL)
        tx_tree_close(store->core.tree);
    if (store->wal_lock_fd >= 0)
        (void)tx_os.close(store->wal_lock_fd);
    tx_share_close(&store->share);
    tx_checkpoint_destroy(&store->checkpoint);
    (void)pthread_mutex_destroy(&store->backup_mutex);
    tx_catalog_destroy(&store->core.catalog);
    (void)pthread_mutex_destroy(&store->core.order_mutex);
    (void)pthread_mutex_destroy(&store->core.overlay_mutex);
    (void)pthread_mutex_destroy(&store->core.sessions_mutex);
    (void)pthread_mutex_destroy(&store->core.failure_mutex);
    tx_free(store->wal_dir);
    tx_free(store->core.dir);
    tx_free(store);
}

/* data.mdb and the shared page must be of one store. */
static enum txkv_rc
check_store_id(const struct tx_core *core, struct txkv_error *err)
{
    if (core->shared->store_id == core->store_id)
        return TXKV_OK;
    return tx_fail(err, TXKV_CORRUPT,
                   "store %s: data.mdb was replaced by another store's while the store is in use; "
                   "put it back, or close the store everywhere first",
                   core->dir);
}

static enum txkv_rc
refuse_log_file(void *arg, const char *name, struct txkv_error *err)
{
    const struct tx_core *core = arg;
    uint64_t lsn;

    if (!tx_segment_parse_name(name, &lsn))
        return TXKV_OK;
    return tx_fail(err, TXKV_READONLY,
                   "store %s was not closed, and its log waits to be recovered: let a process open "
                   "it that may write in it; after that, or while one has it open, it can be read "
                   "without that permission",
                   core->dir);
}

/* There is nothing to read, and no permission to make it. */
static enum txkv_rc
refuse_missing(const struct tx_core *core, struct txkv_error *err)
{
    char *path = tx_os_join(core->dir, "data.mdb");
    struct stat st;
    enum txkv_rc rc = TXKV_OK;

    if (path == NULL)
        rc = tx_fail_nomem(err);
    else if (stat(path, &st) != 0)
        rc = tx_refuse_readonly(core, err);
    tx_free(path);
    return rc;
}

/* Nobody has the store open: it can be read as it is, if all of it is in LMDB. */
static enum txkv_rc
fill_in_page(struct txkv *store, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct tx_shared *shared = core->shared;
    uint64_t lsn = 0, check = 0;
    enum txkv_rc rc = tx_os_list_dir(store->wal_dir, refuse_log_file, core, err);

    if (rc == TXKV_OK)
        rc = tx_tree_checkpoint(core->tree, &lsn, &check, err);
    if (rc != TXKV_OK)
        return rc;
    shared->store_id = core->store_id;
    shared->checkpoint_lsn = shared->published_lsn = shared->durable_lsn = lsn;
    tx_shared_append(shared, lsn, check);
    core->offline = &store->share;
    return TXKV_OK;
}

static enum txkv_rc
open_files(struct txkv *store, const struct txkv_options *options, bool first,
           struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    const enum tx_tree_use use = core->readonly ? TX_TREE_READONLY
                                 : first        ? TX_TREE_ALONE
                                                : TX_TREE_JOINS;
    enum txkv_rc rc = core->readonly ? refuse_missing(core, err) : TXKV_OK;

    if (rc == TXKV_OK)
        rc = resolve_wal_dir(store, options->wal_dir, err);
    if (rc == TXKV_OK)
        rc = tx_tree_open(core->dir, options->map_size,
                          options->wal_dir == NULL ? NULL : store->wal_dir, use, &core->tree, err);
    if (rc != TXKV_OK)
        return rc;
    tx_tree_share(core->tree, &core->shared->commit_txn);
    tx_pace_start(core);
    core->store_id = tx_tree_meta(core->tree)->store_id;
    rc = check_wal_dir(store, options->wal_dir, err);
    if (rc == TXKV_OK && store->share.offline)
        rc = fill_in_page(store, err);
    else if (rc == TXKV_OK)
        rc = lock_wal_dir(store, first, err);
    if (rc == TXKV_OK && !first)
        rc = check_store_id(core, err);
    /* Its maker may have died before the names were durable: nothing must be promised on top. */
    if (rc == TXKV_OK && use == TX_TREE_ALONE && tx_tree_meta(core->tree)->checkpoint_lsn == 0)
        rc = tx_os_keep_dir(core->dir, err);
    if (rc == TXKV_OK && use == TX_TREE_ALONE && tx_tree_meta(core->tree)->checkpoint_lsn == 0)
        rc = tx_os_keep_dir(store->wal_dir, err);
    return rc;
}

static enum txkv_rc
nothing(void *arg, struct txkv_error *err)
{
    (void)arg;
    (void)err;
    return TXKV_OK;
}

/*
 * A process that died may have left commits at the log's end that it told nobody of and nobody has
 * published. Whoever is started in its place should find them, rather than see them come later.
 * When the log cannot be had, those who only read need not wait for it.
 */
static void
publish_what_the_dead_left(struct txkv *store)
{
    const struct tx_shared *shared = store->core.shared;
    struct tx_event done;

    if (tx_shared_append_lsn(shared) <= tx_published_lsn(&store->core))
        return;
    tx_event_init(&done);
    (void)!tx_commit_run(&store->commit, &done, nothing, NULL, NULL);
}

static enum txkv_rc
open_parts(struct txkv *store, const struct txkv_options *options, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct tx_log_config config;
    enum txkv_rc rc = tx_share_open(core->dir, tx_load_relaxed_64(&core->limits.stall_timeout_us),
                                    &store->share, err);
    const bool first = store->share.first;

    if (rc != TXKV_OK)
        return rc;
    core->shared = store->share.shared;
    core->readonly = store->share.readonly;
    core->hold_fd = store->share.hold_fd;
    rc = open_files(store, options, first, err);
    if (rc != TXKV_OK)
        return rc;
    config = (struct tx_log_config){ .dir = store->wal_dir,
                                     .dir_fd = store->wal_lock_fd,
                                     .store_id = core->store_id,
                                     .segment_bytes = options->segment_bytes,
                                     .salvage = options->salvage,
                                     .shared = core->shared,
                                     .readonly = core->readonly,
                                     .others = tx_tree_meta(core->tree)->others };
    rc = tx_recovery_run(core, &config, first, &store->recovery, err);
    if (rc == TXKV_OK)
        rc = tx_background_start(&store->background, core, &store->checkpoint, err);
    if (rc != TXKV_OK)
        return rc;
    rc = tx_archives_set(store, options->archive_dir, err);
    if (rc == TXKV_OK && first)
        rc = lock_wal_dir(store, false, err); /* or those who come in now would have to wait */
    if (rc != TXKV_OK)
        tx_background_stop(&store->background);
    else if (first)
        tx_share_open_to_others(&store->share, core->store_id);
    else if (!core->readonly)
        publish_what_the_dead_left(store);
    return rc;
}

static enum txkv_rc
open_store(const char *dir, const struct txkv_options *options, uint64_t device, uint64_t inode,
           struct txkv **out, struct txkv_error *err)
{
    struct txkv *store = tx_aligned_zalloc(sizeof *store);
    enum txkv_rc rc;

    if (store == NULL)
        return tx_fail_nomem(err);
    store->share.fd = store->share.hold_fd = store->wal_lock_fd = -1;
    store->handles = 1;
    store->device = device;
    store->inode = inode;
    store->map_size = options->map_size;
    store->segment_bytes = options->segment_bytes;
    init_core(&store->core);
    tx_options_apply(options, &store->core.limits);
    store->core.resolve = options->resolve;
    store->core.resolve_arg = options->resolve_arg;
    store->core.decide = (uint32_t)options->decide;
    tx_commit_init(&store->commit, &store->core);
    tx_checkpoint_init(&store->checkpoint, &store->core, &store->commit);
    (void)pthread_mutex_init(&store->backup_mutex, NULL);
    rc = absolute(dir, &store->core.dir, err);
    if (rc == TXKV_OK)
        rc = open_parts(store, options, err);
    if (rc != TXKV_OK) {
        close_parts(store);
        return rc;
    }
    tx_store_release_32(&store->core.decide, TXKV_UNDECIDED);
    store->next = registry.stores;
    registry.stores = store;
    *out = store;
    return TXKV_OK;
}

/* What an option of an open store's says about transactions in doubt. */
static void
join_decisions(struct txkv *store, const struct txkv_options *asked)
{
    struct tx_core *core = &store->core;

    if (asked->resolve != NULL) {
        (void)pthread_mutex_lock(&core->overlay_mutex);
        core->resolve = asked->resolve;
        core->resolve_arg = asked->resolve_arg;
        (void)pthread_mutex_unlock(&core->overlay_mutex);
    }
    if (asked->decide == TXKV_UNDECIDED)
        return;
    tx_store_release_32(&core->decide, (uint32_t)asked->decide);
    publish_what_the_dead_left(store);
    tx_store_release_32(&core->decide, TXKV_UNDECIDED);
}

/* Options that cannot change while the store is open. */
static enum txkv_rc
join_store(struct txkv *store, const struct txkv_options *asked, struct txkv_error *err)
{
    char resolved[PATH_MAX];
    enum txkv_rc rc;

    if (asked->wal_dir != NULL &&
        (realpath(asked->wal_dir, resolved) == NULL || strcmp(resolved, store->wal_dir) != 0))
        return tx_fail(err, TXKV_MISUSE, "store %s is open with its log in %s, not in wal_dir=%s",
                       store->core.dir, store->wal_dir, asked->wal_dir);
    if (asked->map_size != 0 && asked->map_size != store->map_size)
        return tx_fail(
            err, TXKV_MISUSE,
            "store %s is open with map_size=%llu, not %llu; close it everywhere to change that",
            store->core.dir, (unsigned long long)store->map_size,
            (unsigned long long)asked->map_size);
    if (asked->segment_bytes != 0 && asked->segment_bytes != store->segment_bytes)
        return tx_fail(err, TXKV_MISUSE, "store %s is open with segment_bytes=%u, not %u",
                       store->core.dir, store->segment_bytes, asked->segment_bytes);
    rc = tx_archives_set(store, asked->archive_dir, err);
    if (rc != TXKV_OK)
        return rc;
    tx_options_apply(asked, &store->core.limits);
    /* Who waits looks at the new limits. */
    tx_event_signal(&store->core.flusher_wake);
    tx_event_signal(&store->core.checkpointer_wake);
    tx_event_signal(&store->core.drained);
    join_decisions(store, asked);
    store->handles++;
    return TXKV_OK;
}

static enum txkv_rc
open_or_join(const char *dir, const struct txkv_options *asked, struct txkv **out,
             struct txkv_error *err)
{
    struct txkv_options filled = *asked;
    uint64_t device = 0, inode = 0;
    enum txkv_rc rc = TXKV_OK;

    tx_options_fill(&filled);
    if (!asked->must_exist)
        rc = tx_os_make_dir(dir, err);
    if (rc == TXKV_OK)
        rc = identify(dir, &device, &inode, err);
    if (rc == TXKV_OK && asked->must_exist) {
        char *data = tx_os_join(dir, "data.mdb");
        struct stat st;

        if (data == NULL)
            rc = tx_fail_nomem(err);
        else if (stat(data, &st) != 0 && errno == ENOENT)
            rc = tx_fail(err, TXKV_CANTOPEN, "%s is not a txkv store: it has no data.mdb", dir);
        tx_free(data);
    }
    if (rc != TXKV_OK)
        return rc;
    *out = find_open(device, inode);
    if (*out == NULL)
        return open_store(dir, &filled, device, inode, out, err);
    rc = join_store(*out, asked, err);
    if (rc != TXKV_OK)
        *out = NULL;
    return rc;
}

enum txkv_rc
txkv_open(const char *dir, const struct txkv_options *options, struct txkv **out,
          struct txkv_error *err)
{
    static const struct txkv_options none = { 0 };
    const struct txkv_options *asked = options == NULL ? &none : options;
    enum txkv_rc rc;

    *out = NULL;
    (void)pthread_once(&registry.once, start_registry);
    if (dir == NULL || dir[0] == '\0')
        return tx_fail(err, TXKV_MISUSE, "the store's directory is empty");
    rc = tx_options_check(asked, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&registry.mutex);
    rc = open_or_join(dir, asked, out, err);
    (void)pthread_mutex_unlock(&registry.mutex);
    return rc;
}

/* ---- closing ---- */

/* Nobody else has the store: LMDB gets everything, and no segment is needed; or the log keeps what
 * LMDB did not take. */
static enum txkv_rc
finish_store(struct txkv *store, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    enum txkv_rc rc = tx_checkpoint_run(&store->checkpoint, TX_LSN_NONE, NULL, err);

    if (rc != TXKV_OK) {
        if (!tx_log_stopped(core->log))
            (void)!tx_log_sync(core->log, core->applied_lsn, NULL);
        return rc;
    }
    rc = tx_archives_finish(store, err);
    return rc == TXKV_OK ? tx_log_remove(core->log, err) : rc;
}

static enum txkv_rc
close_store(struct txkv *store, struct txkv_error *err)
{
    struct tx_core *core = &store->core;
    struct txkv **at = &registry.stores;
    enum txkv_rc rc = TXKV_OK;

    assert(core->sessions == NULL);
    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
    tx_background_stop(&store->background);
    /* What its commits wait for the flusher for is nobody's any more once it has left. */
    if (!tx_log_stopped(core->log))
        rc = tx_log_sync(core->log, tx_load_relaxed_64(&core->flush_lsn), err);
    if (!core->readonly && tx_share_leave(&store->share)) {
        rc = finish_store(store, err);
    } else if (store->wal_lock_fd >= 0) {
        /* First of all: the others may be gone by now, and a new first one come. */
        (void)tx_os.close(store->wal_lock_fd);
        store->wal_lock_fd = -1;
    }
    close_parts(store);
    return rc;
}

enum txkv_rc
txkv_close(struct txkv *store, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (store == NULL)
        return TXKV_OK;
    rc = tx_check_fork(&store->core, err);
    if (rc != TXKV_OK)
        return rc;
    (void)pthread_mutex_lock(&registry.mutex);
    if (--store->handles == 0)
        rc = close_store(store, err);
    (void)pthread_mutex_unlock(&registry.mutex);
    return rc;
}
