/*
 * fuzz_walk.c - walks through the pages of a changed data.mdb: they end, and never leave the map.
 *
 * Nothing looks at the pages before, as an opener would: what is read here is whatever a disk may
 * make of a file while it is mapped.
 *
 * Input: changes to the data.mdb of base.h as files.h says, how many first; the root's page and how
 * deep the tree is; then moves.
 */
#include <stdio.h>
#include <string.h>

#include "../../src/tree_walk.h"
#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { CHANGES_MAX = 4, DEPTH_MAX = 5, KEY_MAX = 32, STEPS_MAX = 40, MOVES_MAX = 200 };

static struct {
    const char *dir;
    struct base base;
    struct image data;
} fuzz;

static void
look_at(int e, const struct tx_tree_pair *pair)
{
    require(e == 0 || e == MDB_NOTFOUND || e == MDB_CORRUPTED);
    if (e != 0)
        return;
    require(pair->key_bytes <= TX_PAGES_KEY_BYTES_MAX);
    touch(pair->key, pair->key_bytes);
    touch(pair->value, pair->value_bytes);
}

/* A pair that was come to is looked up as well: a tree may say what it likes, but not lead astray.
 */
static void
look_up(const struct tx_tree_pages *pages, struct txkv_bytes key)
{
    struct tx_tree_pair pair;
    const uint64_t leaf = tx_tree_walk_leaf(pages, key);

    require(leaf == TX_NO_PAGE || leaf < pages->count);
    look_at(tx_tree_walk_get(pages, key, &pair), &pair);
}

/* Steps as a cursor makes them. */
static int
step(struct tx_tree_walk *walk, bool backward, uint32_t steps, struct tx_tree_pair *pair)
{
    int e = 0;

    for (uint32_t i = 0; i < steps && e == 0; i++) {
        if (!tx_tree_walk_step(walk, backward ? TX_TREE_BACKWARD : TX_TREE_FORWARD, pair))
            e = tx_tree_walk_on(walk, backward, pair);
        look_at(e, pair);
    }
    return e;
}

static void
walk_about(const struct tx_tree_pages *pages, struct input *input)
{
    struct tx_tree_walk walk = { .pages = *pages };
    struct tx_tree_pair pair;
    int e = MDB_NOTFOUND;

    for (uint32_t move = 0; move < MOVES_MAX && !take_end(input); move++) {
        const uint8_t kind = take_u8(input);
        const bool backward = (kind & 4) != 0;
        struct txkv_bytes key;

        if (kind % 4 == 0) {
            e = tx_tree_walk_end(&walk, backward, &pair);
        } else if (kind % 4 == 1) {
            key.data = take_bytes(input, take_u8(input) % KEY_MAX, &key.bytes);
            look_up(pages, key);
            e = tx_tree_walk_seek(&walk, key, &pair);
        } else if (e == 0) {
            e = step(&walk, backward, 1 + (kind >> 3) % STEPS_MAX, &pair);
        }
        look_at(e, &pair);
        if (e == 0)
            look_up(pages, (struct txkv_bytes){ pair.key, pair.key_bytes });
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };
    struct tx_tree_pages pages = { .scattered = false };
    uint8_t *map;

    if (fuzz.dir == NULL) {
        fuzz.dir = files_dir();
        base_make(&fuzz.base, fuzz.dir, "base");
    }
    image_copy(&fuzz.data, &fuzz.base.files[0]);
    for (uint8_t n = take_u8(&input) % CHANGES_MAX; n > 0; n--)
        image_change(&fuzz.data, &input);
    pages.count = fuzz.data.size / TX_PAGE_BYTES;
    if (pages.count == 0)
        return 0;
    map = malloc(pages.count * TX_PAGE_BYTES); /* not a byte more */
    require(map != NULL);
    memcpy(map, fuzz.data.bytes, pages.count * TX_PAGE_BYTES);
    pages.map = map;
    pages.root = take_u8(&input) % (pages.count + 1);
    pages.depth = 1 + take_u8(&input) % DEPTH_MAX;
    walk_about(&pages, &input);
    free(map);
    return 0;
}
