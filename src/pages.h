/*
 * pages.h - data.mdb page by page, trusting nothing: what is damaged in it, and what can be read.
 *
 * LMDB takes its pages as they are: a number or an offset in one that cannot be makes it read or
 * write anywhere. This reads the same file with read calls, without LMDB, follows the trees from a
 * meta page down, and looks at every number before it is used. It finds what would lead LMDB
 * astray; values that have changed it cannot tell from others, for LMDB has no checksums.
 *
 * A page that cannot be used is a problem, which is counted and left out with all below it; the
 * walk goes on beside it. Every page is entered once, so that it ends.
 *
 * Threads: one. Layer 4: os.h, mem.h, bytes.h.
 */
#ifndef TX_PAGES_H
#define TX_PAGES_H

#include "base.h"
#include "error.h"

struct tx_pages;

struct tx_pages_report {
    struct txkv_pages_report found; /* pages that were looked at, problems, with page and offset */
    uint64_t unreadable;            /* read calls that failed */
};

/*
 * tx_pages_open -- open a data.mdb for reading. Nobody may write it meanwhile, but for LMDB when
 * txn_id is that of an open read.
 *
 * txn_id  the transaction whose pages are wanted; 0: the newest whose meta page can be used.
 *
 * TXKV_FORMAT: it is no LMDB file, an empty one say. TXKV_NOTFOUND: no meta page is of that
 * transaction. TXKV_CANTOPEN, TXKV_IOERR, TXKV_NOMEM.
 */
TX_MUST_CHECK enum txkv_rc tx_pages_open(const char *path, uint64_t txn_id, struct tx_pages **out,
                                         struct txkv_error *err);
void tx_pages_close(struct tx_pages *pages); /* NULL is allowed */

/* Of the file, from the first page to the last one in use; and the transaction that was taken. */
uint64_t tx_pages_bytes(const struct tx_pages *pages);
uint64_t tx_pages_txn(const struct tx_pages *pages);

/* A pair of a database; the bytes are valid during the call. */
struct tx_pages_pair {
    const uint8_t *key, *value;
    uint32_t key_bytes;
    uint64_t value_bytes;
};

/* What it returns but TXKV_OK ends the walk. */
typedef enum txkv_rc tx_pages_visit(void *arg, const struct tx_pages_pair *pair,
                                    struct txkv_error *err);

/*
 * tx_pages_each -- call visit with each pair that can be read of the database of that name, in the
 * order of its keys. TXKV_NOTFOUND: there is none of that name. Each database once.
 */
TX_MUST_CHECK enum txkv_rc tx_pages_each(struct tx_pages *pages, const char *name,
                                         tx_pages_visit *visit, void *arg, struct txkv_error *err);

/* Call fn with the name of each database that can be found, and how many pairs it should have. */
TX_MUST_CHECK enum txkv_rc tx_pages_names(struct tx_pages *pages,
                                          enum txkv_rc (*fn)(void *arg, const char *name,
                                                             uint64_t entries,
                                                             struct txkv_error *err),
                                          void *arg, struct txkv_error *err);

/* Walk over every database that tx_pages_each has not walked over, and then the list of free pages,
 * none of which may be in use. */
TX_MUST_CHECK enum txkv_rc tx_pages_check(struct tx_pages *pages, struct txkv_error *err);

/* What has been found up to now. */
const struct tx_pages_report *tx_pages_report(const struct tx_pages *pages);

#endif /* TX_PAGES_H */
