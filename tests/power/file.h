/*
 * file.h - the bytes of one file on the disk of disk.h: what its last sync has made durable, and
 * what has stood in each sector since.
 *
 * Threads: one at a time; disk.c's mutex.
 */
#ifndef TXKV_TEST_FILE_H
#define TXKV_TEST_FILE_H

#include "disk.h"

struct image {
    uint8_t *data;
    size_t bytes, room;
};

struct file {
    int fd;                     /* to read it by */
    struct image durable, seen; /* as of the last sync, and as last looked at */
    uint64_t durable_time;      /* when that sync began */
    struct version *past;       /* of sectors, since then */
    size_t past_count;
};

/* A file that is there: what stands in it is durable; a new one: none of it is. Keeps the fd. */
void file_take(struct file *file, int fd, bool is_new);

/* Look at what stands there now; what has changed since the last look keeps its old version. Times
 * grow. */
void file_look(struct file *file, uint64_t time);

/* After a look: what was written there is durable by itself. */
void file_make_durable(struct file *file, size_t from, size_t bytes);

/* A copy of what was seen last, to be given to file_synced or freed (its data). */
struct image file_image(const struct file *file);

/* A sync is over that began at that time, when this was there. */
void file_synced(struct file *file, const struct image *image, uint64_t time);

/* After a look: write what a cut leaves to a new file. */
void file_cut(struct rng *rng, enum disk_cut how, const struct file *file, const char *path);

#endif /* TXKV_TEST_FILE_H */
