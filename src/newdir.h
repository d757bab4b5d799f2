/*
 * newdir.h - making a store's directory under another name, and giving it its own when it is
 * complete.
 *
 * The directory is TARGET.tmp-<16 hex digits>, beside the target, locked (flock) by who makes it:
 * that tells one that is being made from one whose process is gone, which the next maker of the
 * same target removes. Nothing but what a maker has made is removed: data.mdb and lock.mdb, in
 * directories with names of that form.
 *
 * Threads: one. Layer 7: os.h.
 */
#ifndef TX_NEWDIR_H
#define TX_NEWDIR_H

#include "base.h"
#include "error.h"

struct tx_newdir {
    const char *what; /* "backup", for messages */
    char *target;     /* without slashes at its end */
    char *parent, *base;
    char *tmp_dir, *data; /* the directory until it is the target, and its data.mdb */
    int lock_fd;
    bool made; /* tmp_dir exists, and is this one's */
};

/*
 * tx_newdir_make -- make the directory. TXKV_EXISTS when the target does; TXKV_CANTOPEN without the
 * directory that should hold it; TXKV_BUSY when another process makes it; TXKV_MISUSE for what can
 * be no target. tx_newdir_end in every case.
 */
TX_MUST_CHECK enum txkv_rc tx_newdir_make(struct tx_newdir *newdir, const char *what,
                                          const char *target, struct txkv_error *err);

/* Sync the directory, give it its name, and sync that. Its files are synced already. */
TX_MUST_CHECK enum txkv_rc tx_newdir_name(struct tx_newdir *newdir, struct txkv_error *err);

/* Remove a file of the directory, if it is there. */
void tx_newdir_remove(const struct tx_newdir *newdir, const char *name);

/* Remove what has not become the target, and free. */
void tx_newdir_end(struct tx_newdir *newdir);

#endif /* TX_NEWDIR_H */
