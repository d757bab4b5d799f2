/*
 * timeline.c - one work second by second: what a store is like after it has run for a while.
 *
 * The workers note every operation in histograms of atomic counters, one for each. Once a second
 * the run's own thread looks at them, at the process's memory and at the store's files, and writes
 * a line of DIR/timeline-ENGINE.csv, of which report.sh makes a picture. Whether memory and files
 * have grown from the middle of the time to its end is told by three ratios.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"

enum { WORKERS_MAX = 64, SECONDS_MAX = 100000 };

struct series {
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HIST_BUCKETS];
};

struct sample {
    double memory_mb, log_mb, data_mb;
};

static struct {
    FILE *file;
    struct series series[WORKERS_MAX];
    uint64_t seen[HIST_BUCKETS];
    struct hist now; /* the operations since the last look */
    uint64_t begun_ns, last_ns;
    struct sample *samples;
    uint32_t count;
} timeline;

void
op_timeline(struct worker *w)
{
    struct series *series = &timeline.series[w->index];
    uint64_t begun = now_ns();
    op_mix(w);
    uint64_t ns = now_ns() - begun;
    uint64_t max = atomic_load_explicit(&series->max, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&series->buckets[hist_bucket(ns)], 1, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak(&series->max, &max, ns))
        continue;
}

static void
take_latencies(uint32_t workers)
{
    struct hist *h = &timeline.now;
    *h = (struct hist){ .count = 0 };
    for (size_t b = 0; b < HIST_BUCKETS; b++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < workers; i++)
            sum += atomic_load_explicit(&timeline.series[i].buckets[b], memory_order_relaxed);
        h->buckets[b] = sum - timeline.seen[b];
        h->count += h->buckets[b];
        timeline.seen[b] = sum;
    }
    for (uint32_t i = 0; i < workers; i++) {
        uint64_t max = atomic_exchange(&timeline.series[i].max, 0);
        h->max = max > h->max ? max : h->max;
    }
}

/* Bytes that the files in a directory take, of those whose name ends so when `end` is given; files
 * come and go meanwhile. */
static double
files_mb(const char *dir, const char *end)
{
    double bytes = 0;
    const struct dirent *entry;
    DIR *stream = opendir(dir);
    if (!stream)
        return 0;
    /* This thread alone reads the stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL) {
        char path[PATH_BYTES + 300];
        struct stat st;
        size_t length = strlen(entry->d_name);
        if (length < strlen(end) || strcmp(entry->d_name + length - strlen(end), end) != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            bytes += (double)st.st_blocks * 512;
    }
    (void)closedir(stream);
    return bytes / (1024 * 1024);
}

void
timeline_look(struct run *r)
{
    const struct hist *h = &timeline.now;
    take_latencies((uint32_t)r->work->workers);
    struct memory m = memory_now();
    uint64_t now = now_ns();
    double seconds = (double)(now - timeline.last_ns) / 1e9;
    struct sample s = { .memory_mb = (double)m.anon_kb / 1024 };
    char wal[PATH_BYTES + 8];
    if (db_is_native(r)) {
        s.log_mb = files_mb(r->store, "-wal");
        s.data_mb = files_mb(r->store, ".db");
    } else {
        (void)snprintf(wal, sizeof(wal), "%s/wal", r->store);
        s.log_mb = files_mb(wal, "");
        s.data_mb = files_mb(r->store, ".mdb");
    }
    if (timeline.count < SECONDS_MAX)
        timeline.samples[timeline.count++] = s;
    (void)fprintf(timeline.file, "%.1f,%.0f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f\n",
                  (double)(now - timeline.begun_ns) / 1e9, (double)h->count / seconds,
                  (double)hist_at(h, 0.5) / 1e3, (double)hist_at(h, 0.999) / 1e3,
                  (double)h->max / 1e3, s.memory_mb, (double)(m.file_kb + m.shmem_kb) / 1024,
                  s.log_mb, s.data_mb);
    (void)fflush(timeline.file);
    timeline.last_ns = now;
}

/* The largest in the last third of the time, to the largest in the third before it. */
static double
growth_of(size_t offset)
{
    double most[3] = { 0 };
    for (uint32_t i = 0; i < timeline.count; i++) {
        double value;
        double *third = &most[(uint64_t)i * 3 / timeline.count];
        memcpy(&value, (const char *)&timeline.samples[i] + offset, sizeof(value));
        *third = value > *third ? value : *third;
    }
    return most[1] > 0 ? most[2] / most[1] : 0;
}

void
timeline_measure(struct run *r)
{
    char path[PATH_BYTES + 64];
    timeline.samples = calloc(SECONDS_MAX, sizeof(*timeline.samples));
    (void)snprintf(path, sizeof(path), "%s/timeline-%s.csv", r->config->dir,
                   engine_name(r->config, r->engine));
    timeline.file = fopen(path, "we");
    if (!timeline.samples || !timeline.file || r->work->workers > WORKERS_MAX)
        run_fail(r, "cannot write %s", path);
    (void)fprintf(timeline.file, "seconds,ops/s,p50 us,p99.9 us,max us,memory MB,mapped MB,"
                                 "log MB,data MB\n");
    timeline.begun_ns = timeline.last_ns = now_ns();
    workers_measure(r);
    r->result->memory_growth = growth_of(offsetof(struct sample, memory_mb));
    r->result->log_growth = growth_of(offsetof(struct sample, log_mb));
    r->result->data_growth = growth_of(offsetof(struct sample, data_mb));
    (void)fclose(timeline.file);
    free(timeline.samples);
}
