/*
 * infile.c - a text file, record by record.
 */
#include "infile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "csvline.h"
#include "sqlerror.h"

enum { FIRST_BYTES = 1 << 16 };

int
tx_infile_open(struct tx_infile *in, const char *who, const char *path, char **message)
{
    *in = (struct tx_infile){ .who = who, .path = path, .next_line = 1 };
    in->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0)
        return tx_sql_refuse(message, SQLITE_CANTOPEN, "%s: cannot open \"%s\": %s", who, path,
                             strerrordesc_np(errno));
    in->room = FIRST_BYTES;
    in->buffer = sqlite3_malloc64(in->room);
    if (in->buffer == NULL) {
        tx_infile_close(in);
        return SQLITE_NOMEM;
    }
    (void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return SQLITE_OK;
}

/* Room for more than there is, and for a NUL. */
static int
make_room(struct tx_infile *in, char **message)
{
    const size_t room = 2 * in->room;
    char *buffer;

    if (in->begin > 0) {
        in->used -= in->begin;
        memmove(in->buffer, in->buffer + in->begin, in->used);
        in->begin = 0;
    }
    if (in->room - in->used > in->room / 2)
        return SQLITE_OK;
    buffer = sqlite3_realloc64(in->buffer, room);
    if (buffer == NULL)
        return tx_sql_refuse(message, SQLITE_NOMEM, "%s: out of memory", in->who);
    in->buffer = buffer;
    in->room = room;
    return SQLITE_OK;
}

static int
read_more(struct tx_infile *in, char **message)
{
    const int rc = make_room(in, message);
    ssize_t bytes;

    if (rc != SQLITE_OK)
        return rc;
    do
        bytes = read(in->fd, in->buffer + in->used, in->room - in->used - 1);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0)
        return tx_sql_refuse(message, SQLITE_IOERR, "%s: cannot read \"%s\": %s", in->who, in->path,
                             strerrordesc_np(errno));
    in->at_end = bytes == 0;
    in->used += (size_t)bytes;
    return SQLITE_OK;
}

/* Where the record ends: at a line feed, or at the end of what there is. */
static size_t
find_end(const struct tx_infile *in, bool csv, size_t looked, bool *quoted)
{
    const char *begin = in->buffer + in->begin;
    const size_t bytes = in->used - in->begin;
    const char *found;

    if (csv)
        return tx_csv_end(begin, bytes, looked, quoted);
    found = bytes == looked ? NULL : memchr(begin + looked, '\n', bytes - looked);
    return found == NULL ? bytes : (size_t)(found - begin);
}

static void
count_lines(struct tx_infile *in, const char *record, size_t bytes)
{
    const char *p = record, *end = record + bytes;

    in->line = in->next_line++;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        in->next_line++;
        p++;
    }
}

int
tx_infile_next(struct tx_infile *in, bool csv, char **record, size_t *bytes, char **message)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t looked = 0, end = 0;
    bool quoted = false;

    while ((end = find_end(in, csv, looked, &quoted)) == in->used - in->begin) {
        int rc;

        if (in->at_end)
            break;
        looked = end;
        rc = read_more(in, message);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (in->begin == in->used)
        return SQLITE_DONE;
    *record = in->buffer + in->begin;
    *bytes = end;
    in->begin += end + (in->begin + end < in->used);
    count_lines(in, *record, *bytes);
    if (!in->begun && *bytes >= sizeof(mark) - 1 && memcmp(*record, mark, sizeof(mark) - 1) == 0) {
        *record += sizeof(mark) - 1;
        *bytes -= sizeof(mark) - 1;
    }
    in->begun = true;
    return SQLITE_ROW;
}

void
tx_infile_close(struct tx_infile *in)
{
    if (in->fd >= 0)
        (void)close(in->fd);
    sqlite3_free(in->buffer);
    in->buffer = NULL;
    in->fd = -1;
}
