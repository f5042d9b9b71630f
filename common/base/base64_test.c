#include "common/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void examples_of_the_rfc(void **state)
{
	static const char *const pairs[][2] = {{"", ""},
	                                       {"f", "Zg=="},
	                                       {"fo", "Zm8="},
	                                       {"foo", "Zm9v"},
	                                       {"foob", "Zm9vYg=="},
	                                       {"fooba", "Zm9vYmE="},
	                                       {"foobar", "Zm9vYmFy"}};
	uint8_t out[16];
	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		char *text = base64_text(span_str(pairs[i][0]));
		assert_string_equal(text, pairs[i][1]);
		free(text);
		assert_int_equal(base64_decode(span_str(pairs[i][1]), out), strlen(pairs[i][0]));
		assert_memory_equal(out, pairs[i][0], strlen(pairs[i][0]));
	}
}

static void every_length_and_byte_comes_back(void **state)
{
	uint8_t bytes[600], out[600];
	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t len = 0; len <= sizeof bytes; len++) {
		char *text = base64_text(span_of(bytes, len));
		assert_int_equal(base64_decode(span_str(text), out), len);
		assert_memory_equal(out, bytes, len);
		free(text);
	}
}

static void what_is_malformed_is_refused(void **state)
{
	static const char *const texts[] = {"A",
	                                    "AA",
	                                    "AAA",
	                                    "AAAA=",
	                                    "A===",
	                                    "====",
	                                    "AA=A",
	                                    "AAA-",
	                                    "AA A",
	                                    "AAAA\nAAA",
	                                    "=AAA",
	                                    ("AA=="
	                                     "AAAA")};
	uint8_t out[32];
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (base64_decode(span_str(texts[i]), out) >= 0)
			fail_msg("'%s' was taken", texts[i]);
}

static void urls_have_an_alphabet_of_their_own(void **state)
{
	uint8_t bytes[300], out[302];
	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(255 - i * 7);
	for (size_t len = 0; len <= sizeof bytes; len++) {
		char *text = base64url_text(span_of(bytes, len));
		assert_int_equal(strcspn(text, "+/="), strlen(text));
		assert_int_equal(base64url_decode(span_str(text), out), len);
		assert_memory_equal(out, bytes, len);
		free(text);
	}
}

static void of_a_text_for_urls_there_is_one_spelling(void **state)
{
	static const char *const texts[] = {"A",    "AAAAA", "Zg==", "Zm8=",  "Zh", "Zm9", "_-_+",
	                                    "_-_/", "AA A",  "AAA=", "AAA\n", "=",  "AB",  "AAB"};
	uint8_t out[32];
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (base64url_decode(span_str(texts[i]), out) >= 0)
			fail_msg("'%s' was taken", texts[i]);
	assert_int_equal(base64url_decode(SPAN("Zg"), out), 1);
	assert_int_equal(base64url_decode(SPAN("Zm8"), out), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(examples_of_the_rfc),
	        cmocka_unit_test(every_length_and_byte_comes_back),
	        cmocka_unit_test(what_is_malformed_is_refused),
	        cmocka_unit_test(urls_have_an_alphabet_of_their_own),
	        cmocka_unit_test(of_a_text_for_urls_there_is_one_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
