/*
 * limits.c - see limits.h.
 *
 * A file system is small because a file beside the scene fills it but for some bytes; the cause is
 * gone when that file is. It is mounted over the directory that holds the scene's, in a mount
 * namespace of this process's own, so that nothing is left behind whatever becomes of it.
 */
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    STEPS_MAX = 1000, /* of a limit, until a scene must work */
    STACK_PIECES = 400,
    FILE_SYSTEMS = 2
};

/* A limit of the process, or how much room a file system has. */
struct limit {
    const char *name;
    enum cause cause;
    int resource; /* -1: room on a file system */
    uint64_t step, short_step;
    uint64_t value; /* above what is used at the start */
    struct rlimit before;
};

static struct {
    const char *name;
    bool works;
    char reason[200];
} file_systems[FILE_SYSTEMS] = { { "tmpfs", false, "" }, { "ext4", false, "" } };

static char mount_dir[TEST_PATH_BYTES];
static char image[TEST_PATH_BYTES];
static char filler[TEST_PATH_BYTES];

/* ---- mounting ---- */

static bool
write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return done;
}

/* A mount namespace, for who is not root in a user namespace in which it is. */
static bool
enter_namespace(void)
{
    const unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();
    char text[64];

    if (uid == 0 && unshare(CLONE_NEWNS) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    (void)write_text("/proc/self/setgroups", "deny");
    (void)snprintf(text, sizeof text, "0 %u 1", uid);
    if (!write_text("/proc/self/uid_map", text))
        return false;
    (void)snprintf(text, sizeof text, "0 %u 1", gid);
    return write_text("/proc/self/gid_map", text);
}

static bool
mount_one(int which)
{
    char command[3 * TEST_PATH_BYTES + 40];

    if (which == 0)
        return mount("txkv", mount_dir, "tmpfs", 0, "size=96m") == 0;
    (void)snprintf(command, sizeof command, "mount -o loop '%s' '%s' 2>/dev/null", image,
                   mount_dir);
    return system(command) == 0; // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

static void
unmount(void)
{
    (void)umount2(mount_dir, MNT_DETACH);
}

static void
make_image(void)
{
    char command[2 * TEST_PATH_BYTES + 120];

    (void)snprintf(command, sizeof command,
                   "PATH=$PATH:/sbin:/usr/sbin; truncate -s 96M '%s' && "
                   "mkfs.ext4 -q -F -m 0 -b 4096 '%s' 2>/dev/null",
                   image, image);
    if (system(command) != 0) { // NOLINT(cert-env33-c,concurrency-mt-unsafe)
        (void)snprintf(file_systems[1].reason, sizeof file_systems[1].reason,
                       "mkfs.ext4 is missing, or fails");
        return;
    }
    file_systems[1].works = mount_one(1);
    if (file_systems[1].works)
        unmount();
    else
        (void)snprintf(file_systems[1].reason, sizeof file_systems[1].reason,
                       "a loop device cannot be mounted here; it takes root");
}

void
limits_install(const char *base, const char *at)
{
    (void)snprintf(mount_dir, sizeof mount_dir, "%s", at);
    test_path(image, base, "image");
    test_path(filler, at, "filler");
    if (!enter_namespace() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        for (int i = 0; i < FILE_SYSTEMS; i++)
            (void)snprintf(file_systems[i].reason, sizeof file_systems[i].reason,
                           "no mount namespace: %s", strerror(errno));
        return;
    }
    file_systems[0].works = mount_one(0);
    if (file_systems[0].works)
        unmount();
    else
        (void)snprintf(file_systems[0].reason, sizeof file_systems[0].reason, "mount: %s",
                       strerror(errno));
    make_image();
}

void
limits_report(void)
{
    for (int i = 0; i < FILE_SYSTEMS; i++)
        if (!file_systems[i].works)
            (void)printf("[ SKIP ] small %s: %s\n", file_systems[i].name, file_systems[i].reason);
}

/* ---- the scene's side ---- */

static uint64_t
used_of(const struct limit *limit)
{
    FILE *file;
    unsigned long pages = 0;
    int fd;

    switch (limit->resource) {
    case RLIMIT_NOFILE: /* the lowest one that is free */
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)close(fd);
        return (uint64_t)fd;
    case RLIMIT_AS:
        file = fopen("/proc/self/statm", "re");
        if (file == NULL || fscanf(file, "%lu", &pages) != 1) // NOLINT(cert-err34-c)
            scene_end(VERDICT_UNABLE, "cannot read /proc/self/statm");
        (void)fclose(file);
        return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    default:
        return 0;
    }
}

/* A stack that has to grow cannot say that there is no room: it has its room before. */
static void
touch_stack(int pieces)
{
    volatile char piece[KIB];

    piece[0] = 1;
    if (pieces > 0)
        touch_stack(pieces - 1); // NOLINT(misc-no-recursion)
    piece[1] = piece[0];
}

static void
fill_up(uint64_t bytes_left)
{
    struct statvfs fs;
    uint64_t room;
    int fd;

    if (statvfs(mount_dir, &fs) != 0)
        scene_end(VERDICT_UNABLE, "statvfs: %s", strerror(errno));
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room <= bytes_left)
        return;
    fd = open(filler, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    /* A file system may take a few blocks more for it. */
    while (fd >= 0 && room > bytes_left &&
           posix_fallocate(fd, 0, (off_t)(room - bytes_left)) == ENOSPC)
        bytes_left += 4 * KIB;
    if (fd < 0)
        scene_end(VERDICT_UNABLE, "cannot fill the file system: %s", strerror(errno));
    (void)close(fd);
}

static void
arm_limit(void *arg)
{
    struct limit *limit = arg;
    struct rlimit now;

    if (limit->resource < 0) {
        fill_up(limit->value);
        return;
    }
    touch_stack(STACK_PIECES);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (getrlimit((__rlimit_resource_t)limit->resource, &limit->before) != 0)
        scene_end(VERDICT_UNABLE, "getrlimit: %s", strerror(errno));
    now = limit->before;
    now.rlim_cur = used_of(limit) + limit->value;
    if (setrlimit((__rlimit_resource_t)limit->resource, &now) != 0)
        scene_end(VERDICT_UNABLE, "setrlimit: %s", strerror(errno));
}

static void
disarm_limit(void *arg)
{
    const struct limit *limit = arg;

    if (limit->resource < 0)
        (void)unlink(filler);
    else
        (void)setrlimit((__rlimit_resource_t)limit->resource, &limit->before);
}

/* ---- rising limits ---- */

/* In equal steps at first, then in ones that grow: some scenes take gigabytes of address space. */
static void
raise_limit(struct limit *limit, bool in_short, const char *on)
{
    const uint64_t step = in_short ? limit->short_step : limit->step;
    const uint64_t growth = in_short ? 1 : 32;
    char what[100];

    limit->value = 0;
    for (uint64_t i = 0; i < STEPS_MAX; i++) {
        (void)snprintf(what, sizeof what, "%s%s %llu:", limit->name, on,
                       (unsigned long long)limit->value);
        if (sweep_run(arm_limit, disarm_limit, limit, limit->cause, what) && !scene_state->failed)
            return;
        (void)unlink(filler);
        limit->value += limit->value / growth > step ? limit->value / growth : step;
    }
    test_die("%s: %s: it does not work with %llu either", scene->name, limit->name,
             (unsigned long long)limit->value);
}

void
limits_run(bool in_short)
{
    /* A sanitizer takes address space as it likes. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct limit space = { "RLIMIT_AS", CAUSE_MEMORY, RLIMIT_AS, 256 * KIB, 24 * MIB, 0, { 0, 0 } };

    raise_limit(&space, in_short, "");
#endif
    struct limit handles = { "RLIMIT_NOFILE", CAUSE_HANDLES, RLIMIT_NOFILE, 1, 5, 0, { 0, 0 } };
    struct limit bytes = { "RLIMIT_FSIZE", CAUSE_SPACE, RLIMIT_FSIZE, 4 * KIB,
                           200 * KIB,      0,           { 0, 0 } };
    struct limit room = { "bytes of room on ", CAUSE_SPACE, -1, 8 * KIB, 300 * KIB, 0, { 0, 0 } };

    raise_limit(&handles, in_short, "");
    raise_limit(&bytes, in_short, "");
    for (int i = 0; i < FILE_SYSTEMS; i++) {
        if (!file_systems[i].works)
            continue;
        if (!mount_one(i))
            test_die("%s cannot be mounted any more: %s", file_systems[i].name, strerror(errno));
        raise_limit(&room, in_short, file_systems[i].name);
        unmount();
    }
}
