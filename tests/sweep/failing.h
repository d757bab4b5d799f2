/*
 * failing.h - the C library's file calls, allocations and threads, of which the n-th one fails.
 *
 * failing.c defines open, pwrite, fdatasync and the others of their kind, so that every call of the
 * program and of the libraries in it (the store, LMDB, SQLite) comes there first. Only what is
 * below one directory counts. Allocations are counted apart for the store, for SQLite and for LMDB.
 *
 * Threads: any may make the calls; the rest is the main thread's, while no store is open.
 */
#ifndef TXKV_TEST_FAILING_H
#define TXKV_TEST_FAILING_H

#include <stdbool.h>
#include <stdint.h>

/* What is made to fail. */
enum failing_kind {
    FAILING_NOTHING, /* calls are counted, and noted */
    FAILING_CALL,    /* on a file */
    FAILING_MEMORY,  /* an allocation of the store */
    FAILING_SQLITE,  /* of SQLite, for itself and for the extension */
    FAILING_LMDB,    /* of LMDB */
    FAILING_THREAD   /* pthread_create */
};

/* How a call on a file fails. */
enum failing_way {
    WAY_EIO,
    WAY_EIO_STAYS, /* and so do all calls after it */
    WAY_ENOSPC,
    WAY_ENOSPC_STAYS, /* and so do all after it that take space */
    WAY_EDQUOT,
    WAY_EINTR,
    WAY_EMFILE,
    WAY_ENOMEM,
    WAY_SHORT, /* half of the bytes are read, or written */
    WAYS
};

/* A call that was made. */
struct failing_point {
    uint32_t ways;  /* that it can fail in: 1 << WAY_... */
    uint64_t place; /* a number of its own for each path of calls that led there */
};

const char *failing_way_name(enum failing_way way);

/* Before anything else. Calls on names below that directory count. */
void failing_install(const char *directory);

/* From now on the n-th one (1: the next) fails, in this way; memory: `stays`, all after it too. */
void failing_arm(enum failing_kind kind, uint64_t n, enum failing_way way, bool stays);
/* Count calls from now on, and note up to `room` of those on files. */
void failing_count(struct failing_point *points, uint64_t room);
/* From now on nothing fails. */
void failing_disarm(void);
/* Whether one has failed since failing_arm. */
bool failing_fired(void);
/* The name of the call on a file that failed; "" before. */
const char *failing_call(void);
/* How many there were of that kind since failing_arm or failing_count. */
uint64_t failing_counted(enum failing_kind kind);
/* The allocations of the store that were not freed. */
uint64_t failing_live(void);

#endif /* TXKV_TEST_FAILING_H */
