/*
 * scan.c - scans of the store, each row checked against the model.
 */
#include "model.h"

#include <string.h>

/* Keys inside the range that the cursor has passed: that they are absent has been read, or what
 * they hold. */
static void
note_passed(struct session *x, const struct held *h, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t k = h->descending ? from - i : from + i;

        note_read(x, h->table, k, h->fuzzy[k] ? READ_MAYBE : READ);
    }
}

static bool
is_value(uint32_t id, struct txkv_bytes value)
{
    return id != 0 && value_is(id, value);
}

/* A key written while a cursor was open: the write, or what the snapshot has. */
static bool
is_any_value(const struct session *x, uint32_t t, uint32_t k, struct txkv_bytes value)
{
    return !x->open || is_value(seen_by(x, t, k), value) ||
           is_value(x->snapshot.value[t][k], value);
}

/* Check one answer of seek or next against what is still to come, and move on. */
bool
check_row(struct session *x, struct held *h, enum txkv_rc rc, const struct txkv_error *err)
{
    const uint32_t *row = h->view.value[h->table];
    const uint32_t first = h->descending ? h->hi - 1 : h->lo;
    const uint32_t left = h->hi - h->lo;
    uint32_t k = KEYS;
    uint32_t skipped = left;
    struct txkv_bytes value;

    if (rc == TXKV_OK) {
        k = key_number(txkv_cursor_key(h->cursor));
        if (k < h->lo || k >= h->hi)
            DIE("scan t%u: key %u is outside of %u..%u", h->table, k, h->lo, h->hi);
        skipped = h->descending ? first - k : k - first;
    } else if (rc != TXKV_NOTFOUND) {
        DIE("scan: %s: %s", txkv_rc_name(rc), err->text);
    }
    for (uint32_t i = 0; i < skipped; i++) {
        const uint32_t s = h->descending ? first - i : first + i;
        if (row[s] != 0 && !h->fuzzy[s])
            DIE("scan t%u: key %u is missing", h->table, s);
    }
    note_passed(x, h, first, skipped);
    if (rc != TXKV_OK)
        return false;
    value = txkv_cursor_value(h->cursor);
    if (!h->fuzzy[k] && row[k] == 0)
        DIE("scan t%u: key %u should not be there", h->table, k);
    if (!is_value(row[k], value) && !(h->fuzzy[k] && is_any_value(x, h->table, k, value)))
        DIE("scan t%u: wrong value of key %u", h->table, k);
    note_passed(x, h, k, 1);
    know->count.rows++;
    if (h->descending)
        h->hi = k;
    else
        h->lo = k + 1;
    return true;
}

/* A bound that the range excludes may count as read. */
static void
note_bound(struct session *x, uint32_t t, struct txkv_bytes bound)
{
    const uint32_t k = bound.data == NULL ? KEYS : key_number(bound);

    if (k < KEYS)
        note_read(x, t, k, READ_MAYBE);
}

/* Open a cursor and place it; false when its range is empty. */
static bool
start_scan(struct session *x, struct held *h)
{
    static struct bounds b;
    struct txkv_error err;

    memset(h, 0, sizeof *h);
    h->table = roll(TABLES);
    make_bounds(&b);
    h->lo = b.lo;
    h->hi = b.hi;
    h->descending = b.range.descending;
    if (x->open) {
        take_snapshot(x);
        for (uint32_t k = 0; k < KEYS; k++)
            h->view.value[h->table][k] = seen_by(x, h->table, k);
    } else {
        h->view = x->held.cursor != NULL && h != &x->held ? x->held.view : know->committed;
    }
    note_bound(x, h->table, b.range.lo);
    note_bound(x, h->table, b.range.hi);
    TRACE("scan t%u %u..%u %s\n", h->table, h->lo, h->hi, h->descending ? "desc" : "asc");
    test_ok(txkv_cursor_open(x->s, tables[h->table], &h->cursor, &err), &err, "cursor_open");
    return check_row(x, h, txkv_cursor_seek(h->cursor, &b.range, &err), &err);
}

static bool
step_scan(struct session *x, struct held *h)
{
    struct txkv_error err;

    return check_row(x, h, txkv_cursor_next(h->cursor, &err), &err);
}

void
end_scan(struct held *h)
{
    txkv_cursor_close(h->cursor);
    h->cursor = NULL;
}

void
op_scan(struct session *x)
{
    static struct held h;
    const uint32_t limit = roll(3) == 0 ? roll(8) : KEYS + 1;
    bool more = start_scan(x, &h);

    for (uint32_t i = 1; more && i < limit; i++)
        more = step_scan(x, &h);
    end_scan(&h);
}

void
op_held(struct session *x)
{
    struct held *h = &x->held;

    if (h->cursor == NULL) {
        if (!x->open)
            x->held_no = know->commit_no;
        if (!start_scan(x, h))
            end_scan(h);
    } else if (roll(6) == 0 || !step_scan(x, h)) {
        TRACE("held cursor closed\n");
        end_scan(h);
    }
}
