/*
 * pages_private.h - what the files pages*.c share: what stands where in data.mdb.
 *
 * The file, as LMDB 0.9 writes it on this kind of machine: pages of 4096 bytes, little-endian.
 *
 * Where things stand (and how many bytes they have):
 *
 *   of a page        0 number (8), 8 pad (2), 10 flags (2), 12 lower (2), 14 upper (2),
 *                    16 offsets (2 each) up to lower; the nodes from upper to the end
 *   overflow pages   12 how many (4), 16 the value
 *   of a node        0 size, or low bits of the child's page (4),
 *                    4 flags, or its high bits (2), 6 bytes of the key (2), 8 key,
 *                    then the value: itself, or the number of an overflow page
 *   of a database    0 pad (4), 4 flags (2), 6 depth (2),
 *                    8 branch pages, leaf pages, overflow pages, pairs, root (8 each)
 *   of a meta page   behind a page's 16 bytes: 0 magic (4), 4 version (4), 8 address (8),
 *   (0 and 1)        16 map size (8), 24 the database of free pages, 72 the main database,
 *                    120 last page (8), 128 transaction (8), even on page 0 and odd on page 1
 *
 * The main database holds the others under their names. That of free pages has transactions as its
 * keys, and lists of page numbers as its values: how many, then the numbers, the highest first.
 *
 * Layer 4: pages.h.
 */
#ifndef TX_PAGES_PRIVATE_H
#define TX_PAGES_PRIVATE_H

#include "bytes.h"
#include "pages.h"

enum {
    TX_PAGE_BYTES = 4096,
    TX_PAGE_HEADER = 16,
    TX_DB_BYTES = 48,
    TX_PAGES_KEY_BYTES_MAX = 511,
    TX_PAGES_DEPTH_MAX = 32,
    TX_METAS = 2,
    TX_NODE_HEADER = 8,
    TX_AT_PAGE_FLAGS = 10,
    TX_AT_LOWER = 12
};

/* Flags: of a page, a node, a database. */
enum { TX_PAGE_BRANCH = 1, TX_PAGE_LEAF = 2, TX_PAGE_OVERFLOW = 4, TX_PAGE_META = 8 };
enum { TX_NODE_BIG = 1, TX_NODE_DB = 2 };
enum { TX_DB_INTEGER_KEYS = 8 };

#define TX_NO_PAGE UINT64_MAX

/* How many nodes a branch or a leaf lists, if `lower` is what it can be. */
static inline uint32_t
tx_pages_nodes(const uint8_t *page)
{
    return (tx_get_u16(page + TX_AT_LOWER) - TX_PAGE_HEADER) / 2;
}

static inline const uint8_t *
tx_pages_node(const uint8_t *page, uint32_t i)
{
    return page + tx_get_u16(page + TX_PAGE_HEADER + 2 * i);
}

static inline uint32_t
tx_pages_key_bytes(const uint8_t *node)
{
    return tx_get_u16(node + 6);
}

/* Of a branch's node. */
static inline uint64_t
tx_pages_child(const uint8_t *node)
{
    return (uint64_t)tx_get_u32(node) | (uint64_t)tx_get_u16(node + 4) << 32;
}

struct tx_pages_db {
    uint64_t branches, leaves, overflows, pairs, root;
    uint32_t flags, depth;
    bool walked;
    uint32_t name_bytes;
    char name[TX_PAGES_KEY_BYTES_MAX + 1];
};

struct tx_pages_meta {
    struct tx_pages_db free_db, main_db;
    uint64_t last_page, txn_id, map_bytes;
};

struct tx_pages {
    int fd;
    char *path;
    uint64_t file_pages;
    struct tx_pages_meta meta;
    /* A bit for each page of the file, and of a good deal behind it: pages that were freed before
     * they were written. */
    uint8_t *seen;
    uint64_t seen_pages;
    struct tx_pages_db *dbs;
    size_t db_count, db_room;
    uint8_t *value; /* of overflow pages */
    uint64_t value_room;
    struct tx_pages_report report;
    uint8_t buffers[TX_PAGES_DEPTH_MAX]
                   [TX_PAGE_BYTES]; /* the pages from the root to where a walk is */
};

/* Count a problem, and keep the first one's words. */
TX_PRINTF(3, 4)
void tx_pages_add_problem(struct tx_pages *p, uint64_t page, const char *format, ...);

/* False: the bytes are not all there, or the disk cannot read them. */
bool tx_pages_read_bytes(struct tx_pages *p, uint64_t offset, uint8_t *buffer, uint64_t bytes);

/* A database's description, as it stands in a meta page or under its name. False: it cannot be. */
bool tx_pages_read_db(const uint8_t *at, uint64_t last_page, struct tx_pages_db *db);

/* Walk over a database, unless it has been done. visit may be NULL. */
TX_MUST_CHECK enum txkv_rc tx_pages_walk(struct tx_pages *p, struct tx_pages_db *db,
                                         tx_pages_visit *visit, void *arg, struct txkv_error *err);

#endif /* TX_PAGES_PRIVATE_H */
