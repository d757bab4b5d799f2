/*
 * rescue.h - what the files rescue*.c share: the new store that a rescue fills.
 *
 * Tables are known here by the numbers that they had; the new store gives them others.
 *
 * Threads: one. Layer 7: store.h.
 */
#ifndef TX_RESCUE_H
#define TX_RESCUE_H

#include "base.h"
#include "error.h"
#include "record.h"
#include "txkv.h"

struct tx_refill {
    struct txkv *store;
    struct txkv_session *session;
    struct tx_refilled {
        uint32_t was, is; /* is: 0 for a table that is dropped, or that there was no room for */
        bool unnamed;
        bool settled; /* data.mdb's catalog knows it */
    } * tables;
    size_t count, room;
    uint64_t waiting_operations, waiting_bytes; /* in the open transaction */
    bool is_past; /* what comes now is older than data.mdb, whose catalog says how tables became */
    struct txkv_rescue_report *report;
};

/* A new store in dir, which must not exist. tx_refill_end closes it, whatever was returned here. */
TX_MUST_CHECK enum txkv_rc tx_refill_begin(struct tx_refill *refill, const char *dir,
                                           struct txkv_rescue_report *report,
                                           struct txkv_error *err);
/* Commit what waits, checkpoint, close. */
TX_MUST_CHECK enum txkv_rc tx_refill_end(struct tx_refill *refill, struct txkv_error *err);
/* Commit what waits. */
TX_MUST_CHECK enum txkv_rc tx_refill_flush(struct tx_refill *refill, struct txkv_error *err);

/* A table as a record or the catalog defines it. When it is there already without a name it gets
 * one; otherwise a second definition is nothing. */
TX_MUST_CHECK enum txkv_rc tx_refill_define(struct tx_refill *refill,
                                            const struct tx_table_def *def, struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_refill_drop(struct tx_refill *refill, uint32_t table,
                                          struct txkv_error *err);
TX_MUST_CHECK enum txkv_rc tx_refill_rename(struct tx_refill *refill, uint32_t table,
                                            const char *name, uint32_t name_bytes,
                                            struct txkv_error *err);

/* The tables that are known now are those of data.mdb's catalog. */
void tx_refill_settle(struct tx_refill *refill);

/* A row, of a table that becomes known by it if need be. value.data NULL: there is none any more.
 */
TX_MUST_CHECK enum txkv_rc tx_refill_row(struct tx_refill *refill, uint32_t table,
                                         struct txkv_bytes key, struct txkv_bytes value,
                                         struct txkv_error *err);

/* How many tables and rows there are now, for the report. */
TX_MUST_CHECK enum txkv_rc tx_refill_count(struct tx_refill *refill, struct txkv_error *err);

/* ---- where the rows come from ---- */

struct tx_pages;
struct tx_inspection;
struct tx_harvest;

/* All tables of data.mdb's catalog; before anything else. */
TX_MUST_CHECK enum txkv_rc tx_rescue_tables(struct tx_refill *refill,
                                            const struct tx_inspection *meta,
                                            struct txkv_error *err);

/* All rows that can be read of data.mdb. */
TX_MUST_CHECK enum txkv_rc tx_rescue_pages(struct tx_refill *refill, struct tx_pages *pages,
                                           const struct tx_inspection *meta,
                                           struct txkv_error *err);

/* All records from from_lsn on and before to_lsn, in their order. */
TX_MUST_CHECK enum txkv_rc tx_rescue_log(struct tx_refill *refill, const struct tx_harvest *harvest,
                                         uint64_t from_lsn, uint64_t to_lsn,
                                         struct txkv_error *err);

#endif /* TX_RESCUE_H */
