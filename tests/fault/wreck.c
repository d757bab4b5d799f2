/*
 * wreck.c - see wreck.h.
 */
#include "wreck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_MAX = 80, ALARM_S = 30, PAGE = 4096, SECTOR = 512 };

/* What can be done to a store. */
enum wreck {
    FLIP_BITS,
    ZERO_RANGE,
    GARBAGE_RANGE,
    COPY_RANGE,
    CUT_FILE,
    LENGTHEN_FILE,
    REMOVE_FILE,
    SWAP_SEGMENTS,
    OLD_SEGMENTS,
    OLD_SEGMENT,
    FOREIGN_LOG,
    FOREIGN_SEGMENT,
    PAGE_NUMBERS,
    SWAP_PAGES,
    OLD_DATA,
    SHARED_NOISE,
    WRECKS
};

static const char *const wreck_names[WRECKS] = {
    "flip bits",         "zero a range",    "garbage in a range", "copy a range",
    "cut a file",        "lengthen a file", "remove a file",      "swap segments",
    "old segments",      "an old segment",  "a foreign log",      "a foreign segment",
    "numbers in a page", "swap pages",      "an old data.mdb",    "noise in shared files",
};

struct file {
    char path[TEST_PATH_BYTES];
    bool is_wal, is_data, is_shared;
};

struct wreck_counts wreck_counts;

static struct {
    const struct wreck_places *places;
    struct rng *rng;
    uint64_t number;
    char dir[TEST_PATH_BYTES], spare[TEST_PATH_BYTES];
    struct file files[FILES_MAX];
    uint32_t count;
    bool touches_data, is_old_data;
    char what[256];
} now;

/* ---- files ---- */

static int
compare_files(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void
list_dir(const char *dir, bool is_wal)
{
    const struct dirent *entry;
    DIR *stream = opendir(dir);

    if (stream == NULL)
        return;
    /* The test's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL && now.count < FILES_MAX) {
        struct file *file = &now.files[now.count];
        struct stat st;

        test_path(file->path, dir, entry->d_name);
        /* Whether a segment was made ahead of time is a matter of moments. */
        if (strstr(entry->d_name, ".tmp") != NULL || stat(file->path, &st) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        file->is_wal = is_wal;
        file->is_data = strcmp(entry->d_name, "data.mdb") == 0;
        file->is_shared = !file->is_wal && !file->is_data;
        now.count++;
    }
    (void)closedir(stream);
}

/* In an order that does not depend on the directory's. */
static void
list_files(void)
{
    char wal[TEST_PATH_BYTES];

    now.count = 0;
    list_dir(now.dir, false);
    test_path(wal, now.dir, "wal");
    list_dir(wal, true);
    qsort(now.files, now.count, sizeof now.files[0], compare_files);
}

struct bytes {
    uint8_t *at;
    size_t bytes;
};

static struct bytes
map(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct bytes b = { NULL, 0 };
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (at == MAP_FAILED)
            test_die("cannot map %s", path);
        b = (struct bytes){ at, (size_t)st.st_size };
    }
    if (fd >= 0)
        (void)close(fd);
    return b;
}

static void
unmap(struct bytes b)
{
    if (b.bytes > 0)
        (void)munmap(b.at, b.bytes);
}

static void
copy_file(const char *from, const char *to)
{
    const struct bytes b = map(from);
    const int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || (b.bytes > 0 && write(fd, b.at, b.bytes) != (ssize_t)b.bytes))
        test_die("cannot copy %s to %s", from, to);
    (void)close(fd);
    unmap(b);
}

/* A number of all names, sizes, times and bytes below the directory. */
static uint64_t
fingerprint(void)
{
    uint64_t sum = 1;

    list_files();
    for (uint32_t i = 0; i < now.count; i++) {
        struct bytes b;
        struct stat st;

        if (stat(now.files[i].path, &st) != 0)
            test_die("stat %s", now.files[i].path);
        sum = mix64(sum ^ (uint64_t)st.st_mtim.tv_sec ^ (uint64_t)st.st_mtim.tv_nsec << 20);
        for (const char *c = now.files[i].path; *c != '\0'; c++)
            sum = sum * 31 + (uint8_t)*c;
        b = map(now.files[i].path);
        for (size_t at = 0; at < b.bytes; at++)
            sum = sum * 0x100000001b3 + b.at[at];
        unmap(b);
    }
    return sum;
}

/* ---- harms ---- */

/* Half of them the log's, a third data.mdb, else the shared ones. */
static struct file *
pick_file(void)
{
    const uint32_t kind = rng_below(now.rng, 12);
    struct file *chosen = &now.files[0];
    uint32_t seen = 0;

    for (uint32_t i = 0; i < now.count; i++) {
        struct file *file = &now.files[i];

        if (kind < 6 ? file->is_wal : kind < 11 ? file->is_data : file->is_shared)
            if (rng_below(now.rng, ++seen) == 0)
                chosen = file;
    }
    now.touches_data = now.touches_data || chosen->is_data;
    return chosen;
}

static struct file *
pick_data(void)
{
    for (uint32_t i = 0; i < now.count; i++)
        if (now.files[i].is_data)
            return &now.files[i];
    return NULL;
}

/* Often at the beginning of something: of the file, a page, a sector. */
static size_t
pick_place(const struct bytes *b)
{
    size_t at = rng_below(now.rng, (uint32_t)b->bytes);

    if (rng_chance(now.rng, 30))
        at &= ~(size_t)(SECTOR - 1);
    if (rng_chance(now.rng, 20))
        at = (at & ~(size_t)(PAGE - 1)) + rng_below(now.rng, 160);
    if (rng_chance(now.rng, 10))
        at = rng_below(now.rng, 2 * PAGE);
    return at < b->bytes ? at : b->bytes - 1;
}

static size_t
pick_length(const struct bytes *b, size_t at)
{
    const uint32_t limits[] = { 8, 64, SECTOR, PAGE, 65536 };
    size_t length = 1 + rng_below(now.rng, limits[rng_below(now.rng, 5)]);

    if (rng_chance(now.rng, 30))
        length = rng_chance(now.rng, 50) ? SECTOR : PAGE;
    return length < b->bytes - at ? length : b->bytes - at;
}

static void
harm_range(enum wreck kind, const char *path)
{
    const struct bytes b = map(path);
    const uint32_t flips = 1 + rng_below(now.rng, 8);
    size_t at, from, length;

    if (b.bytes == 0)
        return;
    for (uint32_t i = 0; kind == FLIP_BITS && i < flips; i++)
        b.at[pick_place(&b)] ^= (uint8_t)(1u << rng_below(now.rng, 8));
    at = pick_place(&b);
    length = pick_length(&b, at);
    from = pick_place(&b);
    if (length > b.bytes - from)
        length = b.bytes - from;
    if (kind == ZERO_RANGE)
        memset(b.at + at, 0, length);
    if (kind == COPY_RANGE)
        memmove(b.at + at, b.at + from, length);
    for (size_t i = 0; kind == GARBAGE_RANGE && i < length; i++)
        b.at[at + i] = (uint8_t)rng_next(now.rng);
    unmap(b);
}

static void
harm_length(enum wreck kind, const char *path)
{
    const struct bytes b = map(path);
    const size_t at = b.bytes == 0 ? 0 : pick_place(&b);

    unmap(b);
    if (kind == REMOVE_FILE)
        (void)unlink(path);
    else if (truncate(path, (off_t)(kind == CUT_FILE ? at : b.bytes + 1 + at)) != 0)
        test_die("truncate %s: %s", path, strerror(errno));
}

static struct file *
pick_segment(void)
{
    struct file *chosen = NULL;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < now.count; i++)
        if (now.files[i].is_wal && rng_below(now.rng, ++seen) == 0)
            chosen = &now.files[i];
    return chosen;
}

static void
swap_segments(void)
{
    const struct file *a = pick_segment(), *b = pick_segment();
    char tmp[TEST_PATH_BYTES];

    if (a == NULL || b == NULL || a == b)
        return;
    test_path(tmp, now.dir, "swap");
    if (rename(a->path, tmp) != 0 || rename(b->path, a->path) != 0 || rename(tmp, b->path) != 0)
        test_die("cannot swap %s and %s", a->path, b->path);
}

/* Segments of another store, or of this one at an earlier time, come into the log's directory: all
 * of them in place of the ones there, or one into a random place or its own. */
static void
bring_segments(const char *store, bool all)
{
    struct {
        char name[64];
    } names[FILES_MAX];
    uint32_t count = 0, chosen;
    char from[TEST_PATH_BYTES], to[TEST_PATH_BYTES], path[TEST_PATH_BYTES];
    const struct dirent *entry;
    const struct file *target = pick_segment();
    DIR *stream;

    test_path(from, store, "wal");
    test_path(to, now.dir, "wal");
    stream = opendir(from);
    if (stream == NULL)
        return;
    /* The test's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL && count < FILES_MAX)
        if (strstr(entry->d_name, ".wal") != NULL)
            (void)snprintf(names[count++].name, sizeof names[0].name, "%.60s", entry->d_name);
    (void)closedir(stream);
    if (count == 0)
        return;
    qsort(names, count, sizeof names[0], (int (*)(const void *, const void *))strcmp);
    for (uint32_t i = 0; all && rng_chance(now.rng, 50) && i < now.count; i++)
        if (now.files[i].is_wal)
            (void)unlink(now.files[i].path);
    chosen = rng_below(now.rng, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!all && i != chosen)
            continue;
        test_path(path, from, names[i].name);
        test_path(from, to, names[i].name);
        copy_file(path, !all && target != NULL && rng_chance(now.rng, 50) ? target->path : from);
        test_path(from, store, "wal");
    }
}

/* The numbers that LMDB goes by: in a page's header, its offsets, its nodes' headers, a database's
 * record, a meta page. */
static void
harm_numbers(void)
{
    const struct file *file = pick_data();
    struct bytes b = { NULL, 0 };
    size_t page, at;

    if (file != NULL)
        b = map(file->path);
    if (b.bytes < PAGE)
        return;
    now.touches_data = true;
    for (uint32_t n = 1 + rng_below(now.rng, 3); n > 0; n--) {
        page = rng_below(now.rng, (uint32_t)(b.bytes / PAGE));
        at = rng_below(now.rng, rng_chance(now.rng, 50) ? 16 : 200);
        if (rng_chance(now.rng, 40)) { /* a node's header, from its offset */
            const size_t slot = 16 + 2 * (size_t)rng_below(now.rng, 20);

            at = b.at[page * PAGE + slot] | (size_t)b.at[page * PAGE + slot + 1] << 8;
            at = at % (PAGE - 8) + rng_below(now.rng, 8);
        }
        if (rng_chance(now.rng, 50))
            b.at[page * PAGE + at] ^= (uint8_t)(1u << rng_below(now.rng, 8));
        else if (rng_chance(now.rng, 50))
            b.at[page * PAGE + at] = (uint8_t)rng_next(now.rng);
        else
            b.at[page * PAGE + at] = rng_chance(now.rng, 50) ? 0 : 0xff;
    }
    unmap(b);
}

/* Two pages change places, or one is doubled; half of the time with the right number in it. */
static void
swap_pages(void)
{
    const struct file *file = pick_data();
    uint8_t page[PAGE];
    struct bytes b = { NULL, 0 };
    size_t x, y;

    if (file != NULL)
        b = map(file->path);
    if (b.bytes < (size_t)4 * PAGE)
        return;
    now.touches_data = true;
    x = rng_below(now.rng, (uint32_t)(b.bytes / PAGE)) * (size_t)PAGE;
    y = rng_below(now.rng, (uint32_t)(b.bytes / PAGE)) * (size_t)PAGE;
    memcpy(page, b.at + x, PAGE);
    if (rng_chance(now.rng, 50))
        memcpy(b.at + x, b.at + y, PAGE);
    memcpy(b.at + y, page, PAGE);
    if (rng_chance(now.rng, 50)) {
        for (size_t i = 0; i < 8; i++) {
            b.at[x + i] = (uint8_t)((x / PAGE) >> (8 * i));
            b.at[y + i] = (uint8_t)((y / PAGE) >> (8 * i));
        }
    }
    unmap(b);
}

static void
bring_data(void)
{
    char from[TEST_PATH_BYTES], to[TEST_PATH_BYTES];

    test_path(from, now.places->old, "data.mdb");
    test_path(to, now.dir, "data.mdb");
    if (access(from, F_OK) != 0)
        return;
    copy_file(from, to);
    now.is_old_data = true;
}

static void
do_harm(enum wreck kind)
{
    switch (kind) {
    case FLIP_BITS:
    case ZERO_RANGE:
    case GARBAGE_RANGE:
    case COPY_RANGE:
        harm_range(kind, pick_file()->path);
        break;
    case CUT_FILE:
    case LENGTHEN_FILE:
    case REMOVE_FILE:
        harm_length(kind, pick_file()->path);
        break;
    case SWAP_SEGMENTS:
        swap_segments();
        break;
    case OLD_SEGMENTS:
    case OLD_SEGMENT:
        bring_segments(now.places->old, kind == OLD_SEGMENTS);
        break;
    case FOREIGN_LOG:
    case FOREIGN_SEGMENT:
        bring_segments(now.places->foreign, kind == FOREIGN_LOG);
        break;
    case PAGE_NUMBERS:
        harm_numbers();
        break;
    case SWAP_PAGES:
        swap_pages();
        break;
    case OLD_DATA:
        bring_data();
        break;
    case SHARED_NOISE:
    case WRECKS:
    default:
        for (uint32_t i = 0; i < now.count; i++)
            if (now.files[i].is_shared)
                harm_range(GARBAGE_RANGE, now.files[i].path);
        break;
    }
}

/* One to three things at once. */
static void
make_wreck(void)
{
    const uint32_t count = rng_chance(now.rng, 70) ? 1 : 1 + rng_below(now.rng, 3);

    now.touches_data = now.is_old_data = false;
    now.what[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        const enum wreck kind = (enum wreck)rng_below(now.rng, WRECKS);
        const size_t used = strlen(now.what);

        (void)snprintf(now.what + used, sizeof now.what - used, "%s%s", i > 0 ? ", " : "",
                       wreck_names[kind]);
        list_files();
        do_harm(kind);
    }
}

/* ---- what children do ---- */

/* Exit code 0: it will open; 2: it will not. */
static int
examine(void)
{
    struct txkv_examination e;
    struct txkv_error err = { TXKV_OK, "" };
    const uint64_t before = fingerprint();
    const enum txkv_rc rc = txkv_examine(now.dir, NULL, &e, &err);

    if (fingerprint() != before)
        test_die("looking at the store has changed it");
    if (rc == TXKV_OK && e.opens != (e.problems == 0))
        test_die("%llu problems, and it opens: %d", (unsigned long long)e.problems, e.opens);
    return rc == TXKV_OK && e.opens ? 0 : 2;
}

/* A store that was open: read everything, check, write, close. */
static void
use(struct txkv *store, bool is_prefix, bool must_fit)
{
    struct txkv_recovery_report verified;
    struct txkv_pages_report pages;
    struct txkv_session *s;
    struct txkv_error err = { TXKV_OK, "" };

    test_ok(txkv_check_pages(store, &pages, &err), &err, "check_pages");
    if (pages.problems > 0)
        test_die("it is open, and its pages are damaged: %s", pages.first);
    test_ok(txkv_verify(store, &verified, &err), &err, "verify");
    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    if (must_fit) {
        open_tables(store);
        shared->state = read_state(s);
        if (is_prefix)
            check_state(s, shared->state);
        else if (shared->state < shared->prefix)
            test_die("rescued up to %u, and a recovery gives %u", shared->state, shared->prefix);
        check_rows(s, true);
        commit_one(s, shared->state + 1, TXKV_SYNC_FULL);
    } else if (txkv_table(store, "t", NULL, true, &table, &err) == TXKV_OK &&
               txkv_table(store, "w", NULL, true, &wide_table, &err) == TXKV_OK) {
        /* Values and keys may have changed in a way that nobody can tell; reading may say so. */
        check_rows(s, false);
        commit_one(s, 1, TXKV_SYNC_FULL);
    }
    txkv_session_close(s);
    if (txkv_close(store, &err) != TXKV_OK && must_fit)
        test_die("close: %s", err.text);
}

/* Exit code 0: it opened; 2: it was refused. */
static int
open_and_use(bool salvage)
{
    struct txkv *store = NULL;

    open_store(now.dir, &store, false, salvage);
    if (shared->opened != TXKV_OK)
        return 2;
    use(store, true, !now.touches_data);
    return 0;
}

static int
open_plainly(void)
{
    return open_and_use(false);
}

static int
salvage_it(void)
{
    return open_and_use(true);
}

/* On a copy as it was damaged: whatever is left is taken. Exit code 2: nothing was. */
static int
rescue_it(void)
{
    struct txkv_rescue_report report;
    struct txkv_error err = { TXKV_OK, "" };
    struct txkv *store = NULL;
    const enum txkv_rc rc = txkv_rescue(now.dir, NULL, &report, &err);

    shared->rescued = 0;
    if (rc == TXKV_CANTOPEN)
        return 2;
    test_ok(rc, &err, "rescue");
    open_store(now.dir, &store, false, false);
    if (shared->opened != TXKV_OK)
        test_die("what was rescued does not open: %s", shared->text);
    use(store, false, !now.touches_data);
    shared->rescued = shared->rows;
    return 0;
}

/* ---- children ---- */

static void
count_end(int status, const char *step)
{
    const char *how = "wrong";

    if (WIFEXITED(status)) {
        wreck_counts.wrong++;
    } else if (WTERMSIG(status) == SIGALRM) {
        wreck_counts.hung++;
        how = "hung";
    } else {
        wreck_counts.crashed++;
        how = strsignal(WTERMSIG(status));
    }
    (void)fprintf(stderr, "case %llu, %s: %s: %s\n", (unsigned long long)now.number, now.what, step,
                  how);
    if (getenv("KEEP") != NULL) {
        char kept[TEST_PATH_BYTES];

        (void)snprintf(kept, sizeof kept, "%s/%llu", getenv("KEEP"),
                       (unsigned long long)now.number);
        if (access(kept, F_OK) != 0 && access(now.spare, F_OK) == 0)
            test_dir_copy(now.spare, kept);
    }
}

/* The step's exit code, 0 or 2; -1 when it went wrong, which is then counted. */
static int
in_child(int (*step)(void), const char *name)
{
    int status = 0;
    pid_t child;

    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)alarm(ALARM_S);
        exit(step());
    }
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            test_die("waitpid: %s", strerror(errno));
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2))
        return WEXITSTATUS(status);
    count_end(status, name);
    return -1;
}

static void
try_all(void)
{
    const int seen = in_child(examine, "dry-run");
    const int opened = in_child(open_plainly, "opening");

    if (seen >= 0 && opened >= 0 && seen != opened) {
        wreck_counts.wrong++;
        (void)fprintf(stderr, "case %llu, %s: dry-run said that it %s, and it %s: %s\n",
                      (unsigned long long)now.number, now.what,
                      seen == 0 ? "opens" : "does not open", opened == 0 ? "does" : "does not",
                      shared->text);
    }
    wreck_counts.opened += opened == 0;
    wreck_counts.refused += opened == 2;
    if (opened == 2)
        wreck_counts.salvaged += in_child(salvage_it, "salvaging") == 0;
    /* Of what was opened or salvaged without damaged pages. */
    shared->prefix = shared->opened == TXKV_OK && !now.touches_data ? shared->state : 0;
    test_dir_remove(now.dir);
    test_dir_copy(now.spare, now.dir);
    if (in_child(rescue_it, "rescuing") == 0) {
        wreck_counts.rescued++;
        wreck_counts.rows_rescued += shared->rescued;
    }
}

void
wreck_run(const struct wreck_places *places, struct rng *rng, uint64_t number)
{
    now.places = places;
    now.rng = rng;
    now.number = number;
    test_path(now.dir, places->base, "case");
    test_path(now.spare, places->base, "spare");
    test_dir_remove(now.dir);
    test_dir_remove(now.spare);
    test_dir_copy(places->origin, now.dir);
    make_wreck();
    test_dir_copy(now.dir, now.spare);
    try_all();
    wreck_counts.stores++;
    test_dir_remove(now.dir);
}

void
wreck_print(uint64_t other_stores)
{
    const struct wreck_counts *c = &wreck_counts;

    (void)printf("[  OK  ] anything: %llu opened, %llu refused, %llu of them salvaged, %llu of all "
                 "rescued with %llu rows\n",
                 (unsigned long long)c->opened, (unsigned long long)c->refused,
                 (unsigned long long)c->salvaged, (unsigned long long)c->rescued,
                 (unsigned long long)c->rows_rescued);
    (void)printf("%llu damaged stores, wrong %llu, crashed %llu, hung %llu\n",
                 (unsigned long long)(c->stores + other_stores), (unsigned long long)c->wrong,
                 (unsigned long long)c->crashed, (unsigned long long)c->hung);
}
