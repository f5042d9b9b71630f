#include "supervisor/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64], run[128], data[128], reason[512];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/ringside-instance-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(run, sizeof run, "%s/deep/run", dir);
	snprintf(data, sizeof data, "%s/data", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command);
}

static void test_second_is_refused(void **state)
{
	(void)state;
	struct instance first, second;
	char other[160], pid[32];
	assert_true(instance_claim(&first, run, data, reason, sizeof reason));
	assert_int_equal(access(first.pid_path, R_OK), 0);
	assert_false(instance_claim(&second, run, data, reason, sizeof reason));
	snprintf(pid, sizeof pid, "(pid %d)", (int)getpid());
	assert_non_null(strstr(reason, pid));
	assert_non_null(strstr(reason, run));
	/* Nor with another run directory over the same data; and that is free again then. */
	snprintf(other, sizeof other, "%s/other", dir);
	assert_false(instance_claim(&second, other, data, reason, sizeof reason));
	assert_non_null(strstr(reason, data));
	instance_release(&first);
	assert_int_not_equal(access(first.pid_path, R_OK), 0);
	assert_true(instance_claim(&second, other, data, reason, sizeof reason));
	instance_release(&second);
}

static void test_one_directory_for_both(void **state)
{
	(void)state;
	struct instance first, second;
	assert_true(instance_claim(&first, data, data, reason, sizeof reason));
	assert_false(instance_claim(&second, data, data, reason, sizeof reason));
	instance_release(&first);
}

static void test_what_cannot_be_made(void **state)
{
	(void)state;
	struct instance instance;
	char file[160];
	snprintf(file, sizeof file, "%s/file", dir);
	fclose(fopen(file, "w"));
	assert_false(instance_claim(&instance, file, data, reason, sizeof reason));
	assert_non_null(strstr(reason, "--run-dir"));
	assert_false(instance_claim(&instance, run, file, reason, sizeof reason));
	assert_non_null(strstr(reason, "--data-dir"));
	assert_true(instance_claim(&instance, run, data, reason, sizeof reason));
	instance_release(&instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_second_is_refused),
	        T(test_one_directory_for_both),
	        T(test_what_cannot_be_made),
#undef T
	};
	return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
