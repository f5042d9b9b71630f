#include "common/base/base58.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void known_texts(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		const char *text;
	} rows[] = {
	        {"", 0, ""},
	        {"\0", 1, "1"},
	        {"Hello World!", 12, "2NEpo7TZRRrLZSi2U"},
	        {"The quick brown fox jumps over the lazy dog.", 44,
	         "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"},
	        {"\0\0\x28\x7f\xb4\xcd", 6, "11233QC4"},
	        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32,
	         "11111111111111111111111111111111"},
	};
	char text[BASE58_TEXT_ROOM];
	uint8_t bytes[BASE58_BYTES_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		base58_print((const uint8_t *)rows[i].bytes, rows[i].count, text);
		assert_string_equal(text, rows[i].text);
		assert_true(base58_read(text, bytes, rows[i].count));
		assert_memory_equal(bytes, rows[i].bytes, rows[i].count);
	}
}

static void every_length_comes_back(void **state)
{
	uint8_t bytes[BASE58_BYTES_MAX], back[BASE58_BYTES_MAX];
	char text[BASE58_TEXT_ROOM];
	(void)state;
	for (size_t count = 0; count <= sizeof bytes; count++)
		for (unsigned seed = 0; seed < 64; seed++) {
			for (size_t i = 0; i < count; i++)
				bytes[i] = (uint8_t)(i < seed % 8 ? 0 : seed * 41 + i * 97 + 255);
			if (seed == 63)
				memset(bytes, 255, count);
			base58_print(bytes, count, text);
			assert_true(strlen(text) < sizeof text);
			assert_true(base58_read(text, back, count));
			assert_memory_equal(back, bytes, count);
			if (count > 0)
				assert_false(base58_read(text, back, count - 1));
			if (count < sizeof bytes)
				assert_false(base58_read(text, back, count + 1));
		}
}

static void what_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"0",  "O",   "I", "l", "2NEpo7TZRRrLZSi2U ",
	                                  " 1", "1\n", "é"};
	uint8_t bytes[BASE58_BYTES_MAX];
	char longer[400];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t count = 0; count <= sizeof bytes; count++)
			assert_false(base58_read(bad[i], bytes, count));
	memset(longer, 'z', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_false(base58_read(longer, bytes, sizeof bytes));
	memset(longer, '1', sizeof longer - 1);
	assert_false(base58_read(longer, bytes, sizeof bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(known_texts),
	        cmocka_unit_test(every_length_comes_back),
	        cmocka_unit_test(what_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
