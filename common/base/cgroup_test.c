#include "common/base/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/fake_root.h"

static void test_nothing_readable_is_no_limit(void **state)
{
	(void)state;
	assert_true(cgroup_memory_bytes(root) == UINT64_MAX);
	put("/proc/self/mountinfo", "22 1 0:20 / /sys rw - sysfs sysfs rw\n");
	put("/proc/self/cgroup", "garbage\n");
	assert_true(cgroup_memory_bytes(root) == UINT64_MAX);
}

static void test_v2_the_least_of_all_ancestors(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	assert_true(cgroup_memory_bytes(root) == UINT64_MAX);
	put("/sys/fs/cgroup/a/memory.max", "400000000\n");
	assert_int_equal(cgroup_memory_bytes(root), 400000000);
	put("/sys/fs/cgroup/a/b/memory.max", "500000000\n");
	assert_int_equal(cgroup_memory_bytes(root), 400000000);
	put("/sys/fs/cgroup/a/b/memory.high", "300000000\n");
	assert_int_equal(cgroup_memory_bytes(root), 300000000);
	put("/sys/fs/cgroup/memory.max", "7\n");
	assert_int_equal(cgroup_memory_bytes(root), 7);
}

static void test_v1_and_hybrid(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
	    "31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	    "34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	    "40 30 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "7:cpu,cpuacct:/c\n4:memory:/a/b\n0::/u\n");
	put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
	assert_true(cgroup_memory_bytes(root) == UINT64_MAX);
	put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "419430400\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(cgroup_memory_bytes(root), 419430400);
	put("/sys/fs/cgroup/unified/u/memory.max", "1000\n"); /* whichever has it */
	assert_int_equal(cgroup_memory_bytes(root), 1000);
}

/* Without a namespace of its own a container sees the whole path, but its mount begins at its
 * group. */
static void test_a_container_without_a_namespace(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "34 30 0:31 /docker/c1 /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n");
	put("/proc/self/cgroup", "4:memory:/docker/c1/sub\n");
	put("/sys/fs/cgroup/memory/sub/memory.limit_in_bytes", "2000\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
	assert_int_equal(cgroup_memory_bytes(root), 1000);
	put("/proc/self/cgroup", "4:memory:/docker/c10/sub\n"); /* not below */
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
	assert_int_equal(cgroup_memory_bytes(root), 3000);
}

static void count(void *arg, const char *line)
{
	(void)line;
	++*(int *)arg;
}

static void test_controllers_that_share_a_hierarchy(void **state)
{
	(void)state;
	int lines = 0;
	put("/proc/self/mountinfo",
	    "31 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
	put("/proc/self/cgroup", "7:cpu,cpuacct:/c\n");
	put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "50000\n");
	cgroup_each(root, "cpu", "cpu.cfs_quota_us", count, &lines);
	assert_int_equal(lines, 1);
	cgroup_each(root, "cpuset", "cpu.cfs_quota_us", count, &lines);
	cgroup_each(root, NULL, "cpu.cfs_quota_us", count, &lines);
	assert_int_equal(lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_nothing_readable_is_no_limit, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_v2_the_least_of_all_ancestors, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_v1_and_hybrid, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_a_container_without_a_namespace, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_controllers_that_share_a_hierarchy, setup,
	                                        teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
