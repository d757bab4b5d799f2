/*
 * reload.h - enters the log's operations into a memtable that no reader has yet.
 *
 * Operations are gathered in blocks. While there are few, who adds them enters them; when there are
 * many, a thread does, so that one processor reads and checks the log while another enters what it
 * said. They are entered in the order in which they were added: of several on one key the last one
 * counts.
 *
 * Threads: the one that recovers. Between tx_reload_add and the next tx_reload_finish the
 * memtable's keys, nodes and arena are the thread's; the rest of it is the caller's. Layer 6:
 * memtable.h, os.h.
 */
#ifndef TX_RELOAD_H
#define TX_RELOAD_H

#include "memtable.h"

struct tx_reload;

/* For a memtable that outlives it. Nothing is allocated before the first operation comes. */
TX_MUST_CHECK enum txkv_rc tx_reload_create(struct tx_memtable *memtable, struct tx_reload **out);

/*
 * tx_reload_add -- one operation, of a record at lsn; value NULL for a deletion. Key and value
 * stand in a segment that the memtable has pinned.
 *
 * TXKV_NOMEM: this operation, or one that was added before it, could not be entered.
 */
TX_MUST_CHECK enum txkv_rc tx_reload_add(struct tx_reload *reload, const struct tx_key *key,
                                         uint64_t lsn, const uint8_t *value, uint32_t value_bytes);

/* How many operations may come in all: room is made for so many keys as there are then, if they go
 * on as they began. */
void tx_reload_expect(struct tx_reload *reload, uint64_t operations);

/* Wait until all is entered; the thread ends. More may be added afterwards. TXKV_NOMEM. */
TX_MUST_CHECK enum txkv_rc tx_reload_finish(struct tx_reload *reload);

/* What is not entered yet may be left out. NULL is allowed. */
void tx_reload_free(struct tx_reload *reload);

#endif /* TX_RELOAD_H */
