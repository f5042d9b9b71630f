#include "common/base/utf8.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void plain_and_longer_sequences(void **state)
{
	(void)state;
	assert_true(utf8_valid(SPAN("")));
	assert_true(utf8_valid(SPAN("plain text, longer than eight bytes")));
	assert_true(utf8_valid(SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 and then plain again")));
	assert_true(utf8_valid(SPAN("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
	assert_true(utf8_valid(SPAN("\0\x7f")));
}

static void what_is_none(void **state)
{
	static const struct span bad[] = {SPAN("\x80"),
	                                  SPAN("\xc0\x80"),
	                                  SPAN("\xc1\xbf"),
	                                  SPAN("\xe0\x9f\xbf"),
	                                  SPAN("\xed\xa0\x80"),
	                                  SPAN("\xf0\x8f\xbf\xbf"),
	                                  SPAN("\xf4\x90\x80\x80"),
	                                  SPAN("\xf5"),
	                                  SPAN("seven--\xff"),
	                                  SPAN("cut off \xe2\x82"),
	                                  SPAN("\xc3("),
	                                  SPAN("\xf0\x9f\x98 ")};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(utf8_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(plain_and_longer_sequences),
	                                   cmocka_unit_test(what_is_none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
