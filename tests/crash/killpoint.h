/*
 * killpoint.h - a process that kills itself at its n-th system call.
 *
 * The calls that SQLite makes through its VFS, those that the store makes through tx_os, and those
 * by which LMDB changes its file are counted together, each twice: just before it and just after
 * it. Threads: install and arm by the main thread; the calls by any.
 */
#ifndef TXKV_TEST_KILLPOINT_H
#define TXKV_TEST_KILLPOINT_H

#include <stdint.h>

/* Put the hooks in place, before anything is opened. Once in a process. */
void killpoint_install(void);

/* SIGKILL at the n-th point from now on; 0: never, but count. */
void killpoint_arm(uint64_t n);

/* No more kills; how many points were passed since it was armed. */
uint64_t killpoint_disarm(void);

#endif /* TXKV_TEST_KILLPOINT_H */
