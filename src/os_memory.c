/*
 * os_memory.c - how much memory this process may use.
 *
 * Control groups limit it in two ways of which a machine may have either, or both: the files'
 * names are those of the kernel's documentation (admin-guide/cgroup-v1/memory and
 * admin-guide/cgroup-v2). A group is limited by those that it lies in as well. In a container the
 * group's own path may name what is not visible there; the visible root is looked at in any case.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os.h"

enum { PATH_BYTES = 1024 };

/* The file's first line as a number of bytes; UINT64_MAX: there is none, or it says "max". */
static uint64_t
read_limit(const char *path)
{
    unsigned long long bytes = 0;
    FILE *f = fopen(path, "re");
    const bool good = f != NULL && fscanf(f, "%20llu", &bytes) == 1;

    if (f != NULL)
        (void)fclose(f);
    return good && bytes > 0 ? bytes : UINT64_MAX;
}

/* The least that the file of that name says in the group and in those above it. */
static uint64_t
limit_of_group(const char *root, const char *mount, const char *group, const char *name)
{
    char path[PATH_BYTES], upper[PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    char *end = upper;

    (void)snprintf(upper, sizeof upper, "%s", group);
    while (end != NULL) {
        const int n = snprintf(path, sizeof path, "%s%s%s/%s", root, mount, upper, name);

        if (n > 0 && (size_t)n < sizeof path)
            limit = tx_min_u64(limit, read_limit(path));
        end = strrchr(upper, '/');
        if (end != NULL)
            *end = 0;
    }
    return limit;
}

/* Whether the list of controllers "a,b,c" has memory's. */
static bool
has_memory(const char *controllers)
{
    static const char name[] = "memory";
    const size_t bytes = sizeof name - 1;

    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ',' || at[bytes] == 0))
            return true;
    }
    return false;
}

/* One line of /proc/self/cgroup: "number:controllers:path". */
static uint64_t
limit_of_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');

    line[strcspn(line, "\n")] = 0;
    if (group == NULL)
        return UINT64_MAX;
    *group++ = 0;
    controllers++;
    if (*controllers == 0)
        return limit_of_group(root, "/sys/fs/cgroup", group, "memory.max");
    if (has_memory(controllers))
        return limit_of_group(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    return UINT64_MAX;
}

uint64_t
tx_os_memory_limit(const char *root)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit =
        pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_MAX;
    char line[PATH_BYTES];
    FILE *f;

    (void)snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    f = fopen(line, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        limit = tx_min_u64(limit, limit_of_line(root, line));
    if (f != NULL)
        (void)fclose(f);
    return limit;
}
