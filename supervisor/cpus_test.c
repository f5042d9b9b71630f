#include "supervisor/cpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/fake_root.h"

static const char mounts[] = "22 1 0:20 / /sys rw - sysfs sysfs rw\n"
                             "30 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";

static void test_lists(void **state)
{
	(void)state;
	assert_int_equal(cpus_in_list("0"), 1);
	assert_int_equal(cpus_in_list("0-3\n"), 4);
	assert_int_equal(cpus_in_list("0-3,8,10-11\n"), 7);
	assert_int_equal(cpus_in_list(""), 0);
	assert_int_equal(cpus_in_list("3-1"), 0);
	assert_int_equal(cpus_in_list("x"), 0);
	assert_int_equal(cpus_in_list("1-"), 0);
	assert_int_equal(cpus_in_list("1;2"), 0);
	assert_int_equal(cpus_in_list("0-99999999999"), 0);
}

static void test_quotas(void **state)
{
	(void)state;
	assert_int_equal(cpus_in_quota("max 100000\n"), 0);
	assert_int_equal(cpus_in_quota("100000 100000\n"), 1);
	assert_int_equal(cpus_in_quota("150000 100000\n"), 2);
	assert_int_equal(cpus_in_quota("5000 100000\n"), 1);
	assert_int_equal(cpus_in_quota("400000 100000\n"), 4);
	assert_int_equal(cpus_in_quota("100000 0\n"), 0);
	assert_int_equal(cpus_in_quota(""), 0);
}

static void test_nothing_to_read(void **state)
{
	(void)state;
	assert_int_equal(cpus_usable(root, 6), 6);
	assert_int_equal(cpus_usable(root, 0), 1);
}

static void test_quota_of_own_group(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", mounts);
	put("/proc/self/cgroup", "1:name=systemd:/\n0::/a/b\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 2);
	assert_int_equal(cpus_usable(root, 1), 1);
}

static void test_quota_above(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", mounts);
	put("/proc/self/cgroup", "0::/a/b/c\n");
	put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 3);
}

static void test_inside_a_cgroup_namespace(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", mounts);
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 1);
}

static void test_mount_shows_only_the_container(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "30 22 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/sys/fs/cgroup/inner/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 2);
}

static void test_cpuset(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", mounts);
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/cpuset.cpus.effective", "0-1,4\n");
	assert_int_equal(cpus_usable(root, 8), 3);
	put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 1);
}

static void test_quota_of_v1_and_above(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "30 22 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
	put("/proc/self/cgroup", "1:cpu,cpuacct:/a/b\n");
	assert_int_equal(cpus_usable(root, 5), 5);
	put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(root, 5), 5);
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(root, 5), 3);
	put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "50000\n");
	assert_int_equal(cpus_usable(root, 5), 1);
}

static void test_cpuset_of_v1(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "30 22 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
	put("/proc/self/cgroup", "3:cpuset:/a\n");
	put("/sys/fs/cgroup/cpuset/a/cpuset.cpus", "\n");
	put("/sys/fs/cgroup/cpuset/a/cpuset.effective_cpus", "0-2\n");
	put("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-7\n");
	assert_int_equal(cpus_usable(root, 8), 3);
}

static void test_hybrid_takes_the_least_of_both(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "30 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	    "31 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	    "32 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
	    "40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "3:cpuset:/\n1:cpu:/c\n0::/u\n");
	put("/sys/fs/cgroup/cpuset/cpuset.effective_cpus", "0-5\n");
	assert_int_equal(cpus_usable(root, 8), 6);
	put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "400000\n");
	put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(root, 8), 4);
	put("/sys/fs/cgroup/unified/u/cpu.max", "200000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 2);
}

/* A container of v1 sees the host's path of its group, and as the mount only what is below. */
static void test_v1_mount_shows_only_the_container(void **state)
{
	(void)state;
	put("/proc/self/mountinfo",
	    "31 30 0:28 /docker/other /mnt/other ro - cgroup cgroup rw,cpu,cpuacct\n"
	    "31 30 0:28 /docker/abc /sys/fs/cgroup/cpu\\040here ro - cgroup cgroup "
	    "rw,cpu,cpuacct\n");
	put("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n");
	put("/sys/fs/cgroup/cpu here/cpu.cfs_quota_us", "200000\n");
	put("/sys/fs/cgroup/cpu here/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(root, 8), 2);
}

static void test_a_group_outside_of_the_namespace(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", mounts);
	put("/proc/self/cgroup", "0::/../elsewhere\n");
	put("/sys/fs/elsewhere/cpu.max", "100000 100000\n");
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	assert_int_equal(cpus_usable(root, 8), 3);
}

static void test_real_machine(void **state)
{
	(void)state;
	assert_in_range(cpus_usable("", cpus_affinity()), 1, cpus_affinity());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_lists),
	        T(test_quotas),
	        T(test_nothing_to_read),
	        T(test_quota_of_own_group),
	        T(test_quota_above),
	        T(test_inside_a_cgroup_namespace),
	        T(test_mount_shows_only_the_container),
	        T(test_cpuset),
	        T(test_quota_of_v1_and_above),
	        T(test_cpuset_of_v1),
	        T(test_hybrid_takes_the_least_of_both),
	        T(test_v1_mount_shows_only_the_container),
	        T(test_a_group_outside_of_the_namespace),
	        T(test_real_machine),
#undef T
	};
	return cmocka_run_group_tests_name("cpus", tests, NULL, NULL);
}
