/*
 * disk.h - a disk that can lose its power: what was synced, and what was only written.
 *
 * The files are real ones, below one directory; beside them this keeps what a power failure would
 * leave of them. It knows for each file what its last sync made durable, and what has stood in each
 * sector since, whether it came by write() or through a shared map; and for each name in a
 * directory which file it meant when the directory was last synced, and which since. A cut writes
 * to another directory one of the states that a disk may be in then: of every file any of the
 * sizes, of every sector and of every name any of the versions, independently.
 *
 * follow.c tells it of the calls: of this process and of those that it has started, their libraries
 * included. fsync of a file makes the file durable and not its name, as POSIX has it.
 *
 * Threads: any; one mutex lets one call at a time go on.
 */
#ifndef TXKV_TEST_DISK_H
#define TXKV_TEST_DISK_H

#include <stdbool.h>
#include <sys/types.h>

#include "../support/support.h"

/* What a cut leaves of that which was not synced. */
enum disk_cut {
    DISK_CUT_NOTHING,  /* none of it */
    DISK_CUT_ALL,      /* all of it: as if the machine had been stopped, and not its power */
    DISK_CUT_SECTORS,  /* any sectors and names */
    DISK_CUT_PAGES,    /* any pages of 4096 bytes; any names */
    DISK_CUT_PREFIX,   /* of each file what stands before some place; any names */
    DISK_CUT_SUFFIX,   /* of each file what stands behind some place; any names */
    DISK_CUT_CONTENTS, /* all contents, no name */
    DISK_CUT_NAMES,    /* all names, no contents */
    DISK_CUTS
};

/* What is called before each change of the disk, which stands still meanwhile. */
typedef void disk_point(void *arg);

/* Take what stands below the directory as durable, and follow it from now on. */
void disk_start(const char *root, disk_point *point, void *arg);

/* Write a state after a cut to a directory that does not exist. Only from a disk_point. */
void disk_cut(struct rng *rng, enum disk_cut how, const char *target);

/* Whether disk_start was called. */
bool disk_is_followed(void);

/* ---- for follow.c and wire.c ---- */

/* Stop the disk, and let it go on. `change`: call the disk_point first. */
void disk_lock(bool change);
void disk_unlock(void);

/* The disk is stopped in all that follows. A file or directory that is followed has a number. */
enum { DISK_NO_NODE = -1 };

/* The number of what was opened; a file that was made by it is followed from now on. */
int disk_node_opened(const char *path, dev_t device, ino_t inode, int flags);
/* Written; it is durable now, when opened with O_DSYNC: `sync`. */
void disk_node_written(int node, bool sync, off_t offset, size_t bytes);
void disk_node_changed(int node); /* in some other way */

void disk_named(const char *path); /* the path was made, or means another file now */
void disk_unnamed(const char *path);
/* Who had stopped the disk died, perhaps between a call and telling of it: take the names as they
 * are now. (What stands in a file is looked at before it counts, whoever wrote it.) */
void disk_look_at_names(void);

/*
 * A sync covers what stands there when it begins. What disk_sync_begin returns, goes to
 * disk_sync_end, which is called with the disk stopped again; it may have gone on in between.
 */
struct disk_sync *disk_sync_begin(int number);
void disk_sync_end(struct disk_sync *sync);

#endif /* TXKV_TEST_DISK_H */
