/*
 * enter.h - a transaction's writes, from its own record into a memtable.
 *
 * Threads: the leader, while the transaction's session waits. Layer 6: memtable.h, writeset.h.
 */
#ifndef TX_ENTER_H
#define TX_ENTER_H

#include "memtable.h"
#include "writeset.h"

/*
 * tx_enter -- enter all writes, whose bytes stand at `mapped` as in the set's record; of a large
 * record they are not in memory there, and are not looked at. On failure, TXKV_NOMEM, nothing of
 * the transaction stays.
 */
TX_MUST_CHECK enum txkv_rc tx_enter(struct tx_memtable *memtable, const struct tx_writeset *set,
                                    uint64_t lsn, const uint8_t *mapped);

#endif /* TX_ENTER_H */
