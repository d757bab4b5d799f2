/*
 * planted.h - small histories written by hand, each with one anomaly or none, to check the checker.
 */
#ifndef TXKV_TEST_HISTORY_PLANTED_H
#define TXKV_TEST_HISTORY_PLANTED_H

#include <stdint.h>

/* Check them all; counts those whose finding is as it should be, and prints a line for each that is
 * not. */
void check_planted(uint64_t *passed, uint64_t *failed);

#endif /* TXKV_TEST_HISTORY_PLANTED_H */
