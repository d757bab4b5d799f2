/*
 * transfer.h - the SQL functions txkv_export and txkv_import: a store's rows as a file, and back.
 *
 *   txkv_export(table or directory, file [, options])   how many rows it wrote
 *   txkv_import(table or directory, file [, options])   how many rows it brought in
 *
 * The options are one text of name=value, separated by spaces; a value may stand between single or
 * double quotes:
 *
 *   format=sql|csv|jsonl     else what the file's name ends with
 *   table=NAME               that table of the store
 *   null=TEXT                csv: what NULL is, without quotes; nothing by default
 *   plain=yes|no             jsonl: a line is a row and says nothing of its table
 *   dir='DIR'                export, sql: the store that the script uses
 *   overwrite=yes|no         export: replace a file
 *   columns='...'            import: make the table when it is not there
 *   create=yes|no            import: make the store when it is not there
 *   conflict=abort|replace|ignore
 *                            import: what becomes of a row that is in the way of another
 *
 * Threads: whoever holds the connection's mutex.
 */
#ifndef TX_TRANSFER_H
#define TX_TRANSFER_H

#include "connection.h"

enum tx_format { TX_FORMAT_NONE, TX_FORMAT_SQL, TX_FORMAT_CSV, TX_FORMAT_JSONL };

struct tx_transfer {
    const char *who; /* "txkv_export" or "txkv_import" */
    struct tx_connection *connection;
    const char *where, *file;
    char *words; /* that the texts below point into */

    enum tx_format format;
    const char *table, *null_text, *dir, *columns; /* or NULL; null_text is a text */
    const char *conflict;                          /* " OR REPLACE", " OR IGNORE", "" */
    bool plain, overwrite, create;
};

/* Do it; *rows is set on SQLITE_OK. In export.c and import.c. */
int tx_export(const struct tx_transfer *options, sqlite3_int64 *rows, char **message);
int tx_import(const struct tx_transfer *options, sqlite3_int64 *rows, char **message);

/*
 * The words of the options, each name=value, quotes taken away, in place: *at moves on to the next
 * one. False at the end; *name is NULL then, or what is wrong if the text is no such list.
 */
bool tx_transfer_word(char **at, char **name, char **value);

int tx_transfer_register(struct tx_connection *connection);

#endif /* TX_TRANSFER_H */
