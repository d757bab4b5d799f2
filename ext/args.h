/*
 * args.h - the arguments of CREATE VIRTUAL TABLE ... USING txkv(...).
 *
 * The first argument is the store's directory: 'data/store', "data/store" or a bare word. The
 * others are option=value in any order, names in any case, values bare or quoted:
 *
 *   sync=full|normal|off      what a commit waits for; default full
 *   isolation=serializable|snapshot
 *                             what makes a transaction conflict; default serializable
 *   table=NAME                the table inside the store; default the virtual table's own name
 *   flush_interval_ms, checkpoint_interval (seconds), stall_timeout_ms
 *                             whole numbers
 *   checkpoint_bytes, map_size, overlay_limit
 *                             bytes, or a number with KiB, MiB, GiB, TiB or K, M, G, T: powers of
 *                             1024
 *   wal_dir='DIR'             where the log lives
 *   archive_dir='DIR'         where files of it are kept that checkpoints remove; off: nowhere
 *
 * What is neither is a column's definition or a table constraint, which shape.h reads.
 *
 * The ranges are those of struct txkv_options; an option that is not given stays 0 there. Pure; any
 * thread.
 */
#ifndef TX_ARGS_H
#define TX_ARGS_H

#include "sqlite.h"
#include "../src/txkv.h"

struct tx_args {
    char *dir;                     /* never empty */
    char *table;                   /* 1 to TXKV_TABLE_NAME_BYTES_MAX bytes */
    char *wal_dir, *archive_dir;   /* NULL when not given */
    char *columns;                 /* the definitions, separated by commas; NULL: none given */
    struct txkv_options options;   /* options.wal_dir is wal_dir, and so on */
    enum txkv_sync sync;           /* TXKV_SYNC_FULL when not given */
    enum txkv_isolation isolation; /* TXKV_SERIALIZABLE when not given */
    bool table_given;
};

/*
 * tx_args_parse -- read the arguments that SQLite gives to xCreate, from its argv[3] on.
 *
 * argv           the raw text of each argument, with surrounding white space or without.
 * default_table  the virtual table's name, argv[2] of xCreate; used unless table= is given.
 * out            cleared first; on SQLITE_OK the caller releases it with tx_args_free, on an error
 *                it holds nothing.
 * message        out, set on SQLITE_ERROR: one sentence that names the argument, its value and what
 *                is accepted; free it with sqlite3_free. NULL otherwise.
 *
 * Returns SQLITE_OK, SQLITE_ERROR, SQLITE_NOMEM.
 */
TXKV_MUST_CHECK int tx_args_parse(int argc, const char *const *argv, const char *default_table,
                                  struct tx_args *out, char **message);

/* Frees the strings and clears args; a cleared one is allowed. */
void tx_args_free(struct tx_args *args);

#endif /* TX_ARGS_H */
