/*
 * write.c - xUpdate: INSERT, REPLACE, UPDATE and DELETE of one row.
 */
#include "write.h"

#include <limits.h>
#include <string.h>

#include "keycodec.h"
#include "rowcodec.h"
#include "rowwrite.h"
#include "sqlerror.h"
#include "transaction.h"

/* What xUpdate's arguments are for a WITHOUT ROWID table of two columns. */
enum { OLD_KEY = 0, NEW_KEY = 2, NEW_VALUE = 3 };

/* Above every savepoint of SQLite's: undoes the one UPDATE that changes a key. */
enum { OWN_SAVEPOINT = INT_MAX };

static struct txkv_bytes
bytes_of(const struct tx_keybuf *key)
{
    return (struct txkv_bytes){ key->data, key->bytes };
}

/* The statement says what becomes of a row that breaks a constraint. */
static int
conflict_mode(const struct tx_table *table)
{
    return sqlite3_vtab_on_conflict(table->connection->db);
}

/* A row breaks a constraint; an OR IGNORE statement goes on, and nobody reads the message. */
static int
refuse_row(struct tx_table *table, int code, const char *constraint)
{
    if (conflict_mode(table) == SQLITE_IGNORE)
        return code;
    return tx_sql_refuse(&table->base.zErrMsg, code, "%s constraint failed: %s.key", constraint,
                         table->name);
}

static int
encode_key(struct tx_table *table, sqlite3_value *value, struct tx_keybuf *key)
{
    switch (tx_key_encode(value, key)) {
    case TX_KEY_OK:
        return SQLITE_OK;
    case TX_KEY_NULL:
        return refuse_row(table, SQLITE_CONSTRAINT_NOTNULL, "NOT NULL");
    case TX_KEY_TOOBIG:
        return tx_sql_refuse(&table->base.zErrMsg, SQLITE_TOOBIG,
                             "%s: the key is too long: its text or blob has %d bytes and the limit "
                             "is %d; keep the long part in the value, and a hash of it in the key",
                             table->name, sqlite3_value_bytes(value), TXKV_KEY_BYTES_MAX - 1);
    case TX_KEY_NOMEM:
        break;
    }
    return SQLITE_NOMEM;
}

/* SQLITE_OK when no row has this key. */
static int
check_absent(struct tx_table *table, const struct tx_keybuf *key)
{
    struct txkv_error err;
    struct txkv_bytes value;
    const enum txkv_rc rc =
        txkv_get(table->link->session, table->number, bytes_of(key), &value, &err);

    if (rc == TXKV_NOTFOUND)
        return SQLITE_OK;
    if (rc == TXKV_OK)
        return refuse_row(table, SQLITE_CONSTRAINT_PRIMARYKEY, "UNIQUE");
    return tx_table_fail(table, rc, &err);
}

static int
put(struct tx_table *table, const struct tx_keybuf *key, sqlite3_value *value)
{
    struct tx_cell cell;
    struct txkv_error err;
    enum txkv_rc rc;
    uint8_t *row;

    if (!tx_cell_read(value, TX_AFFINITY_BLOB, &cell))
        return SQLITE_NOMEM;
    rc = txkv_put_into(table->link->session, table->number, bytes_of(key),
                       tx_row_bytes(TX_VALUE_COLUMNS, &cell), &row, &err);
    if (rc != TXKV_OK)
        return tx_table_fail(table, rc, &err);
    tx_row_encode(row, key->note, TX_VALUE_COLUMNS, &cell);
    return SQLITE_OK;
}

static int
erase(struct tx_table *table, const struct tx_keybuf *key)
{
    struct txkv_error err;
    const enum txkv_rc rc = txkv_delete(table->link->session, table->number, bytes_of(key), &err);

    return rc == TXKV_OK ? SQLITE_OK : tx_table_fail(table, rc, &err);
}

static int
insert_row(struct tx_table *table, sqlite3_value **argv)
{
    struct tx_keybuf key;
    int rc = encode_key(table, argv[NEW_KEY], &key);

    if (rc == SQLITE_OK && conflict_mode(table) != SQLITE_REPLACE)
        rc = check_absent(table, &key);
    if (rc == SQLITE_OK)
        rc = put(table, &key, argv[NEW_VALUE]);
    tx_key_free(&key);
    return rc;
}

/* Move the row from one key to another: both writes or none. */
static int
move_row(struct tx_table *table, const struct tx_keybuf *from, const struct tx_keybuf *to,
         sqlite3_value *value)
{
    struct txkv_session *session = table->link->session;
    struct txkv_error err;
    enum txkv_rc store_rc;
    int rc = SQLITE_OK;

    if (conflict_mode(table) != SQLITE_REPLACE)
        rc = check_absent(table, to);
    if (rc != SQLITE_OK)
        return rc;
    store_rc = txkv_savepoint(session, OWN_SAVEPOINT, &err);
    if (store_rc != TXKV_OK)
        return tx_table_fail(table, store_rc, &err);
    rc = put(table, to, value);
    if (rc == SQLITE_OK)
        rc = erase(table, from);
    if (rc != SQLITE_OK && (store_rc = txkv_rollback_to(session, OWN_SAVEPOINT, &err)) != TXKV_OK)
        rc = tx_table_fail(table, store_rc, &err);
    if ((store_rc = txkv_release(session, OWN_SAVEPOINT, &err)) != TXKV_OK && rc == SQLITE_OK)
        rc = tx_table_fail(table, store_rc, &err);
    return rc;
}

/* Give the row with this key a value, and perhaps another key. */
static int
change_row(struct tx_table *table, const struct tx_keybuf *from, sqlite3_value **argv)
{
    struct tx_keybuf to;
    int rc;

    if (sqlite3_value_nochange(argv[NEW_KEY]))
        return put(table, from, argv[NEW_VALUE]);
    rc = encode_key(table, argv[NEW_KEY], &to);
    if (rc == SQLITE_OK && from->bytes == to.bytes && memcmp(from->data, to.data, to.bytes) == 0)
        rc = put(table, &to, argv[NEW_VALUE]); /* 1 may have become 1.0: that is in the row */
    else if (rc == SQLITE_OK)
        rc = move_row(table, from, &to, argv[NEW_VALUE]);
    tx_key_free(&to);
    return rc;
}

static int
update_row(struct tx_table *table, sqlite3_value **argv)
{
    struct tx_keybuf from;
    int rc = encode_key(table, argv[OLD_KEY], &from);

    if (rc == SQLITE_OK)
        rc = change_row(table, &from, argv);
    tx_key_free(&from);
    return rc;
}

static int
delete_row(struct tx_table *table, sqlite3_value **argv)
{
    struct tx_keybuf key;
    int rc = encode_key(table, argv[OLD_KEY], &key);

    if (rc == SQLITE_OK)
        rc = erase(table, &key);
    tx_key_free(&key);
    return rc;
}

int
tx_write_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    struct tx_table *table = (struct tx_table *)vtab;
    const int rc = tx_transaction_write(table);

    if (rc != SQLITE_OK)
        return rc;
    if (table->relation != NULL)
        return tx_rowwrite_update(table, argc, argv, rowid);
    if (argc == 1)
        return delete_row(table, argv);
    if (sqlite3_value_type(argv[OLD_KEY]) != SQLITE_NULL)
        return update_row(table, argv);
    /* SQLite takes this for last_insert_rowid(), which rows without a rowid leave as it is. */
    *rowid = sqlite3_last_insert_rowid(table->connection->db);
    return insert_row(table, argv);
}
