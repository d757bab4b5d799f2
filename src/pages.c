/*
 * pages.c - opening data.mdb without LMDB, its databases, and the list of its free pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mem.h"
#include "os.h"
#include "pages_private.h"

#define MAGIC         UINT32_C(0xbeefc0de)
#define VERSION       1u
#define MAP_BYTES_MAX (UINT64_C(1) << 47)

enum {
    AT_MAGIC = TX_PAGE_HEADER,
    AT_ADDRESS = TX_PAGE_HEADER + 8,
    AT_MAP_BYTES = TX_PAGE_HEADER + 16,
    AT_FREE_DB = TX_PAGE_HEADER + 24,
    AT_MAIN_DB = TX_PAGE_HEADER + 72,
    AT_LAST_PAGE = TX_PAGE_HEADER + 120,
    AT_TXN = TX_PAGE_HEADER + 128
};

/* How the environment was made, among the flags of its first database. */
enum { ENV_NOSUBDIR = 0x4000 };

/* As many can be in one transaction, which has at most 4 GiB. */
enum { UNWRITTEN_PAGES_MAX = 1 << 20 };

/* ---- opening ---- */

static bool
is_of_lmdb(const uint8_t *page)
{
    return tx_get_u32(page + AT_MAGIC) == MAGIC && tx_get_u32(page + AT_MAGIC + 4) == VERSION;
}

static const char impossible_database[] = "is a meta page with an impossible database";

/* A meta page. NULL, or what is wrong with it. */
static const char *
read_meta(const uint8_t *page, uint64_t number, struct tx_pages_meta *meta)
{
    if (!is_of_lmdb(page))
        return "is no meta page of LMDB 0.9";
    meta->last_page = tx_get_u64(page + AT_LAST_PAGE);
    meta->txn_id = tx_get_u64(page + AT_TXN);
    meta->map_bytes = tx_get_u64(page + AT_MAP_BYTES);
    if (tx_get_u64(page) != number || tx_get_u16(page + TX_AT_PAGE_FLAGS) != TX_PAGE_META ||
        tx_get_u32(page + AT_FREE_DB) != TX_PAGE_BYTES || tx_get_u64(page + AT_ADDRESS) != 0 ||
        (meta->txn_id != 0 && meta->txn_id % TX_METAS != number))
        return "is a damaged meta page";
    if (meta->map_bytes > MAP_BYTES_MAX || meta->last_page < TX_METAS - 1 ||
        meta->last_page >= meta->map_bytes / TX_PAGE_BYTES)
        return "is a meta page with an impossible size";
    if (!tx_pages_read_db(page + AT_FREE_DB, meta->last_page, &meta->free_db) ||
        (meta->free_db.flags & ~(uint32_t)ENV_NOSUBDIR) != TX_DB_INTEGER_KEYS ||
        !tx_pages_read_db(page + AT_MAIN_DB, meta->last_page, &meta->main_db) ||
        meta->main_db.flags != 0)
        return impossible_database;
    return NULL;
}

/*
 * LMDB reads the databases of the newer meta page. When the last write of a commit failed it has
 * put the older one back but for its databases: these are of the commit that failed, and the next
 * one replaces them.
 */
static bool
is_given_up(const struct tx_pages_meta *older, const char *wrong, const struct tx_pages_meta *newer)
{
    return wrong == impossible_database && older->txn_id < newer->txn_id;
}

/* Take the meta page that is asked for. */
static enum txkv_rc
choose_meta(struct tx_pages *p, uint64_t txn_id, struct txkv_error *err)
{
    bool is_lmdb = false, chosen = false;
    struct tx_pages_meta metas[TX_METAS];
    const char *wrong[TX_METAS];

    memset(&p->meta, 0, sizeof p->meta);
    memset(metas, 0, sizeof metas);
    for (uint64_t i = 0; i < TX_METAS; i++) {
        uint8_t *page = p->buffers[0];

        memset(page, 0, TX_PAGE_BYTES);
        wrong[i] = tx_pages_read_bytes(p, i * TX_PAGE_BYTES, page, TX_PAGE_BYTES)
                       ? read_meta(page, i, &metas[i])
                       : "cannot be read";
        is_lmdb = is_lmdb || is_of_lmdb(page);
        if (wrong[i] == NULL && (txn_id == 0 ? !chosen || metas[i].txn_id > p->meta.txn_id
                                             : metas[i].txn_id == txn_id)) {
            p->meta = metas[i];
            chosen = true;
        }
    }
    /* LMDB may be writing the one that is not asked for. */
    for (uint64_t i = 0; i < TX_METAS && txn_id == 0; i++)
        if (wrong[i] != NULL && !(chosen && is_given_up(&metas[i], wrong[i], &p->meta)))
            tx_pages_add_problem(p, i, "%s", wrong[i]);
    if (!is_lmdb && p->report.unreadable > 0)
        return tx_fail(err, TXKV_IOERR, "cannot read %s; look at the kernel's log", p->path);
    if (!is_lmdb)
        return tx_fail(err, TXKV_FORMAT, "%s is not a file of LMDB 0.9", p->path);
    if (!chosen && txn_id != 0)
        return TXKV_NOTFOUND;
    if (!chosen)
        p->meta.free_db.root = p->meta.main_db.root = TX_NO_PAGE;
    return TXKV_OK;
}

static enum txkv_rc
note_db(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    struct tx_pages *p = arg;
    struct tx_pages_db *db;

    if (p->db_count == p->db_room) {
        const size_t room = p->db_room * 2 + 16;
        struct tx_pages_db *dbs = tx_realloc(p->dbs, room * sizeof *dbs);

        if (dbs == NULL)
            return tx_fail_nomem(err);
        p->dbs = dbs;
        p->db_room = room;
    }
    db = &p->dbs[p->db_count];
    memset(db, 0, sizeof *db);
    if (!tx_pages_read_db(pair->value, p->meta.last_page, db)) {
        tx_pages_add_problem(p, p->meta.main_db.root, "leads to an impossible database, %.*s",
                             (int)tx_min_u64(pair->key_bytes, 100), (const char *)pair->key);
        return TXKV_OK;
    }
    memcpy(db->name, pair->key, pair->key_bytes);
    db->name_bytes = pair->key_bytes;
    db->walked = db->flags != 0; /* of a kind that txkv does not make: its keys cannot be judged */
    p->db_count++;
    return TXKV_OK;
}

/* LMDB orders keys, and repeats them, as a database's flags say. In a file of somebody else, which
 * has no "meta", they may say anything: nobody will look into it. */
static void
judge_flags(struct tx_pages *p)
{
    bool is_store = false;

    for (size_t i = 0; i < p->db_count; i++)
        is_store = is_store || strcmp(p->dbs[i].name, "meta") == 0;
    for (size_t i = 0; i < p->db_count && is_store; i++)
        if (p->dbs[i].flags != 0)
            tx_pages_add_problem(p, p->meta.main_db.root,
                                 "leads to a database of a kind that no store has, %.100s",
                                 p->dbs[i].name);
}

static enum txkv_rc
open_pages(struct tx_pages *p, uint64_t txn_id, struct txkv_error *err)
{
    struct stat st;
    enum txkv_rc rc;

    p->fd = tx_os.open(p->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (p->fd < 0 || tx_os.fstat(p->fd, &st) != 0)
        return tx_fail_errno(err, errno, "cannot read %s", p->path);
    p->file_pages = (uint64_t)st.st_size / TX_PAGE_BYTES;
    p->seen_pages = p->file_pages + UNWRITTEN_PAGES_MAX;
    p->seen = tx_zalloc(p->seen_pages / 8 + 1);
    if (p->seen == NULL)
        return tx_fail_nomem(err);
    rc = choose_meta(p, txn_id, err);
    if (rc == TXKV_OK)
        rc = tx_pages_walk(p, &p->meta.main_db, note_db, p, err);
    if (rc == TXKV_OK)
        judge_flags(p);
    return rc;
}

enum txkv_rc
tx_pages_open(const char *path, uint64_t txn_id, struct tx_pages **out, struct txkv_error *err)
{
    struct tx_pages *p = tx_zalloc(sizeof *p);
    enum txkv_rc rc;

    *out = NULL;
    if (p == NULL)
        return tx_fail_nomem(err);
    p->fd = -1;
    p->path = tx_strdup(path);
    rc = p->path == NULL ? tx_fail_nomem(err) : open_pages(p, txn_id, err);
    if (rc != TXKV_OK) {
        tx_pages_close(p);
        return rc;
    }
    *out = p;
    return TXKV_OK;
}

void
tx_pages_close(struct tx_pages *pages)
{
    if (pages == NULL)
        return;
    if (pages->fd >= 0)
        (void)tx_os.close(pages->fd);
    tx_free(pages->value);
    tx_free(pages->dbs);
    tx_free(pages->seen);
    tx_free(pages->path);
    tx_free(pages);
}

uint64_t
tx_pages_bytes(const struct tx_pages *pages)
{
    return (pages->meta.last_page + 1) * TX_PAGE_BYTES;
}

uint64_t
tx_pages_txn(const struct tx_pages *pages)
{
    return pages->meta.txn_id;
}

/* ---- databases ---- */

enum txkv_rc
tx_pages_each(struct tx_pages *pages, const char *name, tx_pages_visit *visit, void *arg,
              struct txkv_error *err)
{
    for (size_t i = 0; i < pages->db_count; i++)
        if (strcmp(pages->dbs[i].name, name) == 0)
            return tx_pages_walk(pages, &pages->dbs[i], visit, arg, err);
    return TXKV_NOTFOUND;
}

enum txkv_rc
tx_pages_names(struct tx_pages *pages,
               enum txkv_rc (*fn)(void *arg, const char *name, uint64_t entries,
                                  struct txkv_error *err),
               void *arg, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (size_t i = 0; i < pages->db_count && rc == TXKV_OK; i++)
        rc = fn(arg, pages->dbs[i].name, pages->dbs[i].pairs, err);
    return rc;
}

/* One entry of the list of free pages: the transaction that has freed them, which LMDB counts from
 * 1, and takes 0 for one that it has not read yet. */
static enum txkv_rc
check_free(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    struct tx_pages *p = arg;
    const uint64_t room = pair->value_bytes / 8;
    const uint64_t count = room > 0 ? tx_get_u64(pair->value) : 0;
    uint64_t before = TX_NO_PAGE;

    (void)err;
    if (room == 0 || count != room - 1 || pair->value_bytes % 8 != 0 ||
        tx_get_u64(pair->key) == 0 || tx_get_u64(pair->key) > p->meta.txn_id) {
        tx_pages_add_problem(p, p->meta.free_db.root, "leads to an impossible list of free pages");
        return TXKV_OK;
    }
    for (uint64_t i = 1; i <= count; i++) {
        const uint64_t page = tx_get_u64(pair->value + 8 * i);

        if (page < TX_METAS || page > p->meta.last_page || page >= before) {
            tx_pages_add_problem(p, p->meta.free_db.root,
                                 "leads to an impossible list of free pages");
            return TXKV_OK;
        }
        if (page < p->seen_pages && (p->seen[page / 8] & 1u << page % 8) != 0)
            tx_pages_add_problem(p, page, "is listed as free, and in use or listed twice");
        else if (page < p->seen_pages)
            p->seen[page / 8] |= (uint8_t)(1u << page % 8);
        before = page;
    }
    return TXKV_OK;
}

enum txkv_rc
tx_pages_check(struct tx_pages *pages, struct txkv_error *err)
{
    enum txkv_rc rc = TXKV_OK;

    for (size_t i = 0; i < pages->db_count && rc == TXKV_OK; i++)
        rc = tx_pages_walk(pages, &pages->dbs[i], NULL, NULL, err);
    return rc == TXKV_OK ? tx_pages_walk(pages, &pages->meta.free_db, check_free, pages, err) : rc;
}

const struct tx_pages_report *
tx_pages_report(const struct tx_pages *pages)
{
    return &pages->report;
}
