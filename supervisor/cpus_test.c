#include "supervisor/cpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static char root[64];

static void put(const char *path, const char *text)
{
	char whole[512];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(whole, 0700);
		*at = '/';
	}
	FILE *file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof root, "/tmp/ringside-cpus-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -r '%s'", root);
	return system(command);
}

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

static void test_only_v1(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
	put("/proc/self/cgroup", "1:cpu:/a\n");
	assert_int_equal(cpus_usable(root, 5), 5);
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
	        T(test_only_v1),
	        T(test_real_machine),
#undef T
	};
	return cmocka_run_group_tests_name("cpus", tests, NULL, NULL);
}
