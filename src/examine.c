/*
 * examine.c - txkv_examine: what a recovery of a store would find and do, without doing it.
 *
 * data.mdb is read page by page (pages.h), never by LMDB, so that nothing in it can do harm; the
 * log by the code that recovers it, told to look only (log.h). Files are opened for reading;
 * nothing is made, locked or synced. Nobody may have the store open, or its files would change
 * meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inspect.h"
#include "log.h"
#include "os.h"
#include "store.h"

struct examination {
    const char *dir;
    struct txkv_examination *report;
    struct tx_inspection meta;
    bool has_long, has_table[TX_TREE_TABLES_MAX + 1]; /* databases; of tables, by slot */
    uint32_t *known;      /* by slot: 1 + the highest generation of a table that was made */
    uint64_t pending_lsn; /* of a prepared transaction that is not decided, or 0 */
    uint64_t pending_operations;
};

static void
add_problem(struct txkv_examination *report, const char *text)
{
    if (report->problems++ == 0)
        (void)snprintf(report->first, sizeof report->first, "%s", text);
}

/* ---- data.mdb ---- */

static enum txkv_rc
note_database(void *arg, const char *name, uint64_t entries, struct txkv_error *err)
{
    struct examination *e = arg;
    uint64_t slot;

    (void)err;
    e->has_long = e->has_long || strcmp(name, "long") == 0;
    if (strncmp(name, "table-", 6) != 0)
        return TXKV_OK;
    e->report->rows += entries;
    slot = strtoull(name + 6, NULL, 10);
    if (slot <= TX_TREE_TABLES_MAX)
        e->has_table[slot] = true;
    return TXKV_OK;
}

/* Every table that was not dropped has a database, and so have long keys. */
static bool
lacks_database(const struct examination *e)
{
    for (const struct tx_inspected_table *t = e->meta.tables; t != NULL; t = t->next)
        if (t->def.name_bytes > 0 && !e->has_table[tx_table_slot(t->def.table)])
            return true;
    return !e->has_long;
}

static enum txkv_rc
read_pages(struct examination *e, struct tx_pages *pages, struct txkv_error *err)
{
    struct txkv_examination *report = e->report;
    struct txkv_error other;
    enum txkv_rc rc = tx_inspect(pages, &e->meta, err);

    if (rc == TXKV_OK)
        rc = tx_pages_names(pages, note_database, e, err);
    if (rc == TXKV_OK)
        rc = tx_pages_check(pages, err);
    if (rc != TXKV_OK)
        return rc;
    report->pages = tx_pages_report(pages)->found;
    for (const struct tx_inspected_table *t = e->meta.tables; t != NULL; t = t->next) {
        report->tables += t->def.name_bytes > 0;
        e->known[tx_table_slot(t->def.table)] = tx_table_generation(t->def.table) + 1;
    }
    report->store_id = e->meta.store_id;
    report->checkpoint_lsn = e->meta.has_checkpoint ? e->meta.checkpoint_lsn : 0;
    if (report->pages.problems > 0)
        add_problem(report, report->pages.first);
    if (e->meta.format != 0 && tx_tree_check_format(e->dir, e->meta.format, &other) != TXKV_OK)
        add_problem(report, other.text);
    else if (e->meta.problems > 0)
        add_problem(report, "data.mdb does not say which store it is, or which tables it has");
    else if (lacks_database(e))
        add_problem(report, "data.mdb lacks the database of a table, or that of long keys");
    return TXKV_OK;
}

static enum txkv_rc
examine_data(struct examination *e, struct txkv_error *err)
{
    char *path = tx_os_join(e->dir, "data.mdb");
    struct tx_pages *pages = NULL;
    enum txkv_rc rc;

    if (path == NULL)
        return tx_fail_nomem(err);
    rc = tx_pages_open(path, 0, &pages, err);
    tx_free(path);
    if (rc == TXKV_CANTOPEN || rc == TXKV_FORMAT) {
        add_problem(e->report, err->text);
        return TXKV_OK;
    }
    if (rc == TXKV_OK)
        rc = read_pages(e, pages, err);
    tx_pages_close(pages);
    return rc;
}

/* ---- the log ---- */

static enum txkv_rc
fail_record(const struct tx_record *record, const char *what, struct txkv_error *err)
{
    return tx_fail(err, TXKV_CORRUPT,
                   "the log record at LSN %llu is intact, but %s; the store's files do not belong "
                   "together, or another program wrote it",
                   (unsigned long long)record->lsn, what);
}

static enum txkv_rc
count_operations(struct examination *e, const struct tx_record *record, const struct tx_record *txn,
                 uint64_t *count, struct txkv_error *err)
{
    const uint8_t *p = txn->body, *end = p + txn->body_bytes;
    struct tx_op op;
    enum txkv_rc rc;

    *count = 0;
    while ((rc = tx_op_next(&p, end, &op)) == TXKV_OK) {
        if (!tx_table_possible(op.table) ||
            e->known[tx_table_slot(op.table)] <= tx_table_generation(op.table))
            return fail_record(record, "writes to a table that was never made", err);
        ++*count;
    }
    return rc == TXKV_NOTFOUND ? TXKV_OK : fail_record(record, "cannot be read", err);
}

static enum txkv_rc
note_made(struct examination *e, const struct tx_record *record, struct txkv_error *err)
{
    struct tx_table_def def;
    uint32_t *known;

    if (tx_table_def_decode(record->body, record->body_bytes, &def) != TXKV_OK ||
        !tx_table_possible(def.table))
        return fail_record(record, "cannot be read", err);
    known = &e->known[tx_table_slot(def.table)];
    if (*known <= tx_table_generation(def.table))
        *known = tx_table_generation(def.table) + 1;
    return TXKV_OK;
}

static enum txkv_rc
visit_record(void *arg, const struct tx_record *record, struct tx_segment *segment,
             struct txkv_error *err)
{
    struct examination *e = arg;
    struct txkv_examination *report = e->report;
    struct tx_record txn = *record;
    struct txkv_bytes note;
    uint64_t count = 0;
    enum txkv_rc rc = TXKV_OK;

    (void)segment;
    if ((tx_record_decides(record) ? tx_decision_lsn(record) : 0) != e->pending_lsn)
        return fail_record(record, "has no prepared transaction before it, or another one", err);
    report->records++;
    switch (record->type) {
    case TX_RECORD_TXN:
        rc = count_operations(e, record, record, &count, err);
        report->transactions++;
        break;
    case TX_RECORD_PREPARED:
        if (tx_prepared_decode(record, &note, &txn) != TXKV_OK)
            return fail_record(record, "cannot be read", err);
        e->pending_lsn = record->lsn;
        return count_operations(e, record, &txn, &e->pending_operations, err);
    case TX_RECORD_COMMITTED:
        report->transactions++;
        count = e->pending_operations;
        e->pending_lsn = 0;
        break;
    case TX_RECORD_ABORTED:
        e->pending_lsn = 0;
        break;
    case TX_RECORD_TABLE:
        return note_made(e, record, err);
    default:
        break;
    }
    report->operations += count;
    return rc;
}

static enum txkv_rc
examine_log(struct examination *e, const char *wal_dir, struct txkv_error *err)
{
    struct txkv_examination *report = e->report;
    const struct tx_log_config config = { .dir = wal_dir,
                                          .store_id = e->meta.store_id,
                                          .start_lsn = report->checkpoint_lsn,
                                          .start_check = e->meta.checkpoint_check,
                                          .look = true };
    struct tx_log_scan scan = { 0 };
    struct tx_log *none;
    const enum txkv_rc rc = tx_log_recover(&config, visit_record, e, &scan, &none, err);

    if (rc != TXKV_OK)
        return rc;
    report->segments = scan.segments;
    report->bytes = scan.bytes_verified;
    report->end_lsn = scan.end_lsn;
    report->bytes_behind = scan.bytes_discarded;
    report->records_behind = scan.records_behind;
    report->log_damaged = scan.verdict.rc != TXKV_OK;
    report->in_doubt = e->pending_lsn != 0;
    report->break_offset = scan.end_lsn - scan.break_first_lsn;
    tx_segment_name(scan.break_first_lsn, report->break_file);
    if (report->log_damaged)
        add_problem(report, scan.verdict.text);
    return TXKV_OK;
}

/* ---- the whole ---- */

static enum txkv_rc
examine_both(struct examination *e, const char *asked_wal_dir, struct txkv_error *err)
{
    const char *known_dir = asked_wal_dir;
    char *usual = tx_os_join(e->dir, "wal");
    struct stat st;
    int failed;
    enum txkv_rc rc = usual == NULL ? tx_fail_nomem(err) : examine_data(e, err);

    if (known_dir == NULL)
        known_dir = e->meta.wal_dir != NULL ? e->meta.wal_dir : usual;
    failed = rc == TXKV_OK && stat(known_dir, &st) != 0 ? errno : 0;
    if (failed != 0 && failed != ENOENT && failed != ENOTDIR) {
        rc = tx_fail_errno(err, failed, "log directory %s", known_dir);
    } else if (rc == TXKV_OK && (failed != 0 || !S_ISDIR(st.st_mode))) {
        if (e->meta.wal_dir != NULL)
            add_problem(e->report, "the log's directory is missing");
    } else if (rc == TXKV_OK) {
        /* Without an id of its own data.mdb cannot say whose records are good. */
        if (e->meta.store_id == 0)
            rc = tx_inspect_log_id(known_dir, &e->meta.store_id, err);
        if (rc == TXKV_OK)
            rc = examine_log(e, known_dir, err);
    }
    tx_free(usual);
    return rc;
}

enum txkv_rc
txkv_examine(const char *dir, const char *wal_dir, struct txkv_examination *report,
             struct txkv_error *err)
{
    struct txkv_error own = { TXKV_OK, "" };
    struct examination e = { .dir = dir, .report = report };
    struct stat st;
    enum txkv_rc rc = TXKV_OK;

    memset(report, 0, sizeof *report);
    if (err == NULL)
        err = &own;
    if (stat(dir, &st) != 0)
        return tx_fail_errno(err, errno, "store %s", dir);
    rc = tx_inspect_unused(dir, err);
    if (rc != TXKV_OK)
        return rc;
    e.known = tx_zalloc((TX_TABLE_SLOTS_MAX + 1) * sizeof *e.known);
    tx_arena_init(&e.meta.arena);
    rc = e.known == NULL ? tx_fail_nomem(err) : examine_both(&e, wal_dir, err);
    tx_inspection_free(&e.meta);
    tx_free(e.known);
    report->opens = report->problems == 0;
    return rc;
}
