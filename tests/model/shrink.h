/*
 * shrink.h - cuts a list of statements that shows a fault down to those that it needs.
 */
#ifndef TXKV_TEST_SHRINK_H
#define TXKV_TEST_SHRINK_H

#include <stddef.h>
#include <stdint.h>

struct step {
    char *sql;
    unsigned flags; /* enum answer_flags */
};

struct steps {
    struct step *data;
    size_t count, room;
};

/* Append a copy of the statement. */
void steps_add(struct steps *steps, const char *sql, unsigned flags);
void steps_free(struct steps *steps);

/*
 * Runs steps from a fresh start; how many of them it took to see the fault, 0 when they do not show
 * it.
 */
typedef size_t (*shrink_play)(const struct step *steps, size_t count);

/*
 * Takes out halves, quarters and so on down to single steps, as long as the fault stays: what is
 * left shows it, and would not without any one of its steps. Plays at most `plays_max` times.
 * Returns how often it played.
 */
uint64_t shrink(struct steps *steps, shrink_play play, uint64_t plays_max);

#endif /* TXKV_TEST_SHRINK_H */
