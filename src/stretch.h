/*
 * stretch.h - a stretch of the rows that a checkpoint moves, copied out of the log.
 *
 * Rows that come in key order stand in the log in any other one. Read where they stand, a few of
 * them bring all of the log's pages into the process's memory. So those of a stretch are copied
 * together, in the log's order, and each part of the log is let go of when it has been read. What
 * is in memory is then the stretch, whatever the log's size.
 *
 * Threads: one at a time; the memtables are frozen. Layer 3: memtable.h.
 */
#ifndef TX_STRETCH_H
#define TX_STRETCH_H

#include "base.h"
#include "memtable.h"

struct tx_row {
    const uint8_t *key, *value; /* value NULL: the key was deleted */
    uint32_t table, key_bytes, value_bytes;
    uint32_t place; /* the stretch's: in its copies */
};

/* Bytes of a row: longer ones are not copied. */
#define TX_STRETCH_ROW_MAX 4096u

struct tx_stretch {
    struct tx_row *rows; /* `count` of them, in the order in which they were added */
    uint32_t count, room;
    /* The rest is its own. */
    struct tx_log_range *ranges; /* of the memtables' segments, by address */
    uint32_t range_count, part_shift, parts;
    uint8_t *copies;           /* NULL: rows are read where they stand */
    uint64_t bytes, bytes_max; /* of the rows */
    uint64_t copies_bytes;
    /* Rows by the part of the log they stand in, and where each part ends; or NULL. */
    uint32_t *order, *ends;
};

/* Whether one of the memtables is large. */
bool tx_stretch_is_large(struct tx_memtable *const *memtables, uint32_t count);

/* One for rows of these memtables, that holds copies of so many bytes; 0: no copies. On failure,
 * TXKV_NOMEM, nothing is kept. Without a large memtable all of the log may be in memory: its rows
 * are copied in their own order. */
TX_MUST_CHECK enum txkv_rc tx_stretch_init(struct tx_stretch *stretch,
                                           struct tx_memtable *const *memtables, uint32_t count,
                                           uint64_t copies_bytes);
void tx_stretch_free(struct tx_stretch *stretch);

/* Keep memory for copies of so many bytes, if it has more. Not while there are rows in use. */
void tx_stretch_shrink(struct tx_stretch *stretch, uint64_t copies_bytes);

/* No rows are in it; it is to hold no more bytes of them than that. */
void tx_stretch_clear(struct tx_stretch *stretch, uint64_t bytes);

/* Whether another row fits. */
static inline bool
tx_stretch_has_room(const struct tx_stretch *stretch)
{
    return stretch->count < stretch->room &&
           stretch->bytes_max - stretch->bytes >= TX_STRETCH_ROW_MAX;
}

/* Add a row, whose bytes stand in a segment of the memtables. There is room for it. */
void tx_stretch_add(struct tx_stretch *stretch, const struct tx_row *row);

static inline uint64_t
tx_row_bytes(const struct tx_row *row)
{
    return (uint64_t)row->key_bytes + row->value_bytes;
}

/* Whether a row of the stretch is a copy, once they have been made. */
static inline bool
tx_stretch_is_copied(const struct tx_stretch *stretch, const struct tx_row *row)
{
    return stretch->copies != NULL && tx_row_bytes(row) <= TX_STRETCH_ROW_MAX;
}

/* Copy the rows: from here on they point to the copies, until the next clear. */
void tx_stretch_copy(struct tx_stretch *stretch);

#endif /* TX_STRETCH_H */
