/*
 * tree_check.c - is data.mdb in order, as far as its pages tell? Before LMDB opens it, and while it
 * is in use.
 *
 * LMDB has no checksums and believes its pages, so a damaged one can end the process. An opener
 * that has the store alone looks at the meta pages and the list of databases first, and at all
 * pages where that is not more than a checkpoint's worth of log: opening may read that much anyway.
 */
#include "mem.h"
#include "os.h"
#include "pages.h"
#include "tree_private.h"

enum { CHECKED_BYTES_MAX = 64 << 20 };

static enum txkv_rc
nothing(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    (void)arg;
    (void)pair;
    (void)err;
    return TXKV_OK;
}

static enum txkv_rc
look_at(struct tx_pages *pages, const char *dir, struct txkv_error *err)
{
    const struct tx_pages_report *report = tx_pages_report(pages);
    enum txkv_rc rc = TXKV_OK;

    if (tx_pages_bytes(pages) <= CHECKED_BYTES_MAX)
        rc = tx_pages_check(pages, err);
    else if (tx_pages_each(pages, "meta", nothing, NULL, err) == TXKV_NOMEM)
        rc = tx_fail_nomem(err);
    if (rc != TXKV_OK)
        return rc;
    if (report->unreadable > 0)
        return tx_fail(err, TXKV_IOERR, "%s/data.mdb cannot be read: %s; look at the kernel's log",
                       dir, report->found.first);
    if (report->found.problems > 0)
        return tx_fail(err, TXKV_CORRUPT,
                       "%s/data.mdb is damaged: %s; nothing was changed; restore the store from a "
                       "backup, or rescue what can be read",
                       dir, report->found.first);
    return TXKV_OK;
}

enum txkv_rc
tx_tree_look(const char *dir, struct txkv_error *err)
{
    char *path = tx_os_join(dir, "data.mdb");
    struct tx_pages *pages;
    enum txkv_rc rc;

    if (path == NULL)
        return tx_fail_nomem(err);
    rc = tx_pages_open(path, 0, &pages, err);
    tx_free(path);
    /* Of what is no store, or may not be read, LMDB's open speaks. */
    if (rc == TXKV_FORMAT || rc == TXKV_CANTOPEN || rc == TXKV_READONLY)
        return TXKV_OK;
    if (rc == TXKV_OK)
        rc = look_at(pages, dir, err);
    tx_pages_close(pages);
    return rc;
}

enum txkv_rc
tx_tree_check(struct tx_tree *tree, struct txkv_pages_report *report, uint64_t *unreadable,
              struct txkv_error *err)
{
    char *path = tx_os_join(tree->dir, "data.mdb");
    struct tx_pages *pages = NULL;
    struct tx_tree_read *read = NULL;
    uint64_t base;
    enum txkv_rc rc = path == NULL ? tx_fail_nomem(err) : tx_tree_read_create(tree, &read, err);

    *report = (struct txkv_pages_report){ .problems = 0 };
    *unreadable = 0;
    if (rc != TXKV_OK) {
        tx_free(path);
        return rc;
    }
    /* Two checkpoints in between have written over the meta page of this read: begin again. */
    for (rc = TXKV_NOTFOUND; rc == TXKV_NOTFOUND;) {
        rc = tx_tree_read_begin(read, &base, err);
        if (rc == TXKV_OK)
            rc = tx_pages_open(path, mdb_txn_id(read->txn), &pages, err);
        if (rc == TXKV_NOTFOUND)
            tx_tree_read_end(read);
    }
    if (rc == TXKV_OK)
        rc = tx_pages_check(pages, err);
    if (rc == TXKV_OK) {
        *report = tx_pages_report(pages)->found;
        *unreadable = tx_pages_report(pages)->unreadable;
    }
    tx_pages_close(pages);
    tx_tree_read_free(read);
    tx_free(path);
    return rc;
}
