/*
 * heap.h - memory that malloc hands out next, made ready many pages at a time.
 *
 * LMDB asks malloc for each page that it is going to write. In a thread that is not the process's
 * first one glibc enlarges its heap for each of them by a system call, and then the first store to
 * each takes a fault, which on a virtual machine can cost more than all that is done with the page.
 * Here the heap grows in larger steps, and large pages are put under it where the system has them.
 *
 * All of it is advice: malloc may have its memory elsewhere, and nothing depends on it.
 * Threads: any; it is the calling thread's heap. Layer 1: base.h.
 */
#ifndef TX_HEAP_H
#define TX_HEAP_H

#include "base.h"

/* What one call makes ready. */
#define TX_HEAP_STEP_BYTES (16u << 20)

/*
 * tx_heap_ready -- the calling thread's mallocs that come next find TX_HEAP_STEP_BYTES that are
 * there already. *keep is NULL or of the call before, and is freed by tx_heap_done, in the end: as
 * long as it is there, malloc does not give what is free below it back to the system.
 */
void tx_heap_ready(void **keep);
void tx_heap_done(void **keep);

#endif /* TX_HEAP_H */
