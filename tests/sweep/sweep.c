/*
 * sweep.c - every call on a file, every allocation and every thread fails once, in every scene.
 *
 *   sweep [all | SCENE [N WAY]]      without an argument: in short; N, WAY: one call on a file
 * alone, WAY as it is printed (EIO, ENOSPC, ...)
 *
 * Goal: whatever fails, the error is right and says where, nothing leaks, nothing that was
 * acknowledged is lost, and the store works again when the cause is gone. Method: a scene
 * (scenes_*.c) runs in a child, once with everything counted, and then with the n-th call failing,
 * for n = 1, 2, ... and for each way in which that call can fail (EIO, ENOSPC, EDQUOT, EINTR, half
 * of the bytes; once or from then on); the same with the n-th allocation of the store, of SQLite
 * and of LMDB, and with the n-th thread. Then under limits that rise until it works (limits.h). In
 * short each place in the code from which a call on a file is made has its turn once, and some
 * allocations and limits.
 */
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../../src/room.h"
#include "limits.h"
#include "scene.h"

enum {
    POINTS_MAX = 1 << 16,
    QUIET_RUNS = 3,
    SHOWN_MAX = 400,
    SHORT_STEPS = 4,          /* of one kind of allocation */
    SHORT_LIMITS = 3,         /* one scene of so many runs under limits */
    SECONDS = 30,             /* that a run may take */
    ROOM_FILE_FROM = 16 << 10 /* bytes of a transaction, so that some have a file: room.h */
};

static struct totals {
    uint64_t points, wrong, lost, leaked, crashed, hung;
} totals, of_scene;

static struct failing_point *points; /* shared */
static uint64_t *seen;               /* places that had their turn, with the way */
static uint64_t seen_count;
static struct scene_state before; /* as `prepare` left it */
static char base[TEST_PATH_BYTES];
static char small_dir[TEST_PATH_BYTES]; /* small file systems are mounted there */
static char saved_dir[TEST_PATH_BYTES];
static bool in_short;
static uint64_t scenes_done;

static void
add_totals(void)
{
    totals.points += of_scene.points;
    totals.wrong += of_scene.wrong;
    totals.lost += of_scene.lost;
    totals.leaked += of_scene.leaked;
    totals.crashed += of_scene.crashed;
    totals.hung += of_scene.hung;
}

/* ---- children ---- */

/* Failures with the same words, but for numbers, are shown once. */
static bool
is_shown(const char *verdict, const char *text)
{
    static uint64_t shown[SHOWN_MAX];
    static int count;
    uint64_t sum = 0;

    for (const char *c = verdict; *c != '\0'; c++)
        sum = mix64(sum ^ (uint8_t)*c);
    for (const char *c = text; *c != '\0'; c++)
        if (*c < '0' || *c > '9')
            sum = mix64(sum ^ (uint8_t)*c);
    for (int i = 0; i < count; i++)
        if (shown[i] == sum)
            return true;
    if (count < SHOWN_MAX)
        shown[count++] = sum;
    return false;
}

static void
show(const char *verdict, const char *what, int status)
{
    const char *text = WIFEXITED(status) ? scene_state->text : strsignal(WTERMSIG(status));
    char where[100];

    (void)snprintf(where, sizeof where, "%s %s", verdict, scene_state->failed_call);
    if (!is_shown(where, text))
        (void)printf("%s: %s: %s %s: %s\n", verdict, scene->name, what, scene_state->failed_call,
                     text);
}

static void
count_failure(int status, const char *what)
{
    const char *verdict;

    if (WIFEXITED(status) && WEXITSTATUS(status) == VERDICT_LOST) {
        of_scene.lost++;
        verdict = "LOST";
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == VERDICT_LEAKED) {
        of_scene.leaked++;
        verdict = "LEAKED";
    } else if (WIFEXITED(status)) {
        of_scene.wrong++;
        verdict = "WRONG";
    } else if (WTERMSIG(status) == SIGALRM) {
        of_scene.hung++;
        verdict = "HUNG";
    } else {
        of_scene.crashed++;
        verdict = "CRASHED";
    }
    show(verdict, what, status);
}

/* A scene's files from before it ran. */
static void
restore(void)
{
    test_dir_remove(scene_dir);
    if (scene->prepare != NULL)
        test_dir_copy(saved_dir, scene_dir);
    else
        (void)mkdir(scene_dir, 0700);
    *scene_state = before;
}

/* Run the scene in a child with `arm` before it and `disarm` behind; true when that went well. */
bool
sweep_run(void (*arm)(void *), void (*disarm)(void *), void *arg, enum cause cause,
          const char *what)
{
    pid_t child;
    int status = 0;

    restore();
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)alarm(SECONDS);
        scene_holds();
        scene_cause(cause);
        arm(arg);
        scene->run();
        disarm(arg);
        scene_leaks();
        scene_cause(CAUSE_NONE);
        scene->check();
        scene_leaks();
        exit(VERDICT_WELL);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        test_die("no child");
    of_scene.points++;
    if (status == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == VERDICT_UNABLE)
        test_die("%s: %s", what, scene_state->text);
    count_failure(status, what);
    return false;
}

/* ---- what fails ---- */

struct fault {
    enum failing_kind kind;
    enum failing_way way;
    bool stays;
    uint64_t n;
};

static void
arm_fault(void *arg)
{
    const struct fault *fault = arg;

    failing_arm(fault->kind, fault->n, fault->way, fault->stays);
}

static void
disarm_fault(void *arg)
{
    (void)arg;
    failing_disarm();
}

static enum cause
cause_of(const struct fault *fault)
{
    if (fault->kind == FAILING_THREAD)
        return CAUSE_THREAD;
    if (fault->kind != FAILING_CALL || fault->way == WAY_ENOMEM)
        return CAUSE_MEMORY;
    if (fault->way == WAY_EMFILE)
        return CAUSE_HANDLES;
    if (fault->way == WAY_ENOSPC || fault->way == WAY_ENOSPC_STAYS || fault->way == WAY_EDQUOT)
        return CAUSE_SPACE;
    return fault->way == WAY_SHORT ? CAUSE_SHORT : CAUSE_FILE;
}

static void
run_fault(const struct fault *fault)
{
    static const char *const kinds[] = { "",
                                         "call on a file",
                                         "allocation of the store",
                                         "allocation of SQLite",
                                         "allocation of LMDB",
                                         "thread" };
    struct fault copy = *fault;
    char what[200];

    (void)snprintf(what, sizeof what, "%s %llu (%s%s)", kinds[fault->kind],
                   (unsigned long long)fault->n,
                   fault->kind == FAILING_CALL ? failing_way_name(fault->way) : "none",
                   fault->kind != FAILING_CALL && fault->stays ? " from then on" : "");
    (void)sweep_run(arm_fault, disarm_fault, &copy, cause_of(fault), what);
}

/* ---- the calls, counted ---- */

static uint64_t (*counted)[FAILING_THREAD + 1]; /* shared */

static void
arm_count(void *arg)
{
    (void)arg;
    failing_count(points, POINTS_MAX);
}

static void
disarm_count(void *arg)
{
    (void)arg;
    for (int i = 0; i <= FAILING_THREAD; i++)
        (*counted)[i] = failing_counted((enum failing_kind)i);
    failing_disarm();
}

/* In short: a place that has had its turn in that way, in this scene or another one. */
static bool
was_seen(uint64_t place, enum failing_way way)
{
    const uint64_t mixed = mix64(place + (uint64_t)way);

    for (uint64_t i = 0; i < seen_count; i++)
        if (seen[i] == mixed)
            return true;
    if (seen_count < POINTS_MAX)
        seen[seen_count++] = mixed;
    return false;
}

/* Those that lead where others lead too. */
static bool
is_long_only(enum failing_way way)
{
    return way == WAY_EIO_STAYS || way == WAY_ENOSPC || way == WAY_EDQUOT;
}

static void
fail_calls(void)
{
    const uint64_t count = (*counted)[FAILING_CALL];

    for (uint64_t n = 1; n <= count && n <= POINTS_MAX; n++)
        for (enum failing_way way = 0; way < WAYS; way++) {
            const struct fault fault = { FAILING_CALL, way, false, n };

            if ((points[n - 1].ways & (1u << way)) != 0 &&
                !(in_short && (is_long_only(way) || was_seen(points[n - 1].place, way))))
                run_fault(&fault);
        }
}

static uint64_t only_n;
static const char *only_way;

/* What a run before has shown. */
static void
fail_one(void)
{
    for (enum failing_way way = 0; way < WAYS; way++)
        if (strcmp(failing_way_name(way), only_way) == 0)
            run_fault(&(struct fault){ FAILING_CALL, way, false, only_n });
    scenes_done++;
    add_totals();
}

/* In short some of them, in turn once and from then on. */
static void
fail_others(enum failing_kind kind)
{
    const uint64_t count = (*counted)[kind];
    const uint64_t step = in_short && count > SHORT_STEPS ? count / SHORT_STEPS : 1;

    /* Background threads make more of them now and then. */
    for (uint64_t n = 1 + count % step; n <= count + QUIET_RUNS && count > 0; n += step)
        for (int stays = 0; stays < 2; stays++) {
            const struct fault fault = { kind, WAY_EIO, stays == 1, n };

            if (!in_short || (uint64_t)stays == n / step % 2)
                run_fault(&fault);
        }
}

/* ---- scenes ---- */

static void
prepare_scene(void)
{
    int status = 0;
    pid_t child;

    memset(&before, 0, sizeof before);
    *scene_state = before;
    test_dir_remove(scene_dir);
    test_dir_remove(saved_dir);
    if (scene->prepare == NULL)
        return;
    (void)mkdir(scene_dir, 0700);
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        scene->prepare();
        exit(VERDICT_WELL);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        test_die("%s: preparing: %s", scene->name, scene_state->text);
    scene_state->digest = scene_digest();
    before = *scene_state;
    test_dir_copy(scene_dir, saved_dir);
}

static uint64_t
failures(const struct totals *of)
{
    return of->wrong + of->lost + of->leaked + of->crashed + of->hung;
}

static void
sweep_scene(const struct scene *which)
{
    scene = which;
    of_scene = (struct totals){ 0 };
    prepare_scene();
    if (sweep_run(arm_count, disarm_count, NULL, CAUSE_NONE, "nothing fails:")) {
        if (only_n > 0) {
            fail_one();
            return;
        }
        fail_calls();
        for (enum failing_kind kind = FAILING_MEMORY; kind <= FAILING_THREAD; kind++)
            fail_others(kind);
        if (!in_short || scenes_done % SHORT_LIMITS == 0)
            limits_run(in_short);
    }
    (void)printf("[%s] %-14s %6llu points  %s\n", failures(&of_scene) == 0 ? "  OK  " : "FAILED",
                 scene->name, (unsigned long long)of_scene.points, scene->about);
    (void)fflush(stdout);
    add_totals();
    scenes_done++;
}

static void
sweep_scenes(const struct scene *scenes, const char *only)
{
    for (; scenes->name != NULL; scenes++)
        if (only == NULL || strcmp(only, scenes->name) == 0)
            sweep_scene(scenes);
}

static void *
share(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        test_die("mmap failed");
    return p;
}

int
main(int argc, char **argv)
{
    const char *only = argc > 1 && strcmp(argv[1], "all") != 0 ? argv[1] : NULL;

    tx_room_file_from = ROOM_FILE_FROM;
    in_short = argc < 2;
    only_n = test_argument(argc, argv, 2, 0);
    only_way = argc > 3 ? argv[3] : "EIO";
    scene_state = share(sizeof *scene_state);
    points = share(POINTS_MAX * sizeof *points);
    seen = share(POINTS_MAX * sizeof *seen);
    counted = share(sizeof *counted);
    test_dir_make_in_memory(base, "sweep");
    test_path(small_dir, base, "small");
    (void)mkdir(small_dir, 0700);
    test_path(scene_dir, small_dir, "now");
    test_path(saved_dir, base, "before");
    scene_path(scene_store, "store");
    failing_install(scene_dir);
    limits_install(base, small_dir);
    if (sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init) != SQLITE_OK)
        test_die("SQLite does not take the extension");
    sweep_scenes(scenes_store, only);
    sweep_scenes(scenes_care, only);
    sweep_scenes(scenes_copies, only);
    sweep_scenes(scenes_sql, only);
    limits_report();
    test_dir_remove(base);
    if (scenes_done == 0)
        test_die("there is no scene %s", only);
    (void)printf("%llu scenes, %llu fault points tried: wrong %llu, lost %llu, leaked %llu, "
                 "crashed %llu, hung %llu\n",
                 (unsigned long long)scenes_done, (unsigned long long)totals.points,
                 (unsigned long long)totals.wrong, (unsigned long long)totals.lost,
                 (unsigned long long)totals.leaked, (unsigned long long)totals.crashed,
                 (unsigned long long)totals.hung);
    return test_summary(totals.points - failures(&totals), failures(&totals));
}
