/*
 * infile.h - a text file, record by record: lines, or records of CSV, which quotes can keep
 * together over several lines.
 *
 * Takes the memory of the longest record. Any thread, one at a time.
 */
#ifndef TX_INFILE_H
#define TX_INFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tx_infile {
    const char *who, *path; /* begin the messages; borrowed */
    int fd;
    bool at_end;
    bool begun;
    uint64_t line; /* of the record's beginning; the first is 1 */
    uint64_t next_line;
    char *buffer;
    size_t room, used, begin;
};

/* Returns an SQLite code, with *message set. After SQLITE_OK it is ended by tx_infile_close. */
int tx_infile_open(struct tx_infile *in, const char *who, const char *path, char **message);

/*
 * The next record, without the line feed; without a byte order mark, if it is the first. It may be
 * changed, also the byte behind it, until the next call. Returns SQLITE_ROW, SQLITE_DONE, or an
 * error's code.
 */
int tx_infile_next(struct tx_infile *in, bool csv, char **record, size_t *bytes, char **message);

void tx_infile_close(struct tx_infile *in);

#endif /* TX_INFILE_H */
