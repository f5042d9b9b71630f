#include "common/base/keypair.h"
#include "common/base/base58.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8032, 7.1, test 2. */
static const uint8_t seed[32] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
                                 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
                                 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
static const uint8_t public_key[32] = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a,
                                       0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc,
                                       0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c,
                                       0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
static const uint8_t signature_of_72[64] = {
        0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f,
        0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76,
        0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99,
        0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae,
        0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

static void pair_bytes(uint8_t bytes[64])
{
	memcpy(bytes, seed, 32);
	memcpy(bytes + 32, public_key, 32);
}

static void numbers_of(const uint8_t *bytes, size_t count, const char *between, char *text,
                       size_t room)
{
	size_t len = (size_t)snprintf(text, room, "[");
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, "%s%u", i > 0 ? between : "",
		                        bytes[i]);
	snprintf(text + len, room - len, "]");
}

static void both_spellings_are_read_and_sign(void **state)
{
	uint8_t bytes[64], signature[64];
	char text[600], base58[BASE58_TEXT_ROOM + 2];
	struct keypair pair;
	(void)state;
	pair_bytes(bytes);
	for (unsigned i = 0; i < 4; i++) {
		base58_print(bytes, sizeof bytes, base58);
		strcat(base58, i == 3 ? "\n" : "");
		numbers_of(bytes, 64, i == 0 ? "," : " ,\n ", text, sizeof text);
		assert_null(keypair_read(i < 2 ? text : base58, &pair));
		assert_memory_equal(pair.seed, seed, 32);
		assert_memory_equal(pair.public_key, public_key, 32);
		keypair_sign(&pair, SPAN("\x72"), signature);
		assert_memory_equal(signature, signature_of_72, 64);
	}
}

static void half_of_another_key_is_refused(void **state)
{
	uint8_t bytes[64];
	char text[600];
	struct keypair pair;
	(void)state;
	for (size_t i = 0; i < 64; i++) {
		pair_bytes(bytes);
		bytes[i] ^= 1;
		numbers_of(bytes, 64, ",", text, sizeof text);
		const char *fault = keypair_read(text, &pair);
		assert_non_null(fault);
		assert_non_null(strstr(fault, "another key"));
	}
}

static void what_is_no_pair_is_refused(void **state)
{
	static const char *const bad[] = {
	        "",        "[]",     "[1]",       "[1,2",
	        "nothing", "1",      "{\"a\":1}", "2NEpo7TZRRrLZSi2U",
	        "[256,1]", "[01,1]", "[-1]",      "[1.5]",
	};
	uint8_t bytes[64];
	char text[700];
	struct keypair pair;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(keypair_read(bad[i], &pair));
	pair_bytes(bytes);
	numbers_of(bytes, 63, ",", text, sizeof text);
	assert_non_null(keypair_read(text, &pair));
	numbers_of(bytes, 64, ",", text, sizeof text);
	for (size_t len = strlen(text); len-- > 0;) {
		text[len] = '\0';
		assert_non_null(keypair_read(text, &pair));
	}
	numbers_of(bytes, 64, ",", text, sizeof text);
	strcat(text, "x");
	assert_non_null(keypair_read(text, &pair));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(both_spellings_are_read_and_sign),
	        cmocka_unit_test(half_of_another_key_is_refused),
	        cmocka_unit_test(what_is_no_pair_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
