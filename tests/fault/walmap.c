/*
 * walmap.c - see walmap.h.
 */
#include "walmap.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/bytes.h"
#include "../../src/record.h"
#include "../../src/segment.h"

static int
compare_files(const void *a, const void *b)
{
    const struct wal_file *x = a;
    const struct wal_file *y = b;

    return (x->first_lsn > y->first_lsn) - (x->first_lsn < y->first_lsn);
}

static void
load_file(const char *path, struct wal_file *file)
{
    FILE *stream = fopen(path, "rbe");
    long bytes;

    if (stream == NULL || fseek(stream, 0, SEEK_END) != 0 || (bytes = ftell(stream)) < 0)
        test_die("cannot read %s", path);
    file->bytes = (size_t)bytes;
    file->data = malloc(file->bytes + 1);
    rewind(stream);
    if (file->data == NULL || fread(file->data, 1, file->bytes, stream) != file->bytes)
        test_die("cannot read %s", path);
    (void)fclose(stream);
}

/* Every record of one file that follows the one before it in place. */
static void
decode_file(struct wal *wal, uint32_t number)
{
    const struct wal_file *file = &wal->files[number];
    const uint8_t *end = file->data + file->bytes;
    size_t at = TX_SEGMENT_HEADER_BYTES;
    struct tx_record record;

    if (file->bytes < TX_SEGMENT_HEADER_BYTES)
        return;
    while (at < file->bytes && tx_record_decode(file->data + at, end, tx_get_u64(file->data + 16),
                                                &record) == TX_RECORD_INTACT) {
        if (wal->record_count == WAL_RECORDS_MAX)
            test_die("more than %d records", WAL_RECORDS_MAX);
        wal->records[wal->record_count++] =
            (struct wal_record){ .file = number,
                                 .offset = at,
                                 .length = record.length,
                                 .lsn = record.lsn,
                                 .durable_lsn = record.durable_lsn };
        at += record.length;
    }
}

void
wal_load(const char *dir, struct wal *wal)
{
    char wal_dir[TEST_PATH_BYTES];
    char path[TEST_PATH_BYTES];
    struct dirent *entry;
    DIR *stream;

    memset(wal, 0, sizeof *wal);
    test_path(wal_dir, dir, "wal");
    stream = opendir(wal_dir);
    if (stream == NULL)
        test_die("cannot read %s", wal_dir);
    /* The test's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL) {
        struct wal_file *file = &wal->files[wal->file_count];
        if (!tx_segment_parse_name(entry->d_name, &file->first_lsn))
            continue;
        if (wal->file_count == WAL_FILES_MAX)
            test_die("more than %d segments", WAL_FILES_MAX);
        (void)snprintf(file->name, sizeof file->name, "%.60s", entry->d_name);
        test_path(path, wal_dir, entry->d_name);
        load_file(path, file);
        wal->file_count++;
    }
    (void)closedir(stream);
    qsort(wal->files, wal->file_count, sizeof wal->files[0], compare_files);
    for (uint32_t i = 0; i < wal->file_count; i++)
        decode_file(wal, i);
}

void
wal_free(struct wal *wal)
{
    for (uint32_t i = 0; i < wal->file_count; i++)
        free(wal->files[i].data);
    wal->file_count = 0;
}

void
wal_save(const char *dir, const struct wal *wal, uint32_t file)
{
    const struct wal_file *f = &wal->files[file];
    char path[TEST_PATH_BYTES];
    char name[80];
    FILE *stream;

    (void)snprintf(name, sizeof name, "wal/%s", f->name);
    test_path(path, dir, name);
    stream = fopen(path, "wbe");
    if (stream == NULL || fwrite(f->data, 1, f->bytes, stream) != f->bytes || fclose(stream) != 0)
        test_die("cannot write %s", path);
}

bool
wal_same(const struct wal *a, const struct wal *b)
{
    if (a->file_count != b->file_count)
        return false;
    for (uint32_t i = 0; i < a->file_count; i++) {
        const struct wal_file *x = &a->files[i];
        const struct wal_file *y = &b->files[i];
        if (strcmp(x->name, y->name) != 0 || x->bytes != y->bytes ||
            memcmp(x->data, y->data, x->bytes) != 0)
            return false;
    }
    return true;
}
