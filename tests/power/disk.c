/*
 * disk.c - see disk.h.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "file.h"

enum { NODES_MAX = 4096, ENTRIES_MAX = 512, NAME_BYTES = 64, NONE = DISK_NO_NODE };

struct entry {
    char name[NAME_BYTES];
    int durable, current, past; /* nodes, or NONE; past: one that it meant for a while, or NONE */
};

/* A file or a directory; never forgotten, so that its inode's number is not used again. */
struct node {
    dev_t device;
    ino_t inode;
    bool is_dir;
    struct file file;      /* of a file */
    struct entry *entries; /* of a directory */
    size_t entry_count;
};

struct disk_sync {
    int node;
    uint64_t time;
    struct image image;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct node nodes[NODES_MAX];
static int node_count;
static uint64_t clock_now; /* counts looks at files */
static disk_point *on_point;
static void *on_point_arg;
static bool started;
static char root_path[TEST_PATH_BYTES];

/* ---- nodes ---- */

static int
find_node(dev_t device, ino_t inode)
{
    for (int i = node_count - 1; i >= 0; i--)
        if (nodes[i].inode == inode && nodes[i].device == device)
            return i;
    return NONE;
}

static int
add_node(const char *path, const struct stat *st, bool is_new)
{
    struct node *node = &nodes[node_count];
    int fd;

    if (node_count == NODES_MAX)
        test_die("the disk's model is full: %d files", NODES_MAX);
    node->device = st->st_dev;
    node->inode = st->st_ino;
    node->is_dir = S_ISDIR(st->st_mode);
    fd = calls_real.open(path, O_RDONLY | O_CLOEXEC, 0); /* keeps it, of a directory, too */
    if (fd < 0)
        test_die("cannot open %s: %s", path, strerror(errno));
    if (!node->is_dir) {
        file_take(&node->file, fd, is_new);
    } else {
        node->entries = calloc(ENTRIES_MAX, sizeof *node->entries);
        if (node->entries == NULL)
            test_die("no memory for the disk's model");
    }
    return node_count++;
}

/* The directory that holds the path, and the path's last name; NONE: it is not followed. */
static int
find_parent(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char parent[TEST_PATH_BYTES];
    struct stat st;

    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof parent)
        return NONE;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    *name = slash + 1;
    return stat(parent, &st) == 0 ? find_node(st.st_dev, st.st_ino) : NONE;
}

static struct entry *
entry_of(struct node *dir, const char *name)
{
    struct entry *entry;

    for (size_t i = 0; i < dir->entry_count; i++)
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    if (dir->entry_count == ENTRIES_MAX || strlen(name) >= NAME_BYTES)
        test_die("the disk's model has no room for the name %s", name);
    entry = &dir->entries[dir->entry_count++];
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->durable = entry->current = entry->past = NONE;
    return entry;
}

static void
set_entry(int dir, const char *name, int node)
{
    struct entry *entry = entry_of(&nodes[dir], name);

    if (entry->current == node)
        return;
    entry->past = entry->current;
    entry->current = node;
}

/* ---- following ---- */

static int
take_tree(const char *path)
{
    struct stat st;
    struct node *node;
    DIR *dir;
    int number;

    if (stat(path, &st) != 0)
        test_die("cannot look at %s: %s", path, strerror(errno));
    number = add_node(path, &st, false);
    node = &nodes[number];
    if (!node->is_dir)
        return number;
    dir = opendir(path);
    if (dir == NULL)
        test_die("cannot open %s: %s", path, strerror(errno));
    for (const struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        char below[TEST_PATH_BYTES];
        struct entry *entry;

        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        test_path(below, path, d->d_name);
        entry = entry_of(node, d->d_name);
        entry->durable = entry->current = take_tree(below);
    }
    (void)closedir(dir);
    return number;
}

void
disk_start(const char *root, disk_point *point, void *arg)
{
    (void)snprintf(root_path, sizeof root_path, "%s", root);
    (void)take_tree(root);
    on_point = point;
    on_point_arg = arg;
    started = true;
}

void
disk_lock(bool change)
{
    (void)pthread_mutex_lock(&mutex);
    if (change && started)
        on_point(on_point_arg);
}

void
disk_unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

bool
disk_is_followed(void)
{
    return started;
}

int
disk_node_opened(const char *path, dev_t device, ino_t inode, int flags)
{
    const char *name;
    int node = find_node(device, inode);

    if (node == NONE && (flags & O_CREAT) != 0) {
        const int parent = find_parent(path, &name);
        struct stat st;

        if (parent != NONE && stat(path, &st) == 0) {
            node = add_node(path, &st, true);
            set_entry(parent, name, node);
        }
    }
    if (node != NONE && (flags & O_TRUNC) != 0)
        file_look(&nodes[node].file, ++clock_now);
    return node;
}

void
disk_node_changed(int node)
{
    file_look(&nodes[node].file, ++clock_now);
}

void
disk_node_written(int node, bool sync, off_t offset, size_t bytes)
{
    file_look(&nodes[node].file, ++clock_now);
    if (sync)
        file_make_durable(&nodes[node].file, (size_t)offset, bytes);
}

struct disk_sync *
disk_sync_begin(int number)
{
    struct disk_sync *sync = calloc(1, sizeof *sync);
    struct node *node = &nodes[number];

    if (sync == NULL)
        test_die("no memory for the disk's model");
    sync->node = number;
    sync->time = ++clock_now;
    if (!node->is_dir) {
        file_look(&node->file, sync->time);
        sync->image = file_image(&node->file);
    }
    return sync;
}

void
disk_sync_end(struct disk_sync *sync)
{
    struct node *node = &nodes[sync->node];

    for (size_t i = 0; i < node->entry_count; i++) {
        node->entries[i].durable = node->entries[i].current;
        node->entries[i].past = NONE;
    }
    if (!node->is_dir)
        file_synced(&node->file, &sync->image, sync->time);
    free(sync->image.data);
    free(sync);
}

void
disk_named(const char *path)
{
    const char *name;
    struct stat st;
    int node;
    const int parent = started ? find_parent(path, &name) : NONE;

    if (parent == NONE || stat(path, &st) != 0)
        return;
    node = find_node(st.st_dev, st.st_ino);
    set_entry(parent, name, node == NONE ? add_node(path, &st, true) : node);
}

void
disk_unnamed(const char *path)
{
    const char *name;
    const int parent = started ? find_parent(path, &name) : NONE;

    if (parent != NONE)
        set_entry(parent, name, NONE);
}

static void
look_at_names(int number, const char *path)
{
    struct node *node = &nodes[number];
    bool seen[ENTRIES_MAX] = { false };
    DIR *dir = opendir(path);

    if (dir == NULL)
        test_die("cannot open %s: %s", path, strerror(errno));
    for (const struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        char below[TEST_PATH_BYTES];
        struct stat st;
        int found;

        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        test_path(below, path, d->d_name);
        if (stat(below, &st) != 0)
            test_die("cannot look at %s: %s", below, strerror(errno));
        found = find_node(st.st_dev, st.st_ino);
        if (found == NONE)
            found = add_node(below, &st, true);
        set_entry(number, d->d_name, found);
        seen[entry_of(node, d->d_name) - node->entries] = true;
        if (nodes[found].is_dir)
            look_at_names(found, below);
    }
    (void)closedir(dir);
    for (size_t i = 0; i < node->entry_count; i++)
        if (!seen[i])
            set_entry(number, node->entries[i].name, NONE);
}

void
disk_look_at_names(void)
{
    if (started)
        look_at_names(0, root_path);
}

/* ---- cuts ---- */

static int
choose_entry(struct rng *rng, enum disk_cut how, const struct entry *entry)
{
    if (how == DISK_CUT_NOTHING || how == DISK_CUT_CONTENTS)
        return entry->durable;
    if (how == DISK_CUT_ALL || how == DISK_CUT_NAMES)
        return entry->current;
    switch (rng_below(rng, 5)) {
    case 0:
    case 1:
        return entry->durable;
    case 2:
        return entry->past == NONE ? entry->current : entry->past;
    default:
        return entry->current;
    }
}

static void
cut_node(struct rng *rng, enum disk_cut how, struct node *node, const char *path)
{
    if (!node->is_dir) {
        file_look(&node->file, ++clock_now);
        file_cut(rng, how, &node->file, path);
        return;
    }
    if (calls_real.mkdir(path, 0700) != 0)
        test_die("cannot make %s: %s", path, strerror(errno));
    for (size_t i = 0; i < node->entry_count; i++) {
        const int number = choose_entry(rng, how, &node->entries[i]);
        char below[TEST_PATH_BYTES];

        test_path(below, path, node->entries[i].name);
        if (number != NONE)
            cut_node(rng, how, &nodes[number], below);
    }
}

void
disk_cut(struct rng *rng, enum disk_cut how, const char *target)
{
    cut_node(rng, how, &nodes[0], target);
}
