/*
 * tree_fixture.h - a new directory for each test of the tree, and short forms of its calls.
 */
#ifndef TREE_FIXTURE_H
#define TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/tree.h"
#include "temp_dir.h"

enum { MIB = 1 << 20 };

static char dir[TEMP_DIR_BYTES], data_file[80];
static struct txkv_error err;

static inline int
make_dir(void **state)
{
    (void)state;
    if (!temp_dir_make(dir))
        return -1;
    (void)snprintf(data_file, sizeof data_file, "%s/data.mdb", dir);
    memset(&err, 0, sizeof err);
    return 0;
}

/* Nothing but LMDB's files may be left. */
static inline int
remove_dir(void **state)
{
    char lock_file[80];

    (void)state;
    (void)snprintf(lock_file, sizeof lock_file, "%s/lock.mdb", dir);
    (void)chmod(dir, 0700);
    (void)unlink(data_file);
    (void)unlink(lock_file);
    tx_mem_fail_at(0, false);
    tx_os = tx_os_system;
    return rmdir(dir) == 0 && tx_mem_live() == 0 ? 0 : -1;
}

/* ---- short forms ---- */

#define OK(call) assert_int_equal((call), TXKV_OK)

static inline struct tx_tree *
open_tree(uint64_t map_size)
{
    struct tx_tree *tree;
    const enum txkv_rc rc = tx_tree_open(dir, map_size, NULL, TX_TREE_ALONE, &tree, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
    return tree;
}

static inline struct tx_tree_batch *
begin_batch(struct tx_tree *tree)
{
    struct tx_tree_batch *batch;

    OK(tx_tree_batch_begin(tree, &batch, &err));
    return batch;
}

static inline enum txkv_rc
define_in_map(struct tx_tree_batch *batch, uint32_t table, bool *map_full)
{
    char name[16];
    struct tx_table_def def = { .table = table, .name = name, .shape = "(k,v)", .shape_bytes = 5 };

    def.name_bytes = (uint32_t)snprintf(name, sizeof name, "t%u", table);
    return tx_tree_batch_define(batch, &def, map_full, &err);
}

static inline enum txkv_rc
define(struct tx_tree_batch *batch, uint32_t table)
{
    bool full;

    return define_in_map(batch, table, &full);
}

static inline const uint8_t *
u8(const char *s)
{
    return (const uint8_t *)s;
}

static inline enum txkv_rc
put(struct tx_tree_batch *batch, uint32_t table, const char *key, const char *value)
{
    bool full;

    return tx_tree_batch_put(batch, table, u8(key), (uint32_t)strlen(key), u8(value),
                             (uint32_t)strlen(value), &full, &err);
}

static inline enum txkv_rc
commit(struct tx_tree_batch *batch, uint64_t lsn)
{
    bool full;

    return tx_tree_batch_commit(batch, lsn, lsn + 1, &full, &err);
}

/* One batch that defines a table and fills it with keys, which double as values. */
static inline void
fill(struct tx_tree *tree, uint32_t table, uint64_t lsn, const char *const *keys, size_t n)
{
    struct tx_tree_batch *batch = begin_batch(tree);

    OK(define(batch, table));
    for (size_t i = 0; i < n; i++)
        OK(put(batch, table, keys[i], keys[i]));
    OK(commit(batch, lsn));
}

static inline struct tx_tree_read *
new_read(struct tx_tree *tree)
{
    struct tx_tree_read *read;

    OK(tx_tree_read_create(tree, &read, &err));
    return read;
}

static inline uint64_t
begin(struct tx_tree_read *read)
{
    uint64_t base;

    OK(tx_tree_read_begin(read, &base, &err));
    return base;
}

/* Whether a read sees key with value; NULL: that it does not see the key. */
static inline bool
sees(struct tx_tree_read *read, uint32_t table, const char *key, const char *value)
{
    const uint8_t *v;
    uint32_t n;
    const enum txkv_rc rc = tx_tree_get(read, table, u8(key), (uint32_t)strlen(key), &v, &n, NULL);

    if (value == NULL)
        return rc == TXKV_NOTFOUND;
    return rc == TXKV_OK && n == strlen(value) && memcmp(v, value, n) == 0;
}

static inline bool
is_pair(const struct tx_tree_pair *pair, const char *key)
{
    return key != NULL && pair->key_bytes == strlen(key) &&
           memcmp(pair->key, key, pair->key_bytes) == 0 && pair->value_bytes == pair->key_bytes &&
           memcmp(pair->value, key, pair->key_bytes) == 0;
}

#endif /* TREE_FIXTURE_H */
