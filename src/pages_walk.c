/*
 * pages_walk.c - following one tree of data.mdb from its root down, trusting nothing.
 *
 * The pages from the root to the one that is looked at are in memory. Before a page is entered its
 * number must be one that can be and that nobody had before; before a node is used all nodes of its
 * page have been measured, and fill it to the byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "os.h"
#include "pages_private.h"

enum { AT_UPPER = 14 };

/* A walk over one database. */
struct walk {
    struct tx_pages *p;
    struct tx_pages_db *db;
    tx_pages_visit *visit;
    void *arg;
    uint32_t level; /* pages on the stack */
    struct {
        uint64_t page;
        uint32_t at, count;
    } stack[TX_PAGES_DEPTH_MAX];
    struct tx_pages_db found; /* counted */
    /* No key may be below this one, nor, unless `may_equal`, equal to it. */
    uint8_t bound[TX_PAGES_KEY_BYTES_MAX];
    uint32_t bound_bytes;
    bool has_bound, may_equal;
    bool damaged;
};

/* ---- problems ---- */

void
tx_pages_add_problem(struct tx_pages *p, uint64_t page, const char *format, ...)
{
    struct txkv_pages_report *report = &p->report.found;
    va_list args;
    int n;

    if (report->problems++ > 0)
        return;
    n = snprintf(report->first, sizeof report->first, "page %" PRIu64 " (offset %" PRIu64 ") ",
                 page, page * TX_PAGE_BYTES);
    va_start(args, format);
    (void)vsnprintf(report->first + n, sizeof report->first - (size_t)n, format, args);
    va_end(args);
}

/* ---- reading ---- */

bool
tx_pages_read_bytes(struct tx_pages *p, uint64_t offset, uint8_t *buffer, uint64_t bytes)
{
    const ssize_t n = tx_os_read(p->fd, buffer, bytes, (off_t)offset);

    p->report.unreadable += n < 0;
    return n >= 0 && (uint64_t)n == bytes;
}

/* `count` pages can be in use and were not seen before; notes that they have been. NULL, or what is
 * wrong with them. */
static const char *
claim(struct tx_pages *p, uint64_t page, uint64_t count)
{
    if (page < TX_METAS || count == 0 || page > p->meta.last_page ||
        count > p->meta.last_page - page + 1)
        return "is named, and there can be no such page";
    if (page >= p->file_pages || count > p->file_pages - page)
        return "is behind the end of the file";
    for (uint64_t i = page; i < page + count; i++) {
        const uint8_t bit = (uint8_t)(1u << i % 8);

        if ((p->seen[i / 8] & bit) != 0)
            return "is used twice";
        p->seen[i / 8] |= bit;
    }
    p->report.found.pages += count;
    return NULL;
}

/* ---- pages ---- */

/* Bytes of a node that lies at `at` in the page; 0: it cannot be one. */
static uint32_t
node_bytes(const uint8_t *page, uint32_t at, bool is_leaf)
{
    const uint8_t *node = page + at;
    uint64_t bytes;

    if (at % 2 != 0 || at < tx_get_u16(page + AT_UPPER) || at > TX_PAGE_BYTES - TX_NODE_HEADER ||
        tx_pages_key_bytes(node) > TX_PAGES_KEY_BYTES_MAX)
        return 0;
    bytes = TX_NODE_HEADER + (uint64_t)tx_pages_key_bytes(node);
    if (is_leaf)
        bytes += (tx_get_u16(node + 4) & TX_NODE_BIG) != 0 ? 8 : tx_get_u32(node);
    bytes = tx_round_up(bytes, 2);
    return bytes <= TX_PAGE_BYTES - at ? (uint32_t)bytes : 0;
}

/* A tree's page as far as it is known without its neighbours. NULL, or what is wrong with it. */
static const char *
check_page(const uint8_t *page, uint64_t number, bool is_leaf)
{
    const uint32_t lower = tx_get_u16(page + TX_AT_LOWER), upper = tx_get_u16(page + AT_UPPER);
    uint32_t used = 0, count;

    if (tx_get_u64(page) != number)
        return "has another page's number";
    if (tx_get_u16(page + TX_AT_PAGE_FLAGS) != (is_leaf ? TX_PAGE_LEAF : TX_PAGE_BRANCH))
        return is_leaf ? "is no leaf" : "is no branch";
    if (lower < TX_PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > TX_PAGE_BYTES)
        return "has impossible bounds";
    count = tx_pages_nodes(page);
    if (count < (is_leaf ? 1 : 2))
        return "is too empty";
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bytes = node_bytes(page, tx_get_u16(page + TX_PAGE_HEADER + 2 * i), is_leaf);

        if (bytes == 0 || (is_leaf && tx_pages_key_bytes(tx_pages_node(page, i)) == 0))
            return "has a node that cannot be";
        used += bytes;
    }
    return used == TX_PAGE_BYTES - upper ? NULL : "has nodes that overlap, or room between them";
}

/* ---- a walk ---- */

static void
add_walk_problem(struct walk *w, uint64_t page, const char *what)
{
    w->damaged = true;
    if (w->db->name_bytes > 0)
        tx_pages_add_problem(w->p, page, "%s (database %.100s)", what, w->db->name);
    else
        tx_pages_add_problem(w->p, page, "%s", what);
}

static int
compare(const struct walk *w, const uint8_t *a, uint32_t a_bytes, const uint8_t *b,
        uint32_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    if ((w->db->flags & TX_DB_INTEGER_KEYS) != 0 && a_bytes == 8 && b_bytes == 8) {
        const uint64_t x = tx_get_u64(a), y = tx_get_u64(b);

        return x < y ? -1 : x > y;
    }
    if (order != 0)
        return order;
    return a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

/* Whether the key can come next; the bound moves up to it. */
static bool
raise_bound(struct walk *w, const uint8_t *key, uint32_t bytes, bool may_equal)
{
    if ((w->db->flags & TX_DB_INTEGER_KEYS) != 0 && bytes != 8)
        return false;
    if (w->has_bound) {
        const int order = compare(w, key, bytes, w->bound, w->bound_bytes);

        if (order < 0 || (order == 0 && !w->may_equal))
            return false;
    }
    memcpy(w->bound, key, bytes);
    w->bound_bytes = bytes;
    w->has_bound = true;
    w->may_equal = may_equal;
    return true;
}

/* Enter a page. A problem leaves it out. */
static void
push(struct walk *w, uint64_t number)
{
    struct tx_pages *p = w->p;
    const bool is_leaf = w->level + 1 == w->db->depth;
    uint8_t *page = p->buffers[w->level];
    const char *wrong = claim(p, number, 1);

    if (wrong == NULL && !tx_pages_read_bytes(p, number * TX_PAGE_BYTES, page, TX_PAGE_BYTES))
        wrong = "cannot be read";
    if (wrong == NULL)
        wrong = check_page(page, number, is_leaf);
    if (wrong != NULL) {
        add_walk_problem(w, number, wrong);
        return;
    }
    *(is_leaf ? &w->found.leaves : &w->found.branches) += 1;
    w->stack[w->level].page = number;
    w->stack[w->level].at = 0;
    w->stack[w->level].count = tx_pages_nodes(page);
    w->level++;
}

/* How many overflow pages begin at this one; 0: it is none. */
static uint64_t
overflow_count(struct tx_pages *p, uint64_t page)
{
    uint8_t header[TX_PAGE_HEADER];

    if (page >= p->file_pages ||
        !tx_pages_read_bytes(p, page * TX_PAGE_BYTES, header, sizeof header) ||
        tx_get_u64(header) != page || tx_get_u16(header + TX_AT_PAGE_FLAGS) != TX_PAGE_OVERFLOW)
        return 0;
    return tx_get_u32(header + TX_AT_LOWER);
}

/* The value of a node that has it on overflow pages, which can be more than it needs; NULL: a
 * problem, or *rc. */
static const uint8_t *
read_overflow(struct walk *w, uint64_t page, uint64_t bytes, enum txkv_rc *rc)
{
    struct tx_pages *p = w->p;
    const uint64_t count = overflow_count(p, page);
    const char *wrong = claim(p, page, count);

    if (wrong == NULL && count < (TX_PAGE_HEADER + bytes + TX_PAGE_BYTES - 1) / TX_PAGE_BYTES)
        wrong = "has not as many overflow pages behind it as its value needs";
    if (wrong == NULL && bytes > p->value_room) {
        uint8_t *value = tx_realloc(p->value, bytes);

        if (value == NULL) {
            *rc = TXKV_NOMEM;
            return NULL;
        }
        p->value = value;
        p->value_room = bytes;
    }
    if (wrong == NULL &&
        !tx_pages_read_bytes(p, page * TX_PAGE_BYTES + TX_PAGE_HEADER, p->value, bytes))
        wrong = "cannot be read";
    if (wrong != NULL) {
        add_walk_problem(w, page, wrong);
        return NULL;
    }
    w->found.overflows += count;
    return p->value;
}

bool
tx_pages_read_db(const uint8_t *at, uint64_t last_page, struct tx_pages_db *db)
{
    db->flags = tx_get_u16(at + 4);
    db->depth = tx_get_u16(at + 6);
    db->branches = tx_get_u64(at + 8);
    db->leaves = tx_get_u64(at + 16);
    db->overflows = tx_get_u64(at + 24);
    db->pairs = tx_get_u64(at + 32);
    db->root = tx_get_u64(at + 40);
    if (db->root == TX_NO_PAGE)
        return db->depth == 0 && db->pairs == 0 && db->branches == 0 && db->leaves == 0 &&
               db->overflows == 0;
    return db->root >= TX_METAS && db->root <= last_page && db->depth >= 1 &&
           db->depth <= TX_PAGES_DEPTH_MAX && db->pairs > 0;
}

static enum txkv_rc
visit_node(struct walk *w, uint64_t page, const uint8_t *node, struct txkv_error *err)
{
    const uint32_t flags = tx_get_u16(node + 4);
    const bool is_main = w->db == &w->p->meta.main_db;
    struct tx_pages_pair pair = { .key = node + TX_NODE_HEADER,
                                  .key_bytes = tx_pages_key_bytes(node),
                                  .value_bytes = tx_get_u32(node) };
    enum txkv_rc rc = TXKV_OK;

    w->found.pairs++;
    if (!raise_bound(w, pair.key, pair.key_bytes, false)) {
        add_walk_problem(w, page, "has a key out of order");
        return TXKV_OK;
    }
    if ((flags & ~(uint32_t)(is_main ? TX_NODE_BIG | TX_NODE_DB : TX_NODE_BIG)) != 0 ||
        flags == (TX_NODE_BIG | TX_NODE_DB) ||
        (flags == TX_NODE_DB && pair.value_bytes != TX_DB_BYTES)) {
        add_walk_problem(w, page, "has a node of an unknown kind");
        return TXKV_OK;
    }
    pair.value = pair.key + pair.key_bytes;
    if (flags == TX_NODE_BIG)
        pair.value = read_overflow(w, tx_get_u64(pair.value), pair.value_bytes, &rc);
    if (rc == TXKV_NOMEM)
        return tx_fail_nomem(err);
    if (is_main && flags != TX_NODE_DB)
        return TXKV_OK;
    return pair.value == NULL || w->visit == NULL ? TXKV_OK : w->visit(w->arg, &pair, err);
}

/* The next node of the page on top of the stack. */
static enum txkv_rc
step(struct walk *w, struct txkv_error *err)
{
    const uint32_t level = w->level - 1, i = w->stack[level].at++;
    const uint8_t *node = tx_pages_node(w->p->buffers[level], i);

    if (level + 1 == w->db->depth)
        return visit_node(w, w->stack[level].page, node, err);
    /* The first key of a branch stands for everything below the second, and has no meaning. */
    if (i > 0 && !raise_bound(w, node + TX_NODE_HEADER, tx_pages_key_bytes(node), true))
        add_walk_problem(w, w->stack[level].page, "has a key out of order");
    push(w, tx_pages_child(node));
    return TXKV_OK;
}

enum txkv_rc
tx_pages_walk(struct tx_pages *p, struct tx_pages_db *db, tx_pages_visit *visit, void *arg,
              struct txkv_error *err)
{
    struct walk w = { .p = p, .db = db, .visit = visit, .arg = arg };
    enum txkv_rc rc = TXKV_OK;

    if (db->walked)
        return TXKV_OK;
    db->walked = true;
    if (db->root == TX_NO_PAGE)
        return TXKV_OK;
    push(&w, db->root);
    while (w.level > 0 && rc == TXKV_OK) {
        if (w.stack[w.level - 1].at == w.stack[w.level - 1].count)
            w.level--;
        else
            rc = step(&w, err);
    }
    if (rc == TXKV_OK && !w.damaged &&
        (w.found.pairs != db->pairs || w.found.branches != db->branches ||
         w.found.leaves != db->leaves || w.found.overflows != db->overflows))
        add_walk_problem(&w, db->root, "is the root of a tree that has not as much as it says");
    return rc;
}
