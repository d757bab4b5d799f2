/*
 * bench.c - options, and the order of the runs.
 *
 * Runs of one work are interleaved and rotated (A B B A A B ...), so that what drifts on the
 * machine meets every engine alike. Before each run the file system is synced, so that no engine
 * pays for what another left dirty.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"
#include "kv.h"

static const char usage_text[] =
    "usage: bench [--quick] [--only NAME] [--engine NAME] [--runs N] [--seconds S] [--rows N]\n"
    "             [--dir DIR] [--ext FILE] [--args TEXT] [--peer NAME=FILE --peer-sql FILE] "
    "[--full]\n"
    "  --quick       100,000 rows, half a second and 1 run each: a look, not a measurement\n"
    "  --only NAME   the work of that name, else all whose name contains NAME; or several: A,B\n"
    "  --engine NAME that engine alone\n"
    "  --runs N      runs of each engine, 1 to 15 (default 3)\n"
    "  --rows N      rows, 1,000 to 100,000,000 (default 1,000,000)\n"
    "  --seconds S   length of a timed run (default 1.5; 2.5 with --full or --only)\n"
    "  --dir DIR     scratch space and results.jsonl (default build/bench): its disk is measured\n"
    "  --ext FILE    the extension (default ./txkv.so)\n"
    "  --args TEXT   what txkv's tables are given besides, as \", name=value\"\n"
    "  --peer NAME=FILE  another extension to compare with, which has virtual tables\n"
    "  --peer-sql FILE   the SQL by which it makes a table kv(key, value), run on each "
    "connection:\n"
    "                {dir} stands for the directory of the run, {sync} for full or normal\n"
    "  --full        everything but the works marked -: about an hour. Without it, and without\n"
    "                --only: the works marked *, by SQLite, txkv and the engines that their goals "
    "name\n";

_Noreturn void
run_fail(struct run *r, const char *format, ...)
{
    /* The first failure has the word. Others, which may come of it, wait here for the end of all.
     */
    while (atomic_exchange(&r->result->failed, true))
        (void)pause();
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->result->error, sizeof(r->result->error), format, args);
    va_end(args);
    _exit(1);
}

bool
bench_has(const struct config *config, enum engine engine)
{
    if (engine == ENGINE_PEER)
        return config->peer_name != NULL;
    return !(ENGINES_KV >> engine & 1u) || kv_library(engine);
}

static void
sync_disk(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)syncfs(fd);
        (void)close(fd);
    }
}

/* Run body in a child, in a control group unless that is NULL; how it ended must be what killed
 * says. */
static bool
in_child(struct run *r, void (*body)(struct run *), bool killed, const char *group)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (group && !limit_enter(group))
            run_fail(r, "cannot enter %s", group);
        /* One global mutex around every allocation, in both engines: a library's user turns it
         * off where threads matter. */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        body(r);
        r->result->ok = true;
        _exit(0);
    }
    int status = 0;
    struct rusage usage;
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
        continue;
    bool as_asked = killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                           : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (child > 0 && as_asked && r->result->ok) {
        r->result->child_peak_kb = usage.ru_maxrss;
        return true;
    }
    r->result->ok = false;
    if (r->result->error[0] == 0)
        (void)snprintf(r->result->error, sizeof(r->result->error),
                       "the process ended with status 0x%x", (unsigned)status);
    (void)fprintf(stderr, "bench: %s, %s: FAILED: %s\n", r->work->name,
                  engine_name(r->config, r->engine), r->result->error);
    return false;
}

/* The engine whose store this one uses. */
static enum engine
owner_of(enum engine engine)
{
    if (engine == ENGINE_SNAPSHOT)
        return ENGINE_TXKV;
    return engine == ENGINE_IMMEDIATE ? ENGINE_SQLITE : engine;
}

/* A store that runs can share, and what is in it. */
struct made {
    bool done;
    uint32_t rows, value_bytes;
};

/* Whether the engine has no store to be filled. */
static bool
is_bare(enum engine engine)
{
    return (ENGINES_BARE | ENGINE_BIT(EMPTY)) >> engine & 1u;
}

static bool
store_path(char path[PATH_BYTES], const struct run *r, enum fixture fixture, enum engine store)
{
    static const char *const names[] = { "empty",  "loaded",  "sized", "growing",
                                         "logged", "columns", "killed" };
    int n = snprintf(path, PATH_BYTES, "%s/data/%s-%s", r->config->dir,
                     is_bare(r->engine) ? "bare" : names[fixture], engine_name(r->config, store));
    return n >= 0 && n < PATH_BYTES;
}

/* Have the run's store in place: a fresh directory, or the fixture that its work reads. */
static bool
prepare_store(struct run *r, struct made made[FIXTURE_COUNT][ENGINE_COUNT])
{
    enum engine store = owner_of(r->engine);
    enum fixture fixture = r->work->fixture;
    /* What is in SQLite's log only waits to be in its file, where reads are quicker. */
    if (fixture == FIXTURE_LOGGED && store != ENGINE_TXKV)
        fixture = FIXTURE_LOADED;
    r->fixture = fixture;
    if (!store_path(r->store, r, fixture, store))
        return false;
    if (is_bare(r->engine) || fixture == FIXTURE_EMPTY) {
        test_dir_remove(r->store);
        return true;
    }
    struct made *there = &made[fixture][store];
    if (there->done && there->rows == r->rows && there->value_bytes == r->value_bytes)
        return true;
    there->done = false;
    test_dir_remove(r->store);
    (void)fprintf(stderr, "bench: making %s ...\n", r->store);
    struct run maker = { .config = r->config,
                         .work = r->work,
                         .engine = store,
                         .rows = r->rows,
                         .value_bytes = r->value_bytes,
                         .fixture = fixture,
                         .result = r->result,
                         .library = r->library };
    memcpy(maker.store, r->store, sizeof(maker.store));
    if (!in_child(&maker, fixture_make, fixture == FIXTURE_LOGGED || fixture == FIXTURE_KILLED,
                  NULL))
        return false;
    *there = (struct made){ fixture != FIXTURE_KILLED && fixture != FIXTURE_GROWING, r->rows,
                            r->value_bytes };
    return true;
}

/* The stores of two engines may be too large for one memory. */
static void
make_place(const struct run *r, struct made made[FIXTURE_COUNT][ENGINE_COUNT])
{
    char path[PATH_BYTES];
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (made[r->fixture][e].done && e != (int)owner_of(r->engine) &&
            store_path(path, r, r->fixture, (enum engine)e))
            limit_forget(path);
    }
    limit_recall(r->store);
}

/* In less memory where the work says so. */
static bool
measure(struct run *r, struct made made[FIXTURE_COUNT][ENGINE_COUNT])
{
    char group[PATH_BYTES];
    if (r->work->large)
        make_place(r, made);
    if (r->work->memory_mb == 0)
        return in_child(r, r->work->measure, false, NULL);
    if (!limit_make(group, r->work->memory_mb)) {
        (void)snprintf(r->result->error, sizeof(r->result->error), "no control group");
        return false;
    }
    limit_forget(r->store);
    bool ok = in_child(r, r->work->measure, false, group);
    limit_remove(group);
    return ok;
}

static bool
run_once(struct run *r, struct report *report, struct made made[FIXTURE_COUNT][ENGINE_COUNT])
{
    memset(r->result, 0, sizeof(*r->result));
    bool ok = prepare_store(r, made);
    if (ok) {
        sync_disk(r->config->dir);
        char version[sizeof(r->result->txkv_version)];
        memcpy(version, r->result->txkv_version, sizeof(version));
        memset(r->result, 0, sizeof(*r->result));
        memcpy(r->result->txkv_version, version, sizeof(version));
        ok = measure(r, made);
    }
    if (ok)
        (void)fprintf(stderr, "bench: %-20s run %d  %-20s %14.1f %s\n", r->work->name, r->round + 1,
                      engine_name(r->config, r->engine), r->result->value, r->work->unit);
    report_add(report, r);
    return ok;
}

/* Whether that engine does that work in this run of the program. */
static bool
takes_part(const struct config *config, const struct work *work, enum engine engine)
{
    bool named = !(ENGINES_EXTRA >> engine & 1u);
    if (config->engine)
        return strcmp(config->engine, engine_name(config, engine)) == 0;
    for (int i = 0; i < RATIOS_MAX; i++)
        named |= work->goal.ratios[i].min > 0 && work->goal.ratios[i].engine == engine;
    return named || config->full || config->only;
}

static bool
run_work(const struct config *config, const struct work *work, struct report *report,
         struct made made[FIXTURE_COUNT][ENGINE_COUNT])
{
    bool ok = true;
    char group[PATH_BYTES];
    if (work->memory_mb > 0 && !limit_make(group, work->memory_mb)) {
        (void)fprintf(stderr,
                      "bench: %s is left out: memory is limited by a control group, which takes "
                      "root and its memory controller\n",
                      work->name);
        return true;
    }
    if (work->memory_mb > 0)
        limit_remove(group);
    struct result *result =
        mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return false;
    enum engine engines[ENGINE_COUNT] = { ENGINE_SQLITE };
    int count = 0;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (work->engines >> e & 1u && bench_has(config, (enum engine)e) &&
            takes_part(config, work, (enum engine)e))
            engines[count++] = (enum engine)e;
    }
    static uint16_t serial;
    for (int i = 0; i < config->runs * count; i++) {
        int round = i / count;
        serial++;
        struct run r = { .config = config,
                         .work = work,
                         .engine = engines[(round + i) % count],
                         .round = round,
                         .serial = serial,
                         .rows = work_rows(config, work),
                         .value_bytes = work->value_bytes ? work->value_bytes : VALUE_BYTES,
                         .result = result };
        r.library = kv_library(r.engine);
        ok &= run_once(&r, report, made);
    }
    (void)munmap(result, sizeof(*result));
    return ok;
}

static _Noreturn void
usage_exit(int status)
{
    FILE *f = status ? stderr : stdout;
    (void)fputs(usage_text, f);
    (void)fprintf(f, "engines:\n ");
    struct config config = { .peer_name = NULL };
    for (int e = 0; e < ENGINE_COUNT; e++)
        (void)fprintf(f, " %s%s", engine_name(&config, (enum engine)e),
                      bench_has(&config, (enum engine)e) ? "" : " (not here)");
    (void)fprintf(f, "\nworks:\n");
    for (size_t i = 0; i < bench_works_count; i++)
        (void)fprintf(f, "%c %-24s %s\n",
                      bench_works[i].large   ? '-'
                      : bench_works[i].extra ? ' '
                                             : '*',
                      bench_works[i].name, bench_works[i].title);
    exit(status);
}

static void
resolve(char out[PATH_BYTES], const char *path)
{
    char *real = realpath(path, NULL);
    if (!real || strlen(real) > PATH_BYTES - 64) {
        (void)fprintf(stderr, "bench: cannot use %s\n", path);
        exit(2);
    }
    (void)snprintf(out, PATH_BYTES, "%s", real);
    free(real);
}

/* The text of a file, for ever. */
static char *
read_text(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "re");
    size_t bytes = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (!f || bytes == 0 || bytes == sizeof(text) - 1) {
        (void)fprintf(stderr, "bench: cannot use %s: missing, empty, or more than %zu bytes\n",
                      path, sizeof(text) - 2);
        exit(2);
    }
    (void)fclose(f);
    text[bytes] = 0;
    return text;
}

/* "NAME=FILE". The name becomes part of a directory's name and of the JSON. */
static void
parse_peer(struct config *config, char *value)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    char *equals = strchr(value, '=');
    size_t length = equals ? (size_t)(equals - value) : 0;
    if (length == 0 || strspn(value, allowed) < length) {
        (void)fprintf(stderr, "bench: --peer %s: not NAME=FILE, with a name of a-z, 0-9 and -_.\n",
                      value);
        exit(2);
    }
    resolve(config->peer_extension, equals + 1);
    *equals = 0;
    config->peer_name = value;
}

static bool
parse_flag(struct config *config, const char *arg)
{
    if (strcmp(arg, "--help") == 0)
        usage_exit(0);
    if (strcmp(arg, "--full") == 0) {
        config->full = true;
        return true;
    }
    if (strcmp(arg, "--quick") != 0)
        return false;
    config->rows = 100000;
    config->seconds = 0.5;
    config->runs = 1;
    return true;
}

static void
check_engine(const struct config *config)
{
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (bench_has(config, (enum engine)e) &&
            strcmp(config->engine, engine_name(config, (enum engine)e)) == 0)
            return;
    }
    (void)fprintf(stderr, "bench: there is no engine %s here; --help lists them\n", config->engine);
    exit(2);
}

static void
parse_options(struct config *config, char **argv)
{
    const char *dir = getenv("BENCH_DIR");
    const char *extension = "./txkv.so";
    dir = dir ? dir : "build/bench";
    for (char **arg = argv + 1; *arg; arg++) {
        if (parse_flag(config, *arg))
            continue;
        char *value = arg[1];
        if (!value)
            usage_exit(2);
        if (strcmp(*arg, "--only") == 0)
            config->only = value;
        else if (strcmp(*arg, "--engine") == 0)
            config->engine = value;
        else if (strcmp(*arg, "--runs") == 0)
            config->runs = (int)strtol(value, NULL, 10);
        else if (strcmp(*arg, "--rows") == 0)
            config->rows = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(*arg, "--seconds") == 0)
            config->seconds = strtod(value, NULL);
        else if (strcmp(*arg, "--dir") == 0)
            dir = value;
        else if (strcmp(*arg, "--ext") == 0)
            extension = value;
        else if (strcmp(*arg, "--args") == 0)
            config->args = value;
        else if (strcmp(*arg, "--peer") == 0)
            parse_peer(config, value);
        else if (strcmp(*arg, "--peer-sql") == 0)
            config->peer_sql = read_text(value);
        else
            usage_exit(2);
        arg++;
    }
    if (config->seconds == 0)
        config->seconds = config->full || config->only ? 2.5 : 1.5;
    if (config->rows < 1000 || config->rows > 100000000 || config->runs < 1 ||
        config->runs > RUNS_MAX || !(config->seconds > 0) ||
        !config->peer_name != !config->peer_sql)
        usage_exit(2);
    if (config->engine)
        check_engine(config);
    char data[PATH_BYTES];
    (void)snprintf(data, sizeof(data), "%s/data", dir);
    (void)mkdir(dir, 0755);
    (void)mkdir(data, 0755);
    resolve(config->dir, dir);
    resolve(config->extension, extension);
}

/* Whether a work is what one part of --only names: a whole name means that work alone. */
static bool
is_named(const struct work *work, const char *part)
{
    if (strcmp(work->name, part) == 0)
        return true;
    for (size_t i = 0; i < bench_works_count; i++) {
        if (strcmp(bench_works[i].name, part) == 0)
            return false;
    }
    return strstr(work->name, part) != NULL;
}

static bool
is_wanted(const struct config *config, const struct work *work)
{
    if (!config->only)
        return !work->large && (config->full || !work->extra);
    char *parts = strdup(config->only);
    char *rest = NULL;
    bool wanted = false;
    for (char *part = parts ? strtok_r(parts, ",", &rest) : NULL; part && !wanted;
         part = strtok_r(NULL, ",", &rest))
        wanted = is_named(work, part);
    free(parts);
    return wanted;
}

int
main(int argc, char **argv)
{
    (void)argc;
    struct config config = { .args = "", .rows = 1000000, .runs = 3 };
    parse_options(&config, argv);
    struct report *report = report_open(&config);
    if (!report)
        return 2;
    struct made made[FIXTURE_COUNT][ENGINE_COUNT] = { { { false, 0, 0 } } };
    bool ok = true;
    for (size_t i = 0; i < bench_works_count; i++) {
        if (is_wanted(&config, &bench_works[i]))
            ok &= run_work(&config, &bench_works[i], report, made);
    }
    report_print(report, &config);
    report_close(report);
    char data[PATH_BYTES + 8];
    (void)snprintf(data, sizeof(data), "%s/data", config.dir);
    test_dir_remove(data);
    return ok ? 0 : 1;
}
