/*
 * wire.h - the disk of disk.h for the processes that the machine's has started: each tells of its
 * calls over a socket, and a thread of the machine's process does for it what it says.
 *
 * So the disk's state is in one process, and one mutex orders the calls of all of them. A process
 * that dies while the disk is stopped for it lets it go.
 */
#ifndef TXKV_TEST_WIRE_H
#define TXKV_TEST_WIRE_H

#include "disk.h"

enum wire_what {
    WIRE_LOCK, /* answered when the disk stands still */
    WIRE_UNLOCK,
    WIRE_OPENED, /* answered, with the node */
    WIRE_WRITTEN,
    WIRE_CHANGED,
    WIRE_NAMED,
    WIRE_UNNAMED,
    WIRE_SYNC_BEGIN, /* answered, with the sync */
    WIRE_SYNC_END
};

/* Arguments of the calls in disk.h of these names. */
struct wire_message {
    enum wire_what what;
    bool flag;
    int node, flags;
    dev_t device;
    ino_t inode;
    off_t offset;
    size_t bytes;
    struct disk_sync *sync; /* of the process that has the disk */
    char path[TEST_PATH_BYTES];
};

/* Two ends of a new wire. */
void wire_make(int ends[2]);

/* In the process that was started: send it; the answer, or the message itself. Ends the process
 * when the other one is gone. */
struct wire_message wire_ask(int end, const struct wire_message *message);

/* In the process that has the disk: serve the other end, in a thread, until it is closed. */
void wire_serve(int end);

#endif /* TXKV_TEST_WIRE_H */
