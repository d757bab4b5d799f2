/*
 * stats.c - what a store is doing, as a list of named numbers.
 */
#include "expire.h"
#include "os.h"
#include "pace.h"
#include "store.h"

struct list {
    struct txkv_stat *stats;
    size_t count;
};

static void
add(struct list *list, const char *name, double value, const char *unit, const char *meaning)
{
    assert(list->count < TXKV_STATS_MAX);
    list->stats[list->count++] = (struct txkv_stat){
        .name = name, .unit = unit, .meaning = meaning, .value = value, .integral = true
    };
}

static void
add_mean(struct list *list, const char *name, double sum, double count, const char *unit,
         const char *meaning)
{
    add(list, name, count == 0 ? 0 : sum / count, unit, meaning);
    list->stats[list->count - 1].integral = false;
}

static double
load(const uint64_t *counter)
{
    return (double)tx_load_relaxed_64(counter);
}

static void
add_commits(struct list *list, struct tx_core *core)
{
    const struct tx_counters *c = &core->counters;

    add(list, "commits", load(&c->commits), "transactions",
        "transactions that wrote and committed");
    add(list, "groups", load(&c->groups), "groups", "batches in which they were committed");
    add_mean(list, "group_size_mean", load(&c->commits), load(&c->groups), "transactions",
             "transactions a group");
    add(list, "conflicts",
        load(&c->conflicts_written) + load(&c->conflicts_read) + load(&c->conflicts_history),
        "transactions", "commits refused because another transaction came first");
    add(list, "conflicts_written", load(&c->conflicts_written), "transactions",
        "of those: a key that was read and written had been changed");
    add(list, "conflicts_read", load(&c->conflicts_read), "transactions",
        "of those: a key that was only read, or one in a range that was read, had been changed");
    add(list, "conflicts_history", load(&c->conflicts_history), "transactions",
        "of those: older than the history kept for the check");
    add(list, "rights_of_way", load(&c->rights_of_way), "times",
        "a session that had lost three times in a row was given right of way");
    add(list, "stalls", load(&c->stalls), "commits", "commits that waited for overlay_limit");
    add(list, "stall_timeouts", load(&c->stall_timeouts), "commits",
        "of those: gave up after stall_timeout_ms");
}

static void
add_log(struct list *list, struct tx_core *core)
{
    struct tx_log_stats log;

    tx_log_stats(core->log, &log);
    add(list, "fdatasyncs", (double)log.syncs, "syncs", "syncs of the log that reached the disk");
    add_mean(list, "fdatasync_us_mean", (double)log.sync_us_total, (double)log.syncs,
             "microseconds", "mean time of one");
    add(list, "fdatasync_us_max", (double)log.sync_us_max, "microseconds", "longest time of one");
    add(list, "wal_bytes_written", (double)log.appended_bytes, "bytes",
        "appended since the store was opened");
    add(list, "wal_records_written", (double)log.appended_records, "records",
        "appended since the store was opened");
    add(list, "wal_segments", (double)log.segments, "files", "segment files on disk now");
    add(list, "wal_bytes", (double)log.segment_bytes, "bytes", "their size");
    add(list, "published_lsn", (double)tx_published_lsn(core), "LSN",
        "everything before it is committed and visible");
    add(list, "durable_lsn", (double)tx_log_durable_lsn(core->log), "LSN",
        "everything before it is on the disk");
    add(list, "checkpoint_lsn", (double)tx_checkpoint_lsn(core), "LSN",
        "everything before it is in LMDB");
    add(list, "stopped", tx_log_stopped(core->log), "0 or 1",
        "1 after a failed sync: no more commits until the store is opened again");
}

struct view_sums {
    uint64_t memtables, bytes, rows;
};

static struct view_sums
sum_view(struct tx_core *core)
{
    struct view_sums sums = { 0 };
    const struct tx_view *view;

    /* Without it the view may be replaced and freed at any time. */
    (void)pthread_mutex_lock(&core->overlay_mutex);
    view = tx_views_current(&core->views);
    sums.memtables = view->count;
    for (uint32_t i = 0; i < view->count; i++) {
        sums.bytes += tx_memtable_bytes(view->memtables[i]);
        sums.rows += tx_load_relaxed_64(&view->memtables[i]->keys);
    }
    (void)pthread_mutex_unlock(&core->overlay_mutex);
    return sums;
}

static double
oldest_age_s(struct tx_core *core)
{
    const uint64_t since_us = tx_oldest_since(core), now_us = tx_os_now_us();

    const uint64_t age_s = since_us < now_us ? (now_us - since_us) / 1000000 : 0;

    return (double)age_s;
}

static void
add_overlay(struct list *list, struct txkv *store)
{
    struct tx_core *core = &store->core;
    const struct view_sums sums = sum_view(core);
    uint32_t open;

    add(list, "overlay_bytes", (double)sums.bytes, "bytes",
        "memory and log that the overlay keeps");
    add(list, "overlay_rows", (double)sums.rows, "keys", "keys in the overlay");
    add(list, "overlay_bytes_waiting", load(&core->overlay_bytes), "bytes",
        "of those: not yet checkpointed; overlay_limit is about these");
    add(list, "overlay_bytes_limit", (double)tx_pace_limit(core), "bytes",
        "commits wait while more do: overlay_limit, or what checkpoints are quick enough for");
    add(list, "memtables", (double)sums.memtables, "memtables", "generations in the current view");
    add(list, "views_retired", load(&core->views.retired_count), "views",
        "replaced views that snapshots still hold");
    add(list, "views_retired_bytes", load(&core->views.retired_bytes), "bytes",
        "overlay memory only they keep");
    (void)tx_oldest_snap(core, &open);
    add(list, "live_snapshots", open, "sessions", "sessions that hold a snapshot now");
    add(list, "oldest_snapshot_age_s", oldest_age_s(core), "seconds",
        "how long the oldest of them has been open");
    add(list, "snapshots_expired", load(&core->counters.snapshots_expired), "snapshots",
        "ended by snapshot_timeout_s");
    (void)pthread_mutex_lock(&core->sessions_mutex);
    add(list, "sessions", core->session_count, "sessions", "open sessions");
    (void)pthread_mutex_unlock(&core->sessions_mutex);
}

static void
add_checkpoints(struct list *list, struct tx_core *core)
{
    const struct tx_counters *c = &core->counters;
    struct tx_tree_stats tree;

    tx_tree_stats(core->tree, &tree);
    add(list, "checkpoints", load(&c->checkpoints), "checkpoints",
        "finished since the store was opened");
    add(list, "checkpoints_failed", load(&c->checkpoints_failed), "checkpoints",
        "failed, and tried again later");
    add(list, "checkpoint_us_last", load(&c->checkpoint_us_last), "microseconds",
        "duration of the last one");
    add_mean(list, "checkpoint_us_mean", load(&c->checkpoint_us_total), load(&c->checkpoints),
             "microseconds", "mean duration");
    add(list, "checkpoint_rows", load(&c->checkpoint_rows), "rows",
        "written to or deleted from LMDB");
    add(list, "lmdb_map_bytes", (double)tree.map_bytes, "bytes", "address space of LMDB's map");
    add(list, "lmdb_used_bytes", (double)tree.used_bytes, "bytes", "of it in use");
    add(list, "lmdb_readers", (double)tree.readers, "slots", "LMDB reader slots in use");
    add(list, "lmdb_map_grows", load(&c->map_grows), "times", "the map was enlarged");
}

static void
add_archive(struct list *list, const struct tx_core *core)
{
    const struct tx_counters *c = &core->counters;

    add(list, "archived_segments", load(&c->archived_files), "files",
        "of the log, written to archive_dir by this process");
    add(list, "archived_bytes", load(&c->archived_bytes), "bytes", "of the log, in those files");
    add(list, "archives_failed", load(&c->archives_failed), "times",
        "archive_dir could not be written, and is tried again later");
    add(list, "archive_segments_waiting", load(&core->shared->archive_waiting), "files",
        "of the log, that stay until they can be archived");
}

static void
add_backups(struct list *list, const struct tx_core *core)
{
    const struct tx_counters *c = &core->counters;

    add(list, "backups", load(&c->backups), "backups", "made by this process");
    add(list, "backups_failed", load(&c->backups_failed), "backups", "failed, and left nothing");
    add(list, "backup_bytes_done", load(&c->backup_bytes_done), "bytes",
        "written by the backup that runs, or the last one");
    add(list, "backup_bytes_total", load(&c->backup_bytes_total), "bytes",
        "what it has to write at most; of a finished one, what it has written");
}

size_t
txkv_stats(struct txkv *store, struct txkv_stat stats[TXKV_STATS_MAX])
{
    struct list list = { stats, 0 };

    if (tx_check_fork(&store->core, NULL) != TXKV_OK)
        return 0;
    add_commits(&list, &store->core);
    add_log(&list, &store->core);
    add_overlay(&list, store);
    add_checkpoints(&list, &store->core);
    add_archive(&list, &store->core);
    add_backups(&list, &store->core);
    return list.count;
}
