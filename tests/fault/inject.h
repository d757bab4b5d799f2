/*
 * inject.h - makes the n-th call of one kind in the tx_os table fail.
 *
 * Any thread of the store may make the call; arming and disarming is the main thread's, before a
 * store is opened and after it is closed.
 */
#ifndef TXKV_TEST_INJECT_H
#define TXKV_TEST_INJECT_H

#include <stdbool.h>
#include <stdint.h>

enum inject_kind {
    INJECT_OPEN,
    INJECT_CLOSE,
    INJECT_FSTAT,
    INJECT_FALLOCATE,
    INJECT_FTRUNCATE,
    INJECT_PREAD,
    INJECT_PWRITE,
    INJECT_FDATASYNC,
    INJECT_FSYNC,
    INJECT_MMAP,
    INJECT_MUNMAP,
    INJECT_UNLINK,
    INJECT_RENAME,
    INJECT_MKDIR,
    INJECT_LOCK,
    INJECT_KINDS
};

const char *inject_name(enum inject_kind kind);

/* The n-th call from now on (1: the next) of that kind fails with `error`; all after it too when
 * `forever`. */
void inject_arm(enum inject_kind kind, uint64_t n, int error, bool forever);
/* Put the system's own calls back. */
void inject_disarm(void);
/* True when a call has failed since inject_arm. Any thread. */
bool inject_fired(void);

#endif /* TXKV_TEST_INJECT_H */
