/*
 * room.h - memory for a record: the heap's, or a file's for a large one, which need not stay
 * resident.
 *
 * The file has no name, is mapped, and is gone with the process. What was written to it can be let
 * go of: it leaves the process and stays in the page cache, from where the kernel can write it to
 * the disk when memory is short. The file's space is allocated before it is touched, so a full disk
 * is an error and never a SIGBUS.
 *
 * Threads: one at a time. Layer 2: os.h, mem.h, error.h.
 */
#ifndef TX_ROOM_H
#define TX_ROOM_H

#include "base.h"
#include "error.h"

struct tx_room {
    uint8_t *at; /* NULL: none yet. It moves when the room grows */
    uint64_t bytes;
    const char *dir; /* where the file is made; NULL: there will be none */
    int fd;          /* -1: the heap's */
};

/* From so many bytes on a file is made. Tests lower it, before a store is opened. */
extern uint64_t tx_room_file_from;

/* dir: NULL, or good as long as the room is used. */
void tx_room_init(struct tx_room *room, const char *dir);

/* tx_room_grow -- have that many bytes, of which the first `used` are kept, as far
 * as there are so many. On failure nothing has
 * changed. A directory that takes no such file, for whatever it is, is no failure. */
TX_MUST_CHECK enum txkv_rc tx_room_grow(struct tx_room *room, uint64_t bytes, uint64_t used,
                                        struct txkv_error *err);

/* Let the whole pages of the first `bytes` bytes go, if they are a file's. They come back when they
 * are looked at. */
void tx_room_let_go(const struct tx_room *room, uint64_t bytes);

/* As it was after tx_room_init. */
void tx_room_free(struct tx_room *room);

#endif /* TX_ROOM_H */
