/*
 * memtable.h - one generation of the overlay: the committed versions of a stretch of the log.
 *
 * The active memtable takes the leader's writes; a frozen one never changes, but for nodes that are
 * still to be put into its list. It holds a hash index for point reads, a skip list for scans that
 * may lack nodes until one comes (order.h), an arena for both, and references on the segments that
 * its keys and values point into.
 *
 * Threads: tx_memtable_insert, tx_memtable_pin_segment by the leader only; reads by any thread that
 * holds a view. Layer 3: skiplist.h, hashidx.h, segment.h.
 */
#ifndef TX_MEMTABLE_H
#define TX_MEMTABLE_H

#include "hashidx.h"
#include "record.h"
#include "segment.h"
#include "skiplist.h"

/* A transaction that the leader has entered: which keys it wrote stands in its record's body. */
struct tx_recent {
    const struct tx_recent *older;
    uint64_t lsn;
    const uint8_t *body;
    uint32_t body_bytes;
};

/* Bytes of a record. */
#define TX_MEMTABLE_LARGE (UINT64_C(32) << 20)

/* Tables whose numbers are equal modulo this are counted together. */
enum { TX_MEMTABLE_COUNTS = 64 };

struct tx_memtable {
    struct tx_arena arena;
    struct tx_skiplist linked; /* for tx_order_for_scan, which completes it: order.h */
    struct tx_hashidx *index;
    uint64_t keys; /* atomic: in the index */
    /* Nodes that the list lacks, the newest first, each naming the next by its `prev`. The
     * writer's, and 1 while there are some or they are being linked: atomic [M16], see order.h. */
    struct tx_node *loose;
    uint32_t has_loose;
    uint32_t scanned; /* atomic, relaxed: 1 since a scan has looked at it */
    bool links;       /* fixed at creation: new nodes go into the list at once, scanned or not */
    bool keeps;       /* the writer's: not those of the transaction that is being entered */
    /* Leader writes, any thread reads. Versions have first_lsn <= lsn < end_lsn. */
    uint64_t first_lsn; /* fixed at creation */
    uint64_t end_lsn;   /* atomic: end of the last record entered; fixed once frozen */
    uint64_t records;   /* atomic: transactions entered */
    uint64_t log_bytes; /* atomic: their records' bytes */
    uint64_t largest;   /* atomic: of the largest one */
    uint64_t table_keys[TX_MEMTABLE_COUNTS]; /* atomic: of each table, for planners */
    const struct tx_recent *recent;  /* the newest first, without what recovery entered; leader's */
    uint32_t refs;                   /* views that list it; leader's */
    struct tx_memtable *next_unseen; /* in the list of tx_views_release */
    struct tx_segment **segments;
    uint32_t segment_count, segment_room;
};

/* links: put every new node into the list at once, as after the first scan. */
TX_MUST_CHECK enum txkv_rc tx_memtable_create(uint64_t first_lsn, bool links,
                                              struct tx_memtable **out, struct txkv_error *err);
void tx_memtable_free(struct tx_memtable *memtable);

/*
 * tx_memtable_insert -- enter one version; hash is tx_key_hash(key). key->data and value point into
 * a mapped segment that tx_memtable_pin_segment was called for. lsn is at least that of every
 * version entered before. Two versions of one key with the same lsn: the later call wins.
 *
 * TXKV_NOMEM: not entered. Leader only.
 */
TX_MUST_CHECK enum txkv_rc tx_memtable_insert(struct tx_memtable *memtable,
                                              const struct tx_key *key, uint64_t hash, uint64_t lsn,
                                              const uint8_t *value, uint32_t value_bytes);

/* The same, where key->data is good during the call only, and the key's bytes stand at `stays` as
 * well: they are not looked at there. */
TX_MUST_CHECK enum txkv_rc tx_memtable_insert_from(struct tx_memtable *memtable,
                                                   const struct tx_key *key, const uint8_t *stays,
                                                   uint64_t hash, uint64_t lsn,
                                                   const uint8_t *value, uint32_t value_bytes);

/* The same for a memtable that no reader has yet: of a key's versions the last one alone is kept.
 */
TX_MUST_CHECK enum txkv_rc tx_memtable_replay(struct tx_memtable *memtable,
                                              const struct tx_key *key, uint64_t hash, uint64_t lsn,
                                              const uint8_t *value, uint32_t value_bytes);

/*
 * tx_memtable_retract -- take back the version of `key` with that lsn, if it is the newest: of a
 * transaction that could not be entered whole. Its node stays. Leader only.
 */
void tx_memtable_retract(struct tx_memtable *memtable, const struct tx_key *key, uint64_t lsn);

/*
 * tx_memtable_remember -- add a transaction to `recent`: its body stands in a pinned segment.
 * TXKV_NOMEM: not added. tx_memtable_forget takes the one back that was added last. Leader only.
 */
TX_MUST_CHECK enum txkv_rc tx_memtable_remember(struct tx_memtable *memtable, uint64_t lsn,
                                                const uint8_t *body, uint32_t body_bytes);
void tx_memtable_forget(struct tx_memtable *memtable);

/* Keep a segment mapped while this memtable lives. Does nothing when it is the one pinned last. */
TX_MUST_CHECK enum txkv_rc tx_memtable_pin_segment(struct tx_memtable *memtable,
                                                   struct tx_segment *segment);

/* Whether a large transaction is in it: its log may be longer than what the limits for checkpoints
 * let ordinary ones make of it, and is not to be in memory as a whole. Any thread. */
static inline bool
tx_memtable_is_large(const struct tx_memtable *memtable)
{
    return tx_load_relaxed_64(&memtable->largest) >= TX_MEMTABLE_LARGE;
}

/* The pages of its records leave this process's memory; they stay in the kernel's cache. Any
 * thread, of a memtable that takes no more segments. */
void tx_memtable_let_go(const struct tx_memtable *memtable);

/* How many keys of the table it has, or a few more: see TX_MEMTABLE_COUNTS. Any thread. */
static inline uint64_t
tx_memtable_table_keys(const struct tx_memtable *memtable, uint32_t table)
{
    return tx_load_relaxed_64(&memtable->table_keys[table % TX_MEMTABLE_COUNTS]);
}

/* The node of a key, or NULL; hash is tx_key_hash(key). For its versions only: a node that is being
 * inserted can be found here before it is in the list. */
struct tx_node *tx_memtable_get(struct tx_memtable *memtable, const struct tx_key *key,
                                uint64_t hash);

/* Count a record of the log, at lsn, as entered: `transactions` is 1 or, for one that has no
 * versions, 0. Leader only. */
void tx_memtable_account(struct tx_memtable *memtable, uint64_t lsn, uint64_t bytes,
                         uint32_t transactions);

/* Memory and log bytes it keeps. Any thread. */
uint64_t tx_memtable_bytes(const struct tx_memtable *memtable);

#endif /* TX_MEMTABLE_H */
