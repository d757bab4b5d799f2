/*
 * outfile.h - a file that is there when it is complete, and not before.
 *
 * It is written as TARGET.tmp-<16 hex digits>, synced, given its name, and its directory synced. An
 * error leaves no target; nor does a kill, and what that leaves under the other name the next file
 * with the same target removes.
 *
 * Any thread, one at a time.
 */
#ifndef TX_OUTFILE_H
#define TX_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tx_outfile {
    const char *who; /* begins the messages */
    char *target, *temporary;
    int fd;    /* -1: closed */
    int error; /* an errno: what the first write that failed failed with; 0 */
    bool overwrite;
    size_t used;
    uint8_t *buffer;
};

/*
 * tx_outfile_open -- begin one.
 *
 * target     its directory must exist; it itself only with overwrite, as a file.
 *
 * Returns an SQLite code, with *message set. After SQLITE_OK it is ended by tx_outfile_finish or
 * tx_outfile_abandon.
 */
int tx_outfile_open(struct tx_outfile *out, const char *who, const char *target, bool overwrite,
                    char **message);

/* Errors wait for tx_outfile_finish; a long export asks tx_outfile_failed now and then. */
void tx_outfile_write(struct tx_outfile *out, const void *data, size_t bytes);
void tx_outfile_text(struct tx_outfile *out, const char *text);
void tx_outfile_hex(struct tx_outfile *out, const uint8_t *data, size_t bytes);

static inline bool
tx_outfile_failed(const struct tx_outfile *out)
{
    return out->error != 0;
}

/* Complete it, and give it its name; after an error there is none. Returns an SQLite code. */
int tx_outfile_finish(struct tx_outfile *out, char **message);

void tx_outfile_abandon(struct tx_outfile *out);

#endif /* TX_OUTFILE_H */
