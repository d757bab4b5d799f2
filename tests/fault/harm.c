/*
 * harm.c - see harm.h.
 */
#include "harm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 80, PAGE = 4096, SECTOR = 512 };

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

static struct {
    const struct wreck_places *places;
    const char *dir;
    struct rng *rng;
    struct file files[FILES_MAX];
    uint32_t count;
    bool touches_data;
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

uint64_t
harm_fingerprint(const char *dir)
{
    uint64_t sum = 1;

    now.dir = dir;
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

struct name {
    char text[64];
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* The names of the segments in `wal`, in order, at most FILES_MAX. */
static uint32_t
list_segments(const char *wal, struct name *names)
{
    const struct dirent *entry;
    uint32_t count = 0;
    DIR *stream = opendir(wal);

    if (stream == NULL)
        return 0;
    /* The test's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL && count < FILES_MAX)
        if (strstr(entry->d_name, ".wal") != NULL)
            (void)snprintf(names[count++].text, sizeof names[0].text, "%.60s", entry->d_name);
    (void)closedir(stream);
    qsort(names, count, sizeof names[0], compare_names);
    return count;
}

/* Segments of another store, or of this one at an earlier time, come into the log's directory: all
 * of them in place of the ones there, or one into a random place or its own. */
static void
bring_segments(const char *store, bool all)
{
    struct name names[FILES_MAX] = { { "" } };
    char source[TEST_PATH_BYTES], wal[TEST_PATH_BYTES];
    const struct file *target = pick_segment();
    uint32_t count, chosen;

    test_path(source, store, "wal");
    test_path(wal, now.dir, "wal");
    count = list_segments(source, names);
    if (count == 0)
        return;
    for (uint32_t i = 0; all && rng_chance(now.rng, 50) && i < now.count; i++)
        if (now.files[i].is_wal)
            (void)unlink(now.files[i].path);
    chosen = rng_below(now.rng, count);
    for (uint32_t i = all ? 0 : chosen; i < (all ? count : chosen + 1); i++) {
        char from[TEST_PATH_BYTES], to[TEST_PATH_BYTES];

        test_path(from, source, names[i].text);
        test_path(to, wal, names[i].text);
        copy_file(from, !all && target != NULL && rng_chance(now.rng, 50) ? target->path : to);
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
    if (access(from, F_OK) == 0)
        copy_file(from, to);
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

void
harm_store(const struct wreck_places *places, const char *dir, struct rng *rng, struct harmed *done)
{
    const uint32_t count = rng_chance(rng, 70) ? 1 : 1 + rng_below(rng, 3);

    now.places = places;
    now.dir = dir;
    now.rng = rng;
    now.touches_data = false;
    done->what[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        const enum wreck kind = (enum wreck)rng_below(rng, WRECKS);
        const size_t used = strlen(done->what);

        (void)snprintf(done->what + used, sizeof done->what - used, "%s%s", i > 0 ? ", " : "",
                       wreck_names[kind]);
        list_files();
        do_harm(kind);
    }
    done->touches_data = now.touches_data;
}
