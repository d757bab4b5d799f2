/*
 * slt.c - files of the sqllogictest format, on native tables and on txkv tables: what the file
 * expects is what both answer.
 *
 *   slt                          tests/slt/ *.test, and SEEDS generated files
 *   slt FILE...                  these files, of whatever origin
 *   slt --seeds SEEDS [RECORDS]  generated files only; SEED=n: start at seed n
 *   slt --generate SEED [RECORDS]  prints the file of a seed
 *
 * Each CREATE TABLE becomes a txkv table of the same columns (sltddl.h). What a virtual table
 * cannot do by its nature is skipped with its reason, and so is, from then on, what names the
 * table; the reasons are printed with how many records they cost. A record passes when both sides
 * are right.
 */
#include <glob.h>
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "sltddl.h"
#include "sltfile.h"
#include "sltgen.h"
#include "sltresult.h"

enum { NATIVE, TXKV, SIDES };
enum {
    SEEDS = 8,
    RECORDS = 700,
    LOST_MAX = 50,
    LABELS_MAX = 2000,
    REASONS_MAX = 100,
    SHOWN_MAX = 8,
    CHECKPOINT_EVERY = 40 /* records: some rows are read from LMDB, some from memory */
};

enum verdict { PASSED, FAILED, SKIPPED };

static const char *const side_names[SIDES] = { "native", "txkv" };

/* One file while it runs. */
static struct {
    const struct slt_file *file;
    sqlite3 *db[SIDES];
    char dir[TEST_PATH_BYTES];
    struct slt_schema schema;
    int lost_count; /* tables and views that there are on the native side only */
    char lost[LOST_MAX][SLT_NAME_BYTES];
    int label_count;
    char labels[LABELS_MAX][SLT_LABEL_BYTES + 40]; /* "LABEL HASH" */
    uint64_t passed, failed, skipped;
} run;

static struct {
    char text[SLT_REASON_BYTES];
    uint64_t count;
} reasons[REASONS_MAX];

/* ---- skipping ---- */

static enum verdict
skip(const char *reason)
{
    int i = 0;

    while (i < REASONS_MAX - 1 && reasons[i].count > 0 && strcmp(reasons[i].text, reason) != 0)
        i++;
    (void)snprintf(reasons[i].text, SLT_REASON_BYTES, "%s", reason);
    reasons[i].count++;
    return SKIPPED;
}

static void
lose(const char *name)
{
    if (run.lost_count == LOST_MAX)
        test_die("%s: too many tables that txkv refuses", run.file->name);
    (void)snprintf(run.lost[run.lost_count++], SLT_NAME_BYTES, "%s", name);
}

/* The table or view that txkv's side lacks and the statement names, or NULL. */
static const char *
lost_name(const char *sql)
{
    for (int i = 0; i < run.lost_count; i++)
        if (slt_mentions(sql, run.lost[i]))
            return run.lost[i];
    return NULL;
}

/* A view that is not made is missing from then on. */
static void
lose_view(const char *sql)
{
    char word[SLT_NAME_BYTES];

    if (!slt_word(&sql, word) || sqlite3_stricmp(word, "CREATE") != 0)
        return;
    while (slt_word(&sql, word))
        if (sqlite3_stricmp(word, "VIEW") == 0 && slt_word(&sql, word)) {
            lose(word);
            return;
        }
}

/* Whether SQLite refuses this for every virtual table. */
static bool
is_refused_by_nature(const char *message)
{
    static const char *const parts[] = { "UPSERT not implemented for virtual table",
                                         "RETURNING is not available on virtual tables",
                                         "cannot create triggers on virtual tables",
                                         "virtual tables may not be" };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(message, parts[i]) != NULL)
            return true;
    return false;
}

/* The tables that the statement would have changed, or given a trigger, differ from now on. */
static enum verdict
skip_change(const char *sql, const char *message)
{
    for (int i = 0; i < run.schema.count; i++)
        if (slt_mentions(sql, run.schema.tables[i]->name))
            lose(run.schema.tables[i]->name);
    return skip(message);
}

/* Views and their triggers stand in temp, as the tables do. */
static char *
in_temp(const char *sql)
{
    struct buffer b = { NULL, 0, 0 };
    const char *rest = sql;
    char word[SLT_NAME_BYTES];
    const bool creates = slt_word(&rest, word) && sqlite3_stricmp(word, "CREATE") == 0;
    const char *what = rest;

    if (creates && slt_word(&what, word) &&
        (sqlite3_stricmp(word, "VIEW") == 0 || sqlite3_stricmp(word, "TRIGGER") == 0))
        buffer_add(&b, "CREATE TEMP%s", rest);
    else
        buffer_add(&b, "%s", sql);
    return b.data;
}

/* ---- records ---- */

static enum verdict
complain(const struct slt_record *record, int side, const char *what, const char *got)
{
    if (run.failed < SHOWN_MAX)
        (void)fprintf(stderr, "%s:%d: %s: %s\n%s\nexpected:\n%s\ngot:\n%s\n\n", run.file->name,
                      record->line, side_names[side], what, record->sql,
                      record->expected == NULL ? "" : record->expected, got);
    return FAILED;
}

static enum verdict
run_statement(const struct slt_record *record, int side)
{
    char name[SLT_NAME_BYTES], reason[SLT_REASON_BYTES] = "";
    enum slt_ddl defined = SLT_DDL_OTHER;
    bool failed;

    if (side == TXKV)
        defined = slt_define(&run.schema, record->sql, name, reason);
    if (defined == SLT_DDL_REFUSED) {
        lose(name);
        return skip(reason);
    }
    failed = defined == SLT_DDL_FAILED;
    if (defined == SLT_DDL_OTHER) {
        char *sql = side == TXKV ? in_temp(record->sql) : strdup(record->sql);

        failed = sqlite3_exec(run.db[side], sql, NULL, NULL, NULL) != SQLITE_OK;
        (void)snprintf(reason, sizeof reason, "%s", sqlite3_errmsg(run.db[side]));
        free(sql);
    }
    if (failed && !record->fails && side == TXKV && is_refused_by_nature(reason))
        return skip_change(record->sql, reason);
    if (failed != record->fails)
        return complain(record, side, failed ? "fails" : "does not fail", reason);
    return PASSED;
}

/* Whether the result is that of earlier queries with the same label. */
static bool
agrees_with_label(const struct slt_record *record, const struct buffer *values)
{
    char line[sizeof run.labels[0]], hash[MD5_DIGEST_STRING_LENGTH];
    const size_t bytes = strlen(record->label) + 1; /* with the space behind it */
    int i = 0;

    if (*record->label == '\0')
        return true;
    (void)MD5Data((const uint8_t *)values->data, values->used, hash);
    (void)snprintf(line, sizeof line, "%s %s", record->label, hash);
    (void)snprintf(run.labels[run.label_count], sizeof line, "%s", line);
    while (strncmp(run.labels[i], line, bytes) != 0)
        i++;
    if (i == run.label_count && run.label_count < LABELS_MAX - 1)
        run.label_count++;
    return strcmp(run.labels[i], line) == 0;
}

static enum verdict
run_query(const struct slt_record *record, int side)
{
    struct buffer values = { NULL, 0, 0 };
    enum verdict verdict = PASSED;
    size_t count;

    if (!slt_query(run.db[side], record, &values, &count))
        verdict = side == TXKV && is_refused_by_nature(values.data)
                      ? skip_change(record->sql, values.data)
                      : complain(record, side, "fails", values.data);
    else if (!slt_expected(record, &values, count))
        verdict = complain(record, side, "another result", values.data);
    else if (!agrees_with_label(record, &values))
        verdict = complain(record, side, "another result than before", values.data);
    free(values.data);
    return verdict;
}

static void
run_record(const struct slt_record *record)
{
    enum verdict worst = PASSED;

    for (int side = 0; side < SIDES; side++) {
        const char *lost = side == TXKV ? lost_name(record->sql) : NULL;
        char reason[SLT_REASON_BYTES];
        enum verdict verdict;

        if (!slt_applies(record, "sqlite", side_names[side]))
            continue;
        if (lost != NULL) {
            lose_view(record->sql);
            (void)snprintf(reason, sizeof reason, "it names %s", lost);
            verdict = skip(reason);
        } else if (record->kind == SLT_QUERY) {
            verdict = run_query(record, side);
        } else {
            verdict = run_statement(record, side);
        }
        if (worst != FAILED && verdict != PASSED)
            worst = verdict;
    }
    run.passed += worst == PASSED;
    run.failed += worst == FAILED;
    run.skipped += worst == SKIPPED;
}

static void
run_file(const char *name)
{
    struct slt_file file;
    struct slt_record record = { .kind = SLT_HALT };
    uint64_t records = 0;
    int rc = -1;

    memset(&run, 0, sizeof run);
    run.file = &file;
    test_dir_make_in_memory(run.dir, "slt");
    for (int side = 0; side < SIDES; side++)
        run.db[side] = sql_open(side == TXKV);
    run.schema = (struct slt_schema){ .db = run.db[TXKV], .dir = run.dir };
    if (!slt_open(&file, name))
        test_die("%s: cannot be read, or has a zero byte", name);
    while ((rc = slt_read(&file, &record)) > 0) {
        if (record.kind == SLT_HALT && slt_applies(&record, "sqlite", "sqlite"))
            break;
        if (record.kind == SLT_HALT)
            continue;
        run_record(&record);
        if (++records % CHECKPOINT_EVERY == 0 && run.schema.made > 0)
            sql_run(run.db[TXKV], "SELECT txkv_checkpoint('%s')", run.dir);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "%s:%d: %s\n", name, file.line, file.complaint);
        run.failed++;
    }
    slt_close(&file);
    slt_schema_free(&run.schema);
    for (int side = 0; side < SIDES; side++)
        (void)sqlite3_close(run.db[side]);
    test_dir_remove(run.dir);
    (void)printf("%-4s %s: %llu passed, %llu failed, %llu skipped\n",
                 run.failed == 0 ? "ok" : "FAIL", name, (unsigned long long)run.passed,
                 (unsigned long long)run.failed, (unsigned long long)run.skipped);
}

/* ---- which files ---- */

static uint64_t total_passed, total_failed;

static void
add_up(void)
{
    total_passed += run.passed;
    total_failed += run.failed;
}

static void
run_seed(uint64_t seed, uint64_t records)
{
    char path[TEST_PATH_BYTES];
    FILE *out;

    test_seed_is(seed);
    (void)mkdir("build", 0777);
    (void)mkdir("build/slt", 0777);
    (void)snprintf(path, sizeof path, "build/slt/seed-%llu-of-%d.test", (unsigned long long)seed,
                   (int)getpid());
    out = fopen(path, "w");
    if (out == NULL)
        test_die("%s cannot be written", path);
    slt_generate(seed, records, out);
    (void)fclose(out);
    run_file(path);
    run.failed += run.skipped; /* there is nothing in it that txkv may refuse */
    add_up();
    if (run.failed == 0)
        (void)unlink(path);
    else
        (void)printf("[FAILED] SEED=%llu: %s is kept\n", (unsigned long long)seed, path);
}

static void
run_directory(void)
{
    glob_t files;

    if (glob("tests/slt/*.test", 0, NULL, &files) != 0)
        test_die("tests/slt/*.test: no files; run this from the repository's root");
    for (size_t i = 0; i < files.gl_pathc; i++) {
        run_file(files.gl_pathv[i]);
        add_up();
    }
    globfree(&files);
}

int
main(int argc, char **argv)
{
    const bool option = argc > 1 && strncmp(argv[1], "--", 2) == 0;
    const uint64_t first = test_seed(1);
    uint64_t seeds = SEEDS;

    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a long run's log is read while it runs */
    if (option && strcmp(argv[1], "--generate") == 0) {
        slt_generate(test_argument(argc, argv, 2, first), test_argument(argc, argv, 3, RECORDS),
                     stdout);
        return 0;
    }
    if (option && strcmp(argv[1], "--seeds") != 0)
        test_die("%s: no such option", argv[1]);
    for (int i = 1; !option && i < argc; i++) {
        run_file(argv[i]);
        add_up();
        seeds = 0;
    }
    if (argc == 1)
        run_directory();
    seeds = option ? test_argument(argc, argv, 2, SEEDS) : seeds;
    for (uint64_t i = 0; i < seeds; i++)
        run_seed(first + i, test_argument(option ? argc : 1, argv, 3, RECORDS));
    for (int i = 0; i < REASONS_MAX && reasons[i].count > 0; i++)
        (void)printf("skipped %6llu: %s\n", (unsigned long long)reasons[i].count, reasons[i].text);
    return test_summary(total_passed, total_failed);
}
