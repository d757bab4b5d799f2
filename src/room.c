/*
 * room.c - memory for a record.
 */
#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "mem.h"
#include "os.h"

#define PAGE_BYTES UINT64_C(4096)

uint64_t tx_room_file_from = UINT64_C(32) << 20;

void
tx_room_init(struct tx_room *room, const char *dir)
{
    *room = (struct tx_room){ .dir = dir, .fd = -1 };
}

/* Whether a directory that answers so can do without: not every file system has files without a
 * name, and a commit says better what is wrong with the directory. */
static bool
takes_none(int e)
{
    return e == EOPNOTSUPP || e == EISDIR || e == EINVAL || e == ENOENT || e == ENOTDIR ||
           e == EACCES || e == EPERM || e == EROFS;
}

/* Give the file of `from` bytes space for more, and map it anew. */
static enum txkv_rc
extend(const struct tx_room *room, int fd, uint64_t from, uint64_t bytes, uint8_t **map,
       struct txkv_error *err)
{
    void *at;
    int e;

    do
        e = tx_os.fallocate(fd, (off_t)from, (off_t)(bytes - from));
    while (e == EINTR);
    if (e != 0)
        return tx_fail_errno(err, e,
                             "the transaction is as before; free space, or commit in several "
                             "parts: cannot allocate %llu bytes for it in %s",
                             (unsigned long long)bytes, room->dir);
    at = tx_os.mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return tx_fail_errno(err, errno, "cannot map %llu bytes for a large transaction in %s",
                             (unsigned long long)bytes, room->dir);
    *map = at;
    return TXKV_OK;
}

/* TXKV_NOTFOUND: the directory takes no file. */
static enum txkv_rc
move_to_file(struct tx_room *room, uint64_t bytes, uint64_t used, struct txkv_error *err)
{
    const int fd = tx_os.open(room->dir, O_TMPFILE | O_RDWR | O_EXCL, 0600);
    uint8_t *map;
    enum txkv_rc rc;

    if (fd < 0 && takes_none(errno))
        return TXKV_NOTFOUND;
    if (fd < 0)
        return tx_fail_errno(err, errno, "cannot make a file for a large transaction in %s",
                             room->dir);
    rc = extend(room, fd, 0, bytes, &map, err);
    if (rc != TXKV_OK) {
        (void)tx_os.close(fd);
        return rc;
    }
    if (tx_os_write(fd, room->at, used, 0) != (ssize_t)used) /* fewer faults than a store */
        memcpy(map, room->at, used);
    tx_array_free(room->at, room->bytes);
    room->at = map;
    room->bytes = bytes;
    room->fd = fd;
    return TXKV_OK;
}

static enum txkv_rc
grow_file(struct tx_room *room, uint64_t bytes, struct txkv_error *err)
{
    uint8_t *map;
    const enum txkv_rc rc = extend(room, room->fd, room->bytes, bytes, &map, err);

    if (rc != TXKV_OK) {
        /* What was found of the space is not kept from others. */
        (void)!tx_os.ftruncate(room->fd, (off_t)room->bytes);
        return rc;
    }
    (void)tx_os.munmap(room->at, room->bytes);
    room->at = map;
    room->bytes = bytes;
    return TXKV_OK;
}

enum txkv_rc
tx_room_grow(struct tx_room *room, uint64_t bytes, uint64_t used, struct txkv_error *err)
{
    const uint64_t pages_bytes = tx_round_up(bytes, PAGE_BYTES);
    uint8_t *at;

    assert(bytes > room->bytes);
    used = tx_min_u64(used, room->bytes);
    if (room->fd >= 0)
        return grow_file(room, pages_bytes, err);
    if (room->dir != NULL && bytes >= tx_room_file_from) {
        const enum txkv_rc rc = move_to_file(room, pages_bytes, used, err);

        if (rc != TXKV_NOTFOUND)
            return rc;
        room->dir = NULL; /* it is not asked again */
    }
    at = tx_array_resize(room->at, room->bytes, bytes);
    if (at == NULL)
        return tx_fail_nomem(err);
    room->at = at;
    room->bytes = bytes;
    return TXKV_OK;
}

void
tx_room_let_go(const struct tx_room *room, uint64_t bytes)
{
    bytes = bytes / PAGE_BYTES * PAGE_BYTES;
    if (room->fd >= 0 && bytes > 0)
        (void)madvise(room->at, bytes, MADV_DONTNEED); /* advice: the file keeps the bytes */
}

void
tx_room_free(struct tx_room *room)
{
    if (room->fd >= 0) {
        (void)tx_os.munmap(room->at, room->bytes);
        (void)tx_os.close(room->fd);
    } else {
        tx_array_free(room->at, room->bytes);
    }
    tx_room_init(room, room->dir);
}
