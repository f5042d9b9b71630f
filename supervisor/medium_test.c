#include "supervisor/medium.h"

#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_what_keeps_nothing_is_named(void **state)
{
	(void)state;
	struct medium medium;
	assert_true(medium_is_doubtful(TMPFS_MAGIC, &medium));
	assert_string_equal(medium.name, "tmpfs");
	assert_non_null(strstr(medium.warning, "lost when the machine"));
	assert_true(medium_is_doubtful(OVERLAYFS_SUPER_MAGIC, &medium));
	assert_string_equal(medium.name, "overlay");
	assert_non_null(strstr(medium.warning, "volume"));
	assert_true(medium_is_doubtful(NFS_SUPER_MAGIC, &medium));
	/* The field is signed on some machines. */
	assert_true(medium_is_doubtful((int32_t)0xff534d42, &medium));
	assert_string_equal(medium.name, "cifs");
	assert_false(medium_is_doubtful(EXT4_SUPER_MAGIC, &medium));
	assert_false(medium_is_doubtful(XFS_SUPER_MAGIC, &medium));
	assert_false(medium_is_doubtful(BTRFS_SUPER_MAGIC, &medium));
	assert_false(medium_of_path_is_doubtful("/nonexistent/dir", &medium));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_keeps_nothing_is_named)};
	return cmocka_run_group_tests_name("medium", tests, NULL, NULL);
}
