/*
 * files.c - see files.h.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/bytes.h"
#include "../../src/os.h"
#include "../../src/record.h"
#include "../../src/segment.h"

/* ---- the directory ---- */

static char own_dir[TEST_PATH_BYTES];

static void
remove_all(void)
{
    test_dir_remove(own_dir);
}

/* Files get holes for space: the directory is in memory, where all pages would have to be cleared.
 */
static int
allocate_sparsely(int fd, off_t offset, off_t bytes)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || (st.st_size < offset + bytes && ftruncate(fd, offset + bytes) != 0))
        return errno;
    return 0;
}

const char *
files_dir(void)
{
    const char *asked = getenv("TXKV_FUZZ_DIR");

    if (own_dir[0] != '\0')
        return own_dir;
    tx_os.fallocate = allocate_sparsely;
    test_at_death = abort; /* and libFuzzer keeps the input */
    if (asked != NULL) {
        (void)snprintf(own_dir, sizeof own_dir, "%s/%d", asked, (int)getpid());
        require(mkdir(own_dir, 0700) == 0);
    } else {
        test_dir_make_in_memory(own_dir, "fuzz");
    }
    require(atexit(remove_all) == 0);
    return own_dir;
}

/* ---- images ---- */

static void
set_size(struct image *image, size_t size)
{
    if (size > image->room) {
        image->bytes = realloc(image->bytes, size);
        require(image->bytes != NULL);
        image->room = size;
    }
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

bool
image_read(struct image *image, const char *dir, const char *name)
{
    char path[TEST_PATH_BYTES];
    struct stat st;
    int fd;

    memset(image, 0, sizeof *image);
    test_path(path, dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    (void)snprintf(image->name, sizeof image->name, "%s", name);
    image->is_present = true;
    image->is_log =
        strncmp(name, "wal/", 4) == 0 && tx_segment_parse_name(name + 4, &image->first_lsn);
    require(fstat(fd, &st) == 0);
    set_size(image, (size_t)st.st_size);
    require(read(fd, image->bytes, image->size) == (ssize_t)image->size);
    (void)close(fd);
    return true;
}

void
image_free(struct image *image)
{
    free(image->bytes);
    memset(image, 0, sizeof *image);
}

void
image_copy(struct image *to, const struct image *from)
{
    const struct image before = *to;

    *to = *from;
    to->bytes = before.bytes;
    to->room = before.room;
    to->size = 0;
    set_size(to, from->size);
    if (from->size > 0)
        memcpy(to->bytes, from->bytes, from->size);
}

/* Without the pages of zeros at the end. */
static size_t
used_bytes(const struct image *image)
{
    static const uint8_t zeros[IMAGE_PAGE];
    size_t used = image->size;

    while (used >= IMAGE_PAGE && memcmp(image->bytes + used - IMAGE_PAGE, zeros, IMAGE_PAGE) == 0)
        used -= IMAGE_PAGE;
    return used;
}

void
image_write(const struct image *image, const char *dir)
{
    char path[TEST_PATH_BYTES];
    size_t used;
    int fd;

    test_path(path, dir, image->name);
    (void)unlink(path);
    if (!image->is_present)
        return;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    require(fd >= 0);
    used = used_bytes(image);
    require(used == 0 || write(fd, image->bytes, used) == (ssize_t)used);
    require(ftruncate(fd, (off_t)image->size) == 0);
    (void)close(fd);
}

bool
image_is_in(const struct image *image, const char *dir)
{
    struct image now;
    bool same;

    if (!image_read(&now, dir, image->name))
        return !image->is_present;
    same = image->is_present && now.size == image->size &&
           (now.size == 0 || memcmp(now.bytes, image->bytes, now.size) == 0);
    image_free(&now);
    return same;
}

/* ---- changes ---- */

enum change {
    CHANGE_BYTES,
    CHANGE_NUMBER,
    CHANGE_NODE,
    CHANGE_FLIP,
    CHANGE_COPY,
    CHANGE_PAGE,
    CHANGE_CUT,
    CHANGE_ZERO,
    CHANGES
};

enum { LENGTHEN_MAX = 4 * IMAGE_PAGE };

/* A page and an offset in it; an empty image has only place 0. */
static size_t
take_place(const struct image *image, struct input *input)
{
    const size_t page = take_u8(input), at = take_u16(input) % IMAGE_PAGE;

    return image->size == 0 ? 0 : (page * IMAGE_PAGE + at) % image->size;
}

static size_t
limit(const struct image *image, size_t at, size_t bytes)
{
    return bytes < image->size - at ? bytes : image->size - at;
}

static void
put_number(struct image *image, size_t at, size_t width, uint64_t v)
{
    for (size_t i = 0; i < limit(image, at, width); i++)
        image->bytes[at + i] = (uint8_t)(v >> 8 * i);
}

static uint64_t
get_number(const struct image *image, size_t at, size_t width)
{
    uint64_t v = 0;

    for (size_t i = 0; i < limit(image, at, width); i++)
        v |= (uint64_t)image->bytes[at + i] << 8 * i;
    return v;
}

/* A number of 1 to 8 bytes becomes another one, or a little more or less. */
static void
change_number(struct image *image, struct input *input, size_t at)
{
    const uint8_t how = take_u8(input);
    const size_t width = (size_t)1 << (how & 3);

    switch (how >> 2 & 3) {
    case 0:
        put_number(image, at, width, take_u8(input));
        break;
    case 1:
        put_number(image, at, width, take_u64(input));
        break;
    case 2:
        put_number(image, at, width,
                   get_number(image, at, width) + (uint64_t)(int64_t)(int8_t)take_u8(input));
        break;
    default:
        put_number(image, at, width, UINT64_MAX >> take_u8(input) % 64);
        break;
    }
}

/* In a page of LMDB: a field of the node of that number. */
static void
change_node(struct image *image, struct input *input)
{
    const size_t page = take_u8(input), slot = take_u8(input) % 64, field = take_u8(input) % 16;
    size_t at;

    if (image->size < IMAGE_PAGE)
        return;
    at = page % (image->size / IMAGE_PAGE) * IMAGE_PAGE;
    at += get_number(image, at + 16 + 2 * slot, 2) % IMAGE_PAGE;
    change_number(image, input, (at + field) % image->size);
}

static void
copy_page(struct image *image, struct input *input)
{
    const size_t from = take_u8(input), to = take_u8(input), pages = image->size / IMAGE_PAGE;
    uint8_t *target;

    if (pages == 0)
        return;
    target = image->bytes + to % pages * IMAGE_PAGE;
    memmove(target, image->bytes + from % pages * IMAGE_PAGE, IMAGE_PAGE);
    if (take_u8(input) % 2 == 0) /* with its own number */
        tx_put_u64(target, to % pages);
}

static void
copy_range(struct image *image, struct input *input)
{
    const size_t from = take_place(image, input), to = take_place(image, input);
    const size_t bytes = limit(image, to, limit(image, from, take_u16(input)));

    if (bytes > 0)
        memmove(image->bytes + to, image->bytes + from, bytes);
}

static void
change_length(struct image *image, struct input *input)
{
    const size_t at = take_place(image, input);

    set_size(image, take_u8(input) % 4 != 0 ? at : image->size + at % LENGTHEN_MAX);
}

void
image_change(struct image *image, struct input *input)
{
    const enum change kind = (enum change)(take_u8(input) % CHANGES);
    const uint8_t *bytes;
    size_t at, length;

    switch (kind) {
    case CHANGE_NUMBER:
        at = take_place(image, input);
        change_number(image, input, at);
        break;
    case CHANGE_NODE:
        change_node(image, input);
        break;
    case CHANGE_FLIP:
        at = take_place(image, input);
        if (at < image->size)
            image->bytes[at] ^= (uint8_t)(1u << take_u8(input) % 8);
        break;
    case CHANGE_COPY:
        copy_range(image, input);
        break;
    case CHANGE_PAGE:
        copy_page(image, input);
        break;
    case CHANGE_CUT:
        change_length(image, input);
        break;
    case CHANGE_ZERO:
        at = take_place(image, input);
        length = limit(image, at, take_u16(input));
        if (length > 0)
            memset(image->bytes + at, 0, length);
        break;
    case CHANGE_BYTES:
    case CHANGES:
    default:
        at = take_place(image, input);
        bytes = take_bytes(input, take_u8(input), &length);
        length = limit(image, at, length);
        if (length > 0)
            memcpy(image->bytes + at, bytes, length);
        break;
    }
}

/* ---- right checksums ---- */

enum {
    AT_RECORD_LENGTH = 8,
    AT_RECORD_PAD = 13,
    AT_RECORD_DURABLE = 24,
    AT_RECORD_BODY_CHECK = 40
};
enum { AT_SEGMENT_ID = 16, AT_SEGMENT_PREV = 40, AT_SEGMENT_CHECK = 56 };

/* The record's length, or 0: it is none. */
static size_t
record_length(const struct image *image, size_t at)
{
    const uint8_t *record = image->bytes + at;
    const size_t length =
        image->size - at < TX_RECORD_HEADER_BYTES ? 0 : tx_get_u32(record + AT_RECORD_LENGTH);

    if (length < TX_RECORD_HEADER_BYTES || length % 8 != 0 || length > image->size - at ||
        record[AT_RECORD_PAD] > 7 || length - TX_RECORD_HEADER_BYTES < record[AT_RECORD_PAD])
        return 0;
    return length;
}

void
image_mend_log(struct image *image, uint64_t store_id, uint32_t damaged_record)
{
    size_t at = TX_SEGMENT_HEADER_BYTES;
    uint64_t check;
    uint32_t number = 0;

    if (image->size < TX_SEGMENT_HEADER_BYTES)
        return;
    tx_put_u64(image->bytes + AT_SEGMENT_ID, store_id);
    tx_put_u64(image->bytes + AT_SEGMENT_CHECK,
               tx_record_hash(image->bytes, AT_SEGMENT_CHECK, store_id));
    check = tx_get_u64(image->bytes + AT_SEGMENT_PREV);
    for (size_t length; (length = record_length(image, at)) > 0; at += length) {
        uint8_t *record = image->bytes + at;
        const size_t pad = record[AT_RECORD_PAD];

        if (number++ == damaged_record)
            continue;
        memset(record + length - pad, 0, pad);
        tx_put_u64(record + AT_RECORD_BODY_CHECK,
                   tx_record_hash(record + TX_RECORD_HEADER_BYTES,
                                  length - TX_RECORD_HEADER_BYTES - pad, store_id));
        check = tx_record_finish_header(record, image->first_lsn + at,
                                        tx_get_u64(record + AT_RECORD_DURABLE), check, store_id);
    }
}
