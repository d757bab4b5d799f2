/*
 * limits.h - limits of a process, and small file systems, that rise until a scene works.
 *
 * Threads: the main one of the parent.
 */
#ifndef TXKV_TEST_LIMITS_H
#define TXKV_TEST_LIMITS_H

#include <stdbool.h>

#include "scene.h"

/* Run the scene in hand once in a child, with `arm` before it and `disarm` behind; true when that
 * went well. sweep.c. */
bool sweep_run(void (*arm)(void *), void (*disarm)(void *), void *arg, enum cause cause,
               const char *what);

/* Find out which file systems can be mounted on directory `at`, by a file in `base`. */
void limits_install(const char *base, const char *at);
/* Run the scene in hand under each limit. In short: some of the steps. */
void limits_run(bool in_short);
/* Say which file systems there were, and why others not. */
void limits_report(void);

#endif /* TXKV_TEST_LIMITS_H */
