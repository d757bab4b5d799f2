/*
 * report.c - what the runs were made on, their medians and spreads, and the goals.
 *
 * Every run is also one line of JSON in results.jsonl, appended, so that machines and versions can
 * be compared later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* One number of every run: enough for medians, without keeping the histograms. */
struct sample {
    double value, p50_us, p99_us, p999_us, max_us, peak_mb, commit_peak_mb;
    double anon_mb, file_mb, shmem_mb, after_ms, beside_value, retries, disk_mb, per_cpu, switches;
    double group_size, memory_growth, log_growth, data_growth;
};

struct cell {
    int runs, failures;
    struct sample samples[RUNS_MAX];
};

struct report {
    const struct config *config;
    FILE *json;
    char txkv_version[64];
    struct cell cells[]; /* work by work, the engines of each */
};

static struct cell *
cell_of(struct report *p, size_t work, enum engine engine)
{
    return &p->cells[work * ENGINE_COUNT + (size_t)engine];
}

const char *
engine_name(const struct config *config, enum engine engine)
{
    static const char *const names[ENGINE_COUNT] = { "sqlite", "txkv",         "txkv-snapshot",
                                                     "append", "preallocated", "sqlite-immediate",
                                                     "lmdb",   "rocksdb",      "leveldb",
                                                     "empty",  "peer" };
    if (engine == ENGINE_PEER && config->peer_name)
        return config->peer_name;
    return names[engine];
}

/* ---- the machine ---- */

/* The first line of a file, or of it the part after prefix; "?" when there is none. */
static void
first_line(const char *path, const char *prefix, char *out, size_t out_bytes)
{
    char line[256];
    (void)snprintf(out, out_bytes, "?");
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        char *text = line + strlen(prefix);
        text += strspn(text, " \t:");
        text[strcspn(text, "\n")] = 0;
        (void)snprintf(out, out_bytes, "%s", text);
        break;
    }
    if (f)
        (void)fclose(f);
}

/* Type of the file system, the block device under it and whether its cache is volatile. */
static void
describe_disk(const char *dir, char *out, size_t out_bytes)
{
    struct stat st;
    struct statfs fs;
    char path[128];
    char device[128] = "?";
    char cache[64];
    if (stat(dir, &st) != 0 || statfs(dir, &fs) != 0)
        memset(&fs, 0, sizeof(fs));
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(st.st_dev),
                   minor(st.st_dev));
    first_line(path, "DEVNAME=", device, sizeof(device));
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/write_cache", major(st.st_dev),
                   minor(st.st_dev));
    first_line(path, "", cache, sizeof(cache));
    /* Without a journal an fdatasync is cheaper for everybody. */
    (void)snprintf(path, sizeof(path), "/proc/fs/jbd2/%.32s-8", device);
    const char *type = fs.f_type == 0xef53 && access(path, F_OK) != 0 ? "ext4 without a journal"
                       : fs.f_type == 0xef53                          ? "ext4"
                       : fs.f_type == 0x58465342                      ? "xfs"
                       : fs.f_type == 0x9123683e                      ? "btrfs"
                       : fs.f_type == 0x01021994                      ? "tmpfs (no disk at all)"
                                                                      : "another file system";
    (void)snprintf(out, out_bytes, "%s on %s, device cache: %s", type, device, cache);
}

static void
print_left_out(const struct config *config)
{
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (ENGINES_KV >> e & 1u && !bench_has(config, (enum engine)e))
            printf("left out  %s: its header was not there when the program was built (make "
                   "deps-bench)\n",
                   engine_name(config, (enum engine)e));
    }
}

static void
print_machine(const struct report *p, const struct config *config)
{
    char cpu[128];
    char memory[64];
    char disk[300];
    struct utsname name;
    const char *versions = getenv("BENCH_VERSIONS");
    first_line("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
    first_line("/proc/meminfo", "MemTotal", memory, sizeof(memory));
    describe_disk(config->dir, disk, sizeof(disk));
    (void)uname(&name);
    printf("\nmachine   %s, %ld cores, memory %s\n", cpu, sysconf(_SC_NPROCESSORS_ONLN), memory);
    printf("system    %s %s; %s\n", name.sysname, name.release, disk);
    printf("versions  txkv %s, SQLite %s, %s%s\n", p->txkv_version[0] ? p->txkv_version : "not run",
           sqlite3_libversion(), "compiled by " COMPILER, versions ? versions : "");
    print_left_out(config);
    printf("method    %" PRIu32 " rows of %d-byte text keys and %d-byte text values; %d run%s of "
           "each engine, interleaved,\n          each in a process of its own and verified; timed "
           "loops of %.1f s; SQLite: a WITHOUT ROWID table in a\n          WAL-mode file, default "
           "cache and checkpoints, synchronous=FULL or NORMAL; both engines:\n"
           "          SQLITE_CONFIG_MEMSTATUS off, statements prepared once\n",
           config->rows, KEY_BYTES, VALUE_BYTES, config->runs, config->runs == 1 ? "" : "s",
           config->seconds);
}

/* ---- one run ---- */

static void
write_json(FILE *f, const struct run *r, const struct sample *s)
{
    const struct result *res = r->result;
    char text[sizeof(res->error)];
    size_t i = 0;
    for (; res->error[i]; i++) {
        char c = res->error[i];
        text[i] = c;
        if (c == '"' || c == '\\' || (unsigned char)c < ' ')
            text[i] = '\'';
    }
    text[i] = 0;
    (void)fprintf(
        f,
        "{\"at\":%lld,\"work\":\"%s\",\"engine\":\"%s\",\"run\":%d,\"verified\":%s,"
        "\"error\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"count\":%" PRIu64 ",\"retries\":%" PRIu64
        ",\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"%s\":%d,\"sync\":\"%s\",\"rows\":%" PRIu32
        ",\"value_bytes\":%" PRIu32,
        (long long)time(NULL), r->work->name, engine_name(r->config, r->engine), r->round + 1,
        res->ok ? "true" : "false", text, res->value, r->work->unit, res->count, res->retries,
        res->seconds, res->cpu_seconds, r->work->processes ? "processes" : "threads",
        r->work->workers, r->work->sync, r->rows, r->value_bytes);
    if (res->latency.count > 0)
        (void)fprintf(f, ",\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"max_us\":%.3f",
                      s->p50_us, s->p99_us, s->p999_us, s->max_us);
    if (r->work->beside.workers > 0)
        (void)fprintf(f, ",\"beside\":\"%s\",\"beside_value\":%.3f,\"beside_unit\":\"%s\"",
                      r->work->beside.name, res->beside_value, r->work->beside.unit);
    if (r->work->counts_switches)
        (void)fprintf(f, ",\"switches\":%" PRIu64, res->switches);
    if (res->group_size > 0)
        (void)fprintf(f, ",\"group_size\":%.2f", res->group_size);
    if (r->work->look)
        (void)fprintf(f, ",\"memory_growth\":%.3f,\"log_growth\":%.3f,\"data_growth\":%.3f",
                      res->memory_growth, res->log_growth, res->data_growth);
    if (res->disk_mb > 0)
        (void)fprintf(f, ",\"disk_mb\":%.3f", res->disk_mb);
    if (r->work->after)
        (void)fprintf(f, ",\"after\":\"%s\",\"after_ms\":%.3f", r->work->after, res->after_ms);
    (void)fprintf(f,
                  ",\"peak_kb\":%ld,\"peak_at_commit_kb\":%ld,\"anon_kb\":%ld,\"file_kb\":%ld,"
                  "\"shmem_kb\":%ld,\"peak_with_verification_kb\":%ld}\n",
                  res->memory.peak_kb, res->commit_peak_kb, res->memory.anon_kb,
                  res->memory.file_kb, res->memory.shmem_kb, res->child_peak_kb);
    (void)fflush(f);
}

void
report_add(struct report *p, const struct run *r)
{
    const struct result *res = r->result;
    struct cell *cell = cell_of(p, (size_t)(r->work - bench_works), r->engine);
    struct sample s = { .value = res->value,
                        .p50_us = (double)hist_at(&res->latency, 0.5) / 1e3,
                        .p99_us = (double)hist_at(&res->latency, 0.99) / 1e3,
                        .p999_us = (double)hist_at(&res->latency, 0.999) / 1e3,
                        .max_us = (double)res->latency.max / 1e3,
                        .peak_mb = (double)res->memory.peak_kb / 1024,
                        .commit_peak_mb = (double)res->commit_peak_kb / 1024,
                        .anon_mb = (double)res->memory.anon_kb / 1024,
                        .file_mb = (double)res->memory.file_kb / 1024,
                        .shmem_mb = (double)res->memory.shmem_kb / 1024,
                        .after_ms = res->after_ms,
                        .beside_value = res->beside_value,
                        .retries = (double)res->retries,
                        .disk_mb = res->disk_mb,
                        .switches = (double)res->switches,
                        .group_size = res->group_size,
                        .memory_growth = res->memory_growth,
                        .log_growth = res->log_growth,
                        .data_growth = res->data_growth,
                        .per_cpu =
                            res->cpu_seconds > 0 ? (double)res->count / res->cpu_seconds : 0 };
    if (res->ok)
        cell->samples[cell->runs++] = s;
    else
        cell->failures++;
    if (res->txkv_version[0])
        (void)snprintf(p->txkv_version, sizeof(p->txkv_version), "%s", res->txkv_version);
    write_json(p->json, r, &s);
}

/* ---- medians ---- */

struct spread {
    double median, min, max;
};

static int
compare_doubles(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static struct spread
spread_of(const double *values, int count)
{
    double sorted[RUNS_MAX] = { 0 };
    if (count == 0)
        return (struct spread){ 0 };
    memcpy(sorted, values, (size_t)count * sizeof(*values));
    qsort(sorted, (size_t)count, sizeof(*sorted), compare_doubles);
    double middle = sorted[count / 2];
    if (count % 2 == 0)
        middle = (middle + sorted[count / 2 - 1]) / 2;
    return (struct spread){ middle, sorted[0], sorted[count - 1] };
}

/* The spread of the double at that offset in every sample. */
static struct spread
field(const struct cell *cell, size_t offset)
{
    double values[RUNS_MAX];
    for (int i = 0; i < cell->runs; i++)
        memcpy(&values[i], (const char *)&cell->samples[i] + offset, sizeof(double));
    return spread_of(values, cell->runs);
}

#define FIELD(cell, name) field(cell, offsetof(struct sample, name))

/* The ratios of that field in the runs that stood side by side. */
static struct spread
ratio_of(const struct cell *a, const struct cell *b, size_t offset)
{
    double values[RUNS_MAX];
    int count = a->runs < b->runs ? a->runs : b->runs;
    for (int i = 0; i < count; i++) {
        double x;
        double y;
        memcpy(&x, (const char *)&a->samples[i] + offset, sizeof(x));
        memcpy(&y, (const char *)&b->samples[i] + offset, sizeof(y));
        values[i] = x / y;
    }
    return spread_of(values, count);
}

#define RATIO(a, b, name) ratio_of(a, b, offsetof(struct sample, name))

/* ---- tables ---- */

static void
print_time(double us)
{
    if (us <= 0)
        printf(" %8s", "-");
    else if (us < 1000)
        printf(" %5.1f us", us);
    else if (us < 1e6)
        printf(" %5.1f ms", us / 1e3);
    else
        printf(" %5.1f s ", us / 1e6);
}

static void
print_engine(const struct report *p, size_t work, enum engine engine)
{
    const struct work *w = &bench_works[work];
    const struct cell *cell = &p->cells[work * ENGINE_COUNT + (size_t)engine];
    const struct cell *sqlite = &p->cells[work * ENGINE_COUNT + ENGINE_SQLITE];
    if (cell->runs + cell->failures == 0)
        return;
    if (cell->runs == 0) {
        printf("  %-16s FAILED\n", engine_name(p->config, engine));
        return;
    }
    struct spread value = FIELD(cell, value);
    int digits = value.max < 100 ? 2 : 0;
    printf("  %-16s %11.*f %-6s %10.*f -%10.*f", engine_name(p->config, engine), digits,
           value.median, w->unit, digits, value.min, digits, value.max);
    if (engine != ENGINE_SQLITE && sqlite->runs > 0)
        printf(" %7.2fx", RATIO(cell, sqlite, value).median);
    else
        printf(" %8s", "");
    print_time(FIELD(cell, p50_us).median);
    print_time(FIELD(cell, p99_us).median);
    print_time(FIELD(cell, p999_us).median);
    print_time(FIELD(cell, max_us).max);
    printf(" %6.0f (%.0f + %.0f)", FIELD(cell, peak_mb).median, FIELD(cell, anon_mb).median,
           FIELD(cell, file_mb).median + FIELD(cell, shmem_mb).median);
    if (w->after)
        printf(", %s %.0f ms", w->after, FIELD(cell, after_ms).median);
    if (FIELD(cell, disk_mb).max > 0)
        printf(", %.1f MB on disk", FIELD(cell, disk_mb).median);
    if (w->counts_switches)
        printf(", %.0f voluntary context switches", FIELD(cell, switches).median);
    if (FIELD(cell, group_size).max > 0)
        printf(", groups of %.1f", FIELD(cell, group_size).median);
    if (w->beside.workers > 0)
        printf(", %s %.0f %s", w->beside.name, FIELD(cell, beside_value).median, w->beside.unit);
    if (FIELD(cell, retries).max > 0)
        printf(", %.0f retries", FIELD(cell, retries).median);
    if (cell->failures > 0)
        printf(", %d FAILED", cell->failures);
    printf("\n");
}

/* A goal of 0 is none: the number is for information. */
static void
print_goal(const char *what, struct spread got, double goal, bool at_most, const char *unit)
{
    bool met = at_most ? got.median <= goal : got.median >= goal;
    printf("    %-32s %8.2f%s  (%.2f - %.2f)", what, got.median, unit, got.min, got.max);
    if (goal > 0)
        printf("  goal %s %g%s: ", at_most ? "<=" : ">=", goal, unit);
    if (goal > 0 && met)
        printf("met");
    else if (goal > 0)
        printf("short by %.1f %%", 100 * (at_most ? got.median / goal - 1 : 1 - got.median / goal));
    printf("\n");
}

static void
print_goals(const struct report *p, const struct config *config, size_t work)
{
    const struct goal *goal = &bench_works[work].goal;
    const struct cell *cells = &p->cells[work * ENGINE_COUNT];
    const struct cell *txkv = &cells[ENGINE_TXKV];
    if (txkv->runs == 0)
        return;
    for (int i = 0; i < RATIOS_MAX; i++) {
        const struct cell *other = &cells[goal->ratios[i].engine];
        char what[64];
        (void)snprintf(what, sizeof(what), "txkv / %s",
                       engine_name(config, goal->ratios[i].engine));
        if (goal->ratios[i].min > 0 && other->runs > 0)
            print_goal(what, RATIO(txkv, other, value), goal->ratios[i].min, false, "x");
    }
    /* What other programs on the machine take from a run is not in this one. */
    if ((bench_works[work].in_transaction || bench_works[work].columns) &&
        cells[ENGINE_SQLITE].runs > 0)
        print_goal("the same by CPU time", RATIO(txkv, &cells[ENGINE_SQLITE], per_cpu), 0, false,
                   "x");
    if (goal->beside_ratio_min > 0 && cells[ENGINE_SQLITE].runs > 0) {
        char what[64];
        (void)snprintf(what, sizeof(what), "txkv / SQLite, %s", bench_works[work].beside.name);
        print_goal(what, RATIO(txkv, &cells[ENGINE_SQLITE], beside_value), goal->beside_ratio_min,
                   false, "x");
    }
    if (goal->p999_ms_max > 0) {
        struct spread s = FIELD(txkv, p999_us);
        print_goal("txkv p99.9", (struct spread){ s.median / 1e3, s.min / 1e3, s.max / 1e3 },
                   goal->p999_ms_max, true, " ms");
    }
    if (goal->max_ms_max > 0) {
        struct spread s = FIELD(txkv, max_us);
        print_goal("txkv, the longest", (struct spread){ s.median / 1e3, s.min / 1e3, s.max / 1e3 },
                   goal->max_ms_max, true, " ms");
    }
    if (goal->growth_max > 0) {
        print_goal("txkv, growth of memory", FIELD(txkv, memory_growth), goal->growth_max, true,
                   "x");
        print_goal("txkv, growth of the log", FIELD(txkv, log_growth), goal->growth_max, true, "x");
        print_goal("txkv, growth of data.mdb", FIELD(txkv, data_growth), goal->growth_max, true,
                   "x");
    }
    if (goal->peak_to_data_max > 0) {
        struct spread s = FIELD(txkv, peak_mb);
        double data_mb = (double)work_rows(config, &bench_works[work]) * (KEY_BYTES + VALUE_BYTES) /
                         (1024 * 1024);
        print_goal("txkv peak memory / data",
                   (struct spread){ s.median / data_mb, s.min / data_mb, s.max / data_mb },
                   goal->peak_to_data_max, true, "x");
    }
    if (goal->peak_mb_max > 0)
        print_goal("txkv peak memory", FIELD(txkv, peak_mb), goal->peak_mb_max, true, " MB");
    if (goal->disk_ratio_max > 0 && cells[ENGINE_SQLITE].runs > 0)
        print_goal("txkv / SQLite, bytes on disk", RATIO(txkv, &cells[ENGINE_SQLITE], disk_mb),
                   goal->disk_ratio_max, true, "x");
    for (size_t other = 0; goal->like_work && other < bench_works_count; other++) {
        const struct cell *like = &p->cells[other * ENGINE_COUNT + ENGINE_TXKV];
        char what[96];
        (void)snprintf(what, sizeof(what), "txkv / itself in %s", goal->like_work);
        if (strcmp(bench_works[other].name, goal->like_work) == 0 && like->runs > 0)
            print_goal(what, RATIO(txkv, like, value), goal->like_min, false, "x");
    }
    if (goal->value_max > 0)
        print_goal("txkv", FIELD(txkv, value), goal->value_max, true, " ms");
}

void
report_print(const struct report *p, const struct config *config)
{
    print_machine(p, config);
    printf("\n  %-16s %11s %-6s %10s - %9s %8s %8s %8s %8s %8s %s\n", "engine", "median", "", "min",
           "max", "/SQLite", "p50", "p99", "p99.9", "max", "peak MB (end: anon + file)");
    for (size_t work = 0; work < bench_works_count; work++) {
        int runs = 0;
        for (size_t e = 0; e < ENGINE_COUNT; e++)
            runs +=
                p->cells[work * ENGINE_COUNT + e].runs + p->cells[work * ENGINE_COUNT + e].failures;
        if (runs == 0)
            continue;
        printf("\n%s: %s\n", bench_works[work].name, bench_works[work].title);
        for (int e = 0; e < ENGINE_COUNT; e++)
            print_engine(p, work, (enum engine)e);
        print_goals(p, config, work);
    }
    printf("\nevery run: %s/results.jsonl\n", config->dir);
}

struct report *
report_open(const struct config *config)
{
    char path[PATH_BYTES + 16];
    struct report *p =
        calloc(1, sizeof(*p) + bench_works_count * ENGINE_COUNT * sizeof(struct cell));
    (void)snprintf(path, sizeof(path), "%s/results.jsonl", config->dir);
    if (p) {
        p->config = config;
        p->json = fopen(path, "ae");
    }
    if (p && p->json)
        return p;
    (void)fprintf(stderr, "bench: cannot write %s: %s\n", path, strerror(errno));
    free(p);
    return NULL;
}

void
report_close(struct report *p)
{
    (void)fclose(p->json);
    free(p);
}
