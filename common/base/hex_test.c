#include "common/base/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_every_byte(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		char expected[3], got[3];
		snprintf(expected, sizeof expected, "%02x", byte);
		hex_print(&(const uint8_t){(uint8_t)byte}, 1, got);
		assert_string_equal(got, expected);
	}
}

static void test_some_and_none(void **state)
{
	(void)state;
	static const uint8_t bytes[] = {0, 0xff, 0x10, 0x0a};
	char out[10];
	memset(out, '!', sizeof out);
	hex_print(bytes, sizeof bytes, out);
	assert_string_equal(out, "00ff100a");
	assert_int_equal(out[9], '!');
	hex_print(bytes, 0, out);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_byte),
	        cmocka_unit_test(test_some_and_none),
	};
	return cmocka_run_group_tests_name("hex", tests, NULL, NULL);
}
