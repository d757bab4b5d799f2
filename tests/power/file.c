/*
 * file.c - see file.h.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"

enum { SECTOR = 512, SECTORS_OF_PAGE = 8, PAST_MAX = 256 };

/* What stood in a sector for a while, since the file's last sync. */
struct version {
    size_t sector;
    uint64_t time;
    uint8_t data[SECTOR];
};

static void
make_room(struct image *image, size_t bytes)
{
    if (image->room >= bytes)
        return;
    image->room = bytes + bytes / 2 + SECTOR;
    image->data = realloc(image->data, image->room);
    if (image->data == NULL)
        test_die("no memory for the disk's model");
}

static void
copy_image(struct image *to, const struct image *from)
{
    make_room(to, from->bytes);
    if (from->bytes > 0)
        memcpy(to->data, from->data, from->bytes);
    to->bytes = from->bytes;
}

/* A sector of an image; zeros behind its end. */
static void
sector_of(const struct image *image, size_t sector, uint8_t out[SECTOR])
{
    const size_t at = sector * SECTOR;
    size_t bytes = at < image->bytes ? image->bytes - at : 0;

    bytes = bytes < SECTOR ? bytes : SECTOR;
    memset(out, 0, SECTOR);
    if (bytes > 0)
        memcpy(out, image->data + at, bytes);
}

static void
read_file(int fd, struct image *out)
{
    struct stat st;
    ssize_t got;

    if (fstat(fd, &st) != 0)
        test_die("fstat: %s", strerror(errno));
    make_room(out, (size_t)st.st_size);
    got = pread(fd, out->data, (size_t)st.st_size, 0);
    if (got < 0)
        test_die("pread: %s", strerror(errno));
    out->bytes = (size_t)got;
}

static size_t
sectors_of(size_t bytes)
{
    return (bytes + SECTOR - 1) / SECTOR;
}

void
file_take(struct file *file, int fd, bool is_new)
{
    file->fd = fd;
    file->past = calloc(PAST_MAX, sizeof *file->past);
    if (file->past == NULL)
        test_die("no memory for the disk's model");
    if (is_new)
        return;
    read_file(fd, &file->seen);
    copy_image(&file->durable, &file->seen);
}

/* Keeps the newest ones, and of the others some. */
static void
keep_version(struct file *file, size_t sector, uint64_t time)
{
    struct version *version;

    if (file->past_count < PAST_MAX)
        version = &file->past[file->past_count++];
    else
        version = &file->past[mix64(time + sector) % PAST_MAX];
    version->sector = sector;
    version->time = time;
    sector_of(&file->seen, sector, version->data);
}

void
file_look(struct file *file, uint64_t time)
{
    static struct image now;
    struct image before;
    uint8_t a[SECTOR], b[SECTOR];

    read_file(file->fd, &now);
    for (size_t i = 0; i < sectors_of(file->seen.bytes); i++) {
        const size_t at = i * SECTOR;

        if (at + SECTOR <= now.bytes && at + SECTOR <= file->seen.bytes &&
            memcmp(now.data + at, file->seen.data + at, SECTOR) == 0)
            continue;
        sector_of(&file->seen, i, a);
        sector_of(&now, i, b);
        if (memcmp(a, b, SECTOR) != 0)
            keep_version(file, i, time);
    }
    before = file->seen;
    file->seen = now;
    now = before;
}

static void
forget_versions(struct file *file, uint64_t until)
{
    size_t kept = 0;

    for (size_t i = 0; i < file->past_count; i++)
        if (file->past[i].time > until)
            file->past[kept++] = file->past[i];
    file->past_count = kept;
}

void
file_make_durable(struct file *file, size_t from, size_t bytes)
{
    const size_t first = from / SECTOR, end = sectors_of(from + bytes);
    size_t kept = 0;

    if (file->durable.bytes < from + bytes) {
        make_room(&file->durable, from + bytes);
        memset(file->durable.data + file->durable.bytes, 0, from + bytes - file->durable.bytes);
        file->durable.bytes = from + bytes;
    }
    for (size_t i = first; i < end; i++) {
        const size_t left = file->durable.bytes - i * SECTOR;
        uint8_t sector[SECTOR];

        sector_of(&file->seen, i, sector);
        memcpy(file->durable.data + i * SECTOR, sector, left < SECTOR ? left : SECTOR);
    }
    for (size_t i = 0; i < file->past_count; i++)
        if (file->past[i].sector < first || file->past[i].sector >= end)
            file->past[kept++] = file->past[i];
    file->past_count = kept;
}

struct image
file_image(const struct file *file)
{
    struct image image = { NULL, 0, 0 };

    copy_image(&image, &file->seen);
    return image;
}

void
file_synced(struct file *file, const struct image *image, uint64_t time)
{
    if (time <= file->durable_time)
        return; /* a sync that began later was over sooner */
    copy_image(&file->durable, image);
    file->durable_time = time;
    forget_versions(file, time);
}

/* ---- cuts ---- */

/* Of one file: how its sectors are chosen. */
struct choice {
    enum disk_cut how;
    size_t place;
    bool odd; /* for DISK_CUT_PAGES: what the page gets */
};

/* 0: the durable version; 1: what stands there; 2: one that stood there meanwhile. */
static unsigned
choose(struct rng *rng, struct choice *choice, size_t sector)
{
    switch (choice->how) {
    case DISK_CUT_ALL:
    case DISK_CUT_CONTENTS:
        return 1;
    case DISK_CUT_SECTORS:
        return rng_below(rng, 3);
    case DISK_CUT_PAGES:
        if (sector % SECTORS_OF_PAGE == 0)
            choice->odd = rng_chance(rng, 50);
        return choice->odd;
    case DISK_CUT_PREFIX:
        return sector < choice->place;
    case DISK_CUT_SUFFIX:
        return sector >= choice->place;
    case DISK_CUT_NOTHING:
    case DISK_CUT_NAMES:
    case DISK_CUTS:
        break;
    }
    return 0;
}

static void
choose_sector(struct rng *rng, const struct file *file, unsigned which, size_t sector,
              uint8_t out[SECTOR])
{
    /* A file that was made shorter has its old size, and then all old bytes, or its new one. */
    if (sector * SECTOR >= file->seen.bytes)
        which = 0;
    sector_of(which == 0 ? &file->durable : &file->seen, sector, out);
    if (which < 2 || file->past_count == 0)
        return;
    for (size_t i = 0, at = rng_below(rng, (uint32_t)file->past_count); i < file->past_count; i++) {
        const struct version *version = &file->past[(at + i) % file->past_count];

        if (version->sector == sector) {
            memcpy(out, version->data, SECTOR);
            return;
        }
    }
}

static void
write_bytes(const char *path, const struct image *image)
{
    const int fd = calls_real.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    ok = ok && calls_real.pwrite(fd, image->data, image->bytes, 0) == (ssize_t)image->bytes;
    if (!ok)
        test_die("cannot write %s: %s", path, strerror(errno));
    (void)calls_real.close(fd);
}

void
file_cut(struct rng *rng, enum disk_cut how, const struct file *file, const char *path)
{
    static struct image out;
    struct choice choice = { .how = how };
    const bool is_mixed = how != DISK_CUT_NOTHING && how != DISK_CUT_ALL &&
                          how != DISK_CUT_CONTENTS && how != DISK_CUT_NAMES;

    if (is_mixed ? rng_chance(rng, 50) : how == DISK_CUT_ALL || how == DISK_CUT_CONTENTS)
        out.bytes = file->seen.bytes;
    else
        out.bytes = file->durable.bytes;
    make_room(&out, sectors_of(out.bytes) * SECTOR);
    choice.place = rng_below(rng, (uint32_t)sectors_of(file->seen.bytes) + 1);
    for (size_t i = 0; i < sectors_of(out.bytes); i++)
        choose_sector(rng, file, choose(rng, &choice, i), i, out.data + i * SECTOR);
    write_bytes(path, &out);
}
