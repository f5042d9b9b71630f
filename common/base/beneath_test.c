#include "common/base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void nothing_leads_out(void **state)
{
	static const struct {
		const char *path;
		int error; /* 0: it opens */
	} rows[] = {{"", 0},
	            {"in", 0},
	            {"in/deep", 0},
	            {"in/..", 0},
	            {"nearby", 0},
	            {"..", EXDEV},
	            {"in/../..", EXDEV},
	            {"/etc", EXDEV},
	            {"absolute", EXDEV},
	            {"up", EXDEV},
	            {"none", ENOENT},
	            {"magic", EXDEV}};
	char dir[] = "/tmp/beneath-XXXXXX", path[64];
	(void)state;
	assert_non_null(mkdtemp(dir));
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(at >= 0 && mkdirat(at, "root", 0700) == 0);
	int root = openat(at, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0 && mkdirat(root, "in", 0700) == 0 &&
	            mkdirat(root, "in/deep", 0700) == 0);
	snprintf(path, sizeof path, "%s/root/in", dir);
	assert_int_equal(symlinkat(path, root, "absolute"), 0); /* though it leads back in */
	assert_int_equal(symlinkat("in/deep", root, "nearby"), 0);
	assert_int_equal(symlinkat("../", root, "up"), 0);
	assert_int_equal(symlinkat("/proc/self/root", root, "magic"), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int fd = beneath_open(root, rows[i].path, O_PATH | O_DIRECTORY);
		int error = fd >= 0 ? 0 : errno;
		if (error != rows[i].error)
			fail_msg("%s: %d", rows[i].path, error);
		if (fd >= 0)
			close(fd);
	}
	static const char *const links[] = {"absolute", "nearby", "up", "magic"};
	for (size_t i = 0; i < 4; i++)
		unlinkat(root, links[i], 0);
	unlinkat(root, "in/deep", AT_REMOVEDIR);
	unlinkat(root, "in", AT_REMOVEDIR);
	unlinkat(at, "root", AT_REMOVEDIR);
	close(root);
	close(at);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_leads_out)};
	return cmocka_run_group_tests_name("beneath", tests, NULL, NULL);
}
