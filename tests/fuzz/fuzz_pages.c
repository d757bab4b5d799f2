/*
 * fuzz_pages.c - a changed data.mdb: the look at its pages never goes astray, and finds all that
 * would lead LMDB astray.
 *
 * What it finds no problem in goes to LMDB itself, which reads all of it, changes it, and copies
 * it: a crash there is a hole in the look. Afterwards the look must find no problem in it either.
 * A file without the database "meta" is somebody else's, which an opener turns away: LMDB does no
 * more with it than open it.
 *
 * Input: a byte that says what LMDB does, which takes it long; then changes to the data.mdb of
 * base.h, as files.h says.
 */
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/pages.h"
#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { NAMES_MAX = 64, NAME_BYTES = 512, LMDB_NAME_BYTES = 500 };

static struct {
    const char *dir;
    struct base base;
    struct image data;
    char path[TEST_PATH_BYTES];
    char names[NAMES_MAX][NAME_BYTES];
    uint32_t name_count;
} fuzz;

/* ---- the look ---- */

static enum txkv_rc
visit_pair(void *arg, const struct tx_pages_pair *pair, struct txkv_error *err)
{
    uint64_t *count = arg;

    (void)err;
    require(pair->key_bytes > 0);
    touch(pair->key, pair->key_bytes);
    touch(pair->value, pair->value_bytes);
    ++*count;
    return TXKV_OK;
}

static enum txkv_rc
visit_name(void *arg, const char *name, uint64_t entries, struct txkv_error *err)
{
    (void)arg;
    (void)err;
    (void)entries;
    touch(name, strlen(name));
    if (fuzz.name_count < NAMES_MAX)
        (void)snprintf(fuzz.names[fuzz.name_count++], NAME_BYTES, "%s", name);
    return TXKV_OK;
}

/* How many problems there are; -1: it is no file of LMDB, or none that LMDB would open. */
static int64_t
look(bool each)
{
    struct tx_pages *pages;
    struct txkv_error err;
    uint64_t pairs = 0;
    int64_t problems;

    fuzz.name_count = 0;
    if (tx_pages_open(fuzz.path, 0, &pages, &err) != TXKV_OK)
        return -1;
    require(tx_pages_names(pages, visit_name, NULL, &err) == TXKV_OK);
    for (uint32_t i = 0; each && i < fuzz.name_count; i++)
        require(tx_pages_each(pages, fuzz.names[i], visit_pair, &pairs, &err) == TXKV_OK);
    require(tx_pages_check(pages, &err) == TXKV_OK);
    problems = (int64_t)tx_pages_report(pages)->found.problems;
    if (getenv("VERBOSE") != NULL)
        (void)fprintf(stderr, "%lld problems: %s\n", (long long)problems,
                      tx_pages_report(pages)->found.first);
    require(tx_pages_report(pages)->unreadable == 0);
    tx_pages_close(pages);
    return problems;
}

/* ---- LMDB ---- */

static void
broken(MDB_env *env, const char *message)
{
    (void)env;
    test_die("LMDB: %s", message);
}

static MDB_env *
open_env(unsigned flags)
{
    MDB_env *env;
    MDB_envinfo info;
    int fd;

    require(mdb_env_create(&env) == 0);
    (void)mdb_env_set_assert(env, broken);
    (void)mdb_env_set_mapsize(env, BASE_MAP_BYTES);
    (void)mdb_env_set_maxdbs(env, NAMES_MAX);
    if (mdb_env_open(env, fuzz.path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS | flags,
                     0600) != 0) {
        mdb_env_close(env);
        return NULL;
    }
    /* As an opener does. */
    (void)mdb_env_info(env, &info);
    (void)mdb_env_get_fd(env, &fd);
    if ((uint64_t)lseek(fd, 0, SEEK_END) < (info.me_last_pgno + 1) * IMAGE_PAGE &&
        truncate(fuzz.path, (off_t)((info.me_last_pgno + 1) * IMAGE_PAGE)) != 0) {
        mdb_env_close(env);
        return NULL;
    }
    return env;
}

static uint64_t
read_one_way(MDB_cursor *cursor, MDB_cursor_op from, MDB_cursor_op to)
{
    uint64_t count = 0;
    MDB_val key, value, again;

    for (int e = mdb_cursor_get(cursor, &key, &value, from); e == 0;
         e = mdb_cursor_get(cursor, &key, &value, to)) {
        touch(key.mv_data, key.mv_size);
        touch(value.mv_data, value.mv_size);
        require(mdb_get(mdb_cursor_txn(cursor), mdb_cursor_dbi(cursor), &key, &again) == 0);
        require(again.mv_data == value.mv_data && again.mv_size == value.mv_size);
        count++;
    }
    return count;
}

static void
read_all(MDB_env *env)
{
    MDB_txn *txn;

    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    for (uint32_t i = 0; i < fuzz.name_count; i++) {
        MDB_cursor *cursor;
        MDB_dbi dbi;

        if (mdb_dbi_open(txn, fuzz.names[i], 0, &dbi) != 0)
            continue;
        require(mdb_cursor_open(txn, dbi, &cursor) == 0);
        require(read_one_way(cursor, MDB_FIRST, MDB_NEXT) ==
                read_one_way(cursor, MDB_LAST, MDB_PREV));
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
}

/* Every pair goes, is changed, or stays. */
static void
change_pairs(MDB_cursor *cursor, unsigned round)
{
    static uint8_t bytes[2 * IMAGE_PAGE], own_key[NAME_BYTES];
    MDB_val key, value;
    unsigned n = 0;

    while (mdb_cursor_get(cursor, &key, &value, n == 0 ? MDB_FIRST : MDB_NEXT) == 0) {
        const unsigned kind = (n++ + round) % 3;

        require(key.mv_size <= sizeof own_key);
        memcpy(own_key, key.mv_data, key.mv_size); /* which lies in the page */
        key.mv_data = own_key;
        value = (MDB_val){ n % 9 == 1 ? 5000 : n % 100, bytes };
        if ((kind == 0 && mdb_cursor_del(cursor, 0) != 0) ||
            (kind == 1 && mdb_cursor_put(cursor, &key, &value, MDB_CURRENT) != 0))
            break;
    }
}

/* And new ones come: in two rounds, the second of which uses the pages that the first has freed. */
static void
change_db(MDB_txn *txn, MDB_dbi dbi, unsigned round)
{
    static uint8_t bytes[IMAGE_PAGE];
    MDB_cursor *cursor;

    require(mdb_cursor_open(txn, dbi, &cursor) == 0);
    change_pairs(cursor, round);
    mdb_cursor_close(cursor);
    for (unsigned n = 0; n < 20; n++) {
        MDB_val key, value = { n * 40, bytes };
        char name[16];

        (void)snprintf(name, sizeof name, "row%02u%u", n * 5, round);
        key = (MDB_val){ strlen(name), name };
        if (mdb_put(txn, dbi, &key, &value, 0) != 0)
            break;
    }
}

static void
change_all(MDB_env *env, unsigned round)
{
    MDB_txn *txn;

    if (mdb_txn_begin(env, NULL, 0, &txn) != 0)
        return;
    for (uint32_t i = 0; i < fuzz.name_count; i++) {
        MDB_dbi dbi;

        if (mdb_dbi_open(txn, fuzz.names[i], 0, &dbi) == 0)
            change_db(txn, dbi, round);
    }
    (void)mdb_txn_commit(txn);
}

static void
copy_all(MDB_env *env)
{
    char path[TEST_PATH_BYTES];
    int fd;

    test_path(path, fuzz.dir, "copy");
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0);
    (void)mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);
    (void)close(fd);
}

static bool
is_store(void)
{
    for (uint32_t i = 0; i < fuzz.name_count; i++)
        if (strcmp(fuzz.names[i], "meta") == 0)
            return true;
    return false;
}

/* What LMDB does; as a rule it only reads, which is quick. */
enum { COPIES = 1, CHANGES = 2, OPENS = 8 };

static void
run_lmdb(uint8_t what)
{
    const unsigned does = is_store() ? what & 7u : OPENS;
    const bool copies = does == COPIES, changes = does == CHANGES;
    MDB_env *env = open_env(changes ? 0 : MDB_RDONLY);

    if (env == NULL)
        return;
    if (does != OPENS)
        read_all(env);
    if (copies)
        copy_all(env);
    if (changes) {
        change_all(env, 0);
        change_all(env, 1);
    }
    mdb_env_close(env);
    if (changes)
        require(look(false) == 0);
}

/* ---- the target ---- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };
    const uint64_t live = tx_mem_live();
    uint8_t what;

    if (fuzz.dir == NULL) {
        fuzz.dir = files_dir();
        base_make(&fuzz.base, fuzz.dir, "base");
        test_path(fuzz.path, fuzz.dir, "data.mdb");
        return LLVMFuzzerTestOneInput(data, bytes);
    }
    image_copy(&fuzz.data, &fuzz.base.files[0]);
    what = take_u8(&input);
    while (!take_end(&input))
        image_change(&fuzz.data, &input);
    image_write(&fuzz.data, fuzz.dir);
    if (look(true) == 0) {
        require(image_is_in(&fuzz.data, fuzz.dir));
        run_lmdb(what);
    }
    require(tx_mem_live() == live);
    return 0;
}
