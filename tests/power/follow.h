/*
 * follow.h - a process's file calls, told to the disk of disk.h: to that of this process, or to
 * that of the process that has started it.
 *
 * Knows which of the process's descriptors are of files that the disk follows.
 *
 * Threads: any; between follow_stop and follow_go_on the disk, and so every other process and
 * thread that is about to change it, stands still.
 */
#ifndef TXKV_TEST_FOLLOW_H
#define TXKV_TEST_FOLLOW_H

#include "disk.h"

/* From now on the disk is at the other end of this socket (wire.h); for a process just forked. */
void follow_over(int socket);

/* `change`: call the disk_point first. */
void follow_stop(bool change);
void follow_go_on(void);

/* The disk is stopped. Of paths and descriptors that are not followed these know nothing. */
void follow_opened(const char *path, int fd, int flags);
void follow_closed(int fd);
void follow_written(int fd, off_t offset, size_t bytes); /* durable now, when opened with O_DSYNC */
void follow_changed(int fd);                             /* in some other way */
void follow_named(const char *path); /* the path was made, or means another file now */
void follow_unnamed(const char *path);

/* See disk_sync_begin; NULL when the file is not followed. */
struct disk_sync *follow_sync_begin(int fd);
void follow_sync_end(struct disk_sync *sync);

#endif /* TXKV_TEST_FOLLOW_H */
