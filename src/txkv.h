/*
 * txkv.h - the txkv store from C, without SQLite.
 *
 * Any number of processes can have a store open at the same time, each with any number of threads.
 *
 * A store is one directory: a write-ahead log, and LMDB files that the log is moved into by
 * checkpoints. It holds tables of (key, value) pairs of bytes, ordered by memcmp, the shorter key
 * first.
 *
 * Objects and threads
 *   struct txkv          one open store. All threads of a process share it; txkv_open of a
 *                        directory that is open already returns another handle to the same
 *                        store. Every call on it is thread-safe.
 *   struct txkv_session  one user of a store: at most one transaction at a time. Any thread may
 *                        use it, one at a time.
 *   struct txkv_cursor   an ordered walk over one table, on one snapshot. Belongs to its
 *                        session's threads.
 *
 * Errors: every call that can fail returns an enum txkv_rc and, where err is not NULL, leaves the
 * same code and one sentence in *err: what went wrong, where, and the way out. *err is not touched
 * by success.
 *
 * A child made by fork() must not use handles of its parent: every call then returns TXKV_FORKED
 * and does nothing.
 */
#ifndef TXKV_H
#define TXKV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TXKV_VERSION              "0.1.0"
#define TXKV_KEY_BYTES_MAX        262144u
#define TXKV_VALUE_BYTES_MAX      0x7fff0000u
#define TXKV_TABLE_NAME_BYTES_MAX 255u

#if defined(__GNUC__)
#define TXKV_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TXKV_MUST_CHECK
#endif

enum txkv_rc {
    TXKV_OK = 0,
    TXKV_NOTFOUND, /* no such key, or the end of a scan */
    TXKV_EXISTS,   /* a directory entry that txkv needs is something else */
    TXKV_SCHEMA, /* the table exists with another shape, or does not exist and may not be created */
    TXKV_BUSY,   /* backpressure, or a reader in the way: wait and try again */
    TXKV_LOCKED, /* another process is recovering or closing the store, and was not done in time */
    TXKV_CONFLICT, /* another transaction committed first: run the transaction again */
    TXKV_EXPIRED,  /* snapshot_timeout_s has ended the snapshot: run the transaction again */
    TXKV_NOMEM,
    TXKV_FULL,     /* the disk or the map is full; nothing was written */
    TXKV_TOOBIG,   /* a key, a value or a transaction beyond its limit */
    TXKV_READONLY, /* no permission to write */
    TXKV_CANTOPEN, /* missing, unreadable, or not a store */
    TXKV_FORMAT,   /* a store of another format, or foreign files */
    TXKV_CORRUPT,  /* acknowledged data are damaged */
    TXKV_IOERR,    /* the file system failed */
    TXKV_STOPPED,  /* an earlier sync failed: no more commits until the store is opened again */
    TXKV_INDOUBT,  /* nobody can tell what became of a prepared transaction: see txkv_prepare */
    TXKV_FORKED,   /* the handle belongs to the parent process */
    TXKV_MISUSE    /* a call that the contract forbids */
};

/* The name of a code, "TXKV_BUSY"; never NULL. */
const char *txkv_rc_name(enum txkv_rc rc);

struct txkv_error {
    enum txkv_rc rc;
    char text[508];
};

/* Borrowed bytes. */
struct txkv_bytes {
    const uint8_t *data;
    size_t bytes;
};

/* What has become of a prepared transaction. */
enum txkv_decision { TXKV_UNDECIDED, TXKV_DECIDED_COMMIT, TXKV_DECIDED_ABORT };

/*
 * Tells what has become of the transaction that txkv_prepare prepared with that note, in the store
 * with that id in directory dir, at that LSN, by a process that is gone. TXKV_UNDECIDED: cannot
 * tell now. Called from any thread, also inside txkv_open; it must not call this library.
 */
typedef enum txkv_decision txkv_resolve(void *arg, const char *dir, uint64_t store_id, uint64_t lsn,
                                        struct txkv_bytes note);

struct txkv;
struct txkv_session;
struct txkv_cursor;

/* What a commit has reached when it returns; each includes those below it. */
enum txkv_sync {
    TXKV_SYNC_OFF,    /* the shared page cache; synced by checkpoints only */
    TXKV_SYNC_NORMAL, /* the same; synced within flush_interval_ms */
    TXKV_SYNC_FULL    /* the disk */
};

enum txkv_isolation {
    TXKV_SERIALIZABLE, /* as if the transactions had run one after the other */
    TXKV_SNAPSHOT /* only keys that a transaction has both read and written can make it conflict */
};

/* 0 or NULL in any field means the default, or what an already open store has. */
struct txkv_options {
    const char *wal_dir; /* where the log lives; default DIR/wal; remembered by the store */
    /* Where files of the log are kept that checkpoints remove, for txkv_restore. Remembered by the
     * store, for all processes, until "off" is given here. Made when missing. */
    const char *archive_dir;
    uint32_t flush_interval_ms;     /* 10; 1 to 60,000 */
    uint32_t checkpoint_interval_s; /* 60; 1 to 86,400 */
    uint64_t checkpoint_bytes; /* 64 MiB; 64 KiB to 1 TiB: log since the last checkpoint that starts
                                  one */
    uint64_t map_size;         /* 64 GiB; 1 MiB to 64 TiB: LMDB's first map; grows by itself */
    uint64_t overlay_limit;    /* 256 MiB; 1 MiB to 1 TiB: not yet checkpointed bytes that stall
                                  committers */
    uint32_t stall_timeout_ms; /* 10,000; 1 to 3,600,000 */
    uint32_t snapshot_timeout_s; /* none; 1 to 86,400: an older snapshot is ended once something
                                    has been committed since; see TXKV_EXPIRED below */
    uint32_t segment_bytes;      /* 16 MiB; 64 KiB to 1 GiB, a multiple of 4096 */
    bool must_exist;             /* refuse to create */
    bool salvage; /* cut a damaged log at the damage, keeping a copy of what is cut off */
    /* Asked about prepared transactions whose process died. On an open store a new one takes the
     * place of the one before. */
    txkv_resolve *resolve;
    void *resolve_arg;
    /* What a person has decided for the transaction that is in doubt now, in place of resolve: for
     * this call alone. Nothing happens when none is. */
    enum txkv_decision decide;
};

/*
 * txkv_open -- open the store in directory dir, creating it and running recovery where needed.
 *
 * dir      created (0700) when missing, its parent must exist.
 * options  may be NULL. On a store that this process has open already the intervals and limits
 *          given here (not 0) take effect at once; another wal_dir or map_size or segment_bytes is
 *          refused with TXKV_MISUSE.
 * out      the store; release it with txkv_close. NULL on failure.
 *
 * Returns TXKV_OK; TXKV_CANTOPEN, TXKV_READONLY, TXKV_EXISTS, TXKV_FORMAT, TXKV_LOCKED,
 * TXKV_CORRUPT and TXKV_INDOUBT (nothing was changed), TXKV_FULL, TXKV_IOERR, TXKV_NOMEM,
 * TXKV_MISUSE (an option out of range). Thread-safe.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_open(const char *dir, const struct txkv_options *options,
                                       struct txkv **out, struct txkv_error *err);

/*
 * txkv_close -- release one handle. The last one stops the background threads and checkpoints; when
 * that checkpoint fails the log keeps everything and the next open replays it: the error is then
 * only a report. All sessions of the handle must be closed. In a forked child it frees nothing and
 * touches no file. NULL is allowed.
 */
enum txkv_rc txkv_close(struct txkv *store, struct txkv_error *err);

/* The directory as given to the first txkv_open, made absolute. Valid while the handle is. */
const char *txkv_dir(const struct txkv *store);

/*
 * txkv_table -- find or create a table.
 *
 * name    1 to TXKV_TABLE_NAME_BYTES_MAX bytes, no NUL.
 * shape   the caller's description of keys and values (a CREATE TABLE text, say); stored on
 *         creation. On an existing table it must be equal, else TXKV_SCHEMA with both in the
 *         message; NULL takes the table as it is.
 * create  false: a missing table is TXKV_SCHEMA. Creation is durable when it returns.
 * table   out: the table's number in this store, never used again for another.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_table(struct txkv *store, const char *name, const char *shape,
                                        bool create, uint32_t *table, struct txkv_error *err);

/*
 * txkv_table_next -- list the tables: *table, 0 at first, becomes the lowest number above it that a
 * table has, and name that table's name. False at the end.
 */
bool txkv_table_next(struct txkv *store, uint32_t *table, char name[TXKV_TABLE_NAME_BYTES_MAX + 1]);

/*
 * txkv_table_drop -- destroy tables with all their rows: all of them or, after an error, none.
 * Durable when it returns; the next checkpoint takes the rows out of LMDB.
 *
 * Snapshots taken before go on seeing the rows. Later reads, and all writes, of the number return
 * TXKV_SCHEMA, and so does the txkv_commit of a transaction that has written to a dropped table; at
 * TXKV_SERIALIZABLE one that has read from one is a TXKV_CONFLICT. A table of the same name made
 * afterwards is another one, with another number.
 *
 * Returns TXKV_OK; TXKV_SCHEMA for one that is dropped already; TXKV_MISUSE for a number that no
 * table has; and what a commit returns.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_table_drop(struct txkv *store, const uint32_t *tables,
                                             size_t count, struct txkv_error *err);

/*
 * txkv_table_rename -- give tables other names: all of them or, after an error, none. The numbers
 * stay, and whoever uses them goes on. TXKV_EXISTS when another table has one of the names before
 * the call. Otherwise as txkv_table_drop.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_table_rename(struct txkv *store, const uint32_t *tables,
                                               const char *const *names, size_t count,
                                               struct txkv_error *err);

/* The shape that a table was created with, valid while the handle is; NULL: no such table. */
const char *txkv_table_shape(struct txkv *store, uint32_t table);

/* ---- sessions and transactions ---- */

/*
 * With snapshot_timeout_s a snapshot that has been open for longer than that is ended once another
 * transaction has been committed since it was taken, also while its session does nothing. Calls
 * that read from it return TXKV_EXPIRED from then on, and so does txkv_commit when the transaction
 * has read and written; one that has only written, or only read, commits. txkv_rollback makes the
 * session usable at once; outside a transaction the closing of its cursors does. What earlier calls
 * have handed out stays valid as long as they say. A snapshot taken before the first txkv_open that
 * gave the option is not ended, and a checkpoint that is running delays the end of one.
 */

TXKV_MUST_CHECK enum txkv_rc txkv_session_open(struct txkv *store, struct txkv_session **out,
                                               struct txkv_error *err);

/* Rolls back what is open. Cursors of the session must be closed. NULL is allowed. */
void txkv_session_close(struct txkv_session *session);

/*
 * txkv_begin -- start a transaction: its snapshot is taken by its first read, and all of
 * its reads see that one state plus its own writes. When cursors opened outside a transaction are
 * still open, it goes on with their snapshot. TXKV_MISUSE inside a transaction.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_begin(struct txkv_session *session, struct txkv_error *err);

/*
 * The isolation of the open transaction and of the session's later ones, TXKV_SERIALIZABLE at
 * first. It is looked at by txkv_commit alone.
 */
void txkv_set_isolation(struct txkv_session *session, enum txkv_isolation isolation);

/*
 * txkv_commit -- make the transaction's writes durable as `sync` says and visible, all at once.
 *
 * Returns TXKV_OK; TXKV_CONFLICT when a transaction that committed after its snapshot wrote
 * a key, or a key in a range, that this one has read (at TXKV_SNAPSHOT: read and written);
 * TXKV_BUSY after stall_timeout_ms of backpressure; TXKV_FULL; TXKV_TOOBIG; TXKV_IOERR;
 * TXKV_STOPPED; TXKV_EXPIRED; TXKV_NOMEM; TXKV_FORKED. After an error nothing is visible and the
 * transaction is still open: roll it back, or for TXKV_BUSY and TXKV_FULL try again. After
 * TXKV_IOERR a reopened store may or may not hold it.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_commit(struct txkv_session *session, enum txkv_sync sync,
                                         struct txkv_error *err);

/*
 * The table and the key that the session's last TXKV_CONFLICT was about; false when it was about
 * none (the history that is kept did not reach back to the transaction's snapshot), or when there
 * was no conflict. The key is valid until the session's next commit.
 */
bool txkv_conflict(const struct txkv_session *session, uint32_t *table, struct txkv_bytes *key);

/* Forget the transaction's writes and end it. No-op outside a transaction. Cursors stay usable. */
void txkv_rollback(struct txkv_session *session);

/*
 * Committing together with something else, in two steps
 *
 * txkv_prepare does all of a commit that can fail, and makes the writes durable, but not visible;
 * txkv_commit_prepared then makes them visible, or txkv_rollback takes them back. When the process
 * dies in between, whoever comes next - the next opener, or a commit of another process that has
 * the store open - asks its txkv_options.resolve which of the two it would have been. So: prepare;
 * commit the something else, with txkv_store_id and txkv_prepared_lsn in it; commit_prepared. And
 * the resolver looks there for the two numbers.
 *
 * Until the second step nobody else commits to the store, whichever process: they wait up to
 * stall_timeout_ms, and then get TXKV_BUSY.
 *
 * note  kept with the transaction, for the resolver: what it needs to find the something else.
 *
 * Returns what txkv_commit returns, with TXKV_SYNC_FULL. After an error nothing is prepared and the
 * transaction is still open. When it is prepared already nothing happens; writes and savepoints are
 * then TXKV_MISUSE, and reads go on. A transaction that has written nothing stays as it is.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_prepare(struct txkv_session *session, struct txkv_bytes note,
                                          struct txkv_error *err);

/* The LSN of the session's prepared transaction; 0: it has none. Never used for another one. */
uint64_t txkv_prepared_lsn(const struct txkv_session *session);

/* A random number, the store's own from its creation on. */
uint64_t txkv_store_id(const struct txkv *store);

/*
 * txkv_commit_prepared -- the second step; ends the transaction. Cannot fail: when the log cannot
 * be had within stall_timeout_ms, the next commit of any process makes it visible. Without
 * a prepared transaction it is txkv_rollback.
 */
void txkv_commit_prepared(struct txkv_session *session);

/* Take the first step back: the transaction is open as before it, with its writes. TXKV_MISUSE
 * outside a transaction; nothing when it is not prepared. */
TXKV_MUST_CHECK enum txkv_rc txkv_unprepare(struct txkv_session *session, struct txkv_error *err);

/* True between txkv_begin and the commit or rollback that ends it. */
bool txkv_in_transaction(const struct txkv_session *session);

/* The LSN of this session's last commit that wrote; 0 before. */
uint64_t txkv_last_lsn(const struct txkv_session *session);

/*
 * Savepoints, numbered by the caller with any growing int, as SQLite's xSavepoint does. rollback_to
 * undoes what was written since savepoint n was set and keeps it; release forgets n and later ones.
 * A number never set is taken as set when the next lower one was, or else at the transaction's
 * start. TXKV_MISUSE outside a transaction.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_savepoint(struct txkv_session *session, int n,
                                            struct txkv_error *err);
TXKV_MUST_CHECK enum txkv_rc txkv_rollback_to(struct txkv_session *session, int n,
                                              struct txkv_error *err);
TXKV_MUST_CHECK enum txkv_rc txkv_release(struct txkv_session *session, int n,
                                          struct txkv_error *err);

/* ---- reading and writing ---- */

/*
 * txkv_get -- look up one key: the transaction's own write, else its snapshot; outside a
 * transaction the newest committed value.
 *
 * key    1 to TXKV_KEY_BYTES_MAX bytes.
 * value  out, set on TXKV_OK only. Borrowed: valid until the next call on the session; never free
 * it.
 *
 * Returns TXKV_OK; TXKV_NOTFOUND; TXKV_EXPIRED; TXKV_NOMEM; TXKV_IOERR; TXKV_CORRUPT; TXKV_MISUSE.
 * Never blocks on a writer.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_get(struct txkv_session *session, uint32_t table,
                                      struct txkv_bytes key, struct txkv_bytes *value,
                                      struct txkv_error *err);

/*
 * txkv_put, txkv_delete -- write one key in the open transaction (TXKV_MISUSE outside one).
 * Deleting a missing key is not an error. The write is blind: it conflicts only when the
 * transaction has read the key too.
 *
 * After an error the transaction is as before. TXKV_FULL, TXKV_IOERR and TXKV_CANTOPEN come from
 * transactions of 32 MiB and more, which have a file in the store's directory until they end.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_put(struct txkv_session *session, uint32_t table,
                                      struct txkv_bytes key, struct txkv_bytes value,
                                      struct txkv_error *err);
TXKV_MUST_CHECK enum txkv_rc txkv_delete(struct txkv_session *session, uint32_t table,
                                         struct txkv_bytes key, struct txkv_error *err);

/*
 * txkv_put_into -- txkv_put for a caller that encodes the value itself: *value is room for
 * value_bytes bytes inside the transaction's log record, to be filled before the next call on the
 * session.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_put_into(struct txkv_session *session, uint32_t table,
                                           struct txkv_bytes key, size_t value_bytes,
                                           uint8_t **value, struct txkv_error *err);

/* ---- cursors ---- */

/* Keys from lo to hi; data == NULL leaves that end open. */
struct txkv_range {
    struct txkv_bytes lo, hi;
    bool lo_open, hi_open; /* true: the bound itself is not in the range */
    bool descending;       /* walk from hi to lo */
    bool stay; /* in the transaction of the cursor's seek before, also when that has ended */
};

/*
 * txkv_cursor_open -- a cursor over one table, not yet placed. Outside a transaction the session
 * keeps one snapshot from the first txkv_cursor_seek until its last cursor is closed.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_cursor_open(struct txkv_session *session, uint32_t table,
                                              struct txkv_cursor **out, struct txkv_error *err);
void txkv_cursor_close(struct txkv_cursor *cursor); /* NULL is allowed */

/*
 * txkv_cursor_open_beside -- a cursor that sees what `other` sees, of any table: it is in the
 * transaction in which `other` was placed last, also when that has ended, as long as its seeks
 * stay. When `other` was never placed it is as any new cursor.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_cursor_open_beside(struct txkv_cursor *other, uint32_t table,
                                                     struct txkv_cursor **out,
                                                     struct txkv_error *err);

/* Place the cursor on the range's first row, as the session's current transaction sees it.
 * TXKV_NOTFOUND when the range is empty. range's bytes are copied. */
TXKV_MUST_CHECK enum txkv_rc txkv_cursor_seek(struct txkv_cursor *cursor,
                                              const struct txkv_range *range,
                                              struct txkv_error *err);

/* Step to the next row. TXKV_NOTFOUND after the last one. */
TXKV_MUST_CHECK enum txkv_rc txkv_cursor_next(struct txkv_cursor *cursor, struct txkv_error *err);

/*
 * The row the cursor stands on; only after TXKV_OK from seek or next. The bytes are valid until the
 * next call on the cursor, and, when the transaction writes or ends, only until then.
 */
struct txkv_bytes txkv_cursor_key(const struct txkv_cursor *cursor);
struct txkv_bytes txkv_cursor_value(const struct txkv_cursor *cursor);

/* Rows in the table, estimated without reading them; for planners. */
uint64_t txkv_row_estimate(struct txkv_session *session, uint32_t table);

struct txkv_table_size {
    uint64_t rows;
    uint64_t tree_bytes;    /* of LMDB's pages */
    uint64_t overlay_bytes; /* of keys and values that LMDB does not have yet */
};

/* What the session's snapshot has of a table; without the transaction's own writes. Exact; takes as
 * long as there are rows that no checkpoint has moved yet. */
TXKV_MUST_CHECK enum txkv_rc txkv_table_measure(struct txkv_session *session, uint32_t table,
                                                struct txkv_table_size *size,
                                                struct txkv_error *err);

/* ---- maintenance ---- */

struct txkv_checkpoint_report {
    uint64_t from_lsn, to_lsn; /* LMDB held all before the first, and now all before the second */
    uint64_t transactions;     /* log records moved */
    uint64_t rows_put, rows_deleted;
    uint64_t bytes; /* of the log, moved */
    uint64_t segments_deleted;
    uint64_t segments_archived; /* written to archive_dir */
    uint64_t segments_waiting;  /* that stay because that failed: see txkv_archive_state */
    uint64_t duration_us;
};

/*
 * txkv_checkpoint -- move every transaction committed before the call into LMDB, synced, and delete
 * the log behind it. Readers and writers go on. Waits for a checkpoint that is running already.
 * report may be NULL.
 */
TXKV_MUST_CHECK enum txkv_rc
txkv_checkpoint(struct txkv *store, struct txkv_checkpoint_report *report, struct txkv_error *err);

struct txkv_recovery_report {
    uint64_t checkpoint_lsn;        /* where replay started */
    uint64_t end_lsn;               /* end of the intact log */
    uint64_t segments;              /* files read */
    uint64_t transactions_replayed; /* records applied to the overlay */
    uint64_t operations_replayed;
    uint64_t bytes_replayed;
    uint64_t bytes_verified;  /* log bytes whose checksums and chain were checked */
    uint64_t bytes_discarded; /* torn tail, never acknowledged, or what salvage cut off */
    uint64_t duration_us;
    bool salvaged;
};

/* What recovery did when this process opened the store. */
void txkv_recovery(const struct txkv *store, struct txkv_recovery_report *report);

/*
 * txkv_verify -- read the whole log since the last checkpoint again from the files and check every
 * checksum, the chain and the LSNs, while the store is in use. Fills transactions, operations and
 * bytes verified.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_verify(struct txkv *store, struct txkv_recovery_report *report,
                                         struct txkv_error *err);

/* ---- reading the log ---- */

struct txkv_log;

/* A record of the log. What it points at is valid until the next call on its txkv_log. */
struct txkv_log_record {
    uint64_t lsn, bytes;
    /* In the words of docs/file-format.md: "transaction", "table", "seal", "void", "prepared",
     * "committed", "aborted", "dropped", "renamed", "time". */
    const char *type;
    uint64_t operations;    /* rows written or deleted, tables made, dropped or renamed; else 0 */
    const uint32_t *tables; /* the numbers of those that they are about, each once */
    size_t table_count;
    uint64_t time_ms;  /* when it was committed, milliseconds since 1970; 0: that is not known */
    bool durable;      /* a sync has covered all of it */
    bool checkpointed; /* it is in LMDB */
};

/*
 * txkv_log_open -- read the records that the log's files hold, while the store is in use: from
 * from_lsn on and before to_lsn (UINT64_MAX: no end), up to what was committed when the call was
 * made. The files also hold what checkpoints have moved already, as long as they are there; those
 * that are open here can be read to the end, whatever checkpoints remove.
 *
 * Returns TXKV_OK; TXKV_CANTOPEN, TXKV_IOERR, TXKV_CORRUPT, TXKV_NOMEM, TXKV_FORKED. The store must
 * be closed after it.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_log_open(struct txkv *store, uint64_t from_lsn, uint64_t to_lsn,
                                           struct txkv_log **out, struct txkv_error *err);

/* The next record, in the order of LSNs. TXKV_NOTFOUND at the end; TXKV_CORRUPT where one is
 * missing or damaged. */
TXKV_MUST_CHECK enum txkv_rc txkv_log_next(struct txkv_log *log, struct txkv_log_record *record,
                                           struct txkv_error *err);

void txkv_log_close(struct txkv_log *log); /* NULL is allowed */

/*
 * txkv_table_name -- the name that a table has now, or had last; false for a number that no table
 * ever had. Empty for one that was dropped before this process opened the store.
 */
bool txkv_table_name(struct txkv *store, uint32_t table, char name[TXKV_TABLE_NAME_BYTES_MAX + 1]);

/* A store as it lies on the disk. */
struct txkv_examination {
    bool opens;        /* txkv_open would open it, as far as can be told without doing it */
    uint64_t problems; /* that stand in its way */
    char first[508];   /* the first one in words */
    uint64_t store_id;
    /* data.mdb. */
    struct txkv_pages_report {
        uint64_t pages;    /* in use */
        uint64_t problems; /* that were found in them */
        char first[320];   /* the first one in words, with page and offset */
    } pages;
    uint64_t tables; /* of its catalog; those of indexes count too */
    uint64_t rows;   /* in them, as it says */
    /* The log: from the checkpoint LSN on, up to where it ends or is damaged. */
    uint64_t checkpoint_lsn, end_lsn;
    uint64_t segments, records, transactions, operations, bytes;
    bool in_doubt; /* it ends with a prepared transaction, which somebody must be asked about */
    bool
        log_damaged; /* acknowledged records are missing at end_lsn; else the rest is a torn tail */
    char break_file[24];
    uint64_t break_offset;   /* of end_lsn in that file */
    uint64_t bytes_behind;   /* what recovery, or salvage when log_damaged, would cut off */
    uint64_t records_behind; /* intact ones among them */
};

/*
 * txkv_examine -- look at a store that nobody has open, also at one that cannot be opened, and
 * change nothing: no file is made, locked, or written.
 *
 * wal_dir  NULL: where data.mdb says that it is.
 *
 * Returns TXKV_OK, whatever is damaged; TXKV_LOCKED when the store is open; TXKV_CANTOPEN,
 * TXKV_IOERR, TXKV_NOMEM.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_examine(const char *dir, const char *wal_dir,
                                          struct txkv_examination *report, struct txkv_error *err);

/*
 * txkv_check_pages -- look at every page of LMDB's file, without LMDB and beside readers and
 * writers: is each where it should be, and does each node end in its page? That is what reads rely
 * on: a store with problems here should not be read, but restored or rescued. Values have no
 * checksums.
 *
 * Returns TXKV_OK, also with problems; TXKV_IOERR, TXKV_NOMEM, TXKV_FORKED.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_check_pages(struct txkv *store, struct txkv_pages_report *report,
                                              struct txkv_error *err);

struct txkv_rescue_report {
    char saved[32];          /* "rescued-1": the directory in the store's, and in its log's, where
                                the files lie as they were */
    uint64_t tables, rows;   /* that are in the store now; those of indexes count too */
    uint64_t tables_unnamed; /* whose names are lost; they are called rescued-<number> */
    uint64_t rows_of_pages;  /* read from data.mdb */
    uint64_t page_problems;  /* pages that could not be used, or lists in them */
    uint64_t records;        /* of the log, intact, and not in data.mdb already */
    uint64_t transactions;   /* among them */
    uint64_t holes;          /* places where one record at least is missing between two */
    uint64_t undecided;      /* prepared transactions without a decision, left out */
    uint64_t rows_refused;   /* that cannot be rows of a store, or of a table that is known */
    uint64_t bytes_skipped;  /* of the log, that belong to no intact record */
    uint64_t files_skipped;  /* of the log: of other stores, or that cannot be read */
    uint64_t lsn;            /* where the log goes on */
};

/*
 * txkv_rescue -- make a store of all that is intact of a damaged one that nobody has open, in its
 * place: each row that can be read of data.mdb, and then each intact record of the log, in their
 * order. It holds nothing that was not written, as far as checksums tell, which data.mdb lacks; but
 * it gives the promise up that it is a prefix of what was committed: a transaction can be missing
 * before others that are there, and of its rows in data.mdb some can be. The numbers of tables
 * change.
 *
 * The old files are kept (`saved`). A failure or a crash leaves either the old store or the new
 * one; the directory rescue.tmp in it, if there is one, is removed by the next rescue. It takes as
 * much room again as the store has. report may be NULL.
 *
 * Returns TXKV_OK; TXKV_LOCKED when the store is open; TXKV_FORMAT for one of another format;
 * TXKV_CANTOPEN, TXKV_READONLY, TXKV_EXISTS, TXKV_FULL, TXKV_IOERR, TXKV_NOMEM.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_rescue(const char *dir, const char *wal_dir,
                                         struct txkv_rescue_report *report, struct txkv_error *err);

struct txkv_backup_report {
    uint64_t lsn;    /* the backup holds every transaction before it, and none after */
    uint64_t tables; /* those of indexes count too */
    uint64_t rows;   /* in all of them */
    uint64_t bytes;  /* of its file */
    uint64_t duration_us;
};

/*
 * txkv_backup -- make a copy of the whole store in a new directory, while any number of processes
 * use it.
 *
 * The copy holds everything that was committed before the call, and what else was committed by its
 * LSN, which the report names: a prefix of the commit order. It is a store like any other, with its
 * log in its own directory, compacted. It is made under the name TARGET.tmp-<16 hex digits>,
 * synced, opened, and read from end to end; only then does it get its name. After an error, a kill
 * or a power failure there is no target; what a kill leaves under the other name the next backup to
 * the same target removes.
 *
 * target  a path that does not exist, in a directory that does.
 * report  may be NULL.
 *
 * Begins with a checkpoint. Readers, writers and checkpoints go on meanwhile, but LMDB's map cannot
 * grow: see docs/tuning.md. Backups of one process come one after the other.
 *
 * Returns TXKV_OK; TXKV_EXISTS; TXKV_CANTOPEN (no such parent directory); TXKV_BUSY (another
 * process makes a backup to the same target, or what txkv_checkpoint returns it for); TXKV_READONLY
 * (of the store, or the parent directory); TXKV_FULL; TXKV_IOERR; TXKV_CORRUPT; TXKV_NOMEM;
 * TXKV_MISUSE; and what txkv_checkpoint returns. Thread-safe.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_backup(struct txkv *store, const char *target,
                                         struct txkv_backup_report *report, struct txkv_error *err);

struct txkv_archive_report {
    uint64_t lsn;      /* the archive has every transaction before it */
    uint64_t segments; /* files written */
    uint64_t bytes;    /* of them */
    uint64_t duration_us;
};

/*
 * txkv_archive -- bring the archive up to what is committed now: checkpoint, and write to
 * archive_dir what it does not have, also of the file that the log goes on in. Checkpoints alone
 * archive files when the log has left them.
 *
 * report  may be NULL.
 *
 * Returns TXKV_OK; TXKV_MISUSE when the store has no archive; TXKV_CANTOPEN, TXKV_FULL,
 * TXKV_READONLY, TXKV_IOERR, TXKV_EXISTS (the archive has another file in its place), TXKV_NOMEM;
 * and what txkv_checkpoint returns. Thread-safe.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_archive(struct txkv *store, struct txkv_archive_report *report,
                                          struct txkv_error *err);

struct txkv_archive_state {
    char dir[4096];   /* empty: the store has no archive */
    char error[508];  /* why files wait: the newest failure, of whatever process; empty: none */
    uint64_t waiting; /* files of the log that checkpoints do not need, and that are not archived */
};

/* TXKV_OK; TXKV_IOERR, TXKV_NOMEM, TXKV_FORKED. */
TXKV_MUST_CHECK enum txkv_rc
txkv_archive_state(struct txkv *store, struct txkv_archive_state *state, struct txkv_error *err);

/* Where to stop; 0 or NULL in all fields: at the end of what is archived. */
struct txkv_restore_options {
    const char *archive_dir; /* NULL: where the backup's source was archived when it was made */
    uint64_t until_lsn;      /* the last record's, or any LSN before the next one */
    uint64_t until_ms; /* before the first record that was committed later, milliseconds since 1970
                        */
};

struct txkv_restore_report {
    uint64_t backup_lsn;        /* the backup has all before it */
    uint64_t lsn;               /* the new store has all before it, and its log goes on here */
    uint64_t last_lsn, last_ms; /* of the last one that was taken from the archive: 0: none */
    uint64_t segments;          /* files read */
    uint64_t transactions, operations, bytes; /* taken from there */
    uint64_t undecided;    /* 1: a prepared transaction at the archive's end was left out */
    uint64_t tables, rows; /* of the new store; those of indexes count too */
    uint64_t duration_us;
};

/*
 * txkv_restore -- make a new store out of a backup and the archive of its source, as it was at a
 * point at or behind the backup's LSN.
 *
 * The checksums of the archived records and their chain from the backup's LSN on are verified. A
 * transaction that was prepared (txkv_prepare) counts as of its first step. The new store has an id
 * of its own and no archive; neither the backup nor the archive is changed. It is made under the
 * name TARGET.tmp-<16 hex digits>, and gets its name when it is complete and synced. After an
 * error, a kill or a power failure there is no target; what a kill leaves under the other name the
 * next restore, or backup, to the same target removes.
 *
 * backup   made by txkv_backup, and not open.
 * target   a path that does not exist, in a directory that does.
 * options  may be NULL, as may report.
 *
 * Returns TXKV_OK; TXKV_MISUSE (the backup lies behind the point, or was written to); TXKV_NOTFOUND
 * (the archive ends before until_lsn); TXKV_CORRUPT (a gap in the archive, a damaged file, one of
 * another store, or of another history of this one: file and LSN are named); TXKV_LOCKED (the
 * backup is open); TXKV_EXISTS; TXKV_BUSY; TXKV_CANTOPEN; TXKV_FORMAT; TXKV_FULL; TXKV_IOERR;
 * TXKV_NOMEM. Thread-safe.
 */
TXKV_MUST_CHECK enum txkv_rc txkv_restore(const char *backup, const char *target,
                                          const struct txkv_restore_options *options,
                                          struct txkv_restore_report *report,
                                          struct txkv_error *err);

/* ---- statistics ---- */

struct txkv_stat {
    const char *name, *unit, *meaning; /* static */
    double value;                      /* exact up to 2^53 */
    bool integral;
};

#define TXKV_STATS_MAX 64

/* Fills stats[0..TXKV_STATS_MAX) and returns how many. Each value is read atomically, not all at
 * one instant. */
size_t txkv_stats(struct txkv *store, struct txkv_stat stats[TXKV_STATS_MAX]);

#endif /* TXKV_H */
