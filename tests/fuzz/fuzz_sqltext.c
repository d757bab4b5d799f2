/*
 * fuzz_sqltext.c - any text as SQL, with txkv tables, its functions and its table-valued parts: it
 * ends, and ends without a crash; afterwards the store is in order.
 *
 * A byte of the input is a word out of a list, most of which txkv is about, or begins a word of its
 * own; so statements come together that no grammar has. Paths stay in a directory of the target's:
 * it is the working directory meanwhile, and a text with a slash in it is not run.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
    TEXT_MAX = 8192,
    PROGRESS_OPS = 1000,
    PROGRESS_MAX = 30,
    WORDS_MAX = 240,
    RESET_AFTER = 400
};

/* Separated by tabs. */
static const char word_list[] =
    ";\t,\t(\t)\t*\t=\t<\t>\t<=\t>=\t<>\t+\t-\t||\t.\t?\t1\t2\t7\t0\t-1\t0.5\t1e300\t"
    "9007199254740993\t9223372036854775807\t'a'\t'b'\t'A '\t''\tx'00ff'\tx''\tNULL\t"
    "'user:1'\tzeroblob(600)\tzeroblob(300000)\tkv\tt\tw\tn\ttemp\tmain\tkey\tvalue\trowid\t"
    "id\tname\tage\ta\tb\tc\td\tSELECT\tFROM\tWHERE\tORDER BY\tGROUP BY\tHAVING\tLIMIT\t"
    "OFFSET\tDESC\tASC\tJOIN\tLEFT JOIN\tON\tUSING\tAS\tIN\tNOT\tAND\tOR\tIS\tIS NOT\t"
    "BETWEEN\tGLOB\tLIKE\tMATCH\tREGEXP\tCOLLATE NOCASE\tCOLLATE RTRIM\tCOLLATE BINARY\t"
    "EXISTS\tUNION\tUNION ALL\tEXCEPT\tINTERSECT\tDISTINCT\tINSERT INTO\t"
    "INSERT OR IGNORE INTO\tREPLACE INTO\tINSERT OR FAIL INTO\tINSERT OR ROLLBACK INTO\t"
    "VALUES\tVALUES(1, 'a')\tUPDATE\tSET\tDELETE FROM\tBEGIN\tBEGIN IMMEDIATE\tCOMMIT\t"
    "ROLLBACK\tSAVEPOINT s\tRELEASE s\tROLLBACK TO s\tSAVEPOINT r\tRELEASE r\tROLLBACK TO r\t"
    "DEFAULT VALUES\tRETURNING\tON CONFLICT DO NOTHING\tWITH\tRECURSIVE\tEXPLAIN\t"
    "EXPLAIN QUERY PLAN\tCASE\tWHEN\tTHEN\tELSE\tEND\tCAST\tINTEGER\tTEXT\tREAL\tBLOB\t"
    "NUMERIC\tANY\tPRIMARY KEY\tUNIQUE\tINDEX\tNOT NULL\tCOLLATE\tCREATE VIRTUAL TABLE\t"
    "USING txkv\tDROP TABLE\tALTER TABLE\tRENAME TO\tCREATE TABLE\tCREATE VIEW\t"
    "CREATE INDEX i\tCREATE TEMP TRIGGER g\tINSTEAD OF\tAFTER INSERT\t's'\t's2'\ttable=\t"
    "sync=\tfull\tnormal\toff\tisolation=\tsnapshot\tserializable\tcheckpoint_bytes=\t"
    "overlay_limit=\tmap_size=\tstall_timeout_ms=1\twal_dir='w'\tsnapshot_timeout_s=1\t"
    "flush_interval_ms=\t'1MiB'\t65536\ttxkv_checkpoint\ttxkv_recover\t'dry-run'\t'salvage'\t"
    "'rescue'\t'commit'\t'abort'\ttxkv_backup\t'kv'\t'copy'\ttxkv_version()\ttxkv_stats\t"
    "txkv_tables\ttxkv_log\tstore\tcount(*)\tsum\tmin\tmax\tlength\ttypeof\thex\tquote\t"
    "group_concat\tjson_extract\t->>\t->\t'$.a'\t'{\"a\":1}'\tchanges()\t"
    "last_insert_rowid()\tsqlite_schema\tPRAGMA integrity_check\tPRAGMA table_info\t"
    "PRAGMA table_list\tANALYZE\tREINDEX\tVACUUM\tINDEXED BY\tCROSS JOIN\tNATURAL\tOVER\t"
    "PARTITION BY\tFILTER\tlikely\tunlikely\tSELECT * FROM\tSELECT count(*) FROM\t"
    "kv WHERE key\tt WHERE id\tw WHERE a\tkey >=\tkey <\tVALUES('user:1', 1)\t"
    "(1, 'ann', 30)\t('x', 2, 3, 4)\tINSERT INTO kv\tINSERT INTO t\tINSERT INTO w\t"
    "UPDATE kv SET value =\tUPDATE t SET name =\tOR\tu\ttxkv_scan\t"
    "txkv_check\ttxkv_drop";

static const char *words[WORDS_MAX]; /* each up to a tab, or the end */
static uint32_t word_count;

static struct {
    sqlite3 *db;
    uint64_t runs;
    uint32_t calls, number;
    int home_fd; /* the working directory before */
    char path[TEST_PATH_BYTES];
    char text[TEXT_MAX];
    size_t used;
} fuzz;

/* ---- the connection ---- */

static int
progress(void *arg)
{
    (void)arg;
    return ++fuzz.calls > PROGRESS_MAX;
}

/* Nothing outside of the directory, and no memory without end. */
static int
authorize(void *arg, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)arg;
    (void)a;
    (void)c;
    (void)d;
    if (action == SQLITE_ATTACH ||
        (action == SQLITE_FUNCTION && b != NULL &&
         (strcmp(b, "load_extension") == 0 || strcmp(b, "randomblob") == 0)))
        return SQLITE_DENY;
    return SQLITE_OK;
}

static void
run(const char *sql)
{
    char *message = NULL;

    fuzz.calls = 0;
    if (sqlite3_exec(fuzz.db, sql, NULL, NULL, &message) != SQLITE_OK)
        test_die("%s: %s", sql, message);
}

static const char setup[] =
    "CREATE VIRTUAL TABLE temp.kv USING txkv('s', sync=off, stall_timeout_ms=1);"
    "CREATE VIRTUAL TABLE temp.t USING txkv('s', id INTEGER PRIMARY KEY, name TEXT NOT NULL, age "
    "INT, "
    "UNIQUE(name), INDEX(age));"
    "CREATE VIRTUAL TABLE temp.w USING txkv('s', a TEXT COLLATE NOCASE, b, c REAL, d BLOB, "
    "PRIMARY KEY(a, b), INDEX(c, d));"
    "CREATE TABLE n(a, b); INSERT INTO n VALUES(1, 'a'), (2, 'b');"
    "INSERT INTO kv VALUES('user:1', '{\"a\":1}'), (7, 2.5), (x'00ff', NULL);"
    "INSERT INTO t VALUES(1, 'ann', 30), (2, 'bob', NULL);"
    "INSERT INTO w VALUES('x', 1, 2.5, x''), ('Y', 2, NULL, 'text')";

/* A new directory, now and then: what statements have left is part of what the next ones see. */
static void
open_new(void)
{
    char name[32];

    if (fuzz.db != NULL) {
        (void)sqlite3_close(fuzz.db);
        test_dir_remove(fuzz.path);
    }
    (void)snprintf(name, sizeof name, "d%u", ++fuzz.number);
    test_path(fuzz.path, files_dir(), name);
    require(mkdir(fuzz.path, 0700) == 0 && chdir(fuzz.path) == 0);
    require(sqlite3_open(":memory:", &fuzz.db) == SQLITE_OK);
    (void)sqlite3_limit(fuzz.db, SQLITE_LIMIT_LENGTH, 1 << 20);
    require(sqlite3_txkv_init(fuzz.db, NULL, NULL) == SQLITE_OK);
    run(setup);
    sqlite3_progress_handler(fuzz.db, PROGRESS_OPS, progress, NULL);
    (void)sqlite3_set_authorizer(fuzz.db, authorize, NULL);
}

/* ---- the text ---- */

static void
split_words(void)
{
    const char *word = word_list;

    while (word != NULL) {
        require(word_count < WORDS_MAX);
        words[word_count++] = word;
        word = strchr(word, '\t');
        word = word == NULL ? NULL : word + 1;
    }
}

static void
add(const char *bytes, size_t count)
{
    if (fuzz.used + count + 1 < TEXT_MAX) {
        memcpy(fuzz.text + fuzz.used, bytes, count);
        fuzz.used += count;
    }
}

static void
make_text(struct input *input)
{
    fuzz.used = 0;
    while (!take_end(input)) {
        const uint8_t byte = take_u8(input);

        if (byte < word_count) {
            add(words[byte], strcspn(words[byte], "\t"));
        } else { /* one of its own */
            size_t bytes;
            const uint8_t *own = take_bytes(input, (size_t)byte - word_count + 1, &bytes);

            add((const char *)own, bytes);
        }
        add(" ", 1);
    }
    fuzz.text[fuzz.used] = '\0';
}

/* Statements, until one does not parse: the fuzzer finds out sooner what makes one. */
static void
run_text(void)
{
    const char *sql = fuzz.text;

    while (sql != NULL && *sql != '\0') {
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(fuzz.db, sql, -1, &statement, &sql);

        if (rc != SQLITE_OK)
            break;
        fuzz.calls = 0;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
            for (int i = 0; i < sqlite3_column_count(statement); i++)
                touch(sqlite3_column_blob(statement, i),
                      (size_t)sqlite3_column_bytes(statement, i));
        require((rc & 0xff) != SQLITE_CORRUPT && (rc & 0xff) != SQLITE_INTERNAL);
        (void)sqlite3_finalize(statement);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };

    if (word_count == 0) {
        split_words();
        fuzz.home_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(fuzz.home_fd >= 0);
    }
    if (fuzz.runs++ % RESET_AFTER == 0)
        open_new();
    make_text(&input);
    if (memchr(fuzz.text, '/', fuzz.used) != NULL)
        return 0;
    require(chdir(fuzz.path) == 0);
    run_text();
    if (!sqlite3_get_autocommit(fuzz.db))
        (void)sqlite3_exec(fuzz.db, "ROLLBACK", NULL, NULL, NULL);
    require(fchdir(fuzz.home_fd) == 0);
    return 0;
}
