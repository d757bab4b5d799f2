/*
 * check.c - see check.h.
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

enum edge_kind { WW = 1, WR = 2, RW = 4, RT = 8 };

struct edge {
    uint32_t from, to;
    enum edge_kind kind;
    uint32_t key, number;
};

struct list {
    const uint32_t *numbers;
    uint32_t length;
};

struct checker {
    const struct history *h;
    struct findings *findings;
    uint32_t *writer; /* of a number: its transaction's index + 1 */
    bool *kept;       /* the number stands in a longest list */
    struct list longest[KEYS];
    struct edge *edges; /* sorted by from */
    uint32_t edge_count, edge_room;
    uint32_t *first_edge; /* of a transaction; count + 1 entries */
    uint32_t *by_start;   /* transactions in the graph, the one that began last first */
    uint32_t by_start_count;
    struct edge *came_by; /* of a search: kind 0 for transactions not reached */
    uint32_t *queue;
};

static void *
allocate(size_t count, size_t bytes)
{
    void *p = calloc(count + 1, bytes);

    if (p == NULL)
        test_die("no memory");
    return p;
}

const char *
anomaly_name(enum anomaly anomaly)
{
    static const char *const names[ANOMALIES] = {
        "internal read",           "incompatible order", "aborted read (G1a)",
        "intermediate read (G1b)", "lost append",        "write cycle (G0)",
        "circular flow (G1c)",     "G-single",           "G2",
    };

    return names[anomaly];
}

/* ---- what is told ---- */

struct text {
    char *data;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void
add(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->data + t->used, DESCRIPTION_BYTES - t->used, format, args);
    va_end(args);
    if (n > 0)
        t->used += (size_t)n;
    if (t->used >= DESCRIPTION_BYTES)
        t->used = DESCRIPTION_BYTES - 1;
}

/* "T7 of thread 2: r3[.. 11 12] a3(19)": the last numbers of a list are enough. */
static void
add_txn(struct text *t, const struct checker *c, uint32_t i)
{
    static const char *const outcomes[] = { "committed", "aborted", "unknown" };
    const struct txn *txn = &c->h->txns[i];

    add(t, "  T%u of thread %u, %llu to %llu, %s:", i, txn->thread, (unsigned long long)txn->start,
        (unsigned long long)txn->end, outcomes[txn->outcome]);
    for (uint32_t n = 0; n < txn->event_count; n++) {
        const struct event *e = &txn->events[n];
        const uint32_t from = e->length > 3 ? e->length - 3 : 0;

        if (e->kind == EVENT_APPEND) {
            add(t, " a%u(%u)", e->key, e->number);
            continue;
        }
        add(t, " r%u[%s", e->key, from > 0 ? ".." : "");
        for (uint32_t k = from; k < e->length; k++)
            add(t, "%s%u", k > 0 ? " " : "", e->list[k]);
        add(t, "]");
    }
    add(t, "\n");
}

/* Count an anomaly; true when it is the first of its kind, to be described in *t. */
static bool
found(struct checker *c, enum anomaly anomaly, struct text *t)
{
    *t = (struct text){ c->findings->first[anomaly], 0 };
    return c->findings->count[anomaly]++ == 0;
}

static void
found_in(struct checker *c, enum anomaly anomaly, uint32_t txn, uint32_t key, uint32_t number)
{
    struct text t;

    if (!found(c, anomaly, &t))
        return;
    add(&t, "%s: key %u, number %u\n", anomaly_name(anomaly), key, number);
    add_txn(&t, c, txn);
    if (number != 0 && number <= c->h->number_max && c->writer[number] != 0)
        add_txn(&t, c, c->writer[number] - 1);
}

/* ---- lists ---- */

/* How many numbers of a list that was read are not the transaction's own appends before. */
static bool
foreign_length(const struct txn *txn, const struct event *read, uint32_t *length)
{
    uint32_t at = read->length;

    for (const struct event *e = read; e-- > txn->events;) {
        if (e->kind != EVENT_APPEND || e->key != read->key)
            continue;
        if (at == 0 || read->list[at - 1] != e->number)
            return false;
        at--;
    }
    *length = at;
    return true;
}

static void
find_lists(struct checker *c)
{
    uint32_t length;

    for (uint32_t i = 0; i < c->h->count; i++) {
        const struct txn *txn = &c->h->txns[i];
        for (uint32_t n = 0; n < txn->event_count; n++) {
            const struct event *e = &txn->events[n];
            if (e->kind == EVENT_APPEND)
                c->writer[e->number] = i + 1;
            else if (!foreign_length(txn, e, &length))
                found_in(c, INTERNAL, i, e->key, 0);
            else if (length > c->longest[e->key].length)
                c->longest[e->key] = (struct list){ e->list, length };
        }
    }
}

/* The last number that `writer` appended to the key. */
static uint32_t
last_append(const struct txn *writer, uint32_t key)
{
    uint32_t number = 0;

    for (uint32_t n = 0; n < writer->event_count; n++)
        if (writer->events[n].kind == EVENT_APPEND && writer->events[n].key == key)
            number = writer->events[n].number;
    return number;
}

static void
check_versions(struct checker *c, uint32_t key)
{
    for (uint32_t n = 0; n < c->longest[key].length; n++) {
        const uint32_t number = c->longest[key].numbers[n];
        const bool known =
            number > 0 && number <= c->h->number_max && c->writer[number] != 0 && !c->kept[number];

        if (!known) {
            found_in(c, INCOMPATIBLE, c->h->count - 1, key, number);
            c->longest[key].length = n; /* what comes after has no order */
            return;
        }
        c->kept[number] = true;
    }
}

static void
check_read(struct checker *c, uint32_t i, const struct event *e)
{
    const struct list *all = &c->longest[e->key];
    uint32_t length;

    if (!foreign_length(&c->h->txns[i], e, &length) || length == 0)
        return;
    if (length > all->length || memcmp(e->list, all->numbers, length * sizeof *e->list) != 0) {
        found_in(c, INCOMPATIBLE, i, e->key, e->list[length - 1]);
        return;
    }
    for (uint32_t n = 0; n < length; n++)
        if (c->h->txns[c->writer[e->list[n]] - 1].outcome == OUTCOME_ABORTED)
            found_in(c, ABORTED_READ, i, e->key, e->list[n]);
    if (last_append(&c->h->txns[c->writer[e->list[length - 1]] - 1], e->key) != e->list[length - 1])
        found_in(c, INTERMEDIATE_READ, i, e->key, e->list[length - 1]);
}

static void
check_events(struct checker *c)
{
    for (uint32_t key = 0; key < KEYS; key++)
        check_versions(c, key);
    for (uint32_t i = 0; i < c->h->count; i++) {
        const struct txn *txn = &c->h->txns[i];
        for (uint32_t n = 0; n < txn->event_count; n++) {
            const struct event *e = &txn->events[n];
            if (e->kind == EVENT_READ)
                check_read(c, i, e);
            else if (txn->outcome == OUTCOME_OK && !c->kept[e->number])
                found_in(c, LOST_APPEND, i, e->key, e->number);
        }
    }
}

/* ---- the graph ---- */

/* Committed as far as anybody can know. */
static bool
is_in_graph(const struct checker *c, const struct txn *txn)
{
    if (txn->outcome != OUTCOME_UNKNOWN)
        return txn->outcome == OUTCOME_OK;
    for (uint32_t n = 0; n < txn->event_count; n++)
        if (txn->events[n].kind == EVENT_APPEND && c->kept[txn->events[n].number])
            return true;
    return false;
}

static void
add_edge(struct checker *c, const struct edge *edge)
{
    if (edge->from == edge->to || !is_in_graph(c, &c->h->txns[edge->from]) ||
        !is_in_graph(c, &c->h->txns[edge->to]))
        return;
    if (c->edge_count == c->edge_room) {
        c->edge_room = c->edge_room * 2 + 64;
        c->edges = realloc(c->edges, c->edge_room * sizeof *c->edges);
        if (c->edges == NULL)
            test_die("no memory");
    }
    c->edges[c->edge_count++] = *edge;
}

static uint32_t
writer_at(const struct checker *c, uint32_t key, uint32_t n)
{
    return c->writer[c->longest[key].numbers[n]] - 1;
}

static void
add_read_edges(struct checker *c, uint32_t i, const struct event *e)
{
    const struct list *all = &c->longest[e->key];
    uint32_t length;

    if (!foreign_length(&c->h->txns[i], e, &length) || length > all->length)
        return;
    if (length > 0)
        add_edge(c, &(struct edge){ writer_at(c, e->key, length - 1), i, WR, e->key,
                                    all->numbers[length - 1] });
    if (length < all->length)
        add_edge(
            c, &(struct edge){ i, writer_at(c, e->key, length), RW, e->key, all->numbers[length] });
}

static int
compare_edges(const void *a, const void *b)
{
    const uint32_t x = ((const struct edge *)a)->from, y = ((const struct edge *)b)->from;

    return (x > y) - (x < y);
}

static void
make_graph(struct checker *c)
{
    uint32_t at = 0;

    for (uint32_t key = 0; key < KEYS; key++)
        for (uint32_t n = 1; n < c->longest[key].length; n++)
            add_edge(c, &(struct edge){ writer_at(c, key, n - 1), writer_at(c, key, n), WW, key,
                                        c->longest[key].numbers[n] });
    for (uint32_t i = 0; i < c->h->count; i++)
        for (uint32_t n = 0; n < c->h->txns[i].event_count; n++)
            if (c->h->txns[i].events[n].kind == EVENT_READ)
                add_read_edges(c, i, &c->h->txns[i].events[n]);
    if (c->edge_count > 0)
        qsort(c->edges, c->edge_count, sizeof *c->edges, compare_edges);
    for (uint32_t i = 0; i <= c->h->count; i++) {
        while (at < c->edge_count && c->edges[at].from < i)
            at++;
        c->first_edge[i] = at;
    }
    for (uint32_t i = 0; i < c->h->count; i++) {
        uint32_t to = c->by_start_count;
        if (!is_in_graph(c, &c->h->txns[i]))
            continue;
        for (; to > 0 && c->h->txns[c->by_start[to - 1]].start < c->h->txns[i].start; to--)
            c->by_start[to] = c->by_start[to - 1];
        c->by_start[to] = i;
        c->by_start_count++;
    }
}

/* ---- cycles ---- */

/* Breadth first from start to goal over edges whose kind is in the mask; came_by is the way. The
 * transactions that began after one of those reached had ended are a front part of by_start. */
static bool
reaches(struct checker *c, uint32_t start, uint32_t goal, unsigned mask)
{
    uint32_t head = 0, tail = 0, later = 0;

    memset(c->came_by, 0, c->h->count * sizeof *c->came_by);
    c->queue[tail++] = start;
    while (head < tail && c->came_by[goal].kind == 0) {
        const uint32_t at = c->queue[head++];

        for (uint32_t e = c->first_edge[at]; e < c->first_edge[at + 1]; e++) {
            const struct edge *edge = &c->edges[e];

            if ((edge->kind & mask) == 0 || c->came_by[edge->to].kind != 0)
                continue;
            c->came_by[edge->to] = *edge;
            c->queue[tail++] = edge->to;
        }
        for (; (mask & RT) != 0 && later < c->by_start_count &&
               c->h->txns[c->by_start[later]].start > c->h->txns[at].end;
             later++) {
            const uint32_t to = c->by_start[later];

            if (c->came_by[to].kind != 0)
                continue;
            c->came_by[to] = (struct edge){ .from = at, .to = to, .kind = RT };
            c->queue[tail++] = to;
        }
    }
    return c->came_by[goal].kind != 0;
}

static void
add_step(struct text *t, const struct edge *edge)
{
    static const char *const names[] = { [WW] = "ww", [WR] = "wr", [RW] = "rw", [RT] = "rt" };

    if (edge->kind == RT)
        add(t, "  T%u -rt-> T%u: had ended before\n", edge->from, edge->to);
    else
        add(t, "  T%u -%s-> T%u: key %u, number %u\n", edge->from, names[edge->kind], edge->to,
            edge->key, edge->number);
}

/* A cycle of an edge of one kind and others from the mask. */
static bool
find_cycle(struct checker *c, enum anomaly anomaly, enum edge_kind kind, unsigned mask)
{
    for (uint32_t e = 0; e < c->edge_count; e++) {
        const struct edge *closing = &c->edges[e];
        struct text t;

        if (closing->kind != kind || !reaches(c, closing->to, closing->from, mask))
            continue;
        if (!found(c, anomaly, &t))
            return true;
        add(&t, "%s cycle%s\n", anomaly_name(anomaly), (mask & RT) != 0 ? " with real time" : "");
        add_step(&t, closing);
        for (uint32_t at = closing->from; at != closing->to; at = c->came_by[at].from)
            add_step(&t, &c->came_by[at]);
        add_txn(&t, c, closing->to);
        for (uint32_t at = closing->from; at != closing->to; at = c->came_by[at].from)
            add_txn(&t, c, at);
        return true;
    }
    return false;
}

/* The worst kind of cycle, and G2 besides. */
static void
find_cycles(struct checker *c)
{
    if (!find_cycle(c, G0, WW, WW) && !find_cycle(c, G1C, WR, WW | WR) &&
        !find_cycle(c, G_SINGLE, RW, WW | WR) && !find_cycle(c, G0, WW, WW | RT) &&
        !find_cycle(c, G1C, WR, WW | WR | RT) && !find_cycle(c, G_SINGLE, RW, WW | WR | RT) &&
        !find_cycle(c, G2, RW, WW | WR | RW))
        (void)find_cycle(c, G2, RW, WW | WR | RW | RT);
}

void
check_history(const struct history *history, struct findings *findings)
{
    struct checker c = { .h = history, .findings = findings };

    c.writer = allocate(history->number_max + 1u, sizeof *c.writer);
    c.kept = allocate(history->number_max + 1u, sizeof *c.kept);
    c.first_edge = allocate(history->count + 1u, sizeof *c.first_edge);
    c.by_start = allocate(history->count, sizeof *c.by_start);
    c.came_by = allocate(history->count, sizeof *c.came_by);
    c.queue = allocate(history->count, sizeof *c.queue);
    find_lists(&c);
    check_events(&c);
    make_graph(&c);
    find_cycles(&c);
    free(c.writer);
    free(c.kept);
    free(c.edges);
    free(c.first_edge);
    free(c.by_start);
    free(c.came_by);
    free(c.queue);
}
