#include "common/base/browser_arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static struct browser_arguments arguments;
static char reason[160];

static void what_is_on_the_list_is_taken(void **state)
{
	(void)state;
	assert_true(browser_arguments_read(&arguments, "", reason));
	assert_int_equal(arguments.count, 0);
	assert_true(browser_arguments_read(
	        &arguments,
	        "  --lang=pt-BR --use-angle=gl-egl\t--disable-gpu  --num-raster-threads=4 ",
	        reason));
	assert_int_equal(arguments.count, 4);
	assert_string_equal(arguments.at[0], "--lang=pt-BR");
	assert_string_equal(arguments.at[1], "--use-angle=gl-egl");
	assert_string_equal(arguments.at[2], "--disable-gpu");
	assert_string_equal(arguments.at[3], "--num-raster-threads=4");
	assert_string_equal(reason, "");
}

static void everything_else_is_named(void **state)
{
	static const char *const bad[] = {
	        "--no-sandbox",
	        "--disable-web-security",
	        "--remote-debugging-port=1",
	        "--proxy-server=x",
	        "--host-resolver-rules=MAP * 1",
	        "--user-data-dir=/",
	        "--load-extension=/x",
	        "--js-flags=--expose-gc",
	        "--lang",
	        "--lang=",
	        "--lang=e",
	        "--lang=en-",
	        "--lang=en-US-x",
	        "--lang=../x",
	        "--disable-gpu=1",
	        "--disable-gpu=",
	        "--use-angle=",
	        "--use-angle=gl-",
	        "--use-angle=gl|vulkan",
	        "--use-angle=metal",
	        "--num-raster-threads=0",
	        "--num-raster-threads=5",
	        "--num-raster-threads=01",
	        "--num-raster-threads=4x",
	        "--num-raster-threads=1000000000000",
	        "disable-gpu",
	        "-disable-gpu",
	        "--disable-gp",
	        "--disable-gpu --disable-gpu",
	        "--use-gl=egl --use-gl=angle",
	        "https://example.com/",
	        "--lang=en-0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (browser_arguments_read(&arguments, bad[i], reason))
			fail_msg("taken: %s", bad[i]);
		assert_int_not_equal(*reason, '\0');
	}
}

static void there_are_not_too_many(void **state)
{
	static const char many[] =
	        "--lang=de --use-gl=egl --use-angle=gl --disable-gpu --enable-gpu-rasterization "
	        "--ignore-gpu-blocklist --disable-lcd-text --disable-smooth-scrolling "
	        "--force-dark-mode --force-prefers-reduced-motion --num-raster-threads=1 "
	        "--renderer-process-limit=1";
	char more[512];
	(void)state;
	assert_true(browser_arguments_read(&arguments, many, reason));
	assert_int_equal(arguments.count, BROWSER_ARGUMENTS_MAX);
	snprintf(more, sizeof more, "%s --max-gum-fps=30", many);
	assert_false(browser_arguments_read(&arguments, more, reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_on_the_list_is_taken),
	        cmocka_unit_test(everything_else_is_named),
	        cmocka_unit_test(there_are_not_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
