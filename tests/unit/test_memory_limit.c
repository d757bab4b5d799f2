/*
 * test_memory_limit.c - how much memory the process may use, as its control groups say.
 *
 * The files that the kernel would have stand in a directory.
 */
#include "tree_fixture.h"

#include <sys/stat.h>

static void
write_file(const char *path, const char *text)
{
    char full[256];
    FILE *f;

    (void)snprintf(full, sizeof full, "%s%s", dir, path);
    for (char *slash = strchr(full + strlen(dir) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int
make_root(void **state)
{
    (void)state;
    return temp_dir_make(dir) ? 0 : -1;
}

static int
remove_root(void **state)
{
    (void)state;
    return temp_dir_remove(dir) ? 0 : -1;
}

static void
without_control_groups_the_machine_is_the_limit(void **state)
{
    const uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(tx_os_memory_limit(dir), all);
    write_file("/proc/self/cgroup", "0::/\nnonsense\n5:\n\n7:cpu,memory_x:/\n");
    write_file("/sys/fs/cgroup/memory.max", "max\n");
    assert_int_equal(tx_os_memory_limit(dir), all);
}

static void
the_least_of_a_group_and_those_above_it_counts(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "0::/a/b/c\n");
    write_file("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    write_file("/sys/fs/cgroup/a/b/memory.max", "5242880\n");
    write_file("/sys/fs/cgroup/a/memory.max", "9242880\n");
    assert_int_equal(tx_os_memory_limit(dir), 5242880);
    write_file("/sys/fs/cgroup/a/memory.max", "4096\n");
    assert_int_equal(tx_os_memory_limit(dir), 4096);
}

static void
groups_of_the_older_kind_count_too(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "12:cpu:/x\n3:hugetlb,memory:/d/e\n0::/\n");
    write_file("/sys/fs/cgroup/memory/d/e/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    assert_int_equal(tx_os_memory_limit(dir), 1048576);
}

/* The path is that of the host, and the container's root is mounted. */
static void
in_a_container_the_visible_root_counts(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "0::/docker/0123\n");
    write_file("/sys/fs/cgroup/memory.max", "2097152\n");
    assert_int_equal(tx_os_memory_limit(dir), 2097152);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_control_groups_the_machine_is_the_limit),
        TEST(the_least_of_a_group_and_those_above_it_counts),
        TEST(groups_of_the_older_kind_count_too),
        TEST(in_a_container_the_visible_root_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
