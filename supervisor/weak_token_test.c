#include "supervisor/weak_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_tokens(void **state)
{
	(void)state;
	static const char placeholder[] = "is a placeholder",
	                  few[] = "consists of a few characters only",
	                  shorter[] = "is shorter than 8 characters",
	                  doubtful[] = "is shorter than 16 characters";
	static const struct {
		const char *token, *weak, *doubtful;
	} rows[] = {
	        {"CHANGE-ME", placeholder, doubtful},
	        {"CHANGE-ME-TOO", placeholder, doubtful},
	        {"please_change_me_before_production", placeholder, NULL},
	        {"secret", placeholder, doubtful},
	        {"Secret123", placeholder, doubtful},
	        {"s-e-c-r-e-t", placeholder, doubtful},
	        {"your-256-bit-secret", placeholder, NULL},
	        {"your-publish-token", placeholder, NULL},
	        {"<token>", placeholder, doubtful},
	        {"${RINGSIDE_TOKEN}", placeholder, NULL},
	        {"xxxxxxxxxxxxxxxxxxxxxxxx", placeholder, few},
	        {"XXXXXX-fill-in-XXXXXX", placeholder, NULL},
	        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", placeholder, few},
	        {"0000000000000000000000000000", placeholder, few},
	        {"12345678", placeholder, doubtful},
	        {"t", placeholder, doubtful},
	        {"ab", placeholder, doubtful},
	        {"pub", shorter, doubtful},
	        {"k7_Qz3p", shorter, doubtful},
	        {"k7_Qz3pA", NULL, doubtful},
	        {"k7_Qz3pAk7_Qz3p", NULL, doubtful},
	        {"k7_Qz3pAk7_Qz3pA", NULL, NULL},
	        {"abcabcabcabcabcabc", NULL, few},
	        {"secretary-of-the-house-9157", NULL, NULL},
	        {"31415926535897932384", NULL, NULL},
	        {"f3a9c1d27be84056a1b2c3d4e5f60718", NULL, NULL},
	        {"qL0kYourwR8v+Ax2xxQ/7uEz==", NULL, NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *weak = weak_token(span_str(rows[i].token)),
		           *doubt = doubtful_token(span_str(rows[i].token));
		if ((weak == NULL) != (rows[i].weak == NULL) ||
		    (doubt == NULL) != (rows[i].doubtful == NULL))
			fail_msg("%s: %s, %s", rows[i].token, weak, doubt);
		if (weak != NULL)
			assert_string_equal(weak, rows[i].weak);
		if (doubt != NULL)
			assert_string_equal(doubt, rows[i].doubtful);
	}
}

static void test_what_is_listed_is_weak(void **state)
{
	(void)state;
	size_t i = 0;
	for (; placeholder_token(i) != NULL; i++)
		assert_non_null(weak_token(span_str(placeholder_token(i))));
	assert_true(i > 40);
}

/* Those that tools make: hexadecimal of 16 bytes, as `openssl rand -hex 16` prints. */
static void test_random_tokens_are_good(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252ull;
	for (unsigned n = 0; n < 100000; n++) {
		char token[33];
		for (unsigned i = 0; i < 32; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			token[i] = "0123456789abcdef"[x >> 60];
		}
		token[32] = '\0';
		if (weak_token(span_str(token)) != NULL || doubtful_token(span_str(token)) != NULL)
			fail_msg("%s", token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_tokens),
	        cmocka_unit_test(test_what_is_listed_is_weak),
	        cmocka_unit_test(test_random_tokens_are_good),
	};
	return cmocka_run_group_tests_name("weak_token", tests, NULL, NULL);
}
