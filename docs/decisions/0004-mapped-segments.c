/*
 * 0004-mapped-segments.c - what a durable append of 176 bytes costs, in the three ways that
 * 0004-mapped-segments.md compares: by write() at the end of a growing file, into a map of
 * allocated space, into a map of a file filled with zeros.
 *
 * usage: 0004-mapped-segments DIR    (on the disk that is asked about)
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_BYTES = 176, RECORDS = 3000, FILE_BYTES = 16 << 20 };

static void
check(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static double
now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void
fill_with_zeros(int fd)
{
    static const char zeros[1 << 20];

    for (int i = 0; i < FILE_BYTES / (int)sizeof zeros; i++)
        check(write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros, "write");
    check(fsync(fd) == 0, "fsync");
}

/* Append the records; `map` is the file's, or NULL for write(). Microseconds a record. */
static double
append(int fd, uint8_t *map)
{
    static const uint8_t record[RECORD_BYTES] = { 1 };
    const double begin = now_us();

    for (size_t i = 0; i < RECORDS; i++) {
        if (map != NULL)
            memcpy(map + i * RECORD_BYTES, record, RECORD_BYTES);
        else
            check(write(fd, record, RECORD_BYTES) == RECORD_BYTES, "write");
        check(fdatasync(fd) == 0, "fdatasync");
    }
    return (now_us() - begin) / RECORDS;
}

int
main(int argc, char **argv)
{
    static const char *const ways[] = { "write() at the end of a growing file",
                                        "map, space from posix_fallocate",
                                        "map, file filled with zeros" };

    check(argc == 2 && chdir(argv[1]) == 0, "DIR");
    for (int way = 0; way < 3; way++) {
        const int fd = open("append.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint8_t *map = NULL;

        check(fd >= 0, "open");
        if (way == 1)
            check(posix_fallocate(fd, 0, FILE_BYTES) == 0, "posix_fallocate");
        else if (way == 2)
            fill_with_zeros(fd);
        if (way > 0) {
            map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            check(map != MAP_FAILED, "mmap");
            (void)madvise(map, FILE_BYTES, MADV_RANDOM);
        }
        (void)printf("%-38s %6.0f us\n", ways[way], append(fd, map));
        if (map != NULL)
            (void)munmap(map, FILE_BYTES);
        (void)close(fd);
        (void)unlink("append.tmp");
    }
    return 0;
}
