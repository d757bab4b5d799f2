/*
 * follow.c - see follow.h.
 */
#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "wire.h"

enum { FDS_MAX = 1024 };

struct open_file {
    int node_plus_1; /* 0: not followed */
    bool sync;       /* O_DSYNC: what is written is durable */
};

static struct open_file files[FDS_MAX];
static int wire = -1; /* to the disk; -1: it is in this process */
static pthread_mutex_t wire_mutex = PTHREAD_MUTEX_INITIALIZER; /* while the disk is stopped */

void
follow_over(int socket)
{
    wire = socket;
}

/* Tell the other end; and wait for its answer, when there is one. */
static struct wire_message
ask(struct wire_message message, const char *path)
{
    if (path != NULL)
        (void)snprintf(message.path, sizeof message.path, "%s", path);
    return wire_ask(wire, &message);
}

void
follow_stop(bool change)
{
    if (wire < 0) {
        disk_lock(change);
        return;
    }
    (void)pthread_mutex_lock(&wire_mutex);
    (void)ask((struct wire_message){ .what = WIRE_LOCK, .flag = change }, NULL);
}

void
follow_go_on(void)
{
    if (wire < 0) {
        disk_unlock();
        return;
    }
    (void)ask((struct wire_message){ .what = WIRE_UNLOCK }, NULL);
    (void)pthread_mutex_unlock(&wire_mutex);
}

/* Of a descriptor that is followed, its file; or NULL. */
static const struct open_file *
file_of(int fd)
{
    return disk_is_followed() && fd >= 0 && fd < FDS_MAX && files[fd].node_plus_1 > 0 ? &files[fd]
                                                                                      : NULL;
}

void
follow_opened(const char *path, int fd, int flags)
{
    struct stat st;
    int node;

    if (!disk_is_followed() || fd < 0)
        return;
    if (fd >= FDS_MAX)
        test_die("descriptor %d is more than the disk's model takes", fd);
    if (fstat(fd, &st) != 0)
        test_die("fstat: %s", strerror(errno));
    if (wire < 0)
        node = disk_node_opened(path, st.st_dev, st.st_ino, flags);
    else
        node = ask((struct wire_message){ .what = WIRE_OPENED,
                                          .device = st.st_dev,
                                          .inode = st.st_ino,
                                          .flags = flags },
                   path)
                   .node;
    files[fd] = (struct open_file){ .node_plus_1 = node + 1, .sync = (flags & O_DSYNC) != 0 };
}

void
follow_closed(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        files[fd].node_plus_1 = 0;
}

void
follow_changed(int fd)
{
    const struct open_file *file = file_of(fd);

    if (file == NULL)
        return;
    if (file->sync)
        test_die("a write to an O_DSYNC file that the disk's model does not know");
    if (wire < 0)
        disk_node_changed(file->node_plus_1 - 1);
    else
        (void)ask((struct wire_message){ .what = WIRE_CHANGED, .node = file->node_plus_1 - 1 },
                  NULL);
}

void
follow_written(int fd, off_t offset, size_t bytes)
{
    const struct open_file *file = file_of(fd);

    if (file == NULL)
        return;
    if (wire < 0)
        disk_node_written(file->node_plus_1 - 1, file->sync, offset, bytes);
    else
        (void)ask((struct wire_message){ .what = WIRE_WRITTEN,
                                         .node = file->node_plus_1 - 1,
                                         .flag = file->sync,
                                         .offset = offset,
                                         .bytes = bytes },
                  NULL);
}

void
follow_named(const char *path)
{
    if (!disk_is_followed())
        return;
    if (wire < 0)
        disk_named(path);
    else
        (void)ask((struct wire_message){ .what = WIRE_NAMED }, path);
}

void
follow_unnamed(const char *path)
{
    if (!disk_is_followed())
        return;
    if (wire < 0)
        disk_unnamed(path);
    else
        (void)ask((struct wire_message){ .what = WIRE_UNNAMED }, path);
}

struct disk_sync *
follow_sync_begin(int fd)
{
    const struct open_file *file = file_of(fd);

    if (file == NULL)
        return NULL;
    if (wire < 0)
        return disk_sync_begin(file->node_plus_1 - 1);
    return ask((struct wire_message){ .what = WIRE_SYNC_BEGIN, .node = file->node_plus_1 - 1 },
               NULL)
        .sync;
}

void
follow_sync_end(struct disk_sync *sync)
{
    if (sync == NULL)
        return;
    if (wire < 0)
        disk_sync_end(sync);
    else
        (void)ask((struct wire_message){ .what = WIRE_SYNC_END, .sync = sync }, NULL);
}
