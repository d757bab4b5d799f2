/*
 * temp_dir.h - a new directory for a test, and its removal with all that is in it.
 */
#ifndef TEMP_DIR_H
#define TEMP_DIR_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMP_DIR_BYTES 32

static inline bool
temp_dir_make(char dir[TEMP_DIR_BYTES])
{
    (void)strcpy(dir, "/tmp/txkv-unit-XXXXXX"); // NOLINT(clang-analyzer-security*): it fits
    return mkdtemp(dir) != NULL;
}

static inline bool
temp_dir_remove(const char *dir)
{
    char command[128];

    (void)snprintf(command, sizeof command, "chmod -R u+rwX %s && rm -r %s", dir, dir);
    return system(command) == 0; // NOLINT(cert-env33-c,concurrency-mt-unsafe): a fixed command
}

/* Whether the directory takes files without a name: not every file system does. */
static inline bool
temp_dir_takes_unnamed(const char *dir)
{
    const int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

#endif /* TEMP_DIR_H */
