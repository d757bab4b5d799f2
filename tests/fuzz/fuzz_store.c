/*
 * fuzz_store.c - a store with any of its files changed: looking, opening, reading, checking,
 * salvaging and rescuing end, without a crash, and agree.
 *
 * Looking changes nothing and says whether the store will open. What opens has pages in order, can
 * be read both ways, takes a transaction and a checkpoint, and closes; when that went well, it
 * opens again. What was rescued opens.
 *
 * Input: a byte for what is done with it, as not every input needs all; then changes: a byte that
 * says to which file, and what files.h takes, or a log's checksums made right again, files
 * exchanged, one missing or doubled. The files are those of base.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { LOG_MAX = 6 };

static struct {
    const char *dir;
    char store[TEST_PATH_BYTES];
    struct base base;
    struct image files[BASE_FILES_MAX];
    bool touches_data; /* LMDB has no checksums: values may be anything */
} fuzz;

/* ---- changes ---- */

static struct image *
file_of(uint8_t number)
{
    require(fuzz.base.count > 0);
    return &fuzz.files[number % fuzz.base.count];
}

static void
swap_files(struct input *input)
{
    struct image *a = file_of(take_u8(input));
    struct image *b = file_of(take_u8(input));
    const struct image before = *a;

    if (!a->is_log || !b->is_log || a == b)
        return;
    a->bytes = b->bytes;
    a->size = b->size;
    a->room = b->room;
    b->bytes = before.bytes;
    b->size = before.size;
    b->room = before.room;
}

/* All logs that there are, as far as records can be told. */
static void
mend_logs(struct input *input)
{
    const uint32_t damaged_record = take_u8(input);

    for (size_t i = 0; i < fuzz.base.count; i++)
        if (fuzz.files[i].is_log)
            image_mend_log(&fuzz.files[i], fuzz.base.store_id, damaged_record);
}

static void
change_one(struct input *input)
{
    const uint8_t what = take_u8(input);
    struct image *file = file_of(what);

    switch (what / 16) {
    case 0:
        swap_files(input);
        break;
    case 1:
        mend_logs(input);
        return;
    case 2:
        file->is_present = take_u8(input) % 4 == 0;
        break;
    default:
        image_change(file, input);
        break;
    }
    fuzz.touches_data = fuzz.touches_data || file == &fuzz.files[0];
}

static void
make_files(struct input *input)
{
    fuzz.touches_data = false;
    for (size_t i = 0; i < fuzz.base.count; i++)
        image_copy(&fuzz.files[i], &fuzz.base.files[i]);
    while (!take_end(input))
        change_one(input);
}

/* What earlier steps have left goes: files of salvages and rescues too. */
static void
remove_names(const char *dir, const char *kept)
{
    const struct dirent *entry;
    char path[TEST_PATH_BYTES];
    DIR *stream = opendir(dir);

    if (stream == NULL)
        return;
    /* The target's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, kept) == 0)
            continue;
        test_path(path, dir, entry->d_name);
        if (unlink(path) != 0)
            test_dir_remove(path);
    }
    (void)closedir(stream);
}

static void
write_files(void)
{
    char wal[TEST_PATH_BYTES];

    test_path(wal, fuzz.store, "wal");
    (void)mkdir(fuzz.store, 0700);
    (void)mkdir(wal, 0700);
    remove_names(wal, "");
    remove_names(fuzz.store, "wal");
    for (size_t i = 0; i < fuzz.base.count; i++)
        image_write(&fuzz.files[i], fuzz.store);
}

static bool
is_unchanged(void)
{
    for (size_t i = 0; i < fuzz.base.count; i++)
        if (!image_is_in(&fuzz.files[i], fuzz.store))
            return false;
    return true;
}

/* ---- what is done with it ---- */

enum { RESCUE_ONLY = 1, RESCUE_REFUSED = 2, ONLY_READ = 4 };

/* True: it will open. */
static bool
look(void)
{
    struct txkv_examination e;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_examine(fuzz.store, NULL, &e, &err);

    require(is_unchanged());
    require(rc != TXKV_OK || e.opens == (e.problems == 0));
    return rc == TXKV_OK && e.opens;
}

static enum txkv_decision
resolve(void *arg, const char *dir, uint64_t store_id, uint64_t lsn, struct txkv_bytes note)
{
    (void)arg;
    (void)dir;
    (void)store_id;
    touch(note.data, note.bytes);
    return lsn % 16 == 0 ? TXKV_DECIDED_COMMIT : TXKV_DECIDED_ABORT;
}

static enum txkv_rc
open_it(bool salvage, struct txkv **store, struct txkv_error *err)
{
    struct txkv_options options = base_options();

    options.must_exist = true;
    options.salvage = salvage;
    options.resolve = resolve;
    return txkv_open(fuzz.store, &options, store, err);
}

/* Reads the log's records as they are listed. */
static void
list_log(struct txkv *store)
{
    struct txkv_log_record record;
    struct txkv_log *log;
    struct txkv_error err;

    if (txkv_log_open(store, 0, UINT64_MAX, &log, &err) != TXKV_OK)
        return;
    while (txkv_log_next(log, &record, &err) == TXKV_OK)
        touch(record.tables, record.table_count * sizeof record.tables[0]);
    txkv_log_close(log);
}

/* True when all went well, and so the store must open again. */
static bool
use(struct txkv *store, const char *how, bool write)
{
    struct txkv_recovery_report verified;
    struct txkv_pages_report pages;
    struct txkv_error err;
    bool good;

    test_ok(txkv_check_pages(store, &pages, &err), &err, "check_pages");
    if (pages.problems > 0)
        test_die("%s: it is open, and its pages are damaged: %s", how, pages.first);
    test_ok(txkv_verify(store, &verified, &err), &err, "verify");
    list_log(store);
    good = base_read(store);
    require(good || fuzz.touches_data);
    if (write) {
        good = base_write(store, "t") && good;
        good = base_write(store, "w") && good;
        good = txkv_checkpoint(store, NULL, &err) == TXKV_OK && good;
        good = base_read(store) && good;
    }
    if (txkv_close(store, &err) != TXKV_OK)
        good = false;
    return good;
}

static void
open_again(void)
{
    struct txkv *store;
    struct txkv_error err;

    test_ok(open_it(false, &store, &err), &err, "opening it again");
    require(base_read(store));
    test_ok(txkv_close(store, &err), &err, "closing it again");
}

/* Whether it opened. */
static bool
open_and_use(bool salvage, bool write)
{
    struct txkv *store = NULL;
    struct txkv_error err;

    if (open_it(salvage, &store, &err) != TXKV_OK)
        return false;
    if (use(store, salvage ? "salvaged" : "opened", write) && write)
        open_again();
    return true;
}

static void
rescue(bool write)
{
    struct txkv_rescue_report report;
    struct txkv *store = NULL;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_rescue(fuzz.store, NULL, &report, &err);

    if (rc == TXKV_CANTOPEN || rc == TXKV_FORMAT)
        return;
    test_ok(rc, &err, "rescue");
    test_ok(open_it(false, &store, &err), &err, "opening what was rescued");
    require(use(store, "rescued", write));
    if (write)
        open_again();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };
    uint64_t live;
    uint8_t what;
    bool opens;

    if (fuzz.dir == NULL) {
        fuzz.dir = files_dir();
        base_make(&fuzz.base, fuzz.dir, "base");
        test_path(fuzz.store, fuzz.dir, "store");
    }
    live = tx_mem_live();
    what = take_u8(&input);
    make_files(&input);
    write_files();
    opens = look();
    if (what & RESCUE_ONLY) {
        rescue(!(what & ONLY_READ));
    } else if (open_and_use(false, !(what & ONLY_READ))) {
        require(opens);
    } else {
        require(!opens);
        (void)open_and_use(true, !(what & ONLY_READ));
        if (what & RESCUE_REFUSED)
            rescue(!(what & ONLY_READ));
    }
    require(tx_mem_live() == live);
    return 0;
}
