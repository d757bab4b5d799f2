/*
 * shrink.c - see shrink.h.
 */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

void
steps_add(struct steps *steps, const char *sql, unsigned flags)
{
    if (steps->count == steps->room) {
        steps->room = 2 * steps->room + 256;
        steps->data = realloc(steps->data, steps->room * sizeof(*steps->data));
        if (steps->data == NULL)
            test_die("out of memory");
    }
    steps->data[steps->count] = (struct step){ strdup(sql), flags };
    if (steps->data[steps->count++].sql == NULL)
        test_die("out of memory");
}

static void
cut(struct steps *steps, size_t count)
{
    while (steps->count > count)
        free(steps->data[--steps->count].sql);
}

void
steps_free(struct steps *steps)
{
    cut(steps, 0);
    free(steps->data);
    *steps = (struct steps){ NULL, 0, 0 };
}

/* The steps without those from `from` to `to`: still the owner's. */
static size_t
leave_out(const struct steps *steps, size_t from, size_t to, struct step *rest)
{
    memcpy(rest, steps->data, from * sizeof(*rest));
    memcpy(rest + from, steps->data + to, (steps->count - to) * sizeof(*rest));
    return steps->count - (to - from);
}

static void
take_out(struct steps *steps, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        free(steps->data[i].sql);
    memmove(steps->data + from, steps->data + to, (steps->count - to) * sizeof(*steps->data));
    steps->count -= to - from;
}

uint64_t
shrink(struct steps *steps, shrink_play play, uint64_t plays_max)
{
    struct step *rest = malloc((steps->count + 1) * sizeof(*rest));
    size_t size = steps->count;
    uint64_t plays = 0;

    if (rest == NULL)
        test_die("out of memory");
    while (size > 0 && plays < plays_max) {
        size_t from = 0;
        bool smaller = false;

        while (from < steps->count && plays < plays_max) {
            const size_t to = from + size < steps->count ? from + size : steps->count;
            const size_t count = leave_out(steps, from, to, rest);
            const size_t shown = play(rest, count);

            plays++;
            if (shown > 0) {
                take_out(steps, from, to);
                cut(steps, shown);
                smaller = true;
            } else {
                from = to;
            }
        }
        if (!smaller || size > 1)
            size /= 2;
    }
    free(rest);
    return plays;
}
