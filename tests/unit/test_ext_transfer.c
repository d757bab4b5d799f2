/*
 * test_ext_transfer.c - txkv_export and txkv_import: what is refused and how, one snapshot, and
 * what is left when a call of the system fails or the process is killed.
 *
 * The file calls of the export are defined here, in the place of the C library's: one of them can
 * fail, or kill the process. What comes back through the formats is tests/model/roundtrip.c's.
 */
#include "sql_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../ext/decimal.h"

/* ---- calls that fail or kill ---- */

static _Thread_local int counts; /* calls of this thread are counted */
static _Thread_local int strike; /* at this call, from 1 */
static _Thread_local bool kills; /* else it fails */

static bool
strikes(void)
{
    if (counts == 0 || ++counts - 1 != strike)
        return false;
    if (kills)
        (void)raise(SIGKILL);
    errno = EIO;
    return true;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's have
 * underscores. */
ssize_t
write(int fd, const void *data, size_t bytes)
{
    return strikes() ? -1 : syscall(SYS_write, fd, data, bytes);
}

int
fsync(int fd)
{
    return strikes() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return strikes() ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* ---- files ---- */

static const char *
path_of(const char *name)
{
    static char path[TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%u-%s", dir, stores, name);
    return path;
}

static void
write_text(const char *name, const char *text, size_t bytes)
{
    FILE *out = fopen(path_of(name), "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
}

/* How many files of the test have this in their name. */
static int
count_files(const char *part)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    char mine[32];
    int count = 0;

    assert_non_null(d);
    (void)snprintf(mine, sizeof mine, "%u-", stores);
    while ((entry = readdir(d)) != NULL)
        count +=
            strncmp(entry->d_name, mine, strlen(mine)) == 0 && strstr(entry->d_name, part) != NULL;
    (void)closedir(d);
    return count;
}

static long
bytes_of(const char *name)
{
    struct stat st;

    return stat(path_of(name), &st) == 0 ? (long)st.st_size : -1;
}

/* Run a function on the test's store; the message, or the answer. */
static const char *
call(sqlite3 *db, const char *function, const char *where, const char *name, const char *words)
{
    static char text[1024];
    char *sql = sqlite3_mprintf("SELECT %s(%Q, %Q, %Q)", function, where, path_of(name), words);
    sqlite3_stmt *statement = prepare(db, sql);

    (void)snprintf(text, sizeof text, "%s",
                   sqlite3_step(statement) == SQLITE_ROW
                       ? (const char *)sqlite3_column_text(statement, 0)
                       : sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    sqlite3_free(sql);
    return text;
}

static void
assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", text, part);
}

static sqlite3 *
open_people(void)
{
    sqlite3 *db = open_db();
    char *sql =
        sqlite3_mprintf("CREATE VIRTUAL TABLE temp.p USING txkv('%s/%u', id INTEGER PRIMARY "
                        "KEY, name TEXT NOT NULL, x, UNIQUE(name))",
                        dir, stores);

    must(db, sql);
    sqlite3_free(sql);
    return db;
}

static const char *
store_dir(void)
{
    static char path[TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%u", dir, stores);
    return path;
}

/* ---- reals ---- */

static void
reals_are_printed_short_and_read_back_exactly(void **state)
{
    static const struct {
        double real;
        const char *text, *safe;
    } cases[] = {
        { 0.1, "0.1", "0.1" },
        { 1, "1.0", "1.0" },
        { -0.0, "-0.0", "-0.0" },
        { 1e22, "1.0e+22", "1.0e+22" },
        { 19.99, "19.99", "19.99" },
        { 0.00015, "0.00015", "0.00014999999999999999" },
        { 1.0 / 3, "0.3333333333333333", "0.33333333333333331" },
        { 5e-324, "4.94065645841247e-324", "4.9406564584124654e-324" },
    };
    char text[TX_DECIMAL_BYTES];
    double back;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tx_decimal_print(cases[i].real, text);
        assert_string_equal(text, cases[i].text);
        assert_true(tx_decimal_read(text, &back));
        assert_memory_equal(&back, &cases[i].real, sizeof back);
        tx_decimal_print_safe(cases[i].real, text);
        assert_string_equal(text, cases[i].safe);
    }
    assert_false(tx_decimal_read("1,5", &back));
    assert_false(tx_decimal_read("0x10", &back));
    assert_false(tx_decimal_read("nan", &back));
}

/* ---- what is refused ---- */

struct refusal {
    const char *file, *text, *words, *part;
};

static const struct refusal refusals[] = {
    { "a.csv", "id,nme\n", "", "line 1, column nme: the table has no column of that name" },
    { "a.csv", "id,ID\n", "", "line 1, column ID: the first line names the column twice" },
    { "a.csv", "id,name\n1,a\n2\n", "", "line 3: 1 fields, where the first line has 2" },
    { "a.csv", "id,name\n1,\"a\nb\"\n2,\"c\n", "", "line 4: a quote is not closed" },
    { "a.csv", "id,name\n1,\"a\"b\n", "", "line 2: there is text behind a closing quote" },
    { "a.csv", "id,name\n1,a\"b\n", "", "line 2: there is a quote in a field" },
    { "a.csv", "id,name\n1,a\nx,b\n", "", "line 3: datatype mismatch; the row is id = 'x', " },
    { "a.csv", "id,name\n1,a\n2,a\n", "",
      "line 3: UNIQUE constraint failed: p.name; the row is id = 2, name = 'a'" },
    { "a.csv", "id,name\n1,\n", "",
      "NOT NULL constraint failed: p.name; the row is id = 1, name = "
      "NULL" },
    { "a.jsonl", "{\"table\":\"p\",\"row\":{\"id\":1,\"name\":\"a\"}}\n{\"id\":2}\n", "",
      "line 2, byte 7: the members of the object are" },
    { "a.jsonl", "{\"id\":1,\"name\":\"\\ud800\"}\n", "plain=yes",
      "column name: half of a surrogate pair" },
    { "a.jsonl", "{\"id\":1,\"name\":\"\xff\"}\n", "plain=yes",
      "column name: a text is not UTF-8" },
    { "a.jsonl", "{\"id\":1,\"name\":[1]}\n", "plain=yes", "column name: an array is no value" },
    { "a.jsonl", "{\"id\":1,\"name\":{\"blob\":\"0\"}}\n", "plain=yes",
      "hex digits, two for each" },
    { "a.jsonl", "{\"id\":9223372036854775808}\n", "plain=yes",
      "column id: a whole number beyond 64 bits" },
    { "a.jsonl", "{\"id\":1,\"name\":\"a\"}}\n", "plain=yes", "there is text behind the object" },
    { "a.jsonl", "{\"id\":1,\"nom\":\"a\"}\n", "plain=yes", "column nom: the table has no column" },
    { "a.jsonl", "{\"id\":1,\"id\":2}\n", "plain=yes", "column id: the row has the column twice" },
    { "a.jsonl", "{\"table\":\"q\",\"columns\":\"a\"}\n", "", "has nothing of the table p" },
    { "a.jsonl", "{\"table\":\"p\",\"columns\":\"a\"}\n", "", "line 1" },
    { "a.sql", "SELECT 1;", "", "is a script, and SQL runs it" },
    { "a.txt", "", "", "what format has" },
    { "a.csv", "", "plain=yes", "plain=yes is for format=jsonl" },
    { "a.csv", "", "nul=x", "no option \"nul\": there are format, table, null" },
    { "a.csv", "", "conflict=x", "the option conflict cannot be \"x\"" },
    { "a.csv", "", "null='x", "is no option" },
    { "a.csv", "", "x", "\"x\" is no option" },
};

/* Whatever is wrong, and wherever, no row is there afterwards. */
static void
a_file_that_is_wrong_is_refused_with_its_line_and_leaves_nothing(void **state)
{
    sqlite3 *db = open_people();

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];

        write_text(r->file, r->text, strlen(r->text));
        assert_has(call(db, "txkv_import", "p", r->file, r->words), r->part);
        assert_int_equal(ask_number(db, "SELECT count(*) FROM p"), 0);
    }
    assert_has(call(db, "txkv_import", "p", "missing.csv", ""), "cannot open");
    assert_has(call(db, "txkv_import", "nowhere", "a.csv", "table=p"), "create=yes makes one");
    assert_has(call(db, "txkv_import", store_dir(), "a.csv", ""), "the option table=");
    assert_has(call(db, "txkv_import", store_dir(), "a.csv", "table=q"), "columns='...' makes");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- CSV of others ---- */

static void
csv_of_other_programs_is_read(void **state)
{
    static const char text[] = "\xef\xbb\xbfName,id,x\r\nAnn,1,007\r\n\"Bob, \"\"B\"\"\",2,1e2\n"
                               "x'41',3,\n12,4,X'4\n";
    sqlite3 *db = open_people();

    (void)state;
    write_text("a.csv", text, sizeof text - 1);
    assert_string_equal(call(db, "txkv_import", "p", "a.csv", ""), "4");
    assert_string_equal(ask(db, "SELECT group_concat(quote(name) || quote(x), ' ') FROM p"),
                        "'Ann''007' 'Bob, \"B\"'100.0 X'41'NULL '12''X''4'");
    /* Again: each row is in the way of one. */
    assert_has(call(db, "txkv_import", "p", "a.csv", ""), "UNIQUE constraint failed");
    assert_string_equal(call(db, "txkv_import", "p", "a.csv", "conflict=ignore"), "0");
    assert_string_equal(call(db, "txkv_import", "p", "a.csv", "conflict=replace null=007"), "4");
    assert_string_equal(ask(db, "SELECT group_concat(quote(x), ' ') FROM p"),
                        "NULL 100.0 '' 'X''4'");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
fill(sqlite3 *db)
{
    must(db, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) "
             "INSERT INTO kv SELECT i, printf('%.100d', i) FROM c");
}

/* ---- one snapshot ---- */

static int stop;

static void *
move_money(void *arg)
{
    sqlite3 *db = open_people();

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
        (void)run(db, "BEGIN; UPDATE kv SET value = value - 1 WHERE key = 'sum'; "
                      "UPDATE p SET x = x + 1 WHERE id = 1; COMMIT");
    (void)sqlite3_close(db);
    return NULL;
}

static void
an_export_is_one_snapshot_over_all_tables(void **state)
{
    sqlite3 *db = open_people();
    pthread_t thread;

    (void)state;
    fill(db); /* so that one table takes a while */
    must(db, "INSERT INTO kv VALUES('sum', 1000); INSERT INTO p VALUES(1, 'a', 0)");
    stop = 0;
    assert_int_equal(pthread_create(&thread, NULL, move_money, NULL), 0);
    for (int i = 0; i < 20; i++) {
        char *sql;

        assert_string_equal(call(db, "txkv_export", store_dir(), "a.jsonl", "overwrite=yes"),
                            "3002");
        sql = sqlite3_mprintf("%s/%u-copy%d", dir, stores, i);
        assert_string_equal(call(db, "txkv_import", sql, "a.jsonl", "create=yes"), "3002");
        sqlite3_free(sql);
        sql = sqlite3_mprintf(
            "SELECT sum(value) + (SELECT row ->> 'x' FROM txkv_scan('%s/%u-copy%d', "
            "'p')) FROM txkv_scan('%s/%u-copy%d', 'kv') WHERE key = 'sum'",
            dir, stores, i, dir, stores, i);
        assert_int_equal(ask_number(db, sql), 1000);
        sqlite3_free(sql);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ask_number(db, "SELECT x FROM p") > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- what fails, and kills ---- */

static void
a_failed_call_leaves_no_file(void **state)
{
    sqlite3 *db = open_db();
    int n = 0;
    bool failed;

    (void)state;
    fill(db);
    do {
        const char *answer;

        counts = 1;
        strike = ++n;
        kills = false;
        answer = call(db, "txkv_export", "kv", "a.csv", "");
        failed = counts > strike;
        counts = 0;
        if (failed) {
            assert_has(answer, "txkv_export: cannot write");
            assert_has(answer, "Input/output error");
        } else {
            assert_string_equal(answer, "3000");
        }
        assert_int_equal(count_files("a.csv"), !failed);
    } while (failed);
    assert_true(n > 7); /* writes, a sync, a name, a sync */
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A child that is killed at its n-th call; false: it was not. */
static bool
is_child_killed(int n)
{
    const pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        sqlite3 *db = open_db();

        counts = 1;
        strike = n;
        kills = true;
        _exit(strcmp(call(db, "txkv_export", "kv", "a.csv", ""), "3000") != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return false;
}

static void
a_kill_leaves_no_target_or_all_of_it(void **state)
{
    sqlite3 *db = open_db();
    long whole;
    int n = 0;

    (void)state;
    fill(db);
    assert_string_equal(call(db, "txkv_export", "kv", "b.csv", ""), "3000");
    whole = bytes_of("b.csv");
    assert_int_equal(sqlite3_close(db), SQLITE_OK); /* the children have no handles of it */
    while (is_child_killed(++n)) {
        assert_true(bytes_of("a.csv") == -1 || bytes_of("a.csv") == whole);
        assert_true(count_files("a.csv") <= 1); /* what the kill before has left is removed */
        (void)unlink(path_of("a.csv"));
    }
    assert_true(n > 7);
    assert_int_equal(bytes_of("a.csv"), whole);
    assert_int_equal(count_files("tmp-"), 0);
}

/* A file that another export is writing is not taken from it. */
static void
files_of_others_stay(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    fill(db);
    write_text("a.csv.tmp-0123456789abcde", "short", 5);
    write_text("a.csv.tmp-0123456789abcdeg", "no hex", 6);
    write_text("a.csv.tmp-0123456789abcdef", "dead", 4);
    assert_string_equal(call(db, "txkv_export", "kv", "a.csv", ""), "3000");
    assert_int_equal(count_files("tmp-"), 2);
    assert_has(call(db, "txkv_export", "kv", "a.csv", ""), "is there already");
    assert_int_equal(mkdir(path_of("d.csv"), 0700), 0);
    assert_has(call(db, "txkv_export", "kv", "d.csv", "overwrite=yes"), "is no file");
    assert_has(call(db, "txkv_export", "kv", "no/where.csv", ""), "No such file or directory");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The child reads from a pipe, and is killed when it has had half. */
static void
a_killed_import_leaves_no_row(void **state)
{
    char line[64];
    sqlite3 *db;
    pid_t pid;
    int fd, status;

    (void)state;
    assert_int_equal(mkfifo(path_of("a.csv"), 0600), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)call(open_people(), "txkv_import", "p", "a.csv", "");
        _exit(1);
    }
    fd = open(path_of("a.csv"), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "id,name\n", 8), 8);
    for (int i = 0; i < 100000; i++) {
        const int bytes = snprintf(line, sizeof line, "%d,name of number %d\n", i, i);

        assert_int_equal(write(fd, line, (size_t)bytes), bytes);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    (void)close(fd);
    db = open_people();
    assert_int_equal(ask_number(db, "SELECT count(*) FROM p"), 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reals_are_printed_short_and_read_back_exactly),
        cmocka_unit_test_setup(a_file_that_is_wrong_is_refused_with_its_line_and_leaves_nothing,
                               use_new_store),
        cmocka_unit_test_setup(csv_of_other_programs_is_read, use_new_store),
        cmocka_unit_test_setup(a_kill_leaves_no_target_or_all_of_it, use_new_store),
        cmocka_unit_test_setup(a_killed_import_leaves_no_row, use_new_store),
        cmocka_unit_test_setup(an_export_is_one_snapshot_over_all_tables, use_new_store),
        cmocka_unit_test_setup(a_failed_call_leaves_no_file, use_new_store),
        cmocka_unit_test_setup(files_of_others_stay, use_new_store),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return failed;
}
